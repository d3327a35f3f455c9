"""Batch arithmetic: one global batch, whatever the number of ranks."""

from dataclasses import dataclass

from lingualift_ds.config.schema import BatchConfig


@dataclass(frozen=True)
class BatchPlan:
    """What one optimizer step holds over all ranks (in samples or in LLM tokens), and what one pass of a rank may.

    How many passes that takes depends on the samples' lengths: data/packing.py.
    """

    samples: int | None
    tokens: int | None
    world_size: int
    micro_tokens: int

    def __str__(self) -> str:
        whole = f"{self.samples:,} samples" if self.samples else f"up to {self.tokens:,} LLM tokens"
        return (
            f"{whole} a step over {self.world_size} ranks, in micro-batches of up to {self.micro_tokens:,} LLM tokens"
        )


def plan_batch(batch: BatchConfig, world_size: int) -> BatchPlan:
    """The global batch for `world_size` ranks."""
    return BatchPlan(batch.samples, batch.tokens, world_size, batch.micro_tokens)
