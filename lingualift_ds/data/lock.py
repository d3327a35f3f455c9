"""One process at a time, by a lock of the file system: no process group is needed, and no lock outlives its owner."""

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from lingualift_ds.log import duration, get_logger

logger = get_logger(__name__)

_POLL_SECONDS, _NOTE_SECONDS = 0.2, 5.0
SAY_SECONDS = 30.0
"""Seconds between two lines of a process that waits."""


class Note:
    """What the owner of a lock writes into its file for those who wait."""

    def __init__(self, file: IO[str]):
        self._file, self._written = file, float("-inf")
        self.write("")

    def write(self, how_far: str) -> None:
        """Say how far this process is; at most every few seconds something is written."""
        now = time.monotonic()
        if now - self._written < _NOTE_SECONDS:
            return
        self._written = now
        who = f"process {os.getpid()} on {socket.gethostname()}"
        self._file.truncate(0)
        self._file.write(f"{who} ({how_far})" if how_far else who)
        self._file.flush()


@contextmanager
def turn(path: Path, what: str) -> Iterator[Note | None]:
    """Hold the lock file at `path`, which is made and removed again; waits for whoever holds it, and says so.

    Gives None where the file system has no locks: then several processes may be here at once. `what` is what the
    owner is at work on, for the log. Raises OSError where the file cannot be made.
    """
    file = _locked(path, what)
    if file is None:
        yield None
        return
    with file:
        try:
            yield Note(file)
        finally:
            path.unlink(missing_ok=True)


def _locked(path: Path, what: str) -> IO[str] | None:
    """The file, locked: the system lets go of it when this process ends, however it ends."""
    started = said = time.monotonic()
    while True:
        file = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            now = time.monotonic()
            if now - said >= SAY_SECONDS:
                said = now
                file.seek(0)
                who = file.read() or "another process"
                logger.info("waiting for %s, %s so far: %s is at it", what, duration(now - started), who)
            file.close()
            time.sleep(_POLL_SECONDS)
        except OSError as error:
            logger.info("%s: no file locks here (%s)", path.parent, error.strerror)
            file.close()
            return None
        else:
            if _still_at(path, file):
                return file
            file.close()


def _still_at(path: Path, file: IO[str]) -> bool:
    """Whether the file is the one of that name: the last owner removes it, and another may have made a new one."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
