"""What a model has answered so far, on disk: a line a request, appended at once, so that a killed evaluation goes on.

OUT/evaluation.json          whose answers these are: model and settings
OUT/answered/rank-N.jsonl    {"key": SHA-256 of the request, ...what came of it}
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lingualift_ds import dist
from lingualift_ds.data.atomic import write_aside
from lingualift_ds.errors import ConfigError, DataError
from lingualift_ds.log import get_logger

logger = get_logger("evaluate")


class Answered:
    """The answers in a folder: those found at the start, and a file for this rank's new ones. Collective to make.

    Raises:
        ConfigError: where the folder holds answers of another model or of other settings.
        DataError: where it cannot be read or written.
    """

    def __init__(self, output: Path, identity: dict[str, Any]):
        self.folder, self.identity = output / "answered", identity
        # Rank 0 reads for all: a rank that reads later would find what others have written meanwhile.
        self.found: dict[str, dict[str, Any]] = dist.on_main(lambda: self._open(output))
        self._path = self.folder / f"rank-{dist.read_place().rank}.jsonl"

    def get(self, key: str) -> dict[str, Any] | None:
        """What came of a request before this process started."""
        return self.found.get(key)

    def add(self, answers: Iterable[tuple[str, dict[str, Any]]]) -> None:
        """Append answers by key. Raises DataError where the disk refuses."""
        lines = "".join(json.dumps({"key": key} | answer, ensure_ascii=False) + "\n" for key, answer in answers)
        try:
            with self._path.open("ab") as file:
                file.write(lines.encode())
        except OSError as error:
            raise DataError(f"{self._path}: cannot be written: {error.strerror}") from None

    def _open(self, output: Path) -> dict[str, dict[str, Any]]:
        about = output / "evaluation.json"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if about.is_file():
                self._check(about)
            else:
                write_aside(about, json.dumps(self.identity, indent=2, ensure_ascii=False))
            found: dict[str, dict[str, Any]] = {}
            for path in sorted(self.folder.glob("rank-*.jsonl")):
                found.update(_read(path))
        except OSError as error:
            raise DataError(f"{error.filename or output}: cannot be used: {error.strerror}") from None
        if found:
            logger.info("%s: goes on, %d answers are there", output, len(found))
        return found

    def _check(self, about: Path) -> None:
        try:
            there = dict(json.loads(about.read_text(encoding="utf-8")))
        except (ValueError, TypeError):
            raise DataError(f"{about}: is damaged; choose another --output, or remove that folder") from None
        other = [key for key in self.identity if there.get(key) != self.identity[key]]
        if other:
            said = ", ".join(f"{key} {there.get(key)!r}, not {self.identity[key]!r}" for key in other)
            raise ConfigError(f"{about.parent}: holds an evaluation with {said}; choose another --output")


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """The whole lines of a file. A last line that was cut short is taken off the file, so that more can follow."""
    found, whole = {}, 0
    data = path.read_bytes()
    for number, line in enumerate(data.splitlines(keepends=True), start=1):
        try:
            if not line.endswith(b"\n"):
                raise ValueError
            answer = json.loads(line)
            found[answer.pop("key")] = answer
        except (ValueError, KeyError, TypeError, AttributeError):
            logger.warning("%s:%d: is damaged and left out; what it answered is asked again", path, number)
        if line.endswith(b"\n"):
            whole += len(line)
    if whole < len(data):
        os.truncate(path, whole)
    return found
