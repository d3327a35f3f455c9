"""Starts training as launch/train.py does, and kills it at a chosen moment of a save.

    FAULT='{"save": 2, "event": 7, "rank": 1}' python benchmarks/faults.py --stage 1 --config RECIPE.yaml ...

The toolkit knows nothing of it: Python's audit hook reports what this process does to files below a stage's
checkpoints folder (open, rename, remove, list), and the process, or its whole group, gets a SIGKILL before the n-th of
these things. FAULT is JSON, see `Fault`; without it nothing is killed. benchmarks/soak.py makes many of them.
"""

import json
import os
import re
import resource
import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PATHS = {"os.rename": 2, "open": 1, "os.mkdir": 1, "os.remove": 1, "os.rmdir": 1, "os.listdir": 1, "os.scandir": 1}
"""Events of Python's that name files, and how many."""
_RELATIVE = ("os.rename", "os.mkdir", "os.remove", "os.rmdir")
"""Of these, those whose last arguments are the open folders that the paths are relative to, or -1."""
_INSIDE = re.compile(r".*/checkpoints(?:/(.*))?$")
_ASIDE = re.compile(r"\.step-(\d+)\.tmp")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@dataclass(frozen=True)
class Fault:
    """When a process dies."""

    save: int = 0
    """In which save of this process, from 1; 0: before the first one, while it looks for a checkpoint and loads it."""
    event: int = 0
    """Before which of the events of this save, from 1; 0: never. Where the save has fewer, before the next save's."""
    rank: int = 0
    """Which rank."""
    group: bool = False
    """Whether the whole process group dies with it."""
    cut: int | None = None
    """Instead of at once: when the file that is opened for writing then, or another one, reaches this many bytes."""
    note: str = ""
    """A file that gets a line of JSON when the time has come: save, event, what."""
    trace: str = ""
    """A file that gets such a line for every event. Rank r writes to TRACE.r."""


class Watch:
    """Counts the events of this process's saves, and ends it when the time has come."""

    def __init__(self, fault: Fault, rank: int):
        self._fault, self._mine = fault, rank == fault.rank and fault.event > 0
        self._save = self._event = 0
        self._begun: set[str] = set()
        self._lock = threading.Lock()
        self._process = os.getpid()
        # Opened now: opening a file later would be an event itself.
        self._note = _appending(fault.note) if fault.note and self._mine else None
        self._trace = _appending(f"{fault.trace}.{rank}") if fault.trace else None

    def install(self) -> None:
        """Watch from now on. It cannot be undone."""
        if self._fault.cut is not None:
            # Python ignores this signal; by default it ends a process in the middle of a write.
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        sys.addaudithook(self._see)

    def _see(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _PATHS or os.getpid() != self._process:
            return
        names = _names(event, arguments)
        if not names:
            return
        with self._lock:
            writes = event == "os.mkdir" or event == "open" and _opens_for_writing(arguments)
            aside = _ASIDE.match(names[0])
            if writes and aside and aside[1] not in self._begun:
                self._begun.add(aside[1])
                self._save, self._event = self._save + 1, 0
            self._event += 1
            what = f"{event}{' for writing' * (event == 'open' and writes)} {' to '.join(names)}"
            line = {"save": self._save, "event": self._event, "what": what, "writes": writes}
            if self._trace:
                _append(self._trace, line)
            fault = self._fault
            due = (self._save, self._event) >= (fault.save, fault.event)
            if self._mine and due and (fault.cut is None or event == "open" and writes):
                self._end(line)

    def _end(self, line: dict[str, Any]) -> None:
        if self._note:
            _append(self._note, line)
        if self._fault.cut is not None:
            self._mine = False
            resource.setrlimit(resource.RLIMIT_FSIZE, (self._fault.cut, resource.RLIM_INFINITY))
        elif self._fault.group:
            os.killpg(0, signal.SIGKILL)
        else:
            os.kill(self._process, signal.SIGKILL)


def _names(event: str, arguments: tuple[Any, ...]) -> list[str]:
    """The paths of an event, relative to the checkpoints folder; none where one lies elsewhere."""
    count, names = _PATHS[event], []
    for number in range(count):
        path = arguments[number] if number < len(arguments) else None
        folder = arguments[number - count] if event in _RELATIVE else -1
        inside = _INSIDE.match(_absolute(path, folder))
        if not inside:
            return []
        names.append(inside[1] or ".")
    return names


def _absolute(path: Any, folder: Any) -> str:
    """A path as text; one that is relative to an open folder, or is an open file itself, by what /proc says."""
    try:
        if isinstance(path, int):
            return os.readlink(f"/proc/self/fd/{path}")
        path = os.fsdecode(path)
        if os.path.isabs(path) or not isinstance(folder, int) or folder < 0:
            return os.path.abspath(path)
        return os.path.join(os.readlink(f"/proc/self/fd/{folder}"), path)
    except (OSError, TypeError):
        return ""


def _opens_for_writing(arguments: tuple[Any, ...]) -> bool:
    mode, flags = arguments[1], arguments[2]
    return any(c in mode for c in "wax+") if isinstance(mode, str) else bool(flags & _WRITES)


def _appending(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


def _append(file: int, line: dict[str, Any]) -> None:
    os.write(file, (json.dumps(line) + "\n").encode())


def read_lines(path: Path) -> list[dict[str, Any]]:
    """What a watch wrote."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    if "FAULT" in os.environ:
        Watch(Fault(**json.loads(os.environ["FAULT"])), int(os.environ.get("RANK", "0"))).install()
    from lingualift_ds.cli.errors import end_process
    from lingualift_ds.cli.train import main

    end_process(main())
