"""Transfer between languages: a row for the languages of Stage I data, a column a tested language."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lingualift_ds.data.languages import LANGUAGES
from lingualift_ds.evaluate.report import wording
from lingualift_ds.evaluate.report.canvas import FAINT, broken, frame, new_figure
from lingualift_ds.evaluate.report.comparison import Line, Score
from lingualift_ds.evaluate.report.drawing import COLOURS
from lingualift_ds.evaluate.report.sweep.comparison import TaskSweep
from lingualift_ds.evaluate.report.sweep.reading import Arm, Figure, Sweep
from lingualift_ds.evaluate.report.sweep.wording import INTERVAL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

_WIDE, _HIGH = 0.62, 0.46
"""Of a cell, in inches."""
_GAP = 0.2
"""Between the columns of two levels, and above the baseline, in cells."""
_LETTERS = 24
_COLOURS = "Blues"
"""One hue from light to dark, which all eyes order."""
_DARKEST = 0.85
"""Where on the way to dark a share of 1 stands: beyond it nothing is told apart."""
_BLACK_ABOVE = 0.179
"""The luminance at which black and white text can be read alike, at a contrast of 4.6."""
_FRAME = COLOURS[3]


def draw_matrix(sweep: Sweep, figure: Figure, comparison: TaskSweep) -> "Canvas | None":
    """The picture, the baseline as its last row; None where no row has the task."""
    arms = [sweep.arm(label) for label in sweep.labels(figure) if label in comparison.cells]
    if not arms:
        return None
    rows = [(arm.label, _row_name(arm), stage1_languages(arm)) for arm in arms]
    untold = [name for _, name, codes in rows if codes is None]
    if comparison.baseline is not None and comparison.baseline not in [arm.label for arm in arms]:
        rows.append((comparison.baseline, comparison.baseline, frozenset()))
    names = [broken(name, _LETTERS) for _, name, _ in rows]
    high = max(_HIGH, 0.14 * max(name.count("\n") + 1 for name in names) + 0.06)
    drawn = new_figure(max(2.4 + _WIDE * len(comparison.languages), 6.8), 2.5 + high * len(rows))
    axes = drawn.subplots()
    levels = list(dict.fromkeys(line.level for line in comparison.languages))
    across = [number + _GAP * levels.index(line.level) for number, line in enumerate(comparison.languages)]
    down = [number + _GAP * (number >= len(arms)) for number in range(len(rows))]
    for y, (label, _, codes) in zip(down, rows):
        for x, line in zip(across, comparison.languages):
            _draw_cell(axes, x, y, line.scores.get(label), line.label in (codes or ()))
    _draw_heads(axes, comparison.languages, across, down, names)
    said = f"Right answers, %: mean over seeds; below it {INTERVAL}. "
    said += "Framed: the tested language is in the Stage I data."
    said += f" Which languages those are is not known for: {', '.join(untold)}." if untold else ""
    frame(drawn, f"{figure.title}: {comparison.task}", said)
    return drawn


def stage1_languages(arm: Arm) -> frozenset[str] | None:
    """Codes of the languages in the Stage I data: the setting, or the value where it lists codes; None: not known."""
    if isinstance(arm.setting, list):
        return frozenset(map(str, arm.setting))
    if arm.value == "none":
        return frozenset()
    codes = re.split(r"[\s,+\[\]]+", (arm.value or "").strip(" []"))
    return frozenset(codes) if all(code in LANGUAGES for code in codes) else None


def _row_name(arm: Arm) -> str:
    return arm.name.strip("[]") or "none"


def _draw_cell(axes: "Axes", x: float, y: float, score: Score | None, framed: bool) -> None:
    from matplotlib import colormaps
    from matplotlib.patches import Rectangle

    if score is None:
        axes.text(x + 0.5, y + 0.5, "–", fontsize=8, color=FAINT, ha="center", va="center")
        return
    colour = colormaps[_COLOURS](_DARKEST * score.share)
    axes.add_patch(Rectangle((x, y), 1, 1, facecolor=colour, edgecolor="white", lw=1))
    if framed:
        axes.add_patch(Rectangle((x + 0.05, y + 0.07), 0.9, 0.86, fill=False, edgecolor=_FRAME, lw=2.2, zorder=3))
    text = {"ha": "center", "va": "center", "color": "black" if _luminance(colour) > _BLACK_ABOVE else "white"}
    axes.text(x + 0.5, y + 0.38, wording.percent(score.share), fontsize=8.5, **text)
    low, high = (f"{100 * end:.0f}" for end in score.interval)
    axes.text(x + 0.5, y + 0.74, f"{low}–{high}", fontsize=6.5, **text)


def _luminance(colour: Sequence[float]) -> float:
    """The relative luminance of an sRGB colour, as the Web Content Accessibility Guidelines 2.1 define it."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour[:3]]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _draw_heads(
    axes: "Axes", lines: Sequence[Line], across: Sequence[float], down: Sequence[float], names: Sequence[str]
) -> None:
    """Names of rows on the left, of columns on top, of levels below."""
    axes.set(xlim=(-0.02, across[-1] + 1.02), ylim=(down[-1] + 1.5, -0.02))
    axes.set_yticks([y + 0.5 for y in down], names, fontsize=8)
    axes.xaxis.tick_top()
    heads = [line.name if line.name == line.label else f"{line.name}  {line.label}" for line in lines]
    axes.set_xticks([x + 0.5 for x in across], heads, fontsize=8, rotation=45, ha="left", rotation_mode="anchor")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for level in dict.fromkeys(line.level for line in lines):
        of_level = [x for x, line in zip(across, lines) if line.level == level]
        low, high, y = of_level[0] + 0.04, of_level[-1] + 0.96, down[-1] + 1.1
        axes.plot([low, high], [y, y], color=FAINT, lw=0.8)
        axes.text((low + high) / 2, y + 0.1, level or "no level", fontsize=8, color=FAINT, ha="center", va="top")
