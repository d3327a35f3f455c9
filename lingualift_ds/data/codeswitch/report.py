"""The report beside a code-switched file: what went in, what came out, and how each language fared.

`report.json` is for programs, and data/codeswitch/page.py makes `report.html` of the same values. Same inputs and
settings, same bytes: nothing in it tells of the day, the machine or the number of processes.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lingualift_ds import __version__
from lingualift_ds.config.schema import CodeSwitchConfig
from lingualift_ds.data.codeswitch.encoder_tokens import EncoderTokenizer
from lingualift_ds.data.codeswitch.stage1 import Stage1Maker
from lingualift_ds.data.codeswitch.tally import BINS, Example, LanguageTally, Tally
from lingualift_ds.data.languages import language_name
from lingualift_ds.data.lexicon import Lexicon
from lingualift_ds.data.outputs import KINDS
from lingualift_ds.data.sources import Source

FORMAT = "lingualift-ds codeswitch report"
VERSION = 1
_SHOWN = 10
"""Examples of a language."""
_LONGEST = 2000
"""Characters of an example: a row may be a whole book."""
_DETAILED = 100
"""Sets of mixed languages that have examples, those with the most records: there can be thousands."""
LOW_COVERAGE = 0.10
"""Share of the words that can be switched, below which a language is warned of."""
HIGH_UNKNOWN = 0.01
"""Share of unknown tokens, above which a language is warned of."""


class Report:
    """Makes the report's values; the tokenizer is loaded at once, so that a wrong path stops the command first.

    Raises:
        ModelError: where `encoder_tokenizer` (a folder, a tokenizer.json, a hub name, or None) has no tokenizer.
    """

    def __init__(self, maker: Stage1Maker, encoder_tokenizer: str | None = None):
        self._maker = maker
        self._tokenizer = EncoderTokenizer(encoder_tokenizer) if encoder_tokenizer else None

    def values(self, tally: Tally, source: Source, settings: CodeSwitchConfig, output: Path | str) -> dict[str, Any]:
        """All that the report says, as plain JSON values.

        Args:
            tally: what `produce` counted.
            source: the inputs; what it found in them is told.
            settings: what the maker was made from.
            output: the records' file; its name alone is told.
        """
        maker = self._maker
        codes = maker.switcher.languages.codes
        # Without mixing, a language that no record drew is told too.
        tallies = ({} if maker.switcher.languages.mix > 1 else {code: LanguageTally() for code in codes}) | (
            tally.languages
        )
        most = sorted(tallies, key=lambda group: (-tallies[group].records, group))
        detailed = set(most[:_DETAILED]) if maker.switcher.languages.mix > 1 else set(tallies)
        languages = {group: self._language(group, tallies[group], group in detailed) for group in sorted(tallies)}
        return {
            "format": FORMAT,
            "version": VERSION,
            "toolkit": __version__,
            "output": Path(output).name,
            "records": tally.records,
            "warnings": _warnings(languages, tallies, maker),
            "rows": {
                "read": tally.rows,
                "blank": tally.blank,
                "bad": tally.bad,
                "first_bad": [{"where": bad.where, "message": bad.message} for bad in tally.told],
            },
            "repeated_variants": tally.repeated,
            "inputs": list(source.found),
            "settings": self._settings(settings),
            "digest": maker.digest,
            "encoder_tokenizer": self._tokenizer
            and {"name": self._tokenizer.name, "unknown_token": self._tokenizer.unknown},
            "languages": languages,
            "lexicons": {code: _lexicon(maker.lexicons[code]) for code in codes},
        }

    def _settings(self, settings: CodeSwitchConfig) -> dict[str, Any]:
        switcher = self._maker.switcher
        weights = dict(zip(switcher.languages.codes, switcher.languages.weights))
        decided = {"seed": switcher.seed, "ratio": str(switcher.ratio), "mix": switcher.languages.mix}
        return asdict(settings) | decided | {"languages": weights}

    def _language(self, group: str, counted: LanguageTally, detailed: bool) -> dict[str, Any]:
        measured = self._tokenizer is not None and counted.examples
        return {
            "name": " and ".join(map(language_name, group.split(","))),
            "records": counted.records,
            "words": counted.words,
            "switchable": counted.switchable,
            "switched": counted.switched,
            "switchable_share": _share(counted.switchable, counted.words),
            "switched_share": _share(counted.switched, counted.switchable),
            "switched_share_of_words": _share(counted.switched, counted.words),
            "untouched": counted.untouched,
            "histogram": {"up_to": [edge / BINS for edge in range(BINS + 1)], "records": counted.histogram},
            "encoder": self._tokenizer.measure(counted.examples) if measured else None,
            "examples": [_example(example) for example in counted.examples[:_SHOWN]] if detailed else [],
        }


def to_json(values: dict[str, Any]) -> str:
    """The values as JSON that can be encoded as UTF-8, whatever file names and lexicons hold."""
    text = json.dumps(values, ensure_ascii=False, indent=1) + "\n"
    # Half a surrogate pair, from a line that is not UTF-8, becomes what JSON writes for it: \udc80.
    return text.encode("utf-8", "backslashreplace").decode()


def report_paths(output: Path | str) -> tuple[Path, Path]:
    """Where the report of an output goes: report.json and report.html in its folder.

    Where these are another output's report, or no report at all, they stay: the output's own name goes before theirs,
    as in stage1.report.json. What speaks of this output already, or of one that is gone, is replaced.
    """
    output = Path(output)
    suffix = next((suffix for suffix in KINDS if output.name.lower().endswith(suffix)), "")
    stem = output.name[: len(output.name) - len(suffix)]
    names = [output.with_name(name) for name in ("report", f"{stem}.report", f"{output.name}.report")]
    pairs = [(name.with_name(f"{name.name}.json"), name.with_name(f"{name.name}.html")) for name in names]
    pairs = [pair for pair in pairs if output not in pair]  # records may be named report.json themselves
    spoken = [_output_of(pair) for pair in pairs]
    if output.name in spoken:
        return pairs[spoken.index(output.name)]
    for pair, other in zip(pairs, spoken):
        free = not any(path.exists() for path in pair)
        if free or (other is not None and not output.with_name(other).exists()):
            return pair
    return pairs[-1]


def _output_of(pair: tuple[Path, Path]) -> str | None:
    """The output that a report speaks of; None where there is no report, or another file of its name."""
    try:
        values = json.loads(pair[0].read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    ours = isinstance(values, dict) and values.get("format") == FORMAT
    name = values.get("output") if ours else None
    return name if isinstance(name, str) and Path(name).name == name else None


def _warnings(languages: Mapping[str, dict], tallies: Mapping[str, LanguageTally], maker: Stage1Maker) -> list[dict]:
    """What the user should know of a language before training on it, each as {language, message}."""
    found = []
    for group, values in languages.items():
        coverage, encoder = values["switchable_share"], values["encoder"]
        if not values["records"]:
            found.append((group, "no record is in it; there are too few rows for its weight"))
        elif not values["switchable"]:
            found.append((group, "no word of the text is in its lexicon; its records are plain English"))
        elif coverage < LOW_COVERAGE:
            found.append((group, f"{coverage:.1%} of the words can be switched, below {LOW_COVERAGE:.0%}"))
        if encoder and encoder["switched"]["unknown_share"] > HIGH_UNKNOWN:
            english, switched = (f"{encoder[side]['unknown_share']:.1%}" for side in ("english", "switched"))
            said = f"the encoder's tokenizer does not know {switched} of the tokens of the code-switched text"
            found.append((group, f"{said}, and {english} of the English"))
    if maker.switcher.languages.mix > 1:
        found += _unused(tallies, maker)
    return [{"language": group, "message": message} for group, message in found]


def _unused(tallies: Mapping[str, LanguageTally], maker: Stage1Maker) -> Iterator[tuple[str, str]]:
    """In mixed records counts do not tell languages apart, but the sample does."""
    examples = [example for counted in tallies.values() for example in counted.examples]
    used = Counter(change.language for example in examples for change in example.changes)
    for code in maker.switcher.languages.codes:
        if examples and not used[code]:
            yield code, f"no word of {len(examples):,} records was switched to it"


def _example(example: Example) -> dict[str, Any]:
    """One record with the places of its switched words, counted in characters (Unicode code points)."""
    english, text = example.english[:_LONGEST], example.text[:_LONGEST]
    changes = []
    for change in example.changes:
        before = [change.english_start, change.english_start + len(change.english)]
        after = [change.start, change.start + len(change.translation)]
        if before[1] > len(english) or after[1] > len(text):
            break
        changes.append(
            {
                "language": change.language,
                "english": change.english,
                "translation": change.translation,
                "english_span": before,
                "text_span": after,
            }
        )
    cut = len(example.english) > len(english) or len(example.text) > len(text)
    return {"id": example.id, "english": english, "text": text, "cut_off": cut, "changes": changes}


def _lexicon(lexicon: Lexicon) -> dict[str, Any]:
    """What the lexicon holds, and what cleaning did: {count, examples} by reason and by step."""

    def told(counts: Mapping[str, int]) -> dict[str, dict]:
        return {n: {"count": count, "examples": list(lexicon.examples.get(n, ()))} for n, count in counts.items()}

    return {
        "files": list(lexicon.sources),
        "entries": len(lexicon),
        "pairs": lexicon.pairs,
        "frequencies": len(lexicon.weights),
        "dropped": told(lexicon.dropped),
        "mended": told(lexicon.mended),
    }


def _share(part: int, whole: int) -> float:
    return round(part / whole, 6) if whole else 0.0
