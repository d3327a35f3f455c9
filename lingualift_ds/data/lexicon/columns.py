"""Which column of a table, or key of a JSON object, holds the English, the translation and the frequency."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from lingualift_ds.data.languages import LANGUAGES, base_code, language_code
from lingualift_ds.errors import ConfigError

FREQUENCIES = frozenset(
    "frequency freq count counts score scores weight prob probability confidence quality occurrences".split()
)
_FIRST = frozenset("source src word words headword lemma term entry".split())
_SECOND = frozenset(
    "translation translations translated trans target tgt foreign equivalent equivalents gloss glosses meaning "
    "definition".split()
)
_LABELS = frozenset("lang language iso code".split())
_ORNAMENTS = frozenset("text txt side form name latn expression expr phrase string value col column".split())
"""Words that stand beside the telling one in a column's name."""
_PARTS = ("english", "translation", "frequency")


@dataclass(frozen=True)
class Columns:
    """Columns as a user names them: by name, or by number from 1."""

    english: str
    translation: str
    frequency: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Columns":
        """`english=word,translation=swh,frequency=3` (frequency may be left out). Raises ConfigError."""
        named: dict[str, str] = {}
        for part in text.split(","):
            key, _, value = (side.strip() for side in part.partition("="))
            if key not in _PARTS or not value or key in named:
                wrong = f"{key!r} twice" if key in named else repr(part.strip())
                raise ConfigError(
                    f"columns {text!r}: found {wrong}; english=COLUMN,translation=COLUMN and, where there is one, "
                    "frequency=COLUMN are needed, each once, a column by its name or its number from 1"
                )
            named[key] = value
        if len(set(named.values())) < len(named) or not {"english", "translation"} <= set(named):
            raise ConfigError(f"columns {text!r}: english and translation are needed, in two columns")
        return cls(**named)

    @property
    def named(self) -> tuple[str, ...]:
        """The columns, as given."""
        return tuple(column for column in (self.english, self.translation, self.frequency) if column is not None)

    @property
    def numbered(self) -> bool:
        """Whether all columns are given by number."""
        return all(column.isdecimal() for column in self.named)


@dataclass(frozen=True, slots=True)
class Roles:
    """Positions (of columns, or of keys) from 0; `labels`: the columns that name a row's languages."""

    english: int
    translation: int
    frequency: int | None = None
    labels: tuple[int, ...] = ()


def find_named(names: Sequence[str], columns: Columns) -> Roles | None:
    """The positions of columns that a user named; None where one is not there."""
    folded = [_plain(name) for name in names]
    found = []
    for column in columns.named:
        if _plain(column) in folded:
            found.append(folded.index(_plain(column)))
        elif column.isdecimal() and 0 < int(column) <= len(names):
            found.append(int(column) - 1)
        else:
            return None
    return Roles(*found)


def find_roles(names: Sequence[str], language: str, turned: bool = False) -> Roles | None:
    """What the names of columns say; None where they do not name an English side and a translation.

    Names that say the language (english, eng, swh, Swahili) outweigh those that only say the side (word, source,
    translation, target), which are the other way round in a file that is `turned`.
    """
    roles = [_role(name, base_code(language)) for name in names]

    def find(*wanted: str) -> int | None:
        return next((roles.index(role) for role in wanted if role in roles), None)

    near, far = ("second", "first") if turned else ("first", "second")
    english = find("english", near, far) if "translation" in roles else find("english", near)
    translation = find("translation", far, near) if "english" in roles else find("translation", far)
    if english is None or translation is None:
        return None
    labels = tuple(index for index, role in enumerate(roles) if role == "label")
    return Roles(english, translation, find("frequency"), labels)


def find_one_side(names: Sequence[str]) -> Roles | None:
    """What two names say of which only one is known: `English` beside a language that is not in the table, or under a
    name of its own (Gikuyu, Español). None where they may be a pair."""
    there = [index for index, name in enumerate(names) if name.strip()]
    if len(there) != 2:
        return None
    for english, other in (there, there[::-1]):
        name = _plain(names[english])
        # `en` and `eng` are no English words, but words of other languages: another code has to stand by.
        known = name == "english" or (name in ("en", "eng") and _language(_plain(names[other])) not in (None, "en"))
        if known and _plain(names[other]) != "english":
            return Roles(english, other)
    return None


def is_of_another(labels: Iterable[object], language: str) -> bool:
    """Whether one of the languages that a row names is neither English nor `language`."""
    found = {_language(label.strip()) for label in labels if isinstance(label, str)}
    return not found <= {None, "en", base_code(language)}


def frequency_of(text: str | float | None) -> float | None:
    """A frequency: a positive number. What is none counts as not stated."""
    try:
        number = float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if 0 < number < float("inf") else None


def _plain(name: str) -> str:
    return name.strip().strip("\"'#").strip().lower()


@cache
def _role(name: str, language: str) -> str:
    """What one name says: english, translation, frequency, label, first, second, or nothing ("")."""
    words = [word for word in re.split(r"[\W_\d]+", _plain(name)) if word]
    if FREQUENCIES.intersection(words):
        return "frequency"
    if {"lang", "language", "iso"}.intersection(words) and _LABELS.union(_FIRST, _SECOND).issuperset(words):
        return "label"
    telling = [word for word in words if word not in _ORNAMENTS]
    sides = [word for word in telling if word in _FIRST or word in _SECOND]
    languages = [found for word in telling if word not in sides and (found := _language(word)) is not None]
    if len(set(languages)) == 1 and len(sides) + len(languages) == len(telling):
        return {"en": "english", language: "translation"}.get(languages[0], "")
    if telling and len(sides) == len(telling):
        # `source word` is of the source: what says a direction outweighs what says a thing.
        return "second" if _SECOND.intersection(sides) else "first"
    return ""


def _language(text: str) -> str | None:
    """The base code of a language's code or name; None where it is neither."""
    code = language_code(text) or base_code(text)
    return code if code in LANGUAGES else None
