"""Multilingual encoders: the encoder half of T5 kinds and of M2M100/NLLB, or a whole BERT kind."""

import inspect
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Literal

import torch
from torch import Tensor
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
from lingualift_ds.model import attention
from lingualift_ds.model.loading import DTYPES, load_weights

_OFFSET_POSITIONS = ("roberta", "camembert", "data2vec-text", "xmod", "mpnet", "longformer")
_RELATIVE_POSITIONS = ("t5", "mt5", "umt5", "switch_transformers", "longt5")
_BIASED = ("t5", "mt5", "umt5")
_STATED_POSITIONS = ("bert", "roberta", "camembert", "xlm-roberta", "xlm-roberta-xl")


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
    if positions and _offset_positions(config.model_type):
        return positions - config.pad_token_id - 1
    return positions


def load_encoder(name: str, config: PreTrainedConfig, precision: str, bridged: bool = False) -> PreTrainedModel:
    """The encoder with its weights. Under ZeRO-3's init context the weights are partitioned as they arrive.

    `bridged` says that the folder is a whole bridged model's, whose encoder is meant. Raises ModelError: unreadable
    files, missing weights, a kind of model that has no encoder.
    """
    kind = encoder_class(config)
    options: dict = {"dtype": DTYPES[precision], "output_loading_info": True, **_constructor_options(kind)}
    if names := {r"^encoder\.": ""} if bridged else renamed(config):
        options["key_mapping"] = names
    return load_weights(lambda: kind.from_pretrained(name, config=config, **options), name, "model.encoder")


def renamed(config: PreTrainedConfig) -> dict[str, str]:
    """How tensors of this encoder are called in its files, where transformers cannot tell: patterns and what they
    become. M2M100's files hold the whole translation model: its encoder's names lose their prefix, and the embedding
    that encoder and decoder share is the encoder's own."""
    if encoder_class(config) is not M2M100Encoder:
        return {}
    return {r"^model\.encoder\.": "", r"^(model\.)?shared\.": "embed_tokens."}


def build_encoder(config: PreTrainedConfig, dtype: torch.dtype) -> PreTrainedModel:
    """The encoder without weights from files: random, to be overwritten."""
    kind = encoder_class(config)
    return kind._from_config(config, dtype=dtype, **_constructor_options(kind))


def packing_obstacle(config: PreTrainedConfig) -> str:
    """Why this encoder cannot read texts back to back; empty where it can.

    It can where its attention is ours to choose and its positions are relative or ours to state.
    """
    if config.model_type not in (*_STATED_POSITIONS, *_BIASED, "m2m_100"):
        return f"nothing is known of the positions of {config.model_type} encoders"
    if "attention_interface" not in inspect.getsource(inspect.getmodule(encoder_class(config))):
        return f"this version of transformers has no choice of attention in {config.model_type}"
    return ""


def let_pack(encoder: PreTrainedModel) -> None:
    """Make what an encoder computes from the length of its row follow the samples' extents in the row.

    T5 kinds make a bias of row x row: a corner as large as the longest sample is all that is needed. M2M100
    counts positions along the row: they are given.
    """
    extents = _extents_of(encoder)
    for module in encoder.modules():
        if getattr(module, "has_relative_attention_bias", False) and hasattr(module, "compute_bias"):
            module.compute_bias = _bias_of_longest(module.compute_bias, extents)
    if encoder.config.model_type == "m2m_100":
        plain = encoder.embed_positions.create_position_ids_from_input_ids
        encoder.embed_positions.create_position_ids_from_input_ids = lambda ids, pad, *rest: (
            plain(ids, pad, *rest) if extents.positions is None else extents.positions + pad + 1
        )


def states_per_token(config: PreTrainedConfig) -> int:
    """How many hidden states the encoder has of a token: its embedding's and one a layer."""
    return 1 + config.num_hidden_layers


def encode(
    encoder: PreTrainedModel, blocks: list[dict], order: Tensor | None, layers: Literal["last", "all"] = "last"
) -> Tensor:
    """The encoder's hidden states of all texts, back to back: [N, E] of the last layer, or [K, N, E] of all, see
    `hidden_states`; without a graph where it is frozen.

    blocks: one packed row (`ids`, `positions` [1, N], `bounds`, `lengths`), or padded ones (`ids`, `mask` [b, s])
    with `order` [N], the flat positions of the texts' tokens in them.
    """
    frozen = not any(p.requires_grad for p in encoder.parameters())
    with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
        if order is None:
            return _encode_packed(encoder, layers, **blocks[0]).squeeze(-3)
        read = [hidden_states(encoder, layers, input_ids=b["ids"], attention_mask=b["mask"]) for b in blocks]
        return torch.cat([states.flatten(-3, -2) for states in read], dim=-2).index_select(-2, order)


def hidden_states(encoder: PreTrainedModel, layers: Literal["last", "all"], **inputs) -> Tensor:
    """What the encoder makes of rows of tokens: the last layer's states [b, s, E], after the final norm where there is
    one, or those of all layers [K, b, s, E], embeddings first, that very last one at the end."""
    if layers == "last":
        return encoder(**inputs).last_hidden_state
    return _of_one_scale(encoder(**inputs, output_hidden_states=True).hidden_states)


def _of_one_scale(states: Sequence[Tensor]) -> Tensor:
    """All layers' states stacked, every token's brought to the length that its last one has, which stays as it is.

    In encoders that normalise before each part (T5, M2M100) only the last state has passed a norm; the others are
    sums that grow from layer to layer, and learned weights would weigh little but their lengths. ELMo (arXiv
    1802.05365, section 3.2) normalises layers before weighting them for the same reason.
    """
    # A state that is all zeros, such as the embedding of M2M100's padding, stays so.
    norms = [torch.linalg.vector_norm(s, dim=-1, keepdim=True, dtype=torch.float32).clamp(min=1e-12) for s in states]
    last = norms[-1].device  # a model's layers may lie on several
    return torch.stack([(s.to(last) * (norms[-1] / n.to(last))).to(s.dtype) for s, n in zip(states, norms)])


def _encode_packed(
    encoder: PreTrainedModel, layers: str, ids: Tensor, positions: Tensor, bounds: Tensor, lengths: tuple[int, ...]
) -> Tensor:
    kind, inputs = encoder.config.model_type, {}
    if kind in _STATED_POSITIONS:
        offset = encoder.config.pad_token_id + 1 if _offset_positions(kind) else 0
        inputs = {"position_ids": positions + offset, "token_type_ids": torch.zeros_like(ids)}
    known = _extents_of(encoder)
    known.longest, known.positions = max(lengths), positions
    try:
        return hidden_states(encoder, layers, input_ids=ids, **inputs, **attention.extents(lengths, bounds))
    finally:
        known.longest = known.positions = None


def _extents_of(encoder: PreTrainedModel) -> SimpleNamespace:
    """What the row that is being read holds; empty outside of `_encode_packed`."""
    if not hasattr(encoder, "_row_extents"):
        encoder._row_extents = SimpleNamespace(longest=None, positions=None)
    return encoder._row_extents


def _bias_of_longest(plain: Callable, extents: SimpleNamespace) -> Callable:
    def compute_bias(query_length: int, key_length: int, **options) -> Tensor:
        return plain(extents.longest or query_length, extents.longest or key_length, **options)

    return compute_bias


def _offset_positions(kind: str) -> bool:
    return any(name in kind for name in _OFFSET_POSITIONS)


def _constructor_options(kind: type) -> dict:
    # BERT kinds carry a pooler that no one calls here: it would be a trainable weight without a gradient.
    return {"add_pooling_layer": False} if "add_pooling_layer" in inspect.signature(kind.__init__).parameters else {}
