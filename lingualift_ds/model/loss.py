"""The loss: cross entropy at target positions only, as a sum, so that whoever knows the whole step divides.

Logits are made only where there is a target; at the other positions the LM head does not run.
"""

import inspect

from torch import Tensor, nn
from transformers import PreTrainedModel, modeling_utils

from lingualift_ds.config.layout import IGNORE


def keeps_boolean_mask(llm: PreTrainedModel) -> bool:
    """Whether `logits_to_keep` of this LLM takes a boolean mask [B, L] (transformers since `slice_logits_to_keep`)."""
    module = inspect.getmodule(type(llm))
    return hasattr(modeling_utils, "slice_logits_to_keep") and hasattr(module, "slice_logits_to_keep")


def target_loss(llm: PreTrainedModel, embeds_BLD: Tensor, mask_BL: Tensor, targets_BL: Tensor) -> Tensor:
    """Sum of the cross entropy in nats over the targets that are not IGNORE; 0 (with a graph) where there is none.

    targets_BL[b, t] is the token that position t predicts: labels already shifted. Softcapping and logit
    scaling stay right, because the LLM's own forward makes the logits.
    """
    wanted_BL = targets_BL != IGNORE
    inputs = {"inputs_embeds": embeds_BLD, "attention_mask": mask_BL, "use_cache": False}
    if keeps_boolean_mask(llm):
        # The first position too: an LM head that runs on no row at all would leave ZeRO-3 ranks out of step.
        keep_BL = wanted_BL.clone()
        keep_BL[0, 0] = True
        logits_NV = llm(**inputs, logits_to_keep=keep_BL).logits
        targets_N = targets_BL[keep_BL]
    else:
        logits_NV = llm(**inputs).logits.flatten(0, 1)
        targets_N = targets_BL.flatten()
    return nn.functional.cross_entropy(logits_NV.float(), targets_N, ignore_index=IGNORE, reduction="sum")
