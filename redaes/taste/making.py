"""Make the folder of a taste from sources of decisions; it appears completely or not at all.

A killed run is not resumed, because everything takes only minutes. With more decisions later, learning starts from the
same base again with all of them, so that held-out decisions have never been learnt from.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from redaes.datagen.imported.forms import ReadingSettings
from redaes.datagen.imported.rows import StatedPair, UnusableRow
from redaes.datagen.whole_folders import whole_folder
from redaes.early_checks import check_model
from redaes.errors import InputError
from redaes.models import nano
from redaes.taste.learning import Progress, TasteSettings, check_decided, learn
from redaes.taste.reading import N_NAMED, ReadDecisions, read_decisions, stated_in
from redaes.taste.saving import EarlierDecisions, earlier_report, save_taste


@dataclass(frozen=True)
class TasteSources:
    """The sources of decisions."""

    sources: tuple[Path, ...]
    earlier: Path | None
    """An earlier taste; None: there is none."""
    reading: ReadingSettings


def make_taste(
    given: TasteSources,
    out: Path,
    work: Path,
    settings: TasteSettings,
    *,
    model: str | None,
    device: str | None,
    progress: Progress,
) -> dict[str, Any]:
    """Read the decisions, learn, and write the folder.

    Args:
        given: the sources of the decisions.
        out: a folder that does not exist yet.
        work: an empty folder for pictures without a file.
        settings: settings of the learning.
        model: name or folder of the base; None: that of the earlier taste, or the embedded model.
        device: where the model computes; None: the best device of this machine.
        progress: called with the progress.

    Returns:
        The report that is written.

    Raises:
        InputError: no decision can be used or held out, or the earlier taste is on another model.
        RecordError: ``out`` or the earlier taste cannot be used.
        BackendError, TrainingError: the model cannot be used.
    """
    before = None if given.earlier is None else earlier_report(given.earlier)
    named = model or (nano.NAME if before is None else str(before["model"]))
    if before is not None and named != before["model"]:
        raise InputError(
            f"{given.earlier} was learnt on {before['model']}, and --model is {named}; leave --model out, or --from"
        )
    check_model(named)
    old = None if given.earlier is None else EarlierDecisions(given.earlier)
    with whole_folder(out) as making:
        rows: Iterator[StatedPair | UnusableRow] = chain(old or (), stated_in(given.sources, given.reading))
        found = read_decisions(
            rows,
            work,
            ids=(lambda where: None) if old is None else old.ids,
            progress=lambda n: progress("reading decisions", n, n),
        )
        if not found.decisions:
            reasons = "; ".join(f"{row.where}: {row.reason} ({row.detail})" for row in found.left_out[:3])
            where = given.reading.pictures is None and "picture missing" in found.reasons()
            hint = ". --pictures gives the folder from which lists name them" if where else ""
            raise InputError(f"no decision can be used. {reasons or 'There is none in what was given.'}{hint}")
        check_decided(found.decisions, settings)
        learned = learn(named, None, found.decisions, settings, device=device, progress=progress)
        if before is not None and learned.base.revision != before["revision"]:
            raise InputError(
                f"{given.earlier} was learnt on {named} at revision {before['revision']}, and it is at "
                f"{learned.base.revision} now; give the same weights, or leave --from out"
            )
        return save_taste(making, learned, found.decisions, settings, {"decisions": _account(found, before)})


def _account(found: ReadDecisions, before: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "n": len(found.decisions),
        "series": len({one.series for one in found.decisions}),
        "ties": sum(not one.sign for one in found.decisions),
        "answers": found.n_answers,
        "from_earlier": None if before is None else before["decisions"]["n"],
        "contradictory": len(found.contradictory),
        "first_contradictory": list(found.contradictory[:N_NAMED]),
        "left_out": found.reasons(),
        "first_left_out": [f"{row.where}: {row.reason} ({row.detail})" for row in found.left_out[:N_NAMED]],
    }
