"""Benchmarks from files: the questions arrive whole, and a damaged or missing file is named."""

import json
from pathlib import Path

import pytest

from lingualift_ds.data.records import MATH_INSTRUCTION
from lingualift_ds.errors import ConfigError, DataError
from lingualift_ds.evaluate.benchmarks import Question, load_benchmark

REAL = Path(__file__).parents[2].parent / "shared/data"


def put(path: Path, *records: dict) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def test_jsonl_takes_all_fields_and_defaults(tmp_path):
    put(
        tmp_path / "sw.jsonl",
        {
            "id": "q1",
            "text": "Ngapi?",
            "answer": 7,
            "object": "maembe",
            "instruction": "Say.",
            "target": "3+4=7",
        },
        {"text": "Nini?", "answer": "12"},
    )
    put(tmp_path / "en.jsonl", {"text": "How many?", "answer": "7", "object": None})
    loaded = load_benchmark("jsonl", tmp_path)
    assert list(loaded) == ["en", "sw"]
    assert loaded["sw"] == [
        Question("q1", "sw", "Ngapi?", "7", "maembe", "Say.", "3+4=7"),
        Question("1", "sw", "Nini?", "12", None, "Solve the following math problem:", None),
    ]


def test_languages_come_in_the_order_asked_for_up_to_the_limit(tmp_path):
    for language in ("en", "sw", "th"):
        put(tmp_path / f"{language}.jsonl", *({"text": f"{n}?", "answer": n} for n in range(5)))
    loaded = load_benchmark("jsonl", tmp_path, ["th", "en"], limit=2)
    assert [(language, [q.answer for q in qs]) for language, qs in loaded.items()] == [
        ("th", ["0", "1"]), ("en", ["0", "1"])
    ]  # fmt: skip


def test_mgsm_keeps_quotation_marks_and_grouped_answers(tmp_path):
    (tmp_path / "mgsm_fr.tsv").write_bytes(b'"Oui", dit-il. Combien ?\t5,600\r\nEt ?\t7\n')
    first, last = load_benchmark("mgsm", tmp_path)["fr"]
    assert (first.text, first.answer, first.instruction) == (
        '"Oui", dit-il. Combien ?',
        "5,600",
        MATH_INSTRUCTION,
    )
    assert (last.id, last.answer) == ("1", "7")


def test_msvamp_maps_names_to_codes_and_asks_in_the_language(tmp_path):
    put(tmp_path / "test_Swahili.json", {"query": "How many?", "m_query": "Ngapi?", "response": "8.0"})
    assert load_benchmark("msvamp", tmp_path)["sw"][0].text == "Ngapi?"


@pytest.mark.parametrize(
    ("task", "name", "content", "message"),
    [
        (
            "mgsm",
            "mgsm_sw.tsv",
            "Ngapi?\t3\nNgapi? 3\n",
            r"mgsm_sw.tsv:2: question, TAB, answer .*'Ngapi\? 3'",
        ),
        ("mgsm", "mgsm_sw.tsv", "Ngapi?\tthree\n", r":1: the answer must be a number, found 'three'"),
        (
            "msvamp",
            "test_Swahili.json",
            '{"query": "a", "response": "1"}\n',
            r":1: 'm_query' .*found only the keys",
        ),
        ("jsonl", "sw.jsonl", '{"text": "a", "answer": 1}\n{"text": "a"}\n', r"sw.jsonl:2: 'answer' must be"),
        ("jsonl", "sw.jsonl", '{"text": "a", "answer": true}\n', r":1: 'answer' must be a number or text"),
        ("jsonl", "sw.jsonl", '{"text": " ", "answer": 1}\n', r":1: 'text' must be text that is not blank"),
        ("jsonl", "sw.jsonl", '{"text": "a", "answer": 1, "object": 3}\n', r":1: 'object' must be text"),
        ("jsonl", "sw.jsonl", '{"id": 1, "text": "a", "answer": 1}\n' * 2, r"id '1' stands twice"),
        ("jsonl", "sw.jsonl", '{"text"\n', r"sw.jsonl:1: not JSON"),
        ("jsonl", "sw.jsonl", "", r"sw.jsonl: the file is empty"),
    ],
)
def test_a_malformed_line_is_named(tmp_path, task, name, content, message):
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message) as caught:
        load_benchmark(task, tmp_path)
    assert "\n" not in str(caught.value)


def test_what_is_missing_is_named_with_what_is_there(tmp_path):
    with pytest.raises(DataError, match="no such folder of task mgsm"):
        load_benchmark("mgsm", tmp_path / "none")
    with pytest.raises(DataError, match=r"no file of task mgsm; looked for mgsm_LANG.tsv"):
        load_benchmark("mgsm", tmp_path)
    put(tmp_path / "sw.jsonl", {"text": "a", "answer": 1})
    with pytest.raises(DataError, match=r"task jsonl has no 'zu'; it has sw"):
        load_benchmark("jsonl", tmp_path, ["sw", "zu"])
    with pytest.raises(ConfigError, match=r"task 'gsm': unknown; the tasks are jsonl, mgsm, msvamp"):
        load_benchmark("gsm", tmp_path)
    with pytest.raises(ConfigError, match="limit 0"):
        load_benchmark("jsonl", tmp_path, limit=0)


@pytest.mark.skipif(not (REAL / "mgsm").is_dir(), reason=f"no real data at {REAL}")
def test_real_mgsm_and_msvamp_are_parallel():
    mgsm = load_benchmark("mgsm", REAL / "mgsm")
    assert len(mgsm) >= 9 and {len(questions) for questions in mgsm.values()} == {250}
    answers = {language: [question.answer for question in questions] for language, questions in mgsm.items()}
    assert all(found == answers["en"] for found in answers.values())
    msvamp = load_benchmark("msvamp", REAL / "msvamp", ["sw", "th"])
    assert [len(questions) for questions in msvamp.values()] == [1000, 1000]


def test_own_rows_that_contradict_their_file_or_have_no_number_are_errors(tmp_path):
    for row, said in (
        ({"text": "a", "answer": 1, "language": "sw"}, "language 'sw', but the file is that of 'en'"),
        ({"text": "a", "answer": "three"}, "the answer must be a number, found 'three'"),
        ({"text": "a", "answer": float("nan")}, "must be a number"),
    ):
        (tmp_path / "en.jsonl").write_text(json.dumps(row) + "\n")
        with pytest.raises(DataError, match=said):
            load_benchmark("jsonl", tmp_path)
    (tmp_path / "en.jsonl").write_text(json.dumps({"text": "a", "answer": 1, "language": "eng"}) + "\n")
    assert load_benchmark("jsonl", tmp_path)["en"][0].answer == "1"
