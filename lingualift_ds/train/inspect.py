"""What a path holds that `inspect` is pointed at: a run, a stage, its checkpoints, or one folder. Reads only, without
torch."""

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lingualift_ds.checkpoint.inspect import (
    CHECKPOINT,
    Inspected,
    disk_bytes,
    inspect_folder,
    is_folder,
    is_number,
    names_in,
    read_json,
)
from lingualift_ds.checkpoint.listing import Leftover, Listing, list_checkpoints
from lingualift_ds.checkpoint.manifest import NAME
from lingualift_ds.config.layout import stage_number
from lingualift_ds.config.load import load_config
from lingualift_ds.errors import CheckpointError, ConfigError
from lingualift_ds.train.folder import StageFolder
from lingualift_ds.train.stages import stage_of

_TAIL_BYTES = 1 << 20
"""End of metrics.jsonl that is read for its last line."""


@dataclass
class StageReport:
    """RUN/stageN."""

    folder: StageFolder
    name: str | None
    """The stage's name, where its folder has a stage's."""
    listing: Listing
    artefact: Inspected | None = None
    complete: dict[str, Any] | None = None
    """What COMPLETE says; None without it."""
    last: dict[str, Any] | None = None
    """Step and loss of the last whole line of metrics.jsonl; a loss that is no number is None."""
    leftovers: list[Leftover] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass
class Report:
    """What a path holds: stages, or a listing, or one folder."""

    path: Path
    kind: str
    """run, stage, checkpoints, checkpoint or artefact."""
    stages: list[StageReport] = field(default_factory=list)
    listing: Listing | None = None
    folder: Inspected | None = None
    complete: bool = False
    """Whether COMPLETE lies beside `listing`."""

    @property
    def listings(self) -> list[Listing]:
        """Every checkpoints folder."""
        return [stage.listing for stage in self.stages] + ([self.listing] if self.listing else [])

    @property
    def folders(self) -> list[Inspected]:
        """Everything that a manifest tells of."""
        found = [self.folder, *(stage.artefact for stage in self.stages)]
        return [f for f in found if f] + [c for listing in self.listings for c in listing.checkpoints]

    @property
    def whole(self) -> bool:
        """Whether nothing that it lists is damaged."""
        parts = [*self.folders, *self.listings, *self.stages]
        return not any(part.problems for part in parts)

    def forget_removed(self) -> None:
        """Leave out checkpoints that a run at work has removed meanwhile."""
        for listing in self.listings:
            listing.checkpoints = [c for c in listing.checkpoints if is_folder(c.path)]


def inspect_path(path: Path) -> Report:
    """What a path holds; sizes are compared, nothing is hashed. Raises CheckpointError where it is none of these."""
    kind = _kind_of(path)
    if kind == "run":
        stages = [name for name in names_in(path)[0] if _is_stage_name(name) and is_folder(path / name)]
        return Report(path, kind, [_inspect_stage(StageFolder(path / name)) for name in stages])
    if kind == "stage":
        return Report(path, kind, [_inspect_stage(StageFolder(path))])
    if kind == "checkpoints":
        beside = StageFolder(Path(os.path.abspath(path)).parent)
        return Report(path, kind, listing=list_checkpoints(path), complete=beside.complete.is_file())
    return Report(path, kind, folder=inspect_folder(path, kind))


def _kind_of(path: Path) -> str:
    """What a path is by the names in it. Raises CheckpointError, OSError."""
    allowed = "name a run folder (runs/NAME), a stage in it, its checkpoints folder, a checkpoint or an artefact"
    try:
        path.lstat()
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such folder; {allowed}") from None
    if not path.is_dir():
        raise CheckpointError(f"{path}: is not a folder; {allowed}")
    names, own_name = sorted(os.listdir(path)), os.path.basename(os.path.abspath(path))
    if NAME in names:
        return _kind_of_manifest(path, names)
    if re.fullmatch(rf"\.?{CHECKPOINT.pattern}(\.\w.*)?", own_name):
        return "checkpoint"
    if any(_is_stage_name(name) and is_folder(path / name) for name in names):
        return "run"
    if any(is_folder(path / name) for name in ("checkpoints", "artefact")) or {"metrics.jsonl", "COMPLETE"} & {*names}:
        return "stage"
    if own_name == "checkpoints" or any(CHECKPOINT.fullmatch(n) and is_folder(path / n) for n in names):
        return "checkpoints"
    config = read_json(path / "config.json")
    if own_name == "artefact" or isinstance(config, dict) and config.get("model_type") == "lingualift":
        return "artefact"
    if _is_stage_name(own_name) and {*names} <= {".lock", "config.yaml"}:
        return "stage"
    found = f"it holds {', '.join(names[:3])}{' ...' if len(names) > 3 else ''}" if names else "it is empty"
    raise CheckpointError(f"{path}: holds no run, checkpoint or artefact ({found}); {allowed}")


def _kind_of_manifest(path: Path, names: list[str]) -> str:
    """That of a folder with a manifest: what this says, or where it says nothing, what lies beside it."""
    manifest = read_json(path / NAME)
    kind = manifest.get("kind") if isinstance(manifest, dict) else None
    if kind == "universal":
        raise CheckpointError(
            f"{path}: is a copy that was converted for another number of ranks; "
            f"name the checkpoint itself, {path.parent.parent / path.name}"
        )
    if isinstance(kind, str):
        return "checkpoint" if kind == "checkpoint" else "artefact"
    weights = "config.json" in names or any(name.endswith(".safetensors") for name in names)
    return "artefact" if weights else "checkpoint"


def _is_stage_name(name: str) -> bool:
    return stage_number(name) is not None


def _stage_name(folder: StageFolder, own_name: str) -> str | None:
    """What the stage's config calls it; None where that does not tell."""
    number = stage_number(own_name)
    if number is None:
        return None
    try:
        return stage_of(load_config(folder.config), number).name
    except ConfigError:
        return {1: "language-align", 2: "task-transfer"}.get(number)


def _inspect_stage(folder: StageFolder) -> StageReport:
    own_name = os.path.basename(os.path.abspath(folder.path))
    report = StageReport(folder, _stage_name(folder, own_name), list_checkpoints(folder.checkpoints))
    names, problem = names_in(folder.path)
    report.problems += [problem] if problem else []
    if is_folder(folder.artefact):
        report.artefact = inspect_folder(folder.artefact, "artefact")
    elif folder.artefact.name in names:
        report.problems.append(f"{folder.artefact.name} is not a folder")
    if folder.complete.name in names:
        complete = read_json(folder.complete)
        if not isinstance(complete, dict) or not isinstance(complete.get("identity"), dict):
            report.problems.append(f"{folder.complete.name} is damaged")
        report.complete = complete if isinstance(complete, dict) else {}
        if folder.artefact.name not in names:
            report.problems.append(f"{folder.complete.name} is there, {folder.artefact.name} is missing")
    report.last = _last_line(folder.metrics)
    aside = folder.artefact.with_name(f".{folder.artefact.name}.tmp")
    if is_folder(aside):
        report.leftovers.append(Leftover(aside, disk_bytes(aside), "an artefact that was not written to its end"))
    return report


def _last_line(path: Path) -> dict[str, Any] | None:
    """Step and loss of the last line that is whole."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
            lines = file.read().decode("utf-8", errors="replace").splitlines()
    except OSError:
        return None
    for line in reversed(lines):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict) and isinstance(record.get("step"), int):
            loss = record.get("loss")
            return {"step": record["step"], "loss": loss if is_number(loss) else None}
    return None
