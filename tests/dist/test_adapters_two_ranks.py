"""An adapter on two ranks: the same numbers at any ZeRO level, where its LLM is in pieces too, and after a resume on
another number of ranks."""

import json
import shutil
from pathlib import Path

import pytest
import tiny
from launching import ROOT, curve, launch

HOW = {
    # name: (ranks, DeepSpeed's JSON, further settings); the first is what the others are held against.
    "one-0": (1, "zero0", ""),
    "one-3": (1, "zero3", ""),
    "two-2": (2, "zero2", ""),
    "pieces-recomputed": (2, "pieces", "model.activation_checkpointing=all"),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """Runs of text alone, by LoRA and by DoRA: a launch on one rank, one on two."""
    root = tmp_path_factory.mktemp("adapters-two-ranks")
    recipe = tiny.write_recipe(root)
    for zero in (0, 2):
        tiny.write_recipe(root, zero)
    # Tiny tensors would stay whole after their first use; here every one is gathered, used and released.
    pieces = {"stage3_param_persistence_threshold": 0, "stage3_max_live_parameters": 3000}
    pieces |= {"stage3_prefetch_bucket_size": 2000, "stage3_max_reuse_distance": 0, "stage": 3}
    (root / "pieces.json").write_text(json.dumps({"zero_optimization": pieces}))

    def job(kind: str, name: str, **more: str) -> dict:
        _, ds, setting = HOW[name]
        overrides = [f"run.output={root}/{kind}-{name}", "model.encoder=null", "stage2.optimizer.lr=2e-2", setting]
        overrides += [f"stage2.adapter={{kind: {kind}, rank: 4, alpha: 64}}", f"stage2.deepspeed={root}/{ds}.json"]
        return {"config": str(recipe), "stage": 2, "overrides": [o for o in overrides if o], **more}

    jobs = {ranks: [job(k, n) for k in ("lora", "dora") for n in HOW if HOW[n][0] == ranks] for ranks in (1, 2)}
    for ranks, listed in jobs.items():
        if ranks == 2:
            cut = shutil.copytree(root / "dora-one-3", root / "dora-resumed") / "stage2"
            (cut / "COMPLETE").unlink()
            shutil.rmtree(cut / "checkpoints/step-000005")
            resumed = job("dora", "one-3", resume="must")
            resumed["overrides"][0] = f"run.output={root}/dora-resumed"
            listed.append(resumed)
        (root / "jobs.json").write_text(json.dumps(listed))
        launch(ranks, "torchrun" if ranks > 1 else "python", ROOT / "tests/dist/run_many.py", str(root / "jobs.json"))
    return root


@pytest.mark.parametrize("run", [f"{k}-{n}" for k in ("lora", "dora") for n in HOW if n != "one-0"] + ["dora-resumed"])
def test_numbers_do_not_depend_on_ranks_or_zero_level(runs, run):
    expected, found = curve(runs / f"{run.split('-')[0]}-one-0/stage2"), curve(runs / f"{run}/stage2")
    assert len(found) == 5 and found[-1][1] < found[0][1] - 0.05
    for one, other in zip(expected, found, strict=True):
        assert one == pytest.approx(other, rel=1e-4)  # fp32, sums in another order
