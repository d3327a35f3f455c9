"""`lingualift-ds report`: the table, the files, what got worse at the top of each, and one clear line a fault."""

import csv
import json
import sys

import pytest
from results_folders import make_results, run_report, write_rows

from lingualift_ds.evaluate.harness.scores import summarise

BASE = {"sw": 0.2, "te": 0.5, "en": 0.9, "de": 0.8}
OURS = {"sw": 0.7, "te": 0.48, "en": 0.5, "de": 0.8}


@pytest.fixture
def folders(tmp_path):
    """Two results folders; ours is much worse in English, a little in Telugu, better in Swahili."""
    return [
        str(make_results(tmp_path / name, name, right, 100, seed))
        for seed, (name, right) in enumerate((("base", BASE), ("ours", OURS)))
    ]


@pytest.fixture
def run(capsys):
    """Runs the command; gives its exit code, output and log."""
    return lambda *argv: run_report(capsys, *argv)


def rows_of(path) -> list[dict]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_one_folder_gives_a_table_and_files_inside_it(run, folders, tmp_path):
    code, said, _ = run(folders[0])
    assert code == 0 and "base" in said and "Worse" not in said
    names = {path.name for path in (tmp_path / "base").iterdir() if path.is_file()}
    assert names == {
        "results.json", "report.html", "report.md", "results.csv", "means.csv", "accuracy.png", "fertility.png",
    }  # fmt: skip
    table = {line.split()[0]: line for line in reversed(said.splitlines()) if line.strip()}
    assert "Swahili" in table["sw"] and "20.0 (13.3–28.9)" in table["sw"]
    assert "35.0 (" in table["LR."] and "85.0 (" in table["HR."] and "60.0 (" in table["Avg."]


def test_what_got_worse_is_at_the_top_of_every_output(run, folders, tmp_path):
    code, said, _ = run(*folders, "--output", tmp_path / "out")
    assert code == 0
    lines = [line.strip() for line in said.splitlines()]
    assert lines[:3] == ["Worse than base", "significant", "ours, mgsm: en −40.0*, HR. −20.0*"]
    assert lines[3:5] == ["not significant", "ours, mgsm: te −2.0"]
    markdown = (tmp_path / "out/report.md").read_text(encoding="utf-8")
    assert markdown.index("Worse than base") < markdown.index("en −40.0") < markdown.index("Better than base")
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert page.index("Worse than base") < page.index("−40.0*") < page.index("<table")
    deltas = rows_of(tmp_path / "out/deltas.csv")
    assert [row["language"] for row in deltas[:3]] == ["en", "HR.", "te"]
    assert deltas[-1]["language"] == "de" and len(deltas) == 7  # what stayed is there too


def test_a_sure_loss_stands_before_a_larger_one_that_may_be_chance(run, tmp_path):
    """Swahili: 12 of 100 answers turned wrong, none right. Telugu: 50 turned wrong and 36 right."""
    folder = make_results(tmp_path / "base", "base", {"sw": 0.5, "te": 0.5}, 100)
    ours = make_results(tmp_path / "ours", "ours", {"sw": 0.5, "te": 0.5}, 100)
    stated = json.loads((folder / "results.json").read_text())
    for code, lost, won in (("sw", 12, 0), ("te", 50, 36)):
        rows = [json.loads(line) for line in (folder / f"mgsm/{code}.jsonl").read_text().splitlines()]
        right, wrong = ([row for row in rows if row["correct"] is outcome] for outcome in (True, False))
        for row in right[:lost] + wrong[:won]:
            row["correct"] = not row["correct"]
        write_rows(ours / f"mgsm/{code}.jsonl", rows)
        stated["tasks"]["mgsm"]["languages"][code] = summarise(rows, "low")
    (ours / "results.json").write_text(json.dumps(stated | {"name": "ours"}))
    code, said, _ = run(folder, ours)
    assert code == 0
    found = [
        (row["language"], row["significant"]) for row in rows_of(folder / "deltas.csv") if row["kind"] == "language"
    ]
    assert found == [("sw", "true"), ("te", "false")]
    assert said.index("sw −12.0*") < said.index("te −14.0")


def test_csv_is_tidy_and_adds_up(run, folders, tmp_path):
    run(*folders, "--output", tmp_path / "out")
    rows = rows_of(tmp_path / "out/results.csv")
    assert [(row["name"], row["language"]) for row in rows[:2]] == [("base", "te"), ("base", "sw")]
    assert len(rows) == 8 and {row["task"] for row in rows} == {"mgsm"}
    stated = json.loads((tmp_path / "ours/results.json").read_text())["tasks"]["mgsm"]["languages"]
    for row in rows[4:]:
        assert row["name"] == "ours" and row["n"] == "100" and row["level"] == stated[row["language"]]["level"]
        for key in ("correct", "truncated", "no_answer", "wrong_language"):
            assert float(row[key]) == pytest.approx(stated[row["language"]][key])
        assert float(row["ci_low"]) < float(row["correct"]) < float(row["ci_high"])
    means = {(row["name"], row["mean"]): float(row["correct"]) for row in rows_of(tmp_path / "out/means.csv")}
    assert means["ours", "Avg."] == pytest.approx((0.7 + 0.48 + 0.5 + 0.8) / 4)
    assert means["base", "LR."] == pytest.approx(0.35)
    of = {row["language"]: row for row in rows_of(tmp_path / "out/deltas.csv")}
    english, swahili = of["en"], of["sw"]
    assert (english["name"], english["against"], english["significant"]) == ("ours", "base", "true")
    assert int(english["won"]) - int(english["lost"]) == -40 and float(english["delta"]) == pytest.approx(-0.4)
    assert float(swahili["p_holm"]) == pytest.approx(4 * float(swahili["p"]), rel=1e-4)  # the smallest of four
    assert float(english["p_holm"]) == pytest.approx(3 * float(english["p"]), rel=1e-4)


def test_pictures_are_pictures(run, folders, tmp_path):
    run(*folders, "--output", tmp_path / "out")
    from matplotlib.image import imread

    for name in ("accuracy.png", "fertility.png"):
        picture = imread(tmp_path / "out" / name)
        assert min(picture.shape[:2]) > 300
        colours = {tuple(round(255 * part) for part in pixel[:3]) for pixel in picture[::2, ::2].reshape(-1, 4)}
        assert (0, 114, 178) in colours and (230, 159, 0) in colours  # both markers are drawn


def test_results_that_are_not_alike_are_compared_where_they_can_be(run, tmp_path):
    make_results(tmp_path / "a", "a", {"sw": 0.2, "en": 0.5}, tasks=("mgsm",))
    make_results(tmp_path / "b", "b", {"sw": 0.4, "th": 0.5}, seed=1, tasks=("mgsm", "msvamp"))
    code, said, _ = run(tmp_path / "a", tmp_path / "b")
    assert code == 0
    assert "In no mean, because not all results have them: en, th." in said
    assert "No differences" not in said  # msvamp has nothing to be held against, and no other to want one
    means = rows_of(tmp_path / "a/means.csv")
    assert {row["languages"] for row in means if row["task"] == "mgsm"} == {"sw"}
    assert {row["language"] for row in rows_of(tmp_path / "a/deltas.csv")} == {"sw", "LR.", "Avg."}
    code, said, _ = run(
        tmp_path / "a", tmp_path / "b", make_results(tmp_path / "c", "c", {"sw": 0.4}, tasks=("msvamp",))
    )
    assert "No differences: the first results do not have this task." in said


def test_a_mean_of_one_language_is_that_language(run, folders, tmp_path):
    single = [
        make_results(tmp_path / n, n, {"sw": s, "en": 0.9}, 40, k) for k, (n, s) in enumerate((("x", 0.1), ("y", 0.6)))
    ]
    said = run(*single)[1]
    table = {line.split()[0]: line.split()[-4:] for line in reversed(said.splitlines()) if line.strip()}
    assert table["LR."] == table["sw"] and table["HR."] == table["en"]


def test_settings_that_differ_are_said(run, folders, tmp_path):
    assert "Not asked alike" not in run(*folders)[1]
    path = tmp_path / "ours/results.json"
    values = json.loads(path.read_text())
    values["settings"] |= {"max_new_tokens": 512, "batch_size": 1}
    path.write_text(json.dumps(values))
    assert "Not asked alike: max_new_tokens is 256, 512." in run(*folders)[1]


def test_a_second_report_replaces_the_first_and_leaves_nothing_of_it(run, folders, tmp_path):
    out = tmp_path / "out"
    run(*folders, "--output", out)
    make_results(tmp_path / "plain", "plain", {"sw": 0.5}, encoder=False)
    assert run(tmp_path / "plain", "--output", out)[0] == 0
    assert {path.name for path in out.iterdir()} == {
        "report.html", "report.md", "results.csv", "means.csv", "accuracy.png",
    }  # fmt: skip


def test_files_of_others_are_not_overwritten(run, folders, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "results.csv").write_text("mine")
    code, said, log = run(*folders, "--output", out)
    assert code == 2 and said == "" and "results.csv: is there and no report of this command" in log
    assert (out / "results.csv").read_text() == "mine" and len(list(out.iterdir())) == 1


def test_without_matplotlib_all_but_the_pictures_is_there(run, folders, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    from lingualift_ds.evaluate.report import files

    warnings = []
    monkeypatch.setattr(files._logger, "warning", warnings.append)
    code, said, _ = run(*folders, "--output", tmp_path / "out")
    assert code == 0 and "Swahili" in said
    assert len(warnings) == 1 and "pip install 'lingualift_ds[plots]'" in warnings[0]
    assert (tmp_path / "out/report.html").exists() and not list((tmp_path / "out").glob("*.png"))


def test_names_are_given_or_asked_for(run, folders, tmp_path):
    assert "left" in run(*folders, "--names", "left, right", "--output", tmp_path / "out")[1]
    code, _, log = run(folders[0], folders[0])
    assert code == 2 and "two results are called 'base'; tell them apart by --names A,B" in log
    for names in ("one", "one,", "a,b,c", ""):
        code, _, log = run(*folders, "--names", names)
        assert code == 2 and "2 names are needed" in log and log.count("\n") == 1
    code, _, log = run(*[folders[0]] * 9)
    assert code == 2 and "at most 8" in log


def test_faults_end_in_one_line_and_write_nothing(run, folders, tmp_path):
    for argv, said in (
        ([tmp_path / "nowhere"], "no such folder"),
        ([tmp_path], "holds no results.json"),
        ([folders[0], make_results(tmp_path / "few", "few", {"sw": 0.5}, n=5)], "cannot be compared"),
    ):
        code, out, log = run(*argv, "--output", tmp_path / "out")
        assert code == 2 and not out and said in log and log.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_colour_only_on_a_terminal_or_when_asked(run, folders, monkeypatch):
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    plain = run(*folders)[1]
    assert "\x1b" not in plain
    monkeypatch.setenv("FORCE_COLOR", "1")
    coloured = run(*folders)[1]
    assert "\x1b[33mWorse than base\x1b[0m" in coloured and "\x1b[1;36mBetter than base\x1b[0m" in coloured
    monkeypatch.setenv("NO_COLOR", "1")
    assert run(*folders)[1] == plain


def test_a_name_cannot_act_on_the_terminal_or_on_markdown(run, folders, tmp_path):
    code, said, _ = run(*folders, "--names", "a\x1b[2J,<b>|*x*", "--output", tmp_path / "out")
    assert code == 0 and "\x1b" not in said
    markdown = (tmp_path / "out/report.md").read_text(encoding="utf-8")
    assert "<b>" not in markdown and "\\|\\*x\\*" in markdown
    heads = [line for line in markdown.splitlines() if line.startswith("|  | language | n |")]
    assert len(heads) == 1 and heads[0].replace("\\|", "").count("|") == 6


def test_the_same_results_give_the_same_files(run, folders, tmp_path):
    for out in ("first", "second"):
        run(*folders, "--output", tmp_path / out)
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes(), path.name
