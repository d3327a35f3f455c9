"""A loss or a gradient that is not finite, on one rank: all skip the step, or all stop, and no weight changes."""

import json

import pytest
import tiny
from launching import ROOT, launch, read_metrics

KINDS = {
    "bf16-0": (0, "bf16"),
    "fp32-1": (1, "fp32"),
    "fp32-0": (0, "fp32"),
    "fp32-2": (2, "fp32"),
    "fp32-3": (3, "fp32"),
    "bf16-2": (2, "bf16"),
    "bf16-3": (3, "bf16"),
}


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What one launch says that skips at every ZeRO level, stops at the loss, and stops at the gradient."""
    root = tmp_path_factory.mktemp("nonfinite")
    jobs = []

    def job(name: str, zero: int, *overrides: str) -> None:
        told = [f"run.output={root}/{name}", "stage1.data.heldout=[]", *overrides]
        jobs.append({"config": str(tiny.write_recipe(root, zero)), "stage": 1, "overrides": told})

    for name, (zero, precision) in KINDS.items():
        job(name, zero, f"model.precision={precision}", "stage1.nonfinite=skip", "stage1.optimizer.schedule=linear")
    job("stops", 3)
    (root / "jobs.json").write_text(json.dumps(jobs))
    return root, launch(2, "torchrun", ROOT / "tests/dist/nonfinite_steps.py", str(root / "jobs.json"))


@pytest.mark.parametrize("kind", KINDS)
def test_steps_are_skipped_counted_and_named(said, kind):
    root, text = said
    records = read_metrics(root / kind / "stage1/metrics.jsonl")
    assert [r["step"] for r in records] == [1, 2, 3, 4, 5]
    assert [r["skipped_steps"] for r in records] == [0, 1, 1, 2, 2]
    assert [r["loss"] is None for r in records] == [False, True, False, False, False]
    assert [r["grad_norm"] is None for r in records] == [False, True, False, True, False]
    # The schedule counts every step: it ends at the last one.
    assert [r["lr"] for r in records] == pytest.approx([1e-3 * (5 - i) / 5 for i in range(5)])
    assert "NaN" not in (root / kind / "stage1/metrics.jsonl").read_text()
    complete = json.loads((root / kind / "stage1/COMPLETE").read_text())
    assert (complete["step"], complete["skipped"]) == (5, 2)


def test_a_run_stops_where_it_is_not_told_to_skip(said):
    root, text = said
    assert f"{root}/stops: step 2: the loss is not finite; the samples were: " in text
    stage = root / "stops/stage1"
    assert not (stage / "COMPLETE").exists() and [r["step"] for r in read_metrics(stage / "metrics.jsonl")] == [1]


def test_the_samples_are_those_of_the_rank(said):
    _, text = said
    lines = [line for line in text.splitlines() if "step 2: the loss is not finite for: " in line]
    assert len(lines) == len(KINDS)  # rank 0 says it, once a run
    skipped = [line for line in text.splitlines() if "step 4 is skipped: " in line]
    assert len(skipped) == len(KINDS)
    assert all(0 < len(line.split(": ")[-1].split(", ")) < 8 for line in lines)  # a part of the step's eight samples
    assert all(len(line.split(": ")[-1].split(", ")) == 8 for line in skipped)
