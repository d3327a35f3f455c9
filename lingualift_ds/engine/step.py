"""One optimizer step, and the few other things the rest of the toolkit asks of DeepSpeed's engine."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import deepspeed
import torch
from torch import Tensor, nn

from lingualift_ds import dist


class Engine:
    """DeepSpeed's engine behind the words this toolkit uses.

    `zero` is the ZeRO stage. Under ZeRO-3 parameters are partitions; `gathered` makes them whole for a while.
    """

    def __init__(self, engine: deepspeed.DeepSpeedEngine, zero: int):
        self._engine, self.zero = engine, zero
        self._plain_norm: Tensor | None = None
        self._last = True

    @property
    def module(self) -> nn.Module:
        """The model."""
        return self._engine.module

    def train(self, mode: bool = True) -> None:
        """Training or evaluation mode; what is frozen stays in evaluation mode."""
        self._engine.train(mode)

    def to_device(self, batch: Any) -> Any:
        """A micro-batch where the model is; the copies run beside the computation."""
        if isinstance(batch, Tensor):
            return batch.to(self._engine.device, non_blocking=True)
        if isinstance(batch, dict):
            return {k: self.to_device(v) for k, v in batch.items()}
        return [self.to_device(v) for v in batch] if isinstance(batch, list) else batch

    def forward(self, batch: dict[str, Any]) -> Tensor:
        """The summed loss of a micro-batch on this rank; a collective under ZeRO-3."""
        return self._engine(**self.to_device(batch))

    def backward(self, loss_sum: Tensor, target_tokens: int, last: bool) -> None:
        """Gradients of loss_sum / target_tokens, where target_tokens are those of the whole optimizer step.

        DeepSpeed averages gradients over ranks and, unless told not to, over accumulation steps. Both are
        undone, so that the gradient is that of one mean over all target tokens of the step, whatever the
        number of ranks and micro-batches. `last` says that the step is complete with this micro-batch: how many
        it has varies with the samples' lengths, so DeepSpeed cannot count them.
        """
        self._last = last
        self._engine.set_gradient_accumulation_boundary(last)
        scaled = loss_sum * (self._engine.dp_world_size / max(target_tokens, 1))
        self._engine.backward(scaled, scale_wrt_gas=False)

    def step(self) -> None:
        """Count a micro-batch; after the last one of the step clip, update the weights, advance the schedule."""
        if self.zero == 0 and self._last:
            # Without ZeRO and in fp32 DeepSpeed 0.19 clips, but forgets the norm. Gradients are reduced by now.
            gradients = [p.grad for p in self.module.parameters() if p.grad is not None]
            self._plain_norm = torch.nn.utils.get_total_norm(gradients) if gradients else None
        self._engine.step()

    def grad_norm(self) -> float:
        """Norm of the last step's gradient over all ranks, before clipping."""
        norm = self._engine.get_global_grad_norm()
        return float(self._plain_norm if norm is None else norm)

    def lr(self) -> float:
        """Learning rate of the first group in the step that comes."""
        return self._engine.get_lr()[0]

    def shard(self, parameter: nn.Parameter) -> Tensor:
        """What this rank holds of a parameter: its partition under ZeRO-3, else all of it."""
        return getattr(parameter, "ds_tensor", parameter).detach()

    @contextlib.contextmanager
    def gathered(self, parameters: Iterable[nn.Parameter]) -> Iterator[None]:
        """Within it, the parameters are whole on every rank. A collective: all ranks must enter."""
        if self.zero < 3:
            yield
            return
        with deepspeed.zero.GatheredParameters([p for p in parameters if hasattr(p, "ds_id")]):
            yield

    def save(self, folder: Path, tag: str) -> None:
        """Write the trained tensors and their optimizer state as shards to folder/tag, without `latest`."""
        self._engine.save_checkpoint(str(folder), tag=tag, save_latest=False, exclude_frozen_parameters=True)

    def load(self, folder: Path, tag: str) -> None:
        """Read what `save` wrote. Only on an engine that has not run yet (DeepSpeed 0.19.8, ZeRO-3)."""
        # Not strict: the frozen parts are not in the file; the manifest says what must be.
        path, _ = self._engine.load_checkpoint(str(folder), tag=tag, load_module_strict=False)
        assert path is not None, f"DeepSpeed found no checkpoint {tag} in {folder}"

    def monitor(self, values: dict[str, float], step: int) -> None:
        """Send numbers to the monitors of the DeepSpeed config (TensorBoard, CSV, W&B)."""
        if self._engine.monitor.enabled and dist.read_place().is_main:
            self._engine.monitor.write_events([(f"train/{k}", v, step) for k, v in values.items()])

    def close(self) -> None:
        """Let go of DeepSpeed's hooks and buffers."""
        self._engine.destroy()


def peak_memory_gb(device: torch.device) -> float:
    """Peak of allocated GPU memory, or of this process's resident memory on a CPU, in GB (1e9 bytes)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
