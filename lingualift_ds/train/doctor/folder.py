"""The folder that runs are written to: space, speed, locks, renames. As a program it looks and prints JSON.

A process of its own looks, because a network file system that is gone makes whoever asks it wait for ever.
"""

import fcntl
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from lingualift_ds.train.doctor import apart
from lingualift_ds.train.doctor.line import FAILED, NOTE, OK, Line, lines_of

_SECONDS = 30.0
_BLOCK = 1 << 20
_BLOCKS = 16
_SLOW, _SMALL, _FULL = 50e6, 20e9, 0.5e9
"""Bytes a second below which writing is slow; bytes free that a checkpoint of a small, and of no model fits."""


def run_folder(folder: Path) -> Iterator[Line]:
    """The lines on a folder, which need not exist yet: then on the one it would be made in."""
    outcome = apart.run([sys.executable, "-m", __name__, str(folder)], _SECONDS)
    if outcome.ok:
        yield from (Line(**one) for one in json.loads(outcome.said))
    else:
        yield Line("run folder", f"{folder}: {outcome.why}", FAILED, "runs cannot be written there")


def look(folder: Path) -> list[Line]:
    """All checks of a folder; what they write is removed."""
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    if not there.is_dir():
        return [Line("run folder", f"{there}: not a folder", FAILED, "runs cannot be written there")]
    try:
        aside = tempfile.TemporaryDirectory(prefix=".doctor-", dir=there)
    except OSError as error:
        return [Line("run folder", f"{there}: {error.strerror}", FAILED, "runs cannot be written there")]
    with aside as name:
        lines = [Line("run folder", f"{folder}{'' if there == folder.absolute() else ' (to be made)'}, writable")]
        checks = {"free space": _space, "writing": _writing, "file locks": _locks, "renaming": _renaming}
        for what, check in checks.items():
            lines += lines_of(what, lambda check=check: [check(Path(name))])
    return lines


def _space(folder: Path) -> Line:
    free = shutil.disk_usage(folder).free
    found = f"{free / 1e9:.1f} GB"
    if free < _FULL:
        return Line("free space", found, FAILED, "no room for a checkpoint", measured=True)
    if free < _SMALL:
        return Line("free space", found, NOTE, "little: checkpoints of models of billions do not fit", measured=True)
    return Line("free space", found, measured=True)


def _writing(folder: Path) -> Line:
    path, block, started = folder / "block", os.urandom(_BLOCK), time.monotonic()
    with path.open("wb") as file:
        for _ in range(_BLOCKS):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    speed = _BLOCK * _BLOCKS / max(time.monotonic() - started, 1e-9)
    if path.read_bytes() != block * _BLOCKS:
        return Line("writing", "what is read is not what was written", FAILED, "checkpoints would be damaged")
    means = ("written through to the disk", "slow: checkpoints will take long")[speed < _SLOW]
    return Line("writing", f"{speed / 1e6:.0f} MB/s", NOTE if speed < _SLOW else OK, means, measured=True)


def _locks(folder: Path) -> Line:
    path = folder / "lock"
    with path.open("w") as first, path.open("w") as second:
        try:
            fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return Line("file locks", error.strerror or str(error), NOTE, "runs that share a cache may work twice")
        try:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return Line("file locks", "hold")
    return Line("file locks", "do not hold", NOTE, "runs that share a cache may work twice")


def _renaming(folder: Path) -> Line:
    old, new = folder / "name", folder / "name.tmp"
    old.write_text("old")
    new.write_text("new")
    with old.open() as file:
        os.replace(new, old)
        if file.read() == "old" and old.read_text() == "new" and not new.exists():
            return Line("renaming", "replaces a file at once")
    return Line("renaming", "does not replace a file at once", FAILED, "a killed run could leave half a checkpoint")


def main() -> int:
    """Look at the folder named, and print the lines as JSON."""
    sys.stdout.write(json.dumps([asdict(line) for line in look(Path(sys.argv[1]))]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
