"""The switching of one text: which words, into what.

What is switched depends on the seed, the epoch, the sample's id, the languages and the text alone: never on the number
of processes, the order of samples, the platform or Python's hash seed. Random numbers are bytes of SHAKE-128 over
these, little-endian: the same everywhere, a microsecond a text.
"""

import hashlib
import sys
from array import array
from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import NamedTuple
from unicodedata import normalize

from lingualift_ds.data.codeswitch.curriculum import Languages, Ratio
from lingualift_ds.data.codeswitch.options import Choice, Options, Vocabulary
from lingualift_ds.data.codeswitch.words import Piece, find_names, is_label, starts_sentence, survey, within_protected
from lingualift_ds.data.lexicon import Lexicon, fold
from lingualift_ds.errors import ConfigError


class Change(NamedTuple):
    """What was switched: the English, what replaced it, in which language, and where each begins in its text."""

    english: str
    translation: str
    language: str
    english_start: int
    start: int


class Switched:
    """A text after code-switching.

    Attributes:
        text: the code-switched text, NFC.
        languages: codes of the languages that were drawn for it.
        switchable: words or phrases of the text that the lexicons have and that may change.
        count: how many of them were switched.
    """

    __slots__ = (
        *("text", "languages", "switchable", "count"),
        *("_pieces", "_protected", "_units", "_chosen", "_numbers", "_parts"),
    )

    def __init__(self, text: str, languages: tuple[str, ...], pieces: Sequence[Piece], protected: int, units: "Units"):
        self.text, self.languages, self.switchable, self.count = text, languages, len(units.starts), 0
        self._pieces, self._protected, self._units = pieces, protected, units
        self._chosen = self._numbers = self._parts = ()

    def replace(self, chosen: Sequence[int], numbers: Sequence[int]) -> None:
        """Switch the units that begin at the chosen pieces, by a number for each that draws its translation."""
        units, parts = self._units, [piece.text for piece in self._pieces]
        options = units.options
        for start, number in zip(chosen, numbers):
            own = options[start]
            parts[start] = own.texts[bisect_right(own.bounds, number)]
        for start in units.ends.keys() & chosen if units.ends else ():
            end = units.ends[start]
            parts[start + 1 : end] = [""] * (end - start - 1)
        if not units.spaced:
            self._join(chosen, parts)
        self.count, self._chosen, self._numbers, self._parts = len(chosen), chosen, numbers, parts
        parts[0] = parts[0][1:]  # a space that only the pieces have
        # Joints can make characters that compose: Hangul, some vowels.
        self.text = normalize("NFC", "".join(parts))

    def _join(self, chosen: Sequence[int], parts: list[str]) -> None:
        """Take out the space between neighbours that are both in languages written without spaces."""
        pieces, options, ends = self._pieces, self._units.options, self._units.ends
        for unit, following in zip(chosen, chosen[1:]):
            end, spaced = ends.get(unit, unit + 1), options[unit].spaced or options[following].spaced
            if following == end and not spaced and not pieces[end - 1].tail and pieces[end].lead == " ":
                parts[following] = parts[following][1:]

    @property
    def language(self) -> str:
        """The code of the language; several are joined with commas."""
        return ",".join(self.languages)

    @property
    def ratio(self) -> float:
        """The share of the switchable words and phrases that were switched; 0 where there are none."""
        return self.count / self.switchable if self.switchable else 0.0

    @property
    def words(self) -> int:
        """Words of the text in all, those left out that are protected."""
        return len([1 for piece in self._pieces if piece.word]) - self._protected

    @property
    def changes(self) -> tuple[Change, ...]:
        """What was switched, in order."""
        found, passed, position, origin = [], 0, 0, -1  # the first piece has a space more than the text
        for start, number in zip(self._chosen, self._numbers):
            position += sum(map(len, self._parts[passed:start]))
            origin += sum(len(piece.text) for piece in self._pieces[passed:start])
            passed, options = start, self._units.options[start]
            span = self._pieces[start : self._units.ends.get(start, start + 1)]
            translation = options.translations[bisect_right(options.bounds, number)]
            lead, tail = len(span[0].lead), len(span[-1].tail)
            english = "".join([piece.text for piece in span])
            english = english[lead : len(english) - tail]
            before = len(self._parts[start]) - len(translation) - tail
            found.append(Change(english, translation, options.language, origin + lead, position + before))
        return tuple(found)


class Units(NamedTuple):
    """What can be switched in a text.

    Attributes:
        options: for each piece; None where nothing begins that can be switched.
        starts: pieces where a unit begins, in order.
        ends: start -> end of the units that are phrases of several pieces.
        spaced: whether all languages put spaces between words.
    """

    options: list[Options | None]
    starts: list[int]
    ends: dict[int, int]
    spaced: bool


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
    vocabularies: dict[str, Vocabulary] = field(init=False, repr=False)

    def __post_init__(self):
        if not self.lexicons:
            raise ConfigError("code-switching: at least one lexicon is needed")
        self.languages = self.languages or Languages.alike(self.lexicons)
        keep = frozenset(map(fold, self.keep))
        self.vocabularies = {
            code: Vocabulary(self.lexicons[code], self.choice, self.phrases, self.inflections, keep)
            for code in self.languages.codes
        }

    def switch(
        self,
        sample_id: str,
        text: str,
        language: str | None = None,
        names: Collection[str] = (),
        progress: float = 0.0,
        epoch: int = 0,
    ) -> Switched:
        """Code-switch one text, into `language` or those drawn for the sample.

        `names` are words to leave alone besides the names found in the text itself: those of the whole document,
        where `text` is one sentence of it. `progress`, 0 to 1, is the place in the data, for a ratio that rises.
        """
        text = normalize("NFC", text)
        (pieces, special), mix = survey(text), self.languages.mix
        fixed = 2 + mix + (len(pieces) if mix > 1 else 0)  # each piece may have to choose its language
        # As many as can be needed: how many are made changes none of them.
        numbers = _numbers(f"{self.seed} {epoch} {sample_id}", fixed + 2 * len(pieces))
        languages = (language,) if language else self.languages.draw(numbers[2 : 2 + mix])
        capitals = [index for index in special if pieces[index].capital]
        blocked = within_protected(pieces, special)
        protected = len(blocked)
        blocked.update(self._staying(pieces, special, capitals, text, names))
        if len(languages) == 1:
            units = _find_units(pieces, self.vocabularies[languages[0]], blocked, capitals)
        else:
            units = _find_mixed(pieces, [self.vocabularies[code] for code in languages], blocked, numbers[2 + mix :])
        switched = Switched(text, languages, pieces, protected, units)
        switchable = switched.switchable
        count = self.ratio.count(switchable, progress, numbers[0], numbers[1])
        if count:
            # Those with the smallest numbers.
            order = numbers[fixed : fixed + switchable].tolist()
            limit = sorted(order)[count - 1]
            chosen = [start for start, number in zip(units.starts, order) if number <= limit][:count]
            switched.replace(chosen, numbers[fixed + switchable :])
        return switched

    def _staying(
        self, pieces: list[Piece], special: list[int], capitals: list[int], text: str, names: Collection[str]
    ) -> list[int]:
        """Indices of the words that stay where they stand: names, and letters that are labels there."""
        inside = [index for index in capitals if not starts_sentence(pieces, index)]
        staying = [index for index in special if pieces[index].letter and is_label(pieces, index)]
        if (inside or names) and not self.names:
            known = find_names(pieces, text, inside).union(names)
            staying += [index for index in capitals if pieces[index].name in known]
        return staying


def _find_units(pieces: list[Piece], vocabulary: Vocabulary, blocked: set[int], capitals: list[int]) -> Units:
    """What can be switched into one language: the longest phrase first, left to right."""
    options: list[Options | None] = [*map(vocabulary.__getitem__, pieces)]
    for index in blocked:
        options[index] = None
    ends = _find_phrases(pieces, options, vocabulary, blocked) if vocabulary.phrases else {}
    for index in capitals:
        if options[index] is not None:
            options[index] = _where_it_stands(options[index], pieces, index)
    return Units(options, [*compress(range(len(options)), options)], ends, vocabulary.spaced)


def _find_phrases(
    pieces: list[Piece], options: list[Options | None], vocabulary: Vocabulary, blocked: set[int]
) -> dict[int, int]:
    """Put phrases in the place of their words; start -> end of each."""
    ends, after = {}, 0
    for index in [index for index, own in enumerate(options) if own is not None and own.phrases]:
        if index >= after:
            after, options[index] = _longest(pieces, index, options[index], vocabulary, blocked)
            if after > index + 1:
                ends[index] = after
                options[index + 1 : after] = [None] * (after - index - 1)
    return ends


def _find_mixed(
    pieces: list[Piece], vocabularies: list[Vocabulary], blocked: set[int], numbers: Sequence[int]
) -> Units:
    """What can be switched into several languages: one is drawn of those that have the longest phrase."""
    options: list[Options | None] = [None] * len(pieces)
    starts, ends, after = [], {}, 0
    for index, piece in enumerate(pieces):
        if index < after or index in blocked:
            continue
        there = [(words, words[piece]) for words in vocabularies]
        found = [_longest(pieces, index, own, words, blocked) for words, own in there if own is not None]
        found = [(end, own) for end, own in found if own is not None]
        if found:
            after = max(end for end, _ in found)
            longest = [own for end, own in found if end == after]
            options[index] = _where_it_stands(longest[numbers[index] % len(longest)], pieces, index)
            starts.append(index)
            if after > index + 1:
                ends[index] = after
    return Units(options, starts, ends, all(words.spaced for words in vocabularies))


def _longest(
    pieces: list[Piece], index: int, options: Options, vocabulary: Vocabulary, blocked: set[int]
) -> tuple[int, Options | None]:
    """Where the longest phrase that begins with a piece ends, or else its word, and its options; None for neither."""
    if options.phrases and index + 1 < len(pieces):
        for length in options.phrases.get(pieces[index + 1].key, ()):
            end = index + length
            if end <= len(pieces) and blocked.isdisjoint(range(index, end)):
                found = vocabulary.phrase(pieces[index:end])
                if found is not None:
                    return end, found
    return index + 1, options if options.translations else None


def _where_it_stands(options: Options, pieces: list[Piece], index: int) -> Options:
    return options.inside if options.inside and not starts_sentence(pieces, index) else options


def _numbers(key: str, count: int) -> "array[int]":
    """The first `count` of the numbers below DRAWS that a key stands for."""
    numbers = array("H", hashlib.shake_128(key.encode("utf-8", "surrogatepass")).digest(2 * count))
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
