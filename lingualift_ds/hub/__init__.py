"""The trained model as transformers knows it: configuration, model, tokenizers, and the folder they live in."""

import importlib
from typing import Any

_WHERE = {
    "LinguaLiftConfig": "configuration",
    "LinguaLiftForCausalLM": "modeling",
    "Answer": "modeling",
    "LinguaLiftProcessor": "processing",
    "load_model": "folders",
}
"""Name: its module, imported when the name is asked for; transformers' Auto classes ask for the first alone."""

__all__ = list(_WHERE)


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
