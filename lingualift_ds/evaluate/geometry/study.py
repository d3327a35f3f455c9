"""A study of the alignment: the same sentences in the same spaces before and after, as numbers and as points."""

import gc
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lingualift_ds import hub
from lingualift_ds.errors import ConfigError, ModelError
from lingualift_ds.evaluate.geometry.measures import Closeness, closeness
from lingualift_ds.evaluate.geometry.parallel import ENGLISH, Parallel
from lingualift_ds.evaluate.geometry.projection import Projection, project
from lingualift_ds.evaluate.geometry.spaces import SEED, Layers, Vectors, fresh_layer, read_spaces
from lingualift_ds.hub.folders import find_folder, is_whole, read_described
from lingualift_ds.hub.processing import without_language
from lingualift_ds.log import get_logger

logger = get_logger(__name__)

PHASES = ("before", "after")


@dataclass(frozen=True)
class Bases:
    """Where the base models of a Stage I artefact are; None: where it was trained with them."""

    encoder: str | None = None
    llm: str | None = None


@dataclass(frozen=True)
class Look:
    """One space of one model: what it is called, numbers by language, and points by language, [N, 2] each."""

    title: str
    numbers: dict[str, Closeness]
    points: Vectors
    variance: tuple[float, float]


@dataclass(frozen=True)
class Study:
    """What was found. `looks` is by phase (before, after) and space."""

    model: str
    before: str
    instruction: str
    parallel: Parallel
    shortened: int
    looks: dict[str, dict[str, Look]]

    @property
    def languages(self) -> list[str]:
        """All but English."""
        return [code for code in self.parallel.texts if code != ENGLISH]

    @property
    def spaces(self) -> list[str]:
        """Spaces that were looked at in either phase, in the order in which a sentence passes through them."""
        return list(self.looks["after"] | self.looks["before"])


def make_study(
    model: Path, before: Path | None, parallel: Parallel, bases: Bases, layer: int | None = None, batch_size: int = 32
) -> Study:
    """Look at the sentences in `model`, and in `before` or, without one, in `model` with a fresh alignment layer.

    Both are asked with the instruction of `model`; where that names the language, with the name left out, so that
    nothing but the sentence differs. Raises the UserErrors of loading and reading.
    """
    if (bases.encoder or bases.llm) and not any(_needs_bases(f) for f in (model, before) if f is not None):
        raise ConfigError(f"--encoder, --llm: {model} holds its own; they are for a stage 1 artefact")
    loaded = load_bridged(model, bases)
    instruction = without_language(loaded.processor.instruction)
    layers = Layers.of(loaded, layer)
    after, shortened = read_spaces(loaded, parallel.texts, instruction, layers, batch_size)
    if shortened:
        logger.warning("%s: %d sentences are shortened to what the model was trained on", model, shortened)
    titles = {"after": layers.titles}
    if before is None:
        said = f"a freshly initialised alignment layer (seed {SEED}), encoder and LLM as in {model}"
        with fresh_layer(loaded):
            spaces, _ = read_spaces(loaded, parallel.texts, instruction, layers, batch_size)
    else:
        said = str(before)
        del loaded
        gc.collect()  # two large models do not fit side by side
        loaded = load_bridged(before, bases)
        layers = Layers.of(loaded, layer)
        spaces, _ = read_spaces(loaded, parallel.texts, instruction, layers, batch_size)
    titles["before"] = layers.titles
    logger.info("before: %s", said)
    looks = {
        phase: {space: _look(titles[phase][space], vectors) for space, vectors in found.items()}
        for phase, found in zip(PHASES, (spaces, after))
    }
    return Study(str(model), said, instruction, parallel, shortened, looks)


def load_bridged(folder: Path, bases: Bases) -> hub.LinguaLiftForCausalLM:
    """A whole model, or what was trained alone on its base models. Of a run folder, the last stage.

    Raises CheckpointError, ModelError.
    """
    model = hub.load_model(folder, **(vars(bases) if _needs_bases(folder) else {}))
    if model.encoder is None:
        raise ModelError(f"{folder}: a model of text alone: it has no encoder and no alignment layer to look at")
    return model


def _needs_bases(folder: Path) -> bool:
    """Whether a folder's model lies apart from its base models."""
    return not is_whole(read_described(find_folder(folder)))


def _look(title: str, vectors: Vectors) -> Look:
    english, count = vectors[ENGLISH], len(vectors[ENGLISH])
    numbers = {code: closeness(own, english) for code, own in vectors.items() if code != ENGLISH}
    projection: Projection = project(np.concatenate(list(vectors.values())))
    points = {code: projection.points[n * count : (n + 1) * count] for n, code in enumerate(vectors)}
    return Look(title, numbers, points, projection.variance)
