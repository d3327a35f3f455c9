"""The stages, as data. The loop, the model and the engine know nothing of them.

Source: LinguaLIFT (arXiv 2412.12499), section 3; settings such as learning rates stand in the recipes.
"""

from dataclasses import dataclass
from typing import Literal

from lingualift_ds.config.schema import StageConfig
from lingualift_ds.data.codeswitch import STAGE1_INSTRUCTION
from lingualift_ds.data.records import MATH_INSTRUCTION
from lingualift_ds.errors import ConfigError


@dataclass(frozen=True)
class Stage:
    """What one stage trains, what it tells the LLM, what it starts from, and what it leaves behind."""

    number: int
    name: str
    trains: tuple[str, ...]
    """Freezing groups that are trained, unless the config says otherwise."""
    instruction: str
    """Instruction for rows that carry none; {language} is the English name of the row's language."""
    inherits_from: int | None
    """The stage whose alignment layer it takes over; None: a fresh layer."""
    leaves: Literal["alignment", "model"]
    """What its artefact holds."""

    @property
    def folder(self) -> str:
        """Its folder in the run folder."""
        return f"stage{self.number}"

    def trained(self, settings: StageConfig) -> tuple[str, ...]:
        """Freezing groups that a run trains: the config's, or else the stage's own.

        Raises ConfigError where something would be trained that the stage's artefact does not hold.
        """
        trained = self.trains if settings.train is None else settings.train
        if self.leaves == "alignment" and set(trained) != {"alignment"}:
            raise ConfigError(
                f"{self.folder}.train: {', '.join(trained)}, but stage {self.number} hands over the alignment layer "
                "alone, and the rest would be lost; allowed: alignment"
            )
        for group in settings.optimizer.groups:
            if group not in trained:
                raise ConfigError(
                    f"{self.folder}.optimizer.groups.{group}: has settings, but stage {self.number} trains "
                    f"{', '.join(trained)} only"
                )
        return trained


LANGUAGE_ALIGN = Stage(
    number=1,
    name="language-align",
    trains=("alignment",),
    instruction=STAGE1_INSTRUCTION,
    inherits_from=None,
    leaves="alignment",
)
TASK_TRANSFER = Stage(
    number=2,
    name="task-transfer",
    trains=("llm",),
    instruction=MATH_INSTRUCTION,
    inherits_from=1,
    leaves="model",
)
STAGES = {stage.number: stage for stage in (LANGUAGE_ALIGN, TASK_TRANSFER)}


def find_stage(text: str) -> Stage:
    """The stage a user names by number or name. Raises ConfigError."""
    for stage in STAGES.values():
        if text in (str(stage.number), stage.name):
            return stage
    known = ", ".join(f"{s.number} ({s.name})" for s in STAGES.values())
    raise ConfigError(f"--stage {text}: no such stage; there are: {known}")
