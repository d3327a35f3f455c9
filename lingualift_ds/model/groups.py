"""Freezing groups: encoder, alignment, llm. Every parameter belongs to exactly one, by the module that holds it."""

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import nn

from lingualift_ds.config.layout import group_meant
from lingualift_ds.config.schema import GROUPS
from lingualift_ds.errors import ConfigError
from lingualift_ds.model.adapters import is_adapter_weight


@dataclass(frozen=True)
class GroupSize:
    """Parameters of one freezing group; counts are of whole tensors, also where ZeRO-3 shards them."""

    group: str
    trained: int
    frozen: int
    weight_bytes: int


def named_parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Every parameter of a bridged model, those of its resident parts too, which `model` itself does not list."""
    for part, module in model.parts.items():
        for name, parameter in module.named_parameters():
            yield f"{part}.{name}", parameter


def persistent_buffers(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Every buffer of a bridged model that belongs to its weights, resident or not."""
    for part, module in model.parts.items():
        kept = module.state_dict().keys()
        for name, buffer in module.named_buffers():
            if name in kept:
                yield f"{part}.{name}", buffer


def full_numel(parameter: nn.Parameter) -> int:
    """Elements of the whole tensor: under ZeRO-3 `numel()` is 0 and DeepSpeed's `ds_numel` tells."""
    return getattr(parameter, "ds_numel", parameter.numel())


def full_shape(parameter: nn.Parameter) -> tuple[int, ...]:
    """Shape of the whole tensor, also where ZeRO-3 shards it."""
    return tuple(getattr(parameter, "ds_shape", parameter.shape))


def group_of(name: str) -> str:
    """The freezing group of a parameter name of the bridged model: its first component, matched exactly."""
    group = name.split(".", 1)[0]
    if group not in GROUPS:
        raise AssertionError(f"parameter {name} is in none of the groups {', '.join(GROUPS)}")
    return group


def freeze_all_but(model: nn.Module, trained: Iterable[str]) -> None:
    """Set `requires_grad` by groups and by regular expressions that match whole names, and put parts that are frozen
    as a whole into eval mode from now on. Of a group with an adapter, its name means the adapter alone.

    Raises ConfigError where a group to train has no parameters, or an expression matches none, or another group's.
    """
    trained = tuple(trained)
    names = [name for name, _ in named_parameters(model)]
    present = {group_of(name) for name in names}
    adapted = {group_of(name) for name in names if is_adapter_weight(name)}
    for entry in trained:
        if entry in GROUPS and entry not in present:
            raise ConfigError(f"train: {entry} is not part of this model; it has {', '.join(sorted(present))}")
        if not any(_matches(entry, name, adapted) for name in names):
            own = next((name for name in names if group_of(name) == group_meant(entry)), names[0])
            raise ConfigError(f"train: {entry!r} matches no parameter; their names are such as {own}")
        elsewhere = [n for n in names if group_of(n) != group_meant(entry) and _matches(entry, n, adapted)]
        if elsewhere:
            raise ConfigError(f"train: {entry!r} matches {elsewhere[0]} too; write an expression for each group")
    for name, parameter in named_parameters(model):
        parameter.requires_grad_(any(_matches(entry, name, adapted) for entry in trained))
    model.train(model.training)


def _matches(entry: str, name: str, adapted: Collection[str]) -> bool:
    """Whether a group or an expression of `train` means a parameter. adapted: the groups with an adapter."""
    if entry in GROUPS:
        return group_of(name) == entry and (entry not in adapted or is_adapter_weight(name))
    return "." in entry and re.fullmatch(entry, name) is not None


def trained_names(model: nn.Module) -> list[str]:
    """Names of the trained parameters, in order."""
    return [name for name, parameter in named_parameters(model) if parameter.requires_grad]


def group_sizes(model: nn.Module) -> list[GroupSize]:
    """Trained and frozen parameters and bytes of weights, per group; tied tensors count once."""
    sizes = []
    for group in GROUPS:
        members = [p for n, p in named_parameters(model) if group_of(n) == group]
        if members:
            sizes.append(
                GroupSize(
                    group,
                    trained=sum(full_numel(p) for p in members if p.requires_grad),
                    frozen=sum(full_numel(p) for p in members if not p.requires_grad),
                    weight_bytes=sum(full_numel(p) * p.element_size() for p in members),
                )
            )
    return sizes


def format_sizes(sizes: list[GroupSize], mixed_precision: bool) -> str:
    """The table shown at start. Optimizer bytes: two fp32 moments, and an fp32 master copy in mixed precision."""
    lines = [f"{'group':<10} {'trained':>14} {'frozen':>14} {'weights':>10} {'gradients':>10} {'optimizer':>10}"]
    for s in sizes:
        share = s.trained / max(s.trained + s.frozen, 1)
        gradients = int(s.weight_bytes * share)
        optimizer = s.trained * (12 if mixed_precision else 8)
        lines.append(
            f"{s.group:<10} {s.trained:>14,} {s.frozen:>14,} {_bytes(s.weight_bytes):>10} "
            f"{_bytes(gradients):>10} {_bytes(optimizer):>10}"
        )
    return "\n".join(lines)


def checksum(tensor: torch.Tensor) -> int:
    """A checksum of a tensor's bits (not of its values), computed where the tensor lives, in pieces.

    Words of 64 bits times odd numbers, added up modulo 2^64: a change of any one word always shows.
    """
    raw = tensor.detach().contiguous().flatten().view(torch.uint8)
    whole = raw.numel() // 8 * 8
    words = raw[:whole].view(torch.int64)
    total = sum(int(byte) * (2 * i + 1) for i, byte in enumerate(raw[whole:].tolist()))
    for number, piece in enumerate(words.split(1 << 22)):
        odd = torch.arange(piece.numel(), device=piece.device, dtype=torch.int64).mul_(2).add_(2 * number + 1)
        total += int((piece * odd).sum())
    return total % (1 << 64)


def _bytes(count: float) -> str:
    for unit in ("B", "KB", "MB"):
        if count < 1000:
            return f"{count:.4g} {unit}"
        count /= 1000
    return f"{count:.4g} GB"
