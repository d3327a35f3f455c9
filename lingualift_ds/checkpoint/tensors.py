"""Named tensors in safetensors files: each is written as it comes, so that no one holds more than one of them.

The header of a safetensors file says where every tensor lies, so names, shapes and dtypes are told in advance.
"""

import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from lingualift_ds.checkpoint.manifest import write_json
from lingualift_ds.errors import CheckpointError

SHARD_BYTES = 2_000_000_000
"""Tensors of one file; a larger tensor has a file of its own."""

_CODES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


@dataclass(frozen=True)
class TensorSpec:
    """Shape and dtype of a tensor that is not here."""

    shape: tuple[int, ...]
    dtype: torch.dtype

    @classmethod
    def of(cls, tensor: Tensor) -> "TensorSpec":
        """That of a live tensor; of the whole one where ZeRO-3 shards it."""
        return cls(tuple(getattr(tensor, "ds_shape", tensor.shape)), tensor.dtype)

    @property
    def numel(self) -> int:
        """Elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes."""
        return self.numel * self.dtype.itemsize

    def takes(self, other: "TensorSpec") -> bool:
        """Whether a tensor of another spec becomes one of this by a cast alone."""
        return other.shape == self.shape and other.dtype.is_floating_point == self.dtype.is_floating_point


@dataclass(frozen=True)
class _Place:
    file: str
    offset: int


class TensorWriter:
    """Writes tensors, in any order, to STEM.safetensors in a folder; to numbered shards with an index, as transformers
    has them, where they are more than `shard_bytes` (SHARD_BYTES)."""

    def __init__(self, folder: Path, specs: Mapping[str, TensorSpec], stem: str, shard_bytes: int | None = None):
        self._folder, self._specs, self._stem = folder, specs, stem
        self._headers: dict[str, bytes] = {}
        self._sizes: dict[str, int] = {}
        self._places: dict[str, _Place] = {}
        self._missing = set(specs)
        self._open: tuple[str, IO[bytes]] | None = None
        shards = _shards(specs, SHARD_BYTES if shard_bytes is None else shard_bytes)
        for number, names in enumerate(shards, 1):
            numbered = f"-{number:05d}-of-{len(shards):05d}" if len(shards) > 1 else ""
            self._lay_out(f"{stem}{numbered}.safetensors", names)

    def write(self, name: str, tensor: Tensor) -> None:
        """Write one whole tensor, from any device; it is copied only where it is not on the CPU or not contiguous."""
        assert TensorSpec(tuple(tensor.shape), tensor.dtype) == self._specs[name], f"{name} is not as it was told"
        self._missing.remove(name)
        place = self._places[name]
        file = self._file(place.file)
        file.seek(place.offset)
        left = memoryview(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        while left:
            left = left[file.write(left) :]  # the system takes at most 2 GB at a time

    def finish(self) -> None:
        """Force all to disk and write the index, after every tensor was written."""
        assert not self._missing, f"not written: {', '.join(sorted(self._missing)[:3])}"
        for name in self._headers:  # also a shard of which no tensor has a byte
            self._file(name)
        self._settle()
        if len(self._headers) > 1:
            total = sum(spec.nbytes for spec in self._specs.values())
            index = {"metadata": {"total_size": total}, "weight_map": {n: p.file for n, p in self._places.items()}}
            write_json(self._folder / f"{self._stem}.safetensors.index.json", index)

    def close(self) -> None:
        """Let go of the open file, finished or not."""
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def _lay_out(self, file: str, names: list[str]) -> None:
        """Offsets of a shard's tensors: those of wide elements first, because nothing may lie between two of them and
        readers want each at a multiple of its element's size."""
        entries, at = {}, 0
        for name in sorted(names, key=lambda n: -self._specs[n].dtype.itemsize):
            spec = self._specs[name]
            ends = [at, at + spec.nbytes]
            entries[name] = {"dtype": _CODES[spec.dtype], "shape": list(spec.shape), "data_offsets": ends}
            at = ends[1]
        header = json.dumps({"__metadata__": {"format": "pt"}, **entries}, separators=(",", ":")).encode()
        header += b" " * (-len(header) % 8)
        self._headers[file] = len(header).to_bytes(8, "little") + header
        self._sizes[file] = len(self._headers[file]) + at
        for name, entry in entries.items():
            self._places[name] = _Place(file, len(self._headers[file]) + entry["data_offsets"][0])

    def _file(self, name: str) -> IO[bytes]:
        if self._open is None or self._open[0] != name:
            self._settle()
            path = self._folder / name
            begun = path.exists()
            self._open = name, path.open("r+b" if begun else "w+b", buffering=0)
            if not begun:
                self._open[1].write(self._headers[name])
                self._open[1].truncate(self._sizes[name])
        return self._open[1]

    def _settle(self) -> None:
        if self._open is not None:
            os.fsync(self._open[1].fileno())
            self.close()


def _shards(specs: Mapping[str, TensorSpec], limit: int) -> list[list[str]]:
    shards: list[list[str]] = [[]]
    filled = 0
    for name, spec in specs.items():
        if shards[-1] and filled + spec.nbytes > limit:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += spec.nbytes
    return shards


def read_specs(path: Path) -> dict[str, TensorSpec]:
    """What a safetensors file holds. Raises CheckpointError for a damaged one."""
    dtypes = {code: dtype for dtype, code in _CODES.items()}
    try:
        with safe_open(path, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            return {n: TensorSpec(tuple(s.get_shape()), dtypes[s.get_dtype()]) for n, s in slices.items()}
    except SafetensorError as error:
        raise CheckpointError(f"{path}: is damaged: {error}") from None
    except KeyError as error:
        raise CheckpointError(f"{path}: holds tensors of kind {error}; allowed: {', '.join(dtypes)}") from None


def read_tensors(folder: Path, prefix: str = "") -> Iterator[dict[str, Tensor]]:
    """The tensors of an artefact whose names begin so, a shard at a time. Raises CheckpointError for a damaged one."""
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, framework="pt") as file:
                yield {name: file.get_tensor(name) for name in file.keys() if name.startswith(prefix)}  # noqa: SIM118
        except SafetensorError as error:
            raise CheckpointError(f"{path}: is damaged: {error}") from None
