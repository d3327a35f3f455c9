"""The model card: its head is YAML that the hub takes, its text says what was done, and no path of a machine."""

import json
from dataclasses import replace

import pytest
import yaml

from lingualift_ds.config.schema import CodeSwitchConfig, Config, DataConfig, ModelConfig, StageConfig
from lingualift_ds.errors import DataError
from lingualift_ds.hub.card import CardFacts, model_card
from lingualift_ds.train.export import check_results, stage1_languages

WHOLE = {
    "alignment": {"kind": "ffn", "latents": 64},
    "instruction": 'Solve "it":',
    "encoder": {"name": "google/mt5-xl", "fingerprint": "commit 123", "config": {}},
    "llm": {"name": "/somewhere/llama", "fingerprint": "f" * 64, "config": {}},
}
DATA = DataConfig(train=("/home/me/gsm8k.jsonl",), codeswitch=CodeSwitchConfig(("lex/",), languages=("sw:2", "bn")))
RUN = Config(ModelConfig("/somewhere/llama", "google/mt5-xl"), stages={1: StageConfig(data=DATA)})


TRAINED = {1: ("alignment",), 2: ("llm",)}


def parts(card: str) -> tuple[dict, str]:
    _, head, text = card.split("---\n", 2)
    return yaml.safe_load(head), text


def write_results(folder, **changes):
    folder.mkdir(exist_ok=True)
    score = {"level": "low", "n": 250, "correct": 0.5}
    task = {"kind": "generate", "metric": "exact answer", "languages": {"sw": score, "en": score | {"correct": 0.75}}}
    found = {"format": 1, "name": "mine", "tasks": {"mgsm": task}} | changes
    (folder / "results.json").write_text(json.dumps(found))
    return folder


def test_a_whole_models_card(tmp_path):
    facts = CardFacts("mine", {1: RUN, 2: RUN}, TRAINED, ("sw", "bn"), "apache-2.0", [write_results(tmp_path / "r")])
    head, text = parts(model_card(WHOLE, facts))
    assert head["license"] == "apache-2.0" and head["base_model"] == ["google/mt5-xl"]
    assert head["language"] == ["en", "sw", "bn"] and head["library_name"] == "transformers"
    assert "Swahili (sw), Bengali (bn)" in text and "`gsm8k.jsonl`" in text and "| sw | low | 250 | 50.0 |" in text
    assert "| Avg. | | | 62.5 |" in text and r'by default "Solve \"it\":"' in text
    assert "| trained | alignment | llm |" in text
    assert "/home" not in text and "/somewhere" not in text


def test_what_was_not_said_is_not_made_up():
    head, text = parts(model_card(WHOLE | {"encoder": None}, CardFacts("mine")))
    assert head["license"] == "other" and head["license_name"] == "not-stated" and head["language"] == ["en"]
    assert "Settings" not in text and "Scores" not in text and "without an encoder" in text
    assert "soft prompt" not in text and "multilingual" not in head["tags"]


def test_results_that_are_none_are_said(tmp_path):
    with pytest.raises(DataError, match="holds no results.json"):
        model_card(WHOLE, CardFacts("mine", results=[tmp_path]))
    with pytest.raises(DataError, match="cannot be read as results"):
        model_card(WHOLE, CardFacts("mine", results=[write_results(tmp_path / "r", tasks={"a": 1})]))


def test_another_models_scores_are_refused(tmp_path):
    with pytest.raises(DataError, match="evaluation.json: cannot be read"):
        check_results([tmp_path], "a")
    (tmp_path / "evaluation.json").write_text('{"model": "a"}')
    check_results([tmp_path], "a")
    with pytest.raises(DataError, match="are another model's"):
        check_results([tmp_path], "b")


def test_languages_of_stage_1_are_those_stated_or_those_its_data_tells_of(tmp_path):
    assert stage1_languages({1: RUN}) == ("sw", "bn")
    assert stage1_languages({}) == ()
    rows = tmp_path / "stage1.jsonl"
    made = replace(RUN, stages={1: StageConfig(data=DataConfig(train=(str(rows),)))})
    assert stage1_languages({1: made}) == ()
    (tmp_path / "stage1.report.json").write_text('{"languages": {"sw": {}, "te": {}}}')
    assert stage1_languages({1: made}) == ("sw", "te")
    (tmp_path / "stage1.report.json").write_text("[]")
    assert stage1_languages({1: made}) == ()
