"""What every judge gives: differences in points, with the order in which the pictures were shown kept apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol

from pydantic import Field, FiniteFloat

from redaes.backends.pictures import EncodedPicture
from redaes.types import Comparison, Delta, Order, Record

_OTHER_ORDER: dict[Order, Order] = {"forward": "swapped", "swapped": "forward"}


@dataclass(frozen=True)
class PicturePair:
    """Two pictures to be judged."""

    id: str
    first: EncodedPicture
    second: EncodedPicture


class Judgement(Record):
    """What one judge says of one pair.

    All differences are score of the first picture minus score of the second, in points, whichever was shown as A:
    a judge that sees only the pictures says the same in both orders, one that leans towards A says more in
    ``forward`` than in ``swapped``.
    """

    pair: str
    """Id of the pair."""
    judge: str
    revision: str
    """What pins the judge."""
    forward: tuple[Delta, ...]
    """Differences of the usable answers with the first picture shown as A."""
    swapped: tuple[Delta, ...]
    """Differences of the usable answers with the second picture shown as A, with inverted sign."""
    probability: Annotated[FiniteFloat, Field(ge=0.0, le=1.0)] | None
    """P(first is better) from both orders' token probabilities; None: not offered in both orders."""
    failures: tuple[str, ...]
    """Reasons of the answers that could not be used, one each."""
    comparisons: tuple[Comparison, ...] = ()
    """The answers themselves, usable or not, where the judge writes any."""

    def swapped_pictures(self) -> Judgement:
        """Return the same judgement with the pictures in exchanged places: what was shown as A is now ``swapped``."""
        return Judgement(
            pair=self.pair,
            judge=self.judge,
            revision=self.revision,
            forward=tuple(0.0 - delta for delta in self.swapped),  # not "-": that makes -0.0 of a tie
            swapped=tuple(0.0 - delta for delta in self.forward),
            probability=None if self.probability is None else 1.0 - self.probability,
            failures=self.failures,
            comparisons=tuple(
                comparison.model_copy(update={"order": _OTHER_ORDER[comparison.order]})
                for comparison in self.comparisons
            ),
        )


class Judge(Protocol):
    """Something that says how much better one of two pictures is."""

    name: str
    revision: str
    """What pins it: the same name and revision judge alike."""

    def judge(self, pairs: Sequence[PicturePair]) -> list[Judgement]:
        """Return one judgement per pair, in their order; a pair that cannot be judged has no differences, but failures.

        Raises:
            BackendError: the judge cannot be asked at all.
        """
        ...
