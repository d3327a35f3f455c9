"""What a checkpoints folder holds: checkpoints, the pointer, and what was left or set aside beside them. Reads only."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from lingualift_ds.checkpoint.inspect import (
    CHECKPOINT,
    Inspected,
    disk_bytes,
    inspect_folder,
    is_folder,
    names_in,
    short,
)

CONVERTED = ".universal"
"""Folder beside the checkpoints for what was converted for another number of ranks."""
_LEFT = (
    (re.compile(r"\.step-.*\.tmp"), "being written, or left by a killed process: the next start removes it"),
    (re.compile(r"\.step-.*\.old"), "half removed: the next start removes it"),
    (re.compile(r"step-.*\.set-aside(-\d+)?"), "set aside: later than the step a run went on from; never loaded"),
    (re.compile(r"step-.*"), "not a checkpoint's name: never loaded"),
)


@dataclass(frozen=True)
class Leftover:
    """What lies beside the checkpoints and is none."""

    path: Path
    size: int
    what: str


@dataclass
class Listing:
    """A checkpoints folder."""

    path: Path
    checkpoints: list[Inspected] = field(default_factory=list)
    """Oldest first."""
    latest: str | None = None
    """What the pointer says."""
    leftovers: list[Leftover] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def newest_whole(self) -> Inspected | None:
        """The one that a resume would take."""
        return next((c for c in reversed(self.checkpoints) if not c.problems), None)


def list_checkpoints(folder: Path) -> Listing:
    """The checkpoints of a folder, and what lies beside them. One that is rotated away meanwhile is left out."""
    listing = Listing(folder)
    names, problem = names_in(folder)
    if problem:
        listing.problems.append(problem)
        return listing
    steps = [name for name in names if CHECKPOINT.fullmatch(name) and is_folder(folder / name)]
    for name in sorted(steps, key=lambda n: int(n.removeprefix("step-"))):
        found = inspect_folder(folder / name, "checkpoint")
        if is_folder(found.path):
            listing.checkpoints.append(found)
    listing.leftovers += [left for name in names if name not in steps for left in _leftover(folder / name)]
    converted, problem = names_in(folder / CONVERTED)
    if problem:
        listing.notes.append(problem)
    listing.leftovers += [left for name in converted for left in _converted(folder / CONVERTED / name)]
    _read_pointer(listing)
    return listing


def _leftover(path: Path) -> list[Leftover]:
    what = next((what for pattern, what in _LEFT if pattern.fullmatch(path.name)), None)
    return [Leftover(path, disk_bytes(path), what)] if what and is_folder(path) else []


def _converted(path: Path) -> list[Leftover]:
    if not is_folder(path):
        return []
    if not CHECKPOINT.fullmatch(path.name):
        return _leftover(path)
    return [Leftover(path, disk_bytes(path), "converted for another number of ranks: the next checkpoint removes it")]


def _read_pointer(listing: Listing) -> None:
    try:
        listing.latest = (listing.path / "latest").read_text(encoding="utf-8", errors="replace").strip()[:100]
    except FileNotFoundError:
        return
    except OSError as error:
        listing.notes.append(f"latest cannot be read: {error.strerror}")
        return
    if listing.latest not in [c.path.name for c in listing.checkpoints]:
        listing.notes.append(f"latest names {short(listing.latest)}, which is not there")
