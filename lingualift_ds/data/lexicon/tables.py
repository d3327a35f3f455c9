"""Word lists as text: a pair a line, or a table whose columns have names."""

import contextlib
import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from lingualift_ds.data.jsonl import excerpt
from lingualift_ds.data.lexicon.columns import Columns, Roles, find_named, find_roles, frequency_of, is_of_another
from lingualift_ds.data.lexicon.pairs import DAMAGED, Pair, Unread, split_cell
from lingualift_ds.errors import DataError

Line = tuple[int, str]
_SAMPLE_LINES = 200
_SIGNS = (" = ", " - ", " – ", " : ", ": ")
"""What people write between the sides of a list made by hand."""
_DELIMITERS = ("\t", ",", ";", "|")
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
    """

    delimiter: str | None
    roles: Roles
    header: bool = False


def table_pairs(
    path: Path, lines: Iterable[Line], language: str, turned: bool, columns: Columns | None
) -> tuple[Layout, Iterator[Pair | Unread]]:
    """The layout of a text file, found from its first lines, and its pairs as a stream.

    Raises:
        DataError: where a column asked for is not there.
    """
    lines = _without_comments(iter(lines), lambda line: _header(line, language, turned) is not None)
    head = list(islice(lines, _SAMPLE_LINES))
    layout = find_layout(path, [line for _, line in head if DAMAGED not in line], language, turned, columns)
    rows = chain(head[1:] if layout.header else head, lines)
    return layout, _table(rows, layout, language) if layout.header or columns else _bare(rows, layout)


def find_layout(path: Path, sample: Sequence[str], language: str, turned: bool, columns: Columns | None) -> Layout:
    """The layout of a file whose first lines are `sample`. Raises DataError."""
    if not sample:
        return Layout(None, Roles(0, 1))
    if columns is not None:
        return _asked_layout(path, sample, columns, _header(sample[0], language, turned))
    return _header(sample[0], language, turned) or _bare_layout(path, sample, turned)


def _header(line: str, language: str, turned: bool) -> Layout | None:
    """The layout of a file whose first line names its columns; None where the line is a pair like others."""
    for delimiter in (*_DELIMITERS, None):
        names = _cells(line, delimiter)
        if len(names) == 2 or (len(names) > 2 and delimiter is not None):
            roles = find_roles(names, language, turned)
            if roles is not None:
                return Layout(delimiter, roles, header=True)
    return None


def _bare_layout(path: Path, sample: Sequence[str], turned: bool) -> Layout:
    """The layout of a file without a header: the sides, and a score after them where nearly all lines have one."""
    delimiter = _guess_delimiter(path, sample)
    first, second = (1, 0) if turned != (delimiter == _AT) else (0, 1)
    longer = [cells for line in sample if len(cells := _cells(line, delimiter)) > 2]
    scored = [cells for cells in longer if frequency_of(cells[2 if delimiter else -1]) is not None]
    has_scores = longer and 2 * len(longer) >= len(sample) and 10 * len(scored) >= 9 * len(longer)
    return Layout(delimiter, Roles(first, second, 2 if has_scores else None))


def _asked_layout(path: Path, sample: Sequence[str], columns: Columns, header: Layout | None) -> Layout:
    """The layout of a table whose columns a user named, or numbered."""
    line = sample[0]
    if columns.numbered:
        delimiter = header.delimiter if header else _guess_delimiter(path, sample)
        roles = find_named(_cells(line, delimiter), columns)
        if roles is not None:
            # A first line without a number where the frequencies are names the columns.
            counted = roles.frequency is None or frequency_of(_cells(line, delimiter)[roles.frequency]) is not None
            return Layout(delimiter, roles, header=header is not None or not counted)
        raise DataError(
            f"{path}:1: columns {', '.join(columns.named)} are asked for, there are {len(_cells(line, delimiter))}: "
            f"{excerpt(line)}"
        )
    for delimiter in (*_DELIMITERS, None):
        roles = find_named(_cells(line, delimiter), columns)
        if roles is not None:
            return Layout(delimiter, roles, header=True)
    there = [name.strip() for name in max((_cells(line, delimiter) for delimiter in _DELIMITERS), key=len)]
    folded = [name.lower() for name in there]
    absent = [name for name in columns.named if name.lower() not in folded]
    wanted = " or ".join(map(repr, absent or columns.named))
    raise DataError(f"{path}:1: no column {wanted}; the first line has {', '.join(map(excerpt, there))}")


def _guess_delimiter(path: Path, sample: Sequence[str]) -> str | None:
    """What separates the columns of a file without a header; None: white space."""
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


def _bare(lines: Iterable[Line], layout: Layout) -> Iterator[Pair | Unread]:
    """A pair a line, without a header; a line of another shape than the file's is read by its own."""
    roles, scores, delimiter = layout.roles, layout.roles.frequency is not None, layout.delimiter
    turned = roles.english > roles.translation
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
            if scores and len(sides) > 1:
                *rest, last = sides[1].rsplit(maxsplit=1)
                frequency = frequency_of(last) if rest else None
                sides[1] = rest[0] if frequency is not None else sides[1]
        if scores and len(sides) > 2:
            frequency = frequency_of(sides[2])
        first, second = sides[0], (sides[1] if len(sides) > 1 else "")
        yield (second, first, frequency) if turned else (first, second, frequency)


def _table(lines: Iterable[Line], layout: Layout, language: str) -> Iterator[Pair | Unread]:
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
        for english in split_cell(cells[roles.english]):
            for translation in split_cell(cells[roles.translation]):
                yield english, translation, frequency


def _without_comments(lines: Iterator[Line], is_header: Callable[[str], bool]) -> Iterator[Line]:
    """The lines of a file without the comments at its head: those of # that are neither a pair nor a header."""
    for number, line in lines:
        if not line.startswith("#") or _HASH_PAIR.fullmatch(line) or is_header(line):
            yield number, line
            break
    yield from lines
