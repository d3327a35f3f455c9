"""torch, compilers, DeepSpeed's ops, attention kernels: what is here, and what is used instead."""

import importlib.util
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from lingualift_ds.train.doctor import apart
from lingualift_ds.train.doctor.line import FAILED, NOTE, OK, Line

_SECONDS = 40.0
# The room that owns DeepSpeed says how it is to be imported. What ops print goes to stderr.
_OPS = """
import contextlib, json, sys
with contextlib.redirect_stdout(sys.stderr):
    import lingualift_ds.engine, deepspeed
    from deepspeed.accelerator import get_accelerator
    from deepspeed.ops.op_builder.all_ops import ALL_OPS
    ops = {}
    for name, builder in ALL_OPS.items():
        try:
            ops[name] = bool(builder.is_compatible(verbose=False))
        except Exception:
            ops[name] = False
print(json.dumps([deepspeed.__version__, get_accelerator().device_name(), ops]))
"""
_FLASH = "import flash_attn; from flash_attn import flash_attn_varlen_func; print(flash_attn.__version__)"
_USED = {"cpu_adam": "offload of the optimizer", "fused_adam": "optimizer.implementation: deepspeed"}


def torch_build() -> Iterator[Line]:
    """torch, and what it was built for."""
    import torch

    if torch.version.hip:
        build = f"ROCm {torch.version.hip}"
    else:
        build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU build"
    driver = any(Path(path).exists() for path in ("/dev/nvidia0", "/dev/kfd"))
    if driver and not torch.cuda.is_available():
        yield Line("torch", f"{torch.__version__}, {build}", NOTE, "a GPU's driver is here, but this torch sees no GPU")
    else:
        yield Line("torch", f"{torch.__version__}, {build}")


def compilers() -> Iterator[Line]:
    """What DeepSpeed compiles its ops with on first use."""
    import torch

    name = os.environ.get("CXX") or next(filter(shutil.which, ("c++", "g++", "clang++")), None)
    told = apart.run([*name.split(), "--version"], 10.0) if name and shutil.which(name.split()[0]) else None
    if told and told.ok:
        yield Line("C++ compiler", told.said.splitlines()[0][:60])
    else:
        yield Line("C++ compiler", told.why if told else "none", NOTE, "no offload of the optimizer; else not needed")
    if shutil.which("ninja"):
        yield Line("ninja", apart.run(["ninja", "--version"], 10.0).said.strip() or "found")
    elif (Path(sys.executable).parent / "ninja").exists():
        yield Line("ninja", "beside python, not in PATH", NOTE, "activate the environment before offload is used")
    else:
        yield Line("ninja", "none", NOTE, "no offload of the optimizer; else not needed")
    home = os.environ.get("CUDA_HOME")
    nvcc = shutil.which(str(Path(home, "bin/nvcc"))) if home else shutil.which("nvcc")
    release = re.search(r"release (\d+)(\.\d+)", apart.run([nvcc, "--version"], 10.0).said) if nvcc else None
    yield _nvcc(release.group(1) + release.group(2) if release else "", torch.version.cuda)


def _nvcc(found: str, wanted: str | None) -> Line:
    """nvcc's CUDA against torch's: DeepSpeed asks that the first numbers are equal."""
    without = "DeepSpeed's FusedAdam cannot be built: torch's AdamW is used"
    if not wanted:
        return Line("nvcc", found or "none", OK, "not needed by this torch")
    if not found:
        return Line("nvcc", "none", NOTE, without)
    if found.split(".")[0] != wanted.split(".")[0]:
        return Line("nvcc", found, NOTE, f"torch has CUDA {wanted}: {without}")
    return Line("nvcc", found, OK, f"fits torch's CUDA {wanted}")


def deepspeed() -> Iterator[Line]:
    """DeepSpeed in a process of its own, and its ops that can be built here."""
    outcome = apart.python(_OPS, _SECONDS)
    if not outcome.ok:
        yield Line("deepspeed", outcome.why, FAILED, "cannot be imported: nothing trains without it")
        return
    number, accelerator, ops = json.loads(outcome.said.splitlines()[-1])
    yield Line("deepspeed", f"{number} on {accelerator}")
    can = [name for name in _USED if ops.get(name)]
    missing = [f"{name} ({use})" for name, use in _USED.items() if name not in can]
    # On a CPU FusedAdam is never used.
    lacks = [one for one in missing if accelerator != "cpu" or one.startswith("cpu_adam")]
    means = f"without {', '.join(lacks)}; torch's AdamW is used" if lacks else "torch's AdamW is used without offload"
    found = f"can be built: {', '.join(can) or 'none'}; {sum(ops.values())} of {len(ops)} in all"
    yield Line("deepspeed ops", found, NOTE if lacks else OK, means)


def attention() -> Iterator[Line]:
    """flash-attn, imported elsewhere because a broken build takes the interpreter down."""
    import torch

    gpu = torch.cuda.is_available()
    instead = "PyTorch's varlen is used for packed samples, else sdpa" if gpu else "sdpa is used, as always on a CPU"
    if importlib.util.find_spec("flash_attn") is None:
        yield Line("flash-attn", "not installed", OK, instead)
        return
    outcome = apart.python(_FLASH, _SECONDS)
    if outcome.ok:
        yield Line("flash-attn", outcome.said.strip(), OK, "is used in bf16 and fp16" if gpu else instead)
    elif outcome.code and outcome.code > 0:
        yield Line("flash-attn", outcome.why, NOTE, f"broken: {instead}")
    else:
        verdict = FAILED if gpu else NOTE
        yield Line("flash-attn", outcome.why, verdict, "broken: uninstall it, or build it for this torch")
