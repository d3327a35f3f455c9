"""OUTPUT/sweep.json: what a report, and a later start, read of a sweep. Paths in it are relative to OUTPUT."""

import fcntl
import json
from pathlib import Path
from typing import IO, Any

from lingualift_ds.config.load import to_dict
from lingualift_ds.data.atomic import write_aside
from lingualift_ds.errors import DataError
from lingualift_ds.evaluate.report.sweep.reading import FILE, FORMAT
from lingualift_ds.sweep.arms import Arm
from lingualift_ds.sweep.plan import Plan


def owned_folders(output: Path) -> set[str]:
    """Folders of runs and evaluations of an earlier start; none where there was none, or its record is damaged."""
    try:
        arms = json.loads((output / FILE).read_text(encoding="utf-8"))["arms"]
        cells = [cell for arm in arms.values() for cell in arm["cells"].values()]
        return {folder for cell in cells for folder in (*cell["runs"].values(), cell["results"])}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return set()


def asked_before(output: Path) -> dict[str, Any]:
    """What an earlier start evaluated; empty where there was none."""
    try:
        return dict(json.loads((output / FILE).read_text(encoding="utf-8"))["evaluate"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def claim(output: Path) -> IO:
    """Take the sweep's folder for this process, until what is returned is closed. Raises DataError where another sweep
    is at work in it."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        lock = (output / ".lock").open("w")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DataError(
            f"{output}: another sweep is at work here; wait for it, or set output to another folder"
        ) from None
    except OSError as error:
        raise DataError(f"{output}: cannot be written: {error.strerror}") from None
    return lock


def write_record(plan: Plan) -> None:
    """Write sweep.json. Raises DataError."""
    sweep = plan.sweep
    values = {
        "format": FORMAT,
        "name": sweep.path.stem,
        "seeds": list(sweep.config.seeds),
        "baseline": sweep.baseline,
        "evaluate": to_dict(sweep.config.evaluate),
        "arms": {arm.key: _arm(plan, arm) for arm in sweep.arms},
        "grids": {
            key: {
                "name": grid.name or key,
                "key": grid.key,
                "values": [arm.value for arm in sweep.arms if arm.grid == key],
            }
            for key, grid in sweep.config.grids.items()
        },
        "figures": {
            key: {
                "kind": figure.kind,
                "title": figure.title or key,
                **({"arms": sweep.figure_arms(figure)} if figure.kind == "bars" else {"grid": figure.grid}),
            }
            for key, figure in sweep.config.figures.items()
        },
    }
    write_aside(sweep.output / FILE, json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def _arm(plan: Plan, arm: Arm) -> dict[str, Any]:
    cells = {
        str(cell.seed): {
            "runs": {str(run.stage.number): run.folder for run in plan.runs[cell.folder]},
            "results": f"{plan.evaluated[cell.folder].folder}/evaluation",
            "settings": cell.settings,
        }
        for cell in plan.cells
        if cell.arm.key == arm.key
    }
    return {"name": arm.name, "grid": arm.grid, "value": arm.value, "cells": cells}
