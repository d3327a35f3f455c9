"""What an encoder's tokenizer makes of code-switched text: how many tokens, and how many of them unknown.

A translation in letters that the encoder never saw becomes its unknown token, and Stage I learns nothing from it:
that shows here, before hours of training. Importing this pulls in no tokenizer library.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from lingualift_ds.data.codeswitch.marked import parts
from lingualift_ds.data.codeswitch.tally import Example
from lingualift_ds.errors import ModelError

_WORST = 10
"""Words that are named for becoming unknown."""
_BATCH = 1000
_PROBE = "The 7 words"
_STRANGE = "\U00100000"
"""A character that no tokenizer has: whether one can say so, shows before the work and not after it."""
_HUB_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")


class EncoderTokenizer:
    """An encoder's tokenizer, for counting alone: special tokens are left out.

    Attributes:
        name: the folder, file or hub name as it was given.
        unknown: the token for what the tokenizer does not know; None where it has none, as with byte-level BPE.

    Raises ModelError where there is no tokenizer.
    """

    def __init__(self, name: str):
        self.name = name
        file = Path(name) / "tokenizer.json" if Path(name).is_dir() else Path(name)
        if file.is_file():
            self._encode, self.unknown, self._unknown_id = _light(name, file)
        elif Path(name).is_dir() or _may_be_on_the_hub(name):
            self._encode, self.unknown, self._unknown_id = _of_transformers(name)
        else:
            raise ModelError(
                f"encoder tokenizer {name}: no such file or folder; a folder with a tokenizer, its tokenizer.json "
                "or a name on the Hugging Face hub is needed"
            )

    def counts(self, texts: Sequence[str]) -> list[tuple[int, int]]:
        """Tokens, and unknown ones among them, of each text. Raises ModelError for what cannot be tokenized."""
        found = []
        for start in range(0, len(texts), _BATCH):
            try:
                encoded = self._encode(list(texts[start : start + _BATCH]))
            except Exception as error:  # the tokenizers library raises nothing more telling
                raise ModelError(f"encoder tokenizer {self.name}: fails at a text of the sample ({error})") from error
            found += [(len(ids), ids.count(self._unknown_id)) for ids in encoded]
        return found

    def measure(self, examples: Sequence[Example]) -> dict:
        """Tokens and unknown tokens of the sample's English and code-switched texts, and the words to blame.

        Tokens per word are per word of the English, counted at spaces, on both sides: what is compared says the same.
        """
        english = self.counts([example.english for example in examples])
        switched = self.counts([example.text for example in examples])
        words = sum(len(example.english.split()) for example in examples)
        lost = [example for example, (_, unknown) in zip(examples, switched) if unknown]
        return {
            "texts": len(examples),
            "english": _means(english, words),
            "switched": _means(switched, words),
            "unknown_words": self._unknown_words(lost),
        }

    def _unknown_words(self, examples: Sequence[Example]) -> list[list]:
        """The words of code-switched texts that most often hold an unknown token, each with how often."""
        words = Counter(word for example in examples for word in _words(example))
        distinct = list(words)
        lost = {word: words[word] for word, (_, unknown) in zip(distinct, self.counts(distinct)) if unknown}
        return [[word, lost[word]] for word in sorted(lost, key=lambda word: (-lost[word], word))[:_WORST]]


def _may_be_on_the_hub(name: str) -> bool:
    """Whether this may name a model there, and is no slip in a local path."""
    here = Path(name).parent.is_dir() if "/" in name else name.endswith((".json", ".model"))
    return _HUB_NAME.fullmatch(name) is not None and not here


def _words(example: Example) -> list[str]:
    """Each translation as a whole, for not all languages have spaces, and what else stands between spaces."""
    spans = [(change.start, change.start + len(change.translation)) for change in example.changes]
    cut = parts(example.text, spans)
    return [word for part, span in cut for word in ([part] if span is not None else part.split())]


def _means(counts: Sequence[tuple[int, int]], words: int) -> dict:
    tokens, unknown = (sum(column) for column in zip(*counts)) if counts else (0, 0)
    return {
        "tokens_per_text": round(tokens / max(len(counts), 1), 3),
        "tokens_per_word": round(tokens / max(words, 1), 3),
        "unknown_share": round(unknown / max(tokens, 1), 6),
    }


_Loaded = tuple[Callable[[list[str]], list[list[int]]], str | None, int | None]


def _light(name: str, file: Path) -> _Loaded:
    """A tokenizer.json, which needs neither transformers nor torch."""
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(file))
        tokenizer.encode(_PROBE + _STRANGE)
        model = json.loads(file.read_bytes())["model"]
    except Exception as error:  # the library raises nothing more telling
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"encoder tokenizer {name}: {file.name} is no tokenizer that can be read: {reason}") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    unknown, unknown_id = model.get("unk_token"), model.get("unk_id")
    if unknown is None and unknown_id is not None:
        unknown = tokenizer.id_to_token(unknown_id)  # Unigram names it by its number
    unknown_id = tokenizer.token_to_id(unknown) if unknown is not None else None

    def encode(texts: list[str]) -> list[list[int]]:
        return [encoded.ids for encoded in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

    return encode, unknown, unknown_id


def _of_transformers(name: str) -> _Loaded:
    """Any other tokenizer, as training will load it."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
        ids = tokenizer(_PROBE, add_special_tokens=False)["input_ids"]
        known = any(c.isalnum() for c in tokenizer.decode(ids, skip_special_tokens=True))
    except (OSError, ValueError, KeyError, TypeError, ImportError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"encoder tokenizer {name}: has no tokenizer that can be read: {reason}") from error
    if not known:  # where a folder holds none, transformers 5 makes one from the model's config, without a word in it
        raise ModelError(f"encoder tokenizer {name}: has no tokenizer; save the model's tokenizer in the same folder")

    def encode(texts: list[str]) -> list[list[int]]:
        return tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]

    return encode, tokenizer.unk_token, tokenizer.unk_token_id
