"""The command `codeswitch`: it reads the usual shapes, counts what it did, and harms no file."""

import json
import logging
from argparse import ArgumentParser

import pytest

from lingualift_ds.cli import codeswitch as command
from lingualift_ds.data.jsonl import read_jsonl
from lingualift_ds.errors import ConfigError, DataError


def run(*argv: str) -> int:
    parser = ArgumentParser()
    command.add_parser(parser.add_subparsers())
    args = parser.parse_args(["codeswitch", *argv])
    return args.run(args)


@pytest.fixture
def lexicons(tmp_path):
    folder = tmp_path / "lexicons"
    folder.mkdir()
    (folder / "en-sw.txt").write_text("the\tya\nmoney\tpesa\nof\tof\n")
    (folder / "en-th.txt").write_text("the ที่\nmoney เงิน\n")
    return str(folder)


@pytest.mark.parametrize(
    ("record", "field", "english"),
    [
        ({"text": "the money"}, None, "the money"),
        ({"question": "the money?", "answer": "the #### 3"}, None, "the money?"),
        ({"question": "the money?", "answer": "the #### 3"}, "answer", "the #### 3"),
        ({"query": "the money", "response": "no", "original_question": "no"}, None, "the money"),
        ({"instruction": "the", "input": "money", "output": "no"}, None, "the\nmoney"),
        ({"instruction": "the", "input": "", "output": "no"}, None, "the"),
    ],
)
def test_command_reads_the_usual_shapes(tmp_path, lexicons, record, field, english):
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(json.dumps(record) + "\n")
    more = ["--field", field] if field else []
    assert run("--input", str(source), "--lexicons", lexicons, "--ratio", "1", "--output", str(output), *more) == 0
    assert [record["target"] for _, record in read_jsonl(output)] == [english]


def test_command_counts_and_says_what_it_did(tmp_path, lexicons, caplog):
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"text": "the money. The dog"}\n{"text": " "}\n{"text": "the"}\n')
    logger = logging.getLogger("lingualift_ds")
    logger.addHandler(caplog.handler)
    logger.setLevel(logging.INFO)
    try:
        run("--input", str(source), "--lexicons", lexicons, "--languages", "sw", "--ratio", "1.0",
            "--split-sentences", "--output", str(output))  # fmt: skip
    finally:
        logger.removeHandler(caplog.handler)
    assert [record["text"] for _, record in read_jsonl(output)] == ["ya pesa.", "Ya dog", "ya"]
    said = caplog.text
    for part in (
        "3 rows in, 1 of them empty",
        "3 records out",
        "2 entries",
        "dropped 1: identity",
        "80.0%",
        "100.0%",
    ):
        assert part in said


def test_command_errors_name_the_cause_and_leave_the_output(tmp_path, lexicons):
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    output.write_text("old")
    source.write_text('{"text": "the"}\n{"other": 1}\n')
    base = ["--input", str(source), "--lexicons", lexicons]
    cases = [
        (["--output", str(output)], DataError, r"in.jsonl:2: no field 'text'; found other"),
        (["--output", str(output), "--field", "body"], DataError, r"in.jsonl:1: no field 'body'; found text"),
        (
            ["--output", str(output), "--languages", "sw,zu"],
            DataError,
            r"no lexicon of 'zu'.*there are sw, th",
        ),
        (["--output", str(output), "--languages", "sw,sw"], ConfigError, "'sw' twice"),
        (["--output", str(source)], DataError, "is an input too"),
    ]
    for arguments, kind, message in cases:
        with pytest.raises(kind, match=message):
            run(*base, *arguments)
    assert output.read_text() == "old"


def test_plain_text_is_a_sentence_a_line(tmp_path, lexicons):
    source, output = tmp_path / "in.txt", tmp_path / "out.jsonl"
    source.write_text("the money\n\nthe dog\n")
    run(
        "--input",
        str(source),
        "--lexicons",
        lexicons,
        "--languages",
        "th",
        "--ratio",
        "1",
        "--output",
        str(output),
    )
    assert [record["text"] for _, record in read_jsonl(output)] == ["ที่เงิน", "ที่ dog"]
    assert [record["id"] for _, record in read_jsonl(output)] == ["1", "3"]
