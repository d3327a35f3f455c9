"""A training that gets signals, from its start to its end, and what came of each. benchmarks/signals.py has many."""

import contextlib
import json
import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.faults import read_lines
from benchmarks.jobs import ROOT, Job
from benchmarks.soak import SAME, differing_artefacts, litter, whole_steps
from lingualift_ds.checkpoint.manifest import verify
from lingualift_ds.errors import CheckpointError

SCRIPT = ROOT / "benchmarks/signalled.py"
LEFT, LOST, AT_ONCE = 75, 4, 130
"""Exit codes: told to leave, another rank is lost, interrupted twice."""
SAVE_EVERY = 3
ENDS_WITHIN = 15.0
"""Seconds from a signal to the job's end; DeepSpeed's launcher looks once a second, and the cores may be shared."""
ABANDONED = ", left within"
"""Of a step that was left between its micro-batches."""
_LIMIT = 240.0
_SLOW = 0.03


@dataclass(frozen=True)
class Moment:
    """A moment that a signal can be meant for."""

    phase: str
    """What the rank does then, as its notes say."""
    often: int
    """How often it is drawn."""
    seconds: float
    """The signal comes up to so long after its begin."""
    slow: float = _SLOW
    """See benchmarks/signalled.py."""
    saved: bool = True
    """Whether there is something to save; else all leave at once."""


MOMENTS = {
    "start": Moment("starting", 3, 1.5, saved=False),
    "preparation": Moment("preparing", 7, 1.0, 0.15, saved=False),
    "loading": Moment("loading", 4, 1.0, saved=False),
    "first step": Moment("first step", 6, 0.2),
    "step": Moment("training", 8, 0.3),
    "long step": Moment("training", 6, 0.1, 0.1),
    "evaluation": Moment("evaluating", 8, 0.2),
    "save": Moment("saving", 9, 0.5),
    "handover": Moment("handing over", 0, 0.3, saved=False),
}
"""A long step is one that may be left between its micro-batches. Every other run gets a signal in its handover."""


@dataclass(frozen=True)
class Strike:
    """A signal to be sent."""

    kind: str
    rank: int
    moment: str
    delay: float = 0.0
    """Share of the moment's seconds."""


@dataclass
class Outcome:
    """A signal that was sent, and what came of it."""

    run: str
    launcher: str
    kind: str
    rank: int
    moment: str
    hit: str = ""
    """What the rank did when it was sent."""
    sent: float = 0.0
    """When it was, by the monotonic clock."""
    seconds: float | None = None
    """To the end of the job; None: it did not end."""
    exit: int | None = None
    """The job's exit code, as the launcher gives it."""
    ranks: list[int | None] = field(default_factory=list)
    """Exit codes that the ranks ended themselves with."""
    reached: int = 0
    """Last step in metrics.jsonl."""
    whole: int = 0
    """Step of the newest checkpoint."""
    equal: bool | None = None
    """Whether the steps from there to the next signal are those of the undisturbed run; None: not known."""
    wrong: list[str] = field(default_factory=list)
    """What is not as it must be."""


class Run:
    """One training, from its start over its signals to its end."""

    def __init__(self, folder: Path, stage: int, steps: int, arguments: list[str]):
        self.folder, self.stage = folder, folder / f"stage{stage}"
        self.checkpoints, self.metrics = self.stage / "checkpoints", self.stage / "metrics.jsonl"
        self.name, self.complete, self.output = f"stage {stage}", False, ""
        self.outcomes: list[Outcome] = []
        self._steps, self._arguments = steps, [*arguments, f"run.output={folder}", f"stage{stage}.steps={steps}"]
        self._launches = 0

    def launch(self, launcher: str, strike: Strike | None = None) -> Outcome | None:
        """Start it once more; None where it came to its end without a signal."""
        self.folder.mkdir(exist_ok=True, parents=True)
        self._launches += 1
        moment = MOMENTS[strike.moment] if strike else None
        settings = {"notes": str(self.folder / "notes"), "srun": launcher == "srun", "slow": 0.0}
        arguments, cache = list(self._arguments), None
        if strike:
            settings["slow"] = moment.slow * (5 if strike.kind == "SIGINT twice" and moment.saved else 1)
            settings["long_step"] = 0.0 if strike.moment == "long step" else None
        if strike and strike.moment == "preparation":
            cache = self.folder / f"{self._launches}-prepared"
            arguments.append(f"run.cache={cache}")
        for path in self._notes():
            path.unlink(missing_ok=True)
        before = sum(whole_steps(self.checkpoints)[-1:])
        how = "ranks" if launcher == "srun" else launcher
        with Job(how, 2, SCRIPT, *arguments, environment={"SIGNALLED": json.dumps(settings)}) as job:
            outcome = self._strike(job, strike, launcher) if strike else None
            code = job.wait(_LIMIT if outcome is None else 4 * ENDS_WITHIN)
            if outcome:
                outcome.seconds = None if code is None else round(time.monotonic() - outcome.sent, 1)
            left = job.processes()
        self.output, self.complete = job.output, code == 0 and (self.stage / "COMPLETE").is_file()
        if outcome is None:
            return None
        outcome.exit, outcome.ranks = code, [_ended(path) for path in self._notes()]
        if any(line.get("phase") == "abandoned" for path in self._notes() for line in read_lines(path)):
            outcome.hit += ABANDONED
        outcome.reached = max(_curve(self.stage), default=0)
        outcome.whole = sum(whole_steps(self.checkpoints)[-1:])
        outcome.wrong = [*self._check(outcome, before, job.ended_others), *_unfinished(self.checkpoints)]
        if left:
            outcome.wrong.append(f"{len(left)} processes left")
        if cache and outcome.kind != "SIGKILL" and outcome.hit.startswith("preparing"):
            outcome.wrong += [f"{path.name} is left in the cache" for path in cache.glob("*") if not _is_set(path)]
        self.outcomes.append(outcome)
        return outcome

    def _strike(self, job: Job, strike: Strike, launcher: str) -> Outcome | None:
        """Send the signal when the time has come; None where the job had ended by then."""
        notes, moment = self._notes()[strike.rank], MOMENTS[strike.moment]
        limit, process = time.monotonic() + _LIMIT, None
        try:
            while not _has_come(notes, strike.moment):
                if not job.running() or time.monotonic() > limit:
                    return None
                time.sleep(0.005)
            # A handle, not a number: the process may end meanwhile, and its number be another's.
            process = os.pidfd_open(read_lines(notes)[0]["pid"])
            time.sleep(strike.delay * moment.seconds)
            outcome = Outcome(self.name, launcher, strike.kind, strike.rank, strike.moment)
            outcome.sent = time.monotonic()
            signal.pidfd_send_signal(process, getattr(signal, strike.kind.split()[0]))
            outcome.hit = _where(notes) + (", save pending" if list(self.checkpoints.glob(".step-*.tmp")) else "")
            if strike.kind.endswith("twice"):
                time.sleep(1.2)  # sooner, it is taken for the same keystroke
                with contextlib.suppress(ProcessLookupError):  # it has left
                    signal.pidfd_send_signal(process, signal.SIGINT)
                    outcome.hit += f", then {_where(notes)}"
        except ProcessLookupError:
            return None
        finally:
            if process is not None:
                os.close(process)
        return outcome if job.running() or _ended(notes) != 0 else None

    def _check(self, outcome: Outcome, before: int, ended_others: bool) -> list[str]:
        """What is not as it must be when the job has ended. `before`: the newest checkpoint's step at its start."""
        wrong = []
        starting = outcome.hit.startswith("starting")
        if outcome.seconds is None or outcome.exit is None:
            return ["the job did not end"]
        if outcome.seconds > ENDS_WITHIN and not (starting and ended_others):
            wrong.append(f"the job took {outcome.seconds} s to end")
        if ended_others and not starting:
            wrong.append("a rank waited for the other one")
        killed, twice = outcome.kind == "SIGKILL", AT_ONCE in outcome.ranks
        complete = (self.stage / "COMPLETE").is_file()
        own, other = outcome.ranks[outcome.rank], outcome.ranks[1 - outcome.rank]
        if killed:
            # Where it has not met its peers yet, the launcher ends the other one.
            fine = outcome.exit != 0 and own is None and (other == LOST or starting or other == 0 and complete)
        elif outcome.exit == 0:  # too late: it had handed over
            fine = complete and outcome.ranks == [0, 0]
        elif twice:
            fine = outcome.kind == "SIGINT twice" and outcome.exit != 0
        else:
            job = 1 if outcome.launcher == "torchrun" else LEFT
            fine = outcome.exit == job and own == LEFT and (other == LEFT or starting)
        if not fine:
            wrong.append(f"exit code {outcome.exit}, of the ranks {outcome.ranks}")
        if killed or twice:
            if outcome.reached - outcome.whole > 2 * SAVE_EVERY or outcome.whole < before:
                wrong.append(f"step {outcome.reached} was reached, but the checkpoint is of step {outcome.whole}")
        elif _saves(outcome.hit):
            if outcome.whole != outcome.reached:
                wrong.append(f"step {outcome.reached} was reached, but the checkpoint is of step {outcome.whole}")
        elif outcome.whole not in (before, self._steps):
            wrong.append(f"the checkpoint was of step {before}, and now is of step {outcome.whole}")
        if "Traceback" in self.output and outcome.launcher != "torchrun":  # torchrun shows its own
            wrong.append("a traceback:\n" + self.output[self.output.index("Traceback") :][:1500])
        return wrong

    def judge(self, straight: Path) -> list[str]:
        """Hold the run that has come to its end against the undisturbed one; returns what no signal is named for."""
        if not self.complete:
            return [f"{self.folder}: did not come to its end:\n{self.output[-3000:]}"]
        expected, found = _curve(straight), _curve(self.stage)
        lines = (self.metrics).read_text().count("\n")
        differing = {step for step in expected | found if expected.get(step) != found.get(step)}
        for number, outcome in enumerate(self.outcomes):
            until = self.outcomes[number + 1].whole if number + 1 < len(self.outcomes) else self._steps
            mine = sorted(step for step in differing if outcome.whole < step <= until)
            outcome.equal = not mine
            if mine:
                outcome.wrong.append(f"after it, steps {mine} are not those of the undisturbed run")
        wrong = [f"{lines} lines in metrics.jsonl for {len(found)} steps"] if lines != len(found) else []
        if differing and all(outcome.equal for outcome in self.outcomes):
            wrong.append(f"steps {sorted(differing)} are not those of the undisturbed run")
        wrong += differing_artefacts(straight, self.stage) + litter(self.checkpoints)
        return [f"{self.folder}: {said}" for said in wrong]

    def _notes(self) -> list[Path]:
        return [self.folder / f"notes.{rank}" for rank in range(2)]


def _has_come(notes: Path, name: str) -> bool:
    """Whether a rank's notes say that a moment has come."""
    found = [line for line in read_lines(notes) if line.get("phase") == MOMENTS[name].phase]
    if name == "long step":  # in a step, after a micro-batch of it
        steps = [line["step"] for line in found]
        return bool(steps) and steps.count(steps[-1]) > 1
    if name == "step":
        return len({line["step"] for line in found}) > 1
    return bool(found)


def _where(notes: Path) -> str:
    """What a rank did last, by its notes."""
    last = [line for line in read_lines(notes) if "phase" in line][-1]
    return last["phase"] + (f", step {last['step']}" if last.get("step") else "")


def _ended(notes: Path) -> int | None:
    """The exit code that a rank ended itself with."""
    return next((line["ended"] for line in reversed(read_lines(notes)) if "ended" in line), None)


def _saves(hit: str) -> bool:
    """Whether a rank that did this has something to save."""
    return next((m.saved for m in MOMENTS.values() if hit.startswith(m.phase)), True)


def _unfinished(checkpoints: Path) -> list[str]:
    """What is wrong with checkpoints that bear their final names."""
    wrong = []
    for path in sorted(checkpoints.glob("step-*")):
        try:
            verify(path)
        except CheckpointError as error:
            wrong.append(str(error))
    return wrong


def _curve(stage: Path) -> dict[int, list]:
    """What must be the same, by step; whole lines only."""
    path = stage / "metrics.jsonl"
    text = path.read_text() if path.is_file() else ""
    records = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
    return {record["step"]: [record.get(key) for key in SAME] for record in records}


def _is_set(path: Path) -> bool:
    """Whether it is a set of prepared samples."""
    return (path / "prepared.json").is_file()
