"""Attention over packed samples: which kernel each module uses, and the two that transformers does not bring.

Shapes: T positions of all samples of a row, H heads, K key/value heads, C head width. A row holds samples back to
back; `lengths` (host) and `bounds` (device, int32, [samples + 1]) say where each begins and ends. They travel as
the keyword arguments of transformers' flash-attention integrations, so no T x T mask is ever made.
"""

import functools
import importlib.util
import inspect
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface, PreTrainedConfig

from lingualift_ds.errors import ConfigError

PACKED = {"flash_attention_2": "lingualift_flash", "varlen": "lingualift_varlen", "sdpa": "lingualift_sdpa"}
"""Names under which transformers knows the kernels for packed rows."""


def attention_choices(
    key: str,
    wanted: str,
    precision: str,
    config: PreTrainedConfig,
    kind: type | None,
    packed: bool,
    flash: bool = True,
) -> list[tuple[str, str]]:
    """(kernel, reason) of one module, those that may work here, the fastest first. `key` is its config key, `kind` its
    transformers class, `flash` whether the flash-attn package is a choice at all.

    Raises ConfigError for a kernel asked for that cannot work here, naming those that can.
    """
    no_sdpa = "" if packed or getattr(kind, "_supports_sdpa", False) else f"{config.model_type} does not support sdpa"
    obstacles = {
        "flash_attention_2": _flash_obstacle(precision, config, kind),
        "varlen": _varlen_obstacle(precision, config, packed),
        "sdpa": no_sdpa,
        "eager": "",
    }
    if not flash:
        del obstacles["flash_attention_2"]
    if wanted != "auto":
        if obstacles[wanted]:
            can = ", ".join(name for name, obstacle in obstacles.items() if not obstacle)
            raise ConfigError(f"{key}: {wanted}: {obstacles[wanted]}; here: {can}")
        return [(wanted, "asked for")]
    reason = "; ".join(dict.fromkeys(o for o in obstacles.values() if o)) or "the fastest"
    # Over a packed row eager attention would make scores of row x row: only where it is asked for.
    return [(n, reason) for n, obstacle in obstacles.items() if not obstacle and not (packed and n == "eager")]


def _flash_obstacle(precision: str, config: PreTrainedConfig, kind: type | None) -> str:
    """Why flash-attn cannot be used; empty where it can."""
    if not torch.cuda.is_available():
        return "no GPU for flash-attn and varlen"
    if importlib.util.find_spec("flash_attn") is None:
        return "flash-attn is not installed"
    if not getattr(kind, "_supports_flash_attn", False):
        return f"{config.model_type} does not support flash-attn"
    return _kernel_obstacle("flash-attn", precision, config)


def _varlen_obstacle(precision: str, config: PreTrainedConfig, packed: bool) -> str:
    """Why PyTorch's varlen_attn cannot be used; empty where it can."""
    if not torch.cuda.is_available():
        return "no GPU for flash-attn and varlen"
    if not {"scale", "window_size"} <= _varlen_parameters():
        return f"torch {torch.__version__} has no varlen_attn with a scale and a window"
    if not packed:
        return "varlen is for packed samples"
    if hasattr(config, "relative_attention_num_buckets"):
        return f"varlen knows no position bias, which {config.model_type} adds"
    if getattr(config, "attn_logit_softcapping", None):
        return f"varlen knows no softcapping, which {config.model_type} does"
    return _kernel_obstacle("varlen", precision, config)


def _kernel_obstacle(name: str, precision: str, config: PreTrainedConfig) -> str:
    """What the fused kernels share: half precision, an Ampere GPU, heads of a multiple of 8 up to 256."""
    if precision == "fp32":
        return f"{name} has no fp32"
    if torch.cuda.get_device_capability() < (8, 0):
        return f"{name} needs a GPU of Ampere or later"
    width = getattr(config, "head_dim", None) or getattr(config, "d_kv", None)
    heads = getattr(config, "num_attention_heads", None)
    width = width or (config.hidden_size // heads if heads else 8)
    return f"{name} has no heads of {width}" if width % 8 or width > 256 else ""


@functools.cache
def _varlen_parameters() -> frozenset[str]:
    """What this version's varlen_attn takes; nothing where there is none."""
    if importlib.util.find_spec("torch.nn.attention.varlen") is None:
        return frozenset()
    from torch.nn.attention.varlen import varlen_attn

    return frozenset(inspect.signature(varlen_attn).parameters)


def extents(lengths: tuple[int, ...], bounds: Tensor) -> dict[str, Any]:
    """The keyword arguments that carry the samples' extents through a model to its attention."""
    longest = max(lengths)
    return {
        "cu_seq_lens_q": bounds,
        "cu_seq_lens_k": bounds,
        "max_length_q": longest,
        "max_length_k": longest,
        "sample_lengths": lengths,
    }


@torch.compiler.disable  # extents differ from batch to batch: each would be compiled anew
def varlen_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    position_bias: Tensor | None = None,
    s_aux: Tensor | None = None,
    cu_seq_lens_q: Tensor | None = None,
    max_length_q: int | None = None,
    is_causal: bool | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """PyTorch's fused attention over a packed row. query [1, H, T, C], key and value [1, K, T, C]; gives [1, T, H, C].

    It has no dropout: the attention dropout of an LLM that has one is left out.
    """
    assert softcap is None and position_bias is None and s_aux is None, "varlen knows no softcap, bias or sinks"
    from torch.nn.attention.varlen import varlen_attn

    causal, windows = _reach(module, is_causal, sliding_window)
    q_THC, k_TKC, v_TKC = (x[0].transpose(0, 1) for x in (query, key, value))
    options: dict[str, Any] = {"enable_gqa": True} if "enable_gqa" in _varlen_parameters() else {}
    if q_THC.shape[1] != k_TKC.shape[1] and not options:
        k_TKC, v_TKC = (x.repeat_interleave(q_THC.shape[1] // x.shape[1], dim=1) for x in (k_TKC, v_TKC))
    where = (cu_seq_lens_q, cu_seq_lens_q, max_length_q, max_length_q)
    mixed_THC = varlen_attn(q_THC, k_TKC, v_TKC, *where, scale=scaling, window_size=windows, **options)
    return mixed_THC[None], None


@torch.compiler.disable
def flash_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    position_bias: Tensor | None = None,
    s_aux: Tensor | None = None,
    cu_seq_lens_q: Tensor | None = None,
    max_length_q: int | None = None,
    is_causal: bool | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """The flash-attn package over a packed row; shapes as in `varlen_attention`.

    Called directly: transformers' own integration looks at the positions to find out whether the row is packed, and
    waits for the device to tell.
    """
    assert position_bias is None and s_aux is None, "flash-attn knows no position bias, and is given no sinks"
    from flash_attn import flash_attn_varlen_func

    causal, windows = _reach(module, is_causal, sliding_window)
    q_THC, k_TKC, v_TKC = (x[0].transpose(0, 1) for x in (query, key, value))
    mixed_THC = flash_attn_varlen_func(
        q_THC, k_TKC, v_TKC, cu_seq_lens_q, cu_seq_lens_q, max_length_q, max_length_q, dropout_p=dropout,
        softmax_scale=scaling, causal=causal, window_size=windows, softcap=softcap or 0.0,
    )  # fmt: skip
    return mixed_THC[None], None


def _reach(module: nn.Module, is_causal: bool | None, sliding_window: int | None) -> tuple[bool, tuple[int, int]]:
    """Whether attention is causal, and how far it looks to the left and to the right; -1 for all."""
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    return causal, (sliding_window - 1 if sliding_window else -1, 0) if causal else (-1, -1)


@torch.compiler.disable
def sample_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    position_bias: Tensor | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    is_causal: bool | None = None,
    s_aux: Tensor | None = None,
    sample_lengths: tuple[int, ...] = (),
    **_: Any,
) -> tuple[Tensor, None]:
    """Scaled dot product attention over a packed row, sample by sample. The same shapes as `varlen_attention`.

    position_bias [1, H, longest, longest] is added to the scores (T5); each sample takes its corner of it.
    """
    assert s_aux is None, "attention sinks are not computed here"
    assert query.shape[0] == 1 and sum(sample_lengths) == query.shape[2], "not a packed row"
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    parts = []
    for q, k, v in zip(*(x.split(sample_lengths, dim=2) for x in (query, key, value))):
        n = q.shape[2]
        windowed = causal and sliding_window is not None and n > sliding_window
        mask = _window(n, sliding_window, q.device) if windowed else None
        if position_bias is not None:
            mask = position_bias[:, :, :n, :n]
        if softcap is not None:
            parts.append(_softcapped(q, k, v, mask, scaling, dropout, softcap, causal))
        else:
            parts.append(
                functional.scaled_dot_product_attention(
                    q,
                    k,
                    v,
                    attn_mask=mask,
                    dropout_p=dropout,
                    is_causal=causal and mask is None,
                    scale=scaling,
                    enable_gqa=q.shape[1] != k.shape[1],
                )  # fmt: skip
            )
    return torch.cat(parts, dim=2).transpose(1, 2), None


def _softcapped(q, k, v, mask, scaling, dropout: float, softcap: float, causal: bool) -> Tensor:
    """Attention whose scores are bent into +-softcap (Gemma-2), which the fused kernels of PyTorch cannot."""
    groups = q.shape[1] // k.shape[1]
    k, v = (x.repeat_interleave(groups, dim=1) if groups > 1 else x for x in (k, v))
    scores = q @ k.transpose(2, 3) * (q.shape[-1] ** -0.5 if scaling is None else scaling)
    scores = torch.tanh(scores / softcap) * softcap
    if causal:
        n = q.shape[2]
        mask = torch.ones(n, n, dtype=torch.bool, device=q.device).tril() if mask is None else mask
        scores = scores.masked_fill(~mask, -torch.inf)
    weights = scores.softmax(dim=-1, dtype=torch.float32).to(q.dtype)
    return functional.dropout(weights, dropout) @ v


def _window(length: int, window: int, device: torch.device) -> Tensor:
    """True where a position may look: itself and the `window` - 1 before it."""
    every = torch.ones(length, length, dtype=torch.bool, device=device)
    return every.tril().triu(1 - window)


# Without a mask function of the same name transformers (5.23, masking_utils.py) makes no mask for these.
AttentionInterface.register(PACKED["flash_attention_2"], flash_attention)
AttentionInterface.register(PACKED["varlen"], varlen_attention)
AttentionInterface.register(PACKED["sdpa"], sample_attention)
