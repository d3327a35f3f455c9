"""Models of real size on tensors that have sizes but no memory: the plan held against 7 B parameters on a laptop.

PyTorch's FakeTensorMode runs the toolkit's own model, forward and backward, with tensors that know their shape and
dtype and nothing else; they are counted as real ones are. No engine: what DeepSpeed allocates needs real processes,
and is measured on small models. The GPU's varlen kernel is known to it, without a GPU.
"""

from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.allocations import TensorBytes
from benchmarks.memory import bridge, random_batch
from lingualift_ds.config.memory import Setup, plan_memory
from lingualift_ds.config.published import PUBLISHED
from lingualift_ds.config.shapes import encoder_shape, llm_shape
from lingualift_ds.train.stages import LINGUALIFT

_SAMPLES, _TEXT, _TARGET, _TOKENS = 16, 200, 290, 8192
"""Samples of a micro-batch, encoder and target tokens of each, and LLM positions of all."""


@dataclass(frozen=True)
class Case:
    """One micro-batch of a stage, in bf16."""

    stage: int
    llm: str
    encoder: str
    recomputed: int = 0
    kernel: str = "varlen"

    @property
    def name(self) -> str:
        """For the table."""
        models = f"{self.llm.split('/')[1]} and {self.encoder.split('/')[1]}"
        return f"stage {self.stage}, {models}, {self.kernel}, {self.recomputed} recomputed"


CASES = (
    Case(1, "meta-llama/Llama-2-7b-hf", "google/mt5-xl"),
    Case(1, "meta-llama/Llama-2-7b-hf", "google/mt5-xl", kernel="sdpa"),
    Case(2, "meta-llama/Llama-2-7b-hf", "google/mt5-xl"),
    Case(2, "meta-llama/Llama-2-7b-hf", "google/mt5-xl", recomputed=32),
    Case(1, "Qwen/Qwen2.5-7B", "facebook/nllb-200-3.3B", recomputed=14),
    Case(2, "meta-llama/Meta-Llama-3-8B", "google/mt5-xl"),
    Case(1, "google/gemma-2-9b", "google/mt5-xl", kernel="sdpa"),
    Case(1, "meta-llama/Llama-2-70b-hf", "google/mt5-xxl", recomputed=80),
)


def measure(case: Case) -> dict[str, Any]:
    """Predicted and counted bytes of weights, gradients and activations of one micro-batch."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    from lingualift_ds.model.arrangement import Arrangement, use

    trained = LINGUALIFT[case.stage].trains
    llm_config, encoder_config = _config(case.llm), _config(case.encoder)
    setup = Setup(
        llm=llm_shape(PUBLISHED[case.llm], case.llm),
        encoder=encoder_shape(PUBLISHED[case.encoder], case.encoder),
        trained=trained,
        zero=0,
        micro_tokens=_TOKENS,
        recomputed_layers=case.recomputed,
        target_share=_SAMPLES * _TARGET / _TOKENS,
        encoder_tokens=_SAMPLES * _TEXT,
        longest=_TOKENS // _SAMPLES,
        fused_attention=case.kernel == "varlen",
    )
    batch = random_batch(setup, _SAMPLES, _TEXT, _TARGET)
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    with fake:
        model, _ = bridge(llm_config, encoder_config, "bf16", trained, case.recomputed)
        use(model.llm, Arrangement(True, case.kernel, "imagined"))
        batch = _imagine(batch, fake)
        weights = sum(p.numel() * p.element_size() for part in model.parts.values() for p in part.parameters())
        with TensorBytes() as counted:
            base = counted.now - weights
            loss = model(**batch)
            forward = counted.peak - base
            counted.restart_peak()
            loss.backward()
            backward = counted.peak - base
    # The first micro-batch of a step, before any optimizer: no gradients are kept when it begins.
    plan = plan_memory(setup).moments
    kept = plan["loss"].gradients
    at = {moment: found.total - found.optimizer for moment, found in plan.items()}
    predicted = {"forward": at["loss"] - kept, "backward": max(at["backward"] - kept, at["backward's end"])}
    measured = {"forward": forward, "backward": backward}
    whole = max(measured.values())
    return {
        "case": asdict(case) | {"imagined": True},
        "parameters": {"llm": setup.llm.parameters, "encoder": setup.encoder.parameters},
        "tokens": _TOKENS,
        "predicted": max(predicted.values()),
        "measured": whole,
        "error": max(predicted.values()) / whole - 1,
        "predicted_by_part": predicted,
        "measured_by_part": measured,
        "errors": {part: predicted[part] / measured[part] - 1 for part in measured},
    }


def _config(name: str) -> Any:
    from transformers import AutoConfig

    given = dict(PUBLISHED[name])
    return AutoConfig.for_model(given.pop("model_type"), **given)


def _imagine(values: Any, fake: Any) -> Any:
    """A batch whose tensors have no memory."""
    import torch

    if isinstance(values, torch.Tensor):
        return fake.from_tensor(values)
    if isinstance(values, dict):
        return {k: _imagine(v, fake) for k, v in values.items()}
    return [_imagine(v, fake) for v in values] if isinstance(values, list) else values
