"""Progress: a bar on a terminal, a line every few seconds in a log file, from rank 0 alone."""

import sys
import time
from collections import deque
from collections.abc import Sequence

from lingualift_ds.log.outlet import get_logger, rank
from lingualift_ds.log.terminal import Bar, is_terminal, leave, show

_LONGEST, _CLOSEST = 1800.0, 1.0
"""Seconds that a pace is taken over, at most; seconds between two marks of it, at least."""


def duration(seconds: float) -> str:
    """Seconds as people say them: 8 s, 3 min 05 s, 2 h 10 min."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"


class Pace:
    """Units a second over the later half of the time that has passed, half an hour at most.

    The first advance is left out as soon as there is a second one: a first step compiles, and says nothing of the rest.
    Half of all time, because saves and evaluations, which come now and then, count with their share.
    """

    def __init__(self, now: float, done: int):
        self._marks: deque[tuple[float, int]] = deque([(now, done)])
        self._fresh = True

    def advance(self, now: float, done: int) -> None:
        """So much is done by now."""
        if self._fresh:
            self._fresh = False
            self._marks.append((now, done))
            self._started = now
            return
        if now - self._marks[-1][0] >= _CLOSEST:
            self._marks.append((now, done))
        since = now - min((now - self._started) / 2, _LONGEST)
        while len(self._marks) > 1 and self._marks[1][0] <= since:
            self._marks.popleft()

    def rate(self, now: float, done: int) -> float:
        """Units a second; 0 where nothing is known."""
        then, before = self._marks[0]
        return (done - before) / (now - then) if now > then else 0.0

    @property
    def known(self) -> bool:
        """Whether more than a first advance was seen, so that the rate says something of the rest."""
        return not self._fresh and self._marks[0][0] >= self._started


class Progress:
    """Progress with rate and time left.

    Silent on ranks other than 0. Use as `with Progress("tokenise", total=100, unit="rows") as p: p.advance(3)`.
    """

    def __init__(self, label: str, total: int, unit: str = "steps", every_seconds: float = 5.0, done: int = 0):
        self.label, self.total, self.unit = label, total, unit
        self.done = done
        self.every_seconds = every_seconds
        self.terminal = is_terminal(sys.stderr)
        self.started = self._written = time.monotonic()
        self._pace = Pace(self.started, done)  # what was done before does not count for the rate
        self._parts: list[str] = []
        self._bar: Bar | None = None

    def __enter__(self) -> "Progress":
        if self.terminal and self.done < self.total and rank() == 0:
            bar = Bar(self.label, self._state)
            self._bar = bar if show(bar) else None
        return self

    def advance(self, count: int = 1, note: str | Sequence[str] = "") -> None:
        """Count `count` more units as done, and say so when it is due.

        note: what else to say; in several parts, the most important first, where a narrow terminal may drop the last.
        """
        self.done += count
        now = time.monotonic()
        self._pace.advance(now, self.done)
        if note:
            self._parts = [note] if isinstance(note, str) else list(note)
        if now - self._written >= self.every_seconds and rank() == 0:
            self._written = now
            line = ", ".join([f"{self.label}: {self.done}/{self.total} {self.unit}", *self._speed(now), *self._parts])
            get_logger().info(line, extra={"file_only": self._bar is not None})

    def _speed(self, now: float) -> list[str]:
        """Rate and time left, as far as they are known."""
        rate = self._pace.rate(now, self.done)
        known = rate > 0 and self._pace.known
        return [f"{rate:.3g}/s", *([f"{duration((self.total - self.done) / rate)} left"] if known else [])]

    def _state(self) -> tuple[int, int, str, list[str]]:
        """What the bar shows."""
        now = time.monotonic()
        done, passed = f"{self.done:,}/{self.total:,} {self.unit}", duration(now - self.started)
        if self.done >= self.total:
            return self.done, self.total, f"{done} in {passed}", self._parts
        rate, *left = self._speed(now)
        return self.done, self.total, ", ".join([done, *(left or [passed])]), [*self._parts, rate]

    def __exit__(self, *exception) -> None:
        if self._bar is not None:
            leave(self._bar)
            self._bar = None
