"""The models that a server of the OpenAI protocol offers, by its ``/models``, and where it says its version."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

VERSION_PLACES = {
    "vllm": ("version", "version"),
    "sglang": ("server_info", "version"),
    "llamacpp": ("props", "build_info"),
    "library": ("api/version", "version"),
}
"""Where servers report their version, beside ``/v1``, and in which field; by ``owned_by`` of their models: ``library``
is Ollama's."""


class OfferedModel(BaseModel):
    """A model that a server offers."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=False)

    id: str
    """The name under which it is asked for."""
    revision: str | None = None
    """What pins its weights; few servers say."""
    root: str | None = None
    """What the name stands for: a folder, or a name on the hub; few servers say."""
    owned_by: str | None = None
    """Whose it is; servers of one's own name themselves: ``vllm``, ``sglang``, ``llamacpp``."""
    aliases: tuple[str, ...] = ()
    """Other names under which it is asked for; few servers say."""


class OfferedModels(BaseModel):
    """What ``/models`` answers."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=False)

    data: tuple[OfferedModel, ...]
