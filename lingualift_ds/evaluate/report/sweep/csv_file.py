"""sweep.csv: a row an arm, seed, task and language. `correct` is a share from 0 to 1."""

from collections.abc import Sequence

from lingualift_ds.evaluate.report.csv_files import csv_text
from lingualift_ds.evaluate.report.sweep.comparison import TaskSweep
from lingualift_ds.evaluate.report.sweep.reading import Sweep

HEADS = "arm seed task language level correct n".split()


def sweep_csv(sweep: Sweep, comparisons: Sequence[TaskSweep]) -> str:
    """All cells; the arm is its key in sweep.json."""
    rows = []
    for arm in sweep.arms:
        for comparison in comparisons:
            for seed, found in comparison.cells.get(arm.label, {}).items():
                for line in comparison.languages:
                    if line.label in found.languages:
                        language = found.languages[line.label]
                        start = [arm.key, seed, comparison.task, line.label, line.level]
                        rows.append([*start, language.correct / language.n, language.n])
    return csv_text(HEADS, rows)
