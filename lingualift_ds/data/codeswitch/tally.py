"""What code-switching did: counts, histograms and a sample of every language, whatever the number of processes."""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import nsmallest
from typing import NamedTuple

from lingualift_ds.data.codeswitch.block import Change
from lingualift_ds.data.codeswitch.switcher import Switched
from lingualift_ds.data.sources import Bad

BINS = 20
"""Bins of the histogram of the share of words switched; the first has the texts without any, 0 %."""
SAMPLE = 500
"""Records of a language that are kept to be looked at."""
SHOWN = 5
"""Bad rows that are told one by one."""


class Example(NamedTuple):
    """One record as a reader wants to see it; `order` is a hash of its id, by which the sample is drawn."""

    order: int
    id: str
    english: str
    text: str
    changes: tuple[Change, ...]


@dataclass
class LanguageTally:
    """The records of one language, or of one set of languages that were mixed."""

    records: int = 0
    words: int = 0
    switchable: int = 0
    switched: int = 0
    untouched: int = 0
    histogram: list[int] = field(default_factory=lambda: [0] * (BINS + 1))
    """Records by the share of their words that were switched: none at all, up to 1/BINS, up to 2/BINS ..."""
    examples: list[Example] = field(default_factory=list)

    def add(self, switched: Switched) -> None:
        """Count one text."""
        words, count = switched.words, switched.count
        self.records += 1
        self.words += words
        self.switchable += switched.switchable
        self.switched += count
        self.untouched += not count
        self.histogram[-(-BINS * min(count, words) // words) if words else 0] += 1

    def merge(self, other: "LanguageTally") -> None:
        """Add what another block counted."""
        for name in ("records", "words", "switchable", "switched", "untouched"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.histogram = [mine + theirs for mine, theirs in zip(self.histogram, other.histogram)]
        self.examples = nsmallest(SAMPLE, self.examples + other.examples)


@dataclass
class Tally:
    """What came in and went out.

    Attributes:
        rows, blank: rows that came in, and those of them without text.
        bad: rows that could not be used; `told` are the first of them.
        repeated: variants that came out as an earlier one of the same sentence, and were left out.
        languages: by code; codes of mixed languages are joined with commas.
    """

    rows: int = 0
    blank: int = 0
    bad: int = 0
    repeated: int = 0
    told: list[Bad] = field(default_factory=list)
    languages: dict[str, LanguageTally] = field(default_factory=dict)

    def add_bad(self, bad: Bad) -> None:
        """Count a row that cannot be used."""
        self.rows += 1
        self.bad += 1
        if len(self.told) < SHOWN:
            self.told.append(bad)

    def add(self, record: dict, switched: Switched, rate: float) -> None:
        """Count a record; a share `rate` of all, chosen by a hash of their ids, are candidates for the sample."""
        language = self.languages.get(switched.language)
        if language is None:
            language = self.languages[switched.language] = LanguageTally()
        language.add(switched)
        order = zlib.crc32(record["id"].encode("utf-8", "surrogatepass"))
        if order < rate * (1 << 32):
            example = Example(order, record["id"], record["target"], switched.text, switched.changes)
            language.examples.append(example)

    def merge(self, other: "Tally") -> None:
        """Add what the next block counted."""
        for name in ("rows", "blank", "bad", "repeated"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.told = (self.told + other.told)[:SHOWN]
        for code, theirs in other.languages.items():
            self.languages.setdefault(code, LanguageTally()).merge(theirs)

    @property
    def records(self) -> int:
        """Records of all languages."""
        return sum(language.records for language in self.languages.values())


def sampling_rate(records: int, languages: Iterable[str]) -> float:
    """The share of the records that are candidates: twice what the samples hold, so that they are full."""
    return min(1.0, 2 * SAMPLE * len(list(languages)) / max(records, 1))
