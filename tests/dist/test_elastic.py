"""A run saved on some number of ranks goes on with another, as if it had always had that number."""

import itertools
import sys

import pytest
from launching import ROOT, read_metrics

sys.path.insert(0, str(ROOT))

from benchmarks.elastic import STAGES, ZERO, Move, differences, run

# Every pair of up to three ranks, each with another ZeRO level and stage; benchmarks/elastic.py runs all, up to four.
MOVES = [
    Move(*pair, *case) for pair, case in zip(itertools.permutations((1, 2, 3), 2), itertools.product(ZERO, STAGES))
]
SAME = [Move(2, 2, zero, stage) for zero in (0, *ZERO) for stage in STAGES]


@pytest.fixture(scope="module")
def moved(tmp_path_factory):
    root = tmp_path_factory.mktemp("elastic")
    return root, run(root, [*MOVES, *SAME])


@pytest.mark.parametrize("move", MOVES, ids=lambda m: m.name)
def test_losses_go_on_on_another_number_of_ranks(moved, move):
    root, _ = moved
    loss, norm = differences(root, move)
    assert loss < 1e-5 and norm < 1e-5


@pytest.mark.parametrize("move", SAME, ids=lambda m: m.name)
def test_on_the_same_number_of_ranks_every_bit_comes_back(moved, move):
    """With dropout, gradient accumulation, and across the end of an epoch."""
    root, _ = moved
    assert differences(root, move) == (0, 0)
    through, resumed = (root / name / f"stage{move.stage}/artefact" for name in (move.source, move.name))
    for path in through.glob("*.safetensors"):
        assert path.read_bytes() == (resumed / path.name).read_bytes()
    counts = [r["micro_batches"] for r in read_metrics(root / move.name / f"stage{move.stage}/metrics.jsonl")]
    assert min(counts) > 1


def test_it_is_converted_with_a_message_and_removed_when_it_is_old(moved):
    root, said = moved
    for move in MOVES:
        line = f"step-000004 was saved on {move.saved} ranks, this run has {move.resumed}: converting it"
        assert any(line in log for log in said), move
        assert not (root / move.name / f"stage{move.stage}/checkpoints/.universal").exists()
