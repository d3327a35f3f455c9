"""Which files are lexicons of which language, by their names.

Names are an English and another language's code or name, in either order, or the other language alone:
en-sw.txt, sw-en.txt, en_swh.tsv, eng_Latn-swh_Latn.tsv.gz, English-Swahili.csv, sw.json.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lingualift_ds.data.languages import LANGUAGES, base_code, language_code, language_name
from lingualift_ds.data.scripts import LANGUAGE_SCRIPTS, SCRIPTS
from lingualift_ds.errors import DataError
from lingualift_ds.log import get_logger

_logger = get_logger("lexicon")

SUFFIXES = (".txt", ".tsv", ".csv", ".tab", ".dict", ".json", ".jsonl", ".ndjson", ".gz")
"""Endings of files that are taken for lexicons in a folder."""
_CHINESE = {"Hans", "Hant"}
# Region codes in small letters that are language codes too, beside a language they go with.
_SMALL_REGIONS = {("zh", "tw"), ("zh", "cn"), ("zh", "hk"), ("zh", "sg"), ("pt", "br"), ("pt", "pt")}
_EXPLICIT = re.compile(r"([A-Za-z]{2,3}(?:[-_][A-Za-z]{2,4})?)=(.+)", re.DOTALL)


@dataclass(frozen=True)
class Named:
    """What a file's name says.

    Attributes:
        language: code, with a region or script where the name has one that tells more: `sw`, `zh-Hant`, `pt-BR`.
        turned: the translation comes first.
        part: a piece of a dictionary that is split for training and test, such as MUSE's en-es.0-5000.txt.
    """

    language: str
    turned: bool = False
    part: bool = False


def parse_name(name: str) -> Named | None:
    """What a file's name says; None where it does not say which language's lexicon it is."""
    stem = name
    while (suffix := Path(stem).suffix.lower()) in SUFFIXES:
        stem = stem[: -len(suffix)]
    pieces = stem.split(".")
    part = any(re.fullmatch(r"\d+-\d+", piece) for piece in pieces)
    found = {(named, whole) for piece in pieces for named, whole in _pairs_in(piece)}
    whole = {named for named, is_whole in found if is_whole}
    choices = whole or {named for named, _ in found}
    if len(choices) != 1:
        return None
    named = choices.pop()
    return Named(named.language, named.turned, part)


def _pairs_in(piece: str) -> list[tuple[Named, bool]]:
    """Languages paired with English, or alone, in a piece of a name; and whether they are all of it."""
    apart = re.sub(r"(?<=[a-z])2(?=[a-z])", "-", piece)  # en2sw
    words = [word for word in re.split(r"[-_ ]+(?:to[-_ ]+)?", apart) if word]
    tags: list[tuple[str, int, int]] = []
    for start in range(len(words)):
        tag, end = _tag(words, start)
        if tag:
            tags.append((tag, start, end))
    if len(words) == 2 and len(tags) == 1:  # en-qq: meant as a lexicon, though no one knows the language
        other = words[1 - tags[0][1]]
        if tags[0][0] == "en" and re.fullmatch(r"[A-Za-z]{2,3}", other):
            return [(Named(other, turned=tags[0][1] == 1), True)]
    found = []
    for tag, start, end in tags:
        for other, after, stop in tags:
            if after == end and (tag == "en") != (other == "en"):
                named = Named(other if tag == "en" else tag, turned=other == "en")
                found.append((named, start == 0 and stop == len(words)))
    if not found and len(tags) >= 1:
        tag, start, end = tags[0]
        if tag != "en" and start == 0 and end == len(words):
            found.append((Named(tag), True))
    return found


def _tag(words: Sequence[str], start: int) -> tuple[str, int]:
    """The language that begins at a word, with its script or region, and where it ends; "" where none begins."""
    for end in (start + 3, start + 2, start + 1):
        name = language_code(" ".join(words[start:end]))
        if name and end <= len(words):
            return name, end
    word = words[start]
    base = base_code(word)
    if not re.fullmatch(r"[A-Za-z]{2,3}", word) or base not in LANGUAGES:
        return "", start
    end, variant = start + 1, ""
    for part in words[start + 1 : start + 3]:
        if part.title() in SCRIPTS or part.title() in _CHINESE:
            # The script that a language is mostly written in tells nothing.
            variant += "" if part.title() == LANGUAGE_SCRIPTS[base][0] else f"-{part.title()}"
        elif re.fullmatch("[A-Z]{2}", part) and not word.isupper() or (base, part.lower()) in _SMALL_REGIONS:
            variant += f"-{part.upper()}"
        else:
            break
        end += 1
    return (base if base == "en" else base + variant), end


def find_lexicons(
    paths: Path | str | Sequence[Path | str], languages: Sequence[str] | None = None
) -> dict[str, tuple[Path, ...]]:
    """The lexicon files of each language, in the order asked for; of all that are there without `languages`.

    Several files of one language come in the order of `paths`, and within a folder sorted by name, those that have
    the translation first behind the others.

    Args:
        paths: folders, files, and `sw=FILE` for a file whose name does not say its language.
        languages: codes; `zh` finds a lexicon of `zh-Hant` too where there is no other of `zh`.

    Raises:
        DataError: where a path is missing or holds none, a name does not say a known language, or a language has no
            file.
    """
    paths = (paths,) if isinstance(paths, Path | str) else tuple(paths)
    for language in languages or ():
        language_name(language)
    found: dict[str, list[Path]] = {}
    for path in paths:
        try:
            for language, file in _files_of(path, asked=bool(languages)):
                if not any(file.samefile(other) for other in found.get(language, ())):
                    found.setdefault(language, []).append(file)
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    places = ", ".join(map(str, paths))
    if not found:
        raise DataError(f"{places}: no lexicon; looked for files such as en-sw.txt, en_swh.tsv, sw.csv, en-sw.json.gz")
    chosen: dict[str, tuple[Path, ...]] = {}
    for language in languages or found:
        files = found.get(_canonical(language)) or _variants(found, language, places)
        if not files:
            raise DataError(
                f"{places}: no lexicon of {language!r} (en-{language}.txt, en-{language}.tsv, {language}.json ...); "
                f"there are {', '.join(found)}"
            )
        chosen[language] = tuple(files)
    return chosen


def _files_of(path: Path | str, asked: bool) -> list[tuple[str, Path]]:
    """The lexicons that one path stands for, each with its language."""
    explicit = _EXPLICIT.fullmatch(str(path))
    if explicit and not Path(path).exists():
        language_name(explicit[1])
        file = Path(explicit[2])
        if not file.is_file():
            raise DataError(f"{file}: {'is a folder, a file is needed' if file.is_dir() else 'no such file'}")
        return [(_canonical(explicit[1]), file)]
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: no such folder of lexicons, nor a file")
    if not path.is_dir():
        named = parse_name(path.name)
        if named is None:
            raise DataError(
                f"{path}: its name does not say which language's lexicon it is, as en-sw.txt, sw.tsv or en_swh.json "
                f"do; write the language before it, as in sw={path}"
            )
        language_name(named.language)
        return [(named.language, path)]
    return _files_in(path, asked)


def _files_in(folder: Path, asked: bool) -> list[tuple[str, Path]]:
    """The lexicons in a folder; what is left out though it looks like one is said."""
    found, unsaid, unknown, parts = [], [], [], []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES or path.name.startswith(".") or not path.is_file():
            continue
        named = parse_name(path.name)
        if named is None or base_code(named.language) not in LANGUAGES:
            (unsaid if named is None else unknown).append(path.name)
        elif named.part:
            parts.append(path.name)
        else:
            found.append((named.language, named.turned, path))
    if unknown and not asked:
        _logger.warning(f"{folder}: left out {', '.join(unknown)}: no known language code; write sw=FILE to use one")
    if parts:
        _logger.info(f"{folder}: left out {', '.join(parts)}: parts of a split dictionary; name a file to use it")
    if unsaid:
        _logger.info(f"{folder}: left out {', '.join(unsaid)}: the name says no language to pair with English")
    return [(language, path) for language, _, path in sorted(found)]


def _variants(found: dict[str, list[Path]], language: str, places: str) -> list[Path]:
    """The files of the one variant there is of a language that was asked for without a region or script."""
    variants = [
        code for code in found if base_code(code) == language.lower() or base_code(code) == _canonical(language)
    ]
    if len(variants) > 1:
        raise DataError(f"{places}: several lexicons of {language!r}: {', '.join(variants)}; name one of these")
    return found[variants[0]] if variants else []


def _canonical(code: str) -> str:
    """A code as `parse_name` would give it."""
    words = re.split(r"[-_]", code.strip())
    tag, end = _tag(words, 0)
    return tag if tag and end == len(words) else code
