"""English-centric LLMs: any AutoModelForCausalLM, chosen by its config and not by its name."""

import importlib.util

import torch
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoModelForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.modeling_layers import GradientCheckpointingLayer

from lingualift_ds.errors import ConfigError, ModelError
from lingualift_ds.model.loading import DTYPES, load_weights


def choose_attention(wanted: str, precision: str, config: PreTrainedConfig) -> tuple[str, str]:
    """(implementation, reason) for the LLM's attention. Raises ConfigError for one that cannot work here."""
    kind = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    no_sdpa = "" if getattr(kind, "_supports_sdpa", False) else f"{config.model_type} does not support sdpa"
    obstacles = {"flash_attention_2": _flash_obstacle(precision, config, kind), "sdpa": no_sdpa, "eager": ""}
    if wanted != "auto":
        if obstacles[wanted]:
            can = ", ".join(name for name, obstacle in obstacles.items() if not obstacle)
            raise ConfigError(f"model.attention: {wanted}: {obstacles[wanted]}; here: {can}")
        return wanted, "asked for"
    chosen = next(name for name, obstacle in obstacles.items() if not obstacle)
    return chosen, "; ".join(o for o in obstacles.values() if o) or "the fastest"


def _flash_obstacle(precision: str, config: PreTrainedConfig, kind: type | None) -> str:
    """Why flash-attn cannot be used; empty where it can."""
    if not torch.cuda.is_available():
        return "flash-attn needs a GPU"
    if importlib.util.find_spec("flash_attn") is None:
        return "flash-attn is not installed"
    if precision == "fp32":
        return "flash-attn has no fp32"
    return "" if getattr(kind, "_supports_flash_attn", False) else f"{config.model_type} does not support flash-attn"


def check_tokenizer(tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    """Raise ModelError where the tokenizer has no end-of-sequence token: generation would never stop."""
    if tokenizer.eos_token_id is None:
        raise ModelError(f"model.llm: {name}: its tokenizer has no EOS token; set eos_token in tokenizer_config.json")


def load_llm(name: str, precision: str, attention: str) -> PreTrainedModel:
    """The LLM with its weights. Under ZeRO-3's init context the weights are partitioned as they arrive.

    Raises ModelError: unreadable files, missing weights, not a causal LM.
    """
    options = {"dtype": DTYPES[precision], "attn_implementation": attention, "output_loading_info": True}
    return load_weights(lambda: AutoModelForCausalLM.from_pretrained(name, **options), name, "model.llm")


def build_llm(config: PreTrainedConfig, dtype: torch.dtype) -> PreTrainedModel:
    """The LLM without weights from files: random, to be overwritten."""
    attention, _ = choose_attention("auto", "fp32" if dtype == torch.float32 else "bf16", config)
    return AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=attention)


def checkpoint_activations(llm: PreTrainedModel) -> None:
    """Recompute each layer in the backward pass. Non-reentrant: the reentrant kind gives no gradients at all
    where the inputs are frozen. Raises ConfigError where the LLM's family does not support it."""
    if not llm.supports_gradient_checkpointing:
        raise ConfigError(f"model.activation_checkpointing: {type(llm).__name__} does not support it")
    # Renamed in transformers 5.2x; the old name warns where the new one is there.
    enable = getattr(llm, "activation_checkpointing_enable", None) or llm.gradient_checkpointing_enable
    enable({"use_reentrant": False})


def recompute_in_eval(llm: PreTrainedModel) -> None:
    """Keep recomputation on in a frozen LLM that is in eval mode.

    transformers recomputes a layer only while `layer.training` is set. In Stage I the LLM is frozen, but the
    gradient passes through it, so the flag of the layer itself is set, its children stay in eval mode, and a
    dropout rate that the layer applies by itself is put to 0.
    """
    for layer in llm.modules():
        if isinstance(layer, GradientCheckpointingLayer) and getattr(layer, "gradient_checkpointing", False):
            layer.training = True
            for name, value in vars(layer).items():
                if "dropout" in name and isinstance(value, float):
                    setattr(layer, name, 0.0)
