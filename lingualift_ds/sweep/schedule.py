"""Jobs run side by side, the longest chains first, until all are done or cannot be.

A job that fails takes those that need it with it, no others. Who ends the sweep ends its jobs: each gets SIGTERM, at
which training saves and leaves, and time for that.
"""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lingualift_ds.errors import DataError
from lingualift_ds.log import duration, get_logger
from lingualift_ds.sweep.devices import Slot
from lingualift_ds.sweep.plan import Job

_LEAVE_SECONDS = 600.0
"""What jobs may take to save and leave."""
_POLL_SECONDS = 0.1

logger = get_logger(__name__)


@dataclass(frozen=True)
class Failure:
    """A job that failed, or was skipped because one that it needs did (then `code` is None)."""

    job: Job
    code: int | None
    reason: str


@dataclass
class _Running:
    job: Job
    slot: Slot
    process: subprocess.Popen
    started: float
    said: int
    """Bytes that the log had before."""


def run_jobs(jobs: Sequence[Job], slots: Sequence[Slot]) -> list[Failure]:
    """Run jobs to their end, one a slot at a time; what a job needs and is not among them is done.

    Returns those that failed and were skipped. Raises DataError where a log cannot be written.
    """
    first = _longest_first(jobs)
    left = {job.name: job for job in first}
    free, running, failures = list(slots), [], []
    try:
        while left:
            waiting = [job for job in left.values() if all(one.job is not job for one in running)]
            ready = [job for job in waiting if not any(name in left for name in job.needs)]
            for job in ready[: len(free)]:
                running.append(_start(job, free.pop(0)))
            time.sleep(_POLL_SECONDS)
            for one in [one for one in running if one.process.poll() is not None]:
                running.remove(one)
                free.append(one.slot)
                del left[one.job.name]
                failure = _outcome(one)
                skipped = _dependents(one.job, left) if failure else []
                for job in skipped:
                    del left[job.name]
                failures += [failure, *(Failure(j, None, f"needs {one.job.name}") for j in skipped)] if failure else []
                _tell(one, failure, len(skipped), len(left))
    finally:
        _end(running)
    return failures


def _longest_first(jobs: Sequence[Job]) -> list[Job]:
    """The jobs by how many follow each other behind them; of alike ones the earlier first."""
    behind: dict[str, int] = {}
    for job in reversed(jobs):  # none stands before what it needs
        for name in job.needs:
            behind[name] = max(behind.get(name, 0), behind.get(job.name, 0) + 1)
    return sorted(jobs, key=lambda job: -behind.get(job.name, 0))


def _dependents(job: Job, left: dict[str, Job]) -> list[Job]:
    """All that needs a job, directly or not; a report is made of what there is."""
    lost, found = {job.name}, []
    others = [j for j in left.values() if j.kind != "report"]
    while more := [j for j in others if j.name not in lost and lost & set(j.needs)]:
        lost |= {j.name for j in more}
        found += more
    return found


def _start(job: Job, slot: Slot) -> _Running:
    command = slot.command(job)
    logger.info("%s: started, log in %s", job.name, job.log)
    try:
        job.log.parent.mkdir(parents=True, exist_ok=True)
        with job.log.open("ab") as log:
            said = log.tell()
            # A session of its own: Ctrl-C is for the sweep, which tells its jobs once.
            process = subprocess.Popen(
                command, env=slot.environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
    except OSError as error:
        raise DataError(f"{error.filename or job.log}: {job.name} cannot be started: {error.strerror}") from None
    return _Running(job, slot, process, time.monotonic(), said)


def _outcome(one: _Running) -> Failure | None:
    code = one.process.returncode
    if code == 0 and (one.job.made is None or one.job.is_done()):
        return None
    if code == 0:
        return Failure(one.job, 0, f"left no {one.job.made}")
    return Failure(one.job, code, _last_error(one.job.log.read_bytes()[one.said :]))


def _tell(one: _Running, failure: Failure | None, skipped: int, left: int) -> None:
    took = duration(time.monotonic() - one.started)
    if failure is None:
        logger.info("%s: done in %s; %d left", one.job.name, took, left)
        return
    more = f", {skipped} that need it skipped" if skipped else ""
    logger.error("%s: %s (%s%s; %d left)", one.job.name, failure.reason, ending(failure), more, left)


def ending(failure: Failure) -> str:
    """How a job ended, for people."""
    if failure.code is None:
        return "skipped"
    if failure.code < 0:
        return f"ended by {signal.Signals(-failure.code).name}"
    return f"exit code {failure.code}"


def _last_error(log: bytes) -> str:
    """The last line of a log that says what is wrong; else its last line."""
    lines = [line.strip() for line in log.decode("utf-8", errors="replace").splitlines() if line.strip()]
    errors = [number for number, line in enumerate(lines) if line.startswith("error:")]
    if not errors:
        return lines[-1] if lines else "said nothing"
    problems = lines[errors[-1] :]
    # Of several problems, each in a line below, the first one.
    return " ".join(problems[:2]) if problems[0].endswith("problems:") else problems[0]


def _end(running: Sequence[_Running]) -> None:
    """Tell jobs to leave, and wait for all their processes; told so once more, end them at once."""
    if not running:
        return
    logger.warning("waiting for %s to save and leave", ", ".join(one.job.name for one in running))
    groups = {one.process.pid for one in running}
    try:
        _signal(groups, signal.SIGTERM)
        limit = time.monotonic() + _LEAVE_SECONDS
        while groups & _alive() and time.monotonic() < limit:
            time.sleep(_POLL_SECONDS)
    finally:
        _signal(groups & _alive(), signal.SIGKILL)
        for one in running:
            one.process.wait()


def _signal(groups: set[int], number: signal.Signals) -> None:
    for group in groups:
        try:
            os.killpg(group, number)
        except ProcessLookupError:
            continue


def _alive() -> set[int]:
    """Process groups that have a living process: a launcher may go before its ranks do."""
    groups = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, group = path.read_text(errors="replace").rpartition(")")[2].split()[:3]
        except (OSError, ValueError):  # it ended meanwhile
            continue
        if state not in "ZX":
            groups.add(int(group))
    return groups
