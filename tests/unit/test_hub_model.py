"""The transformers model: what it generates is what full forward passes give, for every family, padding and batch."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
import tiny
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from lingualift_ds import LinguaLiftForCausalLM, hub
from lingualift_ds.checkpoint.artefact import Contents, stream_artefact
from lingualift_ds.checkpoint.manifest import NAME, fingerprint
from lingualift_ds.checkpoint.tensors import TensorSpec
from lingualift_ds.config.layout import IGNORE
from lingualift_ds.data.cache import tokenizer_digest
from lingualift_ds.data.collate import BatchLayout, collate
from lingualift_ds.errors import CheckpointError, DataError, ModelError
from lingualift_ds.model.bridge import BridgedModel

LLMS = ("llama", "mistral", "qwen2", "gemma2", "gpt2", "gpt_neox")
ENCODERS = ("mt5", "xlm-roberta", "nllb")
TEXTS = ["Ana ana tufaha 3", *tiny.TEXTS, "apples", "3 + 4"]


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    """Folders of tiny base models, by kind, made when asked for."""
    made, folder = {}, tmp_path_factory.mktemp("bases")

    def base(kind: str, **settings):
        key = (kind, *settings.items())
        if key not in made:
            save = tiny.save_encoder if kind in ENCODERS else tiny.save_llm
            made[key] = save(folder / f"{kind}{len(made)}", kind, **settings)
        return made[key]

    return base


def build(bases, llm="llama", encoder: str | None = "mt5", kind="ffn", bos=True) -> LinguaLiftForCausalLM:
    """A random bridged model with its tokenizers."""
    folders = {"llm": bases(llm) if bos else bases(llm, bos=False), "encoder": encoder and bases(encoder)}
    tokenizers = {role: folder and AutoTokenizer.from_pretrained(folder) for role, folder in folders.items()}
    llm_tokenizer = tokenizers["llm"]
    config = hub.LinguaLiftConfig(
        llm=AutoConfig.from_pretrained(folders["llm"]),
        encoder=folders["encoder"] and AutoConfig.from_pretrained(folders["encoder"]),
        alignment={"kind": kind, "latents": 4},
        instruction="Solve the following math problem:",
        llm_max_tokens=200,
        encoder_max_tokens=60,
        bos_token_id=llm_tokenizer.bos_token_id,
        eos_token_id=llm_tokenizer.eos_token_id,
        pad_token_id=llm_tokenizer.pad_token_id,
    )
    torch.manual_seed(1)
    model = LinguaLiftForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # away from what initialises them: else all next tokens are near equal
            parameter.add_(torch.randn_like(parameter) * 0.1)
    model.processor = hub.LinguaLiftProcessor(llm_tokenizer, tokenizers["encoder"], config)
    return model


@torch.no_grad()
def naive(model, inputs: dict, steps: int) -> list[list[int]]:
    """Greedy tokens of each row by itself, by one forward pass over everything for each of them."""
    found = []
    for row in range(len(inputs["input_ids"])):
        one = {name: tensor[row : row + 1] for name, tensor in inputs.items()}
        keep = one["attention_mask"].bool()
        ids, tokens = one["input_ids"][keep][None], []
        while len(tokens) < steps and (not tokens or tokens[-1] != model.config.eos_token_id):
            one |= {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
            tokens.append(int(model(**one).logits[0, -1].argmax()))
            ids = torch.cat([ids, ids.new_tensor([tokens[-1:]])], dim=1)
        found.append(tokens)
    return found


def cut(row: list[int], eos: int) -> list[int]:
    return row[: row.index(eos) + 1] if eos in row else row


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("llm", LLMS)
def test_generate_is_a_naive_loop_over_full_forward_passes(bases, llm, encoder):
    model = build(bases, llm, encoder)
    for texts in (TEXTS[:1], TEXTS):
        for side in ("left", "right"):
            inputs = model.processor(texts, padding_side=side)
            made = [cut(row, model.config.eos_token_id) for row in model.generate(**inputs, max_new_tokens=6).tolist()]
            assert made == naive(model, inputs, 6), (len(texts), side)
    assert len(TEXTS) == 8 and len({tuple(row) for row in made}) > 1


@pytest.mark.parametrize(
    ("kind", "encoder", "bos"), [("linear", "mt5", True), ("latent", "nllb", False), ("", None, True)]
)
def test_other_layers_no_bos_and_text_alone_generate_so_too(bases, kind, encoder, bos):
    model = build(bases, "qwen2", encoder, kind, bos)
    inputs = model.processor(TEXTS)
    made = [cut(row, model.config.eos_token_id) for row in model.generate(**inputs, max_new_tokens=6).tolist()]
    assert made == naive(model, inputs, 6)


@pytest.mark.parametrize("told", ["Say it:", ""])
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(
    ("kind", "encoder", "bos"), [("ffn", "mt5", True), ("latent", "xlm-roberta", False), ("", None, True)]
)
def test_loss_is_that_of_training(bases, kind, encoder, bos, side, told):
    model = build(bases, "llama", encoder, kind, bos)
    targets = [f"The answer is {number}" for number in range(len(TEXTS))]
    model.processor.instruction = ""
    inputs = model.processor(TEXTS, told, targets, padding_side=side)
    count = int((inputs["labels"] != IGNORE).sum())
    tokenizer = model.processor.tokenizer
    samples = model.processor.samples(TEXTS, told, targets)
    assert count == sum(len(sample.target_ids) for sample in samples)
    layout = BatchLayout.of(tokenizer.llm, tokenizer.encoder, tokenizer.layout)
    bridged = BridgedModel(model.llm, model.encoder, model.alignment).eval()
    padded = replace(layout, pack_llm=False, pack_encoder=False)
    with torch.no_grad():
        trained = bridged(**collate(samples, padded))
        assert model(**inputs).loss * count == pytest.approx(float(trained), rel=1e-5)


def test_beams_sampling_streams_and_given_embeddings(bases):
    model = build(bases)
    inputs = model.processor(TEXTS[:3])
    beams = model.generate(**inputs, max_new_tokens=5, num_beams=3, num_return_sequences=2)
    assert beams.shape[0] == 6
    embeds, mask = model.prompt_embeddings(**inputs)
    again = model.generate(inputs_embeds=embeds, attention_mask=mask, max_new_tokens=5)
    assert torch.equal(again, model.generate(**inputs, max_new_tokens=5))
    torch.manual_seed(0)
    first = model.generate(**inputs, max_new_tokens=8, do_sample=True, temperature=5.0)
    torch.manual_seed(3)
    assert not torch.equal(first, model.generate(**inputs, max_new_tokens=8, do_sample=True, temperature=5.0))
    with pytest.raises(ValueError, match="max_new_tokens"):
        model.generate(**inputs, max_length=8)


def test_a_cache_continues_where_the_forward_pass_ended(bases):
    model = build(bases)
    inputs = model.processor(TEXTS[:2], padding_side="left")
    with torch.no_grad():
        whole = model(**inputs, use_cache=True)
        following = whole.logits[:, -1:].argmax(-1)
        _, mask = model.prompt_embeddings(**inputs)
        mask = torch.cat([mask, torch.ones_like(following)], dim=1)
        positions = (mask.sum(1) - 1)[:, None]
        step = model(
            input_ids=following, attention_mask=mask, past_key_values=whole.past_key_values, position_ids=positions
        )
        longer = {
            **inputs,
            "input_ids": torch.cat([inputs["input_ids"], following], dim=1),
            "attention_mask": torch.cat([inputs["attention_mask"], torch.ones_like(following)], dim=1),
        }
        assert torch.allclose(step.logits[:, -1], model(**longer).logits[:, -1], atol=1e-4)


def test_answers_come_in_the_order_of_the_questions(bases):
    model = build(bases)
    alone = [model.answer(text, max_new_tokens=6)[0] for text in TEXTS]
    assert model.answer(TEXTS, max_new_tokens=6, batch_size=3) == alone
    assert all(answer.tokens <= 6 for answer in alone)
    told = model.answer(TEXTS[0], "Translate:", max_new_tokens=6)
    assert told != alone[:1]
    with pytest.raises(DataError, match="text 2 of 2 is blank"):
        model.answer(["a", " "])
    with pytest.raises(DataError, match="leave no room"):
        model.answer("a " * 60, "word " * 300)


@pytest.mark.parametrize("encoder", ["mt5", None])
def test_save_and_load_round_trip_by_the_auto_classes(bases, tmp_path, encoder):
    model = build(bases, "gemma2", encoder)
    model.save_pretrained(tmp_path / "saved", max_shard_size="40KB")
    assert len(list((tmp_path / "saved").glob("*.safetensors"))) > 1
    assert str(tmp_path) not in (tmp_path / "saved/config.json").read_text()
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
    assert type(again) is LinguaLiftForCausalLM and again.dtype == torch.float32
    state, other = model.state_dict(), again.state_dict()
    assert state.keys() == other.keys() and all(torch.equal(state[name], other[name]) for name in state)
    inputs = model.processor(TEXTS)
    with torch.no_grad():
        assert torch.equal(model(**inputs).logits, again(**again.processor(TEXTS)).logits)
    half = AutoModelForCausalLM.from_pretrained(tmp_path / "saved", dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}
    assert half.answer("apples", max_new_tokens=3)[0].tokens <= 3
    again.save_pretrained(tmp_path / "twice")
    assert (tmp_path / "twice/config.json").read_bytes() == (tmp_path / "saved/config.json").read_bytes()


def test_device_map_places_parts(bases, tmp_path):
    pytest.importorskip("accelerate", reason="device_map needs accelerate")
    model = build(bases)
    model.save_pretrained(tmp_path)
    placed = LinguaLiftForCausalLM.from_pretrained(tmp_path, device_map="auto")
    assert placed.answer("apples", max_new_tokens=4) == model.answer("apples", max_new_tokens=4)


@pytest.mark.parametrize("first", ["lingualift_ds", "transformers"])
def test_the_auto_classes_know_the_model_in_whatever_order_packages_come(bases, tmp_path, first):
    build(bases).save_pretrained(tmp_path)
    code = (
        f"import {first}, lingualift_ds; from transformers import AutoModelForCausalLM, AutoConfig;"
        f"AutoConfig.from_pretrained({str(tmp_path)!r});"
        f"print(type(AutoModelForCausalLM.from_pretrained({str(tmp_path)!r})).__name__)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert said.stdout.strip() == "LinguaLiftForCausalLM", said.stderr
    quick = "import sys, lingualift_ds; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", quick], capture_output=True, text=True).stdout.strip() == "[]"


def damage(folder, what: str) -> None:
    shard = next(folder.glob("*.safetensors"))
    if what == "shard missing":
        shard.unlink()
    elif what == "shard cut":
        shard.write_bytes(shard.read_bytes()[:-100])
    elif what == "config broken":
        (folder / "config.json").write_text("{")
    elif what == "another model":
        (folder / "config.json").write_text('{"model_type": "mt5"}')
    elif what == "width differs":
        config = json.loads((folder / "config.json").read_text())
        config["llm"]["config"]["intermediate_size"] = 64
        (folder / "config.json").write_text(json.dumps(config))
    elif what == "no tokenizer":
        for path in (folder / "llm_tokenizer").iterdir():
            path.unlink()
        (folder / "llm_tokenizer").rmdir()


@pytest.mark.parametrize(
    ("what", "error", "said"),
    [
        ("shard missing", ModelError, "weights cannot be loaded"),
        ("shard cut", ModelError, "weights cannot be loaded"),
        ("config broken", CheckpointError, "config.json: cannot be read"),
        ("another model", CheckpointError, "a model of type 'mt5', neither a bridged one nor a causal LM"),
        ("width differs", ModelError, "do not fit the model's config|weights cannot be loaded"),
        ("no tokenizer", ModelError, "llm_tokenizer: no such folder"),
    ],
)
def test_a_damaged_folder_is_one_clear_line(bases, tmp_path, what, error, said):
    build(bases).save_pretrained(tmp_path / "model")
    assert not (tmp_path / "model" / NAME).exists()
    damage(tmp_path / "model", what)
    with pytest.raises(error, match=said) as raised:
        hub.load_model(tmp_path / "model")
    assert "\n" not in str(raised.value) and str(tmp_path) in str(raised.value)


def test_what_is_no_model_is_said_so(tmp_path):
    with pytest.raises(CheckpointError, match="no such folder; name an exported model"):
        hub.load_model(tmp_path / "nothing")
    with pytest.raises(CheckpointError, match="holds no model: neither config.json nor a finished stage"):
        hub.load_model(tmp_path)


def test_any_causal_lm_is_a_model_of_text_alone(bases):
    model = hub.load_model(bases("gpt2"))
    assert model.encoder is None and model.processor.instruction == ""
    inputs = model.processor(["Ann has 3 apples"])
    plain = AutoModelForCausalLM.from_pretrained(bases("gpt2"))
    with torch.no_grad():
        assert torch.equal(model(**inputs).logits, plain(**inputs).logits)
    made = plain.generate(**inputs, max_new_tokens=5, do_sample=False, pad_token_id=0)[
        0, inputs["input_ids"].shape[1] :
    ]
    assert model.generate(**inputs, max_new_tokens=5)[0].tolist() == made.tolist()


def test_stage_1s_layer_goes_between_base_models_wherever_they_are(bases, tmp_path):
    model = build(bases)
    names = {"encoder": bases("mt5"), "llm": bases("llama")}
    described = json.loads(json.dumps(model.config.to_dict()))
    digests = {role: tokenizer_digest(AutoTokenizer.from_pretrained(folder)) for role, folder in names.items()}
    parts = {role: {"name": "/gone", "width": 32, "tokenizer": digests[role]} for role in names}
    for role, folder in names.items():
        parts[role]["fingerprint"] = fingerprint(str(folder), None)
    kept = {name: described[name] for name in ("model_type", "alignment", "instruction")}
    contents = Contents("alignment", {**kept, **parts, "whitespace_rows": {}}, {}, {"step": 1})
    own = {f"alignment.{name}": tensor for name, tensor in model.alignment.state_dict().items()}
    stream_artefact(tmp_path / "layer", {n: TensorSpec.of(t) for n, t in own.items()}, own.items(), contents)
    with pytest.raises(ModelError, match="encoder: /gone"):
        hub.load_model(tmp_path / "layer")
    with pytest.raises(ModelError, match="is 16 wide, but what .*layer holds"):
        hub.load_model(tmp_path / "layer", encoder=str(names["encoder"]), llm=str(bases("llama", hidden_size=16)))
    with pytest.raises(ModelError, match="tokenizer is not the one"):
        hub.load_model(tmp_path / "layer", encoder=str(bases("xlm-roberta")), llm=str(names["llm"]))
    joined = hub.load_model(tmp_path / "layer", **{role: str(folder) for role, folder in names.items()})
    assert joined.processor.instruction == model.processor.instruction
    own = joined.alignment.state_dict()
    assert all(torch.equal(tensor, own[name]) for name, tensor in model.alignment.state_dict().items())
    base = AutoModelForCausalLM.from_pretrained(bases("llama")).state_dict()
    assert all(torch.equal(tensor, base[name]) for name, tensor in joined.llm.state_dict().items())
    assert joined.answer("apples", max_new_tokens=3)[0].tokens <= 3


def ending(model: LinguaLiftForCausalLM, inputs: dict, *ends: int) -> list[int]:
    model.generation_config.eos_token_id = list(ends)
    return model.generate(**inputs, max_new_tokens=12)[0].tolist()


def test_any_of_several_tokens_ends_a_text_and_a_config_of_ones_own_ends_at_them_too(bases):
    model = build(bases)
    inputs = model.processor(TEXTS[:1])
    free = ending(model, inputs, 339)
    stop = next(token for token in free[1:] if token != free[0])
    cut_short = free[: free.index(stop) + 1]
    assert ending(model, inputs, 339, stop) == cut_short
    own = model.generate(**inputs, generation_config=GenerationConfig(max_new_tokens=12, do_sample=False))
    assert own[0].tolist() == cut_short
    (answer,) = model.answer(TEXTS[0], max_new_tokens=12)
    assert answer.finished and answer.tokens == len(cut_short) - 1


def test_chat_models_end_at_what_their_generation_config_names(bases, tmp_path):
    folder = shutil.copytree(bases("llama"), tmp_path / "chat")
    (folder / "generation_config.json").write_text('{"eos_token_id": [2, 9], "do_sample": true, "top_p": 0.1}')
    config = hub.load_model(folder).generation_config
    assert config.eos_token_id == [2, 9] and not config.do_sample


def test_an_answer_ends_where_the_llms_positions_do(bases):
    model = build(bases, "gpt2")
    model.processor.tokenizer = replace(model.processor.tokenizer, llm_max_tokens=10_000, encoder_max_tokens=10_000)
    room = 256 - model.processor.samples(["3 " * 60])[0].llm_length
    made = model.generate(**model.processor(["3 " * 60]), max_new_tokens=10_000, eos_token_id=339)
    assert made.shape[1] == room
    with pytest.raises(DataError, match="positions of the LLM's 256: no room"):
        model.answer("3 " * 300)


def test_stage_1s_instruction_loses_the_place_of_a_language_and_long_texts_are_told_of(bases, caplog):
    model = build(bases)
    model.processor.instruction = "Translate the following {language} sentence:"
    (sample,) = model.processor.samples(["3 apples " * 60])
    said = model.processor.llm.decode(sample.prompt_ids, skip_special_tokens=True)
    assert said == "Translate the following sentence:" and "shortened" in caplog.text


@pytest.mark.parametrize("what", ["llm_tokenizer/tokenizer_config.json", "config.json"])
def test_no_code_of_a_models_folder_is_run(bases, tmp_path, what, monkeypatch):
    build(bases).save_pretrained(tmp_path / "evil")
    (tmp_path / "evil/code.py").write_text("raise SystemExit('ran')")
    shutil.copy(tmp_path / "evil/code.py", tmp_path / "evil/llm_tokenizer/code.py")
    path = tmp_path / "evil" / what
    described = json.loads(path.read_text())
    if what == "config.json":
        described = {"model_type": "unheard of"}
    described["auto_map"] = {"AutoTokenizer": ["code.Tokenizer", None], "AutoConfig": "code.Config"}
    if "tokenizer_class" in described:
        described["tokenizer_class"] = "Unheard"
    path.write_text(json.dumps(described))
    monkeypatch.setattr("builtins.input", lambda *said: pytest.fail("asked whether to run it"))
    with pytest.raises(ModelError):
        hub.load_model(tmp_path / "evil")


@pytest.mark.parametrize("module", ["hub.vllm", "hub.configuration", "hub.modeling"])
def test_any_module_can_be_the_first_that_is_imported(module):
    code = f"import lingualift_ds.{module}; from transformers import AutoConfig; AutoConfig.for_model('lingualift')"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert said.returncode == 0, said.stderr


def test_what_python_callers_leave_out_is_told(bases, tmp_path):
    model = build(bases)
    inputs = model.processor(TEXTS[:2])
    with pytest.raises(DataError, match="encoder_input_ids: needed"):
        model.generate(inputs["input_ids"])
    with pytest.raises(DataError, match="instructions: 1 for 2 texts"):
        model.processor(TEXTS[:2], instructions=["a"])
    with pytest.raises(DataError, match="batch_size 0"):
        model.answer("a", batch_size=0)
    with torch.no_grad():
        assert len(model(**inputs, output_hidden_states=True).hidden_states) == 3
    model.save_pretrained(tmp_path)
    described = json.loads((tmp_path / "config.json").read_text())
    described["llm"].pop("config")
    (tmp_path / "config.json").write_text(json.dumps(described))
    with pytest.raises(CheckpointError, match="hub.load_model puts it"):
        AutoModelForCausalLM.from_pretrained(tmp_path)
