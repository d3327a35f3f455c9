"""Training is killed inside saves and between them, and finds damaged files: nothing is lost but the steps since the
last whole checkpoint, and the numbers are those of an uninterrupted run.

More of it, for as long as one likes: `python benchmarks/checkpoint.py --faults N`.
"""

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.faults import Fault
from benchmarks.soak import Case, Chain, Ledger, Soak, Strike, differing_artefacts, differing_steps, newest_whole
from lingualift_ds.checkpoint.manifest import verify
from lingualift_ds.checkpoint.store import find_checkpoint
from lingualift_ds.errors import CheckpointError

ONE, TWO = Case(1, 1, 2), Case(2, 2, 3)


@pytest.fixture(scope="module")
def soak(tmp_path_factory) -> Soak:
    """Tiny models with dropout, five epochs, two micro-batches a step and rank."""
    return Soak(tmp_path_factory.mktemp("faults"), 1, print, (ONE,))


@pytest.fixture(scope="module")
def killed(soak) -> tuple[Chain, Ledger]:
    """Stage II on two ranks: a rank was killed inside a save under torchrun, the other under DeepSpeed's launcher."""
    chain, ledger = Chain(soak.folder / "killed", TWO, 3, soak.arguments(TWO)), Ledger()
    soak.straight(TWO)
    chain.launch(Strike(Fault(save=2, event=5, rank=1)), "torchrun", ledger)
    chain.launch(Strike(Fault(save=2, event=6, rank=0, cut=1500)), "deepspeed", ledger)
    return chain, ledger


def test_job_that_loses_a_rank_ends_as_failed_and_leaves_nothing_running(killed):
    _, ledger = killed
    assert [kill["who"] for kill in ledger.kills] == ["rank 1", "rank 0"]
    assert all(kill["inside"] and kill["at"] for kill in ledger.kills)
    assert ledger.faultless, ledger.table()


def test_damaged_checkpoint_is_named_and_costs_its_steps_only(soak, killed):
    chain, ledger = killed
    flip(newest_whole(chain.checkpoints) / "zero_pp_rank_1_mp_rank_00_optim_states.pt", 0.7)
    chain.launch(None, "ranks", ledger)
    assert chain.complete and ledger.faultless, ledger.table()
    assert "zero_pp_rank_1_mp_rank_00_optim_states.pt: its SHA-256 is not the one" in chain.output
    assert "it costs 3 steps" in chain.output
    straight = soak.straight(TWO)
    assert differing_steps(straight, chain.stage) == 0 and differing_artefacts(straight, chain.stage) == []


def test_training_killed_at_random_loses_nothing(soak):
    ledger = soak.run(1)
    assert ledger.faultless and len(ledger.inside) == 1 and ledger.complete, ledger.table()


def flip(path: Path, where: float) -> None:
    """Flip a bit, `where` of the file from its start."""
    data = bytearray(path.read_bytes())
    data[int(where * (len(data) - 1))] ^= 4
    path.write_bytes(data)


def cut(path: Path, where: float) -> None:
    path.write_bytes(path.read_bytes()[: int(where * path.stat().st_size)])


DAMAGES = {
    "first byte": lambda path: flip(path, 0),
    "a byte within": lambda path: flip(path, 0.4),
    "last byte": lambda path: flip(path, 1),
    "half": lambda path: cut(path, 0.5),
    "empty": lambda path: cut(path, 0),
    "one byte more": lambda path: path.write_bytes(path.read_bytes() + b"\n"),
    "gone": lambda path: path.unlink(),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


def damaged(folder: Path, tmp_path: Path):
    """Copies of a folder in which one file was damaged in one way, for every file and way."""
    for name in sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()):
        for damage, apply in DAMAGES.items():
            if (damage, name) == ("one byte more", "manifest.json"):
                continue  # white space after JSON means nothing
            copy = tmp_path / "checkpoints" / folder.name
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(folder, copy)
            apply(copy / name)
            yield f"{name}: {damage}", copy


def try_each(folder: Path, tmp_path: Path, check: Callable[[Path], object]) -> tuple[int, list[str]]:
    """How many damages were tried on copies of a folder, and those that `check` let pass."""
    tried, unnoticed = 0, []
    for what, copy in damaged(folder, tmp_path):
        tried += 1
        with contextlib.suppress(CheckpointError):
            check(copy)
            unnoticed.append(what)
    return tried, unnoticed


def test_every_damage_to_every_file_of_a_checkpoint_is_noticed(soak, tmp_path):
    whole = newest_whole(soak.straight(TWO) / "checkpoints")
    assert len(list(whole.iterdir())) == 8  # two random states, two times two shards, the probe, the manifest
    tried, unnoticed = try_each(whole, tmp_path, lambda copy: find_checkpoint(copy.parent))
    assert tried == 8 * len(DAMAGES) - 1 and not unnoticed


def test_every_flipped_bit_of_a_manifest_is_noticed(soak, tmp_path):
    whole = newest_whole(soak.straight(TWO) / "checkpoints")
    copy = shutil.copytree(whole, tmp_path / "checkpoints" / whole.name)
    text = (whole / "manifest.json").read_bytes()
    for position in range(0, len(text), 7):
        data = bytearray(text)
        data[position] ^= 1
        (copy / "manifest.json").write_bytes(data)
        with pytest.raises(CheckpointError):
            find_checkpoint(copy.parent)
            raise AssertionError(f"not noticed at {position}: {bytes(data[max(0, position - 40) : position + 20])}")


def test_every_damage_to_every_file_of_an_artefact_is_noticed(soak, tmp_path):
    for stage in (soak.straight(ONE), soak.straight(TWO)):
        files = [p for p in (stage / "artefact").rglob("*") if p.is_file()]
        tried, unnoticed = try_each(stage / "artefact", tmp_path, verify)
        assert tried == len(files) * len(DAMAGES) - 1 and not unnoticed
