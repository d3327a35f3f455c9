"""The report as one HTML page that opens anywhere: no script, nothing fetched, light, dark and print.

What got worse stands first. Numbers are in tables, and drawn beside them; each of the results has a marker of its
own, so nothing hangs on colour.
"""

from collections.abc import Iterable, Mapping, Sequence

from lingualift_ds.data.codeswitch.page_parts import STYLE as SHARED_STYLE
from lingualift_ds.data.codeswitch.page_parts import fold, row, safe, table
from lingualift_ds.evaluate.report import wording
from lingualift_ds.evaluate.report.comparison import Change, Line, TaskComparison, changes
from lingualift_ds.evaluate.report.drawing import marker, markers, scatter
from lingualift_ds.evaluate.report.examples import examples
from lingualift_ds.evaluate.report.fertility import panels
from lingualift_ds.evaluate.report.page_tables import accuracy, differences, means, outputs
from lingualift_ds.evaluate.report.results import Results
from lingualift_ds.evaluate.report.style import STYLE

GENERATOR = '<meta name="generator" content="lingualift-ds report"/>'
"""By which a page of this command is known."""
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""Forbids the browser what escaping prevents already: to run or to fetch what the outputs name."""


def to_html(results: Sequence[Results], comparisons: Sequence[TaskComparison]) -> str:
    """The page of all results. It is well-formed XML too."""
    numbers = {one.name: number for number, one in enumerate(results)}
    title = f"Results: {safe(', '.join(numbers))}"
    body = [
        markers(),
        f"<header><h1>{title}</h1></header>",
        _verdicts(results, comparisons),
        _results(results, numbers),
        _contents(comparisons),
        *(_section(comparison, numbers) for comparison in comparisons),
        '<h2 id="methods">How to read this</h2>',
        *(f"<p>{safe(note)}</p>" for note in wording.methods(results)),
        '<h2 id="made-from">Made from</h2>',
        _made_from(results, numbers),
    ]
    return document(title, body)


def document(title: str, body: Iterable[str], style: str = "", policy: str = POLICY) -> str:
    """A page of parts, those that are empty left out; `style` is added to that of all reports."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}"/>\n{GENERATOR}\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        f"<title>{title}</title>\n<style>\n{SHARED_STYLE}{STYLE}{style}</style>\n</head>\n"
        "<body>\n<main>\n" + "\n".join(part for part in body if part) + "\n</main>\n</body>\n</html>\n"
    )


def _verdicts(results: Sequence[Results], comparisons: Sequence[TaskComparison]) -> str:
    """What got worse, then what got better; nothing where nothing was compared."""
    if not any(comparison.others for comparison in comparisons):
        return ""
    worse, better, _ = changes(comparisons)
    boxes = []
    for kind, way, found in (("warnings", "worse", worse), ("gains", "better", better)):
        first = safe(results[0].name)
        title = f"{way.capitalize()} than {first}" if found else f"Nothing got {way} than {first}"
        parts = []
        for said, by_results in wording.split(found):
            lines = "".join(listed_changes(heading, listed) for heading, listed in by_results.items())
            minor = way == "better" and said == wording.NOT_SIGNIFICANT
            parts.append(fold(said, lines) if minor else f"<h3>{said}</h3>{lines}")
        boxes.append(f'<aside class="{kind}" aria-label="{title}"><h2>{title}</h2>{"".join(parts)}</aside>')
    return "\n".join(boxes)


def listed_changes(heading: str, found: Sequence[Change]) -> str:
    """A paragraph of changes under their heading."""
    said = [f'<span class="change">{_short(c.line)} {wording.starred(c.delta)}</span>' for c in found]
    return f'<p><span class="results-of">{safe(heading)}</span>{" ".join(said)}</p>'


def _short(line: Line) -> str:
    return f"<b>{safe(line.label)}</b>" if line.is_mean else f"{safe(line.name)} <code>{safe(line.label)}</code>"


def _results(results: Sequence[Results], numbers: Mapping[str, int]) -> str:
    """The key to the markers."""
    items = []
    for one in results:
        first = " (the first: others are held against it)" if len(results) > 1 and not numbers[one.name] else ""
        name = f"{marker(numbers[one.name])} <b>{safe(one.name)}</b>"
        items.append(f"<li>{name}{first} <code>{safe(one.model)}</code></li>")
    return f'<ul class="results" aria-label="Results">{"".join(items)}</ul>'


def _contents(comparisons: Sequence[TaskComparison]) -> str:
    links = [f'<a href="#{safe(comparison.task)}">{safe(comparison.task)}</a>' for comparison in comparisons]
    links += ['<a href="#methods">How to read this</a>', '<a href="#made-from">Made from</a>']
    return f'<nav aria-label="Contents">{"".join(links)}</nav>'


def _section(comparison: TaskComparison, numbers: Mapping[str, int]) -> str:
    """A task: means, languages, differences, fertility, outputs, examples."""
    task = next(iter(comparison.tasks.values()))
    count = len(comparison.languages)
    said = [f"{task.metric} ({task.kind}), {count} language{'s' * (count != 1)}.", *wording.notes(comparison)]
    parts = [
        f'<h2 id="{safe(comparison.task)}">{safe(comparison.task)}</h2>',
        f'<p class="note">{" ".join(map(safe, said))}</p>',
        f"<h3>Means over languages, % right</h3>{means(comparison, numbers)}" if comparison.means else "",
        f"<h3>Languages, % right</h3>{accuracy(comparison, numbers)}",
    ]
    if comparison.others:
        parts.append(f"<h3>Differences from {safe(comparison.first)}, points</h3>{differences(comparison, numbers)}")
    parts += [_fertility(comparison, numbers), f"<h3>Outputs, %</h3>{outputs(comparison, numbers)}"]
    folded = [examples(comparison, line, numbers, f"{comparison.task}-{line.label}") for line in comparison.languages]
    parts.append(f'<h3>Examples</h3><div class="examples">{"".join(folded)}</div>')
    return f"<section>{''.join(parts)}</section>"


def _fertility(comparison: TaskComparison, numbers: Mapping[str, int]) -> str:
    shown = panels(comparison)
    if not shown:
        return ""
    figures = []
    for panel in shown:
        number = numbers[panel.name]
        correlation = "" if panel.correlation is None else f": rank correlation {_number(panel.correlation)}"
        caption = f"<figcaption>{marker(number)} {safe(panel.name)}{correlation}</figcaption>"
        figures.append(f"<figure>{caption}{scatter(panel, number, shown)}</figure>")
    without = [name for name in comparison.tasks if name not in {panel.name for panel in shown}]
    uncounted = sorted({code for panel in shown for code in panel.uncounted})
    said = ["Filled: low-resource; tinted: medium; hollow: high; dashed: no level."]
    said += [f"No encoder: {', '.join(without)}."] if without else []
    said += [f"Left out, their words not being counted: {', '.join(uncounted)}."] if uncounted else []
    note = f'<p class="note">{safe(" ".join(said))}</p>'
    return f'<h3>Right answers against the encoder\'s fertility</h3><div class="panels">{"".join(figures)}</div>{note}'


def _number(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _made_from(results: Sequence[Results], numbers: Mapping[str, int]) -> str:
    """Folders, models, versions and settings: a row each, a column for each of the results."""
    facts: dict[str, list[str]] = {"folder": [], "model": [], "created": []}
    for one in results:
        stated = {"folder": one.folder, "model": one.model, "created": one.created, **one.settings, **one.versions}
        for key in stated:
            facts.setdefault(str(key), [])
    for one in results:
        stated = {"folder": one.folder, "model": one.model, "created": one.created, **one.settings, **one.versions}
        for key, values in facts.items():
            values.append("–" if stated.get(key) is None else str(stated[key]))
    rows = []
    for key, values in facts.items():
        differ = " ≠" if key not in ("folder", "model", "created") and len(set(values)) > 1 else ""
        rows.append(row(safe(key.replace("_", " ")) + differ, [safe(value) for value in values]))
    heads = ["", *(f"{marker(numbers[one.name])} {safe(one.name)}" for one in results)]
    note = '<p class="note">≠: not the same in all results.</p>' if len(results) > 1 else ""
    return table(heads, rows, kind="settings") + note
