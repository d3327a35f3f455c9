"""Reading results folders: what is no results folder, or contradicts itself or another, is one clear line."""

import json
import shutil

import pytest
from results_folders import make_results, make_rows, write_rows

from lingualift_ds.errors import DataError
from lingualift_ds.evaluate.harness.scores import summarise
from lingualift_ds.evaluate.report.results import check_comparable, name_of, read_results


@pytest.fixture
def folder(tmp_path):
    return make_results(tmp_path / "one", "one", {"sw": 0.5, "en": 0.9}, n=10)


def change(folder, edit):
    """Edit results.json in place."""
    path = folder / "results.json"
    values = json.loads(path.read_text())
    edit(values)
    path.write_text(json.dumps(values))


def change_row(folder, number=0, **fields):
    """Set fields of a Swahili row; a field set to ... is taken away."""
    path = folder / "mgsm/sw.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[number] |= fields
    rows[number] = {key: value for key, value in rows[number].items() if value is not ...}
    write_rows(path, rows)


def told(call) -> str:
    """The one line of the error."""
    with pytest.raises(DataError) as raised:
        call()
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_whole_folder_is_read(folder):
    results = read_results(folder)
    swahili = results.tasks["mgsm"].languages["sw"]
    assert (results.name, swahili.level, swahili.n, swahili.correct) == ("one", "low", 10, 5)
    rows = [json.loads(line) for line in (folder / "mgsm/sw.jsonl").read_text().splitlines()]
    tokens, words = sum(row["encoder_tokens"] for row in rows), sum(row["words"] for row in rows)
    assert swahili.tokens_per_word == pytest.approx(tokens / words)
    assert list(swahili.rows) == [row["id"] for row in rows]
    assert read_results(folder, "other").name == "other"


def test_without_an_encoder_there_are_no_tokens_per_word(tmp_path):
    results = read_results(make_results(tmp_path / "base", "base", {"sw": 0.5}, encoder=False))
    assert results.tasks["mgsm"].languages["sw"].tokens_per_word is None


def test_a_language_that_no_table_knows_keeps_its_code():
    assert (name_of("sw"), name_of("qqx")) == ("Swahili", "qqx")


def test_what_is_no_results_folder_is_said(tmp_path, folder):
    assert "no such folder" in told(lambda: read_results(tmp_path / "nowhere"))
    assert "holds no results.json" in told(lambda: read_results(tmp_path))
    for content, said in (("{", "not JSON"), ("[]", "'format' is missing"), ('{"seed": 0}', "'format' is missing")):
        (folder / "results.json").write_text(content)
        assert said in told(lambda: read_results(folder))
    (folder / "results.json").write_bytes(b"\xff")
    assert "not JSON" in told(lambda: read_results(folder))


@pytest.mark.parametrize("number", [2, "1", None, True])
def test_an_unknown_format_is_refused(folder, number):
    change(folder, lambda values: values.update(format=number))
    assert "this version reads format 1" in told(lambda: read_results(folder))


@pytest.mark.parametrize(
    "edit, said",
    [
        (lambda v: v.pop("name"), "'name' is missing"),
        (lambda v: v.update(settings=3), "'settings' is a JSON number; an object"),
        (lambda v: v.update(created="today"), "'created' is 'today'"),
        (lambda v: v.update(tasks={}), "nothing to report"),
        (lambda v: v["tasks"]["mgsm"].update(languages={}), "mgsm has no language"),
        (lambda v: v["tasks"]["mgsm"]["languages"].update({"../en": {}}), "'../en' is no name"),
        (lambda v: v["tasks"]["mgsm"]["languages"].update(te={}), "te.jsonl: no such file"),
        (lambda v: v["tasks"]["mgsm"]["languages"].update(sw=[]), "mgsm, sw: found a JSON array"),
        (lambda v: v["tasks"]["mgsm"]["languages"]["sw"].update(level="tiny"), "level 'tiny': unknown; low, medium"),
        (lambda v: v["tasks"]["mgsm"]["languages"]["sw"].update(n=11), "n is 11, but"),
        (lambda v: v["tasks"]["mgsm"]["languages"]["sw"].update(correct=0.6), "correct is 0.6, but in"),
        (lambda v: v["tasks"]["mgsm"]["languages"]["sw"].update(truncated=0.9), "truncated is 0.9, but in"),
        (lambda v: v["tasks"]["mgsm"]["languages"]["sw"].update(wrong_language=0.2), "wrong_language is 0.2, but in"),
        (lambda v: v["tasks"]["mgsm"]["languages"]["sw"].update(no_answer=50), "a share from 0 to 1 or null"),
        (lambda v: v["tasks"]["mgsm"]["languages"]["sw"].pop("correct"), "correct is None"),
    ],
)
def test_results_json_that_cannot_be_meant_is_refused(folder, edit, said):
    change(folder, edit)
    assert said in told(lambda: read_results(folder))


@pytest.mark.parametrize(
    "fields, said",
    [
        ({"correct": ...}, "sw.jsonl:1: 'correct' is missing; true or false"),
        ({"correct": 1}, "sw.jsonl:1: 'correct' is a JSON number"),
        ({"id": 7}, "sw.jsonl:1: 'id' is a JSON number"),
        ({"id": "1"}, "sw.jsonl:2: id '1' stands twice"),
        ({"output": None}, "'output' is a JSON null; a string"),
        ({"given": 12}, "'given' is a JSON number; a string or null"),
        ({"language": "te"}, "'language' is 'te' in the file of sw"),
        ({"encoder_tokens": -1}, "'encoder_tokens' is '-1'; a whole number"),
        ({"choices": "yes"}, "'choices' is a JSON string; an array"),
    ],
)
def test_a_damaged_row_is_named_by_file_and_line(folder, fields, said):
    change_row(folder, **fields)
    assert said in told(lambda: read_results(folder))


def test_rows_that_are_cut_off_or_gone_are_noticed(folder):
    path = folder / "mgsm/sw.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]))
    assert "n is 10, but" in told(lambda: read_results(folder))
    path.write_text("".join(lines)[:-20])
    assert "sw.jsonl:10: not JSON" in told(lambda: read_results(folder))
    path.unlink()
    assert "the results are not whole" in told(lambda: read_results(folder))


def test_folders_with_other_questions_are_not_compared(tmp_path, folder):
    first = read_results(folder)

    def other(**fields):
        shutil.copytree(folder, tmp_path / "two", dirs_exist_ok=True)
        change_row(tmp_path / "two", number=3, **fields)
        return told(lambda: check_comparable([first, read_results(tmp_path / "two")]))

    check_comparable([first, first])
    assert "mgsm/sw.jsonl, id '3': the question is" in other(question="Another?")
    assert "id '3': the answer is '10' and '11'" in other(
        question=first.tasks["mgsm"].languages["sw"].rows["3"].question, answer="11"
    )
    assert "has id '3'" in other(id="33")


def test_folders_of_other_limits_levels_or_metrics_are_not_compared(tmp_path, folder):
    first = read_results(folder)
    fewer = read_results(make_results(tmp_path / "fewer", "fewer", {"sw": 0.5}, n=4))
    assert "has 10 and 4 rows" in told(lambda: check_comparable([first, fewer]))
    shutil.copytree(folder, tmp_path / "two")
    change(tmp_path / "two", lambda values: values["tasks"]["mgsm"]["languages"]["sw"].update(level="high"))
    assert "the level is low and high" in told(lambda: check_comparable([first, read_results(tmp_path / "two")]))
    change(tmp_path / "two", lambda values: values["tasks"]["mgsm"].update(metric="f1"))
    said = told(lambda: check_comparable([first, read_results(tmp_path / "two")]))
    assert "the metric of mgsm is 'exact answer' and 'f1'" in said


def test_the_made_up_rows_are_those_of_the_contract():
    rows = make_rows("mgsm", "sw", 0.3, 10, seed=1)
    assert sum(row["correct"] for row in rows) == 3
    assert summarise(rows, None)["correct"] == 0.3
