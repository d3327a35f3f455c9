"""`lingualift-ds sweep`: a grid of arms and seeds, trained, evaluated and reported by one command.

lingualift-ds sweep launch/recipes/sweeps/miniature.yaml --jobs 2
"""

import argparse
import importlib.util
import shlex
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from lingualift_ds.errors import ConfigError, DataError, Interrupted
from lingualift_ds.log import get_logger

if TYPE_CHECKING:
    from lingualift_ds.sweep.arms import Sweep
    from lingualift_ds.sweep.plan import Job, Plan

_EPILOG = (
    "A cell, an arm at a seed, is a run folder OUTPUT/ARM/seedN. Cells that share a stage train it once. What is done "
    "is not done again: the same command goes on where it was ended. The file's keys are in "
    "lingualift_ds/sweep/schema.py."
)
_logger = get_logger(__name__)


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `sweep`."""
    parser = subparsers.add_parser("sweep", help="train and evaluate a grid of arms and seeds", epilog=_EPILOG)
    parser.add_argument("file", type=Path, metavar="FILE.yaml", help="arms, seeds, what is evaluated, figures")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="jobs side by side (1)")
    parser.add_argument("--only", metavar="ARM,ARM", help="these arms alone, and what they start from")
    parser.add_argument("--dry-run", action="store_true", help="print cells, what is shared, and all commands")
    parser.add_argument(
        "--launcher",
        default="",
        metavar="WORDS",
        help='starts each training and evaluation, such as "torchrun --nproc_per_node 8 --master_port {port}"; without '
        "it python, or deepspeed where a job has several GPUs",
    )
    parser.add_argument("--slurm", action="store_true", help="submit everything as arrays of jobs")
    parser.add_argument("--nodes", type=int, default=1, metavar="N", help="with --slurm: nodes a job (1)")
    parser.add_argument("--gpus-per-node", type=int, metavar="G", help="with --slurm: GPUs, and so tasks, a node")
    parser.add_argument("--time", metavar="T", help="with --slurm: time limit of a job, such as 12:00:00")
    parser.set_defaults(run=run, after=None)


def run(arguments: argparse.Namespace) -> int:
    """Check everything, then run, submit or show it. Raises UserErrors before anything is started."""
    from lingualift_ds.sweep.arms import read_sweep
    from lingualift_ds.sweep.cells import make_cells
    from lingualift_ds.sweep.devices import make_slots
    from lingualift_ds.sweep.plan import check_unchanged, make_plan
    from lingualift_ds.sweep.record import asked_before, claim, owned_folders, write_record
    from lingualift_ds.sweep.schedule import run_jobs
    from lingualift_ds.sweep.summary import commands, counted, describe, failed

    sweep = read_sweep(arguments.file)
    only = _only(arguments.only, [arm.key for arm in sweep.arms])
    keys = [arm.key for arm in sweep.arms] if only is None else only
    cells = make_cells(sweep, () if arguments.dry_run else keys)
    plan = make_plan(sweep, cells, owned_folders(sweep.output))
    if not arguments.dry_run:
        _check_questions(sweep)
    check_unchanged(plan, asked_before(sweep.output))
    jobs = plan.needed(only)
    if arguments.slurm:
        return _slurm(arguments, plan, jobs)
    slots = make_slots(arguments.jobs, tuple(shlex.split(arguments.launcher)))
    if arguments.dry_run:
        sys.stdout.write(describe(plan, jobs) + commands(jobs, slots[0]))
        return 0
    with claim(sweep.output):
        write_record(plan)
        _logger.info("%s: %s; %d at a time", sweep.output, counted(jobs) or "nothing left to do", len(slots))
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _leave)
        failures = run_jobs(jobs, slots)
    if failures:
        sys.stdout.write(failed(failures, len(jobs)))
        return 1
    cells = sum(only is None or cell.arm.key in only for cell in plan.cells)
    sys.stdout.write(f"{sweep.output}: {cells} cells are evaluated\n")
    return 0


def _leave(number: int, frame: object) -> NoReturn:
    raise Interrupted(f"told to leave: {signal.Signals(number).name}; the same command goes on from here")


def _only(text: str | None, arms: list[str]) -> list[str] | None:
    if text is None:
        return None
    told = [arm.strip() for arm in text.split(",") if arm.strip()]
    unknown = [arm for arm in told if arm not in arms]
    if unknown or not told:
        raise ConfigError(f"--only {text}: no arm {', '.join(unknown) or 'named'}; there are {', '.join(arms)}")
    return told


def _check_questions(sweep: "Sweep") -> None:
    """Raise ConfigError where the evaluations could not start, as far as their questions are there already."""
    from lingualift_ds.cli.evaluate import data_folders
    from lingualift_ds.evaluate.benchmarks import TASKS, load_benchmark

    if importlib.util.find_spec("lm_eval") is None:
        raise ConfigError("evaluate: lm-evaluation-harness is not installed; pip install 'lingualift_ds[eval]'")
    asked, problems = sweep.config.evaluate, {}
    for task in asked.tasks:
        if task not in TASKS:
            problems[f"evaluate.tasks: no task {task!r}; the tasks are {', '.join(TASKS)}"] = None
    for seed in sweep.config.seeds if not problems else ():
        built = (sweep.miniature(seed) / "recipe.yaml").is_file()
        try:
            for task, folder in data_folders(sweep.filled(asked.data, seed), list(asked.tasks)).items():
                if built or not folder.is_relative_to(sweep.miniature(seed)):
                    load_benchmark(task, folder, list(asked.languages) or None, asked.limit)
        except (ConfigError, DataError) as error:
            problems[f"evaluate: {error}"] = None
    if problems:
        raise ConfigError(*[f"{sweep.path}: {p}" for p in problems])


def _slurm(arguments: argparse.Namespace, plan: "Plan", jobs: "list[Job]") -> int:
    """Submit the jobs as arrays, or show them. Raises ConfigError and LaunchError."""
    from lingualift_ds.cli.slurm import sbatch_options
    from lingualift_ds.sweep.arrays import make_levels, submit
    from lingualift_ds.sweep.record import write_record
    from lingualift_ds.sweep.summary import counted, describe

    levels = make_levels(jobs, plan.sweep.output, sbatch_options(arguments))
    if not arguments.dry_run:
        write_record(plan)
        for level, number in zip(levels, submit(levels)):
            sys.stdout.write(f"level {level.number}: array {number}, {counted(level.jobs)}\n")
        sys.stdout.write("once they have ended, and not before, the same command submits what is left\n")
        return 0
    sys.stdout.write(describe(plan, jobs))
    for level in levels:
        after = f", after level {level.number - 1}" if level.number else ""
        sys.stdout.write(f"\n# level {level.number}{after}: {counted(level.jobs)}; {level.lines}\n{level.text}")
    for level in levels[:1]:
        sys.stdout.write(f"\n# {level.script}; that of a later level has its own --array and --dependency\n")
        sys.stdout.write(level.render(None))
    return 0
