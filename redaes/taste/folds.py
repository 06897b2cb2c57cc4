"""Divide decisions into folds that are held out together."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

from redaes.errors import InputError
from redaes.taste.decisions import TasteDecision


def fold_numbers(decisions: Sequence[TasteDecision], n_folds: int, seed: int = 0) -> list[int]:
    """Return the number of the fold in which each decision is held out; folds consist of whole series and have about
    equal size.

    Args:
        decisions: decisions in any order; the folds do not depend on it.
        n_folds: largest number of folds; there are fewer if there are fewer series.
        seed: seed of the draw among series of equal size.

    Raises:
        InputError: fewer than 2 folds are asked for, or all decisions are of one series.
    """
    if n_folds < 2:
        raise InputError(f"{n_folds} folds hold nothing out; give at least 2")
    sizes = Counter(decision.series for decision in decisions)
    if len(sizes) < 2:
        raise InputError(
            f"all {len(decisions)} decisions belong to one series, so none can be held out, and whether anything was "
            "learnt could not be told: add decisions about other pictures"
        )

    def drawn(series: str) -> tuple[int, bytes]:
        return -sizes[series], hashlib.sha256(f"{seed}:{series}".encode()).digest()

    filled = [0] * min(n_folds, len(sizes))
    fold_of: dict[str, int] = {}
    for series in sorted(sizes, key=drawn):
        fold = filled.index(min(filled))
        fold_of[series] = fold
        filled[fold] += sizes[series]
    return [fold_of[decision.series] for decision in decisions]
