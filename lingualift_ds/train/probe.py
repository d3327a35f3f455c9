"""The probe: a few samples whose loss is stored with a checkpoint, and must come out again when it is loaded.

Hashes show that the files are the ones that were written; the probe shows that what was made of them, with the frozen
parts from their sources, is the model that was saved.
"""

import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from lingualift_ds import dist
from lingualift_ds.data.collate import BatchLayout, collate
from lingualift_ds.data.tokenize import Sample
from lingualift_ds.engine.step import Engine
from lingualift_ds.errors import CheckpointError

FILE = "probe.json"
_SAMPLES, _AMONG = 2, 64
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 1e-2}
"""Of the mean loss, relative. The same kernels give the same bits; others (another GPU, other attention) add up in
another order: 1e-4 in fp32. In bf16 each layer rounds to 2^-8, which the mean over the targets halves or better."""


@dataclass
class Probe:
    """Samples that every rank reads alike, so that their loss does not depend on the number of ranks."""

    samples: list[Sample]
    layout: BatchLayout

    @classmethod
    def among(cls, samples: Iterable[Sample], layout: BatchLayout, tokens: int) -> "Probe":
        """The shortest of the samples in front, because every save waits for their loss; as many as fit a micro-batch
        of `tokens`, one at least."""
        shortest = sorted(itertools.islice(samples, _AMONG), key=_length)[:_SAMPLES]
        fit = [s for n, s in enumerate(shortest) if n == 0 or sum(map(_length, shortest[: n + 1])) <= tokens]
        return cls(fit, layout)

    def loss(self, engine: Engine) -> float:
        """Mean loss per target token, in nats, of the model as it is. A collective under ZeRO-3."""
        engine.train(False)
        with torch.no_grad():
            loss = float(engine.forward(collate(self.samples, self.layout)))
        engine.train(True)
        return loss / sum(len(s.target_ids) for s in self.samples)

    def to_bytes(self) -> bytes:
        """As JSON: what a checkpoint stores."""
        rows = [
            {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in vars(sample).items()}
            for sample in self.samples
        ]
        return json.dumps(rows).encode()

    def read(self, path: Path) -> "Probe":
        """The probe of a checkpoint whose hashes were verified, laid out as this one is."""
        rows = json.loads((path / FILE).read_text(encoding="utf-8"))
        arrays = [{k: np.array(v, np.int32) if isinstance(v, list) else v for k, v in row.items()} for row in rows]
        return Probe([Sample(**row) for row in arrays], self.layout)

    def check(self, engine: Engine, expected: float, where: Path) -> None:
        """Raise CheckpointError, on all ranks, where the model that was loaded is not the one that was saved."""
        tolerance = TOLERANCE[next(engine.module.llm.parameters()).dtype]
        losses = dist.gather(self.loss(engine))
        for rank, found in enumerate(losses):
            if not abs(found - expected) <= tolerance * max(abs(expected), 1.0):
                raise CheckpointError(
                    f"{where}: the loss of its probe was {expected:.6g} when it was saved, and is {found:.6g} on rank "
                    f"{rank} (allowed: {tolerance:g} of it): what was loaded is not the model that was saved"
                )


def _length(sample: Sample) -> int:
    return max(sample.llm_length, len(sample.encoder_ids))
