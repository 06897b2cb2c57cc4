"""Read the words around a term that decide what is said of it: more, less, better, not, hardly, alike, absent."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, replace

from redaes.evidence.claims import Relation
from redaes.evidence.clauses import Subject, Token
from redaes.evidence.lexicon import Term
from redaes.evidence.quantities import QUANTITIES
from redaes.evidence.turning_words import (
    ALIKE,
    BETTER,
    CLEARLY,
    FILLERS,
    GONE,
    HIGH,
    LESS,
    LOW,
    MORE,
    NOT,
    SCARCELY,
    SLIGHTLY,
    VERBS,
    WORSE,
    word_set,
)

REACH = 9
"""Number of words that are read before a term, and after it."""

_SAYS = word_set(
    "remains looks drops are were is gets feels lies was has seems look becomes aren't stays appears isn't"
)
"""Verbs that may stand between a noun and what is said of it."""
_WINS = word_set("ahead excels best leads wins outperforms edge")


@dataclass(frozen=True)
class Turn:
    """How the words around a term modify it."""

    degree: int = 0
    """1: more; -1: less."""
    quality: int = 0
    """1: better; -1: worse."""
    amount: int = 0
    """1: much of the quantity, or good; -1: little of it."""
    negative: bool = False
    scarcely: bool = False
    alike: bool = False
    as_much: bool = False
    """Whether likeness is stated with "as": denied ("not as sharp as"), it means less."""
    alike_between: bool = False
    """Whether the words say that there is "no difference" in it."""
    unsaid: bool = False
    """Whether the words only say that there is a difference in it."""
    neither: bool = False
    """Whether the words are "neither … nor", so that the next term is negated too."""
    article: bool = False
    is_before: bool = False
    is_after: bool = False
    start: int | None = None
    """Position where the modifying words begin."""
    end: int | None = None

    def __bool__(self) -> bool:
        return bool(
            self.degree or self.quality or self.amount or self.negative or self.scarcely or self.alike or self.unsaid
        )

    @property
    def unlike_others(self) -> bool:
        """Whether the words state the direction of a difference, or that there is none."""
        return bool(self.degree or self.quality or self.alike)

    def negated(self) -> Turn:
        """Return the same turn, negated."""
        return replace(self, negative=not self.negative)

    def joined_with(self, other: Turn) -> Turn:
        """Combine this turn, from the words before a term, with the one from the words after it."""
        if not other:
            return self
        return Turn(
            degree=self.degree or other.degree,
            quality=self.quality or other.quality,
            amount=other.amount or self.amount,
            negative=self.negative != other.negative,
            scarcely=self.scarcely or other.scarcely,
            alike=self.alike or other.alike,
            as_much=self.as_much or other.as_much,
            alike_between=self.alike_between,
            unsaid=self.unsaid,
            neither=self.neither,
            article=self.article,
            is_before=self.is_before,
            is_after=True,
            start=self.start,
            end=other.end,
        )


def _taken(turn: Turn, word: str) -> Turn | None:
    """Return the turn with one more word applied, or None if the word modifies nothing."""
    if word in MORE or word in {"strongest", "highest", "heavier", "most"}:
        return replace(turn, degree=turn.degree or 1)
    if word in LESS or word in {"lowest", "least"}:
        return replace(turn, degree=-1 if turn.degree == 0 else turn.degree)
    if word in BETTER or word in _WINS:
        return replace(turn, quality=turn.quality or 1)
    if word in WORSE:
        return replace(turn, quality=turn.quality or -1)
    if word in SCARCELY:
        return replace(turn, scarcely=True)
    if word in GONE:
        return replace(turn, negative=not turn.negative)
    if word in NOT:
        return replace(turn, negative=not turn.negative)
    if word in ALIKE or word == "as":
        return replace(turn, alike=True, as_much=turn.as_much or word == "as")
    if word in LOW:
        return replace(turn, amount=turn.amount or -1)
    if word in HIGH:
        return replace(turn, amount=turn.amount or 1)
    return None


def _is_a_trace(tokens: list[Token], at: int) -> bool:
    """Return whether "little" is part of "a little", which means some; "only a little" and "little" mean hardly any."""
    ahead = [token.text for token in tokens[max(0, at - 2) : at]]
    return ahead[-1:] == ["a"] and not {"only", "just", "but"} & set(ahead)


def before(tokens: list[Token], start: int, floor: int, reach: int = REACH) -> Turn:
    """Return how the words before a term modify it.

    Args:
        tokens: tokens of the clause.
        start: where the term begins, in characters.
        floor: where the term before it ends.
        reach: largest number of words that are read.
    """
    at = bisect_left([token.start for token in tokens], start) - 1
    turn, differs = Turn(), False
    stop = max(-1, at - reach)
    while at > stop and tokens[at].start >= floor:
        token = tokens[at]
        word = token.text
        following = tokens[at + 1].text if at + 1 < len(tokens) else ""
        if word in {"not", "no"} and following in {"only", "just", "merely", "doubt"}:
            at -= 1
            continue
        if word == "strength" and following == "of":  # "strength of halos"
            at -= 1
            continue
        if word == "least" and at and tokens[at - 1].text == "at":
            at -= 2
            continue
        if word == "far" and following == "from":
            turn = replace(turn.negated(), start=token.start)
        elif word in {"difference", "differences", "differ", "differs"}:
            differs = True
        elif word == "little" and (following == "bit" or _is_a_trace(tokens, at)):
            turn = replace(turn, start=token.start)
        elif (taken := _taken(turn, word)) is not None:
            turn = replace(taken, start=token.start, neither=taken.neither or word in {"neither", "nor"})
        elif word in CLEARLY or word in SLIGHTLY:
            turn = replace(turn, start=token.start)
        elif word not in FILLERS and word not in VERBS and word not in {"a", "b"}:
            break
        elif word in {"a", "an", "the"}:
            turn = replace(turn, article=turn.article or not turn)
        at -= 1
    if differs:
        known = turn.negative or turn.scarcely or turn.amount < 0
        return replace(
            turn, alike=known, alike_between=known, unsaid=not known, negative=False, amount=0, is_before=True
        )
    return replace(turn, is_before=bool(turn))


def after(tokens: list[Token], end: int, stop: int, *, is_last: bool) -> Turn:
    """Return how the words after a noun or a fault modify it: "is higher", "are less visible", "is absent".

    Args:
        tokens: tokens of the clause.
        end: where the term ends, in characters.
        stop: where the next term begins, or the clause ends.
        is_last: no other term follows in the clause. If one does, the words may belong to that term, and they count
            only if the two terms are coordinated.
    """
    at = bisect_left([token.start for token in tokens], end)
    turn, verb_seen, before_it, reached = Turn(), False, "", False
    for token in tokens[at : at + REACH + 3]:
        if token.start >= stop:
            reached = True
            break
        if token.text == "than" or (token.text == "," and turn):
            break
        if before_it == "the" and token.text in LESS | MORE | BETTER | WORSE:
            break  # "is the lesser evil"
        before_it = token.text
        word = token.text
        if word in _SAYS:
            verb_seen = True
        if not verb_seen:
            if word in MORE - {"above", "exceeds"} or word in LESS:
                break
            if (
                word in FILLERS
                or word in VERBS
                or word in {"of", "a", "b", "as", "two", "(", ")", "%", "value", "score", "measure"}
            ):
                continue
            if word[0].isdigit():
                continue
            break
        if word == "controlled":
            turn = replace(turn, amount=-1, end=token.end)
            continue
        taken = _taken(turn, word)
        if taken is not None:
            turn = replace(taken, end=token.end)
        elif word not in FILLERS and word not in VERBS and word not in {"as", "of", "to", "a", "b"}:
            break
    return replace(turn, is_after=bool(turn)) if is_last or not reached else Turn()


def anywhere(tokens: list[Token]) -> Turn:
    """Return how the words of a whole clause modify a topic that was named before it."""
    turn = Turn()
    for token in tokens:
        turn = _taken(turn, token.text) or turn
    return replace(turn, is_before=True)


def joined(between: str) -> bool:
    """Return whether two terms belong to one list: "grain and blur", "no text or watermark", but not "no noise and a
    watermark".

    Args:
        between: the text between them, in lower case.
    """
    parts = between.replace(",", " , ").split()
    if not parts or not any(part in {"and", "or", "nor", ",", "&"} for part in parts):
        return False
    allowed = {"and", "or", "nor", ",", "&", "any", "visible", "the", "colour", "color", "also"}
    return all(part in allowed for part in parts)


# --- The statement that results ---------------------------------------------------------------------------------------

_AS_A_WHOLE = word_set("light exposure colour colours color colors palette hues")
"""Nouns for which "good" and "better" are a judgement of taste and not of amount."""


def judges_taste(term: Term, turn: Turn, said: str) -> bool:
    """Return whether a noun is only called good or better: "better colours"."""
    return term.form == "noun" and said in _AS_A_WHOLE and bool(turn.quality) and not turn.degree


def relation_of(term: Term, turn: Turn, side: Subject, said: str, *, wished: bool) -> tuple[Relation | None, bool]:
    """Return the relation that a term with its turn states (None: none), and whether it states it of both pictures.

    Args:
        term: the term.
        turn: how the words around it modify it.
        side: the picture that it is about.
        said: the term as written in the text, in lower case.
        wished: the text says that the picture would need it, so that the picture has less of it.
    """
    if turn.unsaid:
        return None, False
    if term.form == "aesthetic":
        return ("alike" if turn.alike else "absent" if turn.negative else "present"), False
    if term.fault == "blown_highlights" and term.sign < 0:  # "highlights remain intact"
        return ("present" if turn.negative else "absent"), False
    if term.fault is not None and (term.form == "fault" or term.quantity == "tilt"):
        return _of_fault(term, turn, side, said, wished=wished)
    sign = _direction(term, turn, said)
    if turn.alike and not turn.negative and sign is not None:
        return "alike", True
    if turn.alike and turn.negative and turn.as_much and term.form == "noun":
        return (None, False) if side == "both" else ("less" if term.sign > 0 else "more", False)
    if turn.alike and term.form == "noun":
        return ("alike", True) if not turn.negative else (None, False)
    if sign is None:
        return None, False
    if turn.scarcely and (said.endswith("er") or turn.degree):
        return "alike", True
    if wished:
        sign = -sign
    if side == "both":
        if term.form == "adjective" and term.fault is not None and not turn.degree:
            return ("present" if sign == term.sign else "absent"), True
        return "alike", True
    return ("more" if sign > 0 else "less"), False


def _direction(term: Term, turn: Turn, said: str) -> int | None:
    """Return the direction: 1: more of the quantity, -1: less, 0: alike, None: not stated."""
    denied = -1 if turn.negative or (turn.scarcely and not turn.degree) else 1
    if term.form == "adjective":
        return term.sign * denied * (turn.degree if turn.degree < 0 else 1)
    assert term.quantity is not None
    better = -1 if QUANTITIES[term.quantity].better == "less" else 1
    if turn.degree:
        return term.sign * denied * turn.degree
    if turn.quality:
        return None if said in _AS_A_WHOLE else better * denied * turn.quality
    if turn.amount:
        return term.sign * denied * turn.amount
    if turn.negative or turn.scarcely:
        return -term.sign
    return 0 if turn.alike else None


def _of_fault(term: Term, turn: Turn, side: Subject, said: str, *, wished: bool) -> tuple[Relation | None, bool]:
    """Return what is stated of a named fault: present, absent, alike, or more or less of it than in the other picture;
    and whether it is stated of both pictures."""
    both = side == "both"
    is_comparative = said.endswith("er") or said.startswith(("straighter", "tighter", "closer", "wider", "looser"))
    if term.form == "adjective":  # level, straight
        if turn.alike:
            return "alike", True
        if (turn.degree or is_comparative) and not both:
            return ("less" if (turn.degree >= 0) != turn.negative else "more"), False
        return ("present" if turn.negative != wished else "absent"), both
    if term.quantity is None and term.sign in {2, -1}:  # tighter, wider
        towards = 1 if term.sign == 2 else -1
        return (
            ("alike", True)
            if both or turn.alike
            else ("more" if towards * (-1 if turn.negative else 1) > 0 else "less", False)
        )
    if turn.alike and not turn.negative:
        return "alike", True
    if turn.alike and turn.as_much and not both:
        return ("less" if term.quantity is None or term.sign > 0 else "more"), False
    degree = turn.degree or -turn.quality or (-1 if turn.amount < 0 else 0)
    if (turn.negative and not degree) or (turn.scarcely and not degree):
        return "absent", both
    if degree and not both:
        degree = -degree if turn.negative else degree
        return ("more" if degree * (term.sign if term.quantity else 1) > 0 else "less"), False
    return ("alike" if degree else "present"), both
