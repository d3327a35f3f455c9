"""Kills a save at every single thing it does to the checkpoints folder, on one rank and on two, in forked processes.

python tests/dist/killed_saves.py FOLDER prints a line of JSON for every kill: where, what is whole after it, and what
the next start makes of it. There is no engine: the store is given files.
"""

import contextlib
import json
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.faults import Fault, Watch, read_lines
from benchmarks.jobs import free_port
from benchmarks.soak import Strike, litter, strikes_of, whole_steps
from lingualift_ds import dist
from lingualift_ds.checkpoint.store import CheckpointStore, checkpoints, find_checkpoint, step_of, sweep
from lingualift_ds.config.schema import CheckpointConfig

FACTS = {"identity": {}, "sources": {}, "tensors": {}, "world_size": 1, "zero": 2}
SECONDS = 20


def save(folder: Path, step: int, background: str, next_start: bool = False) -> None:
    """One save, as a run does it; `next_start`: after what a run does when it starts."""
    store = CheckpointStore(folder, CheckpointConfig(keep_last=2, background=background))
    if next_start:
        found, _ = find_checkpoint(folder)
        assert step_of(found) == whole_steps(folder)[-1], f"{found} is not the newest whole one"
        store.resumed_from = found.name
        sweep(folder)
    rank = dist.read_place().rank
    files = {
        f"rank-{rank:05d}.json": b"{}" * 500,
        f"zero_pp_rank_{rank}_optim_states.pt": {"m": torch.ones(9000) * step},
    }
    if rank == 0:
        files |= {"probe.json": b"[1, 2]" * 100, "mp_rank_00_model_states.pt": {"w": torch.ones(3000) * step}}
    store.begin(step, files, FACTS)
    saved = store.publish()
    assert saved.path, saved.error


def fork(ranks: int, work: Callable[[], None], fault: Fault = Fault()) -> list[int]:
    """Run on so many ranks, in processes of their own; exit codes, negative for signals. Where one has died, the others
    are ended as a launcher would do it."""
    port, pids = str(free_port()), {}
    for rank in range(ranks):
        pid = os.fork()
        if pid == 0:
            code = 1
            with contextlib.suppress(BaseException):
                code = _rank(rank, ranks, port, work, fault)
            os._exit(code)
        pids[pid] = rank
    codes, limit, failed = [0] * ranks, time.monotonic() + SECONDS, None
    while pids:
        for pid, rank in list(pids.items()):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                codes[rank] = os.waitstatus_to_exitcode(status)
                failed = failed or (time.monotonic() if codes[rank] else None)
                del pids[pid]
        if time.monotonic() > limit or failed and time.monotonic() > failed + 2:
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.002)
    return codes


def _rank(rank: int, ranks: int, port: str, work: Callable[[], None], fault: Fault) -> int:
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(ranks))
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
    Watch(fault, rank).install()
    if ranks > 1:
        dist.connect(dist.read_place())
    try:
        work()
    except Exception:
        if not fault.event:
            traceback.print_exc()
        return 1
    return 0


def strike(base: Path, folder: Path, ranks: int, background: str, what: Strike) -> dict:
    """One kill in a save of step 40, where 20 and 30 are whole, and the start after it."""
    shutil.copytree(base, folder)
    checkpoints_, note = folder / "checkpoints", folder / "note"
    fault = Fault(**vars(what.fault) | {"save": 1, "note": str(note)})
    codes = fork(ranks, lambda: save(checkpoints_, 40, background), fault)
    after = whole_steps(checkpoints_)
    found = {
        "ranks": ranks, "background": background, "rank": fault.rank, "event": fault.event, "cut": fault.cut,
        "what": (read_lines(note) or [{"what": ""}])[-1]["what"], "exit": codes, "whole": after,
        "half": sorted({step_of(path) for path in checkpoints(checkpoints_)} - set(after)),
    }  # fmt: skip
    found["next"] = fork(1, lambda: save(checkpoints_, 50, background, next_start=True))[0]
    found["finally"], found["litter"] = whole_steps(checkpoints_), litter(checkpoints_)
    shutil.rmtree(folder)
    return found


def main(root: Path) -> None:
    """All points, of one rank in the background and not, of two in the background."""
    for ranks, background in ((1, "on"), (1, "off"), (2, "on")):
        base, trace = root / f"base-{ranks}-{background}", root / f"trace-{ranks}-{background}"
        for step in (10, 20, 30):
            tracing = Fault(trace=str(trace)) if step == 30 else Fault()
            codes = fork(ranks, lambda step=step: save(base / "checkpoints", step, background), tracing)
            assert codes == [0] * ranks, codes
        points = strikes_of(base / "checkpoints", trace, ranks)
        # Half-written files need no more than one round.
        points = [p for p in points if p.fault.cut is None or (ranks, background) == (1, "on")]
        for number, what in enumerate(points):
            line = strike(base, root / f"strike-{ranks}-{background}-{number}", ranks, background, what)
            sys.stdout.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
