"""A language's lexicon in memory: English words or phrases and their translations, gathered from raw pairs."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, islice
from sys import intern

from lingualift_ds.data.lexicon.cleaning import DROP_REASONS, STEPS, Cleaner, Dirt, Side, fold
from lingualift_ds.data.lexicon.pairs import Pair, Several, Unread

_FIRST_PAIRS = 1000
_FEWEST_CAPITALS = 10
_NEARLY_ALL = 0.9
"""A list of whose first pairs more than this share are capitals is all in capitals; fewer may be acronyms."""


@dataclass(frozen=True)
class Lexicon:
    """The translations of one language.

    Attributes:
        language: its code, such as `sw`.
        entries: English lower-case word or phrase -> its translations, in file order, each once.
        dropped: pairs left out, by reason (the keys of DROP_REASONS).
        sources: the files it came from, in the order in which they were read; none for one made in memory.
        weights: English -> a positive frequency for each of its translations, in their order and in the files' own
            units; only for entries whose files state frequencies. A translation without one has the least of its
            entry's.
        mended: pairs that a cleaning step changed, by step (the keys of STEPS); they may be duplicates all the same.
        examples: up to ten of each reason in `dropped` and each step in `mended`: the first.
    """

    language: str
    entries: Mapping[str, tuple[str, ...]]
    dropped: Mapping[str, int] = field(default_factory=dict)
    sources: tuple[str, ...] = ()
    weights: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    mended: Mapping[str, int] = field(default_factory=dict)
    examples: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        """English entries."""
        return len(self.entries)

    @property
    def source(self) -> str:
        """The files it came from, for messages."""
        return ", ".join(self.sources)

    @cached_property
    def pairs(self) -> int:
        """Pairs of an English entry and a translation."""
        return sum(map(len, self.entries.values()))

    @property
    def found(self) -> int:
        """Pairs in the files: those kept and those dropped."""
        return self.pairs + sum(self.dropped.values())

    @cached_property
    def longest_phrase(self) -> int:
        """Words of the longest English entry, counted at spaces."""
        return max((key.count(" ") + 1 for key in self.entries), default=0)

    def translations(self, english: str) -> tuple[str, ...]:
        """The translations of a word or phrase in any case; empty where there is none."""
        return self.entries.get(fold(english), ())


class LexiconBuilder:
    """Gathers the pairs of one language from any number of files, in the order in which they come.

    Attributes:
        dirt: what cleaning did so far.
        usable: pairs so far that nothing was wrong with, those among them that had come before included.
    """

    def __init__(self, language: str, unclean: Sequence[str] = ()):
        self.language = language
        self.dirt = Dirt()
        self.usable = 0
        self._cleaner = Cleaner(language, unclean)
        self._entries: dict[str, dict[str, str]] = {}
        self._weights: dict[str, dict[str, float]] = {}
        self._acronyms: dict[str, list[tuple[str, str, float | None]]] = {}
        """Pairs whose English is all capitals: whether they stay shows at the end."""

    @property
    def foreign(self) -> int:
        """Pairs so far that were dropped for their script."""
        return self.dirt.dropped["script"] + self.dirt.dropped["english"]

    def add(self, pairs: Iterable[Pair | Several | Unread | tuple[str, str]]) -> None:
        """Clean and gather the raw (English, translation) pairs of a file, with or without a frequency."""
        pairs = iter(pairs)
        head = list(islice(pairs, _FIRST_PAIRS))
        capitals = "case" in self._cleaner.steps and _in_capitals(head)
        self._add(chain(head, pairs), self._cleaner.pair_in_capitals if capitals else self._cleaner.pair)

    def _add(
        self,
        pairs: Iterable[Pair | Several | Unread | tuple[str, str]],
        clean: Callable[[str, str], tuple[Side, Side]],
    ) -> None:
        dirt, entries = self.dirt, self._entries
        acronyms = "acronyms" in self._cleaner.steps
        for pair in pairs:
            if pair.__class__ is Unread:
                dirt.drop(pair.reason, pair.text)
                continue
            if pair.__class__ is Several:
                self._add(self._taken_apart(pair), clean)
                continue
            english, translation, frequency = pair if len(pair) == 3 else (*pair, None)
            source, target = clean(english, translation)
            if target.reason:
                dirt.drop(target.reason, english, translation)
                continue
            if source.mended or target.mended:
                for step in dict.fromkeys(source.mended + target.mended):
                    dirt.mend(step, (english, translation), (source.text, target.text))
            self.usable += 1
            found = entries.get(source.key)
            if found is None:
                found = entries[source.key] = {}
            if acronyms and source.text.isupper() and len(source.text) > 1:
                self._acronyms.setdefault(source.key, []).append((source.text, target.text, frequency))
            else:
                self._gather(source.key, found, source.text, target.text, frequency)

    def _taken_apart(self, cell: Several) -> list[Pair]:
        if "several" not in self._cleaner.steps:
            return [(cell.english, cell.cell, cell.frequency)]
        self.dirt.mend("several", (cell.english, cell.cell), (cell.english, " | ".join(cell.translations)))
        return [(cell.english, translation, cell.frequency) for translation in cell.translations]

    def _gather(self, key: str, found: dict[str, str], english: str, text: str, frequency: float | None) -> None:
        same = text.lower() if "case" in self._cleaner.steps else text
        if same in found and "duplicates" not in self._cleaner.steps:
            same = f"{same}\0{len(found)}"
        if same in found:
            self.dirt.drop("duplicate", english, text)
        if same not in found or text == same:  # of Ni and ni, the small one; its place stays
            found[same] = intern(text)
        if frequency is not None:
            weights = self._weights.setdefault(key, {})
            weights[same] = weights.get(same, 0.0) + frequency

    def build(self, sources: Sequence[str] = ()) -> Lexicon:
        """The lexicon of all that was added; nothing can be added after it."""
        for key, pairs in self._acronyms.items():
            found = self._entries[key]
            another_word = bool(found)
            for english, text, frequency in pairs:
                if another_word:
                    self.dirt.drop("acronym", english, text)
                else:
                    self._gather(key, found, english, text, frequency)
        weights = {}
        for key, stated in self._weights.items():
            least = min(stated.values())
            weights[key] = tuple(stated.get(same, least) for same in self._entries[key])
        entries: dict = self._entries
        for key, found in entries.items():  # in place: the whole is not held twice
            entries[key] = tuple(found.values())
        dirt = self.dirt
        return Lexicon(
            self.language,
            entries,
            {reason: dirt.dropped[reason] for reason in DROP_REASONS if dirt.dropped[reason]},
            tuple(sources),
            weights,
            {step: dirt.mended[step] for step in STEPS if dirt.mended[step]},
            {name: tuple(dirt.examples[name]) for name in (*DROP_REASONS, *STEPS) if name in dirt.examples},
        )


def _in_capitals(pairs: Iterable[Pair | Several | Unread | tuple[str, str]]) -> bool:
    """Whether nearly all English is in capitals, and nearly all translations in a script that has them."""
    sides = [
        (pair.english, pair.cell) if isinstance(pair, Several) else pair[:2]
        for pair in pairs
        if not isinstance(pair, Unread)
    ]
    capitals = sum(english.isupper() and translation == translation.upper() for english, translation in sides)
    return capitals >= _FEWEST_CAPITALS and capitals > _NEARLY_ALL * len(sides)


def build_lexicon(
    language: str, pairs: Iterable[tuple[str, str] | Pair], source: str = "", unclean: Sequence[str] = ()
) -> Lexicon:
    """Clean raw (English, translation) pairs, with or without a frequency, and gather them in order.

    Raises:
        DataError: for an unknown language; ConfigError: for an unknown step in `unclean`.
    """
    builder = LexiconBuilder(language, unclean)
    builder.add(pairs)
    return builder.build((source,) if source else ())
