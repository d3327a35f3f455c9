"""The picture: a row before and one after, a column a space, a colour and a marker a language."""

import io
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402

from lingualift_ds.data.atomic import AtomicFile  # noqa: E402
from lingualift_ds.data.languages import language_name  # noqa: E402
from lingualift_ds.errors import DataError  # noqa: E402
from lingualift_ds.evaluate.geometry.parallel import ENGLISH  # noqa: E402
from lingualift_ds.evaluate.geometry.study import PHASES, Look, Study  # noqa: E402

# Okabe and Ito's palette, told apart by colour-blind people; English alone is black and round. As 7 and 11 have no
# common divisor, 77 languages have a pair of colour and marker of their own.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#F0E442")
_MARKERS = ("^", "s", "D", "v", "P", "X", "<", "p", ">", "h", "d")
_LEGEND = 8
"""Languages in a row of the legend."""
_MOST_LINES = 150
"""Pairs that are joined by lines; more would be a grey cloud."""


def draw_study(study: Study, path: Path) -> None:
    """Write the picture as PNG, whole or not at all. Raises DataError where the path cannot be written."""
    columns, languages = study.spaces, [*study.languages, ENGLISH]
    legend_rows = -(-len(languages) // _LEGEND)
    figure, grid = pyplot.subplots(
        2, len(columns), figsize=(3.7 * len(columns), 7.6 + 0.28 * legend_rows), layout="constrained", squeeze=False
    )
    for phase, row in zip(PHASES, grid):
        for space, axes in zip(columns, row):
            look = study.looks[phase].get(space)
            if look is None:
                axes.set_axis_off()
                continue
            _draw(axes, look, languages)
            axes.set_title(f"{phase}: {look.title}", fontsize=10)
    handles, names = next(axes for axes in grid.flat if axes.has_data()).get_legend_handles_labels()
    shown = dict(zip(names, handles))
    ordered = [_label(code) for code in [ENGLISH, *study.languages]]
    figure.legend(
        [shown[name] for name in ordered], ordered, loc="outside lower center", ncols=-(-len(ordered) // legend_rows),
        frameon=False, fontsize=9, markerscale=1.0, handletextpad=0.2, columnspacing=1.2,
    )  # fmt: skip
    figure.suptitle(
        f"{len(study.parallel.ids)} sentences in {len(languages)} languages, first two principal components of each "
        "space; large: a language's mean",
        fontsize=11,
    )
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    pyplot.close(figure)
    with AtomicFile(path) as file:
        file.write(buffer.getvalue())
        file.commit()


def _draw(axes: Axes, look: Look, languages: list[str]) -> None:
    english = look.points[ENGLISH]
    count = len(english)
    size, alpha = (34, 0.8) if count <= 40 else (14, 0.55)
    if count * (len(languages) - 1) <= _MOST_LINES:
        for code in languages[:-1]:
            for one, other in zip(look.points[code], english):
                axes.plot(*zip(one, other), color="#999999", lw=0.5, alpha=0.6, zorder=1)
    for index, code in enumerate(languages):
        colour, marker = style(index) if code != ENGLISH else ("black", "o")
        points = look.points[code]
        edge = {"edgecolors": "white" if code == ENGLISH else "#333333", "linewidths": 0.3}
        axes.scatter(*points.T, s=size, c=colour, marker=marker, alpha=alpha, zorder=2, **edge)
        mean = points.mean(axis=0)
        edge = {"edgecolors": "white" if code == ENGLISH else "black", "linewidths": 1.0}
        axes.scatter(*mean, s=95, c=colour, marker=marker, zorder=3, label=_label(code), **edge)
    first, second = (f"PC {n} ({100 * share:.0f} %)" for n, share in enumerate(look.variance, start=1))
    axes.set_xlabel(first, fontsize=8)
    axes.set_ylabel(second, fontsize=8)
    axes.tick_params(labelsize=7)
    axes.locator_params(nbins=5)
    axes.set_aspect("equal", adjustable="datalim")  # else a distance would mean one thing across and another upwards
    axes.spines[["top", "right"]].set_visible(False)


def style(index: int) -> tuple[str, str]:
    """Colour and marker of the language at this place, English left out; no two of 77 have the same."""
    return _COLOURS[index % len(_COLOURS)], _MARKERS[index % len(_MARKERS)]


def _label(code: str) -> str:
    try:
        return f"{language_name(code)} ({code})"
    except DataError:
        return code
