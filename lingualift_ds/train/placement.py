"""Where frozen weights live: whole on every rank, or partitioned and gathered when they are used."""

from dataclasses import dataclass

from lingualift_ds.config.schema import StageConfig
from lingualift_ds.errors import ConfigError


@dataclass(frozen=True)
class Placement:
    """One frozen module's choice, and why."""

    resident: bool
    reason: str

    def __str__(self) -> str:
        return f"{'resident' if self.resident else 'sharded'} ({self.reason})"


def place_frozen(
    stage: str, settings: StageConfig, parts: tuple[str, ...], trained: tuple[str, ...], zero: int, planned: dict
) -> dict[str, Placement]:
    """For each frozen one of encoder and LLM. `planned` has what the memory plan says of each: (mode, reason).

    Raises ConfigError: a place asked for a module that is trained, or sharding without ZeRO-3.
    """
    placements = {}
    for part in ("encoder", "llm"):
        wanted, key = getattr(settings.sharding, part), f"{stage}.sharding.{part}"
        if part in trained or part not in parts:
            if wanted != "auto":
                why = "is trained here" if part in trained else "is not part of this model"
                raise ConfigError(f"{key}: {wanted}, but the {part} {why}; allowed: auto")
            continue
        if wanted == "sharded" and zero < 3:
            raise ConfigError(f"{key}: sharded, but the DeepSpeed JSON says ZeRO-{zero}; only ZeRO-3 shards weights")
        if wanted != "auto":
            placements[part] = Placement(wanted == "resident", "asked for")
        elif zero < 3:
            placements[part] = Placement(True, f"ZeRO-{zero} shards no weights")
        else:
            mode, reason = planned[part]
            placements[part] = Placement(mode == "resident", reason)
    return placements
