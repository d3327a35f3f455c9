"""The manifest of a checkpoint or artefact: written last, it says what must be there, to the byte.

A folder without a valid manifest does not exist for any loader.
"""

import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from lingualift_ds.errors import CheckpointError

NAME = "manifest.json"
FORMAT = 2
_THREADS = 4
"""Files that are hashed at once: SHA-256 is slower than a fast disk."""


def file_entry(path: Path) -> dict[str, Any]:
    """Size in bytes and SHA-256 of a file that was just written, after forcing it to disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return {"size": path.stat().st_size, "sha256": sha256(path)}


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(folder: Path, kind: str, files: dict[str, dict[str, Any]], facts: dict[str, Any]) -> None:
    """Write manifest.json: `files` as `file_entry` gave them by relative path, and any facts beside them."""
    written = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    head = {"format": FORMAT, "kind": kind, "versions": versions(), "written": written}
    write_json(folder / NAME, sealed(head | facts | {"files": files}))


def sealed(manifest: dict[str, Any]) -> dict[str, Any]:
    """A manifest with the SHA-256 of all that it says: its own bytes can be damaged too."""
    said = {key: value for key, value in manifest.items() if key != "seal"}
    return said | {"seal": hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()}


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder. Raises CheckpointError where it is missing, unreadable or of another format."""
    path = folder / NAME
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        found, files = manifest["format"], manifest["files"]
        if not files or not all(isinstance(e["size"], int) and e["sha256"] for e in files.values()):
            raise ValueError("it lists no files")
        outside = [name for name in files if Path(name).is_absolute() or ".." in Path(name).parts]
        if outside:
            raise ValueError(f"it lists a file outside of its folder: {outside[0]}")
    except FileNotFoundError:
        raise CheckpointError(f"{folder}: has no {NAME}: it was not written to its end") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        kind = "" if isinstance(error, (ValueError, OSError)) else f"{error.__class__.__name__} "
        raise CheckpointError(f"{path}: is damaged: {kind}{error}") from None
    if found != FORMAT:
        raise CheckpointError(f"{path}: is of format {found}; this version reads format {FORMAT}")
    if manifest.get("seal") != sealed(manifest)["seal"]:
        raise CheckpointError(f"{path}: is damaged: what it says is not what its seal, a SHA-256, was made of")
    return manifest


def verify(folder: Path, hashes: bool = True) -> dict[str, Any]:
    """The manifest, after every file was found with its size and, unless told not to look, its SHA-256.

    Raises CheckpointError naming a file.
    """
    manifest = read_manifest(folder)
    verify_files(folder, manifest["files"].items(), hashes)
    return manifest


def verify_files(folder: Path, entries: Iterable[tuple[str, dict[str, Any]]], hashes: bool = True) -> None:
    """Hold files of a folder against their entries in its manifest. Raises CheckpointError naming a file."""
    entries = list(entries)
    for name, entry in entries:
        path = folder / name
        if not path.is_file():
            raise CheckpointError(f"{path}: is missing, but {NAME} lists it")
        if path.stat().st_size != entry["size"]:
            raise CheckpointError(f"{path}: has {path.stat().st_size} bytes, {NAME} says {entry['size']}")
    if not hashes:
        return
    with ThreadPoolExecutor(_THREADS) as pool:
        for (name, entry), found in zip(entries, pool.map(lambda e: sha256(folder / e[0]), entries)):
            if found != entry["sha256"]:
                raise CheckpointError(f"{folder / name}: its SHA-256 is not the one in {NAME}: the file is damaged")


def versions() -> dict[str, str]:
    """Versions of the packages that decide what a checkpoint means."""
    found = {}
    for package in ("lingualift_ds", "torch", "deepspeed", "transformers"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found


def write_json(path: Path, value: Any) -> None:
    """Write JSON as `write_text` does."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False))


def write_text(path: Path, text: str) -> None:
    """Write a file beside its name, force it to disk, and rename it into place: it is there whole, or as it was."""
    aside = path.with_name(path.name + ".tmp")
    with aside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)
    sync_folder(path.parent)


def writable(folder: Path, write: Callable[[], Any]) -> Any:
    """The result of `write`; what the file system refuses becomes a CheckpointError that names the folder."""
    try:
        return write()
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{folder}: cannot be written: {error.__class__.__name__} {error}") from error


def sync_folder(folder: Path) -> None:
    """Force the names in a folder to disk, where the file system lets one."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):  # some cannot, and need not
            raise
    finally:
        os.close(descriptor)


def fingerprint(name: str, commit: str | None, hash_of: Callable[[Path], str] = sha256) -> str:
    """Tells one model source from another: a hub name by its commit, a local folder by the SHA-256 of its config and
    of every weight file. `hash_of` gives a file's SHA-256, remembered or new."""
    folder = Path(name)
    if not folder.is_dir():
        return f"commit {commit}" if commit else f"name {name}"
    paths = [p for p in sorted(folder.iterdir()) if p.name == "config.json" or p.suffix in (".safetensors", ".bin")]
    with ThreadPoolExecutor(_THREADS) as pool:
        lines = [f"{path.name} {found}" for path, found in zip(paths, pool.map(hash_of, paths))]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
