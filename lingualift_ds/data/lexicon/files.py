"""Files of word lists, of any kind: opened whatever their compression and encoding, and read as raw pairs.

What a file is shows in its content; its name decides only where the content does not: which side of a file without
named columns is English (`en-sw.txt`, `sw-en.txt`).
"""

import codecs
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import ijson

from lingualift_ds.data.lexicon.columns import Columns
from lingualift_ds.data.lexicon.json_pairs import JsonReader, document_pairs, line_pairs
from lingualift_ds.data.lexicon.naming import parse_name
from lingualift_ds.data.lexicon.pairs import Pair, Several, Unread
from lingualift_ds.data.lexicon.tables import Layout, Line, table_pairs
from lingualift_ds.errors import DataError
from lingualift_ds.log import get_logger

_logger = get_logger("lexicon")

_HEAD = 1 << 16
"""Bytes that are looked at to tell what a file is."""
_JSON_START = re.compile(r'\s*(\{\s*("|\}|$)|\[\s*([\["{\]]|$))')
_ENCODINGS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins as UTF-16's does
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_ARCHIVES = {
    b"PK\x03\x04": "a zip archive or a spreadsheet",
    b"BZh": "compressed with bzip2",
    b"\xfd7zXZ": "compressed with xz",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
}


def read_pairs(
    path: Path | str, language: str, columns: Columns | None = None, quiet: bool = False
) -> Iterator[Pair | Several | Unread]:
    """Stream the raw pairs of a word list: (English, translation, frequency or None), not cleaned.

    Kinds, plain or compressed with gzip, in UTF-8 or (with a byte-order mark) UTF-16:

    - a pair a line, separated by a TAB or else the first space (MUSE, AfroMT), with a score behind or without, or a
      part of speech between;
    - a table whose first line names its columns (TSV, CSV), below Excel's `sep=;` or without;
    - JSON and JSON lines (see `json_pairs`).

    Comments (`# ...`) at the head are left out. A line that is not UTF-8 comes as an Unread, a cell with several
    translations as a Several.

    Args:
        columns: which columns or keys to read; None: found by their names.
        quiet: do not log how a file is read where that is not as usual.

    Raises:
        DataError: while reading; names the file, and the line where it is one line's fault.
    """
    path = Path(path)
    try:
        with _open(path) as stream:
            yield from _pairs(path, stream, language, columns, quiet)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: damaged gzip file ({error}); copy or compress it again") from None
    except ijson.JSONError as error:
        raise DataError(_json_damage(path, error)) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None


def _pairs(
    path: Path, stream: io.BufferedReader, language: str, columns: Columns | None, quiet: bool
) -> Iterator[Pair | Several | Unread]:
    named = parse_name(path.name)
    turned = named is not None and named.turned
    head = stream.peek(_HEAD)
    kind = _json_kind(path, head)
    if kind:
        if turned and columns is None and not quiet:
            _logger.info(f"{path}: named translation first; keys and lists are read turned round")
        reader = JsonReader(language, turned, columns)
        if kind == "lines":
            return line_pairs(path, _lines(path, stream), reader)
        return document_pairs(path, stream, reader, array=head.lstrip()[:1] == b"[")
    layout, pairs = table_pairs(path, _lines(path, stream), language, turned, columns)
    if layout.roles.english > layout.roles.translation and columns is None and not quiet:
        said = "its header" if layout.header else "its name" if turned else "its separator, @"
        _logger.info(f"{path}: translation first, by {said}; read turned round")
    if layout.parts_of_speech and not quiet:
        _logger.info(f"{path}: parts of speech in the second column; the third is read for the {_third(layout)}")
    return pairs


def _third(layout: Layout) -> str:
    return "translation" if layout.roles.translation > layout.roles.english else "English"


def _open(path: Path) -> io.BufferedReader:
    """The content of a file from its first character, in UTF-8 with line feeds. Raises DataError, OSError."""
    if not path.exists():
        raise DataError(f"{path}: no such file")
    if path.is_dir():
        raise DataError(f"{path}: is a folder, a file is needed")
    stream = open(path, "rb", buffering=_HEAD)  # noqa: SIM115 - read_pairs closes it
    if stream.peek(2)[:2] == b"\x1f\x8b":
        stream = io.BufferedReader(gzip.GzipFile(fileobj=stream), _HEAD)
    head = stream.peek(_HEAD)[:_HEAD]
    for start, what in _ARCHIVES.items():
        if head.startswith(start):
            raise DataError(f"{path}: is {what}; unpack it, text or gzip is read")
    encoding = next((name for mark, name in _ENCODINGS if head.startswith(mark)), None)
    if encoding is None and b"\0" in head:
        raise DataError(f"{path}: is a binary file; text in UTF-8 is needed")
    if encoding or (b"\r" in head and b"\n" not in head):  # rare, and so read as a whole
        text = stream.read().decode(encoding or "utf-8", "replace")
        stream = io.BufferedReader(io.BytesIO(text.replace("\r\n", "\n").replace("\r", "\n").encode()), _HEAD)
        head = stream.peek(_HEAD)
    elif head.startswith(codecs.BOM_UTF8):
        stream.read(len(codecs.BOM_UTF8))
    if not head.removeprefix(codecs.BOM_UTF8).strip() and len(head) < _HEAD:
        raise DataError(f"{path}: the file is empty")
    return stream


def _lines(path: Path, stream: io.BufferedReader) -> Iterator[Line]:
    """Numbered lines without their ends, blank ones left out; bytes that are no UTF-8 replaced by DAMAGED.

    Raises DataError where that is so in most lines.
    """
    good, damaged, first = 0, 0, 0
    for number, raw in enumerate(stream, start=1):
        try:
            line = raw.decode()
        except UnicodeDecodeError:
            line, damaged, first = raw.decode(errors="replace"), damaged + 1, first or number
        else:
            good += 1
        line = line.rstrip("\r\n")
        if line and not line.isspace():
            yield number, line
    if damaged > good:
        raise DataError(
            f"{path}:{first}: not UTF-8, like {damaged:,} of its {good + damaged:,} lines; save the file as UTF-8"
        )


def _json_kind(path: Path, head: bytes) -> str:
    """`document`, `lines`, or "" for what is no JSON."""
    suffix = next((s for s in reversed(path.suffixes) if s != ".gz"), "").lower()
    text = head.decode(errors="replace")
    if suffix not in (".json", ".jsonl", ".ndjson") and not _JSON_START.match(text.split("\n", 1)[0]):
        return ""
    first, _, rest = text.lstrip().partition("\n")
    try:
        json.loads(first)
        return "lines" if rest.strip() else "document"
    except (ValueError, RecursionError):
        return "lines" if suffix in (".jsonl", ".ndjson") and "\n" in text else "document"


def _json_damage(path: Path, error: Exception) -> str:
    """Where a JSON document is damaged, which a second reader says better than the one that streams."""
    said = " ".join(str(error).split())[:80]
    try:
        with _open(path) as stream:
            raw = stream.read()
        json.loads(raw.decode())
    except UnicodeDecodeError as wrong:
        return f"{path}:{raw.count(10, 0, wrong.start) + 1}: not UTF-8; save the file as UTF-8"
    except json.JSONDecodeError as wrong:
        return f"{path}:{wrong.lineno}: not JSON ({wrong.msg} at column {wrong.colno})"
    except (RecursionError, ValueError):
        pass
    return f"{path}: not JSON ({said})"
