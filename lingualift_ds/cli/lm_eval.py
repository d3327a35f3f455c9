"""`lingualift-ds lm-eval`: lm-evaluation-harness' own command line, with our model and our tasks in it.

lingualift-ds lm-eval --model lingualift --model_args pretrained=runs/NAME/stage2 --tasks lingualift_mgsm \
    --metadata '{"data": "DIR"}' --batch_size 32

Plain `lm_eval` finds the model in versions after 0.4.13 by an entry point, and in 0.4.13 where launch/setup.sh made the
environment.
"""

import argparse
import importlib.util
import sys

from lingualift_ds.errors import ConfigError


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `lm-eval`; all that follows it is lm-eval's."""
    about = "lm-evaluation-harness, with our model and tasks"
    parser = subparsers.add_parser("lm-eval", help=about, add_help=False, prefix_chars="\0")
    parser.add_argument("told", nargs=argparse.REMAINDER)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Hand over to lm-eval."""
    if importlib.util.find_spec("lm_eval") is None:
        raise ConfigError("lm-eval: lm-evaluation-harness is not installed; pip install 'lingualift_ds[eval]'")
    from lm_eval.__main__ import cli_evaluate

    from lingualift_ds.evaluate.harness.documents import FOLDER

    told = list(arguments.told)
    if told[:1] not in (["ls"], ["validate"]) and "--include_path" not in told:
        told += ["--include_path", str(FOLDER)]
    sys.argv = ["lm-eval", *told]
    try:
        cli_evaluate()
    except ValueError as error:  # what lm-eval says of names and settings that are none
        raise ConfigError(f"lm-eval: {' '.join(str(error).split())[:400]}") from error
    return 0
