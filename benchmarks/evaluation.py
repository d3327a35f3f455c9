"""How fast a model is evaluated: questions in batches, sorted by length, against one at a time.

python benchmarks/evaluation.py [--model DIR] [--task mgsm --data DIR] [--questions 64] [--batch-size 32] [--json FILE]

Both ways ask through `LinguaLiftLM`, as `lingualift-ds evaluate` does, the same questions, in turn, in one process,
and must give the same answers. Without --model a tiny random one is made, without --data questions of differing
lengths. Seconds are those of asking: loading and judging are the same for both.
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1]))

from lm_eval.api.instance import Instance

from benchmarks.machine import facts, versions
from lingualift_ds.evaluate.benchmarks import load_benchmark
from lingualift_ds.evaluate.harness.lm import LinguaLiftLM
from lingualift_ds.evaluate.harness.requests import marked

INSTRUCTION = "Solve the following math problem:"


def main() -> None:
    """Measure, print a line a way, and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", metavar="DIR", help="a run, an exported model or a causal LM's folder")
    parser.add_argument("--task", default="mgsm", help="what lies in --data (mgsm)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="a benchmark's folder; made-up questions without it")
    parser.add_argument("--questions", type=int, default=64, metavar="N", help="how many are asked (64)")
    parser.add_argument("--batch-size", type=int, default=32, metavar="N", help="held against 1 (32)")
    parser.add_argument("--max-new-tokens", type=int, default=32, metavar="N", help="longest answer (32)")
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="timed rounds of both (3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = measure(arguments, arguments.model or str(tiny_model(Path(folder))))
    for size, seconds in results["seconds"].items():
        print(f"batch size {size:>4}: {statistics.median(seconds):8.2f} s, {results['questions']} questions")
    print(f"{results['times']:.1f} times, the same answers")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


def measure(arguments: argparse.Namespace, model: str) -> dict:
    """Seconds of every round by batch size; the answers are compared in every round."""
    contexts = questions(arguments)
    lm = LinguaLiftLM(model, max_gen_toks=arguments.max_new_tokens)
    sizes = (1, arguments.batch_size)
    for size in sizes:  # warm
        ask(lm, size, contexts[: 2 * size])
    seconds: dict[int, list[float]] = {size: [] for size in sizes}
    for repeat in range(arguments.repeats):
        answers = {}
        for size in sizes if repeat % 2 == 0 else sizes[::-1]:
            started = time.perf_counter()
            answers[size] = ask(lm, size, contexts)
            seconds[size].append(time.perf_counter() - started)
        one, many = (answers[size] for size in sizes)
        if one != many:
            raise SystemExit(f"{sum(a != b for a, b in zip(one, many))} of {len(one)} answers differ")
    medians = {size: statistics.median(found) for size, found in seconds.items()}
    return {
        "questions": len(contexts),
        "task": arguments.task if arguments.data else "made up",
        "model": Path(arguments.model).name if arguments.model else "tiny, random",
        "max_new_tokens": arguments.max_new_tokens,
        "seconds": {str(size): found for size, found in seconds.items()},
        "times": medians[1] / medians[arguments.batch_size],
        "machine": facts(),
        "versions": versions(),
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def ask(lm: LinguaLiftLM, size: int, contexts: list[str]) -> list[str]:
    """Answers in the order of the questions."""
    lm.batch_size = size
    options = {"until": [], "do_sample": False}
    return lm.generate_until(
        [Instance("generate_until", {}, (c, options), 0, ("benchmark", n, 1)) for n, c in enumerate(contexts)]
    )


def questions(arguments: argparse.Namespace) -> list[str]:
    """Contexts, of all languages in turn, or made up of 3 to 14 words."""
    if arguments.data:
        found = load_benchmark(arguments.task, arguments.data)
        mixed = [question for row in zip(*found.values()) for question in row]
        return [marked(question.text, question.instruction) for question in mixed[: arguments.questions]]
    draw = random.Random(0)
    words = "Ann has buys apples more many how does she the of and 3 4 12 tufaha ana ngapi manzanas".split()
    texts = [" ".join(draw.choices(words, k=draw.randint(3, 14))) for _ in range(arguments.questions)]
    return [marked(text, INSTRUCTION) for text in texts]


def tiny_model(folder: Path) -> Path:
    """A random bridged model, as the tests make it."""
    from evaluated import save_bridged

    return save_bridged(folder / "model")


if __name__ == "__main__":
    main()
