"""Training across two nodes: real rendezvous over TCP by every launcher, and a network that fails in the middle.

The nodes are network namespaces (tests/two_nodes.py), an address and a host name each, on a shared file system. Few
launches serve all: one costs ten seconds, its forty steps two.
"""

import re
import time
from pathlib import Path

import pytest
import tiny
import two_nodes
from launching import curve, read_metrics
from two_nodes import NodeJob, Nodes, launch_on_both

from lingualift_ds.config.schema import WatchdogConfig

EPOCHS, STEPS = 8, 40  # 40 rows in batches of 8
CUT_AFTER = 10
SILENCE = 8
"""Seconds, in place of half a minute: a cut between two nodes shows by silence alone."""
LATER = 25
"""Seconds from silence to the end of both nodes' launchers: they look every second or so, and wait for each other."""


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    if why := two_nodes.missing():
        pytest.skip(why)
    with Nodes(tmp_path_factory.mktemp("nodes")) as nodes:
        yield nodes


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Path:
    return tiny.write_recipe(tmp_path_factory.mktemp("two-nodes"), zero=3)


def arguments(recipe: Path, name: str) -> list[str]:
    """Stage I in a folder of that name."""
    run = [f"run.output={recipe.parent / name}", f"stage1.epochs={EPOCHS}", f"run.watchdog.silence_seconds={SILENCE}"]
    return ["--stage", "1", "--config", str(recipe), *run]


def end(jobs: list[NodeJob], seconds: float) -> list[int | None]:
    """The exit codes of both nodes; None for one that is still at work after so long."""
    limit = time.monotonic() + seconds
    return [job.wait(limit - time.monotonic()) for job in jobs]


def ends_of(jobs: list[NodeJob]) -> str:
    return "\n".join(f"---- node {number}\n{job.output[-3000:]}" for number, job in enumerate(jobs))


@pytest.fixture(scope="module")
def uninterrupted(nodes, recipe) -> Path:
    """A stage folder, of two tasks as srun starts them, one a node."""
    jobs = launch_on_both(nodes, "srun", 29_400, *arguments(recipe, "through"))
    assert end(jobs, 100) == [0, 0], ends_of(jobs)
    return recipe.parent / "through/stage1"


def test_tasks_of_srun_train_on_two_nodes(uninterrupted):
    assert (uninterrupted / "COMPLETE").is_file()
    assert [step for step, *_ in curve(uninterrupted)] == list(range(1, STEPS + 1))


def test_a_lost_network_ends_both_nodes_and_another_launcher_resumes(nodes, uninterrupted, recipe):
    told, stage = arguments(recipe, "cut"), recipe.parent / "cut/stage1"
    jobs = launch_on_both(nodes, "torchrun", 29_401, *told)
    wait_for_step(stage, CUT_AFTER, jobs)
    nodes.cut()  # forty more collectives a second: one of them is under way
    codes = end(jobs, SILENCE + LATER)
    nodes.mend()
    assert all(codes), f"exit codes {codes}, {SILENCE + LATER} s after the cut\n{ends_of(jobs)}"
    for job, lost in zip(jobs, (1, 0)):
        assert re.search(rf"error: rank {lost}: not heard of for {SILENCE} s", job.output), ends_of(jobs)
    assert CUT_AFTER <= len(read_metrics(stage / "metrics.jsonl")) < STEPS and not (stage / "COMPLETE").exists()

    jobs = launch_on_both(nodes, "deepspeed", 29_402, *told, "--resume", "auto")
    assert end(jobs, 100) == [0, 0], ends_of(jobs)
    assert "resumed from" in jobs[0].output and (stage / "COMPLETE").is_file()
    # Not approximately: the same bits went through the same operations, whoever launched them.
    assert curve(stage) == curve(uninterrupted)


def test_a_lost_network_ends_a_run_within_a_minute_unless_told_otherwise():
    assert 0 < WatchdogConfig().silence_seconds + LATER < 60


def wait_for_step(stage: Path, step: int, jobs: list[NodeJob]) -> None:
    limit = time.monotonic() + 100
    while not any(line["step"] >= step for line in read_metrics(stage / "metrics.jsonl")):
        assert end(jobs, 0) == [None, None], ends_of(jobs)
        assert time.monotonic() < limit, f"training did not get to the step\n{ends_of(jobs)}"
        time.sleep(0.02)
