"""Ranks that hang, vanish or fail in training, under real launchers: the job ends soon, says why once, names the rank,
and what only takes long is left alone."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from launching import ROOT, command, environment
from tiny import write_recipe

SCRIPT = Path(__file__).with_name("watched_training.py")
STEP_SECONDS = 3
_LIMIT = 180.0


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Path:
    return write_recipe(tmp_path_factory.mktemp("watchdog"))


class Training:
    """A launch, its files and what it said."""

    def __init__(self, folder: Path, recipe: Path, happening: list[dict], *arguments: str, ranks: int = 2):
        self.folder, self.ranks = folder, ranks
        self.output = folder / "run"
        launcher = "deepspeed" if ranks > 1 else "python"
        start = command(ranks, launcher, SCRIPT, "--stage", "1", "--config", str(recipe), f"run.output={self.output}")
        self.said = folder / "said"
        with self.said.open("wb") as said:
            self.process = subprocess.Popen(
                [*start, f"run.watchdog.step_seconds={STEP_SECONDS}", *arguments],
                cwd=ROOT, env=environment() | {"NOTES": str(folder), "HAPPENING": json.dumps(happening)},
                stdout=said, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def __enter__(self) -> "Training":
        return self

    def __exit__(self, *exception) -> None:
        for pid in [self.process.pid, *self.pids()]:
            if Path(f"/proc/{pid}").exists():
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def pids(self) -> list[int]:
        return [int(path.read_text()) for path in self.folder.glob("?.pid")]

    def wait_for(self, path: Path) -> str:
        until = time.monotonic() + _LIMIT
        while not path.is_file():
            assert self.process.poll() is None, self.text()
            assert time.monotonic() < until, self.text()
            time.sleep(0.02)
        return path.read_text()

    def wait_for_step(self, step: int) -> None:
        metrics = self.output / "stage1/metrics.jsonl"
        self.wait_for(metrics)
        while f'"step": {step},' not in metrics.read_text():
            assert self.process.poll() is None, self.text()
            time.sleep(0.02)

    def end(self) -> tuple[int, float]:
        """Exit code, and seconds since what was to happen has happened."""
        code = self.process.wait(_LIMIT)
        return code, time.time() - float((self.folder / "happened").read_text())

    def codes(self) -> list[int]:
        return [int((self.folder / f"{rank}.code").read_text()) for rank in range(self.ranks)]

    def text(self) -> str:
        return self.said.read_text()


def test_rank_that_hangs_in_a_step_is_named(recipe, tmp_path):
    happening = [{"at": "step", "step": 3, "rank": 1, "do": "hang"}]
    with Training(tmp_path, recipe, happening) as training:
        code, seconds = training.end()
        said = training.text()
    assert code == 4 and training.codes() == [4, 4], said
    assert seconds < STEP_SECONDS + 10
    assert "Late: rank 1, at: training, step 3, collective" in said
    assert said.count("no progress for") == 1
    for rank in (0, 1):
        assert f"stacks of rank {rank}, at: training, step 3, collective" in said
    stack = "\n".join(line for line in said.splitlines() if line.startswith("[rank 1]"))
    assert "in hang_here" in stack and "in take_step" in stack
    stack = "\n".join(line for line in said.splitlines() if not line.startswith("[rank 1]"))
    assert "in hang_here" not in stack and "in take_step" in stack
    assert "Traceback" not in said


def test_first_step_has_its_own_limit(recipe, tmp_path):
    happening = [{"at": "step", "step": 1, "do": "hang"}]
    with Training(tmp_path, recipe, happening, "run.watchdog.first_step_seconds=20", ranks=1) as training:
        code, seconds = training.end()
        said = training.text()
    assert code == 4, said
    assert 20 <= seconds < 30
    assert "first step, step 1" in said and "in hang_here" in said


def test_what_takes_long_is_no_hang(recipe, tmp_path):
    """A first step that compiles, an evaluation, a save: each longer than a step may be, on one rank or on both."""
    long = {"do": "sleep", "seconds": 1.5 * STEP_SECONDS}
    happening = [
        {"at": "step", "step": 1, "rank": 1} | long,
        {"at": "evaluate", "rank": 0} | long,
        {"at": "save"} | long,
    ]
    with Training(tmp_path, recipe, happening, "stage1.heldout_every=5", "stage1.checkpoint.every=0") as training:
        code, _ = training.end()
        assert code == 0, training.text()
    assert "no progress" not in training.text() and (training.output / "stage1/COMPLETE").is_file()


def test_ranks_save_and_leave_when_their_launcher_is_killed(recipe, tmp_path):
    slow = [{"at": "step", "do": "sleep", "seconds": 0.5}]
    with Training(tmp_path, recipe, slow, "stage1.steps=60", "stage1.checkpoint.every=0") as training:
        training.wait_for_step(2)
        ranks = training.pids()
        launcher = int(Path(f"/proc/{ranks[0]}/stat").read_text().rsplit(")", 1)[1].split()[1])
        assert launcher != training.process.pid  # DeepSpeed's command, which started the launcher
        os.kill(launcher, signal.SIGKILL)
        until = time.monotonic() + 20
        while any(Path(f"/proc/{pid}").exists() for pid in ranks):
            assert time.monotonic() < until, training.text()
            time.sleep(0.05)
        said = training.text()
    assert training.codes() == [75, 75], said
    assert "the launcher is gone" in said and "Traceback" not in said
    saved = [path.name for path in (training.output / "stage1/checkpoints").glob("step-*")]
    assert len(saved) == 1, "the step that was reached, and no other"


def test_mistake_on_one_rank_ends_the_others_with_one_traceback(recipe, tmp_path):
    with Training(tmp_path, recipe, [{"at": "step", "step": 2, "rank": 1, "do": "break"}]) as training:
        code, seconds = training.end()
        said = training.text()
    assert code == 1 and seconds < 15, said
    assert said.count("Traceback (most recent call last)") == 1, said
    assert "rank 1 has ended with exit code 1: ZeroDivisionError: a mistake of ours" in said


def test_users_error_on_one_rank_ends_the_others_with_it(recipe, tmp_path):
    with Training(tmp_path, recipe, [{"at": "prepare", "rank": 1, "do": "fail"}]) as training:
        code, seconds = training.end()
        said = training.text()
    assert code == 2 and training.codes() == [2, 2], said
    assert seconds < 15
    assert said.count("local.jsonl: is not on this node") == 1 and "Traceback" not in said


def test_second_ctrl_c_leaves_at_once(recipe, tmp_path):
    slow = [{"at": "step", "do": "sleep", "seconds": 0.3}, {"at": "save", "do": "sleep", "seconds": 60}]
    with Training(tmp_path, recipe, slow, "stage1.steps=60", "stage1.checkpoint.every=0", ranks=1) as training:
        training.wait_for_step(2)
        os.kill(training.process.pid, signal.SIGINT)
        time.sleep(2)
        assert training.process.poll() is None, training.text()
        os.kill(training.process.pid, signal.SIGINT)
        assert training.process.wait(3) == 130, training.text()
    assert not (training.output / "stage1/COMPLETE").exists() and "Traceback" not in training.text()
