"""Inputs of code-switching: every kind is read as a stream, in order, with the ids and positions it should have."""

import gzip
import json
import os
import subprocess
import sys
import tracemalloc
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from source_files import KINDS, ROWS, fault, jsonl, packed, put, read, table

from lingualift_ds.data.sources import Bad, open_source
from lingualift_ds.errors import DataError


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("zipped", [False, True])
def test_every_kind_gives_the_same_rows(tmp_path, name, zipped):
    content = KINDS[name]
    if zipped and not name.endswith(("parquet", "arrow")):
        name, content = name + ".gz", gzip.compress(content)
    path = put(tmp_path, name, content)
    source = open_source([path])
    kind = {"a.jsonl": "JSON lines", "a.csv": "CSV", "a.parquet": "Parquet", "array.json": "JSON"}.get(name)
    if kind:
        assert source.found == [f"{path}: {kind}, GSM8K rows, field 'question'"]
    assert source.count() == len(ROWS)
    for rows in (1, 7, 1000):
        assert [(row.id, row.text, row.position) for row in read(source, rows)] == [
            (row["id"], row["question"], position) for position, row in enumerate(ROWS)
        ]
    assert [str(file) for file in source.files] == [path]


@pytest.mark.parametrize(
    ("record", "text", "found"),
    [
        ({"id": 1, "text": "t", "target": "x"}, "t", "own rows, field 'text'"),
        ({"query": "q", "response": "r", "original_question": "o", "type": "GSM"}, "q", "MetaMathQA rows"),
        ({"instruction": "i", "input": "more", "output": "o"}, "i\nmore", "Alpaca rows, field 'instruction'"),
        ({"instruction": "i", "input": " ", "output": "o", "text": "the prompt"}, "i", "Alpaca rows"),
        ({"instruction": "i", "input": None, "output": "o"}, "i", "Alpaca rows"),
        ({"text": " ", "prompt": "p", "sentence": None}, "p", "JSON lines, field 'prompt'"),
        ({"n": 1, "english": "e"}, "e", "field 'english'"),
    ],
)
def test_shapes_and_fields_are_found(tmp_path, record, text, found):
    source = open_source([put(tmp_path, "a.jsonl", jsonl([record]))])
    assert found in source.found[0]
    assert [row.text for row in read(source)] == [text]


def test_the_field_is_that_of_the_first_row_with_text(tmp_path):
    rows = [{"text": None, "body": "b0"}, {"text": "t1", "body": "b1"}, {"content": "c2"}]
    path = put(tmp_path, "a.jsonl", b"{broken\n" + jsonl(rows))
    broken, null, row, missing = read(open_source([path]))
    assert (broken.where, null.message, row.text) == (f"{path}:1", "field 'text' is not text but null", "t1")
    assert missing == Bad(f"{path}:4", "no field 'text'; found content", 3)
    assert [row.text for row in read(open_source([path], field="body"))[1:3]] == ["b0", "b1"]
    with pytest.raises(DataError, match="no field 'bodi'; found text, body, content; did you mean 'body'?"):
        open_source([path], field="bodi")


def test_ids_are_the_rows_own_or_numbers_that_no_two_files_share(tmp_path):
    rows = [{"text": "a", "id": "x", "key": 7}, {"text": "b", "id": 12}, {"text": "c", "id": None}, {"text": "d"}]
    one = put(tmp_path, "one/train.jsonl", b"\n" + jsonl(rows))
    assert [row.id for row in read(open_source([one]))] == ["x", "12", "4", "5"]
    assert [row.id for row in read(open_source([one], id_field="key"))] == ["7", "3", "4", "5"]
    others = [put(tmp_path, "two/train.csv", b"text\nq\n"), put(tmp_path, "two/last.txt.gz", gzip.compress(b"z"))]
    both = read(open_source([one, *others]))
    assert [row.id for row in both] == ["x", "12", "train.jsonl:4", "train.jsonl:5", "train.csv:2", "last:1"]
    assert [row.position for row in both] == list(range(6))
    same = put(tmp_path, "two/train.jsonl", jsonl(rows))
    assert [row.id for row in read(open_source([one, same]))][3::4] == ["one/train.jsonl:5", "two/train.jsonl:4"]
    assert "no field 'kee' for the ids; found text, id, key; did you mean 'key'" in fault(one, id_field="kee")
    assert fault(one, os.path.join(tmp_path, "one/../one/train.jsonl")).count("is named twice among the inputs") == 1


def test_blank_lines_are_rows_of_text_and_no_rows_of_json(tmp_path):
    text = put(tmp_path, "a.txt", "\ufeffone\r\n\r\n \ntwo\u2028three\x00".encode())
    for rows in (1, 7, 1000):
        assert [tuple(row)[1:] for row in read(open_source([text]), rows)] == [
            ("one", f"{text}:1", 0), ("", f"{text}:2", 1), (" ", f"{text}:3", 2), ("two\u2028three\0", f"{text}:4", 3),
        ]  # fmt: skip
    lines = put(tmp_path, "a.jsonl", b'\n \t\n{"text": ""}\r\n\r\n\n{"text": "x\\u0000"}\n\n')
    for rows in (1, 7, 1000):
        assert [tuple(row)[1:] for row in read(open_source([lines]), rows)] == [
            ("", f"{lines}:3", 0), ("x\0", f"{lines}:6", 1)
        ]  # fmt: skip
    assert open_source([lines]).count() == 2 and open_source([text, lines]).count() == 6


@pytest.mark.parametrize("wrap", ["%s", '{"skipped": [1, {"a": "b"}], "data": %s}'])
def test_a_big_array_is_never_held_whole(tmp_path, wrap):
    rows = json.dumps([{"text": "word " * 40, "n": n} for n in range(40_000)])
    path = put(tmp_path, "a.json", (wrap % rows).encode())
    size = os.path.getsize(path)
    tracemalloc.start()
    count = sum(block.count for block in open_source([path]).blocks(100))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 40_000 and peak < size / 3, (peak, size)


@given(st.lists(st.text(st.characters(exclude_categories=("Cs",)), max_size=30), min_size=1, max_size=30), st.data())
def test_text_survives_every_kind(tmp_path_factory, texts, data):
    folder = tmp_path_factory.mktemp("any")
    rows = [{"question": text, "answer": ""} for text in texts]
    cells = [{name: text.replace("\r", "") for name, text in row.items()} for row in rows]
    size = data.draw(st.integers(1, 40))
    indent = data.draw(st.sampled_from([None, 1]))
    for name, content, wanted in (
        ("a.jsonl", jsonl(rows), rows),
        ("a.json", json.dumps(rows, indent=indent).encode(), rows),
        ("a.parquet", packed(rows), rows),
        ("a.csv", table(cells), cells),
    ):
        found = read(open_source([put(folder, name, content)], field="question"), size)
        assert [row.text for row in found] == [row["question"] for row in wanted], name


def test_folders_are_read_by_split_and_never_mixed(tmp_path):
    one, two = jsonl(ROWS[:2]), jsonl(ROWS[2:3])
    put(tmp_path, "hub/README.md", b"# hello")
    put(tmp_path, "hub/LICENSE.txt", b"hello")
    put(tmp_path, "hub/dataset_infos.json", b"{}")
    put(tmp_path, "hub/data/train-00001-of-00002.parquet", packed(ROWS[2:3]))
    put(tmp_path, "hub/data/train-00000-of-00002.parquet", packed(ROWS[:2]))
    put(tmp_path, "hub/data/test-00000-of-00001.parquet", packed(ROWS[5:6]))
    hub = str(tmp_path / "hub")
    source = open_source([hub])
    assert [row.id for row in read(source)] == ["r0", "r1", "r2"] and source.count() == 3
    assert source.found == [f"{hub}: 2 files, Parquet, GSM8K rows, field 'question'"]
    assert [row.id for row in read(open_source([hub], split="test"))] == ["r5"]
    assert fault(hub, split="dev") == f"{hub}: has no files of the split 'dev'; found test, train"
    put(tmp_path, "plain/b.jsonl", two)
    put(tmp_path, "plain/a.jsonl.gz", gzip.compress(one))
    assert [row.id for row in read(open_source([tmp_path / "plain"]))] == ["r0", "r1", "r2"]
    put(tmp_path, "plain/b.csv", table(ROWS))
    assert "holds files of several formats (csv, jsonl)" in fault(tmp_path / "plain")
    assert len(read(open_source([tmp_path / "plain"], fmt="csv"))) == 25
    put(tmp_path, "configs/main/train.jsonl", one)
    put(tmp_path, "configs/socratic/train.jsonl", one)
    assert "holds data in several folders (main, socratic); name one" in fault(tmp_path / "configs")
    (tmp_path / "none").mkdir()
    put(tmp_path, "none/model.bin", b"x")
    assert "is a folder without data files; found model.bin; looked for .jsonl" in fault(tmp_path / "none")


def test_saved_data_sets_are_read(tmp_path):
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    try:
        saved = datasets.Dataset.from_list(ROWS)
        saved.save_to_disk(tmp_path / "one", num_shards=2)
        datasets.DatasetDict({"train": saved, "test": saved.select([3])}).save_to_disk(tmp_path / "splits")
    finally:
        datasets.enable_progress_bars()
    for folder in ("one", "splits"):
        source = open_source([tmp_path / folder])
        assert [row.text for row in read(source, 7)] == [row["question"] for row in ROWS] and source.count() == 25
    assert [row.id for row in read(open_source([tmp_path / "splits"], split="test"))] == ["r3"]
    assert fault(tmp_path / "splits", split="dev").endswith("has no split 'dev'; found train, test")
    put(tmp_path, "one/state.json", b"{}")
    assert fault(tmp_path / "one").endswith("one/state.json: is damaged: no '_data_files' can be read from it")


class Streamed(list):
    """As far as it matters here, a streamed data set of `datasets`."""

    info = SimpleNamespace(splits={"train": SimpleNamespace(num_examples=25)})


def test_a_name_of_the_hub_is_streamed(tmp_path, monkeypatch):
    asked = []

    def load_dataset(name, config, split, streaming):
        asked.append((name, config, split, streaming))
        if name == "no/where":
            raise ConnectionError("Couldn't reach 'no/where' on the Hub (LocalEntryNotFoundError)\nmore")
        return Streamed(ROWS)

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    monkeypatch.chdir(tmp_path)
    source = open_source(["openai/gsm8k:main"])
    assert asked == [("openai/gsm8k", "main", "train", True)]
    assert source.count() == 25 and source.files == []
    assert [row.text for row in read(source, 7)] == [row["question"] for row in ROWS]
    assert source.found == ["openai/gsm8k:main: Hugging Face data set, GSM8K rows, field 'question'"]
    assert fault("no/where") == (
        "no/where: is no file or folder here, and as a data set of the Hugging Face hub it cannot be opened "
        "(Couldn't reach 'no/where' on the Hub (LocalEntryNotFoundError))"
    )
    (tmp_path / "data").mkdir()
    for slip in ("data/train", "train.jsonl", "no/such/file", "/no/such"):
        assert fault(slip) == f"{slip}: no such file"


def test_importing_and_reading_lines_loads_no_heavy_library(tmp_path):
    path = put(tmp_path, "a.jsonl", jsonl(ROWS))
    code = (
        "import sys; from lingualift_ds.data.sources import open_source;"
        f"list(open_source([{path!r}]).blocks());"
        "print([name for name in ('torch', 'pyarrow', 'datasets', 'transformers') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"
