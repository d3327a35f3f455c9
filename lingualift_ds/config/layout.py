"""What the data room and the model room must agree on, stated once, below both of them.

The data room leaves a gap in the LLM's input as long as the alignment kind's soft prompt; the model room fills
it. The data room marks positions that predict nothing; the model room leaves them out of the loss.
"""

import re
from dataclasses import dataclass

from lingualift_ds.config.schema import GROUPS, AlignmentConfig

IGNORE = -100
"""The target of a position that predicts nothing; torch's default `ignore_index`."""
TEXT_ALONE = "{text}"
"""What is read of a text where nothing else is said: a template of it."""


@dataclass(frozen=True)
class PromptLayout:
    """Rows of a soft prompt: `begin` boundaries, then one row per encoder token (or `latents`), then `end` ones."""

    begin: int
    end: int
    latents: int | None = None

    def length(self, encoder_tokens: int) -> int:
        """Soft-prompt rows for a text of `encoder_tokens` tokens."""
        return self.begin + (self.latents or encoder_tokens) + self.end


def prompt_layout(alignment: AlignmentConfig) -> PromptLayout:
    """The layout of an alignment kind: linear and latent have an end boundary, ffn has both (method, docs/)."""
    if alignment.kind == "ffn":
        return PromptLayout(begin=1, end=1)
    return PromptLayout(begin=0, end=1, latents=alignment.latents if alignment.kind == "latent" else None)


def usual_prompt(bridged: bool) -> tuple[str, ...]:
    """What the LLM reads between BOS and target where nothing is said, for a model with an encoder or without."""
    return ("soft_prompt", "instruction") if bridged else ("text", "instruction")


def group_meant(entry: str) -> str | None:
    """The freezing group that an entry of `train` is of: itself, or what an expression such as llm.model.* begins with,
    its dots escaped or not; None for one that begins with none."""
    found = re.match(rf"({'|'.join(GROUPS)})(\\?\.|$)", entry)
    return found and found[1]


def stage_number(name: str) -> int | None:
    """The number of a stage by what recipes and run folders call it, such as stage2; None for another name."""
    found = re.fullmatch("stage([1-9][0-9]?)", name)
    return int(found[1]) if found else None
