"""Raw pairs, as the readers of every kind of file hand them on: not yet cleaned."""

import re
from dataclasses import dataclass

Pair = tuple[str, str, float | None]
"""English, translation (either may be ""), and a positive frequency where the file states one."""

DAMAGED = "\ufffd"
"""Stands where bytes were no UTF-8; a line with it is not used."""

# Not inside brackets, where a remark may have commas of its own.
_SEPARATOR = re.compile(r"[;,/|،؛、，；](?![^()\[\]]*[)\]])")


@dataclass(frozen=True, slots=True)
class Unread:
    """Something in a file that is no pair: the reason, a key of DROP_REASONS, and its text."""

    reason: str
    text: str


def split_cell(cell: str) -> list[str]:
    """The words of a cell that may hold several: separated by ; , / | or what stands for them; never none."""
    if cell.isalpha():
        return [cell]
    return [word for part in _SEPARATOR.split(cell) if (word := part.strip())] or [""]
