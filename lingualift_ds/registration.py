"""Tells transformers' Auto classes of our model, without importing transformers before somebody else does."""

import importlib
import importlib.abc
import importlib.machinery
import sys
from types import ModuleType

_MODULE = "transformers.models.auto.configuration_auto"
"""The Auto classes look nothing up before this module is imported."""


def when_transformers_comes() -> None:
    """Register now where transformers' Auto classes are there, else as soon as they are imported."""
    if _MODULE in sys.modules:
        register()
    elif not any(isinstance(finder, _Watcher) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Watcher())


def register() -> None:
    """Make AutoConfig know the model type `lingualift`: the module of its configuration does so at its end, at once or,
    where it was being imported already, when it is whole."""
    importlib.import_module("lingualift_ds.hub.configuration")


class _Watcher(importlib.abc.MetaPathFinder):
    """Finds nothing by itself: lets the module of the Auto classes be loaded as ever, and registers after it."""

    def find_spec(self, name: str, path, target: ModuleType | None = None) -> importlib.machinery.ModuleSpec | None:
        """The spec that the other finders give, with a loader that registers."""
        if name != _MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_register(module: ModuleType) -> None:
                load(module)
                register()

            spec.loader.exec_module = load_and_register
        return spec
