"""A recorded model as the folder that an export would have left: configuration, tokenizers, weights.

Weights come from SHAKE-256 over their names, so that they are the same everywhere: torch's random numbers may change
from one version to the next. Whatever a library changes in reading configurations, tokenizers or weights shows then.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

RECORD = "golden.json"
FORMAT = 1
_SPREAD = 0.1
"""Of biases around 0, and of the weights of norms around 1."""


def read_record() -> dict[str, Any]:
    """What was recorded: models by name, and with which versions."""
    return json.loads(files(__package__).joinpath(RECORD).read_text(encoding="utf-8"))


def fixed_tensor(name: str, shape: Sequence[int], seed: int) -> np.ndarray:
    """A tensor of fp32 that depends on nothing else: uniform, and scaled so that a layer's output is about as large
    as its input."""
    drawn = np.frombuffer(hashlib.shake_256(f"{seed} {name}".encode()).digest(2 * math.prod(shape)), "<u2")
    uniform = drawn.astype(np.float64).reshape(shape) / 32768 - 1
    if len(shape) > 1:
        return (uniform * math.sqrt(3 / shape[-1])).astype(np.float32)
    centre = 1 if name.endswith("weight") and "norm" in name.lower() else 0
    return (centre + _SPREAD * uniform).astype(np.float32)


def write_model(folder: Path, case: Mapping[str, Any]) -> None:
    """Write a recorded model's `config`, `tokenizers` (role -> file -> content) and `tensors` (name -> shape)."""
    (folder / "config.json").write_text(json.dumps(case["config"]), encoding="utf-8")
    for role, contents in case["tokenizers"].items():
        (folder / f"{role}_tokenizer").mkdir()
        for name, content in contents.items():
            text = json.dumps(content, ensure_ascii=False)
            (folder / f"{role}_tokenizer" / name).write_text(text, encoding="utf-8")
    weights = {name: fixed_tensor(name, shape, case["seed"]) for name, shape in case["tensors"].items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
