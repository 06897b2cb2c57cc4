"""Extract the statements that an English text makes about pictures A and B.

>>> [(one.side, one.relation, one.quantity) for one in extract("A is noisier than B, and its horizon is level.")]
[('A', 'more', 'noise'), ('A', 'absent', 'tilt')]

The extraction matches words and does not understand meaning: it knows the phrases of :mod:`redaes.evidence.lexicon`,
finds which picture each is about and which words negate or reverse it, and reads the figures and places beside it.
docs/claims.md says what it can and cannot read, and how well.
"""

from __future__ import annotations

import re
from dataclasses import replace

from redaes.evidence.claims import Claim, Relation
from redaes.evidence.clauses import RIVAL, Clause, Sentence, Subject, Token, lowered, sentences, straight
from redaes.evidence.figures import Figures, figures
from redaes.evidence.hits import WHOLE_PICTURE, Hit, Memory, hits_of, set_sides, set_topics
from redaes.evidence.lexicon import Term
from redaes.evidence.modifiers import judges_taste, relation_of
from redaes.evidence.places import PLACE_NOUNS, PLACES, REGIONS, place_of
from redaes.evidence.quantities import QUANTITIES
from redaes.evidence.turning_words import FILLERS, VERBS, word_set
from redaes.evidence.unsaid import left_unsaid

VERSION = "claims/1"
"""Version of the rules of reading and checking; it is raised when a text may be read or judged differently."""

MAX_CHARACTERS = 20_000
"""The text after this many characters is not read."""

_SETS_APART = re.compile(
    r"\b(?:differs?|apart|difference|decides?|separates?|distinguish(?:es)?|company|judged|settled|counts|matters"
    r"|not (?:alike|equal))\b"
)
"""Words of sentences that name what differs, but not in which direction."""
_SAID_ALIKE = re.compile(r"\b(?:no (?:real |visible )?difference|the same|alike|they are level|identical|equal)\b")
_MOODS = word_set("cold cool warm bright dark dim dull flat pale")
"""Words that can describe how light or colour makes a scene look."""
_DENIED = re.compile(
    r"\b(?:wouldn't|would not|don't|do not|can't|cannot|couldn't|could not) (?:really |quite |honestly )?"
    r"(?:say|think|believe|call|claim|argue|agree|be (?:called|said to be|described as|considered))(?: that)?"
    r" [^,.;:]{0,20}$"
)
"""Words that deny the statement that follows them."""
_FAVOURS = re.compile(r" (?:favou?rs|goes to|speaks for|is in favou?r of) ")
"""Words that say that a quantity is better in the picture named after them: "noise favours B"."""
_INSIDE = re.compile(
    r" (?:on|at|in|towards|to) (?:the|its) [a-z]+(?:[ -][a-z]+)? than (?:on|at|in|towards|to) (?:the|its) "
    r"(?:left|right|top|bottom|upper|lower|middle|cent|other|edges|corners|foreground|background)"
)
"""Words after an adjective that compares two parts of one picture."""
_PLANE = re.compile(
    r"\b(?:background|foreground|backdrop) (?:is|are|looks?|stays?|remains?|appears?|was) (?:[a-z]+ )?$"
)
"""Words after which "sharp" is about the foreground or background and not about the subject."""
_BARE = word_set("lighting angle expression mood composition pose framing perspective")
"""Nouns that make a statement only if something is said about them."""
_VERDICTS = ("decisive:", "winner:", "difference:", "score:")


def extract(text: str) -> tuple[Claim, ...]:
    """Return the statements of a text, in its order.

    Args:
        text: any text at all; only its first :data:`MAX_CHARACTERS` are read.
    """
    plain = straight(text[:MAX_CHARACTERS])
    low = lowered(plain)
    claims: list[Claim] = []
    memory = Memory()
    for sentence in sentences(plain):
        if low[sentence.start : sentence.end].lstrip("*#> -").startswith(_VERDICTS):
            continue
        hits = hits_of(low, sentence)
        if not sentence.clauses:  # nothing but punctuation
            continue
        set_sides(sentence, hits, memory)
        set_topics(sentence, hits)
        _relations(low, sentence, hits)
        _figures(plain, low, sentence, hits)
        _places(low, sentence, hits)
        own = _claims(text, hits)
        own += left_unsaid(plain, sentence, own, claims)
        claims = _completed(claims, own)
    return tuple(claims)


# --- What is said -----------------------------------------------------------------------------------------------------


def _relations(low: str, sentence: Sentence, hits: list[Hit]) -> None:
    sets_apart = _SETS_APART.search(low, sentence.start, sentence.end) is not None
    for hit in hits:
        if hit.is_topic or hit.side is None:
            continue
        clause = sentence.clauses[hit.clause]
        wished = (
            not {"would", "could", "needs"}.isdisjoint(clause.words)
            or any(token.text == "should" and token.end <= hit.start for token in clause.tokens)
            or clause.opening == "if"
        )
        if (hit.term.form in {"adjective", "aesthetic"} or hit.name == "light") and _of_a_place(clause.tokens, hit):
            continue  # "the bright blue top"
        if hit.term.quantity in WHOLE_PICTURE and hit.term.form == "adjective" and _of_a_region(low, clause, hit):
            hit.term = Term(hit.term.pattern, "aesthetic")
        if hit.term.form in {"noun", "fault"} and _FAVOURS.match(low, hit.end):
            hit.turn = replace(hit.turn, quality=1)
        denied = _DENIED.search(low, sentence.start, hit.start) is not None
        if denied:
            hit.turn, wished = hit.turn.negated(), False
        if _INSIDE.match(low, hit.end):
            continue  # "brighter on the left than on the right"
        if hit.key == "sharpness" and hit.term.form == "adjective" and _PLANE.search(low, sentence.start, hit.start):
            hit.term = Term(hit.term.pattern, "aesthetic")
        causes = not {"make", "makes", "making", "lets", "leaves", "leaving"}.isdisjoint(clause.words)
        if causes and (hit.term.form == "aesthetic" or "feel" in clause.words) and hit.name in _MOODS:
            continue  # "the blue cast makes the snow look cold"
        if judges_taste(hit.term, hit.turn, hit.name) or _of_the_light(clause, hit):
            hit.term = Term(hit.term.pattern, "aesthetic")
        hit.relation, both = relation_of(hit.term, hit.turn, hit.side, low[hit.start : hit.end], wished=wished)
        if hit.name in {"distracting", "distracts"} and any(
            one.clause == hit.clause and one.term.form == "fault" and one.end <= hit.start for one in hits
        ):
            hit.relation = None  # "the lettering is distracting"
        if (
            hit.name in _BARE
            and not hit.turn
            and any(one.clause == hit.clause and one.start > hit.end and one.term.form != "aesthetic" for one in hits)
        ):
            hit.relation = None  # "the framing is too tight"
        if clause.words[:3] == ["it", "is", "not"] and hit.term.form == "fault":
            hit.relation = None
        if sets_apart and hit.side == "both" and not hit.turn.unlike_others:
            hit.relation = None  # "they differ in noise", "sharp focus sets them apart"
        if hit.term.form == "fault" and not {"hides", "hide", "masks"}.isdisjoint(clause.words):
            hit.relation = None
        if hit.relation is not None and both:
            hit.side = "both"


def _of_the_light(clause: Clause, hit: Hit) -> bool:
    """Return whether "soft" is about light, shadows or colours, and not about focus."""
    before_it = {token.text for token in clause.tokens if token.end <= hit.start}
    soft_things = {
        "light",
        "lighting",
        "shadow",
        "shadows",
        "tones",
        "colours",
        "colors",
        "glow",
        "bokeh",
        "background",
    }
    return hit.name in {"soft", "softer"} and not soft_things.isdisjoint(before_it)


def _of_a_place(tokens: list[Token], hit: Hit) -> bool:
    """Return whether an adjective only describes a place that the sentence names."""
    behind = [token.text for token in tokens if token.start >= hit.end][:4]
    for word in behind:
        if word in PLACE_NOUNS:
            return True
        if word in FILLERS or word in VERBS or not word.isalpha() or word in {"than", "but", "to"}:
            return False
    return False


def _of_a_region(low: str, clause: Clause, hit: Hit) -> bool:
    """Return whether an adjective is about a part of the picture, such as the sky."""
    behind = low[hit.end : min(clause.end, hit.end + 14)].strip()
    if REGIONS.match(behind):
        return True
    for match in REGIONS.finditer(low, clause.start, hit.start):
        words = low[max(clause.start, match.start() - 8) : match.start()].split()
        if not words or (words[-1] not in {"in", "of"} and words[-2:-1] not in (["in"], ["of"])):
            return True
    return False


def _figures(plain: str, low: str, sentence: Sentence, hits: list[Hit]) -> None:
    mentions = [mention for clause in sentence.clauses for mention in clause.mentions]
    for found in figures(plain, sentence.start, sentence.end, mentions):
        named = [hit for hit in hits if hit.term.form in {"noun", "fault"} and hit.end <= found.start]
        if len(named) > 1 and named[-1].term.fault == "covered" and named[-2].clause == named[-1].clause:
            named.pop().relation = None  # "the border takes up 6 %"
        near = [named[-1]] if named else []
        if not near:
            rest = [hit for hit in hits if hit.term.form != "aesthetic"]
            near = sorted(rest, key=lambda hit: min(abs(hit.start - found.end), abs(found.start - hit.end)))[:1]
        if not near:
            continue
        hit = near[0]
        if found.is_step and hit.key not in {"tilt", "keystone"} and hit.term.fault not in {"turned", "broadened"}:
            continue
        _attach(hit, found, hits)
    for hit in hits:  # "noise measures 1.2 in A and 1.3 in B, which is no difference"
        told = hit.figures is not None and hit.relation is None and len(hit.figures.values) == 2
        if told and _SAID_ALIKE.search(low, sentence.start, sentence.end):
            hit.relation, hit.side = "alike", "both"
            for level in (one for one in hits if one.name == "level"):
                level.relation = None


def _attach(hit: Hit, found: Figures, hits: list[Hit]) -> None:
    """Attach figures to the statement about their quantity, or make a new statement of them."""
    if hit.key is None and hit.term.fault is None:
        return
    same = [
        one
        for one in hits
        if one is not hit and one.key == hit.key and one.key is not None
        and one.relation is not None and one.figures is None
        and one.relation != "absent" and not one.is_topic
    ]  # fmt: skip
    is_name = hit.key is not None and hit.name == QUANTITIES[hit.key].spoken and not hit.turn and not hit.turn.article
    bare = hit.relation is None or (
        hit.relation == "present" and hit.term.form == "fault" and (is_name or len(found.values) == 2)
    )
    twin = [one for one in hits if one.figures is not None and one.key == hit.key and one is not hit and bare]
    if bare and same:
        same = sorted(same, key=lambda one: (one.relation == "present", abs(one.start - hit.start)))
        same[0].figures = found
        hit.relation = None
    elif bare and twin and len(found.values) == 1 and len(twin[0].figures.values) == 1:  # type: ignore[union-attr]
        first = twin[0].figures
        assert first is not None
        twin[0].figures = Figures(
            first.start, found.end, (*first.values, *found.values), (*first.sides, *found.sides), False
        )
        twin[0].relation = None
        hit.relation = None
        hit.figures = None
    elif hit.figures is None:
        hit.figures = found
        for one in same:  # "light and colour are close, brightness 55 against 54"
            if one.clause == hit.clause and one.relation == hit.relation:
                one.relation = None
        if bare:
            hit.relation = None
    elif len(hit.figures.values) == 1 and len(found.values) == 1:
        first = hit.figures
        hit.figures = Figures(
            first.start, found.end, (*first.values, *found.values), (*first.sides, *found.sides), False
        )


def _places(low: str, sentence: Sentence, hits: list[Hit]) -> None:
    told = [hit for hit in hits if hit.relation is not None and hit.term.form != "aesthetic"]
    mentions = [mention for clause in sentence.clauses for mention in clause.mentions]
    for match in PLACES.finditer(low, sentence.start, sentence.end):
        if any(mention.start < match.end() and match.start() < mention.end for mention in mentions):
            continue
        near = sorted(
            told,
            key=lambda hit: (
                (match.start() - hit.end) if hit.end <= match.start() else 2 * (hit.start - match.end()) + 5
            ),
        )
        free = [hit for hit in near[:1] if hit.place is None]
        if free:
            free[0].place = place_of(match)


# --- Statements -------------------------------------------------------------------------------------------------------


def _claims(text: str, hits: list[Hit]) -> list[Claim]:
    claims: list[Claim] = []
    unmeasured: set[Subject] = set()
    said: set[tuple[object, ...]] = set()
    for hit in hits:
        stated, by_figures, first = _stated(hit)
        relation = hit.relation or by_figures
        side = hit.side or first
        if relation is None or side is None:
            continue
        if hit.relation is None and first is not None:
            side = first
        if hit.term.form == "aesthetic":
            if side in unmeasured:
                continue
            unmeasured.add(side)
        same = (
            side,
            relation,
            hit.term.quantity,
            hit.term.fault,
            hit.place,
            -1 if relation == "present" else hit.clause,
        )
        if same in said and hit.figures is None and hit.term.form != "aesthetic":
            continue
        said.add(same)
        start = min(hit.start, hit.turn.start if hit.turn.start is not None else hit.start)
        end = max(hit.end, hit.turn.end or 0, hit.figures.end if hit.figures else 0)
        if hit.figures:
            start = min(start, hit.figures.start)
        is_there = relation in {"present", "absent"}
        claims.append(
            Claim(
                text=text[start:end],
                start=start,
                end=end,
                side="both" if relation == "alike" and hit.term.form != "aesthetic" else side,
                relation=relation,
                quantity=hit.term.quantity,
                fault=hit.term.fault
                if hit.term.form != "noun" and (is_there or hit.term.quantity is None) and hit.relation
                else None,
                stated=stated,
                place=hit.place,
            )
        )
    return claims


def _stated(hit: Hit) -> tuple[tuple[float | None, float | None], Relation | None, Subject | None]:
    """Return the figures for A and B, the relation that they state by themselves, and the picture that is named
    first."""
    found = hit.figures
    if found is None:
        return (None, None), None, None
    speaker: Subject = hit.side if hit.side in {"A", "B"} else "A"
    sides = [side or (speaker if place == 0 else RIVAL[speaker]) for place, side in enumerate(found.sides)]
    if len(sides) == 2 and sides[0] == sides[1]:
        return (None, None), None, None
    # "keeps only 80 %" gives the share shown, and the statement is about the share left out.
    kept = hit.name.startswith(("keeps only", "has only", "is left"))
    by_side = dict(zip(sides, [100 - value if kept else value for value in found.values], strict=True))
    stated = (by_side.get("A"), by_side.get("B"))
    first: Subject = "A" if sides[0] == "A" else "B"
    if len(sides) == 1:
        return stated, "present", first
    difference = by_side[first] - by_side["B" if first == "A" else "A"]
    return stated, "more" if difference > 0 else "less" if difference < 0 else "alike", first


def _completed(claims: list[Claim], own: list[Claim]) -> list[Claim]:
    """Join "A: noise 1.2." with the "B: noise 4.4." of a later sentence."""
    for claim in own:
        half = next(
            (
                at
                for at in range(len(claims) - 1, max(-1, len(claims) - 4), -1)
                if _is_half(claims[at]) and _is_half(claim) and claims[at].quantity == claim.quantity
                and claims[at].side == RIVAL[claim.side]
            ),
            None,
        )  # fmt: skip
        if half is None:
            claims = [*claims, claim]
            continue
        first = claims[half]
        of_a, of_b = (claim, first) if claim.side == "A" else (first, claim)
        stated = (of_a.stated[0], of_b.stated[1])
        mine, others = stated if first.side == "A" else stated[::-1]
        relation: Relation = (
            "more" if (mine or 0) > (others or 0) else "less" if (mine or 0) < (others or 0) else "alike"
        )
        claims[half] = first.model_copy(
            update={"stated": stated, "relation": relation, "side": "both" if relation == "alike" else first.side}
        )
    return claims


def _is_half(claim: Claim) -> bool:
    n_figures = sum(value is not None for value in claim.stated)
    return claim.relation == "present" and claim.fault is None and claim.quantity in QUANTITIES and n_figures == 1
