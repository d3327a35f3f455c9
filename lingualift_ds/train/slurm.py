"""Slurm jobs: whether a stage may start, and batch scripts with a site's options as #SBATCH lines.

The scripts themselves are launch/slurm/*.sbatch; what is particular to a cluster stands in launch/slurm/site.env.
"""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lingualift_ds.config.schema import Config
from lingualift_ds.errors import CheckpointError, ConfigError
from lingualift_ds.train.folder import StageFolder, stage_folder
from lingualift_ds.train.stages import Stage

SCRIPTS = {"stage1": (1,), "stage2": (2,), "both": None, "array": None, "evaluate": ()}
"""The batch scripts, and the stages that each trains; None: all that the recipe states."""
FOLDER, LOGS = Path("launch/slurm"), Path("runs/slurm")
_SITE_OPTIONS = {
    "SBATCH_ACCOUNT": "account",
    "SBATCH_PARTITION": "partition",
    "SBATCH_QOS": "qos",
    "SBATCH_CONSTRAINT": "constraint",
    "SBATCH_RESERVATION": "reservation",
    "SBATCH_TIMELIMIT": "time",
    "SBATCH_GPUS_PER_NODE": "gpus-per-node",
    "SBATCH_CPUS_PER_GPU": "cpus-per-gpu",
    "SBATCH_MEM_PER_NODE": "mem",
    "SBATCH_MEM_PER_GPU": "mem-per-gpu",
    "SBATCH_EXCLUSIVE": "exclusive",
}


@dataclass(frozen=True)
class Job:
    """A batch script with its arguments, and the options of sbatch that go over the site's."""

    script: str
    arguments: tuple[str, ...]
    options: dict[str, str]


def check_start(config: Config, stage: Stage) -> StageFolder:
    """The stage's folder. Raises CheckpointError where the stage it inherits from is not complete."""
    if isinstance(stage.start, int):
        before = StageFolder(Path(config.run.output) / f"stage{stage.start}")
        if not before.complete.is_file():
            raise CheckpointError(
                f"stage {stage.number}: {before.complete} is missing; train stage {stage.start} to its end, or "
                f"set {stage.folder}.start_from to an artefact's folder or to scratch"
            )
    return stage_folder(config, stage)


def site_options(path: Path) -> dict[str, str]:
    """sbatch's options that a site.env exports as SBATCH_*. Raises ConfigError."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("SBATCH_")}
    done = subprocess.run(
        ["bash", "-c", 'set -eu; . "$1"; env -0', "bash", str(path.resolve())],
        env=clean,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[0]
        raise ConfigError(f"{path}: cannot be sourced by bash: {said}")
    exported = dict(line.split("=", 1) for line in done.stdout.split("\0") if line.startswith("SBATCH_"))
    for name in exported.keys() - _SITE_OPTIONS.keys():
        raise ConfigError(f"{path}: {name}: not an option of these scripts; allowed: {', '.join(_SITE_OPTIONS)}")
    return {option: exported[name] for name, option in _SITE_OPTIONS.items() if exported.get(name)}


def read_arms(path: Path) -> dict[str, tuple[str, ...]]:
    """Arms of a file of ablations, name to settings: a line is a name and key=value settings. Raises ConfigError."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ConfigError(f"{path}: no file of arms ({reason}); see {FOLDER}/ablations.txt") from None
    arms: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if not re.fullmatch(r"[\w.-]+", words[0]) or words[0] in arms:
            raise ConfigError(f"{path}:{number}: {words[0]!r} is no new name of letters, digits, - and _")
        arms[words[0]] = tuple(words[1:])
    if not arms:
        raise ConfigError(f"{path}: has no arms; a line is a name and key=value settings")
    return arms


def render(job: Job) -> str:
    """The batch script with all options as #SBATCH lines, the job's over the site's. Raises ConfigError."""
    template = FOLDER / f"{job.script}.sbatch"
    if not template.is_file():
        raise ConfigError(f"{template}: not here; run it in the repository root")
    options = site_options(FOLDER / "site.env") | job.options
    if "gpus-per-node" not in options:
        raise ConfigError(f"--gpus-per-node: not given, nor SBATCH_GPUS_PER_NODE in {FOLDER}/site.env")
    ours = [f"#SBATCH --{name}={value}" for name, value in options.items()]
    lines = template.read_text(encoding="utf-8").splitlines()
    lines = [line for line in lines if not any(line.startswith(f"#SBATCH --{name}=") for name in options)]
    last = max(i for i, line in enumerate(lines) if line.startswith("#SBATCH"))
    return "\n".join([*lines[: last + 1], *ours, *lines[last + 1 :], ""])
