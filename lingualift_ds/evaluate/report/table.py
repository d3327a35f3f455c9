"""The report as text: tables for the terminal, coloured or not, and as Markdown."""

import textwrap
from collections.abc import Sequence

from lingualift_ds.evaluate.report import wording
from lingualift_ds.evaluate.report.comparison import Change, Line, TaskComparison, changes
from lingualift_ds.evaluate.report.results import Results, name_of
from lingualift_ds.evaluate.report.text_tables import HARD, WIDTH, Cell, aligned, painter, piped, plain


def to_terminal(results: Sequence[Results], comparisons: Sequence[TaskComparison], colour: bool) -> str:
    """What got worse, then a table a task, as text. Nothing in it acts on the terminal but its colours."""
    paint = painter(colour)
    lines = []
    for tone, title, found in _verdicts(results, comparisons):
        lines.append(paint(title, tone if found else "strong"))
        for said, by_results in wording.split(found):
            lines.append(f"  {said}")
            for heading, listed in by_results.items():
                wrapped = textwrap.wrap(
                    paint(f"{heading}: {_listed(listed)}", ""),
                    WIDTH,
                    initial_indent="    ",
                    subsequent_indent="      ",
                )
                lines += [line.replace(HARD, " ") for line in wrapped]
        lines.append("")
    for comparison in comparisons:
        task = next(iter(comparison.tasks.values()))
        lines += [paint(f"{comparison.task}: {task.metric}, in %", "strong"), *aligned(_accuracy(comparison), paint)]
        keys = wording.share_keys(comparison)
        if keys and comparison.means:
            lines += ["", _outputs_title(comparison, keys), *aligned(_mean_outputs(comparison, keys), paint)]
        lines += [*wording.notes(comparison), ""]
    for note in wording.methods(results):
        lines += [paint(line, "faint") for line in textwrap.wrap(note, WIDTH)]
    return "\n".join(lines) + "\n"


def to_markdown(results: Sequence[Results], comparisons: Sequence[TaskComparison]) -> str:
    """The same and the outputs of every language, as Markdown."""
    lines = [f"# Results: {plain(', '.join(one.name for one in results))}", ""]
    for _, title, found in _verdicts(results, comparisons):
        lines += [f"**{plain(title)}**", ""]
        for said, by_results in wording.split(found):
            for heading, listed in by_results.items():
                lines.append(f"- {said}: {plain(heading)}: {plain(_listed(listed))}")
        lines += [""] * bool(found)
    for comparison in comparisons:
        task = next(iter(comparison.tasks.values()))
        lines += [f"## {comparison.task}", "", f"{plain(task.metric)}, in %", "", *piped(_accuracy(comparison)), ""]
        lines += [part for note in wording.notes(comparison) for part in (note, "")]
        keys = wording.share_keys(comparison)
        if keys:
            lines += [_outputs_title(comparison, keys), "", *piped(_outputs(comparison, keys)), ""]
        fertility = _fertility(comparison)
        if len(fertility) > 1:
            lines += ["Encoder tokens per word", "", *piped(fertility), ""]
    lines += [f"{plain(note)}\n" for note in wording.methods(results)]
    return "\n".join(lines)


def _verdicts(results: Sequence[Results], comparisons: Sequence[TaskComparison]) -> list[tuple[str, str, list[Change]]]:
    """(tone, title, changes) of what got worse and better; nothing where nothing was compared."""
    if not any(comparison.others for comparison in comparisons):
        return []
    first = results[0].name
    return [
        (tone, f"{tone.capitalize()} than {first}" if found else f"Nothing got {tone} than {first}", found)
        for tone, found in zip(("worse", "better"), changes(comparisons))
    ]


def _listed(found: Sequence[Change]) -> str:
    return ", ".join(f"{change.line.label}{HARD}{wording.starred(change.delta)}" for change in found)


def _accuracy(comparison: TaskComparison) -> list[list[Cell]]:
    """Head and rows: language, n, and for each results the share, its interval and its difference."""
    rows = [[(head, "") for head in ("", "language", "n", *comparison.tasks)]]
    for line in _lines(comparison):
        sizes = sorted({score.n for score in line.scores.values()})
        row = [*_heads(line), ("–".join(map(str, sizes)), "")]
        for name in comparison.tasks:
            delta = line.deltas.get(name)
            text = wording.said(line.scores.get(name))
            aligned = f"{text.partition(' ')[0]:>5} {text.partition(' ')[2]:<14}"
            change = f" {wording.starred(delta):<7}" if delta else ""
            tone = delta.direction if delta and delta.significant else ""
            row.append((aligned + change, tone))
        rows.append(row)
    return rows


def _outputs_title(comparison: TaskComparison, keys: Sequence[str]) -> str:
    return f"{comparison.task}: outputs in %, {' / '.join(wording.SHARES[key] for key in keys)}"


def _outputs(comparison: TaskComparison, keys: Sequence[str]) -> list[list[Cell]]:
    """Head and rows: shares of the outputs of every language, a column for each results."""
    rows = [[("", ""), ("language", ""), *((name, "") for name in comparison.tasks)]]
    for line in _lines(comparison):
        rows.append([*_heads(line), *(_shares(comparison, name, line, keys) for name in comparison.tasks)])
    return rows


def _mean_outputs(comparison: TaskComparison, keys: Sequence[str]) -> list[list[Cell]]:
    """Head and rows: shares of outputs, a row for each results and a column for each mean."""
    rows = [[(head, "") for head in ("", *(line.label for line in comparison.means))]]
    for name in comparison.tasks:
        rows.append([(name, ""), *(_shares(comparison, name, line, keys) for line in comparison.means)])
    return rows


def _shares(comparison: TaskComparison, name: str, line: Line, keys: Sequence[str]) -> Cell:
    shares = [wording.percent(wording.share_of(comparison, name, line, key)) for key in keys]
    return " / ".join(f"{share:>5}" for share in shares), ""


def _fertility(comparison: TaskComparison) -> list[list[Cell]]:
    rows = [[("", ""), ("language", ""), *((name, "") for name in comparison.tasks)]]
    for line in comparison.languages:
        found = [comparison.of(name, line) for name in comparison.tasks]
        values = [language.tokens_per_word if language else None for language in found]
        if any(value is not None for value in values):
            rows.append([*_heads(line), *(("–" if value is None else f"{value:.2f}", "") for value in values)])
    return rows


def _lines(comparison: TaskComparison) -> list[Line]:
    """Every group's languages and their mean, and the mean of all."""
    found = []
    for group in comparison.groups:
        found += [*group.lines, group.mean]
    return [line for line in (*found, comparison.average) if line]


def _heads(line: Line) -> list[Cell]:
    tone = "strong" if line.is_mean else ""
    name = line.name if line.is_mean else name_of(line.label)
    return [(line.label, tone), (name, tone)]
