"""`lingualift-ds evaluate`: a model's exact answers on local benchmark files, per language and resource level.

lingualift-ds evaluate --model runs/NAME/stage2 --tasks mgsm,xnli --data DIR --output DIR
"""

import argparse
import importlib.util
import os
import sys
from pathlib import Path

from lingualift_ds.cli.errors import leave_at_once_when_told, run_command
from lingualift_ds.cli.peers import Peers
from lingualift_ds.config.schema import WatchdogConfig
from lingualift_ds.errors import ConfigError, DataError
from lingualift_ds.log import quiet_libraries, rank

_LIMITS = {"asking": 3600.0}
"""Seconds that one batch of questions may take."""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `evaluate`."""
    parser = subparsers.add_parser("evaluate", help="exact answers of a model on benchmarks, per language")
    add_arguments(parser)
    parser.set_defaults(run=run)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What both `lingualift-ds evaluate` and launch/evaluate.py take."""
    parser.add_argument(
        "--model", required=True, metavar="DIR", help="a run, an exported model, or any causal LM's folder (plain text)"
    )
    parser.add_argument("--tasks", required=True, metavar="A,B", help="benchmarks, such as mgsm,xnli,jsonl")
    parser.add_argument(
        "--data",
        required=True,
        action="append",
        metavar="[TASK=]DIR",
        help="folder of all tasks, or with a folder of each; TASK=DIR for a task elsewhere; may be repeated",
    )
    parser.add_argument("--output", required=True, type=_folder, metavar="DIR", help="results, and what a resume needs")
    parser.add_argument("--languages", metavar="sw,hi", help="codes; all languages of the folders without it")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N questions a language")
    parser.add_argument("--batch-size", type=int, default=32, metavar="N", help="questions at a time, a process (32)")
    parser.add_argument("--max-new-tokens", type=int, default=256, metavar="N", help="longest answer (256)")
    parser.add_argument("--name", help="what reports call the model; the output folder's name without it")


def _folder(told: str) -> Path:
    if not told.strip():
        raise argparse.ArgumentTypeError("names no folder")
    return Path(told)


def main(argv: list[str] | None = None) -> int:
    """launch/evaluate.py: the same under a launcher, each process with a share of the questions."""
    parser = argparse.ArgumentParser(prog="launch/evaluate.py", description=__doc__)
    add_arguments(parser)
    parser.add_argument("--traceback", action="store_true", help="show where an error was raised")
    parser.add_argument("--local_rank", type=int, help=argparse.SUPPRESS)  # DeepSpeed's launcher adds it
    arguments = parser.parse_args(argv)
    quiet_libraries()
    leave_at_once_when_told()
    return run_command(lambda: run(arguments), arguments.traceback, Peers())


def run(arguments: argparse.Namespace) -> int:
    """Evaluate and print the tables. What a user got wrong is raised before the model is loaded."""
    for name in ("batch_size", "max_new_tokens"):
        if getattr(arguments, name) < 1:
            raise ConfigError(f"--{name.replace('_', '-')} {getattr(arguments, name)}: must be at least 1")
    tasks = list(dict.fromkeys(task.strip() for task in arguments.tasks.split(",") if task.strip()))
    languages = None
    if arguments.languages is not None:
        languages = [code.strip() for code in arguments.languages.split(",") if code.strip()]
        if not languages:
            raise ConfigError("--languages: names no language")
    if not tasks:
        raise ConfigError("--tasks: names no task")
    data = data_folders(arguments.data, tasks)
    from lingualift_ds.evaluate.benchmarks import load_benchmark
    from lingualift_ds.evaluate.levels import resource_levels

    for task, folder in data.items():
        resource_levels(folder, load_benchmark(task, folder, languages, arguments.limit))
    if importlib.util.find_spec("lm_eval") is None:
        raise ConfigError("evaluate: lm-evaluation-harness is not installed; pip install 'lingualift_ds[eval]'")
    check_output(arguments.output)
    try:
        arguments.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{arguments.output}: cannot be written: {error.strerror}") from None
    os.environ.setdefault("TQDM_DISABLE", "1")  # read when tqdm is imported; our own lines tell of the progress
    from lingualift_ds import dist
    from lingualift_ds.evaluate.harness.run import Plan, evaluate
    from lingualift_ds.evaluate.harness.scores import format_table

    name = arguments.name or arguments.output.resolve().name
    plan = Plan(
        arguments.model, data, arguments.output, name, languages, arguments.limit, arguments.batch_size,
        arguments.max_new_tokens,
    )  # fmt: skip
    place = dist.read_place()
    with dist.watched(place, dist.meet(place), _LIMITS, WatchdogConfig().silence_seconds):
        results = evaluate(plan)
    if rank() == 0:
        for task in tasks:
            table = format_table(results["tasks"][task]["languages"])
            sys.stdout.write(f"{task}, {results['tasks'][task]['metric']}s in percent\n{table}\n")
    dist.disconnect()
    return 0


def check_output(output: Path) -> None:
    """Raise DataError for a folder that holds anything but an evaluation."""
    if output.is_dir() and any(output.iterdir()) and not (output / "evaluation.json").is_file():
        raise DataError(f"{output}: is not empty and holds no evaluation; name a new folder")


def data_folders(told: list[str], tasks: list[str]) -> dict[str, Path]:
    """The folder of each task: that of TASK=DIR, else DIR/TASK where it is there, else DIR. Raises ConfigError."""
    of_all: list[str] = []
    of_task: dict[str, Path] = {}
    for entry in told:
        task, equals, folder = entry.partition("=")
        if equals and task in tasks:
            of_task[task] = Path(folder)
        elif equals and not Path(entry).is_dir():
            raise ConfigError(f"--data {entry}: {task!r} is none of --tasks {','.join(tasks)}")
        else:
            of_all.append(entry)
    if len(of_all) > 1:
        raise ConfigError(f"--data {', '.join(of_all)}: one folder serves all tasks; name others as TASK=DIR")
    without = [task for task in tasks if task not in of_task]
    if without and not of_all:
        raise ConfigError(f"--data: no folder for {', '.join(without)}; add --data DIR, or --data {without[0]}=DIR")
    for task in without:
        inner = Path(of_all[0]) / task
        of_task[task] = inner if inner.is_dir() else Path(of_all[0])
    return {task: of_task[task] for task in tasks}
