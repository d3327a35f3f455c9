"""The folder of one stage, and the decision whether to start, to go on, or to leave it alone."""

import contextlib
import fcntl
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import yaml

from lingualift_ds.checkpoint.manifest import write_json, write_text
from lingualift_ds.config.load import dump_config, load_config, to_dict
from lingualift_ds.config.schema import Config
from lingualift_ds.errors import CheckpointError, ConfigError
from lingualift_ds.log import get_logger
from lingualift_ds.train.stages import Stage

logger = get_logger(__name__)

RESUME = ("auto", "must", "never")
_LOCK, _CONFIG_ASIDE, _LOGS = ".lock", "config.yaml.tmp", "logs"
_OURS = (_LOCK, _CONFIG_ASIDE, _LOGS)
"""What a start leaves that did not get as far as to a config."""
_claims: list[IO] = []
_MAY_DIFFER = (
    "run.output",
    "run.cache",
    "run.monitors",
    "run.monitoring",
    "run.world_size",
    "run.watchdog",
    "model.activation_checkpointing",
    "model.attention",
    "model.packing",
    "model.compile",
    "{stage}.batch.micro_tokens",
    "{stage}.sharding",
    "{stage}.checkpoint",
    "{stage}.heldout_every",
    "{stage}.nonfinite",
)
"""Keys of the stage's config that a resumed run may set anew: they do not change what is learned, rounding aside."""
_COMPARED_BY_CONTENT = (
    "model.llm",
    "model.encoder",
    "{stage}.data.train",
    "{stage}.data.heldout",
    "{stage}.data.codeswitch.lexicons",
    "{stage}.start_from",
    "{stage}.deepspeed",
)
"""Paths that may differ where there is a checkpoint: its manifest holds the hashes of what lies there."""


@dataclass(frozen=True)
class StageFolder:
    """RUN/stageN and the names in it."""

    path: Path

    @property
    def config(self) -> Path:
        """The resolved config."""
        return self.path / "config.yaml"

    @property
    def metrics(self) -> Path:
        """A line per step."""
        return self.path / "metrics.jsonl"

    @property
    def logs(self) -> Path:
        """A log file per rank."""
        return self.path / _LOGS

    @property
    def checkpoints(self) -> Path:
        """One folder per checkpoint."""
        return self.path / "checkpoints"

    @property
    def artefact(self) -> Path:
        """What the stage hands over."""
        return self.path / "artefact"

    @property
    def complete(self) -> Path:
        """The success marker."""
        return self.path / "COMPLETE"

    def has_checkpoint(self) -> bool:
        """Whether a checkpoint was ever put in place here."""
        return any(self.checkpoints.glob("step-*"))


def stage_folder(config: Config, stage: Stage) -> StageFolder:
    """The folder of a stage of this run."""
    return StageFolder(Path(config.run.output) / stage.folder)


def decide(
    folder: StageFolder, config: Config, stage: Stage, resume: str, step: int | None = None
) -> Literal["fresh", "resume", "complete"]:
    """What --resume, and --resume-step, mean for this folder. Reads only.

    Raises CheckpointError: `never` with a run there, `must` or a step without a checkpoint, a run of another config, a
    folder that holds something else.
    """
    path = folder.path
    if step is not None:
        if resume == "never":
            raise CheckpointError(f"--resume never: contradicts --resume-step {step}")
        resume = "must"
    if path.exists() and not path.is_dir():
        raise CheckpointError(f"{path}: is a file; run.output must be a folder")
    there = sorted(p.name for p in path.iterdir() if p.name not in _OURS) if path.is_dir() else []
    if not there:
        if resume == "must":
            raise CheckpointError(f"--resume must: no checkpoint to resume from; looked in {folder.checkpoints}")
        return "fresh"
    if resume == "never":
        raise CheckpointError(f"{path}: is not empty and --resume is never; set run.output to another folder")
    if not folder.config.is_file():
        raise CheckpointError(
            f"{path}: is not empty and holds no run ({', '.join(there[:3])}); set run.output to another folder"
        )
    complete = folder.complete.is_file()
    moved = _COMPARED_BY_CONTENT if folder.has_checkpoint() and not complete else ()
    _check_same_config(folder, config, stage, (*_MAY_DIFFER, *moved))
    if complete:
        if step is not None:
            raise CheckpointError(
                f"--resume-step {step}: {path} is complete; remove {folder.complete} to train again from there"
            )
        return "complete"
    if folder.has_checkpoint():
        return "resume"
    if resume == "must":
        raise CheckpointError(f"--resume must: no checkpoint to resume from; looked in {folder.checkpoints}")
    return "fresh"


def claim_folder(folder: StageFolder) -> None:
    """Make the folder, and claim it for this process until it ends.

    Raises CheckpointError where it cannot be written, or where another run is at work in it.
    """
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        claim = (folder.path / _LOCK).open("w")
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CheckpointError(
                f"{folder.path}: another run is training here; wait for it, or set run.output to another folder"
            ) from None
        except OSError as error:
            logger.warning("%s: has no file locks (%s): let one run at a time be at work there", folder.path, error)
        _claims.append(claim)  # held open: the system lets go of it when the process ends, however it ends
    except OSError as error:
        raise CheckpointError(f"{folder.path}: the run folder cannot be written: {error.strerror}") from None


def write_config(folder: StageFolder, config: Config) -> None:
    """Write the resolved config, and make room for checkpoints. Raises CheckpointError."""
    try:
        write_text(folder.config, dump_config(config))
        folder.checkpoints.mkdir(exist_ok=True)
    except OSError as error:
        raise CheckpointError(f"{folder.path}: the run folder cannot be written: {error.strerror}") from None


def mark_complete(folder: StageFolder, facts: dict[str, Any]) -> None:
    """Write COMPLETE, the only sign of success."""
    write_json(folder.complete, facts)


def _check_same_config(folder: StageFolder, config: Config, stage: Stage, may_differ: tuple[str, ...]) -> None:
    try:
        before = yaml.safe_load(folder.config.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, ValueError, KeyError, RecursionError) as error:
        raise CheckpointError(f"{folder.config}: cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(before, dict):
        raise CheckpointError(f"{folder.config}: is empty or damaged; restore it, or set run.output to another folder")
    with contextlib.suppress(ConfigError):  # settings that came later are as their defaults: nothing else was there
        before = to_dict(load_config(folder.config))
    may_differ = tuple(key.format(stage=stage.folder) for key in may_differ)
    old, new = _flat(before), _flat(to_dict(config))
    differing = [
        key
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
        and key.startswith(("run.", "model.", f"{stage.folder}."))
        and not any(key == free or key.startswith(f"{free}.") for free in may_differ)
    ]
    if differing:
        shown = "; ".join(f"{k} was {old.get(k)!r}, is {new.get(k)!r}" for k in differing[:3])
        raise CheckpointError(
            f"{folder.path}: holds a run of another config ({shown}); restore it, or set run.output to another folder"
        )


def _flat(values: Any, where: str = "") -> dict[str, Any]:
    if not isinstance(values, dict) or not values:
        return {where: values}
    return {k: v for key, sub in values.items() for k, v in _flat(sub, f"{where}.{key}".lstrip(".")).items()}
