"""Choose the device on which a model computes."""

from __future__ import annotations

import torch

from redaes.errors import BackendError


def find_device(name: str | None) -> torch.device:
    """Return the device of this name; for None, the best available one.

    Raises:
        BackendError: unknown, or this torch has none.
    """
    present = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }  # best first
    if name is None:
        name = next(kind for kind, there in present.items() if there)
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise BackendError(f"unknown device {name!r}; give cpu, cuda, cuda:1 or mps") from error
    if not present.get(device.type, False):
        raise BackendError(f"this torch has no device {name!r}; use --device cpu, or install torch for it")
    return device
