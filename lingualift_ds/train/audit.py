"""Proofs that freezing is what it says: every trained tensor gets a gradient, no frozen tensor changes a bit."""

import torch
from torch import nn

from lingualift_ds import dist
from lingualift_ds.engine.step import Engine
from lingualift_ds.errors import TrainingError
from lingualift_ds.model.groups import checksum, named_parameters


class GradientAudit:
    """Watches the first optimizer step: a trained parameter whose gradient is zero on all ranks stops the run.

    Seen through tensor hooks, which get the whole gradient before DeepSpeed reduces and partitions it, so that
    nothing has to be gathered.
    """

    def __init__(self, model: nn.Module):
        self._names = [n for n, p in model.named_parameters() if p.requires_grad]
        self._seen = torch.zeros(len(self._names), dtype=torch.int64, device=dist.device())
        trained = [p for p in model.parameters() if p.requires_grad]
        self._hooks = [p.register_hook(self._watch(i)) for i, p in enumerate(trained)]

    def _watch(self, index: int):
        def hook(gradient: torch.Tensor) -> None:
            self._seen[index] += torch.count_nonzero(gradient)

        return hook

    def finish(self) -> None:
        """Collective. Raises TrainingError naming trained parameters that got no gradient."""
        for hook in self._hooks:
            hook.remove()
        seen = dict(zip(self._names, dist.total_tensor(self._seen).tolist()))
        # A fresh adapter's B is 0, and with it the gradient of its A; B's own gradient shows that the adapter is used.
        dead = [n for n, count in seen.items() if not count and not seen.get(n.replace(".lora_A.", ".lora_B."))]
        if dead:
            raise TrainingError(
                f"{len(dead)} trained parameters got no gradient in the first step: {', '.join(dead[:5])}; "
                "freeze them, or mend the model so that the loss depends on them"
            )


class FrozenWeights:
    """Checksums of this rank's share of every frozen tensor, taken at the start and compared at the end."""

    def __init__(self, engine: Engine):
        self._engine = engine
        self._before = self._checksums()

    def _checksums(self) -> dict[str, int]:
        frozen = ((n, p) for n, p in named_parameters(self._engine.module) if not p.requires_grad)
        return {name: checksum(self._engine.shard(parameter)) for name, parameter in frozen}

    def check(self) -> None:
        """Collective. Raises TrainingError naming frozen parameters that changed."""
        now = self._checksums()
        mine = [name for name, before in self._before.items() if now[name] != before]
        changed = sorted({name for names in dist.gather(mine) for name in names})
        if changed:
            raise TrainingError(f"{len(changed)} frozen parameters changed in training: {', '.join(changed[:5])}")
