"""Raw pairs, as the readers of every kind of file hand them on: not yet cleaned."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import regex

Pair = tuple[str, str, float | None]
"""English, translation (either may be ""), and a positive frequency where the file states one."""

DAMAGED = "\ufffd"
"""Stands where bytes were no UTF-8; a line with it is not used."""

MARKS = (";؛；", ",،、，", "/", "|")
"""What separates the words of a cell: each mark with what stands for it in other scripts."""
_OFTEN = 0.02
"""Share of the first lines of a list of which a mark in more is the list's own separator."""
_HYPHENS, _LONGEST_ENDING = "-‐‑–", 5
_ANY_MARK = re.compile(f"[{''.join(MARKS)}]")


@dataclass(frozen=True, slots=True)
class Unread:
    """Something in a file that is no pair: the reason, a key of DROP_REASONS, and its text."""

    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class Several:
    """A cell with several translations: as it stands in the file, and taken apart."""

    english: str
    cell: str
    translations: tuple[str, ...]
    frequency: float | None


@cache
def _separator(marks: Sequence[str]) -> regex.Pattern[str]:
    """Splits at `marks`: not inside brackets, where a remark may have commas of its own, nor inside a number; the
    end of an HTML entity (&apos;, &amp;apos;, & apos ;) is none."""
    at = f"[{''.join(marks)}]"
    return regex.compile(rf"(?<!&(?:amp;)? ?#?\w{{1,8}} ?){at}(?!(?<=\d[,/])\d)(?![^()\[\]]*[)\]])")


def split_cell(cell: str, marks: Sequence[str] = MARKS) -> list[str]:
    """The words of a cell that may hold several: separated by ; , / | or what stands for them; never none.

    An ending that stands for another form of the word before it (bonito, -a; bonito/a) is no word of its own.
    """
    if cell.isalpha():
        return [cell]
    words = _pieces(cell, marks)
    return [word for n, word in enumerate(words) if n == 0 or not _is_ending(words[0], word, cell)] or [""]


def words_apart(english: str, cell: str, marks: Sequence[str]) -> list[str] | None:
    """The words of a cell between those of the marks that the English has not: with a mark in both, the pair is one
    phrase. None where there is nothing to take apart."""
    if cell.isalpha() or not _ANY_MARK.search(cell):
        return None
    if _ANY_MARK.search(english):
        marks = [mark for mark in marks if not any(character in english for character in mark)]
    return split_cell(cell, marks) if marks and len(_pieces(cell, marks)) > 1 else None


def own_marks(pairs: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """The marks that separate translations in a list that begins with these pairs.

    `;` always does; the others where they recur, for they are parts of single translations too (au/ama; ndiyo, bwana).
    """
    pairs = list(pairs)
    own = [MARKS[0]]
    for mark in MARKS[1:]:
        having = sum(words_apart(english, cell, (mark,)) is not None for english, cell in pairs)
        if having > max(1, _OFTEN * len(pairs)):
            own.append(mark)
    return tuple(own)


def _pieces(cell: str, marks: Sequence[str]) -> list[str]:
    return [word for part in _separator(tuple(marks)).split(cell) if (word := part.strip())]


def _is_ending(first: str, word: str, cell: str) -> bool:
    if word[0] in _HYPHENS:  # where all are stems (-zuri, -ema), each is a word
        return first[0] not in _HYPHENS and len(word) <= _LONGEST_ENDING and word[1:].isalpha()
    return len(word) == 1 and word.islower() and len(first) > 2 and f"/{word}" in cell
