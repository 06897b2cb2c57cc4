"""Rankings of several items from pairwise comparisons; docs/ranking.md has the measurements."""

from __future__ import annotations

from redaes.ranking.graph import Edge, Outcome, components, count_cycles
from redaes.ranking.informative import InformativeChoice, choose_informative, dispersions, population
from redaes.ranking.order import outcomes_of, rank
from redaes.ranking.placements import KnownReferences, Placements
from redaes.ranking.potential import Potential, difference_variance, fit_potential
from redaes.ranking.schedule import LONG, ROUND_ROBIN, Schedule, default_pairs
from redaes.ranking.sparse import SparseFit, SparseStrengths, fit_sparse
from redaes.ranking.strengths import (
    PRIOR_SD,
    Z_SETTLED,
    Strengths,
    bradley_terry,
    fit_one,
    fit_strengths,
    unconnected,
)

__all__ = [
    "LONG",
    "PRIOR_SD",
    "ROUND_ROBIN",
    "Z_SETTLED",
    "Edge",
    "InformativeChoice",
    "KnownReferences",
    "Outcome",
    "Placements",
    "Potential",
    "Schedule",
    "SparseFit",
    "SparseStrengths",
    "Strengths",
    "bradley_terry",
    "choose_informative",
    "components",
    "count_cycles",
    "default_pairs",
    "difference_variance",
    "dispersions",
    "fit_one",
    "fit_potential",
    "fit_sparse",
    "fit_strengths",
    "outcomes_of",
    "population",
    "rank",
    "unconnected",
]
