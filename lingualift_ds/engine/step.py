"""One optimizer step, and the few other things the rest of the toolkit asks of DeepSpeed's engine."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import deepspeed
import torch
from deepspeed.runtime.checkpoint_engine.torch_checkpoint_engine import TorchCheckpointEngine
from torch import Tensor, nn

from lingualift_ds import dist
from lingualift_ds.config.monitors import MonitorPlan
from lingualift_ds.engine.monitors import Monitors
from lingualift_ds.log import get_logger

logger = get_logger(__name__)


class Engine:
    """DeepSpeed's engine behind the words this toolkit uses.

    `zero` is the ZeRO stage. Under ZeRO-3 parameters are partitions; `gathered` makes them whole for a while.
    """

    def __init__(self, engine: deepspeed.DeepSpeedEngine, zero: int):
        self._engine, self.zero = engine, zero
        self._plain_norm: Tensor | None = None
        self._last = True
        self.monitors: Monitors | None = None

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

    def step(self) -> bool:
        """Count a micro-batch; after the last one of the step clip, update the weights, advance the schedule. Returns
        whether the weights were updated: where a gradient is not finite, they stay as they are, on all ranks."""
        if self.zero == 0 and self._last:
            # Without ZeRO and in fp32 DeepSpeed 0.19 clips, but forgets the norm. Gradients are reduced by now.
            gradients = [p.grad for p in self.module.parameters() if p.grad is not None]
            self._plain_norm = torch.nn.utils.get_total_norm(gradients) if gradients else None
            if self._plain_norm is not None and not self._plain_norm.isfinite():
                self._engine.zero_grad()
                self._engine.lr_scheduler.step()
                return False
        self._engine.step()
        updated = not self._last or self._engine.was_step_applied()
        if not updated:
            self._engine.lr_scheduler.step()  # a step without an update is a step: the schedule ends with the last one
        return updated

    def grad_norm(self) -> float:
        """Norm of the last step's gradient over all ranks, before clipping."""
        # Of a step that was skipped without ZeRO, DeepSpeed knows nothing: it would give the one before.
        skipped = self._plain_norm is not None and not self._plain_norm.isfinite()
        norm = None if skipped else self._engine.get_global_grad_norm()
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
        # A forward without a backward, as of held-out samples, leaves weights on their way that were fetched for the
        # backward (0.19.8): they are waited for and let go.
        self._engine.optimizer.empty_partition_cache()
        with deepspeed.zero.GatheredParameters([p for p in parameters if hasattr(p, "ds_id")]):
            yield

    def shards(self) -> dict[str, Any]:
        """What this rank must write for a checkpoint: file name to contents, as DeepSpeed has them. Collective.

        Tensors are the live ones, not copies: write or copy them before the next step. What is frozen is left out.
        """
        collected = _CollectedShards()
        written_by, self._engine.checkpoint_engine = self._engine.checkpoint_engine, collected
        recovery, self._engine._copy_recovery_script = self._engine._copy_recovery_script, lambda folder: None
        try:
            self._engine.save_checkpoint(".", tag="shards", save_latest=False, exclude_frozen_parameters=True)
        finally:
            self._engine.checkpoint_engine = written_by
            self._engine._copy_recovery_script = recovery
        return collected.files

    def load(self, folder: Path, tag: str) -> None:
        """Read shards that lie in folder/tag. Only on an engine that has not run yet (DeepSpeed 0.19.8, ZeRO-3).

        An engine built with `universal` reads what `convert` made of a checkpoint of another number of ranks.
        """
        fresh = [{k: v for k, v in group.items() if k != "params"} for group in self._param_groups()]
        # Not strict: the frozen parts are not in the file; the manifest says what must be.
        path, _ = self._engine.load_checkpoint(str(folder), tag=tag, load_module_strict=False)
        assert path is not None, f"DeepSpeed found no checkpoint {tag} in {folder}"
        if self._engine.load_universal_checkpoint():
            # ZeRO-3 gives every group the settings of the first one, and all tensors one counter of steps between them,
            # which each of them then counts up.
            rates = self._engine.lr_scheduler.get_last_lr()
            for group, own, rate in zip(self._param_groups(), fresh, rates, strict=True):
                group.update(own | {"lr": rate})
            for state in self._engine.optimizer.optimizer.state.values():
                if isinstance(state.get("step"), Tensor):
                    state["step"] = state["step"].clone()

    def _param_groups(self) -> list[dict[str, Any]]:
        return self._engine.optimizer.param_groups

    def open_monitors(self, plan: MonitorPlan, step: int) -> None:
        """Open the monitors of a stage on rank 0, to go on after `step`. One that cannot be opened is told of."""
        if plan.sections and dist.read_place().is_main:
            self.monitors = Monitors(plan, step)

    def monitor(self, values: dict[str, float], step: int) -> None:
        """Send numbers of a step to the monitors, by names such as train/loss and heldout/sw. None of them can fail."""
        if self.monitors is not None:
            self.monitors.write(values, step)

    def close(self) -> None:
        """Let go of DeepSpeed's hooks and buffers; monitors send what they hold."""
        if self.monitors is not None:
            self.monitors.close()
        self._engine.destroy()


class _CollectedShards(TorchCheckpointEngine):
    """Takes what DeepSpeed would write to files: writing is the store's, beside the training."""

    def __init__(self):
        super().__init__()
        self.files: dict[str, Any] = {}

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Nothing is written here."""

    def save(self, state_dict: Any, path: str) -> None:
        """Keep a file's contents by its name."""
        self.files[Path(path).name] = state_dict

    def preserves_storage_sharing(self) -> bool:
        """The store writes each tensor by itself, so DeepSpeed need not copy."""
        return False


def peak_memory_gb(device: torch.device) -> float:
    """Peak of allocated GPU memory, or of this process's resident memory on a CPU, in GB (1e9 bytes)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
