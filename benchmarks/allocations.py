"""How many bytes of tensors a piece of work holds at its peak: exact, repeatable, and the same on every machine.

On a GPU the caching allocator knows. On a CPU nothing does: resident memory is whole pages, late returned, and a
profile of the allocator counts the scratch space of whatever kernel this processor happens to have. So the tensors
are counted: every storage that an operation returns, from when it is made until it is freed. What a kernel needs
only while it runs is not seen, but for the operations that are known to take as much as their input on any device.
"""

import gc
import weakref
from types import TracebackType
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_TAKES_ITS_INPUT = (torch.ops.aten.logsumexp.default,)
"""Operations that are made of others inside, with a tensor as large as their input between (PyTorch 2.13)."""


class TensorBytes(TorchDispatchMode):
    """Counts bytes of the tensors on a device while it is entered; those that are there already count from the start.

    `now` and `peak` are in bytes. On a CPU the backward pass runs in the thread that calls it, and so is seen.
    Tensors that share a storage count once, whatever their shapes.
    """

    def __init__(self, device: str = "cpu"):
        super().__init__()
        self.device, self.now, self.peak = device, 0, 0
        self._alive: dict[int, weakref.ref] = {}

    def __enter__(self) -> "TensorBytes":
        gc.collect()
        for thing in gc.get_objects():
            # The type, not isinstance: some modules stand in for classes and warn when they are asked for theirs.
            if issubclass(type(thing), torch.Tensor):
                self._add(thing)
        self.peak = self.now
        super().__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)

    def __torch_dispatch__(self, operation: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Run an operation, and count what it returns."""
        if operation in _TAKES_ITS_INPUT and args[0].device.type == self.device:
            self.peak = max(self.peak, self.now + args[0].nbytes)
        found = operation(*args, **(kwargs or {}))
        for value in tree_leaves(found):
            if isinstance(value, torch.Tensor):
                self._add(value)
        return found

    def restart_peak(self) -> None:
        """Let `peak` count from here on."""
        self.peak = self.now

    def _add(self, tensor: torch.Tensor) -> None:
        if tensor.device.type != self.device or tensor.layout != torch.strided:
            return
        storage = tensor.untyped_storage()
        # A storage keeps its Python object as long as it lives, so the object's address tells them apart.
        key, size = id(storage), storage.nbytes()
        if key in self._alive or not size:
            return

        def freed(_: weakref.ref) -> None:
            del self._alive[key]
            self.now -= size

        self._alive[key] = weakref.ref(storage, freed)
        self.now += size
        self.peak = max(self.peak, self.now)


class DeviceBytes:
    """The same of a GPU, by PyTorch's caching allocator: cuBLAS workspaces and kernels' scratch space included."""

    def __init__(self, device: torch.device):
        self._device = device

    def __enter__(self) -> "DeviceBytes":
        self.restart_peak()
        return self

    def __exit__(self, *_: object) -> None:
        pass

    @property
    def now(self) -> int:
        """Bytes of tensors at present."""
        return torch.cuda.memory_allocated(self._device)

    @property
    def peak(self) -> int:
        """The most there were since the start or `restart_peak`."""
        return torch.cuda.max_memory_allocated(self._device)

    def restart_peak(self) -> None:
        """Let `peak` count from here on."""
        torch.cuda.synchronize(self._device)
        torch.cuda.reset_peak_memory_stats(self._device)


def meter(device: torch.device) -> TensorBytes | DeviceBytes:
    """What counts on this device."""
    return DeviceBytes(device) if device.type == "cuda" else TensorBytes(device.type)
