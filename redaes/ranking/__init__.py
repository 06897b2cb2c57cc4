"""From comparisons of two to an order of several; what was measured is in docs/ranking.md."""

from __future__ import annotations

from redaes.ranking.strengths import (
    PRIOR_SD,
    ROUND_ROBIN,
    Z_SETTLED,
    Edge,
    Outcome,
    Schedule,
    Strengths,
    bradley_terry,
    components,
    count_cycles,
    default_pairs,
    fit_one,
    fit_potential,
    fit_strengths,
    rank,
    unconnected,
)

__all__ = [
    "PRIOR_SD",
    "ROUND_ROBIN",
    "Z_SETTLED",
    "Edge",
    "Outcome",
    "Schedule",
    "Strengths",
    "bradley_terry",
    "components",
    "count_cycles",
    "default_pairs",
    "fit_one",
    "fit_potential",
    "fit_strengths",
    "rank",
    "unconnected",
]
