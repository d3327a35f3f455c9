"""Writes a rank's files of a checkpoint, beside the training where the host has room for a copy of them."""

import copy
import os
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lingualift_ds import dist
from lingualift_ds.checkpoint.manifest import file_entry, sync_folder

_ROOM = 0.8
"""Share of the free host memory that copies may take."""


@dataclass(frozen=True)
class Written:
    """What came of one rank's files: an entry for the manifest each, or why one could not be written."""

    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    error: str | None = None
    seconds: float = 0.0


class FileWriter:
    """Writes `files` (name to bytes, or to what torch.save takes) into a folder, forced to disk and read back for
    their hashes. In the background a thread does it, on copies; else the constructor returns when it is done.

    Never raises: what fails is in `result`, because the other ranks are not to wait for this one in vain.
    """

    def __init__(self, folder: Path, files: Mapping[str, Any], background: bool):
        self._folder, self._result = folder, Written()
        try:
            files = {name: host_copy(value) if background else value for name, value in files.items()}
        except Exception as error:  # not enough memory after all
            files, self._result = {}, Written(error=f"{error.__class__.__name__}: {error}")
        self._thread = threading.Thread(target=self._write, args=(files,), name="checkpoint", daemon=True)
        self._thread.start()
        if not background:
            self._thread.join()

    def done(self) -> bool:
        """Whether nothing is left to write."""
        return not self._thread.is_alive()

    def result(self) -> Written:
        """What came of it; waits for the end."""
        self._thread.join()
        return self._result

    def _write(self, files: dict[str, Any]) -> None:
        started, entries = time.monotonic(), {}
        if self._result.error:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            while files:  # each is let go of once it is written
                name, value = files.popitem()
                path = self._folder / name
                with path.open("wb") as file:
                    file.write(value) if isinstance(value, bytes) else _save(value, file)
                del value
                entries[name] = file_entry(path)
            sync_folder(self._folder)
            self._result = Written(entries, None, time.monotonic() - started)
        except Exception as error:  # also what torch makes of a full disk: a RuntimeError about positions in the file
            cause = error.__context__ if isinstance(error.__context__, OSError) else error
            why = f"{self._folder}: {cause.__class__.__name__}: {' '.join(str(cause).split())[:200]}"
            self._result = Written({}, why, time.monotonic() - started)


def _save(value: Any, file: Any) -> None:
    # The manifest's SHA-256 is the better checksum; CRC-32 would take three times as long as the writing.
    torch.serialization.set_crc32_options(False)
    torch.save(value, file)


def host_copy(value: Any) -> Any:
    """A copy that training cannot change any more, its tensors on the CPU and no longer than what they show."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if type(value) in (dict, OrderedDict):
        return type(value)((k, host_copy(v)) for k, v in value.items())
    if type(value) in (list, tuple):
        return type(value)(host_copy(v) for v in value)
    return copy.deepcopy(value)


def tensor_bytes(value: Any) -> int:
    """Bytes of all tensors in nested dicts and lists."""
    if isinstance(value, Tensor):
        return value.nbytes
    if isinstance(value, Mapping):
        return sum(tensor_bytes(v) for v in value.values())
    return sum(tensor_bytes(v) for v in value) if isinstance(value, (list, tuple)) else 0


def room_for_copies(files: Mapping[str, Any]) -> str | None:
    """None where every host has room for the copies of its ranks; else why not. Collective."""
    places = dist.gather((socket.gethostname(), tensor_bytes(files), free_host_memory()))
    for host in sorted({place[0] for place in places}):
        needed = sum(size for name, size, _ in places if name == host)
        free = min(free for name, _, free in places if name == host)
        if needed > _ROOM * free:
            return f"copies of {needed / 1e9:.1f} GB, but {host} has {free / 1e9:.1f} GB of free memory"
    return None


def free_host_memory() -> int:
    """Bytes that this process's host, or the control group it is in, can still give (Linux; elsewhere a guess)."""
    free = []
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            free.append(int(line.split()[1]) * 1024)
    group = "/sys/fs/cgroup/memory."
    limit, used = _lines(group + "max"), _lines(group + "current")
    if limit and used and limit[0].isdigit():
        cached = [int(line.split()[1]) for line in _lines(group + "stat") if line.startswith("inactive_file ")]
        free.append(int(limit[0]) - int(used[0]) + sum(cached))
    return min(free, default=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2)


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
