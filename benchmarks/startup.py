"""How long until training moves: from `launch/train.py` to its first step, and the first step after a resume.

python benchmarks/startup.py [--ranks 2] [--runs 3] [--json FILE]

Builds the miniature with random stand-ins in a temporary folder, prepares its data, and starts stage 1 under the
DeepSpeed launcher, stopping after one step. Then it opens a made-up store of prepared samples, large enough for
25,000 steps of 64, and takes the loader's first step at step 0 and at step 25,000 of the epoch, in turn.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

from benchmarks.machine import facts, versions
from lingualift_ds.config.batch import plan_batch
from lingualift_ds.config.layout import PromptLayout
from lingualift_ds.config.schema import BatchConfig
from lingualift_ds.data.collate import BatchLayout
from lingualift_ds.data.loader import StepLoader
from lingualift_ds.data.prepared import PreparedSamples, SampleWriter
from lingualift_ds.data.tokenize import Sample

ROOT = Path(__file__).parents[1]
FAR, BATCH = 25_000, 64


def main() -> None:
    """Measure both and print them."""
    parser = argparse.ArgumentParser(prog="benchmarks/startup.py", description=__doc__.splitlines()[0])
    parser.add_argument("--ranks", type=int, default=2, metavar="N")
    parser.add_argument("--runs", type=int, default=3, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    found = {
        "benchmark": "startup",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "ranks": arguments.ranks,
        "machine": facts(),
        "versions": versions(),
    }
    with tempfile.TemporaryDirectory() as folder:
        found["first_step_seconds"] = first_steps(Path(folder), arguments.ranks, arguments.runs)
        found["loader_seconds"] = first_batches(Path(folder), arguments.runs)
    start = found["first_step_seconds"]
    near, far = (found["loader_seconds"][k] for k in ("step 0", f"step {FAR}"))
    print(f"launch/train.py to its first step, data prepared, {arguments.ranks} ranks: {_spread(start)}")
    print(f"the loader's first step at step 0: {_spread(near)}; at step {FAR:,}: {_spread(far)}")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def first_steps(folder: Path, ranks: int, runs: int) -> list[float]:
    """Seconds from the start of the launcher to the first line of metrics.jsonl; data are prepared before."""
    mini = folder / "miniature"
    command = [Path(sys.executable).parent / "lingualift-ds"]
    _run([*command, "miniature", "--output", mini, "--no-pretrain"])
    recipe, cache = next(mini.glob("*.yaml")), f"run.cache={folder}/prepared"
    _run([*command, "prepare", "--config", recipe, "--stage", "1", cache])
    seconds = []
    for run in range(runs):
        output = folder / f"run-{run}"
        started = time.monotonic()
        process = subprocess.Popen(
            [Path(sys.executable).parent / "deepspeed", "--num_gpus", str(ranks), ROOT / "launch/train.py",
             "--stage", "1", "--config", recipe, f"run.output={output}", cache, "stage1.steps=1"],
            cwd=ROOT, env=_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        metrics = output / "stage1/metrics.jsonl"
        while not (metrics.is_file() and metrics.stat().st_size):
            assert process.poll() in (None, 0), "training ended before its first step"
            time.sleep(0.02)
        seconds.append(time.monotonic() - started)
        assert process.wait() == 0
    return seconds


def first_batches(folder: Path, runs: int) -> dict[str, list[float]]:
    """Seconds to open the store, go to a position and make that step, by position, in turn."""
    store = folder / "store"
    store.mkdir()
    rng = np.random.default_rng(0)
    writer = SampleWriter(store)
    for number in range((FAR + 100) * BATCH):
        text, target = rng.integers(20, 60, 2)
        ids = np.full(text + target, 7, np.int32)
        writer.add(Sample(str(number), "en", ids[:text], ids[:8], ids[:target], int(text) + 2))
    writer.finish({}, {})
    plan, layout = plan_batch(BatchConfig(samples=BATCH), 1), BatchLayout(0, True, 0, PromptLayout(1, 1))
    seconds: dict[str, list[float]] = {"step 0": [], f"step {FAR}": []}
    for _ in range(runs + 1):
        for step in (0, FAR):
            started = time.monotonic()
            loader = StepLoader(PreparedSamples(store), plan, 0, 0, layout)
            loader.load_state_dict({"epoch": 0, "step_in_epoch": step})
            loader.next_step()
            seconds[f"step {step}"].append(time.monotonic() - started)
            loader.close()
    return {name: taken[1:] for name, taken in seconds.items()}  # the first of each warms up


def _run(command: list) -> None:
    subprocess.run(command, cwd=ROOT, env=_environment(), check=True, stdout=subprocess.DEVNULL)


def _environment() -> dict[str, str]:
    return dict(os.environ) | {"PYTHONPATH": str(ROOT)}


def _spread(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"


if __name__ == "__main__":
    main()
