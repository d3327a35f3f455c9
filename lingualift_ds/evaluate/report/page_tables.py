"""The page's tables: means, languages, differences, outputs; each with its dots drawn beside the numbers."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from lingualift_ds.data.codeswitch.page_parts import safe
from lingualift_ds.evaluate.report import wording
from lingualift_ds.evaluate.report.comparison import Delta, Line, Score, TaskComparison
from lingualift_ds.evaluate.report.drawing import SHARE_AXIS, Axis, axis_head, delta_axis, dots, marker
from lingualift_ds.evaluate.report.statistics import Interval

Drawn = tuple[int, float, Interval, str]


def means(comparison: TaskComparison, numbers: Mapping[str, int]) -> str:
    """LR., MR., HR. and Avg., each with its difference below."""
    heads = [_n("n"), _draw(SHARE_AXIS), *_named(comparison.tasks, numbers)]
    rows = []
    for line in comparison.means:
        found = [_score(line.scores[name], line.deltas.get(name)) for name in comparison.tasks]
        rows.append(_row(line, [_n(_sizes(line), "td"), _dots(_scores(line, numbers), SHARE_AXIS), *found]))
    return _table("Mean", heads, rows)


def accuracy(comparison: TaskComparison, numbers: Mapping[str, int]) -> str:
    """Every language's right answers, those of a level together."""
    heads = [_n("n"), _draw(SHARE_AXIS), *_named(comparison.tasks, numbers)]

    def cells(line: Line) -> list[str]:
        drawn = _dots(_scores(line, numbers), SHARE_AXIS)
        return [_n(_sizes(line), "td"), drawn, *(_score(line.scores.get(name)) for name in comparison.tasks)]

    return _table("Language", heads, _grouped(comparison, cells, len(heads) + 1))


def differences(comparison: TaskComparison, numbers: Mapping[str, int]) -> str:
    """How every language differs from the first results."""
    axis = delta_axis([delta.interval for line in comparison.languages for delta in line.deltas.values()])
    heads = [_draw(axis), *_named(comparison.others, numbers)]

    def cells(line: Line) -> list[str]:
        drawn = []
        for name, delta in line.deltas.items():
            low, high = (wording.signed(end) for end in delta.interval)
            told = f"{name}: {wording.starred(delta)} points ({low} to {high})"
            drawn.append((numbers[name], delta.delta, delta.interval, told))
        changed = [_delta(line.deltas.get(name)) for name in comparison.others]
        return [_dots(drawn, axis), *changed] if drawn else []

    note = (
        "Below a difference: how many answers turned wrong and right, and p of McNemar's exact test, after Holm's "
        "correction."
    )
    return _table("Language", heads, _grouped(comparison, cells, len(heads) + 1)) + f'<p class="note">{safe(note)}</p>'


def outputs(comparison: TaskComparison, numbers: Mapping[str, int]) -> str:
    """What the outputs are like: a group of columns for each of the results."""
    keys = wording.share_keys(comparison)
    fertile = any(x.tokens_per_word is not None for task in comparison.tasks.values() for x in task.languages.values())
    width = len(keys) + fertile
    if not width:
        return "<p>Nothing was measured.</p>"
    names = "".join(
        f'<th scope="colgroup" class="first" colspan="{width}">{marker(numbers[name])} {safe(name)}</th>'
        for name in comparison.tasks
    )
    heads = ([_n(wording.SHARES[key]) for key in keys] + [_n("tokens a word")] * fertile) * len(comparison.tasks)

    def cells(line: Line) -> list[str]:
        found = []
        for name in comparison.tasks:
            found += [_n(wording.percent(wording.share_of(comparison, name, line, key)), "td") for key in keys]
            language = comparison.of(name, line)
            tokens = language.tokens_per_word if language else None
            found += [_n("–" if tokens is None else f"{tokens:.2f}", "td")] * fertile
        return found

    rows = _grouped(comparison, cells, len(heads) + 1)
    top = f'<tr><th rowspan="2" scope="col">Language</th>{names}</tr><tr>{"".join(heads)}</tr>'
    return _framed(top, rows, "scores outputs")


def _grouped(comparison: TaskComparison, cells: Callable[[Line], list[str]], width: int) -> list[str]:
    """Rows of languages under their level; a language without cells is left out."""
    rows = []
    for group in comparison.groups:
        found = [(line, cells(line)) for line in group.lines]
        listed = [_row(line, there, f"{comparison.task}-{line.label}") for line, there in found if there]
        head = f'<tr class="level"><th colspan="{width}" scope="rowgroup">{wording.levelled(group.level)}</th></tr>'
        rows += [head, *listed] if listed else []
    return rows


def _scores(line: Line, numbers: Mapping[str, int]) -> list[Drawn]:
    return [
        (numbers[name], score.share, score.interval, f"{name}: {wording.said(score)}")
        for name, score in line.scores.items()
    ]


def _dots(drawn: Sequence[Drawn], axis: Axis) -> str:
    return f'<td class="draw">{dots(drawn, axis)}</td>'


def _sizes(line: Line) -> str:
    return "–".join(f"{size:,}" for size in sorted({score.n for score in line.scores.values()}))


def _score(score: Score | None, delta: Delta | None = None) -> str:
    if score is None:
        return _n("–", "td")
    below = f'<br/><span class="{_tone(delta)}">{wording.starred(delta)}</span>' if delta else ""
    return _n(f"{wording.percent(score.share)} <small>{wording.between(score.interval)}</small>{below}", "td")


def _delta(delta: Delta | None) -> str:
    if delta is None:
        return _n("–", "td")
    below = f"−{delta.lost} +{delta.won}, p {wording.p_value(delta.holm)}"
    return _n(f'<span class="{_tone(delta)}">{wording.starred(delta)}</span><br/><small>{safe(below)}</small>', "td")


def _tone(delta: Delta) -> str:
    return f"change {delta.direction if delta.significant else ''}".strip()


def _named(names: Iterable[str], numbers: Mapping[str, int]) -> list[str]:
    """Heads of a column for each of the results."""
    return [_n(f"{marker(numbers[name])} {safe(name)}") for name in names]


def _row(line: Line, cells: Sequence[str], anchor: str = "") -> str:
    if line.is_mean:
        return (
            f'<tr class="mean"><th scope="row">{line.label} <small>{safe(line.name)}</small></th>{"".join(cells)}</tr>'
        )
    code = "" if line.name == line.label else f" <code>{safe(line.label)}</code>"
    name = f'<a href="#{anchor}">{safe(line.name)}</a>{code}'
    return f'<tr><th scope="row">{name}</th>{"".join(cells)}</tr>'


def _n(text: str, tag: str = "th") -> str:
    """A cell of a number, or the head of such a column."""
    return f'<{tag}{" scope=" + chr(34) + "col" + chr(34) if tag == "th" else ""} class="n">{text}</{tag}>'


def _draw(axis: Axis) -> str:
    return f'<th scope="col" class="draw" aria-label="drawn">{axis_head(axis)}</th>'


def _table(first: str, heads: Sequence[str], rows: Sequence[str]) -> str:
    return _framed(f'<tr><th scope="col">{first}</th>{"".join(heads)}</tr>', rows, "scores")


def _framed(head: str, rows: Sequence[str], kind: str) -> str:
    body = "\n".join(rows)
    return (
        '<div class="wide" tabindex="0" role="group" aria-label="table, scrolls sideways">'
        f'<table class="{kind}"><thead>{head}</thead><tbody>\n{body}\n</tbody></table></div>'
    )
