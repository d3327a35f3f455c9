"""The trained tensors of a checkpoint, whole again, on one process and without DeepSpeed.

Under ZeRO-3 a tensor lies in as many pieces as there were ranks. Rank r's file holds a flat fp32 vector for each
sub-group of the optimizer: the r-th piece of each of its tensors, one after the other. The pieces of a tensor are
equally long, the last ones padded (DeepSpeed 0.19.8, runtime/zero/stage3.py and partition_parameters.py). Files are
mapped, one at a time, and only what belongs to the tensors in hand is read from them.
"""

import math
import pickle
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from lingualift_ds.checkpoint.manifest import NAME
from lingualift_ds.checkpoint.tensors import TensorSpec
from lingualift_ds.errors import CheckpointError

_OPTIMIZER = re.compile(r"(?:[a-z0-9]+_)?zero_pp_rank_(\d+)_mp_rank_00_optim_states\.pt")
_ALIGNMENT = 8
"""Bytes: tensors in the buffer begin at multiples of the widest element."""


@dataclass(frozen=True)
class _Piece:
    """Where a rank's piece of a tensor lies: in which sub-group's vector, from which element on, and how many."""

    group: int
    offset: int
    length: int


class Consolidation:
    """What a checkpoint holds, as the tensors it was saved from. Its hashes must have been verified.

    Raises CheckpointError, naming a tensor, where the files do not hold what the manifest says.
    """

    def __init__(self, path: Path, manifest: dict[str, Any]):
        self._path, self.model = path, _listed(path, manifest)
        self._trained = {name for name, entry in manifest["tensors"].items() if entry["trained"]}
        sharded = manifest["zero"] == 3
        self._model_file = path / f"{'zero_pp_rank_0_' if sharded else ''}mp_rank_00_model_states.pt"
        self._files = _optimizer_files(path, manifest) if sharded else []
        states = _read(self._model_file)
        groups = states["param_shapes"]  # None without ZeRO
        if groups is not None:
            self._check_trained({name: tuple(shape) for group in groups for name, shape in group.items()})
        self._pieces = _pieces(groups, len(self._files)) if sharded else {}
        whole = {n: tuple(t.shape) for n, t in states["module"].items() if not sharded or n in states["buffer_names"]}
        self._whole = [name for name in self.model if name in whole]
        self._check_shapes({name: whole[name] for name in self._whole})
        self.specs = {n: s for n, s in self.model.items() if n in self._pieces or n in whole}
        """What it holds, in the manifest's order: all that is trained, and buffers beside it."""
        for name in sorted(self._trained - self.specs.keys()):
            raise CheckpointError(f"{path}: holds no tensor {name}, which {NAME} lists as trained")

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Every tensor, on the CPU, in the dtype it had in the model; each is valid until the next one is asked for.

        Needs one buffer as large as the largest tensor, and address space for one file.
        """
        if self._whole:
            module = _read(self._model_file)["module"]
            for name in self._whole:
                yield name, module[name].to(self.model[name].dtype)
            del module
        if self._pieces:
            yield from self._joined()

    def _joined(self) -> Iterator[tuple[str, Tensor]]:
        names = [name for name in self.model if name in self._pieces]
        limit = max(_aligned(self.model[name].nbytes) for name in names)
        buffer = torch.empty(limit, dtype=torch.uint8)
        while names:
            taken, filled = {}, 0
            while names and filled + (size := _aligned(self.model[names[0]].nbytes)) <= limit:
                spec = self.model[names[0]]
                taken[names.pop(0)] = buffer[filled : filled + spec.nbytes].view(spec.dtype)
                filled += size
            for rank, file in enumerate(self._files):
                self._fill(taken, rank, file)
            for name, flat in taken.items():
                yield name, flat.view(self.model[name].shape)

    def _fill(self, taken: Mapping[str, Tensor], rank: int, file: Path) -> None:
        """Copy one rank's pieces of some tensors to where they belong."""
        groups = _read(file).get("optimizer_state_dict", {}).get("fp32_flat_groups", [])
        found, expected = [vector.numel() for vector in groups], self._group_sizes
        if found != expected:
            raise CheckpointError(f"{file}: its fp32 weights are {found} elements a group, {expected} were expected")
        for name, flat in taken.items():
            piece = self._pieces[name]
            target = flat[rank * piece.length : (rank + 1) * piece.length]  # shorter where the piece is padded
            target.copy_(groups[piece.group][piece.offset : piece.offset + target.numel()])

    @property
    def _group_sizes(self) -> list[int]:
        sizes: dict[int, int] = {}
        for piece in self._pieces.values():
            sizes[piece.group] = max(sizes.get(piece.group, 0), piece.offset + piece.length)
        return [sizes[group] for group in sorted(sizes)]

    def _check_trained(self, shapes: dict[str, tuple[int, ...]]) -> None:
        for name in sorted(self._trained - shapes.keys()):
            raise CheckpointError(f"{self._path}: holds no tensor {name}, which {NAME} lists as trained")
        for name in shapes:
            if name not in self._trained:
                raise CheckpointError(f"{self._path}: holds tensor {name}, which {NAME} does not list as trained")
        self._check_shapes(shapes)

    def _check_shapes(self, shapes: dict[str, tuple[int, ...]]) -> None:
        for name, shape in shapes.items():
            expected = self.model[name].shape
            if shape != expected:
                raise CheckpointError(
                    f"{self._path}: its tensor {name} has shape {list(shape)}, {NAME} says {list(expected)}"
                )


def _listed(path: Path, manifest: dict[str, Any]) -> dict[str, TensorSpec]:
    """Every tensor of the model a checkpoint was saved from."""
    try:
        specs = {
            name: TensorSpec(tuple(entry["shape"]), getattr(torch, entry["dtype"]))
            for name, entry in manifest["tensors"].items()
            if isinstance(entry["trained"], bool)
        }
        if not specs or not all(isinstance(s.dtype, torch.dtype) for s in specs.values()):
            raise ValueError("it lists no tensors")
        if manifest["zero"] not in (0, 1, 2, 3) or not isinstance(manifest["world_size"], int):
            raise ValueError(f"ZeRO {manifest['zero']} on {manifest['world_size']} ranks")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path / NAME}: is damaged: {error.__class__.__name__} {error}") from None
    return specs


def _optimizer_files(path: Path, manifest: dict[str, Any]) -> list[Path]:
    """The files with the pieces, by rank."""
    found = {int(match[1]): path / name for name in manifest["files"] if (match := _OPTIMIZER.fullmatch(name))}
    expected = set(range(manifest["world_size"]))
    for rank in sorted(found.keys() ^ expected):
        what = "has no file" if rank in expected else f"was saved on {len(expected)} ranks, but has a file"
        raise CheckpointError(f"{path}: {what} with the optimizer state of rank {rank}")
    return [found[rank] for rank in sorted(found)]


def _pieces(groups: list[Mapping[str, torch.Size]], ranks: int) -> dict[str, _Piece]:
    pieces = {}
    for number, group in enumerate(groups):
        offset = 0
        for name, shape in group.items():
            pieces[name] = _Piece(number, offset, math.ceil(math.prod(shape) / ranks))
            offset += pieces[name].length
    return pieces


def _aligned(size: int) -> int:
    return math.ceil(size / _ALIGNMENT) * _ALIGNMENT


class _Unknown:
    """Stands in for every class of others: made, filled and called without doing anything."""

    def __init__(self, *args: Any, **kwargs: Any):
        pass

    def __call__(self, *args: Any, **kwargs: Any) -> "_Unknown":
        return self

    def __setstate__(self, state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    append = extend = add = __call__


class _TensorsOnly(pickle.Unpickler):
    """Reads tensors and plain containers; DeepSpeed's own objects become `_Unknown`, and no code of theirs runs."""

    _KNOWN = {
        ("collections", "OrderedDict"),
        ("torch", "Size"),
        ("torch", "Tensor"),
        ("torch._tensor", "_rebuild_from_type_v2"),
        ("torch._utils", "_rebuild_parameter"),
        ("torch._utils", "_rebuild_parameter_with_state"),
        ("torch._utils", "_rebuild_tensor_v2"),
        ("torch.nn.parameter", "Parameter"),
    }

    def find_class(self, module: str, name: str) -> Any:
        return super().find_class(module, name) if (module, name) in self._KNOWN else _Unknown


def _read(path: Path) -> dict[str, Any]:
    """What torch.save wrote to a file of a checkpoint; the tensors are mapped, not read."""
    module = SimpleNamespace(Unpickler=_TensorsOnly, __name__="tensors_only")
    try:
        return torch.load(path, map_location="cpu", mmap=True, weights_only=False, pickle_module=module)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: is missing") from None
    except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read: {' '.join(str(error).split())[:200]}") from None
