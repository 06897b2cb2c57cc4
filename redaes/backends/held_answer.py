"""Constrain one answer to a form while a model writes it, by computing the tokens that may come next.

If only one continuation is possible, its tokens are those that the tokenizer would produce. Prose ends where the model
ends it, or when the remaining tokens are needed for the rest of the form; then, if possible, at the end of a sentence.
A model that thinks first may use half of the tokens for that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from redaes.answer_grammars import AnswerGrammar
from redaes.errors import BackendError

SPARE = 24
"""Tokens that the rest of a form may take beyond those that the tokenizer would produce: models may spell words."""

SENTENCE = 24
"""Within this many tokens of the latest end of prose, the end of a sentence ends it."""

SHORTENED = "reasoning ended where max_new_tokens left room for the rest of the form only"
"""The note in an answer whose prose was ended early."""

MARGIN = r"[ \n]{0,2}"
"""White space allowed before an answer: some templates leave it to the model, and thoughts end with empty lines."""

_SENTENCE_ENDS = (".", "!", "?")
_BROKEN = "\ufffd"


class Thinking(NamedTuple):
    """The tokens around thoughts."""

    opening: int
    closing: int


@dataclass(frozen=True)
class Machinery:
    """What answers of one model in one form have in common."""

    vocabulary: Any
    """The model's tokens, as `llguidance.LLTokenizer`."""
    grammar: AnswerGrammar
    matchers: Mapping[str, Any]
    """Matchers at the start of each of the form's expressions, by expression, from which copies are made."""
    needs: tuple[int, ...]
    """Tokens that are kept for each closing and what follows it."""
    thinking: Thinking | None
    """Tokens for thoughts; None: the model has none, or prompts end with closed thoughts."""
    free: NDArray[np.bool_]
    """The tokens that thoughts are made of, by id."""


class HeldAnswer:
    """An answer so far."""

    held_by = "llguidance"
    """The note in an answer that says what constrained it, as the model did not follow the form by itself."""

    def __init__(self, machinery: Machinery, prefix: str, room: int) -> None:
        """
        Args:
            machinery: machinery of the model and the form.
            prefix: how the answer begins; not part of what is written.
            room: tokens that may be written, the end of the turn among them.
        """
        self._made = machinery
        self._left = self._room = room
        self._matcher = machinery.matchers[MARGIN + machinery.grammar.endless].deep_copy()
        self._before = prefix.encode()
        self._tokens: list[int] = []
        self._forced: list[int] = []
        self._thinks = False
        self._n_closed = 0
        self._prose_from: int | None = None
        self.ended = False
        """Whether the form is complete and the turn over."""
        self.changes: tuple[str, ...] = ()
        """Notes on what was done to the answer."""
        self.fits = not prefix or bool(self._matcher.consume_tokens(machinery.vocabulary.tokenize_bytes(self._before)))
        """Whether the prefix begins an answer in this form; if not, it cannot be held to it."""

    def wrote(self, token: int) -> None:
        """Add the token that was drawn.

        Raises:
            BackendError: it is none of those that were allowed.
        """
        thinking, may_think = self._made.thinking, self._may_think()
        self._left -= 1
        if thinking is not None and self._thinks:
            self._thinks = token != thinking.closing
            return
        if thinking is not None and may_think and token == thinking.opening:
            self._thinks = True
            self._forced = []
            return
        if not self._matcher.consume_token(token):
            raise BackendError(f"an answer left its form ({self._matcher.get_error().splitlines()[0]})")
        self._forced = self._forced[1:] if self._forced[:1] == [token] else []
        self._tokens.append(token)
        self.ended = token in self._made.vocabulary.eos_tokens

    def following(self, n_scored: int) -> int | NDArray[np.bool_]:
        """Return the only token that may come next, or for each id whether it may; the answer has not ended.

        Args:
            n_scored: the model has scores for ids below that; its tokenizer may have more tokens.

        Raises:
            BackendError: none may.
        """
        thinking = self._made.thinking
        if thinking is not None and self._thinks:
            return thinking.closing if self._left <= self._room // 2 else self._made.free
        self._end_prose()
        if not self._forced:
            self._forced = self._matcher.compute_ff_tokens()
        may_think = self._may_think()
        if self._forced and self._forced[0] < n_scored and not may_think:
            return self._forced[0]
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        allowed: NDArray[np.bool_] = np.unpackbits(bits, bitorder="little").view(np.bool_)
        if thinking is not None and may_think:
            allowed[thinking.opening] = True
        if not allowed[:n_scored].any():
            raise BackendError(
                f"no token of the vocabulary goes on with an answer in its form after {self._text()[-40:]!r}; "
                "ask without holding it to the form"
            )
        return allowed

    def _may_think(self) -> bool:
        return self._made.thinking is not None and self._left == self._room and not self._before

    def _text(self) -> str:
        written: bytes = self._before + self._made.vocabulary.decode_bytes(self._tokens)
        return written.decode("utf-8", "replace")

    def _end_prose(self) -> None:
        """End prose that would take the tokens that the rest of the form needs."""
        closings = self._made.grammar.closings
        while self._n_closed < len(closings) and self._left <= self._deadline() + SENTENCE:
            closing = closings[self._n_closed]
            text = self._text()
            if self._prose_from is None:
                opening = self._made.grammar.opening
                self._prose_from = text.find(opening) + len(opening) if opening in text else None
            if self._prose_from is None:
                return
            ended = text.find(closing.begins, self._prose_from)
            if ended >= 0:
                self._n_closed += 1
                self._prose_from = ended + len(closing.begins)
                continue
            prose = text[self._prose_from :].rstrip()
            # A character may need several tokens, and the model may be in the middle of one.
            if not prose or prose.endswith(_BROKEN) or self._matcher.compute_ff_bytes():
                return
            if self._left > self._deadline() and not prose.endswith(_SENTENCE_ENDS):
                return
            self._matcher = self._made.matchers[closing.endless].deep_copy()
            self._forced = []
            self.changes = (SHORTENED,)
            self._before += self._made.vocabulary.decode_bytes(self._tokens)
            self._tokens = []
            return

    def _deadline(self) -> int:
        """Return how many tokens must be left when the current prose ends: for the rest of the form, and a fair share
        for later prose.
        """
        needs = self._made.needs
        to_come = len(needs) - 1 - self._n_closed
        return needs[self._n_closed] + to_come * max(0, self._room - needs[0]) // len(needs)
