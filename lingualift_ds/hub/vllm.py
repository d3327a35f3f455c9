"""For vLLM: the LLM as a plain folder, and a bridge that turns questions into the prompt embeddings it reads.

vLLM takes embeddings [tokens, hidden] in place of token ids (`prompt_embeds`), so it need not know of encoders. The
bridge is a bridged model whose LLM has its input embeddings and no layer.
"""

import copy
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from lingualift_ds.checkpoint.manifest import writable
from lingualift_ds.errors import CheckpointError, ModelError
from lingualift_ds.hub.configuration import LinguaLiftConfig
from lingualift_ds.hub.folders import assembled, load_model
from lingualift_ds.hub.modeling import LinguaLiftForCausalLM
from lingualift_ds.model.llms import build_llm

LLM, BRIDGE = "llm", "bridge"
"""Folders of the two parts."""


def write_for_vllm(model: LinguaLiftForCausalLM, folder: Path) -> None:
    """Write both parts to a new folder, whole or not at all.

    Raises ModelError for a model of text alone, CheckpointError where nothing can be written.
    """
    if model.encoder is None:
        raise ModelError("export --for vllm: this model has no encoder, so there is nothing to bridge")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CheckpointError(f"{folder}: {'is not empty' if folder.is_dir() else 'is a file'}; name a new folder")
    aside = folder.with_name(f".{folder.name}.tmp")
    try:
        writable(folder, lambda: _write(model, aside))
        writable(folder, lambda: aside.rename(folder))
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _write(model: LinguaLiftForCausalLM, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    model.llm.generation_config = model.generation_config
    model.llm.save_pretrained(folder / LLM)
    model.processor.llm.save_pretrained(folder / LLM)
    config = _without_layers(model.config)
    bridge = assembled(config, build_llm(config.llm, model.dtype), model.encoder)
    bridge.alignment = model.alignment
    bridge.get_input_embeddings().load_state_dict(model.get_input_embeddings().state_dict())
    bridge.processor = model.processor
    bridge.save_pretrained(folder / BRIDGE)


def _without_layers(config: LinguaLiftConfig) -> LinguaLiftConfig:
    config = copy.deepcopy(config)
    config.llm.num_hidden_layers = 0
    if getattr(config.llm, "layer_types", None):
        config.llm.layer_types = []
    config.llm.tie_word_embeddings = True  # a head of its own would be as large as the embeddings, and is not used
    return config


class PromptBridge:
    """Questions to the embeddings of their prompts, beside a server that holds the LLM.

    Attributes:
        model: encoder, alignment layer, the LLM's input embeddings, and both tokenizers.
    """

    def __init__(self, model: LinguaLiftForCausalLM):
        self.model = model

    @classmethod
    def from_pretrained(cls, folder: Path | str) -> "PromptBridge":
        """From what `lingualift-ds export --for vllm` wrote. Raises CheckpointError where that is not what is there."""
        if not (Path(folder) / BRIDGE).is_dir():
            raise CheckpointError(f"{folder}: holds no bridge; `lingualift-ds export --for vllm` writes one")
        return cls(load_model(Path(folder) / BRIDGE))

    @torch.no_grad()
    def prompts(self, questions: Sequence[str], instruction: str | None = None, batch_size: int = 32) -> list[Tensor]:
        """Embeddings [tokens, hidden] of each question's prompt, without padding, on the CPU: `prompt_embeds`."""
        found = []
        for first in range(0, len(questions), batch_size):
            inputs = self.model.processor(questions[first : first + batch_size], instruction)
            inputs = {name: tensor.to(self.model.device) for name, tensor in inputs.items()}
            embeds, mask = self.model.prompt_embeddings(**inputs)
            found += [row[kept.bool()].cpu() for row, kept in zip(embeds, mask)]
        return found
