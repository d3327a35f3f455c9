"""The batch scripts on a real Slurm, with a stand-in for training: signals, ends, numbers of jobs."""

import re

import pytest
import yaml
from slurm_cluster import NODES, Job, cluster, wait_for

pytestmark = pytest.mark.slurm


@pytest.fixture
def here(make_checkout):
    """A checkout with a recipe, and a stand-in for training."""
    made = make_checkout("played")
    (made.root / "data.jsonl").write_text('{"text": "a", "target": "b"}\n')
    settings = {"data": {"train": ["data.jsonl"]}, "batch": {"samples": 16}, "steps": 1, "optimizer": {"lr": 0.1}}
    stages = {f"stage{n}": settings | {"deepspeed": f"ds_configs/stage{n}_zero3.json"} for n in (1, 2)}
    recipe = {"run": {"output": "runs/x"}, "model": {"encoder": "enc", "llm": "llm"}} | stages
    (made.root / "r.yaml").write_text(yaml.safe_dump(recipe))
    return made


# The first run of a job stays until it is told to leave; the one that is brought back completes the stage.
TWICE = '[ -z "$SLURM_RESTART_COUNT" ] || { told again; complete; exit 0; }; last'


def test_a_cluster_goes_with_its_jobs():
    with cluster() as made:
        made.run("sbatch", "--nodes=2", "--output=/dev/null", "--wrap", "srun sleep 600; sleep 600", cwd=made.folder)
        # Five of the daemons; a job's script, srun, two tasks, and who watches over them.
        wait_for(lambda: len(made.processes()) > 9, 30, made.logs)
    assert made.processes() == [] and not made.folder.exists()


def test_tasks_know_their_place_the_address_and_the_time_limit(here):
    """Slurm 22.05 states no SLURM_JOB_END_TIME: job.sh does, in Unix seconds."""
    play = 'told "$SLURM_NTASKS $SLURM_LOCALID $MASTER_ADDR $SLURM_JOB_END_TIME $(date +%s)"; complete'
    number = here.sbatch("stage1", "r.yaml", options=("--time=7",), PLAY=play)
    assert here.slurm.wait(number) == Job("COMPLETED", 0, 0), here.said(number)
    tasks = [line.split() for line in sorted(here.played(), key=lambda line: line.split()[-1])]
    assert [task[-1] for task in tasks] == ["0", "1"]
    for world, local, address, ends, now, _ in tasks:
        assert (world, local, address) == ("2", "0", "127.0.0.1")
        assert 7 * 60 - 45 <= int(ends) - int(now) <= 7 * 60 + 1  # what has passed since the start is taken off


def test_a_signal_to_the_script_reaches_every_task_and_the_job_comes_back(here):
    number = here.sbatch("stage1", "r.yaml", PLAY=TWICE)
    here.wait_for("up 0", "up 1")
    here.slurm.run("scancel", "--batch", "--signal=USR1", number)
    assert here.slurm.wait(number) == Job("COMPLETED", 0, 1), here.said(number)
    assert sorted(here.played()) == sorted(f"{word} {task}" for word in ("up", "USR1", "again") for task in (0, 1))
    assert "exit code 75" in here.said(number) and "restart 1 of 20" in here.said(number)


def test_sigterm_to_the_script_alone_lets_tasks_save(here):
    """srun would end its step with SIGKILL at a SIGTERM of its own."""
    number = here.sbatch("stage1", "r.yaml", PLAY="leave() { sleep 2; told saved; exit 75; }; last")
    here.wait_for("up 0", "up 1")
    here.slurm.run("scancel", "--batch", "--signal=TERM", number)
    assert here.slurm.wait(number) == Job("FAILED", 143, 0), here.said(number)
    assert {"saved 0", "saved 1"} <= set(here.played())


def test_a_cancelled_job_saves_and_does_not_come_back(here):
    number = here.sbatch("stage1", "r.yaml", PLAY="leave() { sleep 2; told saved; exit 75; }; last")
    here.wait_for("up 0", "up 1")
    here.slurm.run("scancel", number)
    # As long as the script runs, it is completing; once it is requeued, it is pending.
    job = here.slurm.wait(number)
    assert (job.state, job.restarts) == ("CANCELLED", 0), here.said(number)
    assert sorted(here.played()) == ["saved 0", "saved 1", "up 0", "up 1"], here.said(number)


def test_a_cancelled_job_does_not_come_back_though_its_tasks_end_before_its_script_is_told(here):
    """The second node hears of it first, and its task tells the other one to leave."""
    play = """
        trap 'touch leave; exit 75' TERM
        told up
        while [ ! -e leave ]; do sleep 0.1; done
        exit 75
    """
    number = here.sbatch("stage1", "r.yaml", PLAY=play)
    here.wait_for("up 0", "up 1")
    with here.slurm.deaf(NODES[0]):
        here.slurm.run("scancel", number)
        wait_for(lambda: "no runs/x/stage1/COMPLETE" in here.said(number), 20, lambda: here.said(number))
    job = here.slurm.wait(number)
    assert (job.state, job.restarts) == ("CANCELLED", 0), here.said(number)
    assert sorted(here.played()) == ["up 0", "up 1"]


def test_a_preempted_job_saves_and_is_brought_back_once_by_slurm(here):
    number = here.sbatch("stage1", "r.yaml", PLAY=TWICE)
    here.wait_for("up 0", "up 1")
    urgent = here.slurm.run(
        "sbatch", "--parsable", "--partition=urgent", "--nodes=2", "--gpus-per-node=1", "--output=/dev/null",
        "--wrap", "sleep 1", cwd=here.root,
    ).strip()  # fmt: skip
    assert here.slurm.wait(urgent).state == "COMPLETED"
    assert here.slurm.wait(number) == Job("COMPLETED", 0, 1), here.said(number)
    assert {"TERM 0", "TERM 1"} <= set(here.played())


@pytest.mark.parametrize("code", [2, 3])
def test_an_error_that_would_come_again_is_not_requeued(here, code):
    number = here.sbatch("stage1", "r.yaml", PLAY=f'[ "$SLURM_PROCID" = 0 ] || exit {code}; sleep 1; exit {code}')
    assert here.slurm.wait(number) == Job("FAILED", code, 0), here.said(number)
    assert "not requeued" in here.said(number)


def test_a_killed_task_brings_the_job_back(here):
    play = '[ -z "$SLURM_RESTART_COUNT" ] || { complete; exit 0; }; [ "$SLURM_PROCID" = 0 ] && exit 4; kill -9 $$'
    number = here.sbatch("stage1", "r.yaml", PLAY=play)
    assert here.slurm.wait(number) == Job("COMPLETED", 0, 1), here.said(number)


def test_only_the_task_of_an_array_that_was_told_comes_back(here):
    """The last task of an array has the array's own number, which means all of its tasks to scontrol."""
    (here.root / "arms.txt").write_text("one\ntwo\n")
    play = """
        stage=$3 folder=${!#} && folder=${folder#run.output=}
        trap 'exit 75' USR1
        told "up$SLURM_ARRAY_TASK_ID"
        while [ ! -e go ]; do sleep 0.1; done
        mkdir -p "$folder/stage$stage"
        touch "$folder/stage$stage/COMPLETE"
    """
    number = here.sbatch("array", "r.yaml", "arms.txt", options=("--nodes=1", "--array=0-1"), PLAY=play)
    here.wait_for("up0 0", "up1 0")
    listed = here.slurm.run("scontrol", "show", "job", number, "--oneliner")
    last = re.search(rf"^JobId={number} .*ArrayTaskId=(\d)", listed, re.MULTILINE).group(1)
    here.slurm.run("scancel", "--batch", "--signal=USR1", f"{number}_{last}")
    wait_for(lambda: here.slurm.job(f"{number}_{last}").restarts == 1, 30, here.slurm.logs)
    (here.root / "go").touch()
    for task in "01":
        job = here.slurm.wait(f"{number}_{task}")
        assert job == Job("COMPLETED", 0, int(task == last)), here.slurm.logs()
    assert all((here.root / f"runs/x-{arm}/stage2/COMPLETE").exists() for arm in ("one", "two"))
