"""`lingualift-ds evaluate`: a trained model's exact answers on local benchmark files, per language.

lingualift-ds evaluate --model runs/NAME/stage2 --tasks mgsm --data DIR --output DIR
"""

import argparse
import sys
from pathlib import Path

from lingualift_ds.errors import ConfigError, DataError
from lingualift_ds.evaluate.benchmarks import TASKS, load_benchmark


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `evaluate`."""
    parser = subparsers.add_parser("evaluate", help="exact answers of a trained model, per language")
    parser.add_argument("--model", required=True, metavar="DIR", help="a stage 2 folder or artefact")
    parser.add_argument("--tasks", required=True, metavar="A,B", help=f"of {', '.join(TASKS)}")
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="folder of the benchmark's files")
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="scores and per-question answers")
    parser.add_argument("--languages", metavar="sw,hi", help="codes; all languages of the folder without it")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N questions a language")
    parser.add_argument("--batch-size", type=int, default=64, metavar="N", help="questions at a time (64)")
    parser.add_argument("--max-new-tokens", type=int, default=256, metavar="N", help="longest answer (256)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate and print the tables. Raises the UserErrors of reading, before the model is loaded."""
    for name in ("batch_size", "max_new_tokens"):
        if getattr(arguments, name) < 1:
            raise ConfigError(f"--{name.replace('_', '-')} {getattr(arguments, name)}: must be at least 1")
    languages = arguments.languages.split(",") if arguments.languages else None
    tasks = {t: load_benchmark(t, arguments.data, languages, arguments.limit) for t in arguments.tasks.split(",")}
    try:
        arguments.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{arguments.output}: cannot be written: {error.strerror}") from None
    from lingualift_ds.evaluate.harness import evaluate, format_scores
    from lingualift_ds.evaluate.model import Answerer

    answerer = Answerer.load(arguments.model)
    for task, questions in tasks.items():
        scores = evaluate(answerer, questions, task, arguments.output, arguments.max_new_tokens, arguments.batch_size)
        sys.stdout.write(f"{task}, exact answers in percent\n{format_scores(scores)}\n")
    return 0
