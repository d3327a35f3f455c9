"""English text as it comes: rows of the usual data sets, sentences, and which words in them are names."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import regex

from lingualift_ds.data.jsonl import read_jsonl, read_lines
from lingualift_ds.errors import DataError

FIELDS = ("text", "question", "query", "instruction")
"""Keys a row's English is looked for under: own files, GSM8K, MetaMath, Alpaca (with its `input`)."""

_ABBREVIATION = regex.compile(r"(?:^|[^\p{L}])(?:Mr|Mrs|Ms|Dr|St|Prof|Gen|Sgt|Capt|Mt|Jr|Sr|vs|No|\p{Lu})\.$")
_BREAK = regex.compile(r"(?<=[.?!][\"'”’)\]]?)\s+(?=[\"'“‘(\[]?\p{Lu})")
_CAPITAL = regex.compile(r"\b\p{Lu}.*?\b", regex.WORD | regex.V1)
_SMALL = regex.compile(r"\b\p{Ll}.*?\b", regex.WORD | regex.V1)
_OPENING = " \t\"'“‘(["

# Capitalised in English only, and no one's name: these are translated like other words.
_NOT_NAMES = frozenset(
    """
    I Monday Tuesday Wednesday Thursday Friday Saturday Sunday Mondays Tuesdays Wednesdays Thursdays
    Fridays Saturdays Sundays January February July September October November December Christmas Mom Dad
    """.split()
)


@dataclass(frozen=True)
class Row:
    """A row of a file: its id, its English (may be blank) and the line it stands on."""

    id: str
    text: str
    line: int


def read_rows(path: Path | str, field: str | None = None) -> Iterator[Row]:
    """Stream the English of a file: a sentence a line of a .txt, else the records of JSON lines.

    The key is `field`, or the first of FIELDS that the first record has. Alpaca's `input`, where not
    blank, follows its `instruction` on a new line. A row's id is its `id`, else its line number.

    Raises:
        DataError: as `read_jsonl`, and, naming file:line, for a row without the key or not of text.
    """
    path = Path(path)
    if path.suffix == ".txt":
        if field is not None:
            raise DataError(f"{path}: a .txt file has no field {field!r}; a sentence a line is read")
        for number, line in read_lines(path, keep_blank=True):
            yield Row(str(number), line, number)
        return
    key = field
    for number, record in read_jsonl(path):
        key = key or next((name for name in FIELDS if name in record), None)
        if key is None or key not in record:
            wanted = repr(key) if key else "any of " + ", ".join(FIELDS)
            raise DataError(f"{path}:{number}: no field {wanted}; found {', '.join(record) or 'none'}")
        text = record[key]
        if not isinstance(text, str):
            raise DataError(f"{path}:{number}: field {key!r} is {type(text).__name__}, text is needed")
        more = record.get("input") if key == "instruction" and field is None else None
        if isinstance(more, str) and more.strip():
            text = f"{text}\n{more}"
        yield Row(str(record.get("id", number)), text, number)


def split_sentences(text: str) -> list[str]:
    """The sentences of an English text: broken after . ? ! before a capital, not after Mr. or an initial."""
    sentences: list[str] = []
    start = 0
    for match in _BREAK.finditer(text):
        if not _ABBREVIATION.search(text, start, match.start()):
            sentences.append(text[start : match.start()].strip())
            start = match.end()
    sentences.append(text[start:].strip())
    return [sentence for sentence in sentences if sentence]


def starts_sentence(text: str, position: int) -> bool:
    """Whether a word at `position` is the first of a sentence, a line or a quotation."""
    before = position
    while before > 0 and text[before - 1] in _OPENING:
        before -= 1
    if before == 0 or text[before - 1] in "\n\r?!:…":
        return True
    if text[before - 1] == ".":
        return not _ABBREVIATION.search(text, max(0, before - 8), before)
    # `said "We` is a start too; in a bracket or after a space alone it is not.
    return any(mark in text[before:position] for mark in '"“')


def find_names(text: str) -> frozenset[str]:
    """The words of an English text that are names: written with a capital inside a sentence.

    A name is one at the head of a sentence too. Days, most months and `I` are no names; nor is a word that
    the text also has in small letters, nor anything in a text that is all capitals.
    """
    small = {match.group() for match in _SMALL.finditer(text)}
    if not small:
        return frozenset()
    inside = {m.group() for m in _CAPITAL.finditer(text) if not starts_sentence(text, m.start())}
    return frozenset(
        word for word in inside - _NOT_NAMES if word.lower() not in small and not word.startswith(("I'", "I’"))
    )
