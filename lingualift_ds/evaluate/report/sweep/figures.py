"""The figures that a sweep lists, drawn for each of its tasks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lingualift_ds.evaluate.report.canvas import to_png
from lingualift_ds.evaluate.report.sweep.bars import draw_bars
from lingualift_ds.evaluate.report.sweep.comparison import TaskSweep
from lingualift_ds.evaluate.report.sweep.curve import draw_curve
from lingualift_ds.evaluate.report.sweep.matrix import draw_matrix
from lingualift_ds.evaluate.report.sweep.reading import Figure, Sweep

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

_DRAW: dict[str, Callable[[Sweep, Figure, TaskSweep], "Canvas | None"]] = {
    "bars": draw_bars,
    "curve": draw_curve,
    "matrix": draw_matrix,
}


@dataclass(frozen=True)
class Picture:
    """A figure of a task as a PNG; `file` is the name it has."""

    task: str
    title: str
    file: str
    png: bytes


def draw_figures(sweep: Sweep, comparisons: Sequence[TaskSweep]) -> list[Picture]:
    """All that there is something to draw of. Raises ConfigError without matplotlib."""
    found = []
    for comparison in comparisons:
        for figure in sweep.figures:
            drawn = _DRAW[figure.kind](sweep, figure, comparison)
            if drawn is not None:
                file = f"{figure.name}-{comparison.task}.png"
                found.append(Picture(comparison.task, figure.title, file, to_png(drawn)))
    return found
