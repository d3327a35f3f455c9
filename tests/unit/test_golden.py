"""Golden models: this machine gives what was recorded, and whatever is changed in them is noticed."""

import json
from copy import deepcopy

import numpy as np
import pytest
import torch

from lingualift_ds.evaluate.golden import __main__ as recording
from lingualift_ds.evaluate.golden import comparison, folder
from lingualift_ds.evaluate.golden.comparison import CPU, GPUS, Place, compare, compare_all
from lingualift_ds.evaluate.golden.folder import RECORD, fixed_tensor, read_record

RECORDED = read_record()
LLAMA, QWEN = RECORDED["models"]
WHAT = {"token ids", "logits", "loss", "loss as in training", "greedy answers"}


def failed(case: dict, place: Place = CPU) -> set[str]:
    return {one.what for one in compare("", case, place) if not one.ok}


def test_this_machine_gives_what_was_recorded():
    found = list(compare_all(places=[CPU]))
    assert {(one.model, one.what) for one in found} == {(name, what) for name in (LLAMA, QWEN) for what in WHAT}
    assert all(one.ok for one in found), found
    # Far inside of what is allowed, or the record would not do for another machine.
    assert max(one.difference for one in found) < CPU.logits / 10


def test_weights_depend_on_name_shape_and_seed_alone():
    """The first numbers as they are by the formula, so that neither numpy nor torch can change them unnoticed."""
    assert fixed_tensor("a.weight", (2, 3), 1).ravel()[:3].tolist() == [
        0.243621826171875,
        -0.117156982421875,
        -0.750732421875,
    ]
    assert fixed_tensor("a.weight", (2, 3), 2)[0, 0] != fixed_tensor("a.weight", (2, 3), 1)[0, 0]
    assert abs(fixed_tensor("some.norm.weight", (100,), 1).mean() - 1) < 0.02
    assert abs(fixed_tensor("a.bias", (100,), 1).mean()) < 0.02
    assert abs(fixed_tensor("a.weight", (64, 64), 1).std() - 1 / 8) < 0.002


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        (LLAMA, "encoder.encoder.block.0.layer.0.SelfAttention.q.weight"),
        (LLAMA, "encoder.encoder.final_layer_norm.weight"),
        (LLAMA, "alignment.project.2.weight"),
        (LLAMA, "alignment.begin"),
        (LLAMA, "llm.model.layers.0.self_attn.k_proj.weight"),
        (LLAMA, "llm.lm_head.weight"),
        (QWEN, "encoder.embeddings.LayerNorm.bias"),
        (QWEN, "alignment.project.out.weight"),
        (QWEN, "llm.model.layers.0.self_attn.v_proj.bias"),
    ],
)
def test_a_hundredth_on_one_weight_is_noticed(name, tensor, monkeypatch):
    def perturbed(own, shape, seed):
        values = fixed_tensor(own, shape, seed).copy()
        values.flat[0] += 1e-2 if own == tensor else 0
        return values

    monkeypatch.setattr(folder, "fixed_tensor", perturbed)
    assert "logits" in failed(RECORDED["models"][name])


def test_what_libraries_may_change_is_noticed():
    changes = {
        "rope_theta": lambda case: case["config"]["llm"]["config"]["rope_parameters"].update(rope_theta=500.0),
        "epsilon": lambda case: case["config"]["encoder"]["config"].update(layer_norm_epsilon=1e-2),
        "buckets": lambda case: case["config"]["encoder"]["config"].update(relative_attention_max_distance=16),
        "instruction": lambda case: case["config"].update(instruction="Solve it:"),
        "white space": lambda case: case["config"].update(whitespace_rows={}),
        "bos": lambda case: case["tokenizers"]["llm"]["tokenizer_config.json"].pop("bos_token"),
    }
    for what, change in changes.items():
        case = deepcopy(RECORDED["models"][LLAMA])
        change(case)
        try:
            assert failed(case), what
        except (IndexError, RuntimeError):
            assert what == "white space"  # ids without a row
    case = deepcopy(RECORDED["models"][QWEN])
    case["config"]["llm"]["config"]["tie_word_embeddings"] = False
    assert [one.error.split(":")[0] for one in compare_all({"models": {QWEN: case}}, [CPU])] == ["ModelError"]


def test_another_attention_gives_the_same(monkeypatch):
    plain, used = comparison.hub.load_model, []

    def load_model(path, dtype):
        model = plain(path, dtype)
        for part in (model.llm, model.encoder):
            used.append(part.config._attn_implementation)
            part.set_attn_implementation("eager")
        return model

    monkeypatch.setattr(comparison.hub, "load_model", load_model, raising=False)
    assert not any(failed(case) for case in RECORDED["models"].values())
    assert len(used) == 4 and set(used) != {"eager"}


def test_training_that_computes_another_loss_is_noticed(monkeypatch):
    plain = comparison.BridgedModel.forward
    monkeypatch.setattr(comparison.BridgedModel, "forward", lambda self, **batch: plain(self, **batch) * 1.001)
    for case in RECORDED["models"].values():
        assert failed(case) == {"loss as in training"}


def test_no_number_is_no_match_and_a_crash_is_told(monkeypatch):
    case = deepcopy(RECORDED["models"][LLAMA])
    case["logits"][0][0] = float("nan")
    case["new_ids"][1] = case["new_ids"][1][:-1]
    assert failed(case) == {"logits", "greedy answers"}
    monkeypatch.setattr(comparison, "measure", lambda *given: 1 / 0)
    found = list(compare_all(places=[CPU]))
    assert [one.error for one in found] == ["ZeroDivisionError: division by zero"] * 2
    assert not any(one.ok for one in found)


def test_bf16_keeps_to_its_tolerance_here_too():
    """GPUs are seldom at hand: what is allowed there must at least be enough for the same numbers on a CPU, and must
    be too little for a model that is wrong."""
    place = Place("CPU, bf16", "cpu", torch.bfloat16, GPUS[1].logits, GPUS[1].loss)
    for case in RECORDED["models"].values():
        assert not failed(case, place)
        worse = deepcopy(case)
        worse["config"]["llm"]["config"]["rope_parameters"]["rope_theta"] = 2.0
        assert "logits" in failed(worse, place)


@pytest.mark.gpu
def test_gpus_give_what_was_recorded():
    found = list(compare_all(places=GPUS))
    assert all(one.ok for one in found), found


def test_recording_again_gives_the_record(tmp_path):
    """Models as they are made in code are those of the record, so that the record can be made anew at any time."""
    assert recording.main(["--record", "--output", str(tmp_path / RECORD)]) == 0
    again = json.loads((tmp_path / RECORD).read_text())
    assert again["models"].keys() == RECORDED["models"].keys()
    for name, case in RECORDED["models"].items():
        for what in ("seed", "questions", "targets", "tensors", "tokens", "new_ids"):
            assert again["models"][name][what] == case[what], what
        assert np.allclose(again["models"][name]["logits"], case["logits"], atol=CPU.logits)
