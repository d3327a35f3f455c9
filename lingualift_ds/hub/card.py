"""The model card: README.md of an exported model, in the hub's format; it says what is known and nothing else."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lingualift_ds.config.layout import usual_prompt
from lingualift_ds.config.schema import Config
from lingualift_ds.data.languages import language_name
from lingualift_ds.errors import DataError

_BRIDGED = """\
A multilingual encoder is bridged into an English-centric LLM by a language alignment layer, as LinguaLIFT does
([arXiv 2412.12499](https://arxiv.org/abs/2412.12499)): what the encoder reads, in any language, the LLM gets as a soft
prompt."""
_LINGUALIFT = """\
Stage I trained the layer alone, on English text with words replaced from bilingual lexicons; Stage II froze it and
trained the LLM on English instructions. The encoder was never trained."""
_TEXT_ALONE = "The LLM alone, trained on instructions without an encoder."
_LAYER_ALONE = """\
The language alignment layer by itself (LinguaLIFT, [arXiv 2412.12499](https://arxiv.org/abs/2412.12499)): it belongs
between the two base models below, which are not in this folder."""


@dataclass(frozen=True)
class CardFacts:
    """What a card tells beside the model's own configuration.

    Attributes:
        name: the model's.
        configs: stage number -> what the stage was run with.
        trained: stage number -> the parts that it trained.
        languages: codes of the languages in Stage I's data.
        licence: an identifier of the hub's, such as apache-2.0; None where nobody said one.
        results: folders of `lingualift-ds evaluate`.
    """

    name: str
    configs: Mapping[int, Config] = field(default_factory=dict)
    trained: Mapping[int, Sequence[str]] = field(default_factory=dict)
    languages: Sequence[str] = ()
    licence: str | None = None
    results: Sequence[Path] = ()


def model_card(described: Mapping[str, Any], facts: CardFacts) -> str:
    """README.md. `described`: the model's config.json. Raises DataError for a folder that holds no results."""
    scores = {path: _read_scores(path) for path in facts.results}
    parts = [f"# {facts.name}", _method(described, facts), _models(described), _data(facts), _settings(facts)]
    parts += [_scores(found) for found in scores.values()]
    parts += [_use(described), "Made with lingualift_ds, on DeepSpeed."]
    return _head(described, facts) + "\n\n".join(part for part in parts if part) + "\n"


def _head(described: Mapping[str, Any], facts: CardFacts) -> str:
    bases = [described[role]["name"] for role in ("llm", "encoder") if described.get(role)]
    hub_names = [name for name in bases if _on_hub(name)]
    values: dict[str, Any] = {"license": facts.licence or "other"}
    if facts.licence is None:
        values["license_name"] = "not-stated"
    values |= {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "language": ["en", *[code for code in facts.languages if code != "en"]],
        "tags": ["lingualift", *(["multilingual"] if described.get("encoder") else []), "reasoning"],
    }
    if hub_names:
        values["base_model"] = hub_names
    return f"---\n{yaml.safe_dump(values, sort_keys=False, allow_unicode=True)}---\n\n"


def _method(described: Mapping[str, Any], facts: CardFacts) -> str:
    if "config" not in described["llm"]:
        return _LAYER_ALONE
    if not described.get("encoder"):
        return _TEXT_ALONE
    done = {number: (config.kind(number), tuple(facts.trained[number])) for number, config in facts.configs.items()}
    as_in_paper = done == {1: ("language-align", ("alignment",)), 2: ("task-transfer", ("llm",))}
    return f"{_BRIDGED}\n\n{_LINGUALIFT}" if as_in_paper else _BRIDGED


def _models(described: Mapping[str, Any]) -> str:
    rows = ["| part | base model | fingerprint |", "| --- | --- | --- |"]
    for role in ("encoder", "llm"):
        if described.get(role):
            rows.append(f"| {role} | `{_short(described[role]['name'])}` | `{described[role]['fingerprint'][:23]}` |")
    kind, layers = described["alignment"]["kind"], described["alignment"].get("layers", "last")
    kind += ", reading all encoder layers" if layers == "all" else ""
    if described.get("encoder"):
        rows.append(f"| alignment layer | {kind} | |")
    return "## Models\n\n" + "\n".join(rows)


def _data(facts: CardFacts) -> str:
    lines = []
    for number, config in sorted(facts.configs.items()):
        data = config.stage(number).data
        files = ", ".join(f"`{Path(path).name}`" for path in data.train) or "not stated"
        lines.append(f"- Stage {number}: {files}")
        if data.codeswitch.lexicons:
            lexicons = ", ".join(f"`{Path(path).name}`" for path in data.codeswitch.lexicons)
            lines.append(f"  switched while training, ratio {data.codeswitch.ratio}, lexicons {lexicons}")
    if facts.languages:
        names = ", ".join(f"{language_name(code)} ({code})" for code in facts.languages)
        lines.append(f"- Languages of Stage I: {names}")
    return "## Data\n\n" + "\n".join(lines) if lines else ""


def _settings(facts: CardFacts) -> str:
    if not facts.configs:
        return ""
    stages = sorted(facts.configs.items())
    rows = [f"| | {' | '.join(f'Stage {number}' for number, _ in stages)} |", f"| --- |{' --- |' * len(stages)}"]
    told = {
        "learning rate": lambda stage, config: f"{stage.optimizer.lr:g}, {stage.optimizer.schedule}",
        "weight decay": lambda stage, config: f"{stage.optimizer.weight_decay:g}",
        "epochs": lambda stage, config: f"{stage.epochs}" if stage.steps is None else f"{stage.steps} steps",
        "batch": lambda stage, config: (
            f"{stage.batch.samples} samples" if stage.batch.samples else f"{stage.batch.tokens} tokens"
        ),
        "precision": lambda stage, config: config.model.precision,
        "seed": lambda stage, config: str(config.run.seed),
    }
    rows.append(f"| kind | {' | '.join(config.kind(number) for number, config in stages)} |")
    rows.append(f"| trained | {' | '.join(', '.join(facts.trained[number]) for number, _ in stages)} |")
    for name, tell in told.items():
        rows.append(f"| {name} | {' | '.join(tell(config.stage(number), config) for number, config in stages)} |")
    return "## Settings\n\n" + "\n".join(rows)


def _scores(found: Mapping[str, Any]) -> str:
    blocks = []
    for task, values in found["tasks"].items():
        rows = [f"| {task} | level | n | {values['metric']}, % |", "| --- | --- | ---: | ---: |"]
        for code, score in values["languages"].items():
            rows.append(f"| {code} | {score['level'] or ''} | {score['n']} | {100 * score['correct']:.1f} |")
        mean = sum(score["correct"] for score in values["languages"].values()) / len(values["languages"])
        rows.append(f"| Avg. | | | {100 * mean:.1f} |")
        blocks.append("\n".join(rows))
    return f"## Scores: {found['name']}\n\n" + "\n\n".join(blocks)


def _use(described: Mapping[str, Any]) -> str:
    if "config" not in described["llm"]:
        call = 'from lingualift_ds import hub\n\nmodel = hub.load_model("FOLDER", encoder="ENCODER", llm="LLM")'
    else:
        call = (
            "import lingualift_ds\nfrom transformers import AutoModelForCausalLM\n\n"
            'model = AutoModelForCausalLM.from_pretrained("FOLDER")'
        )
    instruction = json.dumps(described["instruction"], ensure_ascii=False)
    bridged = bool(described.get("encoder"))
    question = (
        "Ana ana tufaha 3 na ananunua 4. Ana tufaha ngapi?" if bridged else "Ann has 3 apples and buys 4. How many?"
    )
    names = {"soft_prompt": "the encoder's soft prompt", "instruction": "the instruction", "text": "the text"}
    read = ", then ".join(names[part] for part in described.get("prompt") or usual_prompt(bridged))
    return (
        f'## Use\n\n```python\n{call}\nprint(model.answer(["{question}"])[0].text)\n```\n\n'
        f"The prompt is BOS, {read}; the instruction is by default {instruction}."
    )


def _read_scores(folder: Path) -> dict[str, Any]:
    path = folder / "results.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        for values in found["tasks"].values():
            if not (values["languages"] and values["metric"]):
                raise ValueError("it has a task without a language")
            for score in values["languages"].values():
                float(score["correct"]), int(score["n"]), score["level"]
        return found
    except FileNotFoundError:
        raise DataError(f"{folder}: holds no results.json; a folder of `lingualift-ds evaluate` is needed") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: cannot be read as results ({error})") from None


def _on_hub(name: str) -> bool:
    return not Path(name).is_absolute() and name.count("/") <= 1


def _short(name: str) -> str:
    """A hub name as it is; of a folder its own name, for the rest of its path says nothing to others."""
    return name if _on_hub(name) else Path(name).name
