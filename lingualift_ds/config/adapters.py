"""Sizes of LoRA's and DoRA's weights, and what they add to a step's activations, from the LLM's shape alone."""

from lingualift_ds.config.schema import AdapterConfig
from lingualift_ds.config.shapes import LlmShape
from lingualift_ds.errors import ConfigError


def linear_layers(llm: LlmShape) -> list[tuple[str, int, int]]:
    """(name, inputs, outputs) of the linear layers of one transformer layer, in the order of the forward pass."""
    width, ffn = llm.width, llm.ffn
    if llm.kind == "gpt2":
        attention = [("c_attn", width, 3 * width), ("c_proj", width, width)]
        return [*attention, ("c_fc", width, ffn), ("c_proj", ffn, width)]
    attention = [("q_proj", width, llm.query_width), ("k_proj", width, llm.kv_width), ("v_proj", width, llm.kv_width)]
    attention.append(("o_proj", llm.query_width, width))
    return [*attention, ("gate_proj", width, ffn), ("up_proj", width, ffn), ("down_proj", ffn, width)]


def adapted_layers(llm: LlmShape, adapter: AdapterConfig) -> list[tuple[int, int]]:
    """(inputs, outputs) of the linear layers of one transformer layer that get the adapter. Raises ConfigError for
    a target that there is not."""
    every = linear_layers(llm)
    known = dict.fromkeys(name for name, *_ in every)
    unknown = [target for target in adapter.targets if target not in known]
    if unknown:
        raise ConfigError(
            f"adapter.targets: {', '.join(unknown)}: {llm.name} has no linear layers of that name; there are: "
            f"{', '.join(known)}"
        )
    return [(inputs, outputs) for name, inputs, outputs in every if not adapter.targets or name in adapter.targets]


def adapter_tensors(llm: LlmShape, adapter: AdapterConfig) -> tuple[list[int], list[int]]:
    """Sizes of (matrices, vectors): A and B of every adapted layer, and DoRA's magnitudes."""
    layers = adapted_layers(llm, adapter) * llm.layers
    matrices = [adapter.rank * n for layer in layers for n in layer]
    return matrices, [outputs for _, outputs in layers] if adapter.kind == "dora" else []


def adapter_bytes(llm: LlmShape, adapter: AdapterConfig, tokens: int, element: int) -> int:
    """What autograd keeps of a layer's adapters beside the layer's own: what is between A and B; with dropout its mask
    and its output; of DoRA, what the base layer and the adapter gave, for the gradient of the magnitudes."""
    layers = adapted_layers(llm, adapter)
    per_token = element * adapter.rank * len(layers)
    if adapter.dropout:
        per_token += sum((element + 1) * inputs for inputs, _ in layers)
    if adapter.kind == "dora":
        per_token += sum(2 * element * outputs for _, outputs in layers)
    return tokens * per_token


def adapter_peak_bytes(llm: LlmShape, adapter: AdapterConfig, element: int) -> int:
    """What DoRA takes while it makes the lengths of a layer's columns: three copies of the layer's weight."""
    if adapter.kind != "dora":
        return 0
    return 3 * element * max(inputs * outputs for inputs, outputs in adapted_layers(llm, adapter))
