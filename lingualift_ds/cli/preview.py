"""English and code-switched text as a pair in the terminal, the switched words marked."""

import os
import unicodedata
from collections.abc import Iterable
from typing import TextIO

from lingualift_ds.data.codeswitch import Switched
from lingualift_ds.data.codeswitch.marked import parts, visible

_BEFORE, _AFTER, _FAINT, _END = "\x1b[33m", "\x1b[1;36m", "\x1b[2m", "\x1b[0m"
"""Yellow and bold cyan: told apart by all eyes, on dark and on light ground."""
_ISOLATE, _RELEASE = "\u2068", "\u2069"


def uses_colour(stream: TextIO) -> bool:
    """Whether to colour what goes there: a terminal, unless NO_COLOR is set; anywhere with FORCE_COLOR."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR", "0") not in ("", "0"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def format_pair(record: dict, switched: Switched, colour: bool) -> str:
    """Two texts under a head: the English, and what it became. Without colour the words stand in [brackets].

    A text is one line, however wide, unless it has several itself: the terminal wraps it, and a pipe can compare it.
    """
    changes, language = switched.changes, record["language"]
    english = [(change.english_start, change.english_start + len(change.english)) for change in changes]
    mixed = [(change.start, change.start + len(change.translation)) for change in changes]
    width = max(len(language), len("en"))
    lines = [
        _lines("en".ljust(width), _mark(record["target"], english, _BEFORE, colour), colour),
        _lines(language.ljust(width), _mark(switched.text, mixed, _AFTER, colour), colour),
    ]
    head = f"{visible(record['id'])}: {switched.count} of {switched.switchable} switched".replace("\n", " ")
    return "\n".join([_faint(head, colour), *lines]) + "\n"


def _mark(text: str, spans: Iterable[tuple[int, int]], start: str, colour: bool) -> str:
    before, after = (start, _END) if colour else ("[", "]")
    found = []
    for part, number in parts(text, list(spans)):
        shown = visible(part)
        if number is not None:
            # A terminal that orders Arabic and Hebrew would else move the punctuation and words around them too.
            isolated = colour and any(unicodedata.bidirectional(character) in ("R", "AL") for character in part)
            shown = f"{before}{_ISOLATE}{shown}{_RELEASE}{after}" if isolated else f"{before}{shown}{after}"
        found.append(shown)
    return "".join(found)


def _lines(label: str, text: str, colour: bool) -> str:
    """The text beside its label; further lines of it stand under the first."""
    return f"  {_faint(label, colour)}  " + text.replace("\n", "\n" + " " * (len(label) + 4))


def _faint(text: str, colour: bool) -> str:
    return f"{_FAINT}{text}{_END}" if colour else text
