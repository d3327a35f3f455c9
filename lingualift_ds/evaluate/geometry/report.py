"""A study as a table for the terminal, as JSON, CSV and a short page."""

import csv
import io
import json
from dataclasses import asdict, fields
from pathlib import Path

from lingualift_ds.data.atomic import write_aside
from lingualift_ds.evaluate.geometry.measures import Closeness
from lingualift_ds.evaluate.geometry.study import PHASES, Study

_COLUMNS = {
    "to_english": ("to en, %", 100, 1),
    "from_english": ("from en, %", 100, 1),
    "cosine_pairs": ("cos pairs", 1, 3),
    "cosine_others": ("cos others", 1, 3),
    "cka": ("CKA", 1, 3),
    "cka_chance": ("CKA chance", 1, 3),
}
"""Number: (head of its column, factor, digits)."""

_READING = """\
* **encoder**: mean of the encoder's states of a sentence. **alignment layer**: mean of its soft prompt's rows,
  boundaries left out. **LLM**: hidden state at the last position of the prompt, the one that predicts the answer's
  first token; the last layer's after the final norm.
* **to en, from en**: retrieval@1. Of so many sentences the nearest English one, by cosine, is their own; and the other
  way round. Where several are equally near, a hit counts its share.
* **cos pairs, cos others**: mean cosine of sentences that mean the same, and of those that do not. Only the distance
  between the two says anything: in an LLM all vectors point in much the same direction.
* **CKA**: linear centred kernel alignment of a language with English: 1 where the sentences lie alike up to rotation
  and scale. **CKA chance** is its mean over all wrong and right pairings; where sentences are few it is not near 0."""


def write_study(study: Study, output: Path) -> None:
    """geometry.json, geometry.csv and geometry.md in a folder. Raises DataError where it cannot be written."""
    write_aside(output / "geometry.json", json.dumps(document(study), ensure_ascii=False, indent=1) + "\n")
    write_aside(output / "geometry.csv", _csv(study))
    write_aside(output / "geometry.md", _page(study))


def document(study: Study) -> dict:
    """Everything, as geometry.json holds it. Points have six significant digits."""
    return {
        "format": 1,
        "model": study.model,
        "before": study.before,
        "data": study.parallel.source,
        "instruction": study.instruction,
        "languages": list(study.parallel.texts),
        "sentences": len(study.parallel.ids),
        "chance": 1 / len(study.parallel.ids),
        "dropped": study.parallel.dropped,
        "shortened": study.shortened,
        "ids": list(study.parallel.ids),
        "phases": {
            phase: {
                space: {
                    "title": look.title,
                    "numbers": {code: asdict(numbers) for code, numbers in look.numbers.items()},
                    "variance": list(look.variance),
                    "points": {code: _rounded(points) for code, points in look.points.items()},
                }
                for space, look in study.looks[phase].items()
            }
            for phase in PHASES
        },
    }


def format_tables(study: Study) -> str:
    """Tables for the terminal, one a space: before > after."""
    lines = [_summary(study), f"before: {study.before}", ""]
    for space in study.spaces:
        rows = [["language", *(head for head, _, _ in _COLUMNS.values())]]
        rows += [[code, *_cells(study, space, code)] for code in study.languages]
        widths = [max(map(len, column)) for column in zip(*rows)]
        lines.append(_title(study, space))
        for code, *cells in rows:
            lines.append("  ".join([code.ljust(widths[0]), *(c.rjust(w) for c, w in zip(cells, widths[1:]))]))
        lines.append("")
    return "\n".join(lines[:-1])


def _page(study: Study) -> str:
    parts = [
        "# Where the languages lie",
        _summary(study),
        f"* model: `{study.model}`\n* before: {study.before}\n* sentences: `{study.parallel.source}`\n"
        f"* the LLM is told: {study.instruction!r}",
        "![principal components per space, before and after](geometry.png)",
        "Each panel has its own axes: positions compare within a panel, not between panels. A cell is before → after.",
    ]
    for space in study.spaces:
        table = [["language", *(head for head, _, _ in _COLUMNS.values())], ["---", *["---:"] * len(_COLUMNS)]]
        table += [[code, *(cell.replace(">", "→") for cell in _cells(study, space, code))] for code in study.languages]
        parts.append(f"## {_title(study, space)}\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in table))
    parts += ["## How to read the numbers", _READING, f"Chance of retrieval: {_chance(study)} %."]
    left_out = [f"* {reason}: {count}" for reason, count in study.parallel.dropped.items()]
    left_out += [f"* shortened to what the model was trained on: {study.shortened}"] if study.shortened else []
    if left_out:
        parts.append("## Left out or shortened\n\n" + "\n".join(left_out))
    return "\n\n".join(parts) + "\n"


def _csv(study: Study) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["phase", "space", "language", "sentences", *(field.name for field in fields(Closeness))])
    for phase in PHASES:
        for space, look in study.looks[phase].items():
            for code, numbers in look.numbers.items():
                values = ["" if value is None else repr(value) for value in asdict(numbers).values()]
                writer.writerow([phase, space, code, len(study.parallel.ids), *values])
    return file.getvalue()


def _summary(study: Study) -> str:
    return (
        f"{len(study.parallel.ids)} parallel sentences of {', '.join(study.languages)}, each against English; "
        f"retrieval by chance: {_chance(study)} %"
    )


def _chance(study: Study) -> str:
    return f"{100 / len(study.parallel.ids):.1f}"


def _title(study: Study, space: str) -> str:
    title = " / ".join(dict.fromkeys(study.looks[p][space].title for p in PHASES if space in study.looks[p]))
    return f"{title} (the same before and after)" if _same(study, space) else title


def _same(study: Study, space: str) -> bool:
    before, after = (study.looks[phase].get(space) for phase in PHASES)
    return before is not None and after is not None and before.numbers == after.numbers


def _cells(study: Study, space: str, code: str) -> list[str]:
    """Before > after, for each number; one number where nothing differs in this space."""
    cells = []
    for name, (_, factor, digits) in _COLUMNS.items():
        both = []
        for phase in PHASES:
            look = study.looks[phase].get(space)
            value = None if look is None else getattr(look.numbers[code], name)
            both.append("-" if value is None else f"{factor * value:.{digits}f}")
        cells.append(both[0] if _same(study, space) else " > ".join(both))
    return cells


def _rounded(points) -> list[list[float]]:
    return [[float(f"{value:.6g}") for value in point] for point in points.tolist()]
