"""The benchmark of code-switching: it runs without any data, notices a difference, and what it measures stays small."""

import json
import sys

import pytest

from benchmarks import codeswitch
from benchmarks.texts import load_texts, recombined, write_lexicons
from lingualift_ds.data.codeswitch import CodeSwitcher, Ratio, options, pieces
from lingualift_ds.data.lexicon import Lexicon, find_lexicons, read_lexicon


def test_it_runs_on_made_up_texts_and_writes_what_it_found(tmp_path, monkeypatch, capsys):
    arguments = ["--rows", "20", "--rounds", "1", "--lexicons", "1", "--sentences", "200", "--num-proc", "1,2"]
    out = tmp_path / "found.json"
    monkeypatch.setattr(sys, "argv", ["codeswitch.py", "--data", str(tmp_path), *arguments, "--json", str(out)])
    codeswitch.main()
    found = json.loads(out.read_text())
    assert [case["texts"] for case in found["comparison"]] == ["sentences", "questions", "answers"]
    assert all(case["later_rounds"]["words_per_second"]["ours"] > 0 for case in found["comparison"])
    assert [run["sentences"] for run in found["whole_command"]["runs"]] == [20, 20, 100, 100, 200, 200]
    assert all(run["peak_bytes"] > 1 << 20 for run in found["whole_command"]["runs"])
    assert "the same output bytes with --num-proc 1, 2" in capsys.readouterr().out


def test_a_different_output_stops_it(tmp_path, monkeypatch):
    write_lexicons(tmp_path, 1, tmp_path / "lexicons")
    lexicons = {code: read_lexicon(paths, code) for code, paths in find_lexicons([tmp_path / "lexicons"]).items()}
    monkeypatch.setattr(codeswitch.PlainSwitcher, "switch", lambda self, name, text: text.upper())
    with pytest.raises(SystemExit, match="text 0 comes out differently"):
        codeswitch.compare(load_texts(tmp_path, 3)["questions"], lexicons, 1)


def test_recombined_sentences_have_ids_and_numbers_of_their_own():
    rows = list(recombined(["Ann has 3 apples and some money.", "How many has Bill after 7 days?"], 500))
    assert len({row["id"] for row in rows}) == 500 and len({row["text"] for row in rows}) > 250
    assert rows == list(recombined(["Ann has 3 apples and some money.", "How many has Bill after 7 days?"], 500))


def test_what_is_remembered_stays_bounded_however_many_numbers_are_new(monkeypatch):
    for module in (pieces, options):
        monkeypatch.setattr(module, "MOST_REMEMBERED", 100)
    lexicons = {code: Lexicon(code, {"apples": ("x",)}) for code in ("af", "sw", "zu")}
    switcher = CodeSwitcher(lexicons, Ratio(1, 1))
    for number in range(3000):
        assert switcher.switch(str(number), f"apples {number}").text == f"x {number}"
    assert len(switcher.pieces) <= 101 and switcher.options.texts.size <= 3 * 2
