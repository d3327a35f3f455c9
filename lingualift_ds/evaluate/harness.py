"""Evaluation by exact answers: every question is asked once, greedily; every answer is kept on disk."""

import json
import math
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

from lingualift_ds.data.jsonl import write_jsonl
from lingualift_ds.evaluate.answers import is_correct
from lingualift_ds.evaluate.benchmarks import Question
from lingualift_ds.evaluate.model import Answerer
from lingualift_ds.log import Progress


@dataclass(frozen=True)
class Score:
    """Results of one language. Shares are of `n`; `standard_error` is of `correct`; `right_object` where known."""

    n: int
    correct: float
    standard_error: float
    truncated: float
    right_object: float | None


def evaluate(
    answerer: Answerer,
    questions: dict[str, list[Question]],
    task: str,
    output: Path,
    max_new_tokens: int,
    batch_size: int,
) -> dict[str, Score]:
    """Ask everything, write `output/TASK/LANG.jsonl` and `output/TASK/scores.json`, give the scores.

    Questions of all languages are sorted by length together, so that a batch pads little.
    """
    prompts = [
        (question, answerer.tokenizer.prompt(question.text, question.instruction))
        for language in questions.values()
        for question in language
    ]
    prompts.sort(key=lambda pair: pair[1].llm_length)
    rows = defaultdict(list)
    with Progress(f"evaluate {task}", len(prompts), "questions") as progress:
        for first in range(0, len(prompts), batch_size):
            chunk = prompts[first : first + batch_size]
            answers = answerer.answer_samples([prompt for _, prompt in chunk], max_new_tokens)
            for (question, _), answer in zip(chunk, answers):
                rows[question.language].append(judge(question, answer.text, answer.finished))
            progress.advance(len(chunk))
    scores = {}
    for language in questions:
        write_jsonl(output / task / f"{language}.jsonl", sorted(rows[language], key=lambda row: row["id"]))
        scores[language] = summarise(rows[language])
    text = json.dumps({language: asdict(score) for language, score in scores.items()}, indent=2)
    (output / task / "scores.json").write_text(text, encoding="utf-8")
    return scores


def judge(question: Question, output: str, finished: bool) -> dict:
    """One row of the per-question results."""
    row = {
        "id": question.id,
        "question": question.text,
        "answer": question.answer,
        "output": output,
        "correct": is_correct(output, question.answer),
        "truncated": not finished,
    }
    if question.object:
        row["right_object"] = question.object.lower() in output.lower()
    return row


def summarise(rows: list[dict]) -> Score:
    """The score of a language's rows."""
    n = len(rows)
    correct = sum(row["correct"] for row in rows) / n
    named = [row["right_object"] for row in rows if "right_object" in row]
    return Score(
        n=n,
        correct=correct,
        standard_error=math.sqrt(correct * (1 - correct) / n),
        truncated=sum(row["truncated"] for row in rows) / n,
        right_object=sum(named) / len(named) if named else None,
    )


def format_scores(scores: dict[str, Score]) -> str:
    """A table for the terminal, in percent."""
    lines = [f"{'language':<10} {'n':>5} {'correct':>8} {'+-':>5} {'right object':>13} {'truncated':>10}"]
    for language, s in scores.items():
        named = "-" if s.right_object is None else f"{100 * s.right_object:.1f}"
        lines.append(
            f"{language:<10} {s.n:>5} {100 * s.correct:>8.1f} {100 * s.standard_error:>5.1f} "
            f"{named:>13} {100 * s.truncated:>10.1f}"
        )
    return "\n".join(lines)
