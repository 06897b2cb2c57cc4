"""The weights in a folder: their revision, and the base that an adapter was trained on."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from redaes.errors import BackendError
from redaes.file_hashes import content_hash

ADAPTER_CONFIG = "adapter_config.json"
"""File by which a folder with an adapter is recognised."""

_REVISION_DIGITS = 12


def revision_of(*folders: Path) -> str:
    """Return the revision of a model's weights: first digits of the SHA-256 of the names and contents of their files.

    Args:
        folders: folders of the model, then of an adapter on it; only safetensors directly in them count.

    Raises:
        RecordError: a file cannot be read.
    """
    digest = hashlib.sha256()
    for folder in folders:
        for file in sorted(folder.glob("*.safetensors")):
            digest.update(f"{file.name}:{content_hash(file)}\n".encode())
    return digest.hexdigest()[:_REVISION_DIGITS]


def base_of(adapter: Path) -> str:
    """Return the name of the model that an adapter was trained on.

    Raises:
        BackendError: the folder holds no adapter, or one that names none.
    """
    try:
        settings = json.loads((adapter / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BackendError(f"{adapter / ADAPTER_CONFIG} cannot be read: {error}") from error
    base = settings.get("base_model_name_or_path") if isinstance(settings, dict) else None
    if not isinstance(base, str) or not base:
        raise BackendError(f"{adapter / ADAPTER_CONFIG} names no base model; give the base and the adapter apart")
    return base
