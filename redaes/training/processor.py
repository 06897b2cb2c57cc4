"""The processor that a stage trains with: that of the adapter from which it continues, or of the model."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from accelerate import PartialState
from transformers import ProcessorMixin

from redaes.backends.loading import load_processor
from redaes.backends.preprocessing import RUN_RECORD, picture_size
from redaes.backends.weights import ADAPTER_CONFIG
from redaes.errors import TrainingError
from redaes.images import MAX_PIXELS


def check_max_pixels(max_pixels: int | None) -> None:
    """Refuse a cap on a picture's area that would have no effect or is impossible.

    Raises:
        TrainingError: the cap is below 1, or above the area to which pictures are shrunk when they are read.
    """
    if max_pixels is not None and not 1 <= max_pixels <= MAX_PIXELS:
        raise TrainingError(
            f"max_pixels is {max_pixels:,}; give 1 to {MAX_PIXELS:,}, for larger pictures are shrunk to that when they "
            "are read (docs/images.md)"
        )


def training_processor(model: Path, adapter: Path | None, max_pixels: int | None) -> ProcessorMixin:
    """Return the adapter's processor if it has one, otherwise the model's, at the requested picture size.

    If an earlier training used another size, the main process reports it on stderr.

    Args:
        model: folder of the base model.
        adapter: the adapter from which training continues; None: none.
        max_pixels: cap on a picture's area, in pixels; None: that of the earlier training, or the model's own.

    Raises:
        BackendError: there is no processor, or it has no cap that could be changed.
    """
    processor: ProcessorMixin = load_processor(model, max_pixels, adapter)
    before = _trained_at(model, adapter)
    if before is not None and max_pixels is not None and before[1] != max_pixels and PartialState().is_main_process:
        sys.stderr.write(
            f"max_pixels is {max_pixels:,}: this stage trains, and its result is served, on pictures of at most that, "
            f"where {before[0]} was trained on pictures of at most {before[1]:,} pixels; leave max_pixels out to keep "
            "them\n"
        )
    return processor


def preparation_digest(processor: Any) -> str:
    """Return the SHA-256, in hex, of everything in a processor that determines rows: picture settings, chat template
    and vocabulary.
    """
    pictures = processor.image_processor
    names = ("image_mean", "image_std", "rescale_factor", "patch_size", "merge_size", "temporal_patch_size")
    settings = {name: getattr(pictures, name, None) for name in names}
    whole = [settings, dict(pictures.size), processor.chat_template, processor.tokenizer.get_vocab()]
    return hashlib.sha256(json.dumps(whole, sort_keys=True, default=list).encode()).hexdigest()


def size_record(processor: ProcessorMixin, model: Path, adapter: Path | None) -> dict[str, Any]:
    """Return the picture sizes for the run record, as areas in pixels: now, in the earlier training, and when pictures
    are read.
    """
    before = _trained_at(model, adapter)
    size = dict(processor.image_processor.size)
    return {
        "shortest_edge": size.get("shortest_edge"),
        "longest_edge": size.get("longest_edge"),
        "longest_edge_before": None if before is None else before[1],
        "read_at_most": MAX_PIXELS,
    }


def _trained_at(model: Path, adapter: Path | None) -> tuple[Path, int] | None:
    """Return the earlier training's folder and its cap; None: there was none, or it does not say."""
    for folder in (adapter, model):
        if folder is None or not any((folder / name).is_file() for name in (ADAPTER_CONFIG, RUN_RECORD)):
            continue
        size = picture_size(folder)
        if size is not None:
            return folder, size.longest_edge
    return None
