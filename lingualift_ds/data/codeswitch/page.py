"""The report as one HTML page that opens anywhere: no script, nothing fetched, light and dark, 48 languages or one.

What is switched is told by underline and colour both, in colours that all eyes tell apart. Every switched word is
isolated, so that Arabic or Urdu stands in the English sentence where the English word stood.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from lingualift_ds.data.codeswitch.page_parts import STYLE, bar, fold, histogram, marked, row, safe, table
from lingualift_ds.data.lexicon.cleaning import DROP_REASONS, STEPS

_SECTIONS = 100
"""Sets of mixed languages that have a section, those with the most records: there can be thousands."""
_UNFOLDED = 6
"""Languages up to which their examples are unfolded."""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""Forbids the browser what escaping prevents already: to run or to fetch what the texts name."""


def to_html(values: Mapping[str, Any]) -> str:
    """The page of a report's values (see `Report.values`)."""
    languages, lexicons = values["languages"], values["lexicons"]
    most = sorted(languages, key=lambda group: (-languages[group]["records"], group))[:_SECTIONS]
    shown = {group: languages[group] for group in languages if group in most}
    body = [
        _header(values),
        _warnings(values, shown),
        '<h2 id="overview">Overview</h2>',
        _overview(shown, lexicons),
        _rest(languages, shown),
        *(_section(group, shown[group], lexicons.get(group), len(shown) <= _UNFOLDED) for group in shown),
        _lexicons({code: lexicons[code] for code in lexicons if code not in shown}),
        "<h2>Made from</h2>",
        _settings(values),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"/>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        f"<title>Code-switched data: {safe(values['output'])}</title>\n<style>\n{STYLE}</style>\n</head>\n"
        "<body>\n<main>\n" + "\n".join(part for part in body if part) + "\n</main>\n</body>\n</html>\n"
    )


def _header(values: Mapping[str, Any]) -> str:
    rows, settings, count = values["rows"], values["settings"], len(values["settings"]["languages"])
    said = [
        f"<b>{values['records']:,} records</b> from {rows['read']:,} rows",
        f"{rows['blank']:,} rows empty" if rows["blank"] else "",
        f"{values['repeated_variants']:,} variants like an earlier one left out" if values["repeated_variants"] else "",
        f"{count} language{'s' if count != 1 else ''}",
        f"ratio {safe(settings['ratio'])}",
        f"seed {settings['seed']}",
    ]
    summary = " · ".join(part for part in said if part)
    return f"<header><h1>Code-switched data: {safe(values['output'])}</h1><p>{summary}</p></header>"


def _warnings(values: Mapping[str, Any], shown: Mapping[str, dict]) -> str:
    rows, lines = values["rows"], []
    for warning in values["warnings"]:
        group, message = warning["language"], safe(warning["message"])
        name = _link(group, shown[group]) if group in shown else _code(group)
        lines.append(f"{name}: {message}")
    if rows["bad"]:
        told = "".join(f"<li>{safe(bad['where'])}: {safe(bad['message'])}</li>" for bad in rows["first_bad"])
        unusable = "row that cannot be used was" if rows["bad"] == 1 else "rows that cannot be used were"
        first = ", the first of them" if rows["bad"] > len(rows["first_bad"]) else ""
        lines.append(f"{rows['bad']:,} {unusable} left out{first}:<ul>{told}</ul>")
    if not lines:
        return ""
    listed = "".join(f"<li>{line}</li>" for line in lines)
    return f'<aside class="warnings" aria-label="Warnings"><h2>Look at this first</h2><ul>{listed}</ul></aside>'


def _overview(shown: Mapping[str, dict], lexicons: Mapping[str, dict]) -> str:
    measured = any(values["encoder"] for values in shown.values())
    heads = ["Language", "Records", "Can be switched", "Switched of these", "Without any", "Lexicon entries"]
    note = (
        "Can be switched: words and phrases that the lexicon has, by all words of the text. Without any: records in "
        "which nothing was switched."
    )
    if measured:
        heads += ["Tokens a word", "Unknown tokens"]
        note += (
            " Tokens a word: the encoder's, by the words of the English, in the English → in the code-switched text "
            "of a sample. Unknown tokens: their share in the code-switched text."
        )
    rows, numbers = [], range(1, len(heads))
    for group, values in shown.items():
        cells = [f"{values['records']:,}", *["–"] * 3, "–", *["–"] * (2 * measured)]
        if values["records"]:
            cells[1:4] = [bar(values["switchable_share"]), bar(values["switched_share"]), f"{values['untouched']:,}"]
        if group in lexicons:
            cells[4] = f"{lexicons[group]['entries']:,}"
        if values["encoder"]:
            english, switched = values["encoder"]["english"], values["encoder"]["switched"]
            cells[5] = f"{english['tokens_per_word']:.2f} → {switched['tokens_per_word']:.2f}"
            cells[6] = f"{switched['unknown_share']:.2%}"
        rows.append(row(_link(group, values), cells, numbers))
    return f'{table(heads, rows, numbers)}<p class="note">{note}</p>'


def _rest(languages: Mapping[str, dict], shown: Mapping[str, dict]) -> str:
    if len(languages) == len(shown):
        return ""
    records = sum(values["records"] for group, values in languages.items() if group not in shown)
    sets = len(languages) - len(shown)
    return f'<p class="note">{sets:,} more sets of languages, with {records:,} records, are in the JSON alone.</p>'


def _section(group: str, values: Mapping[str, Any], lexicon: Mapping[str, Any] | None, unfolded: bool) -> str:
    up = '<a class="up" href="#overview" title="to the overview">↑</a>'
    title = f'<h2 id="{_anchor(group)}">{safe(values["name"])} {_code(group)} {up}</h2>'
    content = _records(values, unfolded) if values["records"] else "<p>No record.</p>"
    return f"<section>{title}{content}{_lexicon('Lexicon', lexicon) if lexicon else ''}</section>"


def _records(values: Mapping[str, Any], unfolded: bool) -> str:
    facts = {
        "records": f"{values['records']:,}",
        "words": f"{values['words']:,}",
        "of them can be switched": f"{values['switchable_share']:.1%}",
        "of these are switched": f"{values['switched_share']:.1%}",
        "of all words are switched": f"{values['switched_share_of_words']:.1%}",
        "records without a switched word": f"{values['untouched']:,}",
    }
    listed = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts.items())
    label = f"Histogram: {values['untouched']:,} of {values['records']:,} records are without a switched word"
    picture = histogram(values["histogram"]["up_to"], values["histogram"]["records"], label)
    return (
        f'<dl class="facts">{listed}</dl><figure>{picture}'
        "<figcaption>Records by the share of their words that were switched</figcaption></figure>"
        f"{_encoder(values['encoder'])}{_examples(values['examples'], unfolded)}"
    )


def _encoder(encoder: Mapping[str, Any] | None) -> str:
    if not encoder:
        return ""
    rows, numbers = [], (1, 2, 3)
    for side, name in (("english", "English"), ("switched", "Code-switched")):
        text, word, unknown = (encoder[side][key] for key in ("tokens_per_text", "tokens_per_word", "unknown_share"))
        rows.append(row(name, (f"{text:.1f}", f"{word:.2f}", f"{unknown:.2%}"), numbers))
    found = table(("Encoder tokens", "a text", "a word of the English", "unknown"), rows, numbers)
    words = ", ".join(f"<bdi>{safe(word)}</bdi> ({count:,})" for word, count in encoder["unknown_words"])
    most = f" Most often unknown: {words}." if words else ""
    return f'{found}<p class="note">Of a sample of {encoder["texts"]:,} records.{most}</p>'


def _examples(examples: Sequence[Mapping[str, Any]], unfolded: bool) -> str:
    if not examples:
        return ""
    rows = []
    for example in examples:
        changes = example["changes"]
        languages = [change["language"] for change in changes]
        became = [f"{change['translation']} ({change['language']})" for change in changes]
        english_spans, text_spans = ([change[side] for change in changes] for side in ("english_span", "text_span"))
        english = marked(example["english"], english_spans, "was", ["en"] * len(changes), became)
        text = marked(example["text"], text_spans, "is", languages, [change["english"] for change in changes])
        more = "<i> … cut off here</i>" if example["cut_off"] else ""
        rows.append(f'<tr class="id"><th colspan="2" scope="rowgroup">{safe(example["id"])}</th></tr>')
        rows.append(f'<tr><td dir="ltr">{english}{more}</td><td dir="ltr">{text}{more}</td></tr>')
    count = f"{len(examples)} example{'s' if len(examples) != 1 else ''}"
    return fold(count, table(("English", "Code-switched"), rows, kind="pairs"), unfolded)


def _lexicons(lexicons: Mapping[str, dict]) -> str:
    """Those of languages without a section of their own, where languages are mixed."""
    folded = "".join(_lexicon(f"{_code(code)}", lexicon) for code, lexicon in lexicons.items())
    return f"<h2>Lexicons</h2>{folded}" if folded else ""


def _lexicon(title: str, lexicon: Mapping[str, Any]) -> str:
    """The lexicon's files, and what cleaning did to them."""
    meanings = {"dropped": DROP_REASONS, "mended": {name: step.does for name, step in STEPS.items()}}
    rows = []
    for what, meaning in meanings.items():
        for name, found in lexicon[what].items():
            examples = " · ".join(f"<bdi>{safe(example)}</bdi>" for example in found["examples"])
            cells = safe(meaning.get(name, "")), f"{found['count']:,}", examples
            rows.append(row(f"{what}: {safe(name)}", cells, (2,)))
    cleaning = table(("Cleaning", "What it means", "Pairs", "First examples"), rows, (2,)) if rows else ""
    files = "".join(f"<li>{safe(file)}</li>" for file in lexicon["files"])
    size = f"{title}: {lexicon['entries']:,} entries, {lexicon['pairs']:,} pairs"
    return fold(size, (f"<ul>{files}</ul>" if files else "") + (cleaning or "<p>Nothing was dropped or mended.</p>"))


def _settings(values: Mapping[str, Any]) -> str:
    said = {"input": values["inputs"]} | dict(values["settings"])
    said["languages"] = [f"{code}:{weight:g}" for code, weight in said["languages"].items()]
    said["encoder tokenizer"] = values["encoder_tokenizer"] and values["encoder_tokenizer"]["name"]
    said |= {"toolkit": f"lingualift_ds {values['toolkit']}", "digest": values["digest"]}
    rows = [row(name.replace("_", " "), (_said(value),)) for name, value in said.items()]
    return table(("Setting", "Value"), rows, kind="settings")


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        between = ", " if all(len(item) < 20 for item in value) else "<br/>"
        return between.join(map(safe, value)) or "–"
    return "–" if value in (None, "") else safe(value)


def _code(code: str) -> str:
    return f"<code>{safe(code)}</code>"


def _link(group: str, values: Mapping[str, Any]) -> str:
    return f'<a href="#{_anchor(group)}">{safe(values["name"])}</a> {_code(group)}'


def _anchor(group: str) -> str:
    return "language-" + re.sub(r"[^A-Za-z0-9_-]", "-", group)
