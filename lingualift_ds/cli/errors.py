"""How a command ends: a user's error is one clear line and exit code 2, ours keeps its traceback."""

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from lingualift_ds.errors import TrainingError, UserError
from lingualift_ds.log import rank

_WAIT_SECONDS = 6.0


def run_command(command: Callable[[], int | None], traceback: bool = False) -> int:
    """Run a command and give its exit code. `traceback` shows where a user's error was raised."""
    try:
        return command() or 0
    except (UserError, TrainingError) as error:
        if traceback:
            raise
        _say(error)
        return error.exit_code
    except OSError as error:
        if traceback or error.filename is None:
            raise
        _say(UserError(f"{error.filename}: {error.strerror}"))
        return UserError.exit_code
    except KeyboardInterrupt:
        return 130


def end_process(code: int) -> NoReturn:
    """End this process with an exit code, after its exit handlers, but without taking the interpreter down.

    A thread of gloo that wants the interpreter's lock while it goes down aborts the process (seen once in about
    fifty ends with torch 2.13), and a finished run would seem to have failed.
    """
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


@contextmanager
def leaving_when_told() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end what runs inside as Ctrl-C does: workers end, and nothing half-written stays."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, frame: object) -> NoReturn:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(error: Exception) -> None:
    """One line for all ranks where all fail alike, and a line of its own for a rank that fails alone.

    The others wait before they speak: where rank 0 has failed too, the launcher ends them meanwhile.
    """
    if rank() == 0:
        sys.stderr.write(f"error: {error}\n")
    else:
        time.sleep(_WAIT_SECONDS)
        sys.stderr.write(f"[rank {rank()}] error: {error}\n")
