"""The languages of the miniature world, read from their tables, and sentences rendered in them.

Real languages in their own scripts and word orders, on a vocabulary small enough for models of half a
million weights: eight persons, twelve objects, six animals, four vehicles, seventeen sentence frames.
"""

import importlib
import random
import unicodedata
from dataclasses import dataclass, field
from functools import cache
from types import ModuleType

# The levels are the paper's where it names the language (high, medium, low resource).
_LEVELS = {
    "en": ("English", "high"),
    "es": ("Spanish", "high"),
    "de": ("German", "high"),
    "hi": ("Hindi", "medium"),
    "sw": ("Swahili", "low"),
    "bn": ("Bengali", "low"),
    "te": ("Telugu", "low"),
}


class Word:
    """A person's name or a noun, with its forms as attributes, as templates want them (`{x.many}`)."""

    def __init__(self, base: str, forms: dict[str, str]):
        self._base, self._forms = base, forms

    def __getattr__(self, form: str) -> str:
        try:
            return self.__dict__["_forms"][form]
        except KeyError:
            raise AttributeError(f"the word {self.__dict__.get('_base')!r} has no form {form!r}") from None

    def __str__(self) -> str:
        return self._base

    def __format__(self, spec: str) -> str:
        return format(self._base, spec)


@dataclass(frozen=True)
class Language:
    """One language: `level` is high, medium or low (resource); words are keyed by their English word."""

    code: str
    name: str
    level: str
    persons: dict[str, Word] = field(repr=False)
    nouns: dict[str, Word] = field(repr=False)
    frames: dict[str, tuple[str, ...]] = field(repr=False)

    def sentence(self, frame: str, slots: dict[str, str | int], rng: random.Random) -> str:
        """The frame with its slots filled; `rng` picks the paraphrase.

        `slots` maps a, b to English names, x, y, z to English nouns (singular), other letters to numbers.
        """
        words: dict[str, Word | int] = {}
        for slot, value in slots.items():
            if slot in "ab":
                words[slot] = self.persons[str(value)]
            elif slot in "xyz":
                words[slot] = self.nouns[str(value)]
            else:
                words[slot] = int(value)
        text = rng.choice(self.frames[frame]).format(**words)
        return unicodedata.normalize("NFC", text)


def _persons(tables: ModuleType) -> dict[str, Word]:
    persons = {}
    for line in tables.NAMES.split("\n"):
        if line:
            english, here, gender, *cases = line.split()
            forms = dict(zip(tables.CASES, cases, strict=True)) | tables.NAME_AGREEMENT[gender]
            persons[english] = Word(here, forms)
    return persons


def _nouns(tables: ModuleType) -> dict[str, Word]:
    nouns = {}
    for line in tables.NOUNS.split("\n"):
        if line:
            english, one, many, kind = line.split()
            nouns[english] = Word(one, {"one": one, "many": many} | tables.NOUN_AGREEMENT[kind])
    return nouns


@cache
def language(code: str) -> Language:
    """The language of that code, read from `languages/<code>.py`."""
    tables = importlib.import_module(f"{__package__}.languages.{code}")
    name, level = _LEVELS[code]
    return Language(code, name, level, _persons(tables), _nouns(tables), tables.FRAMES)


LANGUAGES: dict[str, Language] = {code: language(code) for code in _LEVELS}

PERSONS = tuple(LANGUAGES["en"].persons)
LEGS = {"bird": 2, "hen": 2, "cat": 4, "goat": 4, "ant": 6, "spider": 8}
WHEELS = {"bicycle": 2, "rickshaw": 3, "car": 4, "truck": 6}
NOUNS = tuple(LANGUAGES["en"].nouns)
OBJECTS = tuple(noun for noun in NOUNS if noun not in LEGS and noun not in WHEELS)


def plural(noun: str) -> str:
    """The English plural, which the solutions name."""
    return LANGUAGES["en"].nouns[noun].many
