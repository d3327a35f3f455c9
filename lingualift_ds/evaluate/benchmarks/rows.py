"""A benchmark's file as rows, whatever its format: where each stands, and its cells by column."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from lingualift_ds.data.jsonl import excerpt, kind_name, read_jsonl, read_lines
from lingualift_ds.data.sources.files import look
from lingualift_ds.errors import DataError
from lingualift_ds.evaluate.benchmarks.tables import read_table

_HOLDERS = ("data", "questions", "examples", "rows", "items", "test", "dev", "validation")
"""Keys of a JSON object under which its array of rows is looked for."""


@dataclass(frozen=True)
class Row:
    """A row: `where` is file:line for messages, `record` its cells by column."""

    where: str
    record: dict[str, Any]

    def find(self, *names: str) -> str | None:
        """The first of these columns that the row has, as it is spelt there; capitals and spaces do not count."""
        for name in names:
            if name in self.record:
                return name
        folded = {str(key).strip().casefold(): key for key in self.record}
        return next((folded[name.casefold()] for name in names if name.casefold() in folded), None)

    def text(self, *names: str) -> str:
        """The text of the first of these columns. Raises DataError where there is none or it is blank."""
        key = self.find(*names)
        value = self.record[key] if key is not None else None
        if not isinstance(value, str) or not value.strip():
            raise DataError(f"{self.where}: {_either(names, key)} must be text that is not blank, {self.found(key)}")
        return value

    def answer(self, *names: str) -> str:
        """The number or text of the first of these columns. Raises DataError where there is none or it is blank."""
        key = self.find(*names)
        value = self.record[key] if key is not None else None
        if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal) or not str(value).strip():
            raise DataError(f"{self.where}: {_either(names, key)} must be a number or text, {self.found(key)}")
        return str(value).strip()

    def optional(self, name: str) -> str | None:
        """The text of a column, None where the row has none. Raises DataError where it is no text."""
        key = self.find(name)
        return None if key is None or self.record[key] in (None, "") else self.text(name)

    def found(self, key: str | None) -> str:
        """What is said of a column that is not as it should be."""
        if key is not None:
            return f"found {excerpt(repr(self.record[key]))}"
        return f"found only the keys {', '.join(map(str, self.record)) or '(none)'}"


def read_rows(path: Path, columns: Sequence[str] = ()) -> Iterator[Row]:
    """The rows of a file, in order. With `columns`, a table without any of them in its first row has no header.

    Raises:
        DataError: for a file that is missing, empty, damaged or not what its name says; where a row can be told, the
            message names it: file:line, or `item` or `row` of a JSON array or a Parquet file.
    """
    kind, packed = look(path, None)
    if packed:
        raise DataError(f"{path}: is gzip; unpack it")
    if kind in ("csv", "tsv"):
        found = ((f"{path}:{number}", record) for number, record in read_table(path, kind, columns))
    elif kind == "parquet":
        found = _parquet(path)
    elif kind == "json":
        found = _json(path)
    else:
        found = ((f"{path}:{number}", record) for number, record in read_jsonl(path))
    for where, record in found:
        yield Row(where, record)


def _either(names: Sequence[str], key: str | None) -> str:
    return repr(key) if key is not None else " or ".join(map(repr, names))


def _json(path: Path) -> Iterator[tuple[str, dict]]:
    """JSON lines, an array of objects, or an object that holds one."""
    lines = [line for _, line in read_lines(path)]
    whole = None
    if len(lines) == 1 or not (lines[0].startswith("{") and lines[0].rstrip().endswith("}")):
        try:
            text = "\n".join(line for _, line in read_lines(path, keep_blank=True))
            whole = json.loads(text)
            if "\\u" in text:
                json.dumps(whole, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            raise DataError(f"{path}: half a surrogate pair is no character") from None
        except json.JSONDecodeError as error:
            raise DataError(f"{path}:{error.lineno}: not JSON ({error.msg} at column {error.colno})") from None
        except (RecursionError, ValueError) as error:
            raise DataError(f"{path}: JSON that cannot be read ({error})") from None
    if isinstance(whole, dict):
        held = [key for key in _HOLDERS if isinstance(whole.get(key), list)]
        if not held and len(lines) > 1:
            keys = " or ".join(f'"{key}"' for key in _HOLDERS[:3])
            raise DataError(
                f"{path}: holds one JSON object with the keys {', '.join(whole) or '(none)'}; an array of objects, "
                f"such an array under {keys}, or an object a line is needed"
            )
        whole = whole[held[0]] if held else None
    if whole is None:
        yield from ((f"{path}:{number}", record) for number, record in read_jsonl(path))
        return
    if not whole:
        raise DataError(f"{path}: the array is empty")
    for number, record in enumerate(whole, start=1):
        if not isinstance(record, dict):
            raise DataError(f"{path}:item {number}: found a JSON {kind_name(record)}, an object {{...}} is needed")
        yield f"{path}:item {number}", record


def _parquet(path: Path) -> Iterator[tuple[str, dict]]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            if not file.metadata.num_rows:
                raise DataError(f"{path}: holds no row")
            names = file.schema_arrow.names
            twice = next((name for name in names if names.count(name) > 1), None)
            if twice is not None:
                raise DataError(f"{path}: names the column {twice!r} more than once")
            number = 0
            for batch in file.iter_batches():
                for record in batch.to_pylist():
                    number += 1
                    yield f"{path}:row {number}", record
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        said = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise DataError(f"{path}: broken Parquet ({said})") from None
