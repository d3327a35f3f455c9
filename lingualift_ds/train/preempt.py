"""Leaving in good order: whether this rank was told to, and what is left of the job's time."""

import os
import time
from collections.abc import Mapping

from lingualift_ds import dist
from lingualift_ds.config.schema import WatchdogConfig
from lingualift_ds.log import duration, get_logger

logger = get_logger(__name__)

_MARGIN_SECONDS = 30.0
_FIRST_SAVE_SECONDS = 60.0
"""What the first checkpoint is thought to take, before one has shown it."""


class Notice:
    """Whether this rank should leave: a signal came, the launcher went, or the job's time is nearly over.

    ends: when the job ends, in seconds since 1970; None where nothing says so.
    """

    def __init__(self, ends: float | None):
        self.ends = ends
        self.step = 0.0
        """Seconds that the last step took on this rank."""
        self.save = _FIRST_SAVE_SECONDS
        """Seconds that a checkpoint takes, as the last one did."""

    @classmethod
    def of_job(cls, environment: Mapping[str, str] | None = None) -> "Notice":
        """As Slurm states the end of the job."""
        told = (os.environ if environment is None else environment).get("SLURM_JOB_END_TIME", "")
        return cls(float(told) if told.isdecimal() and int(told) else None)

    def saved(self, seconds: float) -> None:
        """A checkpoint took so long, from its begin until it was in place."""
        self.save = max(seconds, 1.0)

    def stepped(self, seconds: float) -> None:
        """A step took so long."""
        self.step = seconds

    @property
    def needed(self) -> float:
        """Seconds that leaving takes: the step that is under way, a checkpoint, and a margin."""
        return self.step + 1.5 * self.save + _MARGIN_SECONDS

    def told(self) -> bool:
        """Whether this rank should leave. The ranks must agree before one does."""
        pulse = dist.pulse()
        if pulse is None:
            return False
        left = self.ends - time.time() if self.ends else None
        if pulse.told is None and left is not None and left < self.needed:
            pulse.tell(f"the job ends in {duration(max(left, 0))}, and saving may take {duration(self.needed)}")
        return pulse.told is not None


def reasons() -> str:
    """Why the ranks leave, for people. Collective."""
    pulse = dist.pulse()
    told = [(rank, why) for rank, why in enumerate(dist.gather(pulse.told if pulse else None)) if why]
    shown = ", ".join(f"{why} (rank {rank})" for rank, why in told[:4])
    return shown + (f" and {len(told) - 4} more" if len(told) > 4 else "")


def limits(watchdog: WatchdogConfig) -> dict[str, float]:
    """Seconds that a rank may stand still, by what it does. Preparing data may last: others wait for it, unwatched."""
    return {
        "loading": watchdog.first_step_seconds,
        "first step": watchdog.first_step_seconds,
        "evaluating": watchdog.first_step_seconds,
        "training": watchdog.step_seconds,
        "saving": watchdog.save_seconds,
        "handing over": watchdog.save_seconds,
    }
