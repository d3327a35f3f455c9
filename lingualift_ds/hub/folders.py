"""From a folder to a model: whole models, checked to the byte where they have a manifest, and Stage I's layer on base
models."""

import hashlib
import json
from pathlib import Path

import torch
from transformers import PreTrainedConfig, PreTrainedModel

from lingualift_ds import dist
from lingualift_ds.checkpoint.artefact import read_artefact
from lingualift_ds.checkpoint.manifest import NAME, fingerprint, read_manifest, verify
from lingualift_ds.checkpoint.tensors import read_tensors
from lingualift_ds.data.cache import tokenizer_digest
from lingualift_ds.errors import CheckpointError, ModelError
from lingualift_ds.hub.configuration import LinguaLiftConfig, special_ids
from lingualift_ds.hub.modeling import LinguaLiftForCausalLM, end_ids
from lingualift_ds.hub.processing import LinguaLiftProcessor
from lingualift_ds.model.encoders import load_encoder
from lingualift_ds.model.llms import check_tokenizer, llm_class, load_llm
from lingualift_ds.model.loading import DTYPES, load_weights, read_config, read_tokenizer
from lingualift_ds.model.whitespace import add_whitespace_tokens

BESIDE = ("README.md", "generation_config.json")
"""Files of an exported folder that a run's own has not."""


def load_model(folder: Path | str, dtype: torch.dtype | None = None) -> LinguaLiftForCausalLM:
    """A whole model for use, on this process's device: an exported folder, what Stage II left in its run, or any causal
    LM of transformers, which reads text alone and has no instruction.

    Raises CheckpointError for a folder that holds none or is damaged, ModelError for weights that do not fit.
    """
    folder = find_folder(folder)
    if (folder / NAME).is_file():
        verify(folder)
    described = read_described(folder)
    if not is_ours(described):
        return _plain(folder, dtype)
    if not is_whole(described):
        raise CheckpointError(
            f"{folder}: holds an alignment layer, not a whole model; train stage 2 first (generate and geometry also "
            "take the layer between its base models)"
        )
    # What has another shape is told of by us, not by an error that points to a report.
    options = {"output_loading_info": True, "dtype": dtype or "auto", "ignore_mismatched_sizes": True}
    model = load_weights(lambda: _from_pretrained(folder, options), str(folder), "--model")
    model.processor = LinguaLiftProcessor.from_pretrained(folder, model.config)
    return model.to(dist.device()).eval()


def load_stage1(folder: Path | str, encoder: str | None = None, llm: str | None = None) -> LinguaLiftForCausalLM:
    """Stage I's alignment layer between base models, those it was trained with, wherever they are now; all in the
    dtype of the layer.

    Raises CheckpointError for a folder that holds no such layer, ModelError for a base model that does not fit it.
    """
    folder = find_folder(folder, stage=1)
    described, _ = read_artefact(folder)
    if described.get("encoder") is None or "config" in described["llm"]:
        raise CheckpointError(f"{folder}: holds no alignment layer by itself; a stage 1 artefact is needed")
    names = {role: name or described[role]["name"] for role, name in (("encoder", encoder), ("llm", llm))}
    configs = {role: read_config(name, f"--{role}") for role, name in names.items()}
    for role, config in configs.items():
        if config.hidden_size != described[role]["width"]:
            raise ModelError(
                f"{names[role]}: is {config.hidden_size} wide, but the alignment layer of {folder} was trained for "
                f"{described[role]['name']}, {described[role]['width']} wide"
            )
    return _joined(folder, described, names, configs)


def find_folder(folder: Path | str, stage: int = 2) -> Path:
    """The folder of a model itself, given it, its stage's or its run's. Raises CheckpointError where there is none."""
    folder = Path(folder)
    for inner in (folder / "artefact", folder / f"stage{stage}/artefact"):
        if inner.is_dir():
            return inner
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such folder; name an exported model, or a run such as runs/NAME")
    if not (folder / "config.json").is_file():
        raise CheckpointError(
            f"{folder}: holds no model: neither config.json nor a finished stage; an exported model, or a run such as "
            "runs/NAME, is needed (export makes one of a checkpoint)"
        )
    return folder


def identity(folder: Path | str) -> str:
    """Tells one model from another, the same for a run and what was exported of it: SHA-256 over the hashes of its
    files, those left out that are for readers."""
    folder = find_folder(folder)
    if not (folder / NAME).is_file():
        return fingerprint(str(folder), None)
    files = {name: entry["sha256"] for name, entry in read_manifest(folder)["files"].items() if name not in BESIDE}
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def read_described(folder: Path) -> dict:
    """config.json of a model's folder. Raises CheckpointError where it cannot be read."""
    path = folder / "config.json"
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
        described.get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path}: cannot be read as a model's configuration ({error})") from None
    return described


def is_ours(described: dict) -> bool:
    """Whether a config.json is of a bridged model, of its alignment layer, or of a text-only model trained here."""
    return described.get("model_type") == LinguaLiftConfig.model_type


def is_whole(described: dict) -> bool:
    """Whether a config.json is of more than an alignment layer."""
    return not is_ours(described) or "config" in (described.get("llm") or {})


def _plain(folder: Path, dtype: torch.dtype | None) -> LinguaLiftForCausalLM:
    llm_config = read_config(str(folder), "--model")
    if llm_class(llm_config) is None:
        raise CheckpointError(
            f"{folder}: holds a model of type {llm_config.model_type!r}, neither a bridged one nor a causal LM"
        )
    tokenizer = read_tokenizer(str(folder), "--model")
    check_tokenizer(tokenizer, str(folder))
    precision = _precision(dtype or llm_config.dtype or torch.float32)
    longest = getattr(llm_config, "max_position_embeddings", None) or LinguaLiftConfig().llm_max_tokens
    llm = load_llm(str(folder), precision, llm_config)
    ends = dict.fromkeys([tokenizer.eos_token_id, *end_ids(llm.generation_config)])  # chat models have several
    special = special_ids(tokenizer) | ({"eos_token_id": list(ends)} if len(ends) > 1 else {})
    config = LinguaLiftConfig(llm_config, llm_max_tokens=longest, precision=precision, **special)
    model = assembled(config, llm)
    model.processor = LinguaLiftProcessor(tokenizer, None, config)
    return model.to(dist.device()).eval()


def _precision(dtype: torch.dtype) -> str:
    return {kind: name for name, kind in DTYPES.items()}.get(dtype, "fp32")


def assembled(
    config: LinguaLiftConfig, llm: PreTrainedModel, encoder: PreTrainedModel | None = None
) -> LinguaLiftForCausalLM:
    """A model of loaded parts; its alignment layer, where it has one, is still without weights."""
    with torch.device("meta"):
        model = LinguaLiftForCausalLM(config)
    model.llm, model.encoder = llm, encoder
    return model


def _from_pretrained(folder: Path, options: dict) -> tuple[LinguaLiftForCausalLM, dict]:
    model, info = LinguaLiftForCausalLM.from_pretrained(folder, **options)
    unfit = [*info.get("mismatched_keys", ()), *info.get("unexpected_keys", ())]
    if unfit:
        raise ValueError(f"tensors that do not fit the model's config: {unfit[0]} ({len(unfit)})")
    return model, info


def _joined(
    folder: Path, described: dict, names: dict[str, str], configs: dict[str, PreTrainedConfig]
) -> LinguaLiftForCausalLM:
    state = {
        name.removeprefix("alignment."): tensor for shard in read_tensors(folder) for name, tensor in shard.items()
    }
    precision = _precision(next(iter(state.values())).dtype)
    tokenizers = {role: read_tokenizer(name, f"--{role}") for role, name in names.items()}
    rows = described["whitespace_rows"]
    added = add_whitespace_tokens(tokenizers["encoder"], configs["encoder"].vocab_size) if rows else {}
    if {str(token): row for token, row in added.items()} != rows:
        raise ModelError(f"{names['encoder']}: its tokenizer is not the one that {folder} was trained with")
    for role, tokenizer in tokenizers.items():
        if described[role]["tokenizer"] != tokenizer_digest(tokenizer):
            raise ModelError(f"{names[role]}: its tokenizer is not the one that {folder} was trained with")
    config = LinguaLiftConfig(**{**described, **configs, "precision": precision}, **special_ids(tokenizers["llm"]))
    model = assembled(
        config,
        load_llm(names["llm"], precision, configs["llm"]),
        load_encoder(names["encoder"], configs["encoder"], precision),
    )
    model.alignment = model.alignment.to_empty(device="cpu").to(DTYPES[precision])
    model.alignment.load_state_dict(state)
    model.processor = LinguaLiftProcessor(tokenizers["llm"], tokenizers["encoder"], config)
    return model.to(dist.device()).eval()
