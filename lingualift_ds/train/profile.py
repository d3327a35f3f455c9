"""A trace of some steps for a browser viewer (chrome://tracing, ui.perfetto.dev), from PyTorch's profiler."""

from pathlib import Path

import torch

from lingualift_ds import dist
from lingualift_ds.log import get_logger

logger = get_logger(__name__)

_COLLECTIVES = ("gloo:", "nccl:", "c10d::")


class StepTrace:
    """Traces `steps` optimizer steps after two that warm up; every rank writes `folder/rank-N.json`.

    Tell it of each finished step with `step`. The log then says how much of the time went into collectives.
    """

    def __init__(self, folder: Path, steps: int):
        self.path = folder / f"rank-{dist.read_place().rank}.json"
        self.steps = steps
        folder.mkdir(parents=True, exist_ok=True)
        self.path.unlink(missing_ok=True)
        schedule = torch.profiler.schedule(wait=1, warmup=1, active=steps, repeat=1)
        self._profiler = torch.profiler.profile(schedule=schedule, on_trace_ready=self._write)
        self._profiler.start()

    def step(self) -> None:
        """One optimizer step is done."""
        self._profiler.step()

    def close(self) -> None:
        """Training is over; what was traced is written, if the steps were too few too."""
        self._profiler.stop()
        if not self.path.is_file():
            logger.warning("profile: training ended before the two steps that warm up and %d more", self.steps)

    def _write(self, profiler: torch.profiler.profile) -> None:
        profiler.export_chrome_trace(str(self.path))
        events = [e for e in profiler.events() if e.name.startswith(_COLLECTIVES)]
        # A collective shows up as the call and as the work it starts: the longer-running layer counts.
        seconds = max(sum(e.time_range.elapsed_us() for e in events if e.name.startswith(p)) for p in _COLLECTIVES)
        whole = max(e.time_range.end for e in profiler.events()) - min(e.time_range.start for e in profiler.events())
        logger.info(
            "profile: %d steps in %s; %.1f of %.1f s in collectives", self.steps, self.path, seconds / 1e6, whole / 1e6
        )
