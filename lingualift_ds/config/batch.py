"""Batch arithmetic: one global batch, whatever the number of ranks."""

from dataclasses import dataclass

from lingualift_ds.config.schema import BatchConfig
from lingualift_ds.errors import ConfigError


@dataclass(frozen=True)
class BatchPlan:
    """samples = world_size x micro_samples x accumulation, all in samples."""

    samples: int
    world_size: int
    micro_samples: int
    accumulation: int

    def __str__(self) -> str:
        return (
            f"{self.samples} samples a step = {self.world_size} ranks x {self.micro_samples} samples "
            f"x {self.accumulation} accumulation"
        )


def plan_batch(batch: BatchConfig, world_size: int, where: str) -> BatchPlan:
    """How the global batch is dealt out to `world_size` ranks.

    Raises ConfigError where it does not divide, with the sizes that do. `where` names the config keys.
    """
    if batch.samples % world_size:
        down = batch.samples - batch.samples % world_size
        legal = [str(n) for n in (down, down + world_size) if n > 0]
        raise ConfigError(
            f"{where}.samples: {batch.samples} samples do not divide by {world_size} ranks; "
            f"nearest that do: {', '.join(legal)}"
        )
    per_rank = batch.samples // world_size
    micro_samples = batch.micro_samples or per_rank
    if per_rank % micro_samples:
        legal = [str(n) for n in range(1, per_rank + 1) if per_rank % n == 0]
        raise ConfigError(
            f"{where}.micro_samples: {batch.samples} samples on {world_size} ranks are {per_rank} a rank, "
            f"which do not divide by {micro_samples}; legal: {', '.join(legal)}"
        )
    return BatchPlan(batch.samples, world_size, micro_samples, per_rank // micro_samples)
