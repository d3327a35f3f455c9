"""The memory plan: bytes on one rank's GPU at the moments of a training step when there are most.

Predicted from shapes and settings alone, so that it can be read on a laptop before a node is booked. Five moments
can be the worst: the encoder's pass, the loss (all activations and the logits), the begin of the backward pass,
its end (all gradients), and the optimizer's step. benchmarks/memory.py holds the plan against what is measured.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from lingualift_ds.config import activations
from lingualift_ds.config.activations import Autograd, Work
from lingualift_ds.config.adapters import adapter_bytes, adapter_peak_bytes, adapter_tensors
from lingualift_ds.config.partitions import (
    GatherBytes,
    GradientBytes,
    Zero,
    gather_bytes,
    gradient_bytes,
    host_bytes,
    optimizer_bytes,
    reduce_bytes,
    weight_bytes,
)
from lingualift_ds.config.schema import AdapterConfig, AlignmentConfig
from lingualift_ds.config.shapes import EncoderShape, LlmShape, alignment_tensors

ELEMENT = {"bf16": 2, "fp16": 2, "fp32": 4}
"""Bytes of a weight or an activation."""
MOMENTS = ("encoder", "loss", "backward", "backward's end", "optimizer")
"""The moments of a step, in order."""
Mode = Literal["resident", "sharded"]


@dataclass(frozen=True)
class Setup:
    """What a plan depends on."""

    llm: LlmShape
    encoder: EncoderShape | None
    """None: text alone, without an alignment layer."""
    trained: tuple[str, ...]
    """Freezing groups that are trained."""
    alignment: AlignmentConfig = field(default_factory=AlignmentConfig)
    adapter: AdapterConfig | None = None
    """What is trained of an LLM that is among `trained`; None: all of it."""
    zero: int = 3
    """ZeRO stage, 0 to 3."""
    zero_settings: Mapping[str, Any] = field(default_factory=dict)
    """The DeepSpeed JSON's zero_optimization; what it leaves open has DeepSpeed's defaults."""
    offload: bool = False
    """Whether optimizer state is in host memory."""
    sharding: Mapping[str, Mode] = field(default_factory=dict)
    """Of frozen modules, encoder and llm: resident unless stated, and always below ZeRO-3."""
    world_size: int = 1
    precision: Literal["bf16", "fp16", "fp32"] = "bf16"
    micro_tokens: int = 8192
    """Token budget of one rank's micro-batch, in LLM positions."""
    recomputed_layers: int = 0
    """How many of the LLM's first layers run again in the backward pass."""
    target_share: float = 0.6
    """Share of the LLM positions that predict a token."""
    encoder_tokens: int | None = None
    """Encoder positions of a micro-batch; None: 0.4 of micro_tokens."""
    longest: int = 1024
    """Longest sample, in LLM positions; matters where attention is not computed by a fused kernel."""
    fused_attention: bool = True
    """Whether one kernel computes attention over the packed row: flash-attn or varlen, on a GPU."""


@dataclass(frozen=True)
class Bytes:
    """Bytes of one rank at one moment, by what they are for."""

    weights: int = 0
    gradients: int = 0
    optimizer: int = 0
    activations: int = 0
    logits: int = 0
    buffers: int = 0
    """Whole weights of sharded modules, and the buckets gradients are reduced in."""

    @property
    def total(self) -> int:
        """All of them together."""
        return sum(getattr(self, f.name) for f in fields(self))


@dataclass(frozen=True)
class MemoryPlan:
    """Predicted bytes of one rank during a step."""

    setup: Setup
    moments: Mapping[str, Bytes]
    """By moment, see MOMENTS."""
    host: int
    """Bytes of host memory that an offloaded optimizer takes, per rank."""

    @property
    def worst(self) -> str:
        """The moment with most bytes."""
        return max(self.moments, key=lambda m: self.moments[m].total)

    @property
    def peak(self) -> Bytes:
        """The bytes of that moment."""
        return self.moments[self.worst]

    @property
    def total(self) -> int:
        """The most bytes at any moment."""
        return self.peak.total


def plan_memory(setup: Setup) -> MemoryPlan:
    """Predict the bytes of a training step on one rank, from its second step on, when optimizer state is there.

    Raises ValueError for what contradicts itself: checks of user settings come before.
    """
    if setup.zero not in (0, 1, 2, 3) or setup.world_size < 1 or setup.micro_tokens < 1:
        raise ValueError(f"no such setup: ZeRO-{setup.zero}, {setup.world_size} ranks, {setup.micro_tokens} tokens")
    zero = Zero(setup.zero, setup.world_size, ELEMENT[setup.precision], setup.offload, setup.zero_settings)
    parts = _parts(setup)
    trained = [n for group in _trained(setup, parts) for n in group]
    sharded = [part for part in parts if is_sharded(setup, part)]
    held = {
        "weights": weight_bytes(
            zero,
            (n for part in sharded for n in parts[part]),
            (n for part in parts if part not in sharded for n in parts[part]),
        ),
        "optimizer": optimizer_bytes(zero, trained),
    }
    gradients = _gradients(setup, zero, parts)
    standing, reducing = reduce_bytes(zero, trained)
    gathered = _gathered(setup, zero, parts, sharded)
    moments = _moments(setup, held, gradients, gathered, standing, reducing)
    return MemoryPlan(setup, moments, host_bytes(zero, trained))


def is_sharded(setup: Setup, part: str) -> bool:
    """Whether ZeRO-3 partitions a part's weights: whatever is trained, the alignment layer, and frozen ones so set."""
    if setup.zero < 3:
        return False
    return part == "alignment" or part in setup.trained or setup.sharding.get(part, "resident") == "sharded"


def linear_of_zero(setup: Setup) -> bool:
    """Whether DeepSpeed's own linear layer is worth having under ZeRO-3 (`memory_efficient_linear`).

    It keeps its input where PyTorch's keeps the weight: of a sharded LLM that weight would stay gathered, of a
    resident and frozen one it is there anyway, and every layer's inputs are saved for nothing.
    """
    return is_sharded(setup, "llm") or "llm" in setup.trained


def work_of(setup: Setup) -> Work:
    """The micro-batch that is planned for."""
    tokens = setup.micro_tokens
    encoder = int(0.4 * tokens) if setup.encoder_tokens is None else setup.encoder_tokens
    return Work(tokens, int(setup.target_share * tokens), encoder if setup.encoder else 0, min(setup.longest, tokens))


def _parts(setup: Setup) -> dict[str, list[int]]:
    """Sizes of the tensors of each part, in the order in which the bridged model holds them."""
    llm = list(setup.llm.tensors())
    if setup.adapter is not None:
        llm += [n for group in adapter_tensors(setup.llm, setup.adapter) for n in group]
    if setup.encoder is None:
        return {"llm": llm}
    alignment = alignment_tensors(setup.alignment, setup.encoder.width, setup.llm.width, setup.encoder.layers)
    return {
        "encoder": list(setup.encoder.tensors()),
        "alignment": list(alignment),
        "llm": llm,
    }


def _gradients(setup: Setup, zero: Zero, parts: Mapping[str, list[int]]) -> GradientBytes:
    head = setup.llm.head_parameters if _trains_whole_llm(setup) else 0
    return gradient_bytes(zero, _trained(setup, parts), head, setup.llm.tied)


def _trained(setup: Setup, parts: Mapping[str, list[int]]) -> list[list[int]]:
    """Sizes of the trained tensors: of each part those with weight decay, and those without."""
    groups = []
    for part in parts:
        if part == "llm" and setup.adapter is not None and part in setup.trained:
            groups += adapter_tensors(setup.llm, setup.adapter)
        elif part in setup.trained:
            # Vectors (norms, biases) have no weight decay and make a group of their own; no matrix is as small.
            vector = 4 * max(setup.llm.ffn, setup.encoder.ffn if setup.encoder else 0)
            groups += [[n for n in parts[part] if n > vector], [n for n in parts[part] if n <= vector]]
    return [group for group in groups if group]


def _trains_whole_llm(setup: Setup) -> bool:
    return "llm" in setup.trained and setup.adapter is None


def _gathered(setup: Setup, zero: Zero, parts: Mapping[str, list[int]], sharded: list[str]) -> GatherBytes:
    llm = setup.llm
    encoder, passed, outside = [], [], []
    if "encoder" in sharded:
        (passed if "encoder" in setup.trained else encoder).extend(parts["encoder"])
    if "alignment" in sharded:
        (passed if set(setup.trained) & {"encoder", "alignment"} else outside).extend(parts["alignment"])
    recomputed = 0
    if "llm" in sharded:
        # A frozen embedding takes no part in the backward pass, unless it is the head as well.
        (passed if _trains_whole_llm(setup) or llm.tied else outside).extend(llm.embedding_tensors)
        recomputed = len(passed) + setup.recomputed_layers * len(llm.layer_tensors)
        passed.extend(parts["llm"][len(llm.embedding_tensors) :])
    return gather_bytes(zero, encoder, passed, outside, recomputed if setup.recomputed_layers else 0)


def _moments(
    setup: Setup,
    held: dict[str, int],
    gradients: GradientBytes,
    gathered: GatherBytes,
    standing: int,
    reducing: int,
) -> dict[str, Bytes]:
    llm, encoder, work, element = setup.llm, setup.encoder, work_of(setup), ELEMENT[setup.precision]
    trains_llm = "llm" in setup.trained
    replaced = setup.zero == 3 and setup.zero_settings.get("memory_efficient_linear", linear_of_zero(setup))
    grad = Autograd(element, _trains_whole_llm(setup), trains_llm or replaced, setup.fused_attention)
    layer, width = activations.layer_bytes(llm, work, grad), element * llm.width * work.tokens
    if setup.adapter is not None and trains_llm:
        layer += adapter_bytes(llm, setup.adapter, work.tokens, element)
    again = min(setup.recomputed_layers, llm.layers)
    before = activations.rotary_bytes(llm, work, grad)
    if encoder is not None:
        trained = bool({"encoder", "alignment"} & set(setup.trained))
        before += activations.alignment_bytes(setup.alignment, encoder, llm, work, element, trained)
    if encoder is not None and "encoder" in setup.trained:
        before += activations.trained_encoder_bytes(encoder, work, element)
    kept = before + (llm.layers - again) * layer + again * width
    last = activations.final_norm_bytes(llm, work, grad)
    embeddings = activations.embedding_bytes(llm, work, grad, again)
    hidden, logits = activations.loss_bytes(llm, work, grad)
    turning = activations.norm_backward_bytes(llm, work, grad)
    passing = activations.backward_bytes(llm, work, grad)
    passing += adapter_peak_bytes(llm, setup.adapter, element) if setup.adapter is not None else 0
    # The pass of the last layer, or of the last one that is recomputed: by then the later ones are gone.
    plain = kept + passing if again < llm.layers else 0
    recomputing = before + again * width + layer + passing if again else 0
    backward = max(kept + last + turning, plain, recomputing)
    buffers = standing + gathered.always
    every = setup.alignment.layers == "all"
    encoding = activations.encoder_bytes(encoder, work, element, every) if encoder is not None else 0
    return {
        "encoder": Bytes(
            **held, gradients=gradients.kept, activations=encoding, buffers=buffers + gathered.encoder
        ),
        "loss": Bytes(
            **held, gradients=gradients.kept, activations=kept + last + embeddings + hidden, logits=logits,
            buffers=buffers + gathered.turn,
        ),
        "backward": Bytes(
            **held, gradients=gradients.backward, activations=backward,
            # The head's gradient is the first; without it they come when the backward pass is through the LLM.
            buffers=buffers + gathered.turn + (reducing if trains_llm else 0),
        ),
        "backward's end": Bytes(
            # The first norm is the last that gradients pass.
            **held, gradients=gradients.end, activations=before + last + turning,
            buffers=buffers + reducing + gathered.end,
        ),
        "optimizer": Bytes(**held, gradients=gradients.step, buffers=buffers),
    }  # fmt: skip
