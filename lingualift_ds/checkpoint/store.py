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
from lingualift_ds.checkpoint.manifest import file_entry, read_manifest, sync_folder, verify, write_manifest
from lingualift_ds.errors import CheckpointError
from lingualift_ds.log import get_logger

logger = get_logger(__name__)


class Saves(Protocol):
    """What the store needs of an engine."""

    def save(self, folder: Path, tag: str) -> None:
        """Write this rank's shards to folder/tag."""

    def load(self, folder: Path, tag: str) -> None:
        """Read this rank's shards from folder/tag."""


def step_name(step: int) -> str:
    """The folder name of a step's checkpoint."""
    return f"step-{step:06d}"


class CheckpointStore:
    """The checkpoints folder of one stage. All methods but `newest` are collective: every rank calls them."""

    def __init__(self, folder: Path, keep_last: int):
        self.folder, self.keep_last = folder, keep_last
        self.resumed_from: str | None = None

    def save(self, engine: Saves, step: int, rank_state: dict[str, Any], facts: dict[str, Any]) -> Path:
        """Save a step. `rank_state` is this rank's own (JSON); `facts` go into the manifest.

        Older checkpoints go only after the new one is in place, and never the one this run resumed from.
        """
        name = step_name(step)
        aside, final = self.folder / f".{name}.tmp", self.folder / name
        place = dist.read_place()
        dist.on_main(lambda: _fresh_folder(aside))
        engine.save(self.folder, aside.name)
        (aside / f"rank-{place.rank:05d}.json").write_text(json.dumps(rank_state), encoding="utf-8")
        dist.barrier()
        names = sorted(str(p.relative_to(aside)) for p in aside.rglob("*") if p.is_file())
        mine = {n: file_entry(aside / n) for n in names[place.rank :: place.world_size]}
        files = {name: entry for part in dist.gather(mine) for name, entry in part.items()}
        dist.on_main(lambda: self._publish(aside, final, dict(sorted(files.items())), {"step": step, **facts}))
        return final

    def newest(self) -> Path | None:
        """The newest whole checkpoint, hashes verified; what is damaged is said and passed over."""
        found = sorted((p for p in self.folder.glob("step-*") if re.fullmatch(r"step-\d{6,}", p.name)), reverse=True)
        for path in found:
            try:
                verify(path)
                return path
            except CheckpointError as error:
                logger.warning("checkpoint %s passed over: %s", path.name, error)
        return None

    def load(self, engine: Saves, path: Path, trained: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Load a verified checkpoint; returns (this rank's state, manifest).

        Raises CheckpointError: saved on another number of ranks, or for other trained tensors.
        """
        manifest = read_manifest(path)
        place = dist.read_place()
        if manifest["world_size"] != place.world_size:
            raise CheckpointError(
                f"{path}: was saved on {manifest['world_size']} ranks, this run has {place.world_size}; "
                f"resume on {manifest['world_size']}"
            )
        saved = set(manifest["trained"])
        if saved != set(trained):
            differing = sorted(saved ^ set(trained))
            raise CheckpointError(f"{path}: its trained tensors differ from this run's: {', '.join(differing[:3])}")
        engine.load(self.folder, path.name)
        self.resumed_from = path.name
        return json.loads((path / f"rank-{place.rank:05d}.json").read_text(encoding="utf-8")), manifest

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
    try:
        if path.exists():
            shutil.rmtree(path)
        path.mkdir(parents=True)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be written: {error.strerror}") from None
