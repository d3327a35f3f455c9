"""`lingualift-ds lexicon report`: what bilingual lexicons hold, how they were cleaned, and what looks wrong with them.

lingualift-ds lexicon report lexicons/en-sw.txt --corpus train.jsonl
"""

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from lingualift_ds.data.lexicon import STEPS, Columns, check_unclean, find_lexicons
from lingualift_ds.data.lexicon.report import LexiconReport, count_words, make_report, report_document, report_lines
from lingualift_ds.data.sources import Bad, open_source
from lingualift_ds.errors import ConfigError

_EPILOG = "\n".join(
    [
        "cleaning steps, all taken without --unclean:",
        *(f"  {name:<12} {step.does}" for name, step in STEPS.items()),
        "",
        "Exit code: 0 where nothing looks wrong, 1 where there is a warning, 2 where a lexicon cannot be read.",
    ]
)


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `lexicon`, whose only action so far is `report`."""
    parser = subparsers.add_parser("lexicon", help="look at bilingual lexicons: size, coverage, dirt, wrong languages")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    report = actions.add_parser(
        "report",
        help="what lexicons hold, what was dropped and why, and warnings",
        description="What lexicons hold, what was dropped and why, and whether they look like their language.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    report.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="word lists named as en-sw.txt, sw.json or eng-swh.tsv.gz, folders of them, or sw=FILE; those of one "
        "language are read as one lexicon",
    )
    report.add_argument("--corpus", metavar="ENGLISH", help="measure how much of this English text they cover")
    report.add_argument("--language", metavar="CODE", help="the language of all FILEs, whatever their names say")
    report.add_argument(
        "--columns",
        metavar="english=A,translation=B[,frequency=C]",
        help="columns of tables or keys of JSON, by name or by number from 1 (default: by their names)",
    )
    report.add_argument("--unclean", metavar="STEP,...", help="cleaning steps to leave out")
    report.add_argument("--json", action="store_true", help="one JSON document instead of text")
    report.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the reports; 1 where there is a warning. Raises ConfigError or DataError."""
    unclean = [step.strip() for step in args.unclean.split(",")] if args.unclean is not None else []
    if args.unclean is not None and not any(unclean):
        raise ConfigError(f"--unclean {args.unclean!r}: names nothing; steps such as case,script are needed")
    check_unclean(unclean)
    columns = Columns.parse(args.columns) if args.columns is not None else None
    found = find_lexicons(*_named(args.files, args.language))
    words = _read_corpus(args.corpus) if args.corpus is not None else None
    reports = [make_report(paths, language, words, columns, unclean) for language, paths in found.items()]
    if args.json:
        _print([json.dumps([report_document(report) for report in reports], ensure_ascii=False, indent=2)])
    else:
        _print(_text(reports))
    return 1 if any(report.warnings for report in reports) else 0


def _named(files: list[str], language: str | None) -> tuple[list[str], list[str] | None]:
    """Files and languages as `find_lexicons` takes them."""
    if language is None:
        return files, None
    return [file if Path(file).is_dir() else f"{language}={file}" for file in files], [language]


def _read_corpus(path: str) -> Counter[str]:
    """Word counts of an English text; rows that cannot be used count for nothing."""
    rows = (row for block in open_source([path]).blocks() for row in block.rows())
    return count_words(row.text for row in rows if not isinstance(row, Bad))


def _text(reports: Iterable[LexiconReport]) -> list[str]:
    lines = [line for report in reports for line in [*report_lines(report), ""]]
    return ["".join(c if c.isprintable() else "?" for c in line) for line in lines[:-1]]


def _print(lines: Iterable[str]) -> None:
    try:
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
