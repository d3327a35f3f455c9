"""The numbers as CSV, a row a fact: results.csv, means.csv, deltas.csv. Shares are from 0 to 1."""

import csv
import io
from collections.abc import Iterable, Sequence

from lingualift_ds.evaluate.report import wording
from lingualift_ds.evaluate.report.comparison import TaskComparison, changes

RESULTS = "name task language level n correct ci_low ci_high truncated no_answer wrong_language right_object".split()
MEANS = "name task mean languages n correct ci_low ci_high".split()
DELTAS = "name against task kind language level n delta ci_low ci_high lost won p p_holm significant".split()


def results_csv(comparisons: Sequence[TaskComparison]) -> str:
    """A row for each of the results, task and language."""
    rows = []
    for comparison in comparisons:
        for name in comparison.tasks:
            for line in comparison.languages:
                if name not in line.scores:
                    continue
                score, found = line.scores[name], comparison.of(name, line)
                shares = [getattr(found, key) for key in wording.SHARES]
                start = [name, comparison.task, line.label, line.level, score.n, score.share, *score.interval]
                rows.append([*start, *shares, found.tokens_per_word])
    return csv_text([*RESULTS, "tokens_per_word"], rows)


def means_csv(comparisons: Sequence[TaskComparison]) -> str:
    """A row for each of the results, task and mean."""
    rows = []
    for comparison in comparisons:
        for line in comparison.means:
            for name, score in line.scores.items():
                languages = " ".join(line.languages)
                rows.append([name, comparison.task, line.label, languages, score.n, score.share, *score.interval])
    return csv_text(MEANS, rows)


def deltas_csv(comparisons: Sequence[TaskComparison]) -> str:
    """A row for each difference from the first results: what got worse, what got better, what stayed."""
    first = {comparison.task: comparison.first for comparison in comparisons}
    rows = []
    for found in changes(comparisons):
        for change in found:
            line, delta = change.line, change.delta
            kind = "mean" if line.is_mean else "language"
            start = [change.name, first[change.task], change.task, kind, line.label, line.level]
            counts = [line.scores[change.name].n, delta.delta, *delta.interval, delta.lost, delta.won]
            rows.append([*start, *counts, delta.p, delta.holm, str(delta.significant).lower()])
    return csv_text(DELTAS, rows)


def csv_text(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A head and rows as CSV, floats to six digits."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(heads)
    writer.writerows([f"{cell:.6g}" if isinstance(cell, float) else cell for cell in row] for row in rows)
    return written.getvalue()
