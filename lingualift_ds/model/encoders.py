"""Multilingual encoders: the encoder half of T5 kinds and of M2M100/NLLB, or a whole BERT kind."""

import inspect

import torch
from torch import Tensor, nn
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING,
    MODEL_FOR_TEXT_ENCODING_MAPPING,
    AutoModel,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.models.m2m_100.modeling_m2m_100 import M2M100Encoder

from lingualift_ds.errors import ConfigError, ModelError
from lingualift_ds.model.loading import DTYPES, load_weights

_OFFSET_POSITIONS = ("roberta", "camembert", "data2vec-text", "xmod", "mpnet", "longformer")
_RELATIVE_POSITIONS = ("t5", "mt5", "umt5", "switch_transformers", "longt5")


def encoder_class(config: PreTrainedConfig) -> type[PreTrainedModel]:
    """The class that runs only the encoder of this kind of model. Raises ModelError for decoder-only models."""
    kind = type(config)
    if config.model_type == "m2m_100":
        return M2M100Encoder
    if kind in MODEL_FOR_TEXT_ENCODING_MAPPING:
        return MODEL_FOR_TEXT_ENCODING_MAPPING[kind]
    if config.is_encoder_decoder or kind in MODEL_FOR_CAUSAL_LM_MAPPING and kind not in MODEL_FOR_MASKED_LM_MAPPING:
        raise ModelError(
            f"model.encoder: {config.model_type} is not an encoder that can be bridged; allowed: "
            "T5, mT5, umT5, BERT and RoBERTa kinds, M2M100, NLLB"
        )
    return AutoModel._model_mapping[kind]


def check_encoder(config: PreTrainedConfig, max_tokens: int) -> None:
    """Raise ModelError for what is no encoder, ConfigError for a length that it cannot do."""
    encoder_class(config)
    limit = position_limit(config)
    if limit is not None and max_tokens > limit:
        raise ConfigError(
            f"model.encoder_max_tokens: {max_tokens}, but this {config.model_type} encoder has "
            f"{limit} positions; at most {limit}"
        )


def position_limit(config: PreTrainedConfig) -> int | None:
    """Longest input in tokens that the encoder's positions allow; None where they go on (relative, sinusoidal)."""
    if config.model_type in (*_RELATIVE_POSITIONS, "m2m_100"):
        return None
    positions = getattr(config, "max_position_embeddings", None)
    if positions and any(kind in config.model_type for kind in _OFFSET_POSITIONS):
        return positions - config.pad_token_id - 1
    return positions


def load_encoder(name: str, config: PreTrainedConfig, precision: str) -> PreTrainedModel:
    """The encoder with its weights. Under ZeRO-3's init context the weights are partitioned as they arrive.

    Raises ModelError: unreadable files, missing weights, a kind of model that has no encoder.
    """
    kind = encoder_class(config)
    options: dict = {"dtype": DTYPES[precision], "output_loading_info": True, **_constructor_options(kind)}
    if kind is M2M100Encoder:
        # The files hold the whole translation model; its encoder's names lose their prefix, and the
        # embedding that encoder and decoder share is the encoder's own here.
        options["key_mapping"] = {r"^model\.encoder\.": "", r"^(model\.)?shared\.": "embed_tokens."}
    return load_weights(lambda: kind.from_pretrained(name, config=config, **options), name, "model.encoder")


def build_encoder(config: PreTrainedConfig, dtype: torch.dtype) -> PreTrainedModel:
    """The encoder without weights from files: random, to be overwritten."""
    kind = encoder_class(config)
    return kind._from_config(config, dtype=dtype, **_constructor_options(kind))


def encode(encoder: nn.Module, ids_BS: Tensor, mask_BS: Tensor) -> Tensor:
    """The encoder's last hidden states [B, S, E]; without a graph where the encoder is frozen."""
    frozen = not any(p.requires_grad for p in encoder.parameters())
    with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
        return encoder(input_ids=ids_BS, attention_mask=mask_BS).last_hidden_state


def _constructor_options(kind: type) -> dict:
    # BERT kinds carry a pooler that no one calls here: it would be a trainable weight without a gradient.
    return {"add_pooling_layer": False} if "add_pooling_layer" in inspect.signature(kind.__init__).parameters else {}
