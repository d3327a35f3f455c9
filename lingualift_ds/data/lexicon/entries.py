"""A language's lexicon in memory: English words or phrases and their translations, gathered from raw pairs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from sys import intern

from lingualift_ds.data.lexicon.cleaning import DROP_REASONS, STEPS, Cleaner, Dirt, fold
from lingualift_ds.data.lexicon.columns import Columns
from lingualift_ds.data.lexicon.files import Pair, Unread, read_pairs
from lingualift_ds.data.lexicon.identify import guess_in_words
from lingualift_ds.data.scripts import script_check, script_names
from lingualift_ds.errors import DataError

_WRONG_SCRIPT_SHARE = 0.9
"""A file of which more than this share is in another script is a lexicon of another language."""


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

    def add(self, pairs: Iterable[Pair | Unread | tuple[str, str]]) -> None:
        """Clean and gather raw (English, translation) pairs, with or without a frequency."""
        dirt, entries, clean = self.dirt, self._entries, self._cleaner.pair
        acronyms = "acronyms" in self._cleaner.steps
        for pair in pairs:
            if pair.__class__ is Unread:
                dirt.drop(pair.reason, pair.text)
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


def read_lexicon(
    paths: Path | str | Sequence[Path | str],
    language: str,
    *,
    columns: Columns | str | None = None,
    unclean: Sequence[str] = (),
) -> Lexicon:
    """Read and clean the word lists of one language, of any of the kinds that `read_pairs` reads.

    Of several files the first decides the order of translations; the frequencies of a pair in several are added.

    Args:
        columns: which columns of a table, or keys of JSON objects, hold what (see `Columns.parse`); None: found by
            their names.
        unclean: cleaning steps to leave out, by name (see STEPS).

    Raises:
        DataError: where a file cannot be read, more than 90 % of its pairs are in another script than the language's,
            or no usable pair is left.
        ConfigError: for columns or steps that cannot be meant.
    """
    lexicon, wrong = gather_lexicon(paths, language, columns, unclean)
    if wrong:
        raise DataError(wrong[0])
    if not lexicon.entries:
        counts = ", ".join(f"{n} {reason}" for reason, n in lexicon.dropped.items()) or "nothing"
        raise DataError(
            f"{lexicon.source}: no usable pair in the lexicon (dropped: {counts}); "
            "lines of English word, TAB or space, translation are needed, or a table or JSON with named columns"
        )
    return lexicon


def gather_lexicon(
    paths: Path | str | Sequence[Path | str],
    language: str,
    columns: Columns | str | None = None,
    unclean: Sequence[str] = (),
) -> tuple[Lexicon, list[str]]:
    """As `read_lexicon`, but nothing is refused once it could be read: with the lexicon, perhaps without an entry, come
    the messages for files in another script."""
    paths = (paths,) if isinstance(paths, Path | str) else tuple(paths)
    columns = Columns.parse(columns) if isinstance(columns, str) else columns
    builder = LexiconBuilder(language, unclean)
    wrong = []
    for path in paths:
        usable, foreign = builder.usable, builder.foreign
        builder.add(read_pairs(path, language, columns))
        usable, foreign = builder.usable - usable, builder.foreign - foreign
        if foreign > _WRONG_SCRIPT_SHARE * (usable + foreign):
            share = f"{100 * foreign / (usable + foreign):.0f} %"
            wrong.append(_wrong_script(path, language, columns, share))
    return builder.build(tuple(map(str, paths))), wrong


def _wrong_script(path: Path | str, language: str, columns: Columns | None, share: str) -> str:
    """The line that says what a file in another script may be. It is read once more, for words to guess from."""
    builder = LexiconBuilder(language, ("script",))
    builder.add(read_pairs(path, language, columns, quiet=True))
    entries = builder.build().entries
    said = f"{path}: {share} of its pairs are not in {script_names(language)} script"
    native, latin = script_check(language), script_check("en")
    if 2 * sum(native.holds(english) and not latin.holds(english) for english in entries) > len(entries):
        return f"{said}; {swapped(language)}"
    looks = guess_in_words([translations[0] for translations in entries.values()])
    return f"{said}; is it a lexicon of another language?" + (f" it looks like {looks}" if looks else "")


def swapped(language: str) -> str:
    """What is said of a file whose sides are not where its name says."""
    return (
        f"its sides look swapped: en-{language}.txt is the name where the English comes first, "
        f"{language}-en.txt where it comes second"
    )
