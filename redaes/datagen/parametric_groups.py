"""Groups of the embedded editor: the cost of an edit is measured, and its direction is certain.

One *group* is one view of one photograph with several edits. All its differences come from one potential
(the quality lost relative to the group's reference), so they are consistent by construction::

    delta(first, second) = loss(second) - loss(first)

The reference itself may carry an edit that every member shares, and members may carry an additional edit that does not
matter, so that signs of editing tell nothing. Direction is certain because edits only ever degrade: the better
side of a pair is the one that was degraded less.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from redaes.datagen.dataset_settings import DatasetSettings
from redaes.datagen.editors.parametric import EDITOR, OPERATIONS, apply_edit
from redaes.datagen.judges import Reference
from redaes.datagen.judges.cover import covered
from redaes.datagen.overlays import covering, laid_over
from redaes.datagen.picture_groups import (
    BuildCounts,
    GroupPicture,
    StoredPicture,
    ViewChange,
    encode,
    make_record,
    ordered_pair,
    render_view,
    resized,
    seen_in,
)
from redaes.datagen.plan import PlannedEdit
from redaes.datagen.rationales import write_rationale
from redaes.datagen.rationales.choosing import USUAL, quantities_of
from redaes.datagen.severity import COVERING, LIKED, LIKED_LOSS, severity
from redaes.datagen.sources import Source
from redaes.errors import RedaesError
from redaes.evidence.measurements import Measurements
from redaes.records import PairRecord
from redaes.types import Edit

MIN_LOSS = 0.6
"""Points below which the cost of an edit counts as invisible."""

MIN_DELTA = 0.8
"""Points below which a labelled difference, ties aside, is too uncertain to teach."""

CERTAIN_CLEAN = 0.6
"""Number of standard deviations of its loss that an edit must cost so that the clean picture is surely better; smaller
costs may be a matter of taste."""

CERTAIN_ACROSS = 1.75
"""The same number for two edits of different kinds, whose order does not follow from the edits themselves."""

TIE_SHARE = 0.5
"""Share of the views in which the reference and its twin are kept as a tie."""

SPARE = 1.25
"""Factor by which a view is kept larger, on both sides, than the largest enlargement needs: enlarging and reducing
again by nearly the same factor would cost some sharpness."""

TYPICAL: dict[str, str] = {
    "exposure_down": "brightness",
    "exposure_up": "brightness",
    "contrast_down": "contrast",
    "contrast_up": "contrast",
    "haze": "contrast",
    "ungraded": "contrast",
    "sunken_shadows": "brightness",
    "crushed_shadows": "brightness",
    "saturation_down": "colourfulness",
    "saturation_up": "colourfulness",
    "cast_warm": "warmth",
    "cast_cool": "warmth",
    "cast_green": "magenta",
    "cast_magenta": "magenta",
}
"""Edits that might improve a photograph, with the measured quantity that they change.

Such an edit counts as a degradation only if it moves the quantity further from its middle value
(:data:`redaes.datagen.rationales.choosing.USUAL`).
"""


OF_TIES = frozenset(
    {"brightness", "contrast", "dynamic_range", "clipped_shadows", "clipped_highlights", "haze", "vignetting"}
    | {"unevenness", "colourfulness", "warmth", "magenta", "cast", "sharpness", "centre_sharpness", "edge_width"}
    | {"motion", "halos", "noise", "chroma_noise", "impulse", "stripes"}
)
"""Quantities that are measured where no fault says what to look at: properties that two pictures can have alike."""


def might_improve(operation: str, before: Measurements, after: Measurements) -> bool:
    """Return whether an edit meant to degrade may have improved the picture, so that its direction is uncertain."""
    if operation not in TYPICAL:
        return False
    quantity = TYPICAL[operation]
    middle = USUAL[quantity]
    return abs(after.values[quantity] - middle) <= abs(before.values[quantity] - middle)


def _apply(pixels: NDArray[np.uint8], edit: Edit) -> NDArray[np.uint8]:
    return apply_edit(pixels, edit.operation, edit.strength, edit.seed)


@dataclass(frozen=True)
class _ReferenceView:
    """The reference of a group, in the forms in which pictures are compared with it."""

    pixels: NDArray[np.uint8]
    large: NDArray[np.uint8] | None
    """The picture at a larger size; None if no edit of the group enlarges."""
    reference: Reference
    stored: StoredPicture

    def edited(self, edit: Edit) -> NDArray[np.uint8]:
        """Return the reference with an edit applied, at the reference's size."""
        if self.large is None or _frame_share(edit) == 1:
            return _apply(self.pixels, edit)
        return resized(_apply(self.large, edit), self.pixels.shape[1], self.pixels.shape[0])

    def change(self, edit: Edit, edited: NDArray[np.uint8]) -> float:
        """Return how far the edit changed this picture, in the measure that :func:`severity` takes."""
        if edit.operation in COVERING:
            return covered(self.pixels, edited)
        return self.reference.difference(edited)


def _frame_share(edit: Edit) -> float:
    known = OPERATIONS.get(edit.operation)
    return 1.0 if known is None else known.frame_share(edit.strength)  # an unknown edit fails when it is applied


def _reference_view(image: Image.Image, rows: Sequence[PlannedEdit], max_side: int) -> _ReferenceView:
    """Return the view of a group's rows, with the edits that all pictures share.

    It is smaller than ``max_side`` if a member enlarges more than the photograph's pixels permit.
    """
    frame = rows[0].frame
    shared = [planned.edit for planned in rows if planned.role == "shared"]
    least = min(_frame_share(planned.edit) for planned in rows)
    large = None
    if least == 1:
        pixels = render_view(image, frame, max_side)
    else:
        large = render_view(image, frame, round(SPARE * max_side / least))
        height, width = large.shape[:2]
        factor = min(1.0, max_side / max(width, height), least / SPARE)
        pixels = resized(large, max(1, round(width * factor)), max(1, round(height * factor)))
    for edit in shared:
        pixels = _apply(pixels, edit)
        large = None if large is None else _apply(large, edit)
    return _ReferenceView(pixels, large, Reference(pixels), StoredPicture(encode(pixels)))


def _seen_as(planned: PlannedEdit, view: _ReferenceView, edited: NDArray[np.uint8]) -> ViewChange:
    """Return how a member differs in view; ``edited`` lacks the edit on top, which may move the view once more."""
    moved_after = planned.cover is not None and planned.cover.factor == "composition"
    if planned.edit.factor == "composition":
        return ViewChange(moved=True, registration=laid_over(view.pixels, edited))
    if planned.edit.factor == "content" and not moved_after:
        return ViewChange(changes=covering(view.pixels, edited))
    return ViewChange(moved=moved_after)


def _member(planned: PlannedEdit, view: _ReferenceView, rejected: Counter[str]) -> GroupPicture | None:
    """Return the picture of one row, made from its view; None if it is rejected, with the reason counted."""
    edited = view.edited(planned.edit)
    if planned.role == "twin":
        return GroupPicture(
            planned.id, StoredPicture(encode(edited)), None, 0.0, view_change=_seen_as(planned, view, edited)
        )
    done = planned.edit
    cost = severity(done.operation, done.strength, view.change(done, edited))
    if cost.loss < MIN_LOSS:
        rejected["no_visible_effect"] += 1
        return None
    stored = StoredPicture(encode(edited))
    if done.operation in TYPICAL:
        moved = frozenset({TYPICAL[done.operation]})
        if might_improve(done.operation, view.stored.measurements(moved), stored.measurements(moved)):
            rejected["might_improve"] += 1
            return None
    seen_as = _seen_as(planned, view, edited)
    if planned.cover is not None:
        stored = StoredPicture(encode(_apply(edited, planned.cover)))
    return GroupPicture(planned.id, stored, done, cost.loss, cost.uncertainty, seen_as)


def _why_not(first: GroupPicture, second: GroupPicture) -> str | None:
    """Return the reason to reject a pair, or None to keep it."""
    delta = second.loss - first.loss
    if first.data == second.data:  # a neutral edit may change nothing, and equal files cannot be compared
        return "identical"
    if first.edit is None and second.edit is None:
        return None
    one, other = first.edit, second.edit
    if one is not None and other is not None and (one.operation, one.seed) == (other.operation, other.seed):
        # The same edit at two strengths: the weaker one is better, whatever it costs.
        if (other.strength - one.strength) * delta < 0:
            return "direction_uncertain"
    else:
        certain = CERTAIN_CLEAN if one is None or other is None else CERTAIN_ACROSS
        if abs(delta) < certain * math.hypot(first.uncertainty, second.uncertainty):
            return "undecided"
        loser = first if delta < 0 else second
        if loser.edit is not None and loser.edit.operation in LIKED and loser.loss < LIKED_LOSS:
            return "undecided"
    if abs(delta) < MIN_DELTA:
        return "indiscernible"
    return None


def _record(one: GroupPicture, other: GroupPicture, group: str, source: Source) -> PairRecord:
    ordered = ordered_pair(one, other, group, source, EDITOR)
    first, second = ordered.first, ordered.second
    loser = second if ordered.delta > 0 else first
    faults = [edit.operation for edit in (first.edit, second.edit) if edit is not None]
    seen = seen_in(first, second, quantities_of(faults) if faults else OF_TIES)
    return make_record(
        ordered,
        group,
        source,
        factors=() if ordered.tie or loser.edit is None else (loser.edit.factor,),
        rationale=write_rationale(seen, (first.edit, second.edit), (first.loss, second.loss), ordered.seed),
        swapped=write_rationale(seen.swapped(), (second.edit, first.edit), (second.loss, first.loss), ordered.seed + 1),
        writer="embedded",
    )


def make_group(
    image: Image.Image, source: Source, rows: Sequence[PlannedEdit], settings: DatasetSettings, counts: BuildCounts
) -> list[PairRecord]:
    """Return all kept pairs of one view of a photograph.

    Args:
        image: the photograph.
        source: what is known about it.
        rows: the view's rows of the plan.
        settings: settings of the dataset.
        counts: counts to which rejections and failures are added.
    """
    group = rows[0].group
    view = _reference_view(image, rows, settings.max_side)
    members = [GroupPicture("reference", view.stored, None, 0.0)]
    for planned in rows:
        if planned.role == "shared":
            continue
        try:
            member = _member(planned, view, counts.rejected)
        except (RedaesError, ValueError, ArithmeticError, cv2.error) as error:
            # An edit that cannot be made is left out and named in the report.
            counts.rejected["edit_failed"] += 1
            counts.failed.append({"row": planned.id, "error": f"{type(error).__name__}: {error}"})
            continue
        if member is not None:
            members.append(member)
    twins = {planned.id for planned in rows if planned.role == "twin"}
    rng = random.Random(f"{settings.seed}:{group}:pairs")
    # Two clean members would double every pair of a clean and an edited picture, so only one of them is used.
    clean = [member for member in members if member.key == "reference" or member.key in twins]
    rng.shuffle(clean)
    edited = [member for member in members if member not in clean]
    candidates = [(a, b) for i, a in enumerate([clean[0], *edited]) for b in edited[i:]]
    if len(clean) > 1 and rng.random() < TIE_SHARE:
        candidates.append((clean[0], clean[1]))
    records: list[PairRecord] = []
    for first, second in candidates:
        reason = _why_not(first, second)
        if reason is not None:
            counts.rejected[reason] += 1
            continue
        record = _record(first, second, group, source)
        if any(record.pair.id == known.pair.id for known in records):
            # Two edits can give the same bytes, such as JPEG qualities that are rounded to the same number.
            counts.rejected["identical"] += 1
            continue
        records.append(record)
    return records
