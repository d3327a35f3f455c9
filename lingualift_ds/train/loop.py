"""Fit: the training loop, written once for all stages."""

import json
import math
import sys
import time
from dataclasses import dataclass, field

from lingualift_ds import dist
from lingualift_ds.checkpoint.store import CheckpointStore, Saved
from lingualift_ds.config.schema import StageConfig
from lingualift_ds.data.loader import Step, StepLoader
from lingualift_ds.engine.step import Engine, peak_memory_gb
from lingualift_ds.errors import TrainingError
from lingualift_ds.log import MetricsWriter, Progress, duration, get_logger
from lingualift_ds.model.work import StepWork, peak_operations, step_work
from lingualift_ds.train.audit import FrozenWeights, GradientAudit
from lingualift_ds.train.heldout import Heldout
from lingualift_ds.train.probe import FILE as PROBE_FILE
from lingualift_ds.train.probe import Probe
from lingualift_ds.train.profile import StepTrace
from lingualift_ds.train.state import Progressed, random_state

logger = get_logger(__name__)


@dataclass
class Run:
    """Everything the loop works with; built in train/run.py."""

    label: str
    settings: StageConfig
    engine: Engine
    loader: StepLoader
    heldout: Heldout | None
    store: CheckpointStore
    probe: Probe
    metrics: MetricsWriter
    total_steps: int
    facts: dict
    """What every checkpoint's manifest says of this run."""
    progressed: Progressed = field(default_factory=Progressed)
    trace: StepTrace | None = None
    pauses: dict[str, float] = field(default_factory=dict)
    """Seconds that a checkpoint took since the last step that reported any."""
    waited: float = 0.0
    """Seconds that training waited for the last checkpoint."""
    written: bool = False
    """Whether all ranks have written the checkpoint that was begun."""
    choices: dict[str, str] = field(default_factory=dict)
    """What was chosen by itself and why; the first step of a process reports it."""


def fit(run: Run) -> None:
    """Train to `total_steps`; every line of metrics.jsonl is one step. Collective. Raises TrainingError."""
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
    with Progress(run.label, run.total_steps, done=run.progressed.step) as progress:
        while run.progressed.step < run.total_steps:
            record = take_step(run, audit, work) | ({"choices": run.choices} if audit else {})
            audit = None
            if run.trace:
                run.trace.step()
            if run.heldout and _due(run, run.settings.heldout_every):
                record["heldout_loss"] = run.heldout.losses(run.engine)
            write_record(run, record)
            progress.advance(1, note(record))
            if run.progressed.step == run.total_steps:
                frozen.check()  # before the last checkpoint: a run that fails here must not be found complete
            if _due(run, run.settings.checkpoint.every):
                save(run)
            elif run.written:
                publish(run)


def take_step(run: Run, audit: GradientAudit | None, work: StepWork | None) -> dict:
    """One optimizer step over all micro-batches; returns its metrics."""
    started = time.monotonic()
    step = run.loader.next_step()
    waited = time.monotonic() - started
    lr, loss_sum = run.engine.lr(), 0.0
    for micro_batch in step.micro_batches:
        last = micro_batch is step.micro_batches[-1]
        loss = run.engine.forward(micro_batch)
        run.engine.backward(loss, step.target_tokens, last)
        loss_sum = loss_sum + loss.detach().double()
        if last:
            mean = agree(run, float(loss_sum), step)  # the only wait for the device, once a step
        run.engine.step()
    norm = run.engine.grad_norm()
    if not math.isfinite(norm):
        raise TrainingError(f"step {run.progressed.step + 1}: the gradient norm is {norm}")
    if audit:
        audit.finish()
    run.progressed.step += 1
    run.progressed.samples += step.samples
    run.progressed.tokens += step.target_tokens
    seconds = time.monotonic() - started
    pauses, run.pauses = run.pauses, {}
    return {
        "step": run.progressed.step,
        "loss": mean,
        "lr": lr,
        "grad_norm": norm,
        "tokens": step.target_tokens,
        **speed(step, work, seconds),
        "micro_batches": len(step.micro_batches),
        "seconds": seconds,
        "data_seconds": waited,
        "checkpoint_pause_seconds": pauses.pop("pause", 0.0),
        **pauses,
        "peak_memory_gb": peak_memory_gb(dist.device()),
    }


def speed(step: Step, work: StepWork | None, seconds: float) -> dict[str, float]:
    """Tokens a second over all ranks, in which padding never counts, the share of padding, and on a known GPU the
    share of its arithmetic that went into what the step needs (MFU)."""
    rates = {
        "tokens_per_s": step.target_tokens / seconds,
        "real_tokens_per_s": (step.llm_tokens + step.encoder_tokens) / seconds,
        "padding": 1 - step.llm_tokens / step.llm_positions,
        "encoder_padding": 1 - step.encoder_tokens / step.encoder_positions if step.encoder_positions else 0.0,
    }
    peak = peak_operations()
    if peak and work:
        needed = work.operations(step.llm_tokens, step.encoder_tokens, step.target_tokens, step.token_pairs)
        rates["mfu"] = needed / seconds / peak / dist.read_place().world_size
    return rates


def note(record: dict) -> str:
    """What the progress line says of a step."""
    said = (
        f"loss {record['loss']:.4f}, {record['tokens_per_s']:.0f} target and {record['real_tokens_per_s']:.0f} real "
        f"tokens/s, padding {record['padding']:.1%}"
    )
    return said + (f", MFU {record['mfu']:.1%}" if "mfu" in record else "")


def agree(run: Run, loss_sum: float, step: Step) -> float:
    """The mean loss of the step over all ranks; learns on the way whether all have written the checkpoint that was
    begun. Raises TrainingError, on all ranks, naming samples."""
    finite = math.isfinite(loss_sum)
    total, bad_ranks, written = dist.total([loss_sum if finite else 0.0, not finite, run.store.ready])
    run.written = written == dist.read_place().world_size
    if bad_ranks:
        mine = [] if finite else [i for ids in step.sample_ids for i in ids]
        samples = [i for ids in dist.gather(mine) for i in ids]
        raise TrainingError(f"the loss is not finite; the samples were: {', '.join(samples[:20])}")
    return total / max(step.target_tokens, 1)


def write_record(run: Run, record: dict) -> None:
    """metrics.jsonl and the monitors, from rank 0."""
    if dist.read_place().is_main:
        run.metrics.write(record)
    run.engine.monitor({k: record[k] for k in ("loss", "lr", "grad_norm", "tokens_per_s")}, record["step"])


def save(run: Run) -> None:
    """Begin a checkpoint of the step just taken; where it is not the last, it is written while training goes on.
    Collective."""
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
    saved = run.store.publish()
    _count(run, started)
    run.pauses["checkpoint_write_seconds"] = saved.write_seconds
    if saved.path:
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


def _due(run: Run, every: int) -> bool:
    return bool(every) and run.progressed.step % every == 0 or run.progressed.step == run.total_steps
