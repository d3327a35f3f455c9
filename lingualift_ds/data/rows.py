"""Which rows become samples, and what they are known by: records as files hold them, or English that is switched.

Code-switched rows are made anew as of every epoch: a set of samples is of one epoch, and is prepared and found again
like any other (data/cache.py).
"""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from itertools import takewhile

from lingualift_ds.config.schema import CodeSwitchConfig
from lingualift_ds.data import codeswitch, jsonl, lexicon, sources
from lingualift_ds.data.codeswitch import English, Stage1Maker
from lingualift_ds.data.languages import base_code, language_name
from lingualift_ds.data.records import Record, read_records
from lingualift_ds.errors import ConfigError, DataError
from lingualift_ds.log import get_logger

logger = get_logger(__name__)

_MADE = {"source", "text", "target", "language", "ratio"}
"""Keys of a Stage I record, as `lingualift-ds codeswitch` writes it."""

RISES_UNSEEN = "the ratio rises from the first row to the last, but the samples are shuffled: set data.order to file"
"""What is said of a schedule that no one would notice."""


@dataclass(frozen=True)
class Content:
    """A data file's bytes as a hash, its lines, and how it looked when they were read."""

    path: str
    sha256: str
    lines: int
    look: tuple[int, int]

    @classmethod
    def of(cls, path: str) -> "Content":
        """Read a file that was found to be readable."""
        digest, lines = hashlib.sha256(), 0
        look = _look(path)
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
                lines += block.count(b"\n")
        return cls(path, digest.hexdigest(), lines, look)

    def check_unchanged(self) -> None:
        """Raise DataError where the file was written to since."""
        if _look(self.path) != self.look:
            raise DataError(f"{self.path}: was changed while it was being read; start again when it is complete")


def _look(path: str) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_size, found.st_mtime_ns


@dataclass(frozen=True)
class Rows:
    """The first `limit` usable records of the files, and what serves those that say less.

    Attributes:
        languages: codes of those whose rows are read; empty: all.
        mix: path -> how many times each of its rows is read, 1 where it is not named. Of 0.5 every second row is
            read, of 1.5 every second one again.
        columns: see `read_records`.
        needs: what a row must have, for messages.
        code: modules and packages that decide the records, beside those of all samples.
        libraries: packages that do so.
    """

    paths: tuple[str, ...]
    shape: str
    instruction: str
    limit: int | None = None
    languages: tuple[str, ...] = ()
    mix: Mapping[str, float] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)

    needs = "each needs a text and a target"
    code = ()
    libraries = ()

    def __str__(self) -> str:
        return ", ".join(self.paths)

    @property
    def most(self) -> int | None:
        """Samples at which to stop."""
        return self.limit

    def contents(self) -> list[Content]:
        """What the files hold. Raises DataError for one that cannot be read."""
        return [self._content(path) for path in self.paths]

    def _content(self, path: str) -> Content:
        jsonl.read_lines(path)  # says in its own words what is wrong with the file
        return Content.of(path)

    def count(self, contents: Sequence[Content]) -> int:
        """Rows to be read, at most."""
        lines = sum(content.lines for content in contents)
        return lines if self.languages or self.mix else min(lines, self.limit or lines)

    def described(self) -> dict:
        """What decides the records, beside the files, as JSON holds it."""
        return {
            "shape": self.shape,
            "instruction": self.instruction,
            "limit": self.limit,
            "languages": sorted(self._wanted),
            "mix": [self.mix.get(path, 1.0) for path in self.paths],
            "columns": dict(self.columns),
        }

    def records(self, advance: Callable[[], None], dropped: Counter) -> Iterator[Record]:
        """The records of all files, in order. Among several files an id is told by its file too, and (2) by the second
        time that its row is read.

        `advance` is called for every row; `dropped` counts by reason those that give no record. Raises DataError, at
        the end, for a language that no row has.
        """
        there: set[str] = set()
        try:
            for path in self.paths:
                found = self._of_languages(self._read(path, advance), there, dropped)
                for number, record in enumerate(found):
                    times = _times(number, self.mix[path]) if path in self.mix else 1
                    if not times:
                        dropped["left out by data.mix"] += 1
                    for time in range(1, times + 1):
                        yield record if time == 1 else replace(record, id=f"{record.id} ({time})")
        except GeneratorExit:  # at the limit
            if unseen := sorted(self._wanted - there):
                logger.warning("%s: data.limit ends before any row in %s", self, ", ".join(unseen))
            raise
        if missing := sorted(self._wanted - there):
            raise DataError(
                f"{self}: data.languages: no row is in {', '.join(missing)}; there are: {', '.join(sorted(there))}"
            )

    def _read(self, path: str, advance: Callable[[], None]) -> Iterator[Record]:
        for record in read_records(path, self.shape, self.instruction, self.columns):
            advance()
            yield replace(record, id=f"{path}:{record.id}") if len(self.paths) > 1 else record

    def _of_languages(self, records: Iterator[Record], there: set[str], dropped: Counter) -> Iterator[Record]:
        """The records of the languages that are wanted, of several in one text all of them; `there` gets all codes."""
        if not self.languages:
            yield from records
            return
        wanted = self._wanted
        for record in records:
            spoken = {base_code(code) for code in record.language.split(",")}
            there |= spoken
            if spoken <= wanted:
                yield record
            else:
                dropped["dropped, other languages"] += 1

    @property
    def _wanted(self) -> set[str]:
        return {base_code(code) for code in self.languages}


@dataclass(frozen=True)
class SwitchedRows:
    """The first `limit` rows of English, code-switched as of an epoch; the rest as `Rows` has it.

    `instruction` None: the one that Stage I records carry. For one file the records of epoch 0 are those that
    `lingualift-ds codeswitch` writes with the same settings and seed.
    """

    paths: tuple[str, ...]
    maker: Stage1Maker
    epoch: int = 0
    field: str | None = None
    instruction: str | None = None
    limit: int | None = None

    needs = "each needs an English text, and room for its records"
    most = None
    # Whole packages: a module that came to them later must not be forgotten here.
    code = (codeswitch, lexicon, sources)
    libraries = ("regex", "simplemma")

    def __str__(self) -> str:
        return f"{', '.join(self.paths)}, epoch {self.epoch}"

    @cached_property
    def _source(self) -> sources.Source:
        return sources.open_source(self.paths, self.field)

    def contents(self) -> list[Content]:
        """What the files hold. Raises DataError for one that cannot be read, has no English, or is switched already."""
        for found in self._source.found:
            logger.info("code-switching %s", found)
        for path in self.paths:
            _refuse_switched(path)
        return [Content.of(path) for path in self.paths]

    def count(self, contents: Sequence[Content] = ()) -> int:
        """Rows to be read; reads the files once where they do not say it themselves."""
        rows = self._source.count()
        return min(rows, self.limit or rows)

    def described(self) -> dict:
        """What decides the records, beside the files, as JSON holds it."""
        return {
            "switching": self.maker.digest,
            "seed": self.maker.switcher.seed,
            "epoch": self.epoch,
            "field": self.field,
            "instruction": self.instruction,
            "limit": self.limit,
        }

    def records(self, advance: Callable[[], None], dropped: Counter) -> Iterator[Record]:
        """The records of all rows, in order; as `Rows.records`. Raises DataError for a row that cannot be used."""
        count = self.count()
        last = max(count - 1, 1)
        for block in self._source.blocks():
            rows = [row for row in block.rows() if row.position < count]
            # What comes before a row that cannot be used is said before it is.
            usable = [*takewhile(lambda row: not isinstance(row, sources.Bad), rows)]
            made = self.maker.switch_all([English(r.id, r.text, r.position / last) for r in usable], self.epoch)
            for row, pairs in zip(usable, made):
                advance()
                if not pairs:
                    dropped["dropped, no text"] += 1
                yield from (self._record(record, row.where) for record, _ in pairs)
            if len(usable) < len(rows):
                bad = rows[len(usable)]
                raise DataError(f"{bad.where}: {bad.message}")
            if block.position + block.count >= count:
                return

    def _record(self, made: dict, where: str) -> Record:
        name, told, language = made["id"], made["instruction"], made["language"]
        if len(self.paths) > 1:
            name = f"{where.rpartition(':')[0]}:{name}"  # the ids of several files may be the same
        if self.instruction is not None:
            told = self.instruction.replace("{language}", " and ".join(map(language_name, language.split(","))))
        return Record(name, made["text"], told, made["target"].strip(), language)


def _times(number: int, times: float) -> int:
    """How often the row of this number, from 0, is read, so that all rows are read `times` on average, and the first
    one first."""
    rows, of = Fraction(str(times)).as_integer_ratio()  # exact: a product of floats may just miss a whole number
    return number * -rows // of - (number + 1) * -rows // of


RowSet = Rows | SwitchedRows


def _refuse_switched(path: str) -> None:
    """Raise DataError for a file of Stage I records: switched once more, it would be no one's English."""
    if not path.endswith(".jsonl"):
        return
    _, first = next(jsonl.read_jsonl(path))
    if first.keys() >= _MADE:
        raise DataError(
            f"{path}: holds Stage I records, but data.codeswitch makes them of English; name the text that they were "
            "made from, or leave data.codeswitch out"
        )


def stage1_maker(settings: CodeSwitchConfig, seed: int, key: str) -> Stage1Maker:
    """What switches the rows of a stage, its lexicons read. Raises ConfigError naming the key; DataError for a
    lexicon."""
    try:
        return Stage1Maker.from_config(settings, seed)
    except ConfigError as error:
        raise ConfigError(*[f"{key}: {problem}" for problem in error.problems]) from None
