"""Numbers and sentences as every form of the report says them."""

from collections.abc import Sequence

from lingualift_ds.evaluate.report.comparison import Change, Delta, Line, Score, TaskComparison
from lingualift_ds.evaluate.report.results import Results
from lingualift_ds.evaluate.report.statistics import ALPHA, DRAWS, Interval

SHARES = {
    "truncated": "cut off",
    "no_answer": "no answer",
    "wrong_language": "wrong language",
    "right_object": "right object",
}
"""Shares of a language's outputs, and how they are called."""

NOT_SIGNIFICANT = "not significant"

INTERVALS = (
    "In brackets: 95 % intervals; of a language Wilson's, of a mean over languages by bootstrap over questions "
    f"({DRAWS // 5:,} draws of all languages of a question together, seed 0, percentiles)."
)
TESTS = (
    f"Differences are paired by question. * p < {ALPHA} after Holm's correction: of a language McNemar's exact test, "
    "corrected for the number of languages of the task; of a mean a paired permutation test "
    f"({DRAWS:,} draws, seed 0), corrected for the number of means."
)
OUTPUTS = (
    "Cut off: ended by the limit of new tokens. No answer: nothing that could be read as one. Wrong language: in "
    "another than English, of those whose language could be told."
)


def methods(results: Sequence[Results]) -> list[str]:
    """How the numbers were made, what the outputs' shares mean, and which settings were not the same."""
    if len(results) == 1:
        return [INTERVALS, OUTPUTS]
    found = [INTERVALS, TESTS, OUTPUTS]
    for key in dict.fromkeys(key for one in results for key in one.settings if key != "batch_size"):
        values = [str(one.settings.get(key)) for one in results]
        if len(set(values)) > 1:
            found.append(f"Not asked alike: {key} is {', '.join(values)}.")
    return found


def percent(share: float | None) -> str:
    """A share as 64.5, without the sign; – where there is none."""
    return "–" if share is None else f"{100 * share:.1f}"


def signed(delta: float) -> str:
    """A difference of shares in points: +6.7, −3.2, 0.0."""
    points = round(100 * delta, 1)
    return f"{points:+.1f}".replace("-", "−") if points else "0.0"


def starred(delta: Delta) -> str:
    """A difference with the star of a significant one."""
    return signed(delta.delta) + ("*" if delta.significant else "")


def between(interval: Interval) -> str:
    """An interval of shares: (58.4–70.1)."""
    return f"({percent(interval.low)}–{percent(interval.high)})"


def p_value(p: float) -> str:
    """A p-value to three places."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def said(score: Score | None) -> str:
    """A score with its interval."""
    return f"{percent(score.share)} {between(score.interval)}" if score else "–"


def levelled(level: str | None) -> str:
    """What a group of languages is called."""
    return f"{level}-resource" if level else "no level"


def share_keys(comparison: TaskComparison) -> list[str]:
    """Which of SHARES some results have of this task."""
    found = [language for task in comparison.tasks.values() for language in task.languages.values()]
    return [key for key in SHARES if any(getattr(language, key) is not None for language in found)]


def share_of(comparison: TaskComparison, name: str, line: Line, key: str) -> float | None:
    """A share of a language's outputs; of a mean, the mean of its languages'. None where one is not known."""
    languages = comparison.tasks[name].languages
    shares = [getattr(languages[code], key) if code in languages else None for code in line.languages]
    return None if None in shares else sum(shares) / len(shares)


def together(changes: Sequence[Change]) -> dict[str, list[Change]]:
    """Changes by the results and the task that they are of: "lift, mgsm"."""
    found: dict[str, list[Change]] = {}
    for change in changes:
        found.setdefault(f"{change.name}, {change.task}", []).append(change)
    return found


def split(changes: Sequence[Change]) -> list[tuple[str, dict[str, list[Change]]]]:
    """Changes that are significant and those that are not, each under their heading and `together`."""
    parts = (("significant", True), (NOT_SIGNIFICANT, False))
    found = [(said, together([c for c in changes if c.delta.significant is is_so])) for said, is_so in parts]
    return [(said, by_results) for said, by_results in found if by_results]


def notes(comparison: TaskComparison) -> list[str]:
    """What must be known to read a task's numbers."""
    found = []
    without = [line.label for group in comparison.groups if group.level is None for line in group.lines]
    if without:
        counted = "" if all(code in comparison.apart for code in without) else "; in Avg. alone"
        found.append(f"Without a resource level: {', '.join(without)}{counted}.")
    if comparison.apart:
        found.append(f"In no mean, because not all results have them: {', '.join(comparison.apart)}.")
    if comparison.first is None and len(comparison.tasks) > 1:
        found.append("No differences: the first results do not have this task.")
    return found
