"""The loss on held-out samples during training, per language."""

from collections.abc import Callable

import numpy as np
import torch

from lingualift_ds import dist
from lingualift_ds.config.batch import BatchPlan
from lingualift_ds.data.collate import BatchLayout
from lingualift_ds.data.loader import make_step
from lingualift_ds.data.prepared import Samples
from lingualift_ds.engine.step import Engine

_AT_ONCE = 256
"""Samples that are dealt out to the ranks together."""


class _Told(Exception):
    """A rank was told to leave."""


class Heldout:
    """Held-out samples by language, dealt out to the ranks so that all make the same number of passes."""

    def __init__(self, samples: Samples, batch: BatchPlan, layout: BatchLayout):
        self.samples, self.batch, self.layout = samples, batch, layout
        self.by_language = {name: np.flatnonzero(samples.languages == name) for name in sorted(set(samples.languages))}

    def losses(self, engine: Engine, told: Callable[[], bool] = lambda: False) -> dict[str, float] | None:
        """Mean loss per target token in nats, by language and over all ("all"); None where a rank was `told` to leave
        meanwhile. Collective."""
        engine.train(False)
        try:
            with torch.no_grad(), dist.HERE.during("evaluating"):
                sums = self._sums(engine, told)
        except _Told:
            return None
        finally:
            engine.train(True)
        losses = {language: loss / tokens for language, (loss, tokens) in sums.items()}
        losses["all"] = sum(loss for loss, _ in sums.values()) / sum(tokens for _, tokens in sums.values())
        return losses

    def _sums(self, engine: Engine, told: Callable[[], bool]) -> dict[str, tuple[float, int]]:
        """Loss and number of target tokens, by language."""
        sums = {}
        for language, indices in self.by_language.items():
            loss = torch.zeros((), dtype=torch.float64, device=dist.device())
            for first in range(0, len(indices), _AT_ONCE):
                chunk = indices[first : first + _AT_ONCE]
                step = make_step(self.samples, chunk, self.batch, dist.read_place().rank, self.layout)
                for micro_batch in step.micro_batches:
                    if dist.any_rank(told()):
                        raise _Told
                    loss += engine.forward(micro_batch).double()
                    dist.HERE.move()
            sums[language] = (dist.total([float(loss)])[0], int(self.samples.target_lengths[indices].sum()))
        return sums
