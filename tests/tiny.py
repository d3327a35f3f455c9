"""Tiny models and data, built in code: what every test that needs a model starts from. Nothing is downloaded."""

import json
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from lingualift_ds.data.records import Record

TEXTS = [
    "Ann has 3 apples and buys 4 more. How many apples does she have?",
    "Ana ana tufaha 3 na ananunua 4 zaidi. Je, ana tufaha ngapi?",
    "Ana tiene 3 manzanas y compra 4. La respuesta es 7.",
    "apples: 3 + 4 = 7. The answer is 7",
    "Solve the following math problem: Translate the following code-switched Swahili sentence to pure English:",
]

RECORDS = [
    Record("a", "Ann has 3 apples.", "Solve:", "apples: 3. The answer is 3", "en"),
    Record("b", "Ana ana tufaha 3 na ananunua 4 zaidi. Je, ana tufaha ngapi?", "Solve the problem:", "7", "sw"),
    Record("c", "4", "Translate to English please, all of it:", "four more apples are bought", "sw"),
]
"""A short, a long and a very short text."""


def llm_tokenizer(bos: bool = True) -> PreTrainedTokenizerFast:
    """Byte-level BPE, so that any text survives; BOS optional, as some families have none."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    special = ["<pad>", "<s>", "</s>"]
    trainer = trainers.BpeTrainer(
        vocab_size=340, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    core.train_from_iterator(TEXTS, trainer)
    names = {"pad_token": "<pad>", "eos_token": "</s>"} | ({"bos_token": "<s>"} if bos else {})
    return PreTrainedTokenizerFast(tokenizer_object=core, **names)


def encoder_tokenizer(kind: str) -> PreTrainedTokenizerFast:
    """Unigram with the special tokens of the family; like SentencePiece's, it makes any white space a space."""
    core = Tokenizer(models.Unigram())
    core.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(r"\s", " ")])
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.decoder = decoders.Metaspace()
    sentinels = [f"<extra_id_{i}>" for i in range(10)] if kind == "mt5" else []
    special = ["<pad>", "</s>", "<unk>"] if kind == "mt5" else ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    core.train_from_iterator(
        TEXTS, trainers.UnigramTrainer(vocab_size=160, special_tokens=special + sentinels, unk_token="<unk>")
    )
    template = "$A </s>" if kind == "mt5" else "<s> $A </s>"
    ids = [(t, core.token_to_id(t)) for t in ("</s>", "<s>") if core.token_to_id(t) is not None]
    core.post_processor = processors.TemplateProcessing(single=template, special_tokens=ids)
    names = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=core, **names)


def save_encoder(folder: Path, kind: str = "mt5", seed: int = 0, **overrides) -> Path:
    """A random encoder with its tokenizer: kinds mt5, umt5, xlm-roberta, bert, nllb."""
    torch.manual_seed(seed)
    tokenizer = encoder_tokenizer("mt5" if kind in ("mt5", "umt5") else kind)
    vocab = len(tokenizer)
    if kind in ("mt5", "umt5"):
        config_class, model_class = {
            "mt5": (transformers.MT5Config, transformers.MT5ForConditionalGeneration),
            "umt5": (transformers.UMT5Config, transformers.UMT5ForConditionalGeneration),
        }[kind]
        settings = dict(d_model=32, d_kv=8, d_ff=48, num_layers=2, num_decoder_layers=1, num_heads=4)
    elif kind == "nllb":
        config_class, model_class = transformers.M2M100Config, transformers.M2M100ForConditionalGeneration
        settings = dict(
            d_model=32,
            encoder_layers=2,
            decoder_layers=1,
            encoder_attention_heads=4,
            decoder_attention_heads=4,
            encoder_ffn_dim=48,
            decoder_ffn_dim=48,
            pad_token_id=1,
            eos_token_id=2,
            bos_token_id=0,
        )
    else:
        config_class, model_class = {
            "xlm-roberta": (transformers.XLMRobertaConfig, transformers.XLMRobertaForMaskedLM),
            "bert": (transformers.BertConfig, transformers.BertForMaskedLM),
        }[kind]
        settings = dict(
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=48,
            max_position_embeddings=130,
            pad_token_id=1,
        )
    model = model_class(config_class(**{"vocab_size": vocab, **settings, **overrides}))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_llm(folder: Path, kind: str = "llama", seed: int = 0, bos: bool = True, **overrides) -> Path:
    """A random LLM with its tokenizer: kinds llama, mistral, qwen2, gemma2, gpt2, gpt_neox."""
    torch.manual_seed(seed)
    tokenizer = llm_tokenizer(bos)
    special = dict(vocab_size=len(tokenizer), pad_token_id=0, bos_token_id=1, eos_token_id=2)
    common = dict(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=48,
        max_position_embeddings=256,
    )
    if kind == "gpt2":
        config = transformers.GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=256, **special | overrides)
    else:
        config_class = {
            "llama": transformers.LlamaConfig,
            "mistral": transformers.MistralConfig,
            "qwen2": transformers.Qwen2Config,
            "gemma2": transformers.Gemma2Config,
            "gpt_neox": transformers.GPTNeoXConfig,
        }[kind]
        extra = dict(head_dim=8, sliding_window=16) if kind == "gemma2" else {}
        config = config_class(**{**special, **common, **extra, **overrides})
    model = transformers.AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_rows(path: Path, count: int, instruction: str | None = None, language: str = "en") -> Path:
    """`count` records about apples, each another sum, of differing lengths."""
    rows = []
    for i in range(count):
        a, b = i % 17 + 2, i // 17 + 1
        more = " very" * (i % 5)
        row = {
            "id": f"{language}-{i}",
            "text": f"Ann has {a} apples and buys {b}{more} more. How many apples does she have?",
            "target": f"apples: {a} + {b} = {a + b}. The answer is {a + b}",
            "language": language,
        }
        rows.append(row | ({"instruction": instruction} if instruction else {}))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return path


def write_recipe(folder: Path, zero: int = 3, **model) -> Path:
    """A recipe over tiny models and rows in `folder`, built where they are absent."""
    import yaml

    if not (folder / "encoder").is_dir():
        save_encoder(folder / "encoder")
        save_llm(folder / "llm")
        write_rows(folder / "stage1.jsonl", 40, language="sw")
        write_rows(folder / "stage2.jsonl", 40)
        write_rows(folder / "heldout.jsonl", 7)
    ds = folder / f"zero{zero}.json"
    ds.write_text(json.dumps({"zero_optimization": {"stage": zero}}))
    stage = {
        "batch": {"samples": 8, "micro_tokens": 160},
        "deepspeed": str(ds),
        "checkpoint": {"every": 3, "keep_last": 2},
        "optimizer": {"lr": 1e-3},
    }
    recipe = {
        "run": {"output": str(folder / "run"), "seed": 1, "cache": str(folder.parent / f"{folder.name}-prepared")},
        "model": {
            "encoder": str(folder / "encoder"),
            "llm": str(folder / "llm"),
            "encoder_max_tokens": 64,
            "llm_max_tokens": 160,
            "precision": "fp32",
            **model,
        },
        "stage1": stage | {"data": {"train": [str(folder / "stage1.jsonl")], "heldout": [f"{folder}/heldout.jsonl"]}},
        "stage2": stage | {"data": {"train": [str(folder / "stage2.jsonl")]}},
    }
    path = folder / f"recipe-zero{zero}.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return path
