"""What only a GPU can show: the kernels for packed samples against plain attention, and a stage from end to end."""

import pytest
import tiny
import torch
from torch.nn import functional

from lingualift_ds.config.load import load_config
from lingualift_ds.model.attention import extents, sample_attention, varlen_attention
from lingualift_ds.train.run import run_stage
from lingualift_ds.train.stages import stage_of

pytestmark = pytest.mark.gpu


class Module(torch.nn.Module):
    """What transformers hands to an attention function."""

    def __init__(self, causal: bool):
        super().__init__()
        self.is_causal = causal


def inputs(lengths: tuple[int, ...], heads: int, kv_heads: int, width: int = 64):
    torch.manual_seed(0)
    make = lambda h: torch.randn(1, h, sum(lengths), width, device="cuda", dtype=torch.bfloat16, requires_grad=True)  # noqa: E731
    bounds = torch.tensor([0, *torch.tensor(lengths).cumsum(0)], dtype=torch.int32, device="cuda")
    return make(heads), make(kv_heads), make(kv_heads), extents(lengths, bounds)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("window", [None, 32])
@pytest.mark.parametrize("kv_heads", [8, 2])
def test_varlen_equals_sample_by_sample(causal, window, kv_heads):
    if window and not causal:
        pytest.skip("windows are causal here")
    query, key, value, where = inputs((5, 130, 64, 1, 77), 8, kv_heads)
    found, expected = (
        attend(Module(causal), query, key, value, None, scaling=0.1, sliding_window=window, **where)[0]
        for attend in (varlen_attention, sample_attention)
    )
    # bf16 keeps 8 bits; the sums run in fp32 in both.
    torch.testing.assert_close(found, expected, rtol=2e-2, atol=2e-2)
    weight = torch.randn_like(found)
    gradients = [
        torch.autograd.grad((x * weight).sum(), (query, key, value), retain_graph=True) for x in (found, expected)
    ]
    for ours, theirs in zip(*gradients):
        torch.testing.assert_close(ours, theirs, rtol=5e-2, atol=5e-2)


def test_a_position_bias_is_added_per_sample():
    query, key, value, where = inputs((9, 30), 4, 4)
    bias = torch.randn(1, 4, 30, 30, device="cuda", dtype=torch.bfloat16)
    found = sample_attention(Module(False), query, key, value, None, scaling=1.0, position_bias=bias, **where)[0]
    alone = functional.scaled_dot_product_attention(
        query[:, :, :9], key[:, :, :9], value[:, :, :9], attn_mask=bias[:, :, :9, :9], scale=1.0
    )
    torch.testing.assert_close(found[:, :9], alone.transpose(1, 2), rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("stage", [1, 2])
def test_a_stage_trains_in_bf16_at_zero_3(tmp_path, stage):
    config = load_config(
        tiny.write_recipe(tmp_path, 3, precision="bf16"),
        [f"run.cache={tmp_path}/cache", "stage2.start_from=scratch", "stage2.sharding.encoder=resident"],
    )
    run_stage(config, stage_of(config, stage), "never", "test")
    assert (tmp_path / f"run/stage{stage}/COMPLETE").is_file()
