"""What a row is, and which of a file's columns it is made of: decided once a file, before any work is handed out.

A row that cannot be used is a `Bad`, never an exception: among millions of rows it is counted and told, and the
caller says how many are too many.
"""

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple, Protocol

from lingualift_ds.data.jsonl import kind_name
from lingualift_ds.data.records import SHAPES
from lingualift_ds.errors import DataError

FIELDS = ("text", "sentence", "question", "query", "instruction", "english", "content", "prompt")
"""Columns that a row's English is looked for under, where its shape is none of records.SHAPES."""

_SHAPE_NAMES = {"records": "own", "gsm8k": "GSM8K", "metamath": "MetaMathQA", "alpaca": "Alpaca"}
_LOOK = 1000
"""Rows of a file that are looked at before it is said to hold no text."""
BLOCK_BYTES = 1 << 22
"""Text above which a block is not filled further: what waits for a worker stays small."""
_SHOWN = 12
"""Column names in a message."""


class Row(NamedTuple):
    """A row: its id, its English (may be blank), "file:line" for messages, and its number over all inputs from 0."""

    id: str
    text: str
    where: str
    position: int


class Bad(NamedTuple):
    """A row that cannot be used: where it stands, why, and its number over all inputs from 0."""

    where: str
    message: str
    position: int


class Fault(str):
    """Stands where a row's text should, and says why there is none."""


class Block(Protocol):
    """Neighbouring rows of one file, small and picklable: made in one process, parsed in another."""

    position: int
    """Position of the first row."""
    count: int
    """Rows, the bad and the blank ones too."""

    def rows(self) -> Iterator[Row | Bad]:
        """The rows, in order."""


@dataclass(frozen=True)
class Columns:
    """Where the parts of a file's rows are found.

    Attributes:
        file: the file as messages name it.
        unit: what its numbers count, where that is not lines: "row " or "item ".
        prefix: what tells this file's numbers from those of other inputs, in the ids of rows that have none.
        kind: what the file is, for the log: "JSON lines".
        field: column of the text; None where rows are nothing but text.
        more: column whose text, where not blank, follows on a new line (Alpaca's `input`).
        id_field: column of the id.
        shape: name of the shape by which `field` was found, or None.
        broken: what is wrong with a text that cannot be encoded.
    """

    file: str
    unit: str = ""
    prefix: str = ""
    kind: str = ""
    field: str | None = None
    more: str | None = None
    id_field: str = "id"
    shape: str | None = None
    broken: str = "half a surrogate pair is no character"

    def __str__(self) -> str:
        if self.field is None:
            return f"{self.kind}, a sentence a line"
        return f"{self.kind}, {self.shape + ' rows, ' if self.shape else ''}field {self.field!r}"

    @property
    def needed(self) -> list[str]:
        """The columns to read: text, more text and id, as far as they are."""
        return list(dict.fromkeys(name for name in (self.field, self.more, self.id_field) if name))

    def row(self, number: int, position: int, text: object, more: object = None, given: object = None) -> Row | Bad:
        """The row of these values: `number` counts in the file, `given` is what its id column holds."""
        where = f"{self.file}:{self.unit}{number}"
        if type(text) is not str:
            said = text if type(text) is Fault else f"field {self.field!r} is not text but {kind_name(text)}"
            return Bad(where, str(said), position)
        if more:
            if type(more) is not str:
                return Bad(where, f"field {self.more!r} is not text but {kind_name(more)}", position)
            if not more.isspace():
                text = f"{text}\n{more}"
        if type(given) is str and given:
            name = given
        else:
            name = str(given) if type(given) is int else f"{self.prefix}{number}"
        if not (text.isascii() and name.isascii()):
            try:
                text.encode()
                name.encode()
            except UnicodeEncodeError:
                return Bad(where, self.broken, position)
        return Row(name, text, where, position)

    def record(self, number: int, position: int, record: object) -> Row | Bad:
        """The row of an object as it was parsed."""
        if type(record) is not dict:
            said = record if type(record) is Fault else no_object(record)
            return Bad(f"{self.file}:{self.unit}{number}", str(said), position)
        if self.field not in record:
            return Bad(f"{self.file}:{self.unit}{number}", self.missing(record), position)
        more = record.get(self.more) if self.more else None
        return self.row(number, position, record[self.field], more, record.get(self.id_field))

    def missing(self, names: Iterable[str]) -> str:
        """What is said of a row that has these columns and lacks the one of the text."""
        return f"no field {self.field!r}; found {listed(names)}"


@dataclass(frozen=True)
class ValuesBlock:
    """Rows of a format that is parsed where it is read: their values, column by column."""

    columns: Columns
    position: int
    numbers: list[int]
    texts: list
    more: list
    ids: list

    @property
    def count(self) -> int:
        """Rows of this block."""
        return len(self.texts)

    def rows(self) -> Iterator[Row | Bad]:
        """The rows, in order."""
        values = zip(self.numbers, self.texts, self.more, self.ids)
        for position, (number, text, more, given) in enumerate(values, self.position):
            yield self.columns.row(number, position, text, more, given)


def value_blocks(
    columns: Columns, values: Iterable[tuple[int, object, object, object]], rows: int, position: int
) -> Iterator[ValuesBlock]:
    """Blocks of at most `rows` rows and a few MB, of (number in the file, text, more text, id)."""
    held: list[tuple] = []
    size = 0
    for value in values:
        held.append(value)
        size += len(value[1]) if type(value[1]) is str else 0
        if len(held) >= rows or size >= BLOCK_BYTES:
            yield ValuesBlock(columns, position, *map(list, zip(*held)))
            position += len(held)
            held, size = [], 0
    if held:
        yield ValuesBlock(columns, position, *map(list, zip(*held)))


def no_object(value: object) -> str:
    """What is said of a row that is some other JSON."""
    return f"found a JSON {kind_name(value)}, an object {{...}} a row is needed"


def listed(names: Iterable[str]) -> str:
    """Column names for a message: the first few."""
    names = [str(name)[:40] for name in names]
    names = [name if name.isprintable() else repr(name) for name in names]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return (", ".join(names[:_SHOWN]) or "none") + more


def find_columns(
    plain: Columns, rows: Iterable[tuple[int, object]], field: str | None, id_field: str | None
) -> Columns:
    """The columns of a file, told from its first usable row; `plain` holds what is known without looking.

    `rows` are its first rows as (number, object or Fault). The text is `field`, or that of a known shape, or the
    first of FIELDS that holds text.

    Raises:
        DataError: where no row of the first thousand has such a column with text in it, or the id's.
    """
    seen: dict[str, None] = {}
    first = fault = blank = found = None
    for number, record in islice(rows, _LOOK):
        if type(record) is not dict:
            fault = fault or (number, record if type(record) is Fault else no_object(record))
            continue
        if first is None or (field in record and field not in seen):
            first = number, record
        seen |= dict.fromkeys(record)
        if found is None:
            text = _match(record, field)
            blank = blank or text
            found = text if text and record[text.field].strip() else None
        if found and (id_field is None or id_field in seen):
            break
    if first is None and fault is None:
        raise DataError(f"{plain.file}: holds no row")
    if first is None:
        raise DataError(f"{plain.file}:{plain.unit}{fault[0]}: {fault[1]}; none of its first rows can be used")
    found = found or blank
    where = f"{plain.file}:{plain.unit}{first[0]}"
    if found is None:
        raise DataError(f"{where}: {_nothing_found(first[1], seen, field)}")
    if id_field is not None and id_field not in seen:
        raise DataError(f"{where}: no field {id_field!r} for the ids; found {listed(seen)}{_nearest(id_field, seen)}")
    return replace(plain, **found._asdict(), id_field=id_field or "id")


class _Match(NamedTuple):
    field: str
    more: str | None = None
    shape: str | None = None


def _match(record: dict, field: str | None) -> _Match | None:
    """What the text of this row is made of, where it has text."""
    if field is not None:
        return _Match(field) if isinstance(record.get(field), str) else None
    for shape, (text, target) in SHAPES.items():
        if target in record and isinstance(record.get(text), str):
            return _Match(text, "input" if shape == "alpaca" else None, _SHAPE_NAMES[shape])
    held = [name for name in FIELDS if isinstance(record.get(name), str)]
    name = next((name for name in held if record[name].strip()), held[0] if held else None)
    if name == "instruction" and "input" in record:
        return _Match(name, "input", _SHAPE_NAMES["alpaca"])
    return None if name is None else _Match(name)


def _nothing_found(record: dict, seen: Iterable[str], field: str | None) -> str:
    if field is None:
        return f"no field with English text; found {listed(seen)}; looked for {', '.join(FIELDS)}: name the field"
    if field in seen:
        return f"field {field!r} is not text but {kind_name(record[field])}; found {listed(seen)}"
    return f"no field {field!r}; found {listed(seen)}{_nearest(field, seen)}"


def _nearest(name: str, names: Iterable[str]) -> str:
    lowered = {str(known).lower(): known for known in names}
    near = difflib.get_close_matches(name.lower(), lowered, n=1)
    return f"; did you mean {lowered[near[0]]!r}?" if near else ""
