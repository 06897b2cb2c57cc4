"""The text form of answers: reading it into records, writing records as text, and the tokens that are read.

A reasoned comparison::

    <rationale>
    A is far darker than B; the shadows block up. Decisive: light, better in B.
    </rationale>
    Winner: B
    Difference: -3.4

A fast comparison has the last two lines only. A single picture is answered ``Score: 6``. Parsing is strict:
whatever does not follow the grammar raises :class:`~redaes.errors.ParseError` with a countable reason, and
nothing is ever guessed.
"""

from __future__ import annotations

import re

from redaes.errors import ParseError
from redaes.prompts import Mode
from redaes.types import FACTORS, MAX_DELTA, Factor, Rationale, Verdict, Winner, winner_of

WINNER_PREFIX = "Winner:"
"""The fast answer up to the verdict token."""

WINNER_CHOICES: tuple[Winner, ...] = ("A", "B", "tie")

SCORE_PREFIX = "Score: "
"""The single-picture answer up to the score token."""

SCORE_CHOICES: tuple[str, ...] = tuple("0123456789")
"""Digits, because every Qwen tokenizer makes each digit a token of its own."""

RATIONALE_END = "</rationale>\n"

_ANSWER = re.compile(
    r"(?:<rationale>\n(?P<rationale>.*?)\n</rationale>\n)?"
    r"Winner: (?P<winner>A|B|tie)\nDifference: (?P<delta>[+-]?[0-9]\.[0-9])",
    re.DOTALL,
)
_DECISIVE = re.compile(r"Decisive: (?:(?P<none>nothing)|(?P<factors>[a-z, ]+?), better in (?P<better>[AB]))\.")
_SCORE = re.compile(r"Score: ([0-9])")


def render_verdict(verdict: Verdict) -> str:
    """Return the text of a verdict, the inverse of :func:`parse`.

    >>> print(render_verdict(Verdict(winner="B", delta=-3.4, rationale=None)))
    Winner: B
    Difference: -3.4
    """
    delta = "0.0" if verdict.winner == "tie" else f"{verdict.delta:+.1f}"
    answer = f"Winner: {verdict.winner}\nDifference: {delta}"
    if verdict.rationale is None:
        return answer
    return f"<rationale>\n{render_rationale(verdict.rationale)}\n{RATIONALE_END}{answer}"


def render_rationale(rationale: Rationale) -> str:
    """Return the reasoning with its closing, checkable sentence."""
    if rationale.better == "tie":
        return f"{rationale.text} Decisive: nothing."
    return f"{rationale.text} Decisive: {', '.join(rationale.factors)}, better in {rationale.better}."


def stated(delta: float, rationale: Rationale | None = None) -> Verdict:
    """Return the verdict that states ``delta``, in points, rounded as the grammar writes it; differences below the tie
    margin are ties.
    """
    winner = winner_of(delta)
    return Verdict(winner=winner, delta=0.0 if winner == "tie" else round(delta, 1), rationale=rationale)


def parse(text: str, mode: Mode) -> Verdict:
    """Read the answer to a comparison.

    Args:
        text: the model's answer. White space around it is ignored; nothing else is.
        mode: ``reasoned`` requires a rationale, ``fast`` forbids it.

    Raises:
        ParseError: with one of the reasons ``empty``, ``not_the_form``, ``several_rationales``,
            ``no_rationale``, ``unexpected_rationale``, ``empty_rationale``, ``not_decisive``,
            ``unknown_factor``, ``contradiction``, ``out_of_range``.

    >>> parse("Winner: A\\nDifference: +1.5", "fast").delta
    1.5
    """
    text = text.strip()
    if not text:
        raise ParseError("empty", "the answer is empty")
    if text.count("<rationale>") > 1 or text.count("</rationale>") > 1:
        raise ParseError("several_rationales", "exactly one rationale is allowed")
    match = _ANSWER.fullmatch(text)
    if match is None:
        raise ParseError("not_the_form", f"{text[:80]!r}… does not follow the grammar")
    reasoning = match["rationale"]
    if mode == "fast" and reasoning is not None:
        raise ParseError("unexpected_rationale", "the fast form has no rationale")
    if mode == "reasoned" and reasoning is None:
        raise ParseError("no_rationale", "the reasoned form needs a rationale")
    delta = float(match["delta"])
    if abs(delta) > MAX_DELTA:
        raise ParseError("out_of_range", f"difference {delta:+.1f} lies outside ±{MAX_DELTA:g}")
    rationale = None if reasoning is None else parse_rationale(reasoning)
    winner: Winner = match["winner"]  # type: ignore[assignment]  # the pattern admits nothing else
    if winner != ("tie" if delta == 0 else "A" if delta > 0 else "B"):
        raise ParseError("contradiction", f"winner {winner} against difference {delta:+.1f}")
    if rationale is not None and rationale.better != winner:
        raise ParseError("contradiction", f"winner {winner} against the rationale's {rationale.better}")
    return Verdict(winner=winner, delta=delta, rationale=rationale)


def parse_rationale(text: str) -> Rationale:
    """Read the reasoning and its closing sentence.

    Raises:
        ParseError: ``empty_rationale``, ``not_decisive`` or ``unknown_factor``.
    """
    sentences = list(_DECISIVE.finditer(text))
    if len(sentences) != 1 or sentences[0].end() != len(text):
        raise ParseError("not_decisive", "the rationale must end with exactly one 'Decisive: …' sentence")
    closing = sentences[0]
    body = text[: closing.start()].strip()
    if not body:
        raise ParseError("empty_rationale", "the rationale says nothing before its closing sentence")
    if closing["none"]:
        return Rationale(text=body, factors=(), better="tie")
    names = closing["factors"].split(", ")
    unknown = [name for name in names if name not in FACTORS]
    if unknown or len(set(names)) != len(names):
        raise ParseError("unknown_factor", f"{closing['factors']!r}; known: {', '.join(FACTORS)}")
    factors: tuple[Factor, ...] = tuple(name for name in FACTORS if name in names)
    return Rationale(text=body, factors=factors, better=closing["better"])  # type: ignore[arg-type]  # A or B


def parse_score(text: str) -> int:
    """Read the answer for a single picture, a digit 0 to 9.

    Raises:
        ParseError: ``not_the_form``.
    """
    match = _SCORE.fullmatch(text.strip())
    if match is None:
        raise ParseError("not_the_form", f"{text[:80]!r} is not 'Score: <digit>'")
    return int(match[1])
