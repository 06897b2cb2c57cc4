"""Grammars that hold an answer to its form while a model writes it: JSON schema, regular expression and GBNF.

The regular expression and the GBNF grammar allow the same answers. The form's strict reader reads all of them, and some
more. A JSON schema is weaker: it cannot say that a tie has no factors, or that no factor is named twice.

GBNF is llama.cpp's notation, which xgrammar reads too. White space is written as ``json.dumps`` writes it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from redaes import json_form
from redaes.types import FACTORS, Form

MAX_REASONING = 1000
"""Longest reasoning in the text form, in pieces of one to three characters."""

MAX_OBSERVATION = 400
"""Longest observation on a picture in the JSON form, in characters."""


@dataclass(frozen=True)
class Closing:
    """The text that closes a piece of prose and goes on with the answer."""

    begins: str
    """Its first characters, which never occur in prose of the form."""
    endless: str
    """Regular expression for the closing and the rest of the answer, with no bound on the prose that follows."""
    longest: str
    """The longest closing and rest of the answer, with the shortest allowed prose in it."""


@dataclass(frozen=True)
class AnswerGrammar:
    """One form of reasoned answers in the notations that inference engines take."""

    form: Form
    pattern: str
    """Regular expression for the whole answer. It uses only what all engines support: classes, groups and counts, no
    lookaround.
    """
    gbnf: str
    """The same grammar as GBNF; its first rule is ``root``."""
    opening: str
    """The text with which every answer begins, up to its first prose."""
    endless: str
    """:attr:`pattern` without a bound on the length of prose, for engines that count tokens and end the prose
    themselves.
    """
    closings: tuple[Closing, ...]
    """How each piece of prose is closed, in the order of the answer."""
    schema: Mapping[str, Any] | None = None
    """JSON schema of the form; None: the form is not JSON."""


_PIECE = "piece"
"""Name of the GBNF rule for a piece of prose."""


class _Part(NamedTuple):
    """A part of an answer in both notations."""

    pattern: str
    gbnf: str


def grammar_of(form: Form) -> AnswerGrammar:
    """Return the grammar of reasoned answers in a form.

    >>> grammar_of("text").schema is None
    True
    """
    return {"text": TEXT, "json": JSON}[form]


def _words(text: str) -> _Part:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return _Part(re.sub(r"[\\.+*?()\[\]{}|^$]", r"\\\g<0>", text).replace("\n", "\\n"), f'"{escaped}"')


def _one_of(characters: str) -> _Part:
    """Return a class of characters, which both notations write alike."""
    return _Part(f"[{characters}]", f"[{characters}]")


def _sequence(*parts: _Part | str) -> _Part:
    both = [_words(part) if isinstance(part, str) else part for part in parts]
    return _Part("".join(part.pattern for part in both), " ".join(part.gbnf for part in both))


def _either(*parts: _Part) -> _Part:
    return _Part(f"(?:{'|'.join(part.pattern for part in parts)})", f"({' | '.join(part.gbnf for part in parts)})")


def _repeated(most: int | None, part: _Part) -> _Part:
    # The rule is used by its name in GBNF: llama.cpp counts every rule within a repetition and refuses 2000 of them.
    times = "*" if most is None else f"{{0,{most}}}"
    return _Part(f"{part.pattern}{times}", f"{_PIECE}{times}")


def _perhaps(part: _Part) -> _Part:
    return _Part(f"(?:{part.pattern})?", f"({part.gbnf})?")


def _some_factors(quote: str) -> _Part:
    """Return one to three factors, each once, in their usual order."""

    def choice(start: int, more: int) -> _Part:
        options = []
        for index in range(start, len(FACTORS)):
            option = _words(f"{quote}{FACTORS[index]}{quote}")
            if more and index + 1 < len(FACTORS):
                option = _sequence(option, _perhaps(_sequence(", ", choice(index + 1, more - 1))))
            options.append(option)
        return _either(*options)

    return choice(0, json_form.MAX_FACTORS - 1)


def _no_dec(free: str, after_d: str, after_de: str) -> _Part:
    """Return one to three characters, of these classes."""
    return _either(_one_of(free), _sequence("D", _either(_one_of(after_d), _sequence("e", _one_of(after_de)))))


def _text_grammar() -> AnswerGrammar:
    # Without "Dec", because a second closing sentence, which begins with "Decisive:", cannot be read. The first
    # character is visible, so that the reasoning is not empty.
    first = _no_dec("!-;=?-CE-~", "!-;=?-CE-df-~", "!-;=?-CE-bd-~")
    piece = _no_dec(r"^<>\n\r\tD", r"^<>\n\r\teD", r"^<>\n\r\tcD")
    bounded, endless = (_sequence(first, _repeated(most, piece)) for most in (MAX_REASONING - 1, None))
    size = _either(_sequence(_one_of("1-8"), ".", _one_of("0-9")), _words("9.0"), _sequence("0.", _one_of("1-9")))
    end = "\n</rationale>\nWinner: {}\nDifference: {}"
    won = [
        _sequence(_some_factors(""), f", better in {winner}." + end.format(winner, sign), size)
        for winner, sign in (("A", "+"), ("B", "-"))
    ]
    even = _words("nothing." + end.format("tie", "0.0"))
    opening, begins = "<rationale>\n", " Decisive: "
    closing = _sequence(begins, _either(even, *won))
    answer = _sequence(opening, bounded, closing)
    factors = ", ".join(sorted(sorted(FACTORS, key=len)[-json_form.MAX_FACTORS :], key=FACTORS.index))
    longest = f"{begins}{factors}, better in A." + end.format("A", "+1.5")
    return AnswerGrammar(
        "text", answer.pattern, _rules(answer, piece), opening, _sequence(opening, endless, closing).pattern,
        (Closing(begins, closing.pattern, longest),),
    )  # fmt: skip


def _json_grammar() -> AnswerGrammar:
    character = _one_of(r'^"\\\x00-\x1f')
    bounded, endless = (
        _sequence(_one_of("A-Za-z"), _repeated(most, character)) for most in (MAX_OBSERVATION - 1, None)
    )
    size = _either(_sequence(_one_of("1-8"), ".", _one_of("05")), _words("9.0"), _words("0.5"))
    winner, difference = '], "winner": "', '", "difference": '
    even = _words(f"{winner}tie{difference}0.0")
    won = _sequence(_some_factors('"'), winner, _one_of("AB"), difference, size)
    begin, between, factors = '{"observations_a": "', '", "observations_b": "', '", "factors": ['
    last = _sequence(factors, _either(even, won), "}")
    answer = _sequence(begin, bounded, between, bounded, last)
    second = _sequence(between, endless, last)
    named = sorted(sorted(FACTORS, key=len)[-json_form.MAX_FACTORS :], key=FACTORS.index)
    longest = factors + ", ".join(f'"{name}"' for name in named) + f"{winner}A{difference}1.5}}"
    return AnswerGrammar(
        "json", answer.pattern, _rules(answer, character), begin, _sequence(begin, endless, second).pattern,
        (Closing(between, second.pattern, f"{between}a{longest}"), Closing(factors, last.pattern, longest)),
        json_form.SCHEMA,
    )  # fmt: skip


def _rules(answer: _Part, piece: _Part) -> str:
    return f"root ::= {answer.gbnf}\n{_PIECE} ::= {piece.gbnf}\n"


TEXT = _text_grammar()
JSON = _json_grammar()
