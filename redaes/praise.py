"""Detect whether prose about two pictures contradicts the winner that its answer states.

These rules only refuse answers. They tend towards finding a contradiction: a false alarm loses an answer, but a missed
contradiction would be read as a wrong verdict. In prose beside the form, the other picture may be named only as the one
that the winner is better than.
"""

from __future__ import annotations

import re

from redaes.errors import ParseError
from redaes.types import Winner

_PICTURE = r"(?:picture|image|photo(?:graph)?|shot|frame|version|option)"
_VERB = r"(?:is|was|has|had|wins?|won|looks|shows|leads|remains|would|may|might|should|could|deserves|gets|takes|comes)"
_PRAISE = (
    r"(?:better|best|stronger|strongest|superior|prefer\w*|wins?|winner|won|winning|favou?r\w*|choose|choice|chosen|"
    r"pick|go with|going with|opt for|outperforms|beats|edges out|surpasses)"
)
_DISPRAISE = r"(?:worse|worst|weaker|weakest|inferior|loses|loser|falls short|falls behind)"
_AGAINST = r"(?:than|over|to|beats|outperforms|surpasses|edges out|rather than|compared (?:to|with)|against)"

# "A" at the beginning, followed by a lower-case word, is an article, unless that word is a verb. Letters beside
# Chinese characters are words of their own.
_AFTER = rf"{_VERB}|and|or|over|than|as|because|by|for|in|on|due|since|overall|clearly|slightly|rather|instead"
_WHO = re.compile(
    rf"(?<![A-Za-z0-9])(?:(?P<letter>B|(?<=[\w,;:)] )A|A(?!\s+(?!(?i:{_AFTER})\b)[a-z]))"
    rf"|(?P<place>(?i:first|second|former|latter|left|right))(?=[- ]+(?i:{_PICTURE}|one|{_VERB})\b)"
    rf"|(?i:{_PICTURE})\s+\#?(?P<number>[12]))(?![A-Za-z0-9])"
)
_FOR = re.compile(rf"\b{_PRAISE}\b", re.IGNORECASE)
_BLAME = re.compile(rf"\b{_DISPRAISE}\b", re.IGNORECASE)
_THAN = re.compile(rf"\b{_AGAINST}\b[^.!?]*$", re.IGNORECASE)
_EVEN = re.compile(
    r"\b(?:tie|tied|equal|equally|draw|neither|both\s+(?:are|win)|no\s+(?:clear\s+)?winner|hard\s+to\s+(?:choose|say)|"
    r"cannot\s+(?:decide|choose|tell))\b",
    re.IGNORECASE,
)
_NOT = re.compile(r"\b(?:not|never|neither|nor|no|cannot|hardly)\b|n['\u2019]t\b", re.IGNORECASE)
_TAKES_BACK = re.compile(
    r"\b(?:wait|actually|correction|scratch\s+that|on\s+(?:second\s+thought|reflection)|reconsider\w*|revis(?:e|ed|ing)|"
    r"chang(?:e|ed|ing)\s+my|apologi[sz]e\w*|sorry|mistake|should\s+be|instead|hmm+|alternatively)\b",
    re.IGNORECASE,
)
_CONCLUDES = re.compile(
    r"\b(?:overall|all\s+in\s+all|in\s+(?:total|sum|conclusion|the\s+end)|on\s+balance|altogether|therefore|prefer|"
    r"(?:would|I)\s+(?:choose|pick)|winner|wins|neither|equally\s+(?:good|strong|well)|"
    rf"(?:better|stronger|superior|best)\s+(?:{_PICTURE}|one|of\s+the\s+two|overall))\b",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"(?:[^.!?\n\u3002]|\.(?=[0-9]))+")
_CLAUSE = re.compile(r"\s*(?:[,;:]|\b(?:but|while|whereas|although|though|yet|however)\b)\s*", re.IGNORECASE)
_NUMBER = r"(?P<score>[0-9]{1,2}(?:[.,][0-9]{1,2})?)\b"
_SCORES = (
    re.compile(
        r"\b(?P<who>[AB])\b(?:['\u2019]s)?\s*(?i:score[sd]?|rating|rated|gets|receives|earns)\s*(?i:is|of|at)?"
        r"\s*[:=(]?\s*" + _NUMBER
    ),
    re.compile(
        r"\b(?P<who>[AB])\b\)?\s*(?:[:=(]|is)\s*" + _NUMBER + r"(?=\s*(?:/\s*(?:9|10)\b|points?\b|\)|[,;]|\.(?!\d)|$))",
        re.MULTILINE,
    ),
)
_NAMES: dict[str, Winner] = {
    "a": "A", "first": "A", "former": "A", "left": "A", "1": "A",
    "b": "B", "second": "B", "latter": "B", "right": "B", "2": "B",
}  # fmt: skip
_NO_ANSWER = re.compile(
    r"(?:\b(?:can(?:not|['\u2019]t)|unable\s+to|not\s+able\s+to)\s+(?:directly\s+)?(?:see|view|access|open|display|analy[sz]e|"
    rf"process)\s+(?:\w+\s+){{0,2}}{_PICTURE}s?\b)"
    rf"|\bno\s+{_PICTURE}s?\s+(?:\w+\s+)?(?:provided|attached|visible|available|given|shown|uploaded)\b"
    rf"|\b(?:do|does)(?:\s+not|n['\u2019]t)\s+have\s+access\b|\btext-based\b|\bupload\s+(?:\w+\s+){{0,2}}{_PICTURE}s?\b",
    re.IGNORECASE,
)
_EXAMPLE = re.compile(
    r"\b(?:sample|example|hypothetical\w*|template|placeholder|illustrat\w*|would\s+look|"
    r"if\s+you\s+(?:send|upload|share|provide))\b|(?:^|[.!?:]\s)\W*if\b",
    re.IGNORECASE | re.MULTILINE,
)


def refuse_other_praise(prose: str, winner: Winner) -> None:
    """Refuse prose beside the form that prefers another picture than the winner, takes the verdict back, or says that
    it is not an answer.

    >>> refuse_other_praise("Overall, B is the better photograph.", "B")

    Raises:
        ParseError: ``contradiction`` or ``not_an_answer``.
    """
    refuse_blind(prose)
    if _EXAMPLE.search(prose):
        raise ParseError("not_an_answer", f"it is called an example: {prose.strip()[:80]!r}")
    for sentence in _SENTENCE.findall(prose):
        _check(sentence, winner)
    refuse_other_scores(prose, winner)


def refuse_other_conclusion(reasoning: str, winner: Winner) -> None:
    """Refuse a reasoning that prefers another picture than the winner as a whole. What it says of single factors is
    free: the winner may be the noisier picture.

    >>> refuse_other_conclusion("B has better colour, but A is the better photograph.", "A")

    Raises:
        ParseError: ``contradiction``.
    """
    for sentence in _SENTENCE.findall(reasoning):
        for clause in _CLAUSE.split(sentence):
            if _CONCLUDES.search(clause) and not (_EVEN.search(clause) and winner == "tie"):
                _check(clause, winner)
    refuse_other_scores(reasoning, winner)


def refuse_other_scores(text: str, winner: Winner) -> None:
    """Refuse a text that gives both pictures scores that contradict the winner.

    >>> refuse_other_scores("A: 7/10, B: 5/10", "A")

    Raises:
        ParseError: ``contradiction``.
    """
    scores: dict[str, float] = {}
    for pattern in _SCORES:
        for match in pattern.finditer(text):
            scores.setdefault(match["who"], float(match["score"].replace(",", ".")))
    if len(scores) == 2:
        leads = "tie" if scores["A"] == scores["B"] else "A" if scores["A"] > scores["B"] else "B"
        if leads != winner:
            raise ParseError("contradiction", f"winner {winner}, and scores of {scores['A']:g} and {scores['B']:g}")


def refuse_blind(text: str) -> None:
    """Refuse a text that says that its writer cannot see the pictures.

    Raises:
        ParseError: ``not_an_answer``.
    """
    if match := _NO_ANSWER.search(text):
        raise ParseError("not_an_answer", f"the model says that it sees no pictures: {match[0]!r}")


def _check(sentence: str, winner: Winner) -> None:
    """
    Raises:
        ParseError: ``contradiction``: the sentence may prefer somebody else than the winner.
    """
    praises, blames = _FOR.search(sentence) is not None, _BLAME.search(sentence) is not None
    named: set[Winner] = set()
    against: set[Winner] = set()
    for match in _WHO.finditer(sentence):
        name = _NAMES[(match["letter"] or match["place"] or match["number"]).lower()]
        (against if _THAN.search(sentence[: match.start()]) else named).add(name)
    wrong = bool(_TAKES_BACK.search(sentence)) or bool(praises and named and _NOT.search(sentence))
    if winner == "tie":
        wrong |= bool(named | against) and (praises or blames)
    elif blames:
        wrong |= winner in named or (bool(named) and praises)
    else:
        wrong |= bool(named - {winner}) or winner in against or _EVEN.search(sentence) is not None
    if wrong:
        raise ParseError("contradiction", f"winner {winner}, and beside that: {sentence.strip()[:80]!r}")
