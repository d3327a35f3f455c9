"""Processes of their own for what may crash or hang: each ends in time, with all that it started."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import lingualift_ds
from lingualift_ds.dist import unlaunched

_ROOT = str(Path(lingualift_ds.__file__).parents[1])
_KILL_SECONDS = 5.0


@dataclass(frozen=True)
class Outcome:
    """How a process ended: its exit code (None: it ran out of time) and what it said."""

    code: int | None
    said: str
    errors: str = ""

    @property
    def ok(self) -> bool:
        """Whether it ended well."""
        return self.code == 0

    @property
    def why(self) -> str:
        """Why it did not end well, in one line."""
        if self.code is None:
            return "no answer in time"
        if self.code < 0:
            return f"the process crashed ({signal.Signals(-self.code).name})"
        last = (self.errors.strip() or self.said.strip() or f"exit code {self.code}").splitlines()[-1]
        return " ".join(last.split())[:160]


def start(command: list[str], **environment: str) -> subprocess.Popen:
    """Start a command outside of any launch, with more variables."""
    env = unlaunched()
    env["PYTHONPATH"] = os.pathsep.join(filter(None, (_ROOT, env.get("PYTHONPATH"))))
    env |= {"OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"} | environment
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, env=env, start_new_session=True, encoding="utf-8", errors="replace", **pipes)


def finish(process: subprocess.Popen, deadline: float) -> Outcome:
    """Wait until `deadline` (of time.monotonic) at most; then end the process and its children."""
    try:
        said, errors = process.communicate(timeout=max(0.1, deadline - time.monotonic()))
        return Outcome(process.returncode, said, errors)
    except subprocess.TimeoutExpired:
        return Outcome(None, "")
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):  # one that waits for a dead file system ends when that answers
            process.wait(_KILL_SECONDS)


def run(command: list[str], seconds: float, **environment: str) -> Outcome:
    """Run a command to its end, or for so long."""
    return finish(start(command, **environment), time.monotonic() + seconds)


def python(code: str, seconds: float, **environment: str) -> Outcome:
    """Run Python code in an interpreter like this one."""
    return run([sys.executable, "-c", code], seconds, **environment)
