"""Many English texts at once, as arrays of numbered pieces; what depends on more of a text than a piece.

A text is cut at its spaces, and what lies between two of them is analysed once, however often it comes: words repeat
so much (Zipf's law) that a text costs little more than its cutting.
"""

from collections.abc import Collection, Sequence
from functools import cached_property

import numpy as np

from lingualift_ds.data.codeswitch.words import NOT_NAMES, Piece, analyse, within_protected

MOST_REMEMBERED = 200_000
"""Pieces that are remembered: the memory begins anew where it is full, whatever the input's size."""
_CHARACTERS = 16
"""Characters that a piece may have on average, before the memory is full for them."""

WORD, CAPITAL, MARK, OPERATOR, LETTER = 1, 2, 4, 8, 16
"""What a piece is: has a word; and as `Piece` calls it."""
_SINGLE, _UPPER_I, _UPPER_A = 32, 64, 128
_BARE, _SPACE = 256, 512  # nothing follows the word; one space and no more comes before it
_OPENS_SAID, _OPENS, _CLOSES_SAID, _CLOSES = 1024, 2048, 4096, 8192
_NO_NAME = 16384


class Column:
    """An array that grows at its end; what is beyond its size is `fill`."""

    def __init__(self, dtype: type, fill: object = 0):
        self.array = np.full(1024, fill, dtype)
        self.size, self._fill = 0, fill

    def __getitem__(self, where: np.ndarray) -> np.ndarray:
        return self.array[where]

    @property
    def filled(self) -> np.ndarray:
        """What was put in so far."""
        return self.array[: self.size]

    def extend(self, values: Sequence) -> None:
        """Put values at the end."""
        size = self.size + len(values)
        if size > len(self.array):
            longer = np.full(max(size, 2 * len(self.array)), self._fill, self.array.dtype)
            longer[: self.size] = self.array[: self.size]
            self.array = longer
        self.array[self.size : size] = values
        self.size = size


class PieceTable(dict):
    """All pieces seen so far, by number: chunk of text between two spaces -> number of its first piece.

    The other pieces of a chunk have the numbers that follow.
    """

    def __init__(self):
        super().__init__()
        self.pieces: list[Piece] = []
        self.texts, self.flags = Column(object), Column(np.uint16)
        self.more = Column(np.int32)  # pieces of the chunk that come after its first
        # Words by number: of the piece, as names are compared, and as a name would be written in small letters.
        self.words, self.names, self.small = (Column(np.int32) for _ in range(3))
        self._numbers: dict[str, int] = {}
        self._new: list[tuple[Piece, int]] = []
        self._characters = 0

    def __missing__(self, chunk: str) -> int:
        first = self[chunk] = len(self.pieces)
        found = analyse(chunk)
        self.pieces += found
        self._characters += len(chunk)
        self._new += [(piece, len(found) - 1 - place) for place, piece in enumerate(found)]
        return first

    @property
    def full(self) -> bool:
        """Whether it is time to begin anew."""
        return len(self.pieces) >= MOST_REMEMBERED or self._characters >= MOST_REMEMBERED * _CHARACTERS

    def number(self, word: str) -> int:
        """What stands for a word."""
        return self._numbers.setdefault(word, len(self._numbers))

    @property
    def word_count(self) -> int:
        """Words that have a number."""
        return len(self._numbers)

    def survey(self, texts: Sequence[str]) -> "Survey":
        """The pieces of texts."""
        chunks = " ".join(texts).split(" ") if texts else []
        ids = np.fromiter(map(self.__getitem__, chunks), np.int64, len(chunks))
        counts = np.array([text.count(" ") + 1 for text in texts], np.int64)
        if self._new:
            self._take_in()
        more = self.more[ids]
        if more.any():
            chunks_before = np.cumsum(counts) - counts
            counts = counts + np.add.reduceat(more, chunks_before)
            ends = np.cumsum(more + 1)
            ids = np.repeat(ids - (ends - more - 1), more + 1) + np.arange(ends[-1])
        return Survey(self, texts, ids, counts)

    def _take_in(self) -> None:
        pieces = [piece for piece, _ in self._new]
        self.texts.extend([piece.text for piece in pieces])
        self.flags.extend([*map(_flags, pieces)])
        self.more.extend([more for _, more in self._new])
        self.words.extend([self.number(piece.word) for piece in pieces])
        self.names.extend([self.number(piece.name) for piece in pieces])
        self.small.extend([self.number(piece.name.lower()) if piece.capital else 0 for piece in pieces])
        self._new = []


def _flags(piece: Piece) -> int:
    return (
        WORD * bool(piece.word)
        | CAPITAL * piece.capital
        | MARK * piece.mark
        | OPERATOR * piece.operator
        | LETTER * piece.letter
        | _SINGLE * (len(piece.word) == 1)
        | _UPPER_I * (piece.word == "I")
        | _UPPER_A * (piece.word == "A")
        | _BARE * (not piece.tail)
        | _SPACE * (piece.lead == " ")
        | _OPENS_SAID * (piece.opens is not None)
        | _OPENS * bool(piece.opens)
        | _CLOSES_SAID * (piece.closes is not None)
        | _CLOSES * bool(piece.closes)
        | _NO_NAME * (piece.name in NOT_NAMES)
    )


class Survey:
    """The pieces of several texts, one text after the other.

    Attributes:
        texts: as they were given.
        ids: number of each piece, [pieces].
        rows: number of the text that a piece is of, [pieces].
        counts: pieces of each text, [texts]; `bounds`: where each begins, and the end, [texts + 1].
    """

    def __init__(self, table: PieceTable, texts: Sequence[str], ids: np.ndarray, counts: np.ndarray):
        self.table, self.texts, self.ids, self.counts = table, texts, ids, counts
        self.rows = np.repeat(np.arange(len(texts)), counts)
        self.bounds = np.concatenate([[0], np.cumsum(counts)])
        self._flags = table.flags[ids]

    def has(self, flag: int) -> np.ndarray:
        """Which pieces have a flag, [pieces]."""
        return (self._flags & flag) != 0

    @cached_property
    def joinable(self) -> np.ndarray:
        """Which pieces have nothing after their word, and the next one a single space before its own, [pieces]."""
        return self.has(_BARE) & _next(self.has(_SPACE))

    @cached_property
    def starts(self) -> np.ndarray:
        """Which words are the first of a sentence, a line or a quotation, [pieces]."""
        places = np.arange(len(self.ids))
        said = np.maximum.accumulate(np.where(self.has(_CLOSES_SAID), places, -1))
        before = np.concatenate([[-1], said[:-1]])  # the last piece before that says whether a sentence ends with it
        known = before >= self.bounds[self.rows]
        return np.where(self.has(_OPENS_SAID), self.has(_OPENS), ~known | self.has(_CLOSES)[before])

    def protected(self) -> np.ndarray:
        """Which words lie in a protected span longer than their piece, [pieces]."""
        inside, operator = np.zeros(len(self.ids), bool), self.has(OPERATOR)
        near = operator | _next(operator) | _before(operator)
        for row in np.unique(self.rows[self.has(MARK) | (near & self.has(LETTER))]).tolist():
            first, end = self.bounds[row], self.bounds[row + 1]
            inside[[first + index for index in within_protected(self.pieces(first, end))]] = True
        return inside

    def pieces(self, first: int, end: int) -> list[Piece]:
        """The pieces [first, end)."""
        return [*map(self.table.pieces.__getitem__, self.ids[first:end].tolist())]

    def labels(self) -> np.ndarray:
        """Which words of one letter stand for something where they stand: team A, World War I, a x; [pieces]."""
        letter = self.has(LETTER)
        named = _before(self.has(CAPITAL) & self.has(_BARE) & ~self.starts) & self._same(_before)
        upper_i = self.has(_UPPER_I)
        before_letter = _next(self.has(_SINGLE)) & self._same(_next)
        return letter & np.where(upper_i, named, before_letter | (self.has(_UPPER_A) & ~self.starts))

    def _same(self, shift) -> np.ndarray:
        """Whether the neighbour is of the same text, [pieces]."""
        return shift(self.rows, -1) == self.rows

    def names(self, known: Sequence[Collection[str]] = ()) -> np.ndarray:
        """Which words with a capital are names, [pieces]; `known` are those that a text has besides.

        A name is written with a capital inside a sentence, and is one at the head of a sentence too. Days, most months
        and `I` are no names; nor is a word that the text also has in small letters, nor anything in a text that is all
        capitals.
        """
        capitals = np.flatnonzero(self.has(CAPITAL))
        found = self._found(capitals)
        if any(known):
            given = [self._key(row, self.table.number(name)) for row, names in enumerate(known) for name in names]
            found = np.concatenate([found, np.array(given, np.int64)])
        names = np.zeros(len(self.ids), bool)
        names[capitals] = np.isin(self._key(self.rows[capitals], self.table.names[self.ids[capitals]]), found)
        return names

    def names_of_texts(self) -> list[set[str]]:
        """The names of each text, without the genitive's ending."""
        names: list[set[str]] = [set() for _ in self.texts]
        for index in np.flatnonzero(self.names()).tolist():
            names[self.rows[index]].add(self.table.pieces[self.ids[index]].name)
        return names

    def _found(self, capitals: np.ndarray) -> np.ndarray:
        """Names by text and word, as keys."""
        inside = capitals[~self.starts[capitals] & ~self.has(_NO_NAME)[capitals]]
        small = np.flatnonzero(self.has(WORD) & ~self.has(CAPITAL))
        has_small = np.zeros(len(self.texts), bool)
        has_small[self.rows[small]] = True
        inside = inside[has_small[self.rows[inside]]]
        rows, ids = self.rows[inside], self.ids[inside]
        written_small = np.isin(
            self._key(rows, self.table.small[ids]), self._key(self.rows[small], self.table.words[self.ids[small]])
        )
        return self._key(rows, self.table.names[ids])[~written_small]

    def _key(self, rows: np.ndarray | int, words: np.ndarray | int) -> np.ndarray | int:
        return rows * (1 << 32) + words


def _next(values: np.ndarray, edge: object = False) -> np.ndarray:
    """What the piece after each has."""
    return np.concatenate([values[1:], [edge]]) if len(values) else values


def _before(values: np.ndarray, edge: object = False) -> np.ndarray:
    """What the piece before each has."""
    return np.concatenate([[edge], values[:-1]]) if len(values) else values
