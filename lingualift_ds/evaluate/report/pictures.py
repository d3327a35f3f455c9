"""The report's pictures for papers and slides, drawn by matplotlib: accuracy.png and fertility.png.

Codes and English names stand in them, never native ones: the fonts of most machines lack scripts. Markers differ
beside colours.
"""

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lingualift_ds.evaluate.report import wording
from lingualift_ds.evaluate.report.canvas import FAINT, GRID, any_letters, new_figure, plain, to_png
from lingualift_ds.evaluate.report.comparison import Line, TaskComparison, changes
from lingualift_ds.evaluate.report.drawing import COLOURS
from lingualift_ds.evaluate.report.fertility import Panel, panels, place_labels, span
from lingualift_ds.evaluate.report.statistics import ALPHA

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKERS = "os^DvPXp"
_FILLED = {"low": 1.0, "medium": 0.4, "high": 0.0, None: 0.0}
"""How much of its colour a marker of a level has inside."""


def accuracy_png(comparisons: Sequence[TaskComparison], numbers: Mapping[str, int]) -> bytes:
    """Right answers of all languages and means with their intervals, a panel a task; what got worse above it."""
    figures = [_rows(comparison) for comparison in comparisons]
    each = 0.13 + 0.06 * len(numbers)
    heights = [each * len(rows) + 0.15 * len(_title(c)) + 1.0 for c, rows in zip(comparisons, figures)]
    figure = new_figure(9.0, sum(heights) + 0.6)
    axes = figure.subplots(len(comparisons), 1, squeeze=False, height_ratios=heights)[:, 0]
    for one, comparison, rows in zip(axes, comparisons, figures):
        _draw_accuracy(one, comparison, rows, numbers)
    return to_png(figure)


def fertility_png(comparisons: Sequence[TaskComparison], numbers: Mapping[str, int]) -> bytes | None:
    """Right answers against encoder tokens per word, a panel for each task and results; None without an encoder."""
    shown = [found for comparison in comparisons if (found := panels(comparison))]
    if not shown:
        return None
    columns = max(len(found) for found in shown)
    figure = new_figure(max(4.6 * columns, 6.0), 4.2 * len(shown) + 0.4)
    grid = figure.subplots(len(shown), columns, squeeze=False)
    for row, found in zip(grid, shown):
        for axes in row[len(found) :]:
            axes.set_visible(False)
        for axes, panel in zip(row, found):
            _draw_scatter(axes, panel, numbers[panel.name], span(found))
    uncounted = sorted({code for found in shown for panel in found for code in panel.uncounted})
    said = "Filled: low-resource, tinted: medium, hollow: high or no level."
    said += f" Left out, their words not being counted: {', '.join(uncounted)}." if uncounted else ""
    figure.supxlabel(textwrap.fill(said, 40 * columns + 30), fontsize=8, color=FAINT)
    with any_letters():
        figure.draw_without_rendering()  # settles the layout, so that labels know how much room there is
    for row, found in zip(grid, shown):
        for axes, panel in zip(row, found):
            _label(axes, panel)
    return to_png(figure)


def _draw_accuracy(
    axes: "Axes", comparison: TaskComparison, rows: Sequence[Line | str], numbers: Mapping[str, int]
) -> None:
    count = len(comparison.tasks)
    for place, row in enumerate(rows):
        if isinstance(row, str):
            continue
        axes.axhline(place, color=GRID, lw=0.5, zorder=0)
        for order, name in enumerate(comparison.tasks):
            if name not in row.scores:
                continue
            score, number = row.scores[name], numbers[name]
            y = place + 0.62 * ((order + 0.5) / count - 0.5)
            axes.plot([100 * end for end in score.interval], [y, y], color=COLOURS[number], lw=1.2, zorder=2)
            edge, size = ("black", 5.5) if row.is_mean else (COLOURS[number], 4.5)
            axes.plot(
                100 * score.share, y, _MARKERS[number], color=COLOURS[number], ms=size, mec=edge, mew=0.7, zorder=3
            )
    axes.set_yticks(range(len(rows)), [_row_label(row) for row in rows], fontsize=8)
    for label, row in zip(axes.get_yticklabels(), rows):
        label.set_fontweight("bold" if isinstance(row, str) or row.is_mean else "normal")
    axes.set(xlim=(-1, 101), ylim=(len(rows) - 0.4, -0.6))
    star = f"; * p < {ALPHA} after Holm's correction" if comparison.others else ""
    axes.set_xlabel(f"right answers, %; bars: 95 % intervals{star}", fontsize=8)
    axes.xaxis.set_ticks_position("both")
    axes.tick_params(labeltop=True, labelsize=8, length=0)
    axes.grid(axis="x", color=GRID)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    axes.set_title("\n".join(_title(comparison)), fontsize=9, loc="left", pad=30)
    handles = [
        axes.plot(
            [], [], _MARKERS[numbers[name]], color=COLOURS[numbers[name]], ls="-", lw=1.2, ms=5, label=plain(name)
        )[0]
        for name in comparison.tasks
    ]
    axes.legend(
        handles=handles, frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=4, borderaxespad=1.4
    )


def _rows(comparison: TaskComparison) -> list[Line | str]:
    """What stands in a panel, from the top: Avg., then each level with its mean and languages."""
    found: list[Line | str] = [comparison.average] if comparison.average else []
    for group in comparison.groups:
        found += [group.mean or wording.levelled(group.level), *group.lines]
    return found


def _row_label(row: Line | str) -> str:
    if isinstance(row, str):
        return row
    if row.is_mean:
        return f"{row.label} {row.name}"
    return row.label if row.name == row.label else f"{row.name}  {row.label}"


def _title(comparison: TaskComparison) -> list[str]:
    """The task, and what got worse in it."""
    task = next(iter(comparison.tasks.values()))
    lines = [plain(f"{comparison.task}: {task.metric}")]
    if not comparison.others:
        return lines
    worse = changes([comparison])[0]
    if not worse:
        return [*lines, plain(f"nothing got worse than {comparison.first}")]
    for name in comparison.others:
        listed = [f"{c.line.label} {wording.starred(c.delta)}" for c in worse if c.name == name]
        if listed:
            said = f"{name}, worse than {comparison.first}: {', '.join(listed)}"
            lines += textwrap.wrap(plain(said), 92, subsequent_indent="    ")
    return lines


def _draw_scatter(axes: "Axes", panel: Panel, number: int, across: tuple[float, float, float]) -> None:
    start, end, step = across
    for point in panel.points:
        inside = (*_rgb(COLOURS[number]), _FILLED[point.level])
        axes.plot(
            point.fertility,
            100 * point.share,
            _MARKERS[number],
            ms=6,
            mfc=inside,
            mec=COLOURS[number],
            clip_on=False,
            zorder=3,
        )
    ticks = [start + step * count for count in range(round((end - start) / step) + 1)]
    axes.set(xlim=(start, end), ylim=(-2, 102), xticks=ticks, yticks=range(0, 101, 25))
    axes.set_xlabel("encoder tokens per word", fontsize=8)
    axes.set_ylabel("right answers, %", fontsize=8)
    correlation = "" if panel.correlation is None else f", rank correlation {panel.correlation:.2f}"
    axes.set_title(plain(f"{panel.name}, {panel.task}{correlation}"), fontsize=9)
    axes.grid(color=GRID)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8, length=0)
    axes.spines[:].set_visible(False)


def _label(axes: "Axes", panel: Panel) -> None:
    """Codes beside the points, in points of 1/72 inch."""
    box, scale = axes.get_window_extent(), 72 / axes.figure.dpi
    there = [axes.transData.transform((p.fertility, 100 * p.share)) for p in panel.points]
    places = [((x - box.x0) * scale, (box.y1 - y) * scale) for x, y in there]
    labels = place_labels(places, [p.code for p in panel.points], 8, 3.5, (box.width * scale, box.height * scale))
    for point, place, label in zip(panel.points, places, labels):
        axes.annotate(
            point.code,
            (point.fertility, 100 * point.share),
            (label[0] - place[0], place[1] - label[1]),
            textcoords="offset points", ha="center", va="center_baseline", fontsize=8, zorder=4,
        )  # fmt: skip


def _rgb(colour: str) -> tuple[float, float, float]:
    return tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
