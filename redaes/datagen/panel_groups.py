"""Groups whose differences are judged: editors that follow instructions, a panel of judges, a model that explains.

The other way to make a group beside `redaes.datagen.parametric_groups`. Here the editor may do anything, so every
edit is checked, every two pictures of a view are judged by everyone in both orders, and only what the judges agree on
is kept. The group's differences are then made consistent (`redaes.ranking.potential`): ``GroupPicture.loss`` is the
reference's score less the member's.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from PIL import Image
from pydantic import BeforeValidator, Field, FiniteFloat, model_validator

from redaes.backends.endpoint import Endpoint
from redaes.backends.pictures import EncodedPicture
from redaes.datagen.consensus import ConsensusRules, consensus
from redaes.datagen.dataset_settings import DatasetSettings, WrittenSettings, whole_number
from redaes.datagen.editors import load_editor
from redaes.datagen.editors.base import EditJob, Editor
from redaes.datagen.filters import EditTask, Similarity, check_edits, rejections
from redaes.datagen.instructions import STRENGTHS, Instruction, draw, draw_wishes
from redaes.datagen.judges import (
    AssessorJudge,
    Judge,
    PicturePair,
    PyiqaScorer,
    ScorerJudge,
    VlmJudge,
    VlmScorer,
)
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
from redaes.datagen.planner import PlanTask, plan_instructions
from redaes.datagen.rationales.model_writer import RationaleTask, write_with_model
from redaes.datagen.sources import Source
from redaes.errors import BackendError, BudgetExhausted, InputError
from redaes.lenient import Reader
from redaes.ranking import Edge, components, fit_potential
from redaes.records import PairRecord
from redaes.types import Agreement, Edit, Factor

Answer = TypeVar("Answer")

DECISIVE_SHARE = 0.5
"""Of two edits, the lesser one decides as well when its effect is at least this share of the greater one's."""


def _as_items(value: Any) -> Any:
    """The items of a mapping, in the order of their names; anything else as it is."""
    return tuple(sorted(value.items())) if isinstance(value, dict) else value


class Panel(WrittenSettings):
    """Who edits, judges and explains: what determines a judged dataset, besides `DatasetSettings` and the
    photographs."""

    where = "panel"

    endpoint: str
    """OpenAI-compatible server of all models below, such as ``http://127.0.0.1:8000/v1``."""
    judges: Annotated[tuple[str, ...], Field(min_length=1)]
    """Who judges, each once, as `JUDGES` makes them: a model's name, or ``kind:argument`` such as
    ``score:Qwen/Qwen3-VL-8B``, ``redaes:models/ours`` and ``pyiqa:musiq:0:100``."""
    writer: str
    """Model that writes the reasoning."""
    editors: Annotated[tuple[str, ...], Field(min_length=1)] = ("diffusers",)
    """Names for `redaes.datagen.editors.load_editor`; a group's edits take them in turn."""
    editor_options: Annotated[tuple[tuple[str, str | int | float | bool], ...], BeforeValidator(_as_items)] = ()
    """For every editor, such as ``("steps", 4)`` and ``("offload", "model")``; a mapping in a recipe."""
    planner: str | None = None
    """Model that looks at a view and words fitting instructions; None: they are drawn from the templates."""
    checker: str | None = None
    """Model that looks whether an instruction was executed; None: measurements alone decide."""
    similarity: str | None = None
    """Folder of a DINOv2, SigLIP or CLIP model that compares each edit with its view; None: not asked."""
    min_similarity: Annotated[FiniteFloat, Field(strict=True)] | None = None
    """Least cosine of its features; depends on the model, so there is no default."""
    samples: Annotated[int, whole_number(1)] = 2
    """Answers of each judging model in each order."""
    max_new_tokens: Annotated[int, whole_number(1)] = 512
    """Longest answer of a judging model, in tokens, thoughts included: models that think need thousands."""
    reader: Reader = "strict"
    """What is read of a judging model's answers: the form itself, or (``lenient``) unambiguous variants of it too."""
    max_rewrites: Annotated[int, whole_number(0)] = 2
    """How often a text with faults is sent back to its writer."""
    concurrency: Annotated[int, whole_number(1)] = 8
    """Requests to each model under way at once, in each worker."""
    max_calls: Annotated[int, whole_number(0)] | None = None
    """Most requests to each model in each worker's life; None: no limit."""
    rules: ConsensusRules = ConsensusRules()
    """When the judges agree."""

    @model_validator(mode="after")
    def _complete(self) -> Panel:
        if len(set(self.judges)) != len(self.judges):
            raise InputError(f"panel: judges are {self.judges}; name each once")
        if (self.similarity is None) != (self.min_similarity is None):
            raise InputError("panel: similarity and min_similarity go together: give both, or neither")
        return self

    def identity(self) -> dict[str, Any]:
        """What of it decides the dataset: not where the server stands, nor how hard it is worked."""
        left_out = {"endpoint", "concurrency", "max_calls"}
        # Datasets from before these could be chosen have the defaults.
        left_out |= {
            name for name, usual in (("max_new_tokens", 512), ("reader", "strict")) if getattr(self, name) == usual
        }
        return self.model_dump(mode="json", exclude=left_out)


def _vlm(model: str, models: PanelModels) -> Judge:
    panel = models.panel
    return VlmJudge(
        models.endpoint(model), samples=panel.samples, max_new_tokens=panel.max_new_tokens, reader=panel.reader
    )


def _score(model: str, models: PanelModels) -> Judge:
    return ScorerJudge(VlmScorer(models.endpoint(model)))


def _redaes(model: str, _: PanelModels) -> Judge:
    from redaes.assessor import Assessor
    from redaes.backends.local import LocalBackend

    return AssessorJudge(Assessor(LocalBackend(model), mode="reasoned"))


def _pyiqa(argument: str, _: PanelModels) -> Judge:
    metric, *bounds = argument.split(":")
    try:
        worst, best = map(float, bounds)
    except ValueError as error:
        raise InputError(f"judge pyiqa:{argument}: give metric, worst and best score: pyiqa:musiq:0:100") from error
    return ScorerJudge(PyiqaScorer(metric, worst=worst, best=best))


JUDGES: dict[str, Callable[[str, PanelModels], Judge]] = {
    "vlm": _vlm,
    "score": _score,
    "redaes": _redaes,
    "pyiqa": _pyiqa,
}
"""Makers of judges by kind: a model asked to compare; one read at its score token; our own; a metric of the optional,
non-commercial package ``pyiqa``. A judge named without a kind is a ``vlm``."""


class PanelModels:
    """A panel at work in one process: editors are loaded once, answers are kept in the dataset's folder."""

    def __init__(self, panel: Panel, folder: Path) -> None:
        """
        Args:
            panel: who is wanted.
            folder: the dataset's; answers go to ``answers/`` in it, so that no question is paid for twice.

        Raises:
            InputError, BackendError, MissingDependency: an editor that cannot be had.
        """
        self.panel = panel
        self._answers = folder / "answers"
        self._editors: dict[str, Editor] = {}
        self._endpoints: dict[str, Endpoint] = {}
        self.judges = [self._judge(name) for name in panel.judges]
        self.similarity = None if panel.similarity is None else Similarity(Path(panel.similarity))

    def _judge(self, name: str) -> Judge:
        kind, colon, argument = name.partition(":")
        if not colon:
            return _vlm(name, self)
        if kind not in JUDGES:
            raise InputError(f"unknown kind of judge in {name!r}; give one of {', '.join(JUDGES)}, or a model's name")
        return JUDGES[kind](argument, self)

    def editor(self, name: str) -> Editor:
        """The editor of that name, loaded when it is first wanted."""
        if name not in self._editors:
            options: dict[str, Any] = {} if name == "embedded" else dict(self.panel.editor_options)
            self._editors[name] = load_editor(name, **options)
        return self._editors[name]

    def endpoint(self, model: str) -> Endpoint:
        """The way to ask a model; one for each, because calls are counted and limited for each."""
        if model not in self._endpoints:
            self._endpoints[model] = Endpoint(
                self.panel.endpoint,
                model,
                concurrency=self.panel.concurrency,
                max_calls=self.panel.max_calls,
                cache=self._answers,
            )
        return self._endpoints[model]

    def ask(self, model: str, question: Callable[[Endpoint], Awaitable[Answer]]) -> Answer:
        """Put questions to a model, with its endpoint open.

        Raises:
            BudgetExhausted: not all of them could be paid for. Taken for an answer, that would stay in the dataset.
            BackendError: none of them was answered.
        """
        before = self.endpoint(model).counts.copy()

        async def run() -> Answer:
            async with self.endpoint(model) as endpoint:
                return await question(endpoint)

        answer = asyncio.run(run())
        happened = self.endpoint(model).counts - before
        if happened["failed: budget_exhausted"]:
            raise BudgetExhausted(f"{model}: max_calls {self.panel.max_calls} is spent; run again to go on")
        failed = sorted(what for what in happened if what.startswith("failed: "))
        if failed and not happened["ok"] and not happened["cached"]:
            raise BackendError(
                f"{model} at {self.panel.endpoint} answers nothing ({', '.join(failed)}); run again to go on"
            )
        return answer

    def counts(self) -> Counter[str]:
        """What became of the requests so far, as ``<model>: <outcome>``, and what read the judges' answers."""
        counted = [*((name, endpoint.counts) for name, endpoint in self._endpoints.items())]
        counted += [(judge.name, judge.counts) for judge in self.judges if isinstance(judge, VlmJudge)]
        return Counter({f"{name}: {what}": n for name, counts in counted for what, n in counts.items()})


@cache
def panel_models(panel: Panel, folder: Path) -> PanelModels:
    """The models of this process: loading an editor takes minutes, so it is done once."""
    return PanelModels(panel, folder)


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
    if panel.planner is None or image is None:
        wanted = [tuple(draw(settings.variants, seed)) for _, seed in views]
    else:
        tasks = [
            PlanTask(
                EncodedPicture(Image.fromarray(render_view(image, frame, settings.max_side))),
                tuple(draw_wishes(settings.variants, seed)),
            )
            for frame, seed in views
        ]
        wanted = _proposed(tasks, models, panel.planner, counts)
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
    tasks: Sequence[PlanTask], models: PanelModels, planner: str, counts: BuildCounts
) -> list[tuple[Instruction, ...]]:
    """The planner's usable instructions for each task; the others are counted."""
    plans = models.ask(planner, lambda endpoint: plan_instructions(endpoint, tasks))
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
        members[planned.id] = GroupPicture(planned.id, StoredPicture(encode(after)), done, 0.0, view=None)
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
    if models.panel.checker is None or not made:
        return made
    source = EncodedPicture(reference)
    tasks = [EditTask(source, EncodedPicture(edited), planned.edit.instruction) for planned, edited in made]
    checks = models.ask(models.panel.checker, lambda endpoint: check_edits(endpoint, tasks))
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
    panel = models.panel
    texts = models.ask(panel.writer, lambda endpoint: write_with_model(endpoint, both, max_rewrites=panel.max_rewrites))
    records: list[PairRecord] = []
    for number, (ordered, task, agreement) in enumerate(zip(every, tasks, agreements, strict=True)):
        written, swapped = texts[number], texts[number + len(tasks)]
        for text in (written, swapped):
            counts.rejected.update({f"text: {reason}": n for reason, n in text.rejected.items()})
        writers = {panel.writer if text.writer == "vlm" else "embedded" for text in (written, swapped)}
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
