"""English-centric LLMs: any AutoModelForCausalLM, chosen by its config and not by its name."""

import inspect

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


def check_tokenizer(tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    """Raise ModelError where the tokenizer has no end-of-sequence token: generation would never stop."""
    if tokenizer.eos_token_id is None:
        raise ModelError(f"model.llm: {name}: its tokenizer has no EOS token; set eos_token in tokenizer_config.json")


def load_llm(name: str, precision: str, config: PreTrainedConfig, bridged: bool = False) -> PreTrainedModel:
    """The LLM with its weights. Under ZeRO-3's init context the weights are partitioned as they arrive.

    `bridged` says that the folder is a whole bridged model's, whose LLM is meant, without its adapter. Raises
    ModelError: unreadable files, missing weights, not a causal LM.
    """
    options = {"dtype": DTYPES[precision], "attn_implementation": plain_attention(config), "output_loading_info": True}
    if bridged:
        options |= {"config": config, "key_mapping": {r"^llm\.": "", r"\.base_layer\.": "."}}
    return load_weights(
        lambda: AutoModelForCausalLM.from_pretrained(name, trust_remote_code=False, **options), name, "model.llm"
    )


def llm_class(config: PreTrainedConfig) -> type[PreTrainedModel] | None:
    """The class that a causal LM of this config has; None where transformers knows none."""
    return MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)


def can_recompute(config: PreTrainedConfig) -> bool:
    """Whether this family supports activation checkpointing."""
    return bool(getattr(llm_class(config), "supports_gradient_checkpointing", False))


def packing_obstacle(config: PreTrainedConfig, longest: int) -> str:
    """Why this LLM cannot read samples of up to `longest` tokens back to back; empty where nothing is known.

    A window that a family builds into its mask is lost, because packed rows have no mask. Short samples, as they
    are tried before training, do not show it.
    """
    window = getattr(config, "sliding_window", None) or getattr(config, "attention_chunk_size", None)
    if not window or window >= longest:
        return ""
    kind = llm_class(config)
    handed_over = kind is not None and "sliding_window=" in inspect.getsource(inspect.getmodule(kind))
    return "" if handed_over else f"{config.model_type} keeps its window of {window} tokens in a mask"


def plain_attention(config: PreTrainedConfig) -> str:
    """sdpa where the family has it, else eager: for reading one sample a row, and for generation."""
    return "sdpa" if getattr(llm_class(config), "_supports_sdpa", False) else "eager"


def build_llm(config: PreTrainedConfig, dtype: torch.dtype) -> PreTrainedModel:
    """The LLM without weights from files: random, to be overwritten."""
    return AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=plain_attention(config))


def checkpoint_activations(llm: PreTrainedModel, layers: int) -> int:
    """Compute the first `layers` layers again in the backward pass; returns how many do. Non-reentrant: the
    reentrant kind gives no gradients at all where the inputs are frozen. Raises ConfigError where the LLM's
    family does not support it."""
    if not layers:
        return 0
    if not llm.supports_gradient_checkpointing:
        raise ConfigError(f"model.activation_checkpointing: {type(llm).__name__} does not support it")
    # Renamed in transformers 5.2x; the old name warns where the new one is there.
    enable = getattr(llm, "activation_checkpointing_enable", None) or llm.gradient_checkpointing_enable
    enable({"use_reentrant": False})
    # It also makes the embeddings require gradients, which only the reentrant kind needs.
    llm.disable_input_require_grads()
    can = [m for m in llm.modules() if isinstance(m, GradientCheckpointingLayer)]
    for layer in can[layers:]:
        layer.gradient_checkpointing = False
    return min(layers, len(can))


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
