"""How far several people agree beyond chance: Krippendorff's alpha, calculated by evalica.

See K. Krippendorff, Content Analysis: An Introduction to Its Methodology, chapter on reliability. The value is 1 if
people agree; 0 if they agree as often as people would who draw their answers at random from all answers together; and
below 0 if they agree less than that. Pairs that fewer than two people have judged do not count.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from importlib.util import find_spec
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from redaes.errors import MissingDependency
from redaes.estimates import Estimate, bootstrap

Distance = Literal["nominal", "ordinal"]
"""How two different answers count: all differences alike, or more the farther apart the answers are in their order."""


def check_evalica() -> None:
    """Check at the start that the coefficient can be computed at the end.

    Raises:
        MissingDependency: evalica is absent.
    """
    if find_spec("evalica") is None:
        raise MissingDependency("evalica", "audit")


def krippendorff_alpha(ratings: NDArray[np.float64], distance: Distance) -> float | None:
    """Return the coefficient; None if no pair was judged by two people, or all answers are the same.

    Args:
        ratings: shape (n_pairs, n_people); NaN where a person has not judged a pair.
        distance: how the distance between two answers is measured.

    Raises:
        MissingDependency: evalica or pandas is absent.
    """
    try:
        import evalica
        import pandas as pd
    except ImportError as error:
        raise MissingDependency(error.name or "evalica", "audit") from error
    shared = ratings[np.count_nonzero(~np.isnan(ratings), axis=1) >= 2]
    known = shared[~np.isnan(shared)]
    if not known.size or (known == known[0]).all():
        return None
    return float(evalica.alpha(pd.DataFrame(shared.T), distance).alpha)


def alpha_estimate(
    said: Sequence[Mapping[str, float]],
    clusters: Sequence[Hashable],
    distance: Distance,
    *,
    least_clusters: int = 2,
    n_resamples: int = 1000,
    seed: int = 0,
) -> Estimate:
    """Return the coefficient with its interval, which comes from resampling clusters of pairs.

    There is no interval where all people agree, because every resample would agree, too, and it would have no width.

    Args:
        said: for each pair, the answer of each person, by name.
        clusters: for each pair, the cluster that it belongs to, such as its photograph.
        distance: how the distance between two answers is measured.
        least_clusters: with fewer clusters there is no interval.
        n_resamples: number of resamples.
        seed: seed of the resampling.

    Returns:
        The estimate over pairs that at least two people have judged; ``n`` is their number.

    Raises:
        MissingDependency: evalica or pandas is absent.
    """
    shared = [(one, cluster) for one, cluster in zip(said, clusters, strict=True) if len(one) >= 2]
    people = sorted({person for one, _ in shared for person in one})
    table = np.array([[one.get(person, np.nan) for person in people] for one, _ in shared], dtype=np.float64)
    if not shared:
        return Estimate(value=None, n=0)
    found = bootstrap(
        table,
        [cluster for _, cluster in shared],
        lambda rows: krippendorff_alpha(rows, distance),
        n_resamples=n_resamples,
        seed=seed,
    )
    if found.low == found.high or len({cluster for _, cluster in shared}) < least_clusters:
        found = Estimate(value=found.value)
    return found.over(len(shared))
