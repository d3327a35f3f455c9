"""The quickstart in rehearsal: every part of it, with random stand-ins and two steps."""

import json

import pytest
from launching import BIN, ROOT, launch

from lingualift_ds.miniature.quickstart import format_results, summarise
from lingualift_ds.miniature.world import LANGUAGES


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    output = tmp_path_factory.mktemp("quickstart") / "q"
    said = launch(1, "python", BIN / "lingualift-ds", "quickstart", "--rehearse", "--output", str(output))
    (output / "said.txt").write_text(said)
    return output


def test_results_hold_every_arm_language_and_level(folder):
    results = json.loads((folder / "results.json").read_text())
    assert set(results) == {"arms", "right_object", "levels", "summary", "n", "seed", "seconds"}
    assert set(results["arms"]) == set(results["summary"]) == {"lingualift", "monoreason", "no_stage1"}
    for arm, scores in results["arms"].items():
        assert set(scores) == set(results["levels"]) == set(LANGUAGES) and len(scores) == 7
        assert all(0 <= s <= 1 for s in scores.values())
        assert set(results["summary"][arm]) == {"low", "medium", "high", "all"}
    assert {"miniature", "stage1", "stage2", "arms", "evaluate", "total"} <= set(results["seconds"])


def test_pictures_and_table_are_there(folder):
    for name in ("accuracy.png", "loss.png", "report/accuracy.png", "geometry/geometry.png"):
        data = (folder / name).read_bytes()
        assert data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) > 20_000
    said = (folder / "said.txt").read_text()
    assert "exact answers, %" in said and "accuracy.png" in said
    assert f"open this in a browser: {folder / 'report/report.html'}" in said
    page = (folder / "report/report.html").read_text()
    assert all(name in page for name in ("LinguaLIFT", "without Stage I", "MonoReason", "Swahili"))


def test_second_start_reuses_everything(folder):
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*.safetensors")}
    said = launch(1, "python", BIN / "lingualift-ds", "quickstart", "--rehearse", "--output", str(folder))
    assert said.count("done before") == 6 and "exact answers, %" in said
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*.safetensors")} == before


def test_trained_model_answers_a_question(folder):
    said = launch(
        1, "python", BIN / "lingualift-ds", "generate", "--model", str(folder / "lingualift/stage2"),
        "Ana ana tufaha 3 na ananunua 4 zaidi.", "--max-new-tokens", "4",
    )  # fmt: skip
    assert "error" not in said and "Traceback" not in said


def test_means_are_over_the_languages_of_a_level():
    values = {code: float(i) for i, code in enumerate(LANGUAGES)}
    low = [values[c] for c, language in LANGUAGES.items() if language.level == "low"]
    summary = summarise(values)
    assert summary["low"] == sum(low) / len(low) and summary["all"] == sum(values.values()) / 7
    results = {
        "arms": {"lingualift": values},
        "right_object": {"lingualift": values},
        "summary": {"lingualift": summary},
        "levels": {c: language.level for c, language in LANGUAGES.items()},
    }
    assert "lingualift" in format_results(results)


def test_launch_without_a_recipe_trains_on_the_miniature(tmp_path):
    """The default of launch/train.py, where the miniature stands already (building it takes minutes)."""
    from lingualift_ds.miniature.build import build_miniature

    build_miniature(tmp_path / "runs/miniature", seed=0, pretrain=False)
    import os
    import subprocess
    import sys

    from launching import environment

    done = subprocess.run(
        [sys.executable, str(ROOT / "launch/train.py"), "--stage", "1", "stage1.steps=1", "stage1.data.limit=64",
         f"run.output={tmp_path}/runs/miniature/run"],
        cwd=tmp_path, env=environment(), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert os.path.exists(tmp_path / "runs/miniature/run/stage1/COMPLETE")
