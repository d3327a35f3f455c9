"""Between a checkpoint and the run that goes on from it: the probe, the sources' hashes, paths that moved."""

import os
from types import SimpleNamespace

import numpy as np
import pytest
import tiny
import torch
import yaml
from torch import nn

from lingualift_ds.checkpoint.store import CheckpointStore, checkpoints
from lingualift_ds.config.load import dump_config, load_config
from lingualift_ds.config.schema import CheckpointConfig
from lingualift_ds.data.collate import BatchLayout
from lingualift_ds.data.tokenize import Sample
from lingualift_ds.errors import CheckpointError
from lingualift_ds.log import MetricsWriter
from lingualift_ds.train import hashes
from lingualift_ds.train.folder import claim_folder, decide, stage_folder
from lingualift_ds.train.hashes import source_fingerprint
from lingualift_ds.train.probe import FILE, Probe
from lingualift_ds.train.resume import clear_what_lies_ahead
from lingualift_ds.train.stages import stage_of
from lingualift_ds.train.state import Progressed


def sample(number: int, tokens: int) -> Sample:
    ids = np.arange(tokens, dtype=np.int32) + 3
    return Sample(str(number), "sw", np.zeros(0, np.int32), np.array([1, 5], np.int32), ids, 0)


class Model:
    """Stands in for an engine: its loss is `scale` times the sum of the target ids."""

    def __init__(self, scale: float, dtype=torch.float32):
        self.scale, self.modes = scale, []
        self.module = SimpleNamespace(llm=nn.Linear(1, 1, dtype=dtype))

    def train(self, mode: bool = True) -> None:
        self.modes.append(mode)

    def forward(self, batch: dict) -> torch.Tensor:
        return batch["targets"].sum().double() * self.scale


LAYOUT = BatchLayout(llm_pad=0, has_bos=True)


def test_probe_comes_back_from_a_checkpoint_and_gives_the_same_loss(tmp_path):
    probe = Probe.among([sample(i, 12 - i) for i in range(9)], LAYOUT, tokens=20)
    assert [s.id for s in probe.samples] == ["8", "7"], "the shortest"
    (tmp_path / FILE).write_bytes(probe.to_bytes())
    again, engine = probe.read(tmp_path), Model(0.5)
    assert again.loss(engine) == probe.loss(engine) == 0.5 * (3 + 4 + 5 + 6 + 3 + 4 + 5 + 6 + 7) / 9
    assert engine.modes == [False, True, False, True], "read in evaluation mode, left in training mode"
    assert vars(again.samples[1]).keys() == vars(probe.samples[1]).keys()


def test_probe_holds_one_sample_at_least_and_what_fits_a_micro_batch():
    assert len(Probe.among([sample(0, 50), sample(1, 51)], LAYOUT, tokens=20).samples) == 1
    assert len(Probe.among([sample(i, 1) for i in range(9)], LAYOUT, tokens=1000).samples) == 2


@pytest.mark.parametrize(("dtype", "near", "far"), [(torch.float32, 5e-5, 5e-4), (torch.bfloat16, 5e-3, 5e-2)])
def test_model_that_is_not_the_one_saved_is_stopped(tmp_path, dtype, near, far):
    probe = Probe.among([sample(0, 4)], LAYOUT, tokens=20)
    expected = probe.loss(Model(1.0))
    probe.check(Model(1 + near, dtype), expected, tmp_path)
    with pytest.raises(CheckpointError, match="what was loaded is not the model that was saved"):
        probe.check(Model(1 + far, dtype), expected, tmp_path)
    with pytest.raises(CheckpointError, match="is nan on rank 0"):
        probe.check(Model(float("nan"), dtype), expected, tmp_path)


def test_source_is_hashed_whole_and_once(tmp_path, monkeypatch):
    source, cache = tmp_path / "llm", tmp_path / "cache"
    source.mkdir()
    (source / "config.json").write_text("{}")
    weights = source / "model.safetensors"
    weights.write_bytes(bytes(5_000_000))
    hashed, plain = [], hashes.sha256
    monkeypatch.setattr(hashes, "sha256", lambda path: (hashed.append(path.name), plain(path))[1])
    before = source_fingerprint(str(source), None, cache)
    assert source_fingerprint(str(source), None, cache) == before and sorted(hashed) == [
        "config.json", "model.safetensors",
    ]  # fmt: skip
    with weights.open("r+b") as file:
        file.seek(2_500_000)  # far from both ends
        file.write(b"\x01")
    assert source_fingerprint(str(source), None, cache) != before
    assert source_fingerprint("org/name", "abc", cache) == "commit abc"


def test_garbage_in_the_remembered_hashes_costs_only_the_hashing(tmp_path):
    source = tiny.save_llm(tmp_path / "llm")
    before = source_fingerprint(str(source), None, tmp_path / "cache")
    for garbage in ("half a line {", "[1, 2]", '{"x": 3}'):
        (tmp_path / "cache/source_hashes.json").write_text(garbage)
        assert source_fingerprint(str(source), None, tmp_path / "cache") == before


def test_paths_may_differ_once_there_is_a_checkpoint_with_hashes(tmp_path):
    recipe = tiny.write_recipe(tmp_path)
    config = load_config(str(recipe), [])
    stage = stage_of(config, 1)
    folder = stage_folder(config, stage)
    folder.checkpoints.mkdir(parents=True)
    folder.config.write_text(dump_config(config))
    os.rename(tmp_path / "llm", tmp_path / "moved")
    moved = load_config(str(recipe), [f"model.llm={tmp_path / 'moved'}"])
    with pytest.raises(CheckpointError, match="another config .*model.llm was"):
        decide(folder, moved, stage, "auto")
    (folder.checkpoints / "step-000001").mkdir()
    assert decide(folder, moved, stage, "auto") == "resume"
    for other in ("model.llm_max_tokens=100", "model.encoder_max_tokens=50", "stage1.batch.samples=4"):
        with pytest.raises(CheckpointError, match="another config"):
            decide(folder, load_config(str(recipe), [other]), stage, "auto")
    for free in ("model.attention.llm=eager", "stage1.sharding.llm=resident", "stage1.checkpoint.every=1"):
        assert decide(folder, load_config(str(recipe), [free]), stage, "auto") == "resume"
    with pytest.raises(CheckpointError, match="--resume never: contradicts --resume-step 3"):
        decide(folder, config, stage, "never", 3)
    folder.complete.touch()
    with pytest.raises(CheckpointError, match="--resume-step 1: .* is complete"):
        decide(folder, config, stage, "auto", 1)


def test_a_run_of_before_a_setting_existed_goes_on_with_its_default(tmp_path):
    recipe = tiny.write_recipe(tmp_path)
    config = load_config(str(recipe), [])
    stage = stage_of(config, 1)
    folder = stage_folder(config, stage)
    (folder.checkpoints / "step-000001").mkdir(parents=True)
    before = yaml.safe_load(dump_config(config))
    for key in ("kind", "name", "adapter", "prompt", "encoder_input", "llm_input"):
        del before["stage1"][key]
    folder.config.write_text(yaml.safe_dump(before))
    assert decide(folder, config, stage, "auto") == "resume"
    other = load_config(str(recipe), ["stage1.prompt=[soft_prompt]"])
    with pytest.raises(CheckpointError, match="stage1.prompt was None, is"):
        decide(folder, other, stage, "auto")


def test_start_that_was_killed_before_it_wrote_anything_is_fresh(tmp_path):
    config = load_config(str(tiny.write_recipe(tmp_path)), [])
    stage = stage_of(config, 1)
    folder = stage_folder(config, stage)
    claim_folder(folder)
    (folder.path / "config.yaml.tmp").write_text("run:")
    assert decide(folder, config, stage, "auto") == "fresh"
    folder.config.write_text("")
    with pytest.raises(CheckpointError, match="config.yaml: is empty or damaged"):
        decide(folder, config, stage, "auto")


def test_later_steps_are_set_aside_before_their_lines_go(tmp_path, monkeypatch):
    """A kill between the two leaves more lines than steps, which the next start takes away; never fewer."""
    metrics = MetricsWriter(tmp_path / "metrics.jsonl")
    for step in range(1, 7):
        metrics.write({"step": step})
    (tmp_path / "checkpoints/step-000003").mkdir(parents=True)
    (tmp_path / "checkpoints/step-000006").mkdir()
    store = CheckpointStore(tmp_path / "checkpoints", CheckpointConfig())
    store.resumed_from = "step-000003"
    run = SimpleNamespace(store=store, metrics=metrics, progressed=Progressed(3))
    with monkeypatch.context() as patch:
        patch.setattr(metrics, "truncate_after", lambda step: (_ for _ in ()).throw(OSError(28, "full")))
        with pytest.raises(CheckpointError, match="cannot be written: OSError"):
            clear_what_lies_ahead(run)
    assert [p.name for p in checkpoints(store.folder)] == ["step-000003"] and len(metrics.steps()) == 6
    clear_what_lies_ahead(run)
    assert metrics.steps() == [1, 2, 3]


def test_lines_that_a_full_disk_refused_are_written_later(tmp_path, monkeypatch):
    metrics = MetricsWriter(tmp_path / "metrics.jsonl")
    metrics.write({"step": 1})
    monkeypatch.setattr(type(metrics.path), "open", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "full")))
    metrics.write({"step": 2})
    metrics.write({"step": 3})
    monkeypatch.undo()
    assert metrics.steps() == [1]
    metrics.write({"step": 4})
    assert metrics.steps() == [1, 2, 3, 4]
