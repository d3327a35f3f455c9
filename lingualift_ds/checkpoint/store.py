"""Checkpoints of a stage: written aside, named whole by their manifest, moved into place, then pointed at.

checkpoints/step-000100/        DeepSpeed's shards of what is trained, rank-00000.json each, manifest.json last
checkpoints/.step-000200.tmp/   one that is being written
checkpoints/latest              the name of the newest one
"""

import contextlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lingualift_ds import dist
from lingualift_ds.checkpoint.inspect import CHECKPOINT
from lingualift_ds.checkpoint.listing import CONVERTED
from lingualift_ds.checkpoint.manifest import (
    read_manifest,
    sync_folder,
    verify,
    verify_files,
    writable,
    write_manifest,
    write_text,
)
from lingualift_ds.checkpoint.writer import FileWriter, Written, room_for_copies
from lingualift_ds.config.schema import CheckpointConfig
from lingualift_ds.errors import CheckpointError
from lingualift_ds.log import get_logger

logger = get_logger(__name__)


def step_of(path: Path) -> int | None:
    """The step a checkpoint's folder is named after; None for any other folder."""
    match = CHECKPOINT.fullmatch(path.name)
    return int(match[1]) if match else None


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a folder, whole or not, oldest first."""
    return sorted((p for p in folder.glob("step-*") if step_of(p) is not None and p.is_dir()), key=step_of)


def find_checkpoint(folder: Path, step: int | None = None, asked: str = "--resume-step") -> tuple[Path, dict[str, Any]]:
    """The newest whole checkpoint of a folder and its manifest, or that of a step, which the option `asked` named.
    Collective: ranks share the hashing.

    What is damaged is named, with the steps it costs, and passed over. Raises CheckpointError where none is whole, or
    the one asked for is not.
    """
    paths = dist.from_main(checkpoints(folder))
    if step is not None and step not in map(step_of, paths):
        there = ", ".join(str(step_of(p)) for p in paths) or "none"
        raise CheckpointError(f"{asked} {step}: {folder} holds no such step; there are: {there}")
    damaged, main = [], dist.read_place().is_main
    for path in reversed([p for p in paths if step in (None, step_of(p))]):
        manifest, problem = _verify_together(path)
        if problem is None:
            if damaged and main:
                lost = step_of(damaged[0]) - step_of(path)
                logger.warning("step %d is taken instead: it costs %d steps", step_of(path), lost)
            return path, manifest
        if step is not None:
            raise CheckpointError(f"{asked} {step}: {problem}")
        damaged.append(path)
        if main:
            logger.warning("checkpoint %s cannot be used: %s", path.name, problem)
    raise CheckpointError(f"{folder}: holds no whole checkpoint; the reasons are above")


def _verify_together(path: Path) -> tuple[dict[str, Any], str | None]:
    """The manifest and None for a whole checkpoint, else what is wrong with it. Collective."""
    try:
        manifest = dist.on_main(lambda: read_manifest(path))
    except CheckpointError as error:
        return {}, str(error)
    place, problem, unreadable = dist.read_place(), None, None
    try:
        verify_files(path, list(manifest["files"].items())[place.rank :: place.world_size])
    except CheckpointError as error:
        problem = str(error)
    except OSError as error:  # not damage: another day it may be read
        unreadable = f"{error.filename or path}: rank {place.rank} cannot read it: {error.strerror or error}"
    found = dist.gather((problem, unreadable))
    for _, said in found:
        if said:
            raise CheckpointError(said)
    return manifest, next((p for p, _ in found if p), None)


def check_identity(path: Path, manifest: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
    """Raise CheckpointError where what a checkpoint was trained on (data, base models, alignment layer handed over,
    ZeRO stage) is not what this run has, naming where it came from."""
    for what, before in manifest["identity"].items():
        if identity.get(what) != before:
            source = manifest["sources"].get("alignment" if what == "handover" else what)
            named = f"its {what} ({source})" if source else f"its {what}"
            raise CheckpointError(
                f"{path}: {named} is no longer what it was ({before}, now {identity.get(what)}); "
                "restore it, or set run.output to another folder"
            )


def check_tensors(path: Path, manifest: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    """Raise CheckpointError where a checkpoint's model has not the tensors of this run's, as manifests list them."""
    theirs = manifest["tensors"]
    for name, before in theirs.items():
        if ours.get(name) != before:
            raise CheckpointError(f"{path}: its tensor {name} is {before}, this run's is {ours.get(name, 'not there')}")
    for name in ours.keys() - theirs.keys():
        raise CheckpointError(f"{path}: has no tensor {name}, which this run has")


@dataclass(frozen=True)
class Saved:
    """How a save ended."""

    step: int
    path: Path | None
    """The checkpoint; None where it could not be written."""
    error: str | None
    bytes: int
    write_seconds: float
    """Of the slowest rank, beside the training where it is done in the background."""


class CheckpointStore:
    """The checkpoints folder of one stage. Every rank calls every method; `begin` and `publish` are collective.

    A save begins, is written by each rank for itself, and is published by rank 0 when all are `ready`.
    """

    def __init__(self, folder: Path, settings: CheckpointConfig):
        self.folder, self.settings = folder, settings
        self.resumed_from: str | None = None
        self._writer: FileWriter | None = None
        self.background = False
        """Whether the save that has begun is written while training goes on."""
        self._step, self._facts, self._said = 0, {}, None

    @property
    def saving(self) -> int | None:
        """The step whose save has begun and is not published yet."""
        return self._step if self._writer else None

    @property
    def ready(self) -> bool:
        """Whether this rank's files of the save that has begun are on disk, or will never be."""
        return self._writer is not None and self._writer.done()

    def begin(self, step: int, files: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        """Start to save this rank's `files` (see FileWriter); `facts` go into the manifest. Returns when training may
        go on. Collective; never raises for what the file system refuses: `publish` reports it."""
        assert self._writer is None, "a save is published before the next one begins"
        self._step, self._facts = step, {"step": step, **facts}
        dist.on_main(lambda: _fresh_folder(self._aside))
        background = self.settings.background != "off"
        if self.settings.background == "auto":
            shortage = room_for_copies(files)
            if shortage and shortage != self._said and dist.read_place().is_main:
                logger.warning("checkpoints are written while training waits: %s", shortage)
            background, self._said = shortage is None, shortage
        self.background = background
        self._writer = FileWriter(self._aside, files, background)

    def publish(self) -> Saved:
        """Make the save that has begun a checkpoint, once all ranks have written; older ones go after that, and never
        the one this run resumed from. Where a rank could not write, nothing is left of it. Collective."""
        results: list[Written] = dist.gather(self._writer.result())
        self._writer = None
        errors = [f"rank {rank}: {r.error}" for rank, r in enumerate(results) if r.error]
        files = dict(sorted((n, e) for r in results for n, e in r.files.items()))
        error = dist.on_main(lambda: self._publish(files, errors))
        final = None if error else self._final
        size, seconds = sum(e["size"] for e in files.values()), max(r.seconds for r in results)
        return Saved(self._step, final, error, size, seconds)

    def set_later_ones_aside(self) -> None:
        """Rename what lies after the step this run goes on from, so that no loader finds it. Raises OSError."""
        start = step_of(self.folder / self.resumed_from) if self.resumed_from else 0
        for path in checkpoints(self.folder):
            if step_of(path) > start:
                logger.warning("%s lies after step %d: renamed to %s", path, start, _set_aside(path).name)

    @property
    def _aside(self) -> Path:
        return self.folder / f".step-{self._step:06d}.tmp"

    @property
    def _final(self) -> Path:
        return self.folder / f"step-{self._step:06d}"

    def _publish(self, files: dict[str, Any], errors: list[str]) -> str | None:
        """On rank 0: None, or why there is no new checkpoint."""
        try:
            if errors:
                raise CheckpointError("; ".join(errors[:3]))
            self._check_shared(files)
            writable(self._aside, lambda: self._move(files))
        except Exception as error:  # whatever it is costs this checkpoint, not the run
            if not self._aside.exists() and _is_whole(self._final):
                logger.warning("%s is in place, but: %s", self._final.name, error)
                return None
            shutil.rmtree(self._aside, ignore_errors=True)
            return str(error) if isinstance(error, CheckpointError) else f"{type(error).__name__}: {error}"
        try:
            write_text(self.folder / "latest", self._final.name)
            self._rotate()
        except OSError as error:
            logger.warning("%s is whole, but what comes after a save failed: %s", self._final.name, error)
        return None

    def _check_shared(self, files: dict[str, Any]) -> None:
        try:
            verify_files(self._aside, files.items(), hashes=False)
        except CheckpointError as error:
            raise CheckpointError(f"rank 0 sees another folder than the others; is it a shared one? {error}") from None

    def _move(self, files: dict[str, Any]) -> None:
        write_manifest(self._aside, "checkpoint", files, self._facts)
        if self._final.exists():
            _set_aside(self._final)
        os.rename(self._aside, self._final)
        sync_folder(self.folder)

    def _rotate(self) -> None:
        """Only whole ones count as kept, and what lies after this step is not this run's."""
        shutil.rmtree(self.folder / CONVERTED, ignore_errors=True)
        old = [p for p in checkpoints(self.folder) if step_of(p) <= self._step and _is_whole(p)]
        every = self.settings.keep_every
        for path in old[: -self.settings.keep_last]:
            if path.name != self.resumed_from and not (every and step_of(path) % every == 0):
                # Renamed first: a checkpoint that is half removed must not be found.
                going = path.with_name(f".{path.name}.old")
                shutil.rmtree(going, ignore_errors=True)
                os.rename(path, going)
                shutil.rmtree(going)


def sweep(folder: Path) -> None:
    """Remove what killed processes left behind in a checkpoints folder."""
    for left in [*folder.glob(".step-*"), *folder.glob(f"{CONVERTED}/.step-*")]:
        shutil.rmtree(left, ignore_errors=True)


def _is_whole(path: Path) -> bool:
    try:
        verify(path, hashes=False)
    except (CheckpointError, OSError):
        return False
    return True


def _set_aside(path: Path) -> Path:
    """Rename a checkpoint so that no loader finds it; returns its new path."""
    number = 1
    while (aside := path.with_name(f"{path.name}.set-aside{'' if number == 1 else f'-{number}'}")).exists():
        number += 1
    path.rename(aside)
    return aside


def _fresh_folder(path: Path) -> None:
    """An empty folder where that can be; where it cannot, writing into it will say why."""
    shutil.rmtree(path, ignore_errors=True)
    with contextlib.suppress(OSError):
        path.mkdir(parents=True)
