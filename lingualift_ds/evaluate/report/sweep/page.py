"""The report on a sweep as one HTML page that opens anywhere, its figures inside it: sweep.html."""

from base64 import b64encode
from collections.abc import Callable, Sequence

from lingualift_ds.data.codeswitch.page_parts import safe
from lingualift_ds.evaluate.report import wording
from lingualift_ds.evaluate.report.comparison import Line, changes
from lingualift_ds.evaluate.report.page import POLICY, document, listed_changes
from lingualift_ds.evaluate.report.sweep import wording as said
from lingualift_ds.evaluate.report.sweep.comparison import SeedDelta, TaskSweep
from lingualift_ds.evaluate.report.sweep.figures import Picture
from lingualift_ds.evaluate.report.sweep.reading import Sweep

STYLE = """\
figure img { max-width: 100%; height: auto; background: #ffffff; border-radius: 4px; padding: .5rem; }
.arms tbody th[scope=row] { font-weight: normal; min-width: 9rem; overflow-wrap: anywhere; }
.arms .mean th[scope=row] { font-weight: 600; }
.arms .level { font-weight: normal; }
"""
_READ = "In a cell: the mean over seeds (its interval); each seed; the difference (its interval); that of each seed."


def to_html(sweep: Sweep, comparisons: Sequence[TaskSweep], command: str, pictures: Sequence[Picture]) -> str:
    """The page; well-formed XML too. Each figure names its file in `data-file`."""
    title = f"Sweep: {safe(sweep.name)}"
    body = [f"<header><h1>{title}</h1><p>Made by: <code>{safe(command)}</code></p></header>", _gaps(sweep)]
    for comparison in comparisons:
        body.append(_section(sweep, comparison, [one for one in pictures if one.task == comparison.task]))
    body += ['<h2 id="methods">How to read this</h2>', *(f"<p>{safe(note)}</p>" for note in said.methods(comparisons))]
    return document(title, body, STYLE, f"{POLICY}; img-src data:")


def picture_files(page: str) -> list[str]:
    """The files of the figures in a page of `to_html`."""
    return [part.partition('"')[0] for part in page.split('<figure data-file="')[1:]]


def _gaps(sweep: Sweep) -> str:
    notes = "".join(f"<p>{safe(note)}</p>" for note in said.gaps(sweep))
    return f'<aside class="warnings" aria-label="missing"><h2>Not whole</h2>{notes}</aside>' if notes else ""


def _section(sweep: Sweep, comparison: TaskSweep, pictures: Sequence[Picture]) -> str:
    """A task: what got worse, figures, arms, languages."""
    notes = [f"{comparison.metric}, {len(comparison.languages)} languages.", *said.notes(sweep, comparison)]
    parts = [
        f'<h2 id="{safe(comparison.task)}">{safe(comparison.task)}</h2>',
        f'<p class="note">{" ".join(map(safe, notes))}</p>',
        _worse(comparison),
        *map(_figure, pictures),
        "<h3>Means over languages and seeds, % right</h3>",
        f'<p class="note">{safe(_READ)}</p>',
        _table(comparison, comparison.columns, "mean"),
        "<h3>Languages, % right, mean over seeds</h3>",
        _table(comparison, comparison.languages, ""),
    ]
    return f"<section>{''.join(parts)}</section>"


def _worse(comparison: TaskSweep) -> str:
    if not comparison.others:
        return ""
    worse = changes([comparison])[0]
    title, parts = safe(said.worse_title(comparison, worse)), []
    for heading, by_arm in wording.split(worse):
        ordered = [found for label in comparison.others for found in by_arm.values() if found[0].name == label]
        lines = "".join(listed_changes(found[0].name, found) for found in ordered)
        parts.append(f"<h3>{heading}</h3>{lines}")
    return f'<aside class="warnings" aria-label="{title}"><h2>{title}</h2>{"".join(parts)}</aside>'


def _figure(picture: Picture) -> str:
    data, alt = b64encode(picture.png).decode(), safe(f"{picture.title}, {picture.task}")
    source = f'src="data:image/png;base64,{data}"'
    return (
        f'<figure data-file="{safe(picture.file)}"><img {source} alt="{alt}; the numbers are in the tables"/></figure>'
    )


def _table(comparison: TaskSweep, lines: Sequence[Line], kind: str) -> str:
    """A row an arm, a column a line; with intervals and seeds in that of means."""
    cell: Callable[[Line, str], str] = _whole if kind else _short
    heads = "".join(f'<th scope="col" class="n">{safe(_head(line))}</th>' for line in lines)
    rows = []
    for label, seeds in comparison.cells.items():
        count = f"<br/><small>seed{'s' * (len(seeds) > 1)} {safe(', '.join(seeds))}</small>"
        strong = ' class="mean"' if label == comparison.baseline else ""
        cells = "".join(f'<td class="n">{cell(line, label)}</td>' for line in lines)
        rows.append(f'<tr{strong}><th scope="row">{safe(label)}{count}</th>{cells}</tr>')
    body = "\n".join(rows)
    return (
        '<div class="wide" tabindex="0" role="group" aria-label="table, scrolls sideways"><table class="arms">'
        f'<thead><tr><th scope="col">Arm</th>{heads}</tr></thead><tbody>\n{body}\n</tbody></table></div>'
    )


def _head(line: Line) -> str:
    return line.label if line.is_mean else f"{line.name} {line.label}" if line.name != line.label else line.label


def _whole(line: Line, label: str) -> str:
    """Share, interval, each seed; the difference, its interval, each seed's."""
    score, delta = line.scores.get(label), line.deltas.get(label)
    if score is None:
        return "–"
    parts = [f"{wording.percent(score.share)} <small>{wording.between(score.interval)}</small>"]
    parts.append(f"<small>{' · '.join(map(wording.percent, score.seeds.values()))}</small>")
    if delta:
        low, high = map(wording.signed, delta.interval)
        parts.append(f"{_toned(delta)} <small>({low} to {high})</small>")
        parts.append(f"<small>{' · '.join(map(wording.signed, delta.seeds.values()))}</small>")
    return "<br/>".join(parts)


def _short(line: Line, label: str) -> str:
    score, delta = line.scores.get(label), line.deltas.get(label)
    if score is None:
        return "–"
    return wording.percent(score.share) + (f"<br/>{_toned(delta)}" if delta else "")


def _toned(delta: SeedDelta) -> str:
    tone = f"change {delta.direction if delta.significant else ''}".strip()
    return f'<span class="{tone}">{wording.starred(delta)}</span>'
