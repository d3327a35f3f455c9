"""The same look on every task of an srun: what each found comes together on all of them."""

import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lingualift_ds import dist
from lingualift_ds.errors import LaunchError
from lingualift_ds.train.doctor.examine import differences, failed
from lingualift_ds.train.doctor.line import FAILED, OK, Line

_SECONDS = 180.0


@dataclass(frozen=True)
class Nodes:
    """What all tasks found together. `differing`: by what was found, then by host; `failed`: lines, on all tasks."""

    hosts: tuple[str, ...]
    tasks: int
    together: Line
    differing: dict[str, dict[str, str]]
    failed: int


def place_under_srun() -> dist.Place:
    """Where this task stands. Raises LaunchError where srun did not start it."""
    place = dist.read_place()
    if place.launcher != "srun":
        raise LaunchError("--nodes: compares the nodes of an srun, start it as `srun lingualift-ds doctor --nodes`")
    return place


def compare(place: dist.Place, facts: dict[str, str], lines: list[Line]) -> Nodes:
    """Meet the other tasks, and put together what all found. Raises LaunchError where they cannot meet.

    `facts` is compared beside the lines: versions and devices. The process ends where no one answers in time.
    """
    with _in_time(place):
        dist.connect(place)
        right = dist.total([place.rank + 1.0]) == [place.world_size * (place.world_size + 1) / 2]
        mine = _by_what(lines)
        told = dist.gather((socket.gethostname(), facts | mine, failed(lines)))
        dist.disconnect()
    hosts = tuple(dict.fromkeys(host for host, _, _ in told))
    found = f"{place.world_size} on {len(hosts)} node{'s' * (len(hosts) > 1)}"
    together = Line("all tasks", f"{found}: the all-reduce is {'right' if right else 'wrong'}", OK if right else FAILED)
    apart = differences([(host, found) for host, found, _ in told])
    return Nodes(hosts, place.world_size, together, apart, sum(count for _, _, count in told) + failed([together]))


def _by_what(lines: list[Line]) -> dict[str, str]:
    return {line.what: line.compared for line in lines}


@contextmanager
def _in_time(place: dist.Place) -> Iterator[None]:
    """End the process where what runs inside takes too long: a collective that waits cannot be interrupted."""

    def end() -> None:
        sys.stderr.write(f"error: --nodes: task {place.rank} of {place.world_size} got no answer in {_SECONDS:.0f} s\n")
        sys.stderr.flush()
        os._exit(LaunchError.exit_code)

    timer = threading.Timer(_SECONDS, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
