"""Estimate, before a build begins, its calls, tokens, money, hours and disk space.

There are two figures of each: the largest possible one, which follows from the recipe, and the expected one, which
needs the rates of an earlier build (:mod:`redaes.datagen.measured_rates`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from redaes import prompts
from redaes.datagen.build_recipe import Recipe
from redaes.datagen.dataset_settings import DatasetSettings
from redaes.datagen.filters import CHECK
from redaes.datagen.filters import GREEDY as CHECKED
from redaes.datagen.measured_rates import MeasuredRates, pairs_of_view
from redaes.datagen.pair_choice import n_questions
from redaes.datagen.panel import Panel
from redaes.datagen.panel_entries import JudgeEntry, ModelEntry
from redaes.datagen.plan import plan_view
from redaes.datagen.planner import PROMPT as PLAN
from redaes.datagen.planner import SAMPLING as PLANNED
from redaes.datagen.rationales.model_writer import PROMPT as WRITE
from redaes.datagen.rationales.model_writer import SAMPLING as WRITTEN
from redaes.datagen.sources import Source
from redaes.datagen.view_judging import JOINING_ROUNDS
from redaes.types import SPLITS

PIXELS_A_TOKEN = 28 * 28
"""Pixels for each token of a picture if nothing was measured. This is the value of Qwen2.5-VL; Qwen3-VL has 32 x 32,
others have more or less.
"""
CHARACTERS_A_TOKEN = 4
FILLED_IN = 2_000
"""Approximate largest number of characters that fill a prompt's fields, such as wishes and measurements."""
BYTES_A_PIXEL = ((256, 0.48), (512, 0.36), (1024, 0.30))
"""Bytes for each pixel of a stored picture, by the picture's longest side: means of 60 photographs."""
ASPECT = 0.75
"""Assumed ratio of the shorter to the longer side of a photograph."""
BYTES_AN_ANSWER = 4096
"""Bytes of a cached answer on disk; a file takes at least one block."""


@dataclass(frozen=True)
class Amount:
    """A largest possible and an expected amount."""

    most: float
    expected: float | None = None
    """The expected amount; None if it is not known."""

    def plus(self, other: Amount) -> Amount:
        """Return the sum of both."""
        known = self.expected is not None and other.expected is not None
        return Amount(self.most + other.most, self.expected + other.expected if known else None)  # type: ignore[operator]


NOTHING = Amount(0.0, 0.0)


@dataclass(frozen=True)
class TaskBudget:
    """What a build asks one model in one role."""

    role: str
    model: str
    calls: Amount
    tokens_read: Amount
    tokens_written: Amount
    cost: Amount | None
    """The cost; None if no price is given."""


@dataclass(frozen=True)
class BuildBudget:
    """What a build is going to ask in total."""

    photographs: Mapping[str, int]
    """Number of photographs by split."""
    views: int
    edits: Amount
    pairs_judged: Amount
    pairs_kept: Amount
    tasks: tuple[TaskBudget, ...]
    in_process: tuple[str, ...]
    """Judges that work in the build's own process and are asked nothing over a network."""
    cost: Amount | None
    """Cost of all models with a price; None if none has one."""
    unpriced: tuple[str, ...]
    """Models without a price."""
    hours: float | None
    """Hours that the slowest of editors and servers takes, with all of them busy; None if this was not measured."""
    slowest: str
    """Name of the slowest of them; empty if this was not measured."""
    gpu_hours: Mapping[str, float] = field(default_factory=dict)
    """GPU-hours of the editors, and of servers whose number of GPUs is given."""
    disk_bytes: Amount = NOTHING
    notes: tuple[str, ...] = ()
    """Assumptions of the estimate, and limits that would end the build early."""


def budget_of(recipe: Recipe, sources: Sequence[Source], measured: MeasuredRates | None = None) -> BuildBudget:
    """Return what a build by a recipe asks for these photographs.

    Args:
        recipe: the recipe of the build.
        sources: the photographs that are used.
        measured: rates of an earlier build.
    """
    photographs: dict[str, int] = {split: sum(source.split == split for source in sources) for split in SPLITS}
    views = len(sources) * recipe.settings.views
    if recipe.panel is None:
        return _measured_build(recipe.settings, sources, photographs, views)
    return _Judged(recipe, recipe.panel, views, measured).budget(photographs)


def _measured_build(
    settings: DatasetSettings, sources: Sequence[Source], photographs: Mapping[str, int], views: int
) -> BuildBudget:
    """Return the budget of a build with the embedded editor, whose plan needs no look at the pictures."""
    n_edits = n_pairs = 0
    for source in sources:
        for view in range(settings.views):
            rows = plan_view(source.id, source.split, view, settings.variants, settings.seed)
            n_edits += len(rows)
            n_pairs += math.comb(1 + sum(row.role != "shared" for row in rows), 2)
    pairs = Amount(n_pairs)
    return BuildBudget(
        photographs=photographs,
        views=views,
        edits=Amount(n_edits, n_edits),
        pairs_judged=pairs,
        pairs_kept=pairs,
        tasks=(),
        in_process=(),
        cost=None,
        unpriced=(),
        hours=None,
        slowest="",
        disk_bytes=Amount(n_pairs * 2 * _bytes_of_picture(settings.max_side)),
        notes=(_about_bytes(settings.max_side),),
    )


class _Judged:
    """Calculates what a panel is asked."""

    def __init__(self, recipe: Recipe, panel: Panel, views: int, measured: MeasuredRates | None) -> None:
        self.panel = panel
        self.workers = recipe.n_workers
        self.engine = recipe.engine
        self.settings = recipe.settings
        self.views = views
        self.measured = measured
        self.servers = panel.servers()
        self.assumed: list[str] = []
        n = self.settings.variants
        self.edits = Amount(views * n, None if measured is None else views * n * measured.planned_share)
        most = Amount(views * math.comb(n + 1, 2))
        share = panel.savings.pair_share
        # Extra pairs are asked about to join parts that rejected pairs left apart, one for each further part each time.
        asked = min(math.comb(n + 1, 2), n_questions(n + 1, share) + (JOINING_ROUNDS * n if share < 1 else 0))
        self.judged, self.kept = Amount(views * asked), most
        if measured is not None:
            left = min(1.0, measured.planned_share * measured.passed_share)
            judged = views * pairs_of_view(n, left) * measured.judged_share
            self.judged = Amount(self.judged.most, judged)
            self.kept = Amount(most.most, judged * measured.kept_share)

    def budget(self, photographs: Mapping[str, int]) -> BuildBudget:
        tasks = tuple(self._tasks())
        priced = [task.cost for task in tasks if task.cost is not None]
        cost = None
        for amount in priced:
            cost = amount if cost is None else cost.plus(amount)
        hours, slowest = self._hours(tasks)
        answers = NOTHING
        for task in tasks:
            answers = answers.plus(task.calls)
        a_pair = 2.0 * _bytes_of_picture(self.settings.max_side)
        if self.measured is not None and self.measured.bytes_a_pair is not None:
            a_pair = self.measured.bytes_a_pair
        else:
            self.assumed.append(_about_bytes(self.settings.max_side))
        return BuildBudget(
            photographs=photographs,
            views=self.views,
            edits=self.edits,
            pairs_judged=self.judged,
            pairs_kept=self.kept,
            tasks=tasks,
            in_process=tuple(judge.model for judge in self.panel.judge_entries if not judge.is_served),
            cost=cost,
            unpriced=tuple(sorted({task.model for task in tasks if task.cost is None})),
            hours=hours,
            slowest=slowest,
            gpu_hours=self._gpu_hours(hours),
            disk_bytes=Amount(
                self.kept.most * a_pair + answers.most * BYTES_AN_ANSWER,
                None
                if self.kept.expected is None or answers.expected is None
                else self.kept.expected * a_pair + answers.expected * BYTES_AN_ANSWER,
            ),
            notes=(*dict.fromkeys(self.assumed), *self._limits(tasks)),
        )

    def _tasks(self) -> list[TaskBudget]:
        panel, measured = self.panel, self.measured
        found = []
        if panel.planner_entry is not None:
            found.append(self._task("planner", panel.planner_entry, PLAN, 1, PLANNED.max_new_tokens, self.views, 1.0))
        if panel.checker_entry is not None:
            model, most = panel.checker_entry.model, self.edits.most
            # Edits that measurements have already rejected are not shown to the checker.
            share = None if measured is None else _share(measured.answers.get((model, CHECK)), measured.planned)
            times = None if share is None or self.edits.expected is None else share * self.edits.expected / most
            found.append(self._task("checker", panel.checker_entry, CHECK, 2, CHECKED.max_new_tokens, most, times))
        for judge in panel.judge_entries:
            if judge.is_served:
                found.append(self._judge(judge))
        most = self.kept.most * 2 * (1 + panel.max_rewrites)  # pairs that were not judged get rationales, too
        texts = (
            None if measured is None else _share(measured.answers.get((panel.writer_entry.model, WRITE)), measured.kept)
        )
        times = None if texts is None or self.kept.expected is None else texts * self.kept.expected / most
        found.append(self._task("writer", panel.writer_entry, WRITE, 2, WRITTEN.max_new_tokens, most, times))
        return found

    def _judge(self, judge: JudgeEntry) -> TaskBudget:
        measured, n = self.measured, self.settings.variants
        entry = self.servers[judge.argument].model_copy(update={"max_new_tokens": judge.max_new_tokens})
        if judge.kind == "score":
            left = None if measured is None else min(1.0, measured.planned_share * measured.passed_share)
            times = None if left is None else (1 + n * left) / (n + 1)
            return self._task("judge (score)", entry, prompts.SCORE, 1, 16, self.views * (n + 1), times)
        prompt = prompts.in_form(prompts.COMPARE["reasoned"], judge.form or "text")
        most = self.judged.most * 2 * (judge.samples or 1)
        times = None if self.judged.expected is None else self.judged.expected / self.judged.most
        if times is not None and measured is not None:
            # A judge that is asked only where others disagree answers less often.
            asked = _share(measured.answers.get((judge.argument, prompt)), measured.judged)
            times *= 1.0 if asked is None else min(1.0, asked / (2 * (judge.samples or 1)))
        return self._task("judge", entry, prompt, 2, judge.max_new_tokens or 0, most, times)

    def _task(
        self, role: str, entry: ModelEntry, prompt: str, pictures: int, longest: int, most: float, times: float | None
    ) -> TaskBudget:
        """
        Args:
            role: the role in which the model is asked.
            entry: the model.
            prompt: name of the prompt.
            pictures: number of pictures that a question shows.
            longest: largest number of tokens of an answer.
            most: largest number of questions.
            times: expected share of those questions; None if it is not known.
        """
        model, measured = entry.model, self.measured
        longest = entry.max_new_tokens or longest
        asked = None if times is None else most * times
        again = 1.0 if measured is None else measured.calls_an_answer.get(model, 1.0)
        calls = Amount(most, None if asked is None else asked * again)
        known = None if measured is None else measured.tokens.get((model, prompt))
        text = prompts.load(prompt)
        characters = len(text.text) + (FILLED_IN if text.fields else 0)
        words = characters / CHARACTERS_A_TOKEN
        side = self.settings.max_side
        read_most = max(words + pictures * side * side / PIXELS_A_TOKEN, 0.0 if known is None else known.read)
        if known is None:
            self.assumed.append(
                f"tokens read are assumed: one for {PIXELS_A_TOKEN} pixels of a picture and one for "
                f"{CHARACTERS_A_TOKEN} characters of a text; models differ, up to twice as many"
            )
        expected_read = None if asked is None or known is None else asked * known.read
        expected_written = None if asked is None or known is None else asked * known.written
        read, written = Amount(most * read_most, expected_read), Amount(most * longest, expected_written)
        price = self.servers[model].price
        cost = None
        if price is not None:
            known_cost = expected_read is not None and expected_written is not None
            cost = Amount(
                (price.input * read.most + price.output * written.most) / 1e6,
                (price.input * expected_read + price.output * expected_written) / 1e6 if known_cost else None,  # type: ignore[operator]
            )
        return TaskBudget(role, model, calls, read, written, cost)

    def _hours(self, tasks: Sequence[TaskBudget]) -> tuple[float | None, str]:
        """Return the hours that the slowest editor or server takes, and its name."""
        measured = self.measured
        if measured is None:
            return None, ""
        times: dict[str, float] = {}
        if measured.seconds_an_edit is not None and self.edits.expected is not None:
            times["editors"] = measured.seconds_an_edit * self.edits.expected / (self._n_devices * 3600)
        for model, entry in self.servers.items():
            a_request = measured.seconds_a_request.get(model)
            calls = [task.calls.expected for task in tasks if task.model == model]
            if a_request is None or any(n is None for n in calls):
                return None, ""
            capacity = (entry.concurrency or 1) * len(entry.endpoint or ()) * self.workers
            times[model] = a_request * sum(n for n in calls if n is not None) / (capacity * 3600)
        slowest = max(times, key=lambda name: times[name], default="")
        return (times[slowest], slowest) if slowest else (None, "")

    @property
    def _n_devices(self) -> int:
        """Number of devices on which editors work at once. A Ray actor uses only the GPU it is given."""
        named = len(self.panel.editor_devices) if self.engine == "local" else 0
        return named or self.workers

    def _gpu_hours(self, hours: float | None) -> dict[str, float]:
        if hours is None:
            return {}
        found = {}
        if any(editor != "embedded" for editor in self.panel.editors):
            found["editors"] = hours * self._n_devices
        for model, entry in self.servers.items():
            if entry.gpus is not None:
                found[model] = hours * entry.gpus * len(entry.endpoint or ())
        return found

    def _limits(self, tasks: Sequence[TaskBudget]) -> list[str]:
        """Return limits that would end the build early."""
        notes = []
        for model, entry in self.servers.items():
            its = [task for task in tasks if task.model == model]
            for name, limit, amounts in (
                ("max_calls", entry.max_calls, [task.calls for task in its]),
                ("max_tokens", entry.max_tokens, [x for task in its for x in (task.tokens_read, task.tokens_written)]),
            ):
                total = NOTHING
                for amount in amounts:
                    total = total.plus(amount)
                wanted = total.most if total.expected is None else total.expected
                if limit is not None and limit * self.workers < wanted:
                    takes = "may take" if total.expected is None else "is expected to take"
                    notes.append(
                        f"{model}: {name} is {limit:,} for each of {self.workers} workers, and the build {takes} "
                        f"{wanted:,.0f}: it ends there, and goes on when it is started again"
                    )
        return notes


def _share(part: float | None, whole: float) -> float | None:
    """Return part / whole; None if one of them is not known."""
    return None if part is None or not whole else part / whole


def _bytes_of_picture(max_side: int) -> float:
    """Return the assumed bytes on disk of a picture with this longest side, used if nothing was measured."""
    a_pixel = min(BYTES_A_PIXEL, key=lambda known: abs(math.log(known[0] / max_side)))[1]
    return a_pixel * ASPECT * max_side * max_side


def _about_bytes(max_side: int) -> str:
    return f"a stored picture is assumed to take {_bytes_of_picture(max_side) / 1024:,.0f} KiB, twice in each pair"
