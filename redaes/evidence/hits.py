"""Find the terms of a sentence, the words that modify each, and the picture that each is about."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, replace

from redaes.evidence.claims import Relation
from redaes.evidence.clauses import RIVAL, Clause, Mention, Sentence, Subject, Token, divide
from redaes.evidence.figures import Figures
from redaes.evidence.lexicon import Term, begins_term, find
from redaes.evidence.measurements import Place
from redaes.evidence.modifiers import Turn, after, anywhere, before, joined
from redaes.evidence.places import REGIONS
from redaes.evidence.quantities import QUANTITIES
from redaes.evidence.turning_words import FILLERS, VERBS, word_set

WHOLE_PICTURE = word_set("brightness warmth colourfulness magenta contrast")
"""Quantities of the whole picture, which do not decide a statement about a part of it."""
_THING = re.compile(r" (?:finger|thumb|object|hand|figure|person|passer-?by|blob|smudge|spot)s?(?!\w)")
"""Nouns that an adjective before them describes instead of the picture: "a blurry thumb"."""
_SPOKEN = {quantity.spoken: quantity.name for quantity in QUANTITIES.values()}
_PICTURED = word_set(
    "exposure shot impression details result palette frame color photo picture ones tone detail photograph "
    "look rendering one version hues colour light appearance feel overall focus tones colours rendition edge "
    "colors image hue texture edges"
)
"""Nouns after an adjective that is about the picture itself: "a sharp photograph"."""
_GOES_ON = word_set(
    "whereas due to or while for that from because with but which over since too where as than against like "
    "when and nor thanks"
)


@dataclass
class Hit:
    """A term found in a clause."""

    term: Term
    start: int
    end: int
    clause: int
    turn: Turn
    side: Subject | None = None
    relation: Relation | None = None
    name: str = ""
    """The words of the term as in the text, in lower case."""
    figures: Figures | None = None
    place: Place | None = None
    is_topic: bool = False

    @property
    def key(self) -> str | None:
        return self.term.quantity


@dataclass
class Memory:
    """What the next sentence needs to know about the sentences before it."""

    subject: Subject | None = None


# --- Finding ----------------------------------------------------------------------------------------------------------


def hits_of(low: str, sentence: Sentence) -> list[Hit]:
    """Return the terms of a sentence with the words that modify them. Also divides the sentence into its clauses.

    Args:
        low: the text in lower case.
        sentence: sentence of the text.
    """
    found: list[Hit] = []
    for term, start, end in find(low, sentence.start, sentence.end):
        if term.form == "ignored" or (term.form != "aesthetic" and _describes_something(low, term, end)):
            continue
        if found and found[-1].term.form == "aesthetic" and term.form == "fault" and start - found[-1].end <= 2:
            found.pop()  # "a distracting lens flare"
        name = low[start:end]
        spoken = _SPOKEN.get(name.replace("color", "colour"))
        # The name of a fault may also be the name of a quantity that shows it.
        named = replace(term, quantity=spoken) if term.form == "fault" and spoken is not None else term
        found.append(Hit(named, start, end, 0, Turn(), name=name))
        if name.startswith("shadow and highlight"):
            found.append(Hit(replace(named, quantity="clipped_highlights"), start, end, 0, Turn(), name=name))
    divide(sentence, [(hit.start, hit.end) for hit in found])
    begins = [clause.start for clause in sentence.clauses]
    for hit in found:
        hit.clause = max(0, bisect_right(begins, hit.start) - 1)
    for number, clause in enumerate(sentence.clauses):
        _turns(low, clause, [hit for hit in found if hit.clause == number])
    return found


def _describes_something(low: str, term: Term, end: int) -> bool:
    """Return whether an adjective describes a thing in the picture ("a bright red boat") or a degree ("a clear
    tilt")."""
    if term.form == "adjective" and _THING.match(low, end):
        return True
    if term.form != "adjective" or term.quantity not in WHOLE_PICTURE | {"haze", "sharpness", "noise", "cast"}:
        return False
    if term.quantity == "sharpness" and term.pattern not in {"soft", "softer"}:  # "crisp fur"
        return False
    following = re.match(r" ([a-z]+)", low[end : end + 24])
    if following is not None and low[max(0, end - 5) : end] == "clear":
        return following[1] not in _GOES_ON
    if following is None or following[1] in _PICTURED or following[1].endswith("ly"):
        return False
    word = following[1]
    if term.quantity == "noise" and REGIONS.match(word):
        return False
    is_function = (word in FILLERS and word != "light") or word in VERBS or word in _GOES_ON
    return not is_function and not begins_term(low, end + 1)


def _turns(low: str, clause: Clause, hits: list[Hit]) -> None:
    """Find what modifies each hit: the words before and after it, and those of hits that it is joined with."""
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
        if previous is not None and previous.start == hit.start:  # two quantities in one phrase
            hit.turn = previous.turn
        elif nothing:
            hit.turn = hit.turn.negated()
    for at in range(len(hits) - 1, 0, -1):  # "grain and blur are stronger"
        if hits[at].turn.is_after and not hits[at - 1].turn and _coordinated(low, hits[at - 1], hits[at]):
            hits[at - 1].turn = hits[at].turn
    for at in range(1, len(hits)):  # "no text or watermark"
        if not hits[at].turn and hits[at - 1].turn.is_before and _coordinated(low, hits[at - 1], hits[at]):
            hits[at].turn = hits[at - 1].turn


def _coordinated(low: str, one: Hit, other: Hit) -> bool:
    forms = {one.term.form, other.term.form}
    if "noun" in forms and one.key is not None and one.key == other.key:
        return False
    if forms == {"noun", "fault"} and not (one.turn.unlike_others or other.turn.unlike_others):
        return False  # "strong grain, light and dark"
    same = forms <= {"noun", "fault"} or (forms == {"adjective"} and one.turn.neither)
    return same and joined(low[one.end : other.start])


def _as_follows(tokens: list[Token], hit: Hit) -> bool:
    """Return whether the term is inside "as … as"."""
    before_it = [token.text for token in tokens if token.end <= hit.start][-1:]
    behind_it = [token.text for token in tokens if token.start >= hit.end][:3]
    return before_it == ["as"] and "as" in behind_it


# --- Which picture ----------------------------------------------------------------------------------------------------


def set_sides(sentence: Sentence, hits: list[Hit], memory: Memory) -> None:
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
    """Return whether a clause begins with that mention."""
    return mention.start - clause.start < 12 and mention.side != "both"


def _side_of(
    hit: Hit, sentence: Sentence, number: int, own: list[Mention], subject: Subject | None
) -> tuple[Subject | None, bool]:
    """Return which picture a hit is about, and whether it is denied."""
    clause = sentence.clauses[number]
    inside = [mention for mention in own if mention.start < hit.end and hit.start < mention.end]
    if inside:
        return inside[0].side, inside[0].negated
    following = sentence.clauses[number + 1] if number + 1 < len(sentence.clauses) else None
    if not own and clause.words[:2] == ["it", "is"] and following and following.opening == "that":
        troubled = [mention for mention in following.mentions if not mention.compared_with]
        if troubled:  # "It is noise that troubles B"
            return troubled[0].side, troubled[0].negated
    gone = [m for m in own if hit.turn.is_after and hit.turn.negative and m.start >= (hit.turn.end or hit.end)]
    if gone:  # "the watermark in A is gone in B"
        return gone[0].side, gone[0].negated
    earlier = [mention for mention in own if mention.end <= hit.start]
    later = [mention for mention in own if mention.start >= hit.end]
    if earlier and later and _stands_in(clause, earlier[-1].start) and _stands_in(clause, later[0].start, hit.end):
        return later[0].side, later[0].negated  # "the warmer tones of A and the colder tones of B"
    if earlier:
        return earlier[-1].side, earlier[-1].negated
    if later:
        return later[0].side, later[0].negated
    compared = [mention for mention in clause.mentions if mention.compared_with and mention.side != "both"]
    has_own_subject = any(token.text in {"it", "its", "this"} for token in clause.tokens)
    if compared and clause.opening not in {"which", "who", "whose"}:
        return RIVAL[compared[-1].side], False
    starts = following is not None and bool(following.mentions) and following.mentions[0].start == following.start
    is_fronted = clause.words[0] in {"with", "without", "despite", "thanks", "given", "by", "being"}
    is_fronted = is_fronted and (subject is None or (number == 0 and starts))
    if is_fronted or ((not clause.has_verb() or subject is None) and not has_own_subject):
        ahead = [m for c in sentence.clauses[number + 1 :] for m in c.mentions if not m.compared_with]
        known_before = number and any(m for c in sentence.clauses[:number] for m in c.mentions)
        if ahead and not known_before:
            return ahead[0].side, False
    return subject, False


def _stands_in(clause: Clause, start: int, floor: int | None = None) -> bool:
    """Return whether a mention follows "of" or "in". With ``floor``, the mention must also be at most three words after
    that position."""
    before_it = [token for token in clause.tokens if token.end <= start][-1:]
    near = floor is None or sum(floor <= token.start < start for token in clause.tokens) <= 3
    return near and bool(before_it) and before_it[0].text in {"of", "in"}


def set_topics(sentence: Sentence, hits: list[Hit]) -> None:
    """Find topics that a heading or "in terms of" names, and apply to them what is said about them later."""
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
