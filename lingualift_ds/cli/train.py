"""`launch/train.py`: train one stage, under deepspeed, torchrun, srun or plain python."""

import argparse
import os

from lingualift_ds.cli.errors import finish_undisturbed, leave_at_once_when_told, run_command
from lingualift_ds.cli.peers import Peers
from lingualift_ds.config.load import load_config
from lingualift_ds.errors import ConfigError
from lingualift_ds.log import rank


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The arguments; `--local_rank` is what DeepSpeed's launcher adds, and is read from the environment."""
    parser = argparse.ArgumentParser(prog="launch/train.py", description=__doc__)
    parser.add_argument("--stage", required=True, help="1 (language-align) or 2 (task-transfer)")
    parser.add_argument("--config", help="a recipe; without one, the embedded miniature, built where it is absent")
    parser.add_argument("--resume", default="auto", choices=("auto", "must", "never"))
    parser.add_argument("--resume-step", type=int, metavar="N", help="go on from the checkpoint of this step, or fail")
    parser.add_argument("--profile", type=int, default=0, metavar="N", help="trace N steps for a browser viewer")
    parser.add_argument("--traceback", action="store_true", help="show where an error was raised")
    parser.add_argument("--local_rank", type=int, help=argparse.SUPPRESS)
    parser.add_argument("overrides", nargs="*", metavar="key.path=value", help="settings that override the recipe")
    return parser.parse_intermixed_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Parse, check, build, fit. Returns the exit code."""
    arguments = parse(argv)
    leave_at_once_when_told()
    return run_command(lambda: _train(arguments), arguments.traceback, Peers())


def _train(arguments: argparse.Namespace) -> None:
    from lingualift_ds.train.stages import find_stage

    if arguments.profile < 0:
        raise ConfigError(f"--profile {arguments.profile}: must be at least 0 steps")
    path = arguments.config or _miniature()
    config = load_config(path, arguments.overrides)
    stage = find_stage(config, arguments.stage)
    _choose_threads()
    from lingualift_ds import dist
    from lingualift_ds.train.run import run_stage

    run_stage(config, stage, arguments.resume, str(path), arguments.profile, arguments.resume_step)
    finish_undisturbed()
    dist.disconnect()


def _miniature() -> str:
    """The recipe of the embedded miniature in runs/miniature, built by one process while the others wait."""
    from lingualift_ds.miniature.build import ensure_miniature

    return str(ensure_miniature(builds=rank() == 0))


def _choose_threads() -> None:
    """Share the cores among the local processes, unless the user said otherwise: without a GPU, ranks that each
    take all cores slow each other down."""
    if "OMP_NUM_THREADS" in os.environ:
        return
    # torchrun and DeepSpeed, which srun may have started once a node; srun alone, bound or not.
    told = (os.environ.get(key, "") for key in ("LOCAL_WORLD_SIZE", "LOCAL_SIZE"))
    local = next((int(n) for n in told if n.isdecimal()), None)
    bound, tasks = (os.environ.get(f"SLURM_{key}", "") for key in ("CPUS_PER_TASK", "NTASKS_PER_NODE"))
    if local is None and "SLURM_STEP_ID" in os.environ and bound.isdecimal():
        os.environ["OMP_NUM_THREADS"] = bound  # this task's own share already
        return
    local = local or (int(tasks) if tasks.isdecimal() else 1)
    os.environ["OMP_NUM_THREADS"] = str(max(1, len(os.sched_getaffinity(0)) // local))
