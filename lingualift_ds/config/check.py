"""Checks across keys that need no torch: what the schema's types cannot say. All problems at once."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from lingualift_ds.config.load import to_dict
from lingualift_ds.config.monitors import monitor_problems
from lingualift_ds.config.schema import GROUPS, CodeSwitchConfig, Config, ModelConfig, RunConfig, StageConfig
from lingualift_ds.errors import ConfigError

COLUMNS = ("text", "target", "instruction", "language", "id")
"""What a record has, and data.columns can name keys for."""


def check_config(
    config: Config, stage: int, source: str = "config", files: bool = True, also: Sequence[str] = ()
) -> None:
    """Raise ConfigError with every contradiction, impossible number and, where `files` are to be there already,
    missing file of the given stage, and what was found beside that (`also`)."""
    settings = config.stage(stage)
    key = f"stage{stage}"
    problems = [*_model_problems(config), *_run_problems(config.run), *_number_problems(settings, key)]
    problems += _file_problems(settings, key) if files else []
    problems += _batch_problems(settings, config.model, key)
    problems += [*_codeswitch_problems(settings, key), *_row_problems(settings, key), *also]
    for name in settings.optimizer.groups:
        if name not in GROUPS:
            problems.append(f"{key}.optimizer.groups.{name}: no such group; choose from {', '.join(GROUPS)}")
    problems += monitor_problems(config.run)
    if problems:
        raise ConfigError(*[f"{source}: {p}" for p in problems])


def _run_problems(run: RunConfig) -> list[str]:
    problems = [
        f"run.{name}: empty, must be a folder" for name in ("output", "cache") if not getattr(run, name).strip()
    ]
    if run.seed < 0:
        problems.append(f"run.seed: {run.seed}, must be at least 0")
    if run.world_size is not None and run.world_size < 1:
        problems.append(f"run.world_size: {run.world_size}, must be at least 1, or null for any number of ranks")
    for name, seconds in dataclasses.asdict(run.watchdog).items():
        if not 0 <= seconds < float("inf"):
            problems.append(f"run.watchdog.{name}: {seconds}, must be at least 0 s; 0 switches it off")
    return problems


def _model_problems(config: Config) -> list[str]:
    model, problems = config.model, []
    if model.precision == "fp16":
        problems.append(
            "model.precision: fp16 is not trained in here: mT5 and other T5 kinds overflow in it; allowed: bf16, fp32"
        )
    for name in ("encoder_max_tokens", "llm_max_tokens"):
        if getattr(model, name) < 8:
            problems.append(f"model.{name}: {getattr(model, name)}, must be at least 8 tokens")
    layers = model.activation_checkpointing
    if isinstance(layers, int) and layers < 0:
        problems.append(f"model.activation_checkpointing: {layers}, must be at least 0 layers; or auto, none, all")
    if model.alignment.latents < 1:
        problems.append(f"model.alignment.latents: {model.alignment.latents}, must be at least 1")
    for name in ("encoder", "llm"):
        value = getattr(model, name)
        if value is not None and not value.strip():
            problems.append(f"model.{name}: empty, must be a folder or a hub name")
        if value is not None and _looks_local(value) and not Path(value).is_dir():
            problems.append(f"model.{name}: no such folder: {value}")
    return problems


def _looks_local(name: str) -> bool:
    """Hub names are NAME or OWNER/NAME; anything with another slash, or a leading dot, is a path."""
    return name.startswith((".", "/", "~")) or name.count("/") > 1 or name.startswith("runs/")


def _number_problems(settings: StageConfig, key: str) -> list[str]:
    optimizer, adapter = settings.optimizer, settings.adapter
    at_least = [
        ("batch.samples", settings.batch.samples if settings.batch.samples is not None else 1, 1),
        ("batch.tokens", settings.batch.tokens if settings.batch.tokens is not None else 1, 1),
        ("epochs", settings.epochs, 1),
        ("steps", settings.steps if settings.steps is not None else 1, 1),
        ("data.limit", settings.data.limit if settings.data.limit is not None else 1, 1),
        ("data.codeswitch.mix", settings.data.codeswitch.mix, 1),
        ("data.codeswitch.variants", settings.data.codeswitch.variants, 1),
        ("checkpoint.every", settings.checkpoint.every, 0),
        ("checkpoint.keep_last", settings.checkpoint.keep_last, 1),
        ("checkpoint.keep_every", settings.checkpoint.keep_every, 0),
        ("heldout_every", settings.heldout_every, 0),
        ("optimizer.weight_decay", optimizer.weight_decay, 0),
        ("optimizer.clip", optimizer.clip, 0),
        *((f"optimizer.groups.{n}.weight_decay", g.weight_decay or 0, 0) for n, g in optimizer.groups.items()),
        *([("adapter.rank", adapter.rank, 1)] if adapter else []),
    ]
    problems = [f"{key}.{n}: {value}, must be at least {low}" for n, value, low in at_least if not value >= low]
    above_zero = [("optimizer.lr", optimizer.lr), ("optimizer.eps", optimizer.eps)]
    above_zero += [("adapter.alpha", adapter.alpha)] if adapter else []
    temperature = settings.data.codeswitch.temperature
    above_zero += [] if temperature is None else [("data.codeswitch.temperature", temperature)]
    above_zero += [(f"optimizer.groups.{n}.lr", g.lr) for n, g in optimizer.groups.items() if g.lr is not None]
    problems += [
        f"{key}.{n}: {value}, must be above 0, and finite" for n, value in above_zero if not 0 < value < float("inf")
    ]
    if adapter and not 0 <= adapter.dropout < 1:
        problems.append(f"{key}.adapter.dropout: {adapter.dropout}, must be from 0 to below 1")
    if not 0 <= optimizer.warmup_ratio < 1:
        problems.append(f"{key}.optimizer.warmup_ratio: {optimizer.warmup_ratio}, must be from 0 to below 1")
    if not all(0 <= b < 1 for b in optimizer.betas):
        problems.append(f"{key}.optimizer.betas: {list(optimizer.betas)}, each must be from 0 to below 1")
    return problems


def _batch_problems(settings: StageConfig, model: ModelConfig, key: str) -> list[str]:
    batch, longest, limit = settings.batch, model.llm_max_tokens, "model.llm_max_tokens"
    if model.encoder is not None and model.alignment.kind == "latent" and model.encoder_max_tokens > longest:
        # Its soft prompt is as long whatever the text: the encoder's row may be the longer one.
        longest, limit = model.encoder_max_tokens, "model.encoder_max_tokens"
    if (batch.samples is None) == (batch.tokens is None):
        found = "neither" if batch.samples is None else "both"
        return [f"{key}.batch: {found} of samples and tokens is given; state the global batch in one of them"]
    problems = [
        f"{key}.batch.{name}: {size}, but one sample may have {longest} tokens ({limit}); at least {longest}"
        for name, size in (("micro_tokens", batch.micro_tokens), ("tokens", batch.tokens))
        if size is not None and size < longest
    ]
    return problems


def _codeswitch_problems(settings: StageConfig, key: str) -> list[str]:
    """What the settings say by themselves; the ratio and the lexicons are looked at by what switches."""
    data, key = settings.data, f"{key}.data"
    stated = {
        f"codeswitch.{spec.name}": getattr(data.codeswitch, spec.name)
        for spec in dataclasses.fields(CodeSwitchConfig)
        if getattr(data.codeswitch, spec.name) != spec.default
    }
    stated |= {"english_field": data.english_field} if data.english_field is not None else {}
    if not stated:
        return []
    if not data.codeswitch.lexicons:
        without = f"but nothing is switched without {key}.codeswitch.lexicons"
        return [f"{key}.{name}: {value!r}, {without}" for name, value in to_dict(stated).items()]
    if data.shape != "auto":
        return [f"{key}.shape: {data.shape}, but codeswitch reads no answers; leave it out, or set {key}.english_field"]
    return []


def _row_problems(settings: StageConfig, key: str) -> list[str]:
    """What says which rows are read, and from which of their keys."""
    data, key = settings.data, f"{key}.data"
    if data.codeswitch.lexicons:
        instead = {
            "languages": "names the languages of English rows; use codeswitch.languages",
            "mix": "repeats rows as they are, and codeswitch makes new ones of them; use codeswitch.variants",
            "columns": "renames the keys of whole records, and codeswitch reads English alone; use english_field",
        }
        return [f"{key}.{name}: {why}" for name, why in instead.items() if getattr(data, name)]
    problems = [
        f"{key}.mix: {path}: not among {key}.train, which has {', '.join(data.train) or 'none'}"
        for path in data.mix
        if path not in data.train
    ]
    problems += [
        f"{key}.mix: {path}: {times}, must be above 0, and finite"
        for path, times in data.mix.items()
        if not 0 < times < float("inf")
    ]
    problems += [
        f"{key}.columns.{name}: a record has no such thing; allowed: {', '.join(COLUMNS)}"
        for name in data.columns
        if name not in COLUMNS
    ]
    if data.columns and data.shape not in ("auto", "records"):
        problems.append(f"{key}.columns: stated beside shape {data.shape}, which has keys of its own; leave one out")
    return problems


def _file_problems(settings: StageConfig, key: str) -> list[str]:
    problems = []
    if not settings.data.train:
        problems.append(f"{key}.data.train: missing; name at least one JSON lines file")
    if settings.start_from not in ("auto", "scratch") and not (Path(settings.start_from) / "manifest.json").is_file():
        problems.append(f"{key}.start_from: {settings.start_from!r} is no artefact; allowed: auto, scratch, its folder")
    for name in ("train", "heldout"):
        files = getattr(settings.data, name)
        problems += [
            f"{key}.data.{name}: named twice: {path}" for path in sorted({f for f in files if files.count(f) > 1})
        ]
        for path in files:
            if not Path(path).is_file():
                problems.append(f"{key}.data.{name}: no such file: {path}")
            elif Path(path).stat().st_size == 0:
                problems.append(f"{key}.data.{name}: the file is empty: {path}")
    if not settings.deepspeed:
        problems.append(f"{key}.deepspeed: missing; name a DeepSpeed JSON, such as ds_configs/{key}_zero3.json")
    return problems
