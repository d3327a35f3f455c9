"""Folders of models to be evaluated: ours, and any causal LM that transformers knows, to compare with."""

from pathlib import Path

from lingualift_ds.checkpoint.manifest import NAME, fingerprint, read_manifest
from lingualift_ds.hub.folders import find_folder, is_ours, read_described


def is_bridged(folder: Path | str) -> bool:
    """Whether a folder, or the run it lies in, holds a model of ours. Raises CheckpointError where it holds none."""
    return is_ours(read_described(find_folder(folder)))


def identity(folder: Path | str) -> str:
    """Tells one model from another: the seal of its manifest, or the SHA-256 of its weights."""
    folder = find_folder(folder)
    if (folder / NAME).is_file():
        return read_manifest(folder)["seal"]
    return fingerprint(str(folder), None)
