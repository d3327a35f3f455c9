"""A sweep file, typed: every key that it may have. The string under a field is its documentation.

In all texts `{seed}` is the cell's seed, and `{miniature}` the folder of that seed's miniature.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

MINIATURE = "miniature"
"""The recipe that is built, not read; and the folder in OUTPUT where it is."""


@dataclass(frozen=True)
class EvaluateConfig:
    """What every cell's model is asked, as `lingualift-ds evaluate` takes it."""

    tasks: tuple[str, ...]
    """Benchmarks, such as mgsm, jsonl."""
    data: tuple[str, ...]
    """Folder of all tasks, or with a folder of each; TASK=DIR for a task elsewhere."""
    languages: tuple[str, ...] = ()
    """Codes; empty: all languages of the folders."""
    limit: int | None = None
    """Only the first questions of a language; null: all."""
    batch_size: int = 32
    """Questions at a time, a process."""
    max_new_tokens: int = 256
    """Longest answer, in tokens."""


@dataclass(frozen=True, kw_only=True)
class ArmConfig:
    """What is tried, at every seed."""

    name: str | None = None
    """What tables and figures call it; null: its key."""
    recipe: str | None = None
    """A recipe of its own; null: the sweep's."""
    stages: tuple[int, ...] | None = None
    """Stages that are trained; the last one's model is evaluated. null: all that the recipe states."""
    set: dict[str, Any] = field(default_factory=dict)
    """Settings that go over the sweep's, such as stage2.start_from: scratch."""


@dataclass(frozen=True, kw_only=True)
class GridConfig(ArmConfig):
    """Arms that differ in one key: GRID=VALUE for every value."""

    key: str
    """The key that differs, such as stage1.data.codeswitch.ratio."""
    values: Any
    """A list of values, or a mapping of labels to values."""


@dataclass(frozen=True)
class FigureConfig:
    """A figure of the report."""

    kind: Literal["bars", "curve", "matrix"]
    """bars: an arm a bar. curve: scores over a grid's values. matrix: tested languages by a grid's values."""
    title: str = ""
    """What stands above it."""
    arms: tuple[str, ...] = ()
    """Of bars: the arms; empty: all but the grids'."""
    grid: str | None = None
    """Of a curve or a matrix: the grid."""


@dataclass(frozen=True, kw_only=True)
class SweepConfig:
    """A grid of arms and seeds."""

    output: str
    """Folder of the sweep; a cell's run folder is OUTPUT/ARM/seedN."""
    recipe: str
    """miniature: the embedded one, built once a seed; or the path of a recipe."""
    seeds: tuple[int, ...] = (0,)
    """run.seed of each cell."""
    set: dict[str, Any] = field(default_factory=dict)
    """Settings of all cells of the sweep's recipe, with keys as on the command line. Those of stages that an arm does
    not train are left out there; an arm with a recipe of its own has its own settings alone."""
    evaluate: EvaluateConfig
    """What the models are asked."""
    baseline: str | None = None
    """The arm that others are held against; null: the first."""
    arms: dict[str, ArmConfig] = field(default_factory=dict)
    """What is tried, by a key that names the arm's folder."""
    grids: dict[str, GridConfig] = field(default_factory=dict)
    """Arms that differ in one key."""
    figures: dict[str, FigureConfig] = field(default_factory=dict)
    """What `lingualift-ds report OUTPUT` draws."""
