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


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Summed cross entropy of logits [n, V] in fp32."""
    return functional.cross_entropy(logits.float(), targets, ignore_index=IGNORE, reduction="sum")


def logit_shaper(config: PreTrainedConfig) -> Callable[[Tensor], Tensor] | None:
    """What a family's own forward does to its logits after the head: softcapping (Gemma), scaling (Cohere, Granite);
    None for nothing."""
    cap = getattr(config, "final_logit_softcapping", None)
    scale = getattr(config, "logit_scale", None) or 1 / (getattr(config, "logits_scaling", None) or 1)
    scale = scale if isinstance(scale, (int, float)) else 1
    if cap:
        return lambda logits: torch.tanh(logits / cap) * cap
    return (lambda logits: logits * scale) if scale != 1 else None


def fuse_head(llm: PreTrainedModel) -> bool:
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
        return _ChunkedLoss.apply(hidden, head.weight, head.bias, targets_N, shape, torch.is_grad_enabled())

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
    """Head and cross entropy, chunk by chunk; gradients are made with the loss, while the logits are there.

    DeepSpeed's and Liger's fused losses save the head's weight for the backward pass, by when ZeRO-3 has taken it
    away, or know no shaping of logits.
    """

    @staticmethod
    def forward(ctx, hidden_ND, weight_VD, bias_V, targets_N, shape, training):
        wanted = [training and x is not None and x.requires_grad for x in (hidden_ND, weight_VD, bias_V)]
        hidden_ND, weight_VD, bias_V = (None if x is None else x.detach() for x in (hidden_ND, weight_VD, bias_V))
        # Parts of a bf16 head's gradient are summed in fp32: small terms would be lost on a sum of many.
        d_hidden = torch.empty_like(hidden_ND) if wanted[0] else None
        d_weight = torch.zeros_like(weight_VD, dtype=torch.float32) if wanted[1] else None
        d_bias = torch.zeros_like(bias_V, dtype=torch.float32) if wanted[2] else None
        loss = hidden_ND.new_zeros((), dtype=torch.float32)
        rows = max(1, CHUNK_LOGITS // weight_VD.shape[0])
        for first in range(0, len(targets_N), rows):
            chunk = slice(first, first + rows)
            logits_nV = functional.linear(hidden_ND[chunk], weight_VD, bias_V)
            part, d_logits = _entropy(logits_nV, targets_N[chunk], shape, any(wanted))
            loss += part
            if wanted[0]:
                torch.mm(d_logits, weight_VD, out=d_hidden[chunk])
            if wanted[1]:
                d_weight += d_logits.t() @ hidden_ND[chunk]
            if wanted[2]:
                d_bias += d_logits.sum(0, dtype=torch.float32)
        ctx.gradients, ctx.dtype = (d_hidden, d_weight, d_bias), hidden_ND.dtype
        return loss

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, scale):
        # In fp32: the factor is one over the step's target tokens, and 8 bits of it would be wrong by 0.4 %.
        gradients = [g if g is None else g.float().mul_(scale).to(ctx.dtype) for g in ctx.gradients]
        del ctx.gradients
        return (*gradients, None, None, None)


def _entropy(logits_nV: Tensor, targets_n: Tensor, shape, training: bool) -> tuple[Tensor, Tensor | None]:
    """(summed cross entropy, its gradient with respect to the logits in their dtype)."""
    if not training:
        return cross_entropy(logits_nV if shape is None else shape(logits_nV), targets_n), None
    if shape is not None:
        with torch.enable_grad():
            leaf = logits_nV.requires_grad_()
            part = cross_entropy(shape(leaf), targets_n)
            return part.detach(), torch.autograd.grad(part, leaf)[0]
    # softmax - onehot, made in the place of the logits.
    values, valid = logits_nV.float(), targets_n != IGNORE
    at = targets_n.clamp(min=0)[:, None]
    total = values.logsumexp(-1, keepdim=True)
    part = ((total - values.gather(1, at))[:, 0] * valid).sum()
    d_values = values.sub_(total).exp_()
    d_values.scatter_add_(1, at, d_values.new_full(at.shape, -1.0))
    return part, d_values.mul_(valid[:, None]).to(logits_nV.dtype)
