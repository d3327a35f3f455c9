"""Records to token ids, with both tokenizers; nothing about batches or padding.

A sample for the LLM is [BOS] + gap for the soft prompt + instruction + target + [EOS]. What is too long is
shortened at the end of the text, never in the target; what cannot be used is dropped and counted.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from transformers import PreTrainedTokenizerBase

from lingualift_ds.config.layout import PromptLayout
from lingualift_ds.data.records import Record

_CHUNK = 1000
_LEAST_TEXT = 8
"""Tokens of the text that must be left after shortening; a sample with less room is dropped."""


@dataclass(frozen=True)
class Sample:
    """Token ids of one record. Without an encoder `encoder_ids` is empty and the text stands in `prompt_ids`."""

    id: str
    language: str
    encoder_ids: np.ndarray
    prompt_ids: np.ndarray
    target_ids: np.ndarray
    soft_rows: int

    @property
    def llm_length(self) -> int:
        """Positions in the LLM: prompt, soft prompt and target."""
        return len(self.prompt_ids) + self.soft_rows + len(self.target_ids)


@dataclass(frozen=True)
class SampleTokenizer:
    """Both tokenizers and the lengths they must keep to, in tokens.

    `row_of` maps white-space token ids of the encoder's tokenizer to the embedding rows they borrow.
    """

    llm: PreTrainedTokenizerBase
    llm_max_tokens: int
    encoder: PreTrainedTokenizerBase | None = None
    encoder_max_tokens: int = 0
    layout: PromptLayout | None = None
    row_of: dict[int, int] = field(default_factory=dict)

    def samples(self, records: Iterable[Record], dropped: Counter) -> Iterator[Sample]:
        """Samples in the order of the records. `dropped` counts by reason what was left out or shortened."""
        chunk: list[Record] = []
        for record in records:
            if not record.target:
                dropped["dropped, no target"] += 1
            elif not record.text.strip():
                dropped["dropped, no text"] += 1
            else:
                chunk.append(record)
            if len(chunk) == _CHUNK:
                yield from self._chunk(chunk, dropped)
                chunk = []
        yield from self._chunk(chunk, dropped)

    def tokenized(self, records: list[Record], dropped: Counter, with_target: bool = True) -> Iterator[Sample]:
        """Samples of a few records at once; without targets, what generation starts from."""
        return self._chunk(records, dropped, with_target)

    def _chunk(self, records: list[Record], dropped: Counter, with_target: bool = True) -> Iterator[Sample]:
        if not records:
            return
        texts = self._plain([r.text for r in records]) if self.encoder is None else self._encoder_ids(records)
        distinct = list(dict.fromkeys(r.instruction for r in records))  # most often there is one
        of_instruction = dict(zip(distinct, self._plain(distinct)))
        instructions = [of_instruction[r.instruction] for r in records]
        targets = self._plain([r.target for r in records])
        eos = [self.llm.eos_token_id] if with_target else []
        for record, text, instruction, target in zip(records, texts, instructions, targets):
            sample = self._sample(record, text, instruction, target + eos, dropped)
            if sample is not None:
                yield sample

    def _sample(self, record: Record, text: list[int], instruction: list[int], target: list[int], dropped: Counter):
        bos = [] if self.llm.bos_token_id is None else [self.llm.bos_token_id]
        boundaries = self.layout.begin + self.layout.end if self.layout else 0
        latents = self.layout.latents if self.layout else None
        room = self.llm_max_tokens - len(bos) - boundaries - len(instruction) - len(target)
        if room < (latents or min(_LEAST_TEXT, len(text))):
            dropped["dropped, no room for the text beside instruction and target"] += 1
            return None
        if self.encoder is None:
            if len(text) > room:
                dropped["shortened, text longer than llm_max_tokens leaves"] += 1
                text = text[:room]
            return _sample(record, [], bos + text + instruction, target, 0)
        most = self.encoder_max_tokens if latents else min(self.encoder_max_tokens, room)
        if len(text) > most:
            dropped["shortened, text longer than encoder_max_tokens or llm_max_tokens leave"] += 1
            text = self._shortened(record.text, most)
        return _sample(record, text, bos + instruction, target, self.layout.length(len(text)))

    def _encoder_ids(self, records: list[Record]) -> list[list[int]]:
        ids = self.encoder([r.text for r in records], add_special_tokens=True)["input_ids"]
        return [self._rows(i) for i in ids] if self.row_of else ids

    def _shortened(self, text: str, most: int) -> list[int]:
        """The text's ids cut to `most`, with the special tokens the encoder expects around it."""
        return self._rows(self.encoder(text, truncation=True, max_length=most)["input_ids"])

    def _rows(self, ids: list[int]) -> list[int]:
        return [self.row_of.get(i, i) for i in ids]

    def _plain(self, texts: list[str]) -> list[list[int]]:
        return self.llm(texts, add_special_tokens=False)["input_ids"]


def pad_id(llm: PreTrainedTokenizerBase) -> int:
    """What an LLM's text is padded with: EOS where there is no token for it; masked, it is never seen."""
    return llm.eos_token_id if llm.pad_token_id is None else llm.pad_token_id


def _sample(record: Record, encoder: list[int], prompt: list[int], target: list[int], soft_rows: int) -> Sample:
    as_array = lambda ids: np.asarray(ids, dtype=np.int32)  # noqa: E731
    return Sample(record.id, record.language, as_array(encoder), as_array(prompt), as_array(target), soft_rows)
