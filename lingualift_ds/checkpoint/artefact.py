"""Artefacts: what a finished stage hands over, in safetensors, with a manifest that names sources and hashes.

Stage I leaves the alignment layer, Stage II the whole model. Tensors are gathered and written one at a time, so that
no rank ever holds the whole model.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from lingualift_ds import dist
from lingualift_ds.checkpoint.manifest import (
    NAME,
    file_entry,
    sealed,
    sync_folder,
    verify,
    writable,
    write_json,
    write_manifest,
    write_text,
)
from lingualift_ds.checkpoint.tensors import TensorSpec, TensorWriter
from lingualift_ds.errors import CheckpointError

Gathered = Callable[[Sequence[torch.nn.Parameter]], AbstractContextManager]


@dataclass(frozen=True)
class Contents:
    """What an artefact holds beside its tensors."""

    stem: str
    """Name of the files of tensors, without suffix."""
    config: dict[str, Any]
    """config.json."""
    tokenizers: Mapping[str, PreTrainedTokenizerBase]
    """By role."""
    facts: dict[str, Any]
    """What its manifest says of where it comes from."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """Files to read for people and programs, by name."""


def write_artefact(folder: Path, tensors: Iterable[tuple[str, Tensor]], gathered: Gathered, contents: Contents) -> None:
    """Write named tensors of a live model and what goes with them to `folder`, atomically. Collective.

    `gathered([tensor])` makes a tensor whole for a while.
    """
    tensors, aside = list(tensors), _aside(folder)
    writer = TensorWriter(aside, {name: TensorSpec.of(tensor) for name, tensor in tensors}, contents.stem)
    dist.on_main(lambda: writable(aside, lambda: _fresh_folder(aside)))
    # What fails on rank 0 is kept until all ranks have gone through all tensors: gathering is collective.
    failure: Exception | None = None
    for name, tensor in tensors:
        with gathered([tensor]):
            if dist.read_place().is_main and failure is None:
                try:
                    writable(aside, lambda name=name, tensor=tensor: writer.write(name, tensor))
                except Exception as error:
                    failure = error

    def publish() -> None:
        try:
            if failure is not None:
                raise failure
            writer.finish()
            _publish(aside, folder, contents)
        finally:
            writer.close()
            shutil.rmtree(aside, ignore_errors=True)

    dist.on_main(lambda: writable(aside, publish))


def stream_artefact(
    folder: Path, specs: Mapping[str, TensorSpec], tensors: Iterable[tuple[str, Tensor]], contents: Contents
) -> None:
    """The same from tensors that come one by one, in any order, each forgotten before the next is asked for.

    Not collective. Leaves nothing behind where it fails. Raises CheckpointError where the folder cannot be written.
    """
    aside = _aside(folder)
    writer = TensorWriter(aside, specs, contents.stem)
    try:
        writable(aside, lambda: _fresh_folder(aside))
        for name, tensor in tensors:
            writable(aside, lambda name=name, tensor=tensor: writer.write(name, tensor))
        writable(aside, writer.finish)
        writable(aside, lambda: _publish(aside, folder, contents))
    finally:
        writer.close()
        shutil.rmtree(aside, ignore_errors=True)


def copy_artefact(source: Path, folder: Path, texts: Mapping[str, str] = MappingProxyType({})) -> dict[str, Any]:
    """Copy an artefact, whole or not at all, and return its manifest; `texts` go beside it. Raises CheckpointError for
    a damaged one."""
    manifest, aside = verify(source, hashes=False), _aside(folder)

    def copy() -> None:
        _fresh_folder(aside)
        for name in [*manifest["files"], NAME]:
            (aside / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, aside / name)
            if file_entry(aside / name) != manifest["files"].get(name) and name != NAME:
                raise CheckpointError(f"{source / name}: its SHA-256 is not the one in {NAME}: the file is damaged")
        if texts:
            manifest["files"] |= _write_texts(aside, texts)
            write_json(aside / NAME, sealed(manifest))
        _move(aside, folder)

    try:
        writable(aside, copy)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return manifest


def read_artefact(folder: Path, hashes: bool = True) -> tuple[dict[str, Any], dict[str, Any]]:
    """(config, manifest) of a whole artefact, undamaged as far as `verify` looks. Raises CheckpointError."""
    manifest = verify(folder, hashes)
    if manifest.get("kind") != "artefact":
        raise CheckpointError(f"{folder}: holds a {manifest.get('kind')}, not an artefact; export makes one of it")
    return json.loads((folder / "config.json").read_text(encoding="utf-8")), manifest


def _publish(aside: Path, folder: Path, contents: Contents) -> None:
    write_json(aside / "config.json", contents.config)
    for role, tokenizer in contents.tokenizers.items():
        tokenizer.save_pretrained(aside / f"{role}_tokenizer")
    _write_texts(aside, contents.texts)
    files = {str(p.relative_to(aside)): file_entry(p) for p in sorted(aside.rglob("*")) if p.is_file()}
    write_manifest(aside, "artefact", files, contents.facts)
    _move(aside, folder)


def _write_texts(folder: Path, texts: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    for name, text in texts.items():
        write_text(folder / name, text)
    return {name: file_entry(folder / name) for name in texts}


def _move(aside: Path, folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    aside.rename(folder)
    sync_folder(folder.parent)


def _aside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.tmp")


def _fresh_folder(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
