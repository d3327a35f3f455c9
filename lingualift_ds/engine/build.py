"""Build: the context in which models load under ZeRO-3, the optimizer over what is trained, and the engine."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import deepspeed
import torch
from torch import nn
from transformers import get_scheduler
from transformers.integrations.deepspeed import set_hf_deepspeed_config, unset_hf_deepspeed_config

from lingualift_ds import dist
from lingualift_ds.config.ds_json import offloads_optimizer, zero_level
from lingualift_ds.config.schema import OptimizerConfig
from lingualift_ds.engine.step import Engine
from lingualift_ds.errors import ConfigError


def connect(place: dist.Place) -> None:
    """Join the process group and let DeepSpeed use the same one."""
    # An all-reduce for inference on CPUs, which nothing here calls. It is compiled at the first start, and while it
    # waits for its peers no thread of Python runs, not even the one that ends this process when they are gone
    # (0.19.8, comm/torch.py).
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    dist.connect(place)
    deepspeed.init_distributed(auto_mpi_discovery=False, verbose=False)


class _ZeroThree:
    """What transformers asks of a DeepSpeed config. Its own class for this would bring accelerate along."""

    def __init__(self, config: dict[str, Any]):
        self.config = config

    def is_zero3(self) -> bool:
        """Whether parameters are partitioned."""
        return True


@contextlib.contextmanager
def loading(ds_config: dict[str, Any]) -> Iterator[None]:
    """Within it, `from_pretrained` under ZeRO-3 builds models as partitions and fills them tensor by tensor.

    transformers keeps only a weak reference to what it is told (5.23, integrations/deepspeed.py): it is held
    here while models load and dropped after, so that generation and saving see no ZeRO-3.
    """
    if zero_level(ds_config) < 3:
        yield
        return
    held = _ZeroThree(ds_config)
    set_hf_deepspeed_config(held)
    try:
        yield
    finally:
        unset_hf_deepspeed_config()
        del held


def parameter_groups(model: nn.Module, group_of: Callable[[str], str], optimizer: OptimizerConfig) -> list[dict]:
    """AdamW's groups over the trained parameters: per freezing group, with and without weight decay.

    Tensors of one dimension (biases, norms, boundaries) get no decay, as is usual for AdamW.
    """
    groups: dict[tuple[str, bool], dict] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        group = group_of(name)
        decays = len(getattr(parameter, "ds_shape", parameter.shape)) > 1
        if (group, decays) not in groups:
            own = optimizer.groups.get(group)
            lr = own.lr if own and own.lr is not None else optimizer.lr
            decay = own.weight_decay if own and own.weight_decay is not None else optimizer.weight_decay
            groups[group, decays] = {
                "params": [],
                "lr": lr,
                "weight_decay": decay if decays else 0.0,
                "name": f"{group}{'' if decays else ', one-dimensional'}",
            }
        groups[group, decays]["params"].append(parameter)
    return list(groups.values())


def build_engine(
    model: nn.Module,
    group_of: Callable[[str], str],
    optimizer: OptimizerConfig,
    ds_config: dict[str, Any],
    total_steps: int,
    universal: bool = False,
) -> Engine:
    """The DeepSpeed engine around a model whose `requires_grad` is set. `universal` says that it will load a checkpoint
    that was converted for another number of ranks.

    Raises ConfigError for an optimizer implementation that cannot work here.
    """
    groups = parameter_groups(model, group_of, optimizer)
    adamw = _adamw(groups, optimizer, ds_config)
    scheduler = get_scheduler(
        _SCHEDULES[optimizer.schedule],
        adamw,
        num_warmup_steps=round(optimizer.warmup_ratio * total_steps),
        num_training_steps=total_steps,
    )
    if universal:
        ds_config = ds_config | {"checkpoint": ds_config.get("checkpoint", {}) | {"load_universal": True}}
    engine, *_ = deepspeed.initialize(
        model=model, optimizer=adamw, lr_scheduler=scheduler, config=ds_config, dist_init_required=False
    )
    return Engine(engine, zero_level(ds_config))


_SCHEDULES = {"constant": "constant_with_warmup", "cosine": "cosine", "linear": "linear"}


def _adamw(groups: list[dict], optimizer: OptimizerConfig, ds_config: dict[str, Any]) -> torch.optim.Optimizer:
    settings = {"lr": optimizer.lr, "betas": optimizer.betas, "eps": optimizer.eps}
    offloaded = offloads_optimizer(ds_config)
    if optimizer.implementation == "torch" and offloaded:
        raise ConfigError(
            "optimizer.implementation: torch, but the DeepSpeed JSON offloads the optimizer, which needs "
            "DeepSpeed's CPUAdam; allowed: auto, deepspeed"
        )
    if optimizer.implementation == "deepspeed" or offloaded:
        from deepspeed.ops.adam import DeepSpeedCPUAdam, FusedAdam

        kind, decoupled = (DeepSpeedCPUAdam, "adamw_mode") if offloaded else (FusedAdam, "adam_w_mode")
        try:
            return kind(groups, **settings, **{decoupled: True})
        except Exception as error:  # building an op fails in as many ways as there are compilers
            raise ConfigError(
                f"optimizer.implementation: DeepSpeed's {kind.__name__} does not build here "
                f"({' '.join(str(error).split())[:120]}); allowed: torch, without offload"
            ) from error
    return torch.optim.AdamW(groups, fused=True, **settings)
