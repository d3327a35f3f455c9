"""SHA-256 of the base models' files, computed once and remembered for as long as a file's size and time stay."""

import json
from pathlib import Path

from lingualift_ds.checkpoint.manifest import fingerprint, sha256, write_json
from lingualift_ds.data.lock import turn
from lingualift_ds.errors import ConfigError

_FILE = "source_hashes.json"


def source_fingerprint(name: str, commit: str | None, cache: Path) -> str:
    """Tells one model source from another by all of its bytes; see `fingerprint`. The first process of a node hashes,
    the others find it in `cache`. Raises ConfigError where `cache` cannot be written."""
    if not Path(name).is_dir():
        return fingerprint(name, commit)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with turn(cache / f"{_FILE}.lock", f"hashing {name}"):
            known = _read(cache / _FILE)
            before = dict(known)
            found = fingerprint(name, commit, lambda path: _remembered(path, known))
            if known != before:
                write_json(cache / _FILE, known)
            return found
    except OSError as error:
        raise ConfigError(f"run.cache: {cache}: cannot be written: {error.strerror or error}") from None


def _remembered(path: Path, known: dict[str, dict]) -> str:
    at, state = str(path.resolve()), path.stat()
    file = [state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino]
    if known.get(at, {}).get("file") != file:
        known[at] = {"file": file, "sha256": sha256(path)}
    return known[at]["sha256"]


def _read(path: Path) -> dict[str, dict]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {at: entry for at, entry in found.items() if {"file", "sha256"} <= entry.keys()}
    except (FileNotFoundError, ValueError, AttributeError):
        return {}  # absent, or not ours: it is made anew
