"""Config: what a user writes is either understood or refused, all problems at once."""

import ast
import dataclasses
import inspect
import json
from pathlib import Path

import pytest
import yaml

from lingualift_ds.config import schema
from lingualift_ds.config.batch import plan_batch
from lingualift_ds.config.check import check_config
from lingualift_ds.config.ds_json import build_ds_config
from lingualift_ds.config.load import dump_config, load_config
from lingualift_ds.errors import ConfigError

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "launch/recipes").glob("*.yaml"))


def write(folder: Path, **values) -> Path:
    path = folder / "c.yaml"
    path.write_text(yaml.safe_dump({"model": {"llm": "org/llm"}} | values))
    return path


def test_every_field_is_documented():
    tree = ast.parse(inspect.getsource(schema))
    classes = [n for n in tree.body if isinstance(n, ast.ClassDef)]
    assert len(classes) >= 9
    for node in classes:
        for field, after in zip(node.body, node.body[1:] + [None]):
            if isinstance(field, ast.AnnAssign):
                documented = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                assert documented, f"{node.name}.{field.target.id} has no docstring"


def test_resolved_config_reads_back_equal(tmp_path):
    config = load_config(write(tmp_path), ["stage1.optimizer.groups.alignment.lr=1e-3", "stage2.train=[llm]"])
    path = tmp_path / "resolved.yaml"
    path.write_text(dump_config(config))
    assert load_config(path) == config
    assert config.stage(1).optimizer.groups["alignment"].lr == 1e-3


def test_config_is_frozen(tmp_path):
    config = load_config(write(tmp_path))
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.run.seed = 3


def test_all_problems_are_reported_at_once_with_the_nearest_key(tmp_path):
    path = write(tmp_path, stage1={"optimzer": {}, "epochs": "two", "batch": {"samples": 1.5}}, extra=1)
    with pytest.raises(ConfigError) as error:
        load_config(path, ["model.precision=int8"])
    text = str(error.value)
    assert "stage1.optimzer: unknown key; did you mean optimizer?" in text
    assert "stage1.epochs: expected a whole number, found text 'two'" in text
    assert "stage1.batch.samples: expected a whole number" in text
    assert "'int8' is not one of bf16, fp16, fp32" in text
    assert "extra: unknown key" in text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model: {llm: a, llm: b}", "'llm' is given twice"),
        ("- a", "holds a list"),
        ("model: [", "not valid YAML"),
        ("model: {}", "model.llm: missing"),
        ("model: 3", "model.: expected keys, found a whole number"),
    ],
)
def test_unreadable_configs(tmp_path, text, said):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        load_config(path)


def test_an_override_reaches_one_stage_also_where_yaml_shares_them(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("model: {llm: a}\nstage1: &s {optimizer: {lr: 1}, epochs: 3}\nstage2: {<<: *s, epochs: 4}\n")
    config = load_config(path, ["stage1.optimizer.lr=2"])
    assert (config.stage(1).optimizer.lr, config.stage(2).optimizer.lr) == (2, 1)
    assert (config.stage(1).epochs, config.stage(2).epochs) == (3, 4)


def test_numbers_written_as_yaml_text_are_numbers(tmp_path):
    # YAML 1.1 reads 6e-4 as text.
    assert load_config(write(tmp_path, stage1={"optimizer": {"lr": "6e-4"}})).stage(1).optimizer.lr == 6e-4


@pytest.mark.parametrize(
    ("batch", "said"),
    [
        ({}, "stage1.batch: neither of samples and tokens is given"),
        ({"samples": 8, "tokens": 9000}, "stage1.batch: both of samples and tokens is given"),
        (
            {"samples": 8, "micro_tokens": 100},
            r"micro_tokens: 100, but one sample may have 1280 tokens .*at least 1280",
        ),
        ({"tokens": 1000}, r"batch.tokens: 1000, but one sample may have 1280 tokens"),
        ({"samples": 0}, "batch.samples: 0, must be at least 1"),
    ],
)
def test_impossible_batches_are_named(tmp_path, batch, said):
    config = load_config(write(tmp_path, stage1={"batch": batch}))
    with pytest.raises(ConfigError, match=said):
        check_config(config, 1)


def ds_config(tmp_path, ds: dict, precision: str = "bf16"):
    path = tmp_path / "ds.json"
    path.write_text(json.dumps(ds))
    stage = schema.StageConfig(deepspeed=str(path))
    batch = plan_batch(stage.batch, 2)
    model = schema.ModelConfig(llm="x", precision=precision)
    return build_ds_config(model, stage, batch)


def test_ds_config_is_filled_from_the_run_config(tmp_path):
    filled = ds_config(tmp_path, {"zero_optimization": {"stage": 3}, "train_batch_size": "auto"})
    counts = ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps")
    total, micro, passes = (filled[k] for k in counts)
    assert total == micro * passes * 2 and passes > 1  # DeepSpeed insists on the product; see ds_json.py
    assert filled["bf16"]["enabled"] and not filled["fp16"]["enabled"]
    assert "auto" not in json.dumps(filled)


@pytest.mark.parametrize(
    ("ds", "said"),
    [
        ({"train_batch_size": 32}, "train_batch_size: does not belong here; set batch.samples"),
        ({"bf16": {"enabled": False}}, "bf16.enabled is False, but the run config says True"),
        ({"optimizer": {"type": "Adam"}}, "optimizer: does not belong here"),
        ({"checkpoint": {"load_universal": True}}, "checkpoint: does not belong here; set `checkpoint` of the stage"),
        (
            {"zero_optimization": {"stage": 3, "offload_optimizer": {"device": "nvme"}}},
            "offload_optimizer.device: nvme: that state would be in no checkpoint; allowed: none, cpu",
        ),
        (
            {"zero_optimization": {"stage": 3, "offload_optimizer": {"device": "cpu", "ratio": 0.5}}},
            "offload_optimizer.ratio: part of the optimizer's state would be in no checkpoint; remove it",
        ),
        ({"zero_optimization": {"stage": 3, "reduce_bucket_size": "auto"}}, "reduce_bucket_size: .auto. has nothing"),
        ({"zero_optimization": {"stage": 4}}, "must be 0, 1, 2 or 3"),
        ({"zero_optimization": {"zero_quantized_nontrainable_weights": True}}, "in fp16 alone"),
    ],
)
def test_ds_config_contradictions(tmp_path, ds, said):
    with pytest.raises(ConfigError, match=said):
        ds_config(tmp_path, ds)


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_shipped_recipes_load_plan_and_fill(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    config = load_config(path)
    assert config.stages
    for number, settings in config.stages.items():
        batch = plan_batch(settings.batch, 2)
        assert build_ds_config(config.model, settings, batch, 64)["train_batch_size"] > 0
        try:
            check_config(config, number)
        except ConfigError as error:  # the data and models of a recipe are the user's: nothing else may be wrong
            assert all("no such f" in problem for problem in error.problems)


@pytest.mark.parametrize("path", sorted((ROOT / "ds_configs").glob("*.json")), ids=lambda p: p.stem)
def test_shipped_ds_configs_fill(path, tmp_path):
    stage = schema.StageConfig(deepspeed=str(path))
    batch = plan_batch(stage.batch, 2)
    filled = build_ds_config(schema.ModelConfig(llm="x"), stage, batch, 4096)
    assert "auto" not in json.dumps(filled) and filled["zero_optimization"]["reduce_bucket_size"] == 12 * 4096**2
    assert f"zero{filled['zero_optimization']['stage']}" in path.stem
