"""Benchmarks as files: from a task's folder to questions, each with the answer to compare with.

Everything is local (JSON lines or TSV); nothing is downloaded and no loading script runs. A task is
stated as data in TASKS: the names of its files and how a line of one becomes a question.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lingualift_ds.data.jsonl import excerpt, read_jsonl, read_lines
from lingualift_ds.data.languages import language_code
from lingualift_ds.data.records import MATH_INSTRUCTION
from lingualift_ds.errors import ConfigError, DataError
from lingualift_ds.evaluate.answers import parse_number


@dataclass(frozen=True)
class Question:
    """One question of a benchmark.

    Attributes:
        id: unique within task and language; equal across the languages of a parallel benchmark.
        language: code, such as `sw`.
        text: the question.
        answer: the reference as it stands in the file: a number, or a label.
        object: what is counted, where the benchmark says so.
        instruction: what the LLM is told beside the question.
        target: a worked answer, where the benchmark has one.
    """

    id: str
    language: str
    text: str
    answer: str
    object: str | None = None
    instruction: str = MATH_INSTRUCTION
    target: str | None = None


@dataclass(frozen=True)
class Task:
    """How a benchmark lies on disk: `pattern` captures a file name's language, `shape` tells users."""

    pattern: str
    shape: str
    read: Callable[[Path, str], Iterator[Question]]


def load_benchmark(
    task: str, folder: Path | str, languages: Sequence[str] | None = None, limit: int | None = None
) -> dict[str, list[Question]]:
    """The questions of a task by language code: `languages` in that order, or all there are.

    `limit` is the most questions a language, from the beginning of its file.

    Raises:
        ConfigError: for an unknown task, or a limit below 1.
        DataError: for a missing folder, no file of the task in it, a language it does not have, or,
            naming file:line, a malformed line.
    """
    if task not in TASKS:
        raise ConfigError(f"task {task!r}: unknown; the tasks are {', '.join(TASKS)}")
    if limit is not None and limit < 1:
        raise ConfigError(f"limit {limit}: at least 1 question a language is needed")
    files = find_files(task, folder)
    missing = [language for language in languages or () if language not in files]
    if missing:
        raise DataError(f"{folder}: task {task} has no {', '.join(map(repr, missing))}; it has {', '.join(files)}")
    return {language: _read(task, files[language], language, limit) for language in languages or files}


def find_files(task: str, folder: Path | str) -> dict[str, Path]:
    """The file of each language of a task, by code. Raises DataError as `load_benchmark`."""
    folder, shape = Path(folder), TASKS[task].shape
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder of task {task}; one with {shape} is needed")
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        match = re.fullmatch(TASKS[task].pattern, path.name)
        if not match or not path.is_file():
            continue
        # Files are named by code (sw) or by English name (Swahili).
        language = language_code(match[1]) or match[1]
        if language in files:
            both = f"{files[language].name}, {path.name}"
            raise DataError(f"{folder}: two files of language {language!r}: {both}; leave one")
        files[language] = path
    if not files:
        raise DataError(f"{folder}: no file of task {task}; looked for {shape}")
    return dict(sorted(files.items()))


def _read(task: str, path: Path, language: str, limit: int | None) -> list[Question]:
    questions: list[Question] = []
    seen: set[str] = set()
    for question in TASKS[task].read(path, language):
        if question.id in seen:
            raise DataError(f"{path}: id {question.id!r} stands twice; ids must differ")
        seen.add(question.id)
        questions.append(question)
        if len(questions) == limit:
            break
    return questions


def _read_jsonl(path: Path, language: str) -> Iterator[Question]:
    for index, (number, record) in enumerate(read_jsonl(path)):
        where = f"{path}:{number}"
        yield Question(
            id=str(record.get("id", index)),
            language=language,
            text=_text(where, record, "text"),
            answer=_answer(where, record, "answer"),
            object=_optional(where, record, "object"),
            instruction=_optional(where, record, "instruction") or MATH_INSTRUCTION,
            target=_optional(where, record, "target"),
        )


def _read_mgsm(path: Path, language: str) -> Iterator[Question]:
    # Split by hand: the csv module would take the quotation marks of the questions for its own.
    for index, (number, line) in enumerate(read_lines(path)):
        text, tab, answer = line.rpartition("\t")
        if not tab or not text.strip():
            raise DataError(f"{path}:{number}: question, TAB, answer are needed, found {excerpt(line)}")
        yield Question(str(index), language, text.strip(), _numeric(f"{path}:{number}", answer))


def _read_msvamp(path: Path, language: str) -> Iterator[Question]:
    for index, (number, record) in enumerate(read_jsonl(path)):
        where = f"{path}:{number}"
        answer = _numeric(where, _answer(where, record, "response"))
        yield Question(str(index), language, _text(where, record, "m_query"), answer)


def _text(where: str, record: dict, key: str) -> str:
    value = record.get(key)
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{where}: {key!r} must be text that is not blank, {_found(record, key)}")
    return value


def _answer(where: str, record: dict, key: str) -> str:
    value = record.get(key)
    if isinstance(value, bool) or not isinstance(value, (str, int, float)) or not str(value).strip():
        raise DataError(f"{where}: {key!r} must be a number or text, {_found(record, key)}")
    return str(value).strip()


def _optional(where: str, record: dict, key: str) -> str | None:
    return None if record.get(key) in (None, "") else _text(where, record, key)


def _numeric(where: str, answer: str) -> str:
    if parse_number(answer) is None:
        raise DataError(f"{where}: the answer must be a number, found {excerpt(answer)}")
    return answer.strip()


def _found(record: dict, key: str) -> str:
    if key in record:
        return f"found {excerpt(repr(record[key]))}"
    return f"found only the keys {', '.join(record) or '(none)'}"


TASKS: dict[str, Task] = {
    "jsonl": Task(r"([A-Za-z]{2,3}(?:[-_]\w+)?)\.jsonl", "LANG.jsonl (such as sw.jsonl)", _read_jsonl),
    "mgsm": Task(r"mgsm_([A-Za-z-]+)\.tsv", "mgsm_LANG.tsv (such as mgsm_sw.tsv)", _read_mgsm),
    "msvamp": Task(r"test_([A-Za-z]+)\.json", "test_Language.json (such as test_Swahili.json)", _read_msvamp),
}
"""The tasks by name."""
