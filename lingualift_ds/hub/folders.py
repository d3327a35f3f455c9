"""From a folder to a model: whole models, checked to the byte where they have a manifest, and alignment layers and
adapters on their base models."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from lingualift_ds import dist
from lingualift_ds.checkpoint.manifest import NAME, fingerprint, read_manifest, verify
from lingualift_ds.checkpoint.tensors import read_tensors
from lingualift_ds.config.layout import stage_number
from lingualift_ds.data.cache import tokenizer_digest
from lingualift_ds.errors import CheckpointError, ConfigError, ModelError
from lingualift_ds.hub.configuration import LinguaLiftConfig, special_ids
from lingualift_ds.hub.modeling import LinguaLiftForCausalLM, end_ids
from lingualift_ds.hub.processing import LinguaLiftProcessor
from lingualift_ds.model.adapters import add_adapter, is_adapter_weight, load_adapter
from lingualift_ds.model.encoders import load_encoder
from lingualift_ds.model.llms import check_tokenizer, llm_class, load_llm
from lingualift_ds.model.loading import DTYPES, load_weights, read_config, read_tokenizer
from lingualift_ds.model.whitespace import add_whitespace_tokens

BESIDE = ("README.md", "generation_config.json")
"""Files of an exported folder that a run's own has not."""


def load_model(
    folder: Path | str, dtype: torch.dtype | None = None, encoder: str | None = None, llm: str | None = None
) -> LinguaLiftForCausalLM:
    """A model for use, on this process's device: an exported folder, what a run's last stage left, or any causal LM of
    transformers, which reads text alone and has no instruction.

    Where a stage left the alignment layer or an adapter alone, they are put onto the base models that they were trained
    with; `encoder` and `llm` say where these are now. `dtype`: of all parts; None: as they were trained.
    Raises CheckpointError for a folder that holds none or is damaged, ModelError for weights that do not fit,
    ConfigError for base models of a folder that has its own.
    """
    folder = find_folder(folder)
    if (folder / NAME).is_file():
        verify(folder)
    described = read_described(folder)
    moved = {role: name for role, name in (("encoder", encoder), ("llm", llm)) if name is not None}
    if is_ours(described) and not is_whole(described):
        return _on_bases(folder, described, dtype, moved)
    if moved:
        raise ConfigError(f"--{', --'.join(moved)}: {folder} holds its own; for a stage that left no whole model")
    if not is_ours(described):
        return _plain(folder, dtype)
    # What has another shape is told of by us, not by an error that points to a report.
    options = {"output_loading_info": True, "dtype": dtype or "auto", "ignore_mismatched_sizes": True}
    model = load_weights(lambda: _from_pretrained(folder, options), str(folder), "--model")
    model.processor = LinguaLiftProcessor.from_pretrained(folder, model.config)
    return model.to(dist.device()).eval()


def find_folder(folder: Path | str) -> Path:
    """The folder of a model itself, given it, its stage's or its run's, where the last stage that left something is
    meant. Raises CheckpointError where there is none."""
    folder = Path(folder)
    left = [path for path in folder.glob("stage*/artefact") if stage_number(path.parent.name)]
    last = sorted(left, key=lambda path: stage_number(path.parent.name))[-1:]
    for inner in (folder / "artefact", *last):
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
    """Whether a config.json is of more than an alignment layer or an adapter."""
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


def read_adapter(folder: Path) -> dict[str, Tensor]:
    """The weights of an adapter that a folder holds, by their names in the LLM."""
    found = {}
    for shard in read_tensors(folder, "llm."):
        found |= adapter_weights(shard)
    return found


def adapter_weights(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those of an adapter among a bridged model's tensors, by their names in the LLM."""
    return {name.removeprefix("llm."): t for name, t in tensors.items() if is_adapter_weight(name)}


def _on_bases(folder: Path, described: dict, dtype: torch.dtype | None, moved: dict[str, str]) -> LinguaLiftForCausalLM:
    """What was trained alone, put between and onto the base models it was trained with."""
    names = {role: described[role]["name"] for role in ("encoder", "llm") if described.get(role)}
    for role in moved.keys() - names.keys():
        raise ConfigError(f"--{role}: {folder} was trained without one")
    names |= moved
    configs = {role: read_config(name, f"--{role}") for role, name in names.items()}
    for role, config in configs.items():
        if config.hidden_size != described[role]["width"]:
            raise ModelError(
                f"{names[role]}: is {config.hidden_size} wide, but what {folder} holds was trained for "
                f"{described[role]['name']}, {described[role]['width']} wide"
            )
    tokenizers = _tokenizers(folder, described, names, configs)
    for role, config in configs.items() if dist.read_place().is_main else ():  # one rank reads them through
        if fingerprint(names[role], getattr(config, "_commit_hash", None)) != described[role]["fingerprint"]:
            raise ModelError(f"{names[role]}: its weights are not those that {folder} was trained with")
    state = {name: tensor for shard in read_tensors(folder) for name, tensor in shard.items()}
    if not state:
        raise CheckpointError(f"{folder}: holds no weights beside its config.json")
    precision = _precision(dtype or next(iter(state.values())).dtype)
    config = LinguaLiftConfig(**{**described, **configs, "precision": precision}, **special_ids(tokenizers["llm"]))
    encoder = load_encoder(names["encoder"], configs["encoder"], precision) if "encoder" in names else None
    model = assembled(config, load_llm(names["llm"], precision, configs["llm"]), encoder)
    if config.adapter_config is not None:
        add_adapter(model.llm, config.adapter_config)
        load_adapter(model.llm, adapter_weights(state), str(folder))
    if encoder is not None:
        own = {n.removeprefix("alignment."): t for n, t in state.items() if n.startswith("alignment.")}
        model.alignment = model.alignment.to_empty(device="cpu").to(DTYPES[precision])
        model.alignment.load_state_dict(own)
    model.processor = LinguaLiftProcessor(tokenizers["llm"], tokenizers.get("encoder"), config)
    return model.to(dist.device()).eval()


def _tokenizers(
    folder: Path, described: dict, names: dict[str, str], configs: dict[str, PreTrainedConfig]
) -> dict[str, PreTrainedTokenizerBase]:
    """Those of the base models, by role. Raises ModelError for others than there were in training."""
    tokenizers = {role: read_tokenizer(name, f"--{role}") for role, name in names.items()}
    rows = described["whitespace_rows"]
    added = add_whitespace_tokens(tokenizers["encoder"], configs["encoder"].vocab_size) if rows else {}
    if {str(token): row for token, row in added.items()} != rows:
        raise ModelError(f"{names['encoder']}: its tokenizer is not the one that {folder} was trained with")
    for role, tokenizer in tokenizers.items():
        if described[role]["tokenizer"] != tokenizer_digest(tokenizer):
            raise ModelError(f"{names[role]}: its tokenizer is not the one that {folder} was trained with")
    return tokenizers
