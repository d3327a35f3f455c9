"""Writes a rank's files of a checkpoint, beside the training where the host has room for a copy of them."""

import copy
import os
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lingualift_ds import dist
from lingualift_ds.checkpoint.manifest import file_entry, sync_folder
from lingualift_ds.log import get_logger

logger = get_logger(__name__)

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
        self._thread: threading.Thread | None = None
        if background:
            try:
                copies = {name: host_copy(value) for name, value in files.items()}
                thread = threading.Thread(target=self._write, args=(copies,), name="checkpoint", daemon=True)
                thread.start()
                self._thread = thread
                return
            except Exception as error:  # not enough memory after all, or no more threads
                logger.warning("this checkpoint is written while training waits: %s: %s", type(error).__name__, error)
        self._write(dict(files))

    def done(self) -> bool:
        """Whether nothing is left to write."""
        return self._thread is None or not self._thread.is_alive()

    def result(self) -> Written:
        """What came of it; waits for the end."""
        if self._thread is not None:
            self._thread.join()
        return self._result

    def _write(self, files: dict[str, Any]) -> None:
        started, entries = time.monotonic(), {}
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
    """Bytes that this process's host, or a control group it is in, can still give (Linux; elsewhere a guess)."""
    free = []
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            free.append(int(line.split()[1]) * 1024)
    for group, limit, used, cached in _memory_groups():
        told, taken = _lines(f"{group}/{limit}"), _lines(f"{group}/{used}")
        if told and taken and told[0].isdigit():
            files = [int(line.split()[1]) for line in _lines(f"{group}/memory.stat") if line.startswith(cached)]
            free.append(int(told[0]) - int(taken[0]) + sum(files))
    return min(free, default=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2)


def _memory_groups() -> Iterator[tuple[str, str, str, str]]:
    """This process's control groups and those around them, with the names of their files (version 2, then 1)."""
    for line in _lines("/proc/self/cgroup"):
        _, kinds, at = line.split(":", 2)
        if not kinds:
            base, names = "/sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file ")
        elif "memory" in kinds.split(","):
            base = "/sys/fs/cgroup/memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file ")
        else:
            continue
        for folder in (Path(at), *Path(at).parents):
            yield (f"{base}{folder}".rstrip("/"), *names)


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
