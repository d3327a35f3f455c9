"""What a comparison found: as numbers for JSON, and as a table for people."""

from collections.abc import Sequence
from statistics import median

from benchmarks.arms import Setting
from benchmarks.measure import Track
from benchmarks.shapes import necessary_flops, real_tokens
from lingualift_ds.data.tokenize import Sample
from lingualift_ds.errors import TrainingError

REFERENCE = "reference"
TOLERANCE = {"fp32": 1e-4, "bf16": 5e-3}
"""Relative difference allowed between the losses of two arms with the same weights and samples. fp32: sums in another
order, over some thousand terms, differ in the sixth digit. bf16: a rounding is up to 2^-9 = 0.002 of a value, and a
logit is the end of dozens of them; in the mean over some hundred targets most of it cancels."""


def stage_report(
    setting: Setting,
    tracks: dict[str, Track],
    steps: Sequence[Sequence[Sample]],
    precision: str,
    ceiling_tflops: float,
) -> dict:
    """Everything about one stage. `ceiling_tflops`: of all ranks together."""
    sizes = tracks[REFERENCE].sizes
    timed = sorted(set.intersection(*(set(t.seconds) for t in tracks.values())))
    tokens = {i: real_tokens(steps[i]) for i in timed}
    flops = {i: necessary_flops(steps[i], setting.stage, setting.preset, sizes) for i in timed}
    arms = {}
    for name, track in tracks.items():
        seconds = [track.seconds[i] for i in timed]
        llm, encoder = (sum(track.positions[i][k] for i in timed) for k in (0, 1))
        real_llm, real_encoder = (sum(tokens[i][k] for i in timed) for k in (0, 1))
        work = [flops[i] / track.seconds[i] / 1e12 for i in timed]
        ratio = [tracks[REFERENCE].seconds[i] / track.seconds[i] for i in timed]
        arms[name] = {
            "seconds": seconds,
            "seconds_median": median(seconds),
            "real_tokens_per_s": _spread([sum(tokens[i]) / track.seconds[i] for i in timed]),
            "ratio_to_reference": _spread(ratio) | {"pairs": ratio},
            "llm_padding": 1 - real_llm / llm,
            "encoder_padding": 1 - real_encoder / encoder,
            "peak_memory_gb": (track.held_bytes + track.rise_bytes) / 1e9,
            "held_memory_gb": track.held_bytes / 1e9,
            "necessary_tflops": median(work),
            "mfu": median(work) / ceiling_tflops,
            "check_loss": track.check_loss,
        }
    return {
        "trained": list(setting.trained),
        "samples_per_step": len(steps[0]),
        "pairs": len(timed),
        "real_llm_tokens_per_step": sum(t[0] for t in tokens.values()) / len(timed),
        "real_encoder_tokens_per_step": sum(t[1] for t in tokens.values()) / len(timed),
        "tolerance_of_losses": TOLERANCE[precision],
        "arms": arms,
    }


def check_losses(tracks: dict[str, Track], precision: str) -> None:
    """Raise TrainingError where an arm's loss is not the reference's: what is timed would not be the same work."""
    expected = tracks[REFERENCE].check_loss
    for name, track in tracks.items():
        if not abs(track.check_loss - expected) <= TOLERANCE[precision] * abs(expected):
            raise TrainingError(
                f"{name}: the loss is {track.check_loss:.6f}, the reference's {expected:.6f} with the same weights and "
                f"samples, in {precision}; they may differ by {TOLERANCE[precision]:g} of it"
            )


def table(stage: int, found: dict) -> str:
    """One stage, as lines."""
    samples, pairs = found["samples_per_step"], found["pairs"]
    llm, encoder = found["real_llm_tokens_per_step"], found["real_encoder_tokens_per_step"]
    lines = [
        f"stage {stage} (trains {', '.join(found['trained'])}): {samples} samples a step with {llm:,.0f} LLM and "
        f"{encoder:,.0f} encoder tokens, {pairs} pairs",
        f"{'':<26} {'tokens/s':>10} {'ratio (least, most)':>22} {'s/step':>8} {'padding':>8} {'encoder':>8} "
        f"{'GB':>7} {'MFU':>6} {'loss':>9}",
    ]
    for name, arm in found["arms"].items():
        ratio = arm["ratio_to_reference"]
        lines.append(
            f"{name:<26} {arm['real_tokens_per_s']['median']:>10,.0f} "
            f"{ratio['median']:>9.2f} ({ratio['min']:.2f}, {ratio['max']:.2f}) {arm['seconds_median']:>8.3g} "
            f"{arm['llm_padding']:>8.1%} {arm['encoder_padding']:>8.1%} {arm['peak_memory_gb']:>7.2f} "
            f"{arm['mfu']:>6.1%} {arm['check_loss']:>9.5f}"
        )
    return "\n".join(lines)


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": median(values), "min": min(values), "max": max(values)}
