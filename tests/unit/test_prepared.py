"""Prepared samples: the same as tokenised directly, made once whoever asks, found again by content alone."""

import hashlib
import json
import logging
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tiny
from tokenizers import normalizers
from transformers import AutoTokenizer, ByT5Tokenizer

from lingualift_ds.config.layout import prompt_layout
from lingualift_ds.config.schema import AlignmentConfig
from lingualift_ds.data import cache, lock, prepared
from lingualift_ds.data.cache import prepared_samples, tokenizer_digest
from lingualift_ds.data.prepared import SampleList
from lingualift_ds.data.records import read_records
from lingualift_ds.data.rows import Rows
from lingualift_ds.data.tokenize import Sample, SampleTokenizer
from lingualift_ds.errors import ConfigError, DataError
from lingualift_ds.log import get_logger


@pytest.fixture(scope="module", autouse=True)
def tokenizers(tmp_path_factory):
    """Both tokenizers in a folder: trained anew they would differ, and other processes need the same."""
    folder = tmp_path_factory.mktemp("tokenizers")
    tiny.llm_tokenizer().save_pretrained(folder / "llm")
    tiny.encoder_tokenizer("mt5").save_pretrained(folder / "encoder")
    os.environ["TEST_TOKENIZERS"] = str(folder)
    yield
    del os.environ["TEST_TOKENIZERS"]


def tokenizer(llm_max: int = 200, encoder: bool = True, **changes) -> SampleTokenizer:
    llm, text = (AutoTokenizer.from_pretrained(Path(os.environ["TEST_TOKENIZERS"]) / n) for n in ("llm", "encoder"))
    layout = prompt_layout(AlignmentConfig(kind="ffn"))
    both = {"encoder": text, "encoder_max_tokens": 64, "layout": layout} if encoder else {}
    return SampleTokenizer(llm, llm_max, **(both | changes))


def write(path: Path, count: int = 40, extra: tuple[dict, ...] = ()) -> str:
    """Rows in two languages, and others that cannot be used."""
    rows = [json.loads(line) for line in tiny.write_rows(path, count).read_text().splitlines()]
    for i, row in enumerate(rows):
        row["language"] = "sw" if i % 3 else "en"
    rows += extra
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return str(path)


def rows(*paths: str, **changes) -> Rows:
    return Rows(**({"paths": paths, "shape": "auto", "instruction": "Solve in {language}:"} | changes))


def directly(paths: tuple[str, ...], tokens: SampleTokenizer, dropped: Counter | None = None) -> list[Sample]:
    records = (record for path in paths for record in read_records(path, "auto", "Solve in {language}:"))
    return list(tokens.samples(records, Counter() if dropped is None else dropped))


def assert_same(found: Sample, expected: Sample) -> None:
    assert (found.id, found.language, found.soft_rows) == (expected.id, expected.language, expected.soft_rows)
    for name in ("encoder_ids", "prompt_ids", "target_ids"):
        one, other = getattr(found, name), getattr(expected, name)
        assert one.dtype == other.dtype and np.array_equal(one, other), name


class Lines(logging.Handler):
    """What the toolkit logs, as (level, text)."""

    def __init__(self):
        super().__init__()
        self.lines: list[tuple[int, str]] = []

    def emit(self, record):
        self.lines.append((record.levelno, record.getMessage()))

    def warnings(self) -> list[str]:
        return [text for level, text in self.lines if level == logging.WARNING]


@pytest.fixture
def said():
    handler = Lines()
    get_logger().addHandler(handler)
    yield handler
    get_logger().removeHandler(handler)


def folders(where: Path) -> list[str]:
    return sorted(p.name for p in where.iterdir()) if where.is_dir() else []


UNUSABLE = (
    {"id": "empty", "text": " ", "target": "7"},
    {"id": "long", "text": "apples " * 90, "target": "7"},
    {"id": "none", "text": "apples", "target": ""},
)


@pytest.mark.parametrize("encoder", [True, False])
def test_prepared_samples_are_those_of_tokenising_directly(tmp_path, monkeypatch, encoder):
    monkeypatch.setattr(prepared, "_BATCH", 16)
    path, tokens = write(tmp_path / "rows.jsonl", 50, UNUSABLE), tokenizer(encoder=encoder)
    dropped: Counter = Counter()
    expected = directly((path,), tokens, dropped)
    first, again = (prepared_samples(rows(path), tokens, tmp_path / "cache") for _ in range(2))
    assert (first.built, again.built) == (True, False)
    for found in (first, again, SampleList(expected, dropped)):
        assert len(found) == len(expected) and found.dropped == dict(dropped)
        for i in (0, 15, 16, 49, len(expected) - 1, -1, np.int64(17)):
            assert_same(found[i], expected[i])
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
        assert found.llm_lengths.tolist() == [s.llm_length for s in expected]
        assert found.encoder_lengths.tolist() == [len(s.encoder_ids) for s in expected]
        assert found.target_lengths.tolist() == [len(s.target_ids) for s in expected]
        assert found.languages.tolist() == [s.language for s in expected]
        assert found.digest == SampleList(expected).digest
        with pytest.raises(IndexError):
            found[len(expected)]


def test_the_digest_is_the_one_that_checkpoints_hold(tmp_path):
    samples = directly((write(tmp_path / "rows.jsonl"),), tokenizer())
    digest = hashlib.sha256()
    for s in samples:
        digest.update(f"{s.id} {len(s.encoder_ids)} {len(s.prompt_ids)}\n".encode())
        for ids in (s.encoder_ids, s.prompt_ids, s.target_ids):
            digest.update(ids.astype("<i4").tobytes())
    assert SampleList(samples).digest == digest.hexdigest()


def test_several_files_tell_their_ids_apart_and_a_limit_holds(tmp_path):
    paths = tuple(write(tmp_path / name, 10) for name in ("a.jsonl", "b.jsonl"))
    samples = prepared_samples(rows(*paths, limit=13), tokenizer(), tmp_path / "cache")
    expected = [f"{path}:en-{i}" for path, count in zip(paths, (10, 3)) for i in range(count)]
    assert [s.id for s in samples] == expected


def test_the_folder_depends_on_content_and_not_on_place_or_time(tmp_path):
    path, store = write(tmp_path / "rows.jsonl"), tmp_path / "cache"
    first = prepared_samples(rows(path), tokenizer(), store)
    (tmp_path / "moved").mkdir()
    other = Path(path).rename(tmp_path / "moved/rows.jsonl")
    os.utime(other, (1, 1))
    again = prepared_samples(rows(str(other)), tokenizer(), store)
    assert not again.built and again.folder == first.folder and folders(store) == [first.folder.name]


def test_whatever_changes_the_samples_changes_the_folder(tmp_path):
    store, seen = tmp_path / "cache", set()
    path = write(tmp_path / "rows.jsonl")

    def is_new(which: Rows, tokens: SampleTokenizer) -> bool:
        samples = prepared_samples(which, tokens, store)
        new = samples.folder.name not in seen
        seen.add(samples.folder.name)
        return new and samples.built

    added = tokenizer()
    added.llm.add_tokens(["apples"])
    lowered = tokenizer()
    lowered.llm.backend_tokenizer.normalizer = normalizers.Lowercase()
    assert is_new(rows(path), tokenizer())
    assert is_new(rows(path), tokenizer(llm_max=199))
    assert is_new(rows(path), tokenizer(encoder_max_tokens=63))
    assert is_new(rows(path), tokenizer(layout=prompt_layout(AlignmentConfig(kind="linear"))))
    assert is_new(rows(path), tokenizer(encoder=False))
    assert is_new(rows(path), tokenizer(row_of={5: 6}))
    assert is_new(rows(path), added)
    assert is_new(rows(path), lowered)
    assert is_new(rows(path, instruction="Solve:"), tokenizer())
    assert is_new(rows(path, shape="records"), tokenizer())
    assert is_new(rows(path, limit=10), tokenizer())
    Path(path).write_text(Path(path).read_text().replace("Ann has 4", "Ann has 5", 1))  # of the same length
    assert is_new(rows(path), tokenizer())
    assert not is_new(rows(path), tokenizer())
    assert len(folders(store)) == len(seen) == 12


def test_a_change_of_the_code_that_makes_samples_finds_no_older_folder(tmp_path, monkeypatch):
    path = write(tmp_path / "rows.jsonl")
    first = prepared_samples(rows(path), tokenizer(), tmp_path / "cache")
    monkeypatch.setattr(cache, "_CODE", cache._CODE[1:])
    assert prepared_samples(rows(path), tokenizer(), tmp_path / "cache").folder != first.folder


def test_what_a_tokenizer_was_last_used_for_does_not_matter():
    tokens = tiny.encoder_tokenizer("mt5")
    before = tokenizer_digest(tokens)
    tokens("apples and manzanas", truncation=True, max_length=3)
    tokens(["apples", "apples and manzanas"], padding=True)
    assert tokenizer_digest(tokens) == before
    assert tokenizer_digest(tiny.encoder_tokenizer("bert")) != before


def test_a_tokenizer_in_python_is_known_by_its_content_too(tmp_path):
    plain, fewer = ByT5Tokenizer(), ByT5Tokenizer(extra_ids=10)
    plain.save_pretrained(tmp_path)
    assert not plain.is_fast and tokenizer_digest(plain) != tokenizer_digest(fewer)
    assert tokenizer_digest(ByT5Tokenizer.from_pretrained(tmp_path)) == tokenizer_digest(plain)


BUILDER = """
import sys, time
import test_prepared as t
from lingualift_ds.data import tokenize
path, store, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
chunk = tokenize.SampleTokenizer._chunk
def slow(self, records, dropped, **k):
    print("tokenising", flush=True)
    time.sleep(seconds)
    yield from chunk(self, records, dropped, **k)
tokenize.SampleTokenizer._chunk = slow
samples = t.prepared_samples(t.rows(path), t.tokenizer(), t.Path(store))
print("built" if samples.built else "mapped", samples.folder.name, samples.digest, flush=True)
"""


def builder(path: str, store: Path, seconds: float) -> subprocess.Popen:
    paths = os.pathsep.join(str(p) for p in (*Path(__file__).parents[:2], Path(__file__).parents[2]))
    return subprocess.Popen(
        [sys.executable, "-c", BUILDER, path, str(store), str(seconds)],
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_of_two_processes_one_tokenises_and_the_other_waits(tmp_path):
    path, store = write(tmp_path / "rows.jsonl"), tmp_path / "cache"
    both = [builder(path, store, 2.0) for _ in range(2)]
    said = [p.communicate(timeout=120)[0].splitlines() for p in both]
    assert [p.returncode for p in both] == [0, 0]
    (did, *one), (other_did, *other) = (s[-1].split() for s in said)
    assert {did, other_did} == {"built", "mapped"} and one == other
    assert sum(line == "tokenising" for lines in said for line in lines) == 1
    assert folders(store) == [one[0]], "nothing else is left behind"


def test_a_killed_builder_leaves_nothing_that_is_used(tmp_path):
    path, store = write(tmp_path / "rows.jsonl"), tmp_path / "cache"
    process = builder(path, store, 60.0)
    assert process.stdout.readline() == "tokenising\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert any(name.endswith(".lock") for name in folders(store)) and len(folders(store)) == 2
    started = time.monotonic()
    samples = prepared_samples(rows(path), tokenizer(), store)
    assert samples.built and time.monotonic() - started < 20 and folders(store) == [samples.folder.name]
    assert samples.digest == SampleList(directly((path,), tokenizer())).digest


def test_who_waits_says_so_and_for_whom(tmp_path, monkeypatch, said):
    monkeypatch.setattr(lock, "SAY_SECONDS", 0.5)
    path, store = write(tmp_path / "rows.jsonl"), tmp_path / "cache"
    process = builder(path, store, 2.5)
    process.stdout.readline()
    assert not prepared_samples(rows(path), tokenizer(), store).built
    process.communicate()
    line = next(text for _, text in said.lines if "waiting" in text)
    assert re.fullmatch(rf"waiting for the data, \d s so far: process {process.pid} on .* is at it", line)


def test_without_file_locks_the_first_to_finish_serves(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(38, "Function not implemented")

    path, store = write(tmp_path / "rows.jsonl"), tmp_path / "cache"
    monkeypatch.setattr(lock.fcntl, "flock", refuse)
    inner = cache._tokenise

    def overtaken(*arguments):
        monkeypatch.setattr(cache, "_tokenise", inner)
        assert prepared_samples(rows(path), tokenizer(), store).built
        inner(*arguments)

    monkeypatch.setattr(cache, "_tokenise", overtaken)
    samples = prepared_samples(rows(path), tokenizer(), store)
    assert len(samples) == 40 and [n for n in folders(store) if not n.endswith(".lock")] == [samples.folder.name]


def cut(folder: Path) -> None:
    with (folder / "data.arrow").open("r+b") as file:
        file.truncate(100)


def garble(folder: Path) -> None:
    size = (folder / "data.arrow").stat().st_size
    (folder / "data.arrow").write_bytes(b"x" * size)


DAMAGE = {
    "data.arrow is missing": lambda f: (f / "data.arrow").unlink(),
    "prepared.json is missing": lambda f: (f / "prepared.json").unlink(),
    "data.arrow has 100 bytes, prepared.json says": cut,
    "data.arrow cannot be read": garble,
    "prepared.json cannot be read": lambda f: (f / "prepared.json").write_text("{"),
    "holds samples of another key": lambda f: (f / "prepared.json").write_text(
        (f / "prepared.json").read_text().replace('"key": "', '"key": "0')
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_folder_is_said_and_prepared_again(tmp_path, said, damage):
    path, store = write(tmp_path / "rows.jsonl"), tmp_path / "cache"
    first = prepared_samples(rows(path), tokenizer(), store)
    digest = first.digest
    del first
    (folder,) = store.iterdir()
    DAMAGE[damage](folder)
    again = prepared_samples(rows(path), tokenizer(), store)
    (line,) = said.warnings()
    assert line.startswith(f"{folder}: {damage}") and line.endswith("prepared again")
    assert again.built and again.digest == digest and folders(store) == [folder.name]


def test_warnings_are_said_again_where_nothing_is_tokenised(tmp_path, said):
    path = write(tmp_path / "rows.jsonl", 40, UNUSABLE)
    prepared_samples(rows(path), tokenizer(), tmp_path / "cache")
    first = said.warnings()
    prepared_samples(rows(path), tokenizer(), tmp_path / "cache")
    assert said.warnings() == 2 * first and len(first) == 3 and f"{path}: 1 rows dropped, no target" in first


def write_text(text: str | bytes):
    return lambda path: path.write_bytes(text if isinstance(text, bytes) else text.encode())


GOOD = '{"id": 1, "text": "a", "target": "b"}\n'
BAD = {
    r"no such file": lambda path: None,
    r"is a folder, a file is needed": lambda path: path.mkdir(),
    r"rows\.jsonl: the file is empty": write_text("\n\n"),
    r"rows\.jsonl:2: not JSON": write_text(GOOD + "{half"),
    r"rows\.jsonl:1: not UTF-8": write_text(b"\xff\xfe{}"),
    r"rows\.jsonl:1: has the keys prompt": write_text('{"prompt": "a"}'),
    r"no usable row: \{'dropped, no target': 1\}; each needs": write_text('{"text": "a", "target": ""}'),
    r"id '1' is given to more than one row \(2 such ids\)": write_text(
        (GOOD + GOOD.replace("1", "2")) * 2 + GOOD.replace("1", "3")
    ),
}


@pytest.mark.parametrize("said", BAD)
def test_bad_input_is_said_and_leaves_nothing(tmp_path, said):
    BAD[said](tmp_path / "rows.jsonl")
    with pytest.raises(DataError, match=said):
        prepared_samples(rows(str(tmp_path / "rows.jsonl")), tokenizer(), tmp_path / "cache")
    assert folders(tmp_path / "cache") == []


def test_two_ids_of_one_hash_are_still_two_ids(tmp_path, monkeypatch):
    monkeypatch.setattr(prepared, "hash", lambda text: 7, raising=False)
    assert len(prepared_samples(rows(write(tmp_path / "rows.jsonl")), tokenizer(), tmp_path / "cache")) == 40


def test_a_file_that_is_still_being_written_is_an_error(tmp_path, monkeypatch):
    path = write(tmp_path / "rows.jsonl")
    inner = cache._tokenise
    monkeypatch.setattr(cache, "_tokenise", lambda *a: (inner(*a), write(Path(path), 41)))
    with pytest.raises(DataError, match="rows.jsonl: was changed while it was being read"):
        prepared_samples(rows(path), tokenizer(), tmp_path / "cache")
    assert folders(tmp_path / "cache") == []


def test_a_cache_that_cannot_be_written_names_its_key(tmp_path):
    (tmp_path / "file").write_text("")
    for folder, why in (("/proc/nowhere", "No such file"), (tmp_path / "file", "(Not a directory|File exists)")):
        with pytest.raises(ConfigError, match=f"run.cache: {folder}: cannot be written: {why}"):
            prepared_samples(rows(write(tmp_path / "rows.jsonl")), tokenizer(), Path(folder))


def test_a_full_disk_is_one_clear_error_and_leaves_nothing(tmp_path):
    path, tokens = write(tmp_path / "rows.jsonl", 400), tokenizer()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(ConfigError, match="run.cache: .*/cache: cannot be written: .*File too large"):
            prepared_samples(rows(path), tokens, tmp_path / "cache")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert folders(tmp_path / "cache") == []
