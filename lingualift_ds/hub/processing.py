"""Texts to a bridged model's inputs: what the encoder reads of them, and the LLM, in the order of its training."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from huggingface_hub import snapshot_download
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from lingualift_ds.config.layout import IGNORE, prompt_layout
from lingualift_ds.data.records import Record
from lingualift_ds.data.tokenize import Sample, SampleTokenizer, pad_id
from lingualift_ds.errors import DataError, ModelError
from lingualift_ds.hub.configuration import LinguaLiftConfig
from lingualift_ds.log import get_logger

logger = get_logger(__name__)

LANGUAGE = "{language}"
"""In an instruction: where a language's name goes."""


class LinguaLiftProcessor:
    """Both tokenizers and the prompt of a model.

    Attributes:
        llm, encoder: tokenizers; `encoder` is None for a model of text alone.
        instruction: what the LLM is told where nothing else is said.
        tokenizer: what makes prompts of texts, as in training.
    """

    def __init__(self, llm: PreTrainedTokenizerBase, encoder: PreTrainedTokenizerBase | None, config: LinguaLiftConfig):
        self.llm, self.encoder, self.instruction = llm, encoder, config.instruction
        self.tokenizer = SampleTokenizer(
            llm=llm,
            llm_max_tokens=config.llm_max_tokens,
            encoder=encoder,
            encoder_max_tokens=config.encoder_max_tokens,
            layout=None if encoder is None else prompt_layout(config.alignment_config),
            row_of=config.whitespace_rows,
            prompt=tuple(config.prompt),
            encoder_input=config.encoder_input,
            llm_input=config.llm_input,
        )

    @classmethod
    def from_pretrained(cls, folder: Path | str, config: LinguaLiftConfig | None = None) -> "LinguaLiftProcessor":
        """From a model's folder, or a name on the hub. Raises ModelError where a tokenizer is missing or cannot be
        read."""
        config = config or LinguaLiftConfig.from_pretrained(folder)
        if not Path(folder).is_dir():
            commit = getattr(config, "_commit_hash", None)
            folder = snapshot_download(str(folder), revision=commit, allow_patterns=["*_tokenizer/*"])
        folder = Path(folder)
        llm = _read_tokenizer(folder / "llm_tokenizer")
        return cls(llm, _read_tokenizer(folder / "encoder_tokenizer") if config.encoder else None, config)

    def save_pretrained(self, folder: Path | str) -> None:
        """Write both tokenizers as `from_pretrained` finds them."""
        self.llm.save_pretrained(Path(folder) / "llm_tokenizer")
        if self.encoder is not None:
            self.encoder.save_pretrained(Path(folder) / "encoder_tokenizer")

    def __call__(
        self,
        texts: Sequence[str],
        instructions: str | Sequence[str] | None = None,
        targets: Sequence[str] | None = None,
        padding_side: Literal["left", "right"] = "left",
    ) -> dict[str, Tensor]:
        """The keyword arguments of the model's forward and generate.

        `input_ids` and `attention_mask` [B, L]: BOS, the prompt but for its soft prompt, and target. `soft_prompt_at`
        [B]: how many of a row's tokens stand before its soft prompt; left out where that is BOS alone.
        `encoder_input_ids` and `encoder_attention_mask` [B, S]: what the encoder reads, padded on the right. `labels`
        [B, L] with targets: their tokens and EOS, IGNORE elsewhere. Raises DataError for a blank text, or one that has
        no room beside instruction and target.
        """
        samples = self.samples(texts, instructions, targets)
        return self.batch(samples, padding_side)

    def samples(
        self,
        texts: Sequence[str],
        instructions: str | Sequence[str] | None = None,
        targets: Sequence[str] | None = None,
        counts: Counter | None = None,
    ) -> list[Sample]:
        """The token ids of each text by itself. `counts` gets by reason how many were shortened; without it a warning
        says so. Raises DataError as `__call__`."""
        if isinstance(texts, str):
            texts = [texts]
        if instructions is None or isinstance(instructions, str):
            told = without_language(self.instruction) if instructions is None else instructions
            instructions = [told] * len(texts)
        for name, given in (("instructions", instructions), ("targets", targets)):
            if given is not None and len(given) != len(texts):
                raise DataError(f"{name}: {len(given)} for {len(texts)} texts")
        records = [
            Record(str(index), text, instruction, target, "")
            for index, (text, instruction, target) in enumerate(
                zip(texts, instructions, targets or [""] * len(texts), strict=True)
            )
        ]
        for record in records:
            if not record.text.strip():
                raise DataError(f"text {int(record.id) + 1} of {len(records)} is blank")
        shortened = Counter() if counts is None else counts
        samples = list(self.tokenizer.tokenized(records, shortened, with_target=targets is not None))
        if len(samples) < len(records):
            missing = {record.id for record in records} - {sample.id for sample in samples}
            raise DataError(
                f"text {int(min(missing, key=int)) + 1} of {len(records)}: instruction and target leave no room for "
                f"it within {self.tokenizer.llm_max_tokens} tokens"
            )
        for reason, count in shortened.items() if counts is None else ():
            logger.warning("%s: %d", reason, count)
        return samples

    def batch(self, samples: Sequence[Sample], padding_side: Literal["left", "right"] = "left") -> dict[str, Tensor]:
        """Samples as tensors, see `__call__`."""
        ids = [np.concatenate([sample.prompt_ids, sample.target_ids]) for sample in samples]
        made = dict(zip(("input_ids", "attention_mask"), padded(ids, pad_id(self.llm), padding_side)))
        if any(len(sample.target_ids) for sample in samples):
            labels = [np.concatenate([np.full(len(s.prompt_ids), IGNORE), s.target_ids]) for s in samples]
            made["labels"] = padded(labels, IGNORE, padding_side)[0]
        if self.encoder is not None:
            texts = [sample.encoder_ids for sample in samples]
            filled = padded(texts, self.encoder.pad_token_id or 0, "right")
            made |= dict(zip(("encoder_input_ids", "encoder_attention_mask"), filled))
        if samples and samples[0].soft_at is not None:  # of one prompt, so all have it or none has
            made["soft_prompt_at"] = torch.tensor([sample.soft_at for sample in samples])
        return made


def without_language(instruction: str) -> str:
    """An instruction that has a place for a language's name, without it: at test time no one says the language."""
    return " ".join(instruction.replace(LANGUAGE, "").split()) if LANGUAGE in instruction else instruction


def padded(rows: Sequence[np.ndarray], pad: int, side: str) -> tuple[Tensor, Tensor]:
    """Rows as one tensor [rows, longest], and which of its places are not padding; `side`: left or right."""
    width = max(map(len, rows), default=0)
    ids, mask = np.full((len(rows), width), pad, np.int64), np.zeros((len(rows), width), np.int64)
    for index, row in enumerate(rows):
        there = slice(width - len(row), width) if side == "left" else slice(len(row))
        ids[index, there], mask[index, there] = row, 1
    return torch.from_numpy(ids), torch.from_numpy(mask)


def _read_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    if not folder.is_dir():
        raise ModelError(f"{folder}: no such folder; a model's tokenizers lie there")
    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{folder}: holds no tokenizer that can be read: {' '.join(str(error).split())[:200]}"
        ) from None
