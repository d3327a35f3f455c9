"""How fast a step was, in the words of metrics.jsonl and of the progress line."""

from lingualift_ds import dist
from lingualift_ds.data.loader import Step
from lingualift_ds.model.work import StepWork, peak_operations


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


def note(record: dict) -> list[str]:
    """What the progress line says of a step, the most important first."""
    loss = "not finite" if record["loss"] is None else f"{record['loss']:.4f}"
    said = [
        f"loss {loss}",
        f"{record['tokens_per_s']:.0f} target and {record['real_tokens_per_s']:.0f} real tokens/s",
        f"{record['peak_memory_gb']:.1f} GB",
        f"padding {record['padding']:.1%}",
    ]
    said += [f"{record['skipped_steps']} steps skipped"] if record.get("skipped_steps") else []
    return said + ([f"MFU {record['mfu']:.1%}"] if "mfu" in record else [])
