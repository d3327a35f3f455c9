"""Worlds of processes that do nothing but watch each other, for tests of what becomes of one.

with World(folder, work, ranks=2, limits={}, silence=0.0) as world: ...
"""

import errno
import itertools
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

from launching import WORKER

from lingualift_ds import dist
from lingualift_ds.cli.errors import end_process, leave_at_once_when_told, run_command
from lingualift_ds.cli.peers import Peers

LONG = 60.0
"""Seconds that nobody in these tests should wait."""
_ports = itertools.count(30_500 + 1000 * WORKER + os.getpid() % 900)
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["lingualift_ds.dist", "lingualift_ds.cli.peers"])  # each process starts at once


class World:
    """Processes that do `work(rank, folder)` while they are watched."""

    def __init__(self, folder: Path, work: Callable[[int, Path], None], ranks: int = 2, **settings):
        self.folder, self.work, self.settings = folder, work, {"limits": {}, "silence": 0.0, **settings}
        self.port, self.ranks, self.processes = next(_ports), ranks, {}

    def __enter__(self) -> "World":
        for rank in range(self.ranks):
            self.start(rank)
        return self

    def __exit__(self, *exception) -> None:
        for process in self.processes.values():
            process.kill()
            process.join()

    def start(self, rank: int, after: float = 0.0) -> None:
        """Start a rank, which sleeps for a while before it comes to meet the others."""
        self.processes[rank] = _context.Process(
            target=_peer, args=(rank, self.ranks, self.port, self.folder, self.work, self.settings, after)
        )
        self.processes[rank].start()

    def signal(self, rank: int, number: int) -> None:
        os.kill(self.processes[rank].pid, number)

    def reached(self, place: str, rank: int = 0) -> str:
        """What a rank noted when it came to a place."""
        until = time.monotonic() + LONG
        while not (path := self.folder / f"{place}.{rank}").is_file():
            assert time.monotonic() < until, f"rank {rank} never came to {place}: {self.said(rank)}"
            assert self.processes[rank].is_alive() or path.is_file(), f"rank {rank} ended: {self.said(rank)}"
            time.sleep(0.02)
        return path.read_text()

    def codes(self, within: float = 15.0) -> list[int]:
        """Exit codes of all, who must all end in time."""
        until = time.monotonic() + within
        for rank, process in self.processes.items():
            process.join(max(0.0, until - time.monotonic()))
            assert process.exitcode is not None, f"rank {rank} has not ended in {within} s: {self.said(rank)}"
        return [self.processes[rank].exitcode for rank in range(self.ranks)]

    def said(self, rank: int | None = None) -> str:
        return "".join((self.folder / f"said.{r}").read_text() for r in range(self.ranks) if rank in (None, r))


def _peer(rank: int, ranks: int, port: int, folder: Path, work: Callable, settings: dict, after: float) -> None:
    said = os.open(folder / f"said.{rank}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(said, 1)
    os.dup2(said, 2)
    place = {"RANK": rank, "WORLD_SIZE": ranks, "LOCAL_RANK": 0, "MASTER_PORT": port}  # each a node of its own
    os.environ.update({name: str(value) for name, value in place.items()} | {"MASTER_ADDR": "127.0.0.1"})
    if settings.get("nohup"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if settings.get("unreachable") == rank:
        socket.create_connection = _refuse
    leave_at_once_when_told()

    def run() -> None:
        reach("starting", rank, folder)
        time.sleep(after)
        here = dist.read_place()
        with dist.watched(here, dist.meet(here), settings["limits"], settings["silence"]):
            work(rank, folder)

    end_process(run_command(run, peers=Peers()))


def _refuse(*arguments: object, **named: object) -> None:
    raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")


def reach(place: str, rank: int, folder: Path, text: str = "") -> None:
    """Note that this rank has come to a place."""
    (folder / f"{place}.{rank}.new").write_text(text)
    (folder / f"{place}.{rank}.new").rename(folder / f"{place}.{rank}")
