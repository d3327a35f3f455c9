"""Folders of a sweep as `lingualift-ds sweep` writes them, made up: any arms, any shares of right answers."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from results_folders import make_results


def make_sweep(
    folder: Path,
    arms: Mapping[str, Mapping[str, float] | None],
    seeds: Sequence[int] = (0, 1),
    n: int = 100,
    tasks: Sequence[str] = ("mgsm",),
    spread: float = 0.02,
    names: Mapping[str, str] | None = None,
    settings: Mapping[str, Any] | None = None,
    **stated: Any,
) -> Path:
    """Write sweep.json and the results of each arm and seed; `arms` are shares of right answers by language.

    An arm without shares has no results. Seed k has `spread` times k more right answers. The arm `GRID=VALUE` is of
    that grid, and `settings` are the values of its key. `stated` goes into sweep.json.
    """
    written, grids = {}, stated.setdefault("grids", {})
    for number, (key, right) in enumerate(arms.items()):
        grid, is_grid, value = key.partition("=")
        cells = {}
        for seed in seeds:
            path = f"{key}/seed{seed}/evaluation"
            setting = {grids[grid]["key"]: (settings or {}).get(key, value)} if is_grid else {}
            cells[str(seed)] = {"runs": {"stage2": f"{key}/seed{seed}"}, "results": path, "settings": setting}
            if right is not None:
                moved = {code: min(share + spread * seed, 1.0) for code, share in right.items()}
                make_results(folder / path, key, moved, n, 100 * number + seed, tasks)
        name = (names or {}).get(key, value or key)
        written[key] = {"name": name, "grid": grid if is_grid else None, "value": value or None, "cells": cells}
    values = {"format": 1, "name": "made-up", "seeds": list(seeds), "baseline": None, "arms": written, **stated}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sweep.json").write_text(json.dumps(values), encoding="utf-8")
    return folder
