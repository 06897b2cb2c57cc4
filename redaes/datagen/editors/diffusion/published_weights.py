"""Published weights of the editors: their licences, and settings in which a checkpoint differs from its pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Checkpoint:
    """What is known about published weights."""

    licence: str
    """The licence as an SPDX expression."""
    commercial: bool
    """Whether the licence permits commercial use."""
    steps: int | None = None
    """Number of steps; None means that of the pipeline's adapter."""
    guidance: float | None = None


_APACHE = Checkpoint("Apache-2.0", True)
_FLUX_1 = Checkpoint("LicenseRef-FLUX.1-dev-Non-Commercial", False)
_FLUX_2 = Checkpoint("LicenseRef-FLUX-Non-Commercial", False)
UNKNOWN = Checkpoint("LicenseRef-unknown", False)

CHECKPOINTS: dict[str, Checkpoint] = {
    "black-forest-labs/FLUX.2-klein-4B": _APACHE,
    "black-forest-labs/FLUX.2-klein-base-4B": _APACHE,
    "black-forest-labs/FLUX.2-klein-9B": _FLUX_2,
    "black-forest-labs/FLUX.2-klein-base-9B": _FLUX_2,
    "black-forest-labs/FLUX.2-dev": _FLUX_2,
    "black-forest-labs/FLUX.1-Kontext-dev": _FLUX_1,
    "Qwen/Qwen-Image-Edit": _APACHE,
    "Qwen/Qwen-Image-Edit-2509": _APACHE,
    "Qwen/Qwen-Image-Edit-2511": _APACHE,
    "Qwen/Qwen-Image-2.1": Checkpoint("LicenseRef-Qwen-Research", False),
    "lightx2v/Qwen-Image-Lightning": _APACHE,
    "lightx2v/Qwen-Image-Edit-2511-Lightning": _APACHE,
    "meituan-longcat/LongCat-Image-Edit": _APACHE,
    "meituan-longcat/LongCat-Image-Edit-Turbo": Checkpoint("Apache-2.0", True, steps=8, guidance=1.0),
    # The repository says MIT; the Stable Diffusion 1.5 that it was trained from is under CreativeML OpenRAIL-M,
    # which permits commercial use and forbids certain purposes.
    "timbrooks/instruct-pix2pix": Checkpoint("MIT AND LicenseRef-CreativeML-OpenRAIL-M", True),
}
"""Models and LoRAs by their names on the hub, including some without an adapter. docs/editors.md says where each
licence was read, and which were not checked."""


def checkpoint_of(model: str | Path) -> Checkpoint:
    """Return what is known about a model, found by its hub name, or for a folder by the last part of that name.

    A model that is not in the table is not known to permit commercial use.

    >>> checkpoint_of("black-forest-labs/FLUX.2-klein-9B").commercial
    False
    >>> checkpoint_of("someone/fine-tune").licence
    'LicenseRef-unknown'
    """
    name = str(model).lower()
    for known, checkpoint in CHECKPOINTS.items():
        if name == known.lower():
            return checkpoint
    # A local folder may be a copy. A hub name of another owner is not looked up, since it may be a different model.
    if Path(model).is_dir():
        for known, checkpoint in CHECKPOINTS.items():
            if Path(model).resolve().name.lower() == known.rpartition("/")[2].lower():
                return checkpoint
    return UNKNOWN
