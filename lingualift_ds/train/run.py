"""Run one stage from a config: prepare, build, fit, hand over. What `launch/train.py` calls."""

import hashlib
import json
import time
from dataclasses import dataclass
from typing import Any

from lingualift_ds import dist
from lingualift_ds.checkpoint.artefact import write_artefact
from lingualift_ds.checkpoint.manifest import verify
from lingualift_ds.checkpoint.store import CheckpointStore, sweep
from lingualift_ds.config.batch import BatchPlan, plan_batch
from lingualift_ds.config.ds_json import build_ds_config, with_linear, zero_level
from lingualift_ds.config.layout import prompt_layout
from lingualift_ds.config.load import dump_config
from lingualift_ds.config.monitors import plan_monitors
from lingualift_ds.config.schema import Config
from lingualift_ds.data.collate import BatchLayout
from lingualift_ds.data.loader import StepLoader, steps_by_epoch
from lingualift_ds.data.prepared import Samples
from lingualift_ds.engine.build import build_engine, connect, loading
from lingualift_ds.errors import CheckpointError, LaunchError, TrainingError
from lingualift_ds.log import MetricsWriter, capture_libraries, duration, get_logger, log_to
from lingualift_ds.model.adapters import check_adapter
from lingualift_ds.model.bridge import BridgedModel
from lingualift_ds.model.groups import (
    format_sizes,
    freeze_all_but,
    full_shape,
    group_of,
    group_sizes,
    named_parameters,
    persistent_buffers,
)
from lingualift_ds.model.loading import compile_layers
from lingualift_ds.model.loss import fuse_head
from lingualift_ds.train import build
from lingualift_ds.train.course import Run
from lingualift_ds.train.folder import StageFolder, claim_folder, decide, mark_complete, stage_folder, write_config
from lingualift_ds.train.handover import contents, hands_over
from lingualift_ds.train.heldout import Heldout
from lingualift_ds.train.inherit import Handover, handover_folder, handover_id, read_handover
from lingualift_ds.train.loop import fit
from lingualift_ds.train.placement import check_sharding
from lingualift_ds.train.preempt import Notice, limits
from lingualift_ds.train.probe import Probe
from lingualift_ds.train.profile import StepTrace
from lingualift_ds.train.resume import Start, check_probe, clear_what_lies_ahead, draw_on, find_start, load
from lingualift_ds.train.saving import tell_of_warnings
from lingualift_ds.train.settle import settle
from lingualift_ds.train.stages import Stage, check_stage
from lingualift_ds.train.state import seed_everything

logger = get_logger(__name__)


@dataclass(frozen=True)
class Prepared:
    """What can be known before any process group or GPU is touched: read, checked, tokenised."""

    folder: StageFolder
    start: str
    batch: BatchPlan
    ds_config: dict[str, Any]
    sources: build.Sources
    samples: Samples
    heldout: Samples
    handover: Handover | None
    identity: dict[str, Any]
    """What a resumed run must find unchanged, beside its config."""


def run_stage(
    config: Config, stage: Stage, resume_mode: str, source: str, profile: int = 0, resume_step: int | None = None
) -> None:
    """Train one stage, from wherever it stands or from a step, to COMPLETE; trace `profile` steps. Every rank calls it.

    Raises the UserErrors of all its parts, those of reading before any process group or GPU is touched; and Interrupted
    where a rank is told to leave.
    """
    started = time.monotonic()
    capture_libraries()
    check_stage(config, stage, source)
    folder = stage_folder(config, stage)
    start = decide(folder, config, stage, resume_mode, resume_step)
    if start == "complete":
        _check_still_valid(folder, config, stage)
        logger.info("stage %d (%s) is complete already: %s", stage.number, stage.name, folder.artefact)
        return
    place = _as_expected(dist.read_place(), config.run.world_size)
    with dist.watched(place, dist.meet(place), limits(config.run.watchdog), config.run.watchdog.silence_seconds):
        prepared = prepare(config, stage, folder, start)
        dist.HERE.move("loading")
        connect(place)
        _claim(config, stage, folder, start, resume_mode, resume_step)
        logger.info("stage %d (%s) in %s, launched by %s", stage.number, stage.name, folder.path, place.launcher)
        checkpoint = find_start(folder, resume_step, prepared.identity) if start == "resume" else None
        dist.on_main(lambda: write_config(folder, config))
        run = build_run(config, stage, prepared, checkpoint)
        _go_to_start(run, config, prepared, checkpoint)
        run.trace = StepTrace(folder.path / "profile", profile) if profile else None
        try:
            fit(run)
        except TrainingError:  # on all ranks: the monitors send what they hold, before anyone ends
            run.engine.close()
            raise
        dist.HERE.move("handing over")
        _hand_over(run, config, stage, prepared)
        tell_of_warnings()
    logger.info("stage %d complete in %s: %s", stage.number, duration(time.monotonic() - started), folder.artefact)
    run.engine.close()


def _claim(
    config: Config, stage: Stage, folder: StageFolder, start: str, resume_mode: str, resume_step: int | None
) -> None:
    """Take the run folder for this run alone. Collective. Raises LaunchError where ranks see different folders, or
    another run changed it meanwhile."""
    if len(set(dist.gather(start))) > 1:
        raise LaunchError(f"{folder.path}: ranks do not see the same files there; run.output must be a shared folder")
    dist.on_main(lambda: claim_folder(folder))
    if dist.on_main(lambda: decide(folder, config, stage, resume_mode, resume_step)) != start:
        raise LaunchError(f"{folder.path}: another run was at work there until now; start this one again")
    log_to(folder.logs)
    dist.on_main(lambda: sweep(folder.checkpoints))


def _go_to_start(run: Run, config: Config, prepared: Prepared, checkpoint: Start | None) -> None:
    """Bring a run to where it starts, on disk too: its first step, or what the checkpoint holds. Collective."""
    if checkpoint is not None:
        load(run, checkpoint)
    settle_run(run, config, prepared.sources)
    if checkpoint is not None:
        check_probe(run, checkpoint)
    dist.on_main(lambda: clear_what_lies_ahead(run))
    if checkpoint is not None:
        draw_on(run, checkpoint, config.run.seed)
    run.engine.open_monitors(plan_monitors(config.run, prepared.folder.path), run.progressed.step)


def _as_expected(place: dist.Place, world_size: int | None) -> dist.Place:
    """The place, where the run has as many ranks as its config states, if it does. Raises LaunchError."""
    if world_size not in (None, place.world_size):
        raise LaunchError(
            f"run.world_size: {world_size}, but {place.launcher} started {place.world_size} ranks; "
            "start as many, or set run.world_size to null"
        )
    return place


def prepare(config: Config, stage: Stage, folder: StageFolder, start: str) -> Prepared:
    """Read, check and tokenise everything; on every rank alike, with no process group. Raises UserErrors."""
    settings = config.stage(stage.number)
    batch = plan_batch(settings.batch, dist.read_place().world_size)
    maker = build.read_maker(config, stage)
    sources = build.read_sources(config.model)
    build.check_arrangement(config.model, sources)
    if stage.adapter is not None:
        check_adapter(stage.adapter, sources.llm_config)
    ds_config = build_ds_config(config.model, settings, batch, sources.llm_config.hidden_size)
    parts = ("llm",) if config.model.encoder is None else ("encoder", "llm")
    check_sharding(stage.folder, settings, parts, stage.groups, zero_level(ds_config))
    described = build.artefact_config(config, sources)
    handover = read_handover(config, stage, described)
    samples, heldout = build.read_samples(config, stage, sources, maker)
    identity = {
        "zero": zero_level(ds_config),
        "llm": described["llm"]["fingerprint"],
        "encoder": (described["encoder"] or {}).get("fingerprint"),
        "handover": handover and handover.id,
        # Before the data: where a lexicon changes, the samples do, and the cause is to be named.
        "lexicon": maker and maker.digest,
        "data": samples.digest,
    }
    return Prepared(folder, start, batch, ds_config, sources, samples, heldout, handover, identity)


def build_run(config: Config, stage: Stage, prepared: Prepared, start: Start | None = None) -> Run:
    """Model, engine and loader, for what it will go on from. Collective. The batches' layout is settled later, by
    `settle_run`."""
    settings, place = config.stage(stage.number), dist.read_place()
    sources, zero = prepared.sources, prepared.identity["zero"]
    layout = BatchLayout.of(
        sources.llm_tokenizer,
        sources.encoder_tokenizer,
        sources.encoder_config and prompt_layout(config.model.alignment),
    )
    samples, batch, order, seed = prepared.samples, prepared.batch, settings.data.order, config.run.seed
    with dist.HERE.during("preparing"):  # makes the samples of all epochs, one rank while the others wait
        by_epoch = steps_by_epoch(samples, batch, seed, order, settings.epochs, settings.steps)
    loader = StepLoader(samples, batch, place.rank, seed, layout, order, len(by_epoch))
    total_steps = settings.steps or sum(by_epoch)
    logger.info("%s samples, %s, %s steps, ZeRO-%s", f"{len(samples):,}", batch, total_steps, zero)
    plan = build.plan_model(config, stage, sources, prepared.ds_config, place.world_size)
    if len(set(dist.gather(str(plan)))) > 1:
        raise LaunchError("launch: the ranks' GPUs differ in memory; state the stage's sharding and checkpointing")
    for part, placement in plan.placements.items():
        logger.info("%s weights: %s", part, placement)
    ds_config = with_linear(prepared.ds_config, sharded="llm" not in plan.resident)
    model = build.build_model(config, sources, prepared.handover, plan, lambda: loading(ds_config), stage.adapter)
    freeze_all_but(model, stage.trains)
    logger.info("trained and frozen:\n%s", format_sizes(group_sizes(model), config.model.precision != "fp32"))
    for part in plan.resident:
        model.make_resident(part)
        model.resident[part].to(dist.device())
    seed_everything(config.run.seed, place.rank)
    return Run(
        label=f"stage {stage.number}",
        settings=settings,
        engine=build_engine(
            model, group_of, settings.optimizer, ds_config, total_steps, start is not None and start.universal
        ),
        loader=loader,
        heldout=Heldout(prepared.heldout, prepared.batch, layout) if len(prepared.heldout) else None,
        store=CheckpointStore(prepared.folder.checkpoints, settings.checkpoint),
        probe=Probe.among(map(samples.__getitem__, range(len(samples))), layout, settings.batch.micro_tokens),
        metrics=MetricsWriter(prepared.folder.metrics),
        total_steps=total_steps,
        facts=_facts(config, stage, prepared, model),
        notice=Notice.of_job(),
        choices={f"{part} weights": str(placement) for part, placement in plan.placements.items()},
    )


def settle_run(run: Run, config: Config, sources: build.Sources) -> None:
    """Try how the model reads packed samples, and lay out the batches so. Collective; after a checkpoint is loaded,
    because DeepSpeed loads only into an engine that has not run."""
    configs = {"llm": sources.llm_config}
    if sources.encoder_config is not None:
        configs["encoder"] = sources.encoder_config
    settled = settle(run.engine, config.model, run.loader.layout, configs, fuse_head(run.engine.module.llm))
    run.loader.layout = run.probe.layout = settled.layout
    run.choices |= {name: str(arrangement) for name, arrangement in settled.modules.items()}
    run.choices["loss"] = "in chunks, in the head" if settled.fused_loss else "from the LLM's own logits"
    if run.heldout:
        run.heldout.layout = settled.layout
    if config.model.compile:
        sharded = [name for name in configs if name not in run.engine.module.resident] if run.engine.zero == 3 else []
        for name in sorted(set(configs) - set(sharded)):
            logger.info("%s: %d layers are compiled", name, compile_layers(getattr(run.engine.module, name)))
        for name in sharded:
            logger.warning("%s: not compiled: its weights come and go under ZeRO-3", name)


def _facts(config: Config, stage: Stage, prepared: Prepared, model: BridgedModel) -> dict[str, Any]:
    """What the manifest of every checkpoint says of this run."""
    handover, data = handover_folder(config, stage), config.stage(stage.number).data
    words = [*data.codeswitch.lexicons, *(word for word in data.codeswitch.keep if word.startswith("@"))]
    tensors = [*named_parameters(model), *persistent_buffers(model)]
    return {
        "stage": stage.name,
        "world_size": dist.read_place().world_size,
        "zero": prepared.identity["zero"],
        "precision": config.model.precision,
        "config": hashlib.sha256(dump_config(config).encode()).hexdigest(),
        "identity": prepared.identity,
        "sources": {
            "llm": config.model.llm,
            "encoder": config.model.encoder,
            "alignment": str(handover) if handover else None,
            "lexicon": ", ".join(words) or None,
            "data": ", ".join(data.train),
        },
        "tensors": {
            name: {
                "shape": list(full_shape(tensor)),
                "dtype": str(tensor.dtype).removeprefix("torch."),
                "trained": tensor.requires_grad,
            }
            for name, tensor in tensors
        },
    }


def _hand_over(run: Run, config: Config, stage: Stage, prepared: Prepared) -> None:
    """Write the artefact and COMPLETE. Collective."""
    module = run.engine.module
    tensors = [*named_parameters(module), *persistent_buffers(module)]
    facts = {"stage": stage.name, **run.progressed.state_dict(), "identity": prepared.identity}
    write_artefact(
        prepared.folder.artefact,
        [(name, tensor) for name, tensor in tensors if hands_over(stage, prepared.handover, name)],
        lambda tensors: run.engine.gathered([t for t in tensors if hasattr(t, "ds_id")]),
        contents(config, stage, prepared.sources, facts, prepared.handover),
    )
    dist.on_main(lambda: mark_complete(prepared.folder, facts))


def _check_still_valid(folder: StageFolder, config: Config, stage: Stage) -> None:
    """A complete stage counts only as long as its artefact is there, and what it started from is as it was."""
    try:
        before = json.loads(folder.complete.read_text(encoding="utf-8"))["identity"]["handover"]
    except (ValueError, KeyError, TypeError):
        raise CheckpointError(
            f"{folder.complete}: is damaged; remove it, and the stage goes on from its checkpoint"
        ) from None
    now = handover_id(config, stage)
    if now is not None and before not in (None, now):
        raise CheckpointError(
            f"{folder.path}: is complete, but was trained from another artefact than "
            f"{handover_folder(config, stage)} holds now; set run.output to another folder, or remove it"
        )
    verify(folder.artefact, hashes=False)
