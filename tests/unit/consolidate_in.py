"""Consolidates a checkpoint under a limit of address space, in a process of its own; see test_export.py.

python consolidate_in.py WARM CHECKPOINT OUTPUT BYTES stream|whole
"""

import json
import resource
import sys
from pathlib import Path

from lingualift_ds.checkpoint.artefact import Contents, stream_artefact
from lingualift_ds.checkpoint.consolidate import Consolidation
from lingualift_ds.checkpoint.manifest import verify


def consolidate(path: Path, output: Path, whole: bool) -> None:
    consolidation = Consolidation(path, verify(path))
    tensors = consolidation.tensors()
    if whole:
        tensors = {name: tensor.clone() for name, tensor in tensors}.items()
    stream_artefact(output, consolidation.specs, tensors, Contents("model", {}, {}, {}))


def kilobytes(what: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what))


if __name__ == "__main__":
    warm, path, output = map(Path, sys.argv[1:4])
    consolidate(warm, output / "warm", False)  # what is imported, started or reserved once counts as there before
    before = kilobytes("VmSize")
    limit = before * 1024 + int(sys.argv[4])
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    consolidate(path, output / "out", sys.argv[5] == "whole")
    print(json.dumps({"bytes": (kilobytes("VmPeak") - before) * 1024}))
