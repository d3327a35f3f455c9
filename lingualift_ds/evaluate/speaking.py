"""A trained model asked by a person: one question, whose answer is told as it is written, or a file of them.

Beside an answer stands what the model saw of the question: which language it looks like, how many tokens it became
and how many of them the encoder does not know. A question in letters that the encoder never read shows there.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase
from transformers.generation.streamers import BaseStreamer

from lingualift_ds import hub
from lingualift_ds.data.languages import language_name
from lingualift_ds.data.lexicon.identify import guess_in_words
from lingualift_ds.data.records import Record
from lingualift_ds.data.tokenize import Sample
from lingualift_ds.errors import DataError, ModelError
from lingualift_ds.hub.processing import LANGUAGE, without_language

_MANY_UNKNOWN = 0.1
"""Share of unknown tokens above which the encoder can hardly read a question."""
_PIECE = 3
"""Letters that stand for a word in scripts without case, of which some are written without spaces."""


@dataclass(frozen=True)
class Decoding:
    """How an answer is looked for: the likeliest token each time, with beams, or drawn at random.

    Attributes:
        max_new_tokens: longest answer.
        temperature, top_p, seed: of sampling alone. Without a seed every run draws anew.
    """

    max_new_tokens: int = 256
    beams: int = 1
    sample: bool = False
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None

    @property
    def options(self) -> dict[str, Any]:
        """As transformers' generate takes them."""
        drawn = {"temperature": self.temperature, "top_p": self.top_p, "top_k": 0} if self.sample else {}
        return {"num_beams": self.beams, "do_sample": self.sample, **drawn}


@dataclass(frozen=True)
class Asked:
    """What the model reads of a question.

    Attributes:
        language: as `Swahili (sw)`; "" where the text is too short to tell, or not clear.
        unknown: encoder tokens that stand for what its tokenizer does not know.
        shortened: whether the text was cut to the length that the model was trained on.
    """

    sample: Sample
    language: str
    unknown: int
    shortened: bool

    @property
    def code(self) -> str | None:
        """The language's code."""
        return self.language.removesuffix(")").rpartition("(")[2] or None

    @property
    def encoder_tokens(self) -> int | None:
        """Tokens that the encoder reads, special ones among them; None for a model of text alone."""
        return len(self.sample.encoder_ids) or None

    @property
    def hardly_known(self) -> bool:
        """Whether more than a tenth of the encoder's tokens are unknown to it."""
        return self.unknown > _MANY_UNKNOWN * len(self.sample.encoder_ids)

    @property
    def positions(self) -> int:
        """Positions of the LLM that the prompt takes, soft prompt and instruction together."""
        return self.sample.llm_length


@dataclass(frozen=True)
class Said:
    """An answer: its text, whether it ended by itself, the new tokens (without EOS), and the seconds of its batch."""

    asked: Asked
    text: str
    finished: bool
    tokens: int
    seconds: float


def load(folder: Path | str, encoder: str | None = None, llm: str | None = None) -> hub.LinguaLiftForCausalLM:
    """A whole model; or an alignment layer or an adapter on its base models, where that is what the folder holds.

    Raises CheckpointError, ModelError; ConfigError for base models of a whole one.
    """
    return hub.load_model(folder, encoder=encoder, llm=llm)


class Speaker:
    """A model with an instruction and a way to look for answers; `instruction` may be changed at any time.

    `language` is a code: its name stands for {language} in an instruction, which is left out without one.
    """

    def __init__(
        self,
        model: hub.LinguaLiftForCausalLM,
        instruction: str | None = None,
        decoding: Decoding = Decoding(),  # noqa: B008 (frozen)
        language: str | None = None,
    ):
        self.model, self.decoding, self._language = model, decoding, language
        self.instruction = instruction or model.processor.instruction
        if decoding.seed is not None:
            torch.manual_seed(decoding.seed)

    @property
    def told(self) -> str:
        """What the LLM is told."""
        if self._language is not None:
            return self.instruction.replace(LANGUAGE, language_name(self._language))
        return without_language(self.instruction)

    @property
    def names_language(self) -> bool:
        """Whether the instruction has a place for a language's name."""
        return LANGUAGE in self.instruction

    def ask(self, text: str, where: str = "the question") -> Asked:
        """A question as the model reads it. Raises DataError, naming `where`, for a blank one or one without room."""
        if not text.strip():
            raise DataError(f"{where} is empty")
        processor, counts = self.model.processor, Counter()
        record = Record("", text, self.told, "", "")
        sample = next(processor.tokenizer.tokenized([record], counts, with_target=False), None)
        most = min(processor.tokenizer.llm_max_tokens, self._positions - 1)
        if sample is None or sample.llm_length > most:
            raise DataError(f"{where}: the instruction leaves no room for it within {most} tokens")
        unknown = None if processor.encoder is None else processor.encoder.unk_token_id
        return Asked(sample, looks_like(text), int((sample.encoder_ids == unknown).sum()), bool(counts))

    def say(self, text: str, write: Callable[[str], None]) -> Said:
        """The answer to one question, handed to `write` word by word as it comes; with beams at its end."""
        asked = self.ask(text)
        stream = _Stream(self.model.processor.llm, write)
        said = self._answered([asked], stream if self.decoding.beams == 1 else None)[0]
        write(said.text[len(stream.written) :])
        return said

    def answer(self, questions: Sequence[Asked], batch_size: int = 32) -> Iterator[tuple[int, Said]]:
        """Answers with the number of their question, as they come: the longest questions first."""
        order = sorted(range(len(questions)), key=lambda index: -questions[index].positions)
        for first in range(0, len(order), batch_size):
            chunk = order[first : first + batch_size]
            yield from zip(chunk, self._answered([questions[index] for index in chunk]))

    @property
    def _positions(self) -> int:
        """Positions that the LLM has."""
        return getattr(self.model.config.llm, "max_position_embeddings", None) or 1 << 62

    def _answered(self, questions: Sequence[Asked], streamer: BaseStreamer | None = None) -> list[Said]:
        inputs = self.model.processor.batch([asked.sample for asked in questions])
        inputs = {name: tensor.to(self.model.device) for name, tensor in inputs.items()}
        started = time.monotonic()
        try:
            made = self.model.generate(
                **inputs,
                max_new_tokens=self.decoding.max_new_tokens,
                streamer=streamer,
                **self.decoding.options,
            )
        except torch.OutOfMemoryError:
            raise ModelError(
                f"the GPU's memory does not hold {len(questions)} questions at a time; lower --batch-size, --beams or "
                "--max-new-tokens"
            ) from None
        seconds = time.monotonic() - started
        answers = self.model.read(made)
        return [Said(asked, a.text, a.finished, a.tokens, seconds) for asked, a in zip(questions, answers)]


def looks_like(text: str) -> str:
    """The language of a text as `Swahili (sw)`; "" where it is too short to tell, or not clear."""
    words = text.split()
    if text.upper() == text.lower():
        words = [text[start : start + _PIECE] for start in range(0, len(text), _PIECE)]
    return guess_in_words(words)


class _Stream(BaseStreamer):
    """Hands out whole words of an answer as its tokens come. `written`: what was handed out, a prefix of the answer.

    All tokens are decoded each time: what a token reads depends on those before it (bytes of one letter, spaces).
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, write: Callable[[str], None]):
        self.tokenizer, self.write = tokenizer, write
        self.ids: list[int] = []
        self.written = ""

    def put(self, value: Tensor) -> None:
        """New ids [1]; first of all the prompt's, of which there are none beside embeddings, [1, 0]."""
        self.ids += value.flatten().tolist()
        text = self.tokenizer.decode(self.ids, skip_special_tokens=True).lstrip()
        # The last word may still change, and space at the end is not part of the answer.
        whole = text[: max(text.rfind(" "), text.rfind("\n")) + 1].rstrip()
        if len(whole) > len(self.written) and whole.startswith(self.written):
            self.write(whole[len(self.written) :])
            self.written = whole

    def end(self) -> None:
        """Nothing: whoever asked has the whole answer."""
