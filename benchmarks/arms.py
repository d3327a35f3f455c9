"""What is timed: the reference and ours, each an engine that takes optimizer steps over given samples."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Protocol
from unittest import mock

import deepspeed
import torch

from benchmarks import reference, shapes
from lingualift_ds import dist
from lingualift_ds.config import schema
from lingualift_ds.config.layout import PromptLayout, prompt_layout
from lingualift_ds.config.schema import AlignmentConfig, OptimizerConfig
from lingualift_ds.data.loader import Step, make_step
from lingualift_ds.data.prepared import SampleList
from lingualift_ds.data.tokenize import Sample
from lingualift_ds.model.arrangement import Arrangement, use
from lingualift_ds.model.work import StepWork
from lingualift_ds.train import build
from lingualift_ds.train import run as training
from lingualift_ds.train.folder import StageFolder
from lingualift_ds.train.loop import take_step
from lingualift_ds.train.stages import LINGUALIFT, stage_of

ADAMW = OptimizerConfig(lr=1e-5)
MEASURES = ("packing", "labels-only", "residency", "attention")
"""What ours can go without, one at a time: padding-free batches; logits at target positions only, in chunks; frozen
weights that lie whole on every rank; an attention kernel for packed rows (without: PyTorch's own over the whole row,
with a mask of row x row, in the LLM)."""


@dataclass(frozen=True)
class Setting:
    """What both arms share: models, stage, precision and the seed of the weights."""

    preset: shapes.Preset
    stage: int
    dtype: torch.dtype
    seed: int

    @property
    def trained(self) -> tuple[str, ...]:
        """Freezing groups that the stage trains."""
        return LINGUALIFT[self.stage].trains

    @property
    def layout(self) -> PromptLayout:
        """Rows of a soft prompt."""
        return prompt_layout(AlignmentConfig())


class Arm(Protocol):
    """An engine under the clock. `prepare` comes before the clock starts: a step's tensors wait in host memory.

    Ours makes them in a thread while the step before runs; the reference is given the same for nothing.
    """

    sizes: dict[str, dict[str, int]]
    """Parameters of encoder, alignment layer and LLM: see shapes.counts."""

    def prepare(self, samples: Sequence[Sample], index: int) -> None:
        """Make this rank's micro-batches of the step number `index`."""

    def positions(self) -> tuple[int, int]:
        """LLM and encoder positions that the prepared step costs over all ranks, padding included. Collective."""

    def step(self) -> float:
        """Run the prepared step; its loss. Collective."""

    def loss(self) -> float:
        """The mean loss of the prepared step over all its target tokens, without dropout. Collective."""

    def close(self) -> None:
        """Let go of the engine."""


class ReferenceArm:
    """The layout of the authors' code (benchmarks/reference.py) on DeepSpeed directly."""

    def __init__(self, setting: Setting):
        preset, self._setting, self._place = setting.preset, setting, dist.read_place()
        batch, device = preset.batches[setting.stage], dist.device()
        # Made as train/build.py makes it, so that the same seed gives both arms the same weights.
        torch.manual_seed(setting.seed)
        layer = shapes.alignment_layer(preset).to(setting.dtype).to(device)
        model = reference.ReferenceModel(
            shapes.random_encoder(preset, setting.dtype, device, setting.seed),
            reference.BoundedProjection(layer.project, layer.begin, layer.end),
            shapes.random_llm(preset, setting.dtype, device, setting.seed, "sdpa"),
        )
        for name, part in model.named_children():
            part.requires_grad_(name in setting.trained)
        self.sizes = {name: shapes.counts(part) for name, part in model.named_children()}
        trained = [p for p in model.parameters() if p.requires_grad]
        adamw = torch.optim.AdamW(
            trained, lr=ADAMW.lr, betas=ADAMW.betas, eps=ADAMW.eps, weight_decay=ADAMW.weight_decay, fused=True
        )
        config = reference.zero3_config(
            batch.micro_samples, batch.accumulation, self._place.world_size, setting.dtype == torch.bfloat16
        )
        self._engine, *_ = deepspeed.initialize(model=model, optimizer=adamw, config=config, dist_init_required=False)
        self._batches: list[dict[str, torch.Tensor]] = []

    def prepare(self, samples: Sequence[Sample], index: int) -> None:
        micro = self._setting.preset.batches[self._setting.stage].micro_samples
        dealt = reference.deal(samples, self._place.rank, self._place.world_size, micro, index)
        self._batches = [reference.collate(mine) for mine in dealt]
        if torch.cuda.is_available():
            self._batches = [{k: v.pin_memory() for k, v in batch.items()} for batch in self._batches]

    def positions(self) -> tuple[int, int]:
        llm, encoder = (sum(n) for n in zip(*map(reference.positions, self._batches)))
        return tuple(int(n) for n in dist.total([llm, encoder]))

    def step(self) -> float:
        self._engine.train()
        losses = []
        for batch in self._batches:
            summed, targets = self._engine(**self._there(batch))
            loss = summed / targets
            self._engine.backward(loss)
            self._engine.step()
            losses.append(loss.detach())
        return float(sum(losses)) / len(losses)

    def loss(self) -> float:
        self._engine.eval()
        self._engine.module.count_padding = False
        with torch.no_grad():
            found = [self._engine(**self._there(batch)) for batch in self._batches]
        self._engine.module.count_padding = True
        summed, targets = dist.total([float(sum(f[0].double() for f in found)), float(sum(f[1] for f in found))])
        return summed / targets

    def close(self) -> None:
        self._engine.destroy()

    def _there(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {k: v.to(self._engine.device, non_blocking=True) for k, v in batch.items()}


class OurArm:
    """This toolkit as train/run.py builds it and train/loop.py steps it, on models that are not read from files."""

    def __init__(self, setting: Setting, without: frozenset[str], folder: Path, compiled: bool = False):
        self._place = dist.read_place()
        config = run_config(setting, without, self._place.world_size, folder, compiled)
        stage = stage_of(config, setting.stage)
        with _not_from_files(setting, folder) as sources:
            prepared = training.prepare(config, stage, StageFolder(folder / "run"), "fresh")
            self._run = training.build_run(config, stage, prepared)
        self._batch = prepared.batch
        training.settle_run(self._run, config, sources)
        self._layout = self._run.loader.layout
        self._run.loader.close()
        module = self._run.engine.module
        if "labels-only" in without:
            module.fused_loss = False
        if "attention" in without:
            use(module.llm, Arrangement(False, "sdpa", "asked for"))
        self.sizes = {name: shapes.counts(part) for name, part in module.parts.items()}
        self._work = StepWork(module)
        self._step: Step | None = None

    def prepare(self, samples: Sequence[Sample], index: int) -> None:
        held = SampleList(samples)
        self._step = make_step(held, range(len(held)), self._batch, self._place.rank, self._layout)
        self._run.loader = SimpleNamespace(next_step=lambda: self._step)

    def positions(self) -> tuple[int, int]:
        return self._step.llm_positions, self._step.encoder_positions

    def step(self) -> float:
        self._run.engine.train()
        return take_step(self._run, None, self._work)["loss"]

    def loss(self) -> float:
        engine = self._run.engine
        engine.train(False)
        with torch.no_grad():
            summed = sum(float(engine.forward(batch)) for batch in self._step.micro_batches)
        return dist.total([summed])[0] / self._step.target_tokens

    def close(self) -> None:
        self._run.engine.close()


@contextlib.contextmanager
def _not_from_files(setting: Setting, folder: Path) -> Iterator[build.Sources]:
    """Within it, what train/ reads from model folders and data files is made up; all else is as in any run."""
    preset, device = setting.preset, dist.device()
    ids = SimpleNamespace(pad_token_id=0, bos_token_id=shapes.BOS, eos_token_id=shapes.EOS)
    sources = build.Sources(preset.llm_config(), ids, preset.encoder_config(), ids, {})
    for role in _ROLES:
        # What is planned before a model is loaded is planned from its config.json.
        getattr(sources, f"{role}_config").save_pretrained(folder / role)
    encoder = shapes.random_encoder(preset, setting.dtype, device, setting.seed)
    llm = shapes.random_llm(preset, setting.dtype, device, setting.seed, "sdpa")
    # Never drawn from: the steps are given, so that both arms have the same.
    samples = SampleList(shapes.probe(preset, setting.layout)), SampleList([])
    made = [
        mock.patch.object(build, "read_sources", lambda *_: sources),
        mock.patch.object(training, "read_handover", lambda *_: None),
        mock.patch.object(build, "read_samples", lambda *_: samples),
        mock.patch.object(build, "artefact_config", lambda *_: {role: {"fingerprint": ""} for role in _ROLES}),
        mock.patch.object(build, "load_encoder", lambda *_: encoder),
        mock.patch.object(build.llms, "load_llm", lambda *_: llm),
    ]
    with contextlib.ExitStack() as stack:
        for patch in made:
            stack.enter_context(patch)
        yield sources


def run_config(
    setting: Setting, without: frozenset[str], ranks: int, folder: Path, compiled: bool = False
) -> schema.Config:
    """The config of a run of ours over as many samples a step as the reference takes."""
    preset, stage = setting.preset, setting.stage
    batch = preset.batches[stage]
    frozen = [part for part in ("encoder", "llm") if part not in setting.trained]
    packing = schema.PackingConfig(*["off" if "packing" in without else "auto"] * 2)
    sharding = schema.ShardingConfig(**{part: "sharded" for part in frozen} if "residency" in without else {})
    settings = schema.StageConfig(
        batch=schema.BatchConfig(
            samples=batch.micro_samples * batch.accumulation * ranks, micro_tokens=preset.micro_tokens[stage]
        ),
        sharding=sharding,
        steps=1_000_000,
        optimizer=ADAMW,
        deepspeed=f"ds_configs/stage{stage}_zero3.json",
    )
    model = schema.ModelConfig(
        llm=str(folder / "llm"),
        encoder=str(folder / "encoder"),
        precision=_PRECISIONS[setting.dtype],
        packing=packing,
        llm_max_tokens=1280,
        compile=compiled,
    )
    return schema.Config(model, schema.RunConfig(output=str(folder), seed=setting.seed), {stage: settings})


_ROLES = ("encoder", "llm")
_PRECISIONS = {torch.float32: "fp32", torch.bfloat16: "bf16"}
