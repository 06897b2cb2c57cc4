"""Reading a critique's English: from a text about pictures A and B to the statements that it makes.

>>> [(one.side, one.relation, one.quantity) for one in extract("A is noisier than B, and its horizon is level.")]
[('A', 'more', 'noise'), ('A', 'absent', 'tilt')]

A reader of words, not of meaning: it knows the phrases of :mod:`redaes.evidence.lexicon`, finds who is spoken of and
what turns the statement round, and reads figures and places beside it. docs/claims.md says what it reads, how well, and
what it cannot.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, replace

from redaes.evidence.claims import Claim, Relation
from redaes.evidence.clauses import (
    RIVAL,
    Clause,
    Mention,
    Sentence,
    Subject,
    Token,
    divide,
    lowered,
    sentences,
    straight,
)
from redaes.evidence.figures import Figures, figures
from redaes.evidence.lexicon import FILLERS, PLACE_NOUNS, PLACES, REGIONS, VERBS, Term, find, place_of
from redaes.evidence.modifiers import Turn, after, anywhere, before, joined, relation_of
from redaes.evidence.quantities import QUANTITIES
from redaes.evidence.records import Place

VERSION = "claims/1"
"""Name of the rules of reading and checking; raised when a text can be read or judged otherwise."""

MAX_CHARACTERS = 20_000
"""What is read of a text; the rest is left alone."""

_SPOKEN_ONLY = frozenset({"brightness", "contrast", "warmth", "colourfulness", "magenta"})
"""Quantities of the whole picture: a statement about one of its parts is not decided by them."""
_SPOKEN = {quantity.spoken: quantity.name for quantity in QUANTITIES.values()}
_SETS_APART = re.compile(
    r"\b(?:differs?|apart|difference|decides?|company|judged|settled|counts|matters|not (?:alike|equal))\b"
)
"""Sentences that name what differs, and not which way."""
_SAID_ALIKE = re.compile(r"\b(?:no (?:real |visible )?difference|the same|alike|they are level|identical|equal)\b")
_VERDICTS = ("decisive:", "winner:", "difference:", "score:")


@dataclass
class _Hit:
    """A term found in a clause."""

    term: Term
    start: int
    end: int
    clause: int
    turn: Turn
    side: Subject | None = None
    relation: Relation | None = None
    name: str = ""
    """As it stands in the text, in lower case."""
    figures: Figures | None = None
    place: Place | None = None
    is_topic: bool = False

    @property
    def key(self) -> str | None:
        return self.term.quantity


@dataclass
class _Memory:
    """What one sentence leaves to the next."""

    subject: Subject | None = None


def extract(text: str) -> tuple[Claim, ...]:
    """The statements of a text, in its order.

    Args:
        text: any text at all; only its first :data:`MAX_CHARACTERS` are read.
    """
    plain = straight(text[:MAX_CHARACTERS])
    low = lowered(plain)
    claims: list[Claim] = []
    memory = _Memory()
    for sentence in sentences(plain):
        if low[sentence.start : sentence.end].lstrip("*#> -").startswith(_VERDICTS):
            continue
        hits = _hits(low, sentence)
        if not sentence.clauses:  # nothing but signs
            continue
        _sides(sentence, hits, memory)
        _topics(sentence, hits)
        _relations(plain, low, sentence, hits)
        _figures(plain, low, sentence, hits)
        _places(low, sentence, hits)
        own = _claims(text, hits)
        own += _left_unsaid(text, sentence, own or claims[-1:])
        claims = _completed(claims, own)
    return tuple(claims)


# --- Finding ----------------------------------------------------------------------------------------------------------


def _hits(low: str, sentence: Sentence) -> list[_Hit]:
    found: list[_Hit] = []
    for term, start, end in find(low, sentence.start, sentence.end):
        if term.form != "aesthetic" and _is_adverb(low, start, end):
            continue
        if found and found[-1].term.form == "aesthetic" and term.form == "fault" and start - found[-1].end <= 2:
            found.pop()  # "a distracting lens flare"
        name = low[start:end]
        spoken = _SPOKEN.get(name.replace("color", "colour"))
        # A fault may be named as one of the quantities that show it is.
        named = replace(term, quantity=spoken) if term.form == "fault" and spoken is not None else term
        found.append(_Hit(named, start, end, 0, Turn(), name=name))
        if name.startswith("shadow and highlight"):
            found.append(_Hit(replace(named, quantity="clipped_highlights"), start, end, 0, Turn(), name=name))
    divide(sentence, [(hit.start, hit.end) for hit in found])
    begins = [clause.start for clause in sentence.clauses]
    for hit in found:
        hit.clause = max(0, bisect_right(begins, hit.start) - 1)
    for number, clause in enumerate(sentence.clauses):
        _turns(low, clause, [hit for hit in found if hit.clause == number])
    return found


def _is_adverb(low: str, start: int, end: int) -> bool:
    """Whether "clear" only says how much of what follows there is: "a clear tilt"."""
    following = re.match(r" ([a-z]+)", low[end : end + 12])
    goes_on = {"and", "or", "than", "but", "while", "whereas"}
    return low[start:end] == "clear" and following is not None and following[1] not in goes_on


def _turns(low: str, clause: Clause, hits: list[_Hit]) -> None:
    """What turns each hit: the words before and behind it, and those of hits that it is joined with."""
    nothing = clause.tokens[0].text in {"nothing", "none", "nowhere"}
    for at, hit in enumerate(hits):
        previous = hits[at - 1] if at else None
        following = hits[at + 1] if at + 1 < len(hits) else None
        named = [mention.end for mention in clause.mentions if mention.end <= hit.start]
        hit.turn = before(clause.tokens, hit.start, max([previous.end if previous else clause.start, *named[-1:]]))
        if hit.term.form != "adjective":
            stop = following.start if following else clause.end
            hit.turn = hit.turn.joined_with(after(clause.tokens, hit.end, stop, is_last=following is None))
        elif _as_follows(clause.tokens, hit):
            hit.turn = replace(hit.turn, alike=True)
        if nothing:
            hit.turn = hit.turn.negated()
    for at in range(len(hits) - 1, 0, -1):  # "grain and blur are stronger"
        if hits[at].turn.is_after and not hits[at - 1].turn and _coordinated(low, hits[at - 1], hits[at]):
            hits[at - 1].turn = hits[at].turn
    for at in range(1, len(hits)):  # "no text or watermark"
        if not hits[at].turn and hits[at - 1].turn.is_before and _coordinated(low, hits[at - 1], hits[at]):
            hits[at].turn = hits[at - 1].turn


def _coordinated(low: str, one: _Hit, other: _Hit) -> bool:
    forms = {one.term.form, other.term.form}
    if "noun" in forms and one.key is not None and one.key == other.key:
        return False
    if forms == {"noun", "fault"} and not (one.turn.unlike_others or other.turn.unlike_others):
        return False  # "strong grain, light and dark"
    same = forms <= {"noun", "fault"} or (forms == {"adjective"} and one.turn.neither)
    return same and joined(low[one.end : other.start], after_no=one.turn.negative and one.turn.is_before)


def _as_follows(tokens: list[Token], hit: _Hit) -> bool:
    """Whether it stands in "as … as"."""
    before_it = [token.text for token in tokens if token.end <= hit.start][-1:]
    behind_it = [token.text for token in tokens if token.start >= hit.end][:3]
    return before_it == ["as"] and "as" in behind_it


# --- Who --------------------------------------------------------------------------------------------------------------


def _sides(sentence: Sentence, hits: list[_Hit], memory: _Memory) -> None:
    subject = memory.subject
    for number, clause in enumerate(sentence.clauses):
        own = [mention for mention in clause.mentions if not mention.compared_with]
        if clause.opening in {"which", "who", "whose"} and number:
            earlier = [m for c in sentence.clauses[:number] for m in c.mentions]
            subject = earlier[-1].side if earlier else subject
        for hit in (one for one in hits if one.clause == number):
            hit.side, negated = _side_of(hit, sentence, number, own, subject)
            if negated:
                hit.turn = hit.turn.negated()
            if (hit.turn.alike or hit.turn.alike_between) and hit.side is None:
                hit.side = "both"
        if own:
            subject = own[-1].side if own[0].side == "both" or own[-1].side != "both" else own[0].side
            subject = own[0].side if _is_subject(clause, own[0]) else subject
    memory.subject = subject if subject != "both" else memory.subject


def _is_subject(clause: Clause, mention: Mention) -> bool:
    """Whether a clause begins with that mention."""
    return mention.start - clause.start < 12 and mention.side != "both"


def _side_of(
    hit: _Hit, sentence: Sentence, number: int, own: list[Mention], subject: Subject | None
) -> tuple[Subject | None, bool]:
    """Of whom a hit speaks, and whether it says so of neither."""
    clause = sentence.clauses[number]
    inside = [mention for mention in own if mention.start < hit.end and hit.start < mention.end]
    if inside:
        return inside[0].side, inside[0].negated
    following = sentence.clauses[number + 1] if number + 1 < len(sentence.clauses) else None
    if not own and words_of(clause)[:2] == ["it", "is"] and following and following.opening == "that":
        troubled = [mention for mention in following.mentions if not mention.compared_with]
        if troubled:  # "It is noise that troubles B"
            return troubled[0].side, troubled[0].negated
    gone = [m for m in own if hit.turn.is_after and hit.turn.negative and m.start >= (hit.turn.end or hit.end)]
    if gone:  # "the watermark in A is gone in B"
        return gone[0].side, gone[0].negated
    earlier = [mention for mention in own if mention.end <= hit.start]
    later = [mention for mention in own if mention.start >= hit.end]
    if earlier:
        return earlier[-1].side, earlier[-1].negated
    if later:
        return later[0].side, later[0].negated
    compared = [mention for mention in clause.mentions if mention.compared_with and mention.side != "both"]
    has_own_subject = any(token.text in {"it", "its", "this"} for token in clause.tokens)
    if compared and clause.opening not in {"which", "who", "whose"}:
        return RIVAL[compared[-1].side], False
    is_fronted = words_of(clause)[0] in {"with", "without", "despite", "thanks", "given"} and subject is None
    if is_fronted or ((not clause.has_verb() or subject is None) and not has_own_subject):
        ahead = [m for c in sentence.clauses[number + 1 :] for m in c.mentions if not m.compared_with]
        known_before = number and any(m for c in sentence.clauses[:number] for m in c.mentions)
        if ahead and not known_before:
            return ahead[0].side, False
    return subject, False


def _topics(sentence: Sentence, hits: list[_Hit]) -> None:
    """What a heading or "in terms of" names without saying anything of it, and what is then said."""
    for number, clause in enumerate(sentence.clauses):
        own = [hit for hit in hits if hit.clause == number]
        words = [token.text for token in clause.tokens]
        named = clause.closing in {":", "-", "–", "—"} and not clause.has_verb() and not clause.mentions
        words = [word for word in words if word not in {"*", "#", "-"}]
        named = named or words[:3] == ["in", "terms", "of"] or words[:1] == ["regarding"] or words[:2] == ["as", "for"]
        if not named or any(hit.turn or hit.term.form == "adjective" for hit in own):
            continue
        for hit in own:
            hit.is_topic = True
        following = sentence.clauses[number + 1] if number + 1 < len(sentence.clauses) else None
        if not own or following is None or any(hit.clause == number + 1 for hit in hits):
            continue
        turn = anywhere(following.tokens)
        mentions = [mention for mention in following.mentions if not mention.compared_with]
        if turn and mentions:
            own[0].turn, own[0].side, own[0].is_topic = turn, mentions[0].side, False


# --- What -------------------------------------------------------------------------------------------------------------


def _relations(plain: str, low: str, sentence: Sentence, hits: list[_Hit]) -> None:
    sets_apart = _SETS_APART.search(low, sentence.start, sentence.end) is not None
    for hit in hits:
        if hit.is_topic or hit.side is None:
            continue
        clause = sentence.clauses[hit.clause]
        wished = (
            any(token.text in {"would", "could", "should", "needs"} for token in clause.tokens)
            or clause.opening == "if"
        )
        if (hit.term.form in {"adjective", "aesthetic"} or hit.name == "light") and _of_a_place(clause.tokens, hit):
            continue  # "the bright blue top"
        if hit.term.quantity in _SPOKEN_ONLY and hit.term.form == "adjective" and _of_a_region(low, clause, hit):
            hit.term = Term(hit.term.pattern, "aesthetic")
            if not {"make", "makes", "making", "lets"}.isdisjoint(words_of(clause)):
                continue  # "the blue cast makes the snow look cold"
        hit.relation, both = relation_of(hit.term, hit.turn, hit.side, low[hit.start : hit.end], wished=wished)
        if hit.name in {"distracting", "distracts"} and any(
            one.clause == hit.clause and one.term.form == "fault" and one.end <= hit.start for one in hits
        ):
            hit.relation = None  # "the lettering is distracting"
        if words_of(clause)[:3] == ["it", "is", "not"] and hit.term.form == "fault":
            hit.relation = None
        if sets_apart and hit.side == "both" and not hit.turn.unlike_others:
            hit.relation = None  # "they differ in noise", "sharp focus sets them apart"
        if hit.term.form == "fault" and not {"hides", "hide", "masks"}.isdisjoint(words_of(clause)):
            hit.relation = None
        if hit.relation is not None and both:
            hit.side = "both"


def words_of(clause: Clause) -> list[str]:
    """The words of a clause, in lower case."""
    return [token.text for token in clause.tokens]


def _of_a_place(tokens: list[Token], hit: _Hit) -> bool:
    """Whether an adjective only describes a place that the sentence names."""
    behind = [token.text for token in tokens if token.start >= hit.end][:4]
    for word in behind:
        if word in PLACE_NOUNS:
            return True
        if word in FILLERS or word in VERBS or not word.isalpha() or word in {"than", "but", "to"}:
            return False
    return False


def _of_a_region(low: str, clause: Clause, hit: _Hit) -> bool:
    """Whether an adjective speaks of a part of the picture, such as the sky."""
    behind = low[hit.end : min(clause.end, hit.end + 14)].strip()
    if REGIONS.match(behind):
        return True
    for match in REGIONS.finditer(low, clause.start, hit.start):
        words = low[max(clause.start, match.start() - 8) : match.start()].split()
        if not words or (words[-1] not in {"in", "of"} and words[-2:-1] not in (["in"], ["of"])):
            return True
    return False


def _figures(plain: str, low: str, sentence: Sentence, hits: list[_Hit]) -> None:
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
        if found.is_step and hit.key not in {"tilt", "keystone"} and hit.term.fault not in {"turned", "stretch"}:
            continue
        _attach(hit, found, hits)
    for hit in hits:  # "noise measures 1.2 in A and 1.3 in B, which is no difference"
        told = hit.figures is not None and hit.relation is None and len(hit.figures.values) == 2
        if told and _SAID_ALIKE.search(low, sentence.start, sentence.end):
            hit.relation, hit.side = "alike", "both"
            for level in (one for one in hits if one.name == "level"):
                level.relation = None


def _attach(hit: _Hit, found: Figures, hits: list[_Hit]) -> None:
    """Gives figures to the statement about their quantity, or makes one of them."""
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


def _places(low: str, sentence: Sentence, hits: list[_Hit]) -> None:
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


def _claims(text: str, hits: list[_Hit]) -> list[Claim]:
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


def _stated(hit: _Hit) -> tuple[tuple[float | None, float | None], Relation | None, Subject | None]:
    """The figures for A and B, what they alone would say, and of which picture they speak first."""
    found = hit.figures
    if found is None:
        return (None, None), None, None
    speaker: Subject = hit.side if hit.side in {"A", "B"} else "A"
    sides = [side or (speaker if place == 0 else RIVAL[speaker]) for place, side in enumerate(found.sides)]
    if len(sides) == 2 and sides[0] == sides[1]:
        return (None, None), None, None
    shows = hit.name.startswith(("keeps only", "has only", "is left"))  # what it shows, where what it leaves out counts
    by_side = dict(zip(sides, [100 - value if shows else value for value in found.values], strict=True))
    stated = (by_side.get("A"), by_side.get("B"))
    first: Subject = "A" if sides[0] == "A" else "B"
    if len(sides) == 1:
        return stated, "present", first
    difference = by_side[first] - by_side["B" if first == "A" else "A"]
    return stated, "more" if difference > 0 else "less" if difference < 0 else "alike", first


def _left_unsaid(text: str, sentence: Sentence, known: list[Claim]) -> list[Claim]:
    """ "B is not", "B has none": the statement just made, denied of the other picture."""
    last = next((claim for claim in reversed(known) if claim.side != "both" and claim.quantity != "figures"), None)
    clause = sentence.clauses[-1]
    words = [
        token.text for token in clause.tokens if token.text not in {".", "!", "b", "a", "image", "picture", "photo"}
    ]
    if last is None or len(clause.mentions) != 1 or clause.mentions[0].side != RIVAL[last.side]:
        return []
    if words not in (
        ["is", "not"],
        ["has", "none"],
        ["does", "not"],
        ["isn't"],
        ["doesn't"],
        ["shows", "none"],
        ["not"],
    ):
        return []
    turned: dict[Relation, Relation] = {
        "more": "less",
        "less": "more",
        "present": "absent",
        "absent": "present",
        "alike": "alike",
    }
    return [
        Claim(
            text=text[clause.start : clause.end],
            start=clause.start,
            end=clause.end,
            side=RIVAL[last.side],
            relation=turned[last.relation],
            quantity=last.quantity,
            fault=last.fault,
        )
    ]


def _completed(claims: list[Claim], own: list[Claim]) -> list[Claim]:
    """Joins "A: noise 1.2." with the "B: noise 4.4." of a later sentence."""
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
        stated = (first.stated[0] or claim.stated[0], first.stated[1] or claim.stated[1])
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
