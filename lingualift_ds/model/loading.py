"""What loading an encoder and loading an LLM share: dtypes, tokenizers, and one clear line when it fails."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, AutoTokenizer, PreTrainedConfig, PreTrainedTokenizerBase
from transformers.conversion_mapping import get_checkpoint_conversion_mapping
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.utils import (
    SAFE_WEIGHTS_INDEX_NAME,
    SAFE_WEIGHTS_NAME,
    WEIGHTS_INDEX_NAME,
    WEIGHTS_NAME,
    cached_file,
)
from transformers.utils.hub import get_checkpoint_shard_files

from lingualift_ds.errors import ModelError

# Our own lines say what is loaded, and missing weights are an error below.
transformers.utils.logging.disable_progress_bar()
transformers.utils.logging.set_verbosity_error()

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def read_config(name: str, key: str) -> PreTrainedConfig:
    """The transformers config of a folder or hub name. Raises ModelError naming the config key."""
    return _or_model_error(
        lambda: AutoConfig.from_pretrained(name, trust_remote_code=False), f"{key}: {name}: no model can be read there"
    )


def read_tokenizer(name: str, key: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder or hub name. Raises ModelError where there is none or it cannot be read."""
    tokenizer = _or_model_error(
        lambda: AutoTokenizer.from_pretrained(name, trust_remote_code=False),
        f"{key}: {name}: has no tokenizer that can be read",
    )
    # Where the folder holds none, transformers 5 makes one from the model's config, which knows no word.
    ids = tokenizer("The 7 words", add_special_tokens=False)["input_ids"]
    if not any(c.isalnum() for c in tokenizer.decode(ids, skip_special_tokens=True)):
        raise ModelError(f"{key}: {name}: has no tokenizer; save the model's tokenizer in the same folder")
    return tokenizer


def load_weights(make: Callable[[], Any], name: str, key: str) -> Any:
    """The result of a `from_pretrained`, checked: no weight missing from the files.

    `make` returns (model, loading_info). Raises ModelError; a weight left at random is one too.
    """
    model, info = _or_model_error(make, f"{key}: {name}: the weights cannot be loaded")
    tied = set(getattr(model, "all_tied_weights_keys", None) or ())
    missing = sorted(set(info["missing_keys"]) - tied)
    if missing:
        raise ModelError(f"{key}: {name}: weights missing from the files: {', '.join(missing[:3])} ({len(missing)})")
    for module in model.modules():
        if hasattr(module, "layerdrop"):
            # M2M100 and OPT skip layers at random, each rank its own: under ZeRO-3 the ranks would wait for ever.
            module.layerdrop = 0.0
    return model


def weight_files(name: str, config: PreTrainedConfig) -> list[Path]:
    """The files that `from_pretrained` reads a model's weights from; empty where they are none of the usual ones."""
    quiet = {"_raise_exceptions_for_missing_entries": False, "_raise_exceptions_for_connection_errors": False}
    commit = getattr(config, "_commit_hash", None)
    for usual in (SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME, WEIGHTS_NAME, WEIGHTS_INDEX_NAME):
        found = cached_file(name, usual, revision=commit, **quiet)
        if found is None:
            continue
        if usual in (SAFE_WEIGHTS_NAME, WEIGHTS_NAME):
            return [Path(found)]
        return [Path(shard) for shard in get_checkpoint_shard_files(name, found, revision=commit)[0]]
    return []


def stored_as_used(config: PreTrainedConfig, kind: type) -> bool:
    """Whether transformers takes the tensors of this kind of model from its files as they are, names' prefix apart:
    not quantized, and none merged, split or renamed on the way."""
    converted = (get_checkpoint_conversion_mapping(key) for key in (kind.__name__, config.model_type))
    return getattr(config, "quantization_config", None) is None and not any(converted)


def compile_layers(model: nn.Module) -> int:
    """torch.compile each transformer layer, for inputs of any length; returns how many."""
    layers = [m for m in model.modules() if isinstance(m, GradientCheckpointingLayer)]
    for layer in layers:
        layer.compile(dynamic=True)
    return len(layers)


def _or_model_error(make: Callable[[], Any], line: str) -> Any:
    try:
        return make()
    except (OSError, ValueError, KeyError, TypeError, ImportError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"{line}: {reason[:300]}") from error
