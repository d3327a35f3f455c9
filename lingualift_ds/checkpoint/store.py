"""Checkpoints of a stage: written aside, named whole by their manifest, moved into place, then pointed at.

checkpoints/step-000100/   DeepSpeed's shards of what is trained, rank-00000.json each, manifest.json last
checkpoints/latest         the name of the newest one
"""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any, Protocol

from lingualift_ds import dist
from lingualift_ds.checkpoint.manifest import (
    file_entry,
    read_manifest,
    sync_folder,
    verify,
    writable,
    write_manifest,
)
from lingualift_ds.errors import CheckpointError
from lingualift_ds.log import get_logger

logger = get_logger(__name__)


class Saves(Protocol):
    """What the store needs of an engine."""

    def save(self, folder: Path, tag: str) -> None:
        """Write this rank's shards to folder/tag."""

    def load(self, folder: Path, tag: str) -> None:
        """Read this rank's shards from folder/tag."""


def newest(folder: Path) -> Path | None:
    """The newest whole checkpoint of a folder, hashes verified; what is damaged is said and passed over."""
    found = sorted((p for p in folder.glob("step-*") if re.fullmatch(r"step-\d{6,}", p.name)), reverse=True)
    for path in found:
        try:
            verify(path)
            return path
        except CheckpointError as error:
            logger.warning("checkpoint %s passed over: %s", path.name, error)
    return None


def check_fits(path: Path, world_size: int, identity: dict[str, Any]) -> None:
    """Raise CheckpointError where a checkpoint was saved on another number of ranks, or with another `identity`:
    what a run depends on beside its config (data, base models, alignment layer handed over, ZeRO stage)."""
    manifest = read_manifest(path)
    if manifest["world_size"] != world_size:
        raise CheckpointError(
            f"{path}: was saved on {manifest['world_size']} ranks, this run has {world_size}; "
            f"resume on {manifest['world_size']}"
        )
    for what, before in manifest["identity"].items():
        if identity.get(what) != before:
            raise CheckpointError(
                f"{path}: its {what} is no longer what it was ({before}, now {identity.get(what)}); "
                "restore it, or set run.output to another folder"
            )


class CheckpointStore:
    """The checkpoints folder of one stage. All methods are collective: every rank calls them."""

    def __init__(self, folder: Path, keep_last: int):
        self.folder, self.keep_last = folder, keep_last
        self.resumed_from: str | None = None

    def save(self, engine: Saves, step: int, rank_state: dict[str, Any], facts: dict[str, Any]) -> Path:
        """Save a step. `rank_state` is this rank's own (JSON); `facts` go into the manifest.

        Older checkpoints go only after the new one is in place, and never the one this run resumed from.
        Raises CheckpointError, on all ranks, where rank 0 cannot write.
        """
        name = f"step-{step:06d}"
        aside, final = self.folder / f".{name}.tmp", self.folder / name
        place = dist.read_place()
        dist.on_main(lambda: writable(aside, lambda: _fresh_folder(aside)))
        engine.save(self.folder, aside.name)
        state_name = f"rank-{place.rank:05d}.json"
        (aside / state_name).write_text(json.dumps(rank_state), encoding="utf-8")
        dist.barrier()
        # One listing for all: a rank on another node may not see every file yet.
        names = dist.on_main(lambda: sorted(str(p.relative_to(aside)) for p in aside.rglob("*") if p.is_file()))
        mine = {n: file_entry(aside / n) for n in names[place.rank :: place.world_size]}
        files = {name: entry for part in dist.gather(mine) for name, entry in part.items()}
        for state in dist.gather(state_name):
            if state not in files:
                raise CheckpointError(f"{aside}: {state} is not seen by rank 0; run.output must be a shared folder")
        whole = dict(sorted(files.items()))
        dist.on_main(lambda: writable(aside, lambda: self._publish(aside, final, whole, {"step": step, **facts})))
        return final

    def load(self, engine: Saves, path: Path, trained: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Load a checkpoint that `newest` found and `check_fits` accepted; returns (this rank's state, manifest).

        Raises CheckpointError where it was saved for other trained tensors.
        """
        manifest = read_manifest(path)
        differing = sorted(set(manifest["trained"]) ^ set(trained))
        if differing:
            raise CheckpointError(f"{path}: its trained tensors differ from this run's: {', '.join(differing[:3])}")
        engine.load(self.folder, path.name)
        self.resumed_from = path.name
        state = path / f"rank-{dist.read_place().rank:05d}.json"
        return json.loads(state.read_text(encoding="utf-8")), manifest

    def _publish(self, aside: Path, final: Path, files: dict[str, Any], facts: dict[str, Any]) -> None:
        write_manifest(aside, files, facts)
        if final.exists():
            shutil.rmtree(final)
        os.rename(aside, final)
        sync_folder(self.folder)
        pointer = self.folder / "latest.tmp"
        pointer.write_text(final.name, encoding="utf-8")
        os.replace(pointer, self.folder / "latest")
        sync_folder(self.folder)
        self._rotate()

    def _rotate(self) -> None:
        kept = sorted(p for p in self.folder.glob("step-*") if p.is_dir())
        for old in kept[: -self.keep_last]:
            if old.name != self.resumed_from:
                shutil.rmtree(old)


def _fresh_folder(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)
    path.mkdir(parents=True)
