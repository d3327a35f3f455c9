"""The layout of the LinguaLIFT authors' published training code, in our own words: what throughput is compared with.

What it does (and this toolkit does not):
- micro-batches are drawn at random, and encoder, soft prompt and text are each padded to their longest;
- the encoder's padding goes through the alignment layer and lies inside the LLM's input, between BOS and the
  instruction: masked, but computed, and its positions are counted;
- logits are made at every position, in fp32, and the loss leaves most of them out afterwards;
- ZeRO-3 partitions everything, so frozen weights too are gathered on every pass;
- the frozen encoder runs in train mode, with its dropout.

Left out in its favour: a frozen encoder embedding that is set trainable and gets optimizer state. Set right, so that
it runs at all: its attention mask covers both boundary vectors.

Shapes: B samples of a micro-batch, S encoder positions, T text positions (instruction and target, padded), L = S + T
and BOS and two boundaries, D LLM width, V vocabulary.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from lingualift_ds.data.tokenize import Sample

IGNORE = -100


class BoundedProjection(nn.Module):
    """The alignment layer as the reference runs it: boundaries around every row, padding projected as well."""

    def __init__(self, project: nn.Module, begin: nn.Parameter, end: nn.Parameter):
        super().__init__()
        self.project, self.begin, self.end = project, begin, end

    def forward(self, states_BSE: Tensor) -> Tensor:
        """[begin, rows, end], [B, S + 2, D]."""
        rows_BSD = self.project(states_BSE)
        around = [edge.to(rows_BSD.dtype).expand(len(rows_BSD), 1, -1) for edge in (self.begin, self.end)]
        return torch.cat([around[0], rows_BSD, around[1]], dim=1)


class ReferenceModel(nn.Module):
    """Encoder, alignment layer and LLM. `forward` gives the sum of the cross entropy and its target tokens.

    `count_padding`: padding takes positions, as in the authors' code. False gives every token the position that it
    has without padding; rotary positions are relative, so only then is the loss that of a layout without padding.
    """

    def __init__(self, encoder: nn.Module, alignment: BoundedProjection, llm: nn.Module, count_padding: bool = True):
        super().__init__()
        self.encoder, self.alignment, self.llm, self.count_padding = encoder, alignment, llm, count_padding

    def forward(
        self, encoder_ids: Tensor, encoder_mask: Tensor, text_ids: Tensor, text_mask: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        """encoder_ids, encoder_mask [B, S]; text_ids, text_mask [B, 1 + T], BOS first; labels [B, T] or IGNORE."""
        with torch.no_grad():
            states = self.encoder(input_ids=encoder_ids, attention_mask=encoder_mask).last_hidden_state
        soft_BPD = self.alignment(states)
        text_BTD = self.llm.get_input_embeddings()(text_ids)
        embeds_BLD = torch.cat([text_BTD[:, :1], soft_BPD, text_BTD[:, 1:]], dim=1)
        edge = text_mask[:, :1]
        mask_BL = torch.cat([edge, edge, encoder_mask, edge, text_mask[:, 1:]], dim=1)
        positions = None if self.count_padding else (mask_BL.cumsum(1) - 1).clamp(min=0)
        output = self.llm(inputs_embeds=embeds_BLD, attention_mask=mask_BL, position_ids=positions, use_cache=False)
        logits_BLV = output.logits.float()
        before = labels.new_full((len(labels), embeds_BLD.shape[1] - labels.shape[1]), IGNORE)
        targets_BL = torch.cat([before, labels], dim=1)[:, 1:]
        loss = nn.functional.cross_entropy(
            logits_BLV[:, :-1].flatten(0, 1), targets_BL.flatten(), ignore_index=IGNORE, reduction="sum"
        )
        return loss, (targets_BL != IGNORE).sum()


def collate(samples: Sequence[Sample], pad: int = 0) -> dict[str, Tensor]:
    """A micro-batch, each half padded on the right to its longest. The first id of a prompt is BOS."""
    encoder_ids, encoder_mask = _padded([s.encoder_ids for s in samples], pad)
    text_ids, text_mask = _padded([np.concatenate([s.prompt_ids, s.target_ids]) for s in samples], pad)
    silent = [np.full(len(s.prompt_ids) - 1, IGNORE) for s in samples]
    labels, _ = _padded([np.concatenate([i, s.target_ids]) for i, s in zip(silent, samples)], IGNORE)
    return {
        "encoder_ids": encoder_ids,
        "encoder_mask": encoder_mask,
        "text_ids": text_ids,
        "text_mask": text_mask,
        "labels": labels,
    }


def deal(samples: Sequence[Sample], rank: int, ranks: int, micro_samples: int, seed: int) -> list[list[Sample]]:
    """One rank's micro-batches of a step: drawn at random, `micro_samples` each, whatever their lengths."""
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(samples))
    mine = [samples[i] for i in order[rank::ranks]]
    return [mine[i : i + micro_samples] for i in range(0, len(mine), micro_samples)]


def positions(batch: dict[str, Tensor]) -> tuple[int, int]:
    """Positions that a micro-batch costs, padding included: of the LLM, of the encoder."""
    encoder = batch["encoder_ids"].numel()
    return batch["text_ids"].numel() + encoder + 2 * len(batch["encoder_ids"]), encoder


def zero3_config(micro_samples: int, accumulation: int, ranks: int, bf16: bool) -> dict:
    """DeepSpeed's config: ZeRO-3 for all weights, with the bucket sizes of ds_configs/stage2_zero3.json."""
    return {
        "train_batch_size": micro_samples * accumulation * ranks,
        "train_micro_batch_size_per_gpu": micro_samples,
        "gradient_accumulation_steps": accumulation,
        "gradient_clipping": 1.0,
        "bf16": {"enabled": bf16},
        "steps_per_print": 2**31 - 1,
        "zero_allow_untested_optimizer": True,
        "zero_optimization": {
            "stage": 3,
            "overlap_comm": True,
            "contiguous_gradients": True,
            "reduce_bucket_size": 50_000_000,
            "stage3_prefetch_bucket_size": 50_000_000,
            "stage3_param_persistence_threshold": 100_000,
            "stage3_max_live_parameters": 1_000_000_000,
            "stage3_max_reuse_distance": 1_000_000_000,
        },
    }


def _padded(rows: Sequence[np.ndarray], value: int) -> tuple[Tensor, Tensor]:
    """Rows side by side, padded on the right with `value`, and which of it is not padding."""
    longest = max(len(r) for r in rows)
    ids = np.full((len(rows), longest), value, dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, values in enumerate(rows):
        ids[row, : len(values)] = values
        mask[row, : len(values)] = 1
    return torch.from_numpy(ids), torch.from_numpy(mask)
