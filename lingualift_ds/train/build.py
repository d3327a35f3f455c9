"""Build: config to tokenizers, samples and the bridged model. The one place where model and data meet."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from lingualift_ds.checkpoint.artefact import read_artefact, read_tensors
from lingualift_ds.checkpoint.manifest import fingerprint, read_manifest
from lingualift_ds.config.layout import prompt_layout
from lingualift_ds.config.schema import Config, DataConfig, ModelConfig
from lingualift_ds.data.records import Record, read_records
from lingualift_ds.data.tokenize import Sample, SampleTokenizer
from lingualift_ds.errors import CheckpointError, ConfigError, DataError
from lingualift_ds.log import get_logger
from lingualift_ds.model import llms
from lingualift_ds.model.alignment import AlignmentLayer
from lingualift_ds.model.bridge import BridgedModel
from lingualift_ds.model.encoders import check_encoder, load_encoder
from lingualift_ds.model.loading import DTYPES, read_config, read_tokenizer
from lingualift_ds.model.whitespace import add_whitespace_tokens, drops_whitespace
from lingualift_ds.train.stages import Stage

logger = get_logger(__name__)


@dataclass(frozen=True)
class Sources:
    """What the two base models are, read before anything heavy: configs and tokenizers."""

    llm_config: PreTrainedConfig
    llm_tokenizer: PreTrainedTokenizerBase
    encoder_config: PreTrainedConfig | None
    encoder_tokenizer: PreTrainedTokenizerBase | None
    whitespace_rows: dict[int, int]

    @property
    def tokenizers(self) -> dict[str, PreTrainedTokenizerBase]:
        """By role, as artefacts store them."""
        both = {"llm": self.llm_tokenizer, "encoder": self.encoder_tokenizer}
        return {role: tokenizer for role, tokenizer in both.items() if tokenizer is not None}


def read_sources(model: ModelConfig) -> Sources:
    """Configs and tokenizers of both models, checked against the settings. Raises ModelError, ConfigError."""
    llm_config = read_config(model.llm, "model.llm")
    llm_tokenizer = read_tokenizer(model.llm, "model.llm")
    llms.check_tokenizer(llm_tokenizer, model.llm)
    llms.choose_attention(model.attention, model.precision, llm_config)
    longest = getattr(llm_config, "max_position_embeddings", None)
    if longest and model.llm_max_tokens > longest:
        raise ConfigError(f"model.llm_max_tokens: {model.llm_max_tokens}, but this LLM has {longest} positions")
    if model.encoder is None:
        return Sources(llm_config, llm_tokenizer, None, None, {})
    encoder_config = read_config(model.encoder, "model.encoder")
    check_encoder(encoder_config, model.encoder_max_tokens)
    encoder_tokenizer = read_tokenizer(model.encoder, "model.encoder")
    rows = add_whitespace_tokens(encoder_tokenizer, encoder_config.vocab_size) if model.whitespace_tokens else {}
    if rows:
        logger.info("white space: %d tokens of the encoder's tokenizer borrow embedding rows", len(rows))
    elif model.whitespace_tokens and drops_whitespace(encoder_tokenizer):
        logger.warning("the encoder's tokenizer drops newlines, and its embedding has no spare row to keep them")
    return Sources(llm_config, llm_tokenizer, encoder_config, encoder_tokenizer, rows)


def sample_tokenizer(sources: Sources, model: ModelConfig) -> SampleTokenizer:
    """Both tokenizers with the lengths of the config."""
    return SampleTokenizer(
        llm=sources.llm_tokenizer,
        llm_max_tokens=model.llm_max_tokens,
        encoder=sources.encoder_tokenizer,
        encoder_max_tokens=model.encoder_max_tokens,
        layout=prompt_layout(model.alignment) if sources.encoder_config else None,
        row_of=sources.whitespace_rows,
    )


def read_samples(
    paths: tuple[str, ...], data: DataConfig, stage: Stage, tokenizer: SampleTokenizer, limit: int | None = None
) -> list[Sample]:
    """The usable samples of the files, in order, the first `limit` of them; what was dropped or shortened is said.

    Among several files an id is told by its file too. Raises DataError: unreadable rows, or no usable row at all.
    """
    dropped: Counter = Counter()
    samples = []
    for sample in tokenizer.samples(_records(paths, data, stage), dropped):
        samples.append(sample)
        if len(samples) == limit:
            break
    names = ", ".join(paths)
    for reason, count in sorted(dropped.items()):
        logger.warning("%s: %d rows %s", names, count, reason)
    if not samples:
        raise DataError(f"{names}: no usable row: {dict(dropped) or 'there are none'}; each needs a text and a target")
    repeated = [i for i, n in Counter(s.id for s in samples).items() if n > 1]
    if repeated:
        raise DataError(f"{names}: id {repeated[0]!r} is given to more than one row ({len(repeated)} such ids)")
    return samples


def _records(paths: tuple[str, ...], data: DataConfig, stage: Stage) -> Iterator[Record]:
    for path in paths:
        for record in read_records(path, data.shape, data.instruction or stage.instruction):
            yield replace(record, id=f"{path}:{record.id}") if len(paths) > 1 else record


def handover_folder(config: Config, stage: Stage) -> Path | None:
    """The artefact that this stage takes its alignment layer from; None where it starts fresh or has none."""
    wanted = config.stage(stage.number).start_from
    if config.model.encoder is None or wanted == "scratch" or (wanted == "auto" and stage.inherits_from is None):
        return None
    return Path(wanted if wanted != "auto" else f"{config.run.output}/stage{stage.inherits_from}/artefact")


def handover_id(config: Config, stage: Stage) -> str | None:
    """SHA-256 over the weight files that are handed over, as their manifest has it; None without a handover."""
    folder = handover_folder(config, stage)
    if folder is None or not folder.is_dir():
        return None
    files = read_manifest(folder)["files"]
    return ",".join(files[name]["sha256"] for name in sorted(files) if name.endswith(".safetensors"))


def read_handover(config: Config, stage: Stage, sources: Sources) -> tuple[dict[str, Tensor] | None, str | None]:
    """The alignment layer's weights that this stage starts from, and their id; None where it starts fresh.

    Raises CheckpointError: no artefact, a damaged one, or one of other models or of another alignment kind.
    """
    settings, folder = config.stage(stage.number), handover_folder(config, stage)
    if folder is None:
        if sources.encoder_config is None and settings.start_from != "auto":
            logger.warning("start_from: %s is not used: this model has no alignment layer", settings.start_from)
        elif sources.encoder_config is not None and "alignment" not in stage.trained(settings):
            logger.warning("the alignment layer is fresh and %s does not train it: it stays random", stage.folder)
        return None, None
    if not folder.is_dir():
        raise CheckpointError(
            f"{folder}: no such artefact; run --stage {stage.inherits_from} first, or set "
            f"{stage.folder}.start_from to an artefact's folder or to scratch"
        )
    theirs, _ = read_artefact(folder)
    check_handover(folder, theirs, artefact_config(config, sources))
    tensors = {
        k.removeprefix("alignment."): v for shard in read_tensors(folder, "alignment.") for k, v in shard.items()
    }
    logger.info("alignment layer taken over from %s (%s)", folder, config.model.alignment.kind)
    return tensors, handover_id(config, stage)


def build_model(config: Config, sources: Sources, handover: dict[str, Tensor] | None) -> BridgedModel:
    """The bridged model with its weights: base models from their files, the alignment layer fresh or handed over.

    Call it inside the engine's loading context: under ZeRO-3 the base models arrive as partitions. The
    alignment layer is small and is loaded whole, before anything partitions it.
    """
    model = config.model
    attention, reason = llms.choose_attention(model.attention, model.precision, sources.llm_config)
    logger.info("attention of the LLM: %s (%s)", attention, reason)
    torch.manual_seed(config.run.seed)
    encoder = alignment = None
    if sources.encoder_config is not None:
        alignment = AlignmentLayer(
            model.alignment, sources.encoder_config.hidden_size, sources.llm_config.hidden_size
        ).to(DTYPES[model.precision])
        if handover is not None:
            alignment.load_state_dict(handover, strict=True)
        encoder = load_encoder(model.encoder, sources.encoder_config, model.precision)
    llm = llms.load_llm(model.llm, model.precision, attention)
    if model.activation_checkpointing:
        llms.checkpoint_activations(llm)
    return BridgedModel(llm, encoder, alignment)


def check_handover(folder: Path, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    """Raise CheckpointError where an artefact was made with another encoder, LLM or alignment kind."""
    for what in ("alignment", "encoder", "llm"):
        for key, expected in (ours[what] or {}).items():
            found = (theirs.get(what) or {}).get(key)
            if key != "name" and found != expected:
                raise CheckpointError(
                    f"{folder}: was made with another {what}: {key} {found!r} of {theirs[what].get('name', what)}, "
                    f"this run has {expected!r} of {ours[what].get('name', what)}"
                )
    if theirs.get("whitespace_rows") != ours["whitespace_rows"]:
        raise CheckpointError(f"{folder}: was made with other white-space tokens; set model.whitespace_tokens as there")


def artefact_config(config: Config, sources: Sources) -> dict[str, Any]:
    """What an alignment artefact records of the models it belongs to."""
    model = config.model

    def identity(name: str, source: PreTrainedConfig) -> dict[str, Any]:
        commit = getattr(source, "_commit_hash", None)
        return {"name": name, "width": source.hidden_size, "fingerprint": fingerprint(name, commit)}

    return {
        "model_type": "lingualift",
        "alignment": {"kind": model.alignment.kind, "latents": model.alignment.latents},
        "encoder": None if model.encoder is None else identity(model.encoder, sources.encoder_config),
        "llm": identity(model.llm, sources.llm_config),
        "encoder_max_tokens": model.encoder_max_tokens,
        "llm_max_tokens": model.llm_max_tokens,
        "whitespace_rows": {str(i): row for i, row in sources.whitespace_rows.items()},
    }


def model_config(config: Config, sources: Sources) -> dict[str, Any]:
    """config.json of a whole model: the artefact's, with both models' configs inside."""
    whole = artefact_config(config, sources)
    for role, source in (("encoder", sources.encoder_config), ("llm", sources.llm_config)):
        if source is not None:
            whole[role]["config"] = source.to_dict()
    whole["precision"] = config.model.precision
    return whole
