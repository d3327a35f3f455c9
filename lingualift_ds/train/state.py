"""What a rank must remember to go on as if it had never stopped: step, counts, data position, random numbers."""

import random
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch


@dataclass
class Progressed:
    """How far training has come. Tokens are target tokens."""

    step: int = 0
    samples: int = 0
    tokens: int = 0
    skipped: int = 0
    """Steps whose loss or gradient was not finite, and that changed nothing."""

    def state_dict(self) -> dict[str, int]:
        """As plain numbers."""
        return asdict(self)


def seed_everything(seed: int, rank: int, step: int = 0) -> None:
    """Seed torch, numpy and python, each rank and start differently: dropout must not repeat across ranks."""
    number = seed * 100_003 + rank + step * 1_000_000_007
    torch.manual_seed(number)
    np.random.seed(number % 2**32)
    random.seed(number)


def random_state() -> dict[str, Any]:
    """The state of every random generator of this rank, as JSON."""
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    version, internal, gauss_next = random.getstate()
    state = {
        "torch": torch.get_rng_state().numpy().tobytes().hex(),
        "numpy": [kind, keys.tolist(), position, has_gauss, gauss],
        "python": [version, list(internal), gauss_next],
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state().cpu().numpy().tobytes().hex()
    return state


def set_random_state(state: dict[str, Any]) -> None:
    """Go back to a state that `random_state` gave."""
    torch.set_rng_state(_bytes(state["torch"]))
    kind, keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), position, has_gauss, gauss))
    version, internal, gauss_next = state["python"]
    random.setstate((version, tuple(internal), gauss_next))
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(_bytes(state["cuda"]))


def _bytes(text: str) -> torch.Tensor:
    return torch.frombuffer(bytearray.fromhex(text), dtype=torch.uint8)
