"""Bars of arms: a panel for LR., MR., HR. and Avg. each, a row an arm, so that long names and many arms have room."""

from typing import TYPE_CHECKING

from lingualift_ds.evaluate.report import wording
from lingualift_ds.evaluate.report.canvas import FAINT, GRID, broken, frame, new_figure
from lingualift_ds.evaluate.report.comparison import Line
from lingualift_ds.evaluate.report.drawing import COLOURS
from lingualift_ds.evaluate.report.statistics import ALPHA
from lingualift_ds.evaluate.report.sweep.comparison import TaskSweep
from lingualift_ds.evaluate.report.sweep.reading import Figure, Sweep
from lingualift_ds.evaluate.report.sweep.wording import INTERVAL
from lingualift_ds.evaluate.report.text_tables import HARD

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

_BAR, _BASELINE = COLOURS[5], "#bbbbbb"
_AT = 0.14
"""Above and below the middle of a bar, where the interval and the seeds stand."""
_LETTERS = 28
"""In a line of an arm's name."""


def draw_bars(sweep: Sweep, figure: Figure, comparison: TaskSweep) -> "Canvas | None":
    """The picture; None where none of the arms has the task or no language is in a mean."""
    labels = [label for label in sweep.labels(figure) if label in comparison.cells]
    if not labels or not comparison.means:
        return None
    names = [broken(label, _LETTERS) for label in labels]
    lines = [name.count("\n") + 1 for name in names]
    drawn = new_figure(
        2.6 + 2.1 * max(len(comparison.means), 2), 1.7 + len(labels) * max(0.34, 0.15 * max(lines) + 0.1)
    )
    panels = drawn.subplots(1, len(comparison.means), sharey=True, squeeze=False)[0]
    for axes, line in zip(panels, comparison.means):
        _draw(axes, line, labels, comparison.baseline)
    panels[0].set_yticks(range(len(labels)), names, fontsize=8)
    panels[0].set_ylim(len(labels) - 0.45, -0.55)
    said = f"Right answers, %: mean over seeds; dots: seeds; lines: {INTERVAL}."
    if comparison.others:
        differs = f"differs from {comparison.baseline}, p{HARD}<{HARD}{ALPHA}, the same way in every seed"
        said += " Grey: the baseline." * (comparison.baseline in labels) + f" *: {differs}."
    frame(drawn, f"{figure.title}: {comparison.task}", said)
    return drawn


def _draw(axes: "Axes", line: Line, labels: list[str], baseline: str | None) -> None:
    for place, label in enumerate(labels):
        score = line.scores[label]
        share, (low, high) = 100 * score.share, (100 * end for end in score.interval)
        axes.barh(place, share, 0.62, color=_BASELINE if label == baseline else _BAR, zorder=2)
        axes.plot([low, high], [place - _AT] * 2, "|-", color="black", lw=1.2, ms=5, zorder=3)
        seeds = [100 * seed for seed in score.seeds.values()]
        axes.plot(
            seeds, [place + _AT] * len(seeds), "o", ms=3.6, mfc="white", mec="black", mew=0.8, zorder=4, clip_on=False
        )
        star = "*" if label in line.deltas and line.deltas[label].significant else ""
        end = max(share, high, *seeds)
        axes.text(end + 2.5, place, wording.percent(score.share) + star, fontsize=8, va="center_baseline")
    axes.set(xlim=(0, 125), xticks=range(0, 101, 25))  # beyond 100 is room for the numbers of the longest bars
    axes.set_title(f"{line.label}\n{line.name}", fontsize=8, loc="left")
    axes.grid(axis="x", color=GRID, zorder=0)
    axes.tick_params(labelsize=8, length=0)
    axes.spines[:].set_visible(False)
    axes.axvline(0, color=FAINT, lw=0.8, zorder=5)
