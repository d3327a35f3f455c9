"""The manifest of a checkpoint or artefact: written last, it says what must be there, to the byte.

A folder without a valid manifest does not exist for any loader.
"""

import hashlib
import json
import os
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from lingualift_ds.errors import CheckpointError

NAME = "manifest.json"
FORMAT = 1


def file_entry(path: Path) -> dict[str, Any]:
    """Size in bytes and SHA-256 of a file that was just written, after forcing it to disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return {"size": path.stat().st_size, "sha256": sha256(path)}


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(folder: Path, files: dict[str, dict[str, Any]], facts: dict[str, Any]) -> None:
    """Write manifest.json: `files` as `file_entry` gave them by relative path, and any facts beside them."""
    write_json(folder / NAME, {"format": FORMAT, "versions": versions(), **facts, "files": files})


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder. Raises CheckpointError where it is missing, unreadable or of a newer format."""
    path = folder / NAME
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        found, files = manifest["format"], manifest["files"]
        if not files or not all(isinstance(e["size"], int) and e["sha256"] for e in files.values()):
            raise ValueError("it lists no files")
    except FileNotFoundError:
        raise CheckpointError(f"{folder}: has no {NAME}: it was not written to its end") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: is damaged: {error}") from None
    if found != FORMAT:
        raise CheckpointError(f"{path}: is of format {found}; this version reads format {FORMAT}")
    return manifest


def verify(folder: Path, hashes: bool = True) -> dict[str, Any]:
    """The manifest, after every file was found with its size and, unless told not to look, its SHA-256.

    Raises CheckpointError naming a file.
    """
    manifest = read_manifest(folder)
    for name, entry in manifest["files"].items():
        path = folder / name
        if not path.is_file():
            raise CheckpointError(f"{path}: is missing, but {NAME} lists it")
        if path.stat().st_size != entry["size"]:
            raise CheckpointError(f"{path}: has {path.stat().st_size} bytes, {NAME} says {entry['size']}")
        if hashes and sha256(path) != entry["sha256"]:
            raise CheckpointError(f"{path}: its SHA-256 is not the one in {NAME}: the file is damaged")
    return manifest


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
    """Write JSON beside its name, force it to disk, and rename it into place."""
    aside = path.with_name(path.name + ".tmp")
    with aside.open("w", encoding="utf-8") as file:
        json.dump(value, file, indent=2, ensure_ascii=False)
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
    finally:
        os.close(descriptor)


def fingerprint(name: str, commit: str | None) -> str:
    """Tells one model source from another without reading all of it.

    A hub name is its commit. A local folder is the SHA-256 of its config and of every weight file's name, size,
    first and last MiB.
    """
    folder = Path(name)
    if not folder.is_dir():
        return f"commit {commit}" if commit else f"name {name}"
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.name != "config.json" and path.suffix not in (".safetensors", ".bin"):
            continue
        size = path.stat().st_size
        digest.update(f"{path.name} {size} ".encode())
        with path.open("rb") as file:
            digest.update(file.read(1 << 20))
            if size > 1 << 20:
                file.seek(-min(size - (1 << 20), 1 << 20), os.SEEK_END)
                digest.update(file.read())
    return digest.hexdigest()
