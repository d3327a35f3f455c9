"""Rows of training data: our own records and the shapes users already have (GSM8K, MetaMathQA, Alpaca)."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lingualift_ds.data.jsonl import read_jsonl
from lingualift_ds.data.languages import LANGUAGES
from lingualift_ds.errors import DataError

_OPTIONAL = {"instruction": (str,), "language": (str,), "input": (str,), "id": (str, int)}

MATH_INSTRUCTION = "Solve the following math problem:"
"""Stage II's instruction, and that of the math benchmarks."""


@dataclass(frozen=True)
class Record:
    """One sample: `text` goes to the encoder, `instruction` and `target` to the LLM."""

    id: str
    text: str
    instruction: str
    target: str
    language: str


SHAPES = {
    "records": ("text", "target"),
    "gsm8k": ("question", "answer"),
    "metamath": ("query", "response"),
    "alpaca": ("instruction", "output"),
}
"""Shape: (key of the text, key of the target). Rows may carry more keys; the first row decides."""


def read_records(
    path: Path | str, shape: str, instruction: str, columns: Mapping[str, str] | None = None
) -> Iterator[Record]:
    """The records of one JSON lines file.

    `shape` is a key of SHAPES or "auto"; `instruction` serves rows that carry none, and {language} in it is the
    English name of the row's language. `columns` names the keys that our own records have in this file, and each row
    must have. Raises DataError naming file and line: bad JSON, a shape that cannot be told, a missing or wrong-typed
    key. A row whose target is empty is yielded as it is: whoever counts dropped rows counts it.
    """
    columns = columns or {}
    chosen = "records" if columns else None if shape == "auto" else shape
    for line, row in read_jsonl(path):
        if columns:
            row = _renamed(row, columns, f"{path}:{line}")
        chosen = chosen or _shape_of(row, f"{path}:{line}")
        text_key, target_key = SHAPES[chosen]
        for key in (text_key, target_key):
            if not isinstance(row.get(key), str):
                found = "missing" if key not in row else f"not text but {type(row[key]).__name__}"
                name = columns.get(key, key)
                raise DataError(f"{path}:{line}: {name!r} is {found}; a row of shape {chosen} needs text there")
        for key, kinds in _OPTIONAL.items():
            if row.get(key) is not None and type(row[key]) not in kinds:
                name, found = columns.get(key, key), type(row[key]).__name__
                raise DataError(f"{path}:{line}: {name!r} is not text but {found}; text is needed, or none")
        text, target, told = row[text_key], row[target_key], row.get("instruction")
        if chosen == "gsm8k":
            target = _plain_gsm8k(target)
        if chosen == "alpaca":
            text, told = "\n".join(filter(None, [text, row.get("input")])), None
        language = row.get("language") or "en"
        name = row.get("id") if row.get("id") is not None else f"{Path(path).name}:{line}"
        if not isinstance(told, str):
            told = instruction.replace("{language}", LANGUAGES.get(language, language))
        yield Record(str(name), text, told, target.strip(), language)


def _renamed(row: dict, columns: Mapping[str, str], where: str) -> dict:
    """A row with its keys as our own records have them."""
    missing = [key for key in columns.values() if key not in row]
    if missing:
        raise DataError(f"{where}: has no {missing[0]!r}, which data.columns names; it has {', '.join(row) or 'none'}")
    return row | {name: row[key] for name, key in columns.items()}


def _shape_of(row: dict, where: str) -> str:
    for shape, keys in SHAPES.items():
        if all(key in row for key in keys):
            return shape
    known = "; ".join(f"{shape}: {' and '.join(keys)}" for shape, keys in SHAPES.items())
    raise DataError(f"{where}: has the keys {', '.join(row) or 'none'}; expected one of: {known}")


def _plain_gsm8k(answer: str) -> str:
    """GSM8K's worked answer without calculator marks, its last line `#### N` as `The answer is N`.

    Empty, and so dropped and counted later, where the row was cut off before its answer.
    """
    worked, marker, final = answer.rpartition("####")
    if not marker or not final.strip():
        return ""
    return f"{re.sub('<<[^>]*>>', '', worked).strip()}\nThe answer is {final.strip()}"
