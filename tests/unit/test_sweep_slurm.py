"""`lingualift-ds sweep --slurm` with stand-ins for Slurm's commands: an array a level, and what its tasks run."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from swept import ARMS, write_sweep

from lingualift_ds.cli.main import main

ROOT = Path(__file__).parents[2]
STUBS = {
    "sbatch": """
        echo "$*" >> submitted; count=$(wc -l < submitted)
        [ "$count" != "${REFUSED:-}" ] || { echo full >&2; exit 1; }
        echo "$((100 + count));cluster"
    """,
    # Training and evaluation are the stand-in's; other modules of ours run as they are.
    "srun": 'while [[ $1 == --* ]]; do shift; done; [ "$2" != -m ] || exec "$@"; exec "$1" fake.py "${@:2}"',
    "scontrol": 'if [ "$1" = show ]; then echo gpu07; else echo "scontrol $*" >> submitted; fi',
    "squeue": "echo RUNNING None",
}


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A repository root with the scripts and a sweep, on a login node."""
    shutil.copytree(ROOT / "launch/slurm", tmp_path / "launch/slurm")
    stubs = {f"bin/{name}": f"#!/usr/bin/env bash\n{body}\n" for name, body in STUBS.items()}
    for name, text in (stubs | {".venv/bin/python": f'#!/bin/sh\nexec "{sys.executable}" "$@"\n'}).items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    for key in [key for key in os.environ if key.startswith(("SLURM_", "SBATCH_"))]:
        monkeypatch.delenv(key)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "submitted").touch()
    return tmp_path


def sweep(path, *words) -> int:
    return main(["sweep", str(path), "--slurm", "--gpus-per-node", "4", "--nodes", "2", *words])


def run_array(script: Path, lines: Path) -> list[int]:
    """Every task of an array, one after the other; their exit codes."""
    job = {"JOB_ID": 7, "ARRAY_JOB_ID": 7, "JOB_NUM_NODES": 1, "GPUS_ON_NODE": 4, "JOB_NODELIST": "gpu07"}
    env = os.environ | {f"SLURM_{key}": str(value) for key, value in job.items()}
    return [
        subprocess.run(["bash", str(script), str(lines)], env=env | {"SLURM_ARRAY_TASK_ID": str(task)}).returncode
        for task in range(len(lines.read_text().splitlines()))
    ]


def test_levels_are_arrays_each_after_the_one_before_and_their_tasks_do_the_sweep(cluster, capfd):
    path = write_sweep(cluster, arms={name: ARMS[name] for name in ("lift", "mono", "first")})
    assert sweep(path) == 0
    assert capfd.readouterr().out.splitlines()[:3] == [
        "level 0: array 101, 2 stages",
        "level 1: array 102, 1 stage, 2 evaluations",
        "level 2: array 103, 1 evaluation",
    ]
    scripts = [cluster / f"out/slurm/level-{number}.sbatch" for number in range(3)]
    texts = [script.read_text() for script in scripts]
    assert ["--dependency=afterany:101" in text for text in texts] == [False, True, False]
    assert "#SBATCH --dependency=afterany:102\n" in texts[2] and "#SBATCH --array=0-2\n" in texts[1]
    assert "#SBATCH --gpus-per-node=4\n" in texts[0] and "#SBATCH --nodes=2\n" in texts[0]
    assert (cluster / "out/sweep.json").is_file() and (cluster / "runs/slurm").is_dir()
    for script in scripts:
        assert set(run_array(script, script.with_suffix(".jobs"))) == {0}, capfd.readouterr()
    assert len((cluster / "calls").read_text().splitlines()) == 6
    assert (cluster / "out/lift/seed0/evaluation/results.json").is_file()
    (cluster / "submitted").write_text("")
    assert sweep(path) == 0 and (cluster / "submitted").read_text() == ""


def test_a_task_whose_stage_did_not_come_about_fails_in_a_line_and_is_not_requeued(cluster, capfd, monkeypatch):
    monkeypatch.setenv("FAILS", "lift/seed0/stage1")
    assert sweep(write_sweep(cluster, arms={name: ARMS[name] for name in ("lift", "frozen")})) == 0
    levels = [cluster / f"out/slurm/level-{number}.sbatch" for number in range(2)]
    assert run_array(levels[0], levels[0].with_suffix(".jobs")) == [2]
    assert all(run_array(levels[1], levels[1].with_suffix(".jobs")))
    said = capfd.readouterr().err
    assert "stage1/COMPLETE is missing" in said and "is no artefact" in said
    assert "scontrol requeue" not in (cluster / "submitted").read_text()


def test_the_miniature_and_the_report_run_alone(cluster):
    evaluate = {"tasks": ["jsonl"], "data": "{miniature}/questions"}
    keys = {"recipe": "miniature", "evaluate": evaluate, "figures": {"f": {"kind": "bars"}}, "arms": {"lift": {}}}
    assert sweep(write_sweep(cluster, **keys)) == 0
    lines = [path.read_text() for path in sorted((cluster / "out/slurm").glob("*.jobs"))]
    assert len(lines) == 5
    assert lines[0] == f"alone -m lingualift_ds.cli.main miniature --output {cluster}/out/miniature/seed0 --seed 0\n"
    assert lines[4] == f"alone -m lingualift_ds.cli.main report {cluster}/out\n"


def test_the_dry_run_shows_levels_and_script_and_submits_nothing(cluster, capfd):
    assert sweep(write_sweep(cluster), "--dry-run") == 0
    out = capfd.readouterr().out
    assert "# level 1, after level 0: 2 stages, 2 evaluations; " in out and "\ntrain 2 " in out
    assert "#SBATCH --gpus-per-node=4\n" in out
    assert (cluster / "submitted").read_text() == "" and not (cluster / "out").exists()


def test_a_refused_level_names_those_that_were_submitted(cluster, capfd, monkeypatch):
    monkeypatch.setenv("REFUSED", "2")
    assert sweep(write_sweep(cluster)) == 2
    assert "exit code 1: full; submitted before: 101 (scancel ends them)" in capfd.readouterr().err
    (cluster / "bin/sbatch").unlink()
    if shutil.which("sbatch") is None:
        assert sweep(write_sweep(cluster)) == 2
        assert "sbatch was not found" in capfd.readouterr().err
