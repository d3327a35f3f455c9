"""The report on a sweep as text, for the terminal and as Markdown: what got worse, the arms' means, each seed."""

import textwrap
from collections.abc import Sequence

from lingualift_ds.evaluate.report import wording
from lingualift_ds.evaluate.report.comparison import Line, changes
from lingualift_ds.evaluate.report.sweep import wording as said
from lingualift_ds.evaluate.report.sweep.comparison import TaskSweep
from lingualift_ds.evaluate.report.sweep.reading import Sweep
from lingualift_ds.evaluate.report.text_tables import HARD, WIDTH, Cell, aligned, painter, piped, plain


def to_terminal(sweep: Sweep, comparisons: Sequence[TaskSweep], command: str, colour: bool) -> str:
    """What is missing and got worse, then the arms' means a task. Nothing in it acts on the terminal but its colours.

    Each seed and language is in the files.
    """
    paint, lines = painter(colour), []
    for note in said.gaps(sweep):
        lines += [paint(line, "worse") for line in textwrap.wrap(note, WIDTH)]
    lines += [""] * bool(lines)
    for comparison in comparisons:
        for title, listed in _worse(comparison):
            lines.append(paint(title, "worse" if listed else "strong"))
            for text in listed:
                wrapped = textwrap.wrap(paint(text, ""), WIDTH, initial_indent="  ", subsequent_indent="      ")
                lines += [line.replace(HARD, " ") for line in wrapped]
            lines.append("")
        lines += [paint(f"{comparison.task}: {comparison.metric}, in %", "strong")]
        lines += [*aligned(_means(comparison), paint), ""]
        lines += [*(paint(note, "") for note in said.notes(sweep, comparison)), ""]
    for note in (*said.methods(comparisons), f"Made by: {command}"):
        lines += [paint(line, "faint") for line in textwrap.wrap(note, WIDTH)]
    return "\n".join(lines) + "\n"


def to_markdown(
    sweep: Sweep, comparisons: Sequence[TaskSweep], command: str, pictures: Sequence[tuple[str, str, str]]
) -> str:
    """The same, each seed, the figures (task, title, file) and every language, as Markdown."""
    lines = [f"# Sweep: {plain(sweep.name)}", "", f"Made by: `{command}`", ""]
    lines += [part for note in said.gaps(sweep) for part in (plain(note), "")]
    for comparison in comparisons:
        lines += [f"## {plain(comparison.task)}", "", f"{plain(comparison.metric)}, in %", ""]
        for title, listed in _worse(comparison):
            lines += [f"**{plain(title)}**", "", *(f"- {plain(text)}" for text in listed), *[""] * bool(listed)]
        lines += ["Mean over seeds (interval), difference from the baseline", "", *piped(_means(comparison)), ""]
        lines += ["Each seed", "", *piped(_seeds(comparison)), ""]
        lines += [part for note in said.notes(sweep, comparison) for part in (plain(note), "")]
        for task, title, file in pictures:
            lines += [f"![{plain(title)}]({file})", ""] if task == comparison.task else []
        lines += [
            "Every language: mean over seeds, difference from the baseline",
            "",
            *piped(_languages(comparison)),
            "",
        ]
    lines += [f"{plain(note)}\n" for note in said.methods(comparisons)]
    return "\n".join(lines)


def _worse(comparison: TaskSweep) -> list[tuple[str, list[str]]]:
    """What got worse under its title: lines "LinguaLIFT, significant: en −2.4*, ..."; nothing without a baseline."""
    if not comparison.others:
        return []
    worse = changes([comparison])[0]
    listed = []
    for label in comparison.others:
        for heading, by_arm in wording.split([change for change in worse if change.name == label]):
            found = [change for of_arm in by_arm.values() for change in of_arm]
            texts = [f"{change.line.label}{HARD}{wording.starred(change.delta)}" for change in found]
            listed.append(f"{label}, {heading}: {', '.join(texts)}")
    return [(said.worse_title(comparison, worse), listed)]


def _means(comparison: TaskSweep) -> list[list[Cell]]:
    """Head and rows: an arm with its number of seeds; of each mean the share, its interval and difference."""
    rows = [_head(comparison, ("arm", "seeds"), comparison.columns)]
    for label, seeds in comparison.cells.items():
        row = [(label, "strong" if label == comparison.baseline else ""), (str(len(seeds)), "")]
        for line in comparison.columns:
            text, delta = wording.said(line.scores.get(label)), line.deltas.get(label)
            change = f" {wording.starred(delta):<7}" if delta else " " * 8
            tone = delta.direction if delta and delta.significant else ""
            row.append((f"{text.partition(' ')[0]:>5} {text.partition(' ')[2]:<14}{change}", tone))
        rows.append(row)
    return rows


def _seeds(comparison: TaskSweep) -> list[list[Cell]]:
    """Head and rows: an arm's shares of each seed, and their differences."""
    rows = [_head(comparison, ("arm", "seed"), comparison.columns)]
    for label, seeds in comparison.cells.items():
        for number, seed in enumerate(seeds):
            row = [("" if number else label, ""), (seed, "")]
            for line in comparison.columns:
                score, delta = line.scores.get(label), line.deltas.get(label)
                change = wording.signed(delta.seeds[seed]) if delta and seed in delta.seeds else ""
                row.append((f"{wording.percent(score.seeds.get(seed) if score else None):>5} {change:<6}", ""))
            rows.append(row)
    return rows


def _languages(comparison: TaskSweep) -> list[list[Cell]]:
    rows = [_head(comparison, ("language", "level"), ())]
    rows[0] += [(label, "") for label in comparison.cells]
    for line in comparison.languages:
        row = [(f"{line.name} {line.label}" if line.name != line.label else line.label, ""), (line.level or "–", "")]
        for label in comparison.cells:
            score, delta = line.scores.get(label), line.deltas.get(label)
            row.append(
                (f"{wording.percent(score.share if score else None)} {wording.starred(delta) if delta else ''}", "")
            )
        rows.append(row)
    return rows


def _head(comparison: TaskSweep, first: Sequence[str], lines: Sequence[Line]) -> list[Cell]:
    return [(text, "") for text in (*first, *(line.name if line.label == "en" else line.label for line in lines))]
