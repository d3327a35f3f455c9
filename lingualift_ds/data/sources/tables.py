"""CSV, Parquet and Arrow: tables whose columns have names, read a batch at a time and only the columns in need."""

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lingualift_ds.data.jsonl import excerpt
from lingualift_ds.data.records import SHAPES
from lingualift_ds.data.sources.files import open_plain
from lingualift_ds.data.sources.lines import LONGEST
from lingualift_ds.data.sources.rows import FIELDS, Columns, Fault, ValuesBlock, find_columns, listed, value_blocks
from lingualift_ds.errors import DataError

_READ = 1 << 20
"""Bytes of a column that are read at a time: not a whole row group."""
_BATCH = 256
"""Rows that are decoded at a time."""


class CsvInput:
    """A file of comma- or tab-separated values with a header; a quoted cell may hold newlines."""

    def __init__(self, path: Path, packed: bool, tabs: bool):
        self.path, self._packed, self._tabs = path, packed, tabs
        self.kind = "TSV" if tabs else "CSV"

    def columns(self, plain: Columns, field: str | None, id_field: str | None) -> Columns:
        """What the rows are made of (see `find_columns`). Raises DataError, also for a column named twice."""
        header, rows = self._open()
        records = ((n, cells if type(cells) is Fault else dict(zip(header, cells))) for n, cells in rows)
        try:
            columns = find_columns(plain, records, field, id_field)
        except DataError as error:
            hint = f"; the first line of a {self.kind} file names its columns" if ": no field" in str(error) else ""
            raise DataError(f"{error}{hint}") from None
        twice = [name for name in columns.needed if header.count(name) > 1]
        if twice:
            raise DataError(f"{self.path}:1: the header names {twice[0]!r} more than once")
        return columns

    def blocks(self, columns: Columns, rows: int, position: int) -> Iterator[ValuesBlock]:
        """Blocks of at most `rows` rows from `position` on. Raises DataError for a quote left open."""
        header, cells = self._open()
        text, more, given = (
            header.index(name) if name in header else None for name in (columns.field, columns.more, columns.id_field)
        )
        values = (
            (number, row, None, None)
            if type(row) is Fault
            else (number, row[text], None if more is None else row[more], None if given is None else row[given])
            for number, row in cells
        )
        return value_blocks(columns, values, rows, position)

    def count(self) -> int:
        """Rows of the table."""
        return sum(1 for _ in self._open()[1])

    def _open(self) -> tuple[list[str], Iterator[tuple[int, list[str] | Fault]]]:
        """The header, and the rows as (line each begins on, its cells or why it is no row)."""
        rows = self._rows()
        first = next(rows, None)
        if first is None:
            raise DataError(f"{self.path}: holds no header")
        if type(first[1]) is Fault:
            raise DataError(f"{self.path}:{first[0]}: {first[1]}")
        return [name.strip() for name in first[1]], _whole(rows, len(first[1]))

    def _rows(self) -> Iterator[tuple[int, list[str] | Fault]]:
        with open_plain(self.path, self._packed) as raw:
            # A wrong byte becomes a lone surrogate in one cell, which its row is then told for.
            file = io.TextIOWrapper(raw, "utf-8", errors="surrogateescape", newline="")
            reader = csv.reader(self._lines(file), delimiter=self._delimiter(), strict=True)
            csv.field_size_limit(LONGEST)
            line = 1
            while True:
                try:
                    cells = next(reader, None)
                except csv.Error as error:
                    if "unexpected end" in str(error) or "field limit" in str(error):
                        raise DataError(
                            f"{self.path}:{line}: a quote that is opened here is never closed, "
                            f"or after {LONGEST >> 20} MB only"
                        ) from None
                    cells = Fault(f"not {self.kind} ({error})")
                if cells is None:
                    return
                if cells:
                    yield line, cells
                line = reader.line_num + 1

    def _lines(self, file: io.TextIOWrapper) -> Iterator[str]:
        number = 0
        while line := file.readline(LONGEST):
            number += 1
            if len(line) == LONGEST:
                raise DataError(f"{self.path}:{number}: a line of over {LONGEST >> 20} MB is no row")
            yield line

    def _delimiter(self) -> str:
        if self._tabs:
            return "\t"
        with open_plain(self.path, self._packed) as file:
            header = file.readline(_READ)
        # Spreadsheets of many countries save CSV with semicolons.
        return "," if b"," in header else next((d for d in (";", "\t") if d.encode() in header), ",")


def _whole(rows: Iterator[tuple[int, list[str] | Fault]], width: int) -> Iterator[tuple[int, list[str] | Fault]]:
    """The rows, a Fault in place of each that has not as many cells as the header: its text may be cut at a comma."""
    for number, cells in rows:
        if len(cells) != width and type(cells) is not Fault:
            if len(cells) == 1 and not cells[0].strip():
                continue  # a blank line, as one without spaces, which the reader leaves out itself
            cells = Fault(f"cells: {len(cells)}, in the header: {width}; found {excerpt(' | '.join(cells))}")
        yield number, cells


class TableInput:
    """A Parquet file, or a file of Arrow record batches such as `save_to_disk` of Hugging Face datasets writes."""

    def __init__(self, path: Path, parquet: bool):
        self.path, self._parquet = path, parquet
        self.kind = "Parquet" if parquet else "Arrow"

    def columns(self, plain: Columns, field: str | None, id_field: str | None) -> Columns:
        """What the rows are made of (see `find_columns`). Raises DataError."""
        names = self._schema().names
        known = {field, id_field, *FIELDS, *(name for shape in SHAPES.values() for name in shape)}
        needed = [name for name in names if name in known]
        return find_columns(plain, self._first(names, needed), field, id_field)

    def _first(self, names: list[str], needed: list[str]) -> Iterator[tuple[int, dict]]:
        number = 0
        for batch in self._batches(needed):
            values = [_values(batch.column(name)) for name in needed]
            for cells in zip(*values) if values else [()] * batch.num_rows:
                number += 1
                held = {name: None if type(cell) is Fault else cell for name, cell in zip(needed, cells)}
                yield number, dict.fromkeys(names) | held

    def blocks(self, columns: Columns, rows: int, position: int) -> Iterator[ValuesBlock]:
        """Blocks of at most `rows` rows; `position` is that of the first row."""
        names = self._schema().names
        return value_blocks(columns, self._cells(columns, names), rows, position)

    def _cells(self, columns: Columns, names: list[str]) -> Iterator[tuple[int, object, object, object]]:
        first = 1
        for batch in self._batches([name for name in columns.needed if name in names]):
            numbers = range(first, first + batch.num_rows)
            nothing = [None] * batch.num_rows
            yield from zip(
                numbers,
                *(
                    _values(batch.column(name)) if name in batch.schema.names else nothing
                    for name in (columns.field, columns.more, columns.id_field)
                ),
            )
            first = numbers.stop

    def count(self) -> int:
        """Rows of the table, from what the file says of itself."""
        import pyarrow.parquet as parquet

        with self._told():
            if self._parquet:
                return parquet.read_metadata(self.path).num_rows
            with self._stream() as stream:
                return sum(batch.num_rows for batch in stream)

    def _schema(self):
        import pyarrow.parquet as parquet

        with self._told():
            if self._parquet:
                schema = parquet.read_schema(self.path)
            else:
                with self._stream() as stream:
                    schema = stream.schema
        twice = [name for name in schema.names if schema.names.count(name) > 1]
        if twice:
            raise DataError(f"{self.path}: names the column {twice[0]!r} more than once; found {listed(schema.names)}")
        return schema

    def _batches(self, names: list[str]) -> Iterator:
        import pyarrow.parquet as parquet

        with self._told():
            if self._parquet:
                with parquet.ParquetFile(self.path, pre_buffer=False, buffer_size=_READ) as file:
                    yield from file.iter_batches(batch_size=_BATCH, columns=names)
                return
            with self._stream() as stream:
                for batch in stream:
                    chosen = batch.select(names)
                    for start in range(0, chosen.num_rows, _BATCH):
                        yield chosen.slice(start, _BATCH)

    @contextmanager
    def _stream(self) -> Iterator:
        """The record batches of an Arrow file, of either layout."""
        import pyarrow

        with pyarrow.OSFile(str(self.path)) as file:
            if file.read(6) == b"ARROW1":
                reader = pyarrow.ipc.open_file(file)
                yield _FileBatches(reader)
            else:
                file.seek(0)
                with pyarrow.ipc.open_stream(file) as stream:
                    yield stream

    @contextmanager
    def _told(self) -> Iterator[None]:
        import pyarrow

        try:
            yield
        except (pyarrow.ArrowException, OSError) as error:
            said = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise DataError(f"{self.path}: broken {self.kind} ({said})") from None


class _FileBatches:
    """The batches of Arrow's file layout, read one after another as those of its stream layout are."""

    def __init__(self, reader):
        self.schema, self._reader = reader.schema, reader

    def __iter__(self) -> Iterator:
        return (self._reader.get_batch(index) for index in range(self._reader.num_record_batches))


def _values(column) -> list:
    """The values of a column, a Fault in place of each text that is not UTF-8."""
    try:
        return column.to_pylist()
    except UnicodeDecodeError:
        return [_value(cell) for cell in column]


def _value(cell) -> object:
    try:
        return cell.as_py()
    except UnicodeDecodeError as error:
        return Fault(f"not UTF-8 ({error.reason} at byte {error.start})")
