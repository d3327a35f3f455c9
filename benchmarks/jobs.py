"""Training jobs that are started in order to be killed, by each launcher, on one rank or two; and what they leave."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

ROOT = Path(__file__).parents[1]
_GRACE = 10.0
"""Seconds that ranks without a launcher have once one has failed: one that waits for it waits for half an hour."""
_PIPED = dict(
    cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
)
_MARK = "LINGUALIFT_JOB"
"""Environment variable by which the processes of a job are found, whatever groups their launcher puts them into."""


class Job:
    """A script on some ranks. Launchers: python (one rank), ranks (two processes, as srun starts them), torchrun,
    deepspeed. All share a process group, torchrun's ranks apart."""

    def __init__(self, launcher: str, ranks: int, script: Path, *arguments: str, environment: dict[str, str]):
        self._mark, self._said, self.ended_others = uuid.uuid4().hex, [], False
        self.launcher, self.ranks, self.started = launcher, ranks, time.monotonic()
        plain = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
        plain |= {"OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu", "PYTHONPATH": str(ROOT), _MARK: self._mark}
        plain |= environment
        command, port = [str(script), *arguments], str(free_port())
        if launcher == "python":
            starts = [([sys.executable, *command], {})]
        elif launcher == "ranks":
            shared = {"WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            starts = [
                ([sys.executable, *command], shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)})
                for rank in range(ranks)
            ]
        elif launcher == "torchrun":
            run = ["-m", "torch.distributed.run", "--nproc_per_node", str(ranks), "--master_port", port]
            starts = [([sys.executable, *run, *command], {})]
        else:
            run = ["--num_gpus", str(ranks), "--master_port", port]
            starts = [([str(Path(sys.executable).parent / "deepspeed"), *run, *command], {})]
        self._processes: list[subprocess.Popen] = []
        for line, place in starts:
            group = self._processes[0].pid if self._processes else 0
            self._processes.append(subprocess.Popen(line, env=plain | place, process_group=group, **_PIPED))
        self._readers = [threading.Thread(target=self._read, args=(p,), daemon=True) for p in self._processes]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> "Job":
        return self

    def __exit__(self, *exception) -> None:
        self.kill()

    @property
    def output(self) -> str:
        """What all processes have said so far."""
        return "".join(self._said)

    def running(self) -> bool:
        """Whether the launcher, or a rank that has none, is still at work."""
        return any([p.poll() is None for p in self._processes])  # a list: all are asked

    def wait(self, seconds: float) -> int | None:
        """The exit code: 0, or the first other one; None where it has not ended by then. Ranks without a launcher are
        ended some time after one has failed, as `srun --kill-on-bad-exit` does it; `ended_others` says so."""
        limit, failed = time.monotonic() + seconds, None
        while self.running():
            now = time.monotonic()
            if now > limit:
                return None
            failed = failed or (now if any(p.returncode for p in self._processes) else None)
            if failed and now > failed + _GRACE:
                self.ended_others = True
                break
            time.sleep(0.01)
        code = next((p.returncode for p in self._processes if p.returncode), 0)
        if self.ended_others:
            self.kill()
        for reader in self._readers:
            reader.join(5)
        return code

    def processes(self) -> dict[int, int | None]:
        """All processes of the job that are alive: process id to rank; None for launchers and helpers."""
        found = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                pairs = (v.partition(b"=") for v in (entry / "environ").read_bytes().split(b"\0"))
                variables = {key: value for key, _, value in pairs}
                if variables.get(_MARK.encode()) == self._mark.encode():
                    rank = variables.get(b"RANK", b"0" if self.launcher == "python" else b"")
                    found[int(entry.name)] = int(rank) if rank else None
        return found

    def kill(self, rank: int | None = None) -> int:
        """SIGKILL one rank, or everything; returns how many processes there were to kill."""
        victims = [pid for pid, its in self.processes().items() if rank is None or its == rank]
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if rank is None:
            for process in self._processes:
                process.wait()
        return len(victims)

    def _read(self, process: subprocess.Popen) -> None:
        for line in process.stdout:
            self._said.append(line)


def free_port() -> int:
    """A port that no one listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
