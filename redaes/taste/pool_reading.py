"""Read the pool of questions about a taste with a model in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from redaes.backends.local import LocalBackend
from redaes.taste.decisions import DecidedPicture
from redaes.taste.pair_pool import PairPool, pool_pairs
from redaes.taste.reader import VerdictReader
from redaes.types import ImageRef


def read_pool(
    backend: LocalBackend,
    series: Sequence[Sequence[ImageRef]],
    *,
    seed: int = 0,
    progress: Callable[[str, int, int], object],
) -> PairPool:
    """Read pairs within series, each once in both orders.

    Args:
        backend: the model.
        series: at least two pictures of each series.
        seed: seed of the draw, if there are too many pairs.
        progress: called with the name of the work, the number of finished units, and of all units.

    Raises:
        TrainingError: a taste cannot be learned on this model.
        ImageError, InputError: a picture cannot be used.
    """
    reader = VerdictReader(*backend.loaded)
    pairs = pool_pairs([len(one) for one in series], seed=seed)
    used = {(at, number) for at, i, j in pairs for number in (i, j)}
    pictures = [series[at][number] for at, number in sorted(used)]
    reader.look(
        [DecidedPicture(ref.id, ref.path) for ref in pictures],
        lambda n: progress("looking closely", n, len(pictures)),
    )
    read = reader.read(
        [(series[at][i].id, series[at][j].id) for at, i, j in pairs],
        progress=lambda n: progress("reading pairs", n, len(pairs)),
    )
    normed = reader.head.normed(read)
    return PairPool.of_readings(pairs, (normed[:, 0] - normed[:, 1]) / 2)
