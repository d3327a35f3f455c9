"""What a language has for each word of a text: its translations, in the word's own case, and how they are drawn."""

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Literal

from lingualift_ds.data.codeswitch.curriculum import DRAWS
from lingualift_ds.data.codeswitch.words import LONGEST_REMEMBERED, MOST_REMEMBERED, Piece, chunks, cut
from lingualift_ds.data.languages import capitalised, capitals, writes_spaces
from lingualift_ds.data.lexicon import Lexicon, fold
from lingualift_ds.errors import ConfigError

Choice = Literal["rank", "uniform", "first", "frequency"]


_OTHER_WORDS = ("less", "least", "cannot")
"""Words whose base form means another thing, beside negated and compared ones."""


class Options:
    """What can replace a word or phrase where it stands, and which phrases begin with it.

    Attributes:
        language: its code; `spaced`: whether it puts spaces between words.
        translations: in the lexicon's order and the English word's case; () where the lexicon has phrases only.
        texts: the translations with what stands before and after the English.
        bounds: a number below DRAWS chooses the first translation whose bound is above it, or else the last.
        inside: what holds within a sentence, where that differs: `I` has its capital always. Else None.
        phrases: second word of a phrase -> how many pieces such phrases have, the longest first; None for none.
    """

    __slots__ = ("language", "spaced", "translations", "texts", "bounds", "inside", "phrases")

    def __init__(
        self,
        language: str,
        spaced: bool,
        lead: str = "",
        translations: Sequence[str] = (),
        tail: str = "",
        bounds: Sequence[int] = (),
        inside: "Options | None" = None,
        phrases: Mapping[str, tuple[int, ...]] | None = None,
    ):
        self.language, self.spaced, self.translations, self.bounds = language, spaced, translations, bounds
        self.texts = tuple([lead + translation + tail for translation in translations])
        self.inside, self.phrases = inside, phrases


class Vocabulary(dict):
    """One language's options by piece, filled as pieces come; None where a piece has nothing that may be switched.

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
        super().__init__()
        if choice == "frequency" and not lexicon.weights:
            raise ConfigError(
                f"choice frequency: the {lexicon.language} lexicon has no frequencies; rank, uniform or first are left"
            )
        self.language, self.spaced = lexicon.language, writes_spaces(lexicon.language)
        self._lexicon, self._choice, self._inflections, self._keep = lexicon, choice, inflections, frozenset(keep)
        self.phrases = _phrase_heads(lexicon.entries, self._keep) if phrases else {}
        self._generation = chunks.generation
        self._found: dict[tuple[str, int, int], Options | None] = {}

    def __missing__(self, piece: Piece) -> Options | None:
        options = self._find(piece)
        if self._generation != chunks.generation or len(self) >= MOST_REMEMBERED:
            self.clear()
            self._generation = chunks.generation
        if len(piece.text) <= LONGEST_REMEMBERED:
            self[piece] = options
        return options

    def phrase(self, pieces: Sequence[Piece]) -> Options | None:
        """Options of a phrase, as the pieces that it spans; None where the lexicon does not have it."""
        text, lead, tail = "".join([piece.text for piece in pieces]), pieces[0].lead, pieces[-1].tail
        where = text, len(lead), len(tail)
        if where not in self._found:
            if len(self._found) >= MOST_REMEMBERED:
                self._found.clear()
            english = text[len(lead) : len(text) - len(tail)]
            key = fold(english)
            known = key in self._lexicon.entries
            self._found[where] = self._options(lead, english, tail, key, None) if known else None
        return self._found[where]

    def _find(self, piece: Piece) -> Options | None:
        if not piece.word or piece.key in self._keep:
            return None
        if len(piece.word) == 1 and not _is_no_label(piece):
            return None
        phrases = self.phrases.get(piece.key)
        forms = (piece.key, *(base_forms(piece.key) if self._inflections else ()))
        key = next((form for form in forms if form in self._lexicon.entries), None)
        if key is not None:
            return self._options(piece.lead, piece.word, piece.tail, key, phrases)
        return Options(self.language, self.spaced, phrases=phrases) if phrases else None

    def _options(self, lead: str, english: str, tail: str, key: str, phrases: Mapping | None) -> Options:
        translations = self._lexicon.entries[key][: 1 if self._choice == "first" else None]
        bounds = self._bounds(key, len(translations))
        cased, inside = translations, None
        if english[:1].isupper():
            cased = tuple([carry_case(english, translation, self.language) for translation in translations])
        if english[:2] in ("I", "I'", "I’", "I "):
            inside = Options(self.language, self.spaced, lead, translations, tail, bounds)
        return Options(self.language, self.spaced, lead, cased, tail, bounds, inside, phrases)

    def _bounds(self, key: str, count: int) -> tuple[int, ...]:
        if self._choice == "frequency" and key in self._lexicon.weights:
            return _bounds(self._lexicon.weights[key])
        return _equal(count) if self._choice == "uniform" else _by_rank(count)


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


@lru_cache(MOST_REMEMBERED)
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
