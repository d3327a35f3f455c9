"""Artefacts: what a finished stage hands over, in safetensors, with a manifest that names sources and hashes.

Stage I leaves the alignment layer, Stage II the whole model. Tensors are gathered one at a time and written in
shards, so that no rank ever holds the whole model.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from lingualift_ds import dist
from lingualift_ds.checkpoint.manifest import (
    file_entry,
    sync_folder,
    verify,
    writable,
    write_json,
    write_manifest,
)
from lingualift_ds.errors import CheckpointError

INDEX = "model.safetensors.index.json"
_SHARD_BYTES = 2_000_000_000

Gathered = Callable[[Sequence[torch.nn.Parameter]], AbstractContextManager]


def write_artefact(
    folder: Path,
    tensors: Iterable[tuple[str, Tensor]],
    gathered: Gathered,
    stem: str,
    config: dict[str, Any],
    tokenizers: dict[str, PreTrainedTokenizerBase],
    facts: dict[str, Any],
) -> None:
    """Write named tensors, config.json and tokenizers to `folder`, atomically. Collective.

    `gathered([tensor])` makes a tensor whole for a while. One shard is STEM.safetensors; several are numbered
    and have an index, as transformers has it.
    """
    aside = folder.with_name(f".{folder.name}.tmp")
    writer = _ShardWriter(aside)
    dist.on_main(lambda: writable(aside, writer.start))
    # What fails on rank 0 is kept until all ranks have gone through all tensors: gathering is collective.
    failure: CheckpointError | None = None
    for name, tensor in tensors:
        with gathered([tensor]):
            if dist.read_place().is_main and failure is None:
                try:
                    writable(aside, lambda name=name, tensor=tensor: writer.add(name, tensor))
                except CheckpointError as error:
                    failure = error

    def publish() -> None:
        if failure is not None:
            raise failure
        writer.finish(stem)
        write_json(aside / "config.json", config)
        for role, tokenizer in tokenizers.items():
            tokenizer.save_pretrained(aside / f"{role}_tokenizer")
        files = {str(p.relative_to(aside)): file_entry(p) for p in sorted(aside.rglob("*")) if p.is_file()}
        write_manifest(aside, files, facts)
        if folder.exists():
            shutil.rmtree(folder)
        aside.rename(folder)
        sync_folder(folder.parent)

    dist.on_main(lambda: writable(aside, publish))


class _ShardWriter:
    """Collects whole tensors on rank 0 and writes a shard whenever enough have come."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._shard: dict[str, Tensor] = {}
        self._written: list[list[str]] = []

    def start(self) -> None:
        """An empty folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)

    def add(self, name: str, tensor: Tensor) -> None:
        """Copy a tensor to the CPU; write the shard it would make too large first."""
        if self._shard and sum(t.nbytes for t in self._shard.values()) + tensor.nbytes > _SHARD_BYTES:
            self._flush()
        self._shard[name] = tensor.detach().to("cpu", copy=True).contiguous()

    def finish(self, stem: str) -> None:
        """Write what is left and give the shards their names."""
        self._flush()
        _name_shards(self.folder, self._written, stem)

    def _flush(self) -> None:
        save_file(self._shard, self.folder / f"shard-{len(self._written)}", metadata={"format": "pt"})
        self._written.append(list(self._shard))
        self._shard = {}


def read_artefact(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """(config, manifest) of a whole, undamaged artefact. Raises CheckpointError."""
    manifest = verify(folder)
    return json.loads((folder / "config.json").read_text(encoding="utf-8")), manifest


def read_tensors(folder: Path, prefix: str = "") -> Iterable[dict[str, Tensor]]:
    """The tensors of an artefact whose names begin so, a shard at a time. Raises CheckpointError for a damaged one."""
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, framework="pt") as file:
                yield {name: file.get_tensor(name) for name in file.keys() if name.startswith(prefix)}  # noqa: SIM118
        except SafetensorError as error:
            raise CheckpointError(f"{path}: is damaged: {error}") from None


def _name_shards(folder: Path, shards: list[list[str]], stem: str) -> None:
    if len(shards) == 1:
        (folder / "shard-0").rename(folder / f"{stem}.safetensors")
        return
    places = {}
    for number, names in enumerate(shards):
        file = f"{stem}-{number + 1:05d}-of-{len(shards):05d}.safetensors"
        (folder / f"shard-{number}").rename(folder / file)
        places |= dict.fromkeys(names, file)
    size = sum((folder / file).stat().st_size for file in set(places.values()))
    write_json(folder / INDEX, {"metadata": {"total_size": size}, "weight_map": places})
