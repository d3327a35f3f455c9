"""`lingualift-ds report` on a sweep's folder: the table, the files, what got worse, what is missing, clear faults."""

import csv
import json
import sys
import xml.etree.ElementTree as ElementTree

import pytest
from results_folders import make_results, run_report
from sweep_folders import make_sweep

BASE = {"sw": 0.1, "te": 0.2, "en": 0.9, "de": 0.8}
OURS = {"sw": 0.6, "te": 0.7, "en": 0.7, "de": 0.79}
RATIO = {"ratio": {"name": "switch ratio", "key": "data.ratio", "values": ["0", "0.5"]}}
FIGURES = {
    "ablation": {"kind": "bars", "title": "Ablations", "arms": ["base", "ours"]},
    "ratio": {"kind": "curve", "grid": "ratio", "title": "Ratio"},
}


@pytest.fixture
def run(capsys):
    """Runs the command; gives its exit code, output and log."""
    return lambda *argv: run_report(capsys, *argv)


@pytest.fixture
def folder(tmp_path):
    """A sweep of two arms and a grid of two values; ours is worse in English and a little in German."""
    arms = {"base": BASE, "ours": OURS, "ratio=0": BASE, "ratio=0.5": OURS}
    names = {"base": "MonoReason", "ours": "LinguaLIFT"}
    return make_sweep(tmp_path / "sweep", arms, names=names, baseline="base", grids=dict(RATIO), figures=FIGURES)


def change(folder, **values):
    """Set keys of sweep.json; a key set to ... is taken away."""
    path = folder / "sweep.json"
    found = json.loads(path.read_text()) | values
    path.write_text(json.dumps({key: value for key, value in found.items() if value is not ...}))


def row(said: str, name: str) -> str:
    """The terminal's row of an arm."""
    return next(line for line in said.splitlines() if line.startswith(f"{name}  "))


def test_a_sweep_gives_a_table_and_files_beside_its_runs(run, folder):
    code, said, _ = run(folder)
    assert code == 0
    assert {path.name for path in (folder / "report").iterdir()} == {
        "sweep.html", "sweep.md", "sweep.csv", "ablation-mgsm.png", "ratio-mgsm.png",
    }  # fmt: skip
    head = next(line for line in said.splitlines() if line.startswith("arm "))
    assert head.split() == ["arm", "seeds", "LR.", "HR.", "Avg.", "English"]
    assert "16.0 (" in row(said, "MonoReason") and "66.0 (" in row(said, "LinguaLIFT")  # seeds: 15 and 17, 65 and 67
    assert "+50.0*" in row(said, "LinguaLIFT") and "switch ratio 0.5" in said
    assert f"Made by: lingualift-ds report {folder}" in said.replace("\n", " ")


def test_what_got_worse_is_named_by_language_before_any_table(run, folder):
    _, said, _ = run(folder)
    assert said.index("mgsm: worse than MonoReason") < said.index("\narm ")
    assert "  LinguaLIFT, significant: en −20.0*, HR. −10.5*\n" in said
    assert "  LinguaLIFT, not significant: de −1.0\n" in said
    for name in ("sweep.md", "sweep.html"):
        text = (folder / "report" / name).read_text(encoding="utf-8")
        assert text.index("worse than MonoReason") < text.index("−20.0") < text.index("Mean")


def test_every_seed_and_language_is_in_the_files(run, folder):
    run(folder)
    markdown = (folder / "report/sweep.md").read_text(encoding="utf-8")
    assert "| LinguaLIFT | 0 | 65.0 +50.0 |" in markdown and "|  | 1 | 67.0 +50.0 |" in markdown
    swahili = next(line for line in markdown.splitlines() if line.startswith("| Swahili sw | low |"))
    assert "| 11.0 | 61.0 +50.0\\* |" in swahili
    assert "![Ablations](ablation-mgsm.png)" in markdown
    with (folder / "report/sweep.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["arm", "seed", "task", "language", "level", "correct", "n"]
    assert len(rows) == 4 * 2 * 4
    found = next(r for r in rows if (r["arm"], r["seed"], r["language"]) == ("ratio=0.5", "1", "sw"))
    assert (float(found["correct"]), found["n"], found["level"]) == (0.62, "100", "low")


def test_the_page_is_whole_and_fetches_nothing(run, folder):
    run(folder)
    page = (folder / "report/sweep.html").read_text(encoding="utf-8")
    tree = ElementTree.fromstring(page.partition("\n")[2])
    images = [image.get("src") for image in tree.iter("img")]
    assert len(images) == 2 and all(source.startswith("data:image/png;base64,") for source in images)
    assert "http://" not in page and "https://" not in page and "<script" not in page
    assert "do not cover the spread between seeds" in page and f"lingualift-ds report {folder}" in page


def test_cells_that_are_missing_are_named_and_left_out(run, folder, tmp_path):
    (folder / "ours/seed1/evaluation/results.json").unlink()
    for seed in (0, 1):
        (folder / f"ratio=0/seed{seed}/evaluation/results.json").unlink()
    code, said, _ = run(folder)
    assert code == 0
    text = " ".join(said.split())
    assert "3 missing cells, not evaluated yet: LinguaLIFT, seed 1; switch ratio 0, seeds 0, 1." in text
    assert "Left out, because no cell of theirs is evaluated: switch ratio 0." in text
    assert row(said, "LinguaLIFT").split()[1:3] == ["1", "65.0"]
    page = (folder / "report/sweep.html").read_text(encoding="utf-8")
    assert "3 missing cells" in page and "switch ratio 0.5" in page
    values = json.loads((folder / "sweep.json").read_text())
    values["arms"]["ours"]["cells"]["0"]["results"] = None  # not even planned
    change(folder, arms=values["arms"])
    assert "4 missing cells" in run(folder)[1]


def test_nothing_evaluated_at_all_is_an_error(run, tmp_path):
    folder = make_sweep(tmp_path / "sweep", {"base": None, "ours": None})
    code, said, log = run(folder)
    assert code == 2 and not said and "none of its 4 cells is evaluated" in log and log.count("\n") == 1
    assert not (folder / "report").exists()


def test_without_a_baseline_or_figures_all_arms_without_a_grid_are_drawn(run, folder):
    change(folder, baseline=None, figures=...)
    code, said, _ = run(folder)
    assert code == 0 and "worse" not in said and "No differences: there is no baseline" in said
    assert [path.name for path in (folder / "report").glob("*.png")] == ["arms-mgsm.png"]


def test_several_tasks_are_drawn_each(run, tmp_path):
    tasks = ("mgsm", "xnli")
    folder = make_sweep(tmp_path / "sweep", {"base": BASE, "ours": OURS}, baseline="base", tasks=tasks, n=20)
    assert run(folder, "--output", tmp_path / "out")[0] == 0
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {"arms-mgsm.png", "arms-xnli.png"}


def test_a_later_report_takes_away_the_figures_of_an_earlier_one_alone(run, folder):
    run(folder)
    mine = folder / "report/mine.png"
    mine.write_text("mine")
    change(folder, figures={"ratio": FIGURES["ratio"]})
    run(folder)
    assert {path.name for path in (folder / "report").glob("*.png")} == {"ratio-mgsm.png", "mine.png"}


def test_files_of_others_are_not_overwritten(run, folder, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/ratio-mgsm.png").write_text("mine")
    code, said, log = run(folder, "--output", tmp_path / "out")
    assert code == 2 and not said and "ratio-mgsm.png: is there and no report of this command" in log
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_a_sweep_is_reported_alone_and_has_its_own_names(run, folder, tmp_path):
    results = make_results(tmp_path / "results", "results", BASE)
    for argv in ((folder, folder), (results, folder)):
        code, said, log = run(*argv)
        assert code == 2 and not said and f"{folder} is the folder of a sweep: it is reported alone" in log
    code, _, log = run(folder, "--names", "a")
    assert code == 2 and "--names: " in log and "whose arms have names in sweep.json" in log
    assert not (folder / "report").exists()


@pytest.mark.parametrize(
    "values, said",
    [
        ({"format": 2}, "this version reads format 1"),
        ({"format": ...}, "'format' is missing"),
        ({"arms": []}, "'arms' is a JSON array"),
        ({"seeds": ...}, "'seeds' is missing"),
        ({"baseline": "bsae"}, "'baseline' is 'bsae'; one of base, ours, ratio=0, ratio=0.5 is needed"),
        ({"grids": {}}, "arms, ratio=0: 'grid' is 'ratio'; one of none is needed"),
        ({"figures": {"a": {"kind": "pie"}}}, "figures, a: kind 'pie': unknown; bars, curve, matrix are known"),
        ({"figures": {"a": {"kind": "bars", "arms": ["oust"]}}}, "figures, a: no arm 'oust'; there are base, ours"),
        ({"figures": {"a": {"kind": "curve", "grid": "size"}}}, "figures, a: no grid 'size'; there are ratio"),
        ({"figures": {"../a": {"kind": "bars", "arms": []}}}, "'../a' is no name of a figure"),
    ],
)
def test_a_damaged_sweep_is_one_clear_line(run, folder, values, said):
    change(folder, **values)
    code, out, log = run(folder)
    assert code == 2 and not out and said in log and log.count("\n") == 1
    assert not (folder / "report").exists()


def test_results_that_did_not_ask_the_same_are_refused(run, folder):
    make_results(folder / "ours/seed1/evaluation", "ours", OURS, n=7)
    code, _, log = run(folder)
    assert code == 2 and "cannot be compared" in log


def test_without_matplotlib_all_but_the_figures_is_there(run, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    from lingualift_ds.evaluate.report.sweep import files

    warnings = []
    monkeypatch.setattr(files._logger, "warning", warnings.append)
    assert run(folder)[0] == 0
    assert len(warnings) == 1 and "pip install 'lingualift_ds[plots]'" in warnings[0]
    assert {path.name for path in (folder / "report").iterdir()} == {"sweep.html", "sweep.md", "sweep.csv"}


def test_arms_that_are_called_alike_are_told_apart_and_names_do_no_harm(run, tmp_path):
    names = {"a": "same", "b": "same", "c": "\x1b[2J<b>|*x*"}
    folder = make_sweep(tmp_path / "sweep", dict.fromkeys("abc", BASE), names=names, n=20, baseline="a")
    code, said, _ = run(folder)
    assert code == 0 and "\x1b" not in said
    assert "same (a)" in said and "same (b)" in said
    assert "<b>" not in (folder / "report/sweep.md").read_text(encoding="utf-8")
    ElementTree.fromstring((folder / "report/sweep.html").read_text(encoding="utf-8").partition("\n")[2])


def test_the_same_sweep_gives_the_same_files(run, folder):
    found = []
    for _ in range(2):
        run(folder)
        found.append({path.name: path.read_bytes() for path in (folder / "report").iterdir()})
    assert found[0] == found[1]
