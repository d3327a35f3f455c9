"""Shapes of models that are often bridged, so that a run can be planned before anything is downloaded.

The keys are hub names, the values what their config.json says of the shape. A local folder comes first.
"""

from typing import Any


def _llama(width: int, ffn: int, layers: int, heads: int, kv_heads: int, vocabulary: int = 32_000) -> dict[str, Any]:
    return {
        "model_type": "llama",
        "hidden_size": width,
        "intermediate_size": ffn,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "vocab_size": vocabulary,
    }


def _mt5(width: int, ffn: int, layers: int, heads: int) -> dict[str, Any]:
    return {
        "model_type": "mt5",
        "d_model": width,
        "d_ff": ffn,
        "num_layers": layers,
        "num_heads": heads,
        "d_kv": 64,
        "vocab_size": 250_112,
        "feed_forward_proj": "gated-gelu",
    }


def _nllb(width: int, ffn: int, layers: int) -> dict[str, Any]:
    return {
        "model_type": "m2m_100",
        "d_model": width,
        "encoder_ffn_dim": ffn,
        "encoder_layers": layers,
        "encoder_attention_heads": 16,
        "vocab_size": 256_206,
    }


def _xlm_r(kind: str, width: int, ffn: int, layers: int, heads: int, vocabulary: int) -> dict[str, Any]:
    return {
        "model_type": kind,
        "hidden_size": width,
        "intermediate_size": ffn,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "vocab_size": vocabulary,
        "max_position_embeddings": 514,
        "type_vocab_size": 1,
    }


_LLAMA2_7B = _llama(4096, 11_008, 32, 32, 32)
_LLAMA2_13B = _llama(5120, 13_824, 40, 40, 40)
_LLAMA2_70B = _llama(8192, 28_672, 80, 64, 8)
_LLAMA3_8B = _llama(4096, 14_336, 32, 32, 8, 128_256)
_MISTRAL_7B = _llama(4096, 14_336, 32, 32, 8) | {"model_type": "mistral"}
_QWEN25_7B = _llama(3584, 18_944, 28, 28, 4, 152_064) | {"model_type": "qwen2"}
_QWEN25_32B = _llama(5120, 27_648, 64, 40, 8, 152_064) | {"model_type": "qwen2"}
_GEMMA2_9B = _llama(3584, 14_336, 42, 16, 8, 256_000) | {"model_type": "gemma2", "head_dim": 256}

PUBLISHED: dict[str, dict[str, Any]] = {
    "meta-llama/Llama-2-7b-hf": _LLAMA2_7B,
    "meta-llama/Llama-2-7b-chat-hf": _LLAMA2_7B,
    "meta-llama/Llama-2-13b-hf": _LLAMA2_13B,
    "meta-llama/Llama-2-70b-hf": _LLAMA2_70B,
    "meta-llama/Meta-Llama-3-8B": _LLAMA3_8B,
    "meta-llama/Llama-3.1-8B": _LLAMA3_8B,
    "meta-math/MetaMath-7B-V1.0": _LLAMA2_7B | {"vocab_size": 32_001},
    "mistralai/Mistral-7B-v0.1": _MISTRAL_7B,
    "Qwen/Qwen2.5-7B": _QWEN25_7B,
    "Qwen/Qwen2.5-32B": _QWEN25_32B,
    "google/gemma-2-9b": _GEMMA2_9B,
    "google/mt5-large": _mt5(1024, 2816, 24, 16),
    "google/mt5-xl": _mt5(2048, 5120, 24, 32),
    "google/mt5-xxl": _mt5(4096, 10_240, 24, 64),
    "facebook/nllb-200-distilled-600M": _nllb(1024, 4096, 12),
    "facebook/nllb-200-3.3B": _nllb(2048, 8192, 24),
    "FacebookAI/xlm-roberta-large": _xlm_r("xlm-roberta", 1024, 4096, 24, 16, 250_002),
    "facebook/xlm-roberta-xl": _xlm_r("xlm-roberta-xl", 2560, 10_240, 36, 32, 250_880),
}
"""config.json of published models by hub name, as far as a shape needs it. Source: their model pages."""
