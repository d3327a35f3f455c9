"""`lingualift-ds prepare`: tokenise the data of a stage once, before a GPU waits for it. Training maps the same files.
English that is code-switched while training is prepared for every epoch that the run goes through.

lingualift-ds prepare --config launch/recipes/NAME.yaml --stage 1
"""

import argparse
import sys
import time
from typing import TYPE_CHECKING

from lingualift_ds.config.load import load_config
from lingualift_ds.train.stages import check_stage, find_stage

if TYPE_CHECKING:
    from lingualift_ds.data.prepared import PreparedSamples, Samples


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `prepare`."""
    parser = subparsers.add_parser("prepare", help="tokenise the data of a stage once, into run.cache")
    parser.add_argument("--config", required=True, metavar="F", help="a recipe")
    parser.add_argument("--stage", required=True, help="1 or 2")
    parser.add_argument("overrides", nargs="*", metavar="key.path=value", help="settings that override the recipe")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prepare training and held-out data, and print what they hold. Raises UserErrors."""
    started = time.monotonic()
    config = load_config(arguments.config, arguments.overrides)
    stage = find_stage(config, arguments.stage)
    check_stage(config, stage, arguments.config)
    from lingualift_ds.train import build

    maker = build.read_maker(config, stage)
    train, heldout = build.read_samples(config, stage, build.read_sources(config.model), maker)
    data = config.stage(stage.number).data
    for name, paths, samples in (("train", data.train, train), ("heldout", data.heldout, heldout)):
        if paths:
            sys.stdout.write(f"stage {stage.number}, {name}: {', '.join(paths)}\n{describe(samples)}\n")
    sys.stdout.write(f"took {time.monotonic() - started:.1f} s\n")
    return 0


def describe(samples: "Samples") -> str:
    """Rows, tokens and folder of prepared samples, as lines; where every epoch has a set of its own, a line for each
    after the first."""
    from lingualift_ds.data.prepared import EpochSamples

    sets = samples.sets if isinstance(samples, EpochSamples) else {0: samples}
    lines = [describe_set(sets[0])]
    for epoch, found in sorted(sets.items())[1:]:
        tokens = int(found.llm_lengths.sum(dtype="int64"))
        lines.append(f"  epoch {epoch}  {_used(found)}, {tokens:,} LLM tokens; {_place(found)}")
    return "\n".join(lines)


def describe_set(samples: "PreparedSamples") -> str:
    """Rows, tokens and folder of one set of prepared samples, as lines."""
    import numpy as np

    lines = [f"  rows     {_used(samples)}"]
    lines += [f"           {count:,} {reason}" for reason, count in samples.dropped.items()]
    lines.append(f"  tokens   {'total':>15} {'mean':>9} {'p50':>7} {'p95':>7} {'max':>7}")
    tokens = {"LLM": samples.llm_lengths, "encoder": samples.encoder_lengths, "target": samples.target_lengths}
    for name, lengths in tokens.items():
        p50, p95 = np.percentile(lengths, [50, 95], method="inverted_cdf")
        total = int(lengths.sum(dtype=np.int64))
        lines.append(f"  {name:<8} {total:>15,} {lengths.mean():>9.1f} {p50:>7} {p95:>7} {lengths.max():>7}")
    lines.append(f"  folder   {_place(samples)}")
    return "\n".join(lines)


def _used(samples: "PreparedSamples") -> str:
    dropped = sum(n for reason, n in samples.dropped.items() if reason.startswith("dropped"))
    return f"{len(samples):,} used, {dropped:,} dropped"


def _place(samples: "PreparedSamples") -> str:
    return f"{samples.folder}, {'prepared now' if samples.built else 'already prepared'}"
