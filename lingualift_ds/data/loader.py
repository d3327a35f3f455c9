"""Which samples make which optimizer step: decided by seed, epoch and step alone, on every rank alike.

A step holds the same samples whatever the number of ranks or the token budget, and its target tokens are known
before anything runs, so the loss can be normalised over the whole step without a collective.
"""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from lingualift_ds.config.batch import BatchPlan
from lingualift_ds.data.collate import BatchLayout, collate
from lingualift_ds.data.packing import group, pack
from lingualift_ds.data.prepared import Samples
from lingualift_ds.errors import DataError

Order = Literal["shuffled", "file"]
"""Of the samples of an epoch; as `data.order` has it."""


@dataclass(frozen=True)
class Step:
    """This rank's micro-batches of one optimizer step, and counts of the whole step over all ranks, in tokens.

    `llm_tokens` and `encoder_tokens` carry something; `llm_positions` and `encoder_positions` are what is
    computed, padding and weightless micro-batches included; `token_pairs` sums the squares of the samples' LLM
    tokens, which attention's work grows with.
    """

    micro_batches: list[dict[str, Any]]
    sample_ids: list[list[str]]
    samples: int
    target_tokens: int
    llm_tokens: int
    encoder_tokens: int
    llm_positions: int
    encoder_positions: int
    token_pairs: int


class StepLoader:
    """Steps of an epoch, shuffled or as the files have it; every sample once an epoch; the position is two numbers.

    The next step is collated in a thread while the present one runs, but none of an epoch after `epochs`: its samples
    may not be made yet. Set `layout` before the first step.
    """

    def __init__(
        self,
        samples: Samples,
        batch: BatchPlan,
        rank: int,
        seed: int,
        layout: BatchLayout,
        order: Order = "shuffled",
        epochs: int | None = None,
    ):
        self.samples, self.batch, self.rank, self.seed, self.layout = samples, batch, rank, seed, layout
        self.order, self.epochs = order, epochs
        self.epoch, self.step_in_epoch = 0, 0
        self._steps: tuple[int, np.ndarray, np.ndarray] | None = None
        # A thread starts out on GPU 0, and page-locking memory there would open a second context on it.
        gpu = (torch.cuda.current_device(),) if torch.cuda.is_available() else ()
        self._worker = ThreadPoolExecutor(1, "loader", torch.cuda.set_device if gpu else None, gpu)
        self._ahead: Future[Step] | None = None

    def steps_in(self, epoch: int) -> int:
        """Optimizer steps that an epoch takes; in a batch stated in tokens it differs from epoch to epoch."""
        return len(self._epoch(epoch)[1]) - 1

    def state_dict(self) -> dict[str, int]:
        """The position: all it takes to go on."""
        return {"epoch": self.epoch, "step_in_epoch": self.step_in_epoch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go to a saved position, at once: nothing is replayed."""
        self.epoch, self.step_in_epoch = state["epoch"], state["step_in_epoch"]
        self._ahead = None

    def next_step(self) -> Step:
        """The next step's micro-batches for this rank; goes on into the next epoch by itself."""
        step = (self._ahead or self._submit()).result()
        self.step_in_epoch += 1
        if self.step_in_epoch == self.steps_in(self.epoch):
            self.epoch, self.step_in_epoch = self.epoch + 1, 0
        self._ahead = None if self.epoch == self.epochs else self._submit()
        return step

    def close(self) -> None:
        """Stop the thread."""
        self._worker.shutdown(cancel_futures=True)

    def _submit(self) -> "Future[Step]":
        order, bounds = self._epoch(self.epoch)
        chosen = order[bounds[self.step_in_epoch] : bounds[self.step_in_epoch + 1]]
        return self._worker.submit(make_step, self.samples.of(self.epoch), chosen, self.batch, self.rank, self.layout)

    def _epoch(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        if self._steps is None or self._steps[0] != epoch:
            self._steps = (epoch, *divide_epoch(self.samples, epoch, self.batch, self.seed, self.order))
        return self._steps[1:]


def divide_epoch(
    samples: Samples, epoch: int, batch: BatchPlan, seed: int, order: Order
) -> tuple[np.ndarray, np.ndarray]:
    """The samples of an epoch in their order, and where in it each step begins; the last entry is its end.

    Raises DataError where there is none.
    """
    samples = samples.of(epoch)
    if not len(samples):
        raise DataError("no usable sample is left in the training data")
    if order == "file":
        chosen = np.arange(len(samples))
    else:
        chosen = np.random.Generator(np.random.PCG64([seed, epoch])).permutation(len(samples))
    if batch.samples:
        return chosen, np.append(np.arange(0, len(chosen), batch.samples), len(chosen))
    return chosen, _cut(samples.llm_lengths[chosen], batch.tokens)


def steps_by_epoch(
    samples: Samples, batch: BatchPlan, seed: int, order: Order, epochs: int, steps: int | None = None
) -> list[int]:
    """Steps of each epoch that a run goes through: `epochs` of them, or as many as it takes to `steps`.

    Samples that every epoch has anew are made for each of these.
    """
    found, total = [], 0
    while (total < steps) if steps else (len(found) < epochs):
        found.append(len(divide_epoch(samples, len(found), batch, seed, order)[1]) - 1)
        total += found[-1]
    return found


def make_step(samples: Samples, chosen: Sequence[int], batch: BatchPlan, rank: int, layout: BatchLayout) -> Step:
    """One rank's micro-batches of a step that holds the chosen samples; ranks left without a sample get a
    weightless copy of one, because under ZeRO-3 all ranks must run all modules equally often."""
    chosen = np.asarray(chosen)
    llm, encoder = samples.llm_lengths[chosen], samples.encoder_lengths[chosen]
    # Of the latent kind the encoder may read more tokens than the LLM does.
    bins = (pack if layout.pack_llm else group)(np.maximum(llm, encoder), batch.micro_tokens, batch.world_size)
    spare = [int(np.argmin(llm))]
    micro_batches, ids = [], []
    for mine in bins[rank :: batch.world_size]:
        held = [samples[int(i)] for i in chosen[mine or spare]]
        micro_batches.append(_pinned(collate(held, layout, weightless=not mine)))
        ids.append([s.id for s in held] if mine else [])
    computed = [b or spare for b in bins]
    return Step(
        micro_batches=micro_batches,
        sample_ids=ids,
        samples=len(chosen),
        target_tokens=int(samples.target_lengths[chosen].sum()),
        llm_tokens=int(llm.sum()),
        encoder_tokens=int(encoder.sum()),
        llm_positions=sum(_positions(llm[b], 1, layout.pack_llm) for b in computed),
        encoder_positions=sum(_positions(encoder[b], layout.encoder_blocks, layout.pack_encoder) for b in computed),
        token_pairs=int((llm.astype(np.int64) ** 2).sum()),
    )


def _positions(lengths: np.ndarray, blocks: int, packed: bool) -> int:
    if packed:
        return int(lengths.sum())
    chunks = np.array_split(-np.sort(-lengths), min(blocks, len(lengths)))
    return sum(int(chunk.max()) * len(chunk) for chunk in chunks)


def _cut(lengths: np.ndarray, tokens: int) -> np.ndarray:
    """Where steps begin so that each holds as many whole samples, in order, as fit `tokens`; the end comes last."""
    ends, bounds = np.cumsum(lengths), [0]
    while bounds[-1] < len(lengths):
        spent = ends[bounds[-1] - 1] if bounds[-1] else 0
        bounds.append(max(int(np.searchsorted(ends, spent + tokens, side="right")), bounds[-1] + 1))
    return np.asarray(bounds)


def _pinned(values: Any) -> Any:
    """Tensors in page-locked memory where there is a GPU, so that they can travel while it computes."""
    if not torch.cuda.is_available():
        return values
    if isinstance(values, torch.Tensor):
        return values.pin_memory()
    if isinstance(values, dict):
        return {k: _pinned(v) for k, v in values.items()}
    return [_pinned(v) for v in values] if isinstance(values, list) else values
