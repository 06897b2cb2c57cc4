"""Libraries that transformers imports for functions that asking a model never calls: loaded when one is called.

The module of ``generate`` takes ``roc_curve`` from scikit-learn, which brings pandas, and the losses of detectors take
``linear_sum_assignment`` from SciPy: together a fifth of the time in which a small model is loaded. While
:func:`libraries_deferred` lasts, those modules of transformers get functions in their place that import the true ones
when they are called. Nothing else changes: the libraries themselves, and whoever else imports them, meanwhile or later,
are not touched, and where they are loaded already nothing is put off.
"""

from __future__ import annotations

import builtins
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

_OF: Mapping[str, str] = {"transformers.generation.": "sklearn.metrics", "transformers.loss.": "scipy.optimize"}
"""What is put off, by the beginning of the name of the modules that import it."""


@contextmanager
def libraries_deferred() -> Iterator[None]:
    """While it lasts, modules of transformers that are imported do without libraries that they may never use."""
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Finder:
    """Finds the modules of `_OF` where they lie, and has them run by `_Loader`."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        library = next((library for beginning, library in _OF.items() if name.startswith(beginning)), None)
        if library is None or library in sys.modules:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and type(spec.loader) is SourceFileLoader:
            spec.loader = _Loader(name, spec.loader.path, library)
        return spec


class _Loader(SourceFileLoader):
    """Runs a module whose ``from library import function`` gives a :class:`_Deferred` one."""

    def __init__(self, name: str, path: str, library: str) -> None:
        super().__init__(name, path)
        self._library = library

    def exec_module(self, module: ModuleType) -> None:
        """Run it with a copy of the builtins of its own: the import statement looks up ``__import__`` there."""

        def find(
            name: str,
            globals: Mapping[str, object] | None = None,
            locals: Mapping[str, object] | None = None,
            fromlist: Sequence[str] | None = (),
            level: int = 0,
        ) -> object:
            if name == self._library and fromlist and level == 0 and name not in sys.modules:
                return _Deferred(name)
            return builtins.__import__(name, globals, locals, fromlist or (), level)

        own = {**vars(builtins), "__import__": find}
        vars(module)["__builtins__"] = own
        super().exec_module(module)
        own["__import__"] = builtins.__import__  # what its functions import when they run is not put off
        vars(module)["__builtins__"] = builtins


class _Deferred:
    """A library of which functions can be had before it is loaded."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, function: str) -> Callable[..., Any]:
        if function.startswith("__"):
            raise AttributeError(function)

        def call(*given: Any, **named: Any) -> Any:
            return getattr(importlib.import_module(self._name), function)(*given, **named)

        call.__name__ = call.__qualname__ = function
        return call
