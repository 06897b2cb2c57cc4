"""An assessor as a reward for the reinforcement learning of image generators.

>>> from redaes import Assessor                                                     # doctest: +SKIP
>>> from redaes.backends.local import LocalBackend                                  # doctest: +SKIP
>>> reward = as_reward(Assessor(LocalBackend(), mode="fast"))                       # doctest: +SKIP
>>> reward.values([picture, another, a_third])  # of one prompt                     # doctest: +SKIP
[0.81, 0.22, 0.47]

The pictures of one prompt are compared with each other (a tournament), or each is compared with a fixed set of
references. Every pair is shown in both orders, and counts only if both were answered. A group's values depend on its
own pictures alone, with a local model down to the last bit: its questions make batches of their own, always in the same
order. See docs/rewards.md.
"""

from __future__ import annotations

import threading
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from redaes.errors import ImageError, InputError, RedaesError
from redaes.images import MAX_PIXELS, LoadedImage, fit_area, load_image
from redaes.ranking import Outcome, fit_one
from redaes.rewards.comparisons import N_ORDERS, PairAssessor, References, Tally, ask, fitted, rounds, win_rate
from redaes.rewards.image_inputs import Unusable, picture_of
from redaes.types import ImageRef

Scale = Literal["win_rate", "strength"]
"""``win_rate``: expected share of won comparisons, in [0, 1]; ``strength``: Bradley-Terry, in logits."""


Place = str | Callable[..., Any] | None


@dataclass(frozen=True)
class PictureReward:
    """The reward of one picture."""

    value: float | None
    """The value on the reward's scale; None: there is none."""
    failure: str | None = None
    """Why there is no value: a reason of :class:`redaes.rewards.image_inputs.Unusable`, or ``render_failed``, ``alone``
    (no other picture of the prompt is usable), ``no_usable_answer``, ``not_connected`` (compared only with pictures
    that are themselves cut off from the others)."""
    detail: str = ""


@dataclass(frozen=True)
class RewardReport:
    """Which model judged, how, and with which outcomes; counts begin when the reward was made."""

    model: str
    revision: str
    prompt_id: str
    mode: str
    method: str
    """The method: ``tournament``, or ``references`` with the set's name."""
    scale: Scale
    max_pixels: int
    n_pictures: int
    n_values: int
    n_questions: int
    """Number of questions to the model; two for a pair."""
    n_unanswered: int
    failures: Mapping[str, int]
    """Number of pictures without a value, by reason."""


def as_reward(
    judge: PairAssessor,
    *,
    references: References | None = None,
    scale: Scale = "win_rate",
    pictures: Place = None,
    group_size: int | None = None,
    comparisons_per_picture: int | None = None,
    groups_at_once: int = 1,
    max_pixels: int = MAX_PIXELS,
    seed: int = 0,
) -> AssessorReward:
    """Make a reward function that asks an assessor.

    Args:
        judge: a :class:`redaes.Assessor`, with a local model or a served one; its fast mode is cheaper.
        references: a :class:`redaes.assessor.ReferenceSet` that this judge ranked: each picture is compared with all of
            its pictures, so its value does not depend on its group. None: the pictures of a prompt are compared with
            each other.
        scale: see :data:`Scale`. A tournament's strengths have mean 0, and its win rates mean 0.5, over the group;
            those against references are relative to the mean of the set.
        pictures: for calls by TRL, where the picture of a row is. None: the completion is a picture, or a message that
            contains one. A name: the column that contains it. A function: it makes the picture from ``prompt``,
            ``completion`` and the row's columns; a ValueError, OSError or redaes error that it raises is a failure of
            that row.
        group_size: for calls by TRL, the number of completions of a prompt (``num_generations``); a tournament needs
            it.
        comparisons_per_picture: comparisons of each picture in a tournament; None: all pairs of up to 8 pictures, above
            that 14 for each picture.
        groups_at_once: number of groups that are judged at the same time, each in a thread. More than 1 is for a served
            model; a local one takes one group after the other.
        max_pixels: larger pictures are shrunk to this area before they are judged.
        seed: seed of a tournament's schedule.

    Raises:
        InputError: a setting is impossible, answers are sampled at random, or another judge ranked the references.
        ImageError: a reference cannot be loaded, or its file was changed.
    """
    if scale not in get_args(Scale):
        raise InputError(f"scale is {scale!r}; known: {', '.join(get_args(Scale))}")
    for name, number, least in (
        ("group_size", group_size, 2), ("comparisons_per_picture", comparisons_per_picture, 2),
        ("groups_at_once", groups_at_once, 1),
    ):  # fmt: skip
        if number is not None and number < least:
            raise InputError(f"{name} is {number}; give at least {least}")
    fit_area((1, 1), max_pixels)
    if judge.mode == "reasoned" and judge.sampling.temperature > 0:
        raise InputError(
            f"the judge draws its answers at temperature {judge.sampling.temperature:g}, so the same pictures would "
            "earn other rewards each time; make the assessor with temperature 0, or in the fast mode"
        )
    known: list[tuple[LoadedImage, float]] = []
    if references is not None:
        judge.check_references(references)
        known = [(_reference(ref, max_pixels), references.ranking.scores[ref.id]) for ref in references.pictures]
    return AssessorReward(
        judge,
        references=known,
        method="tournament" if references is None else f"references {references.name}",
        scale=scale,
        pictures=pictures,
        group_size=group_size,
        comparisons_per_picture=comparisons_per_picture,
        groups_at_once=groups_at_once,
        max_pixels=max_pixels,
        seed=seed,
    )


class AssessorReward:
    """A reward function, made by :func:`as_reward`. TRL can call it; :meth:`values` and :meth:`judge_groups` serve
    other trainers.
    """

    def __init__(
        self,
        judge: PairAssessor,
        *,
        references: Sequence[tuple[LoadedImage, float]],
        method: str,
        scale: Scale,
        pictures: Place,
        group_size: int | None,
        comparisons_per_picture: int | None,
        groups_at_once: int,
        max_pixels: int,
        seed: int,
    ) -> None:
        self._judge = judge
        self._references = references
        self._scale = scale
        self._pictures = pictures
        self._group_size = group_size
        self._comparisons = comparisons_per_picture
        self._groups_at_once = groups_at_once
        self._max_pixels = max_pixels
        self._seed = seed
        self._counts: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._method = method
        self.model = judge.backend.model
        self.revision = judge.backend.revision
        self.prompt_id = judge.prompt_id
        self.__name__ = "redaes_" + method.partition(" ")[0]  # the name under which TRL logs it

    def __call__(
        self, *, prompts: Sequence[Any] | None = None, completions: Sequence[Any] | None = None, **columns: Any
    ) -> list[float | None]:
        """Return the value of each row; TRL's trainers call this.

        Args:
            prompts: prompt of each row; the rows of a prompt stand together.
            completions: completion of each row.
            columns: columns of the dataset, as lists; ``log_metric`` gets the share of rows without a value.

        Raises:
            InputError: the rows are not whole groups.
            EndpointError: a server answered none of the questions.
        """
        log_metric = columns.pop("log_metric", None)
        handed = {name: column for name, column in columns.items() if isinstance(column, list | tuple)}
        rows = completions if completions is not None else next(iter(handed.values()), ())
        found = self._placed(prompts, completions, handed, len(rows))
        judged = [one for group in self.judge_groups(self._groups(prompts, found)) for one in group]
        if log_metric is not None and judged:
            log_metric(f"{self.__name__}/without_value", sum(one.value is None for one in judged) / len(judged))
        return [one.value for one in judged]

    def values(self, pictures: Sequence[Any]) -> list[float | None]:
        """Return the values of the pictures of one prompt; None: the picture has none. Raises what :meth:`judge_groups`
        raises.
        """
        return [one.value for one in self.judge_groups([pictures])[0]]

    def judge_groups(self, groups: Sequence[Sequence[Any]]) -> list[list[PictureReward]]:
        """Return the rewards of the pictures of several prompts.

        Args:
            groups: for each prompt its pictures, as :mod:`redaes.rewards.image_inputs` takes them.

        Returns:
            For each prompt the rewards of its pictures.

        Raises:
            EndpointError: a server answered none of the questions, or the budget is spent.
            BackendError: the model cannot be asked.
        """
        tally = Tally()
        usable = [
            [
                one if isinstance(one, PictureReward) else picture_of(one, max_pixels=self._max_pixels)
                for one in group
            ]
            for group in groups
        ]  # fmt: skip
        judge = self._against_references if self._references else self._tournament
        if self._groups_at_once == 1:
            judged = [judge(group, tally) for group in usable]
        else:
            with ThreadPoolExecutor(self._groups_at_once) as pool:
                judged = list(pool.map(lambda group: judge(group, tally), usable))
        if tally.lost is not None and tally.n_unanswered == tally.n_questions:
            raise tally.lost
        self._count(judged, tally)
        return judged

    def report(self) -> RewardReport:
        """Return which model judges, how, and the counts so far."""
        with self._lock:
            return RewardReport(
                model=self.model,
                revision=self.revision,
                prompt_id=self.prompt_id,
                mode=self._judge.mode,
                method=self._method,
                scale=self._scale,
                max_pixels=self._max_pixels,
                n_pictures=self._counts["pictures"],
                n_values=self._counts["values"],
                n_questions=self._counts["questions"],
                n_unanswered=self._counts["unanswered"],
                failures=dict(self._failures),
            )

    def _placed(
        self,
        prompts: Sequence[Any] | None,
        completions: Sequence[Any] | None,
        columns: Mapping[str, Sequence[Any]],
        n_rows: int,
    ) -> list[Any]:
        """Return the picture of each row, in the form in which the trainer gives it."""
        if callable(self._pictures):
            found = []
            for number in range(n_rows):
                row = {name: column[number] for name, column in columns.items()}
                row["prompt"] = None if prompts is None else prompts[number]
                row["completion"] = None if completions is None else completions[number]
                try:
                    found.append(self._pictures(**row))
                except (ValueError, OSError, RedaesError) as error:
                    found.append(PictureReward(None, "render_failed", f"{type(error).__name__}: {error}"))
            return found
        if self._pictures is not None:
            if self._pictures not in columns:
                raise InputError(f"there is no column {self._pictures!r}; there are: {', '.join(columns) or 'none'}")
            return list(columns[self._pictures])
        if completions is None:
            raise InputError("no completions and no column with pictures; name the column: as_reward(pictures=NAME)")
        return [_in_message(completion) for completion in completions]

    def _groups(self, prompts: Sequence[Any] | None, found: Sequence[Any]) -> list[Sequence[Any]]:
        if self._references:
            return [[one] for one in found]
        size = self._group_size
        if size is None:
            raise InputError(
                "a tournament has to know which pictures belong to one prompt: give as_reward(group_size=…), the "
                "trainer's num_generations"
            )
        if len(found) % size:
            raise InputError(
                f"{len(found)} rows are not whole groups of {size}; make each process's batch a multiple of group_size"
            )
        groups = [found[start : start + size] for start in range(0, len(found), size)]
        for number in range(len(groups)) if prompts is not None else ():
            own = prompts[number * size : (number + 1) * size]  # type: ignore[index]
            if any(prompt != own[0] for prompt in own):
                raise InputError(
                    f"rows {number * size} to {(number + 1) * size - 1} have different prompts; the rows of a prompt "
                    f"have to stand together, {size} of them (group_size)"
                )
        return groups

    def _tournament(
        self, members: Sequence[LoadedImage | Unusable | PictureReward], tally: Tally
    ) -> list[PictureReward]:
        by_id = {one.ref.id: one for one in members if isinstance(one, LoadedImage)}
        if sum(isinstance(one, LoadedImage) for one in members) < 2:
            return [_verdict(one, {}, "alone", "no other picture of this prompt is usable") for one in members]
        ids = sorted(by_id)  # the same pictures make the same batches, in whatever order they are listed
        why: Counter[str] = Counter()
        outcomes: list[Outcome] = []
        for pairs in rounds(len(ids), self._comparisons, self._seed, outcomes):
            for (i, j), won in zip(
                pairs, ask(self._judge, [(by_id[ids[i]], by_id[ids[j]]) for i, j in pairs], tally, why), strict=True
            ):
                if won is not None:
                    outcomes.append((i, j, won, N_ORDERS))
        strengths, left_out = fitted(ids, outcomes)
        standing = [
            (one.ref.id, strengths[one.ref.id])
            for one in members
            if isinstance(one, LoadedImage) and one.ref.id in strengths
        ]
        values: dict[str, float] = {}
        for picture, strength in strengths.items():
            others = [value for _, value in standing]
            others.remove(strength)  # its own id; copies of it are ties
            values[picture] = strength if self._scale == "strength" or not others else win_rate(strength, others)
        return [
            _verdict(one, values, left_out.get(one.ref.id, "") if isinstance(one, LoadedImage) else "", _told(why))
            for one in members
        ]

    def _against_references(
        self, members: Sequence[LoadedImage | Unusable | PictureReward], tally: Tally
    ) -> list[PictureReward]:
        values: dict[str, float] = {}
        why: Counter[str] = Counter()
        for one in members:
            if not isinstance(one, LoadedImage) or one.ref.id in values:
                continue
            won = ask(self._judge, [(one, reference) for reference, _ in self._references], tally, why)
            outcomes = [
                (strength, probability, N_ORDERS)
                for (_, strength), probability in zip(self._references, won, strict=True)
                if probability is not None
            ]
            if outcomes:
                strength, _ = fit_one(outcomes)
                known = [value for _, value in self._references]
                values[one.ref.id] = strength if self._scale == "strength" else win_rate(strength, known)
        return [_verdict(one, values, "no_usable_answer", _told(why)) for one in members]

    def _count(self, judged: Sequence[Sequence[PictureReward]], tally: Tally) -> None:
        everyone = [one for group in judged for one in group]
        reasons = Counter(one.failure for one in everyone if one.failure is not None)
        n_values = sum(one.value is not None for one in everyone)
        with self._lock:
            self._counts.update(pictures=len(everyone), values=n_values)
            self._counts.update(questions=tally.n_questions, unanswered=tally.n_unanswered)
            self._failures.update(reasons)
        if everyone and not n_values:
            first = next(one for one in everyone if one.failure is not None)
            warnings.warn(
                f"none of {len(everyone)} pictures has a reward: {_told(reasons)}; the first: {first.detail}",
                stacklevel=3,
            )


def _reference(ref: ImageRef, max_pixels: int) -> LoadedImage:
    loaded = load_image(Path(ref.path), max_pixels=max_pixels)
    if loaded.ref.id != ref.id:
        raise ImageError(f"{ref.path}: has changed since the reference set was ranked; rank the set again")
    return loaded


def _in_message(completion: Any) -> Any:
    """Return the picture of a completion: the completion itself, or the picture in its message."""
    if isinstance(completion, list | tuple) and completion and isinstance(completion[-1], Mapping):
        content = completion[-1].get("content")
        if isinstance(content, list | tuple):
            return [part.get("image") for part in content if isinstance(part, Mapping) and part.get("type") == "image"]
        if content is not None:
            return content
    return completion


def _verdict(
    one: LoadedImage | Unusable | PictureReward, values: Mapping[str, float], otherwise: str, detail: str
) -> PictureReward:
    if isinstance(one, PictureReward):
        return one
    if isinstance(one, Unusable):
        return PictureReward(None, one.reason, one.detail)
    if one.ref.id in values:
        return PictureReward(values[one.ref.id])
    return PictureReward(None, otherwise, detail)


def _told(why: Counter[Any]) -> str:
    return ", ".join(f"{reason} ({n})" for reason, n in why.most_common())
