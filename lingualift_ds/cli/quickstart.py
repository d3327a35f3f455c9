"""`lingualift-ds quickstart`: what `bash launch/quickstart.sh` runs once the environment stands."""

import argparse
import sys
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `quickstart`."""
    parser = subparsers.add_parser("quickstart", help="the miniature through both stages, compared, with pictures")
    parser.add_argument("--output", type=Path, default=Path("runs/quickstart"), metavar="DIR")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument(
        "--rehearse", action="store_true", help="every part, with random stand-ins and two steps: is all in order?"
    )
    parser.add_argument("--setup-seconds", type=float, help=argparse.SUPPRESS)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run all parts, print the table and where the pictures are."""
    from lingualift_ds.miniature.quickstart import Quickstart, format_results

    quickstart = Quickstart(arguments.output, arguments.seed, arguments.setup_seconds, arguments.rehearse)
    results = quickstart.run()
    sys.stdout.write(
        f"\n{format_results(results)}\n\nresults:  {arguments.output / 'results.json'}\n"
        f"pictures: {arguments.output / 'accuracy.png'}, {arguments.output / 'loss.png'}, "
        f"{arguments.output / 'geometry/geometry.png'}\n"
        f"took {results['seconds']['total']:.0f} s in all\n"
        f"open this in a browser: {(arguments.output / 'report/report.html').absolute()}\n"
    )
    return 0
