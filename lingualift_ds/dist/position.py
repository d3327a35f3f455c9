"""How far this process has come: what the watch over all processes compares."""

import functools
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from sys import _current_frames
from threading import enumerate as threads
from typing import Any

import torch.distributed as td

UNSAVED = ("preparing", "loading", "handing over", "asking")
"""Phases in which there is nothing to save: who is told to leave leaves at once."""
_WATCHED = (
    "all_reduce", "all_gather", "all_gather_into_tensor", "reduce_scatter", "reduce_scatter_tensor", "broadcast",
    "barrier", "all_gather_object", "broadcast_object_list",
)  # fmt: skip


@dataclass
class Position:
    """What this process does now. `moves` counts signs of progress, `collectives` the collectives entered."""

    phase: str = "preparing"
    step: int = 0
    moves: int = 0
    collectives: int = 0
    last_collective: str = "none"

    def move(self, phase: str | None = None, step: int | None = None) -> None:
        """A sign of progress; perhaps the begin of another phase or step."""
        self.phase = phase or self.phase
        self.step = self.step if step is None else step
        self.moves += 1

    @contextmanager
    def during(self, phase: str) -> Iterator[None]:
        """Another phase for a while."""
        before = self.phase
        self.move(phase)
        try:
            yield
        finally:
            self.move(before)

    @property
    def unsaved(self) -> bool:
        """Whether there is nothing to save in this phase."""
        return self.phase in UNSAVED

    def state_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.phase}, step {self.step}, collective {self.collectives}: {self.last_collective}"


HERE = Position()


def count_collectives() -> None:
    """Let HERE count the collectives that this process enters, DeepSpeed's too, which calls them by these names."""
    for name in _WATCHED:
        function = getattr(td, name)
        if not getattr(function, "counted", False):
            setattr(td, name, _counted(name, function))


def _counted(name: str, function: Callable) -> Callable:
    @functools.wraps(function)
    def counted(*arguments: Any, **named: Any) -> Any:
        HERE.collectives += 1
        sizes = [str(tuple(a.shape)) for a in [*arguments, *named.values()][:2] if hasattr(a, "shape")]
        HERE.last_collective = " ".join([name, *sizes])
        return function(*arguments, **named)

    counted.counted = True
    return counted


def stacks() -> str:
    """The Python stacks of all threads of this process, innermost call last."""
    names = {thread.ident: thread.name for thread in threads()}
    return "".join(
        f"thread {names.get(ident, ident)}:\n{''.join(traceback.format_stack(frame))}"
        for ident, frame in _current_frames().items()
    )
