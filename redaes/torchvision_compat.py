"""Let torchvision be imported beside a CPU-only build of torch.

Qwen-VL processors need torchvision. The published torchvision wheels are linked against CUDA; beside a
CPU-only torch their compiled part cannot load, and the import dies because the schemas of ``nms`` and
``qnms`` were never defined. Defining the two schemas is enough: image transforms are pure torch. Whoever
has a matching pair of torch and torchvision never gets here with missing schemas, and nothing is changed.

Transformers, diffusers and others import torchvision at times of their own, so this stands at the one place that all of
them pass: the import of torchvision itself, from ``import redaes`` on.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_libraries: list[Any] = []
"""Keeps the definitions alive: they vanish with the object."""


class _Loader(SourceFileLoader):
    """Runs torchvision, and once more with the schemas defined where they are all that is missing."""

    def exec_module(self, module: ModuleType) -> None:
        try:
            super().exec_module(module)
        except RuntimeError as error:
            import torch

            with_gpu = torch.version.cuda is not None or torch.version.hip is not None
            if with_gpu or _libraries or "torchvision::nms does not exist" not in str(error):
                raise
            library = torch.library.Library("torchvision", "FRAGMENT")
            for schema in _SCHEMAS:
                library.define(schema)
            _libraries.append(library)
            # Drop what the failed import left behind, so that the next one starts afresh.
            for name in [name for name in sys.modules if name.startswith("torchvision.")]:
                del sys.modules[name]
            super().exec_module(module)


class _Finder:
    """Finds torchvision where it lies, and has it run by `_Loader`."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name == "torchvision" else None
        if spec is not None and type(spec.loader) is SourceFileLoader:
            spec.loader = _Loader(name, spec.loader.path)
        return spec


def make_torchvision_importable() -> None:
    """From now on, whoever imports torchvision gets it, beside a torch without CUDA too. Loads neither."""
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)
