"""The bridged model: LLM input = [BOS, begin, A(E(text)), end, instruction, target] for every sample.

Shapes: B rows, L positions of a row, T = B x L, D LLM width, N targets, R soft-prompt rows of all samples. In
training samples lie back to back in one row (B = 1), or one a row with padding on the right. The data room leaves
placeholder ids where the soft prompts go and says where that is; this model fills the gaps. Without an encoder it
is the plain LLM.
"""

from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from lingualift_ds.model.alignment import AlignmentLayer
from lingualift_ds.model.attention import extents
from lingualift_ds.model.encoders import encode
from lingualift_ds.model.llms import recompute_in_eval
from lingualift_ds.model.loss import target_loss


class BridgedModel(nn.Module):
    """`encoder` and `alignment` may both be None: then the LLM reads text alone (MonoReason).

    A part that is `resident` is no submodule: DeepSpeed neither partitions nor gathers nor reduces it.
    """

    def __init__(self, llm: PreTrainedModel, encoder: PreTrainedModel | None, alignment: AlignmentLayer | None):
        super().__init__()
        assert (encoder is None) == (alignment is None), "an encoder needs an alignment layer, and the other way round"
        self.encoder, self.alignment, self.llm = encoder, alignment, llm
        self.resident: dict[str, nn.Module] = {}
        self.fused_loss = False
        """Whether the LLM's head gives the loss by itself (model/loss.py, fuse_head)."""

    def make_resident(self, name: str) -> None:
        """Take a frozen part out of DeepSpeed's sight. Before the engine is built."""
        part = getattr(self, name)
        assert not any(p.requires_grad for p in part.parameters()), f"{name} is trained and cannot be resident"
        del self._modules[name]
        self.resident[name] = part

    def __getattr__(self, name: str) -> Any:
        resident = self.__dict__.get("resident", {})
        return resident[name] if name in resident else super().__getattr__(name)

    @property
    def parts(self) -> dict[str, nn.Module]:
        """Encoder, alignment layer and LLM, those that are there, resident or not."""
        every = {name: getattr(self, name) for name in ("encoder", "alignment", "llm")}
        return {name: part for name, part in every.items() if part is not None}

    def train(self, mode: bool = True) -> "BridgedModel":
        """Training mode for what is trained; what is frozen stays in eval mode: no dropout in its features."""
        super().train(mode)
        for part in self.parts.values():
            part.train(mode and any(p.requires_grad for p in part.parameters()))
        if mode and not self.llm.training:
            recompute_in_eval(self.llm)
        return self

    def forward(
        self,
        llm: dict[str, Any],
        target_slots: Tensor,
        targets: Tensor,
        encoder: dict[str, Any] | None = None,
        soft_slots: Tensor | None = None,
    ) -> Tensor:
        """Sum of the cross entropy in nats over the targets.

        llm: `ids` [B, L], any id in the soft prompts' gaps, and either `positions` [1, L], `bounds` and `lengths`
        of the packed samples, or `mask` [B, L]; target_slots [N]: flat positions (row * L + column) that predict
        targets [N]; encoder: see encoders.encode, and `lengths` of the texts; soft_slots [R]: flat positions of
        the gaps, in the order of AlignmentLayer.forward.
        """
        inputs = {"inputs_embeds": self.embed(llm["ids"], encoder, soft_slots), "use_cache": False}
        if "mask" in llm:
            inputs |= {"attention_mask": llm["mask"]}
        else:
            inputs |= {"position_ids": llm["positions"], **extents(llm["lengths"], llm["bounds"])}
        return target_loss(self.llm, inputs, target_slots, targets, self.fused_loss)

    def embed(self, ids_BL: Tensor, encoder: dict[str, Any] | None, soft_slots: Tensor | None) -> Tensor:
        """LLM input embeddings [B, L, D] with the soft prompts in their gaps."""
        embeds_BLD = self.llm.get_input_embeddings()(ids_BL)
        if self.encoder is None:
            return embeds_BLD
        states = encode(self.encoder, encoder["blocks"], encoder["order"], self.alignment.layers)
        soft_RD = self.alignment(states, encoder["lengths"]).to(embeds_BLD.dtype)
        return embeds_BLD.flatten(0, 1).index_copy(0, soft_slots, soft_RD).view_as(embeds_BLD)
