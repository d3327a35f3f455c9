"""Starts the toolkit as users do, in processes of its own, and reads what a run left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
"""Number of this process among those that run the tests: each has ports of its own."""
_PORT = 29_600 + 200 * WORKER + os.getpid() % 100


def command(ranks: int, launcher: str, script: Path | str, *arguments: str) -> list[str]:
    """The command line of a launch."""
    script = str(script)
    if launcher == "deepspeed":
        start = [str(BIN / "deepspeed"), "--num_gpus", str(ranks), "--master_port", str(_next_port())]
    elif launcher == "torchrun":
        start = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", str(ranks)]
        start += ["--master_port", str(_next_port())]
    else:
        assert ranks == 1
        start = [sys.executable]
    return [*start, script, *arguments]


def environment() -> dict[str, str]:
    """One thread a process, so that two ranks do not fight for two cores, and sums come out the same."""
    kept = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    return kept | {"OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu", "PYTHONPATH": str(ROOT)}


def launch(ranks: int, launcher: str, script: Path | str, *arguments: str, code: int = 0, limit: int = 300) -> str:
    """Run to the end; returns stdout and stderr. Fails where the exit code is not the expected one."""
    done = subprocess.run(
        command(ranks, launcher, script, *arguments),
        cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=limit,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == code, f"exit code {done.returncode}, expected {code}:\n{said[-4000:]}"
    return said


def train(ranks: int, launcher: str, *arguments: str, code: int = 0) -> str:
    """launch/train.py."""
    return launch(ranks, launcher, ROOT / "launch/train.py", *arguments, code=code)


def train_and_kill(ranks: int, metrics: Path, after_step: int, *arguments: str) -> None:
    """Start training under DeepSpeed and SIGKILL everything once metrics.jsonl shows the step."""
    process = subprocess.Popen(
        command(ranks, "deepspeed", ROOT / "launch/train.py", *arguments),
        cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    limit = time.monotonic() + 120
    try:
        while not any(r["step"] >= after_step for r in read_metrics(metrics)):
            assert process.poll() is None, "training ended before it could be killed"
            assert time.monotonic() < limit, "training did not get to the step"
            time.sleep(0.02)
    finally:
        # DeepSpeed's launcher starts the ranks in its own process group, which is ours to kill.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def read_metrics(path: Path) -> list[dict]:
    """The whole lines of a metrics.jsonl, while it may be being written."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


def curve(folder: Path) -> list[tuple[int, float, float]]:
    """(step, loss, gradient norm) of a stage folder."""
    return [(r["step"], r["loss"], r["grad_norm"]) for r in read_metrics(folder / "metrics.jsonl")]


def _next_port() -> int:
    global _PORT
    _PORT += 1
    return _PORT
