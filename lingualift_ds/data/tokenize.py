"""Records to token ids, with both tokenizers; nothing about batches or padding.

A sample for the LLM is [BOS] + the parts of the prompt in the order that its stage states + target + [EOS]; the soft
prompt is a gap there. What is too long is shortened at the end of the text, never in instruction or target; what cannot
be used is dropped and counted.
"""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from transformers import PreTrainedTokenizerBase

from lingualift_ds.config.layout import TEXT_ALONE, PromptLayout, usual_prompt
from lingualift_ds.data.records import Record

_CHUNK = 1000
_LEAST_TEXT = 8
"""Tokens of the text that must be left after shortening; a sample with less room is dropped."""


@dataclass(frozen=True)
class Sample:
    """Token ids of one record. Without an encoder `encoder_ids` is empty and the text stands in `prompt_ids`.

    `soft_at` says how many of `prompt_ids` stand before the soft prompt; None: BOS alone, where there is one.
    """

    id: str
    language: str
    encoder_ids: np.ndarray
    prompt_ids: np.ndarray
    target_ids: np.ndarray
    soft_rows: int
    soft_at: int | None = None

    @property
    def llm_length(self) -> int:
        """Positions in the LLM: prompt, soft prompt and target."""
        return len(self.prompt_ids) + self.soft_rows + len(self.target_ids)


@dataclass(frozen=True)
class SampleTokenizer:
    """Both tokenizers, the lengths they must keep to, in tokens, and what is read where.

    `row_of` maps white-space token ids of the encoder's tokenizer to the embedding rows they borrow. `prompt` are the
    parts that the LLM reads between BOS and target, in order; empty: the usual ones. `encoder_input` and `llm_input`
    are templates of what the encoder reads, and of what the LLM reads as `text`: {text}, and maybe {instruction}.
    """

    llm: PreTrainedTokenizerBase
    llm_max_tokens: int
    encoder: PreTrainedTokenizerBase | None = None
    encoder_max_tokens: int = 0
    layout: PromptLayout | None = None
    row_of: dict[int, int] = field(default_factory=dict)
    prompt: tuple[str, ...] = ()
    encoder_input: str = TEXT_ALONE
    llm_input: str = TEXT_ALONE

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of the prompt, in order."""
        return self.prompt or usual_prompt(self.encoder is not None)

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
        nothing: list[list[int]] = [[]] * len(records)
        encoder = nothing if self.encoder is None else self._encoder_ids(records)
        texts = self._text_ids(records) if "text" in self.parts else nothing
        distinct = list(dict.fromkeys(r.instruction for r in records))  # most often there is one
        of_instruction = dict(zip(distinct, self._plain(distinct))) if "instruction" in self.parts else {}
        instructions = [of_instruction.get(r.instruction, []) for r in records]
        targets = self._plain([r.target for r in records])
        eos = [self.llm.eos_token_id] if with_target else []
        for record, read, text, instruction, target in zip(records, encoder, texts, instructions, targets):
            shortened = self._shortened(record, read, text, self._room(instruction, target + eos), dropped)
            if shortened is None:
                dropped["dropped, no room for the text beside instruction and target"] += 1
            else:
                read, text = shortened
                yield self._sample(record, read, {"text": text, "instruction": instruction}, target + eos)

    @property
    def _bos(self) -> list[int]:
        return [] if self.llm.bos_token_id is None else [self.llm.bos_token_id]

    def _room(self, instruction: list[int], target: list[int]) -> int:
        """Positions of the LLM that are left for the text, as soft rows or as tokens."""
        fixed = self.layout.begin + self.layout.end + (self.layout.latents or 0) if self.layout else 0
        return self.llm_max_tokens - len(self._bos) - fixed - len(instruction) - len(target)

    def _shortened(
        self, record: Record, encoder: list[int], text: list[int], room: int, dropped: Counter
    ) -> tuple[list[int], list[int]] | None:
        """What the encoder and the LLM read of the text, cut where it must be; None where too little would be left."""
        latent = self.layout is not None and self.layout.latents is not None
        least = 0 if latent else min(_LEAST_TEXT, len(encoder))
        if room < least + min(_LEAST_TEXT, len(text)):
            return None
        most, most_text = min(self.encoder_max_tokens, len(encoder)), len(text)
        rows = 0 if latent else most
        if rows + len(text) > room:  # each is cut by the same share, so that both end at about the same word
            around = self._around(record) if text else 0
            least_text = min(around + _LEAST_TEXT, len(text))
            if room < least + least_text:
                return None
            share = (room - around) * (len(text) - around) // (rows + len(text) - around)
            most_text = min(max(around + share, least_text), room - least)
            most = most if latent else room - most_text
        cut_encoder, cut_text = len(encoder) > most, len(text) > most_text
        if cut_encoder:
            encoder = self._cut_encoder_ids(record, most)
        if cut_text:
            text = text[:most_text] if self.llm_input == TEXT_ALONE else _cut(record, most_text, self._text_ids)
        if encoder is None or text is None:
            return None
        if cut_encoder:
            dropped["shortened, text longer than encoder_max_tokens or llm_max_tokens leave"] += 1
        elif cut_text:
            dropped["shortened, text longer than llm_max_tokens leaves"] += 1
        return encoder, text

    def _sample(self, record: Record, encoder: list[int], ids: dict[str, list[int]], target: list[int]) -> Sample:
        prompt, soft_at = self._bos, None
        for number, part in enumerate(self.parts):
            if part == "soft_prompt":
                soft_at = len(prompt) if number else None
            else:
                prompt = prompt + ids[part]
        soft_rows = self.layout.length(len(encoder)) if self.layout else 0
        as_array = lambda ids: np.asarray(ids, dtype=np.int32)  # noqa: E731
        arrays = as_array(encoder), as_array(prompt), as_array(target)
        return Sample(record.id, record.language, *arrays, soft_rows, soft_at)

    def _encoder_ids(self, records: list[Record]) -> list[list[int]]:
        ids = self.encoder([_filled(self.encoder_input, r) for r in records], add_special_tokens=True)["input_ids"]
        return [self._rows(i) for i in ids] if self.row_of else ids

    def _text_ids(self, records: list[Record]) -> list[list[int]]:
        """What the LLM reads as `text`: template and text in one, because an LLM was tuned on them so."""
        return self._plain([_filled(self.llm_input, r) for r in records])

    def _around(self, record: Record) -> int:
        """Tokens of the LLM that the template takes beside the text."""
        return 0 if self.llm_input == TEXT_ALONE else len(self._text_ids([replace(record, text="")])[0])

    def _cut_encoder_ids(self, record: Record, most: int) -> list[int] | None:
        """What the encoder reads, cut to `most` ids at the end of the text, with the special tokens the encoder expects
        around it; None where too little of the text would be left beside an instruction."""
        if self.encoder_input == TEXT_ALONE:
            return self._rows(self.encoder(record.text, truncation=True, max_length=most)["input_ids"])
        return _cut(record, most, self._encoder_ids)

    def _rows(self, ids: list[int]) -> list[int]:
        return [self.row_of.get(i, i) for i in ids]

    def _plain(self, texts: list[str]) -> list[list[int]]:
        return self.llm(texts, add_special_tokens=False)["input_ids"]


def _filled(template: str, record: Record) -> str:
    return re.sub("{(text|instruction)}", lambda found: getattr(record, found[1]), template)


def _cut(record: Record, most: int, read: Callable[[list[Record]], list[list[int]]]) -> list[int] | None:
    """What `read` makes of a record, its text cut at the end until that is at most `most` ids long; None where too
    little of the text would be left beside its template."""

    def of(characters: int) -> list[int]:
        return read([replace(record, text=record.text[:characters])])[0]

    kept = bisect_right(range(len(record.text)), most, key=lambda characters: len(of(characters))) - 1
    return None if kept < 0 or len(of(kept)) - len(of(0)) < _LEAST_TEXT else of(kept)


def pad_id(llm: PreTrainedTokenizerBase) -> int:
    """What an LLM's text is padded with: EOS where there is no token for it; masked, it is never seen."""
    return llm.eos_token_id if llm.pad_token_id is None else llm.pad_token_id
