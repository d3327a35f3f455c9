"""Shapes of the models that are timed, models of these shapes with random weights, and the work that a step needs."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import AutoModelForCausalLM, LlamaConfig, MT5Config, MT5EncoderModel, PreTrainedModel

from benchmarks.lengths import Lengths, llm_tokens
from lingualift_ds.config.layout import PromptLayout
from lingualift_ds.config.schema import AlignmentConfig
from lingualift_ds.data.tokenize import Sample
from lingualift_ds.model.alignment import AlignmentLayer
from lingualift_ds.train.stages import LINGUALIFT

BOS, EOS = 1, 2
_FIRST_WORD = 3
"""Ids below are PAD, BOS and EOS."""


@dataclass(frozen=True)
class Batch:
    """Of the reference: samples a rank and a pass, and passes a step. Ours gets the same samples a step."""

    micro_samples: int
    accumulation: int


@dataclass(frozen=True)
class Preset:
    """Models of a size, and how they are timed unless the command line says otherwise."""

    name: str
    encoder: dict[str, int]
    llm: dict[str, int]
    precision: str
    batches: dict[int, Batch]
    """By stage."""
    pairs: int
    matmul: int
    """Side of the square matrices whose product shows what the machine can do."""
    warmups: int = 1
    """Steps of each arm before the clock is looked at, after each build."""
    micro_tokens: dict[int, int] = field(default_factory=dict)
    """Token budget of ours by stage, a rank and a pass, in LLM tokens. On a CPU as much smaller than the config's own
    as the reference's accumulation is smaller than the authors'; on a GPU what its memory leaves to activations."""

    def encoder_config(self) -> MT5Config:
        """The multilingual encoder: mT5's kind, gated GELU, dropout 0.1."""
        return MT5Config(**self.encoder, pad_token_id=0, eos_token_id=EOS)

    def llm_config(self) -> LlamaConfig:
        """The LLM: Llama's kind, head not tied to the embedding."""
        special = {"pad_token_id": 0, "bos_token_id": BOS, "eos_token_id": EOS}
        # Logits as far apart at any width as Llama's 0.02 makes them at 4,096: near-uniform ones would agree in
        # their loss whatever the layout does.
        spread = 0.02 * (4096 / self.llm["hidden_size"]) ** 0.5
        return LlamaConfig(
            **self.llm, **special, max_position_embeddings=4096, tie_word_embeddings=False, initializer_range=spread
        )


PRESETS = {
    "tiny": Preset(
        name="tiny",
        encoder=dict(vocab_size=500, d_model=64, d_kv=16, d_ff=96, num_layers=2, num_heads=4),
        llm=dict(
            vocab_size=500, hidden_size=64, intermediate_size=96, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=4,
        ),
        precision="fp32",
        batches={1: Batch(4, 2), 2: Batch(2, 2)},
        pairs=3,
        matmul=512,
        micro_tokens={1: 1280, 2: 1280},
    ),
    "cpu": Preset(
        name="cpu",
        encoder=dict(vocab_size=32_000, d_model=512, d_kv=64, d_ff=1024, num_layers=4, num_heads=6),
        llm=dict(
            vocab_size=32_000, hidden_size=512, intermediate_size=1536, num_hidden_layers=8,
            num_attention_heads=8, num_key_value_heads=8,
        ),
        precision="fp32",
        batches={1: Batch(8, 2), 2: Batch(4, 2)},
        pairs=5,
        matmul=2048,
        micro_tokens={1: 2048, 2: 2048},
    ),
    "h200": Preset(
        name="h200",
        encoder=dict(vocab_size=250_112, d_model=2048, d_kv=64, d_ff=5120, num_layers=24, num_heads=32),
        llm=dict(
            vocab_size=32_000, hidden_size=4096, intermediate_size=11_008, num_hidden_layers=32,
            num_attention_heads=32, num_key_value_heads=32,
        ),
        precision="bf16",
        batches={1: Batch(8, 8), 2: Batch(4, 8)},
        pairs=6,
        matmul=8192,
        warmups=2,
        micro_tokens={1: 8192, 2: 2048},
    ),
}  # fmt: skip


def random_encoder(preset: Preset, dtype: torch.dtype, device: torch.device, seed: int, **options: Any):
    """The encoder half with random weights, made on the device. The same seed gives the same weights."""
    torch.manual_seed(seed)
    with device:
        return MT5EncoderModel._from_config(preset.encoder_config(), dtype=dtype, **options)


def random_llm(preset: Preset, dtype: torch.dtype, device: torch.device, seed: int, attention: str) -> PreTrainedModel:
    """The LLM with random weights, made on the device. The same seed gives the same weights."""
    torch.manual_seed(seed + 1)
    with device:
        return AutoModelForCausalLM.from_config(preset.llm_config(), dtype=dtype, attn_implementation=attention)


def alignment_layer(preset: Preset) -> AlignmentLayer:
    """The layer between both, of the kind of the paper's main runs."""
    return AlignmentLayer(AlignmentConfig(), preset.encoder["d_model"], preset.llm["hidden_size"])


def make_samples(lengths: Lengths, stage: int, count: int, seed: int, preset: Preset, layout: PromptLayout):
    """`count` samples of random ids, as long as rows drawn without replacement (again and again if need be)."""
    draw = np.random.Generator(np.random.PCG64([seed, stage]))
    rows = lengths.of_stage(stage)
    chosen = np.concatenate([draw.permutation(len(rows)) for _ in range(-(-count // len(rows)))])[:count]
    instruction = llm_tokens(LINGUALIFT[stage].instruction.format(language="Swahili"))
    words = {"encoder": preset.encoder["vocab_size"], "llm": preset.llm["vocab_size"]}

    def ids(role: str, length: int) -> np.ndarray:
        return draw.integers(_FIRST_WORD, words[role], length).astype(np.int32)

    return [
        Sample(
            id=f"s{index:06d}",
            language="en",
            encoder_ids=ids("encoder", encoder),
            prompt_ids=np.append(np.int32(BOS), ids("llm", instruction)),
            target_ids=np.append(ids("llm", target - 1), np.int32(EOS)),
            soft_rows=layout.length(int(encoder)),
        )
        for index, (encoder, target) in enumerate(rows[chosen])
    ]


def probe(preset: Preset, layout: PromptLayout) -> list[Sample]:
    """One short sample, for what must be given samples and does not read them."""
    ids = np.full(4, _FIRST_WORD, dtype=np.int32)
    return [Sample("probe", "en", ids, ids, ids, layout.length(len(ids)))]


def real_tokens(samples: Iterable[Sample]) -> tuple[int, int]:
    """Tokens that carry something, padding apart: of the LLM (soft prompt included), of the encoder."""
    samples = list(samples)
    return sum(s.llm_length for s in samples), sum(len(s.encoder_ids) for s in samples)


def counts(module: nn.Module) -> dict[str, int]:
    """Parameters of a module: all, and those that are multiplied at every position (embedding and head apart)."""
    every = {name: getattr(p, "ds_numel", p.numel()) for name, p in module.named_parameters()}
    tables = ("embed_tokens", "shared", "lm_head", "relative_attention_bias")
    return {"all": sum(every.values()), "layers": sum(n for k, n in every.items() if not any(t in k for t in tables))}


def necessary_flops(samples: Iterable[Sample], stage: int, preset: Preset, sizes: dict[str, dict[str, int]]) -> float:
    """Floating-point operations that a step over these samples cannot do without; padding and recomputation apart.

    Per token and weight: 2 forward, 2 for the gradient of the activations, 2 for that of the weights. Encoder:
    forward. Alignment layer: 4 in Stage I (what lies before it gets no gradient), forward in Stage II. LLM: 4 in
    Stage I (its weights get none), 6 in Stage II; its head at target positions only. Attention: two products of
    length x length x width a layer, half of that where it is causal, and twice as much again backward.
    """
    llm, encoder = preset.llm, preset.encoder
    inner = encoder["num_heads"] * encoder["d_kv"]
    head = llm["hidden_size"] * llm["vocab_size"]
    per_weight = {1: {"alignment": 4, "llm": 4}, 2: {"alignment": 2, "llm": 6}}[stage]
    total = 0.0
    for sample in samples:
        length, text, targets = sample.llm_length, len(sample.encoder_ids), len(sample.target_ids)
        total += 2 * text * sizes["encoder"]["layers"] + 4 * text**2 * inner * encoder["num_layers"]
        total += per_weight["alignment"] * text * sizes["alignment"]["layers"]
        total += per_weight["llm"] * (length * sizes["llm"]["layers"] + targets * head)
        total += 3 * 2 * length**2 * llm["hidden_size"] * llm["num_hidden_layers"]
    return total


def with_batch(preset: Preset, micro_samples: int | None, accumulation: int | None, micro_tokens: int | None) -> Preset:
    """The preset with other micro-batches of the reference and of ours, in both stages."""
    changes = {"micro_samples": micro_samples, "accumulation": accumulation}
    given = {key: value for key, value in changes.items() if value is not None}
    batches = {stage: replace(batch, **given) for stage, batch in preset.batches.items()}
    budgets = {stage: micro_tokens or budget for stage, budget in preset.micro_tokens.items()}
    return replace(preset, batches=batches, micro_tokens=budgets)
