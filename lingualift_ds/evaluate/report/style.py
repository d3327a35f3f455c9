"""How the page looks, beside what it shares with the page of code-switched data."""

from lingualift_ds.evaluate.report.drawing import COLOURS

_SERIES = "\n".join(
    f".s{number} {{ --c: {colour if colour != '#000000' else 'var(--text)'}; }}"
    for number, colour in enumerate(COLOURS)
)

STYLE = f"""\
{_SERIES}
main {{ max-width: 76rem; }}
h3 {{ font-size: 1rem; margin: 2rem 0 .5rem; }}
nav {{ margin: 1.25rem 0 0; display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; }}
.defs {{ position: absolute; }}
.key {{ display: inline-block; vertical-align: -2px; overflow: visible; fill: var(--c); }}
.results {{ list-style: none; margin: 1.25rem 0 0; padding: 0; }}
.results li {{ margin: .15rem 0; overflow-wrap: anywhere; }}
.gains {{
  background: var(--is-ground); border-left: 4px solid var(--is);
  border-radius: 4px; margin: 1.5rem 0; padding: .8rem 1.1rem;
}}
.gains h2 {{ color: var(--is); font-size: 1rem; margin: 0; }}
.warnings h3, .gains h3 {{ font-size: .85rem; font-weight: 600; margin: .6rem 0 0; }}
.warnings p, .gains p {{ margin: .2rem 0; overflow-wrap: anywhere; }}
aside .change {{ white-space: nowrap; display: inline-block; margin-right: .9rem; font-variant-numeric: tabular-nums; }}
aside .results-of {{ font-weight: 600; margin-right: .9rem; }}
td .change {{ font-weight: normal; }}
td .worse {{ color: var(--was); font-weight: 600; }}
td .better {{ color: var(--is); font-weight: 600; }}
td small, th small {{ color: var(--faint); font-size: .85em; font-weight: normal; }}
.scores th, .scores td {{ vertical-align: middle; padding-top: .12rem; padding-bottom: .12rem; }}
.scores thead th {{ vertical-align: bottom; padding-top: .4rem; }}
.scores tbody th[scope=row] {{ font-weight: normal; white-space: nowrap; }}
.scores .level th {{ font-weight: 600; padding-top: 1rem; }}
.scores .mean th[scope=row], .scores .mean td {{ font-weight: 600; }}
.scores .draw {{ width: 100%; min-width: 13rem; padding-left: 1.2rem; padding-right: 1.2rem; }}
.scores .n {{ white-space: nowrap; }}
.scores thead th[scope=colgroup] {{ text-align: center; border-bottom: 0; }}
.outputs thead .n {{ white-space: normal; min-width: 3.4rem; }}
.outputs th, .outputs td {{ padding-left: .35rem; padding-right: .35rem; }}
.outputs th:first-child, .outputs .level th {{ padding-left: 0; }}
.dots {{ display: block; overflow: visible; max-width: none; }}
.dots g {{ fill: var(--c); stroke: none; }}
.range {{ stroke: var(--c); stroke-width: 2; }}
.zero {{ stroke: var(--faint); }}
.panels {{ display: flex; flex-wrap: wrap; gap: 1rem 1.5rem; }}
.panels figure {{ flex: 1 1 30rem; max-width: 36rem; min-width: 0; }}
.panels figcaption {{ color: var(--text); }}
.scatter {{ width: 100%; }}
.scatter g {{ fill: var(--c); stroke: var(--c); stroke-width: 1.5; }}
.scatter .medium {{ fill-opacity: .4; }}
.scatter .high {{ fill-opacity: 0; }}
.scatter .none {{ fill-opacity: 0; stroke-dasharray: 2 2; }}
.scatter .code {{ fill: var(--text); }}
.examples details {{ margin: .25rem 0; }}
article {{ border-top: 1px solid var(--line); padding: .6rem 0; }}
article p {{ margin: .2rem 0; }}
.asked, .output {{ display: block; white-space: pre-wrap; overflow-wrap: anywhere; }}
article .note b {{ color: var(--text); }}
.answer {{ border-left: 3px solid var(--line); margin: .5rem 0; padding-left: .8rem; }}
.answer p {{ font-size: .9rem; }}
.answer.wrong {{ border-left-style: dashed; border-left-color: var(--was); }}
.answer.right {{ border-left-color: var(--is); }}
.wrong .verdict {{ color: var(--was); font-weight: 600; }}
.right .verdict {{ color: var(--is); font-weight: 600; }}
@media (max-width: 40rem) {{
  main {{ padding: 1.25rem .8rem 3rem; }}
  .scores th[scope=row], .scores thead tr:first-child th:first-child {{
    position: sticky; left: 0; background: var(--ground); z-index: 1;
  }}
  .scores th, .scores td {{ padding-left: .4rem; padding-right: .4rem; }}
  .scores tbody th[scope=row] {{ max-width: 8.5rem; white-space: normal; line-height: 1.25; }}
  .scores .draw {{ min-width: 10rem; padding-left: .8rem; padding-right: .8rem; }}
}}
@media print {{
  main {{ max-width: none; padding: 0; }}
  body {{ font-size: 11px; }}
  .wide {{ overflow: visible; }}
  tr, figure, article {{ break-inside: avoid; }}
  h2, h3, .level {{ break-after: avoid; }}
  svg, aside, .answer {{ print-color-adjust: exact; }}
  .up, nav {{ display: none; }}
}}
"""
