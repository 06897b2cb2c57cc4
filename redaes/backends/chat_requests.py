"""A question to a chat model over HTTP: its request body, and the key under which its answer is cached."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redaes.backends.pictures import EncodedPicture
from redaes.errors import InputError
from redaes.prompts import Prompt
from redaes.types import Sampling

N_LOGPROBS = 20
"""Number of likeliest tokens requested where probabilities are read: the most that servers offer."""

_CACHE_FORMAT = "redaes-endpoint-1"
"""First part of every key, so that answers stored in another format are not found."""


@dataclass(frozen=True)
class ChatRequest:
    """One question to a chat model."""

    messages: Sequence[Mapping[str, Any]]
    """The messages, as :meth:`redaes.prompts.Prompt.messages` renders them: ``{"type": "image"}`` marks where a picture
    goes.
    """
    images: tuple[EncodedPicture, ...]
    """The pictures, in the order of the marks."""
    prompt_id: str
    """``name/version@hash``."""
    sampling: Sampling
    schema: Mapping[str, Any] | None = None
    """JSON schema that the answer should follow. A server may ignore it, so the answer must still be checked."""
    n_logprobs: int = 0
    """Number of likeliest tokens to be reported at each position; 0: none. vLLM and OpenAI offer up to 20."""
    extra: Mapping[str, Any] | None = None
    """Fields of the body beyond the OpenAI protocol. A server that does not know them ignores them silently."""

    def __post_init__(self) -> None:
        marks = sum(
            part["type"] == "image"
            for message in self.messages
            if not isinstance(message["content"], str)
            for part in message["content"]
        )
        if marks != len(self.images):
            raise InputError(f"{self.prompt_id} has {marks} places for pictures, and {len(self.images)} were given")

    @classmethod
    def of(
        cls,
        prompt: Prompt,
        images: Sequence[EncodedPicture],
        sampling: Sampling,
        *,
        schema: Mapping[str, Any] | None = None,
        n_logprobs: int = 0,
    ) -> ChatRequest:
        """Return the request that a prompt makes, with pictures for its slots.

        Raises:
            InputError: the number of pictures is not that of the slots.
        """
        return cls(prompt.messages(), tuple(images), prompt.id, sampling, schema, n_logprobs)

    def key(self, model: str, revision: str) -> str:
        """Return the name of an answer: SHA-256 of everything that decides it, in hex. The server's address does not,
        and the API key is no part of it."""
        parts = (
            _CACHE_FORMAT,
            model,
            revision,
            self.prompt_id,
            _canonical(self.messages),
            *(picture.id for picture in self.images),
            self.sampling.model_dump_json(),
            _canonical(self.schema),
            str(self.n_logprobs),
            *(() if self.extra is None else (_canonical(self.extra),)),
        )
        digest = hashlib.sha256()
        for part in parts:
            data = part.encode()
            digest.update(len(data).to_bytes(8, "big") + data)  # lengths distinguish ("ab", "c") from ("a", "bc")
        return digest.hexdigest()

    def body(self, model: str, urls: Sequence[str] | None = None) -> dict[str, Any]:
        """Return the request as the protocol has it, before a server has refused anything of it.

        Args:
            model: its name on the server.
            urls: URLs of the pictures; None: as they are.
        """
        pictures = iter([picture.url for picture in self.images] if urls is None else urls)
        messages = copy.deepcopy([dict(message) for message in self.messages])
        for message in messages:
            if not isinstance(message["content"], str):
                message["content"] = [
                    {"type": "image_url", "image_url": {"url": next(pictures)}} if part["type"] == "image" else part
                    for part in message["content"]
                ]
        body: dict[str, Any] = {
            "model": model,
            "messages": messages,
            "temperature": self.sampling.temperature,
            # The older name, max_tokens, is refused by OpenAI's newer models; vLLM and SGLang take both.
            "max_completion_tokens": self.sampling.max_new_tokens,
            "seed": self.sampling.seed,
        }
        if self.n_logprobs:
            body |= {"logprobs": True, "top_logprobs": self.n_logprobs}
        if self.schema is not None:
            schema = {"name": "answer", "schema": self.schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body | dict(self.extra or {})


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
