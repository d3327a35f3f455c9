"""`lingualift-ds`: the command line beside launch/train.py."""

import argparse
import sys

from lingualift_ds import __version__
from lingualift_ds.cli import (
    check,
    codeswitch,
    doctor,
    evaluate,
    export,
    generate,
    geometry,
    inspect,
    lexicon,
    lm_eval,
    miniature,
    prepare,
    quickstart,
    random_models,
    report,
    slurm,
    sweep,
)
from lingualift_ds.cli.errors import run_command
from lingualift_ds.log import quiet_libraries

COMMANDS = (
    check,
    codeswitch,
    doctor,
    evaluate,
    export,
    generate,
    geometry,
    inspect,
    lexicon,
    lm_eval,
    miniature,
    prepare,
    quickstart,
    random_models,
    report,
    slurm,
    sweep,
)


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="lingualift-ds", description="LinguaLIFT on DeepSpeed")
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--traceback", action="store_true", help="show where an error was raised")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(subparsers)
    arguments = parser.parse_args(argv)
    quiet_libraries()
    return run_command(lambda: arguments.run(arguments), arguments.traceback)


if __name__ == "__main__":
    sys.exit(main())
