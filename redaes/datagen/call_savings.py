"""Ask a panel fewer questions: ask about some pairs of a view only, and ask costly judges only where it matters.

Both savings are off unless a recipe asks for them, because in the paper all judges are asked about all pairs.
docs/data.md gives measurements of what the savings cost in precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, FiniteFloat

from redaes.datagen.dataset_settings import WrittenSettings
from redaes.errors import InputError


class CallSavings(WrittenSettings):
    """Which questions to a panel are left out."""

    where = "savings"

    pair_share: Annotated[FiniteFloat, Field(strict=True, gt=0.0, le=1.0)] = 1.0
    """Share of a view's pairs that the judges are asked about. The differences of the other pairs follow from these,
    by way of other pictures. With 1 all pairs are asked about, and a pair that was not judged has no label."""
    max_error: Annotated[FiniteFloat, Field(strict=True, gt=0.0)] = 1.0
    """Largest standard error, in points, of a difference that follows from others; beyond it the pair has no label."""
    reserve: tuple[str, ...] = ()
    """Names of judges that are asked only about pairs on which the others do not agree."""

    def reserve_places(self, judges: Sequence[str], min_judges: int) -> frozenset[int]:
        """Return the places of the reserve among the panel's judges.

        Args:
            judges: names of the panel's judges.
            min_judges: number of judges that have to answer before a pair gets a label.

        Raises:
            InputError: a name is not that of a judge, or too few judges are left that are always asked.
        """
        unknown = sorted(set(self.reserve) - set(judges))
        if unknown or len(set(self.reserve)) != len(self.reserve):
            raise InputError(
                f"savings: reserve is {list(self.reserve)}; name some of the panel's judges, each once: "
                f"{', '.join(judges)}"
            )
        left = len(judges) - len(self.reserve)
        if self.reserve and left < min_judges:
            raise InputError(
                f"savings: reserve leaves {left} of {len(judges)} judges that are always asked, and rules.min_judges "
                f"is {min_judges}: no pair would be settled without the reserve; name fewer, or lower min_judges"
            )
        return frozenset(place for place, name in enumerate(judges) if name in self.reserve)


ASK_EVERYTHING = CallSavings()
"""Settings that save nothing, as in the paper."""
