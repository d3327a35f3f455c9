"""What must hold on two ranks, run in two launches: the same numbers at any split, at any ZeRO level."""

import json
import shutil
from pathlib import Path

import pytest
import tiny
import torch
import yaml
from launching import ROOT, curve, launch
from safetensors.torch import load_file

from lingualift_ds import hub
from lingualift_ds.cli.main import main
from lingualift_ds.config.load import load_config
from lingualift_ds.train.build import artefact_config, read_sources
from lingualift_ds.train.inherit import read_handover
from lingualift_ds.train.stages import stage_of

ZERO = (0, 1, 2, 3)
FAMILIES = (("nllb", "gpt2"), ("xlm-roberta", "gemma2"), ("umt5", "qwen2"), ("bert", "mistral"), ("mt5", "llama"))
TIED = ("gpt2", "gemma2", "qwen2")
LAYOUTS = {
    # name: (ranks, ZeRO, packed, where the encoder's weights are); the first is what the others are held against.
    "padded": (1, 2, "off", "auto"),
    "packed": (1, 3, "on", "resident"),
    "packed-2": (2, 2, "on", "auto"),
    "packed-3": (2, 3, "on", "resident"),
    "sharded-3": (2, 3, "on", "sharded"),
    "padded-3": (2, 3, "off", "sharded"),
}
SPLITS = {(1, 640): 1, (1, 160): 1, (2, 640): 2, (2, 160): 2}
"""Ranks and token budget of a micro-batch: eight samples take from one pass to four."""


def job(recipe: Path, output: Path, stage: int, *overrides: str) -> dict:
    return {"config": str(recipe), "stage": stage, "overrides": [f"run.output={output}", *overrides]}


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """Every run of this file, made in two launches (one rank, two ranks)."""
    root = tmp_path_factory.mktemp("two-ranks")
    recipes = {zero: tiny.write_recipe(root, zero) for zero in ZERO}
    tiny.write_rows(root / "one.jsonl", 1)
    tiny.write_rows(root / "three.jsonl", 3)
    jobs = {1: [], 2: []}
    for (ranks, micro), launch_ranks in SPLITS.items():
        name = f"split-{ranks}-{micro}"
        batch = [f"batch.micro_tokens={micro}"]
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
        job(recipes[3], root / "recompute", 1, "model.activation_checkpointing=all"),
        job(recipes[3], root / "recompute", 2, "model.activation_checkpointing=all"),
        # One sample on two ranks: rank 1 has none in any step.
        job(recipes[3], root / "empty", 1, f"stage1.data.train=[{root}/one.jsonl]", "stage1.epochs=3"),
        job(recipes[3], root / "both", 2, *both, *groups, "run.monitors=[csv]"),
        job(recipes[3], root / "text", 2, "model.encoder=null"),
    ]
    for micro in (640, 160):
        overrides = ["model.precision=bf16", "stage2.start_from=scratch", f"stage2.batch.micro_tokens={micro}"]
        jobs[2].append(job(recipes[3], root / f"bf16-split-{micro}", 2, *overrides))
    for encoder, llm in FAMILIES:
        tiny.save_encoder(root / encoder, encoder)
        # Dropout would draw other numbers for other layouts.
        no_dropout = {"resid_pdrop": 0, "embd_pdrop": 0, "attn_pdrop": 0} if llm == "gpt2" else {}
        tiny.save_llm(root / llm, llm, tie_word_embeddings=llm in TIED, **no_dropout)
        for name, (ranks, zero, packed, encoder_place) in LAYOUTS.items():
            overrides = [
                f"model.encoder={root}/{encoder}",
                f"model.llm={root}/{llm}",
                f"model.packing={{llm: {packed}, encoder: {packed}}}",
                f"stage2.sharding.encoder={encoder_place}",
                # Three samples in batches of two: rank 1 has none in the second step.
                f"stage2.data.train=[{root}/three.jsonl]",
                "stage2.batch.samples=2",
                *both,
            ]
            jobs[ranks].append(job(recipes[zero], root / f"{encoder}-{name}", 2, *overrides))
    # A layer of 1 MB, so that what pickling adds to a file does not hide what is in it.
    tiny.save_encoder(root / "wide-encoder", d_model=256)
    tiny.save_llm(root / "wide-llm", hidden_size=256)
    wide = [f"model.encoder={root}/wide-encoder", f"model.llm={root}/wide-llm", "stage1.steps=1"]
    jobs[2] += [job(recipes[zero], root / f"wide-{zero}", 1, *wide) for zero in ZERO]
    sharded = ["stage1.sharding.encoder=sharded", "stage1.sharding.llm=sharded"]
    jobs[2].append(job(recipes[3], root / "sharded", 1, *sharded))
    jobs[1].append(job(recipes[3], root / "empty-1", 1, f"stage1.data.train=[{root}/one.jsonl]", "stage1.epochs=3"))
    text_alone = ["model.encoder=null", "stage1.kind=translation", "stage2.optimizer.lr=1e-30"]
    one_layer = ["stage2.train=[alignment,'llm.model.layers.0.*']", "stage2.start_from=scratch"]
    # Every layer of an encoder that is trained, without dropout; rank 1 has no sample in the second step.
    tiny.save_encoder(root / "still", dropout_rate=0)
    with_encoder = [f"model.encoder={root}/still", "model.alignment.layers=all", "stage2.start_from=scratch"]
    with_encoder += ["stage2.train=[encoder,alignment,llm]", f"stage2.data.train=[{root}/three.jsonl]"]
    with_encoder.append("stage2.batch.samples=2")
    for ranks, zero in ((1, 0), (2, 3)):
        jobs[ranks] += [job(recipes[zero], root / f"chain-{ranks}", stage, *text_alone) for stage in (1, 2)]
        jobs[ranks].append(job(recipes[zero], root / f"layer-{ranks}", 2, *one_layer))
        jobs[ranks].append(job(recipes[zero], root / f"encoder-{ranks}", 2, *with_encoder))
    for ranks, listed in jobs.items():
        path = root / f"jobs-{ranks}.json"
        path.write_text(json.dumps(listed))
        said = launch(ranks, "torchrun" if ranks > 1 else "python", ROOT / "tests/dist/run_many.py", str(path))
        (root / f"log-{ranks}.txt").write_text(said)
    return root


@pytest.mark.parametrize("stage", [1, 2])
def test_loss_and_gradient_norm_do_not_depend_on_ranks_micro_batch_or_accumulation(runs, stage):
    reference = curve(runs / f"split-1-640/stage{stage}")
    assert len(reference) == 5
    for split in SPLITS:
        found = curve(runs / "split-{}-{}".format(*split) / f"stage{stage}")
        for (step, loss, norm), (_, expected_loss, expected_norm) in zip(found, reference, strict=True):
            # fp32 sums in another order, through five updates; 1e-4 leaves no room for a wrong factor.
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


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "padded"])
@pytest.mark.parametrize("encoder", [encoder for encoder, _ in FAMILIES])
def test_packed_equals_padded_for_every_family_at_any_zero_level_and_number_of_ranks(runs, encoder, layout):
    reference, found = (curve(runs / f"{encoder}-{name}/stage2") for name in ("padded", layout))
    assert len(reference) == 2
    for ours, theirs in zip(found, reference, strict=True):
        # The second loss is that of weights that every gradient of the first step has gone into.
        assert ours[1] == pytest.approx(theirs[1], rel=1e-4), ours[0]
        assert ours[2] == pytest.approx(theirs[2], rel=1e-3), ours[0]


def test_frozen_weights_resident_or_sharded_give_the_same_numbers(runs):
    for found, expected in zip(curve(runs / "sharded/stage1"), curve(runs / "zero3-2/stage1"), strict=True):
        assert found[1:] == pytest.approx(expected[1:], rel=1e-5)


def test_bf16_gradients_do_not_depend_on_accumulation(runs):
    # One pass of two or two of one: the passes round in bf16 (2^-8), their sum must not.
    pairs = zip(curve(runs / "bf16-split-640/stage2"), curve(runs / "bf16-split-160/stage2"), strict=True)
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


@pytest.mark.parametrize("zero", ZERO)
def test_stage1_checkpoint_holds_only_the_trained_layer(runs, zero):
    folder = runs / f"wide-{zero}/stage1/checkpoints/step-000001"
    manifest = json.loads((folder / "manifest.json").read_text())
    layer = load_file(runs / f"wide-{zero}/stage1/artefact/alignment.safetensors")
    assert {name for name, tensor in manifest["tensors"].items() if tensor["trained"]} == set(layer) and layer
    # fp32 weights and two moments; below ZeRO-3 the optimizer's copy of the weights lies beside the module's.
    copies = 4 if zero in (1, 2) else 3
    assert sum(p.stat().st_size for p in folder.iterdir()) <= 1.1 * copies * sum(t.nbytes for t in layer.values())


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
    assert "8 samples a step over 2 ranks, in micro-batches of up to 160 LLM tokens" in said
    assert "alignment           4,256              0" in said and "llm                     0         37,280" in said


@pytest.mark.parametrize("run", ["zero3-2", "text", "bf16-3"])
def test_finished_model_loads_and_answers(runs, run):
    model = hub.load_model(runs / run)
    answers = model.answer(["Ann has 3 apples.", "Ana ana tufaha 3 na ananunua 4 zaidi."], max_new_tokens=5)
    assert len(answers) == 2
    stored = load_file(runs / run / "stage2/artefact/model.safetensors")
    for name, parameter in model.named_parameters():
        assert parameter.equal(stored[name]), name
    # Rotary frequencies are no weights, and stay in fp32 in a bf16 model too.
    config = model.llm.config
    width = config.hidden_size // config.num_attention_heads
    frequencies = 1 / 10_000 ** (torch.arange(0, width, 2, dtype=torch.float32) / width)
    assert model.llm.model.rotary_emb.inv_freq.equal(frequencies)


def exported(runs: Path, run: str, stage: int, output: Path, *more: str) -> Path:
    assert main(["export", str(runs / run), "--stage", str(stage), "--output", str(output), *more]) == 0
    return output


@pytest.mark.parametrize(
    "run, stage",
    [(f"zero{zero}-{ranks}", stage) for zero in ZERO for ranks in (1, 2) for stage in (1, 2)]
    + [("bf16-3", 1), ("bf16-3", 2), ("bf16-2", 1), ("sharded", 1), ("both", 2), ("text", 2)]
    + [(f"{encoder}-{layout}", 2) for encoder, _ in FAMILIES for layout in ("packed-2", "packed-3", "sharded-3")],
)
def test_export_of_the_last_checkpoint_is_the_artefact_of_gathered_weights_byte_for_byte(runs, tmp_path, run, stage):
    left = runs / run / f"stage{stage}"
    step = json.loads((left / "COMPLETE").read_text())["step"]
    output = exported(runs, run, stage, tmp_path / "out", "--step", str(step))
    ours, theirs = (json.loads((folder / "manifest.json").read_text()) for folder in (output, left / "artefact"))
    blank = {"written": "", "seal": ""}  # the time, and a hash over it
    beside = ours["files"].keys() - theirs["files"].keys()
    assert beside == {"README.md", *(["generation_config.json"] if stage == 2 else [])}
    ours["files"] = {name: entry for name, entry in ours["files"].items() if name not in beside}
    assert ours | blank == theirs | blank  # size and SHA-256 of every file among it
    tensors = {name for path in output.glob("*.safetensors") for name in load_file(path)}
    if stage == 2:
        listed = json.loads((left / f"checkpoints/step-{step:06d}/manifest.json").read_text())["tensors"]
        assert tensors == listed.keys() and any(name.startswith("llm.") for name in tensors)
    else:
        assert tensors and all(name.startswith("alignment.") for name in tensors)


def test_export_of_a_run_that_was_interrupted_answers_and_can_be_started_from(runs, tmp_path):
    for stage in (1, 2):
        shutil.copytree(runs / f"zero3-2/stage{stage}", tmp_path / f"run/stage{stage}")
    (tmp_path / "run/stage2/COMPLETE").unlink()
    shutil.rmtree(tmp_path / "run/stage2/checkpoints/step-000005")
    whole = exported(tmp_path, "run", 2, tmp_path / "whole")
    assert json.loads((whole / "manifest.json").read_text())["step"] == 3
    assert len(hub.load_model(whole).answer(["Ann has 3 apples."], max_new_tokens=3)) == 1
    (tmp_path / "scores").mkdir()
    (tmp_path / "scores/results.json").write_text('{"name": "other", "tasks": {}}')
    (tmp_path / "scores/evaluation.json").write_text('{"model": "another"}')
    told = ["--stage", "2", "--output", str(tmp_path / "none"), "--results", str(tmp_path / "scores")]
    assert main(["export", str(tmp_path / "run"), *told]) == 2 and not (tmp_path / "none").exists()
    layer = exported(tmp_path, "run", 1, tmp_path / "layer", "--step", "3")
    config = load_config(runs / "recipe-zero3.yaml", [f"stage2.start_from={layer}"])
    ours = artefact_config(config, read_sources(config.model))
    taken = read_handover(config, stage_of(config, 2), ours).alignment
    last = load_file(tmp_path / "run/stage1/artefact/alignment.safetensors")
    assert {f"alignment.{name}" for name in taken} == last.keys()
    assert not taken["end"].equal(last["alignment.end"]), "step 3 is not step 5"


def test_export_of_a_run_whose_base_model_is_another_is_refused(runs, tmp_path, capsys):
    for stage in (1, 2):
        shutil.copytree(runs / f"zero3-2/stage{stage}", tmp_path / f"run/stage{stage}")
    other = tiny.save_encoder(tmp_path / "other", seed=5)
    arguments = ["export", str(tmp_path / "run"), "--step", "5", "--output", str(tmp_path / "out")]
    assert main([*arguments, "--encoder", str(other)]) == 2
    assert f"its encoder is no longer what it was: {other} is" in capsys.readouterr().err
    moved = shutil.copytree(runs / "encoder", tmp_path / "moved")
    assert main([*arguments, "--encoder", str(moved)]) == 0


def test_a_stage_goes_on_from_the_llm_that_the_stage_before_trained(runs):
    for one, two in zip(curve(runs / "chain-1/stage2"), curve(runs / "chain-2/stage2"), strict=True):
        assert one == pytest.approx(two, rel=1e-4)
    first, second = (load_file(runs / f"chain-2/stage{n}/artefact/model.safetensors") for n in (1, 2))
    base = load_file(runs / "llm/model.safetensors")
    assert first.keys() == second.keys() and all(first[name].equal(second[name]) for name in first)
    assert any(not first[f"llm.{name}"].equal(base[name]) for name in base)


def test_an_expression_trains_what_it_matches_and_nothing_else(runs):
    base = {f"llm.{name}": tensor for name, tensor in load_file(runs / "llm/model.safetensors").items()}
    for ranks in (1, 2):
        trained = load_file(runs / f"layer-{ranks}/stage2/artefact/model.safetensors")
        for name, before in base.items():
            assert trained[name].equal(before) == (not name.startswith("llm.model.layers.0.")), name


def test_an_encoder_is_trained_alike_on_any_number_of_ranks(runs):
    for one, two in zip(curve(runs / "encoder-1/stage2"), curve(runs / "encoder-2/stage2"), strict=True):
        assert one == pytest.approx(two, rel=1e-3)
    base = load_file(runs / "still/model.safetensors")
    one, two = (load_file(runs / f"encoder-{ranks}/stage2/artefact/model.safetensors") for ranks in (1, 2))
    assert not one["encoder.shared.weight"].equal(base["shared.weight"])
    # fp32 sums in another order, which AdamW's first steps make as large as the learning rate where they are near 0.
    assert all((one[name] - two[name]).abs().max() < 2e-3 for name in one)
    assert one["alignment.layer_weights"].allclose(two["alignment.layer_weights"], atol=1e-5)
