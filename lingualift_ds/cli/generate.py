"""`lingualift-ds generate`: ask a trained model one question.

lingualift-ds generate --model runs/NAME/stage2 "Ana ana tufaha 3 na ananunua 4. Ana tufaha ngapi?"
"""

import argparse
import sys

from lingualift_ds.errors import ConfigError, DataError


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `generate`."""
    parser = subparsers.add_parser("generate", help="ask a trained model one question")
    parser.add_argument("question", help="in any language the encoder knows")
    parser.add_argument("--model", required=True, metavar="DIR", help="a stage 2 folder or artefact")
    parser.add_argument("--instruction", help="what the LLM is told; without it, what it was trained with")
    parser.add_argument("--max-new-tokens", type=int, default=256, metavar="N", help="longest answer (256)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the answer."""
    if not arguments.question.strip():
        raise DataError("the question is empty")
    if arguments.max_new_tokens < 1:
        raise ConfigError(f"--max-new-tokens {arguments.max_new_tokens}: must be at least 1")
    try:
        arguments.question.encode("utf-8")
    except UnicodeEncodeError:
        raise DataError("the question is not UTF-8") from None
    from lingualift_ds.evaluate.model import Answerer

    answerer = Answerer.load(arguments.model)
    answer = answerer.answer([arguments.question], arguments.instruction, arguments.max_new_tokens)[0]
    sys.stdout.write(answer.text + "\n")
    return 0
