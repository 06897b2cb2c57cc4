"""Save questions to a panel: ask about some pairs of a view only, and ask costly judges only where it matters.

Both ways are off unless a recipe asks for them, because the paper's panel asks everyone about everything. What they
cost in precision is measured in docs/data.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, FiniteFloat

from redaes.datagen.dataset_settings import WrittenSettings
from redaes.errors import InputError


class CallSavings(WrittenSettings):
    """Which questions a panel leaves out."""

    where = "savings"

    pair_share: Annotated[FiniteFloat, Field(strict=True, gt=0.0, le=1.0)] = 1.0
    """Share of a view's pairs that the judges are asked about; of the others the difference follows from those, by way
    of other pictures. 1: all are asked, and a pair that was not judged has no label."""
    max_error: Annotated[FiniteFloat, Field(strict=True, gt=0.0)] = 1.0
    """Largest standard error, in points, of a difference that follows from others; above it the pair has no label."""
    reserve: tuple[str, ...] = ()
    """Judges of the panel that are asked only about pairs on which the others do not agree."""

    def reserve_places(self, judges: Sequence[str], min_judges: int) -> frozenset[int]:
        """Return places of the reserve among the panel's judges.

        Args:
            judges: the panel's, by name.
            min_judges: how many have to answer before a pair has a label.

        Raises:
            InputError: a judge is none of the panel's, or too few are left that are always asked.
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
