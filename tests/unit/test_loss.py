"""The loss over chunks of targets: what it costs in memory, and families that shape their logits."""

import pytest
import torch
import transformers
from torch.nn import functional

from benchmarks.allocations import TensorBytes
from lingualift_ds.config.layout import IGNORE
from lingualift_ds.model import loss

VOCABULARY, WIDTH = 131_072, 16


def head(**config) -> transformers.PreTrainedModel:
    torch.manual_seed(0)
    settings = dict(hidden_size=WIDTH, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(vocab_size=VOCABULARY, **settings, **config))


def rise(targets: int, trained: bool) -> int:
    """Bytes that the loss of so many targets takes at its peak, forward and backward."""
    llm = head()
    llm.requires_grad_(trained)
    assert loss.fuse_head(llm)
    hidden = torch.randn(targets, WIDTH, requires_grad=True)
    wanted = torch.randint(0, VOCABULARY, (targets,))
    with TensorBytes() as tensors:
        before = tensors.now
        llm.get_output_embeddings()(hidden, targets_N=wanted).backward()
    return tensors.peak - before


@pytest.mark.parametrize("trained", [False, True])
def test_memory_of_the_logits_does_not_grow_with_the_targets(monkeypatch, trained):
    monkeypatch.setattr(loss, "CHUNK_LOGITS", 8 * VOCABULARY)
    few, many = rise(16, trained), rise(256, trained)
    # 240 more targets: their logits would take 126 MB; their hidden states' gradients take 15 KB, twice.
    assert few > 8 * VOCABULARY * 4 and many - few < 100_000


def test_logits_are_shaped_as_the_family_does_before_the_loss():
    hidden, targets = torch.randn(5, WIDTH), torch.tensor([1, 2, IGNORE, 3, 4])
    for config, shaped in (
        (transformers.Gemma2Config(final_logit_softcapping=3.0), lambda x: torch.tanh(x / 3) * 3),
        (transformers.CohereConfig(logit_scale=0.25), lambda x: x * 0.25),
        (transformers.GraniteConfig(logits_scaling=8.0), lambda x: x / 8),
        (transformers.LlamaConfig(), lambda x: x),
    ):
        llm = head()
        llm.config = config
        plain = functional.cross_entropy(
            shaped(llm.lm_head(hidden)), targets, ignore_index=IGNORE, reduction="sum"
        ).detach()
        loss.fuse_head(llm)
        torch.testing.assert_close(llm.lm_head(hidden, targets_N=targets).detach(), plain, rtol=1e-5, atol=1e-5)
