"""A command in processes of its own: how long it takes, and the peak of memory of all its processes together."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
_EVERY = 0.2
"""Seconds between two looks at memory."""


@dataclass(frozen=True)
class Ran:
    """What a command took: `peak_bytes` of all its processes, memory that they share counted once."""

    seconds: float
    peak_bytes: int
    processes: int


def measure(arguments: list[str]) -> Ran:
    """Run `lingualift-ds` with these arguments. Raises SystemExit with what it said where it fails."""
    command = [sys.executable, "-m", "lingualift_ds.cli.main", *map(str, arguments)]
    with tempfile.TemporaryFile("w+") as said:
        started = time.monotonic()
        process = subprocess.Popen(command, cwd=ROOT, env=_environment(), stdout=said, stderr=said)
        watched, peak, most = psutil.Process(process.pid), 0, 0
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_EVERY)
                break
            sizes = [_share(one) for one in _tree(watched)]
            peak, most = max(peak, sum(sizes)), max(most, len(sizes))
        seconds = time.monotonic() - started
        if process.returncode:
            said.seek(0)
            raise SystemExit(f"{' '.join(command)}: ended with {process.returncode}:\n{said.read()[-3000:]}")
    return Ran(seconds, peak, most)


def _tree(process: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        return [process, *process.children(recursive=True)]
    return []


def _share(process: psutil.Process) -> int:
    """Bytes of a process, its part alone of what it shares with others (PSS); 0 where it is gone."""
    with contextlib.suppress(psutil.Error, OSError):
        return process.memory_full_info().pss
    return 0


def _environment() -> dict[str, str]:
    return dict(os.environ) | {"PYTHONPATH": str(ROOT)}
