"""The models that a server of the OpenAI protocol lists at ``/models``, and where servers report their version."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

VERSION_PLACES = {
    "vllm": ("version", "version"),
    "sglang": ("server_info", "version"),
    "llamacpp": ("props", "build_info"),
    "library": ("api/version", "version"),
}
"""By ``owned_by`` of a server's models: the path, beside ``/v1``, and the field with its version. ``library`` is
Ollama."""


class OfferedModel(BaseModel):
    """A model that a server offers."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=False)

    id: str
    """The name by which requests name it."""
    revision: str | None = None
    """Revision of its weights; few servers report it."""
    root: str | None = None
    """The folder or hub name that the name stands for; few servers report it."""
    owned_by: str | None = None
    """Reported owner; self-hosted servers report their own name: ``vllm``, ``sglang``, ``llamacpp``."""
    aliases: tuple[str, ...] = ()
    """Other names that requests may use; few servers report them."""


class OfferedModels(BaseModel):
    """The answer of ``/models``."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=False)

    data: tuple[OfferedModel, ...]
