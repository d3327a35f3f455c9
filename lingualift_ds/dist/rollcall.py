"""Who is still there, and who has come how far: kept by rank 0, without any clock or network of its own."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

LOST = 4
"""Exit code of processes that leave because another was lost, or because none of them goes on."""


@dataclass(frozen=True)
class Verdict:
    """Why all processes must end now."""

    code: int
    """Their exit code."""
    why: str
    stacks: bool = False
    """Whether each is to print its stacks first."""

    def state_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


class RollCall:
    """The last word of every rank. Times are seconds of one clock, given by the caller.

    limits: seconds that a rank may stay where it is, by phase; a phase without one may last. silence: seconds that a
    rank may say nothing, once it was heard. 0 switches either off.
    """

    def __init__(self, limits: Mapping[str, float], silence: float):
        self.limits, self.silence = limits, silence
        self._heard: dict[int, float] = {}
        self._moved: dict[int, float] = {}
        self._positions: dict[int, dict[str, Any]] = {}
        self._ended: set[int] = set()

    def heard(self, rank: int, position: Mapping[str, Any], now: float) -> None:
        """A rank says where it is."""
        before = self._positions.get(rank)
        if before is None or before["moves"] != position["moves"]:
            self._moved[rank] = now
        self._heard[rank], self._positions[rank] = now, dict(position)

    def forgive(self, seconds: float) -> None:
        """So long rank 0 itself was stopped (Ctrl-Z, a job suspended, a machine asleep), and perhaps all were: nobody
        was silent or stood still for it."""
        for times in (self._heard, self._moved):
            for rank in times:
                times[rank] += seconds

    def ended(self, rank: int, code: int, why: str) -> Verdict | None:
        """A rank says that it ends; the others end with it where it failed."""
        self._ended.add(rank)
        if code == 0:
            return None
        return Verdict(code, f"rank {rank} has ended with exit code {code}: {why}" if why else "")

    def gone(self, rank: int) -> Verdict | None:
        """The connection of a rank is closed."""
        if rank in self._ended:
            return None
        where = self._positions.get(rank)
        return Verdict(
            LOST,
            f"rank {rank} is gone: its process ended without a word, as one that is killed does"
            + (f"; it was at: {_place(where)}" if where else ""),
        )

    def judge(self, now: float) -> Verdict | None:
        """Whether someone has been silent, or has not moved, for too long."""
        here = [rank for rank in self._heard if rank not in self._ended]
        silent = [rank for rank in here if self.silence and now - self._heard[rank] > self.silence]
        if silent:
            return Verdict(
                LOST, f"{name_ranks(silent)}: not heard of for {self.silence:.0f} s (network cut, or process stopped)"
            )
        stuck = [rank for rank in here if self._stuck(rank, now)]
        return Verdict(LOST, self._name_the_late(here, stuck, now), stacks=True) if stuck else None

    def _stuck(self, rank: int, now: float) -> bool:
        position = self._positions.get(rank)
        limit = self.limits.get(position["phase"], 0) if position else 0
        return bool(limit) and now - self._moved[rank] > limit

    def _name_the_late(self, here: list[int], stuck: list[int], now: float) -> str:
        known = {rank: self._positions[rank] for rank in here if rank in self._positions}
        fewest = min(position["collectives"] for position in known.values())
        late = [rank for rank, position in known.items() if position["collectives"] == fewest]
        waited = max(now - self._moved[rank] for rank in stuck)
        said = f"no progress for {waited:.0f} s. "
        if len(late) == len(known):
            return said + f"All ranks are equally far ({_place(known[late[0]])}): if they wait, it is for the network"
        others = next(position for rank, position in known.items() if rank not in late)
        return said + (
            f"Late: {name_ranks(late)}, at: {_place(known[late[0]])}. "
            f"The others wait at: {_place(others)}. The stacks of all ranks show where each is"
        )


def _place(position: Mapping[str, Any]) -> str:
    return (
        f"{position['phase']}, step {position['step']}, "
        f"collective {position['collectives']} ({position['last_collective']})"
    )


def name_ranks(ranks: list[int]) -> str:
    """Ranks in words, the first sixteen by their numbers."""
    shown = ", ".join(map(str, ranks[:16])) + (f" and {len(ranks) - 16} more" if len(ranks) > 16 else "")
    return f"rank {shown}" if len(ranks) == 1 else f"ranks {shown}"
