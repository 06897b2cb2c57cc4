"""Rewards for what a reasoning says: the fault by its name, and every statement held against the pixels.

Pure functions of a parsed answer, its checked statements (:mod:`redaes.evidence.claims`) and what is known of the pair.
As everywhere among the rewards, a failed completion earns 0.0 and a missing label gives None. Letters are those of the
order in which the pictures were shown.
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
"""What the decisive fault earns where it is not named but told by what is measured of it: "softer" for motion blur."""

NEAR = 0.1
"""What another fault of the same factor earns on the right picture: "a finger" for power lines."""

WITHOUT_FIGURE = 0.5
"""Weight of a statement that quotes no figure: the toss of a coin gets half of them right."""

TRIVIAL = 0.25
"""Weight of a statement that is true of nearly any two pictures. All such together earn it once."""

SAME_FACT: Mapping[str, str] = {"edge_width": "sharpness", "dynamic_range": "contrast", "lettering": "changes"}
"""Quantities that tell the same as another one, or as the parts of the scene that only one picture has; statements
about both are one."""

GENERIC = frozenset({"blown_highlights", "crushed_shadows", "colour_cast", "text_overlay", "covered"})
"""Faults that several others show as: true of them, and not their names."""

RELATIVE = frozenset({"turned", "covered", "broadened"})
"""Statements on how one picture lies over the other, which name no fault."""

_MISREAD = ("sign", "side", "absent")
"""Ways of being contradicted that turn a fault around, or make it one that is not there; a figure may be off."""


def faults_shown(edit_first: Edit | None, edit_second: Edit | None) -> tuple[str | None, str | None]:
    """Return the faults that two edits leave in the pictures, each by its name.

    An edit that makes a picture worse is a fault of that picture. One that makes it better shows the fault that it
    mends in the other picture, where nothing was done to that.

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
    """Return the fault of the worse picture, by its name, and that picture; None: a tie, or none that has a name.

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
    """Return whether the reasoning names the very fault that decides, on the picture that has it; our definition.

    1 for the fault's name, :data:`SHOWN` for what is measured of it, :data:`NEAR` for another fault of its factor,
    over the number of faults named, those that are there left out. 0 if the fault is said of both pictures, if what is
    said of the quantities that show it is the wrong way round, or if the rationale calls the wrong picture better.

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
        claims: what its rationale says, checked; None: it failed.
        faults: the fault of A and that of B, keys of :data:`redaes.evidence.faults.FAULTS`; None in place of one: none
            that has a name; None: not known.
        better: the picture that is better, in the letters shown; None: not labelled.

    Returns:
        The reward; None where the deciding fault is not known. For a tie, 1 over one more than the number of faults
        that are named and not there.
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
    # What is there may be named too, but not as one of several guesses at the deciding fault.
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
    """Return how far what the reasoning says is what was measured; our definition.

    (S - C) / max(1, N). S is the weight of the supported statements, C the number of contradicted ones, N the weight of
    both. Statements about one quantity are one, and contradicted if one of them is. A supported statement weighs 1 with
    a figure and :data:`WITHOUT_FIGURE` without; where the pictures do not visibly differ in it, :data:`TRIVIAL`, and
    all of these count once in S and each in N. Not below 0; nothing measurable said earns 0.

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
        claims: what the rationale says, checked; None: the completion failed.
        evidence: what was measured of the pair; None: nothing was.
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
    """Return the quantities in which two pictures differ so that a person sees it.

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
    """Return the faults said to be there, each with its picture, and how the statement came out; the best of several.

    A supported comparison, such as a frame that shows less, is ``compared``: it measures, and is no guess at a name.
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
    """Return whether a supported statement tells what is measured of a fault in the picture that has it."""
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
    """Return whether the deciding fault is denied, or something that shows it is said the wrong way round.

    That a fault is where it is known to be (``true``) is no mistake, though the measurements may not find it.
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
    """Return what a statement is about: its quantity, or the one that shows its fault best. Whatever covers a part of
    the
    scene is one, and so is whatever moves the frame: that something is there can be measured, not what it is."""
    claim = one.claim
    fault = FAULTS.get(claim.fault or "")
    if fault is not None and (fault.found_in == "changes" or (fault.found_in == "view" and not fault.shown_by)):
        return fault.found_in
    about = claim.quantity
    if about is None:
        about = fault.shown_by[0][0] if fault is not None and fault.shown_by else claim.fault or claim.text
    return SAME_FACT.get(about, about)


def _weight(one: CheckedClaim, differ: frozenset[str]) -> float:
    """Return what a statement counts if it is supported."""
    claim = one.claim
    full = 1.0 if any(figure is not None for figure in claim.stated) else WITHOUT_FIGURE
    if claim.relation == "alike":
        return TRIVIAL if differ else full  # of two pictures that do not differ it is all there is to say
    if claim.side == "both":
        return TRIVIAL
    fault = FAULTS.get(claim.fault or "")
    if fault is not None and fault.found_in != "values":
        return TRIVIAL if claim.relation == "absent" else full
    quantities = (
        {claim.quantity} if claim.quantity is not None else {name for name, _ in fault.shown_by} if fault else set()
    )
    return full if quantities & differ else TRIVIAL
