"""Every GPU, and whether it computes. As a program it looks and prints JSON: a GPU that is stuck never answers."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict

from lingualift_ds.train.doctor import apart
from lingualift_ds.train.doctor.line import FAILED, NOTE, Line, lines_of

_SECONDS = 40.0
_AMPERE = (8, 0)


def gpus() -> Iterator[Line]:
    """A line a GPU, and NCCL's version."""
    import torch

    if not torch.cuda.device_count():
        yield Line("GPU", "none", NOTE, "trains on the CPU, in fp32 or bf16: for small models")
        return
    outcome = apart.run([sys.executable, "-m", __name__], _SECONDS)
    if outcome.ok:
        yield from (Line(**one) for one in json.loads(outcome.said.splitlines()[-1]))
    else:
        yield Line("GPU", outcome.why, FAILED, "nothing can be computed on it")
    yield Line("NCCL", ".".join(map(str, torch.cuda.nccl.version())))


def look(number: int) -> Iterator[Line]:
    """One GPU, with a small product computed on it."""
    import torch

    gpu = torch.cuda.get_device_properties(number)
    one = torch.eye(16, device=f"cuda:{number}")
    found = f"{gpu.name}, {gpu.total_memory / 1e9:.0f} GB, compute capability {gpu.major}.{gpu.minor}"
    if float((one @ one).sum()) != 16.0:
        yield Line(f"GPU {number}", found, FAILED, "computes a wrong product")
    elif not torch.version.hip and (gpu.major, gpu.minor) < _AMPERE:
        yield Line(f"GPU {number}", found, NOTE, "before Ampere: no flash-attn, no varlen; sdpa is used")
    else:
        yield Line(f"GPU {number}", found)


def main() -> int:
    """Look at all GPUs, and print the lines as JSON."""
    import torch

    numbers = range(torch.cuda.device_count())
    lines = [line for n in numbers for line in lines_of(f"GPU {n}", lambda n=n: look(n))]
    sys.stdout.write(json.dumps([asdict(line) for line in lines]) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
