"""A sweep's folder: which arms there are, what of them is evaluated, which figures are wanted.

`sweep.json` names a results folder a cell, an arm with a seed. Cells without results are no fault: a sweep may go on.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lingualift_ds.data.jsonl import excerpt, kind_name
from lingualift_ds.errors import DataError
from lingualift_ds.evaluate.report.results import FILE as RESULTS
from lingualift_ds.evaluate.report.results import Results, check_comparable, read_formatted, read_results, required

FILE = "sweep.json"
FORMAT = 1
KINDS = ("bars", "curve", "matrix")
"""Figures: a bar an arm, a line over a grid's values, tested languages by a grid's values."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.=-]*")


@dataclass(frozen=True)
class Arm:
    """What was tried, with the results of each seed that is evaluated.

    Attributes:
        key: as in sweep.json. `label` is what it is called; no two arms are called alike.
        name: its own name, which of an arm of a grid is the value.
        grid: the key of the grid whose `value` it has, None without one.
        setting: what the grid's key was set to.
    """

    key: str
    label: str
    name: str
    grid: str | None
    value: str | None
    setting: Any
    seeds: Mapping[str, Results]


@dataclass(frozen=True)
class Figure:
    """A figure to draw: of `arms` (keys), or of the arms of a `grid`, which is called `axis`."""

    name: str
    kind: str
    title: str
    arms: tuple[str, ...]
    grid: str | None = None
    axis: str = ""


@dataclass(frozen=True)
class Sweep:
    """A sweep as far as it is evaluated.

    Attributes:
        baseline: the label of the arm that others are held against; None where there is none, or it has no results.
        arms: those with results. `without` are the labels of the others.
        missing: cells that are not evaluated: (the arm's label, seed).
    """

    name: str
    folder: Path
    baseline: str | None
    arms: tuple[Arm, ...]
    without: tuple[str, ...]
    missing: tuple[tuple[str, str], ...]
    figures: tuple[Figure, ...]

    def labels(self, figure: Figure) -> list[str]:
        """The arms of a figure that have results, in its order."""
        labels = {arm.key: arm.label for arm in self.arms}
        return [labels[key] for key in figure.arms if key in labels]

    def arm(self, label: str) -> Arm:
        """The arm that is called so."""
        return next(arm for arm in self.arms if arm.label == label)


def read_sweep(folder: Path) -> Sweep:
    """Read `folder`'s sweep.json and all results that are there.

    Raises:
        DataError: for a damaged sweep.json or results folder, results that did not ask the same, and where no cell is
            evaluated.
    """
    path = folder / FILE
    values = read_formatted(path, FORMAT, "sweep of `lingualift-ds sweep`")
    stated, grids = required(path, values, "arms", dict), _grids(path, values)
    arms = [_arm(folder, key, required(path, stated, key, dict, "arms"), grids) for key in stated]
    arms = _told_apart(arms)
    seeds = [str(seed) for seed in required(path, values, "seeds", list)]
    missing = [(arm.label, seed) for arm in arms for seed in seeds if seed not in arm.seeds]
    if not any(arm.seeds for arm in arms):
        raise DataError(f"{path}: none of its {len(missing)} cells is evaluated; `lingualift-ds sweep` goes on with it")
    baseline = values.get("baseline")
    if baseline is not None and baseline not in stated:
        raise DataError(f"{path}: 'baseline' is {excerpt(str(baseline))}; one of {', '.join(stated)} is needed")
    check_comparable([results for arm in arms for results in arm.seeds.values()])
    return Sweep(
        name=required(path, values, "name", str),
        folder=folder,
        baseline=next((arm.label for arm in arms if arm.key == baseline and arm.seeds), None),
        arms=tuple(arm for arm in arms if arm.seeds),
        without=tuple(arm.label for arm in arms if not arm.seeds),
        missing=tuple(missing),
        figures=_figures(path, values, arms, grids),
    )


def _grids(path: Path, values: dict) -> dict[str, tuple[str, str]]:
    """(name, key that is set) of each grid."""
    stated = values.get("grids") or {}
    if not isinstance(stated, dict):
        raise DataError(f"{path}: 'grids' is a JSON {kind_name(stated)}; an object {{...}} is needed")
    found = {}
    for key in stated:
        grid = required(path, stated, key, dict, "grids")
        found[key] = (
            required(path, grid, "name", str, f"grids, {key}"),
            required(path, grid, "key", str, f"grids, {key}"),
        )
    return found


def _arm(folder: Path, key: str, stated: dict, grids: Mapping[str, tuple[str, str]]) -> Arm:
    path, where = folder / FILE, f"arms, {key}"
    name, grid, value = required(path, stated, "name", str, where), stated.get("grid"), stated.get("value")
    if grid is not None and grid not in grids:
        raise DataError(
            f"{path}: {where}: 'grid' is {excerpt(str(grid))}; one of {', '.join(grids) or 'none'} is needed"
        )
    cells, seeds, setting = required(path, stated, "cells", dict, where), {}, None
    for seed in cells:
        cell = required(path, cells, seed, dict, where)
        if not cell.get("results"):
            continue
        at = folder / required(path, cell, "results", str, f"{where}, {seed}")
        if not (at / RESULTS).exists():
            continue
        seeds[seed] = read_results(at, f"{name}, seed {seed}")
        if grid is not None and setting is None:
            setting = (cell.get("settings") or {}).get(grids[grid][1])
    label = name if grid is None else f"{grids[grid][0]} {name}"
    return Arm(key, label, name, grid, None if value is None else str(value), setting, seeds)


def _told_apart(arms: Sequence[Arm]) -> list[Arm]:
    """The arms, those that are called as another is with their key beside the name."""
    labels = [arm.label for arm in arms]
    return [
        Arm(**{**vars(arm), "label": f"{arm.label} ({arm.key})"}) if labels.count(arm.label) > 1 else arm
        for arm in arms
    ]


def _figures(path: Path, values: dict, arms: Sequence[Arm], grids: Mapping[str, tuple[str, str]]) -> tuple[Figure, ...]:
    """The figures that are listed; without any, bars of the arms without a grid, or of all."""
    stated, keys = values.get("figures") or {}, [arm.key for arm in arms]
    if not isinstance(stated, dict):
        raise DataError(f"{path}: 'figures' is a JSON {kind_name(stated)}; an object {{...}} is needed")
    if not stated:
        return (Figure("arms", "bars", "All arms", tuple(arm.key for arm in arms if arm.grid is None) or tuple(keys)),)
    found = []
    for name in stated:
        where, figure = f"figures, {name}", required(path, stated, name, dict, "figures")
        kind, title = required(path, figure, "kind", str, where), str(figure.get("title") or name)
        if not _NAME.fullmatch(name):
            raise DataError(f"{path}: {excerpt(name)} is no name of a figure: letters, digits, and - _ . = inside")
        if kind not in KINDS:
            raise DataError(f"{path}: {where}: kind {excerpt(kind)}: unknown; {', '.join(KINDS)} are known")
        if kind == "bars":
            listed = required(path, figure, "arms", list, where)
            lone = next((key for key in listed if key not in keys), None)
            if lone is not None:
                raise DataError(f"{path}: {where}: no arm {excerpt(str(lone))}; there are {', '.join(keys)}")
            found.append(Figure(name, kind, title, tuple(listed)))
            continue
        grid = required(path, figure, "grid", str, where)
        if grid not in grids:
            raise DataError(f"{path}: {where}: no grid {excerpt(grid)}; there are {', '.join(grids) or 'none'}")
        of_grid = tuple(arm.key for arm in arms if arm.grid == grid)
        found.append(Figure(name, kind, title, of_grid, grid, grids[grid][0]))
    return tuple(found)
