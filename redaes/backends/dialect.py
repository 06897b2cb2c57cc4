"""The part of the OpenAI protocol that a server accepts, learned from its refusals and then remembered.

A field that is refused is left out of this request and of all that follow; ``max_completion_tokens`` is then sent by
its older name, ``max_tokens``. Every answer records what was changed in its request, because that may decide the
answer: without ``temperature``, a model is sampled with its maker's default.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from redaes.backends.picture_limits import PictureLimits
from redaes.backends.refusals import OPTIONAL, Refusal

_TOGETHER = (
    # A server that refuses the first field cannot use the others either.
    ("logprobs", ("top_logprobs", "logprob_token_ids", "return_tokens_as_token_ids")),
    ("continue_final_message", ("add_generation_prompt",)),
    ("add_generation_prompt", ("continue_final_message",)),
)


class Dialect:
    """Write requests in the form that one server accepts. May be used from several threads."""

    def __init__(
        self,
        left_out: Iterable[str] = (),
        values: Mapping[str, float] | None = None,
        pictures: PictureLimits | None = None,
    ) -> None:
        """
        Args:
            left_out: fields that the server is known to refuse.
            values: for some fields, the only value that it is known to accept; for ``top_logprobs`` the largest one.
            pictures: its known limits on pictures; None: none are known.
        """
        self._lock = threading.Lock()
        self._left_out = frozenset(left_out)
        self._values = dict(values or {})
        self._pictures = PictureLimits() if pictures is None else pictures

    @property
    def left_out(self) -> tuple[str, ...]:
        """Fields that are refused, in the order of their names."""
        return tuple(sorted(self._left_out))

    @property
    def values(self) -> dict[str, float]:
        """By name of a field, the only value that is accepted."""
        with self._lock:
            return dict(sorted(self._values.items()))

    @property
    def pictures(self) -> PictureLimits:
        """The server's limits on pictures, as far as they are known."""
        return self._pictures

    def learn_limits(self, named: PictureLimits) -> PictureLimits:
        """Apply further limits on pictures from now on; return all limits together."""
        with self._lock:
            self._pictures = self._pictures.within(named)
            return self._pictures

    def learn(self, refusals: Sequence[Refusal]) -> None:
        """Leave out or change the refused fields in all further requests."""
        with self._lock:
            for refusal in refusals:
                if refusal.value is None:
                    self._left_out |= {refusal.field}
                else:
                    self._values[refusal.field] = refusal.value

    def written(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return a request in the form that this server accepts; unchanged as long as it has refused nothing."""
        with self._lock:
            left_out, values = self._left_out, dict(self._values)
        found = dict(body)
        for name, value in values.items():
            if name in found:
                number = int(value) if float(value).is_integer() else value
                found[name] = min(found[name], number) if name == "top_logprobs" else number
        gone = set(left_out)
        if found.get("top_logprobs") == 0:
            gone.add("logprobs")
        for name, with_it in _TOGETHER:
            if name in gone:
                gone.update(with_it)
        if "max_completion_tokens" in gone and "max_completion_tokens" in found:
            found.setdefault("max_tokens", found["max_completion_tokens"])
        return {name: value for name, value in found.items() if name not in gone}


def changes(body: Mapping[str, Any], written: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what was changed in a request, for the record; the other name of the token limit is not a change.

    >>> changes({"seed": 1, "temperature": 0.7}, {"temperature": 1})
    ('temperature=1', 'without seed')
    """
    found = []
    for name, value in body.items():
        if name == "max_completion_tokens" and written.get("max_tokens") == value:
            continue
        if name not in written:
            found.append(f"without {name}")
        elif written[name] != value:
            found.append(f"{name}={written[name]}")
    return tuple(sorted(found))


def kind_of(written: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Return the fields of a request that a server might refuse: requests with equal ones are accepted or refused
    alike."""
    named = (name for name in sorted(written) if name in OPTIONAL)
    return tuple((name, written[name] if name in ("temperature", "top_logprobs") else None) for name in named)
