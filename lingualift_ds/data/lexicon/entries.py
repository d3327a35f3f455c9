"""Bilingual lexicons: English words or phrases and their translations, cleaned as they are read.

Lexicons as people find them (MUSE, AfroMT, PanLex) are dirty, and what is wrong in them is learned in
Stage I. Reading is three steps that can each be changed alone: `read_pairs` turns a file into raw pairs,
`clean_pair` makes a pair usable or says why not, `build_lexicon` gathers and counts.
"""

import html
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from lingualift_ds.data.jsonl import read_lines
from lingualift_ds.data.languages import base_code, uncapitalised
from lingualift_ds.errors import DataError

DROP_REASONS = {
    "empty": "a side is missing",
    "no letters": "nothing but punctuation or symbols",
    "number": "holds a digit: numbers must survive code-switching",
    "symbol": "a symbol inside, such as c++ or us$",
    "fragment": "a clitic cut off its word, such as 's",
    "identity": "translation equal to the English",
    "acronym": "capitals whose lower case is another word (US, us)",
    "duplicate": "the same pair again",
}
"""Why a pair can be dropped, as counted in `Lexicon.dropped`."""

_NOUN_CAPITALS = frozenset({"de", "lb"})  # capitals inside a sentence are spelling there
_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u200e\u200f\u2060\ufeff\u202a\u202b\u202c\u202d\u202e"))
_APOSTROPHES = str.maketrans("’‘ʼ`´＇", "''''''")
_BRACKETED = re.compile(r"\([^()]*(\)|$)|（[^（）]*(）|$)")
_STRAY_ENTITY = re.compile(r"&(apos|quot|amp|lt|gt)\b;?")
_CLITIC = re.compile(r"'\s?(s|t|d|m|re|ve|ll|em)", re.IGNORECASE)
_NAME_SHAPE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]+)?")


@dataclass(frozen=True)
class Lexicon:
    """The translations of one language.

    Attributes:
        language: its code, such as `sw`.
        entries: English lower-case word or phrase -> its translations, in file order, each once.
        dropped: pairs left out, by reason (the keys of DROP_REASONS).
        source: the file it came from, or "" for one made in memory.
    """

    language: str
    entries: Mapping[str, tuple[str, ...]]
    dropped: Mapping[str, int] = field(default_factory=dict)
    source: str = ""

    def __len__(self) -> int:
        """English entries."""
        return len(self.entries)

    @cached_property
    def pairs(self) -> int:
        """Pairs of an English entry and a translation."""
        return sum(map(len, self.entries.values()))

    @cached_property
    def longest_phrase(self) -> int:
        """Words of the longest English entry, counted at spaces."""
        return max((key.count(" ") + 1 for key in self.entries), default=0)

    def translations(self, english: str) -> tuple[str, ...]:
        """The translations of a word or phrase in any case; empty where there is none."""
        return self.entries.get(fold(english), ())


def fold(english: str) -> str:
    """The form in which English is looked up: lower case, straight apostrophes, single spaces."""
    return " ".join(english.translate(_APOSTROPHES).lower().split())


def read_lexicon(path: Path | str, language: str) -> Lexicon:
    """Read and clean a lexicon file: a pair a line, the sides separated by a TAB or else the first space.

    Raises:
        DataError: where the file cannot be read (see `read_lines`) or no usable pair is left.
    """
    lexicon = build_lexicon(language, read_pairs(path), source=str(path))
    if not lexicon.entries:
        counts = ", ".join(f"{n} {reason}" for reason, n in lexicon.dropped.items())
        raise DataError(
            f"{path}: no usable pair in the lexicon (dropped: {counts}); "
            "lines of English word, TAB or space, translation are needed"
        )
    return lexicon


def read_pairs(path: Path | str) -> Iterator[tuple[str, str]]:
    """Stream the raw pairs of a file; the second side is "" where a line has one. Raises DataError."""
    for _, line in read_lines(path):
        # Columns after the second (MUSE scores, comments) are not translations.
        sides = line.split("\t") if "\t" in line else line.strip().split(maxsplit=1)
        yield sides[0], (sides[1] if len(sides) > 1 else "")


def build_lexicon(language: str, pairs: Iterable[tuple[str, str]], source: str = "") -> Lexicon:
    """Clean raw (English, translation) pairs and gather them by English entry, in order."""
    dropped: Counter[str] = Counter()
    kept: list[tuple[str, str, bool]] = []
    spelled_small: set[str] = set()
    for english, translation in pairs:
        cleaned = clean_pair(english, translation, language)
        if isinstance(cleaned, str):
            dropped[cleaned] += 1
            continue
        capitals = len(cleaned[0]) > 1 and cleaned[0].isupper()
        key = fold(cleaned[0])
        if not capitals:
            spelled_small.add(key)
        kept.append((key, cleaned[1], capitals))
    entries: dict[str, dict[str, str]] = {}
    for key, translation, capitals in kept:
        if capitals and key in spelled_small:
            dropped["acronym"] += 1
            continue
        found, same = entries.setdefault(key, {}), translation.casefold()
        if same in found:
            dropped["duplicate"] += 1
        if same not in found or translation == same:  # of Ni and ni, the small one; its place stays
            found[same] = translation
    gathered = {key: tuple(found.values()) for key, found in entries.items()}
    ordered = {reason: dropped[reason] for reason in DROP_REASONS if dropped[reason]}
    return Lexicon(language, gathered, ordered, source)


def clean_pair(english: str, translation: str, language: str) -> tuple[str, str] | str:
    """The pair made usable, its English side in its own case, or the reason to drop it."""
    english, translation = _plain(english).translate(_APOSTROPHES), _plain(translation)
    if not english or not translation:
        return "empty"
    if _CLITIC.fullmatch(english):
        return "fragment"
    english, translation = _strip_glued(english), _strip_glued(translation)
    for side in (english, translation):
        if side.isalpha():
            continue
        if not any(character.isalpha() for character in side):
            return "number" if any(map(str.isdigit, side)) else "no letters"
        if any(map(str.isdigit, side)):
            return "number"
        if any(unicodedata.category(character)[0] == "S" for character in side):
            return "symbol"
    if fold(english) == fold(translation):
        return "identity"
    sentence_case = english[0].isupper() and not translation.isupper()
    if sentence_case and base_code(language) not in _NOUN_CAPITALS:
        # A capital on both sides is the file's (start of a sentence, a name): a text gives it back.
        translation = uncapitalised(translation, language)
    return english, translation


def _plain(text: str) -> str:
    """Entities decoded, invisible characters out, NFC, single spaces; tokenisers' ` 'x` rejoined."""
    if "&" in text:
        text = html.unescape(_STRAY_ENTITY.sub(r"&\1;", html.unescape(text)))
    text = unicodedata.normalize("NFC", text.translate(_INVISIBLE))
    return re.sub(r"(?<=\w) (?='\w)", "", " ".join(text.split()))


def _strip_glued(text: str) -> str:
    """Without bracketed remarks, and without punctuation at either end."""
    if text.isalpha():
        return text
    text = _BRACKETED.sub(" ", text)
    start, end = 0, len(text)
    while start < end and _is_glue(text[start]):
        start += 1
    while end > start and _is_glue(text[end - 1]):
        end -= 1
    return " ".join(text[start:end].split())


def _is_glue(character: str) -> bool:
    return character.isspace() or unicodedata.category(character)[0] == "P" or character in "`´"


def find_lexicons(folder: Path | str, languages: Sequence[str] | None = None) -> dict[str, Path]:
    """The lexicon file of each language, in the order asked for; of all that are there without `languages`.

    File names: en-sw.txt, en_sw.txt or sw.txt, ending in .txt or .tsv (MUSE's and AfroMT's names).

    Raises:
        DataError: where the folder is missing or holds none, a language has no file or more than one.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder of lexicons")
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        code = re.sub(r"^en[-_](?=.)", "", path.stem)
        named = _NAME_SHAPE.fullmatch(code) and not re.search(r"[-_]en$", code)  # not sw-en.txt
        if named and path.suffix in (".txt", ".tsv") and path.is_file():
            found.setdefault(code, []).append(path)
    if not found:
        raise DataError(f"{folder}: no lexicon; looked for files such as en-sw.txt, en-sw.tsv, sw.txt")
    chosen: dict[str, Path] = {}
    for language in languages or found:
        candidates = found.get(language, [])
        if not candidates:
            raise DataError(
                f"{folder}: no lexicon of {language!r} (en-{language}.txt, en-{language}.tsv or "
                f"{language}.txt); there are {', '.join(found)}"
            )
        if len(candidates) > 1:
            names = ", ".join(path.name for path in candidates)
            raise DataError(f"{folder}: several lexicons of {language!r}: {names}; leave one")
        chosen[language] = candidates[0]
    return chosen
