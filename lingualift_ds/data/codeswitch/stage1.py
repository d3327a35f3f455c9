"""Stage I records of English texts: what the command writes into a file, and what training makes anew every epoch.

Source: LinguaLIFT (arXiv 2412.12499), section 3.1: the encoder reads code-switched text, the LLM is told to restore
the English.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from itertools import islice
from typing import NamedTuple
from unicodedata import normalize

from lingualift_ds.config.schema import CodeSwitchConfig
from lingualift_ds.data.codeswitch.curriculum import Languages, Ratio, parse_language
from lingualift_ds.data.codeswitch.sentences import split_sentences
from lingualift_ds.data.codeswitch.switcher import CodeSwitcher, Sample, Switched
from lingualift_ds.data.jsonl import read_lines
from lingualift_ds.data.languages import language_name
from lingualift_ds.data.lexicon import Lexicon, find_lexicons, read_lexicon
from lingualift_ds.errors import ConfigError

_ROWS = 512
"""Rows that are switched at once."""
STAGE1_INSTRUCTION = "Translate the following code-switched {language} sentence to pure English:"


class English(NamedTuple):
    """A row of English: its id, its text, and its place in the data, 0 to 1, for a ratio that rises."""

    id: str
    text: str
    progress: float = 0.0


class Stage1Maker:
    """Makes Stage I records of English texts, by a recipe's or a command's settings.

    Attributes:
        switcher: what switches one text.
        lexicons: by language code.
        digest: SHA-256 over the lexicons and every setting that decides the records, in hex; seed and epoch are not
            in it.
    """

    def __init__(self, switcher: CodeSwitcher, split: bool = False, variants: int = 1):
        if variants < 1:
            raise ConfigError(f"variants {variants}: at least one is needed")
        self.switcher, self.split, self.variants = switcher, split, variants
        self.lexicons: Mapping[str, Lexicon] = switcher.lexicons
        self.digest = ""

    @classmethod
    def from_config(cls, settings: CodeSwitchConfig, seed: int) -> "Stage1Maker":
        """Read the lexicons and check the settings. Raises ConfigError; DataError for a lexicon."""
        ratio = Ratio.parse(settings.ratio)
        if settings.variants < 1:
            raise ConfigError(f"variants {settings.variants}: at least one is needed")
        named = dict(map(parse_language, settings.languages))
        if len(named) < len(settings.languages):
            raise ConfigError(f"languages {', '.join(settings.languages)}: one is named twice; each once is allowed")
        keep = read_keep_list(settings.keep)
        found = find_lexicons(settings.lexicons, list(named) or None)
        for language in found:
            language_name(language)  # an unknown code stops here, not at the first sample of that language
        lexicons = {
            code: read_lexicon(paths, code, columns=settings.columns, unclean=settings.unclean)
            for code, paths in found.items()
        }
        switcher = CodeSwitcher(
            lexicons,
            ratio,
            seed,
            Languages.choose(settings.languages, lexicons, settings.temperature, settings.mix),
            phrases=settings.units == "phrases",
            choice=settings.choice,
            inflections=settings.inflections,
            names=settings.names == "switch",
            keep=keep,
        )
        maker = cls(switcher, settings.split_sentences, settings.variants)
        maker.digest = _digest(settings, lexicons, keep)
        return maker

    def switch(self, row_id: str, text: str, progress: float = 0.0, epoch: int = 0) -> list[tuple[dict, Switched]]:
        """The records of one English text, each with how it was switched; none where the text is blank."""
        (made,) = self.switch_all([English(row_id, text, progress)], epoch)
        return made

    def switch_all(self, rows: Iterable[English], epoch: int = 0) -> Iterator[list[tuple[dict, Switched]]]:
        """For each row its records, each with how it was switched.

        Among several variants of a sentence, one that came out as an earlier one is left out.
        """
        left = iter(rows)
        while some := list(islice(left, _ROWS)):
            sentences = self._sentences(some)
            samples = [
                Sample(f"{name}~{variant}" if self.variants > 1 else name, sentence, names, row.progress)
                for row, found in zip(some, sentences)
                for name, sentence, names in found
                for variant in range(1, self.variants + 1)
            ]
            switched = zip(samples, self.switcher.switch_all(samples, epoch))
            for row, found in zip(some, sentences):
                yield [pair for _ in found for pair in self._records(row.id, islice(switched, self.variants))]

    def records(self, rows: Iterable[English], epoch: int = 0) -> Iterator[dict]:
        """The records of all rows alone: id, source, text, instruction, target, language, ratio."""
        return (record for made in self.switch_all(rows, epoch) for record, _ in made)

    def _sentences(self, rows: Sequence[English]) -> list[list[tuple[str, str, Collection[str]]]]:
        """For each row the ids of its sentences, or of the row as a whole, their texts, and names they must know of."""
        texts = [normalize("NFC", row.text) for row in rows]
        if not self.split:
            return [[(row.id, text, ())] if text.strip() else [] for row, text in zip(rows, texts)]
        names = self.switcher.find_names(texts)  # of the whole row: one sentence alone shows fewer
        return [
            [(f"{row.id}.{place}", sentence, known) for place, sentence in enumerate(split_sentences(text))]
            for row, text, known in zip(rows, texts, names)
        ]

    def _records(self, source: str, variants: Iterable[tuple[Sample, Switched]]) -> Iterator[tuple[dict, Switched]]:
        """Of the variants of a sentence those that differ."""
        made = set()
        for sample, switched in variants:
            if (switched.text, switched.languages) not in made:
                made.add((switched.text, switched.languages))
                yield stage1_record(sample.id, source, sample.text, switched), switched

    def expected(self, text: str) -> int:
        """How many records a text gives, if none of its variants comes out as another."""
        sentences = split_sentences(normalize("NFC", text)) if self.split else [text]
        return self.variants * sum(1 for sentence in sentences if sentence.strip())


def stage1_record(sample_id: str, source: str, english: str, switched: Switched) -> dict:
    """The Stage I record of one switched text. Raises DataError for a language without a known name."""
    return {
        "id": sample_id,
        "source": source,
        "text": switched.text,
        "instruction": STAGE1_INSTRUCTION.format(language=" and ".join(map(_name, switched.languages))),
        "target": english,
        "language": switched.language,
        "ratio": round(switched.ratio, 4),
    }


def read_keep_list(words: tuple[str, ...]) -> tuple[str, ...]:
    """The words of a list in which `@FILE` stands for those of a file, one a line. Raises DataError."""
    found: list[str] = []
    for word in words:
        found += [line.strip() for _, line in read_lines(word[1:])] if word.startswith("@") else [word]
    return tuple(found)


_name = lru_cache(language_name)


def _digest(settings: CodeSwitchConfig, lexicons: Mapping[str, Lexicon], keep: tuple[str, ...]) -> str:
    """What the lexicons hold, not where they lie."""
    state = hashlib.sha256(json.dumps(asdict(settings) | {"lexicons": None, "keep": keep}, sort_keys=True).encode())
    for code in sorted(lexicons):
        lexicon = lexicons[code]
        content = [code, list(lexicon.entries.items()), sorted(lexicon.weights.items())]
        state.update(json.dumps(content, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    return state.hexdigest()
