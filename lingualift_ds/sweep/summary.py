"""What a sweep is and what came of it, as text for people."""

import shlex
import sys
from collections import Counter
from collections.abc import Sequence

from lingualift_ds.sweep.cells import Cell
from lingualift_ds.sweep.devices import Slot
from lingualift_ds.sweep.plan import Job, Plan
from lingualift_ds.sweep.schedule import Failure, ending

_MODULE = "lingualift_ds.cli.main"
_KINDS = {
    "miniature": ("miniature", "miniatures"),
    "stage": ("stage", "stages"),
    "evaluation": ("evaluation", "evaluations"),
    "report": ("report", "reports"),
}


def describe(plan: Plan, jobs: Sequence[Job]) -> str:
    """Arms, what they share, and how much there is to do. `jobs` are those that are still to run."""
    sweep = plan.sweep
    of_first = [cell for cell in plan.cells if cell.seed == sweep.config.seeds[0]]
    numbers = sorted({stage.number for cell in of_first for stage in cell.stages})
    rows = [["arm", "called", *(f"stage {number}" for number in numbers), "evaluated"]]
    for cell in of_first:
        owners = {run.stage.number: run.owner for run in plan.runs[cell.folder]}
        stages = [_of(cell, owners[number], "trained") if number in owners else "-" for number in numbers]
        judged = _of(cell, plan.evaluated[cell.folder], f"after stage {cell.last}")
        rows.append([cell.arm.key, sweep.called(cell.arm), *stages, judged])
    seeds = sweep.config.seeds
    stated = sum(len(cell.stages) for cell in plan.cells)
    runs = sum(job.kind == "stage" for job in plan.jobs.values())
    told = f"s {', '.join(map(str, seeds))}: {len(plan.cells)} cells" if len(seeds) > 1 else f" {seeds[0]}"
    return (
        f"{sweep.output}: {len(sweep.arms)} arms at seed{told}\n\n{_table(rows)}\n"
        f"{stated} stages in all cells, of which {runs} are trained and {stated - runs} shared\n"
        f"jobs left: {counted(jobs) or 'none'}\n"
    )


def counted(jobs: Sequence[Job]) -> str:
    """How many jobs of each kind."""
    kinds = Counter(job.kind for job in jobs)
    return ", ".join(f"{count} {_KINDS[kind][count > 1]}" for kind, count in kinds.items())


def commands(jobs: Sequence[Job], slot: Slot) -> str:
    """Every job, what it waits for, and its command line, as one types it in this environment."""
    here, text = {job.name for job in jobs}, ""
    gpus = f"CUDA_VISIBLE_DEVICES={','.join(slot.gpus)} " if slot.gpus else ""
    for job in jobs:
        needs = [name for name in job.needs if name in here]
        more = f" and {len(needs) - 1} more" if len(needs) > 1 else ""
        after = f", after {needs[0]}{more}" if needs else ""
        command = f"{shlex.join(slot.command(job))}\n".replace(f"{sys.executable} -m {_MODULE} ", "lingualift-ds ")
        text += f"\n{job.name}{after}\n    {gpus}{command.replace(f'{sys.executable} ', 'python ', 1)}"
    return text


def failed(failures: Sequence[Failure], jobs: int) -> str:
    """The table of what failed and what was skipped, of so many jobs."""
    wrong = sum(failure.code is not None for failure in failures)
    rows = [[f.job.name, ending(f), f.reason if f.code is None else f"{f.job.log}: {f.reason}"] for f in failures]
    skipped = f", {len(failures) - wrong} that need them were skipped" if len(failures) > wrong else ""
    return f"\n{wrong} of {jobs} jobs failed{skipped}; start the same command again to go on\n\n{_table(rows)}"


def _of(cell: Cell, owner: Cell, own: str) -> str:
    return own if owner.folder == cell.folder else f"as {owner.arm.key}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "".join("  ".join(word.ljust(w) for word, w in zip(row, widths)).rstrip() + "\n" for row in rows)
