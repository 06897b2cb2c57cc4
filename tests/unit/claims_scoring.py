"""Precision and recall of the reader of claims on texts read by hand."""

from __future__ import annotations

import re
from collections import Counter

from redaes.evidence.extraction import extract
from redaes.evidence.faults import FAULTS
from redaes.evidence.quantities import QUANTITIES

Key = tuple[str, str, str, tuple[float | None, float | None], str | None]

_RELATIONS = {">": "more", "<": "less", "=": "alike", "+": "present", "-": "absent", "?": "?"}
_CODE = re.compile(r"(A|B|AB)([><=+?-])(\w*)(?: \[(.+?),(.+?)\])?(?: @(.+))?")


def _gold(codes: str) -> Counter[Key]:
    found: Counter[Key] = Counter()
    for code in filter(None, (part.strip() for part in codes.split(";"))):
        match = _CODE.fullmatch(code)
        assert match is not None, code
        side, relation, key, a, b, place = match.groups()
        assert not key or key in QUANTITIES or key in FAULTS, code
        figures = tuple(None if value in {None, "_"} else float(value) for value in (a, b))
        found[side.replace("AB", "both"), _RELATIONS[relation], key, figures, place] += 1  # type: ignore[index]
    return found


def _read(text: str) -> Counter[Key]:
    """As the gold has it: of a statement that nothing measures, only of whom it speaks."""
    return Counter(
        (claim.side, "?", "", (None, None), None)
        if claim.quantity is None and claim.fault is None
        else (claim.side, claim.relation, claim.fault or claim.quantity or "", claim.stated, claim.place)
        for claim in extract(text)
    )


def _same(claims: Counter[Key]) -> Counter[Key]:
    """That B is noisier is that A is cleaner: both are counted as the statement about A."""
    turned: Counter[Key] = Counter()
    for (side, relation, key, stated, place), n in claims.items():
        about_b = side == "B" and relation in {"more", "less"}
        turned["A" if about_b else side, {"more": "less", "less": "more"}[relation] if about_b else relation,
               key, stated, place] += n  # fmt: skip
    return turned


def scores(part: tuple[tuple[str, str], ...]) -> tuple[float, float]:
    """Precision and recall over all claims: side, relation, quantity or fault, figures and place must all be right."""
    right = n_read = n_gold = 0
    for text, codes in part:
        gold, read = _same(_gold(codes)), _same(_read(text))
        right += (gold & read).total()
        n_read += read.total()
        n_gold += gold.total()
    return right / n_read, right / n_gold
