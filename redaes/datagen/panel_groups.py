"""Groups whose differences are judged: editors follow instructions, a panel judges, and a model writes the reasons.

Groups can also be made as in `redaes.datagen.parametric_groups`. Here the editor may do anything, so every edit is
checked, the pictures of a view are judged in pairs and in both orders, and only pairs on which the judges agree are
kept. The group's differences are then made consistent (`redaes.datagen.judging_stage`): ``GroupPicture.loss`` is the
reference's score minus the member's.

Each function does the work of one stage for one view; `redaes.datagen.panel_worker` leads views through them.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from redaes.backends.pictures import EncodedPicture
from redaes.datagen.dataset_settings import DatasetSettings
from redaes.datagen.editors.base import EditJob, Editor, EditOutcome
from redaes.datagen.filters import GREEDY, EditTask, Similarity, check_edits, rejections
from redaes.datagen.instructions import STRENGTHS, Instruction, draw, draw_wishes
from redaes.datagen.judging_stage import LabelledPart, MemberPair
from redaes.datagen.panel import PanelModels
from redaes.datagen.panel_entries import ModelEntry
from redaes.datagen.picture_groups import (
    BuildCounts,
    GroupPicture,
    OrderedPair,
    StoredPicture,
    encode,
    make_record,
    ordered_pair,
    render_view,
    seen_in,
)
from redaes.datagen.plan import Frame, PlannedEdit, draw_frame
from redaes.datagen.planner import SAMPLING, PlanTask, plan_instructions
from redaes.datagen.rationales.model_writer import SAMPLING as WRITTEN
from redaes.datagen.rationales.model_writer import RationaleTask, Written, write_with_model
from redaes.datagen.sources import Source
from redaes.records import PairRecord
from redaes.types import Edit, Factor

DECISIVE_SHARE = 0.5
"""Share of the larger effect from which the smaller effect of two edits also counts as deciding."""

REFERENCE = "reference"
"""Key of a view's unedited picture."""


async def plan_judged_views(
    image: Image.Image | None, source: Source, settings: DatasetSettings, models: PanelModels, counts: BuildCounts
) -> list[PlannedEdit]:
    """Return the rows of one photograph: instructions for each view, worded by the planner or drawn from the templates.

    Args:
        image: the photograph; None if there is no planner to look at it.
        source: what is known about it.
        settings: settings of the dataset.
        models: the panel's models, opened; its planner is asked, and its editors share the rows.
        counts: counts to which unusable proposals are added, under ``plan: <reason>``.

    Raises:
        BackendError: the planner cannot be asked at all, or its budget is spent.
    """
    panel = models.panel
    views = [draw_frame(source.id, view, settings.seed) for view in range(settings.views)]
    planner = panel.planner_entry
    if planner is None or image is None:
        wanted = [tuple(draw(settings.variants, seed)) for _, seed in views]
    else:
        tasks = [
            PlanTask(
                EncodedPicture(await asyncio.to_thread(view_of, image, frame, settings)),
                tuple(draw_wishes(settings.variants, seed)),
            )
            for frame, seed in views
        ]
        wanted = await _proposed(tasks, models, planner, counts)
    rows = []
    for view, ((frame, seed), instructions) in enumerate(zip(views, wanted, strict=True)):
        for number, instruction in enumerate(instructions):
            identity = hashlib.sha256(f"{settings.seed}|{source.id}|{view}|{number}|{instruction.text}".encode())
            edit = Edit(
                factor=instruction.factor,
                operation=instruction.template_id,
                direction=instruction.direction,
                strength=STRENGTHS[instruction.strength],
                instruction=instruction.text,
                editor=panel.editors[(seed + number) % len(panel.editors)],
                seed=int(identity.hexdigest()[16:23], 16),
            )
            row = PlannedEdit(identity.hexdigest()[:16], source.split, source.id, view, "member", edit, None, frame)
            rows.append(row)
    return rows


def view_of(image: Image.Image, frame: Frame, settings: DatasetSettings) -> Image.Image:
    """Return the view of a photograph, as its editors and its planner see it."""
    return Image.fromarray(render_view(image, frame, settings.max_side))


async def _proposed(
    tasks: Sequence[PlanTask], models: PanelModels, planner: ModelEntry, counts: BuildCounts
) -> list[tuple[Instruction, ...]]:
    """Return the planner's usable instructions for each task; the others are counted."""
    plans = await models.put(
        planner.model, lambda model: plan_instructions(model, tasks, sampling=planner.sampling(SAMPLING))
    )
    for plan in plans:
        counts.rejected.update({f"plan: {reason}": n for reason, n in plan.rejected.items()})
        if plan.failure is not None:
            counts.rejected[f"plan: {plan.failure}"] += 1
    return [plan.instructions for plan in plans]


@dataclass(frozen=True)
class MadeEdit:
    """The outcome of a row of the plan: its editor's picture, or why there is none."""

    planned: PlannedEdit
    editor: Editor
    outcome: EditOutcome


async def edits_of(reference: Image.Image, rows: Sequence[PlannedEdit], models: PanelModels) -> list[MadeEdit]:
    """Return a view's edits, made by their editors.

    Raises:
        InputError, BackendError, MissingDependency: an editor cannot be loaded.
    """
    made: list[MadeEdit] = []
    for name in dict.fromkeys(planned.edit.editor for planned in rows):
        mine = [planned for planned in rows if planned.edit.editor == name]
        jobs = [EditJob(planned.edit.instruction, planned.edit.seed) for planned in mine]
        editor, outcomes = await models.editors.edit(name, reference, jobs)
        made += [MadeEdit(planned, editor, outcome) for planned, outcome in zip(mine, outcomes, strict=True)]
    return made


def unrejected(
    reference: Image.Image,
    edits: Sequence[MadeEdit],
    similarity: Similarity | None,
    min_similarity: float | None,
    counts: BuildCounts,
) -> list[MadeEdit]:
    """Return the edits that were made and that pass all measurements; the others are counted."""
    passed = []
    before = np.asarray(reference)
    for each in edits:
        planned, outcome = each.planned, each.outcome
        if outcome.image is None:
            counts.rejected["edit_failed"] += 1
            counts.failed.append({"row": planned.id, "error": f"{outcome.failure}: {outcome.detail}"})
            continue
        if outcome.image.size != reference.size:
            counts.rejected["size_differs"] += 1
            continue
        reasons = rejections(before, np.asarray(outcome.image), planned.edit.factor)
        if reasons:
            counts.rejected[reasons[0]] += 1
            continue
        if (
            similarity is not None
            and min_similarity is not None
            and similarity(reference, outcome.image) < min_similarity
        ):
            counts.rejected["dissimilar"] += 1
            continue
        passed.append(each)
    return passed


@dataclass(frozen=True)
class ViewPicture:
    """A picture of a view: as it is stored, and as models see it."""

    member: GroupPicture
    shown: EncodedPicture


def view_pictures(reference: Image.Image, edits: Sequence[MadeEdit]) -> list[ViewPicture]:
    """Return the reference and a picture for each edit."""
    pixels = np.asarray(reference, dtype=np.uint8)
    pictures = [
        ViewPicture(GroupPicture(REFERENCE, StoredPicture(encode(pixels)), None, 0.0), EncodedPicture(reference))
    ]
    for each in edits:
        assert each.outcome.image is not None
        editor = each.editor
        done = each.planned.edit.model_copy(
            update={
                "editor": editor.name,
                "revision": editor.revision,
                "licence": editor.licence,
                "commercial": editor.commercial,
            }
        )
        stored = StoredPicture(encode(np.asarray(each.outcome.image, dtype=np.uint8)))
        # What an editor did besides its instruction is not known.
        member = GroupPicture(each.planned.id, stored, done, 0.0, view_change=None)
        pictures.append(ViewPicture(member, EncodedPicture(each.outcome.image)))
    return pictures


async def executed(
    pictures: Sequence[ViewPicture], models: PanelModels, checker: ModelEntry, counts: BuildCounts
) -> list[ViewPicture]:
    """Return the reference and the edits in which the checker sees what was asked for; the others are counted.

    Raises:
        BackendError: the checker cannot be asked at all, or its budget is spent.
    """
    reference, *edited = pictures
    if not edited:
        return [reference]
    tasks = [
        EditTask(reference.shown, each.shown, each.member.edit.instruction)
        for each in edited
        if each.member.edit is not None
    ]
    checks = await models.put(checker.model, lambda model: check_edits(model, tasks, checker.sampling(GREEDY)))
    for check in checks:
        for reason in check.rejected or ([f"check: {check.failure}"] if check.failure else []):
            counts.rejected[reason] += 1
    return [reference, *(each for each, check in zip(edited, checks, strict=True) if check.passed)]


def _factors(ordered: OrderedPair) -> tuple[Factor, ...]:
    """Return the deciding factors: that of the edit with the larger effect, and that of the other if its effect is
    similar.
    """
    if ordered.tie:
        return ()
    effects = {member.key: abs(member.loss) for member in (ordered.first, ordered.second) if member.edit is not None}
    largest = max(effects.values())
    edits = [
        member.edit
        for member in (ordered.first, ordered.second)
        if member.edit is not None and effects[member.key] >= DECISIVE_SHARE * largest
    ]
    return tuple(dict.fromkeys(edit.factor for edit in edits))


@dataclass(frozen=True)
class PairToExplain:
    """A pair with its label and everything that its writer needs."""

    ordered: OrderedPair
    label: MemberPair
    task: RationaleTask


def judged_pairs(
    parts: Sequence[LabelledPart], pictures: Sequence[ViewPicture], source: Source, group: str
) -> list[PairToExplain]:
    """Return the pairs of a view with consistent differences and the measurements of their pictures."""
    members = {each.member.key: each.member for each in pictures}
    shown = {each.member.key: each.shown for each in pictures}
    pairs: list[PairToExplain] = []
    for part in parts:
        # Points lost against the reference; in a part without the reference, zero is the mean of the part.
        base = part.scores.get(REFERENCE, 0.0)
        scored = {key: replace(members[key], loss=base - score) for key, score in part.scores.items()}
        for pair in part.pairs:
            ordered = ordered_pair(scored[pair.first], scored[pair.second], group, source, "judged/1")
            first, second = ordered.first, ordered.second
            task = RationaleTask(
                first=shown[first.key],
                second=shown[second.key],
                observed=seen_in(first, second),
                delta=ordered.delta,
                factors=_factors(ordered),
                instruction_first=None if first.edit is None else first.edit.instruction,
                instruction_second=None if second.edit is None else second.edit.instruction,
                seed=ordered.seed,
            )
            pairs.append(PairToExplain(ordered, pair, task))
    return pairs


async def texts_of(pairs: Sequence[PairToExplain], models: PanelModels) -> list[tuple[Written, Written]]:
    """Return the reasoning of each pair, in its own order and in the other.

    Raises:
        BackendError: the writer cannot be asked at all, or its budget is spent.
    """
    if not pairs:
        return []
    writer, most = models.panel.writer_entry, models.panel.max_rewrites
    sampling = writer.sampling(WRITTEN)
    both = [*(each.task for each in pairs), *(each.task.swapped() for each in pairs)]
    texts = await models.put(
        writer.model, lambda model: write_with_model(model, both, max_rewrites=most, sampling=sampling)
    )
    return list(zip(texts[: len(pairs)], texts[len(pairs) :], strict=True))


def records_of(
    pairs: Sequence[PairToExplain],
    texts: Sequence[tuple[Written, Written]],
    source: Source,
    group: str,
    writer: str,
    counts: BuildCounts,
) -> list[PairRecord]:
    """Return the rows of a view's pairs; reasons why texts were rejected are counted."""
    records: list[PairRecord] = []
    for pair, both in zip(pairs, texts, strict=True):
        for text in both:
            counts.rejected.update({f"text: {reason}": n for reason, n in text.rejected.items()})
        forward, swapped = (text.rationale for text in both)
        if forward is None or swapped is None:
            raise AssertionError("the embedded writer has a text for every pair whose factors are known")
        writers = {writer if text.writer == "vlm" else "embedded" for text in both}
        records.append(
            make_record(
                pair.ordered,
                group,
                source,
                factors=pair.task.factors or (),
                rationale=forward,
                swapped=swapped,
                writer=" + ".join(sorted(writers)),
                agreement=pair.label.agreement,
                delta_error=pair.label.error,
            )
        )
    return records
