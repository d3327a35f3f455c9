"""What checkpoints cost: bytes, seconds and memory of saving, resuming and exporting models of 200 M parameters."""

import contextlib
import json
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.jobs import ROOT, Job
from benchmarks.soak import newest_whole

ENCODER = dict(vocab_size=64_000, d_model=512, d_kv=64, d_ff=1024, num_layers=12, num_heads=6)
LLM = dict(
    vocab_size=32_000, hidden_size=768, intermediate_size=2048, num_hidden_layers=14, num_attention_heads=12,
    num_key_value_heads=12,
)  # fmt: skip
_EVERY, _STEPS, _RANKS = 3, 7, 2
_LIMIT = 900.0


@dataclass(frozen=True)
class Case:
    """One setting."""

    stage: int
    zero: int
    background: str = "auto"

    def __str__(self) -> str:
        return f"stage {self.stage}, ZeRO-{self.zero}{', while training waits' * (self.background == 'off')}"


CASES = (Case(1, 3), Case(2, 3), Case(2, 3, "off"), Case(1, 2), Case(2, 2))


def measure(folder: Path, say: Callable[[str], object]) -> list[dict[str, Any]]:
    """All cases, each in two launches (killed, resumed) and an export."""
    recipes, found = write_recipes(folder), []
    for stage in (1, 2):  # tokenised data and the models' hashes are remembered for all that follow
        arguments = ["--stage", str(stage), "--config", str(recipes[3]), f"run.output={folder}/first"]
        with _start([*arguments, f"stage{stage}.steps=1"]) as job:
            if job.wait(_LIMIT) != 0:
                raise SystemExit(f"stage {stage} failed:\n{job.output[-3000:]}")
    for case in CASES:
        found.append(measure_case(case, recipes[case.zero], folder / f"zero{case.zero}{case.background}"))
        say(row(found[-1]))
    return found


def measure_case(case: Case, recipe: Path, output: Path) -> dict[str, Any]:
    """Train to the second checkpoint, kill, resume, export."""
    stage = output / f"stage{case.stage}"
    arguments = ["--stage", str(case.stage), "--config", str(recipe), f"run.output={output}"]
    arguments += [f"stage{case.stage}.checkpoint.background={case.background}"]
    if case.background == "off":
        arguments.append(f"stage2.start_from={output.with_name(f'zero{case.zero}auto')}/stage1/artefact")
    with _start(arguments) as job, Meter(job) as meter:
        fresh = _wait(job, stage, 1)
        first = meter.restart()
        _wait(job, stage, _EVERY)
        train = meter.restart()
        _wait_for(job, lambda: newest_whole(stage / "checkpoints"))
        save = meter.restart()
        _wait(job, stage, 2 * _EVERY)
    records = _records(stage)
    manifest = json.loads((stage / f"checkpoints/step-{_EVERY:06d}/manifest.json").read_text())
    before, step = _records(stage), int(newest_whole(stage / "checkpoints").name[5:])
    with _start(arguments) as job, Meter(job) as meter:
        # What came after the checkpoint is taken out of metrics.jsonl before new steps come in.
        _wait_for(job, lambda: (now := _records(stage)) != before and now[-1]["step"] > step)
        resumed, resume = time.monotonic() - job.started, meter.restart()
        if job.wait(_LIMIT) != 0:
            raise SystemExit(f"{case}: the resumed run failed:\n{job.output[-3000:]}")
    after_save = records[_EVERY : 2 * _EVERY]
    sizes = {name: entry["size"] for name, entry in manifest["files"].items()}
    return {
        "case": str(case),
        "parameters": parameters(manifest["tensors"]),
        "bytes": sum(sizes.values()),
        "files": sizes,
        "pause_seconds": sum(r["checkpoint_pause_seconds"] for r in after_save),
        "write_seconds": max(r.get("checkpoint_write_seconds", 0.0) for r in after_save),
        "step_seconds": sum(r["seconds"] for r in records[1:_EVERY]) / (_EVERY - 1),
        "first_step_seconds": {"fresh": fresh, "resumed": resumed},
        "peak_bytes": {"start": first, "train": train, "save": save, "resume": resume},
        "export": export(output, case.stage),
    }


def parameters(tensors: dict[str, dict[str, Any]]) -> dict[str, int]:
    """How many numbers a manifest's tensors have: all, and those that are trained."""
    counts = {name: math.prod(tensor["shape"]) for name, tensor in tensors.items()}
    return {"all": sum(counts.values()), "trained": sum(n for name, n in counts.items() if tensors[name]["trained"])}


def export(output: Path, stage: int) -> dict[str, float]:
    """Seconds, bytes written and peak memory of an export of the last checkpoint."""
    last = newest_whole(output / f"stage{stage}/checkpoints")
    target = output / f"export-{stage}"
    command = [Path(sys.executable).parent / "lingualift-ds", "export", output, "--stage", str(stage)]
    command += ["--output", target, "--step", str(int(last.name[5:]))]
    started = time.monotonic()
    environment = dict(os.environ) | {"PYTHONPATH": str(ROOT), "DS_ACCELERATOR": "cpu"}
    with target.with_suffix(".log").open("w") as log:
        process, peak = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log), 0
        # Not from getrusage: its peak begins with the process that this one was forked from.
        while process.poll() is None:
            peak = max(peak, high_water(Path("/proc") / str(process.pid)))
            time.sleep(0.01)
    if process.returncode:
        said = target.with_suffix(".log").read_text()
        raise SystemExit(f"{output}: the export ended with {process.returncode}:\n{said[-3000:]}")
    written = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    return {"seconds": time.monotonic() - started, "bytes": written, "peak_bytes": peak}


def write_recipes(folder: Path) -> dict[int, Path]:
    """Recipes by ZeRO stage over random models of 200 M parameters, in bf16."""
    if str(ROOT / "tests") not in sys.path:
        sys.path.insert(0, str(ROOT / "tests"))
    import tiny
    import yaml

    inputs = folder / "inputs"
    tiny.save_encoder(inputs / "encoder", **ENCODER)
    tiny.save_llm(inputs / "llm", **LLM)
    for name in ("stage1", "stage2"):
        tiny.write_rows(inputs / f"{name}.jsonl", 40)
    recipes = {}
    for zero in (2, 3):
        recipes[zero] = tiny.write_recipe(inputs, zero, precision="bf16")
        recipe = yaml.safe_load(recipes[zero].read_text())
        for stage in ("stage1", "stage2"):
            recipe[stage]["data"].pop("heldout", None)
            recipe[stage] |= {"steps": _STEPS, "checkpoint": {"every": _EVERY}}
            recipe[stage]["batch"] = {"samples": 4, "micro_tokens": 640}
        recipes[zero].write_text(yaml.safe_dump(recipe))
    return recipes


class Meter:
    """The peak of resident memory among a job's ranks, in bytes, since it was last restarted (Linux)."""

    def __init__(self, job: Job):
        self._job, self._peak, self._over = job, 0, threading.Event()
        self._ranks: list[Path] = []
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Meter":
        self._thread.start()
        return self

    def __exit__(self, *exception) -> None:
        self._over.set()
        self._thread.join()

    def restart(self) -> int:
        """The peak until now; a new one begins."""
        self._read()
        peak, self._peak = self._peak, 0
        for rank in self._ranks:
            with contextlib.suppress(OSError):
                (rank / "clear_refs").write_text("5")  # the kernel's peak begins at what is resident now
        return peak

    def _watch(self) -> None:
        while not self._over.wait(0.5):
            # What was left by a rank's helpers carries its rank too: the largest counts.
            self._ranks = [Path("/proc") / str(pid) for pid, rank in self._job.processes().items() if rank is not None]
            self._read()

    def _read(self) -> None:
        self._peak = max([self._peak, *map(high_water, self._ranks)])


def high_water(process: Path) -> int:
    """Peak of a process's resident memory, in bytes; 0 where it is gone. `process` is its folder in /proc."""
    with contextlib.suppress(OSError):
        for line in (process / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


HEAD = (
    f"{'':<38} {'trained':>7} {'MB':>7} {'pause s':>8} {'written s':>9} {'step s':>7} {'start s':>8} {'resume s':>8} "
    f"{'train GB':>8} {'save GB':>8} {'resume GB':>9} {'export s':>8} {'GB':>6}"
)
"""Of the table: millions of trained parameters, a checkpoint's size, its pause and writing, a step, the first step
fresh and resumed, peaks of a rank, export and its peak."""


def row(found: dict[str, Any]) -> str:
    """One case, as a line below HEAD."""
    starts, out = found["first_step_seconds"], found["export"]
    gb = {what: peak / 1e9 for what, peak in found["peak_bytes"].items()}
    return (
        f"{found['case']:<38} {found['parameters']['trained'] / 1e6:>7.1f} {found['bytes'] / 1e6:>7.0f} "
        f"{found['pause_seconds']:>8.2f} "
        f"{found['write_seconds']:>9.2f} {found['step_seconds']:>7.2f} {starts['fresh']:>8.1f} "
        f"{starts['resumed']:>8.1f} {gb['train']:>8.2f} {gb['save']:>8.2f} {gb['resume']:>9.2f} "
        f"{out['seconds']:>8.1f} {out['peak_bytes'] / 1e9:>6.2f}"
    )


def _start(arguments: list[str]) -> Job:
    return Job("ranks", _RANKS, ROOT / "launch/train.py", *arguments, environment={})


def _wait(job: Job, stage: Path, step: int) -> float:
    _wait_for(job, lambda: len(_records(stage)) >= step)
    return time.monotonic() - job.started


def _wait_for(job: Job, happened: Callable[[], object]) -> None:
    limit = time.monotonic() + _LIMIT
    while not happened():
        if not job.running() or time.monotonic() > limit:
            raise SystemExit(f"training ended too early:\n{job.output[-3000:]}")
        time.sleep(0.02)


def _records(stage: Path) -> list[dict[str, Any]]:
    path = stage / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.is_file() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]
