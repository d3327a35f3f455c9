"""How a model is asked: LinguaLIFT's way, or an LLM alone, with plain text. Both read batches of samples.

Shapes: B samples, T tokens of the longest continuation, V vocabulary.
"""

import inspect
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    StoppingCriteria,
    StoppingCriteriaList,
)

from lingualift_ds.config.layout import IGNORE
from lingualift_ds.data.records import Record
from lingualift_ds.data.tokenize import Sample, pad_id
from lingualift_ds.errors import DataError
from lingualift_ds.evaluate.harness.requests import Request
from lingualift_ds.hub import LinguaLiftForCausalLM
from lingualift_ds.hub.modeling import end_ids, stated_positions
from lingualift_ds.hub.processing import padded, without_language

_NOTHING = np.zeros(0, dtype=np.int32)


class Way(Protocol):
    """A way to ask. `tokenizer` is the LLM's, `ends` the tokens that end a text."""

    tokenizer: PreTrainedTokenizerBase
    ends: Sequence[int]

    def samples(self, requests: Sequence[Request], counts: Counter) -> list[Sample]:
        """Token ids of each request; those of a continuation in `target_ids`. `counts` gets what was shortened.

        Raises DataError for a continuation that leaves no room for anything before it.
        """

    def generate(self, samples: Sequence[Sample], until: Sequence[str], **options: Any) -> Tensor:
        """New ids [B, up to max_new_tokens], padded after EOS, or after one of `until` came up in the text."""

    def logits(self, samples: Sequence[Sample], last: int) -> Tensor:
        """Logits [B, last, V] of the last positions; the samples' ends are aligned."""


@dataclass(frozen=True)
class Bridged:
    """Text and instruction as the model's prompt has them, to encoder and LLM."""

    model: LinguaLiftForCausalLM
    instruction: str | None = None

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The LLM's."""
        return self.model.processor.llm

    @property
    def ends(self) -> list[int]:
        """See Way."""
        return end_ids(self.model.generation_config)

    def samples(self, requests: Sequence[Request], counts: Counter) -> list[Sample]:
        """See Way."""
        default = self.instruction or without_language(self.model.processor.instruction)
        records = [
            Record(str(n), r.text, default if r.instruction is None else r.instruction, r.continuation or "", "")
            for n, r in enumerate(requests)
        ]
        with_target = bool(requests) and requests[0].continuation is not None
        found = list(self.model.processor.tokenizer.tokenized(records, counts, with_target))
        if len(found) < len(records):
            lost = min({int(record.id) for record in records} - {int(sample.id) for sample in found})
            most = self.model.processor.tokenizer.llm_max_tokens
            raise DataError(
                f"{requests[lost].name}: instruction and continuation leave no room for the text within {most} tokens"
            )
        # Training's EOS after the target is not part of a continuation.
        return [replace(s, target_ids=s.target_ids[:-1]) for s in found] if with_target else found

    def generate(self, samples: Sequence[Sample], until: Sequence[str], **options: Any) -> Tensor:
        """See Way."""
        # Of a prompt given as embeddings, generation knows no ids: the criteria see the new ones alone.
        return self.model.generate(**self._inputs(samples), **_stopping(until, self.tokenizer, 0), **options)

    def logits(self, samples: Sequence[Sample], last: int) -> Tensor:
        """See Way."""
        embeds, mask = self.model.prompt_embeddings(**self._inputs(samples))
        return _last_logits(self.model.llm, last, inputs_embeds=embeds, attention_mask=mask)

    def _inputs(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        inputs = self.model.processor.batch(samples)
        return {name: tensor.to(self.model.device) for name, tensor in inputs.items()}


@dataclass(frozen=True)
class Plain:
    """One text to the LLM, the instruction a line below it, tokenized as its tokenizer does by itself.

    What is longer than `max_length` tokens loses its beginning.
    """

    llm: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    max_length: int
    instruction: str | None = None

    def samples(self, requests: Sequence[Request], counts: Counter) -> list[Sample]:
        """See Way."""
        return [self._sample(request, counts) for request in requests]

    def _sample(self, request: Request, counts: Counter) -> Sample:
        told = self.instruction if request.instruction is None else request.instruction
        context = f"{request.text}\n{told}" if told else request.text
        if request.continuation is None:
            ids, target, room = self._ids(context), [], self.max_length - dict(request.settings)["max_gen_toks"]
        else:
            # LinguaLIFT's targets are tokenized by themselves; in one text a space parts them from the instruction.
            ids, target = self.pair(context, f" {request.continuation}" if told else request.continuation)
            room = self.max_length + 1 - len(target)  # the last token is only predicted
        if room < 1:
            raise DataError(
                f"{request.name}: what is to follow leaves no room for the text in {self.max_length} tokens"
            )
        if len(ids) > room:
            counts["shortened at their beginning, longer than the LLM can read"] += 1
        return self.sample(ids[-room:], target)

    def pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        """Ids of a context and of what follows it, split as lm-eval splits them: spaces go to the continuation, and
        both are tokenized as one text."""
        if not context:
            return [self.first_id], self._ids(continuation, add_special_tokens=False)
        kept = context.rstrip()
        continuation, context = context[len(kept) :] + continuation, kept
        ids = self._ids(context)
        return ids, self._ids(context + continuation)[len(ids) :]

    @property
    def ends(self) -> list[int]:
        """See Way."""
        return end_ids(self.llm.generation_config)

    @staticmethod
    def sample(ids: Sequence[int], target: Sequence[int]) -> Sample:
        """Token ids as a sample."""
        return Sample("", "", _NOTHING, np.asarray(ids, np.int32), np.asarray(target, np.int32), 0)

    @property
    def first_id(self) -> int:
        """What stands before the first token where nothing else does: BOS, or EOS where there is none."""
        bos = self.tokenizer.bos_token_id
        return self.tokenizer.eos_token_id if bos is None else bos

    def generate(self, samples: Sequence[Sample], until: Sequence[str], **options: Any) -> Tensor:
        """See Way."""
        ids, mask = self._inputs(samples)
        options |= _stopping(until, self.tokenizer, ids.shape[1])
        made = self.llm.generate(input_ids=ids, attention_mask=mask, **options)
        return made[:, ids.shape[1] :]

    def logits(self, samples: Sequence[Sample], last: int) -> Tensor:
        """See Way."""
        ids, mask = self._inputs(samples)
        return _last_logits(self.llm, last, input_ids=ids, attention_mask=mask)

    def _inputs(self, samples: Sequence[Sample]) -> tuple[Tensor, Tensor]:
        ids, mask = padded([sample.prompt_ids for sample in samples], pad_id(self.tokenizer), "left")
        return ids.to(self.llm.device), mask.to(self.llm.device)

    def _ids(self, text: str, **options: Any) -> list[int]:
        return self.tokenizer(text, **options)["input_ids"] or ([] if options else [self.first_id])


@torch.no_grad()
def loglikelihoods(way: Way, samples: Sequence[Sample]) -> list[tuple[float, bool]]:
    """Of each sample's continuation: the sum of its tokens' log-probabilities in nats, and whether each is the
    likeliest. An empty continuation is certain."""
    last = max(len(sample.target_ids) for sample in samples)
    if last == 0:
        return [(0.0, True)] * len(samples)
    # The last token is only predicted. An empty continuation needs no row, but rows keep their places this way.
    fed = [
        replace(s, prompt_ids=np.concatenate([s.prompt_ids, s.target_ids[:-1]]), target_ids=_NOTHING) for s in samples
    ]
    wanted = np.full((len(samples), last), IGNORE, np.int64)
    for row, sample in enumerate(samples):
        wanted[row, last - len(sample.target_ids) :] = sample.target_ids
    logits = way.logits(fed, last)
    targets = torch.from_numpy(wanted).to(logits.device)
    there = targets != IGNORE
    logits, ids = logits[there], targets[there]  # [N, V], [N]
    chosen = torch.log_softmax(logits.to(torch.promote_types(logits.dtype, torch.float32)), -1)
    chosen = chosen.gather(-1, ids[:, None])[:, 0].double()
    rows = there.nonzero()[:, 0]
    sums = torch.zeros(len(samples), dtype=torch.float64, device=logits.device).index_add_(0, rows, chosen)
    missed = torch.zeros(len(samples), dtype=torch.long, device=logits.device)
    missed.index_add_(0, rows, (logits.argmax(-1) != ids).long())
    return list(zip(sums.tolist(), (missed == 0).tolist()))


class _StopAt(StoppingCriteria):
    """Ends a row of generation once its text holds one of some strings. `prompt`: ids at the beginning to leave out."""

    def __init__(self, strings: Sequence[str], tokenizer: PreTrainedTokenizerBase, prompt: int):
        self.strings, self.tokenizer, self.prompt = strings, tokenizer, prompt
        # A token is at least a byte, but for the first of a word and what is decoded to nothing.
        self.tokens = max(len(string.encode()) for string in strings) + 8

    def __call__(self, input_ids: Tensor, scores: Tensor, **options: Any) -> Tensor:
        """Which rows end, [B]."""
        texts = self.tokenizer.batch_decode(input_ids[:, max(self.prompt, input_ids.shape[1] - self.tokens) :])
        ended = [any(string in text for string in self.strings) for text in texts]
        return torch.tensor(ended, device=input_ids.device)


def _stopping(until: Sequence[str], tokenizer: PreTrainedTokenizerBase, prompt: int) -> dict[str, Any]:
    return {"stopping_criteria": StoppingCriteriaList([_StopAt(until, tokenizer, prompt)])} if until else {}


def _last_logits(llm: PreTrainedModel, last: int, **inputs: Tensor) -> Tensor:
    inputs |= stated_positions(llm, inputs["attention_mask"])
    if "logits_to_keep" in inspect.signature(llm.forward).parameters:
        inputs["logits_to_keep"] = last
    return llm(**inputs, use_cache=False).logits[:, -last:]
