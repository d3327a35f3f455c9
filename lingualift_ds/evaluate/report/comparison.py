"""What the rows say: accuracy per language, means as the paper's, differences from the first results, what got worse.

The paper's means (arXiv 2412.12499) are over languages: LR. of those of low, MR. of medium, HR. of high resource,
Avg. of all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from lingualift_ds.evaluate.report import statistics
from lingualift_ds.evaluate.report.results import LEVELS, LanguageResults, Results, TaskResults, name_of
from lingualift_ds.evaluate.report.statistics import ALPHA, Interval

MEANS = {"low": "LR.", "medium": "MR.", "high": "HR."}
"""What the paper calls the mean of a level."""
AVERAGE = "Avg."
_LEAST = 1e-9
"""Differences of means below it are of the arithmetic, not of the answers."""


@dataclass(frozen=True)
class Score:
    """A share of right answers with its 95 % interval; `n` questions, of all its languages together."""

    share: float
    interval: Interval
    n: int


@dataclass(frozen=True)
class Delta:
    """How much a share changed against the first results, paired by question.

    Attributes:
        lost: answers that turned wrong; `won`: that turned right. Of a mean: in all its languages.
        p: two-sided; exact McNemar of a language, paired permutation of a mean.
        holm: p corrected for the number of languages (of a mean: of means) of this task and these results.
    """

    delta: float
    interval: Interval
    lost: int
    won: int
    p: float
    holm: float = 1.0

    @property
    def significant(self) -> bool:
        """Whether it is more than chance explains."""
        return self.holm < ALPHA

    @property
    def direction(self) -> str:
        """`worse`, `better`, or nothing where it is the same."""
        return "worse" if self.delta < -_LEAST else "better" if self.delta > _LEAST else ""


@dataclass(frozen=True)
class Line:
    """A language, or a mean of some: scores and differences by the name of the results."""

    label: str
    name: str
    level: str | None
    languages: tuple[str, ...]
    scores: Mapping[str, Score]
    deltas: Mapping[str, Delta] = field(default_factory=dict)

    @property
    def is_mean(self) -> bool:
        """Whether it is LR., MR., HR. or Avg."""
        return self.label in (*MEANS.values(), AVERAGE)


@dataclass(frozen=True)
class Group:
    """Languages of a level, those that the first results are best at first; `mean` is None where there is none."""

    level: str | None
    lines: tuple[Line, ...]
    mean: Line | None


@dataclass(frozen=True)
class TaskComparison:
    """A task of all results that have it.

    Attributes:
        task: its name. `tasks` are its results by name, in the order given; `first` names what others are held
            against, None where the first results lack the task or are alone.
        average: the mean of all languages. `apart`: languages that are in no mean, because some results lack them.
    """

    task: str
    tasks: Mapping[str, TaskResults]
    first: str | None
    groups: tuple[Group, ...]
    average: Line | None
    apart: tuple[str, ...]

    @property
    def means(self) -> tuple[Line, ...]:
        """LR., MR., HR. and Avg., as far as there are."""
        return tuple(line for line in (*(group.mean for group in self.groups), self.average) if line)

    @property
    def languages(self) -> tuple[Line, ...]:
        """The languages of all groups."""
        return tuple(line for group in self.groups for line in group.lines)

    @property
    def others(self) -> tuple[str, ...]:
        """Names of the results that are held against the first."""
        return tuple(name for name in self.tasks if self.first and name != self.first)

    def of(self, name: str, line: Line) -> LanguageResults | None:
        """A language's results, None where these lack it."""
        return self.tasks[name].languages.get(line.label)


@dataclass(frozen=True)
class Change:
    """A line that differs from the first results."""

    name: str
    task: str
    line: Line
    delta: Delta


class Compared(Protocol):
    """A task whose lines may differ from the first results."""

    @property
    def task(self) -> str:
        """Its name."""

    @property
    def means(self) -> tuple[Line, ...]:
        """LR., MR., HR. and Avg., as far as there are."""

    @property
    def languages(self) -> tuple[Line, ...]:
        """The languages."""


def compare(results: Sequence[Results]) -> list[TaskComparison]:
    """All tasks of all results, in the order in which they are met."""
    names = dict.fromkeys(task for one in results for task in one.tasks)
    return [_compare(task, results) for task in names]


def changes(comparisons: Sequence[Compared]) -> tuple[list[Change], list[Change], list[Change]]:
    """What got worse, got better, stayed as in the first results: significant ones first, then by size."""
    found = [
        Change(name, comparison.task, line, line.deltas[name])
        for comparison in comparisons
        for line in (*comparison.means, *comparison.languages)
        for name in line.deltas
    ]
    found.sort(key=lambda change: (not change.delta.significant, -abs(change.delta.delta)))
    worse, better = ([c for c in found if c.delta.direction == way] for way in ("worse", "better"))
    return worse, better, [c for c in found if not c.delta.direction]


def _compare(task: str, results: Sequence[Results]) -> TaskComparison:
    tasks = {one.name: one.tasks[task] for one in results if task in one.tasks}
    first = results[0].name if len(tasks) > 1 and results[0].name in tasks else None
    others = [name for name in tasks if first and name != first]
    levels = {code: language.level for found in tasks.values() for code, language in found.languages.items()}
    common = [code for code in levels if all(code in found.languages for found in tasks.values())]
    languages = corrected([_language(code, levels[code], tasks, first) for code in levels], others)
    of_level = {level: [code for code in common if levels[code] == level] for level in LEVELS}
    means = [_mean(MEANS[level], level, codes, tasks, first) for level, codes in of_level.items() if codes]
    means += [_mean(AVERAGE, None, common, tasks, first)] if common else []
    by_label = {line.label: line for line in corrected(means, others)}
    lead = next(iter(tasks))
    groups = []
    for level in (*LEVELS, None):
        lines = [line for line in languages if line.level == level]
        lines.sort(key=lambda line: (lead not in line.scores, -_share(line, lead), line.label))
        if lines:
            groups.append(Group(level, tuple(lines), by_label.get(MEANS.get(level, ""))))
    apart = tuple(code for code in levels if code not in common)
    return TaskComparison(task, tasks, first, tuple(groups), by_label.get(AVERAGE), apart)


def _share(line: Line, name: str) -> float:
    return line.scores[name].share if name in line.scores else 0.0


def _language(code: str, level: str | None, tasks: Mapping[str, TaskResults], first: str | None) -> Line:
    there = {name: task.languages[code] for name, task in tasks.items() if code in task.languages}
    scores = {name: Score(x.correct / x.n, statistics.wilson(x.correct, x.n), x.n) for name, x in there.items()}
    deltas = {}
    if first in there:
        before = there[first].rows
        for name, found in there.items():
            if name == first:
                continue
            lost = sum(row.correct and not found.rows[i].correct for i, row in before.items())
            won = sum(not row.correct and found.rows[i].correct for i, row in before.items())
            interval = statistics.paired_interval(lost, won, found.n)
            p = statistics.mcnemar(lost, won)
            deltas[name] = Delta((won - lost) / found.n, interval, lost, won, p)
    return Line(code, name_of(code), level, (code,), scores, deltas)


def _mean(
    label: str, level: str | None, codes: Sequence[str], tasks: Mapping[str, TaskResults], first: str | None
) -> Line:
    what = f"{len(codes)} {level + '-resource ' if level else ''}language{'s' if len(codes) != 1 else ''}"
    if len(codes) == 1:  # its numbers are those of the language, not others by another method
        return replace(_language(codes[0], level, tasks, first), label=label, name=what)
    ids = list(dict.fromkeys(i for task in tasks.values() for code in codes for i in task.languages[code].rows))
    answers = {name: _answers([task.languages[code] for code in codes], ids) for name, task in tasks.items()}
    scores = {
        name: Score(
            sum(tasks[name].languages[c].correct / tasks[name].languages[c].n for c in codes) / len(codes),
            statistics.mean_interval(array),
            sum(tasks[name].languages[c].n for c in codes),
        )
        for name, array in answers.items()
    }
    deltas = {}
    for name in tasks if first else ():
        if name != first:
            before, after = answers[first], answers[name]
            deltas[name] = Delta(
                scores[name].share - scores[first].share,
                statistics.mean_difference_interval(before, after),
                int(np.sum(before > after)),
                int(np.sum(before < after)),
                statistics.permutation(before, after),
            )
    return Line(label, what, level, tuple(codes), scores, deltas)


def _answers(languages: Sequence[LanguageResults], ids: Sequence[str]) -> np.ndarray:
    """Right and wrong answers, [questions, languages]; NaN where a language does not have the question."""
    array = np.full((len(ids), len(languages)), np.nan)
    for column, language in enumerate(languages):
        for number, i in enumerate(ids):
            if i in language.rows:
                array[number, column] = language.rows[i].correct
    return array


def corrected(lines: Sequence[Line], names: Sequence[str]) -> list[Line]:
    """The lines with Holm's correction of the p-values of each of the results `names`."""
    deltas = [dict(line.deltas) for line in lines]
    for name in names:
        of_name = [found for found in deltas if name in found]
        for found, p in zip(of_name, statistics.holm([found[name].p for found in of_name])):
            found[name] = replace(found[name], holm=p)
    return [replace(line, deltas=found) for line, found in zip(lines, deltas)]
