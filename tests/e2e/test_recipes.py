"""Every shipped recipe in miniature: its stages one after another on tiny models, and a question to what comes out.

All of a recipe's settings hold but the models, their lengths and precision, the data files, the batch and the steps.
"""

import json
import math
from pathlib import Path

import pytest
import tiny
import torch
from launching import ROOT, launch, read_metrics

from lingualift_ds import hub
from lingualift_ds.checkpoint.tensors import read_tensors
from lingualift_ds.config.load import load_config
from lingualift_ds.model.groups import group_of
from lingualift_ds.train.stages import Stage, stage_of

RECIPES = sorted((ROOT / "launch/recipes").glob("*.yaml"))
STEPS = 3
QUESTION = "Ana ana tufaha 3 na ananunua 4 zaidi. Je, ana tufaha ngapi?"


def in_miniature(path: Path, folder: Path) -> list[str]:
    """Overrides of a recipe."""
    config, data = load_config(path), [str(folder / "sw.jsonl"), str(folder / "en.jsonl")]
    settings = {"model.llm": folder / "llm", "model.llm_max_tokens": 400, "model.precision": "fp32"}
    settings |= {"run.output": folder / path.stem, "run.cache": folder / "prepared"}
    if config.model.encoder is not None:
        settings |= {"model.encoder": folder / "encoder", "model.encoder_max_tokens": 256}
    for number, stated in config.stages.items():
        stage = {"data.train": data, "data.heldout": data[:1], "batch": {"samples": 4, "micro_tokens": 800}}
        if stated.data.codeswitch.lexicons:
            stage |= {"data.train": data[1:], "data.heldout": [], "data.english_field": "text", "epochs": 2}
            stage["data.codeswitch.lexicons"] = [str(folder / "en-sw.txt")]
        settings |= {f"stage{number}.{key}": value for key, value in (stage | {"steps": STEPS}).items()}
    return [f"{key}={json.dumps(value, default=str)}" for key, value in settings.items()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """All stages of all recipes, trained in one process: starting one takes longer than they do."""
    folder = tmp_path_factory.mktemp("recipes")
    tiny.save_llm(folder / "llm", max_position_embeddings=512)
    tiny.save_encoder(folder / "encoder")
    (folder / "en-sw.txt").write_text("apples tufaha\nhas ana\nmore zaidi\nmany ngapi\n")
    for language in ("sw", "en"):
        tiny.write_rows(folder / f"{language}.jsonl", 8, language=language)
    jobs = [
        {"config": str(path), "stage": number, "overrides": in_miniature(path, folder)}
        for path in RECIPES
        for number in sorted(load_config(path).stages)
    ]
    (folder / "jobs.json").write_text(json.dumps(jobs))
    launch(1, "python", ROOT / "tests/dist/run_many.py", str(folder / "jobs.json"))
    return folder


def stages_of(config) -> list[Stage]:
    return [stage_of(config, number) for number in config.stages]


def weights(artefact: Path) -> dict[str, torch.Tensor]:
    return {name: tensor for shard in read_tensors(artefact) for name, tensor in shard.items()}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_stage_of_a_recipe_trains_what_it_says_and_hands_the_rest_on(path, folder):
    before = {}
    for stage in stages_of(load_config(path, in_miniature(path, folder))):
        stage_folder = folder / path.stem / stage.folder
        steps = read_metrics(stage_folder / "metrics.jsonl")
        assert [step["step"] for step in steps] == [1, 2, 3]
        assert all(math.isfinite(step["loss"]) for step in steps)
        found = weights(stage_folder / "artefact")
        assert set(stage.groups) <= {group_of(name) for name in found}
        for group in {group_of(name) for name in found.keys() & before.keys()}:
            same = [found[name].equal(before[name]) for name in found.keys() & before.keys() if group_of(name) == group]
            assert not any(same) if group in stage.groups else all(same), (stage.folder, group)
        before = found


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_what_a_recipe_leaves_answers_a_question(path, folder):
    config = load_config(path, in_miniature(path, folder))
    model, last = hub.load_model(folder / path.stem), stages_of(config)[-1]
    answer, english = model.answer([QUESTION, "Ann has 3 apples."], max_new_tokens=4)
    assert 0 <= answer.tokens <= 4 and 0 <= english.tokens <= 4
    assert (model.encoder is None) == (config.model.encoder is None)
    assert (tuple(model.config.prompt), model.config.encoder_input) == (last.prompt, last.encoder_input)
    assert model.config.llm_input == last.llm_input
