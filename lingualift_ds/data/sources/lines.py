"""JSON lines and plain text: cut into blocks of whole lines where they are read, parsed where they are worked on.

The reader looks at no line but to tell that it is blank, so one process feeds many.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from lingualift_ds.data.jsonl import json_fault, utf8_fault
from lingualift_ds.data.sources.files import open_plain
from lingualift_ds.data.sources.rows import BLOCK_BYTES, Bad, Block, Columns, Fault, Row, find_columns
from lingualift_ds.errors import DataError

LONGEST = 1 << 24
"""Bytes of a line, or of one value of a JSON array, above which it is no row: what is read stays small."""
_decode = json.JSONDecoder().decode


@dataclass(frozen=True)
class LinesBlock:
    """Whole lines of a file, as bytes. Blank lines of JSON lines are no rows; those of plain text are."""

    columns: Columns
    number: int
    """Line number of the first line, from 1."""
    position: int
    count: int
    raw: bytes

    def rows(self) -> Iterator[Row | Bad]:
        """The rows, in order."""
        lines = _split(self.raw)
        return self._records(lines) if self.columns.field else self._sentences(lines)

    def _sentences(self, lines: list) -> Iterator[Row | Bad]:
        for index, line in enumerate(lines):
            text = line if type(line) is Fault else line.rstrip("\r")
            yield self.columns.row(self.number + index, self.position + index, text)

    def _records(self, lines: list) -> Iterator[Row | Bad]:
        position, record_row = self.position, self.columns.record
        for number, line in enumerate(lines, self.number):
            record = parse(line)
            if record is not _BLANK:
                yield record_row(number, position, record)
                position += 1


@dataclass(frozen=True)
class FaultBlock:
    """One line that is too long to be carried along."""

    columns: Columns
    number: int
    position: int
    message: str
    count: int = 1

    def rows(self) -> Iterator[Row | Bad]:
        """The one bad row."""
        yield self.columns.row(self.number, self.position, Fault(self.message))


class LinesInput:
    """A file of JSON lines, or of a sentence a line."""

    def __init__(self, path: Path, packed: bool, records: bool):
        self.path, self._packed, self._records = path, packed, records
        self.kind = "JSON lines" if records else "text"

    def columns(self, plain: Columns, field: str | None, id_field: str | None) -> Columns:
        """What the rows are made of (see `find_columns`). Raises DataError."""
        if not self._records:
            if field is not None or id_field is not None:
                name = field if field is not None else id_field
                raise DataError(f"{self.path}: plain text has no field {name!r}; a sentence a line is read")
            return plain
        return find_columns(plain, self._first(), field, id_field)

    def _first(self) -> Iterator[tuple[int, object]]:
        with open_plain(self.path, self._packed) as file:
            for number, ((line,), cut) in enumerate(_handfuls(file, 1), start=1):
                record = Fault(_too_long(line)) if cut else parse(_split(line)[0])
                if record is not _BLANK:
                    yield number, record

    def blocks(self, columns: Columns, rows: int, position: int) -> Iterator[Block]:
        """Blocks of at most `rows` rows; `position` is that of the first row."""
        number = 1
        with open_plain(self.path, self._packed) as file:
            for lines, cut in _handfuls(file, rows):
                blank = sum(map(bytes.isspace, lines)) if self._records else 0
                count = len(lines) - blank
                if cut:
                    block = FaultBlock(columns, number, position, _too_long(lines[0]))
                    count = 1
                else:
                    block = LinesBlock(columns, number, position, count, b"".join(lines))
                if count:
                    yield block
                number, position = number + len(lines), position + count

    def count(self) -> int:
        """Rows of the file: its lines, of JSON lines those that are not blank."""
        return sum(block.count for block in self.blocks(Columns(str(self.path)), 1000, 0))


_BLANK = object()


def parse(line: str) -> object:
    """What a line of JSON holds; _BLANK for a blank one, a Fault for one that cannot be parsed."""
    try:
        return _decode(line)
    except (ValueError, RecursionError) as error:
        if type(line) is Fault:  # no line but what is said of one, and that is no JSON
            return line
        return Fault(json_fault(line, error)) if line.strip(" \t\r\v\f") else _BLANK


def _split(raw: bytes) -> list:
    """The lines as text, a Fault in place of each that is not UTF-8."""
    raw = raw.removesuffix(b"\n")
    try:
        # At \n alone: splitlines would also split at U+2028 and the like inside a row.
        return raw.decode().split("\n")
    except UnicodeDecodeError:
        return [_text(line) for line in raw.split(b"\n")]


def _text(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        return Fault(utf8_fault(line, error))


def _handfuls(file: BinaryIO, rows: int) -> Iterator[tuple[list[bytes], bool]]:
    """Whole lines, at most `rows` and a few MB at a time; (one line, True) for the start of one that is too long."""
    lines: list[bytes] = []
    size = 0
    for line in iter(partial(file.readline, LONGEST), b""):
        if len(line) >= LONGEST and not line.endswith(b"\n"):
            if lines:
                yield lines, False
            yield [line], True
            lines, size = [], 0
            while len(line) >= LONGEST and not line.endswith(b"\n"):
                line = file.readline(LONGEST)
            continue
        lines.append(line)
        size += len(line)
        if len(lines) >= rows or size >= BLOCK_BYTES:
            yield lines, False
            lines, size = [], 0
    if lines:
        yield lines, False


def _too_long(line: bytes) -> str:
    return f"a line of over {LONGEST >> 20} MB is no row: it begins with {line[:40]!r}"
