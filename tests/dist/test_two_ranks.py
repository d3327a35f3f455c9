"""What must hold on two ranks, run in two launches: the same numbers at any split, at any ZeRO level."""

import json
from pathlib import Path

import pytest
import tiny
import torch
import yaml
from launching import ROOT, curve, launch
from safetensors.torch import load_file

from lingualift_ds.evaluate.model import Answerer

ZERO = (0, 1, 2, 3)
FAMILIES = (("nllb", "gpt2"), ("xlm-roberta", "gemma2"), ("umt5", "qwen2"), ("bert", "mistral"))
SPLITS = {(1, 4, 1): 1, (1, 1, 4): 1, (2, 2, 1): 2, (2, 1, 2): 2}


def job(recipe: Path, output: Path, stage: int, *overrides: str) -> dict:
    return {"config": str(recipe), "stage": stage, "overrides": [f"run.output={output}", *overrides]}


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """Every run of this file, made in two launches (one rank, two ranks)."""
    root = tmp_path_factory.mktemp("two-ranks")
    recipes = {zero: tiny.write_recipe(root, zero) for zero in ZERO}
    tiny.write_rows(root / "five.jsonl", 5)
    jobs = {1: [], 2: []}
    for (ranks, micro, accumulation), launch_ranks in SPLITS.items():
        name = f"split-{ranks}-{micro}-{accumulation}"
        batch = ["batch.samples=4", f"batch.micro_samples={micro}"]
        for stage in (1, 2):
            overrides = [f"stage{stage}.{b}" for b in batch]
            jobs[launch_ranks].append(job(recipes[3], root / name, stage, *overrides))
    for ranks in (1, 2):
        for zero in ZERO:
            for stage in (1, 2):
                jobs[ranks].append(job(recipes[zero], root / f"zero{zero}-{ranks}", stage))
    both = ["stage2.start_from=scratch", "stage2.train=[alignment,llm]"]
    groups = ["stage2.optimizer.groups.alignment.lr=5e-3", "stage2.optimizer.groups.llm.weight_decay=0.1"]
    jobs[2] += [
        job(recipes[3], root / "bf16-3", 1, "model.precision=bf16"),
        job(recipes[3], root / "bf16-3", 2, "model.precision=bf16"),
        job(recipes[2], root / "bf16-2", 1, "model.precision=bf16"),
        job(recipes[3], root / "recompute", 1, "model.activation_checkpointing=true"),
        job(recipes[3], root / "recompute", 2, "model.activation_checkpointing=true"),
        # Five samples in batches of eight: rank 1 has one sample in its first micro-batch and none in the second.
        job(recipes[3], root / "empty", 1, f"stage1.data.train=[{root}/five.jsonl]", "stage1.batch.micro_samples=2"),
        job(recipes[3], root / "both", 2, *both, *groups, "run.monitors=[csv]"),
        job(recipes[3], root / "text", 2, "model.encoder=null"),
    ]
    for micro in (2, 1):
        overrides = ["model.precision=bf16", "stage2.start_from=scratch", f"stage2.batch.micro_samples={micro}"]
        jobs[2].append(job(recipes[3], root / f"bf16-split-{micro}", 2, *overrides))
    for encoder, llm in FAMILIES:
        tiny.save_encoder(root / encoder, encoder)
        tiny.save_llm(root / llm, llm)
        for zero in (2, 3):
            overrides = [f"model.encoder={root}/{encoder}", f"model.llm={root}/{llm}", "stage1.steps=2"]
            jobs[2].append(job(recipes[zero], root / f"{encoder}-{zero}", 1, *overrides))
    jobs[1].append(job(recipes[3], root / "empty-1", 1, f"stage1.data.train=[{root}/five.jsonl]"))
    for ranks, listed in jobs.items():
        path = root / f"jobs-{ranks}.json"
        path.write_text(json.dumps(listed))
        said = launch(ranks, "torchrun" if ranks > 1 else "python", ROOT / "tests/dist/run_many.py", str(path))
        (root / f"log-{ranks}.txt").write_text(said)
    return root


@pytest.mark.parametrize("stage", [1, 2])
def test_loss_and_gradient_norm_do_not_depend_on_ranks_micro_batch_or_accumulation(runs, stage):
    reference = curve(runs / f"split-1-4-1/stage{stage}")
    assert len(reference) == 10
    for split in SPLITS:
        found = curve(runs / "split-{}-{}-{}".format(*split) / f"stage{stage}")
        for (step, loss, norm), (_, expected_loss, expected_norm) in zip(found, reference, strict=True):
            # fp32 sums in another order, through ten updates; 1e-4 leaves no room for a wrong factor.
            assert loss == pytest.approx(expected_loss, rel=1e-4), (split, step)
            assert norm == pytest.approx(expected_norm, rel=1e-3), (split, step)


@pytest.mark.parametrize("stage", [1, 2])
def test_zero_levels_agree(runs, stage):
    reference = curve(runs / f"zero3-1/stage{stage}")
    assert reference[0][1] > reference[-1][1], "the loss does not fall"
    for zero in ZERO:
        for ranks in (1, 2):
            for found, expected in zip(curve(runs / f"zero{zero}-{ranks}/stage{stage}"), reference, strict=True):
                assert found[1] == pytest.approx(expected[1], rel=1e-4), (zero, ranks, found[0])
                assert found[2] == pytest.approx(expected[2], rel=1e-3), (zero, ranks, found[0])


@pytest.mark.parametrize("encoder", [encoder for encoder, _ in FAMILIES])
def test_every_family_loads_into_partitions_with_the_weights_of_its_files(runs, encoder):
    partitioned, whole = curve(runs / f"{encoder}-3/stage1"), curve(runs / f"{encoder}-2/stage1")
    assert len(whole) == 2
    for found, expected in zip(partitioned, whole, strict=True):
        assert found[1:] == pytest.approx(expected[1:], rel=1e-4)


def test_bf16_gradients_do_not_depend_on_accumulation(runs):
    # One pass of two or two of one: the passes round in bf16 (2^-8), their sum must not.
    pairs = zip(curve(runs / "bf16-split-2/stage2"), curve(runs / "bf16-split-1/stage2"), strict=True)
    for found, expected in pairs:
        assert found[1] == pytest.approx(expected[1], rel=2e-3)
        assert found[2] == pytest.approx(expected[2], rel=1e-2)


def test_run_folder_holds_what_is_promised(runs):
    for stage, weights in ((1, "alignment.safetensors"), (2, "model.safetensors")):
        folder = runs / f"zero3-2/stage{stage}"
        names = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
        assert {"config.yaml", "metrics.jsonl", "COMPLETE", "checkpoints/latest", f"artefact/{weights}"} <= names
        assert {"artefact/config.json", "artefact/manifest.json"} <= names
        assert {"artefact/llm_tokenizer/tokenizer.json", "artefact/encoder_tokenizer/tokenizer.json"} <= names
        # Five steps, saved every three and at the end, two kept.
        assert {n.split("/")[1] for n in names if n.startswith("checkpoints/step-")} == {"step-000003", "step-000005"}
        assert yaml.safe_load((folder / "config.yaml").read_text())["model"]["precision"] == "fp32"


def test_stage2_takes_the_alignment_layer_bit_for_bit_and_leaves_it_so(runs):
    for run in ("zero3-2", "zero3-1", "zero2-2", "bf16-3"):
        first = load_file(runs / run / "stage1/artefact/alignment.safetensors")
        last = load_file(runs / run / "stage2/artefact/model.safetensors")
        assert first and all(name.startswith("alignment.") for name in first)
        for name, tensor in first.items():
            assert tensor.equal(last[name]), (run, name)
    # And it was trained: it is not the fresh layer that another run started from.
    fresh = load_file(runs / "both/stage2/artefact/model.safetensors")
    assert not first["alignment.end"].equal(fresh["alignment.end"])


def test_frozen_models_are_those_of_the_source_files_after_both_stages(runs):
    encoder = load_file(runs / "encoder/model.safetensors")
    last = load_file(runs / "zero3-2/stage2/artefact/model.safetensors")
    shared = {n: t for n, t in encoder.items() if f"encoder.{n}" in last}
    assert len(shared) > 10
    for name, tensor in shared.items():
        assert tensor.equal(last[f"encoder.{name}"]), name
    llm = load_file(runs / "llm/model.safetensors")
    changed = [name for name, tensor in llm.items() if not tensor.equal(last[f"llm.{name}"])]
    assert len(changed) == len(llm), "stage 2 trains the whole LLM"


def test_stage1_checkpoint_holds_only_the_trained_layer(runs):
    folder = runs / "zero3-2/stage1/checkpoints/step-000005"
    manifest = json.loads((folder / "manifest.json").read_text())
    layer = load_file(runs / "zero3-2/stage1/artefact/alignment.safetensors")
    assert set(manifest["trained"]) == set(layer) and layer
    shards = [p for p in folder.iterdir() if p.suffix == ".pt"]
    assert len(shards) == 4  # model and optimizer state of two ranks
    # fp32 weights and two moments, and what pickling adds: at most 20 kB a file. The frozen LLM alone is 149 kB.
    assert sum(p.stat().st_size for p in shards) < 3 * sum(t.nbytes for t in layer.values()) + 4 * 20_000


def test_recomputing_activations_changes_nothing(runs):
    for stage in (1, 2):
        pairs = zip(curve(runs / f"recompute/stage{stage}"), curve(runs / f"zero3-2/stage{stage}"), strict=True)
        for found, expected in pairs:
            assert found[1:] == pytest.approx(expected[1:], rel=1e-5)


def test_rank_without_samples_neither_hangs_nor_counts(runs):
    for found, expected in zip(curve(runs / "empty/stage1"), curve(runs / "empty-1/stage1"), strict=True):
        assert found[1:] == pytest.approx(expected[1:], rel=1e-4)


def test_bf16_stays_close_to_fp32(runs):
    for run in ("bf16-3", "bf16-2"):
        for found, expected in zip(curve(runs / run / "stage1"), curve(runs / "zero3-2/stage1"), strict=True):
            assert found[1] == pytest.approx(expected[1], rel=2e-2)


def test_layer_and_llm_train_together_and_monitors_get_the_numbers(runs):
    assert curve(runs / "both/stage2")[0][1] > curve(runs / "both/stage2")[-1][1]
    losses = list((runs / "both/stage2/monitor").rglob("*loss*.csv"))
    assert losses and len(losses[0].read_text().splitlines()) >= 5


def test_heldout_loss_is_measured_per_language(runs):
    lines = (runs / "zero3-2/stage1/metrics.jsonl").read_text().splitlines()
    assert set(json.loads(lines[-1])["heldout_loss"]) == {"en", "all"}


def test_log_tells_what_is_trained_and_how_the_batch_is_made(runs):
    said = (runs / "log-2.txt").read_text()
    assert "8 samples a step = 2 ranks x 4 samples x 1 accumulation" in said
    assert "alignment           4,256              0" in said and "llm                     0         37,280" in said


@pytest.mark.parametrize("run", ["zero3-2", "text", "bf16-3"])
def test_finished_model_loads_and_answers(runs, run):
    answerer = Answerer.load(runs / run / "stage2")
    answers = answerer.answer(["Ann has 3 apples.", "Ana ana tufaha 3 na ananunua 4 zaidi."], max_new_tokens=5)
    assert len(answers) == 2
    stored = load_file(runs / run / "stage2/artefact/model.safetensors")
    for name, parameter in answerer.model.named_parameters():
        assert parameter.equal(stored[name]), name
    # Rotary frequencies are no weights, and stay in fp32 in a bf16 model too.
    config = answerer.model.llm.config
    width = config.hidden_size // config.num_attention_heads
    frequencies = 1 / 10_000 ** (torch.arange(0, width, 2, dtype=torch.float32) / width)
    assert answerer.model.llm.model.rotary_emb.inv_freq.equal(frequencies)
