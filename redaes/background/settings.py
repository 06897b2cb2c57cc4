"""The settings that must be equal in two processes so that one may answer for the other."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator

_BEARING = (
    "ATEN_", "CUBLAS_", "CUDA_", "CUDNN_", "DNNL_", "HF_", "HUGGINGFACE_", "KMP_", "MKL_", "NVIDIA_", "OMP_", "ONEDNN_",
    "OPENBLAS_", "PYTORCH_", "REDAES_", "TORCH_", "TRANSFORMERS_",
)  # fmt: skip
"""Prefixes of environment variables on which an answer, or the place of a model, may depend."""

_BEARING_TOO = frozenset({"HOME", "LD_LIBRARY_PATH", "LD_PRELOAD", "PYTHONPATH", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"})
"""Full names of further such variables."""

_NOT_BEARING = "REDAES_SERVICE"


def settings() -> dict[str, object]:
    """Return the settings of this process: its Python, the code of redaes and of the libraries, its number of cores,
    its user's rights, its view of the file system, and the environment variables on which an answer may depend."""
    return {
        "python": [sys.executable, sys.version],
        "code": _digest(_places()),
        "libraries": _libraries(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "user": [os.geteuid(), os.getegid(), sorted(os.getgroups())],
        "mounts": _mounts(),
        "environment": _environment(),
    }


def _environment() -> str:
    """Return a digest of the variables on which an answer may depend. The values themselves are not sent, because they
    can contain keys of hubs and servers, and the service tells its settings to every client."""
    bearing = sorted(
        [name, value]
        for name, value in os.environ.items()
        if name in _BEARING_TOO or (name.startswith(_BEARING) and name != _NOT_BEARING)
    )
    return hashlib.sha256(json.dumps(bearing).encode()).hexdigest()


def differences(mine: dict[str, object], theirs: dict[str, object]) -> list[str]:
    """Return the names of the settings that are not equal.

    >>> differences({"code": "a", "cores": 2}, {"code": "b", "cores": 2})
    ['code']
    """
    return [name for name in sorted({*mine, *theirs}) if mine.get(name) != theirs.get(name)]


def identity(model: str, adapter: str | None, device: str | None) -> dict[str, object]:
    """Return what distinguishes a model from others, without loading it: its name and, if it is in a folder, the files
    of that folder; for an adapter also the files of its base.

    Args:
        model: a name, or a folder.
        adapter: a folder, or None.
        device: the device that was asked for; None means the best one available.
    """
    named = (model, adapter, _base(model))
    folders = [folder for folder in named if folder is not None and os.path.isdir(folder)]
    return {
        "model": model,
        "adapter": adapter,
        "device": device,
        "folders": [os.path.realpath(folder) for folder in folders],
        "files": _digest(folders),
    }


def _base(model: str) -> str | None:
    """Return the base that an adapter's folder names, as the local backend reads it; None if it is not an adapter."""
    try:
        with open(os.path.join(model, "adapter_config.json"), encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):  # the error is reported when the model is loaded
        return None
    base = found.get("base_model_name_or_path") if isinstance(found, dict) else None
    return base if isinstance(base, str) else None


def _places() -> list[str]:
    """Return the folders of the package and of its checkout's prompts, if there are any."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    prompts = os.path.join(os.path.dirname(package), "prompts")
    return [package, *([prompts] if os.path.isdir(prompts) else [])]


def _libraries() -> list[list[object]]:
    """Return where libraries are installed, and when something was last installed or removed there."""
    places = [path for path in sys.path if path.endswith(("site-packages", "dist-packages")) and os.path.isdir(path)]
    return [[path, os.stat(path).st_mtime_ns] for path in places]


def _digest(folders: list[str]) -> str:
    digest = hashlib.sha256()
    for folder in folders:
        for line in _lines(os.path.realpath(folder)):
            digest.update(line.encode(errors="surrogateescape"))
    return digest.hexdigest()


def _lines(folder: str) -> Iterator[str]:
    """Yield a line for each file in a folder: name, size and time of its last change."""
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        if entry.is_dir():
            if entry.name != "__pycache__":
                yield from _lines(entry.path)
        else:
            about = entry.stat(follow_symlinks=os.path.exists(entry.path))  # editors' lock files are dangling links
            yield f"{entry.path} {about.st_size} {about.st_mtime_ns}\n"


def _mounts() -> str | None:
    """Return the identity of the mount namespace, so of the files that this process sees (Linux); None if unknown."""
    try:
        return os.readlink("/proc/self/ns/mnt")
    except OSError:
        return None
