"""The embedded default model: a real, tiny Qwen3-VL whose weights ship inside the package."""

from __future__ import annotations

from pathlib import Path

from redaes.errors import BackendError

NAME = "redaes/nano"
"""What to give as a model's name to mean the embedded one."""

FILES = (
    "config.json",
    "model.safetensors",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
)
"""What the embedded model cannot do without."""


def weights() -> Path:
    """The folder of the embedded model, as ``from_pretrained`` takes it.

    Raises:
        BackendError: the package was installed without its weights, or with a part of them.
    """
    folder = Path(__file__).with_name("weights")
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise BackendError(
            f"the embedded model at {folder} lacks {', '.join(missing)}; reinstall redaes, or name another model folder"
        )
    return folder
