"""The command `geometry` on tiny models: vectors as a plain pass gives them, whole outputs, one-line errors."""

import argparse
import csv
import json

import numpy as np
import pytest
import tiny
import torch

from lingualift_ds import hub
from lingualift_ds.checkpoint.artefact import stream_artefact
from lingualift_ds.checkpoint.tensors import TensorSpec
from lingualift_ds.cli import geometry
from lingualift_ds.cli.errors import run_command
from lingualift_ds.config.load import load_config
from lingualift_ds.errors import ConfigError, ModelError
from lingualift_ds.evaluate.geometry.parallel import read_parallel
from lingualift_ds.evaluate.geometry.spaces import Layers, fresh_layer, read_spaces
from lingualift_ds.evaluate.geometry.study import Bases, load_bridged, make_study
from lingualift_ds.model.bridge import BridgedModel
from lingualift_ds.model.encoders import load_encoder
from lingualift_ds.model.llms import load_llm
from lingualift_ds.train import build
from lingualift_ds.train.handover import contents
from lingualift_ds.train.stages import stage_of

COUNT = 12


def make_run(folder, seed=1, **model):
    """A run folder whose stages left their artefacts, untrained."""
    recipe = tiny.write_recipe(folder, **model)
    config = load_config(recipe, [f"run.seed={seed}"])
    sources = build.read_sources(config.model)
    encoder = alignment = None
    if config.model.encoder:
        alignment = build.build_alignment(config, sources, None)
        encoder = load_encoder(config.model.encoder, sources.encoder_config, "fp32")
    bridged = BridgedModel(load_llm(config.model.llm, "fp32", sources.llm_config), encoder, alignment)
    for number in (1, 2):
        if not (config.model.encoder or number == 2):
            continue
        stage = stage_of(config, number)
        parts = {name: t for name, t in bridged.state_dict().items() if number == 2 or name.startswith("alignment.")}
        if parts:
            output = folder / f"run/stage{number}/artefact"
            output.parent.mkdir(parents=True, exist_ok=True)
            facts = {"stage": stage.name, "step": 1, "samples": 1, "tokens": 1, "identity": {}}
            specs = {name: TensorSpec.of(tensor) for name, tensor in parts.items()}
            stream_artefact(output, specs, parts.items(), contents(config, stage, sources, facts, None))
    return folder / "run"


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("geometry"))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Sentences of several lengths; the last language has three of them, four times each."""
    lines, words = ["en\tsw\tes"], ["apples", "buys", "zaidi", "tufaha", "manzanas", "code"]
    for n in range(COUNT):
        one, more = words[n % 6], " ".join(words[: n // 3])
        lines.append(f"Ann has {one} {more} apples\tAna ana {one} {more}\tAna tiene {words[n % 3]}")
    path = tmp_path_factory.mktemp("data") / "parallel.tsv"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def run(*arguments) -> int:
    parser = argparse.ArgumentParser()
    geometry.add_parser(parser.add_subparsers())
    parsed = parser.parse_args(["geometry", *map(str, arguments)])
    return run_command(lambda: parsed.run(parsed))


@pytest.mark.parametrize(
    ("model", "layers"),
    [({}, 2), ({"alignment": {"kind": "latent", "latents": 4}}, 3), ({"alignment": {"kind": "linear"}}, 1)],
    ids=["ffn", "latent", "linear"],
)
@torch.inference_mode()
def test_vectors_are_those_of_a_plain_pass(tmp_path, data, model, layers):
    tiny.write_recipe(tmp_path)
    tiny.save_llm(tmp_path / "llm", "gpt2" if layers == 3 else "llama", num_hidden_layers=layers)
    loaded = hub.load_model(make_run(tmp_path, **model))
    texts, instruction = read_parallel(data).texts, "Say it:"
    found, shortened = read_spaces(loaded, texts, instruction, Layers.of(loaded, None), batch_size=5)
    assert list(found) == ["encoder", "alignment", *(["llm_middle"] if layers > 1 else []), "llm_last"]
    assert shortened == 0
    for code in texts:
        for n, text in enumerate(texts[code]):
            inputs = loaded.processor([text], instruction)
            states = loaded.encoder(input_ids=inputs["encoder_input_ids"]).last_hidden_state[0]
            soft = loaded.alignment(states, (len(states),))
            rows = soft[: 4 if layers == 3 else len(states)]
            embeds, _ = loaded.prompt_embeddings(**inputs)
            hidden = loaded.llm(inputs_embeds=embeds, output_hidden_states=True).hidden_states
            expected = {"encoder": states.mean(0), "alignment": rows.mean(0), "llm_last": hidden[layers][0, -1]}
            if layers > 1:
                expected["llm_middle"] = hidden[-(-layers // 2)][0, -1]
            for space, vector in expected.items():
                # fp32: a batch multiplies in another order than one text alone.
                np.testing.assert_allclose(found[space][code][n], vector, rtol=1e-4, atol=2e-6)


def test_numbers_do_not_depend_on_the_batch_size(run_folder, data):
    parallel = read_parallel(data)
    studies = [make_study(run_folder, None, parallel, Bases(), batch_size=size) for size in (1, 5, 5, 100)]
    for phase, looks in studies[0].looks.items():
        for space, look in looks.items():
            others = [study.looks[phase][space] for study in studies[1:]]
            np.testing.assert_array_equal(others[0].points["sw"], others[1].points["sw"])  # the same run twice
            for other in others:
                for code, numbers in look.numbers.items():
                    assert numbers.to_english == other.numbers[code].to_english
                    assert numbers.from_english == other.numbers[code].from_english
                    for name in ("cosine_pairs", "cosine_others", "cka", "cka_chance"):
                        # Vectors are of fp32: what they give is good to about six digits.
                        assert getattr(numbers, name) == pytest.approx(getattr(other.numbers[code], name), abs=2e-5)


def test_a_fresh_layer_is_always_the_same_and_goes_again(run_folder):
    model = hub.load_model(run_folder)
    trained, seeds = model.alignment, []
    state = torch.random.get_rng_state()
    for _ in range(2):
        with fresh_layer(model):
            assert not torch.equal(model.alignment.project[0].weight, trained.project[0].weight)
            seeds.append(model.alignment.project[0].weight.clone())
        torch.rand(3)
    assert torch.equal(*seeds) and model.alignment is trained
    assert not torch.equal(state, torch.random.get_rng_state())
    torch.random.set_rng_state(state)
    with fresh_layer(model):
        assert torch.equal(state, torch.random.get_rng_state())


def test_command_writes_everything(run_folder, data, tmp_path, capsys):
    assert run("--model", run_folder / "stage2", "--data", data, "--output", tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert "12 parallel sentences of sw, es, each against English; retrieval by chance: 8.3 %" in said
    assert "before: a freshly initialised alignment layer (seed 0)" in said
    assert "encoder (the same before and after)" in said and "LLM, last layer (2)" in said
    out = tmp_path / "out"
    assert (out / "geometry.png").read_bytes().startswith(b"\x89PNG")
    whole = json.loads((out / "geometry.json").read_text("utf-8"))
    assert whole["languages"] == ["en", "sw", "es"] and whole["sentences"] == COUNT == len(whole["ids"])
    assert whole["instruction"] == "Solve the following math problem:"
    rows = list(csv.DictReader((out / "geometry.csv").open(encoding="utf-8")))
    assert len(rows) == 2 * 4 * 2
    for row in rows:
        numbers = whole["phases"][row["phase"]][row["space"]]["numbers"][row["language"]]
        assert {name: float(row[name]) for name in numbers} == numbers
    points = whole["phases"]["after"]["alignment"]["points"]
    assert {code: len(rows) for code, rows in points.items()} == {"en": COUNT, "sw": COUNT, "es": COUNT}
    page = (out / "geometry.md").read_text("utf-8")
    assert "geometry.png" in page and "| es |" in page
    # Three Spanish sentences stand four times each: of four that tie a hit counts a quarter.
    spanish = whole["phases"]["after"]["encoder"]["numbers"]["es"]
    assert 0 < spanish["from_english"] <= 1 / 4 and spanish["to_english"] <= 1 / 4


def test_before_may_be_another_model(run_folder, data, tmp_path, capsys):
    """Stage I's layer between the base models is here the whole model's own, so nothing may differ."""
    options = ["--data", data, "--layer", 2, "--output", tmp_path / "out"]
    assert run("--model", run_folder, "--before", run_folder / "stage1", *options) == 0
    whole = json.loads((tmp_path / "out/geometry.json").read_text("utf-8"))
    assert whole["phases"]["before"] == whole["phases"]["after"] and list(whole["phases"]["after"])[-1] == "llm_last"
    assert "llm_middle" not in whole["phases"]["after"] and whole["before"].endswith("stage1")


def test_stage1_is_asked_without_the_language(run_folder, data):
    study = make_study(run_folder / "stage1", None, read_parallel(data), Bases())
    assert study.instruction == "Translate the following code-switched sentence to pure English:"


def test_base_models_may_have_moved(run_folder, data, tmp_path):
    base = run_folder.parent
    (tmp_path / "llm").symlink_to(base / "llm")
    model = load_bridged(run_folder / "stage1", Bases(llm=str(tmp_path / "llm"), encoder=str(base / "encoder")))
    assert len(model.answer(["Ana ana tufaha"], "Say it:", max_new_tokens=2)) == 1
    with pytest.raises(ConfigError, match="--encoder, --llm: .* holds its own"):
        make_study(run_folder / "stage2", None, read_parallel(data), Bases(llm="x"))


def test_text_only_models_have_nothing_to_look_at(tmp_path, data):
    tiny.write_recipe(tmp_path)
    folder = make_run(tmp_path, encoder=None)
    with pytest.raises(ModelError, match="a model of text alone: it has no encoder") as raised:
        make_study(folder, None, read_parallel(data), Bases())
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--layer", "3"], "--layer 3: this LLM has the layers 1 to 2"),
        (["--layer", "0"], "--layer 0: this LLM has the layers 1 to 2"),
        (["--batch-size", "0"], "--batch-size 0: must be at least 1"),
        (["--limit", "9"], "--limit 9: at least 10 sentences"),
        (["--languages", "sw,te"], "no column of language 'te'"),
        (["--model", "nowhere"], "nowhere: no such folder"),
    ],
)
def test_what_a_user_can_do_wrong_is_one_line(run_folder, data, tmp_path, capsys, options, message):
    assert run("--model", run_folder, "--data", data, "--output", tmp_path / "out", *options) == 2
    said = capsys.readouterr().err
    assert message in said and "Traceback" not in said
