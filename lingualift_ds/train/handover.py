"""What a stage hands over: which tensors, and what goes with them."""

from typing import Any

from lingualift_ds.checkpoint.artefact import Contents
from lingualift_ds.config.schema import Config
from lingualift_ds.model.groups import group_of
from lingualift_ds.train import build
from lingualift_ds.train.stages import Stage


def hands_over(stage: Stage, name: str) -> bool:
    """Whether a tensor of the bridged model belongs into the stage's artefact."""
    return stage.leaves == "model" or group_of(name) == "alignment"


def described(config: Config, stage: Stage, sources: build.Sources) -> dict[str, Any]:
    """config.json of what the stage hands over."""
    whole = stage.leaves == "model"
    found = (build.model_config if whole else build.artefact_config)(config, sources)
    return found | {"instruction": config.stage(stage.number).data.instruction or stage.instruction}


def contents(config: Config, stage: Stage, sources: build.Sources, facts: dict[str, Any]) -> Contents:
    """What goes with the tensors; `facts` go into the manifest."""
    stem = "model" if stage.leaves == "model" else "alignment"
    return Contents(stem, described(config, stage, sources), sources.tokenizers, facts)
