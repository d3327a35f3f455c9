"""The bridged model as a transformers model: forward with a cache, generate, log-probabilities.

Shapes: B texts, L tokens of the LLM's text (padded), S encoder tokens (padded), W positions of the LLM's input with
the soft prompts in it, D LLM width, V vocabulary.
"""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, GenerationConfig, GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from lingualift_ds.config.layout import IGNORE
from lingualift_ds.errors import DataError
from lingualift_ds.hub.configuration import LinguaLiftConfig
from lingualift_ds.hub.processing import LinguaLiftProcessor
from lingualift_ds.model.adapters import add_adapter, merge_adapter
from lingualift_ds.model.alignment import AlignmentLayer
from lingualift_ds.model.encoders import build_encoder, hidden_states, states_per_token


@dataclass(frozen=True)
class Answer:
    """What the model wrote, whether it stopped by itself, and how many tokens that took."""

    text: str
    finished: bool
    tokens: int


class LinguaLiftForCausalLM(PreTrainedModel, GenerationMixin):
    """Multilingual encoder, alignment layer and LLM; the LLM alone where the configuration has no encoder.

    The LLM reads `input_ids` (BOS, instruction or what else its prompt has, and target if there is one) with the soft
    prompt after BOS, or after the first `soft_prompt_at` [B] tokens of each row; `encoder_input_ids` are what it is
    made of. Padding may be on either side.
    """

    config_class = LinguaLiftConfig
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_attention_backend = True
    accepts_loss_kwargs = False  # the loss is a mean over its batch, as transformers' Trainer should know

    def __init__(self, config: LinguaLiftConfig):
        super().__init__(config)
        dtype = torch.get_default_dtype()  # from_pretrained sets it
        self.llm = AutoModelForCausalLM.from_config(config.llm, dtype=dtype)
        if config.adapter_config is not None:
            add_adapter(self.llm, config.adapter_config)
        self.encoder = self.alignment = None
        if config.encoder is not None:
            self.encoder = build_encoder(config.encoder, dtype)
            width = self.llm.get_input_embeddings().embedding_dim
            read, known = config.encoder.hidden_size, states_per_token(config.encoder)
            self.alignment = AlignmentLayer(config.alignment_config, read, width, known)
        self._processor: LinguaLiftProcessor | None = None
        self.post_init()
        self.generation_config = generation_config(config.to_dict())

    @property
    def processor(self) -> LinguaLiftProcessor:
        """Both tokenizers and the prompt. Raises ModelError where the model's folder has none."""
        if self._processor is None:
            self._processor = LinguaLiftProcessor.from_pretrained(self.config._name_or_path, self.config)
        return self._processor

    @processor.setter
    def processor(self, processor: LinguaLiftProcessor) -> None:
        self._processor = processor

    def merge_adapter(self) -> None:
        """Make the LLM's adapter part of its weights; nothing where it has none."""
        if self.config.adapter is not None:
            merge_adapter(self.llm)
            self.config.adapter = None

    def get_input_embeddings(self) -> torch.nn.Module:
        """The LLM's."""
        return self.llm.get_input_embeddings()

    def get_output_embeddings(self) -> torch.nn.Module | None:
        """The LLM's head."""
        return self.llm.get_output_embeddings()

    def prompt_embeddings(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        encoder_input_ids: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        soft_prompt_at: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """What the LLM reads: embeddings [B, W, D], padded on the left, and their mask [B, W]."""
        embeds, mask, _ = self._prompt(
            input_ids, attention_mask, encoder_input_ids, encoder_attention_mask, soft_prompt_at
        )
        return embeds, mask

    def _prompt(
        self,
        ids: Tensor,
        mask: Tensor | None,
        encoder_ids: Tensor | None,
        encoder_mask: Tensor | None,
        soft_at: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Embeddings [B, W, D], mask [B, W], and where each of the text's tokens stands among them, [B, L]."""
        mask = (torch.ones_like(ids) if mask is None else mask).bool()
        text = self.get_input_embeddings()(ids)
        soft, soft_lengths, order = self._soft_prompts(encoder_ids, encoder_mask, len(ids), text)
        totals = mask.sum(1) + soft_lengths
        width = int(totals.max())
        first = width - totals
        head = torch.full_like(totals, int(self.config.bos_token_id is not None)) if soft_at is None else soft_at
        nth = mask.long().cumsum(1) - 1
        places = (first[:, None] + nth + soft_lengths[:, None] * (nth >= head[:, None])).clamp(min=0)
        rows = torch.arange(len(ids), device=ids.device)[:, None]
        embeds = text.new_zeros(len(ids), width, text.shape[-1])
        embeds[rows.expand_as(ids)[mask], places[mask]] = text[mask]
        if soft is not None:
            row, nth_soft = order
            embeds[row, (first + head)[row] + nth_soft] = soft.to(text)
        return embeds, (torch.arange(width, device=ids.device) >= first[:, None]).long(), places

    def _soft_prompts(
        self, ids: Tensor | None, mask: Tensor | None, count: int, like: Tensor
    ) -> tuple[Tensor | None, Tensor, tuple[Tensor, Tensor] | None]:
        """Soft rows of all texts, how many each text has, and of each row its text and its place there."""
        if self.encoder is None:
            return None, torch.zeros(count, dtype=torch.long, device=like.device), None
        if ids is None:
            raise DataError("encoder_input_ids: needed beside input_ids; model.processor makes both")
        mask = (torch.ones_like(ids) if mask is None else mask).bool()
        # Parts may lie on devices of their own.
        states = hidden_states(self.encoder, self.alignment.layers, input_ids=ids, attention_mask=mask.long())
        states = states.to(mask.device)[..., mask, :]
        lengths = mask.sum(1)
        soft = self.alignment(states, tuple(lengths.tolist()))
        layout = self.alignment.layout
        inner = torch.full_like(lengths, layout.latents) if layout.latents else lengths
        texts = torch.arange(count, device=like.device)
        row = texts.repeat_interleave(inner)
        nth = torch.arange(len(row), device=like.device) - (inner.cumsum(0) - inner)[row] + layout.begin
        # As AlignmentLayer.forward gives them: all inner rows, then begin boundaries, then end boundaries.
        rows = [row, *([texts] if layout.begin else []), texts]
        places = [nth, *([torch.zeros_like(texts)] if layout.begin else []), layout.begin + inner]
        return soft, inner + layout.begin + layout.end, (torch.cat(rows), torch.cat(places))

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        encoder_input_ids: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        soft_prompt_at: Tensor | None = None,
        **others: Any,
    ) -> CausalLMOutputWithPast:
        """Logits [B, L, V] of the positions of `input_ids`, those of the soft prompts left out; where a prompt ends in
        its soft prompt, what predicts the answer's first token is not among them.

        With `inputs_embeds` (see `prompt_embeddings`) or a filled cache it is the LLM's own forward. labels [B, L]:
        ids to be predicted, IGNORE elsewhere; the loss is their mean cross entropy in nats. Hidden states and
        attentions, where asked for, are of all positions.
        """
        filled = past_key_values is not None and past_key_values.get_seq_length() > 0
        if inputs_embeds is not None or filled:
            return self.llm(
                input_ids=None if inputs_embeds is not None else input_ids,
                inputs_embeds=inputs_embeds,
                attention_mask=attention_mask,
                past_key_values=past_key_values,
                use_cache=use_cache,
                labels=labels,
                **others,
            )
        embeds, mask, places = self._prompt(
            input_ids, attention_mask, encoder_input_ids, encoder_attention_mask, soft_prompt_at
        )
        others = stated_positions(self.llm, mask) | others
        output = self.llm(
            inputs_embeds=embeds, attention_mask=mask, past_key_values=past_key_values, use_cache=use_cache, **others
        )
        places = places.to(output.logits.device)
        logits = output.logits.gather(1, places[..., None].expand(-1, -1, output.logits.shape[-1]))
        loss = None if labels is None else _loss(output.logits, labels.to(places), places, mask.to(places))
        return CausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            past_key_values=output.past_key_values,
            hidden_states=output.hidden_states,
            attentions=output.attentions,
        )

    @torch.no_grad()
    def generate(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        encoder_input_ids: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        generation_config: GenerationConfig | None = None,
        soft_prompt_at: Tensor | None = None,
        **options: Any,
    ) -> Any:
        """New token ids [B, up to max_new_tokens], padded after EOS; greedy unless `options` say more. Fewer where the
        LLM's positions end before. Raises DataError where there is none left.

        `options` are those of transformers' generate: beams, sampling, streamers, criteria. `inputs_embeds` with
        their mask may be given instead of ids.
        """
        if inputs_embeds is None:
            inputs_embeds, attention_mask = self.prompt_embeddings(
                input_ids, attention_mask, encoder_input_ids, encoder_attention_mask, soft_prompt_at
            )
        if "max_length" in options:
            raise ValueError("max_length would count the soft prompt too; give max_new_tokens")
        config = generation_config or self.generation_config
        # What a given config leaves open transformers takes from here; what a base model samples by is not ours.
        self.llm.generation_config = self.generation_config
        wanted = options.pop("max_new_tokens", None) or config.max_new_tokens or self.generation_config.max_new_tokens
        most = self._room(inputs_embeds.shape[1])
        return self.llm.generate(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            generation_config=config,
            max_new_tokens=wanted if most is None else min(wanted, most),
            **options,
        )

    def _room(self, positions: int) -> int | None:
        """Positions that the LLM has left behind a prompt; None where they do not end."""
        most = getattr(self.config.llm, "max_position_embeddings", None)
        if most is not None and positions >= most:
            raise DataError(f"the prompt takes {positions} positions of the LLM's {most}: no room for an answer")
        return None if most is None else most - positions

    def answer(
        self,
        questions: str | Sequence[str],
        instruction: str | None = None,
        max_new_tokens: int = 256,
        batch_size: int = 32,
        **options: Any,
    ) -> list[Answer]:
        """Answers to questions, in their order, so many at a time, the long ones together. `instruction`: what the LLM
        is told; None: what it was trained with. `options` go to `generate`."""
        questions = [questions] if isinstance(questions, str) else list(questions)
        if batch_size < 1:
            raise DataError(f"batch_size {batch_size}: must be at least 1")
        order = sorted(range(len(questions)), key=lambda index: -len(questions[index]))
        answers: dict[int, Answer] = {}
        for first in range(0, len(order), batch_size):
            chunk = order[first : first + batch_size]
            inputs = self.processor([questions[index] for index in chunk], instruction)
            inputs = {name: tensor.to(self.device) for name, tensor in inputs.items()}
            made = self.generate(**inputs, max_new_tokens=max_new_tokens, **options)
            answers.update(zip(chunk, self.read(made)))
        return [answers[index] for index in range(len(questions))]

    def read(self, ids: Tensor) -> Iterator[Answer]:
        """Generated ids [B, T] as answers."""
        ends = end_ids(self.generation_config)
        for row in ids.tolist():
            kept = [*takewhile(lambda token: token not in ends, row)]
            text = self.processor.llm.decode(kept, skip_special_tokens=True).strip()
            yield Answer(text, len(kept) < len(row), len(kept))

    def save_pretrained(self, save_directory: str | Path, *arguments: Any, **options: Any) -> None:
        """As transformers does it, with both tokenizers beside."""
        super().save_pretrained(save_directory, *arguments, **options)
        self.processor.save_pretrained(Path(save_directory))


def generation_config(described: Mapping[str, Any]) -> GenerationConfig:
    """Greedy, up to 256 new tokens, with the special tokens that a config.json names."""
    special = {name: described.get(name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    config = GenerationConfig(max_new_tokens=256, do_sample=False, **special)
    if config.pad_token_id is None:
        config.pad_token_id = next(iter(end_ids(config)), None)
    return config


def stated_positions(llm: PreTrainedModel, mask: Tensor) -> dict[str, Tensor]:
    """`position_ids` of a padded batch [B, L], counted from each text's first token, for LLMs that take them."""
    if "position_ids" not in inspect.signature(llm.forward).parameters:
        return {}
    return {"position_ids": (mask.cumsum(1) - 1).clamp(min=0)}


def end_ids(config: GenerationConfig) -> list[int]:
    """The tokens that end a text: base models may have several."""
    ends = config.eos_token_id
    return ends if isinstance(ends, list) else [] if ends is None else [ends]


def _loss(logits: Tensor, labels: Tensor, places: Tensor, mask: Tensor) -> Tensor:
    """Mean cross entropy of labels [B, L] that stand at `places` [B, L] of the LLM's input: the position before
    predicts each, the end of the soft prompt too. The first position of an input [B, W] is predicted by none."""
    rows, columns = ((labels != IGNORE) & (places > mask.argmax(1, keepdim=True))).nonzero(as_tuple=True)
    predicting = logits[rows, places[rows, columns] - 1].float()
    return torch.nn.functional.cross_entropy(predicting, labels[rows, columns])
