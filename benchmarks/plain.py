"""Code-switching restated plainly: every word of every text by itself, nothing remembered from one text to the next.

It does the same as `lingualift_ds.data.codeswitch.CodeSwitcher` with one language a text, to the byte: boundaries,
protected spans, names, phrases, case, draws. The benchmark compares the two, and checks that they agree.
"""

import hashlib
import struct
import unicodedata
from bisect import bisect_right
from collections.abc import Mapping
from itertools import accumulate

from lingualift_ds.data.codeswitch.curriculum import DRAWS
from lingualift_ds.data.codeswitch.options import carry_case
from lingualift_ds.data.codeswitch.protect import protected_spans
from lingualift_ds.data.codeswitch.sentences import OPENING, QUOTES, ends_sentence
from lingualift_ds.data.codeswitch.words import _COMPOUND, _WORD, NOT_NAMES
from lingualift_ds.data.languages import writes_spaces
from lingualift_ds.data.lexicon import Lexicon, fold


class PlainSwitcher:
    """Switches texts word by word. `lexicons` by language code, `ratio` of the switchable words."""

    def __init__(self, lexicons: Mapping[str, Lexicon], ratio: float, seed: int):
        self.lexicons, self.ratio, self.seed = lexicons, ratio, seed
        self.longest = {c: max(len(self._words(key)) for key in lexicon.entries) for c, lexicon in lexicons.items()}

    def switch(self, sample_id: str, text: str) -> str:
        """The code-switched text."""
        text = unicodedata.normalize("NFC", text)
        words = self._words(text)
        state = hashlib.shake_128(f"{self.seed} 0 {sample_id}".encode("utf-8", "surrogatepass"))
        _, chance, draw = struct.unpack("<3H", state.digest(6))
        codes = sorted(self.lexicons)
        language = codes[int(len(codes) * draw / DRAWS)]
        units = self._units(text, words, language)
        wanted = self.ratio * len(units)
        share = min(int(wanted) + (chance / DRAWS < wanted - int(wanted)), len(units))
        if not share:
            return text
        count = 3 + 2 * len(units)
        _, _, _, *numbers = struct.unpack(f"<{count}H", state.digest(2 * count))
        order, picks = numbers[: len(units)], numbers[len(units) :]
        limit = sorted(order)[share - 1]
        chosen = [unit for unit, number in zip(units, order) if number <= limit][:share]
        return self._replace(text, chosen, picks, language)

    def _words(self, text: str) -> list[tuple[int, int]]:
        protected = protected_spans(text)
        spans: list[tuple[int, int]] = []
        for match in _WORD.finditer(text):
            start, end = match.span()
            if any(first < end and start < last for first, last in protected):
                continue
            if spans and _COMPOUND.fullmatch(text, spans[-1][1], start):
                spans[-1] = (spans[-1][0], end)
            else:
                spans.append((start, end))
        return spans

    def _names(self, text: str, words: list[tuple[int, int]]) -> set[str]:
        inside, small = set(), set()
        for start, end in words:
            word = text[start:end]
            if not word[0].isupper():
                small.add(word)
            elif not self._starts(text, start):
                inside.add(_bare(word))
        if not small:
            return set()
        return {word for word in inside - NOT_NAMES if word.lower() not in small}

    def _starts(self, text: str, start: int) -> bool:
        before = start
        while before > 0 and text[before - 1] in OPENING:
            before -= 1
        said = text[before:start]
        first, *rest = said.split(" ")
        if any(mark in part for part in rest or [first] for mark in QUOTES):
            return True
        found = ends_sentence(text[max(0, before - 40) : before].rsplit(" ", 1)[-1])
        return found is None or found

    def _units(self, text: str, words: list[tuple[int, int]], language: str) -> list[tuple[int, int, tuple[str, ...]]]:
        names, entries = self._names(text, words), self.lexicons[language].entries
        blocked = []
        for number, (start, end) in enumerate(words):
            word = text[start:end]
            blocked.append(_bare(word) in names or (len(word) == 1 and self._is_label(text, words, number)))
        units, index = [], 0
        while index < len(words):
            for length in range(min(self.longest[language], len(words) - index), 0, -1):
                start, end = words[index][0], words[index + length - 1][1]
                translations = entries.get(fold(text[start:end]))
                if translations and not any(blocked[index : index + length]):
                    units.append((start, end, translations))
                    break
            else:
                length = 1
            index += length
        return units

    def _is_label(self, text: str, words: list[tuple[int, int]], number: int) -> bool:
        start, end = words[number]
        letter, after = text[start:end], text[end : end + 1]
        if letter == "I":
            named = number and words[number - 1][1] + 1 == start and text[start - 1] == " "
            named = named and text[words[number - 1][0]].isupper() and not self._starts(text, words[number - 1][0])
            return after in tuple(".)]:") or bool(named)
        if letter not in "aA" or after not in ("", " ") or (letter == "A" and not self._starts(text, start)):
            return True
        following = words[number + 1] if number + 1 < len(words) else (0, 0)
        return following[1] - following[0] == 1 and " " not in text[end + 1 : following[0]]

    def _replace(self, text: str, chosen: list, numbers: tuple[int, ...], language: str) -> str:
        spaced, parts, position = writes_spaces(language), [], 0
        for (start, end, translations), number in zip(chosen, numbers):
            between, english = text[position:start], text[start:end]
            if not spaced and parts and between == " ":
                between = ""
            ranks = list(accumulate(1 / rank for rank in range(1, len(translations) + 1)))
            pick = bisect_right([int(DRAWS * part / ranks[-1]) for part in ranks[:-1]], number)
            translation = translations[pick]
            if english[:2] not in ("I", "I'", "I’", "I ") or self._starts(text, start):
                translation = carry_case(english, translation, language)
            parts += [between, translation]
            position = end
        return unicodedata.normalize("NFC", "".join(parts) + text[position:])


def _bare(word: str) -> str:
    return word[:-2] if word.endswith(("'s", "’s")) else word
