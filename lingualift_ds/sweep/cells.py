"""A cell: an arm at a seed, with its whole config. All cells are checked before anything starts."""

import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from lingualift_ds.config.layout import stage_number
from lingualift_ds.config.load import load_config
from lingualift_ds.config.schema import Config
from lingualift_ds.errors import ConfigError
from lingualift_ds.sweep.arms import Arm, Sweep, setting_text
from lingualift_ds.sweep.schema import MINIATURE
from lingualift_ds.train.stages import Stage, check_stage, stage_of

_SHOWN = 3
"""Arms that are named where several have the same problem."""


@dataclass(frozen=True)
class Cell:
    """An arm at a seed.

    Attributes:
        folder: of the run, relative to the sweep's.
        recipe: its path, which a miniature that is not built yet does not have.
        settings: what goes over the recipe, by key.
        stages: those that are trained, in order.
        config: recipe and settings together, without run.output.
    """

    arm: Arm
    seed: int
    folder: str
    recipe: Path
    settings: dict[str, Any]
    stages: tuple[Stage, ...]
    config: Config

    @property
    def last(self) -> int:
        """The stage whose model is evaluated."""
        return self.stages[-1].number


def make_cells(sweep: Sweep, wanted: Collection[str]) -> list[Cell]:
    """All cells, arm by arm. wanted: arms whose files must be there by now.

    Raises ConfigError with the problems of all, each with its arms.
    """
    cells: list[Cell] = []
    problems: dict[str, dict[str, None]] = {}
    with tempfile.TemporaryDirectory() as aside:
        for seed in sweep.config.seeds:
            unbuilt = _unbuilt_recipe(sweep, seed, Path(aside)) if sweep.uses_miniature else None
            for arm in sweep.arms:
                try:
                    cells.append(_cell(sweep, arm, seed, unbuilt, arm.key in wanted))
                except ConfigError as error:
                    for problem in error.problems:
                        problems.setdefault(problem.replace(str(unbuilt), MINIATURE), {})[_key(arm)] = None
    if problems:
        raise ConfigError(*[f"{sweep.path}: {_listed(list(arms))}: {problem}" for problem, arms in problems.items()])
    order = [arm.key for arm in sweep.arms]
    return sorted(cells, key=lambda cell: order.index(cell.arm.key))


def overrides(settings: Mapping[str, Any]) -> list[str]:
    """Settings as they stand on the command line."""
    return [f"{key}={setting_text(value)}" for key, value in settings.items()]


def _key(arm: Arm) -> str:
    return f"arms.{arm.key}" if arm.grid is None else f"grids.{arm.grid} at {arm.value}"


def _listed(arms: list[str]) -> str:
    return ", ".join(arms) if len(arms) <= _SHOWN else f"{', '.join(arms[:_SHOWN])} and {len(arms) - _SHOWN} more"


def _unbuilt_recipe(sweep: Sweep, seed: int, aside: Path) -> Path | None:
    """The recipe that the seed's miniature will have, None where it is built already."""
    if (sweep.miniature(seed) / "recipe.yaml").is_file():
        return None
    from lingualift_ds.miniature.build import make_recipe  # brings torch

    path = aside / f"seed{seed}.yaml"
    path.write_text(yaml.safe_dump(make_recipe(sweep.miniature(seed), seed)), encoding="utf-8")
    return path


def _cell(sweep: Sweep, arm: Arm, seed: int, unbuilt: Path | None, files: bool) -> Cell:
    """Raises ConfigError. unbuilt: a miniature's recipe in place of the one that is not there yet; files: whether
    those that the cell reads must be there by now."""
    own = sweep.filled(arm.settings, seed)
    common = sweep.filled(sweep.config.set, seed) if arm.recipe == sweep.config.recipe else {}
    recipe = Path(sweep.filled(arm.recipe, seed))
    if arm.recipe == MINIATURE:
        recipe = sweep.miniature(seed) / "recipe.yaml"
    readable = unbuilt if unbuilt and arm.recipe == MINIATURE else recipe
    of_no_stage = {key: value for key, value in common.items() if _stage_of_key(key) is None}
    stated = sorted(load_config(readable, overrides(of_no_stage | own)).stages) or [1, 2]
    numbers = sorted(set(arm.stages or stated))
    absent = [str(number) for number in numbers if number not in stated]
    if absent:
        raise ConfigError(f"stages: {', '.join(absent)}, but {readable} states {', '.join(map(str, stated))}")
    settings = {key: value for key, value in common.items() if _stage_of_key(key) in (None, *numbers)} | own
    config = load_config(readable, overrides(settings | {"run.seed": seed}))
    stages = _checked(config, numbers, sweep.miniature(seed) if unbuilt else None, files and unbuilt is None)
    return Cell(arm, seed, f"{arm.key}/seed{seed}", recipe, settings, stages, config)


def _stage_of_key(key: str) -> int | None:
    return stage_number(key.partition(".")[0])


def _checked(config: Config, numbers: list[int], unbuilt: Path | None, files: bool) -> tuple[Stage, ...]:
    """The stages of a cell. Raises ConfigError. unbuilt: the folder of a miniature that is not there yet."""
    problems: dict[str, None] = {}
    stages = tuple(stage_of(config, number) for number in numbers)
    here = config if unbuilt is None else _without_folders(config, unbuilt)
    for stage in stages:
        try:
            check_stage(here, stage, "", files)
        except ConfigError as error:
            problems |= dict.fromkeys(p.removeprefix(": ") for p in error.problems)
    problems |= {
        f"stages: stage {stage.number} starts from stage {stage.start}, which is left out; add it, or set "
        f"{stage.folder}.start_from to scratch or to an artefact": None
        for stage in stages
        if isinstance(stage.start, int) and stage.start not in numbers
    }
    if problems:
        raise ConfigError(*problems)
    return stages


def _without_folders(config: Config, unbuilt: Path) -> Config:
    """The config with names in place of models' folders that will be there once the miniature is built."""
    model = config.model
    names = {
        part: part
        for part in ("llm", "encoder")
        if getattr(model, part) is not None and Path(getattr(model, part)).is_relative_to(unbuilt)
    }
    return replace(config, model=replace(model, **names))
