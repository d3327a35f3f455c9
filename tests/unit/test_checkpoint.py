"""Manifests, checkpoint folders and artefacts, with an engine that only writes files."""

import contextlib
import json
from pathlib import Path

import pytest
import torch

from lingualift_ds.checkpoint import artefact
from lingualift_ds.checkpoint.artefact import read_artefact, read_tensors, write_artefact
from lingualift_ds.checkpoint.manifest import fingerprint, verify
from lingualift_ds.checkpoint.store import CheckpointStore, check_fits, newest
from lingualift_ds.errors import CheckpointError


class Files:
    """Stands in for the engine: saving writes a file, loading reads it."""

    loaded: bytes | None = None

    def save(self, folder: Path, tag: str) -> None:
        (folder / tag / "shard.pt").write_bytes(tag.encode() * 50)

    def load(self, folder: Path, tag: str) -> None:
        self.loaded = (folder / tag / "shard.pt").read_bytes()


FACTS = {"world_size": 1, "identity": {"data": "a", "zero": 3}, "trained": ["alignment.end"], "progressed": {}}


@pytest.fixture
def saved(tmp_path) -> CheckpointStore:
    store = CheckpointStore(tmp_path / "checkpoints", keep_last=2)
    for step in (10, 20):
        store.save(Files(), step, {"loader": step}, FACTS)
    return store


def test_newest_is_found_and_loaded_with_this_ranks_state(saved):
    path = newest(saved.folder)
    assert path.name == "step-000020" == (saved.folder / "latest").read_text()
    state, manifest = saved.load(Files(), path, ["alignment.end"])
    assert state == {"loader": 20} and manifest["step"] == 20


@pytest.mark.parametrize("damage", ["flip", "cut", "missing", "no manifest", "half manifest", "not renamed"])
def test_damaged_checkpoint_does_not_exist_for_the_loader(saved, damage):
    path = saved.folder / "step-000020"
    shard = path / "shard.pt"
    if damage == "flip":
        data = bytearray(shard.read_bytes())
        data[7] ^= 1
        shard.write_bytes(data)
    elif damage == "cut":
        shard.write_bytes(shard.read_bytes()[:-1])
    elif damage == "missing":
        (path / "rank-00000.json").unlink()
    elif damage == "no manifest":
        (path / "manifest.json").unlink()
    elif damage == "half manifest":
        (path / "manifest.json").write_text((path / "manifest.json").read_text()[:100])
    else:
        path.rename(saved.folder / ".step-000020.tmp")
    assert newest(saved.folder).name == "step-000010"


def test_old_ones_go_after_the_new_one_is_in_place_and_never_the_one_resumed_from(saved):
    saved.load(Files(), saved.folder / "step-000010", ["alignment.end"])
    for step in (30, 40, 50):
        saved.save(Files(), step, {}, FACTS)
    kept = sorted(p.name for p in saved.folder.glob("step-*"))
    assert kept == ["step-000010", "step-000040", "step-000050"]


def test_checkpoint_of_another_run_is_refused(saved):
    path = newest(saved.folder)
    check_fits(path, 1, {"data": "a", "zero": 3})
    with pytest.raises(CheckpointError, match="saved on 1 ranks, this run has 2"):
        check_fits(path, 2, {"data": "a", "zero": 3})
    with pytest.raises(CheckpointError, match=r"its zero is no longer what it was \(3, now 2\)"):
        check_fits(path, 1, {"data": "a", "zero": 2})
    with pytest.raises(CheckpointError, match="trained tensors differ from this run's: llm.x"):
        saved.load(Files(), path, ["alignment.end", "llm.x"])


def test_unwritable_folder_is_one_line(tmp_path):
    (tmp_path / "checkpoints").write_text("a file")
    with pytest.raises(CheckpointError, match="cannot be written"):
        CheckpointStore(tmp_path / "checkpoints", 1).save(Files(), 1, {}, FACTS)


def write(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    pairs = [(n, torch.nn.Parameter(t)) for n, t in tensors.items()]
    write_artefact(folder, pairs, lambda _: contextlib.nullcontext(), "model", {"a": 1}, {}, {"stage": "x"})


def test_artefact_in_several_shards_comes_back_bit_for_bit(tmp_path, monkeypatch):
    monkeypatch.setattr(artefact, "_SHARD_BYTES", 1000)
    tensors = {f"t{i}": torch.randn(10, 20) for i in range(5)} | {"alignment.b": torch.randn(3)}
    write(tmp_path / "artefact", tensors)
    shards = sorted(p.name for p in (tmp_path / "artefact").glob("*.safetensors"))
    assert shards[0] == "model-00001-of-00005.safetensors" and len(shards) == 5
    index = json.loads((tmp_path / "artefact/model.safetensors.index.json").read_text())
    assert set(index["weight_map"]) == set(tensors) and set(index["weight_map"].values()) == set(shards)
    config, manifest = read_artefact(tmp_path / "artefact")
    assert config == {"a": 1} and manifest["stage"] == "x"
    back = {n: t for shard in read_tensors(tmp_path / "artefact") for n, t in shard.items()}
    assert back.keys() == tensors.keys() and all(t.equal(tensors[n]) for n, t in back.items())
    assert {n for s in read_tensors(tmp_path / "artefact", "alignment.") for n in s} == {"alignment.b"}


def test_verification_names_the_damaged_file(tmp_path):
    write(tmp_path / "artefact", {"t": torch.zeros(4)})
    path = tmp_path / "artefact/model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(CheckpointError, match=r"model\.safetensors: its SHA-256 is not the one in manifest\.json"):
        verify(tmp_path / "artefact")


def test_fingerprint_tells_models_apart(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"a" * 3_000_000)
    before = fingerprint(str(tmp_path), None)
    assert before == fingerprint(str(tmp_path), None)
    (tmp_path / "model.safetensors").write_bytes(b"a" * 2_999_999 + b"b")
    assert fingerprint(str(tmp_path), None) != before
    assert fingerprint("org/name", "abc") == "commit abc"
