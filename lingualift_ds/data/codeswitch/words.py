"""English text as pieces of one word each: what can be said of a piece by itself.

What depends on more than the piece, such as names, is decided for many texts at once (pieces.py).

Words are those of Unicode's default word boundaries (UAX 29), as the `regex` module finds them, from the first letter
on; compounds with a hyphen are one word.
"""

from collections.abc import Sequence

import regex

from lingualift_ds.data.codeswitch.protect import has_mark, has_operator, protected_spans
from lingualift_ds.data.codeswitch.sentences import OPENING, QUOTES, ends_sentence
from lingualift_ds.data.lexicon import fold

# The module sees no boundary between a quotation mark at the head of a word and a vowel, as in 'apples' (2026.11).
_WORD = regex.compile(r"(?:\b|(?<![\p{L}\p{N}]['’])(?<=['’]))\p{L}.*?\b", regex.WORD | regex.V1 | regex.DOTALL)
_LETTER = regex.compile(r"\p{L}")
_COMPOUND = regex.compile(r"[-\u2010\u2011]")
_ONE_LETTER = ("a", "A", "I")
_POINTS = ".,;:!?\"'()"

# Capitalised in English only, or where a title or a list begins, and no one's name: translated like other words.
NOT_NAMES = frozenset(
    """
    A About After All Also An And Another Any Are As At Because Before Both But By Did Do Does Each Every Few
    First For From Had Has Have He Her Here His How However If In Into Is It Its Just Last Let Many More Most
    Much My Next No Not Now Of On One Only Or Other Our Out Over She Since So Some Such Than That The Their Them
    Then There These They This Those Though To Two Under Until Up Was We Were What When Where Which While Who
    Whose Why With You Your Find Given Calculate I Monday Tuesday Wednesday Thursday Friday Saturday Sunday
    Mondays Tuesdays Wednesdays Thursdays Fridays Saturdays Sundays January February July September October
    November December Christmas Mom Dad I'm I'll I've I'd I’m I’ll I’ve I’d
    """.split()
)


class Piece:
    """A part of a text with at most one word in it; a text is its pieces joined, less the first one's space.

    Attributes:
        lead, word, tail: the text of the piece, in order; `word` is "" where there is none that may change.
        key: the word as lexicons are looked up.
        name: the word as names are compared, without the genitive's ending.
        capital: whether the word begins with a capital.
        opens: whether the word begins a sentence; None where that is for the pieces before it to say.
        closes: whether a sentence ends with the piece; None where that is for the pieces before it to say.
        mark: whether it may be a part of something that is protected and longer than itself.
        operator: whether a formula may go on beyond it.
        letter: whether the word is one of a single letter; formulae hold no other words.
    """

    __slots__ = (
        "text",
        "lead",
        "word",
        "tail",
        "key",
        "name",
        "capital",
        "opens",
        "closes",
        "mark",
        "operator",
        "letter",
    )

    def __init__(
        self,
        lead: str,
        word: str,
        tail: str,
        opens: bool | None,
        closes: bool | None,
        mark: bool = False,
        operator: bool = False,
    ):
        self.text, self.lead, self.word, self.tail = lead + word + tail, lead, word, tail
        self.key = fold(word) if word else ""
        self.name = word[:-2] if word.endswith(("'s", "’s")) else word
        self.capital = word[:1].isupper() or word[:1].istitle()
        self.opens, self.closes, self.mark, self.operator = opens, closes, mark, operator
        self.letter = word in _ONE_LETTER


def cut(text: str) -> list[Piece]:
    """The pieces of a text."""
    return [piece for chunk in text.split(" ") for piece in analyse(chunk)]


def analyse(chunk: str) -> tuple[Piece, ...]:
    """A chunk's pieces, the first with the space before it. Every word carries what follows it, up to the next."""
    bare = chunk.strip(_POINTS)
    if bare.isascii() and bare.isalpha() and bare[1:].islower():  # most chunks: nothing in them can be protected
        start = chunk.index(bare)
        words, mark, operator = [(start, start + len(bare))], False, False
    else:
        words = _words(chunk) if _LETTER.search(chunk) else []
        mark, operator = has_mark(chunk), has_operator(chunk)
    closes = ends_sentence(chunk)
    if not words:
        return (Piece(" " + chunk, "", "", None, closes, mark, operator),)
    ends = [start for start, _ in words[1:]] + [len(chunk)]
    lead, pieces = " " + chunk[: words[0][0]], []
    for number, ((start, end), until) in enumerate(zip(words, ends)):
        before = chunk[words[number - 1][1] : start] if number else chunk[:start]
        opens = _opens(before, chunk[:start], first=number == 0)
        pieces.append(Piece(lead, chunk[start:end], chunk[end:until], opens, closes, mark, operator))
        lead = ""
    return tuple(pieces)


def _opens(between: str, before: str, first: bool) -> bool | None:
    """Whether a word begins a sentence, by what stands between it and the word before, or else the chunk's start."""
    bare = between.rstrip(OPENING)
    # `said "We` is a start too; in a bracket or after a space alone it is not.
    if any(mark in between[len(bare) :] for mark in QUOTES):
        return True
    return ends_sentence(before) if bare else (None if first else False)


def _words(chunk: str) -> list[tuple[int, int]]:
    """Spans of the words outside what is protected; hyphenated compounds are one word."""
    protected = Spans(chunk)
    spans: list[tuple[int, int]] = []
    for match in _WORD.finditer(chunk):
        start, end = match.span()
        if protected.touch(start, end):
            continue
        if spans and _COMPOUND.fullmatch(chunk, spans[-1][1], start):
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return spans


def within_protected(pieces: Sequence[Piece]) -> set[int]:
    """Indices of the words of a text that lie in a protected span longer than their piece."""
    letters = [index for index, piece in enumerate(pieces) if piece.letter]
    formulae = any([piece.operator for index in letters for piece in pieces[max(0, index - 1) : index + 2]])
    if not formulae and not any([piece.mark for piece in pieces]):
        return set()
    spans = Spans("".join([piece.text for piece in pieces]), formulae)
    if not spans:
        return set()
    inside, position = set(), 0
    for index, piece in enumerate(pieces):
        start = position + len(piece.lead)
        position += len(piece.text)
        if piece.word and spans.touch(start, start + len(piece.word)):
            inside.add(index)
    return inside


class Spans:
    """The protected spans of a text, asked for from left to right."""

    def __init__(self, text: str, formulae: bool = True):
        self._spans, self._next, self._end = protected_spans(text, formulae), 0, 0

    def __bool__(self) -> bool:
        return bool(self._spans)

    def touch(self, start: int, end: int) -> bool:
        """Whether a protected span overlaps [start, end); every start is at or after the one before it."""
        while self._next < len(self._spans) and self._spans[self._next][0] < end:
            self._end = max(self._end, self._spans[self._next][1])
            self._next += 1
        return self._end > start
