"""Samples to the tensors of one micro-batch: the keyword arguments of the bridged model.

A training micro-batch is one row of samples back to back (packed), or one sample a row, padded on the right. The
encoder's texts lie in one packed row, or in blocks of like length. All indices that the model needs are made
here, so that nothing on the device has to be searched or counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from lingualift_ds.config.layout import IGNORE, PromptLayout
from lingualift_ds.data.tokenize import Sample, pad_id


@dataclass(frozen=True)
class BatchLayout:
    """How samples become tensors. `encoder_pad` and `prompt` are None for a model without an encoder."""

    llm_pad: int
    has_bos: bool
    encoder_pad: int | None = None
    prompt: PromptLayout | None = None
    pack_llm: bool = True
    pack_encoder: bool = True
    encoder_blocks: int = 1
    """Blocks of like length that an encoder which cannot pack runs one after the other."""

    @classmethod
    def of(
        cls, llm: PreTrainedTokenizerBase, encoder: PreTrainedTokenizerBase | None, prompt: PromptLayout | None
    ) -> "BatchLayout":
        """From the tokenizers."""
        return cls(
            llm_pad=pad_id(llm),
            has_bos=llm.bos_token_id is not None,
            encoder_pad=None if encoder is None else encoder.pad_token_id or 0,
            prompt=prompt,
        )


def collate(samples: Sequence[Sample], layout: BatchLayout, weightless: bool = False) -> dict[str, Any]:
    """A training micro-batch; see BridgedModel.forward for its keys.

    `weightless` drops all targets: the batch costs a pass and adds nothing, for a rank that has no sample of
    its own but must call every module as often as the others do.
    """
    lengths = [s.llm_length for s in samples]
    width = sum(lengths) if layout.pack_llm else max(lengths)
    firsts = _starts(lengths) if layout.pack_llm else np.arange(len(samples)) * width
    ids = np.full(width if layout.pack_llm else len(samples) * width, layout.llm_pad, dtype=np.int64)
    slots, targets = [], []
    for sample, first, length in zip(samples, firsts, lengths):
        _place_prompt(ids, first, sample, layout)
        end = first + length
        start = end - len(sample.target_ids)
        ids[start:end] = sample.target_ids
        slots.append(np.arange(start - 1, end - 1))
        targets.append(sample.target_ids)
    if weightless:
        # One position without a target: an LM head that runs on no row would leave ZeRO-3 ranks out of step.
        slots, targets = [firsts[:1]], [np.array([IGNORE])]
    rows = 1 if layout.pack_llm else len(samples)
    llm = {"ids": torch.from_numpy(ids.reshape(rows, width)), **_extents(lengths, width, layout.pack_llm)}
    batch = {"llm": llm, "target_slots": _long(slots), "targets": _long(targets)}
    return batch | _encoder(samples, firsts, layout)


def _head(sample: Sample, layout: BatchLayout) -> int:
    """Tokens of a sample's prompt before its soft prompt."""
    return int(layout.has_bos) if sample.soft_at is None else sample.soft_at


def _place_prompt(ids: np.ndarray, first: int, sample: Sample, layout: BatchLayout) -> None:
    """Write the prompt from flat position `first` on, with a gap for the soft prompt."""
    head = _head(sample, layout)
    ids[first : first + head] = sample.prompt_ids[:head]
    rest = first + head + sample.soft_rows
    ids[rest : rest + len(sample.prompt_ids) - head] = sample.prompt_ids[head:]


def _extents(lengths: list[int], width: int, packed: bool) -> dict[str, Any]:
    """Where the samples of a row begin and end (packed), or which positions are padding; positions restart."""
    if not packed:
        positions = torch.arange(width).expand(len(lengths), -1)
        return {"mask": (positions < torch.tensor(lengths)[:, None]).long()}
    positions = np.concatenate([np.arange(n) for n in lengths])
    bounds = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return {
        "positions": torch.from_numpy(positions)[None],
        "bounds": torch.from_numpy(bounds),
        "lengths": tuple(lengths),
    }


def _encoder(samples: Sequence[Sample], firsts: Sequence[int], layout: BatchLayout) -> dict[str, Any]:
    """The encoder's input, and the flat LLM positions of the rows that the alignment layer makes of its output.

    The rows come as AlignmentLayer.forward gives them: those of all texts, then all begin boundaries, then all
    end boundaries.
    """
    if layout.encoder_pad is None:
        return {}
    lengths = [len(s.encoder_ids) for s in samples]
    gaps = np.asarray(firsts) + np.array([_head(s, layout) for s in samples])
    inner = [layout.prompt.latents or n for n in lengths]
    slots = [np.arange(n) + gap + layout.prompt.begin for n, gap in zip(inner, gaps)]
    slots += [gaps] if layout.prompt.begin else []
    slots += [gaps + layout.prompt.begin + np.asarray(inner)]
    order, blocks = None, []
    if layout.pack_encoder:
        ids = np.concatenate([s.encoder_ids for s in samples]).astype(np.int64)
        blocks.append({"ids": torch.from_numpy(ids)[None], **_extents(lengths, len(ids), True)})
    else:
        order = _blocks(samples, lengths, layout, blocks)
    return {"encoder": {"blocks": blocks, "order": order, "lengths": tuple(lengths)}, "soft_slots": _long(slots)}


def _blocks(samples: Sequence[Sample], lengths: list[int], layout: BatchLayout, blocks: list[dict]) -> Tensor:
    """Append padded blocks of texts of like length; returns where each token of the texts, in order, lies in them."""
    by_length = np.argsort(-np.asarray(lengths), kind="stable")
    at, places = 0, [None] * len(samples)
    for chunk in np.array_split(by_length, min(layout.encoder_blocks, len(samples))):
        width = lengths[chunk[0]]
        ids = np.full((len(chunk), width), layout.encoder_pad, dtype=np.int64)
        for row, index in enumerate(chunk):
            ids[row, : lengths[index]] = samples[index].encoder_ids
            places[index] = np.arange(lengths[index]) + at + row * width
        at += ids.size
        extents = _extents([lengths[i] for i in chunk], width, False)
        blocks.append({"ids": torch.from_numpy(ids), **extents})
    return _long(places)


def _starts(lengths: Sequence[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)


def _long(parts: list[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.concatenate(parts).astype(np.int64))
