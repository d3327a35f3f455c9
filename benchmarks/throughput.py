"""Real tokens a second of training, against the layout of the LinguaLIFT authors' code, on the same samples.

    deepspeed --num_gpus 2 benchmarks/throughput.py --preset cpu [--stage 1] [--ablate] [--json FILE]
    python benchmarks/throughput.py --preset h200 --json FILE          one GPU with 139 GiB; both stages, some minutes
    python benchmarks/throughput.py --preset tiny                      everything once, in less than a minute

Models have random weights and given shapes, samples have random ids and the lengths of GSM8K (benchmarks/lengths.py).
Both arms start from the same weights, take the same samples in each step and the same optimizer; before anything is
timed, their losses are compared (dropout off, positions without padding). What is timed is an optimizer step, from
when all ranks are ready to when all are done. Collating is left out on both sides: ours does it in a thread while the
step before runs, and the reference is given that for nothing.

Real tokens are those that carry something: of the LLM (BOS, soft prompt, instruction, target) and of the encoder.
Padding is never counted. Memory is what tensors take on the fullest rank: weights, gradients and optimizer state, and
the most that a step puts on top. MFU counts only what a step cannot do without (benchmarks/shapes.py), against the
best rate of a large matrix product on the same devices.
"""

import os
import sys
from pathlib import Path

# What torch and its profiler say in C++ when memory is watched is not for the reader of a table.
os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
sys.path.insert(0, str(Path(__file__).parents[1]))

import argparse
import json
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import torch

import lingualift_ds.engine  # noqa: F401  before DeepSpeed, which reads on import what is set there
from benchmarks import machine, report, shapes
from benchmarks.arms import MEASURES, Arm, OurArm, ReferenceArm, Setting
from benchmarks.lengths import ROWS_FILE, Lengths, read_lengths
from benchmarks.measure import Course, bytes_needed, compare
from lingualift_ds import dist
from lingualift_ds.cli.errors import end_process, run_command
from lingualift_ds.engine.build import connect
from lingualift_ds.errors import ConfigError
from lingualift_ds.log import get_logger
from lingualift_ds.model.loading import DTYPES

_ROUNDS = 2
"""Times that each arm is built where only one fits."""
_ROOM, _LEAST_ROOM = 60e9, 15e9
"""Bytes of a GPU that are left to activations: where several arms share it, and at least."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:
        raise ConfigError(message)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line, checked. Raises ConfigError in one line."""
    parser = _Parser(prog="benchmarks/throughput.py", description=__doc__.split("\n\n")[0])
    parser.add_argument("--preset", default="cpu", choices=sorted(shapes.PRESETS))
    parser.add_argument("--stage", default="both", choices=("1", "2", "both"))
    parser.add_argument("--pairs", type=int, help="optimizer steps of each arm that are timed; default: the preset's")
    parser.add_argument("--seconds", type=float, help="begin no further pair after so many seconds of a stage")
    parser.add_argument("--precision", choices=("fp32", "bf16"), help="default: the preset's")
    parser.add_argument("--micro-samples", type=int, help="of the reference: samples a rank and a pass")
    parser.add_argument("--accumulation", type=int, help="of the reference: passes a step")
    parser.add_argument("--micro-tokens", type=int, help="of ours: LLM tokens a rank and a pass, at most")
    parser.add_argument("--without", action="append", default=[], choices=MEASURES, help="switch off in ours; repeat")
    parser.add_argument("--ablate", action="store_true", help="ours, and ours without each of its measures")
    parser.add_argument("--compile", action="store_true", help="ours with compiled layers too")
    parser.add_argument("--data", type=Path, help=f"folder with {ROWS_FILE}; default: a table of its lengths")
    parser.add_argument(
        "--order", default="auto", choices=("auto", "turns", "blocks"), help="all arms in memory or one"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write everything there")
    parser.add_argument("--local_rank", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    problems = [
        f"--{name.replace('_', '-')}: {value}, must be above 0"
        for name in ("pairs", "seconds", "micro_samples", "accumulation", "micro_tokens")
        if (value := getattr(arguments, name)) is not None and not value > 0
    ]
    if arguments.ablate and arguments.without:
        problems.append("--ablate and --without exclude each other: --ablate switches off each measure by itself")
    if arguments.data and not (arguments.data / ROWS_FILE).is_file():
        problems.append(f"--data {arguments.data}: no {ROWS_FILE} there")
    if arguments.json and not arguments.json.parent.is_dir():
        problems.append(f"--json {arguments.json}: no such folder: {arguments.json.parent}")
    if arguments.seed < 0:
        problems.append(f"--seed: {arguments.seed}, must be at least 0")
    if arguments.preset == "h200" and not torch.cuda.is_available():
        problems.append("--preset h200: there is no GPU here; allowed: cpu, tiny")
    if problems:
        raise ConfigError("; ".join(problems))
    return arguments


def main(argv: list[str] | None = None) -> int:
    """Compare, print, write. Returns the exit code: 2 for what a user can mend, 3 where the losses disagree."""
    return run_command(lambda: _main(parse(argv)))


def _main(arguments: argparse.Namespace) -> None:
    place = dist.read_place()
    preset = shapes.with_batch(
        shapes.PRESETS[arguments.preset], arguments.micro_samples, arguments.accumulation, arguments.micro_tokens
    )
    lengths = _lengths(arguments.data)
    if "OMP_NUM_THREADS" not in os.environ or place.launcher == "deepspeed or torchrun":
        # torchrun gives each rank one thread, however many cores there are.
        local = int(os.environ.get("LOCAL_WORLD_SIZE") or os.environ.get("LOCAL_SIZE") or 1)
        torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // local))
    connect(place)
    precision = arguments.precision or preset.precision
    ceiling = dist.total([machine.matmul_tflops(preset.matmul, DTYPES[precision], dist.device())])[0]
    found = {
        "benchmark": "throughput",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": ["benchmarks/throughput.py", *[a for a in sys.argv[1:] if not a.startswith(("--local_rank", "/"))]],
        "launcher": place.launcher,
        "ranks": place.world_size,
        "machine": machine.facts(),
        "versions": machine.versions(),
        "preset": preset.name,
        "precision": precision,
        "lengths": lengths.source,
        "matmul_tflops": ceiling,
        "stages": {},
    }
    _say(f"{preset.name}, {precision}, {place.world_size} ranks; lengths: {lengths.source}; "
         f"matrix products: {ceiling:.3g} TFLOP/s over all ranks")  # fmt: skip
    for stage in (1, 2) if arguments.stage == "both" else (int(arguments.stage),):
        setting = Setting(preset, stage, DTYPES[precision], arguments.seed)
        found["stages"][str(stage)] = _stage(setting, arguments, lengths, precision, ceiling)
        _say(report.table(stage, found["stages"][str(stage)]))
    if arguments.json and place.is_main:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    dist.disconnect()


def _stage(setting: Setting, arguments: argparse.Namespace, lengths: Lengths, precision: str, ceiling: float) -> dict:
    preset, ranks = setting.preset, dist.read_place().world_size
    batch, pairs = preset.batches[setting.stage], arguments.pairs or preset.pairs
    each = batch.micro_samples * batch.accumulation * ranks
    samples = shapes.make_samples(lengths, setting.stage, each * (pairs + 1), setting.seed, preset, setting.layout)
    longest = max(s.llm_length for s in samples)
    if longest > preset.micro_tokens[setting.stage]:
        raise ConfigError(f"--micro-tokens: {preset.micro_tokens[setting.stage]}, but a sample has {longest} tokens")
    steps = [samples[i : i + each] for i in range(0, len(samples), each)]
    with tempfile.TemporaryDirectory() as folder:
        build = _arms(setting, arguments, Path(folder))
        sizes = _sizes(setting)
        blocks = min(_rounds(arguments.order, setting, sizes, len(build)), pairs)
        if setting.stage == 1 or arguments.stage == "2":
            _say("; ".join(f"{name}: {n['all']:,} parameters, {n['layers']:,} in layers" for name, n in sizes.items()))
        tracks = compare(build, Course(steps, preset.warmups, blocks, arguments.seconds))
    report.check_losses(tracks, precision)
    found = report.stage_report(setting, tracks, steps, precision, ceiling)
    order = f"one arm in memory at a time, {blocks} rounds" if blocks else "all arms in memory, step by step in turn"
    budget = {"micro_tokens": preset.micro_tokens[setting.stage]}
    return {"order": order, "parameters": sizes, "batches": {"reference": vars(batch), "ours": budget}, **found}


def _arms(setting: Setting, arguments: argparse.Namespace, folder: Path) -> dict[str, Callable[[], Arm]]:
    name = "ours" + "".join(f" without {measure}" for measure in arguments.without)
    arms: dict[str, Callable[[], Arm]] = {report.REFERENCE: partial(ReferenceArm, setting)}
    arms[name] = partial(OurArm, setting, frozenset(arguments.without), folder)
    if arguments.compile:
        arms["ours, compiled"] = partial(OurArm, setting, frozenset(), folder, compiled=True)
    for measure in MEASURES if arguments.ablate else ():
        arms[f"ours without {measure}"] = partial(OurArm, setting, frozenset([measure]), folder)
    return arms


def _sizes(setting: Setting) -> dict[str, dict[str, int]]:
    """Parameters of the models, counted without making them."""
    nowhere = torch.device("meta")
    encoder = shapes.random_encoder(setting.preset, setting.dtype, nowhere, 0)
    llm = shapes.random_llm(setting.preset, setting.dtype, nowhere, 0, "sdpa")
    with nowhere:
        layer = shapes.alignment_layer(setting.preset)
    return {"encoder": shapes.counts(encoder), "alignment": shapes.counts(layer), "llm": shapes.counts(llm)}


def _rounds(order: str, setting: Setting, sizes: dict[str, dict[str, int]], arms: int) -> int:
    """Rounds in which arms follow each other, each alone in memory; 0: all of them are in memory together.

    Raises ConfigError where not even one fits.
    """
    if dist.device().type == "cuda":
        each = bytes_needed(sizes, setting.trained, setting.dtype, dist.read_place().world_size)
        there = torch.cuda.mem_get_info()[1]
        if each + _LEAST_ROOM > there:
            raise ConfigError(
                f"--preset {setting.preset.name}: stage {setting.stage} needs {(each + _LEAST_ROOM) / 1e9:.0f} GB on "
                f"each GPU, this one has {there / 1e9:.0f} GB; allowed: more ranks, --stage 1, a smaller preset"
            )
        if order == "auto":
            order = "turns" if arms * each + _ROOM < there else "blocks"
    return _ROUNDS if order == "blocks" else 0


def _lengths(folder: Path | None) -> Lengths:
    try:
        return read_lengths(folder)
    except ValueError as error:
        raise ConfigError(f"--data {folder}: {ROWS_FILE} cannot be read: {error}") from None


def _say(text: str) -> None:
    """To standard output, from rank 0."""
    if dist.read_place().is_main:
        print(text, flush=True)


if __name__ == "__main__":
    # The toolkit's own notes on each of the engines would stand between the lines of the table.
    get_logger().setLevel("WARNING")
    end_process(main())
