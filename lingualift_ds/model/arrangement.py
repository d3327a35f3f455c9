"""How each module reads its input: packed or padded, and with which attention kernel; decided and applied here."""

from dataclasses import dataclass

from transformers import PreTrainedConfig, PreTrainedModel

from lingualift_ds.config.schema import ModelConfig
from lingualift_ds.errors import ConfigError
from lingualift_ds.model.attention import PACKED, choose_attention
from lingualift_ds.model.encoders import encoder_class, packing_obstacle
from lingualift_ds.model.llms import llm_class


@dataclass(frozen=True)
class Arrangement:
    """One module's choice, and why."""

    packed: bool
    kernel: str
    reason: str

    def __str__(self) -> str:
        return f"{'packed' if self.packed else 'padded'}, attention {self.kernel} ({self.reason})"


def arrange_llm(model: ModelConfig, config: PreTrainedConfig, packed: bool) -> Arrangement:
    """The LLM's arrangement. Raises ConfigError for an attention kernel that cannot work so."""
    kind, wanted = llm_class(config), model.attention.llm
    return Arrangement(packed, *choose_attention("model.attention.llm", wanted, model.precision, config, kind, packed))


def arrange_encoder(model: ModelConfig, config: PreTrainedConfig, packed: bool) -> Arrangement:
    """The encoder's, likewise; padded in spite of `packed` where the encoder cannot. Raises ConfigError."""
    kind, wanted = encoder_class(config), model.attention.encoder
    obstacle = packing_obstacle(config)
    if wanted == "eager" and not obstacle:
        obstacle = "eager attention would see the other texts of its row"
    if obstacle and model.packing.encoder == "on":
        raise ConfigError(f"model.packing.encoder: on, but {obstacle}; allowed: auto, off")
    kernel, reason = choose_attention(
        "model.attention.encoder", wanted, model.precision, config, kind, packed and not obstacle, flash=False
    )
    return Arrangement(packed and not obstacle, kernel, f"{reason}; {obstacle}" if packed and obstacle else reason)


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
