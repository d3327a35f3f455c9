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
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from lingualift_ds import dist
from lingualift_ds.checkpoint.manifest import file_entry, sync_folder, verify, write_json, write_manifest
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
    is_main = dist.read_place().is_main
    if is_main:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
    shard: dict[str, Tensor] = {}
    shards: list[list[str]] = []
    for name, tensor in tensors:
        with gathered([tensor]):
            if is_main:
                if shard and sum(t.nbytes for t in shard.values()) + tensor.nbytes > _SHARD_BYTES:
                    shards.append(_write_shard(aside, len(shards), shard))
                    shard = {}
                shard[name] = tensor.detach().to("cpu", copy=True).contiguous()
    if is_main:
        shards.append(_write_shard(aside, len(shards), shard))
        _name_shards(aside, shards, stem)
        write_json(aside / "config.json", config)
        for role, tokenizer in tokenizers.items():
            tokenizer.save_pretrained(aside / f"{role}_tokenizer")
        files = {str(p.relative_to(aside)): file_entry(p) for p in sorted(aside.rglob("*")) if p.is_file()}
        write_manifest(aside, files, facts)
        if folder.exists():
            shutil.rmtree(folder)
        aside.rename(folder)
        sync_folder(folder.parent)
    dist.barrier()


def read_artefact(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """(config, manifest) of a whole, undamaged artefact. Raises CheckpointError."""
    manifest = verify(folder)
    return json.loads((folder / "config.json").read_text(encoding="utf-8")), manifest


def read_tensors(folder: Path) -> Iterable[dict[str, Tensor]]:
    """The tensors of an artefact, a shard at a time. Raises CheckpointError for a damaged shard."""
    for path in sorted(folder.glob("*.safetensors")):
        try:
            yield load_file(path)
        except SafetensorError as error:
            raise CheckpointError(f"{path}: is damaged: {error}") from None


def _write_shard(folder: Path, number: int, shard: dict[str, Tensor]) -> list[str]:
    save_file(shard, folder / f"shard-{number}", metadata={"format": "pt"})
    return list(shard)


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
