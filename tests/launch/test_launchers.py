"""Every launcher starts training and evaluation, every recipe passes `lingualift-ds check`, every file of launch/ is
covered by some test.

Elsewhere: deepspeed, torchrun and python train in tests/dist and tests/e2e, tasks of srun in test_slurm.py, all across
nodes in tests/dist/test_two_nodes.py; deepspeed evaluates in tests/dist/test_evaluate.py.
"""

import json
import os
import re
import socket
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
import tiny
from evaluated import results_of, save_bridged, write_questions
from launching import ROOT, environment, launch, read_metrics

from lingualift_ds.cli.main import main
from lingualift_ds.config.load import load_config
from lingualift_ds.config.published import PUBLISHED

RECIPES = sorted((ROOT / "launch/recipes").glob("*.yaml"))
STAGES = [(path, number) for path in RECIPES for number in sorted(load_config(path).stages)]
LINGUALIFT = [path for path in RECIPES if not any(stage.kind for stage in load_config(path).stages.values())]
ARMS = [line for line in (ROOT / "launch/slurm/ablations.txt").read_text().splitlines() if not line.startswith("#")]
COVERED = {
    "*.py": "here: every launcher starts both",
    "*.sh": "test_scripts.py: bash -n",
    "slurm/*.sh": "test_slurm.py: bash -n, run with stand-ins",
    "slurm/*.sbatch": "test_slurm.py: bash -n, run with stand-ins, rendered",
    "slurm/site.env": "here: bash -n; test_slurm.py",
    "slurm/ablations.txt": "here: every arm is a config",
    "recipes/*.yaml": "here: check; tests/e2e/test_recipes.py: trained in miniature; tests/unit/test_config.py: filled",
    "recipes/sweeps/*.yaml": "tests/unit/test_sweep_plan.py: planned",
    "container/*": "test_container.py",
}


def started_by(launcher: str, ranks: int) -> list[dict[str, str]]:
    """What a launcher that is not here would tell each of its processes."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    if launcher == "srun":
        shared |= {"SLURM_JOB_ID": "4711", "SLURM_STEP_ID": "0", "SLURM_NTASKS": str(ranks), "SLURM_NNODES": "1"}
        shared |= {"SLURM_NODEID": "0", "SLURM_STEP_NUM_NODES": "1", "SLURM_STEP_TASKS_PER_NODE": str(ranks)}
        return [shared | {"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)} for rank in range(ranks)]
    names = {"SIZE": ranks, "LOCAL_SIZE": ranks}
    return [
        shared | {f"OMPI_COMM_WORLD_{k}": str(v) for k, v in (names | {"RANK": rank, "LOCAL_RANK": rank}).items()}
        for rank in range(ranks)
    ]


def run(launcher: str, script: str, *arguments: str) -> str:
    """A script of launch/ on two processes, one under python; what they said. Fails where one ends with another exit
    code than 0."""
    if launcher in ("python", "torchrun", "deepspeed"):
        return launch(1 if launcher == "python" else 2, launcher, ROOT / "launch" / script, *arguments, limit=150)
    kept = {k: v for k, v in environment().items() if not k.startswith(("SLURM_", "OMPI_", "MASTER_"))}
    ranks = [
        subprocess.Popen(
            [sys.executable, str(ROOT / "launch" / script), *arguments],
            cwd=ROOT, env=kept | place, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for place in started_by(launcher, 2)
    ]  # fmt: skip
    try:
        said = [rank.communicate(timeout=150)[0] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    assert [rank.returncode for rank in ranks] == [0, 0], "\n".join(text[-3000:] for text in said)
    return "".join(said)


def test_training_starts_under_mpirun(tmp_path):
    recipe, stage = tiny.write_recipe(tmp_path / "tiny", zero=3), tmp_path / "run/stage1"
    steps = [f"run.output={stage.parent}", "stage1.steps=2"]
    said = run("mpirun", "train.py", "--stage", "1", "--config", str(recipe), *steps)
    assert "launched by mpirun" in said and (stage / "COMPLETE").is_file()
    assert len(read_metrics(stage / "metrics.jsonl")) == 2
    manifest = json.loads((stage / "checkpoints/step-000002/manifest.json").read_text())
    assert manifest["world_size"] == 2


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory) -> tuple[list[str], dict[str, bytes]]:
    """Arguments of an evaluation, and what one process writes."""
    folder = tmp_path_factory.mktemp("evaluated")
    save_bridged(folder / "model")
    write_questions(folder / "data", sw=3)
    told = ["--model", str(folder / "model"), "--tasks", "jsonl", "--data", str(folder / "data")]
    told += ["--max-new-tokens", "5", "--batch-size", "2"]
    run("python", "evaluate.py", *told, "--output", str(folder / "python"))
    return told, results_of(folder / "python")


@pytest.mark.parametrize("launcher", ["torchrun", "srun", "mpirun"])
def test_evaluation_starts_under(launcher, evaluated, tmp_path):
    told, expected = evaluated
    run(launcher, "evaluate.py", *told, "--output", str(tmp_path / "results"))
    assert results_of(tmp_path / "results") == expected
    assert len(list((tmp_path / "results/answered").iterdir())) == 2, "one process asked all"


@pytest.mark.parametrize("path, stage", STAGES, ids=lambda p: getattr(p, "stem", None))
def test_recipes_pass_check_without_a_network(path, stage, tmp_path, monkeypatch, capsys):
    """With the data that they name, and models of published shapes where theirs are made by a script."""

    def refuse(*_):
        raise OSError("a dry run reaches for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ds_configs").symlink_to(ROOT / "ds_configs")
    config = load_config(path)
    for settings in config.stages.values():
        for name in (*settings.data.train, *settings.data.heldout):
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_text('{"text": "a", "target": "b"}\n')
        for name in settings.data.codeswitch.lexicons:
            Path(name).mkdir(parents=True, exist_ok=True)
            (Path(name) / "en-sw.txt").write_text("apple tufaha\n")
    made = [f"model.{part}={name}" for part, name in (("encoder", "google/mt5-large"), ("llm", "Qwen/Qwen2.5-7B"))
            if getattr(config.model, part) not in (None, *PUBLISHED)]  # fmt: skip
    arguments = ["--config", str(path), "--stage", str(stage), "--world-size", "8", "--gpu-memory", "80"]
    assert main(["check", *arguments, *made]) == 0
    said = capsys.readouterr().out
    plan = next(line for line in said.splitlines() if line.endswith("<- the config"))
    assert re.search(r"\byes\b", plan), "the recipe does not fit the GPUs that it is for\n" + said


@pytest.mark.parametrize("arm", ARMS, ids=lambda arm: arm.split()[0])
@pytest.mark.parametrize("path", LINGUALIFT, ids=lambda p: p.stem)
def test_arms_of_the_ablations_are_settings_of_every_recipe_of_both_stages(arm, path):
    name, *settings = arm.split()
    assert re.fullmatch(r"[\w-]+", name) and settings
    assert load_config(path, settings) != load_config(path)


def test_sites_file_states_all_that_the_jobs_read_and_nothing_for_a_cluster_of_its_own():
    said = '"$python|${#srun_options[@]}|${#inside[@]}|$requeues|${!SBATCH_*}"'
    ask = f". launch/slurm/site.env; prepare_site; echo {said}"
    result = subprocess.run(
        ["bash", "-euc", ask], cwd=ROOT, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == ".venv/bin/python|0|0|20|" and not result.stderr


def test_every_file_to_launch_with_is_covered():
    """A file of a new kind needs a test of its own, and a line above."""
    files = [p.relative_to(ROOT / "launch") for p in (ROOT / "launch").rglob("*") if p.is_file()]
    files = [str(p) for p in files if "__pycache__" not in p.parts]
    for pattern in COVERED:
        assert any(fits(path, pattern) for path in files), f"{pattern}: nothing"
    for path in files:
        assert any(fits(path, pattern) for pattern in COVERED), f"launch/{path} is covered by no test"


def fits(path: str, pattern: str) -> bool:
    """A star stays within its folder."""
    return path.count("/") == pattern.count("/") and fnmatch(path, pattern)
