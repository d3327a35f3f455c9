"""How fast code-switching is: against a plain word-by-word transformation, and as the whole command.

python benchmarks/codeswitch.py [--data DIR] [--rounds 5] [--sentences 200000] [--json FILE]

DIR holds gsm8k/train.jsonl and lexicons/en-*.txt; without them texts and lexicons are made up. Two parts:

- In one process, in turn, on the same texts: our CodeSwitcher, `benchmarks/plain.py`, which has to give the same
  bytes, and the barest loop there is (split, look up, join), which keeps no name, case or number and knows no
  punctuation. The first round, in which nothing is remembered yet, is told apart from the later ones.
- The command on a file of recombined sentences, with as many lexicons as the largest number named: rows and words a
  second and the memory of all its processes, for a tenth of the sentences, half and all of them. What is remembered
  grows up to a bound, and then no more; half and all of a million differ by little. The output must be the same for
  every number of processes.
"""

import argparse
import hashlib
import importlib.metadata
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.command import measure
from benchmarks.plain import PlainSwitcher
from benchmarks.texts import load_texts, write_lexicons, write_rows
from lingualift_ds.data.codeswitch import CodeSwitcher, Ratio, Sample
from lingualift_ds.data.codeswitch.production import usable_processes
from lingualift_ds.data.lexicon import Lexicon, find_lexicons, read_lexicon

RATIO = 0.5
_ALL = 10_000
"""Rows whose sentences are recombined."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks/codeswitch.py", description=__doc__.splitlines()[0])
    default = Path(__file__).parents[2] / "shared/data"
    parser.add_argument("--data", type=Path, default=default, metavar="DIR", help="real texts and lexicons")
    parser.add_argument("--rows", type=int, default=1500, metavar="N", help="rows of texts for the comparison")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="of the comparison, after the first")
    parser.add_argument("--lexicons", default="1,3,20", metavar="N,N", help="how many, in turn")
    parser.add_argument(
        "--sentences", type=int, default=200_000, metavar="N", help="for the command; 0 leaves it out (default 200000)"
    )
    parser.add_argument(
        "--num-proc", default=f"1,2,3,{usable_processes()}", metavar="N,N", help="processes of the command, in turn"
    )
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    found = {
        "benchmark": "codeswitch",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "settings": {"rows": arguments.rows, "rounds": arguments.rounds, "ratio": RATIO}
        | {"texts": "GSM8K" if (arguments.data / "gsm8k/train.jsonl").is_file() else "made up"},
    }
    texts, counts = load_texts(arguments.data, arguments.rows), sorted(map(int, arguments.lexicons.split(",")))
    with tempfile.TemporaryDirectory() as folder:
        found["comparison"] = []
        for count in counts:
            there = Path(folder) / f"lexicons-{count}"
            write_lexicons(arguments.data, count, there)
            lexicons = {code: read_lexicon(paths, code) for code, paths in find_lexicons([there]).items()}
            for kind, them in texts.items():
                result = {"texts": kind, "lexicons": count} | compare(them, lexicons, arguments.rounds)
                found["comparison"].append(result)
                print(comparison_line(result), flush=True)
        if arguments.sentences:
            processes = sorted(set(map(int, arguments.num_proc.split(","))))
            source = load_texts(arguments.data, max(arguments.rows, _ALL))["sentences"]
            result = run_command(source, there, Path(folder), arguments.sentences, processes)
            found["whole_command"] = {"lexicons": counts[-1]} | result
    # Not before: with torch in it this process would be unlike the one that users start.
    from benchmarks.machine import facts, versions

    found |= {"machine": facts(), "versions": versions() | {"regex": importlib.metadata.version("regex")}}
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def compare(texts: list[str], lexicons: Mapping[str, Lexicon], rounds: int) -> dict[str, Any]:
    """Words a second of all three, and ours by the plain transformation's. Raises SystemExit where outputs differ."""
    ours, plain = CodeSwitcher(lexicons, Ratio(RATIO, RATIO)), PlainSwitcher(lexicons, RATIO, 0)
    bare = bare_loop(lexicons, random.Random(0))
    samples = [Sample(str(number), text) for number, text in enumerate(texts)]
    count = sum(len(text.split()) for text in texts)
    taken = []
    for _ in range(rounds + 1):
        switched, our_time = timed(lambda: [switched.text for switched in ours.switch_all(samples)])
        restated, plain_time = timed(lambda: [plain.switch(sample.id, sample.text) for sample in samples])
        taken.append((our_time, plain_time, timed(lambda: [bare(text) for text in texts])[1]))
        for sample, mine, theirs in zip(samples, switched, restated):
            if mine != theirs:
                raise SystemExit(
                    f"text {sample.id} comes out differently\n{sample.text!r}\nours:  {mine!r}\nplain: {theirs!r}"
                )
    first, *later = taken
    return {"words": count, "first_round": _rates(count, [first]), "later_rounds": _rates(count, later)}


def bare_loop(lexicons: Mapping[str, Lexicon], rng: random.Random) -> Callable[[str], str]:
    """What switches words found as they stand between two spaces, with nothing else taken care of."""
    entries, draw = [lexicon.entries for lexicon in lexicons.values()], rng.random

    def switch(text: str) -> str:
        known = entries[int(draw() * len(entries))]
        return " ".join(
            [
                found[int(draw() * len(found))] if (found := known.get(word)) and draw() < RATIO else word
                for word in text.split(" ")
            ]
        )

    return switch


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What it returns, and its seconds."""
    started = time.perf_counter()
    return work(), time.perf_counter() - started


def _rates(count: int, taken: list[tuple[float, float, float]]) -> dict[str, Any]:
    """Medians over rounds of words a second, and of ratios within a round."""
    ours, plain, bare = (statistics.median(count / times[column] for times in taken) for column in range(3))
    ratios = [times[1] / times[0] for times in taken]
    return {
        "words_per_second": {"ours": round(ours), "plain": round(plain), "bare": round(bare)},
        "ratio": round(statistics.median(ratios), 2),
        "ratio_range": [round(min(ratios), 2), round(max(ratios), 2)],
        "bare_to_ours": round(statistics.median(times[0] / times[2] for times in taken), 2),
    }


def comparison_line(result: dict[str, Any]) -> str:
    """One case for a reader."""
    first, later = result["first_round"], result["later_rounds"]
    speeds = later["words_per_second"]
    low, high = later["ratio_range"]
    return (
        f"{result['lexicons']:>2} lexicons, {result['texts']:<9}: ours {speeds['ours']:>9,} words/s, "
        f"plain {speeds['plain']:>7,}, bare {speeds['bare']:>9,}; ours {later['ratio']:.1f} x plain "
        f"({low:.1f} to {high:.1f}), bare {later['bare_to_ours']:.1f} x ours; "
        f"first round {first['words_per_second']['ours']:,} words/s, "
        f"{first['ratio']:.1f} x plain"
    )


def run_command(
    source: list[str], lexicons: Path, folder: Path, sentences: int, processes: list[int]
) -> dict[str, Any]:
    """The command on a tenth of the sentences, half and all. Raises SystemExit where its output depends on the number
    of processes."""
    runs: list[dict[str, Any]] = []
    for count in (sentences // 10, sentences // 2, sentences):
        rows, output = folder / f"{count}.jsonl", folder / "switched.jsonl"
        words, digests = write_rows(rows, source, count), set()
        for number in processes:
            arguments = ["codeswitch", "--input", rows, "--lexicons", lexicons, "--output", output]
            ran = measure([*arguments, "--num-proc", number])
            with output.open("rb") as file:
                digests.add(hashlib.file_digest(file, "sha256").hexdigest())
            run = {"sentences": count, "words": words, "num_proc": number} | asdict(ran)
            run |= {"rows_per_second": round(count / ran.seconds), "words_per_second": round(words / ran.seconds)}
            runs.append(run)
            print(run_line(run), flush=True)
        if len(digests) > 1:
            raise SystemExit(f"{count:,} sentences come out differently with another --num-proc")
        rows.unlink()
    print(f"the same output bytes with --num-proc {', '.join(map(str, processes))}")
    grown = [growth([run for run in runs if run["num_proc"] == number]) for number in processes]
    for line in grown:
        print(
            f"--num-proc {line['num_proc']}: {line['rows_per_second_after_start']:,} rows/s after the start; memory "
            f"x {line['peak_tenth_to_all']} from a tenth to all, x {line['peak_half_to_all']} from half to all"
        )
    return {"runs": runs, "growth": grown}


def growth(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """What all of the sentences take beyond a tenth of them, where reading the lexicons cancels out, and beyond half
    of them; `runs` are in this order."""
    tenth, half, whole = runs
    seconds = whole["seconds"] - tenth["seconds"]
    return {
        "num_proc": whole["num_proc"],
        "rows_per_second_after_start": round((whole["sentences"] - tenth["sentences"]) / seconds),
        "words_per_second_after_start": round((whole["words"] - tenth["words"]) / seconds),
        "peak_tenth_to_all": round(whole["peak_bytes"] / tenth["peak_bytes"], 2),
        "peak_half_to_all": round(whole["peak_bytes"] / half["peak_bytes"], 2),
    }


def run_line(run: dict[str, Any]) -> str:
    """One run of the command for a reader."""
    return (
        f"{run['sentences']:>9,} sentences, --num-proc {run['num_proc']}: {run['seconds']:6.1f} s, "
        f"{run['rows_per_second']:>6,} rows/s, {run['words_per_second']:>9,} words/s, "
        f"{run['peak_bytes'] / 2**20:>5,.0f} MiB at most in {run['processes']} processes"
    )


if __name__ == "__main__":
    main()
