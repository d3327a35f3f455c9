"""JSON that is one array of objects, or an object that holds one: read item by item, never as a whole.

Items go through the standard library's scanner over a window of text. It is faster here than ijson, and it agrees
with what is said of JSON lines: ijson's C backend turns half a surrogate pair into a question mark, gives a whole
file up for one wrong byte, one NaN or one long integer, and takes memory with the square of the depth.
"""

import codecs
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from lingualift_ds.data.jsonl import excerpt
from lingualift_ds.data.sources.files import open_plain
from lingualift_ds.data.sources.lines import LONGEST, LinesInput
from lingualift_ds.data.sources.rows import (
    Columns,
    Fault,
    ValuesBlock,
    find_columns,
    listed,
    no_object,
    value_blocks,
)
from lingualift_ds.errors import DataError

_CHUNK = 1 << 18
_TOKEN = 16
"""Characters of the longest thing that is told by its start where it is cut: an escape, a literal."""
_SPACE = re.compile(r"[ \t\r\n]*")
_scan = json.JSONDecoder().raw_decode


class ArrayInput:
    """A file whose rows are the items of a JSON array: the top level's, or that under the first of `keys` it has."""

    kind = "JSON"

    def __init__(self, path: Path, packed: bool, keys: Sequence[str]):
        self.path, self._packed, self._keys = path, packed, tuple(keys)

    def columns(self, plain: Columns, field: str | None, id_field: str | None) -> Columns:
        """What the rows are made of (see `find_columns`). Raises DataError."""
        return find_columns(plain, enumerate(self._items(), start=1), field, id_field)

    def blocks(self, columns: Columns, rows: int, position: int) -> Iterator[ValuesBlock]:
        """Blocks of at most `rows` rows from `position` on. Raises DataError where the JSON breaks."""
        values = (
            (number, _text(item, columns), _get(item, columns.more), _get(item, columns.id_field))
            for number, item in enumerate(self._items(), start=1)
        )
        return value_blocks(columns, values, rows, position)

    def count(self) -> int:
        """Items of the array."""
        return sum(1 for _ in self._items())

    def _items(self) -> Iterator[object]:
        with open_plain(self.path, self._packed) as file:
            window = Window(self.path, file)
            if window.find_array(self._keys) is None:
                raise DataError(f"{self.path}: holds no array of objects")
            yield from window.items()
            window.end()


def open_json(path: Path, packed: bool, keys: Sequence[str]) -> ArrayInput | LinesInput:
    """A .json file as what it holds: an array, an object with one under one of `keys`, or JSON lines after all.

    Raises:
        DataError: for one object without such an array, and for one that breaks off.
    """
    records = LinesInput(path, packed, records=True)
    with open_plain(path, packed) as file:
        window = Window(path, file)
        try:
            found = window.find_array(keys)
        except DataError:
            with open_plain(path, packed) as again:
                if re.fullmatch(rb"\s*\{.*\}\s*", again.readline(_CHUNK)):
                    return records  # whose first row is bad
            raise
    if found is not None:
        return ArrayInput(path, packed, [found])
    if window.on_one_line:
        return records
    wanted = " or ".join(f'{{"{key}": [...]}}' for key in keys)
    raise DataError(
        f"{path}: holds one JSON object with the keys {listed(window.keys)}; an array of objects, {wanted} "
        "or an object a line is needed"
    )


def _text(item: object, columns: Columns) -> object:
    if type(item) is not dict:
        return Fault(no_object(item))
    return item[columns.field] if columns.field in item else Fault(columns.missing(item))


def _get(item: object, key: str | None) -> object:
    return item.get(key) if type(item) is dict and key else None


class Window:
    """A piece of a file's text that moves along it."""

    def __init__(self, path: Path, file: BinaryIO):
        self._path, self._file = path, file
        # A wrong byte becomes a lone surrogate in one item, which that row is then told for.
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._text, self._at, self._line, self._ended = "", 0, 1, False
        self._done, self._top = 0, False
        self.keys: list[str] = []
        """Keys of the top-level object that were passed."""
        self.on_one_line = False
        """Whether that object began and ended on one line."""

    def find_array(self, keys: Sequence[str]) -> str | None:
        """Move to the first item: "" for the top-level array, a key of `keys` for one under it, None for neither."""
        mark = self._next()
        if mark not in ("[", "{"):
            raise self._broken("an array or an object is needed")
        self._at += 1
        self._top = mark == "["
        if self._top:
            return ""
        before = self._line_at(self._at)
        found = self._find_key(keys)
        self.on_one_line = self._line_at(self._at) == before
        return found

    def _find_key(self, keys: Sequence[str]) -> str | None:
        """Move on in an object, to the first item of an array of objects under one of `keys`, else to its end."""
        mark = self._next()
        while mark != "}":
            key = self._value()
            if type(key) is not str or self._next() != ":":
                raise self._broken("a key and ':' are needed")
            self._at += 1
            if self._next() == "[":
                self._at += 1
                if key in keys and self._next() in ("{", "]"):
                    return key
                for _ in self.items():
                    pass
            else:
                self._value()
            self.keys.append(key)
            mark = self._next()
            if mark not in (",", "}"):
                raise self._broken("',' or '}' is needed")
            self._at += mark == ","
        self._at += 1
        return None

    def items(self) -> Iterator[object]:
        """The items of the array whose first one, or end, comes next."""
        self._done = 0
        mark = self._next()
        while mark != "]":
            yield self._value()
            self._done += 1
            mark = self._next()
            if mark not in (",", "]"):
                raise self._broken("',' or ']' is needed")
            self._at += mark == ","
        self._at += 1

    def end(self) -> None:
        """Go from behind the array to the end of the file. Raises DataError where that is not in order."""
        if not self._top:
            self._at += self._next() == ","
            self._find_key(())
        if self._next():
            raise self._broken("nothing more is allowed")

    def _next(self) -> str:
        """The next character that is no space; "" at the end."""
        while True:
            self._at = _SPACE.match(self._text, self._at).end()
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._fill(_CHUNK):
                return ""

    def _value(self) -> object:
        """The value that comes next: the window grows until it is in it as a whole."""
        self._next()
        size = _CHUNK
        while True:
            start = self._at
            try:
                value, end = _scan(self._text, start)
                # What ends with the window may go on: a number does not say where it ends.
                if end < len(self._text) or not self._fill(size):
                    self._at += end - start
                    return value
            except json.JSONDecodeError as error:
                if len(self._text) - start > LONGEST:
                    raise self._broken(f"a value of over {LONGEST >> 20} MB is no row") from None
                # What is cut by the window is told at its end, or as a string without one.
                cut = len(self._text) - error.pos < _TOKEN or error.msg.startswith("Unterminated string")
                if not cut or not self._fill(size):
                    raise self._broken(error.msg, self._at + error.pos - start) from None
            except (ValueError, RecursionError) as error:
                raise self._broken(str(error)) from None
            size *= 2

    def _fill(self, size: int) -> bool:
        """Drop what lies behind and read on; False at the end of the file."""
        if self._ended:
            return False
        raw = self._file.read(size)
        self._ended = not raw
        self._line += self._text.count("\n", 0, self._at)
        self._text = self._text[self._at :] + self._decoder.decode(raw, final=self._ended)
        self._at = 0
        return not self._ended

    def _line_at(self, at: int) -> int:
        return self._line + self._text.count("\n", 0, at)

    def _broken(self, said: str, at: int | None = None) -> DataError:
        at = self._at if at is None else at
        here = excerpt(self._text[at : at + 40], 20) if self._text[at:] else "its end"
        where = f"{self._path}:{self._line_at(at)}"
        return DataError(f"{where}: broken JSON after item {self._done:,} ({said}, at {here})")
