"""The process group: joining it, and the few collectives we use."""

import itertools
import os
import pickle
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as td
from torch.distributed import distributed_c10d

from lingualift_ds.dist.place import Place, check_gpus, launched_place
from lingualift_ds.dist.position import HERE
from lingualift_ds.dist.pulse import MEETING, pulse
from lingualift_ds.dist.rollcall import LOST, name_ranks
from lingualift_ds.errors import Interrupted, LaunchError

_TIMEOUT = timedelta(minutes=30)
_WATCHED_TIMEOUT = timedelta(days=7)
"""Of a collective where there is a pulse: it ends what hangs, sooner, and says who is late."""
_HEARTBEAT = 10.0
_meetings = itertools.count()
"""Of this process: a store may outlive a meeting, and remembers it."""

_place: Place | None = None
_store: td.Store | None = None


def read_place() -> Place:
    """This process's place: the one it met its peers in, else what its launcher states. Raises LaunchError."""
    return _place or launched_place()


def meet(place: Place) -> td.Store | None:
    """Meet the other processes, before any of them holds a GPU; None for a process that is alone.

    Raises LaunchError where processes and GPUs do not go together, or not all processes come.
    """
    global _place, _store
    if _place == place:  # met before: an earlier stage of this process
        return _store
    if torch.cuda.is_available():
        check_gpus(place, torch.cuda.device_count())  # counts without holding any
    _place = place
    # DeepSpeed reads them.
    os.environ.update(RANK=str(place.rank), WORLD_SIZE=str(place.world_size), LOCAL_RANK=str(place.local_rank))
    if "MASTER_ADDR" not in os.environ:
        os.environ["MASTER_ADDR"] = _master_address(place)
    os.environ.setdefault("MASTER_PORT", str(20_000 + int(os.environ.get("SLURM_JOB_ID", "0")) % 20_000))
    if place.world_size == 1:
        return None
    try:
        store, *_ = _in_thread(lambda: next(td.rendezvous("env://", place.rank, place.world_size, timeout=MEETING)))
    except (ValueError, RuntimeError) as error:
        raise _no_peers(place, error) from error
    _store = td.PrefixStore(f"meeting-{next(_meetings)}", store)
    return _store


def connect(place: Place) -> None:
    """Join the process group: NCCL where there are GPUs, else gloo. Raises LaunchError as `meet`."""
    if td.is_initialized():
        return
    store = meet(place)
    if store is not None:
        with HERE.during("preparing"):  # as the slowest rank still does; where there is a pulse, it tells who is lost
            _wait_until_all_are_prepared(place, store, None if pulse() else _TIMEOUT)
    gpus = torch.cuda.is_available()
    if gpus and torch.cuda.device_count() == 1:
        os.environ["LOCAL_RANK"] = "0"  # srun --gpus-per-task=1 shows each task its own GPU only
        torch.cuda.set_device(0)
    elif gpus:
        torch.cuda.set_device(place.local_rank)
    # One process meets no one: a store of its own, where a port could be another's by the time it is bound.
    store = td.HashStore() if store is None else td.PrefixStore("group", store)
    timeout = _WATCHED_TIMEOUT if pulse() else _TIMEOUT
    # What DeepSpeed's own group takes, which it makes without a word of time (0.19.8, utils/groups.py).
    distributed_c10d.default_pg_timeout = distributed_c10d.default_pg_nccl_timeout = timeout
    try:
        td.init_process_group(_backend(), timeout=timeout, store=store, rank=place.rank, world_size=place.world_size)
    except (ValueError, RuntimeError) as error:
        raise _no_peers(place, error) from error


def _backend() -> str:
    return "nccl" if torch.cuda.is_available() else "gloo"


def _in_thread(wait: Callable[[], Any]) -> Any:
    """What `wait` returns or raises. It waits in C++, where no signal is seen: the main thread stays free to see it."""
    outcome: Future[Any] = Future()

    def work() -> None:
        try:
            outcome.set_result(wait())
        except Exception as error:
            outcome.set_exception(error)

    threading.Thread(target=work, name="wait", daemon=True).start()
    return outcome.result()


def _wait_until_all_are_prepared(place: Place, store: td.Store, limit: timedelta | None) -> None:
    """Wait until every rank has come here, free to see signals meanwhile. Raises LaunchError where not all come in
    time, or a GPU is seen by some ranks only, and Interrupted where rank 0, or the launcher, is lost meanwhile."""
    until, pause = time.monotonic() + limit.total_seconds() if limit else None, 0.01
    try:
        store.set(f"prepared/{place.rank}", _backend())
        store.add("prepared/nccl", int(_backend() == "nccl"))
        here = store.add("prepared", 1)
        while here < place.world_size:
            if until and time.monotonic() > until:
                late = [rank for rank in range(place.world_size) if not store.check([f"prepared/{rank}"])]
                raise LaunchError(
                    f"launch: {name_ranks(late)} of {place.world_size} did not come within {limit}; the others did"
                )
            time.sleep(pause)
            pause = min(1.5 * pause, 1.0)
            here = store.add("prepared", 0)
        with_gpu = store.add("prepared/nccl", 0)
        if 0 < with_gpu < place.world_size:
            without = [rank for rank in range(place.world_size) if store.get(f"prepared/{rank}") == b"gloo"]
            raise LaunchError(
                f"launch: {name_ranks(without)} of {place.world_size} see no GPU (torch.cuda.is_available() is False "
                "there), the others do; run lingualift-ds doctor on that node, or leave it out"
            )
    except RuntimeError as error:
        lost = " ".join(str(error).split())[:200]
        raise Interrupted(f"rank 0, or the launcher, was lost while the ranks met: {lost}", LOST) from error


def _no_peers(place: Place, error: Exception) -> LaunchError:
    return LaunchError(
        f"launch: rank {place.rank} of {place.world_size} found no peers at "
        f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}: {' '.join(str(error).split())[:200]}"
    )


def disconnect() -> None:
    """Leave the process group."""
    global _place, _store
    if td.is_initialized():
        td.destroy_process_group()
    _place = _store = None


def device() -> torch.device:
    """The device this process computes on."""
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


def gpu_memory() -> int | None:
    """Bytes of memory of this process's GPU; None without one. After `connect`, which chooses the GPU."""
    return torch.cuda.get_device_properties(device()).total_memory if torch.cuda.is_available() else None


def barrier() -> None:
    """Wait for all ranks."""
    if td.is_initialized():
        td.barrier()


def total(values: list[float]) -> list[float]:
    """Each value summed over all ranks, in double precision."""
    tensor = torch.tensor(values, dtype=torch.float64, device=device())
    if td.is_initialized():
        td.all_reduce(tensor)
    return tensor.tolist()


def any_rank(here: bool) -> bool:
    """Whether it is so on any rank."""
    return total([here])[0] > 0


def total_tensor(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor summed over all ranks, in place."""
    if td.is_initialized():
        td.all_reduce(tensor)
    return tensor


def gather(value: Any) -> list[Any]:
    """Every rank's (picklable) value, in rank order, on every rank."""
    if not td.is_initialized():
        return [value]
    values: list[Any] = [None] * td.get_world_size()
    td.all_gather_object(values, value)
    return values


def from_main(value: Any) -> Any:
    """Rank 0's (picklable) value, on every rank."""
    if not td.is_initialized():
        return value
    box = [value]
    td.broadcast_object_list(box, src=0)
    return box[0]


def _master_address(place: Place) -> str:
    if place.launcher == "mpirun" and place.local_world_size != place.world_size:
        raise LaunchError(
            "launch: mpirun does not say on which node rank 0 is; state it: mpirun -x MASTER_ADDR=NODE -x MASTER_PORT"
        )
    names = ("SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST") if place.launcher == "srun" else ()
    nodes = next((os.environ[name] for name in names if os.environ.get(name)), "")
    if not nodes:
        return "127.0.0.1"
    # The first name of a host list such as `node[03-07,12],login1`.
    head, bracket, rest = nodes.partition("[")
    if not bracket or "," in head:
        return head.split(",")[0]
    return head + rest.split("]")[0].split(",")[0].split("-")[0]


def _sendable(error: Exception) -> Exception:
    """The error, or what it says where it cannot be pickled."""
    try:
        return pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")


def on_main(make: Callable[[], Any], at_length: bool = False) -> Any:
    """Run on rank 0 alone and give its result to all ranks; what fails on rank 0 is raised on all of them.

    Nothing collective may happen inside: the other ranks only wait for the outcome. `at_length` says that it may take
    longer than a collective may: then rank 0 lets the others know every while that it is still at work.
    """
    box: list[tuple[Any, Exception | None]] = []

    def work() -> None:
        try:
            box.append((make(), None))
        except Exception as error:  # whatever it is, the others must not wait for it in vain
            box.append((None, _sendable(error)))

    if read_place().is_main:
        worker = threading.Thread(target=work)
        worker.start() if at_length else work()
    while at_length:
        if read_place().is_main:
            worker.join(_HEARTBEAT)
        HERE.move()
        if from_main(bool(box)):
            break
    value, error = from_main(box[0] if box else None)
    if error is not None:
        raise error
    return value
