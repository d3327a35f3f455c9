"""Going on from a checkpoint: which one, for how many ranks, and whether what was loaded is what was saved."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lingualift_ds import dist
from lingualift_ds.checkpoint.elastic import folder_for
from lingualift_ds.checkpoint.store import check_fits, find_checkpoint
from lingualift_ds.log import get_logger
from lingualift_ds.train.folder import StageFolder
from lingualift_ds.train.loop import Run
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
    check_fits(path, manifest, {"identity": identity})
    shards, universal = folder_for(path, dist.read_place().world_size)
    return Start(path, manifest, shards, universal)


def go_on(run: Run, start: Start, seed: int) -> None:
    """Load weights, optimizer, schedule, random numbers and data position into a run that has not run yet. Collective.

    On the same number of ranks everything comes back to the bit; on another, dropout draws anew from the seed.
    """
    check_fits(start.path, start.manifest, run.facts)
    run.engine.load(start.shards, start.path.name)
    run.store.resumed_from = start.path.name
    place, manifest = dist.read_place(), start.manifest
    run.progressed = Progressed(manifest["step"], manifest["samples"], manifest["tokens"])
    run.loader.load_state_dict(manifest["position"])
    if manifest["world_size"] == place.world_size:
        state = start.path / f"rank-{place.rank:05d}.json"
        set_random_state(json.loads(state.read_text(encoding="utf-8")))
    else:
        seed_everything(seed, place.rank, run.progressed.step)
    if place.is_main:
        run.metrics.truncate_after(run.progressed.step)
        missing = sorted(set(range(1, run.progressed.step + 1)) - set(run.metrics.steps()))
        if missing:
            logger.warning("%s: has no line for %d steps (%s)", run.metrics.path, len(missing), _few(missing))
    logger.info("resumed from %s at step %d of %d", start.path, run.progressed.step, run.total_steps)


def check_probe(run: Run, start: Start) -> None:
    """Hold the loss of the checkpoint's probe against what it was when it was saved. Collective; after the batches'
    layout is settled. Raises CheckpointError."""
    run.probe.read(start.path).check(run.engine, start.manifest["probe"]["loss"], start.path)


def _few(steps: list[int]) -> str:
    return ", ".join(map(str, steps[:3])) + (" ..." if len(steps) > 3 else "")
