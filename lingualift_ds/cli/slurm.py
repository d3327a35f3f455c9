"""`lingualift-ds slurm`: submit the batch scripts of launch/slurm with your cluster's options (launch/slurm/site.env).

lingualift-ds slurm --nodes 4 --gpus-per-node 8 stage1 launch/recipes/NAME.yaml [key.path=value ...]
lingualift-ds slurm --gpus-per-node 8 --dry-run array launch/recipes/NAME.yaml launch/slurm/ablations.txt
lingualift-ds slurm --gpus-per-node 8 evaluate --model runs/NAME --tasks mgsm --data DIR --output OUT
"""

import argparse
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from lingualift_ds.cli.errors import run_command
from lingualift_ds.config.load import load_config
from lingualift_ds.errors import ConfigError, LaunchError

_TIME = re.compile(r"\d+(:\d\d){0,2}|\d+-\d+(:\d\d){0,2}")


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `slurm`."""
    parser = subparsers.add_parser("slurm", help="submit the batch scripts of launch/slurm, or show them")
    parser.add_argument("--nodes", type=int, default=1, metavar="N", help="nodes (1)")
    parser.add_argument("--gpus-per-node", type=int, metavar="G", help="GPUs, and so tasks, a node")
    parser.add_argument("--time", metavar="T", help="time limit, such as 12:00:00 or 2-00:00:00")
    parser.add_argument("--after", metavar="JOBID", help="start when this job has ended, however it ended")
    parser.add_argument("--dry-run", action="store_true", help="print the script and the command line; submit nothing")
    parser.add_argument("script", choices=("stage1", "stage2", "both", "evaluate", "array"))
    parser.add_argument(
        "arguments",
        nargs=argparse.REMAINDER,
        metavar="...",
        help="RECIPE [key.path=value ...]; of array, RECIPE ARMS [...]; of evaluate, what launch/evaluate.py takes",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Check, render, and submit or print. Raises UserErrors."""
    from lingualift_ds.train import slurm

    script, told = arguments.script, tuple(arguments.arguments)
    options = sbatch_options(arguments)
    if script == "evaluate":
        _check_evaluate(told)
    else:
        arms = _check_training(script, told, files=not arguments.dry_run, waits=arguments.after is not None)
        options |= {"array": f"0-{arms - 1}"} if arms else {}
    text = slurm.render(slurm.Job(script, told, options))
    path = slurm.LOGS / f"{script}.sbatch"
    command = ["sbatch", str(path), *told]
    if arguments.dry_run:
        sys.stdout.write(f"{text}\n# {path}, submitted by\n# {shlex.join(command)}\n")
        return 0
    if shutil.which("sbatch") is None:
        raise LaunchError("slurm: sbatch was not found; run it on a login node of the cluster, or add --dry-run")
    path.parent.mkdir(parents=True, exist_ok=True)  # Slurm makes no folder for the logs
    path.write_text(text, encoding="utf-8")
    code = subprocess.run(command).returncode
    if code:
        raise LaunchError(f"slurm: sbatch ended with exit code {code}: {shlex.join(command)}")
    return 0


def sbatch_options(arguments: argparse.Namespace) -> dict[str, str]:
    options = {"nodes": str(arguments.nodes)}
    for name in ("nodes", "gpus_per_node"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise ConfigError(f"--{name.replace('_', '-')} {value}: must be at least 1")
    if arguments.gpus_per_node is not None:
        options["gpus-per-node"] = str(arguments.gpus_per_node)
    if arguments.time is not None:
        if not _TIME.fullmatch(arguments.time):
            raise ConfigError(f"--time {arguments.time}: must be minutes, H:MM:SS or D-HH:MM:SS")
        options["time"] = arguments.time
    if arguments.after is not None:
        if not re.fullmatch(r"\d+(_\d+)?", arguments.after):
            raise ConfigError(f"--after {arguments.after}: must be the number of a job, such as 4711")
        options["dependency"] = f"afterany:{arguments.after}"
    return options


def _check_training(script: str, told: tuple[str, ...], files: bool, waits: bool) -> int:
    """Check the recipe for every stage of the script, and of every arm; returns the number of arms."""
    from lingualift_ds.train import slurm
    from lingualift_ds.train.stages import check_stage, stage_of

    needed = 2 if script == "array" else 1
    for word in told[:needed]:
        if word.startswith("-") or "=" in word:
            raise ConfigError(f"slurm {script}: {word}: options stand before {script}, settings after its files")
    if len(told) < needed:
        raise ConfigError(f"slurm {script}: name a recipe{' and a file of arms' if needed == 2 else ''}")
    recipe, overrides = told[0], list(told[needed:])
    arms = slurm.read_arms(Path(told[1])) if script == "array" else {}
    for settings in arms.values() or [()]:
        config = load_config(recipe, [*overrides, *settings])
        for number in slurm.SCRIPTS[script] or config.stages:
            check_stage(config, stage_of(config, number), recipe, files)
    if script == "stage2" and files and not waits:
        slurm.check_start(config, stage_of(config, 2))
    return len(arms)


def _check_evaluate(told: tuple[str, ...]) -> None:
    from lingualift_ds.cli.evaluate import add_arguments

    parser = argparse.ArgumentParser(prog="lingualift-ds slurm evaluate", allow_abbrev=False)
    add_arguments(parser)
    parser.parse_args(told)


def main(argv: list[str] | None = None) -> int:
    """What the batch scripts ask: STAGE RECIPE [key.path=value ...] prints the stage's folder, if it may start; with
    `all` as STAGE, the numbers of the stages that the recipe states."""
    parser = argparse.ArgumentParser(prog="lingualift_ds.cli.slurm", description=main.__doc__)
    parser.add_argument("stage")
    parser.add_argument("recipe")
    parser.add_argument("overrides", nargs="*")
    arguments = parser.parse_args(argv)
    return run_command(lambda: _print_folder(arguments))


def _print_folder(arguments: argparse.Namespace) -> int:
    from lingualift_ds.train.slurm import check_start
    from lingualift_ds.train.stages import check_stage, find_stage

    config = load_config(arguments.recipe, arguments.overrides)
    if arguments.stage == "all":
        sys.stdout.write(f"{' '.join(map(str, config.stages))}\n")
        return 0
    stage = find_stage(config, arguments.stage)
    check_stage(config, stage, arguments.recipe)
    sys.stdout.write(f"{check_start(config, stage).path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
