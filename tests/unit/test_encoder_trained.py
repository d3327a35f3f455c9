"""A stage that trains the encoder: what is trained, dropped out, handed over, taken over again and planned."""

import json
from pathlib import Path

import pytest
import tiny
import torch
import transformers as hf
from launching import ROOT, curve, launch
from safetensors.torch import load_file

from benchmarks.allocations import TensorBytes
from lingualift_ds import hub
from lingualift_ds.cli.main import main
from lingualift_ds.config.activations import Work, trained_encoder_bytes
from lingualift_ds.config.schema import ModelConfig
from lingualift_ds.config.shapes import encoder_shape
from lingualift_ds.model.arrangement import arrange_encoder, use
from lingualift_ds.model.encoders import build_encoder, encode, let_pack, load_encoder

KINDS = ("mt5", "umt5", "xlm-roberta", "bert", "nllb")
STEPS = 2


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """A run a kind whose Stage II trains encoder and layer; of mT5's also a stage behind it that trains the LLM."""
    root = tmp_path_factory.mktemp("runs")
    recipes, jobs = [str(tiny.write_recipe(root, zero)) for zero in (2, 3)], []
    for number, kind in enumerate(KINDS):
        tiny.save_encoder(root / kind, kind)
        data = f"data: {{train: [{root}/stage2.jsonl]}}, batch: {{samples: 8}}, deepspeed: {root}/zero3.json"
        overrides = [f"run.output={root}/run-{kind}", f"model.encoder={root}/{kind}", f"stage2.steps={STEPS}"]
        overrides += ["stage2.start_from=scratch", "stage2.train=[encoder,alignment]", f"stage3={{steps: 1, {data}}}"]
        jobs.append({"config": recipes[number % 2], "stage": 2, "overrides": overrides})
    jobs.insert(1, jobs[0] | {"stage": 3})
    body = ["stage2.train=['encoder.encoder.block.*',alignment,llm]", f"run.output={root}/body"]
    jobs.append(jobs[0] | {"overrides": [*jobs[0]["overrides"], *body, "model.alignment.layers=all"]})
    (root / "jobs.json").write_text(json.dumps(jobs))
    launch(1, "python", ROOT / "tests/dist/run_many.py", str(root / "jobs.json"))
    return root


def artefact(run: Path, stage: int = 2) -> dict[str, torch.Tensor]:
    return load_file(run / f"stage{stage}/artefact/model.safetensors")


@pytest.mark.parametrize("kind", KINDS)
def test_every_tensor_of_the_encoder_is_trained_and_loaded_again(runs, kind):
    trained = artefact(runs / f"run-{kind}")
    listed = json.loads((runs / f"run-{kind}/stage2/checkpoints/step-000002/manifest.json").read_text())["tensors"]
    assert trained.keys() == listed.keys()
    assert {name.split(".")[0] for name, told in listed.items() if told["trained"]} == {"encoder", "alignment"}
    base = load_encoder(str(runs / kind), hf.AutoConfig.from_pretrained(runs / kind), "fp32")
    same = [name for name, tensor in base.named_parameters() if tensor.equal(trained[f"encoder.{name}"])]
    assert same == []
    model = hub.load_model(runs / f"run-{kind}/stage2")
    loaded = model.state_dict()
    assert all(loaded[name].equal(tensor) for name, tensor in trained.items())
    llm = load_file(runs / "llm/model.safetensors")
    assert all(loaded[f"llm.{name}"].equal(tensor) for name, tensor in llm.items())
    assert model.answer(["Ana ana tufaha 3"], max_new_tokens=3)[0].tokens <= 3


@pytest.mark.parametrize("kind", ["mt5", "bert", "nllb"])
def test_a_checkpoint_holds_the_encoder_that_was_trained(runs, tmp_path, kind):
    arguments = ["export", str(runs / f"run-{kind}"), "--stage", "2", "--step", str(STEPS)]
    assert main([*arguments, "--output", str(tmp_path / "out")]) == 0
    found, expected = load_file(tmp_path / "out/model.safetensors"), artefact(runs / f"run-{kind}")
    assert found.keys() == expected.keys() and all(found[name].equal(expected[name]) for name in found)


def test_the_next_stage_reads_with_the_encoder_that_was_trained(runs):
    before, after = artefact(runs / "run-mt5"), artefact(runs / "run-mt5", 3)
    kept = [name for name in before if not name.startswith("llm.")]
    assert all(after[name].equal(before[name]) for name in kept)
    assert not any(after[name].equal(before[name]) for name in before.keys() - {*kept})


def test_an_expression_leaves_the_encoders_embeddings_as_they_were(runs):
    base, trained = load_file(runs / "mt5/model.safetensors"), artefact(runs / "body")
    assert trained["encoder.shared.weight"].equal(base["shared.weight"])
    blocks = [name for name in base if name.startswith("encoder.block.")]
    assert len(blocks) == 19 and not any(trained[f"encoder.{name}"].equal(base[name]) for name in blocks)
    assert len(curve(runs / "body/stage2")) == STEPS, "a tensor without a gradient ends a run in its first step"


COMMON = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, vocab_size=90)
T5 = dict(d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, vocab_size=90)
NLLB = dict(d_model=32, encoder_layers=2, encoder_ffn_dim=48, encoder_attention_heads=4, vocab_size=90)
CONFIGS = {
    "T5": lambda: hf.T5Config(**T5),
    "mT5": lambda: hf.MT5Config(**T5),
    "umT5": lambda: hf.UMT5Config(**T5),
    "BERT": lambda: hf.BertConfig(**COMMON),
    "RoBERTa": lambda: hf.RobertaConfig(**COMMON),
    "CamemBERT": lambda: hf.CamembertConfig(**COMMON),
    "XLM-R": lambda: hf.XLMRobertaConfig(**COMMON),
    "XLM-R XL": lambda: hf.XLMRobertaXLConfig(**COMMON),
    "NLLB": lambda: hf.M2M100Config(**NLLB),
}
LENGTHS = (9, 5, 16)


def reading(config, dtype: torch.dtype, packed: bool, lengths: tuple[int, ...] = LENGTHS):
    """(an encoder arranged as a run would, what it reads, order)."""
    torch.manual_seed(0)
    encoder = build_encoder(config, dtype)
    let_pack(encoder)
    use(encoder, arrange_encoder(ModelConfig(llm="", precision="fp32"), config, packed)[0])
    texts = [torch.randint(5, config.vocab_size, (length,)) for length in lengths]
    if packed:
        bounds = torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)
        positions = torch.cat([torch.arange(length) for length in lengths])[None]
        row = {"ids": torch.cat(texts)[None], "positions": positions, "bounds": bounds, "lengths": lengths}
        return encoder, [row], None
    ids = torch.nn.utils.rnn.pad_sequence(texts, batch_first=True, padding_value=config.pad_token_id)
    mask = (torch.arange(ids.shape[1]) < torch.tensor(lengths)[:, None]).long()
    return encoder, [{"ids": ids, "mask": mask}], mask.flatten().nonzero().flatten()


@pytest.mark.parametrize("layers", ["last", "all"])
@pytest.mark.parametrize("kind", CONFIGS)
def test_an_encoder_has_no_weight_that_gets_no_gradient(kind, layers):
    encoder, blocks, order = reading(CONFIGS[kind](), torch.float32, packed=True)
    states = encode(encoder.eval(), blocks, order, layers)
    (states * torch.randn_like(states)).sum().backward()
    assert [name for name, p in encoder.named_parameters() if p.grad is None or not p.grad.count_nonzero()] == []


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("kind", ["mT5", "XLM-R", "NLLB"])
def test_dropout_is_drawn_where_the_encoder_is_trained(kind, packed):
    encoder, blocks, order = reading(CONFIGS[kind](), torch.float32, packed)
    trained = [encode(encoder.train(), blocks, order) for _ in range(2)]
    assert trained[0].requires_grad and not torch.equal(*trained)
    frozen = [encode(encoder.eval().requires_grad_(False), blocks, order) for _ in range(2)]
    assert not frozen[0].requires_grad and torch.equal(*frozen)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["mT5", "XLM-R", "NLLB"])
def test_the_memory_of_a_trained_encoder_is_planned(kind, precision):
    """Within 10 %. In eval mode: with dropout, CPUs compute attention in pieces that fused kernels do not keep."""
    config = {
        "mT5": hf.MT5Config(**T5 | dict(d_model=128, d_kv=32, d_ff=340, num_layers=4)),
        "XLM-R": hf.XLMRobertaConfig(**COMMON | dict(hidden_size=128, intermediate_size=340, num_hidden_layers=4)),
        "NLLB": hf.M2M100Config(**NLLB | dict(d_model=128, encoder_ffn_dim=512, encoder_layers=4)),
    }[kind]
    encoder, blocks, order = reading(config, precision, True, (40,) * 8)
    with TensorBytes() as counted:
        before = counted.now
        states = encode(encoder.eval(), blocks, order)
        kept = counted.now - before
    assert states.requires_grad
    element = states.element_size()
    expected = trained_encoder_bytes(encoder_shape(config.to_dict(), kind), Work(500, 100, 320, 60), element)
    assert expected == pytest.approx(kept, rel=0.1)
