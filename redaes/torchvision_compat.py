"""Let torchvision be imported beside a CPU-only build of torch.

Qwen-VL processors need torchvision. The published torchvision wheels are linked against CUDA; beside a
CPU-only torch their compiled part cannot load, and the import dies because the schemas of ``nms`` and
``qnms`` were never defined. Defining the two schemas is enough: image transforms are pure torch. Whoever
has a matching pair of torch and torchvision never gets here with missing schemas, and nothing is changed.

Transformers, diffusers and others import torchvision at different times, so ``import redaes`` hooks into the import of
torchvision itself.
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
"""Keeps the schema definitions alive: they vanish with their object."""


class _Loader(SourceFileLoader):
    """Run torchvision's import; if only the schemas are missing, define them and run it once more."""

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
            # Remove what the failed import left behind, so that the next one starts afresh.
            for name in [name for name in sys.modules if name.startswith("torchvision.")]:
                del sys.modules[name]
            super().exec_module(module)


class _Finder:
    """Find torchvision and have `_Loader` run it."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name == "torchvision" else None
        if spec is not None and type(spec.loader) is SourceFileLoader:
            spec.loader = _Loader(name, spec.loader.path)
        return spec


def make_torchvision_importable() -> None:
    """Make later imports of torchvision work beside a torch without CUDA. This loads neither library."""
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)
