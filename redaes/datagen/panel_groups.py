"""Groups whose differences are judged: editors that follow instructions, a panel of judges, a model that explains.

The other way to make a group beside `redaes.datagen.parametric_groups`. Here the editor may do anything, so every
edit is checked, every two pictures of a view are judged by everyone in both orders, and only what the judges agree on
is kept. The group's differences are then made consistent (`redaes.ranking.potential`): ``GroupPicture.loss`` is the
reference's score less the member's.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from redaes.backends.pictures import EncodedPicture
from redaes.datagen.consensus import consensus
from redaes.datagen.dataset_settings import DatasetSettings
from redaes.datagen.editors.base import EditJob
from redaes.datagen.filters import GREEDY, EditTask, check_edits, rejections
from redaes.datagen.instructions import STRENGTHS, Instruction, draw, draw_wishes
from redaes.datagen.judges import PicturePair
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
from redaes.datagen.plan import PlannedEdit, draw_frame
from redaes.datagen.planner import SAMPLING, PlanTask, plan_instructions
from redaes.datagen.rationales.model_writer import SAMPLING as WRITTEN
from redaes.datagen.rationales.model_writer import RationaleTask, write_with_model
from redaes.datagen.sources import Source
from redaes.ranking import Edge, components, fit_potential
from redaes.records import PairRecord
from redaes.types import Agreement, Edit, Factor

DECISIVE_SHARE = 0.5
"""Of two edits, the lesser one decides as well when its effect is at least this share of the greater one's."""


def plan_judged_views(
    image: Image.Image | None, source: Source, settings: DatasetSettings, models: PanelModels, counts: BuildCounts
) -> Iterator[PlannedEdit]:
    """The rows of one photograph: instructions for each view, worded by the planner or drawn from the templates.

    Args:
        image: the photograph; None where there is no planner to look at it.
        source: what is known about it.
        settings: of the dataset.
        models: whose planner is asked, and among whose editors the rows are shared out.
        counts: where unusable proposals are counted, under ``plan: <reason>``.
    """
    panel = models.panel
    views = [draw_frame(source.id, view, settings.seed) for view in range(settings.views)]
    planner = panel.planner_entry
    if planner is None or image is None:
        wanted = [tuple(draw(settings.variants, seed)) for _, seed in views]
    else:
        tasks = [
            PlanTask(
                EncodedPicture(Image.fromarray(render_view(image, frame, settings.max_side))),
                tuple(draw_wishes(settings.variants, seed)),
            )
            for frame, seed in views
        ]
        wanted = _proposed(tasks, models, planner, counts)
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
            yield PlannedEdit(identity.hexdigest()[:16], source.split, source.id, view, "member", edit, None, frame)


def _proposed(
    tasks: Sequence[PlanTask], models: PanelModels, planner: ModelEntry, counts: BuildCounts
) -> list[tuple[Instruction, ...]]:
    """The planner's usable instructions for each task; the others are counted."""
    plans = models.ask(
        planner.model, lambda model: plan_instructions(model, tasks, sampling=planner.sampling(SAMPLING))
    )
    for plan in plans:
        counts.rejected.update({f"plan: {reason}": n for reason, n in plan.rejected.items()})
        if plan.failure is not None:
            counts.rejected[f"plan: {plan.failure}"] += 1
    return [plan.instructions for plan in plans]


def make_judged_group(
    image: Image.Image,
    source: Source,
    rows: Sequence[PlannedEdit],
    settings: DatasetSettings,
    models: PanelModels,
    counts: BuildCounts,
) -> list[PairRecord]:
    """All kept pairs of one view of a photograph.

    Args:
        image: the photograph.
        source: what is known about it.
        rows: the view's rows of the plan.
        settings: of the dataset.
        models: who edits, judges and writes.
        counts: where rejections and failures are counted.

    Raises:
        BackendError: a model cannot be asked at all, or its budget is spent; the view is to be made again.
    """
    pixels = render_view(image, rows[0].frame, settings.max_side)
    reference = GroupPicture("reference", StoredPicture(encode(pixels)), None, 0.0)
    shown = {reference.key: Image.fromarray(pixels)}
    members = {reference.key: reference}
    for planned, edited in _edited(Image.fromarray(pixels), rows, models, counts):
        editor = models.editor(planned.edit.editor)
        done = planned.edit.model_copy(
            update={
                "editor": editor.name,
                "revision": editor.revision,
                "licence": editor.licence,
                "commercial": editor.commercial,
            }
        )
        after = np.asarray(edited, dtype=np.uint8)
        # What an editor did beside what it was told is not known.
        members[planned.id] = GroupPicture(planned.id, StoredPicture(encode(after)), done, 0.0, view_change=None)
        shown[planned.id] = edited
    pictures = {key: EncodedPicture(picture) for key, picture in shown.items()}
    found = _agreed(rows[0].group, list(members.values()), pictures, models, counts)
    records: list[PairRecord] = []
    for scores in _scales(found):
        # Points lost against the reference; a part that does not hold it has no better zero than its own mean.
        base = scores.get(reference.key, 0.0)
        scored = {key: replace(members[key], loss=base - score) for key, score in scores.items()}
        kept = [row for row in found if row.first in scored]
        records += _explained(
            [(scored[row.first], scored[row.second]) for row in kept],
            [
                row.agreement.model_copy(update={"residual": row.delta - (scores[row.first] - scores[row.second])})
                for row in kept
            ],
            source,
            rows[0].group,
            pictures,
            models,
            counts,
        )
    return records


def _edited(
    reference: Image.Image, rows: Sequence[PlannedEdit], models: PanelModels, counts: BuildCounts
) -> list[tuple[PlannedEdit, Image.Image]]:
    """The edits that were made and passed all checks; the others are counted."""
    made: list[tuple[PlannedEdit, Image.Image]] = []
    for name in dict.fromkeys(planned.edit.editor for planned in rows):
        mine = [planned for planned in rows if planned.edit.editor == name]
        jobs = [EditJob(planned.edit.instruction, planned.edit.seed) for planned in mine]
        for planned, outcome in zip(mine, models.editor(name).edit(reference, jobs), strict=True):
            if outcome.image is None:
                counts.rejected["edit_failed"] += 1
                counts.failed.append({"row": planned.id, "error": f"{outcome.failure}: {outcome.detail}"})
                continue
            pixels = np.asarray(reference), np.asarray(outcome.image)
            reasons = (
                ["size_differs"] if outcome.image.size != reference.size else rejections(*pixels, planned.edit.factor)
            )
            if reasons:
                counts.rejected[reasons[0]] += 1
                continue
            if models.similarity is not None and models.panel.min_similarity is not None:
                likeness = models.similarity(reference, outcome.image)
                if likeness < models.panel.min_similarity:
                    counts.rejected["dissimilar"] += 1
                    continue
            made.append((planned, outcome.image))
    checker = models.panel.checker_entry
    if checker is None or not made:
        return made
    source = EncodedPicture(reference)
    tasks = [EditTask(source, EncodedPicture(edited), planned.edit.instruction) for planned, edited in made]
    checks = models.ask(checker.model, lambda model: check_edits(model, tasks, checker.sampling(GREEDY)))
    for check in checks:
        for reason in check.rejected or ([f"check: {check.failure}"] if check.failure else []):
            counts.rejected[reason] += 1
    return [item for item, check in zip(made, checks, strict=True) if check.passed]


@dataclass(frozen=True)
class _Agreed:
    """A difference of two members, in points, on which the judges agree."""

    first: str
    second: str
    delta: float
    agreement: Agreement

    def edge(self, item: Mapping[str, int]) -> Edge:
        """As the comparison graph has it; each answer counts."""
        return item[self.first], item[self.second], self.delta, float(self.agreement.n_answers)


def _agreed(
    group: str,
    members: Sequence[GroupPicture],
    pictures: dict[str, EncodedPicture],
    models: PanelModels,
    counts: BuildCounts,
) -> list[_Agreed]:
    """The differences on which the judges agree; residuals are still 0, for there is no potential yet."""
    compared = [(one.key, other.key) for one, other in itertools.combinations(members, 2) if one.data != other.data]
    if not compared:
        return []
    asked = [PicturePair(f"{group}:{one}:{other}", pictures[one], pictures[other]) for one, other in compared]
    answers = [judge.judge(asked) for judge in models.judges]
    rules = models.panel.rules
    found: list[_Agreed] = []
    for (one, other), judgements in zip(compared, zip(*answers, strict=True), strict=True):
        label = consensus(judgements, rules)
        if label.delta is None or label.spread is None or label.disagreement is None or label.sign_agreement is None:
            counts.rejected[str(label.rejected)] += 1  # only a rejected pair lacks any of them
            continue
        counting = [each for each in judgements if min(len(each.forward), len(each.swapped)) >= rules.min_answers]
        agreement = Agreement(
            judges=tuple(f"{each.judge}@{each.revision}" for each in counting),
            n_answers=label.n_answers,
            n_failed=label.n_failed,
            spread=label.spread,
            disagreement=label.disagreement,
            sign_agreement=label.sign_agreement,
            residual=0.0,
        )
        found.append(_Agreed(one, other, label.delta, agreement))
    return found


def _scales(found: Sequence[_Agreed]) -> Iterator[dict[str, float]]:
    """Consistent scores in points, by member, of each part that comparisons connect, even by way of others."""
    names = list(dict.fromkeys(name for row in found for name in (row.first, row.second)))
    item = {name: number for number, name in enumerate(names)}
    for part in components(len(names), [row.edge(item) for row in found]):
        within = {name: number for number, name in enumerate(sorted(names[number] for number in part))}
        fitted = fit_potential(len(within), [row.edge(within) for row in found if row.first in within])
        yield dict(zip(within, map(float, fitted.values), strict=True))


def _factors(ordered: OrderedPair) -> tuple[Factor, ...]:
    """What decides: the factor of the edit with the larger effect, and that of the other where it has a like one."""
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


def _explained(
    pairs: Sequence[tuple[GroupPicture, GroupPicture]],
    agreements: Sequence[Agreement],
    source: Source,
    group: str,
    pictures: dict[str, EncodedPicture],
    models: PanelModels,
    counts: BuildCounts,
) -> list[PairRecord]:
    """The records, with reasoning in both orders."""
    every = [ordered_pair(one, other, group, source, "judged/1") for one, other in pairs]
    tasks: list[RationaleTask] = []
    for ordered in every:
        first, second = ordered.first, ordered.second
        tasks.append(
            RationaleTask(
                first=pictures[first.key],
                second=pictures[second.key],
                observed=seen_in(first, second),
                delta=ordered.delta,
                factors=_factors(ordered),
                instruction_first=None if first.edit is None else first.edit.instruction,
                instruction_second=None if second.edit is None else second.edit.instruction,
                seed=ordered.seed,
            )
        )
    both = [*tasks, *(task.swapped() for task in tasks)]
    panel, writer = models.panel, models.panel.writer_entry
    sampling = writer.sampling(WRITTEN)
    texts = models.ask(
        writer.model,
        lambda model: write_with_model(model, both, max_rewrites=panel.max_rewrites, sampling=sampling),
    )
    records: list[PairRecord] = []
    for number, (ordered, task, agreement) in enumerate(zip(every, tasks, agreements, strict=True)):
        written, swapped = texts[number], texts[number + len(tasks)]
        for text in (written, swapped):
            counts.rejected.update({f"text: {reason}": n for reason, n in text.rejected.items()})
        writers = {writer.model if text.writer == "vlm" else "embedded" for text in (written, swapped)}
        records.append(
            make_record(
                ordered,
                group,
                source,
                factors=task.factors,
                rationale=written.rationale,
                swapped=swapped.rationale,
                writer=" + ".join(sorted(writers)),
                agreement=agreement,
            )
        )
    return records
