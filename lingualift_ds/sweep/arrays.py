"""A sweep on Slurm: an array of jobs a level, where a level needs the ones before it alone.

OUTPUT/slurm/level-N.jobs      a line a job, shell words: what launch/slurm/sweep.sbatch runs
OUTPUT/slurm/level-N.sbatch    that script with the site's options
"""

import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lingualift_ds.data.atomic import write_aside
from lingualift_ds.errors import LaunchError
from lingualift_ds.sweep.plan import Job
from lingualift_ds.train import slurm


@dataclass(frozen=True)
class Level:
    """An array: its script and its jobs, a line each."""

    number: int
    script: Path
    lines: Path
    jobs: tuple[Job, ...]
    options: Mapping[str, str]

    def render(self, after: str | None) -> str:
        """The batch script, to start when array `after` has ended, however it ended. Raises ConfigError."""
        options = {**self.options, "array": f"0-{len(self.jobs) - 1}"}
        options |= {"dependency": f"afterany:{after}"} if after else {}
        return slurm.render(slurm.Job("sweep", (str(self.lines),), options))

    @property
    def text(self) -> str:
        """The lines that the script reads."""
        return "".join(shlex.join(_words(job)) + "\n" for job in self.jobs)


def make_levels(jobs: Sequence[Job], output: Path, options: Mapping[str, str]) -> list[Level]:
    """Jobs by how many others must end before them; what a job needs and is not among them is done."""
    depth: dict[str, int] = {}
    for job in jobs:  # none stands before what it needs
        depth[job.name] = max((depth[name] + 1 for name in job.needs if name in depth), default=0)
    levels = []
    for number in sorted(set(depth.values())):
        path = output / f"slurm/level-{number}.sbatch"
        of_level = tuple(job for job in jobs if depth[job.name] == number)
        levels.append(Level(number, path, path.with_suffix(".jobs"), of_level, options))
    return levels


def submit(levels: Sequence[Level]) -> list[str]:
    """Submit all levels, each after the one before; returns the ids of the arrays. Raises UserErrors."""
    if shutil.which("sbatch") is None:
        raise LaunchError("sweep: sbatch was not found; run it on a login node of the cluster, or add --dry-run")
    slurm.LOGS.mkdir(parents=True, exist_ok=True)  # Slurm makes no folder for the logs
    ids: list[str] = []
    for level in levels:
        write_aside(level.lines, level.text)
        write_aside(level.script, level.render(ids[-1] if ids else None))
        command = ["sbatch", "--parsable", str(level.script), str(level.lines)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            before = f"; submitted before: {', '.join(ids)} (scancel ends them)" if ids else ""
            raise LaunchError(
                f"sweep: sbatch ended with exit code {done.returncode}: {' '.join(done.stderr.split())}{before}"
            )
        ids.append(done.stdout.strip().partition(";")[0])
    return ids


def _words(job: Job) -> list[str]:
    """What launch/slurm/sweep.sbatch makes of a job: train STAGE RECIPE ..., evaluate OUTPUT ..., or alone ..."""
    if job.kind == "stage":
        _, _, stage, _, recipe, *overrides = job.script
        return ["train", stage, recipe, *overrides]
    if job.kind == "evaluation" and job.made is not None:
        return ["evaluate", str(job.made), *job.script[1:]]
    return ["alone", *job.script]
