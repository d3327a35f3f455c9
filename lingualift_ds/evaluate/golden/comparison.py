"""The recorded models on this machine, number by number against the record."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from lingualift_ds import hub
from lingualift_ds.config.layout import IGNORE
from lingualift_ds.data.collate import BatchLayout, collate
from lingualift_ds.evaluate.golden.folder import read_record, write_model
from lingualift_ds.model.bridge import BridgedModel

NEW_TOKENS = 12


@dataclass(frozen=True)
class Place:
    """Where a model runs, and how far its logits and its loss may be from the record.

    fp32 on a CPU: here it is within 5e-6 of fp64, and the record is rounded to 1e-5; 1e-2 more on a single weight moves
    some logit by 1e-3 to 1e-2. fp32 on a GPU: some containers force TF32, whose factors have 10 bits. bf16 has 8: on a
    CPU logits, whose standard deviation is about 1, are off by up to 0.2 and losses by 0.007.
    """

    name: str
    device: str
    dtype: torch.dtype
    logits: float
    loss: float

    @property
    def exact(self) -> bool:
        """Whether greedy answers must be the same: what was recorded leads by more than fp32 can be off."""
        return self.dtype == torch.float32


CPU = Place("CPU, fp32", "cpu", torch.float32, 2e-4, 2e-4)
GPUS = (
    Place("GPU, fp32", "cuda", torch.float32, 1e-2, 1e-2),
    Place("GPU, bf16", "cuda", torch.bfloat16, 0.6, 0.05),
)


@dataclass(frozen=True)
class Comparison:
    """One thing that was compared: how far it is from the record at most, and how far it may be.

    `error` is why there is nothing to compare.
    """

    model: str
    place: str
    what: str
    difference: float
    allowed: float
    error: str = ""

    @property
    def ok(self) -> bool:
        """Whether it is near enough; what is no number is not."""
        return not self.error and self.difference <= self.allowed


@dataclass(frozen=True)
class Measured:
    """What a model gives.

    Attributes:
        tokens: ids of the questions, by input, as lists of B rows.
        logits: of the first new token, [B][V].
        new_ids: greedy, [B][up to NEW_TOKENS].
        loss: mean cross entropy of the recorded targets in nats.
        training_loss: the same by the model that is trained.
    """

    tokens: dict[str, list[list[int]]]
    logits: list[list[float]]
    new_ids: list[list[int]]
    loss: float
    training_loss: float


def compare_all(record: Mapping[str, Any] | None = None, places: Sequence[Place] | None = None) -> Iterator[Comparison]:
    """Every recorded model in every place that this machine has, as it is done. Nothing is raised: a model that cannot
    be loaded or run is a comparison that failed."""
    record = record or read_record()
    for name, case in record["models"].items():
        for place in (CPU, *(GPUS if torch.cuda.is_available() else ())) if places is None else places:
            try:
                found = compare(name, case, place)
            except Exception as error:  # whatever a library does: it is told, and the others are compared
                said = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
                found = [Comparison(name, place.name, "load and run", float("inf"), 0.0, said)]
            yield from found


def compare(name: str, case: Mapping[str, Any], place: Place) -> list[Comparison]:
    """One recorded model in one place."""
    with tempfile.TemporaryDirectory(prefix="lingualift-golden-") as folder:
        write_model(Path(folder), case)
        found = measure(Path(folder), case["questions"], case["targets"], place.device, place.dtype)
    differences = {
        "token ids": (_unequal(found.tokens, case["tokens"]), 0.0),
        "logits": (_furthest(found.logits, case["logits"]), place.logits),
        "loss": (abs(found.loss - case["loss"]), place.loss),
        "loss as in training": (abs(found.training_loss - case["loss"]), place.loss),
    }
    if place.exact:
        differences["greedy answers"] = (_unequal({"": found.new_ids}, {"": case["new_ids"]}), 0.0)
    return [Comparison(name, place.name, what, *values) for what, values in differences.items()]


@torch.no_grad()
def measure(
    folder: Path, questions: Sequence[str], targets: Sequence[str], device: str, dtype: torch.dtype
) -> Measured:
    """What the model of a folder gives for questions, which are padded to one batch."""
    model = hub.load_model(folder, dtype).to(device)
    inputs = model.processor(questions)
    on_device = _to(device, inputs)
    logits = model(**on_device).logits[:, -1].float()
    new_ids = model.generate(**on_device, max_new_tokens=NEW_TOKENS)
    with_targets = _to(device, model.processor(questions, None, targets))
    count = int((with_targets["labels"] != IGNORE).sum())
    tokenizer = model.processor.tokenizer
    layout = replace(
        BatchLayout.of(tokenizer.llm, tokenizer.encoder, tokenizer.layout), pack_llm=False, pack_encoder=False
    )
    batch = _to(device, collate(model.processor.samples(questions, None, targets), layout))
    trained = BridgedModel(model.llm, model.encoder, model.alignment).eval()
    return Measured(
        {name: tensor.tolist() for name, tensor in inputs.items() if name.endswith("input_ids")},
        logits.tolist(),
        new_ids.tolist(),
        float(model(**with_targets).loss),
        float(trained(**batch)) / count,
    )


def _to(device: str, values: Any) -> Any:
    if isinstance(values, torch.Tensor):
        return values.to(device)
    if isinstance(values, dict):
        return {key: _to(device, value) for key, value in values.items()}
    return [_to(device, value) for value in values] if isinstance(values, list) else values


def _unequal(found: Mapping[str, list], recorded: Mapping[str, list]) -> float:
    """How many ids differ; infinite where there are more or fewer of them."""
    if found.keys() != recorded.keys() or any(_lengths(found[key]) != _lengths(recorded[key]) for key in found):
        return float("inf")
    return float(sum(a != b for key in found for rows in zip(found[key], recorded[key]) for a, b in zip(*rows)))


def _lengths(rows: list[list]) -> list[int]:
    return [len(row) for row in rows]


def _furthest(found: list[list[float]], recorded: list[list[float]]) -> float:
    """The largest difference; infinite where shapes differ, no number where one is none."""
    if _lengths(found) != _lengths(recorded):
        return float("inf")
    return float((torch.tensor(found, dtype=torch.float64) - torch.tensor(recorded, dtype=torch.float64)).abs().max())
