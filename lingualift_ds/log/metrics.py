"""metrics.jsonl: a line per step, each exactly once, whatever the file system does."""

import contextlib
import json
import os
from pathlib import Path

from lingualift_ds.log.outlet import get_logger


class MetricsWriter:
    """Appends one JSON object a line to metrics.jsonl, flushed at once. Only rank 0 should hold one.

    `truncate_after(step)` drops the lines of later steps, so that a resumed run has every step exactly once.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._held: list[str] = []
        self._said = False

    def truncate_after(self, step: int) -> None:
        """Keep only the lines with `step` <= the given one; written aside and renamed. Raises OSError."""
        if not self.path.exists():
            return
        kept = []
        for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line + "\n")
            except (ValueError, KeyError, TypeError):
                continue  # the half line of a killed process: its step is after the checkpoint
        aside = self.path.with_suffix(".tmp")
        with aside.open("w", encoding="utf-8") as file:
            file.write("".join(kept))
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, self.path)

    def write(self, record: dict) -> None:
        """Append one record. What the file system refuses is kept and written with the next one."""
        self._held.append(json.dumps(record) + "\n")
        self._flush()

    def sync(self) -> None:
        """Force what was written to disk, where it can be."""
        self._flush()
        with contextlib.suppress(OSError), self.path.open("rb") as file:
            os.fsync(file.fileno())

    def _flush(self) -> None:
        whole = None
        try:
            with self.path.open("ab") as file:
                whole = file.tell()
                if self._held:
                    file.write("".join(self._held).encode())
            self._held.clear()
            self._said = False
        except OSError as error:
            if not self._said:
                get_logger().warning("%s: cannot be written: %s; its lines are kept", self.path, error.strerror)
            self._said = True
            if whole is not None:
                with contextlib.suppress(OSError):
                    os.truncate(self.path, whole)  # no half line

    def steps(self) -> list[int]:
        """The steps that have a whole line, in the order of the lines."""
        found = []
        text = self.path.read_text(encoding="utf-8", errors="replace") if self.path.exists() else ""
        for line in text.splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError):
                found.append(json.loads(line)["step"])
        return found
