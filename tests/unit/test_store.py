"""The checkpoints of a folder: written aside, whole or not there, rotated, and what happens when a disk is full."""

import errno
import json
import resource
import threading
from pathlib import Path

import pytest
import torch

from lingualift_ds.checkpoint import writer
from lingualift_ds.checkpoint.manifest import verify
from lingualift_ds.checkpoint.store import (
    CheckpointStore,
    Saved,
    check_identity,
    check_tensors,
    checkpoints,
    find_checkpoint,
    sweep,
)
from lingualift_ds.checkpoint.writer import host_copy, room_for_copies, tensor_bytes
from lingualift_ds.config.schema import CheckpointConfig
from lingualift_ds.errors import CheckpointError

TENSORS = {"alignment.end": {"shape": [4], "dtype": "float32", "trained": True}}
FACTS = {
    "world_size": 1,
    "identity": {"data": "a", "zero": 3, "llm": "f00", "handover": "b0b"},
    "sources": {"llm": "models/llm", "encoder": None, "alignment": "run/stage1/artefact"},
    "tensors": TENSORS,
}


def save(store: CheckpointStore, step: int) -> Saved:
    store.begin(step, {"shard.pt": {"w": torch.full((50,), float(step))}, "rank-00000.json": b"{}"}, FACTS)
    return store.publish()


@pytest.fixture
def store(tmp_path) -> CheckpointStore:
    made = CheckpointStore(tmp_path / "checkpoints", CheckpointConfig(keep_last=2))
    for step in (10, 20):
        save(made, step)
    return made


def names(store: CheckpointStore) -> list[str]:
    return sorted(p.name for p in store.folder.iterdir())


def test_newest_is_found_with_its_manifest(store):
    path, manifest = find_checkpoint(store.folder)
    assert path.name == "step-000020" == (store.folder / "latest").read_text()
    assert manifest["step"] == 20 and manifest["kind"] == "checkpoint" and manifest["tensors"] == TENSORS
    assert torch.load(path / "shard.pt")["w"].equal(torch.full((50,), 20.0))
    assert set(manifest["files"]) == {"shard.pt", "rank-00000.json"}


@pytest.mark.parametrize(
    "damage",
    ["flip", "cut", "missing", "no manifest", "half manifest", "list", "escape", "format", "a digit", "not renamed"],
)
def test_damaged_checkpoint_is_named_and_passed_over(store, damage, caplog):
    path = store.folder / "step-000020"
    shard, manifest = path / "shard.pt", path / "manifest.json"
    if damage == "flip":
        data = bytearray(shard.read_bytes())
        data[7] ^= 1
        shard.write_bytes(data)
    elif damage == "cut":
        shard.write_bytes(shard.read_bytes()[:-1])
    elif damage == "missing":
        (path / "rank-00000.json").unlink()
    elif damage == "no manifest":
        manifest.unlink()
    elif damage == "half manifest":
        manifest.write_text(manifest.read_text()[:100])
    elif damage == "list":
        manifest.write_text("[1, 2]")
    elif damage == "escape":
        manifest.write_text(manifest.read_text().replace('"shard.pt"', '"../step-000010/shard.pt"'))
    elif damage == "format":
        manifest.write_text(manifest.read_text().replace('"format": 2', '"format": 1'))
    elif damage == "a digit":
        manifest.write_text(manifest.read_text().replace('"step": 20', '"step": 21'))
    else:
        path.rename(store.folder / ".step-000020.tmp")
    with caplog_of(caplog) as said:
        assert find_checkpoint(store.folder)[0].name == "step-000010"
    if damage != "not renamed":
        assert "checkpoint step-000020 cannot be used" in said()
        assert "step 10 is taken instead: it costs 10 steps" in said()


def caplog_of(caplog):
    """The package's logger does not propagate: listen at its root."""
    import contextlib
    import logging

    @contextlib.contextmanager
    def listening():
        root = logging.getLogger("lingualift_ds")
        root.addHandler(caplog.handler)
        try:
            yield lambda: caplog.text
        finally:
            root.removeHandler(caplog.handler)

    return listening()


def test_named_step_is_taken_or_fails(store):
    assert find_checkpoint(store.folder, 10)[0].name == "step-000010"
    with pytest.raises(CheckpointError, match="--resume-step 15: .* holds no such step; there are: 10, 20"):
        find_checkpoint(store.folder, 15)
    (store.folder / "step-000020/shard.pt").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"--resume-step 20: .*shard\.pt: has 0 bytes"):
        find_checkpoint(store.folder, 20)


def test_none_whole_is_an_error(store):
    for path in checkpoints(store.folder):
        (path / "manifest.json").unlink()
    with pytest.raises(CheckpointError, match="holds no whole checkpoint"):
        find_checkpoint(store.folder)


def test_old_ones_go_after_the_new_one_is_in_place_and_never_the_one_resumed_from(store):
    store.resumed_from = "step-000010"
    for step in (30, 40, 50):
        save(store, step)
    assert names(store) == ["latest", "step-000010", "step-000040", "step-000050"]


def test_every_nth_is_kept_for_good(tmp_path):
    store = CheckpointStore(tmp_path, CheckpointConfig(keep_last=1, keep_every=20))
    for step in (10, 20, 30, 40, 50):
        save(store, step)
    assert names(store) == ["latest", "step-000020", "step-000040", "step-000050"]


def test_damaged_ones_do_not_push_whole_ones_out(store):
    (store.folder / "step-000020/shard.pt").unlink()
    save(store, 30)
    assert names(store) == ["latest", "step-000010", "step-000020", "step-000030"]


def test_sweep_removes_leftovers_and_sets_aside_what_lies_ahead(store):
    (store.folder / ".step-000030.tmp").mkdir()
    (store.folder / ".universal/.step-000010.tmp").mkdir(parents=True)
    store.resumed_from = "step-000010"
    sweep(store.folder)
    store.set_later_ones_aside()
    assert names(store) == [".universal", "latest", "step-000010", "step-000020.set-aside"]
    save(store, 20)
    assert find_checkpoint(store.folder)[0].name == "step-000020"


def test_background_save_is_a_copy_and_not_there_before_it_is_published(tmp_path, monkeypatch):
    gate, plain = threading.Event(), writer._save
    monkeypatch.setattr(writer, "_save", lambda value, file: (gate.wait(10), plain(value, file)))
    store, weights = CheckpointStore(tmp_path, CheckpointConfig()), torch.ones(8)
    store.begin(5, {"shard.pt": {"w": weights}}, FACTS)
    assert store.saving == 5 and not store.ready and not checkpoints(tmp_path)
    weights += 1  # training goes on
    gate.set()
    assert store.publish().error is None and store.saving is None
    assert torch.load(tmp_path / "step-000005/shard.pt")["w"].equal(torch.ones(8))


def test_full_disk_costs_that_checkpoint_only(store, monkeypatch):
    def full(value, file):
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(writer, "_save", full)
        saved = save(store, 30)
    assert saved.path is None and "rank 0" in saved.error and "No space left on device" in saved.error
    assert names(store) == ["latest", "step-000010", "step-000020"]
    assert save(store, 40).path.name == "step-000040" and find_checkpoint(store.folder)[0].name == "step-000040"


def test_what_torch_makes_of_a_full_disk_is_told_as_what_it_is(store):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        store.begin(30, {"shard.pt": torch.zeros(1_000_000)}, FACTS)
        saved = store.publish()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "OSError: [Errno 27] File too large" in saved.error and ".step-000030.tmp" not in names(store)


class _NoCopy:
    """Cannot be copied, but written."""

    def __deepcopy__(self, memo):
        raise MemoryError("no room")


def test_what_cannot_be_copied_is_written_while_training_waits(store, caplog):
    with caplog_of(caplog) as said:
        store.begin(30, {"shard.pt": [_NoCopy()]}, FACTS)
        assert store.ready and "MemoryError: no room" in said()
    assert store.publish().path.name == "step-000030"


def test_file_that_cannot_be_read_is_not_taken_for_a_damaged_one(store, monkeypatch):
    def refuse(folder, entries, hashes=True):
        raise PermissionError(errno.EACCES, "Permission denied", "shard.pt")

    monkeypatch.setattr("lingualift_ds.checkpoint.store.verify_files", refuse)
    with pytest.raises(CheckpointError, match=r"shard\.pt: rank 0 cannot read it: Permission denied"):
        find_checkpoint(store.folder)


def test_publishing_that_fails_in_an_unforeseen_way_costs_that_checkpoint_only(store, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(CheckpointStore, "_check_shared", lambda *_: (_ for _ in ()).throw(OSError(116, "Stale handle")))
        assert "OSError" in save(store, 30).error
    assert names(store) == ["latest", "step-000010", "step-000020"]


def test_rest_of_a_removal_does_not_stop_the_next(store):
    (store.folder / ".step-000010.old/x").mkdir(parents=True)
    save(store, 30)
    assert names(store) == ["latest", "step-000020", "step-000030"]


def test_unwritable_folder_costs_that_checkpoint_only(tmp_path):
    (tmp_path / "checkpoints").write_text("a file")
    saved = save(CheckpointStore(tmp_path / "checkpoints", CheckpointConfig()), 1)
    assert saved.path is None and "NotADirectoryError" in saved.error


def test_failure_after_the_move_leaves_a_whole_checkpoint(store, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr("lingualift_ds.checkpoint.store.write_text", full)
    assert save(store, 30).error is None
    assert find_checkpoint(store.folder)[0].name == "step-000030"
    assert (store.folder / "latest").read_text() == "step-000020"


def test_checkpoint_of_another_run_is_refused(store):
    path, manifest = find_checkpoint(store.folder)
    check_identity(path, manifest, FACTS["identity"])
    check_tensors(path, manifest, TENSORS)

    def identity(**changed):
        return FACTS["identity"] | changed

    with pytest.raises(CheckpointError, match=r"its zero is no longer what it was \(3, now 2\)"):
        check_identity(path, manifest, identity(zero=2))
    with pytest.raises(CheckpointError, match=r"its llm \(models/llm\) is no longer what it was \(f00, now f01\)"):
        check_identity(path, manifest, identity(llm="f01"))
    with pytest.raises(CheckpointError, match=r"its handover \(run/stage1/artefact\) is no longer"):
        check_identity(path, manifest, identity(handover="b0a"))
    other = {"alignment.end": TENSORS["alignment.end"] | {"shape": [8]}}
    with pytest.raises(CheckpointError, match="its tensor alignment.end is .*4.*, this run's is .*8"):
        check_tensors(path, manifest, other)
    with pytest.raises(CheckpointError, match="has no tensor llm.x"):
        check_tensors(path, manifest, TENSORS | {"llm.x": {}})
    with pytest.raises(CheckpointError, match="its tensor alignment.end is .* not there"):
        check_tensors(path, manifest, {})


def test_host_copy_holds_what_is_shown_and_no_more():
    flat = torch.arange(10.0)
    copied = host_copy({"a": flat[2:4], "b": [flat, (1, "x")], "c": Path("x")})
    flat += 1
    assert copied["a"].equal(torch.tensor([2.0, 3.0])) and copied["a"].untyped_storage().nbytes() == 8
    assert copied["b"][0][0] == 0 and copied["b"][1] == (1, "x") and copied["c"] == Path("x")
    assert tensor_bytes({"a": flat, "b": [flat, {"c": flat.bool()}]}) == 40 + 40 + 10


def test_copies_are_made_where_the_host_has_room(store, monkeypatch):
    files = {"shard.pt": torch.zeros(1000)}
    assert room_for_copies(files) is None
    monkeypatch.setattr(writer, "free_host_memory", lambda: 4100)
    assert "of free memory" in room_for_copies(files)
    store.begin(30, files, FACTS)
    assert store.ready, "without room for a copy it is written before training goes on"
    assert json.loads((store.publish().path / "manifest.json").read_text())["step"] == 30


def test_verification_can_leave_hashes_out(store):
    path = store.folder / "step-000020/shard.pt"
    data = bytearray(path.read_bytes())
    data[7] ^= 1
    path.write_bytes(data)
    verify(path.parent, hashes=False)
    with pytest.raises(CheckpointError, match="SHA-256"):
        verify(path.parent)
