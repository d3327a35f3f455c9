"""What can be wrong with the inputs of `codeswitch`: each ends in one clear line, exit code 2, and nothing written."""

import gzip
import json
import logging
import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from lingualift_ds.cli import main as cli

ROWS = [{"id": f"r{n}", "question": f"The money of day {n}.", "answer": "#### 1"} for n in range(20)]
PAIRS = "the\tya\nmoney\tpesa\nday\tsiku\nof\twa\n"


@pytest.fixture
def work(tmp_path, monkeypatch) -> Path:
    """English rows, lexicons of Swahili and Thai, and an output of an earlier day."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (tmp_path / "lexicons").mkdir()
    (tmp_path / "lexicons/en-sw.txt").write_text(PAIRS)
    (tmp_path / "lexicons/en-th.txt").write_text("the ที่\nmoney เงิน\n")
    (tmp_path / "out.jsonl").write_text("of yesterday")
    return tmp_path


@contextmanager
def full_disk():
    """No file may grow beyond some bytes, as on a disk that is nearly full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def lines(*rows: object) -> str:
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)


def put(name: str, content: str | bytes):
    """What writes a file into the folder."""
    data = content.encode() if isinstance(content, str) else content
    return lambda work: (work / name).write_bytes(data)


PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(200)
BROKEN_GZIP = gzip.compress(lines(*ROWS * 50).encode())[:-40]


INPUT = ["--input", "in.jsonl"]
LEXICONS = ["--lexicons", "lexicons"]
OUTPUT = ["--output", "out.jsonl"]

# Name: (what is done to the folder, arguments in place of the usual ones, what the line must say).
TABLE = {
    "no such input": (None, ["--input", "none.jsonl"], "none.jsonl: no such file"),
    "folder without data": (lambda w: (w / "empty").mkdir(), ["--input", "empty"], "is a folder without data files"),
    "wrong column": (None, ["--field", "quesion"], "in.jsonl:1: no field 'quesion'"),
    "no column known": (put("in.jsonl", lines({"a": "b"})), [], "in.jsonl:1: no field with English text; found a"),
    "picture": (put("in.jsonl", PICTURE), [], "in.jsonl: looks like a PNG image"),
    "empty input": (put("in.jsonl", ""), [], "in.jsonl: the file is empty"),
    "broken row": (put("in.jsonl", lines(*ROWS[:3], '{"question": "half a')), [], "in.jsonl:4: not JSON"),
    "row of another kind": (put("in.jsonl", lines(*ROWS[:2], [1])), [], "in.jsonl:3: found a JSON array"),
    "number for text": (put("in.jsonl", lines(ROWS[0], {"question": 5})), [], "in.jsonl:2: field 'question' is not"),
    "not UTF-8": (put("in.jsonl", lines(ROWS[0]).encode() + b'{"question": "\xff"}\n'), [], "in.jsonl:2: not UTF-8"),
    "half a character": (put("in.jsonl", lines(ROWS[0], r'{"question": "\ud800"}')), [], "in.jsonl:2: half a"),
    "more bad rows than allowed": (
        put("in.jsonl", lines(ROWS[0], "x", "y", "z")), ["--max-bad", "2"], "(3 bad rows by then; --max-bad 2",
    ),
    "gzip that breaks": (put("in.jsonl.gz", BROKEN_GZIP), ["--input", "in.jsonl.gz"], "in.jsonl.gz: broken gzip"),
    "Parquet that is none": (put("in.parquet", "text"), ["--input", "in.parquet"], "in.parquet: is no Parquet file"),
    "CSV without it": (put("in.csv", "a,b\n1,2\n"), ["--input", "in.csv", "--field", "c"], "no field 'c'; found a, b"),
    "input named twice": (None, ["--input", "in.jsonl", "./in.jsonl"], "named twice"),
    "no such lexicons": (None, ["--lexicons", "words"], "words: no such folder"),
    "empty lexicon": (put("lexicons/en-sw.txt", ""), [], "en-sw.txt: the file is empty"),
    "lexicon without a usable pair": (put("lexicons/en-sw.txt", "1 2\n, .\n"), [], "en-sw.txt: no usable pair"),
    "lexicon of another script": (put("lexicons/en-th.txt", PAIRS), [], "pairs are not in Thai script"),
    "lexicon that is a picture": (put("lexicons/en-sw.txt", PICTURE), [], "en-sw.txt: is a binary file"),
    "lexicon table without the column": (
        put("en-sw.tsv", "word\tsw\nthe\tya\n"),
        ["--lexicons", "en-sw.tsv", "--columns", "english=term,translation=sw"],
        "en-sw.tsv:1: no column 'term'; the first line has 'word', 'sw'",
    ),
    "lexicon that breaks off": (put("sw.json", '{"the": ["ya"'), ["--lexicons", "sw.json"], "sw.json:1: not JSON"),
    "unknown language": (put("lexicons/en-qq.txt", PAIRS), ["--languages", "qq"], "not a known ISO 639 code"),
    "language without a lexicon": (None, ["--languages", "sw,zu"], "no lexicon of 'zu'"),
    "language named twice": (None, ["--languages", "sw,sw"], "named twice"),
    "weight that is none": (None, ["--languages", "sw:much"], "'sw:much'"),
    "weights and temperature": (None, ["--languages", "sw:2,th", "--temperature", "2"], "sw: has a weight of its own"),
    "temperature 0": (None, ["--temperature", "0"], "temperature 0"),
    "no language in a sentence": (None, ["--mix", "0"], "mix 0"),
    "no variant": (None, ["--variants", "0"], "variants 0"),
    "ratio out of range": (None, ["--ratio", "50"], "ratio 50"),
    "ratio that is none": (None, ["--ratio", "half"], "ratio 'half'"),
    "frequencies that are not there": (None, ["--choice", "frequency"], "no frequencies"),
    "unknown cleaning step": (None, ["--unclean", "dust"], "unclean 'dust': no cleaning step"),
    "no such keep list": (None, ["--keep", "@names.txt"], "names.txt: no such file"),
    "no such tokenizer": (None, ["--encoder-tokenizer", "./encoder"], "encoder tokenizer ./encoder: no such"),
    "output of another kind": (None, ["--output", "out.xlsx"], "out.xlsx: an output is JSON lines or Parquet"),
    "output is an input": (None, ["--output", "in.jsonl"], "in.jsonl: is an input too"),
    "output is a lexicon": (
        put("sw.jsonl", lines(["the", "ya"], ["money", "pesa"])),
        ["--lexicons", "sw.jsonl", "--output", "sw.jsonl"],
        "sw.jsonl: is an input too",
    ),
    "output that cannot be made": (None, ["--output", "in.jsonl/out.jsonl"], "in.jsonl/out.jsonl: cannot be written"),
    "no output": (None, ["--output"], "--output F or --preview N"),
}  # fmt: skip


FOUND_BY_WORKERS = ["broken row", "more bad rows than allowed", "gzip that breaks", "not UTF-8"]


@pytest.mark.parametrize(
    ("name", "processes"), [(name, "1") for name in TABLE] + [(name, "2") for name in FOUND_BY_WORKERS]
)
def test_bad_input_ends_in_one_clear_line(work, capsys, name, processes):
    spoil, arguments, said = TABLE[name]
    if spoil:
        spoil(work)
    given = {"--input": ["in.jsonl"], "--lexicons": ["lexicons"], "--output": ["out.jsonl"], "--num-proc": [processes]}
    option = None
    for argument in arguments:
        if argument.startswith("--"):
            option, given[argument] = argument, []
        else:
            given[option].append(argument)
    before = {path: path.read_bytes() for path in work.rglob("*") if path.is_file()}
    line = [part for option, values in given.items() if values for part in (option, *values)]
    assert cli.main(["codeswitch", *line]) == 2
    told = [text for text in capsys.readouterr().err.splitlines() if text.startswith("error:")]
    assert len(told) == 1 and said in told[0], told
    assert {path: path.read_bytes() for path in work.rglob("*") if path.is_file()} == before, "nothing is written"


@pytest.mark.parametrize("processes", ["1", "2"])
def test_full_disk_leaves_the_earlier_output(work, capsys, processes):
    with full_disk():
        assert cli.main(["codeswitch", *INPUT, *LEXICONS, *OUTPUT, "--num-proc", processes]) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("error: out.jsonl: cannot be written (File too large)")
    assert (work / "out.jsonl").read_text() == "of yesterday"
    assert sorted(path.name for path in work.iterdir()) == ["in.jsonl", "lexicons", "out.jsonl"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_stopped_command_leaves_no_process_and_no_half_output(work, number):
    (work / "many.jsonl").write_text(
        "".join(json.dumps({"text": "The money of the day. " * 50}) + "\n" for _ in range(20000))
    )
    command = [
        sys.executable,
        "-m",
        "lingualift_ds.cli.main",
        "codeswitch",
        "--input",
        "many.jsonl",
        *LEXICONS,
        *OUTPUT,
    ]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen([*command, "--num-proc", "2"], env=environment, stderr=subprocess.DEVNULL)
    main = psutil.Process(process.pid)
    wait_for(lambda: len(main.children()) == 2 and any(path.suffix == ".tmp" for path in work.iterdir()))
    workers = main.children()
    process.send_signal(number)
    assert process.wait(20) == {signal.SIGINT: 130, signal.SIGKILL: -9}.get(number, 128 + number)
    wait_for(lambda: not any(worker.is_running() and worker.status() != "zombie" for worker in workers))
    assert (work / "out.jsonl").read_text() == "of yesterday"
    if number != signal.SIGKILL:  # no one is left to remove it
        assert not [path for path in work.iterdir() if path.suffix == ".tmp"]


def wait_for(condition, seconds: float = 20.0) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.02)


def test_bad_rows_up_to_the_limit_are_left_out_counted_and_told(work, caplog, monkeypatch):
    logger = logging.getLogger("lingualift_ds")
    monkeypatch.setattr(logger, "propagate", True)
    caplog.set_level(logging.INFO)
    (work / "in.jsonl").write_text(lines(ROWS[0], "x", ROWS[1], [2], {"question": None}, ROWS[2]))
    assert cli.main(["codeswitch", *INPUT, *LEXICONS, *OUTPUT, "--max-bad", "3"]) == 0
    said = caplog.text
    for where in ("in.jsonl:2: not JSON", "in.jsonl:4: ", "in.jsonl:5: field 'question'"):
        assert where in said
    assert "6 rows in, 0 of them empty and left out, 3 unusable and left out" in said
    assert [json.loads(line)["source"] for line in (work / "out.jsonl").read_text().splitlines()] == ["r0", "r1", "r2"]
