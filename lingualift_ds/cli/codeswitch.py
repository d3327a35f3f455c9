"""`lingualift-ds codeswitch`: English text and lexicons in, Stage I records and a report out.

lingualift-ds codeswitch --input train.jsonl --lexicons DIR --languages sw,th --output stage1.jsonl
"""

import argparse
import os
import sys
from itertools import islice
from pathlib import Path

from lingualift_ds.cli.errors import leaving_when_told
from lingualift_ds.cli.preview import format_pair, uses_colour
from lingualift_ds.config.schema import CodeSwitchConfig
from lingualift_ds.data.codeswitch import English, Stage1Maker
from lingualift_ds.data.codeswitch.page import to_html
from lingualift_ds.data.codeswitch.production import produce, usable_processes
from lingualift_ds.data.codeswitch.report import Report, report_paths, to_json
from lingualift_ds.data.codeswitch.tally import Tally
from lingualift_ds.data.languages import language_name
from lingualift_ds.data.outputs import open_output, write_aside
from lingualift_ds.data.sources import FORMATS, Bad, Source, open_source
from lingualift_ds.errors import ConfigError, DataError
from lingualift_ds.log import get_logger

_logger = get_logger("codeswitch")

_SHOWN = 60
"""Languages, or mixtures of them, that are told one by one."""


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add the command `codeswitch`; its namespace carries `run`."""
    parser = subparsers.add_parser(
        "codeswitch",
        help="make Stage I data: code-switched English from text and lexicons",
        description="Make Stage I data: English text with words replaced from bilingual lexicons.",
    )
    inputs = parser.add_argument_group("English text")
    inputs.add_argument(
        "--input",
        required=True,
        nargs="+",
        metavar="F",
        help="files (JSON lines, JSON, CSV, TSV, Parquet, text, also .gz), folders or names of data sets on the hub",
    )
    inputs.add_argument("--field", metavar="NAME", help="column of the English; found by itself in known shapes")
    inputs.add_argument("--id-field", metavar="NAME", help="column of the ids (default id, else the row's number)")
    inputs.add_argument("--split", default="train", help="part of a folder or data set (default train)")
    inputs.add_argument("--format", choices=FORMATS, help="of files whose names do not tell")
    inputs.add_argument(
        "--max-bad", type=_count, default=0, metavar="N", help="rows that may be unusable before it stops (default 0)"
    )
    _add_switching(parser)
    output = parser.add_argument_group("output")
    output.add_argument("--output", metavar="F", help="records: .jsonl, .jsonl.gz or .parquet; a report beside it")
    output.add_argument(
        "--preview", type=_count, default=0, metavar="N", help="print the first N pairs, switched words marked"
    )
    output.add_argument(
        "--encoder-tokenizer", metavar="PATH", help="count tokens and unknown ones in the report, with this tokenizer"
    )
    output.add_argument(
        "--num-proc", type=_count, metavar="N", help="worker processes (default: the cores that are free to use)"
    )
    parser.set_defaults(run=run)
    return parser


def _add_switching(parser: argparse.ArgumentParser) -> None:
    """The options that are settings of a recipe's `data.codeswitch` too."""
    words = parser.add_argument_group("lexicons")
    words.add_argument(
        "--lexicons", required=True, nargs="+", metavar="DIR", help="folders or files: en-sw.txt, hi.tsv, sw=words.json"
    )
    words.add_argument("--columns", metavar="english=A,translation=B", help="columns of tables, by name or number")
    words.add_argument("--unclean", metavar="STEP,STEP", help="cleaning steps to leave out; see `lexicon report`")
    words.add_argument("--languages", metavar="sw,hi:2", help="codes, with weights if wanted; all lexicons without it")
    words.add_argument("--temperature", type=float, metavar="T", help="draw languages by lexicon size to the 1/T")
    words.add_argument("--mix", type=int, default=1, metavar="N", help="languages in one sentence (default 1)")
    how = parser.add_argument_group("switching")
    how.add_argument(
        "--ratio",
        default="0.5",
        metavar="R",
        help="share of the switchable words: 0.5, a range 0.3-1.0, or 0.2..0.8 from first row to last (default 0.5)",
    )
    how.add_argument("--units", choices=("phrases", "words"), default="phrases", help="what is switched as one")
    how.add_argument(
        "--choice",
        choices=("rank", "uniform", "first", "frequency"),
        default="rank",
        help="among translations: weight 1/rank (default), all alike, the first, by the lexicon's frequencies",
    )
    how.add_argument("--inflections", action="store_true", help="look apples up as apple where it is missing")
    how.add_argument("--names", choices=("keep", "switch"), default="keep", help="capitalised words inside sentences")
    how.add_argument("--keep", nargs="+", default=[], metavar="WORD", help="words to leave alone; @FILE: one a line")
    how.add_argument("--split-sentences", action="store_true", help="a record a sentence, not a row")
    how.add_argument("--variants", type=int, default=1, metavar="K", help="records that one text gives (default 1)")
    how.add_argument("--seed", type=int, default=0, help="same seed, same output (default 0)")


def run(args: argparse.Namespace) -> int:
    """Preview or write the records, and report. Returns the exit code 0; raises ConfigError or DataError."""
    if args.output is None and not args.preview:
        raise ConfigError("--output F or --preview N is needed: where the records go, or how many to look at")
    settings = read_settings(args)
    maker = Stage1Maker.from_config(settings, args.seed)
    source = open_source(args.input, args.field, args.id_field, args.split, args.format)
    for line in source.found:
        _logger.info(line)
    if args.preview:
        preview(source, maker, args.preview)
    if args.output is not None:
        with leaving_when_told():
            write(source, maker, settings, args)
    return 0


def read_settings(args: argparse.Namespace) -> CodeSwitchConfig:
    """The options as a recipe would state them."""
    return CodeSwitchConfig(
        lexicons=tuple(args.lexicons),
        columns=args.columns,
        languages=_listed("--languages", args.languages),
        temperature=args.temperature,
        mix=args.mix,
        ratio=args.ratio,
        units=args.units,
        choice=args.choice,
        inflections=args.inflections,
        names=args.names,
        keep=tuple(args.keep),
        split_sentences=args.split_sentences,
        variants=args.variants,
        unclean=_listed("--unclean", args.unclean),
    )


def preview(source: Source, maker: Stage1Maker, count: int) -> None:
    """Print the first records, as pairs of English and code-switched text."""
    colour = uses_colour(sys.stdout)
    rows = (row for block in source.blocks(min(count, 100)) for row in block.rows())
    texts = (English(row.id, row.text) for row in rows if not isinstance(row, Bad))
    made = (pair for pairs in maker.switch_all(texts) for pair in pairs)
    try:
        for record, switched in islice(made, count):
            sys.stdout.write(format_pair(record, switched, colour) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def write(source: Source, maker: Stage1Maker, settings: CodeSwitchConfig, args: argparse.Namespace) -> None:
    """Write the records and the report beside them."""
    output = Path(args.output)
    for read in (*source.files, *(path for lexicon in maker.lexicons.values() for path in lexicon.sources)):
        if output.exists() and os.path.exists(read) and os.path.samefile(read, output):
            raise DataError(f"{output}: is an input too; name another --output")
    report = Report(maker, args.encoder_tokenizer)  # a tokenizer that cannot be loaded stops it here
    if output.exists():
        _logger.info(f"{output} exists ({output.stat().st_size:,} bytes): it will be replaced")
    with open_output(output) as writer:
        processes = args.num_proc or usable_processes()
        tally = produce(source, maker, writer, processes, args.max_bad)
        writer.commit()
    values = report.values(tally, source, settings, output)
    data_path, page_path = report_paths(output)
    write_aside(data_path, to_json(values))
    write_aside(page_path, to_html(values))
    say(tally, maker, output, values)
    _logger.info(f"report: {data_path} and {page_path}")


def say(tally: Tally, maker: Stage1Maker, output: Path, values: dict) -> None:
    """Say through the logger what came in, what went out, and how each language did."""
    for bad in tally.told:
        _logger.warning(f"{bad.where}: {bad.message}; left out")
    left = f", {tally.bad:,} unusable and left out" if tally.bad else ""
    _logger.info(f"{tally.rows:,} rows in, {tally.blank:,} of them empty and left out{left}")
    again = f"; {tally.repeated:,} variants came out as another and were left out" if tally.repeated else ""
    _logger.info(
        f"{output}: {tally.records:,} records, ratio {maker.switcher.ratio}, seed {maker.switcher.seed}{again}"
    )
    for code, lexicon in maker.lexicons.items():
        dropped = ", ".join(f"{count:,} {reason}" for reason, count in lexicon.dropped.items())
        _logger.info(
            f"{code} ({language_name(code)}) lexicon: {len(lexicon):,} entries, {lexicon.pairs:,} pairs"
            + (f"; dropped: {dropped}" if dropped else "")
        )
    most = sorted(tally.languages.items(), key=lambda item: (-item[1].records, item[0]))[:_SHOWN]
    for code, language in sorted(most):
        _logger.info(
            f"{code}: {language.records:,} records; {_share(language.switchable, language.words)} of their words can "
            f"be switched, {_share(language.switched, language.switchable)} of these were; "
            f"{language.untouched:,} records without a switched word"
        )
    if len(tally.languages) > _SHOWN:
        _logger.info(f"and {len(tally.languages) - _SHOWN:,} more mixtures of languages; the report has the largest")
    for warning in values["warnings"]:
        _logger.warning(f"{warning['language']}: {warning['message']}")


def _listed(option: str, text: str | None) -> tuple[str, ...]:
    """The parts of `sw,hi`; none where the option is not given. Raises ConfigError for an empty one."""
    if text is None:
        return ()
    parts = tuple(part.strip() for part in text.split(",") if part.strip())
    if not parts:
        raise ConfigError(f"{option} {text!r}: names nothing; what is wanted, separated by commas, is needed")
    return parts


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r}: a whole number from 0 is needed")
    return int(text)


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "0 %"
