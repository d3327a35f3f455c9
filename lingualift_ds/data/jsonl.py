"""JSON lines, read as a stream and written atomically: the one format of all records of the toolkit.

A damaged line is an error that names file and line, never a skipped row; a file that is being written
is never seen half done, because it appears under its name only when it is whole.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from lingualift_ds.data.atomic import AtomicFile
from lingualift_ds.errors import DataError

_BOM = b"\xef\xbb\xbf"
_ENCODER = json.JSONEncoder(ensure_ascii=False)


def excerpt(text: str, length: int = 60) -> str:
    """`text` quoted on one line and cut to about `length` characters, for error messages."""
    return repr(text if len(text) <= length else text[:length] + "...")


def read_lines(path: Path | str, keep_blank: bool = False) -> Iterator[tuple[int, str]]:
    """Stream a UTF-8 text file as (line number from 1, line without its end).

    Blank lines are left out unless `keep_blank`. A byte-order mark and CRLF line ends are taken off.

    Raises:
        DataError: at once where the file is missing or cannot be opened; while reading, for a line
            that is not UTF-8 and for a file without any non-blank line.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: no such file")
    if path.is_dir():
        raise DataError(f"{path}: is a folder, a file is needed")
    try:
        file = path.open("rb")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    return _lines(path, file, keep_blank)


def _lines(path: Path, file, keep_blank: bool) -> Iterator[tuple[int, str]]:
    found = False
    with file:
        # Binary, split at \n alone: text mode would also split at U+2028 and the like inside a record.
        for number, raw in enumerate(file, start=1):
            if number == 1 and raw.startswith(_BOM):
                raw = raw[len(_BOM) :]
            try:
                line = raw.rstrip(b"\r\n").decode("utf-8")
            except UnicodeDecodeError as error:
                raise DataError(f"{path}:{number}: {utf8_fault(raw, error)}") from None
            blank = not line.strip()
            found = found or not blank
            if keep_blank or not blank:
                yield number, line
    if not found:
        raise DataError(f"{path}: the file is empty")


def read_jsonl(path: Path | str) -> Iterator[tuple[int, dict]]:
    """Stream the records of a JSON lines file as (line number from 1, object); blank lines left out.

    Raises:
        DataError: as `read_lines`, and, naming file:line, for a line that is not JSON or not an object.
    """
    path = Path(path)
    return _records(path, read_lines(path))


def _records(path: Path, lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, dict]]:
    for number, line in lines:
        try:
            record = json.loads(line)
            if "\\u" in line:
                json.dumps(record, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            raise DataError(f"{path}:{number}: half a surrogate pair is no character") from None
        except (RecursionError, ValueError) as error:
            raise DataError(f"{path}:{number}: {json_fault(line, error)}") from None
        if not isinstance(record, dict):
            raise DataError(f"{path}:{number}: found a JSON {kind_name(record)}, an object {{...}} a line is needed")
        yield number, record


def json_fault(line: str, error: Exception) -> str:
    """What is wrong with a line that json.loads raised `error` on."""
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON ({error.msg} at column {error.colno}): {excerpt(line)}; one object a line is needed"
    return f"JSON that cannot be read ({error})"  # nesting too deep; an integer of thousands of digits


def utf8_fault(raw: bytes, error: UnicodeDecodeError) -> str:
    """What is wrong with a line that raised `error` when it was decoded."""
    return f"not UTF-8 (byte 0x{raw[error.start]:02x} at column {error.start + 1}); save the file as UTF-8"


def kind_name(value: object) -> str:
    """What JSON calls a value: "array", "null"; else the name of its type."""
    names = {list: "array", str: "string", bool: "boolean", int: "number", float: "number", dict: "object"}
    return "null" if value is None else names.get(type(value), type(value).__name__)


def encode_line(record: dict) -> bytes:
    """A record as a line of JSON lines. Raises TypeError, ValueError or RecursionError where it is no JSON."""
    return _ENCODER.encode(record).encode("utf-8") + b"\n"


def write_jsonl(path: Path | str, records: Iterable[dict]) -> int:
    """Write `records` as UTF-8 JSON lines and return how many; the file appears whole or not at all.

    Where anything fails, also inside `records`, an older file at `path` stays as it was (see `AtomicFile`).

    Raises:
        DataError: where the path cannot be written, a record is no valid JSON, or there is no record.
    """
    count = 0
    with AtomicFile(path) as file:
        for record in records:
            try:
                line = encode_line(record)
            except (TypeError, ValueError, RecursionError) as error:
                raise DataError(f"{path}: record {count + 1} cannot be written as JSON ({error})") from None
            file.write(line)
            count += 1
        if not count:
            raise DataError(f"{path}: there is no record to write")
        file.commit()
    return count
