"""What the page draws: dots with their intervals on a common axis, a line a language, and the scatter of fertility.

All is SVG in the page's own colours, so light, dark and print are one drawing. Each of the results has a marker of
its own beside its colour. The dots stand at percentages of a cell's width: they fit any screen.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from lingualift_ds.data.codeswitch.page_parts import safe
from lingualift_ds.evaluate.report.fertility import Panel, place_labels, span
from lingualift_ds.evaluate.report.statistics import Interval

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000", "#999999")
"""Okabe and Ito's palette, told apart by colour-blind people; black is the text's colour in the page."""
_MARKERS = (
    '<circle r="4.6"/>',
    '<path d="M-4.2 -4.2H4.2V4.2H-4.2Z"/>',
    '<path d="M0 -5.6L5.2 4.2H-5.2Z"/>',
    '<path d="M0 -6L6 0L0 6L-6 0Z"/>',
    '<path d="M0 5.6L5.2 -4.2H-5.2Z"/>',
    '<path d="M-2 -5.5H2V-2H5.5V2H2V5.5H-2V2H-5.5V-2H-2Z"/>',
    '<path d="M-5 -5L0 -2L5 -5L2 0L5 5L0 2L-5 5L-2 0Z"/>',
    '<path d="M0 -5.5L5.2 -1.7L3.2 4.5H-3.2L-5.2 -1.7Z"/>',
)
_LINE, _PAD = 13, 5
"""Height of a dot's line and of the room above and below them, in pixels."""
_WIDE, _HIGH, _LEFT, _RIGHT, _TOP, _BOTTOM = 520, 380, 44, 12, 10, 44
"""Of a scatter's panel, in pixels, and of the room around its axes."""
_LETTERS = 12


@dataclass(frozen=True)
class Axis:
    """Where `low` is the left end of a cell and `high` the right one; ticks with their labels."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]

    def place(self, value: float) -> str:
        """A value's place as a percentage of the width."""
        return f"{100 * (value - self.low) / (self.high - self.low):.2f}%"


SHARE_AXIS = Axis(0.0, 1.0, tuple((tick / 100, str(tick)) for tick in (0, 25, 50, 75, 100)))


def delta_axis(intervals: Sequence[Interval]) -> Axis:
    """An axis around 0 that holds all intervals of differences, in points."""
    reach = max([0.05, *(max(abs(interval.low), abs(interval.high)) for interval in intervals)])
    step = next(s for s in (5, 10, 15, 20, 25, 30, 40, 50) if 100 * reach <= 2 * s)
    ticks = tuple(
        (tick / 100, f"{tick:+d}".replace("-", "−") if tick else "0") for tick in range(-2 * step, 2 * step + 1, step)
    )
    return Axis(-2 * step / 100, 2 * step / 100, ticks)


def markers() -> str:
    """The markers' shapes, defined once a page."""
    shapes = "".join(f'<g id="marker-{number}">{shape}</g>' for number, shape in enumerate(_MARKERS))
    return f'<svg class="defs" width="0" height="0" aria-hidden="true"><defs>{shapes}</defs></svg>'


def marker(number: int) -> str:
    """The marker of results by their number, to stand in a line of text."""
    return (
        f'<svg class="key s{number}" width="14" height="14" aria-hidden="true">'
        f'<use href="#marker-{number}" x="7" y="7"/></svg>'
    )


def axis_head(axis: Axis) -> str:
    """The axis as the head of a column of dots."""
    labels = "".join(
        f'<text x="{axis.place(value)}" y="11" text-anchor="middle">{label}</text>' for value, label in axis.ticks
    )
    return f'<svg class="dots" width="100%" height="14" aria-hidden="true">{labels}</svg>'


def dots(found: Sequence[tuple[int, float, Interval, str]], axis: Axis) -> str:
    """Values with their intervals, one under another: (number of the results, value, interval, what a pointer is told).

    The numbers stand in the table's other cells: a reader of the text alone misses nothing.
    """
    height = 2 * _PAD + _LINE * max(len(found), 1)
    drawn = []
    for value, label in axis.ticks:
        kind = "zero" if axis.low < 0 and label == "0" else "grid"
        x = axis.place(value)
        drawn.append(f'<line class="{kind}" x1="{x}" x2="{x}" y1="0" y2="{height}"/>')
    for place, (number, value, interval, told) in enumerate(found):
        y = _PAD + _LINE * (place + 0.5)
        low, high = axis.place(interval.low), axis.place(interval.high)
        drawn.append(
            f'<g class="s{number}"><title>{safe(told)}</title>'
            f'<line class="range" x1="{low}" x2="{high}" y1="{y:g}" y2="{y:g}"/>'
            f'<use href="#marker-{number}" x="{axis.place(value)}" y="{y:g}"/></g>'
        )
    return f'<svg class="dots" width="100%" height="{height}" aria-hidden="true">{"".join(drawn)}</svg>'


def scatter(panel: Panel, number: int, everything: Sequence[Panel]) -> str:
    """A panel of accuracy against tokens per word; its axes are those of all panels of the task."""
    start, end, step = span(everything)
    width, height = _WIDE - _LEFT - _RIGHT, _HIGH - _TOP - _BOTTOM
    drawn = []
    for tick in range(0, 101, 25):
        y = _TOP + height * (1 - tick / 100)
        drawn.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDE - _RIGHT}" y1="{y:g}" y2="{y:g}"/>')
        drawn.append(f'<text x="{_LEFT - 8}" y="{y + 4:g}" text-anchor="end">{tick}</text>')
    for count in range(round((end - start) / step) + 1):
        x = _LEFT + width * count * step / (end - start)
        drawn.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_TOP + height}"/>')
        drawn.append(f'<text x="{x:.1f}" y="{_TOP + height + 17}" text-anchor="middle">{start + count * step:g}</text>')
    drawn.append(f'<text x="{_LEFT + width / 2:g}" y="{_HIGH - 6}" text-anchor="middle">encoder tokens per word</text>')
    drawn.append(
        f'<text transform="translate(11 {_TOP + height / 2:g}) rotate(-90)" text-anchor="middle">right, %</text>'
    )
    places = [((p.fertility - start) / (end - start) * width, (1 - p.share) * height) for p in panel.points]
    labels = place_labels(places, [p.code for p in panel.points], _LETTERS, 5, (width, height))
    for point, (x, y), (label_x, label_y) in zip(panel.points, places, labels):
        told = f"{point.code}: {100 * point.share:.1f} % right, {point.fertility:.2f} tokens per word"
        drawn.append(
            f'<g class="s{number} {point.level or "none"}"><title>{safe(told)}</title>'
            f'<use href="#marker-{number}" x="{_LEFT + x:.1f}" y="{_TOP + y:.1f}"/></g>'
            f'<text class="code" x="{_LEFT + label_x:.1f}" y="{_TOP + label_y + 4:.1f}" text-anchor="middle">'
            f"{safe(point.code)}</text>"
        )
    said = (
        f"Right answers against encoder tokens per word of {len(panel.points)} languages, {panel.name} on {panel.task}"
    )
    size = f'viewBox="0 0 {_WIDE} {_HIGH}" width="{_WIDE}" height="{_HIGH}"'
    return f'<svg class="scatter" {size} role="img" aria-label="{safe(said)}">{"".join(drawn)}</svg>'
