"""Where frozen weights live: whole on every rank, or partitioned and gathered when they are used."""

from collections.abc import Collection
from dataclasses import dataclass

from lingualift_ds.config.memory import Setup
from lingualift_ds.config.planning import auto_sharding
from lingualift_ds.config.schema import StageConfig
from lingualift_ds.errors import ConfigError


@dataclass(frozen=True)
class Placement:
    """One frozen module's choice, and why."""

    resident: bool
    reason: str

    def __str__(self) -> str:
        return f"{'resident' if self.resident else 'sharded'} ({self.reason})"


def check_sharding(
    stage: str, settings: StageConfig, parts: Collection[str], trained: Collection[str], zero: int
) -> None:
    """Raise ConfigError: a place asked for a module that is trained, or sharding without ZeRO-3."""
    for part in ("encoder", "llm"):
        wanted, key = getattr(settings.sharding, part), f"{stage}.sharding.{part}"
        if wanted != "auto" and (part in trained or part not in parts):
            why = "is trained here" if part in trained else "is not part of this model"
            raise ConfigError(f"{key}: {wanted}, but the {part} {why}; allowed: auto")
        if wanted == "sharded" and zero < 3:
            raise ConfigError(f"{key}: sharded, but the DeepSpeed JSON says ZeRO-{zero}; only ZeRO-3 shards weights")


def place_frozen(
    settings: StageConfig,
    frozen: Collection[str],
    setup: Setup | None,
    zero: int,
    gpu_memory: float | None,
    recompute: bool,
) -> dict[str, Placement]:
    """For each frozen one of encoder and LLM. setup: None where the models are of a kind that cannot be planned;
    gpu_memory: in bytes, None without a GPU; recompute: whether layers may be computed again to fit."""
    if setup is not None:
        planned = auto_sharding(setup, gpu_memory, recompute)
    elif gpu_memory is None or zero < 3:
        planned = dict.fromkeys(frozen, ("resident", f"ZeRO-{zero} shards no weights" if zero < 3 else "no GPU"))
    else:
        planned = dict.fromkeys(frozen, ("sharded", "models of this kind cannot be planned"))
    placements = {}
    for part in frozen:
        wanted = getattr(settings.sharding, part)
        mode, reason = planned[part] if wanted == "auto" else (wanted, "asked for")
        placements[part] = Placement(mode == "resident", reason)
    return placements
