"""Word lists as JSON: one document, or a value a line.

    {"house": "nyumba; jengo", "water": ["maji"], "time": {"wakati": 31, "saa": 12}}
    [["house", "nyumba"], ["water", "maji", 12]]
    [{"english": "house", "translation": "nyumba", "count": 31}]

Objects are also those of Wiktionary's extracts, whose `translations` are objects themselves, each with its language.
"""

import json
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

import ijson

from lingualift_ds.data.jsonl import excerpt
from lingualift_ds.data.lexicon.columns import (
    FREQUENCIES,
    Columns,
    Roles,
    find_named,
    find_roles,
    frequency_of,
    is_of_another,
)
from lingualift_ds.data.lexicon.pairs import DAMAGED, Pair, Unread, split_cell
from lingualift_ds.errors import DataError

_NEEDED = (
    "english: translation, a list of translations or {translation: frequency}; or objects whose keys are named "
    "(english, translation, frequency), or columns that say which"
)
_LONGEST_RECORD = 12
"""Keys: an object with more is no record but a word list."""
_TRANSLATION_KEYS = ("word", "translation", "target", "text", "term")
_DICTIONARY_KEYS = frozenset({"senses", "pos", "lang_code"})
"""Keys of a dictionary's records, which are for words with and without translations."""
_LABEL_KEYS = ("code", "lang_code", "language_code", "lang", "language")


def document_pairs(path: Path, stream: IO[bytes], reader: "JsonReader", array: bool) -> Iterator[Pair | Unread]:
    """The pairs of one JSON document, streamed. Raises DataError, and ijson.JSONError where it is damaged."""
    yield from _unless_all_odd(_document(path, stream, reader, array), reader)


def _document(path: Path, stream: IO[bytes], reader: "JsonReader", array: bool) -> Iterator[Pair | Unread]:
    if array:
        for value in ijson.items(stream, "item", use_float=True):
            yield from reader.value(value, str(path))
        return
    members = ijson.kvitems(stream, "", use_float=True)
    first = list(islice(members, _LONGEST_RECORD))
    if len(first) < _LONGEST_RECORD and reader.is_record(dict(first)):
        yield from reader.value(dict(first), str(path))
        return
    for english, value in chain(first, members):
        yield from reader.member(english, value, str(path))


def line_pairs(path: Path, lines: Iterable[tuple[int, str]], reader: "JsonReader") -> Iterator[Pair | Unread]:
    """The pairs of JSON lines. Raises DataError that names the line."""
    yield from _unless_all_odd(_lines(path, lines, reader), reader)


def _lines(path: Path, lines: Iterable[tuple[int, str]], reader: "JsonReader") -> Iterator[Pair | Unread]:
    for number, line in lines:
        if DAMAGED in line:
            yield Unread("not UTF-8", line)
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            said = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
            raise DataError(f"{path}:{number}: not JSON ({said}): {excerpt(line)}") from None
        yield from reader.value(value, f"{path}:{number}")


def _unless_all_odd(pairs: Iterator[Pair | Unread], reader: "JsonReader") -> Iterator[Pair | Unread]:
    """The pairs of a file, in which some records may be odd. Raises DataError for the first where all are."""
    all_odd = True
    for pair in pairs:
        if all_odd:
            all_odd = pair.reason == "odd" if isinstance(pair, Unread) else not (pair[0].strip() and pair[1].strip())
        yield pair
    if all_odd and reader.refusal is not None:
        raise reader.refusal


class JsonReader:
    """Turns JSON values into pairs of one language; `where` in its methods is the place for messages.

    Attributes:
        refusal: what is said of the first value that was no pair; None where there was none.
    """

    def __init__(self, language: str, turned: bool, columns: Columns | None):
        self._language, self._turned, self._columns = language, turned, columns
        self._roles: dict[tuple[str, ...], Roles | None] = {}
        self._any_record = False
        self.refusal: DataError | None = None

    def is_record(self, value: dict[str, Any]) -> bool:
        """Whether the keys of an object name its English and its translation."""
        return self._roles_of(_whole(value)) is not None

    def value(self, value: Any, where: str) -> Iterator[Pair | Unread]:
        """An element of a list, or a line: a pair, a record, or an object of one member."""
        if isinstance(value, dict):
            value = _whole(value)
        if isinstance(value, list):
            yield from self._listed(value, where)
        elif not isinstance(value, dict):
            yield self._odd(value, where)
        elif (roles := self._roles_of(value)) is not None:
            self._any_record = True
            yield from self._record(value, roles, where)
        elif isinstance(inner := value.get("translation"), dict) and self._roles_of(inner) is not None:
            yield from self.value(inner, where)  # {"translation": {"en": ..., "sw": ...}}, as data sets have it
        elif isinstance(word := value.get("word"), str) and not _DICTIONARY_KEYS.isdisjoint(value):
            yield Unread("untranslated", word)
        elif self._any_record:  # records of one file need not all have a translation
            yield "", _excerpt(value), None
        elif self._columns is None and len(value) == 1:
            for english, translations in value.items():
                yield from self.member(english, translations, where)
        else:
            wanted = " and ".join(self._columns.named) if self._columns else "that say what is what"
            yield self._odd(value, where, f"no keys {wanted}; found {', '.join(map(excerpt, value)) or 'none'}")

    def member(self, english: str, value: Any, where: str) -> Iterator[Pair | Unread]:
        """A member of an object from English to translations (the other way round in a file turned round)."""
        for found in self._translations(value, where):
            if isinstance(found, Unread):
                yield found
            else:
                yield (found[0], english, found[1]) if self._turned else (english, *found)

    def _listed(self, value: list, where: str) -> Iterator[Pair | Unread]:
        if self._columns is not None:
            roles = find_named([""] * len(value), self._columns)
        else:
            roles = Roles(*((1, 0) if self._turned else (0, 1)), 2 if len(value) > 2 else None)
        if (
            roles is None
            or len(value) < 2
            or not all(isinstance(value[n], str) for n in (roles.english, roles.translation))
        ):
            said = f"found {_excerpt(value)}; a list [english, translation] or with a frequency is needed"
            yield self._odd(value, where, said)
            return
        frequency = None if roles.frequency is None else frequency_of(value[roles.frequency])
        yield value[roles.english], value[roles.translation], frequency

    def _record(self, value: dict[str, Any], roles: Roles, where: str) -> Iterator[Pair | Unread]:
        cells = list(value.values())
        if is_of_another([cells[label] for label in roles.labels], self._language):
            yield Unread("other language", _excerpt(value))
            return
        stated = None if roles.frequency is None else frequency_of(cells[roles.frequency])
        sides = []
        for side in self._translations(cells[roles.english], where):
            if isinstance(side, Unread):
                yield side
            else:
                sides.append(side[0])
        for found in self._translations(cells[roles.translation], where):
            if isinstance(found, Unread):
                yield found
                continue
            text, frequency = found
            yield from ((english, text, stated if frequency is None else frequency) for english in sides)

    def _roles_of(self, value: dict[str, Any]) -> Roles | None:
        keys = tuple(value)
        if keys not in self._roles:
            if self._columns is not None:
                self._roles[keys] = find_named(keys, self._columns)
            else:
                self._roles[keys] = find_roles(keys, self._language, self._turned)
        return self._roles[keys]

    def _translations(self, value: Any, where: str) -> Iterator[tuple[str, float | None] | Unread]:
        """The words of a value, each with its frequency where the value states one."""
        if isinstance(value, str):
            yield from ((word, None) for word in split_cell(value))
        elif isinstance(value, dict):
            yield from self._object(value, where)
        elif isinstance(value, list) and value:
            for element in value:
                if isinstance(element, str):  # what is a list already is not split further
                    yield element, None
                elif isinstance(element, dict):
                    yield from self._object(element, where)
                elif isinstance(element, list) and len(element) == 2 and isinstance(element[0], str):
                    yield element[0], frequency_of(element[1])
                else:
                    yield self._odd(element, where)
        elif not value and not isinstance(value, bool | int | float):  # null, or an empty list
            yield "", None
        else:
            yield self._odd(value, where)

    def _object(self, value: dict[str, Any], where: str) -> Iterator[tuple[str, float | None] | Unread]:
        """{translation: frequency}, or one translation with its attributes."""
        if all(isinstance(number, int | float) and not isinstance(number, bool) for number in value.values()):
            yield from ((word, frequency_of(number)) for word, number in value.items())
            return
        key = next((key for key in _TRANSLATION_KEYS if isinstance(value.get(key), str)), None)
        if is_of_another((value.get(label) for label in _LABEL_KEYS), self._language):
            yield Unread("other language", _excerpt(value))
        elif key is None:
            labelled = any(label in value for label in _LABEL_KEYS)  # Wiktionary has translations without the word
            yield Unread("empty", _excerpt(value)) if labelled else self._odd(value, where)
        else:
            yield value[key], next((frequency_of(value[name]) for name in value if name in FREQUENCIES), None)

    def _odd(self, value: Any, where: str, said: str = "") -> Unread:
        """A value left out; the first of them is what the file is refused for where nothing in it is a pair."""
        if self.refusal is None:
            self.refusal = DataError(f"{where}: {said or f'found {_excerpt(value)}; needed is {_NEEDED}'}")
        return Unread("odd", _excerpt(value))


def _whole(value: dict[str, Any]) -> dict[str, Any]:
    """A dictionary's record with the translations that stand below its senses (wiktextract) among its own."""
    senses = value.get("senses")
    lists = (
        [sense.get("translations") for sense in senses if isinstance(sense, dict)] if isinstance(senses, list) else ()
    )
    below = [translation for found in lists if isinstance(found, list) for translation in found]
    if not below:
        return value
    own = value.get("translations") or []
    return {**value, "translations": [*(own if isinstance(own, list) else [own]), *below]}


def _excerpt(value: Any) -> str:
    return excerpt(json.dumps(value, ensure_ascii=False))
