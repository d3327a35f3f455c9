"""Processes that watch each other: deaths, silence, hangs, signals and errors of one reach all, and strangers reach
none. Each test is a world of its own, of processes that do nothing but `watched`."""

import contextlib
import ctypes
import json
import os
import resource
import selectors
import signal
import socket
import sys
import time
from pathlib import Path

import pytest
from torch.distributed import HashStore
from worlds import LONG, World, reach

from lingualift_ds import dist
from lingualift_ds.dist.connections import Connections
from lingualift_ds.dist.pulse import Pulse
from lingualift_ds.errors import DataError, Interrupted

# ---- what the processes do


def train_on(rank: int, folder: Path) -> None:
    """Stand in a phase that has something to save, and leave when a rank is told to."""
    dist.HERE.move("training", 7)
    reach("training", rank, folder)
    until = time.monotonic() + LONG
    while time.monotonic() < until:
        time.sleep(0.02)
        if dist.pulse().told:
            raise Interrupted(f"saved: {dist.pulse().told}")


def prepare_on(rank: int, folder: Path) -> None:
    reach("preparing", rank, folder)
    time.sleep(LONG)


def stay_in_c(rank: int, folder: Path) -> None:
    dist.HERE.move("training")
    reach("training", rank, folder)
    where_it_hangs(rank)


def where_it_hangs(rank: int) -> None:
    """In C, where Python sees no signal: a mutex that is locked already."""
    mutex = ctypes.create_string_buffer(256)
    for _ in range(2):
        ctypes.CDLL(None).pthread_mutex_lock(mutex)


def end_at_other_times(rank: int, folder: Path) -> None:
    time.sleep(1.5 * ((rank + len(folder.name)) % 2))


def hang(rank: int, folder: Path) -> None:
    dist.HERE.move("training", 3)
    dist.HERE.collectives, dist.HERE.last_collective = 5 + (rank != 1), f"all_reduce of {rank}"
    where_it_hangs(rank)


def fail_alike(rank: int, folder: Path) -> None:
    time.sleep(0.3 * rank)
    raise DataError("data.jsonl:3: not JSON")


def fail_alone(rank: int, folder: Path) -> None:
    if rank == 1:
        raise DataError("local.jsonl: not on this node")
    time.sleep(LONG)


def break_alone(rank: int, folder: Path) -> None:
    dist.HERE.move("training")
    if rank == 1:
        raise ZeroDivisionError("a mistake of ours")
    time.sleep(LONG)


def break_alike(rank: int, folder: Path) -> None:
    dist.HERE.move("training")
    raise ZeroDivisionError("a mistake of ours")


def connect_late(rank: int, folder: Path) -> None:
    """Rank 0 waits where the group is joined; the others never come."""
    reach("before", rank, folder)
    if rank == 0:
        dist.connect(dist.read_place())
    time.sleep(LONG)


def fork_and_stay(rank: int, folder: Path) -> None:
    """A child lives on in rank 1, as a worker that prepares data does."""
    if rank == 1:
        child = os.fork()
        if not child:
            reach("child", rank, folder, str(os.getpid()))
            time.sleep(LONG / 4)
            os._exit(0)
        reach("forked", rank, folder, str(child))
    train_on(rank, folder)


def tell_port(rank: int, folder: Path) -> None:
    if rank == 0:
        reach("port", rank, folder, str(dist.pulse()._others.listener.getsockname()[1]))
    train_on(rank, folder)


def sleep_lightly(rank: int, folder: Path) -> None:
    sys.modules[Pulse.__module__]._ASLEEP_SECONDS = 1.5
    train_on(rank, folder)


# ---- deaths and silence


@pytest.mark.parametrize("killed", [0, 1])
def test_killed_rank_is_named_and_all_end(tmp_path, killed):
    with World(tmp_path, train_on) as world:
        world.reached("training", 0), world.reached("training", 1)
        world.signal(killed, signal.SIGKILL)
        codes = world.codes(8)
    assert codes == [-9, 4] if killed == 0 else [4, -9]
    assert f"error: rank {killed} is gone" in world.said(1 - killed)
    assert "Traceback" not in world.said()


def test_stopped_rank_is_silent_and_all_others_end(tmp_path):
    with World(tmp_path, train_on, ranks=3, silence=2.0) as world:
        for rank in range(3):
            world.reached("training", rank)
        world.signal(1, signal.SIGSTOP)
        until = time.monotonic() + 10
        while world.processes[0].is_alive() or world.processes[2].is_alive():
            assert time.monotonic() < until
            time.sleep(0.05)
        assert (world.processes[0].exitcode, world.processes[2].exitcode) == (4, 4)
    assert "rank 1: not heard of for 2 s" in world.said(0)


def test_all_stopped_and_continued_is_no_silence(tmp_path):
    """Ctrl-Z and fg; a job that Slurm suspends and resumes."""
    with World(tmp_path, sleep_lightly, silence=2.0) as world:
        world.reached("training", 0), world.reached("training", 1)
        time.sleep(1)
        for rank in (0, 1):
            world.signal(rank, signal.SIGSTOP)
        time.sleep(4)
        for rank in (1, 0):
            world.signal(rank, signal.SIGCONT)
        time.sleep(3)
        assert all(process.is_alive() for process in world.processes.values()), world.said()
        world.signal(0, signal.SIGTERM)
        world.signal(1, signal.SIGTERM)
        assert world.codes() == [75, 75]


def test_child_that_outlives_its_rank_does_not_hide_its_death(tmp_path):
    with World(tmp_path, fork_and_stay) as world:
        world.reached("training", 0), world.reached("training", 1)
        world.reached("child", 1)
        world.signal(1, signal.SIGKILL)
        assert world.codes(8) == [4, -9]
        os.kill(int(world.reached("forked", 1)), signal.SIGKILL)


@pytest.mark.parametrize("late", [0, 1])
def test_rank_that_starts_late_is_waited_for(tmp_path, late):
    world = World(tmp_path, end_at_other_times, silence=1.5)
    try:
        for rank in (0, 1):
            world.start(rank, after=4.0 if rank == late else 0.0)
        assert world.codes() == [0, 0], world.said()
    finally:
        world.__exit__()


def test_rank_dies_while_others_wait_to_connect(tmp_path):
    with World(tmp_path, connect_late) as world:
        world.reached("before", 0), world.reached("before", 1)
        time.sleep(1)
        world.signal(1, signal.SIGKILL)
        assert world.codes(10) == [4, -9]
    assert "rank 1 is gone" in world.said(0) and "Traceback" not in world.said()


def test_ranks_may_end_at_different_times(tmp_path):
    for name in ("a", "bb"):
        (tmp_path / name).mkdir()
        with World(tmp_path / name, end_at_other_times, silence=1.0) as world:
            assert world.codes() == [0, 0] and world.said() == ""


def test_hang_is_named_with_the_stacks_of_all(tmp_path):
    with World(tmp_path, hang, ranks=3, limits={"training": 1.5}) as world:
        assert world.codes(10) == [4, 4, 4]
    assert "Late: rank 1, at: training, step 3, collective 5 (all_reduce of 1)" in world.said(0)
    assert "The others wait at: training, step 3, collective 6 (all_reduce of 0)" in world.said(0)
    for rank in range(3):
        assert "where_it_hangs(rank)" in world.said(rank)
        assert f"collective {6 - (rank == 1)}: all_reduce of {rank}" in world.said(rank)


# ---- strangers


def test_strangers_change_nothing(tmp_path):
    with World(tmp_path, tell_port) as world:
        port = int(world.reached("port"))
        world.reached("training", 1)
        rubbish = [
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01" + bytes(range(256)) * 40, b"\n\n\n",
            b"[" * 60_000 + b"\n", b"\xff\xfe\n", b"null\n", b"[]\n", b"7\n", b'{"token": "\xc3\xa4", "rank": 1}\n',
            json.dumps({"rank": 1, "token": "0" * 32}).encode() + b'\n{"ended": 2, "why": "a stranger says so"}\n',
            b'{"verdict": {"code": 3, "why": "a stranger says so"}}\n', b'{"rank": 1}\n', b"",
        ]  # fmt: skip
        held = [socket.create_connection(("127.0.0.1", port))]  # one who says nothing
        for text in rubbish:
            stranger = socket.create_connection(("127.0.0.1", port))
            stranger.sendall(text)
            held.append(stranger) if len(held) % 2 else stranger.close()
        endless = socket.create_connection(("127.0.0.1", port))
        endless.settimeout(5)
        with pytest.raises(OSError):  # it is not listened to for ever
            for _ in range(100_000):
                endless.sendall(b"a" * 4096)
        time.sleep(2)
        assert all(process.is_alive() for process in world.processes.values()), world.said()
        assert world.said() == ""
        world.signal(1, signal.SIGKILL)  # and the pulse still beats
        assert world.codes(8) == [4, -9]
        for end in (*held, endless):
            end.close()


def test_rank_0_that_cannot_be_reached_is_said(tmp_path):
    with World(tmp_path, prepare_on, silence=2.0, unreachable=1) as world:
        assert world.codes(20) == [2, 2]
    assert "rank 1 does not reach rank 0 at 127.0.0.1" in world.said(0)


# ---- signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT, signal.SIGHUP])
def test_signal_to_one_rank_ends_all_where_there_is_nothing_to_save(tmp_path, number):
    with World(tmp_path, prepare_on) as world:
        world.reached("preparing", 0), world.reached("preparing", 1)
        world.signal(1, number)
        assert world.codes(8) == [75, 75]
    assert number.name in world.said(0) and "Traceback" not in world.said()


def test_signal_is_left_to_the_loop_where_there_is_something_to_save(tmp_path):
    with World(tmp_path, train_on) as world:
        world.reached("training", 0), world.reached("training", 1)
        world.signal(1, signal.SIGUSR1)
        world.processes[1].join(8)
        assert world.processes[1].exitcode == 75
        time.sleep(1.5)  # it has taken its leave: rank 0 is alone, and not alarmed
        assert world.processes[0].is_alive(), world.said()


def test_signal_before_all_have_met(tmp_path):
    world = World(tmp_path, prepare_on)
    try:
        world.start(1)
        world.reached("starting", 1)
        time.sleep(1)
        world.signal(1, signal.SIGTERM)
        world.processes[1].join(5)
        assert world.processes[1].exitcode == 75
        world.start(0)
        world.reached("starting", 0)
        time.sleep(1)
        world.signal(0, signal.SIGINT)
        world.processes[0].join(5)
        assert world.processes[0].exitcode == 75 and "SIGINT; nothing had begun" in world.said(0)
    finally:
        world.__exit__()


@pytest.mark.parametrize("work", [train_on, stay_in_c])
def test_second_interrupt_leaves_at_once(tmp_path, work):
    with World(tmp_path, work, ranks=1) as world:
        world.reached("training")
        if work is train_on:
            work = None
        world.signal(0, signal.SIGINT)
        time.sleep(0.3)
        if world.processes[0].is_alive():  # the same keystroke, which a launcher hands on
            world.signal(0, signal.SIGINT)
            time.sleep(1.2)
        if work is None:
            assert world.codes() == [75]
            return
        assert world.processes[0].is_alive()
        world.signal(0, signal.SIGINT)
        assert world.codes(2) == [130]
    assert "interrupted a second time" in world.said()


def test_signal_to_a_child_is_its_own(tmp_path):
    with World(tmp_path, fork_and_stay) as world:
        world.reached("training", 0), world.reached("training", 1)
        world.reached("child", 1)
        os.kill(int(world.reached("forked", 1)), signal.SIGTERM)
        time.sleep(2)
        assert all(process.is_alive() for process in world.processes.values()), world.said()
        assert world.said() == ""


def test_nohup_is_heeded(tmp_path):
    with World(tmp_path, train_on, ranks=1, nohup=True) as world:
        world.reached("training")
        world.signal(0, signal.SIGHUP)
        time.sleep(1)
        assert world.processes[0].is_alive() and world.said() == ""


# ---- errors


def test_error_of_all_is_said_once_and_soon(tmp_path):
    with World(tmp_path, fail_alike, ranks=3) as world:
        for rank in range(3):
            world.reached("starting", rank)
        started = time.monotonic()
        assert world.codes(8) == [2, 2, 2]
        assert time.monotonic() - started < 5, "the others waited for what rank 0 has said already"
    assert world.said() == "error: data.jsonl:3: not JSON\n"


def test_error_of_one_rank_ends_all_with_its_code(tmp_path):
    with World(tmp_path, fail_alone) as world:
        assert world.codes(12) == [2, 2]
    assert world.said().count("local.jsonl: not on this node") == 1
    assert "rank 1 has ended with exit code 2" in world.said(0)


@pytest.mark.parametrize("work", [break_alone, break_alike])
def test_mistake_of_ours_shows_one_traceback(tmp_path, work):
    with World(tmp_path, work, ranks=3) as world:
        assert world.codes(12) == [1, 1, 1]
    assert world.said().count("Traceback (most recent call last)") == 1, world.said()
    assert "a mistake of ours" in world.said(0)


def test_a_rank_0_that_may_open_no_more_files_says_so_and_does_not_spin(monkeypatch):
    """Its limit is raised as far as it goes; where that is not enough, the ranks are told instead of waited for."""
    store, selector = HashStore(), selectors.DefaultSelector()
    others = Connections(selector, lambda *_: None, lambda _: None, lambda _: None)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    callers, taken = [], []
    try:
        others.listen(store, "here")
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
        port, _ = json.loads(store.get("here"))
        callers.append(socket.create_connection(("127.0.0.1", port)))
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.dup(0))
        assert [key.data() for key, _ in selector.select(5)] == [None]
        while taken:
            os.close(taken.pop())
        assert store.check(["here/cannot"]) and b"rank 0 may open 256 files" in store.get("here/cannot")
        assert selector.select(0) == []  # who calls is still there, and does not wake it again
    finally:
        for number in taken:
            os.close(number)
        for caller in callers:
            caller.close()
        others.close()
        selector.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
