"""The arithmetic that a step needs, in floating point operations: what is computed on padding is not needed.

A matrix product of a weight with a token is two operations a weight; a backward pass makes as many for the gradient
of its input, and as many again for the gradient of the weight where that is trained.
"""

import torch
from torch import nn

from lingualift_ds.model.groups import full_numel

_PEAK_TFLOPS = {"H200": 989, "H100": 989, "H800": 989, "A100": 312, "A800": 312, "L40S": 362, "B200": 2250}
"""Dense bf16 operations a second that the vendor states, in 1e12, by a part of the device's name."""


_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")


def step_work(model: nn.Module) -> "StepWork | None":
    """The work of a model's steps; None where it is of no use (a GPU whose peak is not known, no GPU) or cannot be
    told from the config: mixtures of experts, LLMs without attention heads."""
    config = model.parts["llm"].config
    if peak_operations() is None or any(getattr(config, name, None) for name in _EXPERTS):
        return None
    try:
        return StepWork(model)
    except AttributeError:
        return None


class StepWork:
    """Operations of a step of a bridged model. Attention's own products are counted by the samples' lengths."""

    def __init__(self, model: nn.Module):
        parts = model.parts
        trained = {name: any(p.requires_grad for p in part.parameters()) for name, part in parts.items()}
        self._encoder = _weights(parts["encoder"]) * (6 if trained["encoder"] else 2) if "encoder" in parts else 0
        # The alignment layer reads the encoder's tokens; its input needs a gradient only where the encoder is trained.
        if "alignment" in parts:
            self._encoder += _weights(parts["alignment"]) * (2 + 2 * trained["alignment"] + 2 * trained["encoder"])
        head = parts["llm"].get_output_embeddings().weight
        # Gradients of the inputs pass through all of the LLM; those of weights are an adapter's alone, if it has one.
        passes = {id(p): 6 if p.requires_grad else 4 for p in parts["llm"].parameters()}
        self._head = full_numel(head) * passes[id(head)]
        tables = _tables(parts["llm"]) | {id(head)}
        self._llm = sum(full_numel(p) * passes[id(p)] for p in parts["llm"].parameters() if id(p) not in tables)
        config = parts["llm"].config
        self._pairs = 2 * config.num_hidden_layers * config.num_attention_heads * _head_width(config)

    def operations(self, llm_tokens: int, encoder_tokens: int, target_tokens: int, token_pairs: int) -> float:
        """Of a step; token_pairs: sum over samples of the square of their LLM tokens."""
        linear = self._llm * llm_tokens + self._head * target_tokens
        # Queries with keys and weights with values over half the pairs (causal), forward once and backward twice.
        return linear + 3 * self._pairs * token_pairs + self._encoder * encoder_tokens


def peak_operations() -> float | None:
    """Operations a second that this GPU could do in bf16, by its maker; None where it is not known."""
    if not torch.cuda.is_available():
        return None
    name = torch.cuda.get_device_name()
    return next((tflops * 1e12 for part, tflops in _PEAK_TFLOPS.items() if part in name), None)


def _weights(part: nn.Module) -> int:
    """Weights that are multiplied with every token: all but embedding tables."""
    tables = _tables(part)
    return sum(full_numel(p) for p in part.parameters() if id(p) not in tables)


def _tables(part: nn.Module) -> set[int]:
    """Identities of the embedding tables, of which every token reads a row."""
    return {id(m.weight) for m in part.modules() if isinstance(m, nn.Embedding)}


def _head_width(config) -> int:
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
