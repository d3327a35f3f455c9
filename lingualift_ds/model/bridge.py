"""The bridged model: LLM input = [BOS, begin, A(E(text)), end, instruction, target], without padding between.

Shapes: B samples, S encoder positions, L LLM positions, D LLM width, R soft-prompt rows of a text (padded),
P soft-prompt rows of the whole batch. The data room leaves placeholder ids where the soft prompt goes and says
where that is; this model fills the gaps. Without an encoder it is the plain LLM.
"""

import torch
from torch import Tensor, nn
from transformers import GenerationConfig, PreTrainedModel

from lingualift_ds.model.alignment import AlignmentLayer
from lingualift_ds.model.encoders import encode
from lingualift_ds.model.llms import recompute_in_eval
from lingualift_ds.model.loss import target_loss


class BridgedModel(nn.Module):
    """`encoder` and `alignment` may both be None: then the LLM reads text alone (MonoReason)."""

    def __init__(self, llm: PreTrainedModel, encoder: PreTrainedModel | None, alignment: AlignmentLayer | None):
        super().__init__()
        assert (encoder is None) == (alignment is None), "an encoder needs an alignment layer, and the other way round"
        self.encoder, self.alignment, self.llm = encoder, alignment, llm

    def train(self, mode: bool = True) -> "BridgedModel":
        """Training mode for what is trained; what is frozen stays in eval mode: no dropout in its features."""
        super().train(mode)
        for part in (self.encoder, self.alignment, self.llm):
            if part is not None and not any(p.requires_grad for p in part.parameters()):
                part.eval()
        if mode and not self.llm.training:
            recompute_in_eval(self.llm)
        return self

    def forward(
        self,
        llm_ids: Tensor,
        llm_mask: Tensor,
        targets: Tensor,
        encoder_ids: Tensor | None = None,
        encoder_mask: Tensor | None = None,
        soft_slots: Tensor | None = None,
    ) -> Tensor:
        """Sum of the cross entropy in nats over the targets.

        llm_ids [B, L]: tokens, with any id in the soft prompt's gaps; llm_mask [B, L]: 1 where not padding;
        targets [B, L]: the token each position predicts, or loss.IGNORE; encoder_ids, encoder_mask [B, S];
        soft_slots [P]: flat positions (row * L + column) of the gaps, sample by sample.
        """
        embeds = self.embed(llm_ids, encoder_ids, encoder_mask, soft_slots)
        return target_loss(self.llm, embeds, llm_mask, targets)

    def embed(
        self, llm_ids: Tensor, encoder_ids: Tensor | None, encoder_mask: Tensor | None, soft_slots: Tensor | None
    ) -> Tensor:
        """LLM input embeddings [B, L, D] with the soft prompts in their gaps."""
        embeds_BLD = self.llm.get_input_embeddings()(llm_ids)
        if self.encoder is None:
            return embeds_BLD
        states_BSE = encode(self.encoder, encoder_ids, encoder_mask)
        rows_BRD, real_BR = self.alignment(states_BSE, encoder_mask)
        soft_PD = rows_BRD[real_BR].to(embeds_BLD.dtype)
        flat = embeds_BLD.flatten(0, 1).index_copy(0, soft_slots, soft_PD)
        return flat.view_as(embeds_BLD)

    @torch.no_grad()
    def generate(
        self,
        llm_ids: Tensor,
        llm_mask: Tensor,
        max_new_tokens: int,
        eos_id: int,
        pad_id: int,
        encoder_ids: Tensor | None = None,
        encoder_mask: Tensor | None = None,
        soft_slots: Tensor | None = None,
    ) -> Tensor:
        """Greedy continuations [B, up to max_new_tokens], padded with pad_id after EOS.

        The prompts are padded on the left. The LLM's own generation defaults (sampling, penalties) are not used.
        """
        embeds = self.embed(llm_ids, encoder_ids, encoder_mask, soft_slots)
        # transformers fills what a passed config leaves open (penalties) from the model's own.
        self.llm.generation_config = GenerationConfig()
        greedy = GenerationConfig(
            max_new_tokens=max_new_tokens, do_sample=False, eos_token_id=eos_id, pad_token_id=pad_id
        )
        return self.llm.generate(inputs_embeds=embeds, attention_mask=llm_mask, generation_config=greedy)
