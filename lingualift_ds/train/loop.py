"""Fit: the training loop, written once for all stages."""

import math
import sys
import time

from lingualift_ds import dist
from lingualift_ds.data.loader import Step
from lingualift_ds.engine.step import peak_memory_gb
from lingualift_ds.errors import TrainingError
from lingualift_ds.log import Progress, get_logger, untold_warnings
from lingualift_ds.model.work import StepWork, step_work
from lingualift_ds.train.audit import FrozenWeights, GradientAudit
from lingualift_ds.train.course import Run
from lingualift_ds.train.saving import leave, publish, save, tell_of_warnings
from lingualift_ds.train.speed import note, speed
from lingualift_ds.train.state import random_state, set_random_state

logger = get_logger(__name__)

LONG_STEP_SECONDS = 20.0
"""Steps that take longer are left in the middle when a rank is told to leave; shorter ones are finished first."""
_ASK_SECONDS = 5.0
"""How often the ranks ask each other in such a step: the device is waited for."""
_SKIPPED_IN_A_ROW = 10


def fit(run: Run) -> None:
    """Train to `total_steps`; every line of metrics.jsonl is one step. Collective. Raises TrainingError, and
    Interrupted where a rank was told to leave: all leave together, with a checkpoint of the last step."""
    run.engine.train()
    try:
        _steps(run, FrozenWeights(run.engine))
    finally:
        run.loader.close()
        if isinstance(sys.exception(), TrainingError | None):  # all ranks are here, with the same error or none
            publish(run)
    if run.trace:
        run.trace.close()


def _steps(run: Run, frozen: FrozenWeights) -> None:
    audit, work = GradientAudit(run.engine.module), step_work(run.engine.module)
    dist.HERE.move("first step", run.progressed.step + 1)
    if run.unmeasured is not None and run.heldout:
        _measure_after_all(run)
    with Progress(run.label, run.total_steps, done=run.progressed.step) as progress:
        while run.progressed.step < run.total_steps:
            record = take_step(run, audit, work) | ({"choices": run.choices} if audit else {})
            audit = None
            dist.HERE.move("training", run.progressed.step + 1)
            if run.trace:
                run.trace.step()
            if run.heldout and _due(run, run.settings.heldout_every):
                measure(run, record)
            write_record(run, record)
            progress.advance(1, note(record))
            if run.progressed.step == run.total_steps:
                frozen.check()  # before the last checkpoint: a run that fails here must not be found complete
            if _due(run, run.settings.checkpoint.every):
                save(run)
            elif run.written:
                publish(run)
            if run.told:
                leave(run)
    if dist.any_rank(run.notice.told()):  # told in the last save; the handover may take long, and what it does is lost
        leave(run)


def measure(run: Run, record: dict) -> None:
    """Add the held-out loss to a step's record, unless a rank is told to leave meanwhile: then the checkpoint keeps the
    record, and the next start measures it. Collective."""
    losses = run.heldout.losses(run.engine, run.notice.told)
    run.told = run.told or losses is None
    run.unmeasured = dict(record) if losses is None else None
    record |= {"heldout_loss": losses} if losses else {}


def _measure_after_all(run: Run) -> None:
    record = run.unmeasured
    measure(run, record)
    if dist.read_place().is_main:
        run.metrics.truncate_after(record["step"] - 1)
    write_record(run, record)
    if run.told:
        leave(run)


def take_step(run: Run, audit: GradientAudit | None, work: StepWork | None) -> dict:
    """One optimizer step over all micro-batches; returns its metrics."""
    started = time.monotonic()
    before = _before_step(run)
    step = run.loader.next_step()
    waited = time.monotonic() - started
    lr, loss_sum, updated = run.engine.lr(), 0.0, True
    asked_every = math.ceil(len(step.micro_batches) * _ASK_SECONDS / max(run.step_seconds, _ASK_SECONDS))
    for number, micro_batch in enumerate(step.micro_batches):
        if before and number % asked_every == 0 and dist.any_rank(run.notice.told()):
            _abandon_step(run, *before)
        last = micro_batch is step.micro_batches[-1]
        loss = run.engine.forward(micro_batch)
        run.engine.backward(loss, step.target_tokens, last)
        loss_sum = loss_sum + loss.detach().double()
        if last:
            mean = agree(run, float(loss_sum), step, started)  # the only wait for the device, once a step
        updated = run.engine.step()
        dist.HERE.move()
    norm = run.engine.grad_norm()
    finite = updated and math.isfinite(norm) and mean is not None
    _count_skipped(run, finite, updated, step)
    if audit:
        audit.finish()
    run.progressed.step += 1
    run.progressed.samples += step.samples
    run.progressed.tokens += step.target_tokens
    seconds = time.monotonic() - started
    run.notice.stepped(seconds)
    pauses, run.pauses = run.pauses, {}
    return {
        "step": run.progressed.step,
        "loss": mean,
        "lr": lr,
        "grad_norm": norm if math.isfinite(norm) else None,
        "tokens": step.target_tokens,
        **speed(step, work, seconds),
        "micro_batches": len(step.micro_batches),
        "seconds": seconds,
        "data_seconds": waited,
        "checkpoint_pause_seconds": pauses.pop("pause", 0.0),
        **pauses,
        "peak_memory_gb": peak_memory_gb(dist.device()),
        **({"skipped_steps": run.progressed.skipped} if run.settings.nonfinite == "skip" else {}),
    }


def _before_step(run: Run) -> tuple[dict, dict] | None:
    """Where data and random numbers stand, if the step that comes may be left in the middle."""
    if run.step_seconds < LONG_STEP_SECONDS:
        return None
    return run.loader.state_dict(), random_state()


def _abandon_step(run: Run, position: dict, drawn: dict) -> None:
    """Leave with the step before, as if the present one had not begun."""
    run.loader.load_state_dict(position)
    set_random_state(drawn)
    leave(run)


def _count_skipped(run: Run, finite: bool, updated: bool, step: Step) -> None:
    """Count a step that is not finite, as the settings want it. All ranks come to the same. Raises TrainingError."""
    if finite:
        run.skipped_in_a_row = 0
        return
    number, ids = run.progressed.step + 1, _samples(step)
    if run.settings.nonfinite == "stop":
        raise TrainingError(f"step {number}: the gradient is not finite; the samples of the step were: {ids}")
    if updated:
        raise TrainingError(f"step {number}: the loss is not finite, but its gradient is; the samples were: {ids}")
    run.progressed.skipped += 1
    run.skipped_in_a_row += 1
    if run.skipped_in_a_row >= _SKIPPED_IN_A_ROW:
        raise TrainingError(
            f"step {number}: {run.skipped_in_a_row} steps in a row were not finite; last samples: {ids}"
        )
    if dist.read_place().is_main:
        logger.warning("step %d is skipped: loss or gradient is not finite; the samples were: %s", number, ids)


def _samples(step: Step, mine: bool = True) -> str:
    """Ids of a step's samples, those of the ranks that name theirs (`mine`). Collective."""
    named = [i for ids in step.sample_ids for i in ids] if mine else []
    ids = [i for ids in dist.gather(named) for i in ids]
    return ", ".join(ids[:20]) + (f" and {len(ids) - 20} more" if len(ids) > 20 else "")


def agree(run: Run, loss_sum: float, step: Step, started: float) -> float | None:
    """The mean loss of the step over all ranks, None where it is not finite; learns on the way whether all have written
    the checkpoint that was begun, whether one was told to leave, and how long the step took since it `started`. Raises
    TrainingError, on all ranks, naming samples."""
    finite = math.isfinite(loss_sum)
    mine = [loss_sum if finite else 0.0, not finite, run.store.ready]
    mine += [run.notice.told(), time.monotonic() - started, untold_warnings()]
    total, bad_ranks, written, told, seconds, untold = dist.total(mine)
    ranks = dist.read_place().world_size
    run.written, run.told, run.step_seconds = written == ranks, told > 0, seconds / ranks
    if untold:
        tell_of_warnings()
    if bad_ranks:
        samples = _samples(step, not finite)
        if run.settings.nonfinite == "stop":
            raise TrainingError(f"step {run.progressed.step + 1}: the loss is not finite; the samples were: {samples}")
        if dist.read_place().is_main:
            logger.warning("step %d: the loss is not finite for: %s", run.progressed.step + 1, samples)
        return None
    return total / max(step.target_tokens, 1)


def write_record(run: Run, record: dict) -> None:
    """metrics.jsonl and the monitors, from rank 0."""
    if dist.read_place().is_main:
        run.metrics.write(record)
    run.engine.monitor(curves(record), record["step"])


def curves(record: dict) -> dict[str, float]:
    """What monitors get of a record: its numbers, as train/NAME and heldout/LANGUAGE."""
    numbers = {f"train/{k}": v for k, v in record.items() if isinstance(v, int | float) and k != "step"}
    return numbers | {f"heldout/{language}": loss for language, loss in record.get("heldout_loss", {}).items()}


def _due(run: Run, every: int) -> bool:
    return bool(every) and run.progressed.step % every == 0 or run.progressed.step == run.total_steps
