"""Results folders as `lingualift-ds evaluate` writes them, made up: any languages, any shares of right answers."""

import argparse
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from lingualift_ds.cli import report
from lingualift_ds.cli.errors import run_command
from lingualift_ds.data.languages import writes_spaces
from lingualift_ds.evaluate.harness.scores import summarise

LEVELS = {
    "low": "sw bn te yo zu xh am my km lo ne si so ha ig sn mg ps ky tg ku".split(),
    "medium": "hi th ur fa tr vi id ms ta kn ml mr gu uk he el ko".split(),
    "high": "en de fr es it pt ru zh ja ar".split(),
}
LEVEL_OF = {code: level for level, codes in LEVELS.items() for code in codes}
QUESTIONS = {
    "ar": "لدى أحمد 12 تفاحة، وأعطى أخته 5 منها. كم تفاحة بقيت معه؟",
    "he": "לדנה היו 12 תפוחים והיא נתנה 5 לאחותה. כמה תפוחים נשארו לה?",
    "th": "สมชายมีแอปเปิล 12 ผล เขาให้น้องสาวไป 5 ผล เขาเหลือแอปเปิลกี่ผล",
    "ur": "احمد کے پاس 12 سیب تھے اور اس نے 5 اپنی بہن کو دیے۔ اب کتنے سیب باقی ہیں؟",
    "bn": "রহিমের ১২টি আপেল ছিল, সে ৫টি তার বোনকে দিল। কয়টি আপেল বাকি আছে?",
}
OUTPUTS = {
    "ar": "كان لدى أحمد 12 تفاحة. 12 - 5 = 7. الجواب هو {}.",
    "th": "สมชายมีแอปเปิล 12 ผล ให้ไป 5 ผล เหลือ 12 - 5 = 7 ผล คำตอบคือ {}",
}


def make_results(
    folder: Path,
    name: str,
    right: Mapping[str, float],
    n: int = 20,
    seed: int = 0,
    tasks: Sequence[str] = ("mgsm",),
    levels: Mapping[str, str | None] = LEVEL_OF,
    encoder: bool = True,
    outputs: Sequence[str] = (),
) -> Path:
    """Write a results folder; `right` are the shares of right answers by language, met as nearly as n lets.

    Questions are harder and easier alike in all of them; `seed` decides on the rest. `outputs` are added to those of
    wrong answers.
    """
    written = {}
    for task in tasks:
        languages = {}
        for code, share in right.items():
            rows = make_rows(task, code, share, n, seed, encoder, outputs)
            write_rows(folder / task / f"{code}.jsonl", rows)
            languages[code] = summarise(rows, levels.get(code))
        written[task] = {"kind": "generate", "metric": "exact answer", "languages": languages}
    values = {
        "format": 1,
        "name": name,
        "model": f"runs/{name}/stage2",
        "created": "2025-11-21T10:00:00+00:00",
        "versions": {"lingualift_ds": "0.1.0", "torch": "2.13.0"},
        "settings": {"max_new_tokens": 256, "batch_size": 32, "limit": None, "dtype": "bfloat16"},
        "tasks": written,
    }
    (folder / "results.json").write_text(json.dumps(values), encoding="utf-8")
    return folder


def make_rows(
    task: str, code: str, share: float, n: int, seed: int, encoder: bool = True, outputs: Sequence[str] = ()
) -> list[dict]:
    """Rows of a language, `round(share * n)` of them right."""

    def hardness(number: int) -> float:
        return random.Random(number).random() + random.Random(f"{seed} {code} {number}").random()

    right, rows = set(sorted(range(n), key=hardness)[: round(share * n)]), []
    pieces = 1.3 + 2.2 * random.Random(code).random()
    for number in range(n):
        draw = random.Random(f"{task} {code} {number}")
        correct = number in right
        given = str(number + 7) if correct else None if draw.random() < 0.1 else str(number + 8)
        plain = OUTPUTS.get(code, "They had some apples and gave some away. The answer is {}.")
        output = plain.format(given) if given else "I do not know."
        if not correct and outputs:
            output = f"{outputs[number % len(outputs)]} {output}"
        words = 10 + draw.randrange(10)
        rows.append(
            {
                "id": str(number),
                "language": code,
                "question": f"{number}: " + QUESTIONS.get(code, f"Somebody ({code}) had apples, how many are left?"),
                "instruction": "Solve it.",
                "answer": str(number + 7),
                "output": output,
                "given": given,
                "correct": correct,
                "truncated": not correct and draw.random() < 0.2,
                "output_language": code if code in OUTPUTS else "en",
                "wrong_language": code not in OUTPUTS and code != "en",
                "encoder_tokens": round(pieces * words) if encoder else None,
                "words": words if writes_spaces(code) else None,
                "new_tokens": 30,
            }
        )
    return rows


def write_rows(path: Path, rows: Sequence[dict]) -> None:
    """Write rows as JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    path.write_text("".join(lines), encoding="utf-8")


def run_report(capsys, *argv) -> tuple[int, str, str]:
    """Run `lingualift-ds report`; its exit code, output and log."""
    parser = argparse.ArgumentParser()
    report.add_parser(parser.add_subparsers())
    arguments = parser.parse_args(["report", *map(str, argv)])
    code = run_command(lambda: arguments.run(arguments))
    said = capsys.readouterr()
    return code, said.out, said.err
