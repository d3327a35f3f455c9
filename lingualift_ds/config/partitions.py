"""Bytes of weights, gradients, optimizer state and DeepSpeed's buffers on one rank, under ZeRO 0 to 3.

From what DeepSpeed 0.19.8 allocates (runtime/zero: stage_1_and_2.py, stage3.py, partition_parameters.py and
partitioned_param_coordinator.py), with this toolkit's AdamW. Sizes are in elements unless they are called bytes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_FP32 = 4
# DeepSpeed's defaults (runtime/zero/config.py).
_REDUCE_BUCKET = 500_000_000
_PREFETCH_BUCKET = 50_000_000
_PERSISTENCE = 100_000
_MAX_REUSE = 1_000_000_000
_MAX_LIVE = 1_000_000_000


@dataclass(frozen=True)
class Zero:
    """How a run is sharded."""

    level: int
    """ZeRO stage, 0 to 3."""
    world_size: int
    element: int
    """Bytes of a weight: 2 in bf16, 4 in fp32."""
    offload: bool
    """Whether optimizer state and the gradients it reads are in host memory."""
    settings: Mapping[str, Any]
    """The JSON's zero_optimization."""

    def bucket(self, name: str, default: int) -> int:
        """A size from the JSON, in elements."""
        value = self.settings.get(name)
        return default if value is None else int(float(value))

    def share(self, size: int) -> int:
        """One rank's part of a tensor; padded, so that all parts are equal."""
        return -(-size // self.world_size)

    @property
    def reduce_bucket(self) -> int:
        """Elements of a buffer that gradients are reduced in."""
        return self.bucket("reduce_bucket_size", _REDUCE_BUCKET)


def weight_bytes(zero: Zero, sharded: Iterable[int], whole: Iterable[int]) -> int:
    """Weights of tensors of these sizes: `sharded` ones are partitioned by ZeRO-3."""
    return zero.element * (sum(zero.share(n) for n in sharded) + sum(whole))


def optimizer_bytes(zero: Zero, trained: Sequence[int]) -> int:
    """AdamW's two fp32 moments, and an fp32 copy of the weights, which ZeRO makes in fp32 too (ZeRO-3 means to share
    them there, but compares a device with its name, which never are equal). 0 where it is offloaded."""
    if zero.offload:
        return 0
    per_element = _FP32 * (2 if zero.level == 0 and zero.element == _FP32 else 3)
    return per_element * (sum(trained) if zero.level == 0 else sum(zero.share(n) for n in trained))


def host_bytes(zero: Zero, trained: Sequence[int]) -> int:
    """Host memory of an offloaded optimizer: fp32 weights, two moments, the gradient that it reads and the one that
    micro-batches add up in. An estimate: DeepSpeed pins it in pages of its own."""
    return 5 * _FP32 * sum(zero.share(n) for n in trained) if zero.offload else 0


@dataclass(frozen=True)
class GradientBytes:
    """Gradients of one rank at the moments that matter."""

    kept: int
    """Between two micro-batches of a step."""
    backward: int
    """Kept ones and those of the backward pass that runs, when it begins."""
    end: int
    """The same when it ends, for the last micro-batch of the step."""
    step: int
    """While the optimizer steps."""


def gradient_bytes(zero: Zero, groups: Sequence[Sequence[int]], head: int, tied: bool) -> GradientBytes:
    """`groups`: sizes of the trained tensors, those with weight decay and those without, in the model's order.
    `head`: elements of the LM head where it is trained, else 0: its gradient is there when the backward pass begins,
    and where it is `tied` until the embedding's, which comes last, is added to it."""
    every = [n for group in groups for n in group]
    if not every:
        return GradientBytes(0, 0, 0, 0)
    total, largest, e = sum(every), max(every), zero.element
    begin, last = e * head, e * (largest + (head if tied else 0))
    if zero.level == 3:
        share = sum(zero.share(n) for n in every)
        flat = 0 if zero.offload else _FP32 * share
        copied = 0 if zero.offload else max(_FP32 * sum(zero.share(n) for n in group) for group in groups)
        return GradientBytes(flat, flat + begin, flat + last, flat + copied)
    if zero.level == 0:
        step = e * total + (_FP32 * total if e != _FP32 else 0)
        flattened = e * min(total, _REDUCE_BUCKET) if zero.world_size > 1 else 0
        return GradientBytes(e * total, e * total + begin, e * total + max(last, flattened), step)
    own = e * sum(_own_whole(group, zero.world_size) for group in groups)
    # At the step: flattened, and in bf16 copied to fp32, a group at a time.
    flat = max(sum(map(zero.share, group)) * (e + (_FP32 if e != _FP32 else 0)) for group in groups)
    if zero.level == 2:
        if zero.offload:
            return GradientBytes(0, begin, last, 0)
        return GradientBytes(own, 2 * own + begin, 2 * own + last, own + flat)
    # ZeRO-1 adds up whole gradients, and reduces them bucket by bucket after the last backward pass.
    kept = e * total
    reduced = kept + (0 if zero.offload else own) - e * min(zero.reduce_bucket, total)
    return GradientBytes(kept, kept + begin, max(kept + last, reduced), 0 if zero.offload else own + flat)


def _own_whole(group: Sequence[int], world_size: int) -> int:
    """Elements of the tensors that lie wholly or in part in a rank's partition, of the rank that has most: ZeRO-1
    and 2 keep the gradient of a tensor whole where a partition ends within it."""
    size, start, shares = -(-sum(group) // world_size), 0, [0] * world_size
    for n in group:
        for rank in range(start // size, min((start + n - 1) // size, world_size - 1) + 1):
            shares[rank] += n
        start += n
    return max(shares, default=0)


def reduce_bytes(zero: Zero, trained: Sequence[int]) -> tuple[int, int]:
    """(always there, from the first gradient of a backward pass to its end) of the buffers that gradients are
    reduced in."""
    if not trained or zero.level == 0:
        return 0, 0
    used = min(zero.reduce_bucket, sum(trained))
    if zero.level == 3:
        # A bucket that stays, its copy in the order of the ranks, and this rank's part of that in fp32.
        copy = zero.element * used if zero.world_size > 1 else 0
        part = _FP32 * zero.share(used) if zero.element != _FP32 else 0
        contiguous = zero.settings.get("contiguous_gradients", True)
        return (zero.element * zero.reduce_bucket if contiguous else 0), copy + part
    buffers = zero.element * zero.reduce_bucket * (2 if zero.settings.get("overlap_comm") else 1)
    copy = zero.element * used if zero.world_size > 1 else 0
    offloaded = zero.element * max(trained) if zero.offload else 0
    # ZeRO-1 lets go of them only after the last micro-batch of a step.
    return (offloaded + buffers, copy) if zero.level == 1 else (offloaded, buffers + copy)


@dataclass(frozen=True)
class GatherBytes:
    """Whole weights of sharded modules at the moments that matter, buffers of the gathering included."""

    always: int
    """Small tensors, which stay whole from their first use on."""
    encoder: int
    """While a sharded encoder runs."""
    turn: int
    """When the forward pass ends and the backward pass begins."""
    end: int
    """When the backward pass ends."""


def gather_bytes(
    zero: Zero, encoder: Sequence[int], layers: Sequence[int], outside: Sequence[int], recomputed: int
) -> GatherBytes:
    """encoder: sizes of a sharded encoder's tensors; layers: those of the sharded modules that gradients pass
    through, in the order of the forward pass; outside: those of sharded modules that they do not (a frozen
    embedding); recomputed: how many of `layers` belong to layers that run again in the backward pass.

    Before every module ZeRO-3 prefetches one more bucket of tensors, whatever it has prefetched before, until
    max_live_parameters elements are whole; and what it looked ahead at it does not release. So that many are whole
    when the passes meet, or those that are needed again within max_reuse_distance elements, if they are more. One
    rank has everything whole anyway.
    """
    if zero.level < 3 or zero.world_size == 1:
        return GatherBytes(0, 0, 0, 0)
    e = zero.element
    threshold = zero.bucket("stage3_param_persistence_threshold", _PERSISTENCE)
    always = e * sum(n for n in (*encoder, *layers, *outside) if n <= threshold)
    large = [n if n > threshold else 0 for n in layers]
    first = [n for n in (*outside, *encoder) if n > threshold]
    bucket = zero.bucket("stage3_prefetch_bucket_size", _PREFETCH_BUCKET)
    live = zero.bucket("stage3_max_live_parameters", _MAX_LIVE) if bucket else 0

    def whole(sizes: Sequence[int]) -> int:
        """Bytes of the tensors that are whole; where the limit binds, a bucket of them twice: gathered, and cut."""
        total, least = sum(sizes), max(live, *sizes, 0)
        return e * (total if total <= least else least + min(bucket, total - least))

    retained = e * _retained(large, zero.bucket("stage3_max_reuse_distance", _MAX_REUSE), recomputed)
    encoding = whole([*first, *large]) if first else 0
    return GatherBytes(always, encoding, max(retained, whole(large)), e * max(large, default=0))


def _retained(layers: Sequence[int], reuse: int, recomputed: int) -> int:
    """Elements of the last modules that are needed again soon.

    Between two uses of a tensor lie the tensors behind it, once in the forward and once in the backward pass; those
    of layers that are recomputed, which are the first ones, a second time in the backward pass.
    """
    distance = kept = 0
    for index in range(len(layers) - 1, -1, -1):
        if distance >= reuse:
            break
        kept += layers[index]
        distance += layers[index] * (3 if index < recomputed else 2)
    return kept
