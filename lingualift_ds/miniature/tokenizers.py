"""The stand-ins' tokenizers, trained on the miniature world and saved as AutoTokenizer loads them.

The encoder's ends a text with </s>, as T5's does, and covers every language. The LLM's is English with
a byte for whatever else comes, as Llama's is: foreign text is possible, but long and without meaning.
In both a number from 0 to 99 is one token, so that arithmetic needs no spelling.
"""

from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from lingualift_ds.errors import ModelError
from lingualift_ds.miniature.world import LANGUAGES

PAD, EOS, UNK, MASK, BOS = "<pad>", "</s>", "<unk>", "<mask>", "<s>"
_NUMBERS = " ".join(str(number) for number in range(100))
# Often enough that every number's pieces are joined long before the vocabulary is full.
_NUMBER_LINES = 2000


def language_token(code: str) -> str:
    """The token that tells the denoising decoder which language to write."""
    return f"<lang_{code}>"


def train_encoder_tokenizer(texts: Iterable[str], folder: Path, vocabulary: int = 1200) -> PreTrainedTokenizerFast:
    """A BPE tokenizer over all languages, saved into `folder` and returned."""
    languages = [language_token(code) for code in LANGUAGES]
    core = Tokenizer(models.BPE(unk_token=UNK))
    core.normalizer = normalizers.NFC()
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(prepend_scheme="always"),
            pre_tokenizers.Split(Regex(r"▁?\d{1,2}"), "isolated"),
            pre_tokenizers.Split(Regex(r"[?.,:।¿]"), "isolated"),
        ]
    )
    core.decoder = decoders.Metaspace(prepend_scheme="always")
    # The mask stands for a word and the space before it.
    mask = AddedToken(MASK, lstrip=True, special=True)
    _train(core, texts, vocabulary, [PAD, EOS, UNK, mask, *languages], [])
    core.post_processor = processors.TemplateProcessing(
        single=f"$A {EOS}", pair=f"$A {EOS} $B {EOS}", special_tokens=[(EOS, core.token_to_id(EOS))]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        eos_token=EOS,
        unk_token=UNK,
        mask_token=mask,
        additional_special_tokens=languages,
        model_max_length=512,
        clean_up_tokenization_spaces=False,
    )
    return _save(tokenizer, folder)


def train_llm_tokenizer(texts: Iterable[str], folder: Path, vocabulary: int = 700) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of English, saved into `folder` and returned; it begins a text with <s>."""
    core = Tokenizer(models.BPE())
    # A space in front makes a word or number the same token at the start of a text as within it.
    core.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Prepend(" ")])
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r" ?\d{1,2}| ?\p{L}+| ?[^\s\p{L}\d]|\s+"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 1, 0)])
    _train(core, texts, vocabulary, [PAD, BOS, EOS], pre_tokenizers.ByteLevel.alphabet())
    core.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A $B", special_tokens=[(BOS, core.token_to_id(BOS))]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        model_max_length=1024,
        clean_up_tokenization_spaces=False,
    )
    return _save(tokenizer, folder)


def _train(core: Tokenizer, texts: Iterable[str], vocabulary: int, special: list, alphabet: list[str]) -> None:
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator([*texts, *[_NUMBERS] * _NUMBER_LINES], trainer)
    for number in range(100):
        if len(core.encode(str(number), add_special_tokens=False).ids) != 1:
            raise ModelError(f"a vocabulary of {vocabulary} pieces has no single token for the number {number}")


def _save(tokenizer: PreTrainedTokenizerFast, folder: Path) -> PreTrainedTokenizerFast:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(folder)
    return tokenizer
