"""`lingualift-ds random-models`: small random models for a dry run on real data, before the real ones are at hand.

lingualift-ds random-models --corpus data/stage1.jsonl,data/stage2.jsonl --output runs/NAME/models
"""

import argparse
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `random-models`."""
    parser = subparsers.add_parser("random-models", help="small random models with tokenizers trained on your text")
    parser.add_argument("--corpus", required=True, metavar="F,G", help="JSON lines files to train tokenizers on")
    parser.add_argument("--output", required=True, type=Path, metavar="DIR")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Build them."""
    from lingualift_ds.data.jsonl import read_jsonl
    from lingualift_ds.miniature.random_models import build_random_models

    corpus = [Path(path) for path in arguments.corpus.split(",")]
    for path in corpus:
        read_jsonl(path)  # a missing file is said before minutes of training
    build_random_models(corpus, arguments.output, arguments.seed)
    return 0
