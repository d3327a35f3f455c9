"""What cannot be used of an input: a bad row is told and passed over, a broken file is told in one line."""

import gzip
import json
import os

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from source_files import KINDS, ROWS, fault, jsonl, packed, put, read

from lingualift_ds.data.sources import Bad, Row, open_source
from lingualift_ds.errors import ConfigError, DataError

BAD = [
    (b'{"text": ', "not JSON (Expecting value at column 10): '{\"text\": '; one object a line is needed"),
    (b'{"text": "caf\xe9"}', "not UTF-8 (byte 0xe9 at column 14); save the file as UTF-8"),
    (b'["text"]', "found a JSON array, an object {...} a row is needed"),
    (b"7", "found a JSON number, an object {...} a row is needed"),
    (b'{"body": "b"}', "no field 'text'; found body"),
    (b'{"text": null}', "field 'text' is not text but null"),
    (b'{"text": 3.5}', "field 'text' is not text but number"),
    (b'{"text": ["a"]}', "field 'text' is not text but array"),
    (b'{"text": {"en": "a"}}', "field 'text' is not text but object"),
    (b'{"text": "\\ud83d"}', "half a surrogate pair is no character"),
    (b'{"text": "a", "id": "\\udc00"}', "half a surrogate pair is no character"),
    (b"[" * 2000, "JSON that cannot be read (maximum recursion depth exceeded"),
    (b'{"text": "a", "n": ' + b"1" * 5000 + b"}", "JSON that cannot be read (Exceeds the limit"),
    ("\u00a0".encode(), "not JSON (Expecting value at column 1)"),
]


@pytest.mark.parametrize(("line", "message"), BAD)
def test_a_bad_row_is_told_and_the_others_are_read(tmp_path, line, message):
    good = [b'{"text": "good"}'] * 3
    path = put(tmp_path, "a.jsonl", b"\n".join([*good, b"", line, *good]))
    for rows in (1, 7, 1000):
        found = read(open_source([path]), rows)
        assert [row.position for row in found] == list(range(7))
        assert [type(row) for row in found] == [Row] * 3 + [Bad] + [Row] * 3
        assert found[3].where == f"{path}:5" and found[3].message.startswith(message)
    assert open_source([path]).count() == 7


def test_alpaca_input_that_is_no_text_is_a_bad_row(tmp_path):
    rows = [{"instruction": "a", "input": "", "output": ""}, {"instruction": "b", "input": [1], "output": ""}]
    found = read(open_source([put(tmp_path, "a.jsonl", jsonl(rows))]))
    assert found[1].message == "field 'input' is not text but array"


def test_bad_rows_of_other_kinds(tmp_path):
    good = '{"text": "é"}'
    path = put(tmp_path, "a.json", f'[{good}, 5, {{"text": null}}, {{"text": "\\udc00"}}, NaN, {{}}, {good}]'.encode())
    found = read(open_source([path]))
    assert [row.message for row in found[1:6]] == [
        "found a JSON number, an object {...} a row is needed",
        "field 'text' is not text but null",
        "not UTF-8, or half a surrogate pair, which is no character",
        "found a JSON number, an object {...} a row is needed",
        "no field 'text'; found none",
    ]
    assert found[5].where == f"{path}:item 6" and found[6].text == "é" and found[6].id == "7"

    text = b'text,n\ngood,1\n\none, two,3\nfew\ncaf\xe9,1\n"a ""quoted""\n\ncell",2\n"bad"cell,1\n,2\n  \nlast,9\n'
    path = put(tmp_path, "a.csv", text)
    found = read(open_source([path]), 2)
    assert [(row.where.rpartition(":")[2], getattr(row, "message", None) or row.text) for row in found] == [
        ("2", "good"),
        ("4", "cells: 3, in the header: 2; found 'one |  two | 3'"),
        ("5", "cells: 1, in the header: 2; found 'few'"),
        ("6", "not UTF-8; save the file as UTF-8"),
        ("7", 'a "quoted"\n\ncell'),
        ("10", "not CSV (',' expected after '\"')"),
        ("11", ""),
        ("13", "last"),
    ]
    column = pa.StringArray.from_buffers(3, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0"), pa.py_buffer(b"a\xffc"))
    parquet.write_table(pa.table({"text": column}), tmp_path / "a.parquet")
    found = read(open_source([tmp_path / "a.parquet"]))
    assert [row.id for row in (found[0], found[2])] == ["1", "3"]
    assert (found[1].where, found[1].message) == (
        f"{tmp_path}/a.parquet:row 2",
        "not UTF-8 (invalid start byte at byte 0)",
    )


LATIN = "".join(f"caf\xe9 {n}\n" for n in range(9)).encode("latin-1")
STRUCTURAL = [
    ("a.jsonl", None, "{path}: no such file"),
    ("a.jsonl", b"", "{path}: the file is empty"),
    ("a.jsonl", b"\n \n", "{path}: the file is empty"),
    ("a.txt.gz", gzip.compress(b"", mtime=0), "{path}: the file is empty, once unpacked"),
    ("a.csv", b"text,n\n", "{path}: holds no row"),
    ("a.json", b"[]", "{path}: holds no row"),
    ("a.parquet", packed([{"text": "a"}])[:-20], "{path}: broken Parquet (Parquet magic bytes not found in footer"),
    ("a.parquet", jsonl(ROWS), "{path}: is no Parquet file: it begins with '{{\"id\": \"r0\""),
    ("a.jsonl", packed(ROWS), "{path}: is Parquet by its content; name it .parquet"),
    ("a.parquet.gz", gzip.compress(packed(ROWS), mtime=0), "{path}: is Parquet inside gzip; unpack it"),
    ("a.csv", b"PK\x03\x04 and more", "{path}: looks like a zip archive or an office document; read are JSON lines ("),
    ("a.txt", b"%PDF-1.7\n", "{path}: looks like a PDF document; read are"),
    ("a.jsonl", b"version https://git-lfs.github.com/spec/v1\noid", "{path}: looks like a Git LFS pointer"),
    ("a.txt", "hello".encode("utf-16"), "{path}: looks like UTF-16 text: save it as UTF-8"),
    ("a.txt", b"ab\0\0" * 100, "{path}: is binary, or UTF-16: 200 of its first 400 bytes are NUL"),
    ("a.txt", LATIN, "{path}:1: not UTF-8 (byte 0xe9 at column 4); save the file as UTF-8; most of its lines are not"),
    ("a.jsonl.gz", gzip.compress(bytes(range(50)), mtime=0)[:-20], "{path}: broken gzip (Compressed file ended before"),
    ("a.jsonl", json.dumps(ROWS).encode(), "{path}: is one JSON array, not an object a line; name it .json"),
    ("a.jsonl", b"some\nwords\n", "{path}:1: not JSON (Expecting value at column 1): 'some'; one object a line is "),
    ("a.txt", jsonl(ROWS), "{path}: its first line is a JSON object; name it .jsonl, or name the format"),
    ("a.json", b"words", "{path}: is no JSON array, object or lines: it begins with 'words'"),
    ("a.json", b'{\n"rows": [1],\n"b": 2\n}', "{path}: holds one JSON object with the keys rows, b; an array of"),
    ("a.json", b'{"data": [\n{"text": "a"},\n{"text": }]}', "{path}:3: broken JSON after item 1 (Expecting value"),
    ("a.json", b'[\n{"text": "a"}\n{"text": "b"}]', "{path}:3: broken JSON after item 1 (',' or ']' is needed, at '{{"),
    ("a.json", b'[\n{"text": "a"},', "{path}:2: broken JSON after item 1 (Expecting value, at its end)"),
    ("a.json", b'{"data": [{"text": "a"}]}\n{"data": []}', "{path}:2: broken JSON after item 1 (nothing more is allow"),
    ("a.json", b'{"data": [{"text": "a"}], "n": ', "{path}:1: broken JSON after item 1 (Expecting value, at its end"),
    ("a.json", b'[{"text": "a"}]\n[{"text": "b"}]', "{path}:2: broken JSON after item 1 (nothing more is allow"),
    ("a.csv", b"txet,n\na,1\n", "{path}:2: no field with English text; found txet, n; looked for text, sentence,"),
    ("a.csv", b"text,text\na,b\n", "{path}:1: the header names 'text' more than once"),
    ("a.tsv", b"a b\nc d\n", "{path}:2: no field with English text; found a b; looked for text, sentence,"),
    ("a.csv", b'text,n\na,1\n"b,2\nc,3\n', "{path}:3: a quote that is opened here is never closed, or after 16 MB"),
    ("a.bin", b"what is this", "{path}: its name does not tell what it is; read are JSON lines (.jsonl, .ndjson)"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "message"), STRUCTURAL)
def test_a_file_that_is_wrong_as_a_whole_is_told_in_one_line(tmp_path, name, content, message):
    path = str(tmp_path / name) if content is None else put(tmp_path, name, content)
    assert fault(path).startswith(message.format(path=path))


def test_what_is_asked_for_and_not_there(tmp_path):
    path = put(tmp_path, "a.parquet", packed([{"text": "a", "n": 1, "question": None}]))
    assert fault(path, field="questoin") == (
        f"{path}:row 1: no field 'questoin'; found text, n, question; did you mean 'question'?"
    )
    assert f"{path}:row 1: field 'n' is not text but number; found text, n, question" == fault(path, field="n")
    text = put(tmp_path, "a.txt", b"a\n")
    assert fault(text, field="text") == f"{text}: plain text has no field 'text'; a sentence a line is read"
    assert fault() == "no input is named"
    with pytest.raises(ConfigError, match="format 'xml': allowed are jsonl, json, csv"):
        open_source([text], fmt="xml")
    assert [row.text for row in read(open_source([put(tmp_path, "rows", jsonl(ROWS))], fmt="text"))][0].startswith("{")
    os.mkfifo(tmp_path / "pipe.jsonl")
    assert "is no plain file, a file is needed" in fault(str(tmp_path / "pipe.jsonl"))


def test_an_unreadable_file_is_named(tmp_path, monkeypatch):
    path = put(tmp_path, "a.jsonl", jsonl(ROWS))

    def refuse(self, *args, **more):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    assert fault(path) == f"{path}: cannot be read (Permission denied)"


def test_gzip_that_breaks_in_the_middle(tmp_path):
    lines = b"".join(b'{"text": "%s"}\n' % os.urandom(60).hex().encode() for _ in range(5000))
    whole = gzip.compress(lines)
    path = put(tmp_path, "a.jsonl.gz", whole[: len(whole) // 2])
    said = fault(path)
    assert said.startswith(f"{path}: broken gzip (Compressed file ended") and ", somewhere after row " in said
    path = put(tmp_path, "b.jsonl.gz", whole[:-8] + b"\0" * 8)
    assert "broken gzip (CRC check failed" in fault(path)


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "array.json", "a.parquet"])
def test_a_file_that_changes_while_it_is_read_is_an_error_in_the_end(tmp_path, name):
    path = put(tmp_path, name, KINDS[name])
    source = open_source([path])
    blocks = source.blocks(5)
    next(blocks)
    with open(path, "ab") as file:
        file.write(b"\n" + KINDS[name])
    with pytest.raises(DataError, match="was changed while it was being read"):
        list(blocks)
    with pytest.raises(DataError, match="was changed while it was being read"):
        source.count()


def test_a_line_without_end_is_one_bad_row(tmp_path, monkeypatch):
    monkeypatch.setattr("lingualift_ds.data.sources.lines.LONGEST", 1 << 10)
    long = b'{"text": "' + b"x" * 5000 + b'"}\n'
    path = put(tmp_path, "a.jsonl", long + jsonl(ROWS[:2]) + long)
    for rows in (1, 1000):
        found = read(open_source([path], field="question"), rows)
        assert [(type(row), row.position, row.where) for row in found] == [
            (kind, n, f"{path}:{n + 1}") for n, kind in enumerate([Bad, Row, Row, Bad])
        ]
        assert "is no row: it begins with" in found[0].message
    assert open_source([path], field="question").count() == 4


def test_an_array_that_breaks_in_the_middle_is_told_by_its_line(tmp_path):
    rows = json.dumps([{"text": "word " * 99, "n": n} for n in range(9000)], indent=0)
    path = put(tmp_path, "a.json", rows.replace('"n": 7000', '"n": 7,000').encode())
    assert fault(path).startswith(f"{path}:28004: broken JSON after item 7,000 (Expecting property name")
