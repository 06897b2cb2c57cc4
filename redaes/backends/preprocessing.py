"""Read from a model folder's JSON files how pictures and chats are prepared, without loading a processor.

An adapter's folder contains the preprocessing that it was trained with, which is used wherever the adapter is used: at
another size the same picture gives other patches, and possibly another verdict.

Two layouts are in use. Qwen's own repositories and transformers 4 have ``preprocessor_config.json``; transformers 5
writes the same settings nested in ``processor_config.json``, and prefers those where there are both.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from redaes.backends.weights import ADAPTER_CONFIG
from redaes.errors import BackendError, InputError
from redaes.images import MAX_PIXELS

IMAGE_CONFIG = "preprocessor_config.json"
VIDEO_CONFIG = "video_preprocessor_config.json"
NESTED_CONFIG = "processor_config.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
TEMPLATE = "chat_template.jinja"
OLD_TEMPLATE = "chat_template.json"
RUN_RECORD = "run_record.json"
"""File by which a folder written by training is recognised."""


@dataclass(frozen=True)
class PictureSize:
    """Bounds of a picture's area, in pixels, as Qwen's processors use them: their names say edge but mean area."""

    shortest_edge: int
    longest_edge: int

    def capped(self, max_pixels: int) -> PictureSize:
        """Return the size with another upper bound, which the lower bound may not exceed.

        >>> PictureSize(65_536, 16_777_216).capped(12_544)
        PictureSize(shortest_edge=12544, longest_edge=12544)
        """
        return PictureSize(min(self.shortest_edge, max_pixels), max_pixels)

    def as_dict(self) -> dict[str, int]:
        """Return what a processor takes as ``size``."""
        return asdict(self)


def read_settings(file: Path) -> dict[str, Any]:
    """Return the mapping in a JSON file that belongs to a model; empty when there is no such file.

    Raises:
        BackendError: it cannot be read.
    """
    try:
        found = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except (OSError, ValueError) as error:
        raise BackendError(f"{file} cannot be read ({error}); copy the model again") from error
    if not isinstance(found, dict):
        raise BackendError(f"{file} holds no settings by name; copy the model again")
    return found


def image_settings(folder: Path) -> dict[str, Any] | None:
    """Return the settings of a folder's image processor; None: it has none of its own.

    Raises:
        BackendError: a file cannot be read, or the two layouts are both there and contradict each other.
    """
    flat = read_settings(folder / IMAGE_CONFIG)
    nested = read_settings(folder / NESTED_CONFIG).get("image_processor")
    if not isinstance(nested, dict):
        return flat or None
    if flat and size_in(flat) != size_in(nested):
        raise BackendError(
            f"{folder}: {NESTED_CONFIG} shows pictures at {_bounds(size_in(nested))}, {IMAGE_CONFIG} at "
            f"{_bounds(size_in(flat))}, and which one holds depends on the version of transformers; make them equal"
        )
    return nested


def size_in(settings: dict[str, Any]) -> PictureSize | None:
    """Return the bounds in an image processor's settings, in the old or new form; None: they are absent, or mean
    lengths of edges (Idefics, SmolVLM)."""
    if "do_image_splitting" in settings:
        return None
    size = settings.get("size")
    size = size if isinstance(size, dict) else {}
    shortest = settings.get("min_pixels") or size.get("shortest_edge") or size.get("min_pixels")
    longest = settings.get("max_pixels") or size.get("longest_edge") or size.get("max_pixels")
    if not isinstance(shortest, int) or not isinstance(longest, int):
        return None
    return PictureSize(shortest, longest)


def picture_size(folder: Path) -> PictureSize | None:
    """Return the size at which a folder's own processor shows pictures; None: it states none.

    Raises:
        BackendError: as for :func:`image_settings`.
    """
    settings = image_settings(folder)
    return None if settings is None else size_in(settings)


def size_shown(model: Path | None, adapter: Path | None, max_pixels: int | None) -> PictureSize | None:
    """Return the size at which pictures are shown: that of the adapter's training, else that of the model's folder,
    else the requested one.

    Args:
        model: its folder; None: not on this machine.
        adapter: on it.
        max_pixels: what the caller asks for.

    Returns:
        None: no size is stated anywhere.

    Raises:
        InputError: another size is asked for than the adapter, or the model itself, was trained on.
        BackendError: a file cannot be read.
    """
    folders = [folder for folder in (adapter, model) if folder is not None]
    source = next((folder for folder in folders if picture_size(folder) is not None), None)
    found = None if source is None else picture_size(source)
    if max_pixels is None or found is None or source is None:
        return found
    if max_pixels != found.longest_edge and was_trained(source):
        raise InputError(
            f"max_pixels is {max_pixels:,}, but {source} was trained on pictures of at most {found.longest_edge:,} "
            f"pixels ({_says_size(source)}), and answers otherwise at another size; leave max_pixels out, train at the "
            "size that is wanted, or, to try it all the same, change size in that file"
        )
    return found.capped(max_pixels)


def refuse_smaller(folder: Path, max_pixels: int) -> None:
    """Refuse to shrink pictures, before a model gets them, below the size that it was trained on.

    Args:
        folder: folder of a model or an adapter.
        max_pixels: largest area that it would be shown.

    Raises:
        InputError: names both sizes.
        BackendError: a file cannot be read.
    """
    size = picture_size(folder) if was_trained(folder) else None
    if size is not None and max_pixels < min(size.longest_edge, MAX_PIXELS):
        raise InputError(
            f"max_pixels is {max_pixels:,}, but {folder} was trained on pictures of up to {size.longest_edge:,} pixels "
            f"({_says_size(folder)}), and answers otherwise at another size; leave max_pixels out"
        )


def at_size(revision: str, shown: PictureSize | None, own: PictureSize | None) -> str:
    """Return the revision of a model's answers: its weights, and the size of pictures if it is not the model's own.

    >>> at_size("0123456789ab", PictureSize(1024, 12_544), PictureSize(1024, 50_176))
    '0123456789ab-12544px'
    """
    return revision if shown is None or shown == own else f"{revision}-{shown.longest_edge}px"


def chat_template_of(folder: Path) -> str | None:
    """Return the chat template that a processor loaded from this folder would use; None: there is none, or there are
    several.

    Raises:
        BackendError: a file cannot be read.
    """
    old = read_settings(folder / OLD_TEMPLATE).get("chat_template")
    if isinstance(old, str):
        return old
    file = folder / TEMPLATE
    try:
        if file.is_file():
            return file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise BackendError(f"{file} cannot be read ({error}); copy the model again") from error
    found = read_settings(folder / TOKENIZER_CONFIG).get("chat_template")
    return found if isinstance(found, str) else None


def was_trained(folder: Path) -> bool:
    """Return whether this is an adapter, or a model that a stage or a merge has left."""
    return any((folder / name).is_file() for name in (ADAPTER_CONFIG, RUN_RECORD))


def _says_size(folder: Path) -> Path:
    nested = read_settings(folder / NESTED_CONFIG).get("image_processor")
    return folder / (NESTED_CONFIG if isinstance(nested, dict) else IMAGE_CONFIG)


def _bounds(size: PictureSize | None) -> str:
    return "no stated size" if size is None else f"{size.shortest_edge:,} to {size.longest_edge:,} pixels"
