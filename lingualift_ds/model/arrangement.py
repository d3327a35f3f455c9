"""How each module reads its input: packed or padded, and with which attention kernel; decided and applied here."""

from dataclasses import dataclass

from transformers import PreTrainedConfig, PreTrainedModel

from lingualift_ds.config.schema import ModelConfig
from lingualift_ds.errors import ConfigError
from lingualift_ds.model import llms
from lingualift_ds.model.attention import PACKED, attention_choices
from lingualift_ds.model.encoders import encoder_class, packing_obstacle


@dataclass(frozen=True)
class Arrangement:
    """One module's choice, and why."""

    packed: bool
    kernel: str
    reason: str

    def __str__(self) -> str:
        return f"{'packed' if self.packed else 'padded'}, attention {self.kernel} ({self.reason})"


def arrange_llm(model: ModelConfig, config: PreTrainedConfig, packed: bool) -> list[Arrangement]:
    """What the LLM may be tried with, the fastest first; padded in spite of `packed` where it cannot.

    Raises ConfigError for an attention kernel or a packing asked for that cannot work here.
    """
    obstacle = _checked("llm", model.packing.llm, llms.packing_obstacle(config, model.llm_max_tokens))
    kind, wanted = llms.llm_class(config), model.attention.llm
    choices = attention_choices("model.attention.llm", wanted, model.precision, config, kind, packed and not obstacle)
    return _arrangements(choices, packed, obstacle)


def arrange_encoder(model: ModelConfig, config: PreTrainedConfig, packed: bool) -> list[Arrangement]:
    """The encoder's, likewise."""
    kind, wanted = encoder_class(config), model.attention.encoder
    obstacle = packing_obstacle(config)
    if wanted == "eager" and not obstacle:
        obstacle = "eager attention would see the other texts of its row"
    _checked("encoder", model.packing.encoder, obstacle)
    choices = attention_choices(
        "model.attention.encoder", wanted, model.precision, config, kind, packed and not obstacle, flash=False
    )
    return _arrangements(choices, packed, obstacle)


def _checked(name: str, wanted: str, obstacle: str) -> str:
    if obstacle and wanted == "on":
        raise ConfigError(f"model.packing.{name}: on, but {obstacle}; allowed: auto, off")
    return obstacle


def _arrangements(choices: list[tuple[str, str]], packed: bool, obstacle: str) -> list[Arrangement]:
    said = f"; {obstacle}" if packed and obstacle else ""
    return [Arrangement(packed and not obstacle, kernel, reason + said) for kernel, reason in choices]


def padded_reference(kind: type[PreTrainedModel]) -> Arrangement:
    """One sample a row under transformers' own attention: how a model is meant to be read."""
    kernel = "sdpa" if getattr(kind, "_supports_sdpa", False) else "eager"
    return Arrangement(False, kernel, "the reference")


def use(module: PreTrainedModel, arrangement: Arrangement) -> None:
    """Let a loaded model compute attention so from its next call on."""
    kernel = PACKED.get(arrangement.kernel, arrangement.kernel) if arrangement.packed else arrangement.kernel
    for part in module.modules():
        if isinstance(getattr(part, "config", None), PreTrainedConfig):
            # Stacks of T5 kinds hold a config of their own, a copy of the whole model's.
            part.config._attn_implementation = kernel
