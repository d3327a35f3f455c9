"""What a lexicon holds and how clean it was: size, coverage of a text, ambiguity, what was dropped, and warnings.

Warnings are for what spoils training unseen: a file that is not in the language that its name claims, sides that are
turned round, an encoding that is not UTF-8.
"""

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import regex

from lingualift_ds.data.languages import language_name
from lingualift_ds.data.lexicon.cleaning import DROP_REASONS, STEPS, fold
from lingualift_ds.data.lexicon.columns import Columns
from lingualift_ds.data.lexicon.doubts import doubts_of, swapped
from lingualift_ds.data.lexicon.entries import Lexicon
from lingualift_ds.data.lexicon.identify import in_words, looks_like
from lingualift_ds.data.lexicon.reading import gather_lexicon
from lingualift_ds.data.scripts import script_names

_WORD = regex.compile(r"\b\p{L}.*?\b", regex.WORD | regex.V1 | regex.DOTALL)
_LISTED = 10
_SUSPICIOUS_SCRIPT = 0.1
"""Share of usable pairs in another script that is worth a warning; MUSE's lexicons have less than 0.01."""
_SUSPICIOUS_BYTES = 0.01
_WIDTH = 110


@dataclass(frozen=True)
class Coverage:
    """How much of an English text a lexicon knows, word by word.

    Attributes:
        types, tokens: different words of the text, and all of them.
        known_types, known_tokens: those among them that are entries.
        missing: the most frequent words that are not, with their counts.
    """

    types: int
    tokens: int
    known_types: int
    known_tokens: int
    missing: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class LexiconReport:
    """A lexicon, with what was found about it."""

    lexicon: Lexicon
    coverage: Coverage | None
    warnings: tuple[str, ...]

    @property
    def several(self) -> int:
        """Entries with more than one translation."""
        return sum(len(translations) > 1 for translations in self.lexicon.entries.values())

    def most_ambiguous(self) -> list[tuple[str, int]]:
        """The entries with the most translations, and how many they have."""
        counts = {english: len(translations) for english, translations in self.lexicon.entries.items()}
        return Counter({english: count for english, count in counts.items() if count > 1}).most_common(_LISTED)


def count_words(texts: Iterable[str]) -> Counter[str]:
    """The words of English texts (Unicode's word boundaries, UAX 29), folded as lexicons are looked up."""
    raw: Counter[str] = Counter()
    for text in texts:
        raw.update(_WORD.findall(text))
    words: Counter[str] = Counter()
    for word, count in raw.items():
        words[fold(word)] += count
    return words


def make_report(
    paths: Sequence[Path],
    language: str,
    words: Mapping[str, int] | None = None,
    columns: Columns | None = None,
    unclean: Sequence[str] = (),
) -> LexiconReport:
    """Read the lexicon of one language and look at it.

    Args:
        words: counts of a text's words (see `count_words`), to measure coverage.
        columns, unclean: as in `read_lexicon`.

    Raises:
        DataError: where a file cannot be read; ConfigError: as `read_lexicon`.
    """
    lexicon, wrong = gather_lexicon(paths, language, columns, unclean)
    warnings = wrong or _doubts(lexicon)
    if not wrong and len(paths) > 1:  # a wrong file among right ones does not show in the whole
        alone = [gather_lexicon(path, language, columns, unclean)[0] for path in paths]
        warnings = list(dict.fromkeys(warnings + [doubt for one in alone for doubt in _doubts(one)]))
    return LexiconReport(lexicon, None if words is None else measure_coverage(lexicon, words), tuple(warnings))


def measure_coverage(lexicon: Lexicon, words: Mapping[str, int]) -> Coverage:
    """How much of a text with these word counts a lexicon knows."""
    known = {word: count for word, count in words.items() if word in lexicon.entries}
    missing = Counter({word: count for word, count in words.items() if word not in known}).most_common(_LISTED)
    return Coverage(len(words), sum(words.values()), len(known), sum(known.values()), tuple(missing))


def _doubts(lexicon: Lexicon) -> list[str]:
    """What about a lexicon is not as its language's should be."""
    code, source, dropped = lexicon.language, lexicon.source, lexicon.dropped
    doubts, said = [], []
    if not lexicon.entries:
        doubts.append(f"{source}: no usable pair in it")
    foreign = dropped.get("script", 0) + dropped.get("english", 0)
    usable = foreign + lexicon.pairs
    if foreign > _SUSPICIOUS_SCRIPT * usable:
        share = _share(foreign, usable)
        doubts.append(f"{source}: {share} of its pairs are not in {script_names(code)} script, and were dropped")
        said += ["script", "english"]
    damaged = dropped.get("not UTF-8", 0)
    if damaged > _SUSPICIOUS_BYTES * lexicon.found:
        doubts.append(f"{source}: {_share(damaged, lexicon.found)} of its lines are not UTF-8; save it as UTF-8")
        said.append("not UTF-8")
    doubts += doubts_of(lexicon, said)
    if f"{source}: {swapped(code)}" in doubts:
        return doubts
    guess = looks_like([translations[0] for translations in lexicon.entries.values()], code)
    english = looks_like(list(lexicon.entries), "en")
    if guess == "en" and english:
        doubts.append(f"{source}: {swapped(code)}")
        return doubts
    if guess:
        claimed = f"{language_name(code)} ({code})"
        doubts.append(f"{source}: its translations are not {claimed}, they look like {in_words(guess)}")
    if english:
        doubts.append(f"{source}: its English side is not English, it looks like {in_words(english)}")
    return doubts


def report_lines(report: LexiconReport) -> Iterator[str]:
    """The report as aligned text."""
    lexicon = report.lexicon
    entries, pairs = len(lexicon), lexicon.pairs
    yield f"{lexicon.language} ({language_name(lexicon.language)}): {lexicon.source}"
    for warning in report.warnings:
        yield from _wrapped(f"WARNING: {warning}", "  ")
    yield _row("pairs read", lexicon.found)
    yield _row("pairs kept", pairs, _share(pairs, lexicon.found))
    yield _row("entries", entries, f"English words and phrases; the longest has {_words(lexicon.longest_phrase)}")
    if lexicon.weights:
        yield _row(
            "  weighted", len(lexicon.weights), f"entries with frequencies, {_share(len(lexicon.weights), entries)}"
        )
    yield _row("ambiguous", report.several, f"entries with several translations, {_share(report.several, entries)}")
    mean = f"{pairs / entries:.2f}" if entries else "none"
    yield from _wrapped(f"{mean} translations an entry; most: {_counts(report.most_ambiguous())}", " " * 26)
    if report.coverage is not None:
        yield from _coverage_lines(report.coverage)
    yield _row("dropped", sum(lexicon.dropped.values()), _share(sum(lexicon.dropped.values()), lexicon.found))
    for reason, count in lexicon.dropped.items():
        yield _row(f"  {reason}", count, DROP_REASONS[reason])
        yield from _wrapped(" | ".join(lexicon.examples.get(reason, ())), " " * 26)
    yield _row("mended", sum(lexicon.mended.values()), "pairs, once for each step")
    for step, count in lexicon.mended.items():
        yield _row(f"  {step}", count, STEPS[step].does)
        yield from _wrapped(" | ".join(lexicon.examples.get(step, ())), " " * 26)


def report_document(report: LexiconReport) -> dict[str, Any]:
    """The report for machines. Shares are from 0 to 1."""
    lexicon, coverage = report.lexicon, report.coverage
    entries = len(lexicon)
    return {
        "language": lexicon.language,
        "name": language_name(lexicon.language),
        "sources": list(lexicon.sources),
        "warnings": list(report.warnings),
        "pairs_read": lexicon.found,
        "pairs": lexicon.pairs,
        "entries": entries,
        "weighted_entries": len(lexicon.weights),
        "longest_phrase": lexicon.longest_phrase,
        "ambiguity": {
            "mean_translations": round(lexicon.pairs / entries, 4) if entries else None,
            "share_with_several": round(report.several / entries, 4) if entries else None,
            "most": dict(report.most_ambiguous()),
        },
        "coverage": None
        if coverage is None
        else {
            "types": coverage.types,
            "known_types": coverage.known_types,
            "tokens": coverage.tokens,
            "known_tokens": coverage.known_tokens,
            "missing": dict(coverage.missing),
        },
        "dropped": {name: _counted(lexicon, name, count) for name, count in lexicon.dropped.items()},
        "mended": {name: _counted(lexicon, name, count) for name, count in lexicon.mended.items()},
    }


def _counted(lexicon: Lexicon, name: str, count: int) -> dict[str, Any]:
    return {"count": count, "examples": list(lexicon.examples.get(name, ()))}


def _coverage_lines(coverage: Coverage) -> Iterator[str]:
    types = _share(coverage.known_types, coverage.types)
    tokens = _share(coverage.known_tokens, coverage.tokens)
    yield _row("coverage, types", coverage.known_types, f"{types} of the text's {coverage.types:,} different words")
    yield _row("coverage, tokens", coverage.known_tokens, f"{tokens} of its {coverage.tokens:,} words")
    if coverage.missing:
        yield from _wrapped(f"missing most: {_counts(coverage.missing)}", " " * 26)


def _row(label: str, count: int, said: str = "") -> str:
    return f"  {label:<16}{count:>10,}   {said}".rstrip()


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _counts(counted: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{word} {count:,}" for word, count in counted) or "none"


def _words(count: int) -> str:
    return f"{count} word" if count == 1 else f"{count} words"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "0 %"
