"""The protocol of a chat model: one server, or several that share the requests of one model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from redaes.backends.chat_replies import Reply
from redaes.backends.chat_requests import ChatRequest
from redaes.backends.failures import Failure


class ChatModel(Protocol):
    """A model that is open: :class:`redaes.backends.endpoint.Endpoint`, or several of them as one."""

    @property
    def model(self) -> str:
        """Name of the model."""
        ...

    async def ask_many(self, requests: Sequence[ChatRequest]) -> list[Reply | Failure]:
        """Return the answers in the order of the requests; a request that fails loses only itself."""
        ...
