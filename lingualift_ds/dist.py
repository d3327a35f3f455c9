"""Processes that train together: who we are, and the few collectives we use. The only user of torch.distributed.

Ranks come from the environment, whoever launched: DeepSpeed and torchrun state RANK and WORLD_SIZE, srun states
SLURM_PROCID and SLURM_NTASKS, mpirun OMPI_COMM_WORLD_RANK; plain python is one process.
"""

import os
import pickle
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as td

from lingualift_ds.errors import LaunchError

_TIMEOUT = timedelta(minutes=30)
_HEARTBEAT = 10.0


@dataclass(frozen=True)
class Place:
    """Where this process stands among its peers."""

    rank: int
    world_size: int
    local_rank: int
    launcher: str

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0, which writes what is written once."""
        return self.rank == 0


_LAUNCHERS = {
    "deepspeed or torchrun": ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    "srun": ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
    "mpirun": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
}


def read_place(environment: dict[str, str] | None = None) -> Place:
    """This process's place, from the environment alone. Raises LaunchError where it contradicts itself."""
    env = os.environ if environment is None else environment
    for launcher, keys in _LAUNCHERS.items():
        # A batch script's own shell has SLURM_PROCID too; only a task of srun has a step.
        if keys[0] not in env or launcher == "srun" and "SLURM_STEP_ID" not in env:
            continue
        try:
            rank, world, local = (int(env[k]) for k in keys)
        except (KeyError, ValueError):
            found = ", ".join(f"{k}={env.get(k, 'unset')}" for k in keys)
            raise LaunchError(f"launch: {launcher} should set {', '.join(keys)} to numbers; found {found}") from None
        if not 0 <= rank < world:
            raise LaunchError(f"launch: {keys[0]}={rank} is not below {keys[1]}={world}")
        return Place(rank, world, local, launcher)
    return Place(0, 1, 0, "python")


def connect(place: Place) -> None:
    """Join the process group: NCCL where there are GPUs, else gloo. Raises LaunchError where no one answers."""
    if td.is_initialized():
        return
    os.environ.update(RANK=str(place.rank), WORLD_SIZE=str(place.world_size), LOCAL_RANK=str(place.local_rank))
    os.environ.setdefault("MASTER_ADDR", _master_address())
    os.environ.setdefault("MASTER_PORT", str(20_000 + int(os.environ.get("SLURM_JOB_ID", "0")) % 20_000))
    gpus = torch.cuda.is_available()
    if gpus and torch.cuda.device_count() == 1 and place.launcher == "srun":
        os.environ["LOCAL_RANK"] = "0"  # --gpus-per-task=1 shows each task its own GPU only
        torch.cuda.set_device(0)
    elif gpus:
        if place.local_rank >= torch.cuda.device_count():
            raise LaunchError(
                f"launch: local rank {place.local_rank} has no GPU: {torch.cuda.device_count()} visible; "
                "start at most as many processes a node as it has GPUs"
            )
        torch.cuda.set_device(place.local_rank)
    try:
        # One process meets no one: a store of its own, where a port could be another's by the time it is bound.
        alone = {"store": td.HashStore(), "rank": 0, "world_size": 1} if place.world_size == 1 else {}
        td.init_process_group("nccl" if gpus else "gloo", timeout=_TIMEOUT, **alone)
    except (ValueError, RuntimeError) as error:
        raise LaunchError(
            f"launch: rank {place.rank} of {place.world_size} found no peers at "
            f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}: {' '.join(str(error).split())[:200]}"
        ) from error


def disconnect() -> None:
    """Leave the process group."""
    if td.is_initialized():
        td.destroy_process_group()


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


def _master_address() -> str:
    nodes = os.environ.get("SLURM_JOB_NODELIST", "") if "SLURM_STEP_ID" in os.environ else ""
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
        if from_main(bool(box)):
            break
    value, error = from_main(box[0] if box else None)
    if error is not None:
        raise error
    return value
