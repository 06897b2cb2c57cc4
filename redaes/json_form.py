"""The JSON form of answers, for models that were not trained on the text form.

A reasoned comparison::

    {"observations_a": "Far too dark; the shadows block up.", "observations_b": "Evenly lit.",
     "factors": ["light"], "winner": "B", "difference": 3.5}

The observations come before the verdict, so that a model, which writes from left to right, gives its reasons first. The
difference has no sign, because the winner says which picture leads: models that know a form from its description alone
get the sign of a difference wrong more often than anything else.

Parsing is as strict as in :mod:`redaes.answers`: an answer that breaks the schema, or a rule that no schema can
express, raises :class:`~redaes.errors.ParseError` with a countable reason.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from redaes.errors import ParseError
from redaes.types import FACTORS, MAX_DELTA, Factor, Rationale, Verdict, Winner

KEYS = ("observations_a", "observations_b", "factors", "winner", "difference")
"""The keys, in the order in which they are asked for."""

MAX_FACTORS = 3
"""Most factors that a model is asked for; more are accepted."""

SIZES: tuple[float, ...] = tuple(n / 2 for n in range(int(2 * MAX_DELTA) + 1))
"""Differences, in points, that a model may state whose answers are constrained to the form. It is an enumeration,
because servers differ in which limits on numbers they respect, and in half points, because an untrained model has no
finer scale. Other numbers from 0 to 9 are accepted when an answer is read.
"""

SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "observations_a": {"type": "string"},
        "observations_b": {"type": "string"},
        "factors": {"type": "array", "items": {"type": "string", "enum": list(FACTORS)}},
        "winner": {"type": "string", "enum": ["A", "B", "tie"]},
        "difference": {"type": "number", "enum": list(SIZES)},
    },
    "required": list(KEYS),
    "additionalProperties": False,
}
"""The form as a JSON schema. It uses only keywords that every server takes: OpenAI's strict mode refuses others, such
as ``maxLength``. :data:`redaes.answer_grammars.JSON` is narrower.
"""


class _Twice(ValueError):
    pass


class _NoNumber(ValueError):
    pass


def parse_json(text: str) -> Verdict:
    """Read the answer to a reasoned comparison in the JSON form.

    Args:
        text: the model's answer, one JSON object. White space around it is ignored; nothing else is.

    Raises:
        ParseError: with one of the reasons ``empty``, ``not_json`` (also where text stands around the object),
            ``not_an_object``, ``duplicate_key``, ``not_finite``, ``missing_key``, ``unknown_key``, ``wrong_type``,
            ``empty_rationale``, ``unknown_winner``, ``unknown_factor``, ``not_decisive``,
            ``out_of_range``, ``contradiction``.

    >>> parse_json('{"observations_a": "Dark.", "observations_b": "Well lit.", "factors": ["light"], '
    ...            '"winner": "B", "difference": 3.5}').delta
    -3.5
    """
    return verdict_of(decoded(text))


def decoded(text: str) -> dict[str, Any]:
    """Return the one JSON object that an answer consists of, with the keys of the form.

    Raises:
        ParseError: as :func:`parse_json`, from ``empty`` to ``unknown_key``.
    """
    text = text.strip()
    if not text:
        raise ParseError("empty", "the answer is empty")
    try:
        value = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except _Twice as error:
        raise ParseError("duplicate_key", f"key {error} is there twice") from error
    except _NoNumber as error:
        raise ParseError("not_finite", f"{error} is no number") from error
    except (ValueError, RecursionError) as error:
        raise ParseError("not_json", f"{text[:80]!r}… is not one JSON object ({error})") from error
    if not isinstance(value, dict):
        raise ParseError("not_an_object", f"{text[:80]!r} is JSON, but no object")
    if missing := [key for key in KEYS if key not in value]:
        raise ParseError("missing_key", f"the object has no {', '.join(missing)}")
    if unknown := [key for key in value if key not in KEYS]:
        raise ParseError("unknown_key", f"the object has {', '.join(map(repr, unknown))[:80]}, which the form has not")
    return value


def verdict_of(value: Mapping[str, Any]) -> Verdict:
    """Return the verdict of an object that has the keys of the form.

    Raises:
        ParseError: as :func:`parse_json`, from ``wrong_type`` on.
    """
    seen = {letter: _seen(value, letter) for letter in ("A", "B")}
    winner, size, factors = _winner(value["winner"]), _size(value["difference"]), _factors(value["factors"])
    if (winner == "tie") != (size == 0):
        raise ParseError("contradiction", f"winner {winner} with a difference of {size:g}")
    if winner == "tie" and factors:
        raise ParseError("contradiction", f"a tie, and {', '.join(factors)} decide it")
    if winner != "tie" and not factors:
        raise ParseError("not_decisive", f"winner {winner}, and no factor decides it")
    text = " ".join(seen.values())
    delta = size if winner == "A" else 0.0 - size
    return Verdict(winner=winner, delta=delta, rationale=Rationale(text=text, factors=factors, better=winner))


def _seen(value: Mapping[str, Any], letter: str) -> str:
    """Return the observations on a picture as sentences that name it."""
    key = f"observations_{letter.lower()}"
    said = value[key]
    if not isinstance(said, str):
        raise _wrong_type(key, said, "a string")
    said = said.strip()
    if not re.search(r"\w", said):
        raise ParseError("empty_rationale", f"{key} says nothing")
    try:
        said.encode()
    except UnicodeEncodeError as error:  # half of a surrogate pair of escapes
        raise ParseError("not_json", f"{key} is no text ({error})") from error
    own = re.match(rf"(?:(?:picture|image|photo)\s+)?{letter}\s*:", said, re.IGNORECASE)
    named = said if own else f"{letter}: {said}"
    return named if named[-1] in ".!?\u2026" else f"{named}."


def _winner(said: object) -> Winner:
    if not isinstance(said, str):
        raise _wrong_type("winner", said, "a string")
    if said not in ("A", "B", "tie"):
        raise ParseError("unknown_winner", f"{said[:40]!r} is none of A, B and tie")
    return said  # type: ignore[return-value]  # one of the three


def _size(said: object) -> float:
    if isinstance(said, bool) or not isinstance(said, int | float):
        raise _wrong_type("difference", said, "a number")
    # An integer of hundreds of digits has no float, and 1e999 is infinite.
    if not 0 <= said <= MAX_DELTA or not math.isfinite(said):
        raise ParseError("out_of_range", f"difference {str(said)[:40]} lies outside 0 to {MAX_DELTA:g}")
    return abs(float(said))


def _factors(said: object) -> tuple[Factor, ...]:
    if not isinstance(said, list):
        raise _wrong_type("factors", said, "a list")
    for name in said:
        if not isinstance(name, str):
            raise _wrong_type("factors", name, "a list of strings")
    unknown = [name for name in said if name not in FACTORS]
    if unknown or len(set(said)) != len(said):
        raise ParseError("unknown_factor", f"{', '.join(said)[:80]!r}; known: {', '.join(FACTORS)}, each once")
    return tuple(name for name in FACTORS if name in said)


def _wrong_type(key: str, said: object, wanted: str) -> ParseError:
    return ParseError("wrong_type", f"{key} is {json.dumps(said)[:40]}, and should be {wanted}")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _Twice(repr(key)[:80])
        found[key] = value
    return found


def _no_number(name: str) -> float:
    raise _NoNumber(name)
