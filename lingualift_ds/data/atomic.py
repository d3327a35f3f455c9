"""Files that appear under their names whole or not at all.

What is written goes to a temporary file in the same folder, is forced to disk, and is renamed into place at the end.
Where anything fails before that, an older file of that name stays as it was, and the temporary one is removed.
"""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from lingualift_ds.errors import DataError

_BUFFER = 1 << 20


class AtomicFile:
    """A binary file to write, used as `with AtomicFile(path) as file:`; without `commit` nothing appears.

    The folder is made where it is missing. A symbolic link stays one: what it points to is replaced.

    Raises:
        DataError: here, or while writing, where the file system refuses; here for a folder or a device at `path`.
    """

    def __init__(self, path: Path | str):
        self.path = Path(path)
        self._final = Path(os.path.realpath(path))
        # Short and random: a name may be as long as the file system lets it, and in containers process ids recur.
        self._aside = self._final.with_name(f".{self._final.name[:40]}.{secrets.token_hex(4)}.tmp")
        try:
            if self._final.exists() and not self._final.is_file():
                raise DataError(f"{path}: is not a plain file, records cannot be written there")
            self._final.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._aside.open("xb", buffering=_BUFFER)
        except OSError as error:
            raise self.refused(error) from None

    def __enter__(self) -> "AtomicFile":
        return self

    def __exit__(self, *raised: object) -> None:
        self.abort()

    @property
    def closed(self) -> bool:
        """Whether nothing more can be written, as libraries ask that write to it."""
        return self._file.closed

    def flush(self) -> None:
        """Nothing: `commit` does it, once."""

    def write(self, data: bytes) -> int:
        """Add bytes at the end. Raises DataError where they do not fit."""
        try:
            return self._file.write(data)
        except OSError as error:
            raise self.refused(error) from None

    def commit(self) -> None:
        """Force what was written to disk and give it its name. Raises DataError."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            os.replace(self._aside, self._final)
        except OSError as error:
            raise self.refused(error) from None
        _sync_folder(self._final.parent)

    def abort(self) -> None:
        """Remove what was written; after `commit` it does nothing."""
        with suppress(OSError):  # closing writes what is buffered, and a full disk refuses that once more
            self._file.close()
        with suppress(OSError):
            self._aside.unlink(missing_ok=True)

    def refused(self, error: OSError) -> DataError:
        """The one line for what the file system said."""
        return DataError(f"{self.path}: cannot be written ({error.strerror or error})")


def write_aside(path: Path | str, text: str) -> None:
    """Write a small text file, such as a report, whole or not at all. Raises DataError."""
    with AtomicFile(path) as file:
        file.write(text.encode("utf-8"))
        file.commit()


def _sync_folder(folder: Path) -> None:
    """Force the new name to disk too, where the file system can: the file itself is safe either way."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
