"""LoRA and DoRA: small checkpoints, the same answers merged and unmerged, and what goes on from what."""

import json
import logging
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
import yaml
from launching import ROOT, curve, launch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForCausalLM

from lingualift_ds import hub
from lingualift_ds.cli.main import main
from lingualift_ds.config.adapters import adapter_tensors
from lingualift_ds.config.load import load_config
from lingualift_ds.config.memory import plan_memory
from lingualift_ds.config.schema import AdapterConfig
from lingualift_ds.errors import CheckpointError, ConfigError, ModelError, TrainingError
from lingualift_ds.model.adapters import add_adapter, check_adapter, is_adapter_weight, merge_adapter
from lingualift_ds.model.groups import freeze_all_but, trained_names
from lingualift_ds.model.llms import load_llm
from lingualift_ds.model.loading import read_config
from lingualift_ds.model.work import StepWork
from lingualift_ds.train.audit import GradientAudit
from lingualift_ds.train.build import artefact_config, read_sources
from lingualift_ds.train.inherit import read_handover
from lingualift_ds.train.stages import check_stage, stage_of

sys.path.insert(0, str(ROOT))

from benchmarks.allocations import TensorBytes  # noqa: E402
from benchmarks.memory import Case, build_model  # noqa: E402

QUESTIONS = ["Ann has 3 apples and buys 4 more.", "Ana ana tufaha 3"]
UNMERGED = {
    # What was trained, and how: the adapters are large enough to change every answer.
    "lora": ("stage2", ["stage2.adapter={kind: lora, rank: 4, alpha: 64}"]),
    "dora": ("stage2", ["stage2.adapter={kind: dora, rank: 4, alpha: 64}"]),
    "text": ("stage2", ["stage2.adapter={kind: dora, rank: 4, alpha: 64}", "model.encoder=null"]),
    # On a whole model: the encoder is trained too, or the stage before trained all of the LLM.
    "encoder": ("stage2", ["stage2.adapter={kind: lora, rank: 4, alpha: 64}", "stage2.train=[encoder, llm]"]),
    "full": ("stage3", ["stage3.adapter={kind: lora, rank: 4, alpha: 64, targets: [q_proj, v_proj]}"]),
    # Goes on with the adapter of "dora".
    "on": ("stage3", ["stage3.adapter={kind: dora, rank: 4, alpha: 64, dropout: 0.1}"]),
}


def job(recipe: Path, run: Path, stage: int, *overrides: str, **more: str) -> dict:
    return {"config": str(recipe), "stage": stage, "overrides": [f"run.output={run}", *overrides], **more}


def train(root: Path, jobs: list[dict]) -> None:
    (root / "jobs.json").write_text(json.dumps(jobs))
    launch(1, "python", ROOT / "tests/dist/run_many.py", str(root / "jobs.json"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("adapters")
    recipes = {zero: write_recipe(root, zero) for zero in (0, 2, 3)}
    layer = f"stage2.start_from={root}/layer/stage1/artefact"
    adapter = {name: overrides for name, (_, overrides) in UNMERGED.items()}
    fast, faster = "stage2.optimizer.lr=2e-2", "stage3.optimizer.lr=2e-2"
    # Wide, so that what pickling adds to a file does not hide what is in it.
    tiny.save_llm(root / "wide-llm", hidden_size=256, intermediate_size=256)
    wide = [f"model.llm={root}/wide-llm", "stage2.start_from=scratch", "stage2.steps=1", "stage2.adapter={rank: 32}"]
    train(
        root,
        [
            job(recipes[0], root / "layer", 1),
            job(recipes[0], root / "lora", 2, layer, fast, *adapter["lora"]),
            job(recipes[3], root / "dora", 2, layer, fast, *adapter["dora"]),
            job(recipes[3], root / "text", 2, fast, *adapter["text"]),
            job(recipes[2], root / "encoder", 2, layer, fast, *adapter["encoder"]),
            job(recipes[3], root / "full", 2, layer),
            job(recipes[3], root / "full", 3, layer, faster, *adapter["full"]),
            job(recipes[3], root / "on", 3, faster, *adapter["on"], f"stage3.start_from={root}/dora/stage2/artefact"),
            *(job(recipes[zero], root / f"wide-{zero}", 2, *wide) for zero in recipes),
        ],
    )
    return root


def write_recipe(root: Path, zero: int) -> Path:
    """The tiny recipe, with a stage 3 like its stage 2."""
    path = tiny.write_recipe(root, zero)
    recipe = yaml.safe_load(path.read_text())
    recipe["stage3"] = recipe["stage2"]
    path.write_text(yaml.safe_dump(recipe))
    return path


def greedy(model, instruction: str | None = None) -> list[str]:
    return [answer.text for answer in model.answer(QUESTIONS, instruction, max_new_tokens=8)]


@torch.no_grad()
def logits(model) -> torch.Tensor:
    inputs = model.processor(QUESTIONS, targets=["apples: 3 + 4 = 7", "7"])
    labels = inputs.pop("labels")
    return model(**inputs).logits[labels != -100]


@pytest.mark.parametrize("name", UNMERGED)
def test_merged_and_unmerged_are_one_model(runs, tmp_path, name):
    stage, _ = UNMERGED[name]
    unmerged = hub.load_model(runs / name)
    assert any(is_adapter_weight(n) for n, _ in unmerged.named_parameters())
    assert main(["export", str(runs / name), "--output", str(tmp_path / "merged")]) == 0
    merged = hub.load_model(tmp_path / "merged")
    assert not any(is_adapter_weight(n) or "base_layer" in n for n in merged.state_dict())
    assert not merged.config.adapter
    expected = logits(unmerged)
    assert torch.allclose(logits(merged), expected, rtol=0, atol=1e-4) and greedy(merged) == greedy(unmerged)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval()
    assert torch.equal(logits(plain), logits(merged))
    for parameter_name, parameter in unmerged.named_parameters():
        if "lora_B" in parameter_name:
            parameter.data.zero_()
    assert (logits(unmerged) - expected).abs().max() > 1e-2, "the adapter must matter, or all this says nothing"
    # Any checkpoint: the last one is what the stage left, an earlier one is another model.
    steps = sorted(p.name for p in (runs / name / stage / "checkpoints").glob("step-*"))
    found = {}
    for step in (steps[0], steps[-1]):
        arguments = ["export", str(runs / name), "--step", step.removeprefix("step-").lstrip("0")]
        assert main([*arguments, "--output", str(tmp_path / step)]) == 0
        found[step] = load_file(tmp_path / step / "model.safetensors")
    last = load_file(tmp_path / "merged/model.safetensors")
    assert found[steps[-1]].keys() == last.keys()
    assert all(tensor.equal(last[n]) for n, tensor in found[steps[-1]].items())
    assert any(not tensor.equal(last[n]) for n, tensor in found[steps[0]].items())
    assert not list(tmp_path.glob(".*")), "nothing is left beside"


@pytest.mark.parametrize("zero", [0, 2, 3])
def test_checkpoint_and_artefact_hold_the_adapter_alone(runs, zero):
    folder = runs / f"wide-{zero}/stage2"
    state = load_file(folder / "artefact/trained.safetensors")
    adapter = {name: tensor for name, tensor in state.items() if is_adapter_weight(name)}
    assert {name.split(".")[0] for name in state} == {"alignment", "llm"}
    assert len(adapter) == 2 * 2 * 7, "A and B of the seven linear layers of two layers"
    trained = sum(tensor.nbytes for tensor in adapter.values())
    # Weights, and AdamW's two moments; under ZeRO-0 to 2 DeepSpeed saves the weights a second time.
    copies = {0: 3, 2: 4, 3: 3}[zero]
    size = sum(p.stat().st_size for p in (folder / "checkpoints/step-000001").glob("*.pt"))
    assert copies * trained < size < 1.1 * copies * trained, size / trained
    described = json.loads((folder / "artefact/config.json").read_text())
    assert described["adapter"] == {"kind": "lora", "rank": 32, "alpha": 32.0, "dropout": 0.0, "targets": []}
    assert described["llm"]["name"] == str(runs / "wide-llm") and "config" not in described["llm"]


def test_resumed_run_is_the_uninterrupted_one(runs, tmp_path):
    shutil.copytree(runs / "dora/stage2", tmp_path / "dora/stage2")
    (tmp_path / "dora/stage2/COMPLETE").unlink()
    shutil.rmtree(tmp_path / "dora/stage2/artefact")
    shutil.rmtree(tmp_path / "dora/stage2/checkpoints/step-000005")
    again = [f"stage2.start_from={runs}/layer/stage1/artefact", "stage2.optimizer.lr=2e-2", *UNMERGED["dora"][1]]
    train(tmp_path, [job(runs / "recipe-zero3.yaml", tmp_path / "dora", 2, *again, resume="must")])
    assert curve(tmp_path / "dora/stage2") == curve(runs / "dora/stage2")
    ours, theirs = (load_file(run / "dora/stage2/artefact/trained.safetensors") for run in (tmp_path, runs))
    assert ours.keys() == theirs.keys() and all(tensor.equal(theirs[name]) for name, tensor in ours.items())


def test_a_stage_goes_on_with_the_adapter_that_it_states_alike(runs):
    before, after = (load_file(runs / where / "artefact/trained.safetensors") for where in ("dora/stage2", "on/stage3"))
    same, fresh = (curve(runs / run)[0][1] for run in ("dora/stage2", "on/stage3"))
    assert before.keys() == after.keys() and fresh < same - 0.05, "the loss goes on where the adapter left it"
    for stated, said in (("null", "stage3.adapter is null"), ("{kind: dora, rank: 8, alpha: 64}", "rank: 8")):
        overrides = [f"stage3.start_from={runs}/dora/stage2/artefact", f"stage3.adapter={stated}"]
        config = load_config(runs / "recipe-zero3.yaml", ["stage3.train=[llm]", *overrides])
        with pytest.raises(CheckpointError, match=f"{said}.* export {runs}/dora/stage2 --output DIR"):
            read_handover(config, stage_of(config, 3), artefact_config(config, read_sources(config.model)))


def test_an_artefact_that_holds_nothing_of_the_model_is_said_to_be_unused(runs, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("lingualift_ds"), "propagate", True)
    layer = runs / "layer/stage1/artefact"
    config = load_config(runs / "recipe-zero3.yaml", ["model.encoder=null", f"stage2.start_from={layer}"])
    with caplog.at_level("WARNING", "lingualift_ds"):
        found = read_handover(config, stage_of(config, 2), artefact_config(config, read_sources(config.model)))
    assert found.alignment is None and not found.parts
    assert f"start_from: {layer} is not used: it holds nothing that this model has" in caplog.text


def test_what_a_stage_goes_on_from_may_be_the_merged_model(runs, tmp_path):
    assert main(["export", str(runs / "dora"), "--output", str(tmp_path / "merged")]) == 0
    config = load_config(runs / "recipe-zero3.yaml", [f"stage3.start_from={tmp_path}/merged", "stage3.train=[llm]"])
    handover = read_handover(config, stage_of(config, 3), artefact_config(config, read_sources(config.model)))
    assert handover.adapter is None and handover.parts == ("encoder", "llm") and handover.alignment


def test_a_layer_trained_alone_is_used_from_its_run_and_exported_whole(runs, tmp_path):
    beside = hub.load_model(runs / "layer")
    assert main(["export", str(runs / "layer"), "--output", str(tmp_path / "layer")]) == 0
    assert [p.name for p in (tmp_path / "layer").glob("*.safetensors")] == ["alignment.safetensors"]
    for step in ([], ["--step", "3"], ["--step", "5"]):
        output = tmp_path / f"whole{''.join(step)}"
        assert main(["export", str(runs / "layer"), "--whole", *step, "--output", str(output)]) == 0
        loaded = AutoModelForCausalLM.from_pretrained(output).eval()
        assert torch.equal(logits(loaded), logits(beside)) == (step != ["--step", "3"])


def test_export_for_vllm_merges_and_other_base_models_are_refused(runs, tmp_path, capsys):
    assert main(["export", str(runs / "dora"), "--for", "vllm", "--output", str(tmp_path / "vllm")]) == 0
    model, (ids,) = hub.load_model(runs / "dora"), torch.arange(20)[None][None]
    with torch.no_grad():
        served = AutoModelForCausalLM.from_pretrained(tmp_path / "vllm/llm").eval()(ids).logits
        assert torch.allclose(served, model.llm(ids).logits, rtol=0, atol=1e-4)
    other = tiny.save_llm(tmp_path / "other", seed=5)
    capsys.readouterr()
    assert main(["export", str(runs / "lora"), "--llm", str(other), "--output", str(tmp_path / "none")]) == 2
    assert f"was trained with another llm: {other} is" in capsys.readouterr().err
    with pytest.raises(ModelError, match=f"{other}: its weights are not those that .* was trained with"):
        hub.load_model(runs / "lora", llm=str(other))


def test_last_stage_of_a_run_is_the_one_that_is_used(runs, tmp_path):
    for number, run in ((1, "layer"), (2, "lora"), (10, "dora")):
        shutil.copytree(runs / run / f"stage{min(number, 2)}/artefact", tmp_path / f"stage{number}/artefact")
    assert hub.load_model(tmp_path).config.adapter["kind"] == "dora"
    assert hub.load_model(tmp_path / "stage1").config.adapter is None
    moved = shutil.copytree(runs / "llm", tmp_path / "llm")
    assert greedy(hub.load_model(tmp_path, llm=str(moved))) == greedy(hub.load_model(runs / "dora"))
    with pytest.raises(ConfigError, match="--llm: .* holds its own"):
        hub.load_model(runs / "full", llm=str(moved))


def test_saved_and_loaded_by_transformers_the_adapter_stays_apart(runs, tmp_path):
    model = hub.load_model(runs / "encoder")
    model.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    assert again.config.adapter == model.config.adapter and torch.equal(logits(again), logits(model))
    again.merge_adapter()
    assert torch.allclose(logits(again), logits(model), rtol=0, atol=1e-4) and again.config.adapter is None


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    root = tmp_path_factory.mktemp("bases")
    return {
        kind: tiny.save_llm(root / kind, kind, tie_word_embeddings=kind in ("gpt2", "gemma2"))
        for kind in ("llama", "gpt2", "gpt_neox", "gemma2")
    }


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("how", ["lora", "dora"])
@pytest.mark.parametrize("kind", ["llama", "gpt2", "gpt_neox", "gemma2"])
def test_every_family_gets_it_on_all_its_linear_layers(bases, kind, how, dtype):
    llm = load_llm(str(bases[kind]), dtype, read_config(str(bases[kind]), "llm")).eval()
    ids, per_layer = torch.arange(20)[None], {"llama": 7, "gemma2": 7, "gpt2": 4, "gpt_neox": 4}[kind]
    with torch.no_grad():
        plain, names = llm(ids).logits, [*llm.state_dict()]
        add_adapter(llm, AdapterConfig(kind=how, rank=4), seed=3)
        assert torch.equal(llm(ids).logits, plain), "a fresh adapter changes nothing"
        own = {name: p for name, p in llm.named_parameters() if is_adapter_weight(name)}
        assert len(own) == 2 * per_layer * (2 if how == "lora" else 3)
        assert {p.dtype for p in llm.parameters()} == {plain.dtype}, "ZeRO-3 gathers one dtype"
        generator = torch.Generator().manual_seed(0)
        for parameter in own.values():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator).to(parameter)
        unmerged = llm(ids).logits
        merge_adapter(llm)
    difference = (llm(ids).logits - unmerged).abs().max()
    # bf16: the product of two roundings is rounded once more into the weights.
    assert difference < (1e-5 if dtype == "fp32" else 0.15) and (unmerged - plain).abs().max() > 0.3
    assert [*llm.state_dict()] == names and {p.dtype for p in llm.parameters()} == {plain.dtype}


def test_the_seed_alone_decides_a_fresh_adapter(bases):
    found = []
    for noise, seed in ((1, 3), (2, 3), (1, 4)):
        llm = load_llm(str(bases["llama"]), "fp32", read_config(str(bases["llama"]), "llm"))
        torch.manual_seed(noise)
        add_adapter(llm, AdapterConfig(rank=4), seed)
        found.append({name: p for name, p in llm.named_parameters() if "lora_A" in name})
    one, two, other = ([*weights.values()] for weights in found)
    assert all(map(torch.equal, one, two)) and not any(map(torch.equal, one, other))


def test_targets_that_the_llm_has_not_are_named_with_those_it_has(bases):
    config = read_config(str(bases["llama"]), "llm")
    check_adapter(AdapterConfig(targets=("q_proj", "down_proj")), config)
    with pytest.raises(ConfigError, match="query, lm_head: this LLM has no linear .* q_proj, k_proj, .* down_proj;"):
        check_adapter(AdapterConfig(targets=("q_proj", "query", "lm_head")), config)


def test_without_peft_a_line_says_what_to_install(bases, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="adapter: dora needs peft; pip install peft"):
        check_adapter(AdapterConfig("dora"), read_config(str(bases["llama"]), "llm"))


def test_impossible_numbers_are_all_named(tmp_path):
    recipe = tiny.write_recipe(tmp_path)
    config = load_config(recipe, ["stage1.train=[llm]", "stage1.adapter={rank: 0, alpha: 0, dropout: 1}"])
    with pytest.raises(ConfigError) as raised:
        check_stage(config, stage_of(config, 1))
    assert [p.split(": ")[1] for p in raised.value.problems if "adapter" in p] == [
        "stage1.adapter.rank", "stage1.adapter.alpha", "stage1.adapter.dropout",
    ]  # fmt: skip


SMALL = dict(width=128, layers=3, vocabulary=1000)


@pytest.mark.parametrize("adapter", [AdapterConfig(rank=8), AdapterConfig("dora", 8, dropout=0.1)])
@pytest.mark.parametrize("llm, recomputed", [("qwen2", 0), ("mistral", 2)])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_memory_is_planned_for_the_adapter_and_not_for_the_llm(llm, recomputed, precision, adapter):
    setup, model, batch = build_model(Case("", 2, 0, precision, llm=llm, tied=True, recomputed=recomputed, **SMALL))
    add_adapter(model.llm, adapter)
    freeze_all_but(model, ["llm"])
    plan = plan_memory(replace(setup, adapter=adapter))
    own = {name: p for name, p in model.llm.named_parameters() if p.requires_grad}
    matrices, vectors = adapter_tensors(setup.llm, adapter)
    assert sorted(p.numel() for p in own.values() if p.ndim == 2) == sorted(matrices)
    assert sorted(p.numel() for p in own.values() if p.ndim == 1) == sorted(vectors)
    assert plan.peak.optimizer == sum(p.numel() for p in own.values()) * (8 if precision == "fp32" else 12)
    with TensorBytes() as counted:
        weights = sum(p.numel() * p.element_size() for part in model.parts.values() for p in part.parameters())
        base = counted.now - weights
        summed = model.train()(**batch)
        forward = counted.peak - base
        counted.restart_peak()
        summed.backward()
        backward = counted.peak - base
    found = {"loss": forward, "backward": backward}
    for moment, measured in found.items():
        at = plan.moments[moment]
        assert at.total - at.optimizer - plan.moments["loss"].gradients == pytest.approx(measured, rel=0.1)


def adapted(bases) -> nn.Module:
    llm = load_llm(str(bases["llama"]), "fp32", read_config(str(bases["llama"]), "llm"))
    add_adapter(llm, AdapterConfig(rank=4, targets=("q_proj", "up_proj")))
    model = nn.Module()
    model.llm, model.parts = llm, {"llm": llm}
    return model


def test_train_llm_means_its_adapter_and_expressions_what_they_match(bases):
    model = adapted(bases)
    freeze_all_but(model, ["llm"])
    names = trained_names(model)
    assert len(names) == 2 * 2 * 2 and all(map(is_adapter_weight, names))
    freeze_all_but(model, [r"llm\.model\.layers\.1\..*lora_.*"])
    assert len(trained_names(model)) == 4
    with pytest.raises(ConfigError, match=r"'alignment.\*\|llm.\*' matches llm\..* too; write an expression for each"):
        freeze_all_but(model, ["alignment.*|llm.*"])


def test_work_counts_weight_gradients_of_the_adapter_alone(bases):
    model = adapted(bases)
    freeze_all_but(model, ["llm"])
    own = sum(p.numel() for p in model.parameters() if p.requires_grad)
    linear = sum(p.numel() for p in model.parameters()) - own - 2 * model.llm.lm_head.weight.numel()
    assert StepWork(model).operations(1, 0, 0, 0) == 4 * linear + 6 * own
    freeze_all_but(model, ["llm", "llm.*"])
    assert StepWork(model).operations(1, 0, 0, 0) == 6 * (linear + own)


@pytest.mark.parametrize("cut", ["q_proj", ""])
def test_audit_knows_a_fresh_adapter_from_a_dead_one(bases, cut):
    model = adapted(bases)
    freeze_all_but(model, ["llm"])
    audit = GradientAudit(model)
    for name, module in model.named_modules():
        if cut and name.endswith(f"1.self_attn.{cut}"):
            module.forward = module.base_layer.forward
    model.llm(torch.arange(20)[None]).logits.logsumexp(-1).sum().backward()
    if not cut:
        audit.finish()
        return
    with pytest.raises(TrainingError, match="2 trained .*layers.1.self_attn.q_proj.lora_A.default.weight, .*lora_B"):
        audit.finish()
