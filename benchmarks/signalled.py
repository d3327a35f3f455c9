"""Starts training as launch/train.py does, says where it is, and takes its time there, so that a signal can hit it.

    SIGNALLED='{"notes": "/tmp/notes", "slow": 0.05}' python benchmarks/signalled.py --stage 1 --config RECIPE.yaml ...

The toolkit knows nothing of it. SIGNALLED is JSON, see `Settings`. benchmarks/signals.py sends the signals.
"""

import json
import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

_SLOW_PLACES = ("/checkpoints", "/artefact", "-prepared")
_SLOW_EVENTS = ("open", "os.mkdir", "os.rename")


@dataclass(frozen=True)
class Settings:
    """How training is watched."""

    notes: str
    """Rank r writes JSON lines to NOTES.r: its process id, phase, step and signs of progress; how it ended."""
    slow: float = 0.0
    """Seconds that a sign of progress takes more, on average, and what is done to a file of a checkpoint, an artefact,
    or prepared samples."""
    long_step: float | None = None
    """LONG_STEP_SECONDS of train/loop.py; None: as it stands there."""
    srun: bool = False
    """Whether the place among the ranks is told as srun tells it."""


class Watch:
    """Notes of this process's way."""

    def __init__(self, settings: Settings, rank: int):
        self._settings, self._process = settings, os.getpid()
        self._notes = os.open(f"{settings.notes}.{rank}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
        self._draw = random.Random(rank)  # of its own: the training's random numbers are part of what is compared

    def note(self, **said: Any) -> None:
        """A line, from this process and none that it forks."""
        if os.getpid() == self._process:
            os.write(self._notes, (json.dumps({"pid": self._process, **said}) + "\n").encode())

    def linger(self) -> None:
        """Take a while."""
        time.sleep(self._draw.uniform(0, 2 * self._settings.slow))

    def install(self) -> None:
        """Watch from now on, and be slow."""
        os._exit = self._noting_end(os._exit)
        sys.addaudithook(self._see)
        from lingualift_ds.cli import train

        take_signals, command = train.leave_at_once_when_told, train._train

        def begin() -> None:
            take_signals()
            self.note(phase="starting")

        def run(arguments: Any) -> None:
            self._watch_training()
            command(arguments)

        train.leave_at_once_when_told, train._train = begin, run

    def _watch_training(self) -> None:
        """Loads torch and all of the toolkit, as the command would do next."""
        from lingualift_ds.dist.position import Position
        from lingualift_ds.dist.pulse import Pulse
        from lingualift_ds.train import loop

        start, abandon_step, move = Pulse.start, loop._abandon_step, Position.move

        def noting_start(pulse: Pulse) -> None:
            start(pulse)
            self.note(phase="preparing")
            self.linger()

        def noting_abandoned(*arguments: Any) -> None:
            self.note(phase="abandoned")
            abandon_step(*arguments)

        def noting_move(position: Position, *arguments: Any) -> None:
            move(position, *arguments)
            if position.phase != "preparing":  # which it says shortly before it takes the signals
                self.note(phase=position.phase, step=position.step, moves=position.moves)
                self.linger()

        Pulse.start, loop._abandon_step, Position.move = noting_start, noting_abandoned, noting_move
        if self._settings.long_step is not None:
            loop.LONG_STEP_SECONDS = self._settings.long_step
            loop._ASK_SECONDS = 1e-6  # between any two micro-batches

    def _noting_end(self, function: Callable[[int], NoReturn]) -> Callable[[int], NoReturn]:
        def end(code: int) -> NoReturn:
            self.note(ended=code)
            function(code)

        return end

    def _see(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in _SLOW_EVENTS and any(place in str(arguments[0]) for place in _SLOW_PLACES):
            self.linger()


def _as_srun_does() -> None:
    """Move what torchrun would say of this process's place to where srun says it."""
    names = {"RANK": "SLURM_PROCID", "WORLD_SIZE": "SLURM_NTASKS", "LOCAL_RANK": "SLURM_LOCALID"}
    os.environ.update({told: os.environ.pop(name) for name, told in names.items()} | {"SLURM_STEP_ID": "0"})


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    settings = Settings(**json.loads(os.environ["SIGNALLED"]))
    watch = Watch(settings, int(os.environ["RANK"]))
    if settings.srun:
        _as_srun_does()
    watch.install()
    from lingualift_ds.cli.errors import end_process
    from lingualift_ds.cli.train import main

    end_process(main())
