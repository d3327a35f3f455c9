"""Export: what a stage hands over, made of one of its checkpoints, or copied where the stage is complete; its adapter
merged into the LLM, where it has one.

What is trained comes from the checkpoint; what is frozen from where training took it, one tensor at a time. One
process, no GPU.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from lingualift_ds.checkpoint.artefact import copy_artefact, read_artefact, stream_artefact
from lingualift_ds.checkpoint.consolidate import Consolidation
from lingualift_ds.checkpoint.manifest import verify
from lingualift_ds.checkpoint.store import checkpoints, find_checkpoint
from lingualift_ds.checkpoint.tensors import TensorSpec, read_tensors
from lingualift_ds.checkpoint.weights import WeightFiles
from lingualift_ds.config.layout import stage_number
from lingualift_ds.config.load import load_config
from lingualift_ds.config.schema import Config
from lingualift_ds.data.codeswitch.curriculum import parse_language
from lingualift_ds.data.lexicon import find_lexicons
from lingualift_ds.errors import CheckpointError, ConfigError, DataError
from lingualift_ds.hub.card import CardFacts, model_card
from lingualift_ds.hub.folders import identity, read_described
from lingualift_ds.hub.modeling import generation_config
from lingualift_ds.log import get_logger
from lingualift_ds.model.adapters import base_name
from lingualift_ds.model.encoders import encoder_class, load_encoder, renamed
from lingualift_ds.model.groups import group_of
from lingualift_ds.model.llms import llm_class, load_llm
from lingualift_ds.model.loading import stored_as_used, weight_files
from lingualift_ds.train import build
from lingualift_ds.train.folder import StageFolder
from lingualift_ds.train.handover import contents, hands_over
from lingualift_ds.train.inherit import Handover, handover_folder, handover_id, read_handover
from lingualift_ds.train.stages import Stage, find_stage, stage_of
from lingualift_ds.train.whole import is_apart, write_whole

logger = get_logger(__name__)


@dataclass(frozen=True)
class Exported:
    """What was exported."""

    source: Path
    """The artefact or checkpoint."""
    step: int
    files: int


@dataclass(frozen=True)
class Card:
    """What the model card cannot know by itself: an identifier of a licence, and folders of results."""

    licence: str | None = None
    results: tuple[Path, ...] = ()


def export(
    run: Path,
    output: Path,
    stage: str | None = None,
    step: int | None = None,
    moved: Mapping[str, str] | None = None,
    card: Card = Card(),
    whole: bool = False,
) -> Exported:
    """Write what a stage hands over to `output`, an artefact's folder, whole or not at all.

    run: a run folder or one of its stages' folders; without `stage` the latest one that has anything. Without `step`
    the stage's artefact where it is complete, else its newest whole checkpoint. moved: where the base models are now
    (by role, encoder or llm), if not where training found them. An adapter is merged into its LLM. whole: put the base
    models in where the stage trained the alignment layer alone. Raises UserErrors.
    """
    folder, stage = find_stage_folder(run, stage)
    _check_output(output)
    if step is None and folder.complete.is_file():
        theirs, manifest = read_artefact(folder.artefact, hashes=False)  # copying looks at every byte
        if not is_apart(theirs, whole):
            check_results(card.results, identity(folder.artefact))
            logger.info("%s is complete: copying %s", folder.path, folder.artefact)
            manifest = copy_artefact(folder.artefact, output, texts_beside(theirs, folder, card))
            return Exported(folder.artefact, manifest["step"], len(manifest["files"]))
        source = artefact = folder.artefact
    else:
        source, manifest = find_checkpoint(folder.checkpoints, step, "--step")
        artefact = None
    config = load_config(folder.config)
    config = replace(
        config,
        run=replace(config.run, output=str(folder.path.parent)),
        model=replace(config.model, **(moved or {})),
    )
    logger.info("%s: from step %d", source, manifest["step"])
    _make(output, config, stage, artefact, (source, manifest), whole, lambda about: texts_beside(about, folder, card))
    try:
        # Of a checkpoint nothing tells before what it will be. A merged adapter answers as it does unmerged.
        check_results(card.results, identity(output), *([identity(artefact)] if artefact else []))
    except DataError:
        shutil.rmtree(output)
        raise
    return Exported(source, manifest["step"], len(verify(output, hashes=False)["files"]))


def find_stage_folder(run: Path, stage: str | None) -> tuple[StageFolder, Stage]:
    """The folder to export from, of the stage that is named. Raises CheckpointError where there is none, ConfigError
    for a stage that is not there."""
    if not run.is_dir():
        raise CheckpointError(f"{run}: no such folder; name a run's, such as runs/NAME, or a stage's in it")
    run = run.absolute()
    own = _number_of(run)
    whole = run.parent if own else run
    folders = {own: StageFolder(run)} if own else {n: StageFolder(p) for p in whole.iterdir() if (n := _number_of(p))}
    configs = {number: load_config(folder.config) for number, folder in folders.items()}
    if stage is not None and configs:
        wanted = find_stage(configs[max(configs)], stage).number
        if own not in (None, wanted):
            raise ConfigError(f"--stage {stage}: {run} is the folder of stage {own}; name {whole}")
        folders = {number: folder for number, folder in folders.items() if number == wanted}
    for number, folder in sorted(folders.items(), reverse=True):
        if folder.complete.is_file() or checkpoints(folder.checkpoints):
            return folder, stage_of(configs[number], number)
    looked = ", ".join(str(folder.path) for _, folder in sorted(folders.items())) or f"{whole}/stage*"
    raise CheckpointError(f"{run}: nothing to export: no complete stage and no checkpoint in {looked}")


def _number_of(folder: Path) -> int | None:
    """The number of a stage whose folder it is; None for another folder."""
    return stage_number(folder.name) if (folder / "config.yaml").is_file() else None


def check_results(results: Sequence[Path], *models: str) -> None:
    """Raise DataError for results of others than these models: a card must not tell their scores."""
    for path in results:
        about = path / "evaluation.json"
        try:
            found = json.loads(about.read_text(encoding="utf-8"))["model"]
        except (OSError, ValueError, KeyError, TypeError):
            raise DataError(f"{about}: cannot be read; --results takes folders of `lingualift-ds evaluate`") from None
        if found not in models:
            raise DataError(f"--results {path}: are another model's; evaluate the one that is exported")


def texts_beside(described: dict[str, Any], folder: StageFolder, card: Card) -> dict[str, str]:
    """What an exported folder holds for its readers: the model card, and for a whole model how it generates."""
    numbers = sorted(filter(None, map(_number_of, folder.path.parent.iterdir())))
    last = _number_of(folder.path)
    configs = {n: load_config(folder.path.parent / f"stage{n}/config.yaml") for n in numbers if n <= last}
    trained = {number: _trained(stage_of(config, number)) for number, config in configs.items()}
    name = folder.path.parent.name
    facts = CardFacts(name, configs, trained, stage1_languages(configs), card.licence, card.results)
    texts = {"README.md": model_card(described, facts)}
    if "config" in described["llm"]:
        texts["generation_config.json"] = generation_config(described).to_json_string(use_diff=True)
    return texts


def _trained(stage: Stage) -> list[str]:
    """What a stage trains, in words."""
    how = f" ({stage.adapter.kind}, rank {stage.adapter.rank})" if stage.adapter else ""
    return [f"{entry}{how}" if entry == "llm" else entry for entry in stage.trains]


def stage1_languages(configs: Mapping[int, Config]) -> tuple[str, ...]:
    """Codes of the languages that Stage I's English was switched to: as its config states them, or as its data's
    report.json tells them."""
    if 1 not in configs:
        return ()
    data = configs[1].stage(1).data
    if data.codeswitch.lexicons:
        stated = [parse_language(text)[0] for text in data.codeswitch.languages]
        return tuple(stated or find_lexicons(data.codeswitch.lexicons))
    codes: dict[str, None] = {}
    for path in map(Path, data.train):
        for report in (path.with_name("report.json"), path.with_name(f"{path.name.split('.')[0]}.report.json")):
            if report.is_file():
                codes |= dict.fromkeys(_told_languages(report))
    return tuple(codes)


def _told_languages(report: Path) -> list[str]:
    try:
        return sorted(json.loads(report.read_text(encoding="utf-8"))["languages"])
    except (OSError, ValueError, KeyError, TypeError):
        return []  # some other program's report


def _check_output(output: Path) -> None:
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise CheckpointError(f"{output}: {'is not empty' if output.is_dir() else 'is a file'}; name a new folder")


def _make(
    output: Path,
    config: Config,
    stage: Stage,
    artefact: Path | None,
    checkpoint: tuple[Path, dict[str, Any]],
    whole: bool,
    texts: Callable[[dict[str, Any]], dict[str, str]],
) -> None:
    """What is exported, of an artefact or, without one, of a checkpoint and its manifest."""
    if artefact is not None:
        write_whole(artefact, output, config, stage, texts)
        return
    aside = output.with_name(f".{output.name}.apart")
    made = aside if whole or stage.adapter is not None else output
    try:
        _write(made, config, stage, *checkpoint, texts)
        if is_apart(read_described(made), whole):
            write_whole(made, output, config, stage, texts)
        elif made is aside:
            aside.rename(output)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _write(
    output: Path,
    config: Config,
    stage: Stage,
    path: Path,
    manifest: dict[str, Any],
    texts: Callable[[dict[str, Any]], dict[str, str]],
) -> None:
    consolidation = Consolidation(path, manifest)
    sources = build.read_sources(config.model)
    facts = {what: manifest[what] for what in ("stage", "step", "samples", "tokens")}
    facts |= {"skipped": manifest.get("skipped", 0), "identity": manifest["identity"]}
    ours = build.artefact_config(config, sources)
    _check_sources(config, stage, path, manifest, ours)
    handover = read_handover(config, stage, ours)
    goes_with = contents(config, stage, sources, facts, handover)
    goes_with = replace(goes_with, texts=texts(goes_with.config))
    wanted = {name: spec for name, spec in consolidation.model.items() if hands_over(stage, handover, name)}
    missing = {name: spec for name, spec in wanted.items() if name not in consolidation.specs}

    def tensors() -> Iterator[tuple[str, Tensor]]:
        for part in ("alignment", "encoder", "llm"):  # the one that can be refused first
            names = {base_name(n.removeprefix(f"{part}.")): n for n in missing if group_of(n) == part}
            if names:
                own = {name: missing[full] for name, full in names.items()}
                yield from ((names[n], t) for n, t in frozen_tensors(part, own, config, sources, handover))
        yield from ((name, tensor) for name, tensor in consolidation.tensors() if name in wanted)

    stream_artefact(output, wanted, tensors(), goes_with)


def _check_sources(
    config: Config,
    stage: Stage,
    path: Path,
    manifest: dict[str, Any],
    described: dict[str, Any],
) -> None:
    """Raise CheckpointError where what the checkpoint was trained on is no longer what it was."""
    if config.model.precision != manifest["precision"]:
        raise CheckpointError(
            f"{path}: is in {manifest['precision']}, but its run's config.yaml says {config.model.precision}"
        )
    now = {part: (described[part] or {}).get("fingerprint") for part in ("llm", "encoder")}
    names = {"llm": config.model.llm, "encoder": config.model.encoder}
    if stage.start is not None:
        now["handover"] = handover_id(config, stage)
        names["handover"] = handover_folder(config, stage)
    for what, found in now.items():
        before = manifest["identity"][what]
        if found != before:
            raise CheckpointError(
                f"{path}: its {what} is no longer what it was: {names[what]} is {found}, it was {before}; restore it"
                + ("" if what == "handover" else f", or say where it is now with --{what}")
            )


def frozen_tensors(
    part: str, specs: Mapping[str, TensorSpec], config: Config, sources: build.Sources, handover: Handover | None
) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a part that training did not change, from where it took them."""
    if part == "alignment":
        yield from _of_state(build.build_alignment(config, sources, handover).state_dict(), specs, part)
        return
    if held := build.part_of(handover, part):
        for shard in read_tensors(Path(held), f"{part}."):
            state = {base_name(name.removeprefix(f"{part}.")): tensor for name, tensor in shard.items()}
            yield from _of_state(state, {name: specs[name] for name in state if name in specs}, held)
        return
    name, precision = getattr(config.model, part), config.model.precision
    source = sources.encoder_config if part == "encoder" else sources.llm_config
    kind, names = (encoder_class(source), renamed(source)) if part == "encoder" else (llm_class(source), {})
    found, why = None, "transformers converts models of this kind as it loads them"
    if stored_as_used(source, kind):
        try:
            files = WeightFiles(weight_files(name, source), names)
            found, why = files.match(specs), "its files do not have its tensors under one prefix and in their shapes"
        except CheckpointError as error:
            why = str(error)
    if found:
        logger.info("%s: frozen, read from %s", part, name)
        yield from files.read(found, specs)
        return
    logger.info("%s: frozen, loaded whole from %s: %s", part, name, why)
    model = load_encoder(name, source, precision) if part == "encoder" else load_llm(name, precision, source)
    yield from _of_state(model.state_dict(), specs, name)


def _of_state(state: Mapping[str, Tensor], specs: Mapping[str, TensorSpec], where: str) -> Iterator[tuple[str, Tensor]]:
    for name, spec in specs.items():
        if name not in state or not spec.takes(TensorSpec.of(state[name])):
            raise CheckpointError(
                f"{where}: has no tensor {name} of shape {list(spec.shape)}; the trained model had one"
            )
        yield name, state[name].to(spec.dtype)
