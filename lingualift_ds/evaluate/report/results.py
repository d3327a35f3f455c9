"""Results folders as `lingualift-ds evaluate` writes them, read strictly.

The rows are the truth: what `results.json` says of them must agree, and two folders are only held against each
other where they asked the same questions.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from lingualift_ds.data.jsonl import excerpt, kind_name, read_jsonl
from lingualift_ds.data.languages import language_name
from lingualift_ds.errors import DataError

FORMAT = 1
LEVELS = ("low", "medium", "high")
"""Resource levels of languages."""

FILE = "results.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_TEXTS, _FLAGS = ("id", "question", "answer", "output"), ("correct", "truncated")
_TEXTS_OR_NULL, _COUNTS = ("given", "output_language"), ("encoder_tokens", "words")


@dataclass(frozen=True, slots=True)
class Row:
    """One question as it was answered; the fields are those of a line of TASK/CODE.jsonl."""

    id: str
    question: str
    answer: str
    output: str
    given: str | None
    correct: bool
    truncated: bool
    output_language: str | None
    wrong_language: bool | None
    encoder_tokens: int | None
    words: int | None
    choices: tuple[str, ...]


@dataclass(frozen=True)
class LanguageResults:
    """The rows of a language by question id, and what share of them was how; None: not measured."""

    code: str
    level: str | None
    rows: Mapping[str, Row]
    truncated: float | None
    no_answer: float | None
    wrong_language: float | None
    right_object: float | None

    @cached_property
    def correct(self) -> int:
        """How many answers are right."""
        return sum(row.correct for row in self.rows.values())

    @property
    def n(self) -> int:
        """How many questions were asked."""
        return len(self.rows)

    @cached_property
    def encoded(self) -> bool:
        """Whether an encoder has read the questions."""
        return any(row.encoder_tokens is not None for row in self.rows.values())

    @cached_property
    def tokens_per_word(self) -> float | None:
        """The encoder's fertility: its tokens by words of the questions. None without an encoder or words."""
        counted = [row for row in self.rows.values() if row.encoder_tokens is not None and row.words]
        words = sum(row.words for row in counted)
        return sum(row.encoder_tokens for row in counted) / words if words else None


@dataclass(frozen=True)
class TaskResults:
    """A task's languages by code, with how it was asked (`generate`, `choice`) and what counts as right."""

    kind: str
    metric: str
    languages: Mapping[str, LanguageResults]


@dataclass(frozen=True)
class Results:
    """A results folder."""

    name: str
    folder: Path
    model: str
    created: str
    versions: Mapping[str, Any]
    settings: Mapping[str, Any]
    tasks: Mapping[str, TaskResults]


def read_results(folder: Path | str, name: str | None = None) -> Results:
    """A results folder under its own or another `name`.

    Raises:
        DataError: for a folder that is none, a format that is not known, a missing file, a damaged line, and rows
            that contradict what `results.json` says of them.
    """
    folder = Path(folder)
    path = folder / FILE
    if not path.is_file():
        found = "holds no results.json" if folder.is_dir() else "no such folder"
        raise DataError(f"{folder}: {found}; a folder that `lingualift-ds evaluate --output` wrote is needed")
    values = read_formatted(path, FORMAT, "results of `lingualift-ds evaluate`")
    tasks = required(path, values, "tasks", dict)
    if not tasks:
        raise DataError(f"{path}: 'tasks' is empty; there is nothing to report")
    created = required(path, values, "created", str)
    try:
        datetime.fromisoformat(created)
    except ValueError:
        raise DataError(
            f"{path}: 'created' is {excerpt(created)}; a time such as 2025-01-31T12:00:00 is needed"
        ) from None
    return Results(
        name=name or required(path, values, "name", str),
        folder=folder,
        model=required(path, values, "model", str),
        created=created,
        versions=required(path, values, "versions", dict),
        settings=required(path, values, "settings", dict),
        tasks={task: _task(folder, task, required(path, tasks, task, dict, "tasks")) for task in tasks},
    )


def read_formatted(path: Path, version: int, what: str) -> dict:
    """The object of a JSON file that states its format, which is `version`. Raises DataError for any other."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON ({error})") from None
    if not isinstance(values, dict) or "format" not in values:
        raise DataError(f"{path}: no {what}: the key 'format' is missing")
    if values["format"] != version or isinstance(values["format"], bool):
        raise DataError(
            f"{path}: format {excerpt(str(values['format']))}: unknown; this version reads format {version}"
        )
    return values


def check_comparable(results: Sequence[Results]) -> None:
    """Make sure that the same ids are the same questions, and no language's level differs. Raises DataError."""
    first: dict[tuple[str, str], tuple[Results, LanguageResults]] = {}
    for one in results:
        for task, found in one.tasks.items():
            other = next(known for known in results if task in known.tasks)
            for what in ("kind", "metric"):
                left, right = getattr(other.tasks[task], what), getattr(found, what)
                if left != right:
                    both = f"{other.folder} and {one.folder} cannot be compared"
                    raise DataError(f"{both}: the {what} of {task} is {left!r} and {right!r}")
            for code, language in found.languages.items():
                before = first.setdefault((task, code), (one, language))
                if before[0] is not one:
                    _check_pair(f"{task}/{code}.jsonl", *before, one, language)


def _check_pair(file: str, one: Results, mine: LanguageResults, other: Results, theirs: LanguageResults) -> None:
    between = f"{one.folder} and {other.folder} cannot be compared: {file}"
    lone = next((i for i in (*mine.rows, *theirs.rows) if i not in theirs.rows or i not in mine.rows), None)
    if lone is not None:
        has = one.folder if lone in mine.rows else other.folder
        raise DataError(f"{between} has {mine.n} and {theirs.n} rows, and only {has} has id {lone!r}; ask the same")
    for row in mine.rows.values():
        for what in ("question", "answer"):
            left, right = getattr(row, what), getattr(theirs.rows[row.id], what)
            if left != right:
                raise DataError(f"{between}, id {row.id!r}: the {what} is {excerpt(left)} and {excerpt(right)}")
    if mine.level != theirs.level:
        raise DataError(f"{between}: the level is {mine.level or 'none'} and {theirs.level or 'none'}")


def name_of(code: str) -> str:
    """A language's English name; the code again where the table of languages does not have it."""
    try:
        return language_name(code)
    except DataError:
        return code


def _task(folder: Path, task: str, values: dict) -> TaskResults:
    path = folder / FILE
    languages = required(path, values, "languages", dict, task)
    for name in (task, *languages):
        if not _NAME.fullmatch(name):
            raise DataError(f"{path}: {excerpt(name)} is no name of a task or language: letters, digits, - and _")
    if not languages:
        raise DataError(f"{path}: {task} has no language; there is nothing to report")
    return TaskResults(
        kind=required(path, values, "kind", str, task),
        metric=required(path, values, "metric", str, task),
        languages={code: _language(folder, task, code, languages[code]) for code in languages},
    )


def _language(folder: Path, task: str, code: str, stated: Any) -> LanguageResults:
    path = folder / task / f"{code}.jsonl"
    where = f"{folder / FILE}: {task}, {code}"
    if not isinstance(stated, dict):
        raise DataError(f"{where}: found a JSON {kind_name(stated)}, an object {{...}} is needed")
    level = stated.get("level")
    if level is not None and level not in LEVELS:
        raise DataError(f"{where}: level {excerpt(str(level))}: unknown; low, medium, high or null")
    if not path.is_file():
        raise DataError(f"{path}: no such file, though {FILE} has {code} of {task}; the results are not whole")
    rows: dict[str, Row] = {}
    objects = []
    for number, record in read_jsonl(path):
        row = _row(f"{path}:{number}", record, code)
        if row.id in rows:
            raise DataError(f"{path}:{number}: id {row.id!r} stands twice; ids must differ")
        rows[row.id] = row
        if isinstance(record.get("right_object"), bool):
            objects.append(record["right_object"])
    _agree(where, path, stated, list(rows.values()), objects)
    shares = {key: _share(where, stated, key) for key in ("truncated", "no_answer", "wrong_language", "right_object")}
    return LanguageResults(code, level, rows, **shares)


def _agree(where: str, path: Path, stated: dict, rows: list[Row], objects: list[bool]) -> None:
    """Raise DataError where shares are not those of the rows, by half a row or more."""
    if isinstance(stated.get("n"), bool) or stated.get("n") != len(rows):
        raise DataError(f"{where}: n is {stated.get('n')}, but {path} has {len(rows)} rows")
    judged = [row.wrong_language for row in rows if row.wrong_language is not None]
    counts = {  # the count, and the number of rows it can be a share of
        "correct": (sum(row.correct for row in rows), (len(rows),)),
        "truncated": (sum(row.truncated for row in rows), (len(rows),)),
        "no_answer": (sum(row.given is None for row in rows), (len(rows),)),
        "wrong_language": (sum(judged), (len(rows), len(judged))),
        "right_object": (sum(objects), (len(rows), len(objects))),
    }
    for key, (count, wholes) in counts.items():
        share = _share(where, stated, key)
        if share is None and key != "correct":
            continue
        if share is None or not any(whole and abs(share * whole - count) < 0.5 for whole in wholes):
            raise DataError(f"{where}: {key} is {share}, but in {path} it is {count} of {wholes[-1]} rows")


def _share(where: str, stated: dict, key: str) -> float | None:
    share = stated.get(key)
    if share is None:
        return None
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        raise DataError(f"{where}: {key} is {excerpt(str(share))}; a share from 0 to 1 or null is needed")
    return float(share)


def _row(where: str, record: dict, code: str) -> Row:
    values: dict[str, Any] = {key: record.get(key) for key in Row.__slots__ if key != "choices"}
    wanted = [(_TEXTS, str, "a string"), (_FLAGS, bool, "true or false")]
    wanted += [
        (_TEXTS_OR_NULL, str | None, "a string or null"),
        (("wrong_language",), bool | None, "a boolean or null"),
    ]
    for keys, kind, said in wanted:
        for key in keys:
            if key not in record or not isinstance(record[key], kind):
                found = f"is a JSON {kind_name(record[key])}" if key in record else "is missing"
                raise DataError(f"{where}: {key!r} {found}; {said} is needed")
    for key in _COUNTS:
        count = values[key]
        if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 0):
            raise DataError(f"{where}: {key!r} is {excerpt(str(count))}; a whole number from 0 or null is needed")
    if record.get("language", code) != code:
        raise DataError(f"{where}: 'language' is {excerpt(str(record['language']))} in the file of {code}")
    choices = record.get("choices") or ()
    if not isinstance(choices, list | tuple):
        raise DataError(f"{where}: 'choices' is a JSON {kind_name(choices)}; an array is needed")
    return Row(**values, choices=tuple(map(str, choices)))


def required(path: Path, values: dict, key: str, kind: type, inside: str = "") -> Any:
    """The value of a key that must be there and of its kind, in `path`'s object `inside`. Raises DataError."""
    place = f"{inside}, {key!r}" if inside else repr(key)
    if key not in values:
        raise DataError(f"{path}: {place} is missing")
    if not isinstance(values[key], kind):
        needed = {str: "a string", dict: "an object {...}", list: "an array [...]"}[kind]
        raise DataError(f"{path}: {place} is a JSON {kind_name(values[key])}; {needed} is needed")
    return values[key]
