"""What a stage is, as data: the loop, the model and the engine know nothing of methods.

A recipe states its stages; what it leaves open the stage's kind says. The two stages of LinguaLIFT (arXiv 2412.12499,
section 3) are language-align and then task-transfer; the recipes of other methods are other statements.
"""

import re
from dataclasses import dataclass
from typing import Literal

from lingualift_ds.config.check import check_config
from lingualift_ds.config.layout import TEXT_ALONE, group_meant, usual_prompt
from lingualift_ds.config.schema import GROUPS, AdapterConfig, Config, StageConfig
from lingualift_ds.data.codeswitch import STAGE1_INSTRUCTION
from lingualift_ds.data.records import MATH_INSTRUCTION
from lingualift_ds.errors import ConfigError


@dataclass(frozen=True)
class Kind:
    """What a stage does where its recipe says nothing else."""

    trains: tuple[str, ...]
    """Freezing groups, of a model with an encoder; text alone always trains the LLM."""
    instruction: str
    """Instruction for rows that carry none; {language} is the English name of the row's language."""


KINDS = {
    "language-align": Kind(("alignment",), STAGE1_INSTRUCTION),
    "translation": Kind(("alignment",), "Translate the following {language} sentence to English:"),
    "task-transfer": Kind(("llm",), MATH_INSTRUCTION),
}


LINGUALIFT = {1: KINDS["language-align"], 2: KINDS["task-transfer"]}
"""The two stages of the method, by number."""


@dataclass(frozen=True)
class Stage:
    """What one stage trains, what it tells the LLM, what it starts from, and what it leaves behind."""

    number: int
    name: str
    trains: tuple[str, ...]
    """Freezing groups, and regular expressions that match whole names of parameters."""
    adapter: AdapterConfig | None
    """How the LLM is trained where it is not trained in full."""
    prompt: tuple[str, ...]
    """What the LLM reads between BOS and target, in order."""
    encoder_input: str
    """Template of what the encoder reads."""
    llm_input: str
    """Template of what the LLM reads of the text itself."""
    instruction: str
    """Instruction for rows that carry none."""
    start: int | str | None
    """Stage, or path of an artefact, that it goes on from; None: fresh."""

    @property
    def folder(self) -> str:
        """Its folder in the run folder."""
        return f"stage{self.number}"

    def __str__(self) -> str:
        how = f" (llm by {self.adapter.kind}, rank {self.adapter.rank})" if self.adapter else ""
        before = f"stage {self.start}" if isinstance(self.start, int) else self.start
        return (
            f"stage {self.number}, {self.name}: trains {', '.join(self.trains)}{how}; the LLM reads BOS, "
            f"{', '.join(self.prompt)}, target; starts {f'from {before}' if before else 'fresh'}"
        )

    @property
    def groups(self) -> tuple[str, ...]:
        """Freezing groups that have something trained."""
        return tuple(group for group in GROUPS if any(group_meant(entry) == group for entry in self.trains))

    @property
    def leaves(self) -> Literal["trained", "model"]:
        """What its artefact holds: the alignment layer and the adapter, where nothing else was ever trained, or the
        whole model."""
        small = {"alignment"} | ({"llm"} if self.adapter else set())
        return "trained" if set(self.groups) <= small else "model"


def stage_of(config: Config, number: int) -> Stage:
    """A stage of a run, what its recipe leaves open filled in; `check_stage` says what contradicts itself."""
    settings, bridged = config.stage(number), config.model.encoder is not None
    kind = KINDS[config.kind(number)]
    return Stage(
        number=number,
        name=settings.name or config.kind(number),
        trains=settings.train if settings.train is not None else kind.trains if bridged else ("llm",),
        adapter=settings.adapter,
        prompt=usual_prompt(bridged) if settings.prompt is None else settings.prompt,
        encoder_input=settings.encoder_input,
        llm_input=settings.llm_input,
        instruction=settings.data.instruction or kind.instruction,
        start=_start(config, number),
    )


def check_stage(config: Config, stage: Stage, source: str = "config", files: bool = True) -> None:
    """Raise ConfigError with everything that is impossible or contradicts itself in what a stage is to do, and, where
    `files` are to be there already, with every missing one."""
    settings, bridged = config.stage(stage.number), config.model.encoder is not None
    found = _problems(stage, settings, bridged, config.kind(stage.number))
    check_config(config, stage.number, source, files, [f"{stage.folder}.{problem}" for problem in found])


def find_stage(config: Config, text: str) -> Stage:
    """The stage a user names by number or name. Raises ConfigError."""
    numbers = sorted(config.stages) or [1, 2]
    for number in numbers:
        if text == str(number):
            return stage_of(config, number)
    names = {number: stage_of(config, number).name for number in numbers}
    found = [number for number, name in names.items() if name == text]
    if len(found) == 1:
        return stage_of(config, found[0])
    known = ", ".join(f"{number} ({name})" for number, name in names.items())
    raise ConfigError(f"--stage {text}: {'several are called so' if found else 'no such stage'}; there are: {known}")


def _start(config: Config, number: int) -> int | str | None:
    wanted = config.stage(number).start_from
    if wanted == "scratch" or (wanted == "auto" and number == 1):
        return None
    if wanted != "auto":
        return wanted
    if config.model.encoder is None and (number - 1 not in config.stages or _of_encoder_alone(config, number - 1)):
        return None
    return number - 1


def _of_encoder_alone(config: Config, number: int) -> bool:
    """Whether a stage is one of the encoder's side: a text-only model has nothing of it to go on from."""
    train = config.stage(number).train
    if train is None:
        return config.kind(number) == "language-align"
    return not any(group_meant(entry) == "llm" for entry in train)


def _problems(stage: Stage, settings: StageConfig, bridged: bool, kind: str) -> list[str]:
    problems = _train_problems(stage, settings, bridged, kind)
    if len(set(stage.prompt)) < len(stage.prompt):
        problems.append(f"prompt: {', '.join(stage.prompt)}: names a part twice")
    if bridged and "soft_prompt" not in stage.prompt:
        problems.append("prompt: has no soft_prompt, but model.encoder makes one; add it, or set model.encoder to null")
    if not bridged and "soft_prompt" in stage.prompt:
        problems.append("prompt: soft_prompt, but model.encoder is null: there is none; allowed: instruction, text")
    if not bridged and "text" not in stage.prompt:
        problems.append("prompt: has no text, and without an encoder nothing else reads it")
    if kind != "language-align" and settings.data.codeswitch.lexicons:
        problems.append("data.codeswitch: code-switched text is what language-align is trained on; set kind to that")
    if not bridged and stage.encoder_input != TEXT_ALONE:
        problems.append("encoder_input: stated, but model.encoder is null: nothing reads it")
    if "text" not in stage.prompt and stage.llm_input != TEXT_ALONE:
        problems.append("llm_input: stated, but prompt has no text: nothing reads it; add text to prompt")
    if "instruction" in stage.prompt and "{instruction}" in stage.llm_input:
        problems.append("prompt: has instruction, and llm_input has {instruction}: the LLM would read it twice")
    for key, template in (("encoder_input", stage.encoder_input), ("llm_input", stage.llm_input)):
        unknown = set(re.findall(r"{(\w*)}", template)) - {"text", "instruction"}
        if unknown or template.count("{text}") != 1:
            problems.append(f"{key}: {template!r}: needs {{text}} once, and may have {{instruction}} alone")
    for group in settings.optimizer.groups:
        if group in GROUPS and group not in stage.groups:
            problems.append(
                f"optimizer.groups.{group}: has settings, but stage {stage.number} trains "
                f"{', '.join(stage.groups)} only"
            )
    fresh = bridged and stage.start is None and "alignment" not in stage.groups
    if fresh and settings.start_from != "scratch" and not problems:
        problems.append(
            "start_from: auto, but no stage comes before and this one does not train the alignment layer, which would "
            "stay random; name an artefact, train alignment, or set it to scratch to want it so"
        )
    return problems


def _train_problems(stage: Stage, settings: StageConfig, bridged: bool, kind: str) -> list[str]:
    if not stage.trains:
        return [f"train: empty, nothing would be trained; choose from {', '.join(GROUPS)}"]
    problems = []
    for entry in stage.trains:
        if group_meant(entry) is None:
            problems.append(f"train: {entry!r}: begins with no group; allowed: {', '.join(GROUPS)}, or GROUP.PATTERN")
        elif not _compiles(entry):
            problems.append(f"train: {entry!r}: is no regular expression")
    if not bridged and set(stage.groups) - {"llm"}:
        problems.append(f"train: {', '.join(stage.trains)}, but model.encoder is null: only llm can be trained")
    if not bridged and kind == "language-align" and settings.train is None:
        problems.append("kind: language-align trains the alignment layer, but model.encoder is null: there is none")
    own = [entry for entry in stage.trains if group_meant(entry) == "llm" != entry]
    if stage.adapter and own:
        problems.append(f"train: {', '.join(own)}: beside an adapter the LLM's own weights stay frozen; name llm alone")
    elif stage.adapter and "llm" not in stage.trains:
        problems.append("adapter: stated, but train does not name llm, whose adapter it would be")
    return problems


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True
