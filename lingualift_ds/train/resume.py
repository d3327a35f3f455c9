"""Going on from a checkpoint: which one, for how many ranks, and whether what was loaded is what was saved."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lingualift_ds import dist
from lingualift_ds.checkpoint.elastic import folder_for
from lingualift_ds.checkpoint.manifest import writable
from lingualift_ds.checkpoint.store import check_identity, check_tensors, find_checkpoint
from lingualift_ds.log import get_logger
from lingualift_ds.train.course import Run
from lingualift_ds.train.folder import StageFolder
from lingualift_ds.train.state import Progressed, seed_everything, set_random_state

logger = get_logger(__name__)


@dataclass(frozen=True)
class Start:
    """A whole checkpoint that a run goes on from."""

    path: Path
    manifest: dict[str, Any]
    shards: Path
    """The folder that DeepSpeed loads it from, under its own name."""
    universal: bool
    """Whether the shards were converted for another number of ranks."""


def find_start(folder: StageFolder, step: int | None, identity: dict[str, Any]) -> Start:
    """The newest whole checkpoint, or that of a step, if this run may go on from it; converted for this number of ranks
    where it was saved on another. Before any model is loaded. Collective. Raises CheckpointError."""
    path, manifest = find_checkpoint(folder.checkpoints, step)
    check_identity(path, manifest, identity)
    shards, universal = folder_for(path, manifest, dist.read_place().world_size)
    return Start(path, manifest, shards, universal)


def load(run: Run, start: Start) -> None:
    """Load weights, optimizer, schedule and data position into a run that has not run yet. Collective."""
    check_tensors(start.path, start.manifest, run.facts["tensors"])
    run.engine.load(start.shards, start.path.name)
    run.store.resumed_from = start.path.name
    manifest = start.manifest
    run.progressed = Progressed(manifest["step"], manifest["samples"], manifest["tokens"], manifest.get("skipped", 0))
    run.notice.saved(manifest.get("save_seconds", run.notice.save))
    run.unmeasured, run.saved_step = manifest.get("unmeasured"), manifest["step"]
    run.loader.load_state_dict(manifest["position"])
    logger.info("resumed from %s at step %d of %d", start.path, run.progressed.step, run.total_steps)


def check_probe(run: Run, start: Start) -> None:
    """Hold the loss of the checkpoint's probe against what it was when it was saved. Collective; after the batches'
    layout is settled. Raises CheckpointError."""
    run.probe.read(start.path).check(run.engine, start.manifest["probe"]["loss"], start.path)


def draw_on(run: Run, start: Start, seed: int) -> None:
    """Go back to the checkpoint's random numbers, last before training, because what comes before it may draw some. On
    another number of ranks than it was saved on, draw anew from the seed."""
    place = dist.read_place()
    if start.manifest["world_size"] == place.world_size:
        state = start.path / f"rank-{place.rank:05d}.json"
        set_random_state(json.loads(state.read_text(encoding="utf-8")))
    else:
        seed_everything(seed, place.rank, run.progressed.step)


def clear_what_lies_ahead(run: Run) -> None:
    """What is of later steps than this run's: checkpoints are set aside first, then lines of metrics.jsonl go. On
    rank 0. Raises CheckpointError where that cannot be written."""

    def clear() -> None:
        run.store.set_later_ones_aside()
        run.metrics.truncate_after(run.progressed.step)

    writable(run.store.folder, clear)
    missing = sorted(set(range(1, run.progressed.step + 1)) - set(run.metrics.steps()))
    if missing:
        logger.warning("%s: has no line for %d steps (%s)", run.metrics.path, len(missing), _few(missing))


def _few(steps: list[int]) -> str:
    return ", ".join(map(str, steps[:3])) + (" ..." if len(steps) > 3 else "")
