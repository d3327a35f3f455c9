"""`lingualift-ds report`: results folders side by side, or a sweep's figures, as a table here and as files to keep.

lingualift-ds report runs/eval-base runs/eval --names base,LinguaLIFT
lingualift-ds report runs/sweep
"""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from lingualift_ds.errors import ConfigError
from lingualift_ds.log import get_logger

_MOST = 8
"""Results side by side: as many as there are colours and markers that all eyes tell apart."""
_EPILOG = (
    "Several results are held against the first one; what got worse stands first. Written are report.html (one page, "
    "opens anywhere), report.md, results.csv, means.csv, deltas.csv, accuracy.png and fertility.png. The "
    "folder of a sweep gives sweep.html, sweep.md, sweep.csv and a picture for each of its figures and tasks."
)
_logger = get_logger(__name__)


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `report`."""
    parser = subparsers.add_parser(
        "report", help="tables, pictures and one page of results; several side by side", epilog=_EPILOG
    )
    parser.add_argument(
        "folders",
        nargs="+",
        type=Path,
        metavar="DIR",
        help="what `evaluate --output` wrote (the first is the baseline), or one that `sweep` wrote",
    )
    parser.add_argument(
        "--output", type=Path, metavar="OUT", help="folder of the report's files (the first DIR; of a sweep DIR/report)"
    )
    parser.add_argument("--names", metavar="A,B", help="what to call the results (as they call themselves)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Read, compare, write the files and print the table. Raises ConfigError and DataError."""
    from lingualift_ds.cli.preview import uses_colour
    from lingualift_ds.evaluate.report.comparison import compare
    from lingualift_ds.evaluate.report.files import check_output, write_report
    from lingualift_ds.evaluate.report.results import check_comparable, read_results
    from lingualift_ds.evaluate.report.sweep.reading import FILE as SWEEP
    from lingualift_ds.evaluate.report.table import to_terminal

    sweep = next((folder for folder in arguments.folders if (folder / SWEEP).is_file()), None)
    if sweep is not None:
        return _run_sweep(sweep, arguments)
    names = _names(arguments.names, arguments.folders)
    output = arguments.output or arguments.folders[0]
    check_output(output)
    results = [read_results(folder, name) for folder, name in zip(arguments.folders, names)]
    called = [one.name for one in results]
    twice = next((name for name in called if called.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"two results are called {twice!r}; tell them apart by --names A,B")
    check_comparable(results)
    comparisons = compare(results)
    written = write_report(results, comparisons, output)
    _print(to_terminal(results, comparisons, uses_colour(sys.stdout)))
    _logger.info(f"written: {', '.join(map(str, written))}")
    return 0


def _run_sweep(folder: Path, arguments: argparse.Namespace) -> int:
    """The report on a sweep's folder. Raises ConfigError and DataError."""
    from lingualift_ds.cli.preview import uses_colour
    from lingualift_ds.evaluate.report.sweep.comparison import compare_sweep
    from lingualift_ds.evaluate.report.sweep.files import write_sweep
    from lingualift_ds.evaluate.report.sweep.reading import FILE, read_sweep
    from lingualift_ds.evaluate.report.sweep.table import to_terminal

    if len(arguments.folders) > 1:
        raise ConfigError(
            f"{folder} is the folder of a sweep: it is reported alone; {len(arguments.folders)} DIR given"
        )
    if arguments.names is not None:
        raise ConfigError(f"--names: {folder} is the folder of a sweep, whose arms have names in {FILE}")
    command = ["lingualift-ds", "report", str(folder)]
    command += ["--output", str(arguments.output)] if arguments.output else []
    sweep = read_sweep(folder)
    comparisons, made_by = compare_sweep(sweep), shlex.join(command)
    written = write_sweep(sweep, comparisons, made_by, arguments.output or folder / "report")
    _print(to_terminal(sweep, comparisons, made_by, uses_colour(sys.stdout)))
    _logger.info(f"written: {', '.join(map(str, written))}")
    return 0


def _names(text: str | None, folders: Sequence[Path]) -> list[str | None]:
    """A name a folder, None where it calls itself. Raises ConfigError."""
    if len(folders) > _MOST:
        raise ConfigError(f"{len(folders)} results: at most {_MOST} can be told apart side by side")
    if text is None:
        return [None] * len(folders)
    names = [name.strip() for name in text.split(",")]
    if len(names) != len(folders) or not all(names):
        raise ConfigError(f"--names {text!r}: {len(folders)} names are needed, one for each DIR, separated by commas")
    return names


def _print(text: str) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
