"""Files of rows, as users have them, for the tests of inputs; and how their rows are read."""

import csv
import io
import json
import pickle

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from lingualift_ds.data.sources import Bad, Row, open_source
from lingualift_ds.errors import DataError

ROWS = [{"id": f"r{n}", "question": f"How much is {n}?\nSay it, “please” ☃", "answer": f"#### {n}"} for n in range(25)]


def jsonl(rows) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def table(rows, delimiter=",") -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def packed(rows) -> bytes:
    data = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(rows), data, row_group_size=10)
    return data.getvalue()


def arrow(rows) -> bytes:
    data, content = io.BytesIO(), pa.Table.from_pylist(rows)
    with pa.ipc.new_stream(data, content.schema) as stream:
        stream.write_table(content, max_chunksize=10)
    return data.getvalue()


def put(folder, name: str, content: bytes) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return str(path)


def read(source, rows: int = 1000) -> list[Row | Bad]:
    """All rows, each block carried as it is to another process."""
    return [row for block in source.blocks(rows) for row in pickle.loads(pickle.dumps(block)).rows()]


def fault(*paths, **options) -> str:
    with pytest.raises(DataError) as caught:
        source = open_source(paths, **options)
        read(source)
    assert "\n" not in str(caught.value)
    return str(caught.value)


KINDS = {
    "a.jsonl": jsonl(ROWS),
    "a.ndjson": jsonl(ROWS),
    "lines.json": jsonl(ROWS),
    "array.json": json.dumps(ROWS).encode(),
    "pretty.json": b"\xef\xbb\xbf" + json.dumps(ROWS, indent=2, ensure_ascii=False).encode(),
    "data.json": json.dumps({"version": [{"a": 1}], "data": ROWS}).encode(),
    "split.json": json.dumps({"test": [{"question": "no", "answer": "no"}] * 3, "train": ROWS}).encode(),
    "a.csv": table(ROWS),
    "semicolons.csv": table(ROWS, ";"),
    "a.tsv": table(ROWS, "\t"),
    "a.parquet": packed(ROWS),
    "a.arrow": arrow(ROWS),
}
