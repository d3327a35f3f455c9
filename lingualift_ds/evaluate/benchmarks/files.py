"""Which files of a folder are a benchmark's, of which language, and of which part of it.

A file is known by its name and by the folders it lies in: afrimgsm_swa.tsv, sw.jsonl, sw/test.tsv, X-CSQA/ja/dev.jsonl,
ar/test-00000-of-00001.parquet. What else lies there is left alone.
"""

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lingualift_ds.data.languages import LANGUAGES, base_code, language_code
from lingualift_ds.data.scripts import LANGUAGE_SCRIPTS, SCRIPTS
from lingualift_ds.errors import DataError
from lingualift_ds.evaluate.benchmarks.question import Task
from lingualift_ds.evaluate.benchmarks.rows import Row, read_rows
from lingualift_ds.evaluate.benchmarks.tasks import TASKS
from lingualift_ds.log import get_logger

SUFFIXES = (".tsv", ".tab", ".jsonl", ".ndjson", ".json", ".csv", ".parquet", ".pq")
"""What a benchmark's files end in."""
_SPLITS = {
    "test": "test", "dev": "dev", "validation": "dev", "valid": "dev", "val": "dev", "train": "train",
}  # fmt: skip
_SHARD = re.compile(r"-\d{5}-of-\d{5}$")
_DEEPEST = 3
_OTHER_CODES = {"jap": "ja"}  # X-CSQA's
_OTHER_FILES = {"languages.json", "dataset_info.json", "dataset_infos.json", "state.json"}
"""What may lie beside a benchmark's files."""
_logger = get_logger("benchmarks")


@dataclass(frozen=True)
class _Found:
    """A file of a task. `language` is None where it holds several, `split` where its name says none."""

    path: Path
    language: str | None
    split: str | None


def find_files(task: str, folder: Path | str) -> dict[str, Path]:
    """The file of each language of a task, by code; the same one for all where one holds all.

    Raises:
        DataError: for a missing folder, no file of the task in it, two files of a language, and a file whose name says
            that it is the task's and not which language's.
    """
    files = files_by_language(task, Path(folder))
    if None in files:
        return dict.fromkeys(sorted({row_language(row) for row in read_rows(files[None])}), files[None])
    return files


def files_by_language(task: str, folder: Path) -> dict[str | None, Path]:
    """As `find_files`, without a look into the files: the key of one that holds all languages is None."""
    stated = TASKS[task]
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder of task {task}; one with {stated.shape} is needed")
    found = _of_one_split(folder, stated, list(_search(folder, folder, stated)))
    if not found:
        raise DataError(f"{folder}: no file of task {task}; looked for {stated.shape}")
    files: dict[str | None, Path] = {}
    for file in _one_format(found):
        if file.language in files:
            both = ", ".join(str(path.relative_to(folder)) for path in (files[file.language], file.path))
            of = f"language {file.language!r}" if file.language else "all languages"
            raise DataError(f"{folder}: two files of {of}: {both}; leave one")
        files[file.language] = file.path
    if None in files and len(files) > 1:
        code, single = next((code, path) for code, path in files.items() if code)
        raise DataError(
            f"{folder}: two files of language {code!r}: {files[None].relative_to(folder)}, which holds all, and "
            f"{single.relative_to(folder)}; leave one"
        )
    return dict(sorted(files.items(), key=lambda item: item[0] or ""))


def row_language(row: Row) -> str:
    """The language that a row's own column tells. Raises DataError where it has none, or no known one."""
    told = row.text("language", "lang")
    language = language_of(told)
    if language is None:
        raise DataError(f"{row.where}: language {told!r}: not a known ISO 639 code or English name")
    return language


@cache
def language_of(tag: str) -> str | None:
    """The code of a language as data sets name it: `sw` of swa, swh_Latn and Swahili; a region or script that tells
    more stays (zh-Hant, pt-BR). None for a language the table does not have."""
    tag = tag.strip()
    named = language_code(re.sub(r"[_\s]+", " ", tag))
    if named:
        return named
    first, *rest = re.split("[-_]", tag)
    base = _OTHER_CODES.get(first.lower(), base_code(first))
    if base not in LANGUAGES or not all(re.fullmatch("[A-Za-z]{2}|[A-Za-z]{4}|[0-9]{3}", part) for part in rest):
        return None
    scripts = {*SCRIPTS, "Hans", "Hant"}
    if not all(len(part) != 4 or part.title() in scripts for part in rest):
        return None
    usual = LANGUAGE_SCRIPTS[base][0]  # tells nothing
    rest = [part.title() if len(part) == 4 else part.upper() for part in rest]
    return "-".join([base, *(part for part in rest if part != usual)])


def _search(top: Path, folder: Path, task: Task) -> Iterator[_Found]:
    """The files of the task in a folder, and in its folders that are named as a language, a split or the task."""
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror})") from None
    for path in paths:
        if path.name.startswith("."):
            continue
        if path.is_dir():
            inner = _parse(list(path.relative_to(top).parts), task)
            if task.splits and len(path.relative_to(top).parts) < _DEEPEST and inner is not None:
                yield from _search(top, path, task)
        elif path.suffix.lower() in (task.suffixes or SUFFIXES):
            parts = path.relative_to(top).parts
            named = _parse([*parts[:-1], _SHARD.sub("", path.stem)], task)
            if named is not None and _is_of(named, task, len(parts)):
                yield _Found(path, named.language, named.split)
            elif named is None or (named.language and language_of(named.language) is None):
                _tell_unknown(path, task)


@dataclass(frozen=True)
class _Named:
    """What a path says. `own`: the task's name, or kin of it, is in the file's name."""

    language: str | None
    split: str | None
    own: bool


def _parse(parts: list[str], task: Task) -> _Named | None:
    """What the folders and the file of a path say; None where something else is in them, or two languages."""
    languages, splits, own = set(), set(), False
    for part in parts:
        rest, words = _without_words(part, task)
        splits |= {_SPLITS[word] for word in words if word in _SPLITS}
        own = any(word in (*task.names, *task.kin) for word in words)
        if rest:
            languages.add(language_of(rest) or (rest.lower() if re.fullmatch("[A-Za-z]{2,3}", rest) else None))
    if None in languages or len(languages) > 1 or len(splits) > 1:
        return None
    return _Named(next(iter(languages), None), next(iter(splits), None), own)


def _without_words(part: str, task: Task) -> tuple[str, list[str]]:
    """A part of a path without the words that are no language's at its ends, and these words."""
    known = sorted({*task.names, *_SPLITS, "data"}, key=len, reverse=True) if task.splits else ()
    words = []
    while True:
        lowered = part.lower()
        for word in known:
            if lowered == word:
                return "", [*words, word]
            if re.match(rf"{re.escape(word)}[-_. ]", lowered):
                part = part[len(word) + 1 :]
            elif re.search(rf"[-_. ]{re.escape(word)}$", lowered):
                part = part[: -len(word) - 1]
            else:
                continue
            words.append(word)
            break
        else:
            return part, words


def _is_of(named: _Named, task: Task, depth: int) -> bool:
    """Whether a file whose name says this is the task's."""
    if named.language is None:
        return task.together and (named.own or named.split is not None)
    if task.named and not named.own and depth == 1:
        return False
    # A word of three letters that no one knows is a language where the name says what the file is.
    known = language_of(named.language) is not None
    return known or not task.splits or named.own or (depth > 1 and named.split is not None)


def _tell_unknown(path: Path, task: Task) -> None:
    """Say that a file is left out, for its name tells no language; raise DataError where it bears the task's name."""
    stem = _SHARD.sub("", path.stem)
    rest, words = _without_words(stem, task)
    if path.name in _OTHER_FILES or rest.lower().startswith(tuple(name for of in TASKS.values() for name in of.names)):
        return
    near = difflib.get_close_matches(rest.title(), LANGUAGES.values(), n=1)
    said = f"{rest!r} is no known language code or English name" + (f"; did you mean {near[0]}?" if near else "")
    if any(word in task.names for word in words) or (task.kin and stem.lower().startswith(task.kin)):
        raise DataError(f"{path}: {said}")
    if task.splits and not task.named:
        _logger.warning(f"{path}: left out: {said}")


def _of_one_split(folder: Path, task: Task, found: list[_Found]) -> list[_Found]:
    """The files of the first of the task's splits that is there; a file whose name says none is of the first."""
    if not task.splits or not found:
        return found
    by_split: dict[str, list[_Found]] = {}
    for file in found:
        by_split.setdefault(file.split or task.splits[0], []).append(file)
    split = next((split for split in task.splits if split in by_split), None)
    if split is None:
        wanted = " or ".join(task.splits)
        raise DataError(f"{folder}: holds {', '.join(by_split)} files only; those of {wanted} are needed")
    others = [other for other in by_split if other != split]
    read = {file.language for file in by_split[split]}
    missing = {file.language for other in others for file in by_split[other]} - read - {None}
    if {*others} - {"train"} and None not in read:
        _logger.info(f"{folder}: the {split} files are read, those of {', '.join(others)} left out")
    if missing:
        _logger.warning(
            f"{folder}: no {split} file of {', '.join(sorted(missing))}, only of {', '.join(others)}: left out"
        )
    return by_split[split]


def _one_format(found: list[_Found]) -> list[_Found]:
    """XNLI is published as TSV and as JSON lines of the same rows, side by side: TSV is enough."""
    tables = {file.path.with_suffix("") for file in found if file.language is None and file.path.suffix == ".tsv"}
    return [file for file in found if file.path.suffix == ".tsv" or file.path.with_suffix("") not in tables]
