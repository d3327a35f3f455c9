"""Tells transformers' Auto classes and lm-evaluation-harness of our model, without importing either before somebody
else does."""

import importlib
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType


def _tell_transformers() -> None:
    """AutoConfig: the module of our configuration does so at its end, at once or, where it was being imported already,
    when it is whole."""
    importlib.import_module("lingualift_ds.hub.configuration")


def _tell_lm_eval() -> None:
    """`--model lingualift`. Versions after 0.4.13 find it by our entry point."""
    from lm_eval.api.registry import model_registry

    if "lingualift" not in model_registry:
        model_registry.register("lingualift", target="lingualift_ds.evaluate.harness.lm:LinguaLiftLM")


_WATCHED: dict[str, Callable[[], None]] = {
    "transformers.models.auto.configuration_auto": _tell_transformers,
    "lm_eval.models": _tell_lm_eval,
}
"""Module: what to do once it is there. Nothing is looked up in the Auto classes or among lm-eval's models before."""


def register() -> None:
    """Register with what is imported already, and with the others as soon as they are."""
    for module, tell in _WATCHED.items():
        if module in sys.modules:
            tell()
    if not any(isinstance(finder, _Watcher) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Watcher())


class _Watcher:
    """Finds nothing by itself: lets the watched modules be loaded as ever, and registers after each."""

    def find_spec(self, name: str, path=None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The spec that is found on the path, with a loader that registers; None for any other module."""
        if name not in _WATCHED:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_register(module: ModuleType) -> None:
                load(module)
                _WATCHED[name]()

            spec.loader.exec_module = load_and_register
        return spec
