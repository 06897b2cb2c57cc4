"""Rules for rationales: they must not contradict their pair or the measurements, reveal how the pair was made, or break
the grammar.

:func:`contradictions` checks for what the embedded writer could get wrong. :func:`check_text` checks the free text of
a model, which can get anything wrong. It looks for words, so it errs in both directions: it refuses some harmless
sentences (a rejected text is written again), and it misses a leak in unusual words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from redaes.answers import parse_rationale
from redaes.datagen.rationales.frames import SIZES
from redaes.errors import ParseError
from redaes.evidence.checking import check_rationale
from redaes.evidence.measurements import PairEvidence
from redaes.evidence.rationale_truth import measured_words
from redaes.types import Factor, Rationale, winner_of

MIN_WORDS, MAX_WORDS = 20, 140
"""Length of a model's reasoning, without the closing sentence, in words."""

MOST_FACTORS = 2
"""Largest number of factors that a model may name as deciding."""

QUOTED_WORDS = 5
"""Number of consecutive words of an instruction that count as a quotation; of a shorter instruction, all its words."""

EXPLANATIONS: dict[str, str] = {
    "empty_rationale": "there is no reasoning before the closing sentence",
    "not_decisive": "it does not end with exactly one closing sentence of the given form",
    "unknown_factor": "the closing sentence names something that is not a factor",
    "not_plain": "it holds markup or answer lines; plain sentences only",
    "too_short": "it is too short",
    "too_long": "it is too long",
    "wrong_side": "the closing sentence names the wrong picture as better",
    "concludes_otherwise": "a sentence concludes for the picture that is not better",
    "wrong_size": "it calls the difference much larger or smaller than it is",
    "missing_factor": "the closing sentence leaves out a deciding factor",
    "extra_factor": "the closing sentence names a factor that does not decide",
    "factor_not_discussed": "the reasoning does not say what is seen of a deciding factor",
    "mentions_score": "it speaks of scores, points or ratings",
    "mentions_editing": "it speaks of how the pictures came about (edits, originals, versions, instructions)",
    "names_position": "it calls a picture first, second, left or right instead of A or B",
    "quotes_instruction": "it repeats the wording of what was asked for",
    "contradicts_measurement": "it says what the measurements contradict",
}
"""Reasons for refusing a text, with the explanation that the model gets when it writes again."""

_PLAIN = re.compile(r"<|>|[{}]|\*\*|^#|\bWinner:|\bDifference:", re.MULTILINE)
_SCORE = re.compile(
    r"\bscor(?:e|es|ed|ing)\b|\brat(?:ed|ings?)\b|\d\s*points?\b|\bpoints? (?:better|worse|higher|lower|ahead)\b"
    r"|\bby (?:\w+ )?points\b|\bout of (?:ten|nine|10|9)\b|\d\s*/\s*(?:9|10)\b|\bdelta\b|Δ|[+±]\s?\d",
    re.IGNORECASE,
)
_EDITING = re.compile(
    r"\b(?:un)?edit(?:s|ed|ing|or|ors)?\b|\boriginal(?:s|ly)?\b|\b(?:un)?retouch\w*|\b(?:un)?alter(?:ed|ation|ations)\b"
    r"|\bmanipulat\w*|\bphotoshop\w*|\b(?:un)?modif(?:ied|ication|ications)\b|\b(?:over|post|un)?-?process(?:ed|ing)\b"
    r"|\b(?:AI|computer)?-?\bgenerated\b|\bsource (?:image|picture|photo\w*)|\bversions?\b|\binstruct\w*|\bprompts?\b"
    r"|\bbefore and after\b|\b(?:has|have|had) been (?:made|changed|added|removed|applied|replaced)\b"
    r"|\b(?:was|were) (?:added|applied|removed|replaced|changed)\b|\breference (?:image|picture|photo\w*)",
    re.IGNORECASE,
)
_POSITION = re.compile(
    r"\b(?:first|second|left|right)(?:-hand)? (?:picture|photo|photograph|image|shot|frame|one)\b", re.IGNORECASE
)
_SMALL = r"slightly|marginally|a little|a bit|somewhat|barely"
_LARGE = r"far|much|vastly|greatly|considerably|by far|hugely"
_PICTURE = "picture|photo|photograph|image|shot|frame|one"
_CONCLUDES = re.compile(
    rf"\b(?P<side>[AB]) (?:is|remains|comes out) (?!not\b|no\b)"
    rf"(?:(?:(?P<small>{_SMALL})|(?P<large>{_LARGE})|\w+) )?(?:the )?"
    rf"(?:better|stronger|superior|preferable|winner)(?= (?:{_PICTURE}|than|because|since|overall)\b|[.,;:!]|\s*$)"
)
_PREFERS = re.compile(
    r"\b(?:prefer|choose|winner is|favou?rs?) (?P<side>[AB])(?= (?:is|the|over|as|to|because|since)\b|[.,;:!]|\s*$)"
    r"|\b(?:makes|leaves) (?P<made>[AB]) (?:\w+ )?(?:the )?(?:better|stronger|superior|winner)\b"
)

_VOCABULARY: dict[Factor, str] = {
    "light": "light lit bright dark expos shadow highlight contrast haz flat glar glow sun tonal harsh black white "
    "vignett corner veil mist dim shade",
    "colour": "colo hue satur warm cool cast tint tone red green blue yellow orange magenta vivid pale dull white "
    "posteri pink ting grad",
    "focus": "focus sharp blur soft crisp detail halo smear shak depth edge definition textur",
    "noise": "nois grain artefact artifact compress block band pixel clean speck smooth blotch rough strip row",
    "composition": "compos fram crop tilt horizon balanc edge centr center level lean room cut perspective corner line "
    "space stretch proportion keystone distort",
    "content": "background clutter distract object tidy mess litter stamp watermark dirt flare wire cable pole finger "
    "surround intru busy calm clean scene spot",
    "subject": "subject express pose eye face smil moment gaze look posture person animal head body fresh worn",
    "mood": "mood atmospher feel weather sky dusk dawn mist fog golden drama calm quiet dreary gloom season style cold "
    "warm",
}
"""Beginnings of words for each factor; the reasoning must contain one of them, with or without one of the prefixes."""
_PREFIXES = "under|over|un|de|dis|mis|back|sun"


@dataclass(frozen=True)
class CheckedText:
    """A model's text after the check."""

    rationale: Rationale | None
    """The reasoning; None if the text does not follow the grammar."""
    reasons: tuple[str, ...]
    """Keys of :data:`EXPLANATIONS`; empty if the text may be used."""
    contradicted: tuple[str, ...] = ()
    """Statements that the measurements contradict, with the measured values."""


def _words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text.lower())


def _quotes(text: str, instruction: str) -> bool:
    said, asked = _words(text), _words(instruction)
    length = min(QUOTED_WORDS, len(asked))
    if not length:
        return False
    runs = {tuple(asked[start : start + length]) for start in range(len(asked) - length + 1)}
    return any(tuple(said[start : start + length]) in runs for start in range(len(said) - length + 1))


def _discusses(text: str, factor: Factor) -> bool:
    beginnings = _VOCABULARY[factor].replace(" ", "|")
    return re.search(rf"\b(?:{_PREFIXES})?(?:{beginnings})", text, re.IGNORECASE) is not None


def _size_is_wrong(conclusion: re.Match[str], delta: float) -> bool:
    size = abs(delta)
    return bool((conclusion["small"] and size >= SIZES[1][0]) or (conclusion["large"] and size < SIZES[0][0]))


def _concluded(text: str) -> set[str]:
    """Return the pictures that a text declares the better one."""
    preferred = {match["side"] or match["made"] for match in _PREFERS.finditer(text)}
    return preferred | {match["side"] for match in _CONCLUDES.finditer(text)}


def _contradicted(text: str, evidence: PairEvidence) -> tuple[str, ...]:
    """Return the statements of a text that the measurements contradict, with the measured values."""
    found = []
    for one in check_rationale(text, evidence).checked:
        if one.status == "contradicted":
            measured = measured_words(one)
            found.append(f'"{one.claim.text}"' + (f" ({measured})" if measured else ""))
    return tuple(found)


def check_text(
    text: str,
    delta: float,
    factors: Sequence[Factor] | None,
    instructions: Sequence[str] = (),
    evidence: PairEvidence | None = None,
) -> CheckedText:
    """Read a model's reasoning with its closing sentence, and return what is wrong with it.

    Args:
        text: the model's text; runs of white space count as one space.
        delta: score of A minus score of B, in points.
        factors: the deciding factors; empty for a tie; None: the model had to find and name up to :data:`MOST_FACTORS`.
        instructions: the editors' instructions, of which nothing may be quoted.
        evidence: measurements of A and B; if None, statements are not checked.
    """
    text = " ".join(text.split())
    try:
        rationale = parse_rationale(text)
    except ParseError as error:
        return CheckedText(None, (error.reason,))
    expected = winner_of(delta)
    body = rationale.text
    open_choice = factors is None
    wanted = rationale.factors if factors is None else tuple(factors)
    n_words = len(_words(body))
    contradicted = () if evidence is None else _contradicted(body, evidence)
    conclusions = list(_CONCLUDES.finditer(body))
    tests = {
        "not_plain": _PLAIN.search(body) is not None,
        "too_short": n_words < MIN_WORDS,
        "too_long": n_words > MAX_WORDS,
        "wrong_side": rationale.better != expected,
        "concludes_otherwise": bool(_concluded(body) - {expected}),
        "wrong_size": any(_size_is_wrong(match, delta) for match in conclusions),
        "missing_factor": not set(wanted) <= set(rationale.factors),
        "extra_factor": not set(rationale.factors) <= set(wanted) or (open_choice and len(wanted) > MOST_FACTORS),
        "factor_not_discussed": any(not _discusses(body, factor) for factor in wanted),
        "mentions_score": _SCORE.search(body) is not None,
        "mentions_editing": _EDITING.search(body) is not None,
        "names_position": _POSITION.search(body) is not None,
        "quotes_instruction": any(_quotes(body, instruction) for instruction in instructions),
        "contradicts_measurement": bool(contradicted),
    }
    return CheckedText(rationale, tuple(reason for reason, holds in tests.items() if holds), contradicted)


def contradictions(rationale: Rationale, delta: float, factors: Sequence[Factor]) -> list[str]:
    """Return the points in which a rationale contradicts its pair; empty if there are none."""
    found: list[str] = []
    expected = winner_of(delta)
    if rationale.better != expected:
        found.append(f"names {rationale.better} as better, the difference {delta:+.1f} says {expected}")
    if tuple(rationale.factors) != tuple(factors):
        found.append(f"names {rationale.factors}, decided by {tuple(factors)}")
    concluded = _concluded(rationale.text)
    if concluded - {expected}:
        found.append(f"its text concludes that {' and '.join(sorted(concluded))} is better")
    return found
