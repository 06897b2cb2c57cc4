"""Rates for the estimate of a build, from the report of an earlier judged build: shares, tokens and seconds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from redaes.datagen.dataset_settings import DatasetSettings
from redaes.errors import InputError
from redaes.file_writing import read_json


class TokensPerAnswer(NamedTuple):
    """Mean numbers of tokens of a task's answers."""

    read: float
    written: float


@dataclass(frozen=True)
class MeasuredRates:
    """Rates of an earlier build."""

    planned_share: float
    """Planned edits as a share of the wished ones; a planner may leave some out."""
    passed_share: float
    """Edits that were made and passed all filters, as a share of the planned ones."""
    judged_share: float
    """Judged pairs as a share of the pairs that the pictures of the views have on average."""
    kept_share: float
    """Kept pairs as a share of the judged ones."""
    answers: Mapping[tuple[str, str], float]
    """Number of answers by model and task, including cached ones."""
    judged: int
    """Number of pairs that were judged."""
    planned: int
    """Number of edits that were planned."""
    kept: int
    """Number of pairs that were kept."""
    tokens: Mapping[tuple[str, str], TokensPerAnswer]
    """Mean tokens of an answer by model and task; entries are missing if the servers report none."""
    calls_an_answer: Mapping[str, float]
    """Calls for each answer, by model; more than 1 if requests were repeated."""
    seconds_a_request: Mapping[str, float]
    """Seconds for each request, by model, at the concurrency of that build."""
    seconds_an_edit: float | None
    """Seconds of an edit on one device; None if no edit was made."""
    bytes_a_pair: float | None
    """Bytes of a pair on disk; None if the shards are not beside the report."""


def read_rates(report: Path) -> MeasuredRates:
    """Return the rates in the ``report.json`` of a dataset that a panel judged; its ``plan.json`` must be beside it.

    Raises:
        RecordError: a file is missing or is not JSON.
        InputError: the report is of another kind of build.
    """
    found, plan = read_json(report), read_json(report.with_name("plan.json"))
    try:
        return _rates(found["work"], found["pairs"], plan, report.parent)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{report} has no figures of a panel's work ({error}); give the report.json of a dataset that a panel "
            "judged, in its dataset's folder"
        ) from error


def _rates(work: dict[str, Any], pairs: dict[str, int], plan: dict[str, Any], folder: Path) -> MeasuredRates:
    settings = DatasetSettings.model_validate(plan["settings"])
    passed = {step: int(n) for step, n in work["funnel"].items()}
    views, planned, made = passed["views"], passed["planned"], passed["passed"]
    if not views or not planned:
        raise InputError(f"{folder / 'report.json'} tells of no views that were made; give one of a build that is done")
    planned_share = planned / (views * settings.variants)
    passed_share = made / planned
    pairs_thought = views * pairs_of_view(settings.variants, min(1.0, planned_share * passed_share))
    tasks = {
        (model, task): each for model, its in work["models"].items() for task, each in its.get("tasks", {}).items()
    }
    editors = work["resources"]["editors"]
    models = {
        name.removeprefix("model "): each for name, each in work["resources"].items() if name.startswith("model ")
    }
    shards = [file.stat().st_size for file in (folder / "data").glob("*.parquet")]
    return MeasuredRates(
        planned_share=planned_share,
        passed_share=passed_share,
        judged_share=passed["judged"] / pairs_thought if pairs_thought else 0.0,
        kept_share=passed["kept"] / passed["judged"] if passed["judged"] else 0.0,
        answers={key: each["answered"] + each["cached"] for key, each in tasks.items()},
        judged=passed["judged"],
        planned=planned,
        kept=passed["kept"],
        tokens={
            key: TokensPerAnswer(each["tokens_read"] / each["answered"], each["tokens_written"] / each["answered"])
            for key, each in tasks.items()
            if each["answered"] and each["tokens_read"]
        },
        calls_an_answer={
            model: its["calls"] / its["answered"] for model, its in work["models"].items() if its["answered"]
        },
        seconds_a_request={name: each["busy_s"] / each["done"] for name, each in models.items() if each["done"]},
        seconds_an_edit=editors["busy_s"] / editors["done"] if editors["done"] else None,
        bytes_a_pair=sum(shards) / sum(pairs.values()) if shards and sum(pairs.values()) else None,
    )


def pairs_of_view(variants: int, share: float) -> float:
    """Return the mean number of pairs of a view whose pictures are its reference and ``variants`` edits, each of which
    exists with the probability ``share``.

    >>> pairs_of_view(10, 1.0), pairs_of_view(10, 0.5)
    (55.0, 16.25)
    """
    return sum(
        math.comb(variants, n) * share**n * (1 - share) ** (variants - n) * math.comb(n + 1, 2)
        for n in range(variants + 1)
    )
