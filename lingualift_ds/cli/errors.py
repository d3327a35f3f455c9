"""How a command ends: a user's error is one clear line and exit code 2, ours keeps its traceback."""

import atexit
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from lingualift_ds.errors import Interrupted, LaunchError, TrainingError, UserError
from lingualift_ds.log import rank, tell

_WAIT_SECONDS = 6.0
_PREEMPTIONS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP, signal.SIGINT)
_taken: list[signal.Signals] = []
"""Those of them that `leave_at_once_when_told` took."""


class Alone:
    """How a process ends that has no others beside it, or does not know yet: what Peers adds is the others."""

    def ended_by_another(self) -> int | None:
        """The exit code of all processes, where an error here is only what the loss of another looks like."""
        return None

    def spoken_for(self, code: int, line: str, known: bool) -> bool:
        """Whether this process need not say why it fails, because rank 0 says it. `known`: it is all in the line."""
        if rank() != 0:
            try:
                time.sleep(_WAIT_SECONDS)  # where rank 0 has failed too, the launcher ends this one meanwhile
            except Interrupted:
                return True
        return False

    def done(self) -> None:
        """This process leaves in good order."""


def run_command(command: Callable[[], int | None], traceback: bool = False, peers: Alone | None = None) -> int:
    """Run a command and give its exit code. `traceback` shows where a user's error was raised."""
    peers = peers or Alone()
    try:
        return command() or 0
    except Interrupted as left:
        finish_undisturbed()  # where another has left before, the launcher tells this one to
        if str(left) and (rank() == 0 or left.exit_code != Interrupted.exit_code):
            _say(str(left))
        peers.done()
        return left.exit_code
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        own = isinstance(error, UserError | TrainingError) and not isinstance(error, LaunchError)
        code = None if own else peers.ended_by_another()
        return _fail(error, traceback, peers) if code is None else code


def _fail(error: Exception, traceback: bool, peers: Alone) -> int:
    """Say what is wrong in one line, where it is a user's error; else let the error go on with its traceback."""
    if isinstance(error, OSError) and error.filename is not None:
        error = UserError(f"{error.filename}: {error.strerror}")
    known = isinstance(error, UserError | TrainingError)
    code = error.exit_code if known else 1
    line = str(error) if known else f"{type(error).__name__}: {error}"
    if peers.spoken_for(code, line, known and not traceback):
        return code
    if traceback or not known:
        raise error
    _say(f"error: {line}")
    return code


def _say(line: str) -> None:
    with contextlib.suppress(OSError):  # with the terminal, or the launcher, who reads it may be gone
        tell(line)


def finish_undisturbed() -> None:
    """From here on the process is at its end: where it took signals, who tells it to leave now changes nothing."""
    for number in _taken:
        signal.signal(number, signal.SIG_IGN)


def leave_at_once_when_told() -> None:
    """Until training takes the signals itself, a process that is told to leave does so at once: nothing has begun."""

    def leave(number: int, frame: object) -> NoReturn:
        # Not by an error: raised while a library of C++ is imported, it would abort the process.
        _say(f"told to leave: {signal.Signals(number).name}; nothing had begun")
        os._exit(Interrupted.exit_code)

    _taken[:] = [n for n in _PREEMPTIONS if n != signal.SIGHUP or signal.getsignal(n) != signal.SIG_IGN]  # nohup
    for number in _taken:
        signal.signal(number, leave)


def end_process(code: int) -> NoReturn:
    """End this process with an exit code, after its exit handlers, but without taking the interpreter down.

    A thread of gloo that wants the interpreter's lock while it goes down aborts the process (seen once in about
    fifty ends with torch 2.13), and a finished run would seem to have failed.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # who reads it may be gone
            stream.flush()
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
