"""Weight files of base models, read one tensor at a time: safetensors, or what torch.save wrote."""

import pickle
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from lingualift_ds.checkpoint.tensors import TensorSpec, read_specs
from lingualift_ds.errors import CheckpointError


@dataclass(frozen=True)
class _Place:
    path: Path
    key: str
    spec: TensorSpec


class WeightFiles:
    """The tensors in some files, by the names they have there after `renamed` (patterns and what replaces them).

    Raises CheckpointError for a file that cannot be read so.
    """

    def __init__(self, paths: Sequence[Path], renamed: Mapping[str, str] | None = None):
        self._places: dict[str, _Place] = {}
        for path in paths:
            for key, spec in _read_specs(path).items():
                name = key
                for pattern, replacement in (renamed or {}).items():
                    name = re.sub(pattern, replacement, name)
                self._places.setdefault(name, _Place(path, key, spec))

    def match(self, specs: Mapping[str, TensorSpec]) -> dict[str, str] | None:
        """Under what names a model's tensors lie in the files: their own, or all with one prefix more or less.

        None where there is no such prefix, or more than one, or a tensor there has another shape.
        """
        names = list(specs)
        if all(name in self._places for name in names):
            found = [{name: name for name in names}]
        else:
            found = [m for drop, add in self._prefixes(names[0]) if (m := self._with_prefix(names, drop, add))]
        if len(found) != 1 or not all(specs[name].takes(self._places[key].spec) for name, key in found[0].items()):
            return None
        return found[0]

    def read(self, wanted: Mapping[str, str], specs: Mapping[str, TensorSpec]) -> Iterator[tuple[str, Tensor]]:
        """Tensors in the dtypes of `specs`, a file at a time; `wanted` is what `match` gave."""
        for path in dict.fromkeys(self._places[key].path for key in wanted.values()):
            here = {name: self._places[key].key for name, key in wanted.items() if self._places[key].path == path}
            for name, tensor in _tensors(path, here):
                yield name, tensor.to(specs[name].dtype)

    def _prefixes(self, name: str) -> list[tuple[str, str]]:
        """What could be dropped from, or put before, a name so that the files have it."""
        parts = name.split(".")
        heads = [".".join(parts[:n]) + "." for n in range(1, len(parts))]
        less = [(head, "") for head in heads if name.removeprefix(head) in self._places]
        more = [("", key.removesuffix(name)) for key in self._places if key.endswith(f".{name}")]
        return less + more

    def _with_prefix(self, names: Sequence[str], drop: str, add: str) -> dict[str, str] | None:
        keys = {name: add + name.removeprefix(drop) for name in names if name.startswith(drop)}
        return keys if len(keys) == len(names) and all(key in self._places for key in keys.values()) else None


def _read_specs(path: Path) -> dict[str, TensorSpec]:
    if path.suffix == ".safetensors":
        return read_specs(path)
    return {key: TensorSpec.of(tensor) for key, tensor in _mapped(path).items()}


def _tensors(path: Path, keys: Mapping[str, str]) -> Iterator[tuple[str, Tensor]]:
    if path.suffix == ".safetensors":
        with safe_open(path, framework="pt") as file:
            for name, key in keys.items():
                yield name, file.get_tensor(key)
    else:
        mapped = _mapped(path)
        for name, key in keys.items():
            yield name, mapped[key]


def _mapped(path: Path) -> dict[str, Tensor]:
    try:
        tensors = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise CheckpointError(f"{path}: cannot be mapped: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(tensors, dict) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise CheckpointError(f"{path}: holds more than tensors by name")
    return tensors
