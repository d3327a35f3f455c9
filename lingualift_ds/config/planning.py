"""Choices that follow from the memory plan: what fits a GPU, and which of the settings that fit is the cheapest."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lingualift_ds.config.adapters import adapted_layers
from lingualift_ds.config.ds_json import offloads_optimizer, zero_level
from lingualift_ds.config.memory import MemoryPlan, Mode, Setup, plan_memory
from lingualift_ds.config.schema import Config, ModelConfig
from lingualift_ds.config.shapes import LlmShape, encoder_shape, llm_shape

GB = 1e9
RESERVE_BYTES, RESERVE_SHARE = 1_500_000_000, 0.05
"""Memory of a GPU that a plan leaves alone: CUDA's context, NCCL's buffers and cuBLAS's workspaces, and a share of
the whole for what the caching allocator cannot use."""


def setup_of(
    config: Config,
    stage: int,
    trained: Sequence[str],
    ds_config: Mapping[str, Any],
    world_size: int,
    llm_config: Mapping[str, Any],
    encoder_config: Mapping[str, Any] | None,
    gpu: bool = True,
) -> Setup:
    """What the plan of a stage depends on. trained: its freezing groups; ds_config: from build_ds_config; the models'
    configs as in their config.json; gpu: whether it runs on one, which decides how attention is computed.

    Settings that are `auto` are taken as the fastest: nothing sharded that is frozen, nothing recomputed.
    Raises ConfigError where a model is of a kind whose memory cannot be planned.
    """
    model, settings = config.model, config.stage(stage)
    llm, adapter = llm_shape(llm_config, model.llm), settings.adapter
    if adapter is not None:
        adapted_layers(llm, adapter)  # raises for targets that there are not
    asked = {"encoder": settings.sharding.encoder, "llm": settings.sharding.llm}
    wanted = model.activation_checkpointing
    layers = {"auto": 0, "none": 0, "all": llm.layers}.get(wanted, wanted)
    return Setup(
        llm=llm,
        encoder=None if model.encoder is None else encoder_shape(encoder_config, model.encoder),
        trained=tuple(trained),
        alignment=model.alignment,
        adapter=adapter,
        zero=zero_level(ds_config),
        zero_settings=ds_config.get("zero_optimization", {}),
        offload=offloads_optimizer(ds_config),
        sharding={part: "resident" if mode == "auto" else mode for part, mode in asked.items()},
        world_size=world_size,
        precision=model.precision,
        micro_tokens=settings.batch.micro_tokens,
        recomputed_layers=min(layers, llm.layers),
        longest=model.llm_max_tokens,
        fused_attention=gpu and _fused(model, llm),
    )


def _fused(model: ModelConfig, llm: LlmShape) -> bool:
    """Whether a GPU has a kernel for packed rows (model/attention.py): not in fp32, and varlen not for softcapping."""
    wanted = model.attention.llm
    if wanted in ("sdpa", "eager") or model.precision == "fp32":
        return False
    return llm.kind != "gemma2" or wanted == "flash_attention_2"


def usable_bytes(gpu_memory: float) -> int:
    """What a plan may fill of a GPU's memory, 0 where the reserve is all there is; both in bytes."""
    return max(0, int(gpu_memory * (1 - RESERVE_SHARE) - RESERVE_BYTES))


def describe(setup: Setup) -> str:
    """A setting in words."""
    frozen = [part for part in ("encoder", "llm") if part not in setup.trained and _has(setup, part)]
    places = [f"{part} {setup.sharding.get(part, 'resident')}" for part in frozen if setup.zero == 3]
    again = f"{setup.recomputed_layers} of {setup.llm.layers} layers recomputed" if setup.recomputed_layers else ""
    return ", ".join(
        [f"ZeRO-{setup.zero}", *places, again or "nothing recomputed", *(["optimizer offloaded"] * setup.offload)]
    )


def choose_plan(setup: Setup, gpu_memory: float) -> MemoryPlan | None:
    """The plan of the cheapest setting that fits a GPU of so many bytes, or None where none does.

    What costs least comes first: ZeRO-1, 2 and 3 with frozen weights resident, then frozen weights sharded, those
    that are gathered least first; where none of these fits, the one that needs the fewest layers recomputed; and the
    optimizer in host memory last. Of `setup` the models, what is trained, the ranks, the micro-batch and the JSON's
    buckets are kept. Raises ValueError, see usable_bytes.
    """
    limit = usable_bytes(gpu_memory)
    for offload in (False, True):
        placed = [replace(s, offload=offload) for s in _placements(setup) if not offload or s.zero > 1]
        needed = [(_fewest_layers(candidate, limit), candidate) for candidate in placed]
        able = [(layers, candidate) for layers, candidate in needed if layers is not None]
        if able:
            layers, cheapest = min(able, key=lambda found: found[0])
            return plan_memory(replace(cheapest, recomputed_layers=layers))
    return None


def _placements(setup: Setup) -> Iterator[Setup]:
    resident: dict[str, Mode] = {"encoder": "resident", "llm": "resident"}
    for level in (1, 2, 3):
        yield replace(setup, zero=level, sharding=resident)
    for sharded in _sharded(setup)[1:]:
        yield replace(setup, zero=3, sharding=resident | dict.fromkeys(sharded, "sharded"))


def _placed(setup: Setup, sharded: Sequence[str]) -> Setup:
    return replace(setup, sharding={part: "sharded" if part in sharded else "resident" for part in _frozen(setup)})


def _frozen(setup: Setup) -> list[str]:
    return [part for part in ("encoder", "llm") if part not in setup.trained and _has(setup, part)]


def _sharded(setup: Setup) -> list[list[str]]:
    """Which frozen modules are sharded, by what is gathered for it: none, the encoder (in the forward pass alone), the
    LLM (in both), both."""
    frozen = _frozen(setup)
    return [[], *([part] for part in frozen), *([frozen] if len(frozen) > 1 else [])]


def _has(setup: Setup, part: str) -> bool:
    return part == "llm" or setup.encoder is not None


def _fewest_layers(setup: Setup, limit: int) -> int | None:
    """The fewest recomputed layers with which a setting fits; None where it does not even with all."""
    for layers in range(setup.llm.layers + 1):
        if plan_memory(replace(setup, recomputed_layers=layers)).total <= limit:
            return layers
    return None


def largest_micro_tokens(setup: Setup, gpu_memory: float) -> int:
    """The largest token budget of a micro-batch with which a setting fits a GPU of so many bytes, to 64 tokens; 0
    where none does. Encoder tokens keep their share."""
    limit = usable_bytes(gpu_memory)
    share = None if setup.encoder_tokens is None else setup.encoder_tokens / setup.micro_tokens

    def fits(units: int) -> bool:
        tokens = 64 * units
        encoder = None if share is None else int(share * tokens)
        return plan_memory(replace(setup, micro_tokens=tokens, encoder_tokens=encoder)).total <= limit

    low, high = 0, 1
    while fits(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return 64 * low


def auto_sharding(setup: Setup, gpu_memory: float | None, recompute: bool = False) -> dict[str, tuple[Mode, str]]:
    """For each frozen one of encoder and llm: (where its weights live, why). gpu_memory: bytes, None without a GPU.

    Resident where the plan fits so, as `setup` stands otherwise; else as little is sharded as it takes. Where nothing
    fits and layers may be computed again (`recompute`), what lets the fewest be.
    """
    frozen = _frozen(setup)
    if setup.zero < 3:
        return dict.fromkeys(frozen, ("resident", f"ZeRO-{setup.zero} shards no weights"))
    if setup.world_size == 1:
        return dict.fromkeys(frozen, ("resident", "a single rank has all weights anyway"))
    if gpu_memory is None:
        return dict.fromkeys(frozen, ("resident", "no GPU to plan for"))
    limit = usable_bytes(gpu_memory)
    least: tuple[int, dict[str, Mode]] | None = None
    for sharded in _sharded(setup):
        placed = _placed(setup, sharded)
        modes, total = placed.sharding, plan_memory(placed).total
        said = f"{total / GB:.1f} GB planned, {limit / GB:.1f} GB usable"
        if total <= limit:
            why = {"resident": f"fits: {said}", "sharded": f"needed: {said}"}
            return {part: (mode, why[mode]) for part, mode in modes.items()}
        if least is None or total < least[0]:
            least = (total, modes)
    fewest = {tuple(sharded): _fewest_layers(_placed(setup, sharded), limit) for sharded in _sharded(setup)}
    able = [(layers, sharded) for sharded, layers in fewest.items() if layers is not None]
    if recompute and able:
        layers, sharded = min(able, key=lambda found: found[0])
        why = f"fits with {layers} layers computed again"
        return {part: ("sharded" if part in sharded else "resident", why) for part in frozen}
    said = f"nothing fits; this needs least: {least[0] / GB:.1f} GB planned, {limit / GB:.1f} GB usable"
    return {part: (mode, said) for part, mode in least[1].items()}


def auto_recompute(setup: Setup, gpu_memory: float | None) -> tuple[int, str]:
    """(LLM layers to compute again in the backward pass, why): as few as the plan needs. gpu_memory: bytes, None
    without a GPU."""
    if gpu_memory is None:
        return 0, "no GPU to plan for"
    limit = usable_bytes(gpu_memory)
    layers = _fewest_layers(setup, limit)
    plan = plan_memory(replace(setup, recomputed_layers=setup.llm.layers if layers is None else layers))
    said = f"{plan.total / GB:.1f} GB planned, {limit / GB:.1f} GB usable"
    return plan.setup.recomputed_layers, f"does not fit with all either: {said}" if layers is None else f"fits: {said}"
