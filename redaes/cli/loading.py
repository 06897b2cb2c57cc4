"""The model that a command asks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redaes.backends.base import Backend


def load_model(model: str, adapter: Path | None, device: str | None, max_pixels: int | None = None) -> Backend:
    """The model to ask. Tests put a scripted one here."""
    from huggingface_hub.utils.tqdm import disable_progress_bars
    from transformers.utils import logging

    # Progress bars and advice of the libraries stay away from the answer; their errors are raised as ever.
    disable_progress_bars()
    logging.disable_progress_bar()
    logging.set_verbosity_error()

    from redaes.backends.local import LocalBackend

    return LocalBackend(model, adapter=adapter, device=device, max_pixels=max_pixels)
