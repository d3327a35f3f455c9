"""Which samples make which optimizer step: decided from seed, epoch and step alone, on every rank alike.

A step holds the same samples whatever the number of ranks, the micro-batch or the accumulation, and its target
tokens are known before anything runs, so the loss can be normalised over the whole step without a collective.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from lingualift_ds.config.batch import BatchPlan
from lingualift_ds.data.collate import collate
from lingualift_ds.data.tokenize import Sample
from lingualift_ds.errors import DataError


@dataclass(frozen=True)
class Padding:
    """What fills the batches of both models. `encoder` is None for a model without an encoder."""

    llm: int
    encoder: int | None
    has_bos: bool

    @classmethod
    def of(cls, llm: PreTrainedTokenizerBase, encoder: PreTrainedTokenizerBase | None) -> "Padding":
        """From the tokenizers. An LLM without a padding token is padded with EOS: masked, it is never seen."""
        return cls(
            llm=llm.pad_token_id if llm.pad_token_id is not None else llm.eos_token_id,
            encoder=None if encoder is None else encoder.pad_token_id or 0,
            has_bos=llm.bos_token_id is not None,
        )


@dataclass(frozen=True)
class Step:
    """This rank's share of one optimizer step.

    `samples` and `target_tokens` are those of the whole step over all ranks; `real_tokens` and `padded_tokens`
    are LLM positions of this rank, without and with padding.
    """

    micro_batches: list[dict[str, Tensor]]
    sample_ids: list[list[str]]
    samples: int
    target_tokens: int
    real_tokens: int
    padded_tokens: int


class StepLoader:
    """Steps of an epoch in a shuffled order; every sample once an epoch; the position is two numbers.

    Within a step the samples are sorted by length before they are dealt out, so that a micro-batch holds
    samples of like length. The last step of an epoch may be smaller; ranks left without a sample get a
    weightless copy of one, because under ZeRO-3 all ranks must run all modules equally often.
    """

    def __init__(self, samples: Sequence[Sample], batch: BatchPlan, rank: int, seed: int, padding: Padding):
        if not samples:
            raise DataError("no usable sample is left in the training data")
        self.samples, self.batch, self.rank, self.seed, self.padding = samples, batch, rank, seed, padding
        self.epoch, self.step_in_epoch = 0, 0
        self._order: tuple[int, np.ndarray] | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps that one pass over the data takes."""
        return -(-len(self.samples) // self.batch.samples)

    def state_dict(self) -> dict[str, int]:
        """The position: all it takes to go on."""
        return {"epoch": self.epoch, "step_in_epoch": self.step_in_epoch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go to a saved position, at once: nothing is replayed."""
        self.epoch, self.step_in_epoch = state["epoch"], state["step_in_epoch"]

    def next_step(self) -> Step:
        """The next step's micro-batches for this rank; goes on into the next epoch by itself."""
        first = self.step_in_epoch * self.batch.samples
        chosen = self._epoch_order()[first : first + self.batch.samples]
        self.step_in_epoch += 1
        if self.step_in_epoch == self.steps_per_epoch:
            self.epoch, self.step_in_epoch = self.epoch + 1, 0
        return deal([self.samples[i] for i in chosen], self.batch, self.rank, self.padding)

    def _epoch_order(self) -> np.ndarray:
        if self._order is None or self._order[0] != self.epoch:
            generator = np.random.Generator(np.random.PCG64([self.seed, self.epoch]))
            self._order = (self.epoch, generator.permutation(len(self.samples)))
        return self._order[1]


def deal(samples: list[Sample], batch: BatchPlan, rank: int, padding: Padding) -> Step:
    """One rank's micro-batches of a step that holds these samples."""
    by_length = sorted(samples, key=lambda s: (-s.llm_length, s.id))
    micro_batches, ids, real, padded = [], [], 0, 0
    for turn in range(batch.accumulation):
        start = (turn * batch.world_size + rank) * batch.micro_samples
        mine = by_length[start : start + batch.micro_samples]
        tensors = collate(mine or by_length[-1:], padding.llm, padding.encoder, padding.has_bos, weightless=not mine)
        micro_batches.append(tensors)
        ids.append([s.id for s in mine])
        real += sum(s.llm_length for s in mine)
        padded += tensors["llm_ids"].numel()
    return Step(micro_batches, ids, len(samples), sum(len(s.target_ids) for s in samples), real, padded)
