"""Constrain a model in this process to the form of its answer while it writes (constrained decoding, by llguidance).

At each position, tokens that cannot continue an answer in the form are excluded, and the model chooses among the
others. Probabilities that are read for the fast mode are never changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from transformers import LogitsProcessor

from redaes import prompts
from redaes.answer_grammars import AnswerGrammar, grammar_of
from redaes.backends.chat_templates import opens_thinking
from redaes.backends.held_answer import MARGIN, SPARE, HeldAnswer, Machinery, Thinking
from redaes.errors import BackendError, MissingDependency
from redaes.prompts import Prompt
from redaes.thinking import CLOSING, OPENING
from redaes.types import Form


class FormHolder:
    """Constrain the answers of one model to their form."""

    def __init__(self, tokenizer: Any, ends: Sequence[int], name: str) -> None:
        """
        Args:
            tokenizer: tokenizer of the model.
            ends: ids of the tokens that end its turn.
            name: name of the model, for messages.

        Raises:
            BackendError: the tokenizer is of a kind that llguidance cannot read.
            MissingDependency: llguidance is absent.
        """
        try:
            import llguidance
            import llguidance.hf
        except ImportError as error:
            raise MissingDependency("llguidance", None) from error
        self._library = llguidance
        self._tokenizer = tokenizer
        self._name = name
        try:
            # About 1.5 CPU-seconds for 150,000 tokens.
            self._vocabulary = llguidance.hf.from_tokenizer(
                tokenizer, eos_token=[end for end in ends if end < len(tokenizer)]
            )
        except (ValueError, RuntimeError, AttributeError) as error:
            raise BackendError(
                f"the tokenizer of {name} cannot be held to a form ({error}); ask without (--no-constrain)"
            ) from error
        self._made = lru_cache(maxsize=4)(self._make)

    def begin(self, prompt: Prompt, chat: str, prefix: str, max_new_tokens: int) -> HeldAnswer | None:
        """Return the state of an answer that is about to be written.

        Args:
            prompt: one of :func:`redaes.prompts.known` in the reasoned mode.
            chat: the text that the model continues, without the prefix.
            prefix: the beginning of the answer.
            max_new_tokens: largest number of tokens that may be written.

        Returns:
            None: the prefix does not begin an answer in the form.
        """
        thinks = not chat.rstrip().endswith(CLOSING) and not opens_thinking(chat)
        answer = HeldAnswer(self._made(prompts.form_of(prompt.name), thinks), prefix, max_new_tokens)
        return answer if answer.fits else None

    def _make(self, form: Form, thinks: bool) -> Machinery:
        grammar = grammar_of(form)
        expressions = [MARGIN + grammar.endless, *(closing.endless for closing in grammar.closings)]
        needs = tuple(self._n_tokens(closing.longest) + SPARE for closing in grammar.closings)
        free = np.ones(self._vocabulary.vocab_size, dtype=np.bool_)
        free[self._vocabulary.eos_tokens] = False
        return Machinery(
            self._vocabulary,
            grammar,
            {expression: self._matcher(expression, grammar) for expression in expressions},
            needs,
            self._thinking() if thinks else None,
            free,
        )

    def _matcher(self, expression: str, grammar: AnswerGrammar) -> Any:
        matcher = self._library.LLMatcher(
            self._vocabulary, self._library.LLMatcher.grammar_from_regex(expression), log_level=0
        )
        if matcher.is_error():
            raise BackendError(
                f"answers of {self._name} cannot be held to the {grammar.form} form: {matcher.get_error()}"
            )
        return matcher

    def _n_tokens(self, text: str) -> int:
        return len(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def _thinking(self) -> Thinking | None:
        """Return the model's tokens around thoughts; None: it has none, or may not write them."""
        known = self._tokenizer.get_vocab()
        if OPENING not in known or CLOSING not in known:
            return None
        thinking = Thinking(known[OPENING], known[CLOSING])
        # Special tokens are never drawn.
        return None if set(thinking) & set(self._tokenizer.all_special_ids) else thinking


class FormLogits(LogitsProcessor):
    """Exclude tokens that cannot continue the answers of a batch; for one call of ``generate``."""

    def __init__(self, answers: Sequence[HeldAnswer | None], n_prompt: int) -> None:
        """
        Args:
            answers: states of the batch's answers; None: not constrained.
            n_prompt: number of tokens of the prompts, which all end at the same position.
        """
        self._answers = answers
        self._n_prompt = n_prompt

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Return scores of shape (batch, vocabulary), changed in place."""
        running = [(place, answer) for place, answer in enumerate(self._answers) if answer and not answer.ended]
        if input_ids.shape[1] > self._n_prompt:
            drawn = input_ids[:, -1].tolist()
            for place, answer in running:
                answer.wrote(drawn[place])
        barred = np.zeros(scores.shape, dtype=np.bool_)
        for place, answer in running:
            if answer.ended:
                continue
            row = barred[place]
            following = answer.following(len(row))
            if isinstance(following, int):
                row[:] = True
                row[following] = False
            else:
                # A model may have scores for more tokens than its tokenizer has, or for fewer.
                n_both = min(len(following), len(row))
                np.logical_not(following[:n_both], out=row[:n_both])
                row[n_both:] = True
        scores.masked_fill_(torch.from_numpy(barred).to(scores.device), -torch.inf)
        return scores
