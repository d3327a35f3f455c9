"""The loss on held-out samples during training, per language."""

from collections import defaultdict

import torch

from lingualift_ds import dist
from lingualift_ds.config.batch import BatchPlan
from lingualift_ds.data.loader import Padding, deal
from lingualift_ds.data.tokenize import Sample
from lingualift_ds.engine.step import Engine


class Heldout:
    """Held-out samples by language, dealt out to the ranks so that all make the same number of passes."""

    def __init__(self, samples: list[Sample], batch: BatchPlan, padding: Padding):
        self.batch, self.padding = batch, padding
        self.by_language: dict[str, list[Sample]] = defaultdict(list)
        for sample in samples:
            self.by_language[sample.language].append(sample)

    def losses(self, engine: Engine) -> dict[str, float]:
        """Mean loss per target token in nats, by language and over all ("all"). Collective."""
        engine.train(False)
        sums = {}
        with torch.no_grad():
            for language, samples in sorted(self.by_language.items()):
                loss = torch.zeros((), dtype=torch.float64)
                for first in range(0, len(samples), self.batch.samples):
                    chunk = samples[first : first + self.batch.samples]
                    dealt = deal(chunk, self.batch, dist.read_place().rank, self.padding)
                    passes = -(-len(chunk) // (self.batch.world_size * self.batch.micro_samples))
                    for micro in dealt.micro_batches[:passes]:
                        loss += engine.forward(micro).double().cpu()
                sums[language] = (dist.total([float(loss)])[0], sum(len(s.target_ids) for s in samples))
        engine.train(True)
        losses = {language: loss / tokens for language, (loss, tokens) in sums.items()}
        losses["all"] = sum(loss for loss, _ in sums.values()) / sum(tokens for _, tokens in sums.values())
        return losses
