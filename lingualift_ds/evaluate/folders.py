"""Folders of models to be evaluated: ours, and any causal LM that transformers knows, to compare with."""

import json
from pathlib import Path

from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from lingualift_ds import dist
from lingualift_ds.checkpoint.manifest import NAME, fingerprint, read_manifest
from lingualift_ds.errors import CheckpointError
from lingualift_ds.hub.folders import find_folder
from lingualift_ds.model.llms import check_tokenizer, plain_attention
from lingualift_ds.model.loading import load_weights, read_config, read_tokenizer


def is_bridged(folder: Path | str) -> bool:
    """Whether a folder, or the run it lies in, holds a model of ours. Raises CheckpointError where it holds none."""
    path = find_folder(folder) / "config.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))["model_type"] == "lingualift"
    except (OSError, ValueError, KeyError, TypeError):
        raise CheckpointError(f"{path}: cannot be read as a model's configuration") from None


def load_plain(folder: Path | str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A causal LM by itself, in the dtype of its files, on this process's device. Raises ModelError."""
    name = str(find_folder(folder))
    config = read_config(name, "--model")
    tokenizer = read_tokenizer(name, "--model")
    check_tokenizer(tokenizer, name)
    options = {"dtype": "auto", "attn_implementation": plain_attention(config), "output_loading_info": True}
    model = load_weights(lambda: AutoModelForCausalLM.from_pretrained(name, **options), name, "--model")
    return model.to(dist.device()).eval(), tokenizer


def identity(folder: Path | str) -> str:
    """Tells one model from another: the seal of its manifest, or the SHA-256 of its weights."""
    folder = find_folder(folder)
    if (folder / NAME).is_file():
        return read_manifest(folder)["seal"]
    return fingerprint(str(folder), None)
