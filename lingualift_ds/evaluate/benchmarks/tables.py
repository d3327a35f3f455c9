"""TSV and CSV of benchmarks: with or without a header, with or without quotes.

Published TSV files are written in two ways: without any quoting (MGSM, XNLI), where a quotation mark is one of the
text, and by spreadsheets and pandas, where a cell with a quotation mark is quoted and its marks are doubled. Taking the
one for the other loses rows or marks without an error, so the whole file is looked at before it is decided.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from lingualift_ds.data.jsonl import excerpt, read_lines
from lingualift_ds.errors import DataError

Cells = tuple[int, list[str]]
"""A row: the line it begins on, from 1, and its cells."""
BARE = ("question", "answer_number")
"""The columns of a table that has no header, as MGSM's."""
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_NUMBER = re.compile(r"[-+.,\d]*")
_LONGEST = 1 << 24
"""Characters of a cell above which it is none: a quote was left open."""


def read_table(path: Path, kind: str, columns: Sequence[str] = ()) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a "tsv" or "csv" file as (line, cell by column); blank rows are left out.

    The first row names the columns. With `columns`, a table whose first row has none of these names and ends in a
    number has no header, and its columns are those of BARE.

    Raises:
        DataError: for a header alone, a column named twice, lines that end in CR alone, and, naming file:line, a row
            with other cells than the header has, or a quote that is left open.
    """
    first = [line for _, line in islice(read_lines(path), 2)]
    if len(first) == 1 and "\r" in first[0]:
        raise DataError(f"{path}: its lines end in CR alone, as those of old Macs; save it with LF or CRLF")
    rows = _tsv(path) if kind == "tsv" else _csv(path, _delimiter(path))
    rows = [(number, cells) for number, cells in rows if any(cell.strip() for cell in cells)]
    header = [cell.strip() for cell in rows[0][1]]
    named = not columns or {name.casefold() for name in header} & set(columns)
    if not named and (len(header) <= len(BARE) or _has_number(header[-1])):
        yield from _without_header(path, rows)
        return
    twice = next((name for name in header if name and header.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{path}:{rows[0][0]}: the header names {twice!r} more than once")
    if len(rows) == 1:
        raise DataError(f"{path}: holds a header and no row")
    for number, cells in rows[1:]:
        if len(cells) != len(header):
            raise DataError(
                f"{path}:{number}: cells: {len(cells)}, in the header: {len(header)}; found {_shown(cells)}"
            )
        yield number, dict(zip(header, cells))


def _without_header(path: Path, rows: Sequence[Cells]) -> Iterator[tuple[int, dict[str, str]]]:
    for number, cells in rows:
        if len(cells) < len(BARE):
            raise DataError(f"{path}:{number}: question, TAB, answer are needed, found {_shown(cells)}")
        if not _has_number(cells[-1]):
            header = f"; as a header, {_shown(cells)} names no column that is known" if number == rows[0][0] else ""
            raise DataError(f"{path}:{number}: the answer must be a number, found {excerpt(cells[-1])}{header}")
        # A TAB within the question is the question's.
        yield number, dict(zip(BARE, ("\t".join(cells[:-1]), cells[-1])))


def _has_number(cell: str) -> bool:
    return any(map(str.isnumeric, cell))


def _tsv(path: Path) -> list[Cells]:
    """The rows of a TSV file: a line each, or as CSV where that alone gives every row as many cells."""
    rows = [(number, line.split("\t")) for number, line in read_lines(path)]
    if len({len(cells) for _, cells in rows}) == 1:
        return _unquoted(rows)
    try:
        quoted = _csv(path, "\t")
    except DataError:
        return rows
    return quoted if len({len(cells) for _, cells in quoted}) == 1 else rows


def _unquoted(rows: list[Cells]) -> list[Cells]:
    """The rows without the quotes of CSV, where it is these: all are in order and doubled inside, and some needed."""
    marked = [cell for _, cells in rows for cell in cells if cell.startswith('"')]
    if not marked or not all(map(_QUOTED.fullmatch, marked)):
        return rows
    # Writers quote what has to be quoted, or every text.
    text = sum(not _NUMBER.fullmatch(cell) for _, cells in rows for cell in cells)
    if not any('""' in cell[1:-1] for cell in marked) and len(marked) < text:
        return rows
    return [(number, [_bare(cell) for cell in cells]) for number, cells in rows]


def _bare(cell: str) -> str:
    return cell[1:-1].replace('""', '"') if cell.startswith('"') else cell


def _delimiter(path: Path) -> str:
    """What separates the cells of a CSV file: in many countries spreadsheets write semicolons."""
    _, header = next(read_lines(path))
    return "," if "," in header else next((mark for mark in (";", "\t") if mark in header), ",")


def _csv(path: Path, delimiter: str) -> list[Cells]:
    """The rows of a file with CSV's quotes, in which a cell may hold line ends. Raises DataError."""
    text = "\n".join(line for _, line in read_lines(path, keep_blank=True))
    csv.field_size_limit(_LONGEST)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows, line = [], 1
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            open_quote = "unexpected end" in str(error) or "field limit" in str(error)
            said = "a quote that is opened here is never closed" if open_quote else f"not CSV ({error})"
            raise DataError(f"{path}:{line}: {said}") from None
        if cells is None:
            return rows
        if any(cell.strip() for cell in cells):
            rows.append((line, cells))
        line = reader.line_num + 1


def _shown(cells: Sequence[str]) -> str:
    return excerpt(" | ".join(cells))
