"""Leaving before the job's time is over, and at a signal."""

import time
from types import SimpleNamespace

import pytest

from lingualift_ds.config.schema import Config, ModelConfig, RunConfig, WatchdogConfig
from lingualift_ds.dist import HERE, Place
from lingualift_ds.errors import LaunchError
from lingualift_ds.train import preempt, run
from lingualift_ds.train.preempt import Notice, limits
from lingualift_ds.train.stages import stage_of


@pytest.fixture
def told(monkeypatch) -> list[str]:
    """A pulse that only notes what it is told."""
    said: list[str] = []
    pulse = SimpleNamespace(told=None)

    def tell(why: str) -> None:
        pulse.told = why
        said.append(why)

    pulse.tell = tell
    monkeypatch.setattr(preempt.dist, "pulse", lambda: pulse)
    return said


def notice(left: float, step: float = 0.0, save: float | None = None) -> Notice:
    """Of a job with so many seconds left."""
    made = Notice(time.time() + left)
    made.stepped(step)
    if save is not None:
        made.saved(save)
    return made


@pytest.mark.parametrize(
    ("left", "step", "save", "leaves"),
    [
        (3600, 5, None, False),
        (100, 5, None, True),  # a first save is taken to last a minute
        (100, 5, 10, False),  # this one lasts ten seconds
        (100, 80, 10, True),  # but a step in between would be too long
        (100, 5, 60, True),
        (-20, 5, 1, True),
    ],
)
def test_leaves_while_there_is_time_to_save(told, left, step, save, leaves):
    assert notice(left, step, save).told() is leaves
    assert len(told) == leaves


def test_reason_is_said_once(told):
    made = notice(10)
    assert made.told() and made.told()
    assert len(told) == 1 and "the job ends in 10 s, and saving may take 2 min 00 s" in told[0]


def test_signal_counts_whatever_the_time(told):
    preempt.dist.pulse().told = "SIGUSR1"
    assert notice(1e6).told() and Notice(None).told()


@pytest.mark.parametrize("end", ["", "0", "Unknown", "UNLIMITED", "-1", "12.5", "1e9", "NONE", " "])
def test_end_that_is_none_is_ignored(told, end):
    made = Notice.of_job({"SLURM_JOB_END_TIME": end})
    assert made.ends is None and not made.told()


def test_end_of_the_job_is_slurms(told):
    assert Notice.of_job({}).ends is None
    assert Notice.of_job({"SLURM_JOB_END_TIME": "1999999999"}).ends == 1999999999.0
    assert Notice.of_job({"SLURM_JOB_END_TIME": str(int(time.time()) + 30)}).told()


def test_without_a_pulse_nobody_is_told(monkeypatch):
    monkeypatch.setattr(preempt.dist, "pulse", lambda: None)
    assert not notice(1).told()


def test_every_phase_that_can_hang_has_a_limit():
    seconds = limits(WatchdogConfig(step_seconds=1, first_step_seconds=2, save_seconds=3))
    assert seconds == {
        "loading": 2, "first step": 2, "evaluating": 2, "training": 1, "saving": 3, "handing over": 3,
    }  # fmt: skip


def test_other_number_of_ranks_than_stated_is_an_error_before_anything_is_loaded(monkeypatch, tmp_path):
    config = Config(model=ModelConfig(llm="nowhere"), run=RunConfig(output=str(tmp_path / "run"), world_size=8))
    monkeypatch.setattr(run, "check_stage", lambda *arguments: None)
    monkeypatch.setattr(run.dist, "read_place", lambda: Place(0, 2, 0, "srun", 2))
    monkeypatch.setattr(run.dist, "meet", lambda place: pytest.fail("the ranks have met already"))
    before = HERE.moves
    with pytest.raises(LaunchError, match="run.world_size: 8, but srun started 2 ranks"):
        run.run_stage(config, stage_of(config, 1), "auto", "recipe.yaml")
    assert HERE.moves == before
