"""A task's questions by language, read and checked."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from lingualift_ds.data.languages import base_code
from lingualift_ds.errors import ConfigError, DataError
from lingualift_ds.evaluate.benchmarks.files import files_by_language, language_of, row_language
from lingualift_ds.evaluate.benchmarks.question import Question
from lingualift_ds.evaluate.benchmarks.rows import Row, read_rows
from lingualift_ds.evaluate.benchmarks.tasks import TASKS


def load_benchmark(
    task: str, folder: Path | str, languages: Sequence[str] | None = None, limit: int | None = None
) -> dict[str, list[Question]]:
    """The questions of a task by language code: `languages` in that order, or all there are.

    `limit` is the most questions a language, from the beginning of its file.

    Raises:
        ConfigError: for an unknown task, or a limit below 1.
        DataError: for a missing folder, no file of the task in it, a language it does not have, or, naming file:line,
            a malformed row.
    """
    if task not in TASKS:
        raise ConfigError(f"task {task!r}: unknown; the tasks are {', '.join(TASKS)}")
    if limit is not None and limit < 1:
        raise ConfigError(f"limit {limit}: at least 1 question a language is needed")
    files = files_by_language(task, Path(folder))
    # Asked for as `swa`, a language is known as `sw`, as its file's name is.
    wanted = None if languages is None else list(dict.fromkeys(language_of(code) or code for code in languages))
    if None in files:
        questions = _read_together(task, files[None], limit)
        _check_there(task, folder, wanted, questions)
        return {code: questions[code] for code in wanted or sorted(questions)}
    _check_there(task, folder, wanted, files)
    return {code: _read(task, files[code], code, limit) for code in wanted or files}


def _check_there(task: str, folder: Path | str, wanted: list[str] | None, there: Iterable[str]) -> None:
    missing = [code for code in wanted or () if code not in there]
    if missing:
        raise DataError(f"{folder}: task {task} has no {', '.join(map(repr, missing))}; it has {', '.join(there)}")


def _read(task: str, path: Path, language: str, limit: int | None) -> list[Question]:
    """The questions of a file that holds one language."""
    rows = islice(read_rows(path, TASKS[task].columns), limit)
    if task != "jsonl":  # whose rows may carry anything
        rows = (_of_language(row, language) for row in rows)
    return list(_distinct(path, (TASKS[task].read(row, language, n) for n, row in enumerate(rows))))


def _of_language(row: Row, language: str) -> Row:
    """The row. Raises DataError where it says that it is of another language than its file."""
    told = row.record.get("lang", row.record.get("language"))
    if isinstance(told, str) and base_code(language_of(told) or language) != base_code(language):
        raise DataError(f"{row.where}: the row is of language {told!r}, the file's name says {language!r}")
    return row


def _read_together(task: str, path: Path, limit: int | None) -> dict[str, list[Question]]:
    """The questions of a file that holds all languages, by code."""
    rows: dict[str, list[Row]] = {}
    for row in read_rows(path, TASKS[task].columns):
        of_language = rows.setdefault(row_language(row), [])
        if limit is None or len(of_language) < limit:
            of_language.append(row)
    return {
        code: list(_distinct(path, (TASKS[task].read(row, code, n) for n, row in enumerate(of_language))))
        for code, of_language in rows.items()
    }


def _distinct(path: Path, questions: Iterable[Question]) -> Iterator[Question]:
    """The questions. Raises DataError where two have one id."""
    seen: set[str] = set()
    for question in questions:
        if question.id in seen:
            raise DataError(f"{path}: id {question.id!r} stands twice; ids must differ")
        seen.add(question.id)
        yield question
