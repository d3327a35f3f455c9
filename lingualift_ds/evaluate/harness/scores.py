"""From answers to rows, shares and the table: what `results.json` and TASK/CODE.jsonl say."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from lingualift_ds.data.languages import writes_spaces
from lingualift_ds.evaluate.answers import extract_answer
from lingualift_ds.evaluate.output_language import output_language

LEVELS = {"low": "LR.", "medium": "MR.", "high": "HR."}
"""Resource levels, and what their averages are called."""
AVERAGE = "Avg."
"""The mean over all languages."""


def generated_row(document: Mapping[str, Any], answer: Mapping[str, Any], correct: bool) -> dict[str, Any]:
    """A row of a question that was answered by text."""
    output = answer["text"].strip()
    given, language = extract_answer(output), output_language(output)
    row = _row(document, output, correct) | {
        "given": None if given is None else str(given),
        "truncated": not answer["finished"],
        "output_language": language.code,
        "wrong_language": language.wrong,
        "encoder_tokens": answer["encoder_tokens"],
        "new_tokens": answer["tokens"],
    }
    if document["object"]:
        row["right_object"] = document["object"].lower() in output.lower()
    return row


def chosen_row(
    document: Mapping[str, Any], label: str, answers: Sequence[Mapping[str, Any]], correct: bool
) -> dict[str, Any]:
    """A row of a question that was answered by the likeliest of its choices."""
    return _row(document, label, correct) | {
        "given": label,
        "truncated": False,
        "output_language": None,
        "wrong_language": None,
        "encoder_tokens": answers[0]["encoder_tokens"],
        "new_tokens": 0,
        "choices": list(document["choices"]),
        "loglikelihoods": [answer["loglikelihood"] for answer in answers],
    }


def _row(document: Mapping[str, Any], output: str, correct: bool) -> dict[str, Any]:
    spaced = writes_spaces(document["language"])
    return {
        "id": document["id"],
        "language": document["language"],
        "question": document["text"],
        "instruction": document["instruction"],
        "answer": document["answer"],
        "output": output,
        "given": None,
        "correct": correct,
        "words": len(document["text"].split()) if spaced else None,
    }


def summarise(rows: Sequence[Mapping[str, Any]], level: str | None) -> dict[str, Any]:
    """What results.json says of a language. Shares are of `n`, but for `wrong_language` and `right_object`, which are
    of the rows where that is known; `standard_error` is of `correct`."""
    n = len(rows)
    correct = sum(row["correct"] for row in rows) / n
    return {
        "level": level,
        "n": n,
        "correct": correct,
        "standard_error": math.sqrt(correct * (1 - correct) / n),
        "truncated": sum(row["truncated"] for row in rows) / n,
        "no_answer": sum(row["given"] is None for row in rows) / n,
        "wrong_language": _share(rows, "wrong_language"),
        "right_object": _share(rows, "right_object"),
    }


def _share(rows: Sequence[Mapping[str, Any]], key: str) -> float | None:
    known = [row[key] for row in rows if row.get(key) is not None]
    return sum(known) / len(known) if known else None


def averages(languages: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Means of `correct` over the languages of each level there is, and over all."""
    found = {}
    for level, name in LEVELS.items():
        of_level = [values["correct"] for values in languages.values() if values["level"] == level]
        if of_level:
            found[name] = sum(of_level) / len(of_level)
    return found | {AVERAGE: sum(values["correct"] for values in languages.values()) / len(languages)}


def format_table(languages: Mapping[str, Mapping[str, Any]]) -> str:
    """A task's languages by level, then the averages, in percent."""
    lines = [
        f"{'language':<10} {'level':<7} {'n':>5} {'correct':>8} {'+-':>5} {'no answer':>10} {'truncated':>10} "
        f"{'wrong language':>15} {'right object':>13}"
    ]
    order = [*LEVELS, None]
    for code in sorted(languages, key=lambda code: (order.index(languages[code]["level"]), code)):
        s = languages[code]
        lines.append(
            f"{code:<10} {s['level'] or '-':<7} {s['n']:>5} {_percent(s['correct']):>8} "
            f"{_percent(s['standard_error']):>5} {_percent(s['no_answer']):>10} {_percent(s['truncated']):>10} "
            f"{_percent(s['wrong_language']):>15} {_percent(s['right_object']):>13}"
        )
    means = averages(languages)
    lines.append("  ".join(f"{name} {_percent(value)}" for name, value in means.items()))
    return "\n".join(lines)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"
