"""What a stage takes over from an artefact: the alignment layer, and whole models that an earlier stage trained."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from lingualift_ds import dist
from lingualift_ds.checkpoint.artefact import read_artefact
from lingualift_ds.checkpoint.manifest import read_manifest
from lingualift_ds.checkpoint.tensors import read_tensors
from lingualift_ds.config.schema import AdapterConfig, Config
from lingualift_ds.errors import CheckpointError
from lingualift_ds.hub.configuration import adapter_of
from lingualift_ds.log import get_logger
from lingualift_ds.train.stages import Stage

logger = get_logger(__name__)


@dataclass(frozen=True)
class Handover:
    """An artefact that a stage goes on from.

    Attributes:
        id: SHA-256 of its weight files, as its manifest has them.
        parts: of encoder and llm, those that it holds in full.
        alignment: the layer's weights by name; None where the artefact has none.
        adapter: its LLM's adapter as its config.json states it, whose weights it holds; None without one.
    """

    folder: Path
    id: str
    parts: tuple[str, ...]
    alignment: dict[str, Tensor] | None
    adapter: AdapterConfig | None


def handover_folder(config: Config, stage: Stage) -> Path | None:
    """The artefact that this stage goes on from; None where it starts fresh."""
    if isinstance(stage.start, int):
        return Path(f"{config.run.output}/stage{stage.start}/artefact")
    return None if stage.start is None else Path(stage.start)


def handover_id(config: Config, stage: Stage) -> str | None:
    """SHA-256 over the weight files that are handed over, as their manifest has it; None without a handover."""
    folder = handover_folder(config, stage)
    if folder is None or not folder.is_dir():
        return None
    files = read_manifest(folder)["files"]
    return ",".join(files[name]["sha256"] for name in sorted(files) if name.endswith(".safetensors"))


def read_handover(config: Config, stage: Stage, ours: dict[str, Any]) -> Handover | None:
    """What this stage takes over, None where it starts fresh. ours: what its own artefact would say of its models.

    Raises CheckpointError: no artefact, a damaged one, or one of other models or of another alignment kind; or one
    that leaves the alignment layer random, where no one asked for that.
    """
    folder = handover_folder(config, stage)
    if folder is None:
        if ours["encoder"] and "alignment" not in stage.groups:
            logger.warning("the alignment layer is fresh and %s does not train it: it stays random", stage.folder)
        return None
    if not folder.is_dir():
        raise CheckpointError(
            f"{folder}: no such artefact; run --stage {stage.start} first, or set "
            f"{stage.folder}.start_from to an artefact's folder or to scratch"
        )
    # Whole models among them: they are hashed by one rank, the others look at names and sizes.
    theirs, manifest = read_artefact(folder, hashes=dist.read_place().is_main)
    check_handover(folder, theirs, ours)
    _check_adapter(folder, adapter_of(theirs), stage)
    found = Handover(
        folder=folder,
        id=handover_id(config, stage),
        parts=tuple(part for part in ("encoder", "llm") if ours[part] and "config" in (theirs.get(part) or {})),
        alignment=_alignment(folder) if ours["encoder"] and theirs.get("encoder") else None,
        adapter=adapter_of(theirs),
    )
    if ours["encoder"] and found.alignment is None and "alignment" not in stage.groups:
        raise CheckpointError(
            f"{folder}: holds no alignment layer, and {stage.folder} does not train one: it would stay random; add "
            f"alignment to {stage.folder}.train"
        )
    if not found.parts and found.alignment is None and found.adapter is None:
        logger.warning("start_from: %s is not used: it holds nothing that this model has", folder)
    else:
        logger.info("taken over from %s: %s", folder, _told(found, manifest, config))
    return found


def check_handover(folder: Path, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    """Raise CheckpointError where an artefact was made with another encoder, LLM or alignment kind."""
    both_bridged = bool(theirs.get("encoder") and ours["encoder"])
    for what in ("alignment", "encoder", "llm") if both_bridged else ("llm",):
        for key, expected in ours[what].items():
            found = (theirs.get(what) or {}).get(key, "last" if key == "layers" else None)
            if key != "name" and found != expected:
                raise CheckpointError(
                    f"{folder}: was made with another {what}: {key} {found!r} of {theirs[what].get('name', what)}, "
                    f"this run has {expected!r} of {ours[what].get('name', what)}"
                )
    if both_bridged and theirs.get("whitespace_rows") != ours["whitespace_rows"]:
        raise CheckpointError(f"{folder}: was made with other white-space tokens; set model.whitespace_tokens as there")


def _check_adapter(folder: Path, theirs: AdapterConfig | None, stage: Stage) -> None:
    """Raise CheckpointError for an adapter that the stage does not go on with: it would be lost."""
    if theirs is not None and _weights_of(theirs) != _weights_of(stage.adapter):
        raise CheckpointError(
            f"{folder}: its LLM has an adapter ({_weights_of(theirs)}), and {stage.folder}.adapter is "
            f"{_weights_of(stage.adapter) or 'null'}; state the same, or make it part of the LLM (lingualift-ds export "
            f"{folder.parent} --output DIR) and set {stage.folder}.start_from to DIR"
        )


def _weights_of(adapter: AdapterConfig | None) -> str:
    """What two adapters with the same weights have in common, as a recipe states it; dropout may change."""
    if adapter is None:
        return ""
    targets = ", ".join(sorted(adapter.targets))
    return f"kind: {adapter.kind}, rank: {adapter.rank}, alpha: {adapter.alpha:g}, targets: [{targets}]"


def _alignment(folder: Path) -> dict[str, Tensor]:
    shards = read_tensors(folder, "alignment.")
    return {name.removeprefix("alignment."): tensor for shard in shards for name, tensor in shard.items()}


def _told(found: Handover, manifest: dict[str, Any], config: Config) -> str:
    parts = [f"the {part}" for part in found.parts]
    if found.alignment is not None:
        size = sum(tensor.numel() for tensor in found.alignment.values())
        parts.append(f"the alignment layer ({config.model.alignment.kind}, {size:,} parameters)")
    if found.adapter is not None:
        parts.append(f"the adapter ({found.adapter.kind}, rank {found.adapter.rank})")
    trained = "{stage}, {step} steps, {samples} samples".format_map(manifest)
    return f"{', '.join(parts)}, of {trained}, SHA-256 {found.id[:12]}"
