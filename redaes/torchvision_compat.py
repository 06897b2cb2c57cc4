"""Let torchvision be imported beside a CPU-only build of torch.

Qwen-VL processors need torchvision. The published torchvision wheels are linked against CUDA; beside a
CPU-only torch their compiled part cannot load, and the import dies because the schemas of ``nms`` and
``qnms`` were never defined. Defining the two schemas is enough: image transforms are pure torch. Whoever
has a matching pair of torch and torchvision never gets here with missing schemas, and nothing is changed.
"""

from __future__ import annotations

import importlib.util
from typing import Any

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_libraries: list[Any] = []
"""Keeps the definitions alive: they vanish with the object."""


def make_torchvision_importable() -> None:
    """Define the missing schemas when torch has no CUDA and torchvision's compiled part cannot load.

    Call it before the first import of torchvision or of a transformers processor.
    """
    import sys

    import torch

    if _libraries or torch.version.cuda is not None or torch.version.hip is not None:
        return
    if importlib.util.find_spec("torchvision") is None:
        return  # the import itself says best what is missing
    try:
        import torchvision  # noqa: F401
    except RuntimeError as error:
        if "torchvision::nms does not exist" not in str(error):
            raise
    else:
        return
    library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in _SCHEMAS:
        library.define(schema)
    _libraries.append(library)
    # Drop what the failed import left behind, so that the next one starts afresh.
    for name in [name for name in sys.modules if name == "torchvision" or name.startswith("torchvision.")]:
        del sys.modules[name]
