"""Sentences as vectors: one in the encoder's space, one after the alignment layer, two inside the LLM.

Shapes: B texts of a batch, S encoder tokens of each, E encoder width, D LLM width, N sentences, W width of a space.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lingualift_ds.data.tokenize import Sample
from lingualift_ds.errors import ConfigError, ModelError
from lingualift_ds.hub import LinguaLiftForCausalLM
from lingualift_ds.log import Progress
from lingualift_ds.model.alignment import AlignmentLayer
from lingualift_ds.model.encoders import hidden_states, states_per_token

Vectors = dict[str, np.ndarray]
"""By language: [N, W], float64."""
SEED = 0
"""Of the freshly initialised layer."""


@dataclass(frozen=True)
class Layers:
    """Layers of the LLM, from 1: what each gives is looked at. The last one's is taken after the final norm."""

    middle: int
    last: int

    @classmethod
    def of(cls, model: LinguaLiftForCausalLM, chosen: int | None) -> "Layers":
        """The middle one (the later of two) or the one `chosen`. Raises ConfigError where the LLM has no such one."""
        last = model.config.llm.num_hidden_layers
        if chosen is not None and not 1 <= chosen <= last:
            raise ConfigError(f"--layer {chosen}: this LLM has the layers 1 to {last}")
        return cls(chosen or last // 2 + last % 2, last)

    @property
    def titles(self) -> dict[str, str]:
        """What each space is called; without a middle one where that is the last."""
        named = {"encoder": "encoder", "alignment": "alignment layer"}
        if self.middle != self.last:
            named["llm_middle"] = f"LLM, layer {self.middle} of {self.last}"
        return named | {"llm_last": f"LLM, last layer ({self.last})"}


def read_spaces(
    model: LinguaLiftForCausalLM, texts: Mapping[str, Sequence[str]], instruction: str, layers: Layers, batch_size: int
) -> tuple[dict[str, Vectors], int]:
    """Vectors of all sentences by space and language, and how many texts had to be shortened.

    encoder: mean of the encoder's states; alignment: mean of the soft rows, boundaries left out; llm_middle and
    llm_last: hidden state at the prompt's last position, the one that predicts the answer's first token.

    Raises ModelError where a vector is not finite.
    """
    distinct = list(dict.fromkeys(text for sentences in texts.values() for text in sentences))
    shortened: Counter = Counter()
    samples = model.processor.samples(distinct, instruction, counts=shortened)
    found: dict[str, list] = defaultdict(lambda: [None] * len(distinct))
    with Progress("geometry", len(samples), "sentences") as progress:
        for chunk in _batches(samples, batch_size):
            for space, vectors in _read(model, [samples[index] for index in chunk], layers).items():
                for index, vector in zip(chunk, vectors):
                    found[space][index] = vector
            progress.advance(len(chunk))
    place = {text: index for index, text in enumerate(distinct)}
    spaces: dict[str, Vectors] = {}
    for space in layers.titles:
        values = np.stack(found[space])
        if not np.isfinite(values).all():
            raise ModelError(f"{space}: the model's states are not finite; was it trained in fp16?")
        spaces[space] = {code: values[[place[text] for text in sentences]] for code, sentences in texts.items()}
    return spaces, shortened.total()


@contextmanager
def fresh_layer(model: LinguaLiftForCausalLM) -> Iterator[None]:
    """A freshly initialised alignment layer of the same settings in the trained one's place, always the same one."""
    trained = model.alignment
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        width = model.get_input_embeddings().embedding_dim
        encoder = model.config.encoder
        known = states_per_token(encoder)
        fresh = AlignmentLayer(model.config.alignment_config, encoder.hidden_size, width, known)
    like = next(trained.parameters())
    model.alignment = fresh.to(like.device, like.dtype).eval()
    try:
        yield
    finally:
        model.alignment = trained


def _batches(samples: Sequence[Sample], size: int) -> Iterator[list[int]]:
    """Places of samples of one length, so many at a time: without padding no vector depends on its neighbours."""
    by_length = defaultdict(list)
    for index, sample in enumerate(samples):
        by_length[len(sample.encoder_ids), len(sample.prompt_ids)].append(index)
    for length in sorted(by_length):
        same = by_length[length]
        yield from (same[first : first + size] for first in range(0, len(same), size))


@torch.inference_mode()
def _read(model: LinguaLiftForCausalLM, samples: Sequence[Sample], layers: Layers) -> dict[str, np.ndarray]:
    inputs = {name: tensor.to(model.device) for name, tensor in model.processor.batch(samples).items()}
    ids_BS = inputs["encoder_input_ids"]
    count, length = ids_BS.shape
    mask = inputs["encoder_attention_mask"]
    states = hidden_states(model.encoder, model.alignment.layers, input_ids=ids_BS, attention_mask=mask)
    states_BSE = states[-1] if model.alignment.layers == "all" else states
    rows = model.alignment(states.flatten(-3, -2), (length,) * count)
    inner = model.alignment.layout.latents or length
    embeds, mask = model.prompt_embeddings(**inputs)
    llm = model.llm.base_model  # without its head: nothing is predicted
    output = llm(inputs_embeds=embeds, attention_mask=mask, use_cache=False, output_hidden_states=True)
    vectors = {
        "encoder": states_BSE.double().mean(1),
        "alignment": rows[: count * inner].unflatten(0, (count, inner)).double().mean(1),
        "llm_middle": output.hidden_states[layers.middle][:, -1].double(),
        "llm_last": output.last_hidden_state[:, -1].double(),
    }
    return {space: _array(vectors[space]) for space in layers.titles}


def _array(values: Tensor) -> np.ndarray:
    return values.cpu().numpy()
