"""What a stage hands over: which tensors, and what goes with them."""

from typing import Any

from lingualift_ds.checkpoint.artefact import Contents
from lingualift_ds.config.schema import Config
from lingualift_ds.model.groups import group_of
from lingualift_ds.train import build
from lingualift_ds.train.inherit import Handover
from lingualift_ds.train.stages import Stage


def leaves_model(stage: Stage, handover: Handover | None) -> bool:
    """Whether the artefact holds the whole model: where encoder or LLM are no longer the base models."""
    return stage.leaves == "model" or bool(handover and handover.parts)


def hands_over(stage: Stage, handover: Handover | None, name: str) -> bool:
    """Whether a tensor of the bridged model belongs into the stage's artefact."""
    return leaves_model(stage, handover) or group_of(name) == "alignment"


def described(config: Config, stage: Stage, sources: build.Sources, handover: Handover | None) -> dict[str, Any]:
    """config.json of what the stage hands over."""
    whole = leaves_model(stage, handover)
    found = (build.model_config if whole else build.artefact_config)(config, sources)
    return found | {"instruction": stage.instruction}


def contents(
    config: Config, stage: Stage, sources: build.Sources, facts: dict[str, Any], handover: Handover | None
) -> Contents:
    """What goes with the tensors; `facts` go into the manifest."""
    stem = "model" if leaves_model(stage, handover) else "alignment"
    return Contents(stem, described(config, stage, sources, handover), sources.tokenizers, facts)
