"""Sentences of a sweep's report: what its numbers are, and what is missing in it."""

from collections.abc import Sequence

from lingualift_ds.evaluate.report.statistics import ALPHA, DRAWS
from lingualift_ds.evaluate.report.sweep.comparison import TaskSweep
from lingualift_ds.evaluate.report.sweep.reading import Sweep

INTERVAL = "95 % intervals over questions, not over seeds"
"""The interval in a figure's few words."""
INTERVALS = (
    "A number is the mean over the seeds' runs; the runs are shown one by one beside it. Intervals are of 95 % and "
    f"cover which questions were asked: bootstrap over questions ({DRAWS // 5:,} draws of a question with all its "
    "languages and seeds together, percentiles; Wilson's for one language of one seed). They do not cover the spread "
    "between seeds, of which so few runs say little: a run with another seed may lie outside."
)
TESTS = (
    "Differences are paired by question and seed, over the seeds that both arms have. * p < "
    f"{ALPHA} after Holm's correction for the arm's number of languages (of means) of the task, by a permutation test "
    f"over questions ({DRAWS:,} draws, all languages and seeds of a question together), and the same direction in "
    "every seed."
)


def gaps(sweep: Sweep) -> list[str]:
    """Cells and arms that are left out."""
    found = []
    if sweep.missing:
        by_arm: dict[str, list[str]] = {}
        for label, seed in sweep.missing:
            by_arm.setdefault(label, []).append(seed)
        count = len(sweep.missing)
        listed = "; ".join(
            f"{label}, seed{'s' * (len(seeds) > 1)} {', '.join(seeds)}" for label, seeds in by_arm.items()
        )
        found.append(f"{count} missing cell{'s' * (count > 1)}, not evaluated yet: {listed}.")
    if sweep.without:
        found.append(f"Left out, because no cell of theirs is evaluated: {'; '.join(sweep.without)}.")
    if sweep.baseline is None and len(sweep.arms) > 1:
        found.append("No differences: there is no baseline, or it is not evaluated yet.")
    return found


def notes(sweep: Sweep, comparison: TaskSweep) -> list[str]:
    """What must be known to read a task's numbers."""
    found = []
    without = [line.label for line in comparison.languages if line.level is None]
    if without:
        found.append(f"Without a resource level, in Avg. alone: {', '.join(without)}.")
    if comparison.apart:
        found.append(f"In no mean, because not all cells have them: {', '.join(comparison.apart)}.")
    lacking = [arm.label for arm in sweep.arms if arm.label not in comparison.cells]
    if lacking:
        found.append(f"Without this task: {'; '.join(lacking)}.")
    if sweep.baseline is not None and comparison.baseline is None:
        found.append(f"No differences: {sweep.baseline} does not have this task.")
    return found


def methods(comparisons: Sequence[TaskSweep]) -> list[str]:
    """How the numbers were made."""
    return [INTERVALS, *([TESTS] if any(comparison.others for comparison in comparisons) else [])]


def worse_title(comparison: TaskSweep, found: Sequence[object]) -> str:
    """The heading of what got worse in a task."""
    way = "Worse" if found else "Nothing got worse"
    return f"{comparison.task}: {way[0].lower() + way[1:]} than {comparison.baseline}"
