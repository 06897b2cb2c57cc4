"""Find statements whose words are in another statement: "B is not", "unlike in B", "B more so", "they are gone in
B"."""

from __future__ import annotations

import re
from collections.abc import Sequence

from redaes.evidence.claims import Claim, Relation
from redaes.evidence.clauses import RIVAL, Sentence

_PICTURE = r"(?:the )?(?:[Ii]mage |[Pp]hoto |[Pp]icture )?(?P<side>[AB])(?![\w*])"
_DENIED = re.compile(
    rf"(?<!\w){_PICTURE} (?:is not|isn't|is|has none|does not|doesn't|shows none|does)(?P<end>[.,;!]|$)"
)
_UNLIKE = re.compile(rf"\bunlike (?:in |that of |those of |that in |those in )?{_PICTURE}")
_SEEN_IN = re.compile(rf"\b(?:seen|visible|found|present) in {_PICTURE}")
_GONE_IN = re.compile(
    rf"\b(?:[Tt]hey|[Ii]t|[Tt]hese|[Tt]his) (?:are|is) (?:absent|missing|gone|not (?:there|present|visible|seen)) "
    rf"(?:in|from) {_PICTURE}"
)
_MORE_SO = re.compile(
    rf"(?<!\w){_PICTURE} (?:even )?more so|\b(?:especially|particularly) (?:in )?(?P<other>[AB])(?!\w)"
    r"|\b(?:it|this|that|they)(?:'s|'re| is| are| looks?) "
    r"(?:even |much |far |clearly |noticeably |somewhat |slightly |a bit )?"
    r"(?:worse|stronger|heavier|more (?:obvious|visible|pronounced|noticeable|severe)) in (?:image |photo |picture )?"
    r"(?P<worse>[AB])(?!\w)"
)
_DENIAL: dict[Relation, Relation] = {
    "more": "less", "less": "more", "present": "absent", "absent": "present", "alike": "alike",
}  # fmt: skip


def left_unsaid(plain: str, sentence: Sentence, own: Sequence[Claim], earlier: Sequence[Claim]) -> list[Claim]:
    """Return the statements that a sentence makes by reference to other words.

    Args:
        plain: the text with plain apostrophes and blanks.
        sentence: sentence of the text.
        own: the statements that it makes in its own words, in order.
        earlier: the statements of the sentences before.
    """
    found: list[Claim] = []
    start, end = sentence.start, sentence.end
    for pattern, needs_fault in ((_DENIED, False), (_UNLIKE, True), (_SEEN_IN, True), (_GONE_IN, True)):
        match = pattern.search(plain, start, end)
        if match is None:
            continue
        before = [claim for claim in own if claim.start < match.start()]
        said = [*before] or ([*earlier[-1:]] if pattern in {_DENIED, _GONE_IN} else [])
        said = [claim for claim in said if claim.fault is not None or not needs_fault]
        if pattern is _DENIED and match.group().rstrip(".,;!").endswith((" is", " does")):
            continue
        if pattern is _SEEN_IN:  # "does not suffer from the cast seen in A"
            said = [claim for claim in said if claim.relation == "absent" and claim.end <= match.start() + 1]
        if not said or said[-1].side != RIVAL["A" if match["side"] == "A" else "B"]:
            continue
        found.append(_of_other(plain, said[-1], match))
    match = _MORE_SO.search(plain, start, end)
    shared = [claim for claim in own if claim.side == "both" and claim.relation == "present" and claim.quantity]
    if match is not None and shared and shared[-1].end <= match.start():
        side = match["side"] or match["other"] or match["worse"]
        found.append(
            Claim(
                text=plain[match.start() : match.end()],
                start=match.start(),
                end=match.end(),
                side="A" if side == "A" else "B",
                relation="more",
                quantity=shared[-1].quantity,
            )
        )
    return found


def _of_other(plain: str, said: Claim, match: re.Match[str]) -> Claim:
    """Return a statement negated for the other picture."""
    return Claim(
        text=plain[match.start() : match.end()],
        start=match.start(),
        end=match.end(),
        side=RIVAL[said.side],
        relation=_DENIAL[said.relation],
        quantity=said.quantity,
        fault=said.fault,
    )
