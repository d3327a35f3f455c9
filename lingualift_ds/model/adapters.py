"""LoRA and DoRA on the LLM, through PEFT: low-rank weights beside its linear layers, which stay as they are.

The layers go into the loaded LLM in place, so that it keeps its class and everything else that holds for it. Its
parameters are then called X.base_layer.weight, X.lora_A.default.weight and so on (PEFT 0.21).
"""

import importlib.util
import warnings
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from lingualift_ds.config.schema import AdapterConfig
from lingualift_ds.errors import CheckpointError, ConfigError

_BASE = ".base_layer."


def is_adapter_weight(name: str) -> bool:
    """Whether a parameter, by its name in the LLM or in the bridged model, is an adapter's."""
    return any(part.startswith("lora_") for part in name.split("."))


def base_name(name: str) -> str:
    """The name that a parameter has in an LLM without an adapter."""
    return name.replace(_BASE, ".")


def check_adapter(adapter: AdapterConfig, config: PreTrainedConfig) -> None:
    """Raise ConfigError where an LLM of this config cannot have this adapter, or PEFT is not there; before weights are
    loaded."""
    _check_peft(adapter)
    with torch.device("meta"):
        target_names(AutoModelForCausalLM.from_config(config), adapter)


def _check_peft(adapter: AdapterConfig) -> None:
    if importlib.util.find_spec("peft") is None:
        raise ConfigError(f"adapter: {adapter.kind} needs peft; pip install peft, or this package with [lora]")


def target_names(llm: PreTrainedModel, adapter: AdapterConfig) -> list[str]:
    """Full names of the LLM's linear layers that get the adapter. Raises ConfigError for a target that it has not."""
    head = llm.get_output_embeddings()
    linear = [n for n, m in llm.named_modules() if isinstance(m, (nn.Linear, Conv1D)) and m is not head]
    if not adapter.targets:
        return linear
    known = dict.fromkeys(name.rpartition(".")[2] for name in linear)
    unknown = [target for target in adapter.targets if target not in known]
    if unknown:
        raise ConfigError(
            f"adapter.targets: {', '.join(unknown)}: this LLM has no linear layers of that name; there are: "
            f"{', '.join(known)}; the head cannot have one"
        )
    return [name for name in linear if name.rpartition(".")[2] in adapter.targets]


def add_adapter(llm: PreTrainedModel, adapter: AdapterConfig, seed: int = 0) -> None:
    """Put a fresh adapter into an LLM, in place and in its dtype; it changes no output yet. It follows from the seed
    alone, on any number of ranks, because it is drawn whole.

    An LLM whose weights ZeRO-3 has partitioned needs the engine's loading context: DoRA's magnitudes are the lengths of
    its columns. Raises ConfigError for a target that the LLM has not, and without PEFT.
    """
    _check_peft(adapter)
    from peft import LoraConfig, inject_adapter_in_model

    names = target_names(llm, adapter)
    transposed = any(isinstance(llm.get_submodule(name), Conv1D) for name in names)
    settings = LoraConfig(
        r=adapter.rank,
        lora_alpha=adapter.alpha,
        lora_dropout=adapter.dropout,
        target_modules=names,
        use_dora=adapter.kind == "dora",
        fan_in_fan_out=transposed,
    )
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        torch.default_generator.manual_seed(seed)  # PEFT draws on the CPU
        warnings.simplefilter("ignore")  # of Conv1D beside Linear, which PEFT tells apart by itself
        inject_adapter_in_model(settings, llm)


def load_adapter(llm: PreTrainedModel, weights: Mapping[str, Tensor], where: str) -> None:
    """Fill the LLM's adapter with weights by their names in the LLM. Raises CheckpointError where they do not fit."""
    own = {name: p for name, p in llm.named_parameters() if is_adapter_weight(name)}
    unfit = sorted(own.keys() ^ weights.keys())
    unfit += [name for name in own.keys() & weights.keys() if own[name].shape != weights[name].shape]
    if unfit:
        raise CheckpointError(f"{where}: its adapter does not fit this LLM: {unfit[0]} ({len(unfit)})")
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(weights[name])


def merge_adapter(llm: PreTrainedModel) -> None:
    """Make the adapter part of the LLM's own weights, in place, as if it had been trained in full. Added up in fp32,
    layer by layer, and rounded once."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in list(llm.named_modules()):
        if isinstance(module, BaseTunerLayer):
            base = module.get_base_layer()
            dtype = base.weight.dtype
            module.float().merge()
            llm.set_submodule(name, base.to(dtype))
    vars(llm).pop("peft_config", None)
