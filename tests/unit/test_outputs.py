"""Outputs of code-switching: the same bytes however the work was divided, and whole under their names or not there."""

import errno
import gzip
import json
import os
import resource

import pyarrow.parquet as parquet
import pytest

from lingualift_ds.data import outputs
from lingualift_ds.data.atomic import AtomicFile, write_aside
from lingualift_ds.data.jsonl import read_jsonl, write_jsonl
from lingualift_ds.data.outputs import encode, open_output, output_kind
from lingualift_ds.errors import ConfigError, DataError

NAMES = ["a.jsonl", "a.jsonl.gz", "a.parquet"]
RECORDS = [
    {"id": f"r{n}", "source": f"a.jsonl:{n}", "text": f"mtu\u2028 {n} ☃", "language": "sw", "ratio": n % 3 / 2}
    for n in range(60)
]


@pytest.fixture(autouse=True)
def small_groups(monkeypatch):
    monkeypatch.setattr(outputs, "_GROUP", 16)
    monkeypatch.setattr(outputs, "_PIECE", 1 << 9)


def write(path, records=RECORDS, size: int = 7) -> int:
    with open_output(path) as output:
        for start in range(0, len(records), size):
            output.write(encode(records[start : start + size], output.kind))
        return output.commit()


def read(path) -> list[dict]:
    if path.suffix == ".parquet":
        return parquet.read_table(path).to_pylist()
    data = path.read_bytes()
    data = gzip.decompress(data) if path.suffix == ".gz" else data
    return [json.loads(line) for line in data.decode().split("\n")[:-1]]


@pytest.mark.parametrize("name", NAMES)
def test_the_bytes_depend_on_the_records_alone(tmp_path, name):
    path = tmp_path / "new" / name
    seen = set()
    for size in (1, 7, 16, 1000):
        assert write(path, size=size) == 60
        seen.add(path.read_bytes())
    assert len(seen) == 1 and read(path) == RECORDS
    assert [file.name for file in path.parent.iterdir()] == [name]
    if name == "a.jsonl":
        assert write_jsonl(tmp_path / "b.jsonl", RECORDS) == 60
        assert (tmp_path / "b.jsonl").read_bytes() in seen


def test_parquet_has_row_groups_of_one_size_and_columns_of_one_type(tmp_path):
    path = tmp_path / "a.parquet"
    write(path, [record | {"ratio": 1, "n": 3, "none": None} for record in RECORDS[:40]])
    file = parquet.ParquetFile(path)
    assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [16, 16, 8]
    types = {field.name: str(field.type) for field in file.schema_arrow}
    assert types == dict.fromkeys(("id", "source", "text", "language", "none"), "string") | {
        "ratio": "double", "n": "int64"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("first", "then", "message"),
    [
        ({"n": 1}, {"n": 1.5}, "records from 17 on cannot be written as Parquet (column 'n' held whole numbers so far"),
        ({"n": "a"}, {"n": 1}, "records from 17 on cannot be written as Parquet (column 'n': "),
        ({"n": "a"}, {"n": "\ud83d"}, "records from 17 on cannot be written as Parquet ('utf-8' codec"),
        ({"n": 1}, {"id": "x", "m": 2}, "record 'x' has a column 'id', which those before have not"),
    ],
)
def test_records_that_parquet_cannot_hold_are_told_and_none_is_bent(tmp_path, first, then, message):
    for size in (1, 7, 16, 1000):  # what shares a block with the first row group is no part of it
        with pytest.raises(DataError) as caught:
            write(tmp_path / "a.parquet", [first] * 20 + [then] * 20, size)
        assert str(caught.value).startswith(f"{tmp_path}/a.parquet: {message}") and "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_record_that_is_no_json_is_told_by_its_id():
    for value, said in (({1, 2}, "not JSON serializable"), ("\ud83d", "surrogates not allowed")):
        with pytest.raises(DataError, match=f"record 'x' cannot be written as JSON .*{said}"):
            encode([{"id": "w"}, {"id": "x", "text": value}], "lines")


def test_only_names_that_tell_the_kind_are_taken(tmp_path):
    kinds = {"a.jsonl": "lines", "A.JSONL": "lines", "a.ndjson": "lines", "a.json": "lines", "a.jsonl.gz": "packed"}
    assert {name: output_kind(name) for name in kinds} == kinds
    for name in ("a.csv", "a", "a.gz", "a.txt.gz", ".jsonl"):
        with pytest.raises(ConfigError, match="must end in .jsonl, .ndjson, .json, .jsonl.gz, .parquet"):
            open_output(tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_seen_before_commit_and_nothing_is_left_without_it(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        with open_output(path) as output:
            for _ in range(9):
                output.write(encode(RECORDS, output.kind))
                assert path.read_bytes() == b"old"
            raise KeyboardInterrupt
    with pytest.raises(DataError, match="there is no record to write"):
        write(path, [])
    with open_output(path) as output:
        output.write(encode([], output.kind))
        output.write(encode(RECORDS[:1], output.kind))
        output.abort()
    assert path.read_bytes() == b"old" and [file.name for file in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_system_that_takes_no_more_is_told_and_the_old_file_stays(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"old")
    records = [record | {"text": os.urandom(500).hex()} for record in RECORDS]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))  # the system's own refusal, as of a quota
    try:
        with pytest.raises(DataError) as caught:
            write(path, records)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(caught.value) == f"{path}: cannot be written (File too large)"
    assert path.read_bytes() == b"old" and [file.name for file in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("name", NAMES)
def test_a_disk_that_is_full_at_the_end_is_told(tmp_path, monkeypatch, name, call):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    write(tmp_path / name)
    old = (tmp_path / name).read_bytes()
    monkeypatch.setattr(f"lingualift_ds.data.atomic.os.{call}", full)
    with pytest.raises(DataError, match=r"cannot be written \(No space left on device\)"):
        write(tmp_path / name, RECORDS[:5])
    assert (tmp_path / name).read_bytes() == old and [file.name for file in tmp_path.iterdir()] == [name]


def test_places_that_cannot_be_written_are_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "link.jsonl").symlink_to("folder.jsonl")
    for path, said in (
        (tmp_path / "file" / "a.jsonl", "cannot be written ("),
        (tmp_path / "folder.jsonl", "is not a plain file"),
        (tmp_path / "link.jsonl", "is not a plain file"),
        (tmp_path / ("x" * 300 + ".jsonl"), "cannot be written (File name too long)"),
    ):
        with pytest.raises(DataError) as caught:
            open_output(path)
        assert str(caught.value).startswith(f"{path}: {said}")


def test_a_link_stays_a_link_and_the_longest_name_can_be_written(tmp_path):
    (tmp_path / "scratch").mkdir()
    link = tmp_path / "out.jsonl"
    link.symlink_to("scratch/real.jsonl")
    write(link)
    assert link.is_symlink() and len(list(read_jsonl(tmp_path / "scratch/real.jsonl"))) == 60
    long = tmp_path / ("é" * 124 + ".jsonl")
    write(long)
    assert len(read(long)) == 60


def test_reports_are_written_whole_too(tmp_path):
    path = tmp_path / "report.json"
    write_aside(path, "first")
    with pytest.raises(UnicodeEncodeError):
        write_aside(path, "\ud83d")
    with AtomicFile(path) as file:
        file.write(b"half")
    assert path.read_text() == "first"
    write_aside(path, "sécond")
    assert path.read_text(encoding="utf-8") == "sécond" and len(list(tmp_path.iterdir())) == 1
