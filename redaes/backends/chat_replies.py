"""A server's replies to chat requests: parsed leniently, stored exactly."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from redaes.backends.contents import Content, said
from redaes.backends.failures import Failure
from redaes.backends.next_token import NextToken
from redaes.errors import ParseError
from redaes.types import Record

_EMPHASIS = str.maketrans("", "", "*_`#")


class Usage(Record):
    """Tokens that one answer cost."""

    prompt_tokens: int = Field(ge=0)
    completion_tokens: int = Field(ge=0)

    @property
    def total_tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens


class TokenLogprob(Record):
    """One token of an answer, with the alternatives at its position."""

    token: str
    logprob: FiniteFloat
    top: tuple[tuple[str, FiniteFloat], ...]
    """Likeliest tokens with their log-probabilities, best first."""

    @property
    def place(self) -> NextToken:
        """The tokens that were possible at this position: the likeliest ones and the one that was written."""
        least = min([logprob for _, logprob in self.top], default=self.logprob)
        return NextToken({self.token: self.logprob, **dict(self.top)}, least, "listed")


class Reply(Record):
    """One answer."""

    text: str
    finish_reason: str | None
    """``stop``: complete; ``length``: cut off by ``max_new_tokens``."""
    logprobs: tuple[TokenLogprob, ...] | None
    """Log-probabilities of the tokens; None: not requested, or not offered by the server."""
    usage: Usage | None
    """Token usage; None: not reported."""
    thinking: str = ""
    """What the model wrote before its answer, if that can be separated; otherwise empty."""
    from_thinking: bool = False
    """Whether the server put the answer into the field for thoughts and left the answer's own field empty."""
    lists: bool | None = None
    """Whether the server reports log-probabilities, even if only those of thoughts; None: an old stored reply, which
    does not say."""
    changes: tuple[str, ...] = ()
    """What was changed in the request because the server could not use it, in the words of
    :func:`redaes.backends.dialect.changes`: ``without seed``, ``temperature=1``."""
    cached: bool = False
    """Whether it was read from the cache and not requested from the server."""

    def read_after(self, prefix: str, *, emphasis: bool = False) -> NextToken | Failure:
        """Return the probabilities at the first visible token after ``prefix``, with which the answer must begin.

        White space around the prefix is ignored, so it does not matter whether the tokenizer joins a space to what
        follows it.

        Args:
            prefix: the beginning of the answer.
            emphasis: whether markup for emphasis is ignored as well: ``**Winner:** A``.

        Returns:
            A failure where nothing can be read: ``no_logprobs``, ``not_the_form``.
        """
        if self.logprobs is None:
            return Failure(
                "no_logprobs", "the server reports no token probabilities; use another server, or compare in pairs"
            )
        before = ""
        markup = _EMPHASIS if emphasis else {}
        for token in self.logprobs:
            if before.translate(markup).strip() == prefix.strip() and token.token.translate(markup).strip():
                return token.place
            before += token.token
        return Failure("not_the_form", f"{self.text[:80]!r} does not begin with {prefix!r}")

    @property
    def tokens(self) -> int:
        """Number of tokens read and written, as far as the server reports them."""
        return 0 if self.usage is None else self.usage.total_tokens

    @property
    def cut_off(self) -> bool:
        """Whether it ends at ``max_new_tokens``."""
        return self.finish_reason == "length"

    def decoded(self) -> Any:
        """Return the text read as JSON, for requests with a schema.

        Raises:
            ParseError: ``cut_off`` or ``not_json``.
        """
        if self.cut_off:
            raise ParseError("cut_off", f"the answer ends at max_new_tokens: …{self.text[-40:]!r}")
        try:
            return json.loads(self.text)
        except (ValueError, RecursionError) as error:
            raise ParseError("not_json", f"{self.text[:80]!r}… is not JSON ({error})") from error


def without_half_characters(value: Any) -> Any:
    """Return decoded JSON with U+FFFD in place of each half of a character. A half remains if a token ends within a
    character; a lone surrogate is not valid text and cannot be stored.

    >>> without_half_characters({"text": ["\\ud83d!", "\\ud83d\\ude00", 1]}) == {"text": ["\\ufffd!", "\\U0001f600", 1]}
    True
    """
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [without_half_characters(one) for one in value]
    if isinstance(value, dict):
        return {name: without_half_characters(one) for name, one in value.items()}
    return value


class _Lenient(BaseModel):
    """The part of a server's answer that is read; servers add fields of their own."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=False)


class _TopToken(_Lenient):
    token: str
    logprob: FiniteFloat


class _Token(_TopToken):
    top_logprobs: tuple[_TopToken, ...] = ()


class _Logprobs(_Lenient):
    content: tuple[_Token, ...] | None = None


class _Message(_Lenient):
    content: Content = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None


class _Choice(_Lenient):
    message: _Message
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Usage(_Lenient):
    prompt_tokens: int = Field(ge=0)
    completion_tokens: int = Field(default=0, ge=0)


class Completion(_Lenient):
    """A whole answer as it arrives."""

    choices: tuple[_Choice, ...]
    usage: _Usage | None = None

    def reply(self, changes: tuple[str, ...]) -> Reply | Failure:
        """Return the answer in it.

        Args:
            changes: changes of the request, as :attr:`Reply.changes`.

        Returns:
            A failure where there is none: ``no_choices``, ``refused``, or what :func:`said` gives.
        """
        if not self.choices:
            return Failure("no_choices", "there is no choice in it")
        choice = self.choices[0]
        message = choice.message
        if message.content is None and message.refusal is not None:
            return Failure("refused", message.refusal)
        listed = () if choice.logprobs is None else choice.logprobs.content or ()
        heard = said(
            message.content,
            message.reasoning_content or message.reasoning or "",
            cut_off=choice.finish_reason == "length",
            tokens=[token.token for token in listed],
        )
        if isinstance(heard, Failure):
            return Failure(heard.reason, f"{heard.detail} (finish_reason {choice.finish_reason})")
        offered = choice.logprobs is not None and choice.logprobs.content is not None and heard.first_token is not None
        return Reply(
            text=heard.text,
            finish_reason=choice.finish_reason,
            logprobs=None
            if not offered
            else tuple(
                TokenLogprob(
                    token=token.token,
                    logprob=token.logprob,
                    top=tuple((other.token, other.logprob) for other in token.top_logprobs),
                )
                for token in listed[heard.first_token :]
            ),
            usage=None if self.usage is None else Usage(**dict(self.usage)),
            thinking=heard.thinking,
            from_thinking=heard.from_thinking,
            lists=bool(listed),
            changes=changes,
        )
