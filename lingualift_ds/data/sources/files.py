"""What a file is, by its suffix and its first bytes, and the one line that says so where it should be another."""

import codecs
import gzip
import io
import json
import os
import re
import stat
import zlib
from pathlib import Path
from typing import BinaryIO

from lingualift_ds.data.jsonl import excerpt, utf8_fault
from lingualift_ds.errors import ConfigError, DataError

SUFFIXES = {
    "jsonl": (".jsonl", ".ndjson"),
    "json": (".json",),
    "csv": (".csv",),
    "tsv": (".tsv", ".tab"),
    "text": (".txt",),
    "parquet": (".parquet", ".pq"),
    "arrow": (".arrow",),
}
"""Format: the suffixes it goes by; those that are text may end in .gz too."""
FORMATS = tuple(SUFFIXES)

GZIP_FAULTS = (EOFError, zlib.error, gzip.BadGzipFile)
BOM = codecs.BOM_UTF8
_HEAD = 1 << 16
_ALLOWED = (
    "JSON lines (.jsonl, .ndjson), JSON (.json), CSV, TSV and text (.txt), all also with .gz, and Parquet (.parquet)"
)
_TABLES = {b"PAR1": "parquet", b"ARROW1": "arrow", b"\xff\xff\xff\xff": "arrow"}
_LOOKS = {
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a zip archive or an office document",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"\x1f\x8b": "gzip inside gzip",
    b"\x28\xb5\x2f\xfd": "zstd-compressed",
    b"BZh": "bzip2-compressed",
    b"\xfd7zXZ": "xz-compressed",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"\xd0\xcf\x11\xe0": "an old office document",
    b"SQLite format 3": "an SQLite database",
    b"\x93NUMPY": "a NumPy array",
    b"\x7fELF": "a program",
    b"\xff\xfe": "UTF-16 text: save it as UTF-8",
    b"\xfe\xff": "UTF-16 text: save it as UTF-8",
    b"version https://git-lfs": "a Git LFS pointer, not the data: fetch it with git lfs pull",
    b"<!DOCTYPE html": "a web page",
    b"<!doctype html": "a web page",
    b"<html": "a web page",
}


def format_by_name(path: Path) -> str | None:
    """The format that a file's name tells, or None."""
    name = path.name.lower()
    name = name.removesuffix(".gz")
    return next((kind for kind, suffixes in SUFFIXES.items() if name.endswith(suffixes)), None)


def look(path: Path, fmt: str | None) -> tuple[str, bool]:
    """(format, whether it is gzip) of a plain file; `fmt` is a key of SUFFIXES that overrules the suffix.

    Raises:
        DataError: where the file is missing, unreadable, empty, binary, or by its content not what it is named.
        ConfigError: for an unknown `fmt`.
    """
    if fmt is not None and fmt not in SUFFIXES:
        raise ConfigError(f"format {fmt!r}: allowed are {', '.join(FORMATS)}")
    head = _head(path)
    packed = head.startswith(b"\x1f\x8b")
    if packed:
        head = _unpacked(path)
    table = next((kind for magic, kind in _TABLES.items() if head.startswith(magic)), None)
    kind = fmt or format_by_name(path) or table or _by_content(head)
    if kind is None:
        raise DataError(f"{path}: its name does not tell what it is; read are {_ALLOWED}, or name the format")
    if kind in ("parquet", "arrow"):
        _check_table(path, kind, table, packed, head)
    else:
        _check_text(path, kind, table, head, named=fmt is not None)
    return kind, packed


def open_plain(path: Path, packed: bool = False) -> BinaryIO:
    """The bytes of a file, unpacked where it is gzip, without a byte-order mark."""
    if packed:
        file = io.BufferedReader(gzip.GzipFile(path, "rb"), 1 << 18)
    else:
        file = path.open("rb", buffering=1 << 18)
    if file.peek(len(BOM)).startswith(BOM):
        file.read(len(BOM))
    return file


class Stamp:
    """What a file was when it was opened, to tell at the end whether it still is."""

    def __init__(self, path: Path):
        self._path = path
        self._seen = self._look()

    @property
    def file(self) -> tuple[int, int]:
        """Tells files apart, whatever their names."""
        return self._seen[:2]

    def _look(self) -> tuple[int, int, int, int]:
        try:
            now = os.stat(self._path)
        except OSError:
            return 0, 0, 0, 0
        return now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns

    def check(self) -> None:
        """Raise DataError where the file is another by now."""
        if self._look() != self._seen:
            raise DataError(f"{self._path}: was changed while it was being read")


def _head(path: Path) -> bytes:
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode) or not stat.S_ISREG(mode):
            what = "a folder" if stat.S_ISDIR(mode) else "no plain file"
            raise DataError(f"{path}: is {what}, a file is needed: it is read more than once")
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    if not head:
        raise DataError(f"{path}: the file is empty")
    return head


def _unpacked(path: Path) -> bytes:
    try:
        with gzip.open(path, "rb") as file:
            head = file.read(_HEAD)
    except GZIP_FAULTS as error:
        raise DataError(f"{path}: broken gzip ({error})") from None
    if not head:
        raise DataError(f"{path}: the file is empty, once unpacked")
    return head


def _by_content(head: bytes) -> str | None:
    start = head.removeprefix(BOM).lstrip()[:1]
    return {b"{": "jsonl", b"[": "json"}.get(start)


def _check_table(path: Path, kind: str, table: str | None, packed: bool, head: bytes) -> None:
    name = kind.capitalize()
    if packed:
        raise DataError(f"{path}: is {name} inside gzip; unpack it, {name} is compressed already")
    if table != kind:
        raise DataError(f"{path}: is no {name} file: it {_begins(head)}")


def _check_text(path: Path, kind: str, table: str | None, head: bytes, named: bool) -> None:
    if table:
        raise DataError(f"{path}: is {table.capitalize()} by its content; name it {SUFFIXES[table][0]}")
    looks = next((said for magic, said in _LOOKS.items() if head.startswith(magic)), None)
    if looks:
        raise DataError(f"{path}: looks like {looks}; read are {_ALLOWED}")
    nulls = head.count(0)
    if nulls > 3 and nulls * 50 > len(head):
        raise DataError(f"{path}: is binary, or UTF-16: {nulls:,} of its first {len(head):,} bytes are NUL")
    text = head.removeprefix(BOM)
    if not text.strip() and len(head) < _HEAD:
        raise DataError(f"{path}: the file is empty")
    _check_utf8(path, text)
    if kind == "json" and not re.match(rb"\s*[\[{]", text):
        raise DataError(f"{path}: is no JSON array, object or lines: it {_begins(text)}")
    if kind == "jsonl" and re.match(rb"\s*\[\s*\{", text):
        raise DataError(f"{path}: is one JSON array, not an object a line; name it .json")
    if not named and kind in ("text", "csv", "tsv") and _is_object(text.lstrip().split(b"\n", 1)[0]):
        raise DataError(f"{path}: its first line is a JSON object; name it .jsonl, or name the format")


def _check_utf8(path: Path, text: bytes) -> None:
    """A file that is in another encoding as a whole is one error, not a million bad rows."""
    good = bad = 0
    said = ""
    for number, line in enumerate(text.split(b"\n"), start=1):
        if not line or line.isspace():
            continue
        try:
            codecs.utf_8_decode(line, "strict", False)  # the last line may be cut within a character
            good += 1
        except UnicodeDecodeError as error:
            bad += 1
            said = said or f"{path}:{number}: {utf8_fault(line, error)}"
    if bad > good:
        raise DataError(f"{said}; most of its lines are not")


def _is_object(line: bytes) -> bool:
    if not line.startswith(b"{"):
        return False
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _begins(head: bytes) -> str:
    return f"begins with {excerpt(head[:40].decode('utf-8', 'replace'), 20)}"
