"""A data set of the Hugging Face hub by its name: streamed, so that nothing is loaded whole."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lingualift_ds.data.sources.files import format_by_name
from lingualift_ds.data.sources.rows import Columns, ValuesBlock, find_columns, value_blocks
from lingualift_ds.errors import DataError

_NAME = re.compile(r"(?!.*(?:\.\.|--))[A-Za-z0-9][\w.-]*(?:/[\w.-]+)?(?::[\w.-]+)?", re.ASCII)


def is_name(text: str) -> bool:
    """Whether this may name a data set, as owner/name or owner/name:config, and is no slip in a local path."""
    path = Path(text.partition(":")[0])
    if path.parts[1:] and path.parent.is_dir():
        return False
    return bool(_NAME.fullmatch(text)) and format_by_name(path) is None


class HubInput:
    """One split of a data set of the hub. `name` may end in :config, for those that have several."""

    path = None
    kind = "Hugging Face data set"

    def __init__(self, name: str, split: str):
        self.name, self._split = name, split
        with self._told("is no file or folder here, and as a data set of the Hugging Face hub it cannot be opened"):
            import datasets

            repository, _, config = name.partition(":")
            self._data = datasets.load_dataset(repository, config or None, split=split, streaming=True)

    def columns(self, plain: Columns, field: str | None, id_field: str | None) -> Columns:
        """What the rows are made of (see `find_columns`). Raises DataError."""
        with self._told("cannot be read"):
            return find_columns(plain, ((n, dict(row)) for n, row in enumerate(self._data, start=1)), field, id_field)

    def blocks(self, columns: Columns, rows: int, position: int) -> Iterator[ValuesBlock]:
        """Blocks of at most `rows` rows; `position` is that of the first row."""
        with self._told("cannot be read to its end"):
            values = (
                (number, row.get(columns.field), row.get(columns.more), row.get(columns.id_field))
                for number, row in enumerate(self._data, start=1)
            )
            yield from value_blocks(columns, values, rows, position)

    def count(self) -> int:
        """Rows of the split, from its description; by reading it where that does not say."""
        splits = getattr(self._data.info, "splits", None) or {}
        said = splits[self._split].num_examples if self._split in splits else None
        if said:
            return said
        with self._told("cannot be read to its end"):
            return sum(1 for _ in self._data)

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        except DataError:
            raise
        except Exception as error:  # of the hub's client, datasets, pyarrow, fsspec and aiohttp: a dozen kinds
            said = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
            raise DataError(f"{self.name}: {what} ({said})") from None
