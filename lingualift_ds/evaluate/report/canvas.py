"""What pictures are drawn on by matplotlib, an optional extra, and how names get into them unharmed."""

import io
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lingualift_ds.data.codeswitch.marked import visible
from lingualift_ds.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 130
_TITLE, _NOTE = (10, 11), (8, 14)
"""Size in points, and letters an inch that surely fit."""
GRID, FAINT = "#dddddd", "#555555"
"""Colours of lines behind the data, and of notes."""


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure, in inches. Raises ConfigError without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigError("pictures need matplotlib: pip install 'lingualift_ds[plots]'") from None
    return Figure(figsize=(width, height), layout="constrained", dpi=_DPI)


def to_png(figure: "Figure") -> bytes:
    """The figure as a file, the same bytes whenever it is drawn."""
    written = io.BytesIO()
    with any_letters():
        figure.savefig(written, format="png", dpi=_DPI, metadata={"Software": None})
    return written.getvalue()


def frame(figure: "Figure", title: str, note: str) -> None:
    """A title above all and a note below, broken where the figure ends."""
    width = figure.get_figwidth()
    figure.suptitle(broken(title, int(_TITLE[1] * width)), fontsize=_TITLE[0], x=0.01, ha="left")
    figure.supxlabel(broken(note, int(_NOTE[1] * width)), fontsize=_NOTE[0], color=FAINT)


def broken(text: str, letters: int) -> str:
    """A plain text in lines of so many letters at most."""
    return "\n".join(map(plain, textwrap.wrap(text, letters)))


@contextmanager
def any_letters() -> Iterator[None]:
    """Say nothing of a letter in a name that no font has: a box stands for it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def plain(text: str) -> str:
    """A text that matplotlib takes as it is: no formula, no control character."""
    return visible(text).replace("\n", " ").replace("$", r"\$")
