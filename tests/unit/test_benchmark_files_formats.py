"""Published benchmarks as they lie on disk, and in the other formats: the same questions come out of each."""

import json
import logging
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from lingualift_ds.errors import DataError
from lingualift_ds.evaluate.benchmarks import (
    TASKS,
    XCSQA_INSTRUCTION,
    XNLI_INSTRUCTION,
    find_files,
    load_benchmark,
)

AFRI = "question\tanswer\tanswer_number\tequation_solution\n"
XNLI = "language\tgold_label\tsentence1_parse\tsentence1\tsentence2\tpairID\n"
CHOICES = [
    {"label": label, "text": text} for label, text in zip("ABCDE", ("head", "brain", "school", "growth", "more"))
]
XCSQA = {"id": "be19", "lang": "en", "question": {"stem": "What grows?", "choices": CHOICES}, "answerKey": "D"}


def put(path: Path, content) -> None:
    """Text, bytes, a Parquet table, or records as JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, pyarrow.Table):
        pyarrow.parquet.write_table(content, path)
    elif isinstance(content, list):
        path.write_text("".join(json.dumps(record) + "\n" for record in content), encoding="utf-8")
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def read(task: str, folder: Path, files: dict, *args) -> dict:
    """{language: [(text, answer), ...]} of a task whose folder holds these files."""
    for name, content in files.items():
        put(folder / name, content)
    loaded = load_benchmark(task, folder, *args)
    return {code: [(question.text, question.answer) for question in of] for code, of in loaded.items()}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("afrimgsm_swa.tsv", AFRI + "Ngapi?\tthree and 4\t18\t9 * 2\n"),
        ("swa.tsv", AFRI + "Ngapi?\t\t18\t\n"),
        ("swa/test.tsv", AFRI + "Ngapi?\t\t18\t\n"),
        ("data/swa/test.tsv", AFRI + "Ngapi?\t\t18\t\n"),
        ("swa_test.tsv", "Ngapi?\t18\n"),
        ("Swahili.tsv", b"\xef\xbb\xbf" + (AFRI + "\nNgapi?\t\t18\t\n\t\t\t\n\n").replace("\n", "\r\n").encode()),
        ("swh_Latn.tsv", '"question"\t"answer"\n"Ngapi?"\t"18"\n'),
        ("sw.csv", "Question,Answer\nNgapi?,18\n"),
        ("sw.csv", 'question;answer\n"Ngapi?";18\n'),
        ("sw.json", json.dumps([{"question": "Ngapi?", "answer": 18}], indent=1)),
        ("sw.json", json.dumps({"data": [{"question": "Ngapi?", "answer": "18"}]})),
        ("sw.json", [{"question": "Ngapi?", "answer": "18"}]),
        ("sw.jsonl", [{"question": "Ngapi?", "answer": None, "answer_number": 18}]),
        ("swa/test-00000-of-00001.parquet", pyarrow.table({"question": ["Ngapi?"], "answer_number": [18]})),
    ],
)
def test_afrimgsm_in_every_format_and_place(tmp_path, name, content):
    assert read("afrimgsm", tmp_path, {name: content}) == {"sw": [("Ngapi?", "18")]}


@pytest.mark.parametrize(
    ("line", "question"),
    [
        ('"Oui", dit-il. Combien ?', '"Oui", dit-il. Combien ?'),
        ('"Combien ?"', '"Combien ?"'),  # quotes that no writer of CSV would have set
        ('"Combien ?', '"Combien ?'),
        ('Dit "oui"', 'Dit "oui"'),
        ('"Dit ""oui"" ?"', 'Dit "oui" ?'),  # quotes that one had to set
        ("Com\tbien ?", "Com\tbien ?"),
        ("Combien\u2028 ?", "Combien\u2028 ?"),
    ],
)
def test_quotes_of_tsv_are_taken_off_where_they_are_of_csv_alone(tmp_path, line, question):
    files = {"mgsm_fr.tsv": f"{line}\t5,600\nEt ?\t7\n"}
    assert read("mgsm", tmp_path, files) == {"fr": [(question, "5,600"), ("Et ?", "7")]}


def test_a_quote_that_closes_lines_later_swallows_no_row_and_a_quoted_line_end_is_kept(tmp_path):
    rows = read("mgsm", tmp_path / "a", {"mgsm_sw.tsv": '"Ngapi?\t3\nPili"\t4\n'})["sw"]
    assert rows == [('"Ngapi?', "3"), ('Pili"', "4")]
    rows = read("mgsm", tmp_path / "b", {"mgsm_sw.tsv": 'question\tanswer\n"Line\none"\t3\nPili\t4\n'})["sw"]
    assert rows == [("Line\none", "3"), ("Pili", "4")]
    rows = read("mgsm", tmp_path / "c", {"mgsm_sw.tsv": '"Pili" ni\t3\n"Ni ""pili"""\t4\n'})["sw"]
    assert rows == [('"Pili" ni', "3"), ('"Ni ""pili"""', "4")]  # one cell no writer of CSV made: none is unquoted


def test_mmwp_finds_columns_by_many_names_and_leaves_other_files(tmp_path, caplog, monkeypatch):
    files = {
        "sw.jsonl": [{"ID": 7, "Problem": "Ngapi?", "Answer": "18"}],
        "Bengali.json": [{"m_query": "কত?", "query": "How many?", "response": "১,৮০০"}],
        "zh-Hant.tsv": "text\tlabel\n多少？\t3\n",
        "mmwp_ca.parquet": pyarrow.table({"input": ["Quants?"], "final_answer": [1.5]}),
        "gu/test.jsonl": [{"question": "કેટલા?", "answer": "She has 3 + 4 = 7.\n#### 7"}],
        "languages.json": '{"sw": "low"}',
        "Swahilli.jsonl": [{"question": "x", "answer": 1}],
        "all.jsonl": [{"question": "x", "answer": 1}],
        "README.md": "x",
    }
    monkeypatch.setattr(logging.getLogger("lingualift_ds"), "propagate", True)
    assert read("mmwp", tmp_path, files) == {
        "bn": [("কত?", "১,৮০০")],
        "ca": [("Quants?", "1.5")],
        "gu": [("કેટલા?", "She has 3 + 4 = 7.\n#### 7")],
        "sw": [("Ngapi?", "18")],
        "zh-Hant": [("多少？", "3")],
    }
    assert load_benchmark("mmwp", tmp_path, ["swa"])["sw"][0].id == "7"
    assert "'Swahilli' is no known language code or English name; did you mean Swahili?" in caplog.text
    assert "all.jsonl: left out" in caplog.text and "languages.json" not in caplog.text


def test_xnli_as_published_holds_all_languages_and_its_quotes_are_text(tmp_path):
    test = XNLI + 'en\tneutral\t\t"Yes," he said\t"No."\t1\nsw\tentailment\t\tNdiyo\tHapana\t1\n'
    test += "en\tcontradiction\t\tA\tB\t2\n"
    files = {
        "XNLI-1.0/xnli.test.tsv": test,
        "XNLI-1.0/xnli.dev.tsv": XNLI + "fr\tneutral\t\tC\tD\t1\n",
        "XNLI-1.0/xnli.test.jsonl": [{"language": "en", "gold_label": "neutral", "sentence1": "A", "sentence2": "B"}],
    }
    assert read("xnli", tmp_path, files) == {
        "en": [
            ('Premise: "Yes," he said\nHypothesis: "No."', "Neutral"),
            ("Premise: A\nHypothesis: B", "Contradiction"),
        ],
        "sw": [("Premise: Ndiyo\nHypothesis: Hapana", "Entailment")],
    }
    assert list(find_files("xnli", tmp_path)) == ["en", "sw"]
    assert list(load_benchmark("xnli", tmp_path, ["swa"], limit=1)) == ["sw"]
    question = load_benchmark("xnli", tmp_path, limit=1)["en"][0]
    assert (question.id, question.choices, question.instruction) == (
        "0", ("Entailment", "Neutral", "Contradiction"), XNLI_INSTRUCTION
    )  # fmt: skip
    assert TASKS["xnli"].kind == TASKS["xcsqa"].kind == "choice" and TASKS["mmwp"].kind == "generate"


@pytest.mark.parametrize("label", [2, "2", "contradiction", "contradictory", "Contradiction"])
def test_xnli_of_the_hub_and_its_labels(tmp_path, label):
    table = pyarrow.table({"premise": ["P"], "hypothesis": ["H"], "label": [label]})
    other = pyarrow.table({"premise": ["X"], "hypothesis": ["H"], "label": [0]})
    files = {"ar/test-00000-of-00001.parquet": table, "ar/train-00000-of-00001.parquet": other,
             "ar/validation-00000-of-00001.parquet": other}  # fmt: skip
    assert read("xnli", tmp_path, files) == {"ar": [("Premise: P\nHypothesis: H", "Contradiction")]}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("X-CSQA/ja/dev.jsonl", [XCSQA | {"lang": "ja"}]),
        ("jap/dev.jsonl", [XCSQA | {"lang": "jap"}]),
        ("ja.jsonl", [{key: value for key, value in XCSQA.items() if key != "lang"}]),
        ("ja.json", json.dumps([{"id": "be19", "question": "What grows?", "choices": CHOICES, "answerKey": "D"}])),
        (
            "X-CSQA-ja/validation-00000-of-00001.parquet",
            pyarrow.Table.from_pylist(
                [
                    {
                        "id": "be19",
                        "question": {
                            "stem": "What grows?",
                            "choices": {"label": [*"ABCDE"], "text": [choice["text"] for choice in CHOICES]},
                        },
                        "answerKey": "D",
                    }
                ]
            ),
        ),
        (
            "ja/test.csv",
            "id,question,choice_A,choice_B,choice_C,choice_D,choice_E,answerKey\n"
            "be19,What grows?,head,brain,school,growth,more,D\n",
        ),
    ],
)
def test_xcsqa_in_every_shape(tmp_path, name, content):
    put(tmp_path / name, content)
    (question,) = load_benchmark("xcsqa", tmp_path)["ja"]
    assert question.text == "What grows?\nA. head\nB. brain\nC. school\nD. growth\nE. more"
    assert (question.id, question.answer, question.choices) == ("be19", "D", tuple("ABCDE"))
    assert question.instruction == XCSQA_INSTRUCTION


def test_xcsqa_reads_dev_for_its_public_test_set_has_no_answers(tmp_path):
    unanswered = [{key: value for key, value in XCSQA.items() if key != "answerKey"}]
    put(tmp_path / "en/test.jsonl", unanswered)
    with pytest.raises(DataError, match=r"test.jsonl:1: no answerKey: X-CSQA's public test set has no answers"):
        load_benchmark("xcsqa", tmp_path)
    assert len(read("xcsqa", tmp_path, {"en/dev.jsonl": [XCSQA]})["en"]) == 1


def test_languages_are_of_one_part_and_what_is_left_out_is_said(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("lingualift_ds"), "propagate", True)
    files = {"sw/test.tsv": AFRI + "a\t\t1\t\n", "zu/dev.tsv": AFRI + "a\t\t1\t\n", "sw/train.tsv": AFRI + "a\t\t1\t\n"}
    assert list(read("afrimgsm", tmp_path, files)) == ["sw"]
    assert "no test file of zu" in caplog.text


MALFORMED = {
    "two files": ("afrimgsm", {"swa.tsv": "a\t1\n", "sw.jsonl": []}, r"two files of language 'sw': sw.jsonl, swa.tsv"),
    "two places": ("mmwp", {"Swahili.tsv": "a\t1\n", "sw/test.tsv": "a\t1\n"}, "two files of language 'sw'"),
    "two of all": ("xnli", {"xnli.test.tsv": XNLI, "test.csv": ""}, "two files of all languages: test.csv, xnli"),
    "all and one": ("xnli", {"xnli.test.tsv": XNLI, "sw.jsonl": []}, "language 'sw': xnli.test.tsv, which holds all"),
    "only train": ("afrimgsm", {"swa/train.tsv": "a\t1\n"}, "holds train files only; those of test or dev"),
    "no language": ("mgsm", {"mgsm_klingon.tsv": "a\t1\n"}, "'klingon' is no known language code or English name"),
    "columns": ("afrimgsm", {"swa.tsv": "q\ta\nx\t3\n"}, r"swa.tsv:1: .* as a header, 'q \| a' names no column"),
    "more columns": ("mmwp", {"sw.csv": "q,a,b\nx,3,y\n"}, r"sw.csv:2: .*'question'.* found only the keys q, a, b"),
    "no row": ("mmwp", {"sw.tsv": "question\tanswer\n\n"}, "holds a header and no row"),
    "cells": ("mmwp", {"sw.tsv": "question\tanswer\nx\t1\ny\n"}, r"sw.tsv:3: cells: 1, in the header: 2; found 'y'"),
    "column twice": ("mmwp", {"sw.csv": "question,answer,answer\nx,1,2\n"}, "names 'answer' more than once"),
    "open quote": ("mmwp", {"sw.csv": 'question,answer\nx,1\n"y,2\n'}, r"sw.csv:3: a quote that is opened here"),
    "two numbers": ("mgsm", {"mgsm_sw.tsv": "x\t3-4\n"}, r":1: the answer must be a number, found '3-4'"),
    "words": ("mmwp", {"sw.jsonl": [{"question": "x", "answer": "kumi"}]}, r":1: the answer must be a number"),
    "no answer": ("mmwp", {"sw.parquet": pyarrow.table({"question": ["x", "y"], "answer": [1, None]})},
                  r"sw.parquet:row 2: 'answer' must be a number or text, found 'None'"),
    "no object": ("mmwp", {"sw.json": '[{"question": "x", "answer": 1}, 3]'}, r"sw.json:item 2: found a JSON number"),
    "no array": ("mmwp", {"sw.json": '{\n"a": 1\n}'}, r"holds one JSON object with the keys a; an array"),
    "JSON": ("mmwp", {"sw.json": '[\n{"question"}'}, r"sw.json:2: not JSON"),
    "surrogate": ("mmwp", {"sw.json": '[{"question": "\\ud800", "answer": 1}]'}, "half a surrogate pair"),
    "no array items": ("mmwp", {"sw.json": "[]"}, "the array is empty"),
    "Parquet": ("mmwp", {"sw.parquet": b"PAR1 broken"}, "broken Parquet"),
    "LFS": ("mmwp", {"sw.parquet": "version https://git-lfs.github.com/spec/v1\n"}, "no Parquet file"),
    "gzip": ("mgsm", {"mgsm_sw.tsv": b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x03\0\0\0\0\0\0\0\0\0"}, "empty|gzip"),
    "CR alone": ("mgsm", {"mgsm_sw.tsv": "a\t3\rb\t4\r"}, "its lines end in CR alone"),
    "Parquet column twice": ("mmwp", {"sw.parquet": pyarrow.table([["x"], ["y"]], ["question", "question"])},
                             "names the column 'question' more than once"),
    "Latin-1": ("mgsm", {"mgsm_fr.tsv": "Combien ç\t3\n".encode("latin-1")}, r"mgsm_fr.tsv:1: not UTF-8"),
    "other language": ("mmwp", {"sw.jsonl": [{"question": "x", "answer": 1, "language": "Zulu"}]},
                       r"sw.jsonl:1: the row is of language 'Zulu', the file's name says 'sw'"),
    "label": ("xnli", {"sw.jsonl": [{"premise": "a", "hypothesis": "b", "label": -1}]}, r":1: label '-1': must be"),
    "row language": ("xnli", {"xnli.test.tsv": XNLI + "qq\tneutral\t\tA\tB\t1\n"}, r":2: language 'qq': not a known"),
    "answerKey": ("xcsqa", {"en.jsonl": [XCSQA | {"answerKey": "F"}]}, r":1: answerKey 'F': must be one of A, B"),
    "choices": ("xcsqa", {"en.jsonl": [XCSQA | {"question": {"stem": "x", "choices": CHOICES[:1] * 2}}]},
                r":1: two or more choices of different letters"),
}  # fmt: skip


@pytest.mark.parametrize(("task", "files", "message"), MALFORMED.values(), ids=MALFORMED)
def test_what_is_wrong_is_one_line_that_says_where(tmp_path, task, files, message):
    with pytest.raises(DataError, match=message) as caught:
        read(task, tmp_path, files)
    assert "\n" not in str(caught.value)


def test_a_folder_of_several_benchmarks_is_parted_by_their_names(tmp_path):
    files = {
        "mgsm_sw.tsv": "Ngapi?\t3\n",
        "test_Thai.json": [{"m_query": "กี่", "response": "8.0"}],
        "xnli.test.tsv": XNLI + "en\tneutral\t\tA\tB\t1\n",
        "bn.jsonl": [{"text": "কত?", "answer": 5}],
    }
    for name, content in files.items():
        put(tmp_path / name, content)
    expected = {"mgsm": ["sw"], "msvamp": ["th"], "jsonl": ["bn"]}
    assert {task: list(find_files(task, tmp_path)) for task in expected} == expected
