"""A cluster for all tests of this folder, and checkouts to submit from; skipped, saying so, where Slurm is not."""

import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from launching import ROOT, read_metrics
from slurm_cluster import Cluster, cluster, missing, wait_for

_SITE = """
export DS_ACCELERATOR=cpu OMP_NUM_THREADS=1 PYTHONPATH="{root}"
python={python}
"""
_PYTHON = """#!/usr/bin/env bash
case $1 in launch/*) ;; *) exec "{python}" "$@" ;; esac
python="{python}"
{instead}
"""
_INSTEAD = {
    "slow": f'exec "$python" "{Path(__file__).parent}/slow_training.py" "$@"',
    "played": """
        told() { echo "$1 $SLURM_PROCID" >> played; } # a line a task
        complete() { mkdir -p runs/x/stage1; touch runs/x/stage1/COMPLETE; }
        leave() { told "$1"; exit 75; }
        last() { trap 'leave USR1' USR1; trap 'leave TERM' TERM; told up; while :; do sleep 0.1; done; }
        eval "$PLAY"
    """,
}


def pytest_collection_modifyitems(config, items):
    asked = "slurm" in config.option.markexpr
    reason = missing() if asked else "takes minutes on a real Slurm: bash tests/slurm/run.sh"
    for item in items:
        if reason and "slurm" in item.keywords:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def slurm() -> Iterator[Cluster]:
    """A cluster of two nodes with a GPU each."""
    with cluster() as running:
        yield running


@dataclass(frozen=True)
class Checkout:
    """A folder with the project's launch/, as a user clones it, and what was said in it."""

    slurm: Cluster
    root: Path

    def sbatch(self, script: str, *arguments: str, options: tuple[str, ...] = (), **environment: str) -> str:
        """Submit launch/slurm/SCRIPT.sbatch on two nodes with a GPU each; the number of the job."""
        shape = ("--nodes=2", "--gpus-per-node=1", *options)
        line = ("sbatch", "--parsable", *shape, f"launch/slurm/{script}.sbatch", *arguments)
        return self.slurm.run(*line, cwd=self.root, **environment).strip()

    def said(self, number: str) -> str:
        """The job's log."""
        logs = list((self.root / "runs/slurm").glob(f"*-{number}.log"))
        return logs[0].read_text() if logs else ""

    def played(self) -> list[str]:
        """What the stand-in for training told, a line a task."""
        path = self.root / "played"
        return path.read_text().splitlines() if path.is_file() else []

    def wait_for(self, *lines: str, limit: float = 60) -> None:
        """Wait until the stand-in for training has told these lines."""
        wait_for(lambda: set(lines) <= set(self.played()), limit, lambda: f"{self.played()}\n{self.slurm.logs()}")

    def wait_for_step(self, stage: str, step: int, limit: float = 120) -> None:
        """Wait until metrics.jsonl of the stage's folder shows the step."""
        metrics = Path(stage) / "metrics.jsonl"
        wait_for(lambda: any(line["step"] >= step for line in read_metrics(metrics)), limit, self.slurm.logs)


@pytest.fixture(scope="session")
def make_checkout(slurm: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Checkout]:
    """Makes a checkout whose training is the project's, `slow` (slow_training.py), or `played`, as $PLAY says."""

    def make(training: str | None = None) -> Checkout:
        root = tmp_path_factory.mktemp("checkout")
        shutil.copytree(ROOT / "launch", root / "launch", ignore=shutil.ignore_patterns("__pycache__"))
        (root / "runs/slurm").mkdir(parents=True)
        python = Path(sys.executable)
        if training:
            python = root / "python"
            python.write_text(_PYTHON.format(python=sys.executable, instead=_INSTEAD[training]))
            python.chmod(0o755)
        with (root / "launch/slurm/site.env").open("a") as site:
            site.write(_SITE.format(root=ROOT, python=python))
        return Checkout(slurm, root)

    return make


@pytest.fixture(autouse=True)
def _no_job_outlives_its_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """The next one needs both nodes."""
    yield
    if "slurm" in request.fixturenames:
        slurm = request.getfixturevalue("slurm")
        slurm.run("scancel", "--user=root")
        wait_for(lambda: not slurm.run("squeue", "--noheader").strip(), 60, slurm.logs)
