"""`lingualift-ds check`: a dry run of a stage's settings, on any machine: nothing is trained or written.

lingualift-ds check --config launch/recipes/NAME.yaml --stage 1 --world-size 8 --gpu-memory 80
"""

import argparse
import json
import math
import sys
from dataclasses import fields, replace

from lingualift_ds.config.batch import plan_batch
from lingualift_ds.config.ds_json import build_ds_config, zero_level
from lingualift_ds.config.load import dump_config, load_config
from lingualift_ds.config.memory import Bytes, MemoryPlan, Setup, plan_memory, work_of
from lingualift_ds.config.planning import (
    GB,
    auto_recompute,
    auto_sharding,
    choose_plan,
    describe,
    largest_micro_tokens,
    setup_of,
    usable_bytes,
)
from lingualift_ds.config.schema import Config, DataConfig
from lingualift_ds.config.shapes import read_model_config, width_of
from lingualift_ds.data.rows import RISES_UNSEEN, stage1_maker
from lingualift_ds.errors import ConfigError
from lingualift_ds.train.placement import check_sharding
from lingualift_ds.train.stages import check_stage, find_stage


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `check`."""
    parser = subparsers.add_parser("check", help="a dry run: resolved config, batch, DeepSpeed's config, memory")
    parser.add_argument("--config", required=True, metavar="F", help="a recipe")
    parser.add_argument("--stage", required=True, help="1 or 2")
    parser.add_argument("--world-size", type=int, default=1, metavar="N", help="ranks to plan for (1)")
    parser.add_argument("--gpu-memory", metavar="GB", help="memory of one GPU, in GB (1e9 bytes): what fits it")
    parser.add_argument("overrides", nargs="*", metavar="key.path=value", help="settings that override the recipe")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the resolved config, the batch plan, the DeepSpeed config and the memory plan. Raises ConfigError."""
    if arguments.world_size < 1:
        raise ConfigError(f"--world-size {arguments.world_size}: must be at least 1")
    gpu_memory = None if arguments.gpu_memory is None else _parse_memory(arguments.gpu_memory)
    config = load_config(arguments.config, arguments.overrides)
    stage = find_stage(config, arguments.stage)
    check_stage(config, stage, arguments.config, files=False)
    settings, model = config.stage(stage.number), config.model
    batch = plan_batch(settings.batch, arguments.world_size)
    llm_config, unknown = _read_or_why(model.llm, "model.llm")
    try:
        width = llm_config and width_of(llm_config, model.llm)
        ds_config = build_ds_config(model, settings, batch, width)
    except ConfigError as error:
        raise ConfigError(*error.problems, *([unknown] if unknown else [])) from None
    parts = ("llm",) if model.encoder is None else ("encoder", "llm")
    check_sharding(stage.folder, settings, parts, stage.groups, zero_level(ds_config))
    sys.stdout.write(f"{dump_config(config)}\n{stage}\n{batch}\nDeepSpeed: {json.dumps(ds_config, indent=2)}\n\n")
    try:
        if unknown:
            raise ConfigError(unknown)
        encoder_config = None if model.encoder is None else read_model_config(model.encoder, "model.encoder")
        setup = setup_of(
            config, stage.number, stage.groups, ds_config, arguments.world_size, llm_config, encoder_config
        )
    except ConfigError as error:
        if gpu_memory is not None:
            raise
        sys.stdout.write(f"memory: cannot be planned: {error}\n")
    else:
        sys.stdout.write(memory_report(resolve(setup, config, stage.number, gpu_memory), gpu_memory))
    sys.stdout.flush()
    # Last, because a plan is wanted before there are data: files that training would miss.
    check_stage(config, stage, arguments.config)
    if settings.data.codeswitch.lexicons:
        sys.stdout.write(switching_report(config, stage.folder, settings.data))
    return 0


def switching_report(config: Config, folder: str, data: DataConfig) -> str:
    """What the training rows are switched to, in a line. Raises ConfigError, DataError for settings and lexicons."""
    maker = stage1_maker(data.codeswitch, config.run.seed, f"{folder}.data.codeswitch")
    languages, ratio = maker.switcher.languages, maker.switcher.ratio
    chances = {code: weight / sum(languages.weights) for code, weight in zip(languages.codes, languages.weights)}
    each = ", ".join(f"{c} {share:.1%} ({len(maker.lexicons[c]):,} entries)" for c, share in chances.items())
    mixed = f", {languages.mix} in a sample" if languages.mix > 1 else ""
    line = f"code-switching, anew in every epoch: {each}{mixed}; ratio {ratio}\n"
    return line + (f"{RISES_UNSEEN}\n" if ratio.rising and data.order != "file" else "")


def _read_or_why(name: str, key: str) -> tuple[dict | None, str]:
    """A model's config, or None and why it is not known: what needs it says so then."""
    try:
        return read_model_config(name, key), ""
    except ConfigError as error:
        return None, str(error)


def _parse_memory(text: str) -> float:
    """Bytes from GB. Raises ConfigError."""
    try:
        memory = float(text) * GB
    except ValueError:
        memory = math.nan
    if not 0 < memory < math.inf:
        raise ConfigError(f"--gpu-memory {text}: must be a number of GB above 0, such as 80")
    if not usable_bytes(memory):
        raise ConfigError(f"--gpu-memory {text}: is too little for CUDA alone; at least 2 GB")
    return memory


def resolve(setup: Setup, config: Config, stage: int, gpu_memory: float | None) -> Setup:
    """The setup with what the config leaves to the plan (`auto`) decided, as a run on such a GPU would."""
    settings = config.stage(stage)
    for part, (mode, _) in auto_sharding(setup, gpu_memory, config.model.activation_checkpointing == "auto").items():
        if getattr(settings.sharding, part) == "auto":
            setup = replace(setup, sharding={**setup.sharding, part: mode})
    if config.model.activation_checkpointing == "auto":
        setup = replace(setup, recomputed_layers=auto_recompute(setup, gpu_memory)[0])
    return setup


def memory_report(setup: Setup, gpu_memory: float | None) -> str:
    """The plan of every ZeRO level, with and without offload, as a table; with `gpu_memory` in bytes what fits it."""
    work = work_of(setup)
    encoder = f", {work.encoder_tokens:,} encoder tokens" if setup.encoder else ""
    lines = [
        f"memory of one rank of {setup.world_size}, predicted, in GB (1e9 bytes), at the worst moment of a step of "
        f"{work.tokens:,} LLM tokens a micro-batch{encoder}, {setup.precision}",
        _row("", [*(f.name for f in fields(Bytes)), "total", "host"], "worst moment", gpu_memory and "fits"),
    ]
    limit = None if gpu_memory is None else usable_bytes(gpu_memory)
    for offload in (False, True):
        for level in range(2 if offload else 0, 4):
            plan = plan_memory(replace(setup, zero=level, offload=offload))
            name = f"ZeRO-{level}{', offload' if offload else ''}"
            chosen = " <- the config" if (level, offload) == (setup.zero, setup.offload) else ""
            fits = None if limit is None else "yes" if plan.total <= limit else "no"
            lines.append(_row(name, _numbers(plan), plan.worst, fits) + chosen)
    lines.append(f"frozen weights and recomputation as the config has them: {describe(setup)}")
    if gpu_memory is not None:
        lines += _advice(setup, gpu_memory)
    return "\n".join(lines) + "\n"


def _numbers(plan: MemoryPlan) -> list[str]:
    values = [getattr(plan.peak, f.name) for f in fields(Bytes)] + [plan.total, plan.host]
    return [f"{value / GB:.2f}" for value in values]


def _row(name: str, columns: list[str], worst: str, fits: str | None) -> str:
    cells = "".join(f"{column:>12}" for column in columns)
    return f"{name:<16}{cells}  {worst:<14}{'' if fits is None else f'{fits:>5}'}".rstrip()


def _advice(setup: Setup, gpu_memory: float) -> list[str]:
    """The cheapest setting that fits, and the largest token budget as the config stands."""
    best, tokens = choose_plan(setup, gpu_memory), largest_micro_tokens(setup, gpu_memory)
    usable = f"{usable_bytes(gpu_memory) / GB:.1f} of {gpu_memory / GB:g} GB (the rest is for CUDA, NCCL and gaps)"
    lines = [f"usable: {usable}"]
    if best is None:
        lines.append("cheapest that fits: none; use more ranks, or a smaller micro_tokens")
    else:
        lines.append(f"cheapest that fits: {describe(best.setup)}: {best.total / GB:.1f} GB")
    lines.append(f"largest micro_tokens as the config stands: {f'{tokens:,}' if tokens else 'none fits'}")
    return lines
