"""Means over seeds, with intervals over questions, and differences from the baseline, paired by question and seed.

Answers of an arm are [seeds, questions, languages]. The seeds answer the same questions, so their answers hang
together as a question's languages do. An interval therefore draws questions, each with all its languages and seeds,
and says how the mean of these runs would vary with other questions. It says nothing of other seeds: two or three
runs are too few to tell their spread, so they are shown one by one beside it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from lingualift_ds.evaluate.report import statistics
from lingualift_ds.evaluate.report.comparison import AVERAGE, MEANS, Delta, Line, Score, corrected
from lingualift_ds.evaluate.report.results import LEVELS, TaskResults, name_of
from lingualift_ds.evaluate.report.statistics import Interval
from lingualift_ds.evaluate.report.sweep.reading import Sweep


@dataclass(frozen=True)
class SeedScore(Score):
    """The mean over seeds of a share, and each seed's own; `n` questions a seed."""

    seeds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class SeedDelta(Delta):
    """The mean over seeds of a difference, and each seed's own; `lost` and `won` in all seeds."""

    seeds: Mapping[str, float] = field(default_factory=dict)

    @property
    def significant(self) -> bool:
        """Whether it is more than the choice of questions explains, and every seed says the same."""
        return super().significant and all(delta * self.delta > 0 for delta in self.seeds.values())


@dataclass(frozen=True)
class TaskSweep:
    """A task of all arms that have it.

    Attributes:
        metric: what counts as right. `cells` are its results by the arm's label and the seed.
        baseline: the label that others are held against, None where it lacks the task.
        means: LR., MR., HR. and Avg., as far as there are, of the languages that all cells have.
        languages: every language, by level. `apart` are codes of those that are in no mean.
    """

    task: str
    metric: str
    cells: Mapping[str, Mapping[str, TaskResults]]
    baseline: str | None
    means: tuple[Line, ...]
    languages: tuple[Line, ...]
    apart: tuple[str, ...]

    @property
    def columns(self) -> tuple[Line, ...]:
        """The means, and English."""
        return (*self.means, *(line for line in self.languages if line.label == "en"))

    @property
    def others(self) -> tuple[str, ...]:
        """Labels of the arms that are held against the baseline."""
        return tuple(label for label in self.cells if self.baseline and label != self.baseline)


def compare_sweep(sweep: Sweep) -> list[TaskSweep]:
    """All tasks of a sweep, in the order in which they are met."""
    tasks = dict.fromkeys(task for arm in sweep.arms for one in arm.seeds.values() for task in one.tasks)
    return [_compare(task, sweep) for task in tasks]


def _compare(task: str, sweep: Sweep) -> TaskSweep:
    cells = {
        arm.label: {seed: one.tasks[task] for seed, one in arm.seeds.items() if task in one.tasks} for arm in sweep.arms
    }
    cells = {label: seeds for label, seeds in cells.items() if seeds}
    every = [found for seeds in cells.values() for found in seeds.values()]
    levels = {code: language.level for found in every for code, language in found.languages.items()}
    codes = sorted(levels, key=lambda code: (*LEVELS, None).index(levels[code]))
    common = [code for code in codes if all(code in found.languages for found in every)]
    ids = list(dict.fromkeys(i for found in every for language in found.languages.values() for i in language.rows))
    arms = {
        label: {seed: _answers(found, codes, ids) for seed, found in seeds.items()} for label, seeds in cells.items()
    }
    baseline = sweep.baseline if sweep.baseline in cells else None
    others = [label for label in cells if baseline and label != baseline]

    def line(label: str, name: str, level: str | None, among: Sequence[str]) -> Line:
        columns = [codes.index(code) for code in among]
        there = {arm: _columns(seeds, columns) for arm, seeds in arms.items()}
        there = {arm: seeds for arm, seeds in there.items() if seeds}
        deltas = {arm: _delta(there[baseline], there[arm]) for arm in others if arm in there and baseline in there}
        scores = {arm: _score(seeds) for arm, seeds in there.items()}
        return Line(label, name, level, tuple(among), scores, {arm: d for arm, d in deltas.items() if d})

    means = []
    for level, label in (*MEANS.items(), (None, AVERAGE)):
        among = [code for code in common if level in (None, levels[code])]
        if among:
            what = f"{level}-resource language" if level else "language"
            means.append(line(label, f"{len(among)} {what}{'s' * (len(among) != 1)}", level, among))
    languages = [line(code, name_of(code), levels[code], [code]) for code in codes]
    return TaskSweep(
        task,
        every[0].metric,
        cells,
        baseline,
        tuple(corrected(means, others)),
        tuple(corrected(languages, others)),
        tuple(code for code in codes if code not in common),
    )


def _answers(found: TaskResults, codes: Sequence[str], ids: Sequence[str]) -> np.ndarray:
    """Right and wrong answers, [questions, languages]; NaN where a language lacks the question."""
    array = np.full((len(ids), len(codes)), np.nan)
    for column, code in enumerate(codes):
        rows = found.languages[code].rows if code in found.languages else {}
        array[:, column] = [rows[i].correct if i in rows else np.nan for i in ids]
    return array


def _columns(seeds: Mapping[str, np.ndarray], columns: Sequence[int]) -> dict[str, np.ndarray]:
    """These languages of the seeds that have them all, and the questions that any of these has."""
    found = {seed: answers[:, columns] for seed, answers in seeds.items()}
    found = {seed: answers for seed, answers in found.items() if not np.isnan(answers).all(axis=0).any()}
    return {seed: answers[~np.isnan(answers).all(axis=1)] for seed, answers in found.items()}


def _score(seeds: Mapping[str, np.ndarray]) -> SeedScore:
    shares = {seed: _share(answers) for seed, answers in seeds.items()}
    together = np.mean(list(seeds.values()), axis=0)
    n = int(np.sum(~np.isnan(together)))
    if len(seeds) == 1 and together.shape[1] == 1:  # as a report of these results alone has it
        interval = statistics.wilson(float(np.nansum(together)), n)
    else:
        interval = statistics.mean_interval(together)
    return SeedScore(sum(shares.values()) / len(shares), interval, n, shares)


def _delta(before: Mapping[str, np.ndarray], after: Mapping[str, np.ndarray]) -> SeedDelta | None:
    """The difference over the seeds that both have; None where they share none."""
    common = [seed for seed in before if seed in after]
    if not common:
        return None
    seeds = {seed: _share(after[seed]) - _share(before[seed]) for seed in common}
    left, right = (np.mean([side[seed] for seed in common], axis=0) for side in (before, after))
    lost, won = (sum(int(np.sum(sign * (after[seed] - before[seed]) > 0)) for seed in common) for sign in (-1, 1))
    delta, interval = sum(seeds.values()) / len(seeds), statistics.mean_difference_interval(left, right)
    if interval.low == interval.high:  # every question alike, and drawing shows nothing: as of the questions alone
        size = len(left)
        interval = statistics.paired_interval(max(-delta, 0.0) * size, max(delta, 0.0) * size, size)
    return SeedDelta(delta, Interval(*interval), lost, won, statistics.permutation(left, right), seeds=seeds)


def _share(answers: np.ndarray) -> float:
    """The mean over languages of their shares of right answers."""
    return float(np.nanmean(answers, axis=0).mean())
