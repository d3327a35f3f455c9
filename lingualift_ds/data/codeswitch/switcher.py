"""Code-switching: English text with some words replaced by their translations, the data of Stage I.

What is switched depends only on the seed, the sample's id, the language and the text: never on the number
of processes, the order of samples or Python's hash seed. What must not change does not: numbers, amounts,
formulae, LaTeX, code, URLs and names.
"""

import hashlib
import math
import random
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import regex

from lingualift_ds.data.codeswitch.sentences import find_names, starts_sentence
from lingualift_ds.data.languages import capitalised, capitals, language_name, writes_spaces
from lingualift_ds.data.lexicon import Lexicon
from lingualift_ds.errors import ConfigError

STAGE1_INSTRUCTION = "Translate the following code-switched {language} sentence to pure English:"

_WORD = regex.compile(r"\b\p{L}.*?\b", regex.WORD | regex.V1)
_COMPOUND = regex.compile(r"[-\u2010\u2011]")
_ATOM = r"\(*(?:\p{Sc}?\d[\d.,]*%?\p{L}?(?!\p{L})|(?<![\p{L}'’])[A-Za-z](?![\p{L}'’]))\)*"
_OPERATOR = r"(?:\s*[+\-−*/×÷·=<>≤≥≈^]+\s*|(?<=[\d)])\s*[xX]\s*(?=[\d($]))"
_LATEX = r"(?:\\(?:text|mbox|mathrm)\{[^{}$\n]*\}|\\[A-Za-z]+|(?<!\p{L})\p{L}(?!\p{L})|[^$\n\p{L}])"
_PROTECTED = regex.compile(
    "|".join(
        [
            r"```.*?```|`[^`\n]+`",  # code
            r"<<[^<>]*>>",  # GSM8K's calculator marks
            r"\[asy\].*?\[/asy\]|\\begin\{(\w+\*?)\}.*?\\end\{\1\}|\$\$.*?\$\$|\\\(.*?\\\)|\\\[.*?\\\]",
            r"(?<![\\\d])\$(?=[^\s\d])[^$\n]*[^\s\\$]\$(?!\d)",  # $x + 2$ with any words in it
            rf"\$(?=\d){_LATEX}*\$(?!\d)",  # $2x + 1$, but not "$5 and $7"
            r"\\[A-Za-z]+",
            r"(?:https?://|ftp://|www\.)\S+|[\w.+-]+@[\w-]+(?:\.[\w-]+)+",
            rf"{_ATOM}(?:{_OPERATOR}{_ATOM})+",
        ]
    ),
    regex.DOTALL | regex.V1,
)


@dataclass(frozen=True)
class Switched:
    """A text after code-switching.

    Attributes:
        text: the code-switched text, NFC.
        language: code of the language switched to.
        switched: (English as in the text, what replaced it), in order.
        switchable: words or phrases of the text that the lexicon has and that may change.
        words: words of the text in all, protected spans left out.
    """

    text: str
    language: str
    switched: tuple[tuple[str, str], ...]
    switchable: int
    words: int


@dataclass(frozen=True)
class _Unit:
    """A span [start, end) of the text that can be switched, and its translations."""

    start: int
    end: int
    translations: tuple[str, ...]


def parse_ratio(text: str) -> float | tuple[float, float]:
    """A ratio as written on the command line: `0.5`, or a range `0.3-1.0`. Raises ConfigError."""
    try:
        numbers = [float(part) for part in text.split("-")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2):
        raise ConfigError(f"ratio {text!r}: a share such as 0.5 or a range such as 0.3-1.0 is needed")
    ratio = numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1])
    _bounds(ratio)
    return ratio


def _bounds(ratio: float | tuple[float, float]) -> tuple[float, float]:
    low, high = (ratio, ratio) if isinstance(ratio, (int, float)) else ratio
    if not 0 <= low <= high <= 1:
        raise ConfigError(f"ratio {ratio}: shares between 0 and 1 are allowed, a range low to high")
    return float(low), float(high)


class CodeSwitcher:
    """Switches English text into the languages of `lexicons` (by language code).

    `ratio` is the share of the switchable words that are replaced: a number, or (low, high), from which
    every sample draws its own. Translations are drawn with weight 1/rank: lexicons list the likely first.

    Raises:
        ConfigError: for a ratio outside [0, 1] or no lexicon.
    """

    def __init__(self, lexicons: Mapping[str, Lexicon], ratio: float | tuple[float, float] = 0.5, seed: int = 0):
        if not lexicons:
            raise ConfigError("code-switching: at least one lexicon is needed")
        self.lexicons = dict(lexicons)
        self.languages = tuple(sorted(lexicons))
        self.ratio = _bounds(ratio)
        self.seed = seed

    def choose_language(self, sample_id: str) -> str:
        """The language of a sample: uniform over the languages, fixed by (seed, id, set of languages)."""
        return self.languages[_digest(self.seed, sample_id, *self.languages) % len(self.languages)]

    def switch(
        self, sample_id: str, text: str, language: str | None = None, names: frozenset[str] = frozenset()
    ) -> Switched:
        """Code-switch one text, into `language` or the one chosen for the sample.

        `names` are words to leave alone besides the names found in the text itself: those of the whole
        document, where `text` is one sentence of it (see `sentences.find_names`).
        """
        text = unicodedata.normalize("NFC", text)
        language = language or self.choose_language(sample_id)
        draw = random.Random(_digest(self.seed, sample_id, language, text))
        words, units = self._units(text, language, names | find_names(text))
        wanted = draw.uniform(*self.ratio) * len(units)
        # The part of a word is a chance, so that the share is right on average in short sentences too.
        count = min(math.floor(wanted) + (draw.random() < wanted % 1), len(units))
        chosen = [units[index] for index in sorted(draw.sample(range(len(units)), count))]
        return self._replace(text, language, chosen, draw, len(units), words)

    def _units(self, text: str, language: str, names: frozenset[str]) -> tuple[int, list[_Unit]]:
        """The number of words, and the units the lexicon has: the longest phrase first, left to right."""
        lexicon = self.lexicons[language]
        spans = _words(text)
        units: list[_Unit] = []
        index = 0
        while index < len(spans):
            for length in range(min(lexicon.longest_phrase, len(spans) - index), 0, -1):
                start, end = spans[index][0], spans[index + length - 1][1]
                found = lexicon.translations(text[start:end])
                if found and _may_change(text, spans[index : index + length], names):
                    units.append(_Unit(start, end, found))
                    break
            else:
                length = 1
            index += length
        return len(spans), units

    def _replace(
        self, text: str, language: str, chosen: list[_Unit], draw: random.Random, switchable: int, words: int
    ) -> Switched:
        spaced = writes_spaces(language)
        pieces: list[str] = []
        switched: list[tuple[str, str]] = []
        position = 0
        for unit in chosen:
            between = text[position : unit.start]
            if not spaced and switched and between.isspace() and "\n" not in between:
                between = ""
            weights = [1 / rank for rank in range(1, len(unit.translations) + 1)]
            translation = draw.choices(unit.translations, weights)[0]
            english = text[unit.start : unit.end]
            translation = _carry_case(english, translation, language, starts_sentence(text, unit.start))
            pieces += [between, translation]
            switched.append((english, translation))
            position = unit.end
        mixed = unicodedata.normalize("NFC", "".join(pieces) + text[position:])
        return Switched(mixed, language, tuple(switched), switchable, words)


def _digest(*parts: object) -> int:
    """A number of 128 bits from the parts; lengths are hashed too, so that ("ab", "c") is not ("a", "bc")."""
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = str(part).encode("utf-8", "surrogatepass")
        state.update(len(data).to_bytes(8, "big") + data)
    return int.from_bytes(state.digest(), "big")


def _words(text: str) -> list[tuple[int, int]]:
    """Spans of the words outside what is protected; hyphenated compounds are one word."""
    protected = [match.span() for match in _PROTECTED.finditer(text)]
    spans: list[tuple[int, int]] = []
    for match in _WORD.finditer(text):
        start, end = match.span()
        while protected and protected[0][1] <= start:
            protected.pop(0)
        if protected and protected[0][0] < end:
            continue
        if spans and _COMPOUND.fullmatch(text, spans[-1][1], start):
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return spans


def _may_change(text: str, spans: list[tuple[int, int]], names: frozenset[str]) -> bool:
    """Whether the words are no names, and not a letter that stands for a quantity or a label (x, B)."""
    for start, end in spans:
        word = text[start:end]
        if word in names or (end - start == 1 and word not in "aI" and not starts_sentence(text, start)):
            return False
    return True


def _carry_case(english: str, translation: str, language: str, first: bool) -> str:
    """The translation with the case of the English: a capital at its head, or all capitals."""
    letters = [character for character in english if character.isalpha()]
    if english[:2] in ("I", "I'", "I’") and not first:
        return translation  # always a capital in English, and in no other language
    if len(letters) > 1 and all(character.isupper() for character in letters):
        return capitals(translation, language)
    return capitalised(translation, language) if english[0].isupper() else translation


def make_stage1_records(
    sentences: Iterable[tuple[str, str]],
    lexicons: Mapping[str, Lexicon],
    ratio: float | tuple[float, float],
    seed: int,
) -> Iterator[dict]:
    """Stage I records of English sentences, given as (id, text): a record a sentence, in order.

    Each record holds id, text (code-switched), instruction, target (the English) and language (its code).
    Blank sentences are left out. Raises ConfigError, or DataError for a language without a known name.
    """
    switcher = CodeSwitcher(lexicons, ratio, seed)
    for sample_id, text in sentences:
        if text.strip():
            yield stage1_record(sample_id, text, switcher.switch(sample_id, text))


def stage1_record(sample_id: str, english: str, switched: Switched) -> dict:
    """The Stage I record of one switched sentence. Raises DataError for a language without a known name."""
    return {
        "id": sample_id,
        "text": switched.text,
        "instruction": STAGE1_INSTRUCTION.format(language=language_name(switched.language)),
        "target": english,
        "language": switched.language,
    }
