"""Settle how samples are laid out: try on the loaded model that packed samples are read as they are read apart.

The same models read packed and padded batches, but not all families do so correctly, and what goes wrong is
silent: neighbours that attend to each other, positions that do not restart, logits that are scaled after the head.
So a few short samples are read in both ways before the first step, and the layout follows what was found.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from transformers import PreTrainedConfig

from lingualift_ds import dist
from lingualift_ds.config.schema import ModelConfig
from lingualift_ds.data.collate import BatchLayout, collate
from lingualift_ds.data.tokenize import Sample
from lingualift_ds.engine.step import Engine
from lingualift_ds.errors import ConfigError, LaunchError
from lingualift_ds.log import get_logger
from lingualift_ds.model.arrangement import Arrangement, arrange_encoder, arrange_llm, padded_reference, use

logger = get_logger(__name__)

_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 3e-2}
"""Of the summed loss, relative. fp32: sums in another order. bf16: roundings of 2^-8 through the layers; what a
neighbour says must not change a single bit in either."""
_PROBE_TOKENS = (5, 9, 7)
_ENCODER_BLOCKS = 4
"""Blocks of like length of an encoder that cannot pack; one where it is sharded, to gather it once a pass."""


@dataclass(frozen=True)
class Settled:
    """The layout of batches, how each module reads them, and whether the head gives the loss in chunks."""

    layout: BatchLayout
    modules: dict[str, Arrangement]
    fused_loss: bool


def settle(
    engine: Engine, model: ModelConfig, layout: BatchLayout, configs: dict[str, PreTrainedConfig], can_fuse: bool
) -> Settled:
    """Choose, try and apply; the choices are logged with their reasons. Collective.

    configs: of "llm" and, where there is one, "encoder". can_fuse: whether the LLM's head can give the loss.
    Raises ConfigError where packing is on and the model cannot, LaunchError where ranks come to different choices.
    """
    engine.train(False)
    probe, bridge = _Probe(engine, layout, configs), engine.module
    modules = {name: padded_reference(type(part)) for name, part in bridge.parts.items() if name in configs}
    bridge.fused_loss = False
    expected = probe.read(modules)
    bridge.fused_loss = can_fuse and not _agreed(_obstacle(probe, modules, expected, fused=True))
    if can_fuse and not bridge.fused_loss:
        logger.warning(
            "loss: this LLM's own forward changes its logits after the head; they are made at every position"
        )
    for name in sorted(configs):  # one after the other, so that the culprit is known
        modules[name] = _settle_module(name, model, configs[name], probe, modules, expected)
        use(getattr(bridge, name), modules[name])
    engine.train(True)
    settled = Settled(probe.layout_of(modules), modules, bridge.fused_loss)
    if len(set(dist.gather(str(settled)))) > 1:
        raise LaunchError("launch: the ranks differ in what their attention can do; state model.attention and packing")
    for name, arrangement in modules.items():
        logger.info("%s: %s", name, arrangement)
    return settled


def _settle_module(
    name: str,
    model: ModelConfig,
    config: PreTrainedConfig,
    probe: "_Probe",
    modules: dict[str, Arrangement],
    expected: float,
) -> Arrangement:
    """The first arrangement with which the module reads as it should: packed ones first, where they are wanted."""
    arrange = {"llm": arrange_llm, "encoder": arrange_encoder}[name]
    wanted, obstacle = getattr(model.packing, name), ""
    for option in arrange(model, config, True) if wanted != "off" else []:
        found = _agreed(_obstacle(probe, modules | {name: option}, expected))
        if not found:
            return option
        obstacle = obstacle or found
        logger.warning(
            "%s: not %s, attention %s: %s", name, "packed" if option.packed else "padded", option.kernel, found
        )
    if obstacle and wanted == "on":
        raise ConfigError(f"model.packing.{name}: on, but {obstacle}; allowed: auto, off")
    try:
        padded = arrange(model, config, False)
    except ConfigError as error:
        raise ConfigError(f"{error}; packed: {obstacle}") from None
    for option in padded:
        if not _agreed(_obstacle(probe, modules | {name: option}, expected)):
            return option
    return modules[name]


def _agreed(obstacle: str) -> str:
    """The first obstacle that any rank found: what one cannot, none does. Collective."""
    return next((found for found in dist.gather(obstacle) if found), "")


def _obstacle(probe: "_Probe", modules: dict[str, Arrangement], expected: float, fused: bool = False) -> str:
    """What goes wrong when samples are read so; empty where nothing does. `fused` tries the loss in the head."""
    bridge = probe.engine.module
    before, bridge.fused_loss = bridge.fused_loss, bridge.fused_loss or fused
    try:
        found = probe.read(modules)
        leaks = any(arrangement.packed for arrangement in modules.values()) and probe.leaks(modules)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever a family or a kernel cannot do
        return f"the model fails on it ({' '.join(str(error).split())[:120]})"
    finally:
        bridge.fused_loss = before
    if leaks:
        return "packed samples see their neighbours"
    return "" if probe.agrees(found, expected) else f"a loss of {found:.6g} where {expected:.6g} is right"


class _Probe:
    """Three made-up samples, the same on every rank, and what the model says of them."""

    def __init__(self, engine: Engine, layout: BatchLayout, configs: dict[str, PreTrainedConfig]):
        self.engine, self.configs = engine, configs
        blocks = _ENCODER_BLOCKS if "encoder" in engine.module.resident else 1
        self.layout = replace(layout, encoder_blocks=blocks)
        self.tolerance = _TOLERANCE[next(engine.module.llm.parameters()).dtype]
        self.samples = [self._sample(i, tokens) for i, tokens in enumerate(_PROBE_TOKENS)]

    def _sample(self, seed: int, tokens: int) -> Sample:
        rng = np.random.default_rng(seed)

        def ids(name: str, count: int) -> np.ndarray:
            # Not the lowest ids, where padding and other special tokens are.
            return rng.integers(16, self.configs[name].vocab_size, count, dtype=np.int32)

        text = ids("encoder", tokens) if "encoder" in self.configs else np.zeros(0, np.int32)
        soft_rows = self.layout.prompt.length(tokens) if self.layout.prompt else 0
        return Sample(str(seed), "", text, ids("llm", 4), ids("llm", tokens), soft_rows)

    def layout_of(self, modules: dict[str, Arrangement]) -> BatchLayout:
        """The batch layout that goes with these arrangements."""
        encoder = modules.get("encoder")
        return replace(self.layout, pack_llm=modules["llm"].packed, pack_encoder=encoder is not None and encoder.packed)

    def read(self, modules: dict[str, Arrangement], samples: list[Sample] | None = None, only: int | None = None):
        """Summed loss of the samples read so, over all their targets or over those of one sample."""
        for name, arrangement in modules.items():
            use(getattr(self.engine.module, name), arrangement)
        samples = samples or self.samples
        batch = collate(samples, self.layout_of(modules))
        if only is not None:
            first, count = sum(len(s.target_ids) for s in samples[:only]), len(samples[only].target_ids)
            batch |= {k: batch[k][first : first + count] for k in ("target_slots", "targets")}
        with torch.no_grad():
            return float(self.engine.forward(batch))

    def leaks(self, modules: dict[str, Arrangement]) -> bool:
        """Whether what a sample's neighbours say, before and behind it, changes a bit of its loss."""
        before, mine, behind = self.samples
        others = [self._sample(10 + i, len(s.target_ids)) for i, s in enumerate((before, behind))]
        return self.read(modules, only=1) != self.read(modules, [others[0], mine, others[1]], only=1)

    def agrees(self, found: float, expected: float) -> bool:
        """Whether two losses are one, within what rounding explains."""
        return abs(found - expected) <= self.tolerance * abs(expected)
