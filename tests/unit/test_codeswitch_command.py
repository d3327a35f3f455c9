"""The command `codeswitch`: it reads the usual shapes, counts what it did, and harms no file."""

import json
import logging
from argparse import ArgumentParser

import pytest

from lingualift_ds.cli import codeswitch as command
from lingualift_ds.data.jsonl import read_jsonl


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
        "in.jsonl: JSON lines, field 'text'",
        "3 rows in, 1 of them empty",
        "3 records",
        "2 entries",
        "dropped: 1 identity",
        "80.0%",
        "100.0%",
    ):
        assert part in said


def test_output_is_the_same_for_any_number_of_processes(tmp_path, lexicons):
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps({"text": f"The money of day {n} and the day."}) + "\n" for n in range(3500)))
    made = []
    for processes in ("1", "2", "3"):
        for name in ("out.jsonl", "out.parquet"):
            (tmp_path / processes).mkdir(exist_ok=True)
            run("--input", str(source), "--lexicons", lexicons, "--ratio", "0.1..0.9", "--variants", "2",
                "--num-proc", processes, "--output", str(tmp_path / processes / name))  # fmt: skip
        made.append({path.name: path.read_bytes() for path in (tmp_path / processes).iterdir()})
    assert made[0] == made[1] == made[2]
    assert set(made[0]) == {
        "out.jsonl", "out.parquet", "report.json", "report.html", "out.report.json", "out.report.html"
    }  # fmt: skip
    first, *_, last = (record for _, record in read_jsonl(tmp_path / "1/out.jsonl"))
    assert first["id"] == "1~1" and first["source"] == "1" and last["source"] == "3500"
    ratios = [record["ratio"] for _, record in read_jsonl(tmp_path / "1/out.jsonl")]
    assert sum(ratios[:1000]) / 1000 < 0.3 < 0.7 < sum(ratios[-1000:]) / 1000


def test_parquet_holds_the_same_records(tmp_path, lexicons):
    import pyarrow.parquet

    source = tmp_path / "in.txt"
    source.write_text("the money\nthe dog\n")
    for name in ("out.jsonl", "out.parquet"):
        run("--input", str(source), "--lexicons", lexicons, "--output", str(tmp_path / name))
    table = pyarrow.parquet.read_table(tmp_path / "out.parquet").to_pylist()
    assert table == [record for _, record in read_jsonl(tmp_path / "out.jsonl")]


def test_preview_prints_pairs_and_writes_nothing(tmp_path, lexicons, capsys):
    source = tmp_path / "in.txt"
    source.write_text("the money\n\nthe dog\nthe end\n")
    before = sorted(tmp_path.rglob("*"))
    assert (
        run("--input", str(source), "--lexicons", lexicons, "--languages", "sw", "--ratio", "1", "--preview", "2") == 0
    )
    shown = capsys.readouterr().out
    assert "[the] [money]" in shown and "[ya] [pesa]" in shown and "[ya] dog" in shown and "end" not in shown
    assert sorted(tmp_path.rglob("*")) == before


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
