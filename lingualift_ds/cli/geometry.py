"""`lingualift-ds geometry`: where the sentences of several languages lie, before and after the alignment.

lingualift-ds geometry --model runs/NAME/stage2 --data mgsm/ --output runs/geometry
lingualift-ds geometry --model runs/NAME/stage1 --encoder models/mt5 --llm models/llama --data flores.tsv --output OUT
"""

import argparse
import importlib.util
import sys
from pathlib import Path

from lingualift_ds.errors import ConfigError, DataError


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `geometry`."""
    parser = subparsers.add_parser(
        "geometry", help="picture and numbers of the alignment: sentences of several languages against English"
    )
    parser.add_argument("--model", required=True, metavar="DIR", help="a model, a run, or a stage of it")
    parser.add_argument(
        "--before", type=Path, metavar="DIR", help="what to compare with (default: a fresh alignment layer, seed 0)"
    )
    parser.add_argument(
        "--data",
        required=True,
        type=Path,
        metavar="PARALLEL",
        help="a folder of mgsm, msvamp or LANG.jsonl files, or a table (.tsv, .csv, .jsonl, .parquet) with a column a "
        "language, en among them",
    )
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="geometry.png, .json, .csv, .md")
    parser.add_argument("--languages", metavar="sw,hi", help="codes; all there are without it")
    parser.add_argument("--limit", type=int, default=200, metavar="N", help="only the first N sentences (200)")
    parser.add_argument("--batch-size", type=int, default=32, metavar="N", help="sentences at a time (32)")
    parser.add_argument("--layer", type=int, metavar="N", help="layer of the LLM beside its last one (the middle one)")
    parser.add_argument("--encoder", metavar="DIR", help="the base encoder of an artefact, if it has moved")
    parser.add_argument("--llm", metavar="DIR", help="the base LLM of an artefact, if it has moved")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Look, write and print. Raises the UserErrors of reading before the model is loaded."""
    if arguments.batch_size < 1:
        raise ConfigError(f"--batch-size {arguments.batch_size}: must be at least 1")
    languages = None
    if arguments.languages is not None:
        languages = [code.strip() for code in arguments.languages.split(",") if code.strip()]
    if importlib.util.find_spec("matplotlib") is None:
        raise ConfigError("the picture needs matplotlib; pip install matplotlib, or this package with [plots]")
    from lingualift_ds.evaluate.geometry.parallel import read_parallel

    parallel = read_parallel(arguments.data, languages, arguments.limit)
    try:
        arguments.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{arguments.output}: cannot be written: {error.strerror}") from None
    from lingualift_ds.evaluate.geometry.pictures import draw_study
    from lingualift_ds.evaluate.geometry.report import format_tables, write_study
    from lingualift_ds.evaluate.geometry.study import Bases, make_study

    bases = Bases(arguments.encoder, arguments.llm)
    study = make_study(Path(arguments.model), arguments.before, parallel, bases, arguments.layer, arguments.batch_size)
    draw_study(study, arguments.output / "geometry.png")
    write_study(study, arguments.output)
    sys.stdout.write(format_tables(study) + "\n")
    return 0
