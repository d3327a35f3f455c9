"""Processes that train together. The only user of torch.distributed.

place        who we are, from the environment of whichever launcher
group        the process group and the few collectives we use
position     how far this process has come
connections  of all ranks to rank 0, beside the collectives
pulse        a thread in every process that notices deaths, silence, hangs and signals
rollcall     who is still there, and who is late
"""

from lingualift_ds.dist.group import (
    any_rank,
    barrier,
    connect,
    device,
    disconnect,
    from_main,
    gather,
    gpu_memory,
    meet,
    on_main,
    read_place,
    total,
    total_tensor,
)
from lingualift_ds.dist.place import Place, launched_place, unlaunched
from lingualift_ds.dist.position import HERE
from lingualift_ds.dist.pulse import pulse, stop_pulse, watched

__all__ = [
    "HERE", "Place", "any_rank", "barrier", "connect", "device", "disconnect", "from_main", "gather", "gpu_memory",
    "launched_place", "meet", "on_main", "pulse", "read_place", "stop_pulse", "total", "total_tensor", "unlaunched",
    "watched",
]  # fmt: skip
