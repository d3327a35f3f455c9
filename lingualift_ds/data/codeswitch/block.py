"""Texts while they are switched: what can be switched in them, what is chosen, and what comes of it."""

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple
from unicodedata import normalize

import numpy as np

from lingualift_ds.data.codeswitch.curriculum import DRAWS
from lingualift_ds.data.codeswitch.options import OptionTable
from lingualift_ds.data.codeswitch.pieces import WORD, Survey


class Change(NamedTuple):
    """What was switched: the English, what replaced it, in which language, and where each begins in its text."""

    english: str
    translation: str
    language: str
    english_start: int
    start: int


class Block:
    """Several texts while they are switched.

    What can be switched is a unit: a word, or a phrase of several pieces.

    Attributes:
        languages: of each text, by number, [texts, languages of a text].
        words: words of each text that are not protected, [texts].
        switchable: units of each text, [texts].
    """

    def __init__(self, survey: Survey, options: OptionTable, languages: np.ndarray):
        self.survey, self.languages = survey, languages
        self._table = options
        self.words = np.zeros(len(languages), np.int64)
        self.switchable = np.zeros(len(languages), np.int64)
        self._blocked = np.zeros(len(survey.ids), bool)
        self._ends = np.arange(1, len(survey.ids) + 1)

    def find_protected(self) -> None:
        """Leave alone what is protected, and letters that are labels."""
        protected = self.survey.protected()
        self.words = self._per_text(self.survey.has(WORD) & ~protected)
        self._blocked |= protected | self.survey.labels()

    def find_names(self, known: Sequence[Collection[str]]) -> None:
        """Leave alone the names of each text, and those `known` besides."""
        self._blocked |= self.survey.names(known)

    def find_units(self, numbers: np.ndarray, offsets: np.ndarray) -> None:
        """Find what can be switched: the longest phrase first, left to right. Among several languages that have it one
        is drawn, by the number of the unit's first piece after the offset of its text."""
        survey, table = self.survey, self._table
        if self.languages.shape[1] == 1:
            options = table.of_pieces(self.languages[survey.rows, 0], survey.ids, survey.table)
            options[self._blocked] = 0
            self._find_phrases(options)
        else:
            there = table.of_pieces(self.languages[survey.rows], survey.ids[:, None], survey.table)
            there[self._blocked] = 0
            options = self._draw_languages(there, numbers, offsets)
        options[~table.translates[options]] = 0
        inside = table.inside[options]
        self._options = np.where((inside > 0) & ~survey.starts, inside, options)
        self.switchable = self._per_text(self._options > 0)

    def _find_phrases(self, options: np.ndarray) -> None:
        """Put phrases in the place of their words."""
        after = 0
        for index in np.flatnonzero(self._table.heads[options]).tolist():
            if index >= after:
                after, options[index] = self._longest(index, int(options[index]))
                options[index + 1 : after] = 0
                self._ends[index] = after

    def _draw_languages(self, there: np.ndarray, numbers: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """One option for each piece, of those in each language that have the longest phrase."""
        survey, options, after = self.survey, np.zeros(len(there), np.int64), 0
        for index in np.flatnonzero(there.any(axis=1)).tolist():
            if index < after:
                continue
            found = [self._longest(index, option) for option in there[index].tolist() if option]
            found = [(end, option) for end, option in found if self._table.translates[option]]
            if found:
                after = max(end for end, _ in found)
                longest = [option for end, option in found if end == after]
                row = survey.rows[index]
                options[index] = longest[numbers[offsets[row] + index - survey.bounds[row]] % len(longest)]
                self._ends[index] = after
        return options

    def _longest(self, index: int, option: int) -> tuple[int, int]:
        """Where the longest phrase that begins with a piece ends, or else its word, and its option."""
        survey, phrases = self.survey, self._table.phrases[option]
        last = survey.bounds[survey.rows[index] + 1]
        if phrases and index + 1 < last:
            second = survey.table.pieces[survey.ids[index + 1]].key
            for length in phrases.get(second, ()):
                end = index + length
                if end <= last and not self._blocked[index:end].any():
                    language = int(self._table.language[option])
                    found = self._table.of_phrase(language, survey.pieces(index, end))
                    if found:
                        return end, found
        return index + 1, option

    def replace(self, wanted: np.ndarray, numbers: np.ndarray, offsets: np.ndarray) -> list[str]:
        """Switch so many units of each text: those with the smallest numbers after the text's offset, one for each
        unit; the numbers after these draw the translations. Returns the texts."""
        survey = self.survey
        units = np.flatnonzero(self._options)
        rows = survey.rows[units]
        before = np.cumsum(self.switchable) - self.switchable
        order = numbers[offsets[rows] + np.arange(len(units)) - before[rows]]
        # The largest number that is switched in each text.
        ranked = np.sort(rows * DRAWS + order)
        some = np.flatnonzero(wanted)
        limits = np.full(len(wanted), -1)
        limits[some] = ranked[before[some] + wanted[some] - 1] % DRAWS
        low = order <= limits[rows]
        low &= _counted(low, before[rows]) <= wanted[rows]
        self._chosen, rows = units[low], rows[low]
        taken = np.cumsum(wanted) - wanted
        draws = numbers[offsets[rows] + self.switchable[rows] + np.arange(len(rows)) - taken[rows]]
        self._drawn = self._table.draw(self._options[self._chosen], draws)
        return self._joined(wanted)

    def _joined(self, wanted: np.ndarray) -> list[str]:
        survey, chosen = self.survey, self._chosen
        parts = survey.table.texts[survey.ids]
        parts[chosen] = self._table.texts[self._drawn]
        for start in chosen[self._ends[chosen] > chosen + 1].tolist():
            parts[start + 1 : self._ends[start]] = ""
        for index in self._touching().tolist():
            parts[index] = parts[index][1:]
        self._parts = parts.tolist()
        bounds, texts = survey.bounds.tolist(), list(survey.texts)
        for row in np.flatnonzero(wanted).tolist():
            # The first piece has a space more than the text. Joints can make characters that compose: Hangul, vowels.
            texts[row] = normalize("NFC", "".join(self._parts[bounds[row] : bounds[row + 1]])[1:])
        return texts

    def _touching(self) -> np.ndarray:
        """Chosen units whose space before them goes: they and the one before are in languages written without."""
        spaced = np.array([vocabulary.spaced for vocabulary in self._table.vocabularies])
        if spaced.all():
            return np.zeros(0, np.int64)
        unit, following = self._chosen[:-1], self._chosen[1:]
        close = spaced[self._table.language[self._options[self._chosen]]]
        together = (self._ends[unit] == following) & ~close[:-1] & ~close[1:]
        together &= self.survey.rows[unit] == self.survey.rows[following]
        return following[together & self.survey.joinable[following - 1]]

    def changes(self, row: int) -> Iterator[Change]:
        """What was switched in a text, in order."""
        survey, first, end = self.survey, self.survey.bounds[row], self.survey.bounds[row + 1]
        pieces, parts = survey.pieces(first, end), self._parts[first:end]
        position = origin = -1  # the first piece has a space more than the text
        passed, there = 0, slice(*np.searchsorted(self._chosen, (first, end)))
        for unit, drawn in zip(self._chosen[there].tolist(), self._drawn[there].tolist()):
            start, last = unit - first, self._ends[unit] - first
            position += sum(map(len, parts[passed:start]))
            origin += sum(len(piece.text) for piece in pieces[passed:start])
            passed, lead, tail = start, len(pieces[start].lead), len(pieces[last - 1].tail)
            english, text = "".join([piece.text for piece in pieces[start:last]]), self._table.texts[drawn]
            translation = text[lead : len(text) - tail]
            language = self._table.vocabularies[self._table.language[self._options[unit]]].language
            before = len(parts[start]) - len(translation) - tail
            yield Change(english[lead : len(english) - tail], translation, language, origin + lead, position + before)

    def _per_text(self, which: np.ndarray) -> np.ndarray:
        return np.bincount(self.survey.rows[which], minlength=len(self.words))


def _counted(which: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """How many are True from a start up to each place, the place with it; both [places]."""
    counts = np.concatenate([[0], np.cumsum(which)])
    return counts[1:] - counts[starts]
