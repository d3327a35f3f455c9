"""JSON lines: every damaged file is named with its line, and output appears whole or not at all."""

import json

import pytest

from lingualift_ds.data.jsonl import read_jsonl, read_lines, write_jsonl
from lingualift_ds.errors import DataError


@pytest.mark.parametrize(
    ("content", "where", "says"),
    [
        (b'{"a": 1}\n{"a": \n', ":2", "not JSON"),
        (b'{"a": 1}\n\n[1, 2]\n', ":3", "array"),
        (b'"text"\n', ":1", "string"),
        (b"null\n", ":1", "null"),
        (b'{"a": "ok"}\n{"a": "\xe9t\xe9"}\n', ":2", "not UTF-8 (byte 0xe9 at column 8)"),
        (b'{"a": "\\ud83d"}\n', ":1", "surrogate"),
        (b"[" * 100_000 + b"\n", ":1", "JSON"),
        (b"", "", "empty"),
        (b"\n  \n", "", "empty"),
    ],
)
def test_damaged_file_is_named_with_its_line(tmp_path, content, where, says):
    path = tmp_path / "data.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        list(read_jsonl(path))
    message = str(caught.value)
    assert message.startswith(f"{path}{where}: ") and says in message and "\n" not in message


def test_missing_file_and_folder_are_errors_before_the_first_record(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_jsonl(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match="is a folder"):
        read_jsonl(tmp_path)


def test_mark_windows_line_ends_and_blank_lines_are_read_over(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n\r\n{"a": 2}')
    assert list(read_jsonl(path)) == [(1, {"a": 1}), (3, {"a": 2})]


def test_unicode_line_separators_do_not_break_a_record(tmp_path):
    path = tmp_path / "data.jsonl"
    record = {"text": "one\u2028two\x85three"}
    write_jsonl(path, [record])
    assert list(read_jsonl(path)) == [(1, record)]
    assert len(list(read_lines(path))) == 1


def test_round_trip_keeps_scripts_readable_and_counts(tmp_path):
    path = tmp_path / "new" / "folder" / "out.jsonl"
    records = [{"text": "สวัสดี 😀"}, {"text": 'a\nb\t"c"', "n": [1, None]}]
    assert write_jsonl(path, records) == 2
    assert [record for _, record in read_jsonl(path)] == records
    assert "สวัสดี" in path.read_text(encoding="utf-8")


def test_a_failure_midway_leaves_the_old_file_and_no_rubbish(tmp_path):
    path = tmp_path / "out.jsonl"
    write_jsonl(path, [{"old": 1}])

    def broken():
        yield {"new": 1}
        raise DataError("input.jsonl:7: broken")

    with pytest.raises(DataError, match="input.jsonl:7"):
        write_jsonl(path, broken())
    with pytest.raises(DataError, match="record 1 cannot be written"):
        write_jsonl(path, [{"bad": {1, 2}}])
    with pytest.raises(DataError, match="no record"):
        write_jsonl(path, [])
    assert json.loads(path.read_text()) == {"old": 1}
    assert [item.name for item in tmp_path.iterdir()] == ["out.jsonl"]


def test_the_file_appears_only_when_it_is_whole(tmp_path):
    path = tmp_path / "out.jsonl"

    def watched():
        for index in range(3):
            assert not path.exists()
            yield {"index": index}

    write_jsonl(path, watched())
    assert path.exists()


def test_unwritable_places_are_named(tmp_path):
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file" / "out.jsonl", tmp_path):
        with pytest.raises(DataError, match=str(path)):
            write_jsonl(path, [{"a": 1}])
