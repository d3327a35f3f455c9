"""What the report's page is built of: text made harmless, tables, underlined words, a histogram, and how all looks.

All is inline and well-formed: a page needs no other file, and an XML parser can read it too.
"""

import math
from collections.abc import Iterable, Sequence
from html import escape

from lingualift_ds.data.codeswitch.marked import parts, visible

_HEIGHT, _BAR, _GAP, _LEFT, _TOP = 150, 22, 4, 64, 14
"""Of the histogram, in pixels."""


def safe(text: object) -> str:
    """Any text as the page may hold it, in quotation marks too."""
    return escape(visible(str(text)))


def table(heads: Iterable[str], rows: Iterable[str], numbers: Sequence[int] = (), kind: str = "") -> str:
    """A table of rows made by `row`; the columns `numbers` are on the right."""
    cells = [f'<th scope="col"{_NUMBER if i in numbers else ""}>{head}</th>' for i, head in enumerate(heads)]
    style = f' class="{kind}"' if kind else ""
    head, body = "".join(cells), "\n".join(rows)
    return f'<div class="wide"><table{style}><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>'


_NUMBER = ' class="n"'


def row(name: str, cells: Iterable[str], numbers: Sequence[int] = ()) -> str:
    """A row of HTML under its name; the columns `numbers` (the name is column 0) are on the right."""
    rest = "".join(f"<td{_NUMBER if i in numbers else ''}>{cell}</td>" for i, cell in enumerate(cells, 1))
    return f'<tr><th scope="row">{name}</th>{rest}</tr>'


def bar(share: float) -> str:
    """A share as a number with a bar under it."""
    return f'{share:.1%}<span class="bar"><i style="width:{min(share, 1):.1%}"></i></span>'


def fold(summary: str, content: str, unfolded: bool = False) -> str:
    """What unfolds under a line."""
    opened = ' open="open"' if unfolded else ""
    return f"<details{opened}><summary>{summary}</summary>{content}</details>"


def marked(text: str, spans: Sequence[Sequence[int]], kind: str, languages: Sequence[str], hints: Sequence[str]) -> str:
    """A text with its spans underlined, isolated from the direction of the rest, and a hint on each."""
    found = []
    for part, number in parts(text, spans):
        if number is None:
            found.append(safe(part))
            continue
        language, hint = safe(languages[number].replace("_", "-")), safe(hints[number])
        found.append(f'<mark class="{kind}" title="{hint}"><bdi lang="{language}">{safe(part)}</bdi></mark>')
    return "".join(found)


def histogram(edges: Sequence[float], counts: Sequence[int], label: str) -> str:
    """Counts by bin as SVG; `edges` are the upper ends of the bins. The first bin, of none at all, stands apart."""
    step = _step(max(counts))
    top = step * max(math.ceil(max(counts) / step), 1)
    base, right = _TOP + _HEIGHT, _place(len(counts))
    drawn = []
    for value in range(0, top + 1, step):
        y = base - _HEIGHT * value / top
        drawn.append(f'<line class="grid" x1="{_LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}"/>')
        drawn.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:,}</text>')
    for number, count in enumerate(counts):
        height = _HEIGHT * count / top
        share = f"over {edges[number - 1]:.0%}, up to {edges[number]:.0%}" if number else "none"
        box = f'x="{_place(number)}" y="{base - height:.1f}" width="{_BAR - _GAP}" height="{height:.1f}"'
        drawn.append(f'<rect class="{"bin" if number else "no"}" {box}><title>{share}: {count:,}</title></rect>')
    below = f'y="{base + 18}" text-anchor="middle"'
    drawn.append(f'<text x="{_place(0) + (_BAR - _GAP) / 2:g}" {below}>none</text>')
    for quarter in range(5):
        x = _place(1) - _GAP / 2 + quarter / 4 * (len(counts) - 1) * _BAR
        drawn.append(f'<text x="{x:g}" {below}>{quarter / 4:.0%}</text>')
    size = f'viewBox="0 0 {right + 24} {base + 26}" width="{right + 24}" height="{base + 26}"'
    return f'<svg {size} role="img" aria-label="{safe(label)}">{"".join(drawn)}</svg>'


def _place(number: int) -> int:
    """Where a bar begins; the first stands a bar's width apart."""
    return _LEFT + _GAP + (number + (number > 0)) * _BAR


def _step(most: int) -> int:
    """Between the lines of an axis up to `most`, of which there are five at most: 1, 2 or 5 with zeros."""
    least = max(most / 4, 1)
    power = 10 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least)


STYLE = """\
:root {
  color-scheme: light dark;
  --ground: #ffffff; --text: #1b1f24; --faint: #5c6570; --line: #dde1e6;
  --was: #7a4a00; --was-ground: #fdf0d5; --is: #0b4f9c; --is-ground: #e0eefc;
  --bin: #3478c0; --no: #b9c0c8; --warn: #8a4b00; --warn-ground: #fff6e5;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #14171a; --text: #e4e7ea; --faint: #9aa4ae; --line: #30373d;
    --was: #f3c97a; --was-ground: #3a2e14; --is: #9ccbff; --is-ground: #123252;
    --bin: #5b9fe3; --no: #56606a; --warn: #f3c97a; --warn-ground: #2b2415;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--ground); color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
}
main { max-width: 70rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .75rem; }
header p { color: var(--faint); margin: .4rem 0 0; }
header b { color: var(--text); }
code { font: .85em ui-monospace, Menlo, Consolas, monospace; color: var(--faint); }
a { color: var(--is); text-underline-offset: .15em; }
.up { text-decoration: none; font-weight: normal; }
.note, figcaption { color: var(--faint); font-size: .85rem; margin: .4rem 0 1rem; }
.warnings {
  background: var(--warn-ground); border-left: 4px solid var(--warn);
  border-radius: 4px; margin: 1.5rem 0; padding: .8rem 1.1rem;
}
.warnings h2 { color: var(--warn); font-size: 1rem; margin: 0; }
.warnings ul { margin: .3rem 0 0; padding-left: 1.2rem; overflow-wrap: anywhere; }
section { border-top: 1px solid var(--line); margin-top: 2.5rem; }
section h2 { margin-top: 1.5rem; }
.facts { display: flex; flex-wrap: wrap; gap: .6rem 2rem; margin: 0 0 1rem; }
.facts div { display: flex; flex-direction: column-reverse; }
.facts dd { margin: 0; font-size: 1.25rem; font-variant-numeric: tabular-nums; }
.facts dt { color: var(--faint); font-size: .85rem; }
figure { margin: 0; }
svg { max-width: 100%; height: auto; display: block; }
svg text { fill: var(--faint); font-size: 12px; font-variant-numeric: tabular-nums; }
.grid { stroke: var(--line); }
.bin { fill: var(--bin); }
.no { fill: var(--no); }
.wide { overflow-x: auto; margin: .5rem 0; }
table { border-collapse: collapse; font-size: .92rem; width: 100%; }
th, td { border-bottom: 1px solid var(--line); padding: .4rem .7rem; text-align: left; vertical-align: top; }
th:first-child, td:first-child { padding-left: 0; }
thead th { color: var(--faint); font-size: .82rem; font-weight: 600; vertical-align: bottom; }
.n { text-align: right; font-variant-numeric: tabular-nums; }
td.n { white-space: nowrap; }
.bar { display: block; height: 4px; margin: .2rem 0 0 auto; max-width: 6rem; background: var(--line); }
.bar i { display: block; height: 100%; background: var(--bin); }
details { margin: .8rem 0; }
summary { cursor: pointer; font-weight: 600; padding: .2rem 0; }
details ul { margin: .3rem 0; padding-left: 1.2rem; overflow-wrap: anywhere; }
.pairs { table-layout: fixed; }
.pairs td { white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.7; }
.pairs .id th {
  border-bottom: 0; color: var(--faint); font: .8rem ui-monospace, Menlo, Consolas, monospace;
  padding-bottom: 0; overflow-wrap: anywhere;
}
.settings tbody th { font-weight: normal; color: var(--faint); white-space: nowrap; width: 1%; }
.settings td { overflow-wrap: anywhere; }
mark { border-radius: 2px; padding: 0 .1em; text-underline-offset: .25em; text-decoration-thickness: 2px; }
.was { background: var(--was-ground); color: var(--was); text-decoration: underline dotted; }
.is { background: var(--is-ground); color: var(--is); text-decoration: underline solid; }
@media (max-width: 40rem) {
  .pairs thead { display: none; }
  .pairs tr, .pairs td, .pairs th { display: block; }
  .pairs td { padding-left: 0; }
}
"""
