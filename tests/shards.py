"""Checkpoints as DeepSpeed's ZeRO-3 leaves them, made without DeepSpeed and without training."""

import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lingualift_ds.checkpoint.manifest import file_entry, write_manifest


def write_zero3(
    path: Path, groups: list[dict[str, Tensor]], ranks: int, dtypes: dict[str, torch.dtype], **more: Any
) -> dict[str, Any]:
    """A checkpoint of fp32 master weights in sub-groups, split over ranks; returns its manifest.

    `dtypes`: what the model had, fp32 where it is not named; `more` goes into every file.
    """
    path.mkdir(parents=True)
    shapes = [{name: tensor.shape for name, tensor in group.items()} for group in groups]
    for rank in range(ranks):
        flat = [torch.cat([_piece(t, rank, ranks) for t in group.values()]) for group in groups]
        state = {"fp32_flat_groups": flat, "zero_stage": 3, "partition_count": ranks}
        torch.save({"optimizer_state_dict": state, **more}, path / _name(rank, "optim_states"))
        module = {name: torch.empty(0) for group in groups for name in group}
        states = {"module": module, "buffer_names": [], "param_shapes": shapes, **more}
        torch.save(states, path / _name(rank, "model_states"))
    every = {name: tensor for group in groups for name, tensor in group.items()}
    facts = {
        "stage": "task-transfer",
        "step": 1,
        "world_size": ranks,
        "zero": 3,
        "tensors": {
            name: {
                "shape": list(tensor.shape),
                "dtype": str(dtypes.get(name, torch.float32)).removeprefix("torch."),
                "trained": True,
            }
            for name, tensor in every.items()
        },
    }
    return seal(path, facts)


def seal(path: Path, facts: dict[str, Any]) -> dict[str, Any]:
    """Write the manifest over the files that are there, and return it."""
    files = {p.name: file_entry(p) for p in sorted(path.iterdir()) if p.name != "manifest.json"}
    write_manifest(path, "checkpoint", files, facts)
    return json.loads((path / "manifest.json").read_text())


def _piece(tensor: Tensor, rank: int, ranks: int) -> Tensor:
    """A rank's piece; what pads the last ones is no zero, so that it shows where it is taken for a weight."""
    length = math.ceil(tensor.numel() / ranks)
    own = tensor.flatten()[rank * length : (rank + 1) * length]
    return torch.cat([own, torch.full((length - own.numel(),), 7e7)])


def _name(rank: int, what: str) -> str:
    return f"{'bf16_' if what == 'optim_states' else ''}zero_pp_rank_{rank}_mp_rank_00_{what}.pt"
