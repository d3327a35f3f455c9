"""Samples to the tensors of one micro-batch: the keyword arguments of the bridged model."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lingualift_ds.config.layout import IGNORE
from lingualift_ds.data.tokenize import Sample


def collate(
    samples: Sequence[Sample], llm_pad: int, encoder_pad: int | None, has_bos: bool, weightless: bool = False
) -> dict[str, Tensor]:
    """A micro-batch padded on the right, for training.

    `weightless` drops all targets: the batch costs a pass and adds nothing, for a rank that has no sample of
    its own but must call every module as often as the others do.
    """
    lengths = [s.llm_length for s in samples]
    ids = torch.full((len(samples), max(lengths)), llm_pad)
    targets = torch.full_like(ids, IGNORE)
    mask = torch.zeros_like(ids)
    slots = []
    for row, sample in enumerate(samples):
        start = lengths[row] - len(sample.target_ids)
        slots.append(_place_prompt(ids, row, 0, sample, has_bos))
        target = torch.from_numpy(sample.target_ids).long()
        ids[row, start : lengths[row]] = target
        mask[row, : lengths[row]] = 1
        if not weightless:
            targets[row, start - 1 : lengths[row] - 1] = target
    batch = {"llm_ids": ids, "llm_mask": mask, "targets": targets}
    return batch | _encoder_tensors(samples, encoder_pad, slots)


def collate_prompts(
    samples: Sequence[Sample], llm_pad: int, encoder_pad: int | None, has_bos: bool
) -> dict[str, Tensor]:
    """A batch of prompts padded on the left, for generation."""
    lengths = [s.llm_length - len(s.target_ids) for s in samples]
    ids = torch.full((len(samples), max(lengths)), llm_pad)
    mask = torch.zeros_like(ids)
    slots = []
    for row, sample in enumerate(samples):
        first = max(lengths) - lengths[row]
        slots.append(_place_prompt(ids, row, first, sample, has_bos))
        mask[row, first:] = 1
    return {"llm_ids": ids, "llm_mask": mask} | _encoder_tensors(samples, encoder_pad, slots)


def _place_prompt(ids: Tensor, row: int, first: int, sample: Sample, has_bos: bool) -> Tensor:
    """Write [BOS], gap, rest of the prompt from column `first` on; returns the gap's flat positions."""
    head = 1 if has_bos else 0
    prompt = torch.from_numpy(sample.prompt_ids).long()
    ids[row, first : first + head] = prompt[:head]
    gap = first + head
    rest = gap + sample.soft_rows
    ids[row, rest : rest + len(prompt) - head] = prompt[head:]
    return torch.arange(gap, rest) + row * ids.shape[1]


def _encoder_tensors(samples: Sequence[Sample], encoder_pad: int | None, slots: list[Tensor]) -> dict[str, Tensor]:
    if encoder_pad is None:
        return {}
    ids = torch.full((len(samples), max(len(s.encoder_ids) for s in samples)), encoder_pad)
    mask = torch.zeros_like(ids)
    for row, sample in enumerate(samples):
        ids[row, : len(sample.encoder_ids)] = torch.from_numpy(sample.encoder_ids).long()
        mask[row, : len(sample.encoder_ids)] = 1
    return {"encoder_ids": ids, "encoder_mask": mask, "soft_slots": torch.cat(slots)}
