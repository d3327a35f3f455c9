"""Two processes that add up a number, as ranks do. As a program it is one of the two."""

import socket
import sys
import time
from collections.abc import Iterator

from lingualift_ds.train.doctor import apart
from lingualift_ds.train.doctor.line import FAILED, NOTE, Line

_SECONDS = 40.0


def two_ranks() -> Iterator[Line]:
    """An all-reduce between two processes: NCCL where there are two GPUs, else gloo on the CPU."""
    import torch

    gpus = torch.cuda.device_count()
    kind = "NCCL" if gpus >= 2 else "gloo"
    environment = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
    if kind == "gloo":
        environment |= {"CUDA_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": ""}
    command, started = [sys.executable, "-m", __name__], time.monotonic()
    processes = [apart.start(command, RANK=rank, LOCAL_RANK=rank, **environment) for rank in "01"]
    outcomes = [apart.finish(process, started + _SECONDS) for process in processes]
    if all(outcome.ok for outcome in outcomes):
        yield Line("two ranks", f"{kind} all-reduce is right")
        return
    why = next((o for o in outcomes if o.code), next(o for o in outcomes if not o.ok)).why
    if gpus == 1:
        yield Line("two ranks", f"{kind}: {why}", NOTE, "one process still trains on the one GPU")
    else:
        yield Line("two ranks", f"{kind}: {why}", FAILED, "processes here cannot train together")


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def main() -> int:
    """Be one of the two: 0 where the sum is right."""
    from lingualift_ds import dist

    place = dist.read_place()
    dist.connect(place)
    right = dist.total([place.rank + 1.0]) == [3.0]
    dist.disconnect()
    if not right:
        sys.stderr.write("the sum over two ranks is wrong\n")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
