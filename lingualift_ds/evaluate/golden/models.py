"""The models that are recorded, made in code: nothing in them is trained, drawn or downloaded."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import (
    LlamaConfig,
    MT5Config,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    XLMRobertaConfig,
)

from lingualift_ds.hub import LinguaLiftConfig
from lingualift_ds.model.whitespace import add_whitespace_tokens

QUESTIONS = (
    "Ann has 3 apples and buys 4 more. How many apples does she have?",
    "Ana ana tufaha 3\nna ananunua 4 zaidi.",
    "\u0906\u0928\u093e \u0915\u0947 \u092a\u093e\u0938 \u0969 \u0938\u0947\u092c \u1200",
)
"""English; Swahili with a line end, which T5's tokenizers drop; Hindi with a letter that neither encoder knows."""
TARGETS = ("3 + 4 = 7. The answer is 7", "7", "The answer is 3")
INSTRUCTION = "Solve the following math problem:"
_MERGES = ("t h", "th e", "\u0120 the", "a n", "\u0120 a", "an a", "\u0120 i", "\u0120i s", "e r", "s w", "sw er")
_PIECES = (
    "\u2581Ana",
    "\u2581ana",
    "\u2581tufaha",
    "\u2581apples",
    "\u2581has",
    "\u2581na",
    "nunua",
    "\u2581more",
    "pples",
)
_LETTERS = "\u2581abcdefghijklmnopqrstuvwxyzAHJ0123456789.?,+=\u0906\u0928\u093e\u0915\u0947\u092a\u0938\u092c\u0969"


@dataclass(frozen=True)
class Made:
    """A model without weights: its configuration, its tokenizers by role, and a seed.

    The seeds were looked for: with most, two tokens are nearly equally likely somewhere, or all answers are one.
    """

    config: LinguaLiftConfig
    tokenizers: dict[str, PreTrainedTokenizerFast]
    seed: int


def make_models() -> dict[str, Made]:
    """The models by name: the published recipe's families; and an LLM without BOS whose head is its embeddings,
    behind an encoder that counts positions, with latents."""
    common: dict[str, Any] = dict(num_hidden_layers=2, num_attention_heads=4, intermediate_size=48)
    with_bos, without = llm_tokenizer(bos=True), llm_tokenizer(bos=False)
    mt5, roberta = (
        encoder_tokenizer(["<pad>", "</s>", "<unk>"], 10),
        encoder_tokenizer(["<s>", "<pad>", "</s>", "<unk>"]),
    )
    llm = common | {"hidden_size": 32, "num_key_value_heads": 2, "max_position_embeddings": 256, "pad_token_id": 0}
    llama = LlamaConfig(vocab_size=len(with_bos), bos_token_id=1, eos_token_id=2, **llm)
    qwen2 = Qwen2Config(vocab_size=len(without), bos_token_id=None, eos_token_id=2, tie_word_embeddings=True, **llm)
    t5 = MT5Config(vocab_size=len(mt5), d_model=24, d_kv=8, d_ff=48, num_layers=2, num_heads=3)
    xlm = XLMRobertaConfig(
        vocab_size=len(roberta),
        hidden_size=24,
        max_position_embeddings=90,
        pad_token_id=1,
        **common | {"num_attention_heads": 3},
    )
    return {
        "llama, mT5, ffn": _joined(llama, with_bos, t5, mt5, "ffn", seed=22),
        "qwen2, XLM-R, latent": _joined(qwen2, without, xlm, roberta, "latent", seed=13),
    }


def llm_tokenizer(bos: bool) -> PreTrainedTokenizerFast:
    """Byte-level BPE of a few merges."""
    names = ["<pad>", "<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    merges = [tuple(merge.split(" ")) for merge in _MERGES]
    names += ["".join(merge) for merge in merges]
    core = Tokenizer(models.BPE({name: number for number, name in enumerate(names)}, merges))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    special = {"pad_token": "<pad>", "eos_token": "</s>"} | ({"bos_token": "<s>"} if bos else {})
    return PreTrainedTokenizerFast(tokenizer_object=core, **special)


def encoder_tokenizer(special: Sequence[str], sentinels: int = 0) -> PreTrainedTokenizerFast:
    """Unigram of single letters and a few pieces, without white space but spaces, as SentencePiece makes them."""
    scored = [(name, 0.0) for name in special]
    scored += [(piece, -2.0 - 0.1 * number) for number, piece in enumerate(_PIECES)]
    scored += [(letter, -6.0 - 0.01 * number) for number, letter in enumerate(_LETTERS)]
    scored += [(f"<extra_id_{number}>", 0.0) for number in range(sentinels)]
    core = Tokenizer(models.Unigram(scored, unk_id=special.index("<unk>"), byte_fallback=False))
    core.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(r"\s", " ")])
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.decoder = decoders.Metaspace()
    bos = "<s> " if "<s>" in special else ""
    ids = [(name, special.index(name)) for name in ("<s>", "</s>") if name in special]
    core.post_processor = processors.TemplateProcessing(single=f"{bos}$A </s>", special_tokens=ids)
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")


def _joined(
    llm: PreTrainedConfig,
    llm_tokenizer: PreTrainedTokenizerFast,
    encoder: PreTrainedConfig,
    encoder_tokenizer: PreTrainedTokenizerFast,
    kind: str,
    seed: int,
) -> Made:
    rows = add_whitespace_tokens(encoder_tokenizer, encoder.vocab_size)
    config = LinguaLiftConfig(
        llm=llm,
        encoder=encoder,
        architectures=["LinguaLiftForCausalLM"],
        alignment={"kind": kind, "latents": 4},
        instruction=INSTRUCTION,
        llm_max_tokens=200,
        encoder_max_tokens=80,
        whitespace_rows={str(token): row for token, row in rows.items()},
        bos_token_id=llm_tokenizer.bos_token_id,
        eos_token_id=llm_tokenizer.eos_token_id,
        pad_token_id=llm_tokenizer.pad_token_id,
    )
    return Made(config, {"llm": llm_tokenizer, "encoder": encoder_tokenizer}, seed)
