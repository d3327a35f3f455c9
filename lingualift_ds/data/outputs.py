"""Where records go: JSON lines, packed or not, or Parquet, the same bytes however the work was divided.

Workers encode what they made, the one writer joins it in order. A file appears under its name whole or not at all
(data/atomic.py), and its bytes depend on the records alone: neither on the size of blocks nor on the number of
processes nor on the time of day.
"""

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lingualift_ds.data.atomic import AtomicFile, write_aside
from lingualift_ds.data.jsonl import encode_line
from lingualift_ds.errors import ConfigError, DataError

__all__ = ["KINDS", "OutputWriter", "encode", "open_output", "output_kind", "write_aside"]

KINDS = {".jsonl": "lines", ".ndjson": "lines", ".json": "lines", ".jsonl.gz": "packed", ".parquet": "parquet"}
"""Suffix: what is written there."""

_GROUP = 16_384
"""Records of a Parquet row group: tens of MB, which is what the writer holds at a time."""
_PIECE = 1 << 20
"""Bytes that are packed at a time: what comes out of gzip may depend on how it is fed."""
_NUMBERS = ("ratio",)
"""Columns of numbers, which all have a fraction somewhere even where the first ones do not."""


def output_kind(path: Path | str) -> str:
    """What a file of this name holds: "lines", "packed" or "parquet". Raises ConfigError for another suffix."""
    name = Path(path).name.lower()
    for suffix, kind in KINDS.items():
        if name.endswith(suffix) and name != suffix:
            return kind
    raise ConfigError(f"{path}: an output is JSON lines or Parquet; its name must end in {', '.join(KINDS)}")


def encode(records: Sequence[dict[str, Any]], kind: str) -> bytes | list[dict]:
    """Records as the writer of `kind` takes them; meant for the workers, so that the writer only writes.

    Raises:
        DataError: for a record that is no valid JSON.
    """
    if kind == "parquet":
        return list(records)  # which ones share a row group is not known here
    try:
        return b"".join(map(encode_line, records))
    except (TypeError, ValueError, RecursionError):
        for record in records:
            try:
                encode_line(record)
            except (TypeError, ValueError, RecursionError) as error:
                raise DataError(f"record {record.get('id')!r} cannot be written as JSON ({error})") from None
        raise


def open_output(path: Path | str) -> "OutputWriter":
    """A writer for the records that go to `path`, used as `with open_output(path) as output:`.

    Raises:
        ConfigError: for a suffix that is not one of KINDS.
        DataError: where the file cannot be made.
    """
    kinds = {"lines": LinesWriter, "packed": PackedWriter, "parquet": ParquetWriter}
    return kinds[output_kind(path)](path)


class OutputWriter:
    """Takes encoded records in order; the file appears at `commit`, and not at all without it.

    Attributes:
        kind: what `encode` is to be called with.
        count: records taken so far.
    """

    kind = ""

    def __init__(self, path: Path | str):
        self.path = Path(path)
        self.count = 0
        self._file = AtomicFile(path)

    def __enter__(self) -> "OutputWriter":
        return self

    def __exit__(self, *raised: object) -> None:
        self.abort()

    def write(self, block: bytes | list[dict]) -> None:
        """Add what `encode` made of some records. Raises DataError where it cannot be written."""
        raise NotImplementedError

    def commit(self) -> int:
        """Put the file in its place; returns the number of records. Raises DataError, also where there is none."""
        if not self.count:
            raise DataError(f"{self.path}: there is no record to write")
        self._finish()
        self._file.commit()
        return self.count

    def abort(self) -> None:
        """Remove what was written; after `commit` it does nothing."""
        self._file.abort()

    def _finish(self) -> None:
        """Write what is still held."""


class LinesWriter(OutputWriter):
    """JSON lines."""

    kind = "lines"

    def write(self, block: bytes) -> None:
        """Add lines."""
        self._file.write(block)
        self.count += block.count(b"\n")


class PackedWriter(OutputWriter):
    """JSON lines in gzip."""

    kind = "packed"

    def __init__(self, path: Path | str):
        super().__init__(path)
        self._held = bytearray()
        # No name and no time in its head: the same records are the same bytes tomorrow.
        self._packer = gzip.GzipFile(filename="", mode="wb", fileobj=self._file, mtime=0)

    def write(self, block: bytes) -> None:
        """Add lines."""
        self._held += block
        self.count += block.count(b"\n")
        while len(self._held) >= _PIECE:
            self._packer.write(bytes(self._held[:_PIECE]))
            del self._held[:_PIECE]

    def _finish(self) -> None:
        self._packer.write(bytes(self._held))
        self._packer.close()

    def abort(self) -> None:
        """Remove what was written; after `commit` it does nothing."""
        self._packer.fileobj = None  # else it writes its end when it is collected, to a file that is closed
        super().abort()


class ParquetWriter(OutputWriter):
    """Parquet in row groups of one size. The first group decides the columns and their types."""

    kind = "parquet"

    def __init__(self, path: Path | str):
        super().__init__(path)
        self._held: list[dict] = []
        self._written = 0
        self._schema = self._writer = None

    def write(self, block: list[dict]) -> None:
        """Add records."""
        self._held += block
        self.count += len(block)
        while len(self._held) >= _GROUP:
            self._write_group(self._held[:_GROUP])
            del self._held[:_GROUP]

    def _finish(self) -> None:
        if self._held:
            self._write_group(self._held)
        self._writer.close()

    def abort(self) -> None:
        """Remove what was written; after `commit` it does nothing."""
        if self._writer is not None:
            self._writer.is_open = False  # else it writes its end when it is collected, to a file that is closed
        super().abort()

    def _write_group(self, group: list[dict]) -> None:
        import pyarrow
        import pyarrow.parquet as parquet

        names = dict.fromkeys(name for record in group for name in record)
        if self._schema is None:
            columns = {name: [record.get(name) for record in group] for name in names}
            self._schema = pyarrow.schema([(name, _type(name, values)) for name, values in columns.items()])
            self._writer = parquet.ParquetWriter(self._file, self._schema, compression="zstd")
        late = [name for name in names if name not in self._schema.names]
        if late:
            identity = next(record.get("id") for record in group if late[0] in record)
            raise DataError(f"{self.path}: record {identity!r} has a column {late[0]!r}, which those before have not")
        try:
            arrays = [_array([record.get(column.name) for record in group], column) for column in self._schema]
        except (TypeError, ValueError) as error:
            first = self._written + 1
            said = str(error).splitlines()[0]
            raise DataError(f"{self.path}: records from {first:,} on cannot be written as Parquet ({said})") from None
        table = pyarrow.Table.from_arrays(arrays, schema=self._schema)
        self._writer.write_table(table, row_group_size=len(group))
        self._written += len(group)


def _type(name: str, values: list):
    """The Arrow type of a column."""
    import pyarrow

    kinds = {type(value) for value in values} - {type(None)}
    if name in _NUMBERS or (kinds and kinds <= {int, float} and float in kinds):
        return pyarrow.float64()
    if kinds <= {str}:
        return pyarrow.string()
    try:
        return pyarrow.infer_type(values)
    except (TypeError, ValueError):
        return pyarrow.string()  # told where the values are


def _array(values: list, column):
    """The values as an Arrow array of the column's type. Raises TypeError or ValueError where one does not fit."""
    import pyarrow

    # Asked for whole numbers, Arrow cuts fractions off without a word.
    if pyarrow.types.is_integer(column.type) and any(type(value) is float for value in values):
        raise TypeError(f"column {column.name!r} held whole numbers so far, and holds a fraction now")
    try:
        return pyarrow.array(values, type=column.type)
    except pyarrow.ArrowException as error:
        raise TypeError(f"column {column.name!r}: {error}") from None
