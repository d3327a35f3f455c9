"""Export: shards of any number of ranks joined, sources read tensor by tensor, and what is said where it cannot be."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
import torch
import yaml
from launching import environment
from safetensors.torch import load_file, save_file
from shards import seal, write_zero3

from lingualift_ds.checkpoint.consolidate import Consolidation
from lingualift_ds.checkpoint.manifest import file_entry, verify, write_json, write_manifest
from lingualift_ds.checkpoint.tensors import TensorSpec
from lingualift_ds.checkpoint.weights import WeightFiles
from lingualift_ds.cli.main import main
from lingualift_ds.config.load import load_config
from lingualift_ds.errors import CheckpointError
from lingualift_ds.model.encoders import encoder_class, load_encoder, renamed
from lingualift_ds.model.llms import llm_class, load_llm
from lingualift_ds.model.loading import read_config, stored_as_used, weight_files
from lingualift_ds.train.build import read_sources
from lingualift_ds.train.export import find_stage_folder, frozen_tensors

MB = 1_000_000


def some_groups() -> list[dict[str, torch.Tensor]]:
    """Sub-groups of tensors whose sizes divide by no number of ranks, one of them smaller than most."""
    torch.manual_seed(0)
    return [
        {"llm.wte.weight": torch.randn(101, 7), "llm.h.0.weight": torch.randn(13, 3), "llm.norm": torch.randn(7)},
        {"alignment.end": torch.randn(1), "llm.h.1.weight": torch.randn(3, 5, 2)},
    ]


@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 8])
def test_pieces_of_any_number_of_ranks_are_joined_bit_for_bit(tmp_path, ranks):
    groups, narrow = some_groups(), {"llm.wte.weight": torch.bfloat16, "llm.norm": torch.bfloat16}
    write_zero3(tmp_path / "step-000001", groups, ranks, narrow)
    consolidation = Consolidation(tmp_path / "step-000001", verify(tmp_path / "step-000001"))
    found = {name: tensor.clone() for name, tensor in consolidation.tensors()}
    expected = {name: tensor for group in groups for name, tensor in group.items()}
    assert list(found) == list(expected) == list(consolidation.specs)
    for name, tensor in expected.items():
        wanted = tensor.to(narrow.get(name, torch.float32))
        assert found[name].dtype == wanted.dtype and found[name].equal(wanted), name


def made(folder: Path, change, ranks: int = 2) -> Path:
    """A checkpoint whose manifest was changed after the files were written."""
    facts = write_zero3(folder / "step-000001", some_groups(), ranks, {})
    change(facts)
    seal(folder / "step-000001", {k: v for k, v in facts.items() if k != "files"})
    return folder / "step-000001"


@pytest.mark.parametrize(
    "change, said",
    [
        (
            lambda m: m["tensors"].update({"llm.x": {"shape": [2], "dtype": "float32", "trained": True}}),
            "no tensor llm.x,",
        ),
        (lambda m: m["tensors"].pop("llm.norm"), "holds tensor llm.norm, which manifest.json does not list as trained"),
        (lambda m: m["tensors"]["llm.norm"].update(trained=False), "holds tensor llm.norm, which"),
        (lambda m: m["tensors"]["llm.norm"].update(shape=[8]), r"llm.norm has shape \[7\], manifest.json says \[8\]"),
        (lambda m: m["tensors"]["llm.norm"].update(dtype="float31"), "manifest.json: is damaged"),
        (lambda m: m.pop("tensors"), "manifest.json: is damaged: KeyError 'tensors'"),
        (lambda m: m.update(world_size=3), "has no file with the optimizer state of rank 2"),
        (lambda m: m.update(world_size=1), "on 1 ranks, but has a file with the optimizer state of rank 1"),
        (lambda m: m.update(zero=2), "mp_rank_00_model_states.pt: is missing"),
    ],
)
def test_files_that_are_not_what_the_manifest_says_are_refused(tmp_path, change, said):
    path = made(tmp_path, change)
    with pytest.raises(CheckpointError, match=said):
        list(Consolidation(path, verify(path)).tensors())


def test_partitions_over_fewer_ranks_than_there_were_are_refused(tmp_path):
    # As MiCS and other sharding in groups leave them: longer pieces, and not all ranks' are different.
    path, other = tmp_path / "step-000001", tmp_path / "other"
    manifest = write_zero3(path, some_groups(), 4, {})
    write_zero3(other, some_groups(), 2, {})
    for rank in range(4):
        name = f"zero_pp_rank_{rank}_mp_rank_00_optim_states.pt"
        (path / f"bf16_{name}").write_bytes((other / f"bf16_{name.replace(str(rank), str(rank % 2), 1)}").read_bytes())
    manifest = seal(path, {k: v for k, v in manifest.items() if k != "files"})
    with pytest.raises(CheckpointError, match="its fp32 weights are .* elements a group, .* were expected"):
        list(Consolidation(path, manifest).tensors())


class Runs:
    """Would write a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.write_text, (self.path, "it ran")


def test_no_code_of_a_checkpoint_runs(tmp_path):
    write_zero3(tmp_path / "step-000001", some_groups(), 2, {}, scaler=Runs(tmp_path / "ran"))
    found = dict(Consolidation(tmp_path / "step-000001", verify(tmp_path / "step-000001")).tensors())
    assert found and not (tmp_path / "ran").exists()


def test_joining_takes_two_largest_tensors_and_one_shard(tmp_path):
    # 4 ranks, 200 MB in all; the largest tensor has 40 MB, a rank's shard 50 MB.
    sizes = {"llm.large": (10_000, 1_000)} | {f"llm.h.{i}.weight": (2_500, 800) for i in range(20)}
    tensors = {
        n: torch.arange(s[0] * s[1], dtype=torch.float32).view(s) * (i + 1) for i, (n, s) in enumerate(sizes.items())
    }
    write_zero3(tmp_path / "warm", some_groups(), 4, {})
    write_zero3(tmp_path / "step-000001", [tensors], 4, {})
    shard = max(p.stat().st_size for p in (tmp_path / "step-000001").glob("*optim*"))
    slack = 8 * MB  # the interpreter's own: headers, manifests, the heap's growth
    allowed = 2 * 40 * MB + shard + slack

    def run(limit: int, how: str) -> subprocess.CompletedProcess:
        script = Path(__file__).with_name("consolidate_in.py")
        folders = [tmp_path / "warm", tmp_path / "step-000001", tmp_path / how]
        return subprocess.run(
            [sys.executable, script, *folders, str(limit), how], env=environment() | {"MALLOC_ARENA_MAX": "1"},
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip

    done = run(allowed, "stream")
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout)["bytes"] < allowed
    found = load_file(tmp_path / "stream/out/model.safetensors")
    assert found.keys() == tensors.keys() and all(t.equal(tensors[n]) for n, t in found.items())
    # The limit holds: with the whole model in memory it is not enough.
    done = run(allowed, "whole")
    assert done.returncode != 0 and "memory" in done.stderr
    assert not (tmp_path / "whole/out").exists()


SOURCES = ["mt5", "umt5", "xlm-roberta", "bert", "nllb", "llama", "mistral", "qwen2", "gemma2", "gpt2"]


def source(folder: Path, kind: str, precision: str):
    """(files, how they name tensors, the model as training loads it) of a saved base model."""
    if kind in SOURCES[:5]:
        config = read_config(str(tiny.save_encoder(folder, kind)), "model.encoder")
        assert stored_as_used(config, encoder_class(config))
        return weight_files(str(folder), config), renamed(config), load_encoder(str(folder), config, precision)
    config = read_config(str(tiny.save_llm(folder, kind, tie_word_embeddings=kind in ("gpt2", "gemma2"))), "model.llm")
    assert stored_as_used(config, llm_class(config))
    return weight_files(str(folder), config), {}, load_llm(str(folder), precision, config)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", SOURCES)
def test_base_models_are_read_as_training_loads_them(tmp_path, kind, precision):
    files, names, model = source(tmp_path, kind, precision)
    state = {name: tensor for name, tensor in model.state_dict().items() if name in dict(model.named_parameters())}
    specs = {name: TensorSpec.of(tensor) for name, tensor in state.items()}
    reading = WeightFiles(files, names)
    found = reading.match(specs)
    assert found and len(found) == len(state) > 15
    read = dict(reading.read(found, specs))
    assert read.keys() == state.keys() and all(t.equal(state[n]) for n, t in read.items())
    assert all(t.dtype == state[n].dtype for n, t in read.items())


def test_older_files_of_base_models_are_mapped_and_prefixes_found(tmp_path):
    torch.manual_seed(0)
    tensors = {f"h.{i}.weight": torch.randn(4, 3) for i in range(5)}
    specs = {name: TensorSpec.of(tensor) for name, tensor in tensors.items()}
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    for prefix, asked in (("", ""), ("", "transformer."), ("model.", "")):
        save_file({prefix + n: t for n, t in tensors.items()}, tmp_path / "model.safetensors")
        torch.save({prefix + n: t for n, t in tensors.items()}, tmp_path / "pytorch_model.bin")
        wanted = {asked + n: spec for n, spec in specs.items()}
        for file in ("model.safetensors", "pytorch_model.bin"):
            reading = WeightFiles([tmp_path / file])
            read = dict(reading.read(reading.match(wanted), wanted))
            assert all(tensor.equal(tensors[name.removeprefix(asked)]) for name, tensor in read.items())
            assert len(read) == 5


def test_names_that_could_mean_two_things_are_not_guessed(tmp_path):
    tensors = {f"{half}.h.{i}.weight": torch.randn(4, 3) for half in ("encoder", "decoder") for i in range(2)}
    save_file(tensors, tmp_path / "model.safetensors")
    reading = WeightFiles([tmp_path / "model.safetensors"])
    wanted = {f"h.{i}.weight": TensorSpec((4, 3), torch.float32) for i in range(2)}
    assert reading.match(wanted) is None
    assert reading.match({"encoder.h.0.weight": TensorSpec((3, 4), torch.float32)}) is None
    assert reading.match({"encoder.h.0.weight": TensorSpec((4, 3), torch.float32)}) is not None


@pytest.mark.parametrize("way", ["names of old", "old format"])
def test_a_part_whose_files_transformers_converts_is_loaded_whole_and_said_to_be(tmp_path, caplog, monkeypatch, way):
    recipe = tiny.write_recipe(tmp_path)
    folder = tiny.save_encoder(tmp_path / "bert", "bert")
    tensors = load_file(folder / "model.safetensors")
    if way == "names of old":
        old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
        for new, before in old.items():
            tensors = {name.replace(new, before): tensor for name, tensor in tensors.items()}
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    else:
        (folder / "model.safetensors").unlink()
        torch.save(tensors, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    config = load_config(recipe, [f"model.encoder={folder}"])
    sources = read_sources(config.model)
    state = load_encoder(str(folder), sources.encoder_config, "fp32").state_dict()
    specs = {name: TensorSpec.of(tensor) for name, tensor in state.items()}
    monkeypatch.setattr(logging.getLogger("lingualift_ds"), "propagate", True)
    with caplog.at_level("INFO", "lingualift_ds"):
        read = dict(frozen_tensors("encoder", specs, config, sources, None))
    assert read.keys() == state.keys() and all(t.equal(state[n]) for n, t in read.items())
    assert f"encoder: frozen, loaded whole from {folder}" in caplog.text


def test_files_that_cannot_be_mapped_are_said_to_be_so(tmp_path):
    torch.save({"a": torch.zeros(2)}, tmp_path / "old.bin", _use_new_zipfile_serialization=False)
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    for name in ("old.bin", "cut.safetensors"):
        with pytest.raises(CheckpointError, match=name):
            WeightFiles([tmp_path / name])


NAMES = {"llm": "a/llm", "encoder": "/data/mt5"}


@pytest.fixture
def run(tmp_path) -> Path:
    """A run folder: stage 1 complete, stage 2 with a checkpoint that is not whole."""
    for stage in (1, 2):
        (tmp_path / f"run/stage{stage}/checkpoints").mkdir(parents=True)
        (tmp_path / f"run/stage{stage}/config.yaml").write_text("model: {llm: a/llm, encoder: /data/mt5}\n")
    write_json(tmp_path / "run/stage1/COMPLETE", {})
    artefact = tmp_path / "run/stage1/artefact"
    artefact.mkdir()
    save_file({"alignment.end": torch.zeros(3)}, artefact / "alignment.safetensors")
    parts = {role: {"name": name, "width": 3, "fingerprint": "0" * 64} for role, name in NAMES.items()}
    write_json(artefact / "config.json", {"alignment": {"kind": "ffn"}, "instruction": "Say it:", **parts})
    files = {path.name: file_entry(path) for path in artefact.iterdir()}
    write_manifest(artefact, "artefact", files, {"step": 5})
    write_zero3(tmp_path / "run/stage2/checkpoints/step-000003", some_groups(), 2, {})
    (tmp_path / "run/stage2/checkpoints/step-000003/manifest.json").unlink()
    return tmp_path / "run"


def test_stage_is_the_latest_that_has_anything(run):
    assert find_stage_folder(run, None)[1].number == 2
    assert find_stage_folder(run / "stage1", None)[1].number == 1
    (run / "stage2/checkpoints/step-000003").rename(run / "stage2/checkpoints/.step-000003.tmp")
    assert find_stage_folder(run, None)[1].number == 1


def test_complete_stage_is_copied_whole(run, capsys):
    assert main(["export", str(run), "--output", str(run / "out"), "--stage", "1", "--licence", "mit"]) == 0
    whole, source = verify(run / "out"), verify(run / "stage1/artefact")
    assert whole["files"].keys() - source["files"].keys() == {"README.md"} and whole["step"] == 5
    assert all(whole["files"][name] == entry for name, entry in source["files"].items())
    assert "step 5" in capsys.readouterr().out
    _, head, text = (run / "out/README.md").read_text().split("---\n", 2)
    head = yaml.safe_load(head)
    assert (head["base_model"], head["license"], head["language"]) == (["a/llm"], "mit", ["en"])
    assert "`mt5`" in text and "/data" not in text and "hub.load_model" in text


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["{run}/nowhere", "--output", "{run}/out"], "nowhere: no such folder; name a run's"),
        (["{run}/stage1/artefact", "--output", "{run}/out"], "nothing to export: no complete stage and no checkpoint"),
        (["{run}", "--output", "{run}/stage1"], "stage1: is not empty; name a new folder"),
        (["{run}", "--output", "{run}/stage1/config.yaml"], "config.yaml: is a file; name a new folder"),
        (["{run}/stage1", "--stage", "2", "--output", "{run}/out"], "--stage 2: {run}/stage1 is the folder of stage 1"),
        (["{run}", "--stage", "3", "--output", "{run}/out"], "--stage 3: no such stage"),
        (["{run}", "--step", "7", "--output", "{run}/out"], "--step 7: {run}/stage2/checkpoints holds no such step"),
        (["{run}", "--step", "7", "--output", "{run}/out"], "there are: 3"),
        (["{run}", "--step", "-1", "--output", "{run}/out"], "--step -1: must be 0 or more"),
        (["{run}", "--step", "3", "--output", "{run}/out"], "step-000003: has no manifest.json"),
        (["{run}", "--output", "{run}/out"], "stage2/checkpoints: holds no whole checkpoint; the reasons are above"),
        (["{run}", "--stage", "1", "--output", "{run}/stage1/COMPLETE/out"], "cannot be written: NotADirectoryError"),
    ],
)
def test_what_cannot_be_exported_is_one_line(run, capsys, arguments, said):
    assert main(["export", *(a.format(run=run) for a in arguments)]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(lines) == 1 and said.format(run=run) in lines[0]
    assert not (run / "out").exists()
