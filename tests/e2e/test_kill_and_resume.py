"""Each stage is killed with SIGKILL in the middle and resumed; it must go on as if nothing had happened.

Stage 1 makes its samples of English, anew in every epoch; stage 2 reads records.
"""

import json
from pathlib import Path

import pytest
import tiny
from launching import ROOT, curve, launch, read_metrics, train, train_and_kill
from safetensors.torch import load_file


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Path:
    """A recipe whose LLM has dropout, so that a resume must restore random numbers too; five epochs."""
    folder = tmp_path_factory.mktemp("resume")
    tiny.save_llm(folder / "llm", attention_dropout=0.2)
    tiny.save_encoder(folder / "encoder")
    tiny.write_rows(folder / "stage1.jsonl", 40, language="sw")
    tiny.write_rows(folder / "stage2.jsonl", 40)
    tiny.write_rows(folder / "heldout.jsonl", 7)
    (folder / "en-sw.txt").write_text("apples\ttufaha\nhas\tana\nbuys\tananunua\nmore\tzaidi\nvery\tsana\n")
    return tiny.write_recipe(folder)


def overrides(recipe: Path, folder: Path, stage: int) -> list[str]:
    switched = [f"stage1.data.codeswitch.lexicons=[{recipe.parent}/en-sw.txt]"] if stage == 1 else []
    return [f"run.output={folder}", f"stage{stage}.epochs=5", *switched]


@pytest.fixture(scope="module")
def uninterrupted(recipe) -> Path:
    """Both stages in one go, on two ranks."""
    folder = recipe.parent / "straight"
    jobs = [{"config": str(recipe), "stage": s, "overrides": overrides(recipe, folder, s)} for s in (1, 2)]
    path = recipe.parent / "jobs.json"
    path.write_text(json.dumps(jobs))
    launch(2, "torchrun", ROOT / "tests/dist/run_many.py", str(path))
    return folder


@pytest.mark.parametrize("stage", [1, 2])
def test_killed_run_resumes_to_the_same_numbers(recipe, uninterrupted, stage):
    folder = recipe.parent / "killed"
    arguments = ["--stage", str(stage), "--config", str(recipe), *overrides(recipe, folder, stage)]
    metrics = folder / f"stage{stage}/metrics.jsonl"
    train_and_kill(2, metrics, 7, *arguments)
    assert not (folder / f"stage{stage}/COMPLETE").exists()
    before = len(read_metrics(metrics))
    assert 7 <= before < 25
    said = train(2, "deepspeed", *arguments, "--resume", "must")
    assert "resumed from" in said
    found, expected = curve(folder / f"stage{stage}"), curve(uninterrupted / f"stage{stage}")
    # Not approximately: the same bits went through the same operations. Every step once, also those repeated.
    assert found == expected and [step for step, *_ in found] == list(range(1, 26))
    weights = "alignment" if stage == 1 else "model"
    a, b = (load_file(f / f"stage{stage}/artefact/{weights}.safetensors") for f in (folder, uninterrupted))
    assert a.keys() == b.keys() and all(a[n].equal(b[n]) for n in a)
    # Once complete, a further start says so and changes nothing.
    assert "is complete already" in train(1, "python", *arguments)
    assert curve(folder / f"stage{stage}") == expected


def test_second_run_in_the_same_folder_is_refused(recipe, tmp_path):
    import fcntl

    folder = tmp_path / "run/stage1"
    folder.mkdir(parents=True)
    with (folder / ".lock").open("w") as claim:
        fcntl.flock(claim, fcntl.LOCK_EX)
        arguments = ["--stage", "1", "--config", str(recipe), f"run.output={tmp_path}/run"]
        assert "another run is training here" in train(1, "python", *arguments, code=2)
