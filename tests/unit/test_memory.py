"""The memory plan: exact counts, what must rise and fall, predictions held against counted bytes, clear refusals."""

import json
import sys
from dataclasses import fields, replace

import pytest
import tiny
import torch
import transformers as hf
from launching import ROOT

from lingualift_ds.cli.main import main
from lingualift_ds.config import activations
from lingualift_ds.config.memory import MOMENTS, Bytes, Setup, plan_memory
from lingualift_ds.config.planning import (
    auto_recompute,
    auto_sharding,
    choose_plan,
    describe,
    largest_micro_tokens,
    usable_bytes,
)
from lingualift_ds.config.published import PUBLISHED
from lingualift_ds.config.schema import AlignmentConfig
from lingualift_ds.config.shapes import alignment_tensors, encoder_shape, llm_shape, read_model_config
from lingualift_ds.errors import ConfigError
from lingualift_ds.model import loss
from lingualift_ds.model.alignment import AlignmentLayer
from lingualift_ds.model.encoders import build_encoder

sys.path.insert(0, str(ROOT))

from benchmarks import imagined  # noqa: E402
from benchmarks.allocations import TensorBytes  # noqa: E402
from benchmarks.machine import rise_bytes  # noqa: E402
from benchmarks.memory import Case, build_model, measure  # noqa: E402

WIDE = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, vocab_size=90)
GROUPED = WIDE | dict(num_key_value_heads=2)
T5 = dict(d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, vocab_size=90)
GPT2 = dict(n_embd=32, n_layer=2, n_head=4, vocab_size=90, n_positions=64)
LLMS = {
    "llama": lambda: hf.LlamaConfig(**GROUPED),
    "llama, tied, biased": lambda: hf.LlamaConfig(
        **GROUPED, tie_word_embeddings=True, attention_bias=True, mlp_bias=True
    ),
    "mistral, wide heads": lambda: hf.MistralConfig(**GROUPED, head_dim=16),
    "qwen2": lambda: hf.Qwen2Config(**GROUPED),
    "gemma2": lambda: hf.Gemma2Config(**GROUPED, head_dim=8),
    "gpt2": lambda: hf.GPT2Config(**GPT2),
    "gpt2, own head": lambda: hf.GPT2Config(**GPT2, n_inner=40, tie_word_embeddings=False),
}
ENCODERS = {
    "t5": lambda: hf.T5Config(**T5),
    "t5, gated": lambda: hf.T5Config(**T5, feed_forward_proj="gated-gelu"),
    "mt5": lambda: hf.MT5Config(**T5),
    "umt5": lambda: hf.UMT5Config(**T5),
    "bert": lambda: hf.BertConfig(**WIDE),
    "roberta": lambda: hf.RobertaConfig(**WIDE),
    "xlm-roberta": lambda: hf.XLMRobertaConfig(**WIDE),
    "xlm-roberta-xl": lambda: hf.XLMRobertaXLConfig(**WIDE),
    "nllb": lambda: hf.M2M100Config(
        d_model=32, encoder_layers=2, encoder_ffn_dim=48, encoder_attention_heads=4, decoder_layers=1, vocab_size=90
    ),
}
COUNTS = {
    "meta-llama/Llama-2-7b-hf": 6_738_415_616,
    "meta-llama/Llama-2-13b-hf": 13_015_864_320,
    "meta-llama/Llama-2-70b-hf": 68_976_648_192,
    "meta-llama/Meta-Llama-3-8B": 8_030_261_248,
    "mistralai/Mistral-7B-v0.1": 7_241_732_096,
    "Qwen/Qwen2.5-7B": 7_615_616_512,
    "Qwen/Qwen2.5-32B": 32_763_876_352,
    "google/gemma-2-9b": 9_241_705_984,
}


def sizes(module: torch.nn.Module) -> list[int]:
    return sorted(p.numel() for p in module.parameters())


def setup_of(llm: str = "meta-llama/Llama-2-7b-hf", encoder: str = "google/mt5-xl", **changes) -> Setup:
    buckets = {"reduce_bucket_size": 5e7, "stage3_prefetch_bucket_size": 5e7}
    shapes = llm_shape(PUBLISHED[llm], llm), encoder_shape(PUBLISHED[encoder], encoder)
    return Setup(*shapes, **{"trained": ("llm",), "world_size": 8, "zero_settings": buckets} | changes)


@pytest.mark.parametrize("kind", LLMS)
def test_llm_tensors_are_those_of_the_model(kind):
    config = LLMS[kind]()
    with torch.device("meta"):
        model = hf.AutoModelForCausalLM.from_config(config)
    assert sorted(llm_shape(config.to_dict(), "x").tensors()) == sizes(model)


@pytest.mark.parametrize("kind", ENCODERS)
def test_encoder_tensors_are_those_of_the_bridged_half(kind):
    config = ENCODERS[kind]()
    with torch.device("meta"):
        model = build_encoder(config, torch.float32)
    assert sorted(encoder_shape(config.to_dict(), "x").tensors()) == sizes(model)


@pytest.mark.parametrize("kind", ["linear", "ffn", "latent"])
def test_alignment_tensors_are_those_of_the_layer(kind):
    config = AlignmentConfig(kind=kind, latents=5)
    with torch.device("meta"):
        assert sorted(alignment_tensors(config, 32, 24)) == sizes(AlignmentLayer(config, 32, 24))


def test_published_shapes_have_the_published_counts():
    assert {name: llm_shape(PUBLISHED[name], name).parameters for name in COUNTS} == COUNTS
    # Of encoder halves no count is published; mT5-xl's is known as 1.67 B.
    assert encoder_shape(PUBLISHED["google/mt5-xl"], "x").parameters == 1_669_958_656


def test_a_local_folder_comes_before_the_published_shape(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny.save_llm(tmp_path / "google/mt5-xl")
    assert read_model_config("google/mt5-xl", "model.llm")["model_type"] == "llama"


def test_unknown_models_are_refused_in_one_line(tmp_path):
    with pytest.raises(ConfigError, match=r"^model.llm: a/b: no config.json .*known: meta-llama/Llama-2-7b-hf, ") as e:
        read_model_config("a/b", "model.llm")
    assert "\n" not in str(e.value)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ConfigError, match="not valid JSON"):
        read_model_config(str(tmp_path), "model.llm")
    with pytest.raises(ConfigError, match="x: model_type 'mamba' cannot be planned as an LLM; known: llama"):
        llm_shape({"model_type": "mamba"}, "x")
    with pytest.raises(ConfigError, match="x: model_type 'llama' cannot be planned as an encoder; known: t5"):
        encoder_shape({"model_type": "llama"}, "x")
    with pytest.raises(ConfigError, match="x: config.json: intermediate_size is missing"):
        llm_shape({"model_type": "llama", "hidden_size": 8}, "x")
    with pytest.raises(ConfigError, match="num_hidden_layers is 'two', must be a whole number above 0"):
        llm_shape(hf.LlamaConfig(**WIDE).to_dict() | {"num_hidden_layers": "two"}, "x")


def test_state_is_what_arithmetic_says():
    """Llama-2-7B in bf16 on 8 ranks: 2 bytes of weight, 4 of gradient sum, 12 of optimizer state a parameter."""
    plan = plan_memory(setup_of(sharding={"encoder": "sharded"}))
    everything = 6_738_415_616 + 1_669_958_656 + sum(alignment_tensors(AlignmentConfig(), 2048, 4096))
    # Tensors are padded to 8 parts: far less than one part in 1e6.
    assert plan.peak.weights == pytest.approx(2 * everything / 8, rel=1e-6)
    assert plan.peak.optimizer == pytest.approx(12 * 6_738_415_616 / 8, rel=1e-6)
    assert plan.moments["encoder"].gradients == pytest.approx(4 * 6_738_415_616 / 8, rel=1e-6)
    offloaded = plan_memory(setup_of(offload=True))
    assert offloaded.peak.optimizer == 0 and offloaded.host == pytest.approx(20 * 6_738_415_616 / 8, rel=1e-6)


def test_stage_one_has_gradients_and_optimizer_state_of_the_alignment_layer_alone():
    plan = plan_memory(setup_of(trained=("alignment",), zero=2))
    trained = sum(alignment_tensors(AlignmentConfig(), 2048, 4096))
    assert plan.peak.optimizer == pytest.approx(12 * trained / 8, rel=1e-3)
    assert plan.peak.gradients < 10 * trained
    # The gradient passes through the LLM: its activations are there, and fewer than where it is trained.
    kept = {part: plan_memory(setup_of(trained=(part,), zero=2)).peak.activations for part in ("alignment", "llm")}
    assert 0.5 * kept["llm"] < kept["alignment"] < kept["llm"]


@pytest.mark.parametrize("trained", [("alignment",), ("llm",)])
def test_memory_rises_and_falls_as_it_must(trained):
    base = setup_of(trained=trained)
    total = lambda **changes: plan_memory(replace(base, **changes)).total  # noqa: E731
    assert total(micro_tokens=4096) < total(micro_tokens=8192) < total(micro_tokens=8256)
    by_layers = [total(recomputed_layers=n) for n in range(33)]
    assert by_layers[32] < by_layers[16] < by_layers[0] and by_layers[1:] == sorted(by_layers[1:], reverse=True)
    both = {"encoder": "sharded", "llm": "sharded"}
    assert total(sharding={"encoder": "sharded"}) < total()
    # Weights take less, but DeepSpeed's linear layer, which a sharded LLM needs, keeps every layer's input.
    weights = [plan_memory(replace(base, sharding=s)).peak.weights for s in (both, {"encoder": "sharded"}, {})]
    assert weights == sorted(weights) and weights[0] < weights[-1]
    assert total(world_size=16, sharding=both) < total(world_size=8, sharding=both)
    assert total(offload=True) < total() < total(precision="fp32")
    assert total(target_share=0.3) <= total()
    if trained == ("llm",):
        levels = [total(zero=level) for level in range(4)]
        assert levels == sorted(levels, reverse=True)


def test_every_moment_is_planned_and_the_worst_is_the_peak():
    plan = plan_memory(setup_of())
    assert tuple(plan.moments) == MOMENTS
    assert plan.total == max(m.total for m in plan.moments.values()) == plan.moments[plan.worst].total
    assert plan.total == sum(getattr(plan.peak, f.name) for f in fields(Bytes))
    assert all(value >= 0 for m in plan.moments.values() for value in vars(m).values())


def test_text_alone_needs_no_encoder():
    alone = plan_memory(replace(setup_of(), encoder=None))
    assert alone.moments["encoder"].activations == 0 and alone.total < plan_memory(setup_of()).total


def test_the_loss_is_planned_in_the_chunks_that_the_model_makes():
    assert activations.CHUNK_LOGITS == loss.CHUNK_LOGITS


def test_tensor_bytes_counts_storages_by_hand():
    before = torch.zeros(250)
    with TensorBytes() as counted:
        base = counted.now
        assert base >= 1000
        a = torch.ones(100, 10)
        views = a.t(), a.view(-1)
        assert counted.now - base == 4000
        del a, views
        assert counted.now == base and counted.peak - base == 4000
        counted.restart_peak()
        b = (torch.ones(500) + 1) * 2  # 2,000 bytes thrice, of which two are alive at a time
        assert counted.peak - base == 4000 and counted.now - base == 2000
        weight = torch.ones(10, 20, requires_grad=True)
        loss = (torch.ones(30, 10) @ weight).sum()  # input 1,200 kept for the weight's gradient; output 2,400 not
        assert counted.now - base == 2000 + 800 + 1200 + 4
        loss.backward()
        assert counted.now - base == 2000 + 800 + 800 + 4
        del b, before
        assert counted.now == base - 1000 + 800 + 800 + 4


def test_tensor_bytes_agrees_with_a_profile_of_the_allocator():
    """In fp32, where kernels take little scratch space of their own: a part in 50."""
    _, model, batch = build_model(Case("", 2, 0, **SMALL))

    def work():
        model(**batch).backward()
        for parameter in model.llm.parameters():
            parameter.grad = None

    with TensorBytes() as counted:
        base = counted.now
        work()
        rise = counted.peak - base
    assert rise == pytest.approx(rise_bytes(work, torch.device("cpu")), rel=0.02)


SMALL = dict(width=128, layers=3, vocabulary=1000)


@pytest.mark.parametrize("recomputed", [0, 2])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("stage, llm", [(1, "llama"), (2, "qwen2"), (1, "gemma2"), (2, "mistral")])
def test_activations_are_predicted(stage, llm, precision, recomputed):
    """Forward and backward of the bridged model, without DeepSpeed: within 10 % at either moment."""
    case = Case("", stage, 0, precision, llm=llm, tied=stage == 2, recomputed=recomputed, **SMALL)
    setup, model, batch = build_model(case)
    plan = plan_memory(setup)
    with TensorBytes() as counted:
        weights = sum(p.numel() * p.element_size() for part in model.parts.values() for p in part.parameters())
        base = counted.now - weights
        summed = model(**batch)
        forward = counted.peak - base
        counted.restart_peak()
        summed.backward()
        backward = counted.peak - base
    at = {name: plan.moments[name].total - plan.moments[name].optimizer for name in ("loss", "backward")}
    # Without an engine there is no gradient from the micro-batch before, which the plan counts.
    kept = plan.moments["loss"].gradients
    assert at["loss"] - kept == pytest.approx(forward, rel=0.1)
    assert at["backward"] - kept == pytest.approx(backward, rel=0.1)


CASES = [
    Case("stage 1 of two ranks, sharded", 1, 3, "bf16", ranks=2, sharding="sharded", **SMALL),
    Case("stage 2 of two ranks", 2, 2, ranks=2, **SMALL),
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_whole_steps_are_predicted(case):
    """Two steps of the toolkit's engine: within 15 % as a whole, which is what the plan promises."""
    found = measure(case)
    assert found["predicted"] == pytest.approx(found["measured"], rel=0.15)


def test_models_of_real_size_are_predicted():
    """Llama-2-7B and mT5-xl on tensors without memory: within 5 %, where the promise is 15."""
    found = imagined.measure(imagined.CASES[2])
    assert found["parameters"]["llm"] == 6_738_415_616
    assert found["predicted_by_part"] == pytest.approx(found["measured_by_part"], rel=0.05)


def test_choices_follow_the_plan():
    stage2 = setup_of()
    limit = usable_bytes(80e9)
    best = choose_plan(stage2, 80e9)
    assert best.total <= limit and describe(best.setup) == "ZeRO-3, encoder resident, nothing recomputed"
    small = choose_plan(stage2, 40e9)
    assert small.total <= usable_bytes(40e9) and 0 < small.setup.recomputed_layers < 32 and not small.setup.offload
    assert choose_plan(stage2, 24e9).setup.offload
    assert choose_plan(replace(stage2, world_size=1), 10e9) is None
    tokens = largest_micro_tokens(stage2, 80e9)
    assert plan_memory(replace(stage2, micro_tokens=tokens)).total <= limit
    assert plan_memory(replace(stage2, micro_tokens=tokens + 64)).total > limit
    assert largest_micro_tokens(stage2, 10e9) == 0
    assert usable_bytes(1e9) == 0 and choose_plan(stage2, 1e9) is None


def test_frozen_weights_are_resident_as_long_as_they_fit():
    stage1 = setup_of(trained=("alignment",))
    roomy = auto_sharding(stage1, 80e9)
    assert {part: mode for part, (mode, _) in roomy.items()} == {"llm": "resident", "encoder": "resident"}
    assert "GB planned, 74.5 GB usable" in roomy["llm"][1]
    # Both resident take 52.5 GB; the encoder first, because it is gathered in the forward pass alone.
    tight = {part: mode for part, (mode, _) in auto_sharding(stage1, 54e9).items()}
    assert tight == {"llm": "resident", "encoder": "sharded"}
    assert "nothing fits" in auto_sharding(stage1, 30e9)["llm"][1]
    small = {part: mode for part, (mode, _) in auto_sharding(stage1, 16e9, recompute=True).items()}
    assert small == {"llm": "sharded", "encoder": "sharded"}, "activations are few by then, weights are most"
    assert auto_sharding(replace(stage1, zero=2), 30e9)["llm"] == ("resident", "ZeRO-2 shards no weights")
    assert auto_sharding(stage1, None)["llm"][0] == "resident"
    assert auto_sharding(setup_of(), 80e9).keys() == {"encoder"}
    assert auto_recompute(stage1, 80e9)[0] == 0 == auto_recompute(stage1, None)[0]
    layers, why = auto_recompute(stage1, 50e9)
    assert 0 < layers < 32 and why.startswith("fits")


@pytest.fixture
def recipe(tmp_path):
    return tiny.write_recipe(tmp_path, zero=3, precision="bf16")


def check(recipe, capsys, *more: str) -> tuple[int, str, str]:
    code = main(["check", "--config", str(recipe), "--stage", "1", "--world-size", "2", *more])
    return code, *capsys.readouterr()


def test_check_shows_the_plan_of_every_level(recipe, capsys):
    code, out, _ = check(recipe, capsys)
    table = out[out.index("memory of one rank of 2") :].splitlines()
    assert code == 0 and [line.split("  ")[0] for line in table[2:8]] == [
        "ZeRO-0", "ZeRO-1", "ZeRO-2", "ZeRO-3", "ZeRO-2, offload", "ZeRO-3, offload",
    ]  # fmt: skip
    assert "fits" not in out and table[5].endswith("<- the config")
    _, out, _ = check(recipe, capsys, "--gpu-memory", "4")
    assert "cheapest that fits: ZeRO-1, nothing recomputed" in out
    assert "largest micro_tokens as the config stands: " in out and "usable: 2.3 of 4 GB" in out


@pytest.mark.parametrize("value", ["0", "-3", "nan", "much", "1"])
def test_check_refuses_impossible_memory_in_one_line(recipe, capsys, value):
    code, out, err = check(recipe, capsys, f"--gpu-memory={value}")
    assert code == 2 and err.startswith(f"error: --gpu-memory {value}: ") and err.count("\n") == 1 and not out


def test_check_goes_on_where_a_model_is_not_known(recipe, capsys):
    code, out, _ = check(recipe, capsys, "model.llm=acme/llm")
    assert code == 0 and "memory: cannot be planned: model.llm: acme/llm: no config.json" in out
    code, _, err = check(recipe, capsys, "model.llm=acme/llm", "stage1.deepspeed=ds_configs/stage1_zero3.json")
    assert code == 2 and '"auto" has nothing to follow' in err and "acme/llm: no config.json" in err


def test_check_goes_on_where_a_model_cannot_be_planned(recipe, capsys):
    path = recipe.parent / "llm/config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_type": "mamba"}))
    code, out, _ = check(recipe, capsys)
    assert code == 0 and "memory: cannot be planned: " in out and "model_type 'mamba'" in out
    code, _, err = check(recipe, capsys, "--gpu-memory", "80")
    assert code == 2 and "model_type 'mamba' cannot be planned" in err
