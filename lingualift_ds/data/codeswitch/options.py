"""What languages have for the words and phrases of a text: translations in their case, and how they are drawn."""

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Literal, NamedTuple

import numpy as np

from lingualift_ds.data.codeswitch.curriculum import DRAWS
from lingualift_ds.data.codeswitch.pieces import MOST_REMEMBERED, Column, PieceTable
from lingualift_ds.data.codeswitch.words import Piece, cut
from lingualift_ds.data.languages import capitalised, capitals, writes_spaces
from lingualift_ds.data.lexicon import Lexicon, fold
from lingualift_ds.errors import ConfigError

Choice = Literal["rank", "uniform", "first", "frequency"]

MOST_TEXTS = 2_000_000
"""Translations, in all cases and beside all marks, that are remembered; the memory begins anew where it is full."""
_APART = 2 * DRAWS
_OTHER_WORDS = ("less", "least", "cannot")
"""Words whose base form means another thing, beside negated and compared ones."""


class Options(NamedTuple):
    """What can replace a word or phrase where it stands, and which phrases begin with it.

    Attributes:
        texts: the translations in the lexicon's order and the English word's case, with what stands before and after
            the English; () where the lexicon has phrases only.
        bounds: a number below DRAWS chooses the first translation whose bound is above it, or else the last.
        inside: the texts within a sentence, where they differ: `I` has its capital always. Else ().
        phrases: second word of a phrase -> how many pieces such phrases have, the longest first; None for none.
    """

    texts: tuple[str, ...]
    bounds: tuple[int, ...] = ()
    inside: tuple[str, ...] = ()
    phrases: Mapping[str, tuple[int, ...]] | None = None


class Vocabulary:
    """One language's options, as its lexicon and the settings have them.

    `phrases` says whether phrases are looked for; it becomes those there are, by their first word. `keep` holds folded
    words that stay. Raises ConfigError where translations are to be drawn by a frequency that the lexicon has not.
    """

    def __init__(
        self,
        lexicon: Lexicon,
        choice: Choice = "rank",
        phrases: bool = True,
        inflections: bool = False,
        keep: Collection[str] = (),
    ):
        if choice == "frequency" and not lexicon.weights:
            raise ConfigError(
                f"choice frequency: the {lexicon.language} lexicon has no frequencies; rank, uniform or first are left"
            )
        self.language, self.spaced = lexicon.language, writes_spaces(lexicon.language)
        self._lexicon, self._choice, self._inflections, self._keep = lexicon, choice, inflections, frozenset(keep)
        self.phrases = _phrase_heads(lexicon.entries, self._keep) if phrases else {}

    def word(self, piece: Piece) -> Options | None:
        """Options of a piece; None where it has no word, or one that may not be switched."""
        if not piece.word or piece.key in self._keep:
            return None
        if len(piece.word) == 1 and not _is_no_label(piece):
            return None
        phrases = self.phrases.get(piece.key)
        forms = (piece.key, *(base_forms(piece.key) if self._inflections else ()))
        key = next((form for form in forms if form in self._lexicon.entries), None)
        if key is not None:
            return self._options(piece.lead, piece.word, piece.tail, key, phrases)
        return Options((), phrases=phrases) if phrases else None

    def phrase(self, lead: str, english: str, tail: str) -> Options | None:
        """Options of a phrase between what stands before and after it; None where the lexicon does not have it."""
        key = fold(english)
        return self._options(lead, english, tail, key, None) if key in self._lexicon.entries else None

    def _options(self, lead: str, english: str, tail: str, key: str, phrases: Mapping | None) -> Options:
        translations = self._lexicon.entries[key][: 1 if self._choice == "first" else None]
        bounds = self._bounds(key, len(translations))
        texts = tuple([lead + carry_case(english, translation, self.language) + tail for translation in translations])
        inside = ()
        if english[:2] in ("I", "I'", "I’", "I "):
            inside = tuple([lead + translation + tail for translation in translations])
        return Options(texts, bounds, inside, phrases)

    def _bounds(self, key: str, count: int) -> tuple[int, ...]:
        if self._choice == "frequency" and key in self._lexicon.weights:
            return _bounds(self._lexicon.weights[key])
        return _equal(count) if self._choice == "uniform" else _by_rank(count)


class OptionTable:
    """What can replace pieces and phrases in all languages, by number; 0 stands for nothing.

    Attributes:
        vocabularies: of the languages, whose numbers are their places.
        language: number of its language, [options].
        translates: whether an option has translations; a word may be no more than the head of phrases, [options].
        heads: whether phrases begin with it, [options].
        inside: the option that holds within a sentence, where that is another; else 0, [options].
        phrases: as Options has it, [options].
        texts: of all options, those of one side by side.
    """

    def __init__(self, vocabularies: Sequence[Vocabulary]):
        self.vocabularies = vocabularies
        self.language, self.inside = Column(np.int32), Column(np.int32)
        self.translates, self.heads = Column(bool), Column(bool)
        self.phrases: list[Mapping[str, tuple[int, ...]] | None] = []
        self.texts = Column(object)
        self._firsts, self._drawn_by = Column(np.int32), Column(np.int64)
        self._of_pieces = np.empty((len(vocabularies), 0), np.int32)  # -1: not looked for yet
        self._of_phrases: dict[tuple[int, str, int, int], int] = {}
        # All different bounds, apart from each other: their numbers, all of them in order, how many come before each.
        self._bounds: dict[tuple[int, ...], int] = {}
        self._all_bounds, self._bounds_before = Column(np.int64), Column(np.int64)
        self._new, self._new_texts = [], []
        self._add(0, Options(()))
        self._take_in()

    @property
    def full(self) -> bool:
        """Whether it is time to begin anew."""
        return self.texts.size >= MOST_TEXTS or len(self._of_phrases) >= MOST_REMEMBERED

    def of_pieces(self, languages: np.ndarray, ids: np.ndarray, table: PieceTable) -> np.ndarray:
        """The option of each piece in a language, [pieces] or whatever the shape of the two; 0 where it has none."""
        room = self._of_pieces.shape[1]
        if len(table.pieces) > room:
            more = np.full((len(self.vocabularies), max(len(table.pieces), room)), -1, np.int32)
            self._of_pieces = np.concatenate([self._of_pieces, more], axis=1)
        languages, ids = np.broadcast_arrays(languages, ids)
        found = self._of_pieces[languages, ids]
        unknown = np.nonzero(found < 0)
        if len(unknown[0]):
            for language, piece in {*zip(languages[unknown].tolist(), ids[unknown].tolist())}:
                options = self.vocabularies[language].word(table.pieces[piece])
                self._of_pieces[language, piece] = self._add(language, options) if options else 0
            self._take_in()
            found = self._of_pieces[languages, ids]
        return found

    def of_phrase(self, language: int, pieces: Sequence[Piece]) -> int:
        """The option of a phrase that spans some pieces; 0 where the lexicon does not have it."""
        text, lead, tail = "".join([piece.text for piece in pieces]), pieces[0].lead, pieces[-1].tail
        key = language, text, len(lead), len(tail)
        if key not in self._of_phrases:
            options = self.vocabularies[language].phrase(lead, text[len(lead) : len(text) - len(tail)], tail)
            self._of_phrases[key] = self._add(language, options) if options else 0
            self._take_in()
        return self._of_phrases[key]

    def draw(self, options: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Places in `texts` of the translations that numbers below DRAWS choose, one for each option."""
        by = self._drawn_by[options]
        place = np.searchsorted(self._all_bounds.filled, by * _APART + numbers, side="right")
        return self._firsts[options] + place - self._bounds_before[by]

    def _add(self, language: int, options: Options) -> int:
        """The number of new options."""
        inside = self._add(language, Options(options.inside, options.bounds)) if options.inside else 0
        by = self._bounds.get(options.bounds)
        if by is None:
            by = self._bounds[options.bounds] = len(self._bounds)
            self._bounds_before.extend([self._all_bounds.size])
            self._all_bounds.extend([by * _APART + bound for bound in options.bounds])
        first = self.texts.size + len(self._new_texts)
        self._new_texts += options.texts
        self._new.append((language, inside, bool(options.texts), options.phrases is not None, first, by))
        self.phrases.append(options.phrases)
        return len(self.phrases) - 1

    def _take_in(self) -> None:
        """Put what is new into the columns."""
        columns = self.language, self.inside, self.translates, self.heads, self._firsts, self._drawn_by
        for column, values in zip(columns, zip(*self._new)):
            column.extend(values)
        self.texts.extend(self._new_texts)
        self._new, self._new_texts = [], []


def _is_no_label(piece: Piece) -> bool:
    """Whether a letter by itself is the article or the pronoun, and no quantity or label: x, B, A), a., part I."""
    if piece.word in ("a", "A"):
        return not piece.tail
    return piece.word == "I" and piece.tail[:1] not in (".", ")", "]", ":")


def carry_case(english: str, translation: str, language: str) -> str:
    """The translation with the case of the English: a capital at its head, or all capitals."""
    if not english[:1].isupper():
        return translation
    letters = [character for character in english if character.isalpha()]
    if len(letters) > 1 and all(character.isupper() for character in letters):
        return capitals(translation, language)
    return capitalised(translation, language)


@lru_cache(200_000)
def base_forms(word: str) -> tuple[str, ...]:
    """What an inflected English word in small letters may stand in a lexicon as, the likeliest first."""
    from simplemma import lemmatize  # its word lists take half a second that only those who ask for it should wait

    bare = word[:-2] if word.endswith("'s") else word.removesuffix("'")
    lemma = lemmatize(bare, lang="en").lower()
    # Not from won't to will, from fewer to few, from better to good: these say something else.
    if "'" in bare or bare.endswith(("er", "est")) or len(bare) < 3 or lemma[:1] != bare[:1] or bare in _OTHER_WORDS:
        lemma = bare
    return tuple(form for form in dict.fromkeys((bare, lemma)) if form not in ("", word))


def _phrase_heads(entries: Mapping[str, tuple[str, ...]], keep: frozenset[str]) -> dict[str, dict[str, tuple[int]]]:
    """First word -> second word -> numbers of pieces that the phrases of a lexicon have, the longest first."""
    heads: dict[str, dict[str, set[int]]] = {}
    for entry in entries:
        if not entry.isalpha():
            keys = [piece.key for piece in cut(entry)]
            if len(keys) > 1 and all(keys) and keep.isdisjoint(keys):
                heads.setdefault(keys[0], {}).setdefault(keys[1], set()).add(len(keys))
    return {
        first: {second: tuple(sorted(lengths, reverse=True)) for second, lengths in following.items()}
        for first, following in heads.items()
    }


@lru_cache
def _by_rank(count: int) -> tuple[int, ...]:
    """Lexicons list the likely first: weight 1/rank."""
    return _bounds(tuple(1 / rank for rank in range(1, count + 1)))


@lru_cache
def _equal(count: int) -> tuple[int, ...]:
    return _bounds((1,) * count)


def _bounds(weights: Sequence[float]) -> tuple[int, ...]:
    total = sum(weights)
    return tuple(int(DRAWS * part / total) for part in accumulate(weights[:-1]))
