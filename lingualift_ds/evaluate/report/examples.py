"""Questions to look at: for every language some that were answered right and some wrong, by each of the results."""

from collections.abc import Mapping

from lingualift_ds.data.codeswitch.page_parts import fold, safe
from lingualift_ds.evaluate.report.comparison import Line, TaskComparison
from lingualift_ds.evaluate.report.drawing import marker
from lingualift_ds.evaluate.report.results import LanguageResults, Row

_EACH = 2
"""Right and wrong answers of each of the results that are shown of a language, as far as there are."""
_BEGINNING, _END = 500, 300
"""Characters that are shown of a long text: its answer stands at the end."""


def choose(languages: Mapping[str, LanguageResults]) -> list[str]:
    """Ids of questions: in the benchmark's order, whatever shows an outcome not yet shown often enough."""
    shown: dict[tuple[str, bool], int] = {}
    chosen = []
    for i in next(iter(languages.values())).rows:
        outcomes = [(name, language.rows[i].correct) for name, language in languages.items() if i in language.rows]
        if any(shown.get(outcome, 0) < _EACH for outcome in outcomes):
            chosen.append(i)
            for outcome in outcomes:
                shown[outcome] = shown.get(outcome, 0) + 1
    return chosen


def examples(comparison: TaskComparison, line: Line, numbers: Mapping[str, int], anchor: str) -> str:
    """A language's questions with the outputs of all results, folded; `numbers` are those of the markers."""
    there = {name: comparison.of(name, line) for name in comparison.tasks if comparison.of(name, line)}
    items = []
    for i in choose(there):
        rows = {name: language.rows[i] for name, language in there.items()}
        asked = next(iter(rows.values()))
        outputs = "".join(_answer(name, numbers[name], row) for name, row in rows.items())
        choices = " · ".join(f"<bdi>{safe(choice)}</bdi>" for choice in asked.choices)
        items.append(
            f'<article><p class="question">{_text(asked.question, line.label)}</p>'
            + (f'<p class="note">choices: {choices}</p>' if choices else "")
            + f'<p class="note">id {safe(i)} · reference <b dir="auto">{safe(asked.answer)}</b></p>{outputs}</article>'
        )
    content = f'<div id="{anchor}">{"".join(items)}</div>'
    return fold(f"{safe(line.name)} <code>{safe(line.label)}</code>", content)


def _answer(name: str, number: int, row: Row) -> str:
    given = "no answer" if row.given is None else f'read as <b dir="auto">{safe(_cut(row.given))}</b>'
    facts = ["✓ right" if row.correct else "✗ wrong", given]
    facts += ["cut off"] * row.truncated + ["wrong language"] * bool(row.wrong_language)
    kind = "right" if row.correct else "wrong"
    return (
        f'<div class="answer {kind}"><p>{marker(number)} <b>{safe(name)}</b> <span class="verdict">{facts[0]}</span> · '
        f"{' · '.join(facts[1:])}</p>{_text(row.output, row.output_language, 'output')}</div>"
    )


def _text(text: str, language: str | None, kind: str = "asked") -> str:
    """A text in its own direction and language."""
    spoken = f' lang="{safe(language.replace("_", "-"))}"' if language else ""
    return f'<span class="{kind}" dir="auto"{spoken}>{safe(_cut(text)) or "(nothing)"}</span>'


def _cut(text: str) -> str:
    left = len(text) - _BEGINNING - _END
    if left <= 100:
        return text
    return f"{text[:_BEGINNING]}\n[… {left:,} characters are left out here …]\n{text[-_END:]}"
