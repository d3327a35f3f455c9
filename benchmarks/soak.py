"""Trainings that are killed again and again until they are complete, then held against an uninterrupted one.

What is whole, where a resume must go on, and what was lost is found out here from the files alone.
"""

import hashlib
import json
import random
import re
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from benchmarks.faults import Fault, read_lines
from benchmarks.jobs import ROOT, Job

SCRIPT = ROOT / "benchmarks/faults.py"
SAME = ("loss", "grad_norm", "lr", "tokens", "heldout_loss")
"""Of each step: what an interrupted run must have to the last bit."""
STEPS = 25
_LIMIT = 240.0
"""Seconds a launch may take."""


@dataclass(frozen=True)
class Case:
    """One kind of training."""

    ranks: int
    stage: int
    zero: int

    def __str__(self) -> str:
        return f"{self.ranks} rank{'s' * (self.ranks > 1)}, stage {self.stage}, ZeRO-{self.zero}"


CASES = (Case(1, 1, 2), Case(2, 2, 3), Case(1, 2, 1), Case(2, 1, 3), Case(1, 2, 3), Case(2, 2, 2), Case(2, 1, 1))


@dataclass(frozen=True)
class Strike:
    """A kill: by the process itself where `fault` says, else from outside, so many seconds after it has taken so many
    steps."""

    fault: Fault | None = None
    steps: int = 0
    seconds: float = 0.0
    rank: int | None = None
    """Of a kill from outside: which one dies; None: all."""


@dataclass
class Ledger:
    """What came of it all."""

    kills: list[dict[str, Any]] = field(default_factory=list)
    resumes: int = 0
    complete: int = 0
    failed_resumes: list[str] = field(default_factory=list)
    lost_beyond: int = 0
    """Steps that were trained again although a save of theirs should have been whole."""
    loss_mismatches: int = 0
    """Steps of complete runs whose numbers differ from the uninterrupted run's, are missing, or are there twice."""
    others: list[str] = field(default_factory=list)
    """Anything else that is not as it must be."""
    seconds: float = 0.0

    @property
    def inside(self) -> list[dict[str, Any]]:
        """Kills inside a save."""
        return [k for k in self.kills if k["inside"]]

    @property
    def points(self) -> set[str]:
        """Different things that a save was about to do, or the file that it was writing, when it was killed."""
        return {k["at"] for k in self.inside if k["at"]}

    @property
    def faultless(self) -> bool:
        """Whether nothing was lost."""
        return not (self.failed_resumes or self.lost_beyond or self.loss_mismatches or self.others)

    def table(self) -> str:
        """As lines."""
        pending = [k["lost"] - k["every"] for k in self.kills if k["lost"] > k["every"]]
        rows = [
            ("kills", len(self.kills)),
            ("kills inside a save", f"{len(self.inside)}, at {len(self.points)} different points"),
            ("resumes that failed", f"{len(self.failed_resumes)} of {self.resumes}"),
            ("steps lost beyond the interval", self.lost_beyond),
            ("loss mismatches", f"{self.loss_mismatches} in {self.complete * STEPS} steps of {self.complete} runs"),
            ("other findings", len(self.others)),
            ("most steps trained again", max((k["lost"] for k in self.kills), default=0)),
            ("kills while a save was pending", f"{len(pending)}, costing {max(pending, default=0)} steps more at most"),
            ("ranks that waited for a dead one", sum(k["ended_others"] for k in self.kills)),
            ("seconds", f"{self.seconds:.0f}"),
        ]
        lines = [f"{name:<32} {value}" for name, value in rows]
        return "\n".join(lines + [f"! {said}" for said in self.failed_resumes + self.others])


class Soak:
    """Kills trainings in `folder`. `launchers`: of two ranks, in turn."""

    def __init__(self, folder: Path, seed: int, say: Callable[[str], object], cases: tuple[Case, ...] = CASES):
        self.folder, self.cases, self.ledger = folder, cases, Ledger()
        self._draw, self._say = random.Random(seed), say
        self._recipes = write_recipes(folder)
        self._points: dict[Case, list[Strike]] = {}
        self._launchers = ["torchrun", "deepspeed", "ranks", "ranks", "ranks"]

    def run(self, kills: int) -> Ledger:
        """Kill so many times, and let every run come to its end."""
        started, chains = time.monotonic(), 0
        try:
            while len(self.ledger.kills) < kills:
                self._chain(self.cases[chains % len(self.cases)], chains, kills)
                chains += 1
        finally:
            self.ledger.seconds = time.monotonic() - started
        return self.ledger

    def _chain(self, case: Case, number: int, kills: int) -> None:
        straight = self.straight(case)
        chain = Chain(self.folder / f"chain-{number}", case, self._draw.choice((2, 3)), self.arguments(case))
        until = min(kills, len(self.ledger.kills) + self._draw.randint(3, 8))
        found = len(self.ledger.failed_resumes) + len(self.ledger.others)
        while not chain.complete and not chain.broken:
            strike = self._strike(case) if len(self.ledger.kills) < until else None
            chain.launch(strike, self._launcher(case), self.ledger)
            if chain.said:
                self._say(f"{len(self.ledger.kills)}/{kills} {chain.said}")
        if chain.complete:
            self.ledger.complete += 1
            self.ledger.loss_mismatches += differing_steps(straight, chain.stage)
            self.ledger.others += [f"{case}: {said}" for said in differing_artefacts(straight, chain.stage)]
            self.ledger.others += [f"{case}: {chain.stage}: {said}" for said in litter(chain.checkpoints)]
        if found == len(self.ledger.failed_resumes) + len(self.ledger.others):
            shutil.rmtree(chain.folder)

    def straight(self, case: Case) -> Path:
        """The stage folder of the uninterrupted run, made where it is absent; what its saves do is written down."""
        folder = self.folder / f"straight-{case.ranks}-{case.stage}-{case.zero}"
        if not folder.is_dir():
            trace = self.folder / f"{folder.name}.trace"
            environment = {"FAULT": json.dumps({"trace": str(trace)})}
            arguments = [*self.arguments(case), f"run.output={folder}", f"stage{case.stage}.checkpoint.every=3"]
            with Job(_quick(case), case.ranks, SCRIPT, *arguments, environment=environment) as job:
                code = job.wait(_LIMIT)
            if code != 0:
                raise SystemExit(f"{case}: the uninterrupted run ended with {code}:\n{job.output[-3000:]}")
            self._points[case] = strikes_of(folder / f"stage{case.stage}/checkpoints", trace, case.ranks)
            self._say(f"{case}: uninterrupted, {len(self._points[case])} points of a save to be killed at")
        return folder / f"stage{case.stage}"

    def arguments(self, case: Case) -> list[str]:
        stage = f"stage{case.stage}"
        arguments = ["--stage", str(case.stage), "--config", str(self._recipes[case.zero]), f"{stage}.epochs=5"]
        if case.stage == 1:
            return [*arguments, "stage1.heldout_every=4"]
        return [*arguments, f"stage2.start_from={self.straight(Case(1, 1, 2)) / 'artefact'}"]

    def _strike(self, case: Case) -> Strike:
        draw, chance = self._draw, self._draw.random()
        rank = draw.choice([None, *range(case.ranks)])
        if chance < 0.05:
            return Strike(seconds=draw.uniform(0.5, 6), rank=rank)
        if chance < 0.1:  # where the last checkpoint and the artefact are written
            return Strike(steps=STEPS, seconds=draw.uniform(0, 0.4), rank=rank)
        if chance < 0.35:
            return Strike(steps=draw.randint(1, 8), seconds=draw.uniform(0, 0.2), rank=rank)
        if chance < 0.45:
            return Strike(Fault(save=0, event=draw.randint(1, 20), rank=draw.randrange(case.ranks)))
        if not self._points[case]:
            self._points[case] = strikes_of(*self._traced(case), case.ranks)
        point = self._points[case].pop(draw.randrange(len(self._points[case]))).fault
        return Strike(Fault(**asdict(point) | {"save": draw.choice((1, 1, 2)), "group": draw.random() < 0.4}))

    def _traced(self, case: Case) -> tuple[Path, Path]:
        stage = self.straight(case)
        return stage / "checkpoints", self.folder / f"{stage.parent.name}.trace"

    def _launcher(self, case: Case) -> str:
        if case.ranks == 1:
            return "python"
        self._launchers.append(self._launchers.pop(0))
        return self._launchers[-1]


class Chain:
    """One training, from its start over its kills to its end."""

    def __init__(self, folder: Path, case: Case, every: int, arguments: list[str]):
        self.folder, self.case, self.every = folder, case, every
        self.stage = folder / f"stage{case.stage}"
        self.checkpoints, self.metrics = self.stage / "checkpoints", self.stage / "metrics.jsonl"
        self._arguments = [*arguments, f"run.output={folder}", f"stage{case.stage}.checkpoint.every={every}"]
        self._promised, self._started = 0, 0.0
        self.complete = self.broken = False
        self.said = ""
        self.output = ""
        """Of the last launch."""

    def launch(self, strike: Strike | None, launcher: str, ledger: Ledger) -> None:
        """Start it once more, kill it if told to, and enter what came of it."""
        before, note = whole_steps(self.checkpoints)[-1:], self.folder / "note"
        note.unlink(missing_ok=True)
        self.folder.mkdir(exist_ok=True)
        environment = {}
        if strike and strike.fault:
            environment["FAULT"] = json.dumps(asdict(strike.fault) | {"note": str(note)})
        self._started, self.said = time.time(), ""
        with Job(launcher, self.case.ranks, SCRIPT, *self._arguments, environment=environment) as job:
            struck = bool(strike and not strike.fault and self._strike(job, strike, before))
            code = job.wait(_LIMIT)
            left = job.processes()
            job.kill()
        self.output = job.output
        struck = struck or code != 0 and note.exists()
        self._check_resume(before, struck, code, ledger)
        if struck:
            kill = self._enter(strike, read_lines(note), ledger)
            kill |= {"launcher": launcher, "exit": code, "ended_others": job.ended_others}
            kill |= {"seconds": round(time.time() - self._started, 1)}
            if code in (0, None) or left:
                problem = f"exit code {code}, {len(left)} processes left" if code is not None else "did not end"
                ledger.others.append(f"{self.case} under {launcher}, after {kill['who']} was killed: {problem}")
        elif code == 0:
            self.complete = (self.stage / "COMPLETE").is_file()

    def _strike(self, job: Job, strike: Strike, before: list[int]) -> bool:
        """Kill from outside when the time has come; whether there was anything left to kill."""
        seen, limit = _text(self.metrics), time.monotonic() + _LIMIT
        while strike.steps and job.running() and time.monotonic() < limit:
            now = _text(self.metrics)
            if now != seen and last_step(now) >= min(STEPS, sum(before) + strike.steps):
                break
            time.sleep(0.005)
        time.sleep(strike.seconds)
        return job.running() and job.kill(strike.rank) > 0

    def _check_resume(self, before: list[int], struck: bool, code: int | None, ledger: Ledger) -> None:
        """Whether the launch went on from where it must; `before`: the newest whole checkpoint's step, if any."""
        went_on = [int(step) for step in re.findall(r"resumed from \S*step-0*(\d+)\b", self.output)]
        ledger.resumes += bool(before)
        problem = None
        if not struck and (code != 0 or not (self.stage / "COMPLETE").is_file()):
            problem = f"exit code {code} without a kill"
            self.broken = True
        elif went_on[:1] != before and (went_on or not struck):
            problem = f"went on from step {went_on or 0}, the newest whole checkpoint is {before or 'none'}"
        if problem:
            ledger.failed_resumes.append(f"{self.case}, {self.folder}: {problem}:\n{self.output[-2000:]}")
        self._promised = max([self._promised, *before, *saved_steps(self.output)])

    def _enter(self, strike: Strike, noted: list[dict[str, Any]], ledger: Ledger) -> dict[str, Any]:
        step, whole = last_step(_text(self.metrics)), sum(whole_steps(self.checkpoints)[-1:])
        # A save that was due at an earlier step than the last may still be pending, but not the one before it, nor
        # any that was said to be done.
        due = (step - 1) // self.every * self.every
        beyond = max(0, self._promised - whole, due - self.every - whole)
        ledger.lost_beyond += beyond
        fault, at = strike.fault, ""
        if noted and noted[-1]["save"]:
            at = f"rank {fault.rank}, {'before' if fault.cut is None else 'within'} {noted[-1]['what']}"
        if fault:
            who = "the group" if fault.group and fault.cut is None else f"rank {fault.rank}"
        else:
            who = "all" if strike.rank is None else f"rank {strike.rank}"
        kill = {
            "case": str(self.case), "every": self.every, "who": who, "at": re.sub(r"\d{6,}", "N", at),
            "inside": bool(at) or any(p.stat().st_mtime > self._started for p in self.checkpoints.glob(".step-*.tmp")),
            "step": step, "whole": whole, "lost": max(0, step - whole), "beyond": beyond,
        }  # fmt: skip
        ledger.kills.append(kill)
        self.said = f"{self.case}: {who} killed at step {step} ({kill['at'] or 'from outside'}), whole is {whole}"
        return kill


def write_recipes(folder: Path) -> dict[int, Path]:
    """Recipes by ZeRO stage, over tiny models with dropout and rows that take two micro-batches a step."""
    if str(ROOT / "tests") not in sys.path:
        sys.path.insert(0, str(ROOT / "tests"))
    import tiny

    inputs = folder / "inputs"
    tiny.save_llm(inputs / "llm", attention_dropout=0.2)
    tiny.save_encoder(inputs / "encoder")
    tiny.write_rows(inputs / "stage1.jsonl", 40, language="sw")
    tiny.write_rows(inputs / "stage2.jsonl", 40)
    tiny.write_rows(inputs / "heldout.jsonl", 7)
    return {zero: tiny.write_recipe(inputs, zero) for zero in (1, 2, 3)}


def strikes_of(checkpoints: Path, trace: Path, ranks: int) -> list[Strike]:
    """A strike for every event of the save that had most of them, on each rank, and some for every file it opened."""
    manifest = json.loads((newest_whole(checkpoints) / "manifest.json").read_text())
    largest = max(entry["size"] for entry in manifest["files"].values())
    found = []
    for rank in range(ranks):
        events = [line for line in read_lines(Path(f"{trace}.{rank}")) if line["save"]]
        saves = {line["save"]: line["event"] for line in events}
        longest = max(saves, key=lambda save: (saves[save], save))
        for line in events:
            if line["save"] != longest:
                continue
            found.append(Strike(Fault(event=line["event"], rank=rank)))
            if line["writes"] and line["what"].startswith("open"):
                size = next((e["size"] for n, e in manifest["files"].items() if line["what"].endswith(f"/{n}")), 100)
                # Not evenly: what is small is all in the first bytes.
                cuts = {0, size // 2, max(0, size - 1), min(largest, 4096)}
                found += [Strike(Fault(event=line["event"], rank=rank, cut=cut)) for cut in cuts]
    return found


def newest_whole(checkpoints: Path) -> Path | None:
    """The newest checkpoint that has all its manifest lists, to the byte."""
    return (whole_folders(checkpoints) or [None])[-1]


def whole_folders(checkpoints: Path) -> list[Path]:
    """All whole checkpoints, oldest first, by their manifests and nothing of the toolkit."""
    return [path for path in sorted(checkpoints.glob("step-*")) if path.name[5:].isdigit() and is_whole(path)]


def whole_steps(checkpoints: Path) -> list[int]:
    """Their steps."""
    return [int(path.name[5:]) for path in whole_folders(checkpoints)]


def is_whole(path: Path) -> bool:
    """Whether a folder has all its manifest lists."""
    try:
        files = json.loads((path / "manifest.json").read_bytes())["files"]
        return all(hashlib.sha256((path / n).read_bytes()).hexdigest() == e["sha256"] for n, e in files.items())
    except (OSError, ValueError, KeyError):
        return False


def saved_steps(output: str) -> list[int]:
    """Steps whose checkpoints a run's log calls saved."""
    return [int(step) for step in re.findall(r"saved \S*step-0*(\d+)\b", output)]


def last_step(metrics: str) -> int:
    """The last whole line's step; 0 without one."""
    lines = [line for line in metrics.splitlines(keepends=True) if line.endswith("\n")]
    return json.loads(lines[-1])["step"] if lines else 0


def differing_steps(straight: Path, other: Path) -> int:
    """How many steps of two stage folders differ in what must be the same, are missing or are there twice."""
    expected, found = (
        [json.loads(line) for line in _text(folder / "metrics.jsonl").splitlines()] for folder in (straight, other)
    )
    by_step = {record["step"]: record for record in found}
    same = sum(all(by_step.get(r["step"], {}).get(key) == r.get(key) for key in SAME) for r in expected)
    return max(len(expected), len(found)) - same + abs(len(found) - len(by_step))


def differing_artefacts(straight: Path, other: Path) -> list[str]:
    """What differs between the tensors of two stages' artefacts."""
    problems = []
    for path in sorted((straight / "artefact").glob("*.safetensors")):
        try:
            a, b = load_file(path), load_file(other / "artefact" / path.name)
        except Exception as error:  # whatever it is, the artefact is not as it must be
            problems.append(f"{path.name}: {error}")
            continue
        if a.keys() != b.keys() or not all(a[name].equal(b[name]) for name in a):
            problems.append(f"{path.name}: its tensors are not those of the uninterrupted run")
    return problems


def litter(checkpoints: Path) -> list[str]:
    """What a complete run should not have left in its checkpoints folder."""
    names = sorted(path.name for path in checkpoints.iterdir())
    whole = [path.name for path in whole_folders(checkpoints)]
    return [f"{name} is left" for name in names if name != "latest" and name not in whole]


def _quick(case: Case) -> str:
    return "python" if case.ranks == 1 else "ranks"


def _text(path: Path) -> str:
    return path.read_text() if path.is_file() else ""
