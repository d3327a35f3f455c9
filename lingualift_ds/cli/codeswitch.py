"""`lingualift-ds codeswitch`: English text and lexicons in, Stage I records and a report out.

lingualift-ds codeswitch --input train.jsonl --lexicons DIR --languages sw,th --output stage1.jsonl
"""

import argparse
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lingualift_ds.data.codeswitch import CodeSwitcher, Switched, parse_ratio, stage1_record
from lingualift_ds.data.codeswitch.sentences import FIELDS, Row, find_names, read_rows, split_sentences
from lingualift_ds.data.jsonl import write_jsonl
from lingualift_ds.data.languages import language_name
from lingualift_ds.data.lexicon import DROP_REASONS, Lexicon, find_lexicons, read_lexicon
from lingualift_ds.errors import ConfigError, DataError
from lingualift_ds.log import get_logger

_logger = get_logger("codeswitch")


@dataclass
class Tally:
    """What came in and went out; the counters are per language."""

    rows: int = 0
    blank: int = 0
    records: Counter = field(default_factory=Counter)
    words: Counter = field(default_factory=Counter)
    switchable: Counter = field(default_factory=Counter)
    switched: Counter = field(default_factory=Counter)
    untouched: Counter = field(default_factory=Counter)

    def add(self, result: Switched) -> None:
        """Count one switched text."""
        language = result.language
        self.records[language] += 1
        self.words[language] += result.words
        self.switchable[language] += result.switchable
        self.switched[language] += len(result.switched)
        self.untouched[language] += not result.switched


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add the command `codeswitch`; its namespace carries `run`."""
    parser = subparsers.add_parser(
        "codeswitch",
        help="make Stage I data: code-switched English from text and lexicons",
        description="Make Stage I data: English text with words replaced from bilingual lexicons.",
    )
    parser.add_argument(
        "--input",
        required=True,
        type=Path,
        metavar="F",
        help="English: JSON lines (GSM8K, MetaMath, Alpaca shapes too), or .txt with a sentence a line",
    )
    parser.add_argument(
        "--lexicons",
        required=True,
        type=Path,
        metavar="DIR",
        help="folder of en-sw.txt, en-hi.tsv, sw.txt ...",
    )
    parser.add_argument("--languages", metavar="sw,hi", help="codes; all lexicons of the folder without it")
    parser.add_argument(
        "--ratio",
        default="0.5",
        metavar="R",
        help="share of the words in the lexicon that are switched: 0.5, or a range 0.3-1.0 (default 0.5)",
    )
    parser.add_argument("--seed", type=int, default=0, help="same seed, same output (default 0)")
    parser.add_argument(
        "--field", metavar="NAME", help=f"key that holds the English (default: first of {', '.join(FIELDS)})"
    )
    parser.add_argument("--split-sentences", action="store_true", help="a record a sentence, not a row")
    parser.add_argument("--output", required=True, type=Path, metavar="F", help="JSON lines of Stage I records")
    parser.set_defaults(run=run)
    return parser


def run(args: argparse.Namespace) -> int:
    """Write the records and report. Returns the exit code 0; raises ConfigError or DataError."""
    ratio = parse_ratio(args.ratio)
    languages = parse_languages(args.languages)
    paths = find_lexicons(args.lexicons, languages)
    for read in (args.input, *paths.values()):
        if args.output.exists() and read.exists() and os.path.samefile(read, args.output):
            raise DataError(f"{args.output}: is an input too; name another --output")
    for language in paths:
        language_name(language)  # an unknown code stops here, not at the first sample of that language
    lexicons = {language: read_lexicon(path, language) for language, path in paths.items()}
    if args.output.exists():
        _logger.info(f"{args.output} exists ({args.output.stat().st_size:,} bytes): it will be replaced")
    tally = Tally()
    switcher = CodeSwitcher(lexicons, ratio, args.seed)
    records = make_records(read_rows(args.input, args.field), switcher, tally, args.split_sentences)
    written = write_jsonl(args.output, records)
    report(tally, lexicons, written, args)
    return 0


def parse_languages(text: str | None) -> list[str] | None:
    """The codes of `sw,hi`; None where none are named. Raises ConfigError for none or one named twice."""
    if text is None:
        return None
    codes = [code.strip() for code in text.split(",") if code.strip()]
    repeated = [code for code, count in Counter(codes).items() if count > 1]
    if not codes or repeated:
        found = f"{repeated[0]!r} twice" if repeated else "none"
        raise ConfigError(f"--languages {text!r}: found {found}; codes such as sw,hi are needed, each once")
    return codes


def make_records(rows: Iterable[Row], switcher: CodeSwitcher, tally: Tally, split: bool) -> Iterator[dict]:
    """The Stage I records of `rows`, counted in `tally` as they pass; blank rows are left out."""
    for row in rows:
        tally.rows += 1
        if not row.text.strip():
            tally.blank += 1
            continue
        sentences = split_sentences(row.text) if split else [row.text]
        names = find_names(row.text)  # of the whole row: one sentence alone shows fewer
        for index, sentence in enumerate(sentences):
            sample_id = f"{row.id}.{index}" if split else row.id
            result = switcher.switch(sample_id, sentence, names=names)
            tally.add(result)
            yield stage1_record(sample_id, sentence, result)


def report(tally: Tally, lexicons: dict[str, Lexicon], written: int, args: argparse.Namespace) -> None:
    """Say through the logger what came in, what went out, and how each language did."""
    _logger.info(f"{args.input}: {tally.rows:,} rows in, {tally.blank:,} of them empty and left out")
    _logger.info(f"{args.output}: {written:,} records out, ratio {args.ratio}, seed {args.seed}")
    for language, lexicon in lexicons.items():
        _logger.info(
            f"{language} ({language_name(language)}) lexicon: {len(lexicon):,} entries, {lexicon.pairs:,} "
            f"translations; dropped {sum(lexicon.dropped.values()):,} lines"
        )
        for reason, count in lexicon.dropped.items():
            _logger.info(f"{language}   dropped {count:,}: {reason} ({DROP_REASONS[reason]})")
        words, switchable = tally.words[language], tally.switchable[language]
        switched = tally.switched[language]
        _logger.info(
            f"{language} records: {tally.records[language]:,}; coverage {_share(switchable, words)} "
            f"of the words are in the lexicon; switched {_share(switched, switchable)} of those, "
            f"{_share(switched, words)} of all words; {tally.untouched[language]:,} records without one"
        )
        if tally.records[language] and not switchable:
            _logger.warning(f"{language}: no word of the text is in {lexicon.source}; its records are plain English")


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "0 %"
