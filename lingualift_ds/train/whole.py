"""A whole model of what a stage trained alone: base models, alignment layer, and the adapter merged into the LLM.

One process, no GPU; the whole model is in memory while it is made.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lingualift_ds.checkpoint.artefact import Contents, read_artefact, stream_artefact
from lingualift_ds.checkpoint.tensors import TensorSpec
from lingualift_ds.config.schema import Config
from lingualift_ds.errors import CheckpointError
from lingualift_ds.hub.folders import is_whole, load_model
from lingualift_ds.train import build
from lingualift_ds.train.handover import described
from lingualift_ds.train.stages import Stage

_FACTS = ("stage", "step", "samples", "tokens", "skipped", "identity")
"""What a manifest says of where the weights come from."""


def is_apart(theirs: dict[str, Any], whole: bool) -> bool:
    """Whether a whole model is still to be made of an artefact with this config.json: where its LLM has an adapter, and
    where it holds no base models and a `whole` one is asked for."""
    return bool(theirs.get("adapter")) or (whole and not is_whole(theirs))


def write_whole(
    artefact: Path, output: Path, config: Config, stage: Stage, texts: Callable[[dict[str, Any]], dict[str, str]]
) -> None:
    """Write to `output` the whole model that an artefact belongs to, whole or not at all. config: its run's, with the
    base models where they are now; texts: files that go beside, of its config.json.

    Raises CheckpointError where a base model is no longer what the artefact was trained with; UserErrors of loading.
    """
    theirs, manifest = read_artefact(artefact)
    sources = build.read_sources(config.model)
    ours = described(config, stage, sources, None, merged=True)
    names = {part: getattr(config.model, part) for part in ("llm", "encoder") if theirs.get(part)}
    for part, name in names.items():
        if (found := ours[part]["fingerprint"]) != theirs[part]["fingerprint"]:
            raise CheckpointError(
                f"{artefact}: was trained with another {part}: {name} is {found}, it was "
                f"{theirs[part]['fingerprint']}; restore it, or say where it is now with --{part}"
            )
    model = load_model(artefact, **({} if is_whole(theirs) else names))
    model.merge_adapter()
    kept = model.state_dict().keys()
    tensors = dict(model.named_parameters()) | {n: b for n, b in model.named_buffers() if n in kept}
    facts = {name: manifest[name] for name in _FACTS if name in manifest}
    specs = {name: TensorSpec.of(tensor) for name, tensor in tensors.items()}
    stream_artefact(output, specs, tensors.items(), Contents("model", ours, sources.tokenizers, facts, texts(ours)))
