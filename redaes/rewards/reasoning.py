"""Rewards for the content of a reasoning: naming the deciding fault, and statements that agree with the measurements.

They are pure functions of a parsed answer, its checked statements (:mod:`redaes.evidence.claims`) and the labels of the
pair. As for all rewards, a failed completion gets 0.0 and a missing label gives None. Letters are those of the order in
which the pictures were shown.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from redaes.evidence.claims import CheckedClaim, Claims
from redaes.evidence.faults import FAULTS, Fault
from redaes.evidence.measurements import OTHER_SIDE, PairEvidence, Side
from redaes.evidence.quantities import QUANTITIES
from redaes.evidence.rationale_truth import implies_fault
from redaes.types import Edit, Verdict, Winner

SHOWN = 0.5
"""Reward for a deciding fault that is not named but described by its measured quantity: "softer" for motion blur."""

NEAR = 0.1
"""Reward for naming another fault of the same factor on the right picture: "a finger" for power lines."""

WITHOUT_FIGURE = 0.5
"""Weight of a statement that quotes no figure, because guessing gets half of them right."""

TRIVIAL = 0.25
"""Weight of all statements together that are true of nearly any two pictures."""

SAME_FACT: Mapping[str, str] = {"edge_width": "sharpness", "dynamic_range": "contrast", "lettering": "changes"}
"""Quantities that mean the same as another one, or as the parts of the scene that only one picture has; statements
about both count as one.
"""

GENERIC = frozenset({"blown_highlights", "crushed_shadows", "colour_cast", "text_overlay", "covered"})
"""Generic faults, which are true of several other faults but do not name them."""

RELATIVE = frozenset({"turned", "covered", "broadened"})
"""Relations that describe how one picture's view relates to the other's, and name no fault."""

_MISREAD = ("sign", "side", "absent")
"""Kinds of contradiction that invert a fault or claim an absent one; a wrong figure is not among them."""


def faults_shown(edit_first: Edit | None, edit_second: Edit | None) -> tuple[str | None, str | None]:
    """Return the names of the faults that two edits leave in the first and the second picture.

    An edit that makes a picture worse is a fault of that picture. An edit that makes it better means that the other
    picture, if it is not edited, has the corrected fault.

    >>> noisy = Edit(factor="noise", operation="noise_luma", direction="degrade", strength=0.5, instruction="add noise",
    ...              editor="embedded/2", seed=0)
    >>> faults_shown(None, noisy)
    (None, 'noise_luma')
    >>> faults_shown(None, noisy.model_copy(update={"direction": "improve"}))
    ('noise_luma', None)
    """
    edits = (edit_first, edit_second)
    found: list[str | None] = [
        edit.operation if edit is not None and edit.direction == "degrade" and edit.operation in FAULTS else None
        for edit in edits
    ]
    for place, edit in enumerate(edits):
        other = 1 - place
        if edit is not None and edit.direction == "improve" and edits[other] is None and edit.operation in FAULTS:
            found[other] = edit.operation
    return found[0], found[1]


def deciding(faults: Sequence[str | None], better: Winner) -> tuple[str, Side] | None:
    """Return the name of the worse picture's fault, and that picture; None: a tie, or a fault without a name.

    >>> deciding((None, "noise_luma"), "A"), deciding((None, "noise_luma"), "B")
    (('noise_luma', 'B'), None)
    """
    if better == "tie":
        return None
    worse = OTHER_SIDE[better]
    name = faults["AB".index(worse)]
    return None if name is None else (name, worse)


def symptom_reward(
    verdict: Verdict | None, claims: Claims | None, faults: Sequence[str | None] | None, better: Winner | None
) -> float | None:
    """Return the reward for naming the very fault that decides, on the picture that has it; our definition.

    It is 1 for the fault's name, :data:`SHOWN` for its measured quantity, or :data:`NEAR` for another fault of its
    factor, divided by the number of named faults; faults that are present are not counted. It is 0 if the fault is said
    of both pictures, if a quantity that shows it is stated the wrong way round, or if the rationale calls the wrong
    picture better.

    >>> from redaes.evidence.claims import Claim
    >>> from redaes.types import Rationale
    >>> said = Rationale(text="B is noisy.", factors=("noise",), better="A")
    >>> verdict = Verdict(winner="A", delta=2.0, rationale=said)
    >>> named = Claim(text="B is noisy", start=0, end=10, side="B", relation="present", quantity=None,
    ...               fault="noise_luma")
    >>> claims = Claims(checked=(CheckedClaim(claim=named, status="supported"),), version="evidence/1 claims/1")
    >>> symptom_reward(verdict, claims, (None, "noise_luma"), "A")
    1.0
    >>> symptom_reward(verdict, claims, ("noise_luma", None), "B")
    0.0

    Args:
        verdict: the parsed completion; None: it failed. Without a rationale it earns 0.
        claims: the checked statements of its rationale; None: it failed.
        faults: the faults of A and of B, as keys of :data:`redaes.evidence.faults.FAULTS`, or None for a picture
            without a named fault; None: not known.
        better: the picture that is better, in the letters shown; None: not labelled.

    Returns:
        The reward; None: the deciding fault is not known. For a tie it is 1 / (1 + number of named faults that are
        absent).
    """
    if better is None or faults is None:
        return None
    true = {(fault, side) for fault, side in zip(faults, ("A", "B"), strict=True) if fault is not None}
    decisive = deciding(faults, better)
    if decisive is None and better != "tie":
        return None
    if verdict is None or claims is None or verdict.rationale is None or verdict.rationale.better != better:
        return 0.0
    named = _named(claims.checked)
    if decisive is None:
        return 1.0 / (1 + sum(name not in true and status not in _THERE for name, status in named.items()))
    fault, loser = FAULTS[decisive[0]], decisive[1]
    of_both = (fault.name, better) in named and (fault.name, better) not in true
    if of_both or _turned_around(claims.checked, fault, loser, true):
        return 0.0
    # Faults that are present may be named too, but not as one of several guesses at the deciding fault.
    wrong = sum(
        name not in true
        and (status not in _THERE or (status == "supported" and _kin(name[0], fault) and name[0] not in GENERIC))
        for name, status in named.items()
    )
    if decisive in named:
        return 1.0 / (1 + wrong)
    if any(_shows(one, fault, loser) for one in claims.checked):
        return SHOWN / (1 + wrong)
    near = any(side == loser and _kin(name, fault) for name, side in named)
    return NEAR / max(1, wrong) if near else 0.0


def evidence_reward(claims: Claims | None, evidence: PairEvidence | None) -> float | None:
    """Return how far the statements of a reasoning agree with the measurements; our definition.

    It is (S - C) / max(1, N), at least 0: S is the weight of the supported statements, C the number of contradicted
    ones, N the weight of both. Statements about one quantity count as one, which is contradicted if one of them is. A
    supported statement has weight 1 with a figure and :data:`WITHOUT_FIGURE` without one. If the pictures do not
    visibly differ in its quantity, it has weight :data:`TRIVIAL`; all of these count once in S and each in N. A
    reasoning without measurable statements gets 0.

    >>> from redaes.evidence.claims import Claim
    >>> from redaes.evidence.measurements import Measurements
    >>> a, b = (Measurements(width=640, height=480, values={"noise": noise}) for noise in (0.9, 6.0))
    >>> claim = Claim(text="B is noisier, 6.0 against 0.9", start=0, end=29, side="B", relation="more",
    ...               quantity="noise", stated=(0.9, 6.0))
    >>> true = CheckedClaim(claim=claim, status="supported", measured=(0.9, 6.0))
    >>> false = CheckedClaim(claim=claim, status="contradicted", measured=(6.0, 0.9), why="sign")
    >>> pair = PairEvidence(first=a, second=b, registration=None)
    >>> [evidence_reward(Claims(checked=one, version=""), pair) for one in [(true,), (true, false), ()]]
    [1.0, 0.0, 0.0]

    Args:
        claims: the checked statements of the rationale; None: the completion failed.
        evidence: measurements of the pair; None: it was not measured.
    """
    if evidence is None:
        return None
    if claims is None:
        return 0.0
    by_fact: dict[str, list[CheckedClaim]] = {}
    for one in claims.checked:
        if one.status != "not_measurable":
            by_fact.setdefault(_fact(one), []).append(one)
    n_contradicted = n_trivial = 0
    supported = 0.0
    differ = differences(evidence)
    for statements in by_fact.values():
        weights = [_weight(one, differ) for one in statements]
        if any(one.status == "contradicted" for one in statements):
            n_contradicted += 1
        elif max(weights) > TRIVIAL:
            supported += max(weights)
        else:
            n_trivial += 1
    earned = supported + (TRIVIAL if n_trivial else 0.0) - n_contradicted
    return max(0.0, earned) / max(1.0, supported + TRIVIAL * n_trivial + n_contradicted)


def differences(evidence: PairEvidence) -> frozenset[str]:
    """Return the quantities in which two pictures differ visibly.

    >>> from redaes.evidence.measurements import Measurements
    >>> a, b = (Measurements(width=9, height=9, values={"noise": x, "brightness": 50}) for x in (1.0, 3.0))
    >>> sorted(differences(PairEvidence(first=a, second=b, registration=None)))
    ['noise']
    """
    first, second = evidence.first.values, evidence.second.values
    return frozenset(
        name
        for name in first.keys() & second.keys() & QUANTITIES.keys()
        if abs(first[name] - second[name]) >= QUANTITIES[name].visible
    )


_THERE = ("supported", "compared")


def _named(checked: Iterable[CheckedClaim]) -> dict[tuple[str, str], str]:
    """Return the faults that are said to be present, with their pictures, and the outcome of the check, the best one if
    there are several.

    A supported comparison, such as a frame that shows less, is ``compared``: it is a measurement, not a guess at a
    name.
    """
    named: dict[tuple[str, str], str] = {}
    for one in checked:
        claim = one.claim
        if claim.fault is None or claim.fault not in FAULTS or claim.relation not in ("present", "more"):
            continue
        if claim.fault in RELATIVE:
            continue
        status = "compared" if one.status == "supported" and claim.relation == "more" else one.status
        for side in ("A", "B") if claim.side == "both" else (claim.side,):
            if named.get((claim.fault, side)) not in _THERE or status == "supported":
                named[claim.fault, side] = status
    return named


def _kin(name: str, fault: Fault) -> bool:
    return FAULTS[name].factor == fault.factor


def _shows(one: CheckedClaim, fault: Fault, loser: Side) -> bool:
    """Return whether a supported statement describes the measured quantity of a fault, for the picture that has it."""
    if one.status != "supported":
        return False
    claim = one.claim
    if claim.fault in GENERIC and claim.relation in ("present", "more") and claim.side == loser:
        sign = FAULTS[claim.fault].shown_by[:1]
        return sign[0] in fault.shown_by if sign else fault.found_in == FAULTS[claim.fault].found_in
    return implies_fault(claim, fault, loser)


def _turned_around(
    checked: Iterable[CheckedClaim], fault: Fault, loser: Side, true: Collection[tuple[str, str]]
) -> bool:
    """Return whether the deciding fault is denied, or a quantity that shows it is stated the wrong way round.

    Naming a fault that is known to be present (``true``) is not a mistake, even if the measurements do not find it.
    """
    quantities = {quantity for quantity, _ in fault.shown_by}
    for one in checked:
        claim = one.claim
        denied = claim.fault == fault.name and claim.relation in ("absent", "less") and claim.side in (loser, "both")
        if claim.relation in ("present", "more") and (claim.fault, claim.side) in true:
            continue
        misread = one.status == "contradicted" and one.why in _MISREAD and claim.quantity in quantities
        if denied or misread:
            return True
    return False


def _fact(one: CheckedClaim) -> str:
    """Return the subject of a statement: its quantity, or the one that shows its fault best. All faults that cover a
    part of the scene count as one subject, and so do all that move the frame, because only their presence can be
    measured.
    """
    claim = one.claim
    fault = FAULTS.get(claim.fault or "")
    if fault is not None and (fault.found_in == "changes" or (fault.found_in == "view" and not fault.shown_by)):
        return fault.found_in
    about = claim.quantity
    if about is None:
        about = fault.shown_by[0][0] if fault is not None and fault.shown_by else claim.fault or claim.text
    return SAME_FACT.get(about, about)


def _weight(one: CheckedClaim, differ: frozenset[str]) -> float:
    """Return the weight of a statement if it is supported."""
    claim = one.claim
    full = 1.0 if any(figure is not None for figure in claim.stated) else WITHOUT_FIGURE
    if claim.relation == "alike":
        return TRIVIAL if differ else full  # for two pictures that do not differ, nothing else can be said
    if claim.side == "both":
        return TRIVIAL
    fault = FAULTS.get(claim.fault or "")
    if fault is not None and fault.found_in != "values":
        return TRIVIAL if claim.relation == "absent" else full
    quantities = (
        {claim.quantity} if claim.quantity is not None else {name for name, _ in fault.shown_by} if fault else set()
    )
    return full if quantities & differ else TRIVIAL
