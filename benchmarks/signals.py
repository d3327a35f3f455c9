"""Trainings that are told to leave, or killed, by signals at random moments, until they are complete.

    python benchmarks/signals.py [--count 50] [--seed S] [--json FILE]

Two ranks, tiny models with dropout, both stages, under srun's environment, torchrun and DeepSpeed's launcher. A signal
goes to one rank's process alone. Then: how soon the job ends, with which exit codes, whether its newest checkpoint is
whole and holds the last step, and whether the run that goes on has the numbers of one that nobody disturbed, to the
last bit. A signal takes about ten seconds. Prints the table; exits with 1 where anything is not as it must be.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.disturbed import MOMENTS, SAVE_EVERY, Outcome, Run, Strike
from benchmarks.machine import facts, versions
from benchmarks.soak import write_recipes

LAUNCHERS = ("srun", "torchrun", "deepspeed")
STEPS, HELDOUT_EVERY = 30, 4
KINDS = {"SIGTERM": 3, "SIGUSR1": 3, "SIGINT": 2, "SIGHUP": 2, "SIGKILL": 3, "SIGINT twice": 2}
"""Kinds of signals, and how often each is drawn."""


class Signals:
    """Runs of so many `steps`, in `folder`, that get signals."""

    def __init__(self, folder: Path, say: Callable[[str], object], steps: int = STEPS):
        self.folder, self._say, self._steps = folder, say, steps
        self.outcomes: list[Outcome] = []
        self.wrong: list[str] = []
        """What no single signal can be named for."""
        self._recipes = write_recipes(folder)
        self._straight: dict[int, Path] = {}
        self._launched = 0

    @property
    def faultless(self) -> bool:
        """Whether all is as it must be."""
        return not self.wrong and not any(outcome.wrong for outcome in self.outcomes)

    def run(self, count: int, seed: int) -> None:
        """Send so many signals, and let every run come to its end."""
        draw, runs = random.Random(seed), 0
        while len(self.outcomes) < count:
            plan = draw_plan(draw, handover=runs % 2 == 1)[: count - len(self.outcomes)]
            self.chain(runs % 2 + 1, plan)
            runs += 1

    def chain(self, stage: int, plan: list[Strike], launchers: tuple[str, ...] = LAUNCHERS) -> Run:
        """One run that gets these signals, one a launch."""
        straight = self.straight(stage)
        folder = self.folder / f"run-{len(list(self.folder.glob('run-*')))}"
        run = Run(folder, stage, self._steps, self._arguments(stage))
        for strike in [*plan, None]:
            launcher = launchers[self._launched % len(launchers)]
            self._launched += 1
            outcome = run.launch(launcher, strike)
            if outcome:
                self.outcomes.append(outcome)
                self._say(row(len(self.outcomes), outcome))
            elif strike and not run.complete:
                break
            if run.complete:
                break
        wrong = run.judge(straight)
        self.wrong += wrong
        if not wrong and not any(outcome.wrong for outcome in run.outcomes):
            shutil.rmtree(run.folder)
        return run

    def straight(self, stage: int) -> Path:
        """The stage folder of the undisturbed run, made where it is absent."""
        if stage not in self._straight:
            run = Run(self.folder / f"straight-{stage}", stage, self._steps, self._arguments(stage))
            run.launch("srun")
            if not run.complete:
                raise SystemExit(f"the undisturbed run failed:\n{run.output[-3000:]}")
            self._straight[stage] = run.stage
        return self._straight[stage]

    def _arguments(self, number: int) -> list[str]:
        stage = f"stage{number}"
        arguments = ["--stage", str(number), "--config", str(self._recipes[number + 1])]
        arguments += [f"{stage}.batch.samples=16", f"{stage}.heldout_every={HELDOUT_EVERY}"]
        arguments += [f"{stage}.checkpoint.every={SAVE_EVERY}"]
        heldout = self.folder / "inputs/heldout.jsonl"
        return arguments + (["stage2.start_from=scratch", f"stage2.data.heldout=[{heldout}]"] if number == 2 else [])


def draw_plan(draw: random.Random, handover: bool) -> list[Strike]:
    """Signals for one run, which takes at most four steps from one to the next."""
    names, often = list(MOMENTS), [moment.often for moment in MOMENTS.values()]
    moments = draw.choices(names, often, k=draw.randint(5, 7)) + ["handover"] * handover
    kinds = draw.choices(list(KINDS), list(KINDS.values()), k=len(moments))
    return [Strike(kind, draw.randrange(2), moment, draw.random()) for kind, moment in zip(kinds, moments)]


def row(number: int, outcome: Outcome) -> str:
    """A line of the table."""
    equal = {None: "?", True: "yes", False: "NO"}[outcome.equal]
    seconds = "-" if outcome.seconds is None else f"{outcome.seconds:.1f}"
    codes = "/".join("-" if code is None else str(code) for code in outcome.ranks)
    where = f"{outcome.run} {outcome.launcher}"
    return (
        f"{number:>3} {where:<18} {outcome.kind:<12} {outcome.rank:>4} {outcome.moment:<12} {outcome.hit:<45} "
        f"{seconds:>5} {outcome.exit!s:>4} {codes:>7} {outcome.reached:>4} {outcome.whole:>5} {equal:>5}"
        f"{'  WRONG' if outcome.wrong else ''}"
    )


HEAD = (
    f"{'':>3} {'run':<18} {'signal':<12} {'rank':>4} {'meant for':<12} {'came at':<45} "
    f"{'s':>5} {'exit':>4} {'ranks':>7} {'step':>4} {'saved':>5} {'equal':>5}"
)


def summary(signals: Signals) -> str:
    """What is wrong, first of all, and how many of which came when."""
    outcomes = signals.outcomes
    lines = [f"! {number} {said}" for number, o in enumerate(outcomes, 1) for said in o.wrong]
    lines += [f"! {said}" for said in signals.wrong]
    slowest = max((o.seconds for o in outcomes if o.seconds is not None), default=0)
    wrong = sum(bool(o.wrong) for o in outcomes)
    lines.append(f"{len(outcomes)} signals, {wrong} not as it must be, slowest {slowest} s")
    for name, values in (
        ("signals", [o.kind for o in outcomes]),
        ("ranks", [o.rank for o in outcomes]),
        ("launchers", [o.launcher for o in outcomes]),
        ("came at", [o.hit.split(",")[0] for o in outcomes]),
    ):
        lines.append(f"{name}: " + ", ".join(f"{value} {n}" for value, n in Counter(values).most_common()))
    return "\n".join(lines)


def main() -> int:
    """Send the signals, print the table, and write it."""
    parser = argparse.ArgumentParser(prog="benchmarks/signals.py", description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=50, metavar="N", help="signals to send")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of what is drawn")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table there")
    arguments = parser.parse_args()
    folder, started = Path(tempfile.mkdtemp(prefix="signals-")), time.monotonic()
    signals = Signals(folder, _say)
    _say(HEAD)
    signals.run(arguments.count, arguments.seed)
    seconds = round(time.monotonic() - started)
    _say("\n".join(["", HEAD, *(row(number, outcome) for number, outcome in enumerate(signals.outcomes, 1))]))
    _say(f"{summary(signals)}\n{seconds} s in all")
    if arguments.json:
        found = {
            "benchmark": "signals",
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": facts(),
            "versions": versions(),
            "seed": arguments.seed,
            "seconds": seconds,
            "wrong": signals.wrong,
            "signals": [{k: v for k, v in asdict(o).items() if k != "sent"} for o in signals.outcomes],
        }
        arguments.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    if signals.faultless:
        shutil.rmtree(folder)
        return 0
    _say(f"what is wrong is kept in {folder}")
    return 1


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
