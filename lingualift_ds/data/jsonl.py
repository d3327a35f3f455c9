"""JSON lines, read as a stream and written atomically: the one format of all records of the toolkit.

A damaged line is an error that names file and line, never a skipped row; a file that is being written
is never seen half done, because it appears under its name only when it is whole.
"""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from lingualift_ds.errors import DataError

_BOM = b"\xef\xbb\xbf"


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
                bad = raw[error.start]
                raise DataError(
                    f"{path}:{number}: not UTF-8 (byte 0x{bad:02x} at column {error.start + 1}); save the file as UTF-8"
                ) from None
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
        except json.JSONDecodeError as error:
            raise DataError(
                f"{path}:{number}: not JSON ({error.msg} at column {error.colno}): {excerpt(line)}; "
                "one object a line is needed"
            ) from None
        except UnicodeEncodeError:
            raise DataError(f"{path}:{number}: half a surrogate pair is no character") from None
        except (RecursionError, ValueError) as error:  # nesting too deep; an integer of thousands of digits
            raise DataError(f"{path}:{number}: JSON that cannot be read ({error})") from None
        if not isinstance(record, dict):
            raise DataError(f"{path}:{number}: found a JSON {_kind(record)}, an object {{...}} a line is needed")
        yield number, record


def _kind(value: object) -> str:
    names = {list: "array", str: "string", bool: "boolean", int: "number", float: "number"}
    return names.get(type(value), "null")


def write_jsonl(path: Path | str, records: Iterable[dict]) -> int:
    """Write `records` as UTF-8 JSON lines and return how many; the file appears whole or not at all.

    They go to a temporary file in the same folder (made where it is missing), which is renamed over
    `path` at the end. Where anything fails, also inside `records`, an older file at `path` stays as it was.

    Raises:
        DataError: where the path cannot be written, a record is no valid JSON, or there is no record.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise DataError(f"{path}: is not a plain file, records cannot be written there")
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = aside.open("xb")
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror})") from None
    try:
        with file:
            count = _write(path, file, records)
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    return count


def _write(path: Path, file, records: Iterable[dict]) -> int:
    count = 0
    for record in records:  # outside the try: an OSError of the source is not ours
        try:
            file.write(json.dumps(record, ensure_ascii=False).encode("utf-8") + b"\n")
        except (TypeError, ValueError) as error:
            raise DataError(f"{path}: record {count + 1} cannot be written as JSON ({error})") from None
        except OSError as error:
            raise DataError(f"{path}: cannot be written ({error.strerror})") from None
        count += 1
    if not count:
        raise DataError(f"{path}: there is no record to write")
    try:
        file.flush()
        os.fsync(file.fileno())
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror})") from None
    return count
