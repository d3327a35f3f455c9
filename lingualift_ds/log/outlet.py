"""Where a line goes: to stderr what someone at the terminal should see, once for all ranks; to the rank's file all of
it.

- Rank 0 says everything on stderr, from INFO on.
- Another rank's errors reach stderr at once, with its number. Its warnings wait: mostly all ranks say the same, and
  rank 0 has said it. `untold_warnings` counts them, and where the ranks meet anyway, `take_warnings` is gathered and
  rank 0's `tell_warnings` says what it has not said itself, with the ranks. All other lines are for the file alone.
- Other packages' lines (libraries.py) come here too, each once a process: rank 0's warnings on stderr, all in the file.

Until `log_to` names a file, lines for it are held. The rank is read from the environment, because logging starts before
any process group exists.
"""

import atexit
import logging
import os
import sys
from collections import deque
from pathlib import Path

from lingualift_ds.log.terminal import write_above

ROOT = "lingualift_ds"
_ON_STDERR = logging.Formatter("%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S")
_OF_OTHERS = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s", datefmt="%H:%M:%S")
_IN_FILE = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
_HELD, _REMEMBERED, _PENDING = 2000, 10_000, 100
"""Most lines held for a file, texts remembered as said, warnings that wait to be told."""


def rank() -> int:
    """The global rank as launchers state it (torchrun and DeepSpeed, OpenMPI, SLURM; the innermost one); else 0."""
    for key in ("RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID"):
        # A batch script's own shell has SLURM_PROCID too; only a task of srun has a step.
        if os.environ.get(key, "").isdigit() and (key != "SLURM_PROCID" or "SLURM_STEP_ID" in os.environ):
            return int(os.environ[key])
    return 0


def get_logger(name: str = ROOT) -> logging.Logger:
    """A logger of the toolkit, from INFO on. On stderr it speaks on rank 0; elsewhere only its errors."""
    root = logging.getLogger(ROOT)
    if outlet not in root.handlers:
        root.addHandler(outlet)
        root.propagate = False
        root.setLevel(logging.INFO)
    return logging.getLogger(name if name.startswith(ROOT) else f"{ROOT}.{name}")


class LogFile:
    """A file that is only appended to. What the file system refuses is lost, and that is said once."""

    def __init__(self, path: Path):
        self.path = path
        self._descriptor: int | None = None
        self._said = False

    def write(self, text: str) -> None:
        """Append whole lines, at once: a killed process leaves all that it said."""
        try:
            if self._descriptor is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            left = text.encode(errors="backslashreplace")
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError as error:
            if not self._said:
                self._said = True
                get_logger().warning("%s: cannot be written: %s; its lines are lost", self.path, error.strerror)

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class Outlet(logging.Handler):
    """The one handler of all lines."""

    def __init__(self):
        super().__init__()
        self.file: LogFile | None = None
        self._held: deque[str] = deque(maxlen=_HELD)
        self._seen: set[tuple[str, int, str]] = set()
        self._told: set[str] = set()
        self._pending: dict[str, None] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Say a record where it belongs."""
        try:
            own, message = record.name.split(".")[0] == ROOT, record.getMessage()
            if not own and not self._first((record.name, record.levelno, message)):
                return
            here, level = rank(), record.levelno
            if own and level == logging.WARNING:
                self._note(message, here)
            self.record(_IN_FILE.format(record))  # first: the terminal may be gone
            seen_from = logging.ERROR if here else logging.INFO if own else logging.WARNING
            if level >= seen_from and not getattr(record, "file_only", False):
                self.say((_ON_STDERR if own else _OF_OTHERS).format(record), here)
        except Exception:  # as every handler of `logging` does: what cannot be said must not end the program
            self.handleError(record)

    def say(self, text: str, here: int) -> None:
        """Lines on stderr; another rank than 0 puts its number before each."""
        if here:
            text = "\n".join(f"[rank {here}] {line}" for line in text.splitlines())
            if sys.stderr.isatty():
                text = f"\r\x1b[2K{text}"  # rank 0's progress bar may be on this line of the terminal
        write_above(text)

    def record(self, text: str) -> None:
        """Lines for the file alone, now or once there is one."""
        if self.file is None:
            self._held.append(text)
        else:
            self.file.write(text + "\n")

    def open(self, path: Path, first: str) -> None:
        """Go on in another file, with a first line; what was held follows it."""
        if self.file is not None:
            self.file.close()
        self.file = LogFile(path)
        held, self._held = self._held, deque(maxlen=_HELD)
        self.file.write("\n".join([first, *held]) + "\n")

    def pending(self) -> int:
        """How many warnings wait to be told."""
        return len(self._pending)

    def take(self) -> list[str]:
        """The warnings that wait to be told; from now on they are the taker's to tell."""
        with self.lock:
            taken, self._pending = list(self._pending), {}
        return taken

    def unsaid(self, message: str) -> bool:
        """Whether no warning of this text was said here, or told of another rank."""
        return message not in self._told

    def told(self, message: str) -> None:
        """Remember a warning as said."""
        if len(self._told) < _REMEMBERED:
            self._told.add(message)

    def _note(self, message: str, here: int) -> None:
        if not here:
            self.told(message)
        elif len(self._pending) < _PENDING and self.unsaid(message):
            self._pending[message] = None
            self.told(message)

    def _first(self, key: tuple[str, int, str]) -> bool:
        if key in self._seen:
            return False
        if len(self._seen) < _REMEMBERED:
            self._seen.add(key)
        return True


outlet = Outlet()


def tell(text: str) -> None:
    """Lines as they are: on stderr, with its number from another rank than 0, and in this rank's file."""
    outlet.say(text, rank())
    outlet.record(text)


def untold_warnings() -> int:
    """How many warnings this rank holds that no one has read; always 0 on rank 0."""
    return outlet.pending()


def take_warnings() -> list[str]:
    """What `untold_warnings` counts, to be gathered from all ranks and given to `tell_warnings`."""
    return outlet.take()


def tell_warnings(by_rank: list[list[str]]) -> None:
    """Say on rank 0, once each, the warnings that only other ranks had. `by_rank`: what each rank took."""
    if rank():
        return
    ranks: dict[str, list[int]] = {}
    for number, messages in enumerate(by_rank):
        for message in messages:
            ranks.setdefault(message, []).append(number)
    for message, numbers in ranks.items():
        if outlet.unsaid(message):
            outlet.told(message)
            get_logger().warning("[%s] %s", _ranges(numbers), message)


def _ranges(numbers: list[int]) -> str:
    """Ranks in words: rank 3; ranks 1-3, 5."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    said = ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
    return f"rank{'' if len(numbers) == 1 else 's'} {said}"


@atexit.register
def _tell_at_the_end() -> None:
    """A process that never had a file, and whose warnings no one took, must say them itself."""
    if outlet.file is None and rank():
        for message in outlet.take():
            outlet.say(f"WARNING {message}", rank())
