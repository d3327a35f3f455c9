"""Word lists as text: a pair a line, or a table whose columns have names."""

import contextlib
import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from lingualift_ds.data.jsonl import excerpt
from lingualift_ds.data.lexicon.columns import (
    Columns,
    Roles,
    find_named,
    find_one_side,
    find_roles,
    frequency_of,
    is_of_another,
)
from lingualift_ds.data.lexicon.pairs import DAMAGED, MARKS, Pair, Several, Unread, own_marks, split_cell, words_apart
from lingualift_ds.errors import DataError

Line = tuple[int, str]
_SAMPLE_LINES = 200
_FIRST_LINES = 2000
"""Lines from which it shows whether a mark separates translations, which is rarer than what the sample is for."""
_SIGNS = (" = ", " - ", " – ", " : ", ": ")
"""What people write between the sides of a list made by hand."""
_DELIMITERS = ("\t", ",", ";", "|")
_EXCEL = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
"""A first line of Excel's, which names the separator."""
_PARTS_OF_SPEECH = frozenset(
    "n v vi vt vb adj adv prep pron conj interj intj det art num aux noun verb adjective adverb preposition pronoun "
    "conjunction interjection determiner article numeral particle propn cconj sconj adp".split()
)
_NEARLY_ALL = 0.9
_HASH_PAIR = re.compile(r"#\w\S*(?:\t[^\t]+|\s+\S+)")
_AT = " @ "
"""Between the sides of hunalign's dictionaries, which have the translation first."""


@dataclass(frozen=True)
class Layout:
    """How the lines of a file are read.

    Attributes:
        delimiter: between columns; None: white space, with a TAB where a line has one.
        roles: which column is what.
        header: whether the first line names the columns.
        parts_of_speech: whether the column behind the first holds them, and the translation is in the next.
    """

    delimiter: str | None
    roles: Roles
    header: bool = False
    parts_of_speech: bool = False


def table_pairs(
    path: Path, lines: Iterable[Line], language: str, turned: bool, columns: Columns | None
) -> tuple[Layout, Iterator[Pair | Several | Unread]]:
    """The layout of a text file, found from its first lines, and its pairs as a stream.

    Raises:
        DataError: where a column asked for is not there.
    """
    lines = iter(lines)
    first = next(lines, None)
    named = _EXCEL.fullmatch(first[1]) if first else None
    lines = lines if named or first is None else chain([first], lines)
    delimiters = (named[1],) if named else (*_DELIMITERS, None)
    lines = _without_comments(lines, lambda line: _header(line, language, turned, delimiters) is not None)
    head = list(islice(lines, _FIRST_LINES))
    sample = [line for _, line in head[:_SAMPLE_LINES] if DAMAGED not in line]
    layout = _find_layout(path, sample, language, turned, columns, delimiters)
    rows = chain(head[1:] if layout.header else head, lines)
    if layout.header or columns:
        return layout, _table(rows, layout, language)
    marks = ()
    if layout.delimiter is not None:
        first_pairs = (pair for pair in _bare(head, layout) if isinstance(pair, tuple))
        marks = own_marks((english, translation) for english, translation, _ in first_pairs)
    return layout, _bare(rows, layout, marks)


def _find_layout(
    path: Path,
    sample: Sequence[str],
    language: str,
    turned: bool,
    columns: Columns | None,
    delimiters: Sequence[str | None],
) -> Layout:
    """The layout of a file whose first lines are `sample`. Raises DataError."""
    if not sample:
        return Layout(None, Roles(0, 1))
    header = _header(sample[0], language, turned, delimiters)
    if columns is not None:
        return _asked_layout(path, sample, columns, header, delimiters)
    return header or _bare_layout(path, sample, turned, delimiters)


def _header(line: str, language: str, turned: bool, delimiters: Sequence[str | None]) -> Layout | None:
    """The layout of a file whose first line names its columns; None where the line is a pair like others."""
    for delimiter in delimiters:
        names = _cells(line, delimiter)
        if len(names) == 2 or (len(names) > 2 and delimiter is not None):
            roles = find_roles(names, language, turned)
            # A comment, or a pair with a comma, is no header where one side alone says so.
            if roles is None and (delimiter == "\t" or not (delimiter is None or "\t" in line or line[0] == "#")):
                roles = find_one_side(names)
            if roles is not None:
                return Layout(delimiter, roles, header=True)
    return None


def _bare_layout(path: Path, sample: Sequence[str], turned: bool, delimiters: Sequence[str | None]) -> Layout:
    """The layout of a file without a header: the sides, and a score after them where nearly all lines have one."""
    delimiter = _guess_delimiter(path, sample, delimiters)
    longer = [cells for line in sample if len(cells := _cells(line, delimiter)) > 2]
    parts_of_speech = delimiter is not None and _have_parts_of_speech(longer, len(sample))
    last = 2 if parts_of_speech else 1
    if parts_of_speech:
        longer = [cells for cells in longer if len(cells) > last + 1]
    first, second = (last, 0) if turned != (delimiter == _AT) else (0, last)
    scored = [cells for cells in longer if frequency_of(cells[last + 1 if delimiter else -1]) is not None]
    has_scores = longer and 2 * len(longer) >= len(sample) and len(scored) >= _NEARLY_ALL * len(longer)
    return Layout(delimiter, Roles(first, second, last + 1 if has_scores else None), parts_of_speech=parts_of_speech)


def _have_parts_of_speech(longer: Sequence[Sequence[str]], lines: int) -> bool:
    """Whether the second of three or more columns says what kind of word each is; it may be empty here and there."""
    kinds = [re.split(r"[.\s,/&]+", cells[1].strip().lower())[0] for cells in longer]
    named = sum(kind in _PARTS_OF_SPEECH for kind in kinds)
    return 2 * named > lines and named + kinds.count("") >= _NEARLY_ALL * lines


def _asked_layout(
    path: Path, sample: Sequence[str], columns: Columns, header: Layout | None, delimiters: Sequence[str | None]
) -> Layout:
    """The layout of a table whose columns a user named, or numbered."""
    line = sample[0]
    if columns.numbered:
        delimiter = header.delimiter if header else _guess_delimiter(path, sample, delimiters)
        roles = find_named(_cells(line, delimiter), columns)
        if roles is not None:
            # A first line without a number where the frequencies are names the columns.
            counted = roles.frequency is None or frequency_of(_cells(line, delimiter)[roles.frequency]) is not None
            return Layout(delimiter, roles, header=header is not None or not counted)
        raise DataError(
            f"{path}:1: columns {', '.join(columns.named)} are asked for, there are {len(_cells(line, delimiter))}: "
            f"{excerpt(line)}"
        )
    for delimiter in delimiters:
        roles = find_named(_cells(line, delimiter), columns)
        if roles is not None:
            return Layout(delimiter, roles, header=True)
    there = [name.strip() for name in max((_cells(line, delimiter) for delimiter in delimiters if delimiter), key=len)]
    folded = [name.lower() for name in there]
    absent = [name for name in columns.named if name.lower() not in folded]
    wanted = " or ".join(map(repr, absent or columns.named))
    raise DataError(f"{path}:1: no column {wanted}; the first line has {', '.join(map(excerpt, there))}")


def _guess_delimiter(path: Path, sample: Sequence[str], delimiters: Sequence[str | None]) -> str | None:
    """What separates the columns of a file without a header; None: white space."""
    if len(delimiters) == 1:
        return delimiters[0]
    if 2 * sum("\t" in line for line in sample) >= len(sample):
        return "\t"
    table = ".csv" in path.suffixes
    for delimiter in (_AT, *_SIGNS, ";", "|", ","):
        having = sum(delimiter in line for line in sample)
        # Without the name's word for it, a comma counts where the English before it is short.
        alone = len(delimiter) > 1 or table or all(len(line.split(delimiter)[0].split()) < 3 for line in sample)
        if 10 * having >= 9 * len(sample) and alone:
            return delimiter
    return None


def _cells(line: str, delimiter: str | None) -> list[str]:
    """The columns of a line. Quotes count where a comma or the like separates: a stray one spoils its line alone."""
    if delimiter is None:
        return line.split("\t") if "\t" in line else line.split()
    if '"' in line and delimiter != "\t" and len(delimiter) == 1:
        with contextlib.suppress(csv.Error):  # a carriage return inside
            return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True))
    return line.split(delimiter)


def _bare(lines: Iterable[Line], layout: Layout, marks: Sequence[str] = ()) -> Iterator[Pair | Several | Unread]:
    """A pair a line, without a header; a line of another shape than the file's is read by its own.

    A translation is taken apart at `marks` (see `own_marks`).
    """
    roles, delimiter = layout.roles, layout.delimiter
    turned, scores, last = roles.english > roles.translation, roles.frequency, max(roles.english, roles.translation)
    for _, line in lines:
        if DAMAGED in line:
            yield Unread("not UTF-8", line)
            continue
        frequency = None
        if delimiter not in (None, "\t"):
            sides = _cells(line, delimiter)
        elif "\t" in line:
            sides = line.split("\t")
        else:
            sides = line.split(maxsplit=1)
            if scores is not None and len(sides) > 1:
                *rest, word = sides[1].rsplit(maxsplit=1)
                frequency = frequency_of(word) if rest else None
                sides[1] = rest[0] if frequency is not None else sides[1]
        if scores is not None and len(sides) > scores:
            frequency = frequency_of(sides[scores])
        first, second = sides[0], (sides[last] if len(sides) > last else "")
        english, translation = (second, first) if turned else (first, second)
        words = words_apart(english, translation, marks) if marks else None
        if words is None:
            yield english, translation, frequency
        else:
            yield Several(english, translation, tuple(words), frequency)


def _table(lines: Iterable[Line], layout: Layout, language: str) -> Iterator[Pair | Several | Unread]:
    """The rows of a table whose columns are known; a cell may hold several translations."""
    roles, delimiter = layout.roles, layout.delimiter
    last = max(roles.english, roles.translation)
    for _, line in lines:
        if DAMAGED in line:
            yield Unread("not UTF-8", line)
            continue
        cells = _cells(line, delimiter)
        if len(cells) <= last:
            yield "", line, None
            continue
        if roles.labels and is_of_another([cells[n] for n in roles.labels if n < len(cells)], language):
            yield Unread("other language", line)
            continue
        frequency = None
        if roles.frequency is not None and roles.frequency < len(cells):
            frequency = frequency_of(cells[roles.frequency])
        cell = cells[roles.translation]
        words = words_apart("", cell, MARKS)
        for english in split_cell(cells[roles.english]):
            if words is None:
                yield english, split_cell(cell)[0], frequency
            else:
                yield Several(english, cell, tuple(words), frequency)


def _without_comments(lines: Iterator[Line], is_header: Callable[[str], bool]) -> Iterator[Line]:
    """The lines of a file without the comments at its head: those of # that are neither a pair nor a header."""
    for number, line in lines:
        if not line.startswith("#") or _HASH_PAIR.fullmatch(line) or is_header(line):
            yield number, line
            break
    yield from lines
