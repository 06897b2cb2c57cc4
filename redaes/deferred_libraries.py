"""Load libraries that transformers imports for rarely used functions only when such a function is called.

The module of ``generate`` imports ``roc_curve`` from scikit-learn, which brings pandas, and the losses of detectors
import ``linear_sum_assignment`` from SciPy: together a fifth of the time in which a small model is loaded. Within
:func:`libraries_deferred` those modules of transformers get stand-in functions that import the real ones when they are
called. Other importers of these libraries are not affected, and nothing is deferred that is loaded already.
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
"""Deferred libraries, by the prefix of the names of the modules that import them."""


@contextmanager
def libraries_deferred() -> Iterator[None]:
    """Within this context, import modules of transformers without the libraries that they may never use."""
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Finder:
    """Find the modules named in `_OF` and have `_Loader` run them."""

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
    """Run a module in which ``from library import function`` gives a :class:`_Deferred` function."""

    def __init__(self, name: str, path: str, library: str) -> None:
        super().__init__(name, path)
        self._library = library

    def exec_module(self, module: ModuleType) -> None:
        """Run the module with its own copy of the builtins, because the import statement looks up ``__import__``
        there.
        """

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
        own["__import__"] = builtins.__import__  # imports inside its functions are not deferred when they run
        vars(module)["__builtins__"] = builtins


class _Deferred:
    """A library whose functions can be imported before the library is loaded."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, function: str) -> Callable[..., Any]:
        if function.startswith("__"):
            raise AttributeError(function)

        def call(*given: Any, **named: Any) -> Any:
            return getattr(importlib.import_module(self._name), function)(*given, **named)

        call.__name__ = call.__qualname__ = function
        return call
