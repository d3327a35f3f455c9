"""Run one stage from a config: parse and check, build, fit, hand over. What `launch/train.py` calls."""

import json
import time
from pathlib import Path

from lingualift_ds import dist
from lingualift_ds.checkpoint.artefact import write_artefact
from lingualift_ds.checkpoint.store import CheckpointStore
from lingualift_ds.config.batch import plan_batch
from lingualift_ds.config.check import check_config
from lingualift_ds.config.ds_json import build_ds_config, zero_level
from lingualift_ds.config.schema import Config
from lingualift_ds.data.loader import Padding, StepLoader
from lingualift_ds.engine.build import build_engine, connect, loading
from lingualift_ds.errors import CheckpointError
from lingualift_ds.log import MetricsWriter, duration, get_logger
from lingualift_ds.model.groups import format_sizes, freeze_all_but, group_of, group_sizes
from lingualift_ds.train import build
from lingualift_ds.train.folder import StageFolder, decide, mark_complete, open_folder, stage_folder
from lingualift_ds.train.heldout import Heldout
from lingualift_ds.train.loop import Run, fit, resume
from lingualift_ds.train.stages import Stage
from lingualift_ds.train.state import seed_everything

logger = get_logger(__name__)


def run_stage(config: Config, stage: Stage, resume_mode: str, source: str) -> None:
    """Train one stage, from wherever it stands, to COMPLETE. Every rank calls it.

    Raises the UserErrors of all its parts; those of reading come before any process group or GPU is touched.
    """
    started = time.monotonic()
    check_config(config, stage.number, source)
    folder = stage_folder(config, stage)
    start = decide(folder, config, stage, resume_mode)
    if start == "complete":
        logger.info("stage %d (%s) is complete already: %s", stage.number, stage.name, folder.artefact)
        return
    place, settings = dist.read_place(), config.stage(stage.number)
    batch = plan_batch(settings.batch, place.world_size, f"{stage.folder}.batch")
    ds_config = build_ds_config(config.run, config.model, settings, batch, (folder.path / "monitor").absolute())
    sources = build.read_sources(config.model)
    tokenizer = build.sample_tokenizer(sources, config.model)
    padding = Padding.of(sources.llm_tokenizer, sources.encoder_tokenizer)
    data = settings.data
    samples = build.read_samples(data.train, data, stage, tokenizer, data.limit)
    heldout = None
    if data.heldout:
        heldout = Heldout(build.read_samples(data.heldout, data, stage, tokenizer), batch, padding)
    loader = StepLoader(samples, batch, place.rank, config.run.seed, padding)
    total_steps = settings.steps or settings.epochs * loader.steps_per_epoch

    handover = build.read_handover(config, stage, sources)

    connect(place)
    dist.on_main(lambda: open_folder(folder, config))
    logger.info("stage %d (%s) in %s, launched by %s", stage.number, stage.name, folder.path, place.launcher)
    logger.info("%s samples, %s, %s steps, ZeRO-%s", len(samples), batch, total_steps, zero_level(ds_config))
    with loading(ds_config):
        model = build.build_model(config, sources, handover)
    freeze_all_but(model, stage.trained(settings))
    logger.info("trained and frozen:\n%s", format_sizes(group_sizes(model), config.model.precision != "fp32"))
    seed_everything(config.run.seed, place.rank)
    run = Run(
        label=f"stage {stage.number}",
        settings=settings,
        engine=build_engine(model, group_of, settings.optimizer, ds_config, total_steps),
        loader=loader,
        heldout=heldout,
        store=CheckpointStore(folder.checkpoints, settings.checkpoint.keep_last),
        metrics=MetricsWriter(folder.metrics),
        total_steps=total_steps,
        facts={"stage": stage.name, "world_size": place.world_size, "zero": zero_level(ds_config)},
    )
    _position(run, folder, start)
    fit(run)
    _hand_over(run, folder, config, stage, sources)
    logger.info("stage %d complete in %s: %s", stage.number, duration(time.monotonic() - started), folder.artefact)
    run.engine.close()


def _position(run: Run, folder: StageFolder, start: str) -> None:
    """Go to the newest whole checkpoint, or to step 0 with no old metrics."""
    if start == "fresh":
        dist.on_main(lambda: run.metrics.truncate_after(0))
        return
    newest = dist.on_main(lambda: _newest(run.store, folder))
    resume(run, newest)
    logger.info("resumed from %s at step %d of %d", newest, run.progressed.step, run.total_steps)


def _newest(store: CheckpointStore, folder: StageFolder) -> Path:
    path = store.newest()
    if path is None:
        raise CheckpointError(f"{folder.checkpoints}: holds no whole checkpoint; the reasons are above")
    return path


def _hand_over(run: Run, folder: StageFolder, config: Config, stage: Stage, sources: build.Sources) -> None:
    """Write the artefact and COMPLETE. Collective."""
    whole = stage.leaves == "model"
    described = (build.model_config if whole else build.artefact_config)(config, sources)
    module = run.engine.module
    names = [(n, p) for n, p in module.named_parameters() if whole or group_of(n) == "alignment"]
    persistent = set(module.state_dict().keys())
    buffers = [(n, b) for n, b in module.named_buffers() if whole and n in persistent]
    facts = {"stage": stage.name, "steps": run.progressed.step, **run.progressed.state_dict()}
    write_artefact(
        folder.artefact,
        [*names, *buffers],
        lambda tensors: run.engine.gathered([t for t in tensors if hasattr(t, "ds_id")]),
        "model" if whole else "alignment",
        described | {"instruction": config.stage(stage.number).data.instruction or stage.instruction},
        sources.tokenizers,
        facts,
    )
    dist.on_main(lambda: mark_complete(folder, facts))


def read_metrics(path: Path) -> list[dict]:
    """The lines of a metrics.jsonl."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
