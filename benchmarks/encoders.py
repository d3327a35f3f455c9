"""How fast an encoder reads a micro-batch's texts: packed, in blocks of like length, or under one dense mask.

python benchmarks/encoders.py [--kinds mt5 xlm-roberta nllb] [--flex] [--json FILE]

Encoders of each kind have random weights and 512 units; texts have the lengths of GSM8K's questions. In turn:
packed     one row, attention text by text (model/attention.py): what training uses
blocks n   n padded blocks of like length, one after the other; 1 is the layout of a plain batch
dense      one row under a mask of row x row, as PyTorch's sdpa takes it
flex       one row, compiled flex attention, the relative bias as its score_mod (T5 kinds, --flex)
All arms must give the same states. Seconds are of one pass without gradients, as a frozen encoder runs.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
import transformers
from torch import Tensor
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
from transformers import AttentionInterface, PreTrainedModel

from benchmarks.lengths import read_lengths
from benchmarks.machine import facts, settle, versions
from lingualift_ds.config.layout import PromptLayout
from lingualift_ds.data.collate import BatchLayout, collate
from lingualift_ds.data.tokenize import Sample
from lingualift_ds.model.attention import PACKED
from lingualift_ds.model.encoders import encode, let_pack

WIDTH, LAYERS, VOCABULARY = 512, 6, 8000
KINDS: dict[str, Callable[[], PreTrainedModel]] = {
    "mt5": lambda: transformers.MT5EncoderModel(
        transformers.MT5Config(vocab_size=VOCABULARY, d_model=WIDTH, d_kv=64, d_ff=1024, num_layers=LAYERS, num_heads=8)
    ),
    "xlm-roberta": lambda: transformers.XLMRobertaModel(
        transformers.XLMRobertaConfig(
            vocab_size=VOCABULARY, hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=8,
            intermediate_size=2048, max_position_embeddings=1026, pad_token_id=1,
        ),
        add_pooling_layer=False,
    ),
    "nllb": lambda: transformers.models.m2m_100.modeling_m2m_100.M2M100Encoder(
        transformers.M2M100Config(
            vocab_size=VOCABULARY, d_model=WIDTH, encoder_layers=LAYERS, encoder_attention_heads=8,
            encoder_ffn_dim=2048, encoder_layerdrop=0.0,
        )
    ),
}  # fmt: skip


def main() -> None:
    """Measure every kind and print the table."""
    parser = argparse.ArgumentParser(prog="benchmarks/encoders.py", description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="+", choices=sorted(KINDS), default=sorted(KINDS), metavar="KIND")
    parser.add_argument("--texts", type=int, default=32, metavar="N", help="texts of a micro-batch")
    parser.add_argument("--runs", type=int, default=7, metavar="N")
    parser.add_argument("--flex", action="store_true", help="flex attention too: compiles, minutes on a CPU")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    samples = texts(arguments.texts)
    found = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "machine": facts(), "versions": versions()}
    found |= {"benchmark": "encoders", "tokens": sum(len(s.encoder_ids) for s in samples), "texts": len(samples)}
    found["seconds"] = {kind: measure(kind, samples, arguments) for kind in arguments.kinds}
    for kind, arms in found["seconds"].items():
        best = statistics.median(arms["packed"])
        for arm, seconds in arms.items():
            median = statistics.median(seconds)
            spread = f"({min(seconds):.3f} to {max(seconds):.3f})"
            print(f"{kind:<12} {arm:<9} {median:7.3f} s {spread} {median / best:5.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def texts(count: int) -> list[Sample]:
    """Samples with random text of GSM8K's lengths; nothing else of them is read."""
    rng, nothing = np.random.default_rng(0), np.zeros(1, np.int32)
    lengths = read_lengths(None).table[:, 0]
    chosen = rng.choice(lengths, count)
    ids = [rng.integers(5, VOCABULARY, n, dtype=np.int32) for n in chosen]
    return [Sample(str(i), "", x, nothing, nothing, len(x) + 2) for i, x in enumerate(ids)]


@torch.no_grad()
def measure(kind: str, samples: list[Sample], arguments: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds of every arm, in turn; AssertionError where one gives other states."""
    encoder = KINDS[kind]().eval()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    encoder.to(device)
    let_pack(encoder)
    layout = BatchLayout(0, True, encoder.config.pad_token_id, PromptLayout(1, 1))
    packed = collate(samples, layout)["encoder"]
    arms = {"packed": lambda: _read(encoder, PACKED["sdpa"], packed)}
    for blocks in (1, 4, 8):
        batch = collate(samples, replace(layout, pack_encoder=False, encoder_blocks=blocks))["encoder"]
        arms[f"blocks {blocks}"] = lambda batch=batch: _read(encoder, "sdpa", batch)
    arms["dense"] = lambda: _read(encoder, "benchmark_dense", packed)
    if arguments.flex and kind == "mt5":
        arms["flex"] = lambda: _read(encoder, "benchmark_flex", packed)
    expected = arms["blocks 1"]()
    for name, arm in arms.items():  # also the warm-up
        assert torch.allclose(arm(), expected, atol=1e-3), f"{kind}, {name}: other states"
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(arguments.runs):
        for name, arm in arms.items():
            settle(device)
            started = time.perf_counter()
            arm()
            settle(device)
            seconds[name].append(time.perf_counter() - started)
    return seconds


def _read(encoder: PreTrainedModel, attention: str, batch: dict[str, Any]) -> Tensor:
    for part in encoder.modules():
        if hasattr(getattr(part, "config", None), "_attn_implementation"):
            part.config._attn_implementation = attention
    return encode(encoder, batch["blocks"], batch["order"])


def _dense(module, query, key, value, mask, scaling=None, position_bias=None, sample_lengths=(), **_):
    owner = _owners(sample_lengths)
    allowed = owner[:, None] == owner[None, :]
    bias = torch.zeros_like(allowed, dtype=query.dtype).masked_fill(~allowed, -torch.inf)[None, None]
    if position_bias is not None:
        place = _places(sample_lengths)
        bias = bias + position_bias[:, :, place[:, None], place[None, :]]
    mixed = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=scaling)
    return mixed.transpose(1, 2), None


def _flex(module, query, key, value, mask, scaling=None, position_bias=None, sample_lengths=(), **_):
    owner, place, bias = _owners(sample_lengths), _places(sample_lengths), position_bias[0]
    rows = query.shape[2]
    blocks = create_block_mask(lambda b, h, q, k: owner[q] == owner[k], None, None, rows, rows, device=query.device)
    mixed = _compiled()(
        query, key, value, lambda score, b, h, q, k: score + bias[h, place[q], place[k]], blocks, scale=scaling
    )
    return mixed.transpose(1, 2), None


_flex_compiled: list[Callable] = []


def _compiled() -> Callable:
    if not _flex_compiled:
        _flex_compiled.append(torch.compile(flex_attention))
    return _flex_compiled[0]


def _owners(lengths: tuple[int, ...]) -> Tensor:
    return torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))


def _places(lengths: tuple[int, ...]) -> Tensor:
    return torch.cat([torch.arange(n) for n in lengths])


AttentionInterface.register("benchmark_dense", _dense)
AttentionInterface.register("benchmark_flex", _flex)

if __name__ == "__main__":
    main()
