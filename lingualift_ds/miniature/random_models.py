"""Random models of a given size with tokenizers trained on your own text.

They know nothing, and score nothing. They take real data through every part of a run before the real models are
at hand: the losses fall, the checkpoints resume, and the times tell what a small machine can do.
"""

from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, MT5Config, MT5EncoderModel, PreTrainedTokenizerFast

from lingualift_ds.data.jsonl import read_jsonl
from lingualift_ds.errors import DataError
from lingualift_ds.log import get_logger

logger = get_logger(__name__)


def build_random_models(corpus: list[Path], output: Path, seed: int, vocabulary: int = 16_000) -> None:
    """An mT5 encoder and a Llama of about 20 M parameters each in output/encoder and output/llm.

    `corpus`: JSON lines files; every string in their rows is text to train the tokenizers on. Raises DataError.
    """
    texts = list(_texts(corpus))
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{output}: cannot be written: {error.strerror}") from None
    torch.manual_seed(seed)
    encoder_tokenizer, llm_tokenizer = _encoder_tokenizer(texts, vocabulary), _llm_tokenizer(texts, vocabulary)
    encoder = MT5EncoderModel(
        MT5Config(
            vocab_size=len(encoder_tokenizer), d_model=384, d_kv=64, d_ff=1024, num_layers=7, num_heads=6,
            pad_token_id=encoder_tokenizer.pad_token_id, eos_token_id=encoder_tokenizer.eos_token_id,
        )
    )  # fmt: skip
    llm = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(llm_tokenizer), hidden_size=384, intermediate_size=1024, num_hidden_layers=8,
            num_attention_heads=6, max_position_embeddings=2048, tie_word_embeddings=True,
            pad_token_id=llm_tokenizer.pad_token_id, bos_token_id=llm_tokenizer.bos_token_id,
            eos_token_id=llm_tokenizer.eos_token_id,
        )
    )  # fmt: skip
    for name, model, tokenizer in (("encoder", encoder, encoder_tokenizer), ("llm", llm, llm_tokenizer)):
        model.save_pretrained(output / name)
        tokenizer.save_pretrained(output / name)
        logger.info(
            "%s: %.1f M random parameters, %d tokens", output / name, model.num_parameters() / 1e6, len(tokenizer)
        )


def _texts(corpus: list[Path]) -> Iterator[str]:
    for path in corpus:
        for _, row in read_jsonl(path):
            yield from (value for value in row.values() if isinstance(value, str))


def _encoder_tokenizer(texts: list[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Unigram over words, ending a text with </s>, with sentinels, as mT5's is."""
    core = Tokenizer(models.Unigram())
    core.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(r"\s", " ")])
    core.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), pre_tokenizers.Digits(True)])
    core.decoder = decoders.Metaspace()
    special = ["<pad>", "</s>", "<unk>", *[f"<extra_id_{i}>" for i in range(100)]]
    trainer = trainers.UnigramTrainer(
        vocab_size=vocabulary, special_tokens=special, unk_token="<unk>", show_progress=False
    )
    core.train_from_iterator(texts, trainer)
    core.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")


def _llm_tokenizer(texts: list[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE: any text can be written, as Llama's can."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", bos_token="<s>", eos_token="</s>")
