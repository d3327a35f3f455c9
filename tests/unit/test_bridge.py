"""The bridged model against a plain computation, sample by sample, and what must hold around it."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from torch.nn import functional
from transformers import AutoTokenizer

from lingualift_ds.config.layout import prompt_layout
from lingualift_ds.config.schema import AlignmentConfig, AttentionConfig, ModelConfig, PackingConfig
from lingualift_ds.data.collate import BatchLayout, collate
from lingualift_ds.data.records import Record
from lingualift_ds.data.tokenize import SampleTokenizer
from lingualift_ds.errors import ConfigError, ModelError
from lingualift_ds.model import llms, loss
from lingualift_ds.model.alignment import AlignmentLayer
from lingualift_ds.model.arrangement import arrange_encoder, arrange_llm, use
from lingualift_ds.model.bridge import BridgedModel
from lingualift_ds.model.encoders import check_encoder, let_pack, load_encoder
from lingualift_ds.model.groups import freeze_all_but, group_sizes
from lingualift_ds.model.loading import read_config, read_tokenizer
from lingualift_ds.model.whitespace import add_whitespace_tokens

ENCODERS = ("mt5", "umt5", "xlm-roberta", "bert", "nllb")
LLMS = ("llama", "mistral", "qwen2", "gemma2", "gpt2")
KINDS = ("linear", "ffn", "latent")


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("models")
    for kind in ENCODERS:
        tiny.save_encoder(root / kind, kind, seed=1)
    for kind in LLMS:
        # Qwen's tokenizers have no BOS: the layout starts with the soft prompt then. A window shorter than the
        # samples: Mistral's and Gemma's sliding windows must not reach into a neighbour, nor be forgotten.
        extra = {"sliding_window": 16} if kind == "mistral" else {}
        tied = {"tie_word_embeddings": kind in ("qwen2", "gemma2", "gpt2")}
        tiny.save_llm(root / kind, kind, seed=2, bos=kind != "qwen2", **extra, **tied)
    return root


def make(folders: Path, encoder: str | None, llm: str, kind: str = "ffn", packed: bool = True, blocks: int = 1):
    """(model in fp32, tokenizer, layout), packed and with the loss in its head, or padded and with plain logits."""
    torch.manual_seed(3)
    config = AlignmentConfig(kind=kind, latents=5)
    switch = "on" if packed else "off"
    settings = ModelConfig(llm=llm, precision="fp32", packing=PackingConfig(llm=switch, encoder=switch))
    llm_config = read_config(str(folders / llm), "model.llm")
    llm_model = llms.load_llm(str(folders / llm), "fp32", llm_config)
    use(llm_model, arrange_llm(settings, llm_config, packed)[0])
    llm_tok = AutoTokenizer.from_pretrained(folders / llm)
    encoder_model = layer = encoder_tok = None
    if encoder:
        encoder_config = read_config(str(folders / encoder), "model.encoder")
        encoder_model = load_encoder(str(folders / encoder), encoder_config, "fp32")
        let_pack(encoder_model)
        use(encoder_model, arrange_encoder(settings, encoder_config, packed)[0])
        layer = AlignmentLayer(config, encoder_config.hidden_size, llm_model.config.hidden_size)
        encoder_tok = AutoTokenizer.from_pretrained(folders / encoder)
    model = BridgedModel(llm_model, encoder_model, layer)
    model.fused_loss = packed and loss.fuse_head(llm_model)
    prompt = prompt_layout(config) if encoder else None
    layout = BatchLayout.of(llm_tok, encoder_tok, prompt)
    layout = replace(layout, pack_llm=packed, pack_encoder=packed, encoder_blocks=blocks)
    return model, SampleTokenizer(llm_tok, 200, encoder_tok, 64, prompt), layout


@pytest.fixture
def plain(folders):
    """The method as it is written down, on models of its own: nothing packed, padded or fused."""

    def loss_and_gradients(encoder, llm, kind="ffn"):
        model, tokenizer, _ = make(folders, encoder, llm, kind, packed=False)
        samples = list(tokenizer.samples(tiny.RECORDS, {}))
        total = sum(plain_loss(model.eval(), s, tokenizer) for s in samples)
        total.backward()
        return total.detach(), gradients(model)

    return loss_and_gradients


def plain_loss(model: BridgedModel, sample, tokenizer: SampleTokenizer) -> torch.Tensor:
    """The method as it is written down, for one sample, with nothing padded: the reference."""
    llm_embed = model.llm.get_input_embeddings()
    as_ids = lambda a: torch.from_numpy(a).long()[None]  # noqa: E731
    parts, prompt = [], as_ids(sample.prompt_ids)
    head = 0 if tokenizer.llm.bos_token_id is None else 1
    parts.append(llm_embed(prompt[:, :head]))
    if model.encoder is not None:
        ids = as_ids(sample.encoder_ids)
        states = model.encoder(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        layer = model.alignment
        if layer.layout.latents:
            rows = layer.project(states, torch.ones_like(ids).bool())
        else:
            rows = layer.project(states)
        begin = [layer.begin[None, None]] if layer.begin is not None else []
        parts += [*begin, rows, layer.end[None, None]]
    target = as_ids(sample.target_ids)
    parts += [llm_embed(prompt[:, head:]), llm_embed(target)]
    logits = model.llm(inputs_embeds=torch.cat(parts, dim=1)).logits[0]
    predictions = logits[-target.shape[1] - 1 : -1]
    return functional.cross_entropy(predictions.float(), target[0], reduction="sum")


def gradients(model) -> dict[str, torch.Tensor]:
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


def check_equal(model, batch, expected, expected_gradients) -> None:
    found = model(**batch)
    found.backward()
    ours = gradients(model)
    # fp32 with sums in another order: 1e-4 relative is two digits above what was seen.
    torch.testing.assert_close(found.detach(), expected, rtol=1e-4, atol=1e-4)
    assert ours.keys() == expected_gradients.keys()
    for name, gradient in ours.items():
        torch.testing.assert_close(
            gradient, expected_gradients[name], rtol=1e-4, atol=1e-4, msg=lambda m, n=name: f"{n}: {m}"
        )


@pytest.mark.parametrize("llm", LLMS)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_packed_equals_apart_in_loss_and_every_gradient(folders, plain, encoder, llm):
    model, tokenizer, layout = make(folders, encoder, llm)
    samples = list(tokenizer.samples(tiny.RECORDS, {}))
    expected, expected_gradients = plain(encoder, llm)
    assert {n.split(".")[0] for n in expected_gradients} == {"encoder", "alignment", "llm"}
    # eval mode: dropout off; gradients still flow into all three parts.
    check_equal(model.eval(), collate(samples, layout), expected, expected_gradients)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(("encoder", "llm"), [("mt5", "llama"), ("xlm-roberta", "gpt2"), ("nllb", "gemma2")])
def test_every_alignment_kind_and_padded_rows_equal_apart(folders, plain, encoder, llm, kind, packed):
    model, tokenizer, layout = make(folders, encoder, llm, kind, packed, blocks=2)
    samples = list(tokenizer.samples(tiny.RECORDS, {}))
    check_equal(model.eval(), collate(samples, layout), *plain(encoder, llm, kind))


@pytest.mark.parametrize("llm", LLMS)
def test_loss_in_chunks_equals_loss_at_once(folders, plain, monkeypatch, llm):
    model, tokenizer, layout = make(folders, "mt5", llm)
    monkeypatch.setattr(loss, "CHUNK_LOGITS", 3 * model.llm.config.vocab_size)
    calls = []
    monkeypatch.setattr(loss.functional, "linear", lambda *a, f=functional.linear: calls.append(len(a[0])) or f(*a))
    samples = list(tokenizer.samples(tiny.RECORDS, {}))
    batch = collate(samples, layout)
    check_equal(model.eval(), batch, *plain("mt5", llm))
    targets = len(batch["targets"])
    assert targets > 9 and calls.count(3) >= targets // 3, "not in chunks of three"


@pytest.mark.parametrize("llm", LLMS)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_sample_is_read_the_same_to_the_last_bit_whatever_its_neighbours_say(folders, encoder, llm):
    model, tokenizer, layout = make(folders, encoder, llm)
    first, second, third = tokenizer.samples(tiny.RECORDS, {})
    rng = np.random.default_rng(0)
    other = replace(
        second,
        encoder_ids=rng.permutation(second.encoder_ids),
        prompt_ids=rng.permutation(second.prompt_ids),
        target_ids=rng.permutation(second.target_ids),
    )
    losses = []
    for middle in (second, other):
        batch = collate([first, middle, third], layout)
        mine = len(first.target_ids), len(first.target_ids) + len(middle.target_ids)
        keep = np.r_[: mine[0], mine[1] : len(batch["targets"])]
        batch["target_slots"], batch["targets"] = batch["target_slots"][keep], batch["targets"][keep]
        with torch.no_grad():
            losses.append(model.eval()(**batch))
            assert not torch.equal(model(**collate([middle], layout)), losses[-1])
    assert torch.equal(*losses)


def test_text_only_model_equals_plain_computation(folders, plain):
    model, tokenizer, layout = make(folders, None, "llama")
    samples = list(tokenizer.samples(tiny.RECORDS, {}))
    check_equal(model.eval(), collate(samples, layout), *plain(None, "llama"))


def test_attention_is_chosen_by_what_the_family_and_the_machine_have(folders):
    config = {name: read_config(str(folders / name), "model") for name in ("llama", "gemma2", "mt5")}

    def choose(name, packing, kernel="auto"):
        settings = ModelConfig(
            llm="", packing=PackingConfig(packing, packing), attention=AttentionConfig(kernel, kernel)
        )
        return (arrange_encoder if name == "mt5" else arrange_llm)(settings, config[name], packing != "off")[0]

    assert (choose("llama", "on").kernel, choose("llama", "off").kernel) == ("sdpa", "sdpa")
    assert (choose("gemma2", "on").kernel, choose("gemma2", "off").kernel) == ("sdpa", "eager")
    assert choose("mt5", "on").packed and not choose("mt5", "auto", "eager").packed
    with pytest.raises(ConfigError, match="model.attention.llm: sdpa: gemma2 does not support sdpa; here: eager"):
        choose("gemma2", "off", "sdpa")
    with pytest.raises(ConfigError, match="model.attention.encoder: varlen: no GPU .*; here: sdpa, eager"):
        choose("mt5", "on", "varlen")
    with pytest.raises(ConfigError, match="model.packing.encoder: on, but eager attention"):
        choose("mt5", "on", "eager")


@pytest.mark.parametrize("llm", LLMS)
def test_logits_are_made_at_targets_only(folders, llm):
    model, tokenizer, layout = make(folders, "mt5", llm)
    rows = []
    head = model.llm.get_output_embeddings()
    head.register_forward_pre_hook(lambda module, inputs: rows.append(inputs[0].numel() // inputs[0].shape[-1]))
    samples = list(tokenizer.samples(tiny.RECORDS, {}))
    model(**collate(samples, layout))
    assert rows == [sum(len(s.target_ids) for s in samples)]


def test_layout_is_bos_begin_text_end_instruction_target(folders):
    _, tokenizer, layout = make(folders, "mt5", "llama")
    (sample,) = tokenizer.samples(tiny.RECORDS[:1], {})
    batch = collate([sample], layout)
    llm, rows = tokenizer.llm, len(sample.encoder_ids) + 2
    ids = batch["llm"]["ids"][0].tolist()
    assert ids.count(llm.bos_token_id) == 1 and ids[0] == llm.bos_token_id
    assert batch["soft_slots"].tolist() == [*range(2, rows), 1, rows]  # the text's rows, begin, end
    assert llm.decode(ids[1 + rows :]) == "Solve:apples: 3. The answer is 3</s>"
    predicted = batch["targets"].tolist()
    assert predicted == ids[-len(predicted) :] and predicted[-1] == llm.eos_token_id
    assert batch["target_slots"].tolist() == list(range(len(ids) - len(predicted) - 1, len(ids) - 1))


def test_weightless_batch_costs_nothing_and_calls_everything(folders):
    model, tokenizer, layout = make(folders, "mt5", "llama")
    samples = list(tokenizer.samples(tiny.RECORDS, {}))
    loss = model(**collate(samples, layout, weightless=True))
    loss.backward()
    assert loss.item() == 0.0
    for name, gradient in gradients(model).items():
        assert not gradient.any(), name


@pytest.mark.parametrize("trained", [("alignment",), ("llm",), ("alignment", "llm"), ("encoder", "alignment")])
def test_freezing_sets_gradients_and_modes_by_group(folders, trained):
    model, _, _ = make(folders, "xlm-roberta", "llama")
    freeze_all_but(model, trained)
    model.train()
    for part in ("encoder", "alignment", "llm"):
        module = getattr(model, part)
        assert all(p.requires_grad == (part in trained) for p in module.parameters())
        assert all(m.training == (part in trained) for m in module.modules())
    for size in group_sizes(model):
        assert (size.trained > 0) == (size.group in trained) and (size.frozen > 0) == (size.group not in trained)


def test_training_a_part_that_is_not_there_is_an_error(folders):
    model, _, _ = make(folders, None, "llama")
    with pytest.raises(ConfigError, match="encoder is not part of this model; it has llm"):
        freeze_all_but(model, ("encoder",))


@pytest.mark.parametrize("llm", ["llama", "gpt2"])
def test_activation_checkpointing_gives_the_same_gradients_through_a_frozen_llm(folders, llm):
    found = []
    for on in (False, True):
        model, tokenizer, layout = make(folders, "mt5", llm)
        if on:
            assert llms.checkpoint_activations(model.llm, 1) == 1
        freeze_all_but(model, ("alignment",))
        model.train()
        samples = list(tokenizer.samples(tiny.RECORDS, {}))
        calls = []
        mlp = model.llm.get_decoder().layers[0].mlp if llm == "llama" else model.llm.transformer.h[0].mlp
        mlp.register_forward_pre_hook(lambda *_, calls=calls: calls.append(1))
        model(**collate(samples, layout)).backward()
        found.append((gradients(model), len(calls)))
    (without, once), (with_it, twice) = found
    assert (once, twice) == (1, 2), "the layers were not recomputed"
    assert without.keys() == with_it.keys() and without
    for name in without:
        torch.testing.assert_close(without[name], with_it[name], rtol=1e-5, atol=1e-6)


def test_whitespace_tokens_survive_without_touching_the_embedding(folders):
    name = str(folders / "mt5")
    tokenizer, config = read_tokenizer(name, "model.encoder"), read_config(name, "model.encoder")
    text = "one\ntwo  three\tfour"
    assert "\n" not in tokenizer.decode(tokenizer(text)["input_ids"])
    rows = add_whitespace_tokens(tokenizer, config.vocab_size)
    ids = tokenizer(text)["input_ids"]
    back = tokenizer.decode(ids, skip_special_tokens=True)
    assert back.count("\n") == 1 and back.count("\t") == 1
    assert rows and all(0 <= row < config.vocab_size for row in rows.values())
    assert len(set(rows.values())) == len(rows)
    # What the model is given are rows that its embedding has, and they differ from a plain space's.
    sample_tokenizer = SampleTokenizer(tiny.llm_tokenizer(), 200, tokenizer, 64, prompt_layout(AlignmentConfig()), rows)
    records = [Record("", given, "x", "", "") for given in (text, "one two three four")]
    given, other = (sample.encoder_ids for sample in sample_tokenizer.tokenized(records, Counter(), with_target=False))
    assert given.max() < config.vocab_size and not np.array_equal(given, other)


def test_encoders_and_lengths_that_cannot_work_are_refused(folders):
    with pytest.raises(ConfigError, match="128 positions; at most 128"):
        check_encoder(read_config(str(folders / "xlm-roberta"), "model.encoder"), 129)
    with pytest.raises(ModelError, match="llama is not an encoder"):
        check_encoder(read_config(str(folders / "llama"), "model.encoder"), 64)


def test_missing_weights_are_an_error_not_a_random_start(folders, tmp_path):
    from safetensors.torch import load_file, save_file

    tiny.save_llm(tmp_path / "llm", "llama")
    tensors = load_file(tmp_path / "llm/model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, tmp_path / "llm/model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"weights missing from the files: model\.layers\.1\.mlp\.up_proj"):
        llms.load_llm(str(tmp_path / "llm"), "fp32", read_config(str(tmp_path / "llm"), "model.llm"))
