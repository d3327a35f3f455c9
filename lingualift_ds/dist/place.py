"""Where this process stands among its peers, told by the environment of whichever launcher."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from lingualift_ds.errors import LaunchError


@dataclass(frozen=True)
class Place:
    """Where this process stands among its peers."""

    rank: int
    world_size: int
    local_rank: int
    launcher: str
    local_world_size: int | None = None
    """Processes of this run on this node; None where the launcher does not say."""

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0, which writes what is written once."""
        return self.rank == 0

    @property
    def speaks_for_node(self) -> bool:
        """Whether this is the first process of its node, which says there what every node should be told once."""
        return self.local_rank == 0


_INNERMOST_FIRST = {
    "deepspeed or torchrun": ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    "mpirun": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    "srun": ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
}
"""Of launchers that start each other: srun starts torchrun or mpirun's daemons, once a node."""
_LAUNCHED = re.compile(
    "RANK|WORLD_SIZE|LOCAL_RANK|LOCAL_WORLD_SIZE|LOCAL_SIZE|GROUP_RANK|GROUP_WORLD_SIZE|ROLE_.*|CROSS_(RANK|SIZE)"
    "|MASTER_.*|TORCHELASTIC_.*|SLURM_.*|OMPI_.*|PMIX?_.*"
)
"""Variables by which launchers speak to their processes."""
_LOCAL_SIZES = {"deepspeed or torchrun": ("LOCAL_WORLD_SIZE", "LOCAL_SIZE"), "mpirun": ("OMPI_COMM_WORLD_LOCAL_SIZE",)}


def launched_place(environment: Mapping[str, str] | None = None) -> Place:
    """This process's place, from the environment alone. Raises LaunchError where it contradicts itself, and where two
    launchers each started a world of their own."""
    env = os.environ if environment is None else environment
    places = [_place(launcher, keys, env) for launcher, keys in _INNERMOST_FIRST.items() if _states(launcher, env)]
    if not places:
        return Place(0, 1, 0, "python", 1)
    inner, *outer = places
    for other in outer:
        _check_nested(inner, other, env)
    return inner


def unlaunched(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for a process that is no rank of this launch, whoever started this one."""
    env = os.environ if environment is None else environment
    return {name: value for name, value in env.items() if not _LAUNCHED.fullmatch(name)}


def check_gpus(place: Place, visible: int, environment: Mapping[str, str] | None = None) -> None:
    """Raise LaunchError where this node's processes and its visible GPUs do not go together: one GPU a process.

    A process may see its own GPU alone (srun --gpus-per-task=1). Plain python is one process with one GPU.
    """
    env = os.environ if environment is None else environment
    local = place.local_world_size
    of_job = env.get("SLURM_GPUS_ON_NODE", "")
    if place.launcher == "srun" and visible == 1:
        if local and of_job.isdigit() and int(of_job) < local:
            raise LaunchError(
                f"launch: {local} tasks on this node, which has {of_job} GPUs for this job; start one task per GPU"
            )
        return
    if place.local_rank >= visible:
        raise LaunchError(
            f"launch: local rank {place.local_rank} has no GPU: {visible} visible; "
            "start at most as many processes a node as it has GPUs"
        )
    if place.launcher != "python" and local is not None and local < visible:
        raise LaunchError(
            f"launch: {local} processes on this node, but {visible} visible GPUs; start one process per GPU, "
            "or let CUDA_VISIBLE_DEVICES show those to use"
        )


def _states(launcher: str, env: Mapping[str, str]) -> bool:
    # A batch script's own shell has SLURM_PROCID too; only a task of srun has a step.
    return _INNERMOST_FIRST[launcher][0] in env and (launcher != "srun" or "SLURM_STEP_ID" in env)


def _place(launcher: str, keys: tuple[str, str, str], env: Mapping[str, str]) -> Place:
    try:
        rank, world, local = (int(env[k]) for k in keys)
    except (KeyError, ValueError):
        found = ", ".join(f"{k}={env.get(k, 'unset')}" for k in keys)
        raise LaunchError(f"launch: {launcher} should set {', '.join(keys)} to numbers; found {found}") from None
    if not 0 <= rank < world:
        raise LaunchError(f"launch: {keys[0]}={rank} is not below {keys[1]}={world}")
    if launcher == "srun":
        return Place(rank, world, local, launcher, _tasks_here(env))
    told = (env[key] for key in _LOCAL_SIZES[launcher] if env.get(key, "").isdigit())
    return Place(rank, world, local, launcher, next((int(n) for n in told), None))


def _tasks_here(env: Mapping[str, str]) -> int | None:
    """Tasks of the step on this node, of `2(x3),1`: two on each of three nodes, one on the fourth."""
    try:
        counts = []
        for part in env["SLURM_STEP_TASKS_PER_NODE"].split(","):
            count, _, times = part.partition("(x")
            counts += [int(count)] * int(times.rstrip(")") or 1)
        return counts[int(env["SLURM_NODEID"])]
    except (KeyError, ValueError, IndexError):
        return None


def _check_nested(inner: Place, outer: Place, env: Mapping[str, str]) -> None:
    """An outer launcher may state the same ranks, or start the inner one once a node for all of its nodes."""
    if (inner.rank, inner.world_size) == (outer.rank, outer.world_size):
        return
    if outer.world_size == 1:
        return
    nodes = env.get("SLURM_STEP_NUM_NODES", env.get("SLURM_NNODES", "")) if outer.launcher == "srun" else ""
    once_a_node = not nodes.isdigit() or int(nodes) == outer.world_size
    local = inner.local_world_size
    # mpirun has its daemons started by srun, on all nodes but its own: their number says little.
    spans_nodes = inner.launcher == "mpirun" and local is not None and local < inner.world_size
    if once_a_node and (local is None or outer.world_size * local == inner.world_size or spans_nodes):
        return
    raise LaunchError(
        f"launch: two launchers at once: {inner.launcher} states {inner.world_size} ranks"
        f"{f', {local} on this node' if local else ''}; {outer.launcher} started {outer.world_size} tasks"
        f"{f' on {nodes} nodes' if nodes else ''}; start one task a node (srun --ntasks-per-node=1) and state all "
        "nodes to the inner launcher, or start launch/train.py with one of them alone"
    )
