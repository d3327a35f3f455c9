"""A finished model for questions: read from Stage II's artefact, asked in batches, answered greedily."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoTokenizer, PreTrainedConfig
from transformers.initialization import no_init_weights

from lingualift_ds import dist
from lingualift_ds.checkpoint.artefact import read_artefact
from lingualift_ds.checkpoint.tensors import read_tensors
from lingualift_ds.config.schema import AlignmentConfig
from lingualift_ds.data.collate import BatchLayout, collate_prompts
from lingualift_ds.data.tokenize import Sample, SampleTokenizer
from lingualift_ds.errors import CheckpointError, ModelError
from lingualift_ds.model.alignment import AlignmentLayer
from lingualift_ds.model.bridge import BridgedModel
from lingualift_ds.model.encoders import build_encoder
from lingualift_ds.model.llms import build_llm
from lingualift_ds.model.loading import DTYPES


@dataclass(frozen=True)
class Answer:
    """What the model wrote, and whether it stopped by itself."""

    text: str
    finished: bool


class Answerer:
    """A bridged (or text-only) model with its tokenizers and the instruction it was trained with."""

    def __init__(self, model: BridgedModel, tokenizer: SampleTokenizer, instruction: str):
        self.model, self.tokenizer, self.instruction = model, tokenizer, instruction
        # One sample a row: generation goes on at the end of each.
        self.layout = replace(BatchLayout.of(tokenizer.llm, tokenizer.encoder, tokenizer.layout), pack_encoder=False)

    @classmethod
    def load(cls, folder: Path | str) -> "Answerer":
        """From the folder of a whole model, hashes checked. Raises CheckpointError, ModelError."""
        folder = Path(folder)
        if (folder / "artefact").is_dir():
            folder = folder / "artefact"
        if not folder.is_dir():
            raise CheckpointError(f"{folder}: no such folder; name a stage 2 artefact, such as runs/NAME/stage2")
        config, _ = read_artefact(folder)
        if "config" not in config.get("llm", {}):
            raise CheckpointError(f"{folder}: holds an alignment layer, not a whole model; train stage 2 first")
        dtype = DTYPES[config["precision"]]
        with no_init_weights():
            model = _empty_model(config, dtype)
        _fill(model, folder)
        tokenizers = {
            role: AutoTokenizer.from_pretrained(folder / f"{role}_tokenizer")
            for role in ("encoder", "llm")
            if (folder / f"{role}_tokenizer").is_dir()
        }
        tokenizer = SampleTokenizer(
            llm=tokenizers["llm"],
            llm_max_tokens=config["llm_max_tokens"],
            encoder=tokenizers.get("encoder"),
            encoder_max_tokens=config["encoder_max_tokens"],
            layout=model.alignment.layout if model.alignment else None,
            row_of={int(i): row for i, row in config["whitespace_rows"].items()},
        )
        return cls(model.to(dist.device()).eval(), tokenizer, config["instruction"])

    def answer(self, texts: Sequence[str], instruction: str | None = None, max_new_tokens: int = 256) -> list[Answer]:
        """Greedy answers to one batch of texts."""
        return self.answer_samples(self.prompts(texts, instruction), max_new_tokens)

    def prompts(self, texts: Sequence[str], instruction: str | None = None) -> list[Sample]:
        """Tokenised prompts."""
        return [self.tokenizer.prompt(text, instruction or self.instruction) for text in texts]

    def answer_samples(self, prompts: Sequence[Sample], max_new_tokens: int) -> list[Answer]:
        """Greedy answers to one batch of tokenised prompts."""
        llm = self.tokenizer.llm
        batch = _to(dist.device(), collate_prompts(prompts, self.layout))
        ids = self.model.generate(
            **batch, max_new_tokens=max_new_tokens, eos_id=llm.eos_token_id, pad_id=self.layout.llm_pad
        )
        return [self._read(row) for row in ids.tolist()]

    def _read(self, ids: list[int]) -> Answer:
        eos = self.tokenizer.llm.eos_token_id
        finished = eos in ids
        kept = ids[: ids.index(eos)] if finished else ids
        return Answer(self.tokenizer.llm.decode(kept, skip_special_tokens=True).strip(), finished)


def _to(device: torch.device, values: Any) -> Any:
    if isinstance(values, torch.Tensor):
        return values.to(device)
    if isinstance(values, dict):
        return {k: _to(device, v) for k, v in values.items()}
    return [_to(device, v) for v in values] if isinstance(values, list) else values


def _empty_model(config: dict, dtype: torch.dtype) -> BridgedModel:
    # Built in the dtype, not cast to it: a cast would also round the rotary frequencies, which stay in fp32.
    llm = build_llm(_config(config["llm"]), dtype)
    llm.tie_weights()  # not done by the constructors while weights are not initialised
    if config["encoder"] is None:
        return BridgedModel(llm, None, None)
    encoder_config = _config(config["encoder"])
    kind = AlignmentConfig(**config["alignment"])
    alignment = AlignmentLayer(kind, encoder_config.hidden_size, llm.config.hidden_size).to(dtype)
    encoder = build_encoder(encoder_config, dtype)
    encoder.tie_weights()
    return BridgedModel(llm, encoder, alignment)


def _config(described: dict) -> PreTrainedConfig:
    return AutoConfig.for_model(**described["config"])


def _fill(model: BridgedModel, folder: Path) -> None:
    """Load every shard, and make sure that every tensor of the model was in one (tied ones once)."""
    seen: set[int] = set()
    state = model.state_dict(keep_vars=True)
    with torch.no_grad():
        for shard in read_tensors(folder):
            for name, tensor in shard.items():
                if name not in state or state[name].shape != tensor.shape:
                    raise ModelError(f"{folder}: tensor {name} {list(tensor.shape)} does not fit the model's config")
                state[name].copy_(tensor)
                seen.add(state[name].data_ptr())
    missing = [name for name, tensor in state.items() if tensor.data_ptr() not in seen]
    if missing:
        raise ModelError(f"{folder}: tensors missing from the files: {', '.join(missing[:3])} ({len(missing)})")
