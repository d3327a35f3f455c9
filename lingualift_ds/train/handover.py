"""What a stage hands over: which tensors, and what goes with them."""

from dataclasses import asdict
from typing import Any

from lingualift_ds.checkpoint.artefact import Contents
from lingualift_ds.config.schema import Config
from lingualift_ds.model.adapters import is_adapter_weight
from lingualift_ds.model.groups import group_of
from lingualift_ds.train import build
from lingualift_ds.train.inherit import Handover
from lingualift_ds.train.stages import Stage


def leaves_model(stage: Stage, handover: Handover | None) -> bool:
    """Whether the artefact holds the whole model: where encoder or LLM are no longer the base models."""
    return stage.leaves == "model" or bool(handover and handover.parts)


def hands_over(stage: Stage, handover: Handover | None, name: str) -> bool:
    """Whether a tensor of the bridged model belongs into the stage's artefact."""
    return leaves_model(stage, handover) or group_of(name) == "alignment" or is_adapter_weight(name)


def described(
    config: Config, stage: Stage, sources: build.Sources, handover: Handover | None, merged: bool = False
) -> dict[str, Any]:
    """config.json of what the stage hands over; of the whole model, its adapter merged, where that is to be made."""
    whole = merged or leaves_model(stage, handover)
    found = (build.model_config if whole else build.artefact_config)(config, sources)
    if stage.adapter is not None and not merged:
        found["adapter"] = asdict(stage.adapter) | {"targets": list(stage.adapter.targets)}
    return found | prompt_config(stage, sources)


def prompt_config(stage: Stage, sources: build.Sources) -> dict[str, Any]:
    """What config.json says of the prompt that a stage trained with."""
    bos = "" if sources.llm_tokenizer.bos_token_id is None else "{bos}"
    return {
        "instruction": stage.instruction,
        "prompt": list(stage.prompt),
        "encoder_input": stage.encoder_input,
        "llm_input": stage.llm_input,
        "prompt_template": bos + "".join(stage.llm_input if p == "text" else f"{{{p}}}" for p in stage.prompt),
    }


def contents(
    config: Config, stage: Stage, sources: build.Sources, facts: dict[str, Any], handover: Handover | None
) -> Contents:
    """What goes with the tensors; `facts` go into the manifest."""
    stem = "model" if leaves_model(stage, handover) else "trained" if stage.adapter else "alignment"
    return Contents(stem, described(config, stage, sources, handover), sources.tokenizers, facts)
