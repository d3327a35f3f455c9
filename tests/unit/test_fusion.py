"""An alignment layer that reads all of the encoder's layers: what it computes, and that it goes through a whole run."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import tiny
import torch
from launching import ROOT, curve, launch
from transformers import AutoConfig, AutoTokenizer, MT5Config

from benchmarks.allocations import TensorBytes
from lingualift_ds import hub
from lingualift_ds.config.activations import Work, alignment_bytes
from lingualift_ds.config.layout import IGNORE, prompt_layout
from lingualift_ds.config.schema import AlignmentConfig, ModelConfig, PackingConfig
from lingualift_ds.config.shapes import alignment_tensors, encoder_shape, llm_shape
from lingualift_ds.data.collate import BatchLayout, collate
from lingualift_ds.data.tokenize import SampleTokenizer
from lingualift_ds.evaluate.geometry.spaces import Layers, fresh_layer, read_spaces
from lingualift_ds.model.alignment import AlignmentLayer
from lingualift_ds.model.arrangement import arrange_encoder, arrange_llm, use
from lingualift_ds.model.bridge import BridgedModel
from lingualift_ds.model.encoders import encode, hidden_states, let_pack, load_encoder, states_per_token
from lingualift_ds.model.groups import freeze_all_but
from lingualift_ds.model.llms import load_llm

ENCODERS = ("mt5", "umt5", "xlm-roberta", "bert", "nllb")
KINDS = ("linear", "ffn", "latent")


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("models")
    for kind in ENCODERS:
        tiny.save_encoder(root / kind, kind, seed=1)
    tiny.save_llm(root / "llama", seed=2)
    return root


def bridged(folders, encoder: str, kind: str = "ffn", packed: bool = True, layers: str = "all") -> BridgedModel:
    """A model in fp32, its parts arranged as training would, in eval mode: no dropout."""
    configs = {role: AutoConfig.from_pretrained(folders / name) for role, name in (("e", encoder), ("l", "llama"))}
    switch = "on" if packed else "off"
    settings = ModelConfig(llm="llama", precision="fp32", packing=PackingConfig(llm=switch, encoder=switch))
    llm = load_llm(str(folders / "llama"), "fp32", configs["l"])
    use(llm, arrange_llm(settings, configs["l"], packed)[0])
    reader = load_encoder(str(folders / encoder), configs["e"], "fp32")
    let_pack(reader)
    use(reader, arrange_encoder(settings, configs["e"], packed)[0])
    torch.manual_seed(3)
    alignment = AlignmentConfig(kind=kind, latents=5, layers=layers)
    return BridgedModel(llm, reader, AlignmentLayer(alignment, 32, 32, states_per_token(configs["e"]))).eval()


def batch_for(folders, encoder: str, model: BridgedModel, packed: bool, blocks: int = 1) -> dict:
    """All records as one micro-batch."""
    tokenizers = (AutoTokenizer.from_pretrained(folders / "llama"), AutoTokenizer.from_pretrained(folders / encoder))
    prompt = model.alignment.layout
    layout = BatchLayout.of(*tokenizers, prompt)
    layout = replace(layout, pack_llm=packed, pack_encoder=packed, encoder_blocks=blocks)
    return collate(
        list(SampleTokenizer(tokenizers[0], 200, tokenizers[1], 64, prompt).samples(tiny.RECORDS, {})), layout
    )


def all_on_last(layer: AlignmentLayer) -> None:
    """Weights of which softmax makes exactly 0 and 1."""
    with torch.no_grad():
        layer.layer_weights.fill_(-1000.0)[-1] = 0.0


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_all_weight_on_the_last_layer_is_the_last_layer_to_the_bit(folders, encoder, packed):
    fusing, last = (bridged(folders, encoder, "linear", packed, layers) for layers in ("all", "last"))
    batch = batch_for(folders, encoder, last, packed)
    with torch.no_grad():
        expected = last(**batch)
        assert not torch.equal(fusing(**batch), expected)
        all_on_last(fusing.alignment)
        assert torch.equal(fusing(**batch), expected)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_the_sum_is_that_of_every_layers_states_at_the_last_ones_length(folders, encoder):
    model = bridged(folders, encoder, packed=False)
    ids = torch.arange(5, 14)[None]
    states = model.encoder(input_ids=ids, output_hidden_states=True).hidden_states
    assert len(states) == model.encoder.config.num_hidden_layers + 1 == len(model.alignment.layer_weights)
    weights = torch.randn(len(states))
    with torch.no_grad():
        model.alignment.layer_weights.copy_(weights)
    length = states[-1][0].norm(dim=-1, keepdim=True)
    shares = weights.exp() / weights.exp().sum()
    expected = sum(share * s[0] * (length / s[0].norm(dim=-1, keepdim=True)) for share, s in zip(shares, states))
    read = hidden_states(model.encoder, "all", input_ids=ids)[:, 0]
    rows = model.alignment(read, (9,))
    soft = torch.cat([model.alignment.project(expected), model.alignment.begin[None], model.alignment.end[None]])
    torch.testing.assert_close(rows, soft, rtol=1e-5, atol=1e-6)  # fp32, other orders of sums


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_packed_equals_padded_in_loss_and_every_gradient(folders, encoder, kind):
    found = []
    for packed, blocks in ((True, 1), (False, 1), (False, 2)):
        model = bridged(folders, encoder, kind, packed)
        total = model(**batch_for(folders, encoder, model, packed, blocks))
        total.backward()
        found.append({"loss": total.detach()} | {n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    assert found[0]["alignment.layer_weights"].count_nonzero() == 3
    assert {name.split(".")[0] for name in found[0]} == {"loss", "encoder", "alignment", "llm"}
    for other in found[1:]:
        assert other.keys() == found[0].keys()
        for name, value in found[0].items():
            # fp32 with sums in another order: as in the tests of one layer.
            torch.testing.assert_close(other[name], value, rtol=1e-4, atol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("encoder", ["mt5", "nllb"])
def test_a_weight_moves_the_loss_as_its_gradient_says(folders, encoder):
    model = bridged(folders, encoder)
    batch = batch_for(folders, encoder, model, True)
    freeze_all_but(model, ["alignment"])
    model.eval()(**batch).backward()
    weights, step, slopes = model.alignment.layer_weights, 0.05, []
    with torch.no_grad():
        for place in range(len(weights)):
            ends = []
            for move in (step, -2 * step):
                weights[place] += move
                ends.append(float(model(**batch)))
            weights[place] += step
            slopes.append((ends[0] - ends[1]) / (2 * step))
    # Losses of about 100 in fp32, their differences of about 0.1: three digits.
    torch.testing.assert_close(weights.grad, torch.tensor(slopes), rtol=2e-2, atol=2e-2)


def test_half_of_the_weight_is_the_last_layers_at_the_start(folders):
    shares = bridged(folders, "mt5").alignment.layer_weights.softmax(0)
    torch.testing.assert_close(shares, torch.tensor([0.25, 0.25, 0.5]))


@pytest.mark.parametrize("packed", [True, False])
def test_a_frozen_encoder_leaves_no_graph_and_nothing_but_the_stack(folders, packed):
    model = bridged(folders, "nllb", packed=packed)
    freeze_all_but(model, ["alignment"])
    batch = batch_for(folders, "nllb", model, packed, blocks=1 if packed else 2)["encoder"]
    with TensorBytes() as counted:
        before = counted.now
        states = encode(model.encoder, batch["blocks"], batch["order"], "all")
        kept = counted.now - before
    tokens = sum(batch["lengths"])
    assert states.shape == (3, tokens, 32) and not states.requires_grad and states.isfinite().all()
    assert kept == 4 * states.numel()


@pytest.mark.parametrize("kind", ["linear", "ffn"])
def test_the_memory_plan_knows_the_weights_and_the_states_that_are_kept(kind):
    config = AlignmentConfig(kind=kind, layers="all")
    encoder = encoder_shape(MT5Config(d_model=64, num_layers=6, num_heads=2).to_dict(), "mT5")
    width = {"hidden_size": 96, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    llm = llm_shape({"model_type": "llama", "vocab_size": 9} | width, "Llama")
    layer = AlignmentLayer(config, 64, 96, 7)
    assert sorted(alignment_tensors(config, 64, 96, 6)) == sorted(p.numel() for p in layer.parameters())
    with TensorBytes() as counted:
        before = counted.now
        states = torch.randn(7, 500, 64)
        rows = layer(states, (250, 250))
        kept = counted.now - before
    expected = alignment_bytes(config, encoder, llm, Work(900, 400, 500, 450), 4, True)
    assert rows.requires_grad and expected == pytest.approx(kept, rel=0.05)
    assert not alignment_bytes(config, encoder, llm, Work(900, 400, 500, 450), 4, False)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """Both stages of a run, in one launch."""
    folder = tmp_path_factory.mktemp("run")
    recipe = str(tiny.write_recipe(folder, alignment={"layers": "all"}))
    jobs = [{"config": recipe, "stage": stage, "overrides": [f"stage{stage}.steps=4"]} for stage in (1, 2)]
    (folder / "jobs.json").write_text(json.dumps(jobs))
    launch(1, "python", ROOT / "tests/dist/run_many.py", str(folder / "jobs.json"))
    return folder / "run"


def test_both_stages_train_hand_over_and_load_again(run):
    losses = [loss for _, loss, _ in curve(run / "stage1")]
    assert len(losses) == 4 and losses[-1] < losses[0]
    choices = json.loads((run / "stage1/metrics.jsonl").read_text().splitlines()[0])["choices"]
    assert choices["encoder"].startswith("packed"), "what all layers say is thought to differ, packed and padded"
    first, whole = hub.load_model(run / "stage1"), hub.load_model(run)
    weights = first.alignment.layer_weights
    assert torch.equal(weights, whole.alignment.layer_weights), "Stage II does not train the layer"
    assert not torch.equal(weights, AlignmentLayer(AlignmentConfig(layers="all"), 32, 32, 3).layer_weights)
    assert not torch.equal(first.llm.lm_head.weight, whole.llm.lm_head.weight)
    assert whole.config.alignment == asdict(AlignmentConfig(layers="all"))
    assert whole.answer(["Ana ana tufaha 3", "apples"], max_new_tokens=3)[0].tokens <= 3


@torch.no_grad()
def test_the_model_for_users_is_the_one_that_was_trained(run, tmp_path):
    model = hub.load_model(run)
    texts, targets = [r.text for r in tiny.RECORDS], [r.target for r in tiny.RECORDS]
    inputs = model.processor(texts, "Say it:", targets)
    samples = model.processor.samples(texts, "Say it:", targets)
    tokenizer = model.processor.tokenizer
    layout = BatchLayout.of(tokenizer.llm, tokenizer.encoder, prompt_layout(model.config.alignment_config))
    trained = BridgedModel(model.llm, model.encoder, model.alignment).eval()
    loss = trained(**collate(samples, replace(layout, pack_llm=False, pack_encoder=False)))
    count = int((inputs["labels"] != IGNORE).sum())
    assert model(**inputs).loss * count == pytest.approx(float(loss), rel=1e-5)
    alone = model(**model.processor(texts[2:], "Say it:", targets[2:])).logits  # no padding in it
    torch.testing.assert_close(model(**inputs).logits[2:, -alone.shape[1] :], alone, rtol=1e-4, atol=1e-4)
    model.save_pretrained(tmp_path / "saved")
    again = hub.load_model(tmp_path / "saved")
    assert torch.equal(again(**inputs).logits, model(**inputs).logits)


@torch.no_grad()
def test_the_alignment_space_is_what_the_llm_reads(run):
    model = hub.load_model(run)
    texts = {"en": ["apples", "Ann has 3 apples"], "sw": ["tufaha", "Ana ana tufaha 3"]}
    spaces, _ = read_spaces(model, texts, "Say it:", Layers.of(model, None), batch_size=2)
    for code, sentences in texts.items():
        for place, sentence in enumerate(sentences):
            inputs = model.processor([sentence], "Say it:")
            embeds, _ = model.prompt_embeddings(**inputs)
            soft = embeds[0, 2 : 2 + inputs["encoder_input_ids"].shape[1]].mean(0)  # behind BOS and begin
            states = model.encoder(input_ids=inputs["encoder_input_ids"]).last_hidden_state[0].mean(0)
            for space, expected in (("alignment", soft), ("encoder", states)):
                found = torch.from_numpy(spaces[space][code][place]).float()
                torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    with fresh_layer(model):
        assert model.alignment.layers == "all" and model.answer("apples", max_new_tokens=2)
