"""Build: config to tokenizers, samples and the bridged model. The one place where model and data meet."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from lingualift_ds import dist
from lingualift_ds.config.batch import plan_batch
from lingualift_ds.config.ds_json import zero_level
from lingualift_ds.config.layout import prompt_layout
from lingualift_ds.config.planning import auto_recompute, setup_of
from lingualift_ds.config.schema import AdapterConfig, Config, ModelConfig
from lingualift_ds.data.cache import prepared_samples, samples_by_epoch, tokenizer_digest
from lingualift_ds.data.codeswitch import Stage1Maker
from lingualift_ds.data.loader import steps_by_epoch
from lingualift_ds.data.prepared import SampleList, Samples
from lingualift_ds.data.rows import RISES_UNSEEN, Rows, SwitchedRows, stage1_maker
from lingualift_ds.data.tokenize import SampleTokenizer
from lingualift_ds.errors import ConfigError
from lingualift_ds.hub.configuration import described, special_ids
from lingualift_ds.hub.folders import read_adapter
from lingualift_ds.log import get_logger
from lingualift_ds.model import llms
from lingualift_ds.model.adapters import add_adapter, load_adapter
from lingualift_ds.model.alignment import AlignmentLayer
from lingualift_ds.model.arrangement import arrange_encoder, arrange_llm
from lingualift_ds.model.bridge import BridgedModel
from lingualift_ds.model.encoders import check_encoder, let_pack, load_encoder, states_per_token
from lingualift_ds.model.loading import DTYPES, read_config, read_tokenizer
from lingualift_ds.model.whitespace import add_whitespace_tokens, drops_whitespace
from lingualift_ds.train.hashes import source_fingerprint
from lingualift_ds.train.inherit import Handover
from lingualift_ds.train.placement import Placement, place_frozen
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


def check_arrangement(model: ModelConfig, sources: Sources) -> None:
    """Raise ConfigError for attention or packing asked for that cannot work on this machine; before weights load."""
    arrange_llm(model, sources.llm_config, model.packing.llm != "off")
    if sources.encoder_config is not None:
        arrange_encoder(model, sources.encoder_config, model.packing.encoder != "off")


def sample_tokenizer(sources: Sources, model: ModelConfig, stage: Stage) -> SampleTokenizer:
    """Both tokenizers with the lengths of the config, and what the stage has encoder and LLM read."""
    return SampleTokenizer(
        llm=sources.llm_tokenizer,
        llm_max_tokens=model.llm_max_tokens,
        encoder=sources.encoder_tokenizer,
        encoder_max_tokens=model.encoder_max_tokens,
        layout=prompt_layout(model.alignment) if sources.encoder_config else None,
        row_of=sources.whitespace_rows,
        prompt=stage.prompt,
        encoder_input=stage.encoder_input,
        llm_input=stage.llm_input,
    )


def read_maker(config: Config, stage: Stage) -> Stage1Maker | None:
    """What makes this stage's samples of English, its lexicons read; None where its files hold records.

    Raises ConfigError for settings that contradict the lexicons; DataError for a lexicon.
    """
    settings = config.stage(stage.number).data.codeswitch
    if not settings.lexicons:
        return None
    return stage1_maker(settings, config.run.seed, f"{stage.folder}.data.codeswitch")


def read_samples(
    config: Config, stage: Stage, sources: Sources, maker: Stage1Maker | None = None
) -> tuple[Samples, Samples]:
    """Training and held-out samples of a stage, in the order of their files; what was dropped or shortened is said.
    Code-switched where `maker` is given: the training samples of every epoch that the run goes through, the held-out
    ones as of epoch 0.

    Tokenised where run.cache does not hold them yet. Raises DataError: unreadable rows, or no usable row at all;
    ConfigError: a cache that cannot be written.
    """
    settings = config.stage(stage.number)
    data, cache = settings.data, Path(config.run.cache)
    tokenizer = sample_tokenizer(sources, config.model, stage)
    if maker is None:
        heldout = Rows(data.heldout, data.shape, stage.instruction, columns=data.columns)
        rows = replace(heldout, paths=data.train, limit=data.limit, languages=data.languages, mix=data.mix)
        train = prepared_samples(rows, tokenizer, cache)
    else:
        rows = SwitchedRows(data.train, maker, 0, data.english_field, data.instruction, data.limit)
        heldout = replace(rows, paths=data.heldout, limit=None)
        train = samples_by_epoch(rows, tokenizer, cache)
        if maker.switcher.ratio.rising and data.order != "file":
            logger.warning(RISES_UNSEEN)
        # Now, so that no GPU waits for an epoch to be prepared. The steps are the same on any number of ranks.
        batch = plan_batch(settings.batch, 1)
        steps_by_epoch(train, batch, config.run.seed, data.order, settings.epochs, settings.steps)
    if not data.heldout:
        return train, SampleList([])
    return train, prepared_samples(heldout, tokenizer, cache)


@dataclass(frozen=True)
class Plan:
    """What follows from the memory there is: where frozen weights live, and how many LLM layers are recomputed."""

    placements: dict[str, Placement]
    recomputed_layers: int
    why_recomputed: str

    @property
    def resident(self) -> list[str]:
        """Frozen parts that are whole on every rank."""
        return [part for part, placement in self.placements.items() if placement.resident]


def plan_model(config: Config, stage: Stage, sources: Sources, ds_config: dict[str, Any], world_size: int) -> Plan:
    """Settings that are `auto`, from the memory plan and this rank's GPU. Raises ConfigError."""
    settings, model, gpu_memory = config.stage(stage.number), config.model, dist.gpu_memory()
    trained, zero = stage.groups, zero_level(ds_config)
    parts = ("llm",) if sources.encoder_config is None else ("encoder", "llm")
    frozen = [part for part in parts if part not in trained]
    encoder = sources.encoder_config and sources.encoder_config.to_dict()
    setup = None
    try:
        llm = sources.llm_config.to_dict()
        setup = setup_of(config, stage.number, trained, ds_config, world_size, llm, encoder, gpu_memory is not None)
    except ConfigError as error:
        logger.warning("memory: not planned: %s", error)
    every, wanted = sources.llm_config.num_hidden_layers, model.activation_checkpointing
    placements = place_frozen(settings, frozen, setup, zero, gpu_memory, wanted == "auto")
    if wanted != "auto":
        layers, why = {"none": 0, "all": every}.get(wanted, wanted), "asked for"
    elif setup is None:
        can = gpu_memory is not None and llms.can_recompute(sources.llm_config)
        layers, why = (every, "models of this kind cannot be planned") if can else (0, "")
    else:
        modes = {part: "resident" if placement.resident else "sharded" for part, placement in placements.items()}
        layers, why = auto_recompute(replace(setup, sharding=modes), gpu_memory)
    return Plan(placements, layers, why)


def build_model(
    config: Config,
    sources: Sources,
    handover: Handover | None,
    plan: Plan,
    loading: Callable[[], AbstractContextManager],
    adapter: AdapterConfig | None = None,
) -> BridgedModel:
    """The bridged model with its weights: base models from their files or from what is handed over, the alignment layer
    fresh or handed over.

    `loading` gives the engine's loading context, in which base models arrive as partitions under ZeRO-3; those that
    the plan keeps resident are loaded outside of it. The alignment layer and the LLM's `adapter`, fresh or handed over,
    are small and are loaded whole, before anything partitions them.
    """
    model = config.model
    load_in = {part: nullcontext if part in plan.resident else loading for part in ("encoder", "llm")}
    encoder = alignment = None
    if sources.encoder_config is not None:
        alignment = build_alignment(config, sources, handover)
        with load_in["encoder"]():
            name = part_of(handover, "encoder") or model.encoder
            encoder = load_encoder(name, sources.encoder_config, model.precision, bool(part_of(handover, "encoder")))
        let_pack(encoder)
    with load_in["llm"]():
        name = part_of(handover, "llm") or model.llm
        llm = llms.load_llm(name, model.precision, sources.llm_config, bool(part_of(handover, "llm")))
        if adapter is not None:
            add_adapter(llm, adapter, config.run.seed)
    if handover is not None and handover.adapter is not None:
        load_adapter(llm, read_adapter(handover.folder), str(handover.folder))
    if plan.recomputed_layers:
        done = llms.checkpoint_activations(llm, plan.recomputed_layers)
        every = sources.llm_config.num_hidden_layers
        logger.info("activation checkpointing: %d of the LLM's %d layers (%s)", done, every, plan.why_recomputed)
    return BridgedModel(llm, encoder, alignment)


def part_of(handover: Handover | None, part: str) -> str | None:
    """The artefact that holds the weights of the encoder or the LLM; None where the base model's are taken."""
    return str(handover.folder) if handover is not None and part in handover.parts else None


def build_alignment(config: Config, sources: Sources, handover: Handover | None) -> AlignmentLayer:
    """The alignment layer on the CPU, handed over or, from the run's seed alone, fresh."""
    model = config.model
    torch.manual_seed(config.run.seed)
    encoder = sources.encoder_config
    known = states_per_token(encoder)
    layer = AlignmentLayer(model.alignment, encoder.hidden_size, sources.llm_config.hidden_size, known)
    layer = layer.to(DTYPES[model.precision])
    if handover is not None and handover.alignment is not None:
        layer.load_state_dict(handover.alignment, strict=True)
    return layer


def artefact_config(config: Config, sources: Sources) -> dict[str, Any]:
    """What an alignment artefact records of the models it belongs to."""
    model = config.model

    def identity(name: str, source: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
        commit = getattr(source, "_commit_hash", None)
        return {
            "name": name,
            "width": source.hidden_size,
            "fingerprint": source_fingerprint(name, commit, Path(config.run.cache)),
            "tokenizer": tokenizer_digest(tokenizer),
        }

    encoder = sources.encoder_config and identity(model.encoder, sources.encoder_config, sources.encoder_tokenizer)

    return {
        "model_type": "lingualift",
        "alignment": asdict(model.alignment),
        "encoder": encoder,
        "llm": identity(model.llm, sources.llm_config, sources.llm_tokenizer),
        "encoder_max_tokens": model.encoder_max_tokens,
        "llm_max_tokens": model.llm_max_tokens,
        "whitespace_rows": {str(i): row for i, row in sources.whitespace_rows.items()},
    }


def model_config(config: Config, sources: Sources) -> dict[str, Any]:
    """config.json of a whole model: the artefact's, with both models' configs inside."""
    whole = artefact_config(config, sources)
    for role, source in (("encoder", sources.encoder_config), ("llm", sources.llm_config)):
        if source is not None:
            whole[role]["config"] = described(source)
    whole["precision"] = config.model.precision
    whole["architectures"] = ["LinguaLiftForCausalLM"]
    return whole | special_ids(sources.llm_tokenizer)
