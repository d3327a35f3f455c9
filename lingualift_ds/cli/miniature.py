"""`lingualift-ds miniature`: build the small world on which both stages can be watched in minutes.

lingualift-ds miniature --output runs/miniature --seed 0
"""

import argparse
import sys
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `miniature`."""
    parser = subparsers.add_parser("miniature", help="build the embedded demo: data, stand-in models, a recipe")
    parser.add_argument("--output", required=True, type=Path, metavar="DIR")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--no-pretrain", action="store_true", help="leave the stand-ins random: seconds, not minutes")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Build it and say how to go on."""
    from lingualift_ds.miniature.build import build_miniature

    recipe = build_miniature(arguments.output, arguments.seed, not arguments.no_pretrain)
    sys.stdout.write(f"next: deepspeed launch/train.py --stage 1 --config {recipe}\n")
    return 0
