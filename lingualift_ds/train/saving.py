"""Saving a step, and leaving with it."""

import json
import time

from lingualift_ds import dist
from lingualift_ds.checkpoint.store import Saved
from lingualift_ds.errors import Interrupted
from lingualift_ds.log import duration, get_logger, take_warnings, tell_warnings
from lingualift_ds.train.course import Run
from lingualift_ds.train.preempt import reasons
from lingualift_ds.train.probe import FILE as PROBE_FILE
from lingualift_ds.train.state import random_state

logger = get_logger(__name__)


def save(run: Run) -> None:
    """Begin a checkpoint of the step just taken; where it is not the last, it is written while training goes on.
    Collective."""
    with dist.HERE.during("saving"):
        _save(run)


def _save(run: Run) -> None:
    started = time.monotonic()
    if run.store.saving:
        if not run.written and dist.read_place().is_main:
            logger.warning("the checkpoint of step %d is still being written: waiting for it", run.store.saving)
        publish(run)
    files = run.engine.shards() | {f"rank-{dist.read_place().rank:05d}.json": json.dumps(random_state()).encode()}
    if dist.read_place().is_main:
        files[PROBE_FILE] = run.probe.to_bytes()
    progressed = run.progressed
    facts = run.facts | {
        "samples": progressed.samples,
        "tokens": progressed.tokens,
        "skipped": progressed.skipped,
        "unmeasured": run.unmeasured,
        "save_seconds": run.notice.save,
        "position": run.loader.state_dict(),
        "probe": {"loss": run.probe.loss(run.engine)},
    }
    run.store.begin(progressed.step, files, facts)
    run.waited = 0.0
    _count(run, started)
    if progressed.step == run.total_steps or not run.store.background:
        publish(run)


def publish(run: Run) -> Saved | None:
    """Wait for the checkpoint that was begun, if any, and make it one. What the file system refuses costs that
    checkpoint, not the run. Collective."""
    if not run.store.saving:
        return None
    started = time.monotonic()
    if dist.read_place().is_main:
        run.metrics.sync()
    with dist.HERE.during("saving"):
        saved = run.store.publish()
    _count(run, started)
    run.notice.saved(run.waited + saved.write_seconds)
    run.pauses["checkpoint_write_seconds"] = saved.write_seconds
    if saved.path:
        run.saved_step = saved.step
        size, wrote = saved.bytes / 1e6, duration(saved.write_seconds)
        logger.info("saved %s: %.1f MB in %s, training waited %.2f s", saved.path, size, wrote, run.waited)
    elif dist.read_place().is_main:
        every = run.settings.checkpoint.every
        again = (saved.step // every + 1) * every if every else run.total_steps
        logger.warning(
            "the checkpoint of step %d could not be written: %s; the last one is intact, training goes on, %s",
            saved.step,
            saved.error,
            f"and tries again at step {min(again, run.total_steps)}" if saved.step < run.total_steps else "to its end",
        )
    return saved


def _count(run: Run, started: float) -> None:
    """Count what the training waited since `started`: for the next step's record, and for this checkpoint's line."""
    seconds = time.monotonic() - started
    run.waited += seconds
    run.pauses["pause"] = run.pauses.get("pause", 0.0) + seconds


def leave(run: Run) -> None:
    """Save the step that was reached, where no checkpoint has it, and raise Interrupted. Collective."""
    step, why = run.progressed.step, reasons()
    if run.saved_step != step and run.store.saving != step:
        save(run)
    publish(run)
    tell_of_warnings()
    kept = f"saved at step {step}" if run.saved_step == step else "the last checkpoint could not be written"
    raise Interrupted(f"told to leave: {why}; {kept} of {run.total_steps}; the same command goes on from there")


def tell_of_warnings() -> None:
    """Let rank 0 say the warnings that only other ranks had. Collective."""
    tell_warnings(dist.gather(take_warnings()))
