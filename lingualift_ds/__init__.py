"""LinguaLIFT on DeepSpeed: reasoning in languages an LLM barely knows, from English training data.

Importing this package pulls in no torch, so that the command line answers at once. Its model is known to transformers'
Auto classes and to lm-evaluation-harness as soon as both are imported, in whatever order.
"""

from typing import Any

from lingualift_ds import registration

__version__ = "0.1.0"

_FROM_HUB = ("LinguaLiftConfig", "LinguaLiftForCausalLM", "LinguaLiftProcessor")

registration.register()


def __getattr__(name: str) -> Any:
    if name in _FROM_HUB:
        from lingualift_ds import hub

        return getattr(hub, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
