"""The result of every judge: differences in points, kept apart by the order in which the pictures were shown."""

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
    """What one judge says about one pair.

    All differences are score of the first picture minus score of the second, in points, whichever was shown as A. A
    judge that goes by the pictures alone gives the same in both orders; one that leans towards A gives more in
    ``forward`` than in ``swapped``.
    """

    pair: str
    """Id of the pair."""
    judge: str
    revision: str
    """What identifies the judge's version, such as a hash."""
    forward: tuple[Delta, ...]
    """Differences of the usable answers with the first picture shown as A."""
    swapped: tuple[Delta, ...]
    """Differences of the usable answers with the second picture shown as A, with inverted sign."""
    probability: Annotated[FiniteFloat, Field(ge=0.0, le=1.0)] | None
    """P(first is better) from the token probabilities of both orders; None if they are not available in both."""
    failures: tuple[str, ...]
    """Reasons of the answers that could not be used, one for each."""
    comparisons: tuple[Comparison, ...] = ()
    """The answers themselves, usable or not, if the judge writes any."""

    def swapped_pictures(self) -> Judgement:
        """Return the same judgement for the pictures in exchanged places: ``forward`` and ``swapped`` are exchanged."""
        return Judgement(
            pair=self.pair,
            judge=self.judge,
            revision=self.revision,
            forward=tuple(0.0 - delta for delta in self.swapped),  # not "-", which makes -0.0 of a tie
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
    """What identifies its version: judges of the same name and revision judge alike."""

    def judge(self, pairs: Sequence[PicturePair]) -> list[Judgement]:
        """Return one judgement for each pair, in order; a pair that cannot be judged has failures and no differences.

        Raises:
            BackendError: the judge cannot be asked at all.
        """
        ...
