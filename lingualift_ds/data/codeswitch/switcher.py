"""The switching of texts: which words, into what; many texts at once, as arrays.

What is switched depends on the seed, the epoch, the sample's id, the languages and the text alone: never on the number
of processes, the order of samples or those beside it, the platform or Python's hash seed. Random numbers are bytes of
SHAKE-128 over these, little-endian: the same everywhere, a microsecond a text.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple
from unicodedata import normalize

import numpy as np

from lingualift_ds.data.codeswitch.block import Block, Change
from lingualift_ds.data.codeswitch.curriculum import Languages, Ratio
from lingualift_ds.data.codeswitch.options import Choice, OptionTable, Vocabulary
from lingualift_ds.data.codeswitch.pieces import PieceTable, Survey
from lingualift_ds.data.lexicon import Lexicon, fold
from lingualift_ds.errors import ConfigError

_TEXTS = 512
"""Texts that are switched at once: enough that what arrays cost to begin with is little, few enough to stay small."""


class Sample(NamedTuple):
    """A text to be switched.

    Attributes:
        id: what its random numbers depend on.
        text: English.
        names: words to leave alone besides the names found in the text itself: those of the whole document, where
            `text` is one sentence of it.
        progress: 0 to 1, its place in the data, for a ratio that rises.
    """

    id: str
    text: str
    names: Collection[str] = ()
    progress: float = 0.0


class Switched:
    """A text after code-switching.

    Attributes:
        text: the code-switched text, NFC.
        languages: codes of the languages that were drawn for it.
        words: words of the text in all, those left out that are protected.
        switchable: words or phrases of the text that the lexicons have and that may change.
        count: how many of them were switched.
    """

    __slots__ = ("_block", "_row", "count", "languages", "switchable", "text", "words")

    def __init__(
        self, text: str, languages: tuple[str, ...], words: int, switchable: int, count: int, block: Block, row: int
    ):
        self.text, self.languages, self.words = text, languages, words
        self.switchable, self.count, self._block, self._row = switchable, count, block, row

    @property
    def language(self) -> str:
        """The code of the language; several are joined with commas."""
        return ",".join(self.languages)

    @property
    def ratio(self) -> float:
        """The share of the switchable words and phrases that were switched; 0 where there are none."""
        return self.count / self.switchable if self.switchable else 0.0

    @property
    def changes(self) -> tuple[Change, ...]:
        """What was switched, in order."""
        return tuple(self._block.changes(self._row))


@dataclass
class CodeSwitcher:
    """Switches English text into the languages of `lexicons` (by language code).

    Raises ConfigError: no lexicon, or settings that contradict each other or the lexicons.
    """

    lexicons: Mapping[str, Lexicon]
    ratio: Ratio = Ratio(0.5, 0.5)
    """Share of the switchable words and phrases that are switched."""
    seed: int = 0
    languages: Languages | None = None
    """How the languages of a sample are drawn; None: one for each sample, all alike."""
    phrases: bool = True
    """Whether the longest entry of a lexicon that fits is switched as a whole; else single words only."""
    choice: Choice = "rank"
    """How a translation is drawn: with weight 1/rank, all alike, the first, by the lexicon's frequencies."""
    inflections: bool = False
    """Whether words that the lexicon lacks are looked up by their base form."""
    names: bool = False
    """Whether names are switched like other words."""
    keep: Collection[str] = ()
    """Words that never change, in whatever case."""
    vocabularies: list[Vocabulary] = field(init=False, repr=False)

    def __post_init__(self):
        if not self.lexicons:
            raise ConfigError("code-switching: at least one lexicon is needed")
        self.languages = self.languages or Languages.alike(self.lexicons)
        keep = frozenset(map(fold, self.keep))
        self.vocabularies = [
            Vocabulary(self.lexicons[code], self.choice, self.phrases, self.inflections, keep)
            for code in self.languages.codes
        ]
        self._forget()

    def _forget(self) -> None:
        self.pieces, self.options = PieceTable(), OptionTable(self.vocabularies)

    def switch(self, sample_id: str, text: str, progress: float = 0.0, epoch: int = 0) -> Switched:
        """Code-switch one text; many are switched much faster together."""
        (switched,) = self.switch_all([Sample(sample_id, text, progress=progress)], epoch)
        return switched

    def switch_all(self, samples: Iterable[Sample], epoch: int = 0) -> Iterator[Switched]:
        """Code-switch texts, in their order."""
        left = iter(samples)
        while some := list(islice(left, _TEXTS)):
            yield from self._switch(some, epoch)

    def find_names(self, texts: Iterable[str]) -> Iterator[set[str]]:
        """The names in each English text: words with a capital inside a sentence that are none else."""
        left = iter(texts)
        while some := list(islice(left, _TEXTS)):
            yield from self._survey(some).names_of_texts()

    def _survey(self, texts: Sequence[str]) -> Survey:
        if self.pieces.full or self.options.full:
            self._forget()
        return self.pieces.survey(texts)

    def _switch(self, samples: Sequence[Sample], epoch: int) -> list[Switched]:
        survey = self._survey([normalize("NFC", sample.text) for sample in samples])
        mix = self.languages.mix
        fixed = 2 + mix + (survey.counts if mix > 1 else 0)  # each piece may have to choose its language
        # As many as can be needed: how many are made changes none of them.
        counts = fixed + 2 * survey.counts
        key = f"{self.seed} {epoch} ".encode()
        numbers = _numbers([key + sample.id.encode("utf-8", "surrogatepass") for sample in samples], counts)
        offsets = np.cumsum(counts) - counts
        languages = self.languages.draw_all(numbers[offsets[:, None] + 2 + np.arange(mix)])
        block = Block(survey, self.options, languages)
        block.find_protected()
        if not self.names:
            block.find_names([sample.names for sample in samples])
        block.find_units(numbers, offsets + 2 + mix)
        progress = np.array([sample.progress for sample in samples])
        wanted = self.ratio.counts(block.switchable, progress, numbers[offsets], numbers[offsets + 1])
        texts = block.replace(wanted, numbers, offsets + fixed)
        codes = [tuple([self.languages.codes[one] for one in some]) for some in languages.tolist()]
        found = zip(texts, codes, block.words.tolist(), block.switchable.tolist(), wanted.tolist())
        return [Switched(*values, block, row) for row, values in enumerate(found)]


def _numbers(keys: Sequence[bytes], counts: np.ndarray) -> np.ndarray:
    """For each key the first of the numbers below DRAWS that it stands for, that many; one key's after the other's."""
    shake = hashlib.shake_128
    made = [shake(key).digest(length) for key, length in zip(keys, (2 * counts).tolist())]
    return np.frombuffer(b"".join(made), "<u2").astype(np.int64)
