"""The machine: what it is, what it could do, and how much of its memory tensors take."""

import contextlib
import gc
import importlib.metadata
import os
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch._subclasses.fake_tensor import FakeTensor

_LARGE = 1 << 20
_PACKAGES = ("torch", "deepspeed", "transformers", "numpy", "flash-attn", "lingualift_ds")


def facts() -> dict:
    """Processor, memory in GB (1e9 bytes) and GPUs of this node."""
    gpus = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "gpus": [{"name": g.name, "memory_gb": round(g.total_memory / 1e9, 1)} for g in gpus],
        "system": f"{platform.system()} {platform.release()}",
        "threads_per_rank": torch.get_num_threads(),
    }


def versions() -> dict[str, str]:
    """Of Python and of the packages that matter, those that are installed."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    if torch.cuda.is_available():
        found |= {"cuda": torch.version.cuda, "nccl": ".".join(map(str, torch.cuda.nccl.version()))}
    return found


def matmul_tflops(side: int, dtype: torch.dtype, device: torch.device, seconds: float = 1.0) -> float:
    """The best rate of a product of two square matrices on this rank, in 1e12 operations a second."""
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    best, started = float("inf"), time.perf_counter()
    for turn in range(50):
        settle(device)
        before = time.perf_counter()
        for _ in range(4):
            left @ right
        settle(device)
        if turn:  # the first one chooses and loads a kernel
            best = min(best, (time.perf_counter() - before) / 4)
        if turn > 2 and time.perf_counter() - started > seconds:
            break
    return 2 * side**3 / best / 1e12


def settle(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Claim:
    """The tensors that come to be from now on: how many bytes of them there are, and how to be rid of them."""

    def __init__(self, device: torch.device):
        self._device = device
        self._before = _storages(device)
        self._level = self._held()

    def bytes(self) -> int:
        """Bytes of tensors that are alive, above the level of before: by the GPU allocator's count, or on a CPU
        of those that Python can see."""
        gc.collect()
        return self._held() - self._level

    def release(self) -> None:
        """Empty every large tensor that came to be since, whoever holds it.

        A destroyed ZeRO-3 engine (DeepSpeed 0.19.8) stays alive through its own hooks on the weights, and all
        its weights and optimizer state with it: the next one would not fit beside it.
        """
        gc.collect()
        for pointer, storage in _storages(self._device).items():
            if pointer not in self._before and storage.nbytes() >= _LARGE and storage.resizable():
                storage.resize_(0)
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _held(self) -> int:
        if self._device.type == "cuda":
            return torch.cuda.memory_allocated(self._device)
        return sum(s.nbytes() for s in _storages(self._device).values())


def _storages(device: torch.device) -> dict[int, torch.UntypedStorage]:
    """Memory of the tensors on the device that Python can see, by address."""
    # The type, not isinstance: some modules stand in for classes and warn when they are asked for theirs.
    # What torch.compile traces with has no memory.
    real = (o for o in gc.get_objects() if issubclass(type(o), torch.Tensor) and not issubclass(type(o), FakeTensor))
    tensors = (t for t in real if t.device.type == device.type)
    storages = (t.untyped_storage() for t in tensors if t.layout == torch.strided)
    return {s.data_ptr(): s for s in storages if s.nbytes()}


def rise_bytes(work: Callable[[], object], device: torch.device) -> int:
    """How far the bytes of tensors rise above their present level while `work` runs."""
    if device.type == "cuda":
        settle(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        settle(device)
        return torch.cuda.max_memory_allocated(device) - before
    recorder = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True)
    with _silent(), recorder:
        work()
    changes = [e for e in recorder.profiler.kineto_results.events() if e.name() == "[memory]"]
    level = highest = 0
    for event in sorted(changes, key=lambda e: e.start_ns()):
        level += event.nbytes()
        highest = max(highest, level)
    return highest


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Nothing to stderr, from C++ neither: the profiler says when it starts and stops, whatever its log level."""
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
