"""English text from any number of files, folders and data sets, one after another, as blocks of rows."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lingualift_ds.data.sources.arrays import ArrayInput, open_json
from lingualift_ds.data.sources.files import GZIP_FAULTS, Stamp, look
from lingualift_ds.data.sources.folders import files_of
from lingualift_ds.data.sources.hub import HubInput, is_name
from lingualift_ds.data.sources.lines import LinesInput
from lingualift_ds.data.sources.rows import Block, Columns
from lingualift_ds.data.sources.tables import CsvInput, TableInput
from lingualift_ds.errors import DataError

ROWS = 1000
"""Rows of a block: some hundred KB, a fraction of a second of work."""

Input = LinesInput | ArrayInput | CsvInput | TableInput | HubInput

_BROKEN = {
    "JSON": "not UTF-8, or half a surrogate pair, which is no character",
    "CSV": "not UTF-8; save the file as UTF-8",
    "TSV": "not UTF-8; save the file as UTF-8",
}
"""What is wrong with a text that cannot be encoded, where the reader of a format lets wrong bytes pass."""
_UNITS = {"JSON": "item ", "Parquet": "row ", "Arrow": "row ", "Hugging Face data set": "row "}


@dataclass
class _Opened:
    """An input that was looked at: what it is, what its rows are made of, what it was at that time."""

    name: str
    folder: str | None
    stamp: Stamp | None
    input: Input | None = None
    columns: Columns | None = None
    done: int = 0
    """Rows handed out in this pass."""


class Source:
    """Rows of English text, numbered over all inputs in the order given; made by `open_source`.

    Attributes:
        found: what each input is and which field its text was found in, for the log.
        files: the files that are read, so that none of them is written to.
    """

    def __init__(self, inputs: list[_Opened]):
        self._inputs = inputs
        self._count: int | None = None
        self.found = _found(inputs)
        self.files = [Path(opened.name) for opened in inputs if opened.stamp]

    def blocks(self, rows: int = ROWS) -> Iterator[Block]:
        """All rows, as blocks of at most `rows`; positions do not depend on `rows`.

        Raises:
            DataError: where a file breaks in the middle, or was changed while it was being read.
        """
        position = 0
        for opened in self._inputs:
            opened.done = 0
            with _whole(opened):
                for block in opened.input.blocks(opened.columns, rows, position):
                    yield block
                    opened.done += block.count
                    position += block.count

    def count(self) -> int:
        """Rows in all, the bad and the blank ones too. Reads the files once, where they do not say it themselves."""
        if self._count is None:
            count = 0
            for opened in self._inputs:
                opened.done = 0
                with _whole(opened):
                    count += opened.input.count()
            self._count = count
        return self._count


def open_source(
    paths: Sequence[str | Path],
    field: str | None = None,
    id_field: str | None = None,
    split: str = "train",
    fmt: str | None = None,
) -> Source:
    """Look at all inputs and find their text, reading no more than the first rows of each.

    Args:
        paths: files, folders, or names of data sets on the Hugging Face hub.
        field: column of the text; without it known shapes and names are looked for.
        id_field: column of the ids, `id` without it; a row that has none is known by its number in its file.
        split: which part of a folder or data set, or which key of a JSON object.
        fmt: a key of files.SUFFIXES, for files whose names do not tell.

    Raises:
        DataError: an input that is missing, damaged, empty, given twice or without such columns.
        ConfigError: for an unknown `fmt`.
    """
    inputs = [opened for path in paths for opened in _inputs(str(path), split, fmt)]
    if not inputs:
        raise DataError("no input is named")
    _refuse_twice(inputs)
    for opened, label in zip(inputs, _labels([opened.name for opened in inputs])):
        kind = opened.input.kind
        broken = _BROKEN.get(kind, Columns.broken)
        plain = Columns(opened.name, unit=_UNITS.get(kind, ""), prefix=label, kind=kind, broken=broken)
        with _whole(opened):
            opened.columns = opened.input.columns(plain, field, id_field)
    return Source(inputs)


def _inputs(name: str, split: str, fmt: str | None) -> Iterator[_Opened]:
    """What one path names."""
    path = Path(name)
    if not path.exists() and not path.is_symlink() and fmt is None and is_name(name):
        yield _Opened(name, None, None, HubInput(name, split))
        return
    folder = path.is_dir()
    for file in files_of(path, split, fmt) if folder else [path]:
        opened = _Opened(str(file), name if folder else None, Stamp(file))
        with _whole(opened):
            opened.input = _open_file(file, split, fmt)
        yield opened


def _open_file(path: Path, split: str, fmt: str | None) -> Input:
    kind, packed = look(path, fmt)
    if kind in ("jsonl", "text"):
        return LinesInput(path, packed, records=kind == "jsonl")
    if kind in ("csv", "tsv"):
        return CsvInput(path, packed, tabs=kind == "tsv")
    if kind in ("parquet", "arrow"):
        return TableInput(path, parquet=kind == "parquet")
    return open_json(path, packed, tuple(dict.fromkeys((split, "data"))))


def _refuse_twice(inputs: list[_Opened]) -> None:
    """The same rows twice would bear the same ids, and become the same records."""
    seen: dict[object, str] = {}
    for opened in inputs:
        key = opened.stamp.file if opened.stamp else opened.name
        if key in seen:
            first = f", first as {seen[key]}" if seen[key] != opened.name else ""
            raise DataError(f"{opened.name}: is named twice among the inputs{first}")
        seen[key] = opened.name


def _labels(names: list[str]) -> list[str]:
    """What goes before a row's number in its id: nothing for one input, else what tells its file from the others."""
    if len(names) == 1:
        return [""]
    labels = [Path(name.removesuffix(".gz")).stem for name in names]
    for shorter in (lambda name: Path(name).name, lambda name: "/".join(Path(name).parts[-2:]), str):
        counts = Counter(labels)
        labels = [label if counts[label] == 1 else shorter(name) for label, name in zip(labels, names)]
    return [f"{label}:" for label in labels]


def _found(inputs: list[_Opened]) -> list[str]:
    """A line an input; files of a folder that are alike share one."""
    alike = Counter((opened.folder or opened.name, str(opened.columns)) for opened in inputs)
    return [f"{name}: {f'{count:,} files, ' if count > 1 else ''}{what}" for (name, what), count in alike.items()]


@contextmanager
def _whole(opened: _Opened) -> Iterator[None]:
    """Tell in one line what breaks while a file is read; that it has changed by its end is told before all else."""
    try:
        yield
    except (DataError, OSError, *GZIP_FAULTS) as error:
        if opened.stamp:
            opened.stamp.check()
        if isinstance(error, DataError):
            raise
        what = "broken gzip" if isinstance(error, GZIP_FAULTS) else "cannot be read to its end"
        after = f", somewhere after row {opened.done:,}" if opened.done else ""
        raise DataError(f"{opened.name}: {what} ({getattr(error, 'strerror', None) or error}){after}") from None
    if opened.stamp:
        opened.stamp.check()
