"""A sweep as its file states it: arms, those of its grids among them, and what contradicts itself across keys."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lingualift_ds.config.load import load_settings
from lingualift_ds.errors import ConfigError
from lingualift_ds.sweep.schema import MINIATURE, ArmConfig, FigureConfig, GridConfig, SweepConfig

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)
_RESERVED = (MINIATURE, "logs", "slurm", "report", "figures")
"""Folders in OUTPUT that are no arm's."""
_OURS = ("run", "run.output", "run.seed")


@dataclass(frozen=True)
class Arm:
    """What is tried at every seed.

    Attributes:
        key: names its folder; of a grid's arm GRID=VALUE.
        settings: its own, which go over the sweep's.
        stages: those that are trained; None: all that the recipe states.
        grid, value: the grid it belongs to, and its label there; None without one.
    """

    key: str
    name: str
    recipe: str
    settings: dict[str, Any]
    stages: tuple[int, ...] | None
    grid: str | None = None
    value: str | None = None


@dataclass(frozen=True)
class Sweep:
    """A sweep file, and the arms that it makes."""

    path: Path
    config: SweepConfig
    arms: tuple[Arm, ...]
    baseline: str

    @property
    def output(self) -> Path:
        """The sweep's folder."""
        return Path(self.config.output)

    @property
    def uses_miniature(self) -> bool:
        """Whether anything of it needs the embedded miniature."""
        texts = [self.config.set, self.config.evaluate.data, *(arm.settings for arm in self.arms)]
        return any(arm.recipe == MINIATURE for arm in self.arms) or any("{miniature}" in str(text) for text in texts)

    def called(self, arm: Arm) -> str:
        """An arm's name where nothing else says which grid it is of."""
        return arm.name if arm.grid is None else f"{self.config.grids[arm.grid].name or arm.grid} {arm.name}"

    def miniature(self, seed: int) -> Path:
        """The folder of a seed's miniature."""
        return self.output / MINIATURE / f"seed{seed}"

    def filled(self, value: Any, seed: int) -> Any:
        """A value of the file, {seed} and {miniature} filled in in all its texts."""
        if isinstance(value, str):
            return value.replace("{miniature}", str(self.miniature(seed))).replace("{seed}", str(seed))
        if isinstance(value, dict):
            return {key: self.filled(sub, seed) for key, sub in value.items()}
        return [self.filled(sub, seed) for sub in value] if isinstance(value, (list, tuple)) else value

    def figure_arms(self, figure: FigureConfig) -> list[str]:
        """Keys of the arms of a figure."""
        if figure.grid is not None:
            return [arm.key for arm in self.arms if arm.grid == figure.grid]
        return list(figure.arms) or [arm.key for arm in self.arms if arm.grid is None]


def read_sweep(path: Path) -> Sweep:
    """The sweep in a YAML file. Raises ConfigError with all that is wrong in it by itself."""
    config = load_settings(SweepConfig, path)
    problems = _general_problems(config)
    arms = [_arm(key, arm, config.recipe) for key, arm in config.arms.items()]
    for key, grid in config.grids.items():
        arms += _grid_arms(key, grid, config.recipe, problems)
    keys = [arm.key for arm in arms]
    if not keys:
        problems.append("arms: none; a sweep needs at least one arm, or a grid")
    baseline = config.baseline or next(iter(keys), "")
    if keys and baseline not in keys:
        problems.append(f"baseline: no arm {baseline!r}; there are {', '.join(keys)}")
    for key, figure in config.figures.items():
        problems += [f"figures.{key}{p}" for p in _figure_problems(figure, keys, config)]
    if problems:
        raise ConfigError(*[f"{path}: {p}" for p in problems])
    return Sweep(path, config, tuple(arms), baseline)


def setting_text(value: Any) -> str:
    """A value as it stands behind `key=` on the command line: YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=float("inf"), sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")


def _arm(key: str, arm: ArmConfig, recipe: str) -> Arm:
    return Arm(str(key), arm.name or str(key), arm.recipe or recipe, arm.set, arm.stages)


def _grid_arms(key: str, grid: GridConfig, recipe: str, problems: list[str]) -> list[Arm]:
    """The arms of a grid; what its values lack is added to the problems."""
    where = f"grids.{key}.values"
    if isinstance(grid.values, dict):
        values = {str(label): value for label, value in grid.values.items()}
    elif isinstance(grid.values, list) and not any(isinstance(value, (list, dict)) for value in grid.values):
        values = {v if isinstance(v, str) else setting_text(v): v for v in grid.values}
        if len(values) < len(grid.values):
            problems.append(f"{where}: {setting_text(grid.values)}: names a value twice")
    else:
        problems.append(f"{where}: a list of plain values is needed, or a mapping of labels to values")
        return []
    if not values:
        problems.append(f"{where}: empty")
    problems += [f"{where}: {v!r} cannot name a folder: letters, digits, . _ - can" for v in values if not _fits(v)]
    return [
        Arm(f"{key}={label}", label, grid.recipe or recipe, {**grid.set, grid.key: value}, grid.stages, str(key), label)
        for label, value in values.items()
    ]


def _general_problems(config: SweepConfig) -> list[str]:
    problems = [] if config.output.strip() else ["output: empty, must be a folder"]
    if not config.seeds:
        problems.append("seeds: empty; name at least one")
    if len(set(config.seeds)) < len(config.seeds):
        problems.append(f"seeds: {list(config.seeds)}: names a seed twice")
    problems += [f"seeds: {seed}, must be at least 0" for seed in config.seeds if seed < 0]
    for name in ("tasks", "data"):
        if not getattr(config.evaluate, name):
            problems.append(f"evaluate.{name}: empty")
    for name in ("limit", "batch_size", "max_new_tokens"):
        value = getattr(config.evaluate, name)
        if value is not None and value < 1:
            problems.append(f"evaluate.{name}: {value}, must be at least 1")
    for kind in ("arms", "grids"):
        for key in getattr(config, kind):
            if not _fits(str(key)) or key in _RESERVED:
                problems.append(
                    f"{kind}.{key}: cannot name a folder: letters, digits, . _ - can, but not {', '.join(_RESERVED)}"
                )
    stated = {"set": config.set} | {
        f"{kind}.{key}.set": entry.set for kind in ("arms", "grids") for key, entry in getattr(config, kind).items()
    }
    stated |= {f"grids.{key}.key": {grid.key: None} for key, grid in config.grids.items()}
    for where, settings in stated.items():
        problems += [f"{where}: {key}: is the sweep's own to set, of every cell" for key in settings if key in _OURS]
    return problems


def _figure_problems(figure: FigureConfig, keys: list[str], config: SweepConfig) -> list[str]:
    unknown = [arm for arm in figure.arms if arm not in keys]
    problems = [f".arms: no arm {arm!r}; there are {', '.join(keys)}" for arm in unknown]
    if figure.kind == "bars" and figure.grid is not None and figure.arms:
        problems.append(": has both arms and grid; name one of them")
    if figure.kind != "bars" and figure.arms:
        problems.append(f".arms: a {figure.kind} is drawn of a grid; name its grid")
    if figure.grid is None and figure.kind != "bars":
        problems.append(f".grid: missing; a {figure.kind} is drawn of a grid")
    if figure.grid is not None and figure.grid not in config.grids:
        problems.append(f".grid: no grid {figure.grid!r}; there are {', '.join(config.grids) or 'none'}")
    return problems


def _fits(name: str) -> bool:
    return _NAME.fullmatch(name) is not None
