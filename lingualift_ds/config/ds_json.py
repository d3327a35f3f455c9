"""DeepSpeed's JSON: what is DeepSpeed's stays there, the rest is filled in from the run config.

No "auto" is left to chance, and a key that contradicts the run config is an error that shows both.
"""

import copy
import json
from pathlib import Path
from typing import Any

from lingualift_ds.config.batch import BatchPlan
from lingualift_ds.config.schema import ModelConfig, StageConfig
from lingualift_ds.errors import ConfigError

_ROOT = Path(__file__).parents[2]
_COUNTS = ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps")
_FOREIGN = {
    "optimizer": "set it under `optimizer` of the stage",
    "scheduler": "set it as `optimizer.schedule` of the stage",
    "tensorboard": "set run.monitors",
    "wandb": "set run.monitors",
    "csv_monitor": "set run.monitors",
    "comet": "set run.monitors",
    "activation_checkpointing": "set model.activation_checkpointing",
    "checkpoint": "set `checkpoint` of the stage",
}


def find_ds_json(name: str) -> Path:
    """The file a stage names: as given, or in the repository's own folder. Raises ConfigError."""
    for path in (Path(name), _ROOT / name):
        if path.is_file():
            return path
    here = sorted(str(p.relative_to(_ROOT)) for p in (_ROOT / "ds_configs").glob("*.json"))
    raise ConfigError(f"deepspeed: no such file: {name}; there are: {', '.join(here) or 'none'}")


def build_ds_config(
    model: ModelConfig,
    stage: StageConfig,
    batch: BatchPlan,
    llm_width: int | None = None,
) -> dict[str, Any]:
    """The whole DeepSpeed config of a stage, every value stated; "auto" sizes of buckets follow the LLM's width.

    Raises ConfigError: unreadable JSON, "auto" where the run config has no say, a contradiction.
    """
    path = find_ds_json(stage.deepspeed)
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(given, dict):
        raise ConfigError(f"{path}: holds no JSON object")
    problems = [f"{path}: {key}: does not belong here; {say}" for key, say in _FOREIGN.items() if key in given]
    problems += [
        f"{path}: {key}: does not belong here; set batch.samples or batch.tokens of the stage, and batch.micro_tokens"
        for key in _COUNTS
        if given.get(key, "auto") != "auto"
    ]
    if _get(given, "zero_optimization.zero_quantized_nontrainable_weights"):
        problems.append(
            f"{path}: zero_optimization.zero_quantized_nontrainable_weights: DeepSpeed quantizes frozen weights in "
            "fp16 alone (0.19.8), and fp16 is not trained in here; remove it"
        )
    if _get(given, "zero_optimization.offload_optimizer.device") == "nvme":
        problems.append(
            f"{path}: zero_optimization.offload_optimizer.device: nvme: that state would be in no checkpoint; "
            "allowed: none, cpu"
        )
    elsewhere = [f"zero_optimization.offload_optimizer.{k}" for k in ("ratio", "super_offload")]
    for key in (*elsewhere, "zero_optimization.zenflow"):
        if _get(given, key) not in (None, False, 1, 1.0):
            problems.append(f"{path}: {key}: part of the optimizer's state would be in no checkpoint; remove it")
    sections = ("zero_optimization", "bf16", "fp16", "data_types")
    wrong = [
        f"{path}: {k} is {given[k]!r}, must be an object" for k in sections if not isinstance(given.get(k, {}), dict)
    ]
    if wrong:
        raise ConfigError(*wrong)
    filled = copy.deepcopy(given)
    for key, value in _owned_values(model, stage, batch.world_size).items():
        found = _get(filled, key)
        if key not in _COUNTS and found not in (None, "auto") and found != value:
            problems.append(f"{path}: {key} is {found}, but the run config says {value}; remove it from the JSON")
        _set(filled, key, value)
    for key, value in _sizes(llm_width).items():
        if _get(filled, key) == "auto":
            _set(filled, key, value)
    problems += [f'{path}: {key}: "auto" has nothing to follow; state a value' for key in _autos(filled)]
    level = filled.get("zero_optimization", {}).get("stage", 0)
    if level not in (0, 1, 2, 3):
        problems.append(f"{path}: zero_optimization.stage is {level}, must be 0, 1, 2 or 3")
    if problems:
        raise ConfigError(*problems)
    if model.precision == "bf16" and level == 3:
        # DeepSpeed's default adds up micro-batches in bf16, and the gradient would depend on the accumulation.
        filled.setdefault("data_types", {}).setdefault("grad_accum_dtype", "fp32")
    filled.setdefault("zero_allow_untested_optimizer", True)
    filled.setdefault("steps_per_print", 2**31 - 1)
    return filled


def zero_level(ds_config: dict[str, Any]) -> int:
    """The ZeRO stage, 0 to 3."""
    return ds_config.get("zero_optimization", {}).get("stage", 0)


def offloads_optimizer(ds_config: dict[str, Any]) -> bool:
    """Whether optimizer state lives on the CPU."""
    return _get(ds_config, "zero_optimization.offload_optimizer.device") == "cpu"


def with_linear(ds_config: dict[str, Any], sharded: bool) -> dict[str, Any]:
    """The config with ZeRO-3's own linear layer only where the LLM is `sharded`, unless the JSON says otherwise.

    That layer keeps inputs for gradients that a frozen, resident LLM never has: 10 GB of a 7B at 8,192 tokens.
    """
    if zero_level(ds_config) < 3:
        return ds_config
    return ds_config | {"zero_optimization": {"memory_efficient_linear": sharded} | ds_config["zero_optimization"]}


def _owned_values(model: ModelConfig, stage: StageConfig, world_size: int) -> dict[str, Any]:
    return {
        # DeepSpeed only counts with these. How many samples and passes a step takes varies with their lengths, and
        # the engine says itself when a step is complete. Two, because ZeRO-2 with offload (0.19.8) reads "more
        # than one" as "gradients add up over passes".
        **dict(zip(_COUNTS, (2 * world_size, 1, 2))),
        "gradient_clipping": stage.optimizer.clip,
        "bf16.enabled": model.precision == "bf16",
        "fp16.enabled": model.precision == "fp16",
    }


def _sizes(llm_width: int | None) -> dict[str, int]:
    """Buckets, in elements, that hold one transformer layer (about 12 x width^2 weights): the next layer is fetched
    while one computes, and a layer's gradients leave together. Norms and biases stay whole on every rank."""
    if llm_width is None:
        return {}
    layer = 12 * llm_width**2
    return {
        "zero_optimization.reduce_bucket_size": layer,
        "zero_optimization.allgather_bucket_size": layer,
        "zero_optimization.stage3_prefetch_bucket_size": layer,
        "zero_optimization.stage3_param_persistence_threshold": 10 * llm_width,
    }


def _get(values: dict, key: str) -> Any:
    for name in key.split("."):
        if not isinstance(values, dict) or name not in values:
            return None
        values = values[name]
    return values


def _set(values: dict, key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for name in parents:
        values = values.setdefault(name, {})
    values[last] = value


def _autos(values: Any, where: str = "") -> list[str]:
    if values == "auto":
        return [where]
    if isinstance(values, dict):
        return [found for k, v in values.items() for found in _autos(v, f"{where}.{k}".lstrip("."))]
    return []
