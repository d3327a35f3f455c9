"""Folders of data: which of their files are meant, told from names alone; nothing is read twice or mixed unasked."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

from lingualift_ds.data.sources.files import SUFFIXES, format_by_name
from lingualift_ds.data.sources.rows import listed
from lingualift_ds.errors import DataError

_SPLITS = frozenset("train training test testing validation valid val dev eval".split())
_DEEPEST = 2
"""Folders below the one named in which data is looked for: `data/`, `main/`."""
_PAPERS = ("dataset_infos.json", "dataset_info.json", "state.json")
_NOT_ROWS = ("json", "text")
"""Formats in which a folder's own papers are written, too: they are data only where nothing else is."""


def files_of(folder: Path, split: str, fmt: str | None = None) -> list[Path]:
    """The data files of a folder, in order: what `save_to_disk` of Hugging Face datasets wrote, or plain files.

    Where names tell splits (train-00000-of-00002.parquet, train/part1.jsonl), those of `split`.

    Raises:
        DataError: where there are none, none of this split, or files of several formats or subfolders.
    """
    if (folder / "dataset_dict.json").is_file():
        splits = _saved(folder / "dataset_dict.json", "splits")
        if split not in splits:
            raise DataError(f"{folder}: has no split {split!r}; found {listed(splits)}")
        folder = folder / split
    if (folder / "state.json").is_file():
        return _saved_files(folder)
    return _plain_files(folder, split, fmt)


def _saved_files(folder: Path) -> list[Path]:
    state = folder / "state.json"
    if any(_saved(state, key, []) for key in ("_indices_files", "_indices_data_files")):
        raise DataError(f"{folder}: is saved with a list of chosen rows; call flatten_indices() and save it again")
    names = [entry.get("filename") if isinstance(entry, dict) else None for entry in _saved(state, "_data_files")]
    if not names or not all(isinstance(name, str) for name in names):
        raise DataError(f"{state}: names no data files")
    return [folder / name for name in names]


def _saved(path: Path, key: str, default: list | None = None) -> list:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        value = value.get(key, default) if default is not None else value[key]
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DataError(f"{path}: is damaged: no {key!r} can be read from it") from None
    return value if isinstance(value, list) else [] if value is None else list(value)


def _plain_files(folder: Path, split: str, fmt: str | None) -> list[Path]:
    everything = sorted(_walk(folder))
    found: dict[str, list[Path]] = {}
    for path in everything:
        kind = format_by_name(path)
        if kind is not None and path.name not in _PAPERS and fmt in (None, kind):
            found.setdefault(kind, []).append(path)
    if len(found) > 1:
        found = {kind: paths for kind, paths in found.items() if kind not in _NOT_ROWS} or found
    chosen = {kind: _of_split(folder, paths, split) for kind, paths in found.items()}
    chosen = {kind: paths for kind, paths in chosen.items() if paths}
    if not found:
        names = [path.name for path in everything]
        suffixes = ", ".join(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)
        raise DataError(f"{folder}: is a folder without data files; found {listed(names)}; looked for {suffixes}")
    if not chosen:
        told = {word for paths in found.values() for path in paths for word in _words(folder, path, split)}
        raise DataError(f"{folder}: has no files of the split {split!r}; found {listed(sorted(told))}")
    if len(chosen) > 1:
        raise DataError(
            f"{folder}: holds files of several formats ({', '.join(sorted(chosen))}), which may be the same "
            "rows; name the files, or the format"
        )
    (paths,) = chosen.values()
    places = sorted({str(path.parent.relative_to(folder)) for path in paths})
    if len(places) > 1:
        raise DataError(f"{folder}: holds data in several folders ({listed(places)}); name one")
    return paths


def _walk(folder: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be read ({error.strerror})") from None

    for place, folders, names in os.walk(folder, onerror=refuse):
        depth = len(Path(place).relative_to(folder).parts)
        folders[:] = [] if depth == _DEEPEST else [name for name in folders if not name.startswith(".")]
        yield from (Path(place) / name for name in names if not name.startswith("."))


def _words(folder: Path, path: Path, split: str) -> set[str]:
    """The splits that a file's name, or that of a folder it lies in, speaks of."""
    words = set(re.split(r"[^a-z]+", str(path.relative_to(folder)).lower()))
    named = words & _SPLITS
    return named | {split} if split.lower() in re.split(r"[^\w]+", str(path.relative_to(folder)).lower()) else named


def _of_split(folder: Path, paths: list[Path], split: str) -> list[Path]:
    told = {path: _words(folder, path, split) for path in paths}
    if not any(told.values()):
        return paths
    return [path for path in paths if split in told[path]]
