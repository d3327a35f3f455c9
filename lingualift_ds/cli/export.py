"""`lingualift-ds export`: what a stage hands over, of a finished run or of any checkpoint, as one folder; an adapter
merged into its LLM.

lingualift-ds export runs/NAME --output DIR
"""

import argparse
import re
import sys
from pathlib import Path

from lingualift_ds.errors import ConfigError


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `export`."""
    parser = subparsers.add_parser("export", help="a run's model in one folder, from any checkpoint; needs no GPU")
    parser.add_argument("model_run", type=Path, metavar="RUN", help="a run's folder, or a stage's in it")
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="new folder; evaluate takes it")
    parser.add_argument("--stage", help="its number or name; without it the latest that has anything")
    parser.add_argument(
        "--step", type=int, metavar="S", help="checkpoint; without it what the stage left, or the newest"
    )
    for role in ("llm", "encoder"):
        parser.add_argument(f"--{role}", metavar="M", help=f"where the base {role} is now, if it has moved")
    parser.add_argument(
        "--whole", action="store_true", help="put the base models in where a stage trained the alignment layer alone"
    )
    parser.add_argument("--licence", metavar="ID", help="of the model, for its card: an identifier such as apache-2.0")
    parser.add_argument(
        "--results", nargs="+", type=Path, default=[], metavar="DIR", help="of evaluate, for the card's table of scores"
    )
    parser.add_argument(
        "--for", dest="target", choices=["transformers", "vllm"], default="transformers", help="who takes the folder"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Export, and print what came of it. Raises UserErrors."""
    if arguments.licence is not None and not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", arguments.licence):
        raise ConfigError(f"--licence {arguments.licence!r}: must be an identifier such as apache-2.0, mit or llama2")
    if any(parent.name == "artefact" for parent in arguments.output.absolute().parents):
        raise ConfigError(f"--output {arguments.output}: lies in an artefact; name a new folder elsewhere")
    if arguments.step is not None and arguments.step < 0:
        raise ConfigError(f"--step {arguments.step}: must be 0 or more")
    if arguments.target == "vllm":
        return _for_vllm(arguments)
    moved = {role: getattr(arguments, role) for role in ("llm", "encoder") if getattr(arguments, role)}
    from lingualift_ds.train.export import Card, export

    card = Card(arguments.licence, tuple(arguments.results))
    whole = arguments.whole
    done = export(arguments.model_run, arguments.output, arguments.stage, arguments.step, moved, card, whole)
    sys.stdout.write(f"exported {done.source} (step {done.step}) to {arguments.output}: {done.files} files\n")
    return 0


def _for_vllm(arguments: argparse.Namespace) -> int:
    for option in ("stage", "step", "llm", "encoder", "whole", "licence", "results"):
        if getattr(arguments, option):
            raise ConfigError(f"--{option}: cannot go with --for vllm, which takes an exported model or a finished run")
    from lingualift_ds.hub import load_model
    from lingualift_ds.hub.vllm import write_for_vllm

    model = load_model(arguments.model_run)
    model.merge_adapter()
    write_for_vllm(model, arguments.output)
    sys.stdout.write(f"wrote {arguments.output}: the LLM in llm/, what makes its prompts in bridge/\n")
    return 0
