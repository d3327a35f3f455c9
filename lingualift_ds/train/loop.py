"""Fit: the training loop, written once for all stages."""

import math
import time
from dataclasses import dataclass, field

from lingualift_ds import dist
from lingualift_ds.checkpoint.store import CheckpointStore
from lingualift_ds.config.schema import StageConfig
from lingualift_ds.data.loader import Step, StepLoader
from lingualift_ds.engine.step import Engine, peak_memory_gb
from lingualift_ds.errors import TrainingError
from lingualift_ds.log import MetricsWriter, Progress, duration, get_logger
from lingualift_ds.model.groups import trained_names
from lingualift_ds.model.work import StepWork, peak_operations, step_work
from lingualift_ds.train.audit import FrozenWeights, GradientAudit
from lingualift_ds.train.heldout import Heldout
from lingualift_ds.train.profile import StepTrace
from lingualift_ds.train.state import Progressed, random_state, set_random_state

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
    metrics: MetricsWriter
    total_steps: int
    facts: dict
    """What every checkpoint's manifest says of this run."""
    progressed: Progressed = field(default_factory=Progressed)
    trace: StepTrace | None = None
    pause: float = 0.0
    """Seconds of the last checkpoint, until a step has reported them."""
    choices: dict[str, str] = field(default_factory=dict)
    """What was chosen by itself and why; the first step of a process reports it."""


def fit(run: Run) -> None:
    """Train to `total_steps`; every line of metrics.jsonl is one step. Collective. Raises TrainingError."""
    run.engine.train()
    frozen, audit = FrozenWeights(run.engine), GradientAudit(run.engine.module)
    work = step_work(run.engine.module)
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
            if _due(run, run.settings.checkpoint.every):
                save(run)
    run.loader.close()
    if run.trace:
        run.trace.close()
    frozen.check()


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
            mean = check_finite(float(loss_sum), step)  # the only wait for the device, once a step
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
    pause, run.pause = run.pause, 0.0
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
        "checkpoint_seconds": pause,
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


def check_finite(loss_sum: float, step: Step) -> float:
    """The mean loss of the step over all ranks. Raises TrainingError, on all ranks, naming samples."""
    total, bad_ranks = dist.total([loss_sum if math.isfinite(loss_sum) else 0.0, not math.isfinite(loss_sum)])
    if bad_ranks:
        mine = [] if math.isfinite(loss_sum) else [i for ids in step.sample_ids for i in ids]
        samples = [i for ids in dist.gather(mine) for i in ids]
        raise TrainingError(f"the loss is not finite; the samples were: {', '.join(samples[:20])}")
    return total / max(step.target_tokens, 1)


def write_record(run: Run, record: dict) -> None:
    """metrics.jsonl and the monitors, from rank 0."""
    if dist.read_place().is_main:
        run.metrics.write(record)
    run.engine.monitor({k: record[k] for k in ("loss", "lr", "grad_norm", "tokens_per_s")}, record["step"])


def save(run: Run) -> None:
    """A checkpoint of the step just taken. Collective."""
    started = time.monotonic()
    rank_state = {"loader": run.loader.state_dict(), "random": random_state()}
    facts = run.facts | {"progressed": run.progressed.state_dict(), "trained": trained_names(run.engine.module)}
    path = run.store.save(run.engine, run.progressed.step, rank_state, facts)
    run.pause = time.monotonic() - started
    logger.info("saved %s in %s", path, duration(run.pause))


def resume(run: Run, path) -> None:
    """Go on from a verified checkpoint: weights, optimizer, schedule, random numbers, data position. Collective."""
    state, manifest = run.store.load(run.engine, path, trained_names(run.engine.module))
    run.progressed = Progressed(**manifest["progressed"])
    run.loader.load_state_dict(state["loader"])
    set_random_state(state["random"])
    if dist.read_place().is_main:
        run.metrics.truncate_after(run.progressed.step)


def _due(run: Run, every: int) -> bool:
    return bool(every) and run.progressed.step % every == 0 or run.progressed.step == run.total_steps
