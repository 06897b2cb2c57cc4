"""The pictures of one view, and the pairs that they form; measured and judged groups both use this."""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from redaes.datagen.plan import Frame
from redaes.datagen.rationales import Look, PairObservation, contradictions, look
from redaes.datagen.sources import Source
from redaes.evidence.measurements import Measurements, PairEvidence, Registration, SceneChange
from redaes.evidence.pair import measure_pair
from redaes.evidence.picture import Planes, measure, measured_along
from redaes.evidence.quantities import QUANTITIES
from redaes.records import PairRecord
from redaes.types import MAX_DELTA, TIE_MARGIN, Agreement, Edit, Factor, ImageRef, Pair, Rationale

JPEG_QUALITY = 92


class StoredPicture:
    """A picture decoded from its stored bytes, so that statements about it hold for everyone who opens it. It is
    measured when that is first needed, and only once.
    """

    def __init__(self, data: bytes) -> None:
        """
        Args:
            data: the encoded picture.
        """
        self.data = data
        self._measured: Measurements | None = None
        self._asked: frozenset[str] = frozenset()

    @cached_property
    def pixels(self) -> NDArray[np.uint8]:
        """The decoded picture, (H, W, 3) sRGB bytes."""
        with Image.open(io.BytesIO(self.data)) as image:
            return np.asarray(image.convert("RGB"))

    @cached_property
    def _planes(self) -> Planes:
        return Planes(self.pixels)

    def measurements(self, only: frozenset[str] | None = None) -> Measurements:
        """Return measurements of the picture.

        Args:
            only: quantities that are needed, which saves time; None means all. The result may hold more of them, which
                were measured before or together with these.
        """
        missing = frozenset(QUANTITIES if only is None else only) - self._asked
        if missing or self._measured is None:
            new = measure(self._planes, missing)
            old = self._measured
            # Quantities that this picture does not show well enough are tried only once.
            self._asked |= measured_along(missing)
            if old is not None:
                both = old.values | new.values
                values = {name: both[name] for name in QUANTITIES if name in both}
                new = new.model_copy(update={"values": values, "places": old.places | new.places})
            self._measured = new
        return self._measured

    @cached_property
    def look(self) -> Look:
        """Light, colour and detail in nine places of the picture."""
        return look(self.pixels)

    def forget_pixels(self) -> None:
        """Keep only the encoded picture and the measurements; the rest takes many times their memory."""
        for name in ("pixels", "_planes"):
            self.__dict__.pop(name, None)


@dataclass(frozen=True)
class ViewChange:
    """How a picture differs in view from its group's reference (:mod:`redaes.datagen.overlays`)."""

    moved: bool = False
    """Whether it may show another part of the scene, or the scene from another position."""
    registration: Registration | None = None
    """How it lies over the reference, if it is moved and this could be determined."""
    changes: tuple[SceneChange, ...] = ()
    """Things that it (B) shows in front of the reference."""


@dataclass(frozen=True)
class GroupPicture:
    """One picture of a group."""

    key: str
    """Name of the picture within the group."""
    stored: StoredPicture
    """The picture."""
    edit: Edit | None
    """The edit; None if nothing that matters aesthetically was done to the picture."""
    loss: float
    """Points that the edit cost, relative to the group's reference; negative if it improved the picture."""
    uncertainty: float = 0.0
    """Uncertainty of ``loss``, in points, in comparisons with other kinds of edits; 0 if it is known or judged."""
    view_change: ViewChange | None = field(default_factory=ViewChange)
    """How it differs in view from the group's reference; None if that is not known."""

    @property
    def data(self) -> bytes:
        """The encoded picture."""
        return self.stored.data


@dataclass
class BuildCounts:
    """Counts of what became of a chunk's rows and pairs."""

    kept: Counter[str] = field(default_factory=Counter)
    """Number of kept pairs by deciding factors, or ``tie``."""
    rejected: Counter[str] = field(default_factory=Counter)
    """Number of rejected edits and pairs by reason."""
    failed: list[dict[str, str]] = field(default_factory=list)
    """Rows and photographs that raised errors: ``{"row" or "source": id, "error": message}``."""

    def keep(self, record: PairRecord) -> None:
        """Count a pair that is kept."""
        self.kept[", ".join(record.pair.factors) or "tie"] += 1

    def fail(self, source: str, error: Exception) -> None:
        """Record that a photograph cannot be used."""
        self.rejected["source_failed"] += 1
        self.failed.append({"source": source, "error": f"{type(error).__name__}: {error}"})

    def add(self, other: BuildCounts) -> None:
        """Add the counts of another chunk or view."""
        self.kept.update(other.kept)
        self.rejected.update(other.rejected)
        self.failed += other.failed


@dataclass(frozen=True)
class OrderedPair:
    """Two members in the order in which they are stored."""

    id: str
    """Id of the pair, derived from the pictures' bytes, their group and their editors."""
    first: GroupPicture
    second: GroupPicture

    @property
    def delta(self) -> float:
        """Score of ``first`` minus score of ``second``, in points."""
        return max(-MAX_DELTA, min(MAX_DELTA, self.second.loss - self.first.loss))

    @property
    def tie(self) -> bool:
        """Whether the difference is too small to have a winner."""
        return abs(self.delta) < TIE_MARGIN

    @property
    def seed(self) -> int:
        """Seed for the wording of the reasoning in the stored order; the other order takes the next seed."""
        return int(self.id[:12], 16)


def seen_in(first: GroupPicture, second: GroupPicture, only: frozenset[str] | None = None) -> PairObservation:
    """Return what the pixels of two pictures show, with ``first`` as A.

    Args:
        first: a picture of a group.
        second: another picture of the same group.
        only: quantities that are needed; None means all.
    """
    one, other = first.stored, second.stored
    measured = one.measurements(only), other.measurements(only)
    looks = one.look, other.look
    here, there = first.view_change, second.view_change
    if here is None or there is None:
        return PairObservation(measure_pair(one.pixels, other.pixels, measured=measured), looks)
    registration = None
    if there.moved and not here.moved:
        registration = there.registration
    elif here.moved and not there.moved and here.registration is not None:
        registration = here.registration.swapped()
    changes = (*there.changes, *(change.swapped() for change in here.changes))
    evidence = PairEvidence(
        first=measured[0],
        second=measured[1],
        registration=registration,
        changes=tuple(sorted(changes, key=lambda change: -change.area)),
    )
    return PairObservation(evidence, looks, same_frame=not (here.moved or there.moved))


def encode(pixels: NDArray[np.uint8]) -> bytes:
    """Encode pixels as JPEG, in the same way for every member of a group, so that the encoding gives nothing away."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def render_view(image: Image.Image, frame: Frame, max_side: int) -> NDArray[np.uint8]:
    """Return the part of a photograph in the frame, with a longest side of at most ``max_side`` pixels."""
    image = image.crop(frame.box(*image.size))
    factor = min(1.0, max_side / max(image.size))  # not enlarged, or the reference itself would look soft
    return resized(np.asarray(image), max(1, round(image.width * factor)), max(1, round(image.height * factor)))


def resized(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Return (H, W, 3) bytes at another size."""
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS), dtype=np.uint8)


def ordered_pair(first: GroupPicture, second: GroupPicture, group: str, source: Source, editor: str) -> OrderedPair:
    """Decide at random, by the pair's id, which member is stored first, so that the order tells nothing."""
    contents = [hashlib.sha256(member.data).hexdigest() for member in (first, second)]
    identity = hashlib.sha256("|".join([editor, source.id, group, *contents]).encode()).hexdigest()
    if int(identity[-1], 16) % 2:
        first, second = second, first
    return OrderedPair(identity[:16], first, second)


def make_record(
    ordered: OrderedPair,
    group: str,
    source: Source,
    *,
    factors: tuple[Factor, ...],
    rationale: Rationale,
    swapped: Rationale,
    writer: str,
    agreement: Agreement | None = None,
    delta_error: float | None = None,
) -> PairRecord:
    """Return the row of a pair.

    Args:
        ordered: the pair.
        group: id of the view with all its edits.
        source: the photograph.
        factors: the deciding factors; empty for a tie.
        rationale: reasoning with ``ordered.first`` as A.
        swapped: reasoning with ``ordered.second`` as A.
        writer: writer of both.
        agreement: how far the judges agreed; None if the pair was not judged.
        delta_error: standard error, in points, of a difference that follows from judgements of other pairs; None if
            this pair was judged or measured.

    Raises:
        AssertionError: the reasoning contradicts the difference. Writers check this first, so it would be a bug.
    """
    delta = ordered.delta
    wrong = contradictions(rationale, delta, factors) + contradictions(swapped, -delta, factors)
    if wrong:
        raise AssertionError(f"pair {ordered.id}: {wrong}")

    def ref(member: GroupPicture, position: str) -> ImageRef:
        return ImageRef(id=hashlib.sha256(member.data).hexdigest(), path=Path(f"{ordered.id}-{position}.jpg"))

    pair = Pair(
        id=ordered.id,
        first=ref(ordered.first, "first"),
        second=ref(ordered.second, "second"),
        delta=round(delta, 4),
        edit_first=ordered.first.edit,
        edit_second=ordered.second.edit,
        factors=factors,
        group=group,
        source=source.origin or source.id,
        split=source.split,
    )
    return PairRecord(
        pair=pair,
        first_bytes=ordered.first.data,
        second_bytes=ordered.second.data,
        rationale=rationale,
        rationale_swapped=swapped,
        licence=source.licence,
        label_source="inferred" if delta_error is not None else "edits" if agreement is None else "judges",
        delta_error=delta_error,
        agreement=agreement,
        writer=writer,
    )
