"""The embedded models: a real, tiny Qwen3-VL whose weights ship inside the package, trained, and before training."""

from __future__ import annotations

import json
from pathlib import Path

from redaes.errors import BackendError

NAME = "redaes/nano"
"""The embedded model, after the three stages: what judges by default."""

BASE = "redaes/nano-base"
"""The embedded model before the stages, from which training starts: it sees and writes, but has not learned the fast
verdict.
"""

_FOLDERS = {NAME: "weights", BASE: "base"}
NAMES = tuple(_FOLDERS)

FILES = (
    "config.json",
    "model.safetensors",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
)
"""Files without which an embedded model is incomplete."""

LIMITS = "limits.json"
"""Beside the weights: what is to be said of them where they answer, with the revision that it was measured on."""


def weights(name: str = NAME) -> Path:
    """Return the folder of an embedded model, as ``from_pretrained`` takes it.

    Args:
        name: one of `NAMES`.

    Raises:
        BackendError: the package was installed without its weights, or with a part of them.
    """
    folder = Path(__file__).with_name(_FOLDERS[name])
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise BackendError(
            f"the embedded model in {folder} lacks {', '.join(missing)}; reinstall redaes, or give another model folder"
        )
    return folder


def limits(name: str, revision: str) -> str | None:
    """Return what a reader of an embedded model's answers should know about the model, as a sentence.

    Args:
        name: name of the model that answers; any.
        revision: revision of its weights.

    Returns:
        None: another model, or weights of which nothing was measured.
    """
    if name not in NAMES:
        return None
    file = weights(name) / LIMITS
    if not file.is_file():
        return None
    found = json.loads(file.read_text(encoding="utf-8"))
    return str(found["says"]) if found["revision"] == revision else None
