"""The configuration of a bridged model: those of its encoder and its LLM, and what joins them."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from transformers import AutoConfig, PreTrainedConfig, PreTrainedTokenizerBase

from lingualift_ds.config.layout import TEXT_ALONE, usual_prompt
from lingualift_ds.config.schema import AdapterConfig, AlignmentConfig
from lingualift_ds.errors import CheckpointError

_PRECISIONS = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}


class LinguaLiftConfig(PreTrainedConfig):
    """Read from and written to the config.json that a stage hands over.

    Attributes:
        llm, encoder: transformers configurations; `encoder` is None for a model of text alone.
        sources: role -> what is known of the base model: its name and fingerprints.
        alignment: kind of the alignment layer, its latents, and which encoder layers it reads.
        adapter: LoRA or DoRA of the LLM that is not merged into it: kind, rank, alpha, dropout, targets; None without.
        instruction: what the LLM is told where nothing else is said.
        prompt: what the LLM reads between BOS and answer, in order: soft_prompt, instruction, text. Folders of before
            it was stated have the usual one, see `usual_prompt`.
        encoder_input, llm_input: templates of what the encoder reads, and of what the LLM reads of the text itself.
        llm_max_tokens, encoder_max_tokens: longest inputs that the model was trained on.
        whitespace_rows: token id of the encoder's tokenizer -> embedding row it borrows.
    """

    model_type = "lingualift"
    sub_configs = {"llm": AutoConfig, "encoder": AutoConfig}  # noqa: RUF012
    has_no_defaults_at_init = True

    def __init__(
        self,
        llm: dict[str, Any] | PreTrainedConfig | None = None,
        encoder: dict[str, Any] | PreTrainedConfig | None = None,
        alignment: dict[str, Any] | None = None,
        adapter: dict[str, Any] | None = None,
        instruction: str = "",
        prompt: Sequence[str] | None = None,
        encoder_input: str = TEXT_ALONE,
        llm_input: str = TEXT_ALONE,
        llm_max_tokens: int = 1280,
        encoder_max_tokens: int = 1024,
        whitespace_rows: dict[str, int] | None = None,
        precision: str = "fp32",
        **others: Any,
    ):
        self.sources: dict[str, dict[str, Any]] = {}
        self.llm, self.encoder = self._part("llm", llm), self._part("encoder", encoder)
        self.alignment = alignment or {}
        self.adapter = adapter
        self.instruction = instruction
        self.prompt = list(prompt or usual_prompt(self.encoder is not None))
        self.encoder_input, self.llm_input = encoder_input, llm_input
        self.llm_max_tokens, self.encoder_max_tokens = llm_max_tokens, encoder_max_tokens
        self.whitespace_rows = {int(token): row for token, row in (whitespace_rows or {}).items()}
        super().__init__(**{"dtype": _PRECISIONS[precision], **others})
        _register_model()
        # Embeddings that an LLM shares with its head are the LLM's affair.
        self.tie_word_embeddings = False

    def _part(self, role: str, described: dict[str, Any] | PreTrainedConfig | None) -> PreTrainedConfig | None:
        if not isinstance(described, dict):
            return described
        facts = dict(described)
        if "config" not in facts:
            raise CheckpointError(
                "this folder holds what was trained beside base models, not a whole model; "
                "lingualift_ds.hub.load_model puts it onto them"
            )
        config = facts.pop("config")
        self.sources[role] = facts
        return AutoConfig.for_model(**config)

    @property
    def alignment_config(self) -> AlignmentConfig:
        """The alignment layer's settings."""
        return AlignmentConfig(**self.alignment)

    @property
    def adapter_config(self) -> AdapterConfig | None:
        """The adapter's settings; None without one."""
        return adapter_of({"adapter": self.adapter})

    def get_text_config(self, decoder: bool | None = None, encoder: bool | None = None) -> PreTrainedConfig:
        """The LLM's: what generation, caches and embeddings are made by."""
        return self.llm

    def to_dict(self) -> dict[str, Any]:
        """As config.json holds it."""
        values = super().to_dict()
        sources = values.pop("sources", {})
        for role in ("llm", "encoder"):
            part = getattr(self, role)
            values[role] = None if part is None else {**sources.get(role, {}), "config": described(part)}
        values["whitespace_rows"] = {str(token): row for token, row in self.whitespace_rows.items()}
        values.pop("_name_or_path", None)
        values["precision"] = {long: short for short, long in _PRECISIONS.items()}.get(_name(self.dtype), "fp32")
        return values

    def to_diff_dict(self) -> dict[str, Any]:
        """The same: there is no usual model to differ from."""
        return self.to_dict()


def adapter_of(described: Mapping[str, Any]) -> AdapterConfig | None:
    """The adapter that a config.json states, not merged into its LLM; None without one."""
    stated = described.get("adapter")
    return AdapterConfig(**stated | {"targets": tuple(stated["targets"])}) if stated else None


def special_ids(tokenizer: PreTrainedTokenizerBase) -> dict[str, int | None]:
    """The LLM's special tokens, as the configuration has them."""
    return {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}


def described(config: PreTrainedConfig) -> dict[str, Any]:
    """A base model's configuration for a config.json, without its place on the machine of whoever saved it."""
    return {name: value for name, value in config.to_dict().items() if name != "_name_or_path"}


@cache
def _register_model() -> None:
    """Make the Auto class know the model: not before there is a configuration to make one of, because its modules
    import those of transformers that import this one."""
    from transformers import AutoModelForCausalLM

    from lingualift_ds.hub.modeling import LinguaLiftForCausalLM

    AutoModelForCausalLM.register(LinguaLiftConfig, LinguaLiftForCausalLM, exist_ok=True)


def _name(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")


AutoConfig.register(LinguaLiftConfig.model_type, LinguaLiftConfig, exist_ok=True)
