"""Runs saved on some number of ranks and resumed on another, held against the run that went through.

python benchmarks/elastic.py [--json FILE]

Tiny models, fp32, ZeRO 1 to 3, both stages, one to four ranks among each other; ten steps over two epochs, resumed at
the fourth. Prints the largest difference in loss and gradient norm. The tests run a part of it.
"""

import argparse
import itertools
import json
import shutil
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import tiny
from launching import ROOT, curve, launch

from benchmarks.machine import facts, versions

RANKS, ZERO, STAGES = (1, 2, 3, 4), (1, 2, 3), (1, 2)
STEP = 4


@dataclass(frozen=True)
class Move:
    """A run of a stage at a ZeRO level, saved on some ranks and resumed on others, or on as many: then the LLM has
    dropout, which only the same number of ranks can draw again."""

    saved: int
    resumed: int
    zero: int
    stage: int

    @property
    def source(self) -> str:
        """Name of the run that goes through."""
        return f"zero{self.zero}-stage{self.stage}-on{self.saved}{'-dropout' if self.exact else ''}"

    @property
    def exact(self) -> bool:
        """Whether every bit must come back."""
        return self.saved == self.resumed

    @property
    def name(self) -> str:
        """Name of the run that is resumed."""
        return f"{self.source}-to{self.resumed}"


def all_moves() -> list[Move]:
    """Every pair of numbers of ranks, for every ZeRO level and stage."""
    pairs = itertools.permutations(RANKS, 2)
    return [Move(*pair, zero, stage) for pair in pairs for zero in ZERO for stage in STAGES]


def run(root: Path, moves: Iterable[Move]) -> list[str]:
    """Make all the runs in `root`, one launch per number of ranks for each side; returns what the resumes said."""
    moves = list(moves)
    recipes = {zero: tiny.write_recipe(root, zero) for zero in (0, *ZERO)}
    tiny.save_llm(root / "llm-dropout", attention_dropout=0.2)
    for ranks in sorted({m.saved for m in moves}):
        _launch(root, ranks, [_job(root, recipes, m, m.source) for m in _distinct(moves) if m.saved == ranks])
    for move in moves:
        _cut(root / move.source / f"stage{move.stage}", root / move.name / f"stage{move.stage}")
    said = []
    for ranks in sorted({m.resumed for m in moves}):
        jobs = [_job(root, recipes, m, m.name) | {"resume": "must"} for m in moves if m.resumed == ranks]
        said.append(_launch(root, ranks, jobs))
    return said


def differences(root: Path, move: Move) -> tuple[float, float]:
    """The largest difference after the resume, in loss (nats) and, relatively, in gradient norm."""
    through, resumed = (curve(root / name / f"stage{move.stage}") for name in (move.source, move.name))
    assert [s for s, *_ in resumed] == [s for s, *_ in through] == list(range(1, 11)), move
    assert resumed[:STEP] == through[:STEP], move
    pairs = list(zip(resumed[STEP:], through[STEP:]))
    return max(abs(a[1] - b[1]) for a, b in pairs), max(abs(a[2] / b[2] - 1) for a, b in pairs)


def _distinct(moves: list[Move]) -> list[Move]:
    return list({m.source: m for m in moves}.values())


def _job(root: Path, recipes: dict[int, Path], move: Move, name: str) -> dict:
    stage = f"stage{move.stage}"
    overrides = [f"run.output={root / name}", f"{stage}.epochs=2", f"{stage}.checkpoint.every={STEP}"]
    overrides += [f"{stage}.checkpoint.keep_last=9"]
    if move.exact:
        overrides += [f"model.llm={root / 'llm-dropout'}"]
    if move.stage == 2:
        # Two groups with settings of their own, which must survive.
        overrides += ["stage2.start_from=scratch", "stage2.train=[alignment,llm]"]
        overrides += ["stage2.optimizer.groups.alignment.lr=5e-3", "stage2.optimizer.groups.llm.weight_decay=0.1"]
        overrides += ["stage2.optimizer.schedule=cosine"]
    return {"config": str(recipes[move.zero]), "stage": move.stage, "overrides": overrides}


def _launch(root: Path, ranks: int, jobs: list[dict]) -> str:
    path = root / f"jobs-{ranks}.json"
    path.write_text(json.dumps(jobs))
    return launch(ranks, "torchrun" if ranks > 1 else "python", ROOT / "tests/dist/run_many.py", str(path), limit=900)


def _cut(through: Path, cut: Path) -> None:
    """A copy of a run that is as if it had been killed after its first checkpoint."""
    shutil.copytree(through, cut)
    (cut / "COMPLETE").unlink()
    shutil.rmtree(cut / "artefact")
    for path in (cut / "checkpoints").glob("step-*"):
        if path.name != f"step-{STEP:06d}":
            shutil.rmtree(path)


def main() -> None:
    """Run all moves and print the table."""
    parser = argparse.ArgumentParser(prog="benchmarks/elastic.py", description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    found = {
        "benchmark": "elastic",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": facts(),
        "versions": versions(),
        "moves": [],
    }
    with tempfile.TemporaryDirectory() as folder:
        moves, root = all_moves(), Path(folder) / "runs"
        root.mkdir()
        run(root, moves)
        for move in moves:
            loss, norm = differences(root, move)
            found["moves"].append(vars(move) | {"loss_difference": loss, "relative_norm_difference": norm})
    print(f"{'ZeRO':>4} {'stage':>5} {'moves':>5}  largest difference in loss, relative in gradient norm")
    for zero, stage in itertools.product(ZERO, STAGES):
        rows = [m for m in found["moves"] if (m["zero"], m["stage"]) == (zero, stage)]
        loss, norm = (max(r[k] for r in rows) for k in ("loss_difference", "relative_norm_difference"))
        print(f"{zero:>4} {stage:>5} {len(rows):>5}  {loss:.1e}  {norm:.1e}")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
