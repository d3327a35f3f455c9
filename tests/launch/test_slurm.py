"""The batch scripts, run with stand-ins for Slurm's commands: what they start, when they succeed, when they requeue."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import yaml
from launching import ROOT
from tiny import write_recipe

from lingualift_ds.cli import slurm as cli
from lingualift_ds.cli.main import COMMANDS, main

SBATCHES = sorted((ROOT / "launch/slurm").glob("*.sbatch"))
STUBS = {
    # Each task of a real srun gets the signal; here the stand-in itself plays training, as $TRAIN says.
    "srun": """
        echo "srun $*" >> calls
        while [[ $1 == --* ]]; do shift; done
        [ "$1" != env ] || shift
        [ "$2" != -m ] || exec "$@"
        echo "MASTER $MASTER_ADDR:$MASTER_PORT CPUS_PER_GPU ${SLURM_CPUS_PER_GPU:-unset}" >> calls
        echo "ENDS ${SLURM_JOB_END_TIME:-unset}" >> calls
        stage=none; [ "$3" != --stage ] || stage=$4
        done_() { mkdir -p "runs/x/stage$stage"; touch "runs/x/stage$stage/COMPLETE"; }
        eval "$TRAIN"
    """,
    "scontrol": """
        echo "scontrol $*" >> calls
        [ "$1" = show ] && printf '%s\\n' ${HOSTS:-gpu07 gpu08} || exit "${SCONTROL:-0}"
    """,
    "squeue": 'case $* in *%e*) echo "${ENDS:-N/A}" ;; *) echo "${STATE:-RUNNING None}" ;; esac',
    "sbatch": 'echo "sbatch $*" >> calls; echo Submitted batch job 4711; exit "${SBATCH_CODE:-0}"',
}
REQUEUED = "scontrol requeue 4711"


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A repository root with the scripts, a recipe, and Slurm's commands; the environment of a job of two nodes."""
    shutil.copytree(ROOT / "launch/slurm", tmp_path / "launch/slurm")
    for name, body in STUBS.items():
        write(tmp_path / "bin" / name, f"#!/usr/bin/env bash\n{body}\n")
    write(tmp_path / ".venv/bin/python", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    write(tmp_path / "data.jsonl", '{"text": "a", "target": "b"}\n')
    recipe = {"run": {"output": "runs/x"}, "model": {"encoder": "enc", "llm": "llm"}}
    settings = {"data": {"train": ["data.jsonl"]}, "batch": {"samples": 16}, "steps": 1, "optimizer": {"lr": 0.1}}
    recipe |= {f"stage{n}": settings | {"deepspeed": f"ds_configs/stage{n}_zero3.json"} for n in (1, 2)}
    write(tmp_path / "r.yaml", yaml.safe_dump(recipe))
    for key in [k for k in os.environ if k.startswith(("SLURM_", "SBATCH_"))]:
        monkeypatch.delenv(key)
    job = {"JOB_ID": 4711, "JOB_NUM_NODES": 2, "GPUS_ON_NODE": 4, "CPUS_ON_NODE": 32, "CPUS_PER_GPU": 8}
    for key, value in (job | {"JOB_NODELIST": "gpu[07-08]", "SUBMIT_DIR": tmp_path}).items():
        monkeypatch.setenv(f"SLURM_{key}", str(value))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TRAIN", "done_")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "calls").touch()
    return tmp_path


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def batch(cluster, script, *arguments, **environment):
    """Run a batch script to its end; its exit code, what it said, and the calls of Slurm's commands."""
    (cluster / "calls").write_text("")
    done = subprocess.run(
        ["bash", f"launch/slurm/{script}.sbatch", *arguments],
        env=os.environ | environment, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr, (cluster / "calls").read_text()


@pytest.mark.parametrize("path", [*SBATCHES, ROOT / "launch/slurm/job.sh"], ids=lambda p: p.name)
def test_the_scripts_parse_and_ask_for_a_signal_and_a_requeue(path):
    subprocess.run(["bash", "-n", str(path)], check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", "-x", str(path)], check=True, cwd=ROOT)
    if path.suffix == ".sbatch":
        text = path.read_text()
        assert "set -euo pipefail" in text and "#SBATCH --output=runs/slurm/%x-%j.log" in text
        assert "#SBATCH --signal=B:USR1@180" in text and "#SBATCH --requeue" in text


def test_stage1_starts_one_task_per_gpu_and_complete_is_success(cluster):
    code, said, calls = batch(cluster, "stage1", "r.yaml", "stage1.steps=2")
    assert code == 0 and "runs/x/stage1/COMPLETE" in said
    assert (
        "srun --nodes=2 --ntasks=8 --ntasks-per-node=4 --cpus-per-task=8 --kill-on-bad-exit=0 --wait=60 "
        ".venv/bin/python launch/train.py --stage 1 --config r.yaml stage1.steps=2\n" in calls
    )
    assert f"MASTER gpu07:{20_000 + 4711} CPUS_PER_GPU unset" in calls
    assert REQUEUED not in calls


def test_site_env_sets_python_containers_and_modules(cluster):
    with (cluster / "launch/slurm/site.env").open("a") as site:
        site.write("srun_options=(--container-image=a.sqsh)\ninside=(env)\nprepare_site() { echo module loaded; }\n")
    code, said, calls = batch(cluster, "stage1", "r.yaml")
    assert code == 0 and "module loaded" in said
    assert "--wait=60 --container-image=a.sqsh env .venv/bin/python launch/train.py" in calls


def test_gpus_are_read_with_their_kind_and_a_job_without_any_is_refused(cluster):
    _, _, calls = batch(cluster, "stage1", "r.yaml", SLURM_GPUS_ON_NODE="", SLURM_GPUS_PER_NODE="h100:2")
    assert "--ntasks=4 --ntasks-per-node=2 --cpus-per-task=16" in calls
    code, said, calls = batch(cluster, "stage1", "r.yaml", SLURM_GPUS_ON_NODE="")
    assert code == 2 and "--gpus-per-node" in said and calls == ""


@pytest.mark.parametrize(
    ("train", "restarts", "expected", "requeued"),
    [
        ("exit 137", 0, 137, True),
        ("exit 137", 19, 137, True),
        ("exit 137", 20, 137, False),
        ("exit 1", 1, 1, True),
        ("exit 1", 2, 1, False),
        ("mkdir -p runs/x/stage1/checkpoints; echo step-000007 > runs/x/stage1/checkpoints/latest; exit 1", 2, 1, True),
        ("exit 0", 0, 1, False),
        ("exit 2", 0, 2, False),
        ("done_; exit 2", 0, 2, False),
        ("exit 3", 0, 3, False),
        ("done_; exit 134", 0, 0, False),
    ],
    ids=[
        "killed",
        "last restart",
        "too often",
        "traceback",
        "again a traceback",
        "a traceback, after a step",
        "no COMPLETE",
        "user's error",
        "other run",
        "non-finite",
        "late abort",
    ],
)
def test_complete_decides_and_only_what_may_go_better_is_requeued(cluster, train, restarts, expected, requeued):
    code, said, calls = batch(cluster, "stage1", "r.yaml", TRAIN=train, SLURM_RESTART_COUNT=str(restarts))
    assert (code, REQUEUED in calls) == (expected, requeued), said


def test_a_failed_requeue_is_told(cluster):
    code, said, _ = batch(cluster, "stage1", "r.yaml", TRAIN="exit 137", SCONTROL="1")
    assert code == 137 and "scontrol requeue 4711 failed" in said


@pytest.mark.parametrize(
    ("number", "expected", "requeued"), [(signal.SIGUSR1, 9, True), (signal.SIGTERM, 143, False)], ids=["USR1", "TERM"]
)
def test_a_signal_reaches_training_which_may_still_save(cluster, number, expected, requeued):
    """The time limit (USR1) requeues; scancel (TERM) must not bring back what a user ended. A real srun kills its tasks
    at SIGTERM."""
    train = "trap 'sleep 0.5; touch saved; exit 9' USR1; touch started; while :; do sleep 0.05; done"
    with (cluster / "said").open("w") as said:
        job = subprocess.Popen(
            ["bash", "launch/slurm/stage1.sbatch", "r.yaml"],
            env=os.environ | {"TRAIN": train}, stderr=said, start_new_session=True,
        )  # fmt: skip
    try:
        for _ in range(400):
            if (cluster / "started").exists():
                break
            time.sleep(0.05)
        job.send_signal(number)
        assert job.wait(timeout=30) == expected, (cluster / "said").read_text()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(job.pid, signal.SIGKILL)  # the stand-in too, where the signal did not reach it
    assert (cluster / "saved").exists()
    assert (REQUEUED in (cluster / "calls").read_text()) == requeued


@pytest.mark.parametrize(
    ("state", "expected", "requeued"),
    [("RUNNING None", 75, True), ("COMPLETING TimeLimit", 75, True), ("COMPLETING None", 143, False), ("", 75, True)],
    ids=["running", "time limit", "cancelled", "squeue is silent"],
)
def test_a_job_that_slurm_has_ended_is_requeued_for_its_time_limit_alone(cluster, state, expected, requeued):
    """Tasks on other nodes may end first; then this script goes on before its own SIGTERM comes."""
    silent = {} if state else {"PATH": os.environ["PATH"].replace(str(cluster / "bin"), str(cluster / "few"))}
    if silent:
        shutil.copytree(cluster / "bin", cluster / "few")
        write(cluster / "few/squeue", "#!/bin/sh\nexit 1\n")
    code, said, calls = batch(cluster, "stage1", "r.yaml", TRAIN="exit 75", STATE=state, **silent)
    assert (code, REQUEUED in calls) == (expected, requeued), said


def test_tasks_know_when_the_job_ends(cluster):
    _, _, calls = batch(cluster, "stage1", "r.yaml", ENDS="1795279609")
    assert "ENDS 1795279609\n" in calls
    _, _, calls = batch(cluster, "stage1", "r.yaml")
    assert "ENDS unset\n" in calls


def test_a_task_of_an_array_requeues_itself_alone(cluster):
    """The number of an array's last task is that of the whole array."""
    (cluster / "arms.txt").write_text("one\ntwo\n")
    array = {"SLURM_ARRAY_JOB_ID": "4711", "SLURM_ARRAY_TASK_ID": "1"}
    code, said, calls = batch(cluster, "array", "r.yaml", "arms.txt", TRAIN="exit 75", **array)
    assert code == 75 and f"{REQUEUED}_1\n" in calls, said


def test_stage2_refuses_without_stage1_unless_told_where_to_start(cluster):
    code, said, calls = batch(cluster, "stage2", "r.yaml")
    assert code == 2 and "launch/train.py" not in calls and REQUEUED not in calls
    assert said.strip().startswith("error: stage 2: runs/x/stage1/COMPLETE is missing") and said.count("\n") == 1
    assert batch(cluster, "stage2", "r.yaml", "stage2.start_from=scratch")[0] == 0
    write(cluster / "runs/x/stage1/COMPLETE", "{}")
    assert batch(cluster, "stage2", "r.yaml")[0] == 0


def test_both_trains_stage2_only_after_stage1(cluster):
    code, _, calls = batch(cluster, "both", "r.yaml", TRAIN="exit 1")
    assert code == 1 and "--stage 1" in calls and "--stage 2" not in calls and REQUEUED in calls
    code, _, calls = batch(cluster, "both", "r.yaml")
    assert code == 0 and calls.index("--stage 1") < calls.index("--stage 2") and "--stage 3" not in calls


def test_both_trains_as_many_stages_as_the_recipe_states(cluster):
    values = yaml.safe_load((cluster / "r.yaml").read_text())
    write(cluster / "r.yaml", yaml.safe_dump(values | {"stage3": values["stage2"]}))
    code, said, calls = batch(cluster, "both", "r.yaml")
    assert code == 0, said
    assert calls.index("--stage 2") < calls.index("--stage 3") and (cluster / "runs/x/stage3/COMPLETE").is_file()


def test_two_tasks_of_srun_train_together(cluster):
    """Places come from what srun states, and the address from the script: two ranks meet, and complete the stage."""
    shutil.copy(ROOT / "launch/train.py", cluster / "launch/train.py")
    recipe = write_recipe(cluster / "tiny")
    tasks = """
        export DS_ACCELERATOR=cpu OMP_NUM_THREADS=1 SLURM_NTASKS=2 SLURM_STEP_ID=1
        SLURM_PROCID=0 SLURM_LOCALID=0 "$@" & first=$!
        SLURM_PROCID=1 SLURM_LOCALID=1 "$@" || { kill $first; exit 1; }
        wait $first
    """
    place = {"SLURM_JOB_NUM_NODES": "1", "SLURM_GPUS_ON_NODE": "2", "SLURM_JOB_ID": str(os.getpid())}
    code, said, _ = batch(cluster, "stage1", str(recipe), "stage1.steps=2", **place, HOSTS="127.0.0.1", TRAIN=tasks)
    assert code == 0, said
    manifest = next((cluster / "tiny/run/stage1/checkpoints").glob("step-*/manifest.json"))
    assert json.loads(manifest.read_text())["world_size"] == 2


def test_array_trains_the_arm_of_its_number_in_a_folder_of_its_own(cluster):
    write(
        cluster / "arms.txt", "# arms\n\nlinear model.alignment.kind=linear\njoint stage2.train=[alignment,llm] a=1\n"
    )
    train = 'for last; do :; done; folder=${last#run.output=}; mkdir -p "$folder/stage$stage"'
    train += '; touch "$folder/stage$stage/COMPLETE"'
    code, said, calls = batch(
        cluster, "array", "r.yaml", "arms.txt", "run.seed=3", SLURM_ARRAY_TASK_ID="0", TRAIN=train
    )
    assert code == 0, said
    assert "--stage 2 --config r.yaml run.seed=3 model.alignment.kind=linear run.output=runs/x-linear" in calls
    code, said, _ = batch(cluster, "array", "r.yaml", "arms.txt", SLURM_ARRAY_TASK_ID="1")
    assert code == 2 and "a: " in said  # a key that does not exist
    code, said, _ = batch(cluster, "array", "r.yaml", "arms.txt", SLURM_ARRAY_TASK_ID="2")
    assert code == 2 and "no arm number 2" in said


def test_evaluate_succeeds_where_results_are(cluster):
    told = ["--model", "m", "--tasks", "mgsm", "--data", "d"]
    results = "mkdir -p out && touch out/results.json"
    for output in (["--output", "out"], ["--output=out"]):
        code, _, calls = batch(cluster, "evaluate", *told, *output, TRAIN=results)
        assert code == 0 and f"launch/evaluate.py {' '.join([*told, *output])}\n" in calls
    code, _, calls = batch(cluster, "evaluate", *told, "--output", "out", TRAIN="exit 1")
    assert code == 1 and REQUEUED in calls  # results of before are not this job's
    code, said, _ = batch(cluster, "evaluate", *told)
    assert code == 2 and "--output" in said


def test_usage_and_place_are_told(cluster, monkeypatch):
    for script, words in (("stage1", "RECIPE"), ("stage2", "RECIPE"), ("both", "RECIPE"), ("array", "ARMS")):
        code, said, _ = batch(cluster, script)
        assert code == 2 and words in said
    monkeypatch.setenv("SLURM_SUBMIT_DIR", str(cluster / "bin"))
    code, said, _ = batch(cluster, "stage1", "r.yaml")
    assert code == 2 and "submit in the repository root" in said


@pytest.fixture
def command(monkeypatch):
    if cli not in COMMANDS:
        monkeypatch.setattr("lingualift_ds.cli.main.COMMANDS", (cli,))
    return lambda *arguments: main(["slurm", *arguments])


def test_dry_run_renders_for_a_cluster_and_submits_nothing(cluster, command, capsys):
    site = (cluster / "launch/slurm/site.env").read_text()
    site += "export SBATCH_ACCOUNT=proj SBATCH_TIMELIMIT=1:00:00 SBATCH_CPUS_PER_GPU=12\n"
    (cluster / "launch/slurm/site.env").write_text(site)
    options = ["--dry-run", "--nodes", "4", "--gpus-per-node", "8", "--time", "2-00:00:00", "--after", "12"]
    assert command(*options, "stage2", "r.yaml", "stage2.train=[alignment,llm]") == 0
    text = capsys.readouterr().out
    directives = [line.removeprefix("#SBATCH ") for line in text.splitlines() if line.startswith("#SBATCH ")]
    wanted = {"--account=proj", "--time=2-00:00:00", "--nodes=4", "--gpus-per-node=8", "--dependency=afterany:12"}
    assert wanted | {"--cpus-per-gpu=12", "--requeue"} <= set(directives)
    assert len({d.split("=")[0] for d in directives}) == len(directives)  # no option twice
    assert text.endswith("# sbatch runs/slurm/stage2.sbatch r.yaml 'stage2.train=[alignment,llm]'\n")
    assert 'train 2 "$@"' in text and (cluster / "calls").read_text() == ""
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)


def test_submits_the_rendered_script(cluster, command):
    assert command("--gpus-per-node", "8", "array", "r.yaml", "launch/slurm/ablations.txt") == 0
    assert (cluster / "calls").read_text() == "sbatch runs/slurm/array.sbatch r.yaml launch/slurm/ablations.txt\n"
    assert "#SBATCH --array=0-2\n" in (cluster / "runs/slurm/array.sbatch").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["stage1", "r.yaml"], "--gpus-per-node: not given"),
        (["--nodes", "0", "stage1", "r.yaml"], "--nodes 0"),
        (["--time", "soon", "stage1", "r.yaml"], "--time soon"),
        (["--after", "stage1", "stage2", "r.yaml"], "--after stage1"),
        (["--gpus-per-node", "8", "stage2", "r.yaml"], "runs/x/stage1/COMPLETE is missing"),
        (["--gpus-per-node", "8", "stage1"], "name a recipe"),
        (["--gpus-per-node", "8", "stage1", "--nodes", "2", "r.yaml"], "options stand before stage1"),
        (["--gpus-per-node", "8", "stage1", "r.yaml", "stage1.stepz=3"], "stepz"),
        (["--gpus-per-node", "8", "array", "r.yaml"], "file of arms"),
        (["--gpus-per-node", "8", "array", "r.yaml", "data.jsonl"], "data.jsonl:1: "),
        (["--gpus-per-node", "8", "array", "r.yaml", "none.txt"], "none.txt: no file of arms"),
    ],
)
def test_bad_input_is_one_line(cluster, command, capsys, arguments, words):
    assert command(*arguments) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1 and (cluster / "calls").read_text() == ""


def test_a_place_without_slurm_or_scripts_and_a_bad_site_are_told(cluster, command, capsys, monkeypatch):
    told = ["--gpus-per-node", "8", "stage1", "r.yaml"]
    monkeypatch.setenv("SBATCH_CODE", "1")
    assert command(*told) == 2 and "sbatch ended with exit code 1" in capsys.readouterr().err
    (cluster / "bin/sbatch").unlink()
    if shutil.which("sbatch") is None:
        assert command(*told) == 2 and "sbatch was not found" in capsys.readouterr().err
    write(cluster / "launch/slurm/site.env", "export SBATCH_ACOUNT=x\n")
    assert command(*told) == 2 and "SBATCH_ACOUNT: not an option" in capsys.readouterr().err
    write(cluster / "launch/slurm/site.env", "fi\n")
    assert command(*told) == 2 and "cannot be sourced" in capsys.readouterr().err
    shutil.rmtree(cluster / "launch")
    assert command(*told) == 2 and "run it in the repository root" in capsys.readouterr().err
