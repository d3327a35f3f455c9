"""Accuracy against the encoder's fertility: which points there are, and where their labels find room."""

from collections.abc import Sequence
from dataclasses import dataclass

from lingualift_ds.data.languages import writes_spaces
from lingualift_ds.evaluate.report.comparison import TaskComparison
from lingualift_ds.evaluate.report.statistics import rank_correlation

_AROUND = ((1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (1, 1), (-1, -1), (-1, 1))
"""Where a label may stand, the best first: right, left, above, below, the corners (y grows downwards)."""


@dataclass(frozen=True)
class Point:
    """A language: encoder tokens per word, share of right answers, resource level."""

    code: str
    level: str | None
    fertility: float
    share: float


@dataclass(frozen=True)
class Panel:
    """The points of one result's task. `uncounted` are left out: words without spaces between them are not counted."""

    name: str
    task: str
    points: tuple[Point, ...]
    uncounted: tuple[str, ...]
    correlation: float | None


def panels(comparison: TaskComparison) -> list[Panel]:
    """A panel for each of the results whose model has an encoder."""
    found = []
    for name, task in comparison.tasks.items():
        encoded = [language for language in task.languages.values() if language.encoded]
        counted = [x for x in encoded if x.tokens_per_word is not None and writes_spaces(x.code)]
        points = [Point(x.code, x.level, x.tokens_per_word, x.correct / x.n) for x in counted]
        if points:
            left_out = tuple(x.code for x in encoded if x.code not in {point.code for point in points})
            correlation = rank_correlation([p.fertility for p in points], [p.share for p in points])
            found.append(Panel(name, comparison.task, tuple(points), left_out, correlation))
    return found


def span(shown: Sequence[Panel]) -> tuple[float, float, float]:
    """From, to and step of an axis for the fertilities of all panels."""
    values = [point.fertility for panel in shown for point in panel.points]
    low, high = min(values), max(values)
    step = next((s for s in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if (high - low) / s <= 5), 100)
    start, end = step * (low // step), step * -(-high // step)
    return start, end if end > start else start + step, step


def place_labels(
    places: Sequence[tuple[float, float]], texts: Sequence[str], size: float, reach: float, area: tuple[float, float]
) -> list[tuple[float, float]]:
    """The middle of each point's label, so that labels cover neither each other nor points as far as there is room.

    Args:
        places: of the points, in the units of all lengths here; `area` is the width and height that labels keep to.
        size: height of the letters. `reach`: radius of a point's marker.
    """
    taken = [(x - reach, y - reach, x + reach, y + reach) for x, y in places]
    found = []
    for (x, y), text in zip(places, texts):
        wide, high = 0.62 * size * len(text), size
        best, least = (x, y), float("inf")
        for away in (1.5, 5.0):  # just beside the marker, or a little further
            for right, down in _AROUND:
                middle = (x + right * (reach + away + wide / 2), y + down * (reach + away + high / 2))
                box = (middle[0] - wide / 2, middle[1] - high / 2, middle[0] + wide / 2, middle[1] + high / 2)
                outside = min(box[0], box[1], area[0] - box[2], area[1] - box[3]) < 0
                cost = sum(_overlap(box, other) for other in taken) + 1e6 * outside
                if cost < least:
                    best, least = middle, cost
            if least == 0:
                break
        taken.append((best[0] - wide / 2, best[1] - high / 2, best[0] + wide / 2, best[1] + high / 2))
        found.append(best)
    return found


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """The area that two boxes (left, top, right, bottom) share."""
    return max(min(a[2], b[2]) - max(a[0], b[0]), 0.0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0.0)
