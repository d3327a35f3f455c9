"""Manifests and artefacts."""

import contextlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lingualift_ds.checkpoint import tensors as files
from lingualift_ds.checkpoint.artefact import Contents, copy_artefact, read_artefact, write_artefact
from lingualift_ds.checkpoint.manifest import fingerprint, verify
from lingualift_ds.checkpoint.tensors import TensorSpec, TensorWriter, read_specs, read_tensors
from lingualift_ds.errors import CheckpointError


def write(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    pairs = [(n, torch.nn.Parameter(t)) for n, t in tensors.items()]
    contents = Contents("model", {"a": 1}, {}, {"stage": "x"})
    write_artefact(folder, pairs, lambda _: contextlib.nullcontext(), contents)


def test_artefact_in_several_shards_comes_back_bit_for_bit(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "SHARD_BYTES", 1000)
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


def test_what_fails_on_the_way_is_raised_after_every_tensor_was_gathered(tmp_path, monkeypatch):
    gathered = []

    @contextlib.contextmanager
    def gather(tensors):
        gathered.extend(tensors)
        yield

    def full(self, name, tensor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(TensorWriter, "write", full)
    pairs = [(f"t{i}", torch.nn.Parameter(torch.zeros(3))) for i in range(4)]
    with pytest.raises(CheckpointError, match="cannot be written: OSError .* No space left"):
        write_artefact(tmp_path / "artefact", pairs, gather, Contents("model", {}, {}, {}))
    assert len(gathered) == 4 and not (tmp_path / "artefact").exists()


def test_tensors_of_any_kind_and_order_are_read_by_others(tmp_path):
    torch.manual_seed(0)
    tensors = {
        "odd": torch.randn(3).bfloat16(),
        "count": torch.tensor(7),
        "mask": torch.tensor([True, False, True]),
        "turned": torch.randn(4, 6).T,
        "none": torch.zeros(0, 5),
        "half": torch.randn(5).half(),
        "wide": torch.randn(2, 2).double(),
    }
    specs = {name: TensorSpec.of(tensor) for name, tensor in tensors.items()}
    for limit in (10, 10_000):
        folder = tmp_path / str(limit)
        folder.mkdir()
        writer = TensorWriter(folder, specs, "model", limit)
        for name in reversed(specs):
            writer.write(name, tensors[name])
        writer.finish()
        back = {n: t for path in folder.glob("*.safetensors") for n, t in load_file(path).items()}
        assert back.keys() == tensors.keys() and all(t.equal(tensors[n]) for n, t in back.items())
        assert specs == {n: s for path in folder.glob("*.safetensors") for n, s in read_specs(path).items()}


def test_a_copy_is_whole_or_not_there(tmp_path):
    write(tmp_path / "artefact", {"t": torch.zeros(4)})
    copy_artefact(tmp_path / "artefact", tmp_path / "copy")
    assert verify(tmp_path / "copy") == verify(tmp_path / "artefact")
    weights = tmp_path / "artefact/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(CheckpointError, match=r"artefact/model\.safetensors: its SHA-256"):
        copy_artefact(tmp_path / "artefact", tmp_path / "other")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["artefact", "copy"]


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
