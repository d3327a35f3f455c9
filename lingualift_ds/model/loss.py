"""The loss: cross entropy at target positions only, as a sum, so that whoever knows the whole step divides.

Hidden states are picked at the target positions before the LM head. Head and cross entropy then run over chunks
of them, forward and backward at once, so that the logits of one chunk are all that ever exists.
Shapes: N targets, D LLM width, V vocabulary.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedConfig, PreTrainedModel

from lingualift_ds.config.layout import IGNORE

CHUNK_LOGITS = 1 << 25
"""Logits of one chunk, in elements: 128 MB in fp32."""

CrossEntropy = Callable[[Tensor, Tensor], Tensor]
"""Summed cross entropy of logits [n, V] in any dtype and targets [n]."""


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """PyTorch's, in fp32."""
    return functional.cross_entropy(logits.float(), targets, ignore_index=IGNORE, reduction="sum")


def logit_shaper(config: PreTrainedConfig) -> Callable[[Tensor], Tensor]:
    """What a family's own forward does to its logits after the head: softcapping (Gemma), scaling (Cohere, Granite)."""
    cap = getattr(config, "final_logit_softcapping", None)
    scale = getattr(config, "logit_scale", None) or 1 / (getattr(config, "logits_scaling", None) or 1)
    if cap:
        return lambda logits: torch.tanh(logits / cap) * cap
    return (lambda logits: logits * scale) if scale != 1 else (lambda logits: logits)


def fuse_head(llm: PreTrainedModel, entropy: CrossEntropy = cross_entropy) -> bool:
    """Let the LM head give the loss when it is called with targets; without, it gives logits as before.

    The loss is made inside the head's own call, because that is when ZeRO-3 has its weight gathered, in the
    forward and again in the backward pass. Returns whether the head can: a plain Linear can.
    """
    head = llm.get_output_embeddings()
    if type(head) is not nn.Linear:
        return False
    shape, plain = logit_shaper(llm.config), head.forward

    def forward(hidden: Tensor, targets_N: Tensor | None = None) -> Tensor:
        if targets_N is None:
            return plain(hidden)
        return _ChunkedLoss.apply(hidden, head.weight, head.bias, targets_N, shape, entropy, torch.is_grad_enabled())

    head.forward = forward
    return True


def target_loss(llm: PreTrainedModel, inputs: dict, slots_N: Tensor, targets_N: Tensor, fused: bool) -> Tensor:
    """Sum of the cross entropy in nats over the targets that are not IGNORE; 0 (with a graph) where there is none.

    inputs: keyword arguments of the LLM, with inputs_embeds; slots_N: flat positions whose next token is targets_N.
    Not `fused`, the LLM's own forward makes logits at every position: the reference that `fused` is held against,
    and what is left for families whose head is no plain Linear.
    """
    if not fused:
        logits_VN = llm(**inputs).logits.flatten(0, 1).index_select(0, slots_N)
        return cross_entropy(logits_VN, targets_N)
    hidden_TD = llm.base_model(**inputs).last_hidden_state.flatten(0, 1)
    return llm.get_output_embeddings()(hidden_TD.index_select(0, slots_N), targets_N=targets_N)


class _ChunkedLoss(torch.autograd.Function):
    """Head and cross entropy, chunk by chunk; gradients are made with the loss, while the logits are there."""

    @staticmethod
    def forward(ctx, hidden_ND, weight_VD, bias_V, targets_N, shape, entropy, training):
        wanted = [training and x is not None and x.requires_grad for x in (hidden_ND, weight_VD, bias_V)]
        leaves = [None if x is None else x.detach() for x in (hidden_ND, weight_VD, bias_V)]
        gradients = [torch.empty_like(leaves[0]) if wanted[0] else None]
        # Chunks of a bf16 head are summed in fp32: small terms would be lost on a sum of many.
        gradients += [torch.zeros_like(x, dtype=torch.float32) if w else None for x, w in zip(leaves[1:], wanted[1:])]
        loss = hidden_ND.new_zeros((), dtype=torch.float32)
        rows = max(1, CHUNK_LOGITS // weight_VD.shape[0])
        for first in range(0, len(targets_N), rows):
            chunk = slice(first, first + rows)
            own = [leaves[0][chunk], *leaves[1:]]
            inputs = [x if x is None else x.requires_grad_(w) for x, w in zip(own, wanted)]
            with torch.set_grad_enabled(any(wanted)):
                part = entropy(shape(functional.linear(*inputs)), targets_N[chunk])
            loss += part.detach()
            if not any(wanted):
                continue
            found = iter(torch.autograd.grad(part, [x for x, w in zip(inputs, wanted) if w]))
            if wanted[0]:
                gradients[0][chunk] = next(found)
            for total in (g for g in gradients[1:] if g is not None):
                total += next(found)
        ctx.gradients = [g if g is None else g.to(x.dtype) for g, x in zip(gradients, leaves)]
        return loss

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, scale):
        gradients = [g if g is None else g.mul_(scale.to(g.dtype)) for g in ctx.gradients]
        del ctx.gradients
        return (*gradients, None, None, None, None)
