"""What a job gets of this machine: threads or GPUs, and the launcher that starts it there."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lingualift_ds.errors import ConfigError
from lingualift_ds.sweep.plan import Job


@dataclass(frozen=True)
class Slot:
    """The share of one of the jobs that run side by side.

    Attributes:
        threads: CPU threads of a job; 0: the job sees to that itself.
        gpus: names of its GPUs, as in CUDA_VISIBLE_DEVICES.
        launcher: words that start a training or an evaluation in place of ours, {port} among them where a free TCP port
            is to stand.
    """

    threads: int = 0
    gpus: tuple[str, ...] = ()
    launcher: tuple[str, ...] = ()

    def command(self, job: Job) -> list[str]:
        """The command line of a job."""
        script = list(job.script)
        if job.kind in ("stage", "evaluation"):
            if self.launcher:
                return [*(word.replace("{port}", str(_free_port())) for word in self.launcher), *script]
            if len(self.gpus) > 1:
                # Without --num_gpus, beside which DeepSpeed (0.19.8, launcher/runner.py) ignores CUDA_VISIBLE_DEVICES.
                deepspeed = Path(sys.executable).with_name("deepspeed")
                return [str(deepspeed), "--master_port", str(_free_port()), *script]
        return [sys.executable, *script]

    def environment(self) -> dict[str, str]:
        """The environment of a job. A user's own OMP_NUM_THREADS stands."""
        env = dict(os.environ)
        if self.threads:
            env.setdefault("OMP_NUM_THREADS", str(self.threads))
        return env | ({"CUDA_VISIBLE_DEVICES": ",".join(self.gpus)} if self.gpus else {})


def make_slots(jobs: int, launcher: tuple[str, ...] = ()) -> list[Slot]:
    """Equal shares for `jobs` jobs side by side. Raises ConfigError where there are fewer GPUs than jobs."""
    if jobs < 1:
        raise ConfigError(f"--jobs {jobs}: must be at least 1")
    gpus = visible_gpus()
    if 0 < len(gpus) < jobs:
        raise ConfigError(f"--jobs {jobs}: there are {len(gpus)} GPUs, and a job needs one; at most {len(gpus)}")
    each = len(gpus) // jobs
    threads = 0 if gpus or launcher else max(1, len(os.sched_getaffinity(0)) // jobs)
    return [Slot(threads, gpus[n * each : (n + 1) * each], launcher) for n in range(jobs)]


def visible_gpus(environment: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """GPUs that this process may use, as CUDA_VISIBLE_DEVICES or else nvidia-smi lists them."""
    env = os.environ if environment is None else environment
    if env.get("DS_ACCELERATOR", "cuda") != "cuda":
        return ()
    told = env.get("CUDA_VISIBLE_DEVICES")
    if told is not None:
        names = [name.strip() for name in told.split(",")]
        return tuple(name for name in names if name not in ("", "-1"))
    if shutil.which("nvidia-smi") is None:
        return ()
    done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("GPU ")]
    return tuple(str(number) for number in range(len(lines))) if done.returncode == 0 else ()


def _free_port() -> int:
    """A TCP port for ranks to meet at, so that jobs side by side do not meet each other's."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]
