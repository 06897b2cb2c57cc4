"""How far several people agree beyond chance: Krippendorff's alpha, by evalica.

K. Krippendorff, Content Analysis: An Introduction to Its Methodology, chapter on reliability. 1: they agree; 0: as far
as people would who draw their answers from what all have said together; below: less than that. Pairs that fewer than
two people have judged do not count.
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
"""What it counts when two answers differ: every difference alike, or more the farther apart they are in order."""


def check_evalica() -> None:
    """Refuse to begin where the coefficient could not be computed in the end.

    Raises:
        MissingDependency: evalica is absent.
    """
    if find_spec("evalica") is None:
        raise MissingDependency("evalica", "audit")


def krippendorff_alpha(ratings: NDArray[np.float64], distance: Distance) -> float | None:
    """Return the coefficient; None where nothing was judged by two people, or all gave one and the same answer.

    Args:
        ratings: shape (n_pairs, n_people); NaN where a person has not judged a pair.
        distance: between two answers.

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
    """Return the coefficient with its interval, by resampling what belongs together.

    Where all people agree, every resample does: the interval is left out, for it would be of no width.

    Args:
        said: for each pair, what people say of it, by their names.
        clusters: for each pair, what it belongs to, such as its photograph.
        distance: between two answers.
        least_clusters: fewer of them give no interval.
        n_resamples: number of resamples.
        seed: seed of the resampling.

    Returns:
        Over pairs that at least two people have judged; ``n`` is their number.

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
