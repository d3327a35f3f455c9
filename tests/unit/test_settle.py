"""The layout is settled by what the loaded model does: a model that reads packed samples wrongly is found out."""

import pytest
import tiny
import torch
import transformers
from torch.nn import functional
from transformers import AttentionInterface

from lingualift_ds.config.layout import prompt_layout
from lingualift_ds.config.schema import AlignmentConfig, AttentionConfig, ModelConfig, PackingConfig
from lingualift_ds.data.collate import BatchLayout
from lingualift_ds.errors import ConfigError
from lingualift_ds.model import attention, encoders, loss
from lingualift_ds.model.alignment import AlignmentLayer
from lingualift_ds.model.arrangement import Arrangement
from lingualift_ds.model.bridge import BridgedModel
from lingualift_ds.model.llms import load_llm, packing_obstacle
from lingualift_ds.model.loading import read_config, read_tokenizer
from lingualift_ds.model.loss import fuse_head
from lingualift_ds.train.settle import settle


class Engine:
    """What `settle` uses of the engine."""

    def __init__(self, module: BridgedModel):
        self.module = module

    def train(self, mode: bool = True) -> None:
        self.module.train(mode)

    def forward(self, batch: dict) -> torch.Tensor:
        return self.module(**batch)


@pytest.fixture
def make(tmp_path):
    no_packing, no_attention = PackingConfig(), AttentionConfig()

    def build(
        encoder: str = "mt5", llm: str = "llama", dtype: str = "fp32", packing=no_packing, attention=no_attention
    ):
        folders = {"encoder": tiny.save_encoder(tmp_path / encoder, encoder), "llm": tiny.save_llm(tmp_path / llm, llm)}
        configs = {part: read_config(str(folder), part) for part, folder in folders.items()}
        encoder_model = encoders.load_encoder(str(folders["encoder"]), configs["encoder"], dtype)
        encoders.let_pack(encoder_model)
        llm_model = load_llm(str(folders["llm"]), dtype, configs["llm"])
        kind = AlignmentConfig()
        layer = AlignmentLayer(kind, configs["encoder"].hidden_size, llm_model.config.hidden_size)
        module = BridgedModel(llm_model, encoder_model, layer.to(llm_model.dtype))
        tokenizers = (read_tokenizer(str(folders[part]), part) for part in ("llm", "encoder"))
        layout = BatchLayout.of(*tokenizers, prompt_layout(kind))
        model = ModelConfig(llm="", precision=dtype, packing=packing, attention=attention)
        return settle(Engine(module), model, layout, configs, fuse_head(llm_model)), module

    return build


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("encoder", "llm"),
    [("mt5", "llama"), ("xlm-roberta", "gpt2"), ("nllb", "gemma2"), ("bert", "mistral"), ("umt5", "qwen2")],
)
def test_families_that_can_are_packed_with_the_loss_in_the_head(make, encoder, llm, dtype):
    settled, module = make(encoder, llm, dtype)
    assert settled.layout.pack_llm and settled.layout.pack_encoder and settled.fused_loss
    assert module.training and settled.modules["llm"].packed


def test_off_is_off_for_each_module_by_itself(make):
    settled, _ = make(packing=PackingConfig(llm="off"))
    assert (settled.layout.pack_llm, settled.layout.pack_encoder) == (False, True)
    settled, _ = make(packing=PackingConfig(encoder="off"))
    assert (settled.layout.pack_llm, settled.layout.pack_encoder) == (True, False)
    assert settled.layout.encoder_blocks == 1, "an encoder that may be sharded is called once a pass"


def leaky(module, query, key, value, *rest, sample_lengths=(), **options):
    """Attention as a kernel that knows nothing of samples computes it."""
    mixed = functional.scaled_dot_product_attention(
        query, key, value, is_causal=getattr(module, "is_causal", True), enable_gqa=True
    )
    return mixed.transpose(1, 2), None


def test_neighbours_that_are_seen_are_noticed(make, monkeypatch, caplog):
    monkeypatch.setitem(AttentionInterface._global_mapping, attention.PACKED["sdpa"], leaky)
    with caplog.at_level("WARNING"):
        settled, _ = make()
    assert not settled.layout.pack_llm and not settled.layout.pack_encoder
    with pytest.raises(ConfigError, match="model.packing.llm: on, but packed samples see their neighbours"):
        make(packing=PackingConfig(llm="on"))


def test_a_kernel_asked_for_is_used_where_it_can_be_and_named_where_it_cannot(make):
    settled, _ = make(llm="gemma2", attention=AttentionConfig(llm="sdpa", encoder="sdpa"))
    assert settled.layout.pack_llm and settled.modules["llm"] == Arrangement(True, "sdpa", "asked for")
    settled, _ = make(attention=AttentionConfig(llm="eager", encoder="eager"))
    assert (settled.layout.pack_llm, settled.layout.pack_encoder) == (True, False)
    assert {m.kernel for m in settled.modules.values()} == {"eager"}


def test_attention_sinks_and_windows_that_only_a_mask_knows_are_not_packed(make, monkeypatch):
    def with_sinks(module, query, key, value, *rest, **options):
        return attention.sample_attention(module, query, key, value, *rest, **options, s_aux=torch.zeros(4))

    monkeypatch.setitem(AttentionInterface._global_mapping, attention.PACKED["sdpa"], with_sinks)
    settled, _ = make()
    assert not settled.layout.pack_llm and not settled.layout.pack_encoder
    window = transformers.PhimoeConfig(sliding_window=64)
    assert "keeps its window of 64 tokens in a mask" in packing_obstacle(window, 65)
    assert not packing_obstacle(window, 64) and not packing_obstacle(transformers.MistralConfig(sliding_window=64), 65)


def test_positions_that_do_not_restart_are_noticed(make, monkeypatch):
    plain = BridgedModel.forward

    def counted_on(self, llm, *rest, **options):
        if "positions" in llm:
            llm = llm | {"positions": torch.arange(llm["ids"].shape[1])[None]}
        return plain(self, llm, *rest, **options)

    monkeypatch.setattr(BridgedModel, "forward", counted_on)
    settled, _ = make("bert", "gpt2")  # GPT-2 learns its positions; rotary ones are relative
    assert not settled.layout.pack_llm and settled.layout.pack_encoder


def test_a_head_that_does_more_is_left_to_the_llm(make, monkeypatch):
    monkeypatch.setattr(loss, "logit_shaper", lambda config: lambda logits: logits * 1.5)
    settled, _ = make()
    assert not settled.fused_loss and settled.layout.pack_llm
