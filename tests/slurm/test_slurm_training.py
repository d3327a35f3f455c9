"""The project's batch scripts train a tiny recipe at ZeRO-3 over two nodes of a real Slurm, told to leave and not."""

import json
import shutil
import sys
from pathlib import Path

import pytest
from evaluated import write_questions
from launching import ROOT, curve
from slurm_cluster import Job, wait_for
from tiny import write_recipe

pytestmark = pytest.mark.slurm
STEPS = ("stage1.steps=24", "stage2.steps=12")
SLOW = {"SECONDS_A_STEP": "2"}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Path:
    """What is prepared once is shared by all jobs, as it is on a cluster."""
    return write_recipe(tmp_path_factory.mktemp("tiny"), zero=3)


@pytest.fixture(scope="module")
def whole(slurm, recipe, make_checkout):
    """A run through both stages that nothing interrupts, submitted by `lingualift-ds slurm`: checkout, job, folder."""
    here = make_checkout()
    command = (sys.executable, "-m", "lingualift_ds.cli.main", "slurm", "--nodes", "2", "--gpus-per-node", "1")
    said = slurm.run(*command, "both", str(recipe), *STEPS, cwd=here.root, PYTHONPATH=str(ROOT))
    number = said.split()[-1]
    assert slurm.wait(number, limit=300) == Job("COMPLETED", 0, 0), here.said(number)
    return here, number, recipe.parent / "run"


@pytest.fixture
def told(slurm, recipe, make_checkout, whole, tmp_path):
    """Submits a script whose steps are slow until it is requeued, and compares what comes out with `whole`."""

    class Told:
        here, run = make_checkout("slow"), tmp_path / "run"

        def sbatch(self, script: str, *options: str, **environment: str) -> str:
            run = f"run.output={self.run}"
            return self.here.sbatch(script, str(recipe), *STEPS, run, options=options, **SLOW | environment)

        def assert_whole(self, number: str, stage: str, restarts: int) -> None:
            assert slurm.wait(number, limit=180) == Job("COMPLETED", 0, restarts), self.here.said(number)
            assert (self.run / stage / "COMPLETE").is_file()
            assert curve(self.run / stage) == curve(whole[2] / stage), self.here.said(number)

    return Told()


def test_lingualift_ds_slurm_submits_and_stage2_follows_stage1s_complete(whole):
    here, number, run = whole
    assert [len(curve(run / stage)) for stage in ("stage1", "stage2")] == [24, 12]
    for stage in ("stage1", "stage2"):
        manifest = next((run / stage / "checkpoints").glob("step-*/manifest.json"))
        assert json.loads(manifest.read_text())["world_size"] == 2
    assert (run / "stage1/COMPLETE").stat().st_mtime_ns < (run / "stage2/config.yaml").stat().st_mtime_ns
    assert "launched by srun" in here.said(number)


def test_stage2_is_not_started_nor_requeued_without_stage1(slurm, recipe, make_checkout, tmp_path):
    here = make_checkout()
    number = here.sbatch("stage2", str(recipe), f"run.output={tmp_path / 'run'}")
    assert slurm.wait(number) == Job("FAILED", 2, 0)
    assert "stage1/COMPLETE is missing" in here.said(number)


def test_evaluate_asks_the_model_on_both_nodes(slurm, whole, make_checkout, tmp_path):
    here, data = make_checkout(), write_questions(tmp_path / "data", sw=5)
    output = tmp_path / "results"
    asked = ["--model", str(whole[2]), "--tasks", "jsonl", "--data", str(data), "--output", str(output)]
    number = here.sbatch("evaluate", *asked, "--max-new-tokens", "4", "--batch-size", "2")
    assert slurm.wait(number) == Job("COMPLETED", 0, 0), here.said(number)
    assert (output / "results.json").is_file() and len(list((output / "answered").iterdir())) == 2


def test_the_time_limits_signal_brings_the_job_back_to_the_same_losses(slurm, told):
    """Slurm looks every half a minute which time limits are near."""
    number = told.sbatch("stage1", "--time=10", "--signal=B:USR1@30")
    told.here.wait_for_step(told.run / "stage1", 2)
    slurm.run("scontrol", "update", f"JobId={number}", "TimeLimit=1")
    wait_for(lambda: slurm.job(number).restarts == 1, 60, lambda: told.here.said(number))
    slurm.run("scontrol", "update", f"JobId={number}", "TimeLimit=10")
    told.assert_whole(number, "stage1", restarts=1)
    said = told.here.said(number)
    assert "SIGUSR1: forwarded" in said and "exit code 75" in said


def test_a_job_too_short_for_a_save_leaves_by_itself_and_comes_back(slurm, told):
    number = told.sbatch("stage1", "--time=1", "--signal=B:USR1@1")
    wait_for(lambda: slurm.job(number).restarts == 1, 60, lambda: told.here.said(number))
    slurm.run("scontrol", "update", f"JobId={number}", "TimeLimit=10")
    told.assert_whole(number, "stage1", restarts=1)
    assert "SIGUSR1" not in told.here.said(number)


def test_a_cancelled_stage2_stays_away_and_goes_on_when_it_is_submitted_again(slurm, told, whole):
    shutil.copytree(whole[2] / "stage1", told.run / "stage1")
    number = told.sbatch("stage2", "--time=10")
    told.here.wait_for_step(told.run / "stage2", 2)
    slurm.run("scancel", number)
    assert slurm.wait(number).state == "CANCELLED", told.here.said(number)
    done = len(curve(told.run / "stage2"))
    assert 2 <= done < 12 and not (told.run / "stage2/COMPLETE").exists()
    number = told.sbatch("stage2", "--time=10", SECONDS_A_STEP="0")
    told.assert_whole(number, "stage2", restarts=0)
    assert f"step-{done:06d}" in told.here.said(number)  # none of its steps is done twice
