"""Accuracy against a grid's values, such as the switch ratio: a line a level, its seeds as dots, its interval."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lingualift_ds.evaluate.report.canvas import GRID, broken, frame, new_figure, plain
from lingualift_ds.evaluate.report.comparison import AVERAGE, MEANS
from lingualift_ds.evaluate.report.drawing import COLOURS
from lingualift_ds.evaluate.report.sweep.comparison import TaskSweep
from lingualift_ds.evaluate.report.sweep.reading import Figure, Sweep
from lingualift_ds.evaluate.report.sweep.wording import INTERVAL

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

_LOOKS = {
    MEANS["low"]: (COLOURS[0], "o", "-"),
    MEANS["medium"]: (COLOURS[2], "D", "-."),
    MEANS["high"]: (COLOURS[3], "s", "--"),
    AVERAGE: (COLOURS[6], "^", ":"),
}
_LETTERS = 14
_LEAST = 0.04
"""Of the axis between two values; where they lie closer, all stand evenly."""
_APART = 0.02
"""Of the axis, at most, between the lines' points at one value: intervals and seeds stand beside each other."""


def draw_curve(sweep: Sweep, figure: Figure, comparison: TaskSweep) -> "Canvas | None":
    """The picture; None where no value has the task or no language is in a mean."""
    arms = [arm for arm in sweep.arms if arm.key in figure.arms and arm.label in comparison.cells]
    if not arms or not comparison.means:
        return None
    places, to_scale = _places([arm.value or arm.name for arm in arms])
    order = sorted(range(len(arms)), key=places.__getitem__)
    gaps = [places[right] - places[left] for left, right in zip(order, order[1:])]
    apart = min(_APART, 0.15 * min(gaps, default=1.0))
    drawn = new_figure(max(8.0, 0.8 * len(arms) + 2), 4.2)
    axes = drawn.subplots()
    for number, line in enumerate(comparison.means):
        colour, marker, dashes = _LOOKS[line.label]
        shift = (number - (len(comparison.means) - 1) / 2) * apart
        points = [(places[i] + shift, line.scores[arms[i].label]) for i in order]
        shares = [100 * score.share for _, score in points]
        label = f"{line.label}\n{line.name}"
        axes.plot(
            [x for x, _ in points], shares, dashes, marker=marker, color=colour, ms=6, lw=1.6, zorder=3, label=label
        )
        for x, score in points:
            axes.plot([x, x], [100 * end for end in score.interval], color=colour, lw=1.1, zorder=2)
            seeds = [100 * seed for seed in score.seeds.values()]
            axes.plot([x + apart / 2] * len(seeds), seeds, "o", ms=3, mfc="white", mec=colour, mew=0.8, zorder=4)
    names = [broken(arm.name, _LETTERS) for arm in arms]
    axes.set_xticks(places, names, fontsize=8)
    axes.set(xlim=(-0.05, 1.05), ylim=(-2, 102), yticks=range(0, 101, 20))
    axes.set_xlabel(plain(figure.axis) + ("" if to_scale else " (not to scale)"), fontsize=9)
    axes.set_ylabel("right answers, %", fontsize=9)
    axes.tick_params(labelsize=8, length=0)
    axes.grid(axis="y", color=GRID)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8, labelspacing=1.2)
    said = f"Markers: mean over seeds; dots: seeds; bars: {INTERVAL}."
    frame(drawn, f"{figure.title}: {comparison.task}", said)
    return drawn


def _places(values: Sequence[str]) -> tuple[list[float], bool]:
    """Where values stand from 0 to 1, and whether numbers stand to scale: those that do not crowd do."""
    count = len(values) - 1
    if not count:
        return [0.5], True
    try:
        numbers = [float(value) for value in values]
    except ValueError:  # words have no scale
        return [number / count for number in range(count + 1)], True
    low, reach = min(numbers), max(numbers) - min(numbers)
    ranked = sorted(numbers)
    if min(right - left for left, right in zip(ranked, ranked[1:])) < _LEAST * reach or not reach:
        return [ranked.index(number) / count for number in numbers], False
    return [(number - low) / reach for number in numbers], True
