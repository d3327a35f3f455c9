"""Everything the toolkit says: a rank-aware logger, progress lines, and the metrics.jsonl writer.

No other module prints, `cli/` apart. The rank is read from the environment, because logging starts
before any process group exists.
"""

import contextlib
import json
import logging
import os
import sys
import time
import warnings
from pathlib import Path

_FORMAT = "%(asctime)s %(levelname)s %(message)s"


def rank() -> int:
    """The global rank as launchers state it (torchrun and DeepSpeed, SLURM, OpenMPI); 0 without one."""
    for key in ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK"):
        # A batch script's own shell has SLURM_PROCID too; only a task of srun has a step.
        if os.environ.get(key, "").isdigit() and (key != "SLURM_PROCID" or "SLURM_STEP_ID" in os.environ):
            return int(os.environ[key])
    return 0


def get_logger(name: str = "lingualift_ds") -> logging.Logger:
    """A logger that speaks at INFO on rank 0 and at WARNING elsewhere, to stderr."""
    root = logging.getLogger("lingualift_ds")
    if not root.handlers:
        handler = logging.StreamHandler(sys.stderr)
        prefix = "" if rank() == 0 else f"[rank {rank()}] "
        handler.setFormatter(logging.Formatter(prefix + _FORMAT, datefmt="%H:%M:%S"))
        root.addHandler(handler)
        root.propagate = False
        root.setLevel(logging.INFO if rank() == 0 else logging.WARNING)
    return logging.getLogger(name if name.startswith("lingualift_ds") else f"lingualift_ds.{name}")


def duration(seconds: float) -> str:
    """Seconds as people say them: 8 s, 3 min 05 s, 2 h 10 min."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"


class Progress:
    """Progress with rate and time left: one line rewritten on a terminal, a line every few seconds in a log.

    Silent on ranks other than 0. Use as `with Progress("tokenise", total=100, unit="rows") as p: p.advance(3)`.
    """

    def __init__(self, label: str, total: int, unit: str = "steps", every_seconds: float = 5.0, done: int = 0):
        self.label, self.total, self.unit = label, total, unit
        self.done = self._found_done = done  # what was done before does not count for the rate
        self.terminal = sys.stderr.isatty()
        self.every_seconds = 0.2 if self.terminal else every_seconds
        self.started = self.shown = time.monotonic()

    def __enter__(self) -> "Progress":
        return self

    def advance(self, count: int = 1, note: str = "") -> None:
        """Count `count` more units as done, and show the line when it is due."""
        self.done += count
        now = time.monotonic()
        if now - self.shown >= self.every_seconds or (self.done >= self.total and self.terminal):
            self.shown = now
            self._show(note)

    def _show(self, note: str) -> None:
        if rank() != 0:
            return
        elapsed = max(time.monotonic() - self.started, 1e-9)
        rate = (self.done - self._found_done) / elapsed
        left = (self.total - self.done) / rate if rate else 0.0
        line = f"{self.label}: {self.done}/{self.total} {self.unit}, {rate:.3g}/s, {duration(left)} left"
        line += f", {note}" if note else ""
        if self.terminal:
            sys.stderr.write("\r\x1b[K" + line)
            sys.stderr.flush()
        else:
            get_logger().info(line)

    def __exit__(self, *exception) -> None:
        if self.terminal and rank() == 0 and self.done:
            sys.stderr.write("\n")


class MetricsWriter:
    """Appends one JSON object a line to metrics.jsonl, flushed at once. Only rank 0 should hold one.

    `truncate_after(step)` drops the lines of later steps, so that a resumed run has every step exactly once.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._held: list[str] = []
        self._said = False

    def truncate_after(self, step: int) -> None:
        """Keep only the lines with `step` <= the given one; written aside and renamed. Raises OSError."""
        if not self.path.exists():
            return
        kept = []
        for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line + "\n")
            except (ValueError, KeyError, TypeError):
                continue  # the half line of a killed process: its step is after the checkpoint
        aside = self.path.with_suffix(".tmp")
        with aside.open("w", encoding="utf-8") as file:
            file.write("".join(kept))
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, self.path)

    def write(self, record: dict) -> None:
        """Append one record. What the file system refuses is kept and written with the next one."""
        self._held.append(json.dumps(record) + "\n")
        self._flush()

    def sync(self) -> None:
        """Force what was written to disk, where it can be."""
        self._flush()
        with contextlib.suppress(OSError), self.path.open("rb") as file:
            os.fsync(file.fileno())

    def _flush(self) -> None:
        whole = None
        try:
            with self.path.open("ab") as file:
                whole = file.tell()
                if self._held:
                    file.write("".join(self._held).encode())
            self._held.clear()
            self._said = False
        except OSError as error:
            if not self._said:
                get_logger().warning("%s: cannot be written: %s; its lines are kept", self.path, error.strerror)
            self._said = True
            if whole is not None:
                with contextlib.suppress(OSError):
                    os.truncate(self.path, whole)  # no half line

    def steps(self) -> list[int]:
        """The steps that have a whole line, in the order of the lines."""
        found = []
        text = self.path.read_text(encoding="utf-8", errors="replace") if self.path.exists() else ""
        for line in text.splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError):
                found.append(json.loads(line)["step"])
        return found


def quiet_libraries() -> None:
    """Keep other packages' notices that a user can do nothing about out of the log. Call before importing them."""
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    # DeepSpeed 0.19 calls collectives that torch 2.13 has renamed.
    warnings.filterwarnings("ignore", category=FutureWarning, message=".*torch.distributed.*is deprecated")
    warnings.filterwarnings("ignore", category=UserWarning, module="torch.distributed.*")
