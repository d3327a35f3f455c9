"""Tables with a column a language: TSV, CSV, JSON lines and Parquet."""

import csv
from collections.abc import Iterator
from pathlib import Path

from lingualift_ds.data.jsonl import excerpt, read_jsonl, read_lines
from lingualift_ds.data.languages import LANGUAGES, base_code, language_code
from lingualift_ds.data.sources.files import format_by_name
from lingualift_ds.errors import DataError
from lingualift_ds.log import get_logger

logger = get_logger(__name__)

_ALLOWED = ".tsv, .csv, .jsonl or .parquet"
_ID = "id"
"""Indonesian, or what tells rows apart: a language only where it is asked for."""


def read_columns(path: Path, wanted: list[str] | None, english: str) -> dict[str, dict[str, str]]:
    """Sentences by language and row (from 1); blank cells are left out. Other columns are named in the log.

    Columns are named by code (sw, swh_Latn) or English name (Swahili); `wanted` names codes as the table has them.
    Raises DataError: no such file or column, two columns of a language, or, naming the row, a cell that is no text.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file or folder")
    names, rows = _open(path)
    columns, ignored = _languages(path, names, wanted, english)
    if ignored:
        logger.info("%s: columns that are not used: %s", path, ", ".join(ignored))
    found: dict[str, dict[str, str]] = {code: {} for code in columns}
    for number, row in rows:
        for code, name in columns.items():
            cell = row.get(name)
            if cell is not None and not isinstance(cell, str):
                raise DataError(f"{path}: row {number}: {name!r} must be text, found {excerpt(repr(cell))}")
            if cell and cell.strip():
                found[code][str(number)] = cell.strip()
    return found


def _languages(
    path: Path, names: list[str], wanted: list[str] | None, english: str
) -> tuple[dict[str, str], list[str]]:
    """Column by language code, English first; and the columns that are none or not asked for."""
    columns: dict[str, str] = {}
    for name in names:
        code = language_code(name) or name
        code = english if base_code(code) == english else code
        if base_code(code) not in LANGUAGES or (name == _ID and _ID not in (wanted or ())):
            continue
        if code in columns:
            raise DataError(f"{path}: two columns of language {code!r}: {columns[code]}, {name}; leave one")
        columns[code] = name
    missing = [code for code in (english, *(wanted or ())) if code not in columns]
    if missing:
        raise DataError(
            f"{path}: has no column of language {', '.join(map(repr, missing))}; found the columns "
            f"{', '.join(names)}; each language needs one, named by its code, such as en and sw"
        )
    columns = {code: columns[code] for code in (english, *(wanted or (c for c in columns if c != english)))}
    return columns, [name for name in names if name not in columns.values()]


def _open(path: Path) -> tuple[list[str], Iterator[tuple[int, dict]]]:
    """Names of the columns, and the rows with their numbers from 1."""
    kind = format_by_name(path)
    if path.name.endswith(".gz") or kind not in ("tsv", "csv", "jsonl", "parquet"):
        raise DataError(f"{path}: its name does not tell a table that can be read: {_ALLOWED}")
    if kind == "parquet":
        return _parquet(path)
    if kind == "jsonl":
        records = [record for _, record in read_jsonl(path)]
        return list(dict.fromkeys(name for record in records for name in record)), iter(enumerate(records, start=1))
    return _cells(path, kind)


def _cells(path: Path, kind: str) -> tuple[list[str], Iterator[tuple[int, dict]]]:
    lines = [line for _, line in read_lines(path, keep_blank=kind == "csv")]
    if kind == "tsv":  # by hand: the csv module would take the quotation marks of the sentences for its own
        table = [line.split("\t") for line in lines]
    else:
        try:
            table = [cells for cells in csv.reader([line + "\n" for line in lines], strict=True) if cells]
        except csv.Error as error:
            raise DataError(f"{path}: broken CSV ({error})") from None
    names = [name.strip() for name in table[0]]
    for number, cells in enumerate(table[1:], start=1):
        if len(cells) != len(names):
            raise DataError(
                f"{path}: row {number} has {len(cells)} cells, the header {len(names)}: {excerpt(' | '.join(cells))}"
            )
    return names, ((number, dict(zip(names, cells))) for number, cells in enumerate(table[1:], start=1))


def _parquet(path: Path) -> tuple[list[str], Iterator[tuple[int, dict]]]:
    import pyarrow
    import pyarrow.parquet as parquet

    try:
        table = parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        said = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise DataError(f"{path}: broken Parquet ({said})") from None
    return table.column_names, iter(enumerate(table.to_pylist(), start=1))
