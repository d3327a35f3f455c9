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


def contents(config: Config, stage: Stage, sources: build.Sources, facts: dict[str, Any]) -> Contents:
    """What goes with the tensors; `facts` go into the manifest."""
    whole = stage.leaves == "model"
    described = (build.model_config if whole else build.artefact_config)(config, sources)
    described["instruction"] = config.stage(stage.number).data.instruction or stage.instruction
    return Contents("model" if whole else "alignment", described, sources.tokenizers, facts)
