"""The pairs of finished runs as rows of a report's table, with their pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from redaes.errors import InputError
from redaes.evaluation.benchmarks import LoadedBenchmark
from redaes.evaluation.questions import PictureReader
from redaes.evaluation.summary import Prediction
from redaes.html_pages import jpeg_bytes, jpeg_url
from redaes.viewer.pair_table import Letter, Outcome, PairPicture, PairRow

MAX_ROWS = 2000
"""Of the table, all runs together."""

_PIXELS, _FEW_PIXELS = 240 * 180, 150 * 112
"""Area of a picture, and where there are many of them."""

_MANY = 1000
"""Pictures from which on they are small: a page with 4,000 of them has about 20 MB [ours]."""


def pair_rows(runs: Mapping[str, Sequence[Prediction]], loaded: LoadedBenchmark | None) -> list[PairRow]:
    """Return a row for each pair and run; at most :data:`MAX_ROWS`, of the same pairs for every run.

    Where there are more pairs, those with a checked reasoning come before others, and lot decides among equals.

    Args:
        runs: predictions about pairs by the run's name, all of the same labels.
        loaded: the benchmark, which has the pictures; None: rows without them.
    """
    checked = {one.id for pairs in runs.values() for one in pairs if one.reason is not None}
    ids = list(dict.fromkeys(one.id for pairs in runs.values() for one in pairs))
    most = MAX_ROWS // max(1, len(runs))
    if len(ids) > most:
        ids.sort(key=lambda pair: (pair not in checked, hashlib.sha256(pair.encode()).digest()))
        ids = ids[:most]
    shown = _thumbnails(ids, loaded)
    by_id = [(name, {one.id: one for one in pairs}) for name, pairs in runs.items()]
    return [_row(pairs[pair], shown, name) for pair in ids for name, pairs in by_id if pair in pairs]


def _thumbnails(ids: Sequence[str], loaded: LoadedBenchmark | None) -> dict[str, PairPicture]:
    names = list(dict.fromkeys(name for pair in ids for name in pair.split("\t")))
    if loaded is None:
        return {name: PairPicture(name, None, "no pictures were asked for") for name in names}
    known = {one.id: (one.id, loaded.pictures / one.file, one.box) for one in loaded.labels.pictures}
    many = len(names) > _MANY
    reader = PictureReader(_FEW_PIXELS if many else _PIXELS)
    # Crops of one file follow each other, so that the file is decoded once.
    order = sorted(names, key=lambda name: (str(known[name][1]), name))
    found = {}
    for name in order:
        try:
            image = reader.read(known[name], pixels=True).loaded.image
        except InputError as error:  # named instead: the page is about verdicts
            found[name] = PairPicture(name, None, str(error))
        else:
            found[name] = PairPicture(name, jpeg_url(jpeg_bytes(image, 60 if many else 75)))
    return found


def _row(one: Prediction, shown: Mapping[str, PairPicture], run: str) -> PairRow:
    first, second = one.id.split("\t")
    share = max(one.label, 1.0 - one.label)
    better: Letter = "tie" if one.label == 0.5 else "A" if one.label > 0.5 else "B"
    reason = one.reason
    return PairRow(
        id=one.id,
        pictures=(shown[first], shown[second]),
        factor=one.factor or "",
        better=better,
        label="a tie: 50 %" if better == "tie" else f"{better} is better: {100 * share:.0f} %",
        size=share,
        run=run,
        outcome=_outcome(one),
        verdict=_verdict(one),
        stated=None if one.predicted is None else abs(one.predicted),
        truth=None if reason is None else reason.truth,
        counts=None if reason is None else reason.counts,
    )


def _outcome(one: Prediction) -> Outcome:
    if one.predicted is None:
        return "failed"
    right = one.right
    return "open" if right is None else "right" if right else "wrong"


def _verdict(one: Prediction) -> str:
    if one.predicted is None:
        return ""
    said = "a tie" if one.predicted == 0 else f"{'A' if one.predicted > 0 else 'B'} is better"
    if one.probability is not None:
        return f"{said}: {100 * max(one.probability, 1 - one.probability):.0f} %"
    return f"{said}, difference {abs(one.predicted):.3g}"
