"""A contact sheet of a dataset: example pairs, and plots of its content, in one file that fetches nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from redaes.datagen.statistics import PanelAgreement, Row, Statistics, light_rows, statistics
from redaes.errors import InputError, RecordError
from redaes.file_writing import read_json, write_atomically
from redaes.html_pages import jpeg_bytes, jpeg_url, page_template
from redaes.images import LoadedImage
from redaes.records import PairRecord, pick_rows, picture_of, record_of
from redaes.types import FACTORS, MAX_DELTA, SPLITS, TIE_MARGIN, Edit, winner_of
from redaes.viewer.pair_table import Letter, PairPicture, PairRow, pair_table

if TYPE_CHECKING:
    from markupsafe import Markup

SHOWN_SIDE = 320
"""Longest side of the pictures on the page, in pixels; larger ones are shrunk."""

BIN = 2 * TIE_MARGIN
"""Width of the histogram's bins, in points."""


MAX_PAIRS = 2000
"""Largest number of pairs on a page."""


def inspect(folder: Path, out: Path, *, n_pairs: int = 24) -> None:
    """Write the page.

    Args:
        folder: the dataset.
        out: an HTML file that does not exist yet.
        n_pairs: largest number of pairs shown. The factors take turns with the pairs of the smallest ids, so that none
            are hand-picked.

    Raises:
        InputError: ``n_pairs`` is out of range.
        RecordError: the folder is not a RED dataset, a picture does not decode, or ``out`` exists or cannot be written.
        MissingDependency: jinja2 is absent.
    """
    if not 1 <= n_pairs <= MAX_PAIRS:
        raise InputError(f"{n_pairs} pairs cannot be shown on a page; give 1 to {MAX_PAIRS}")
    if out.exists():
        raise RecordError(f"{out} exists; choose another --out, nothing is overwritten")
    page_template("redaes.datagen", "inspect.html.j2", extra="demo")  # fails before the work, and says what to install
    found = statistics(folder)
    report = folder / "report.json"
    page = render(
        name=folder.resolve().name,
        found=found,
        report=read_json(report) if report.is_file() else None,
        pairs=_pairs_of(folder, n_pairs),
    )
    write_atomically(out, page.encode())


def _pairs_of(folder: Path, n_pairs: int) -> list[PairRow]:
    """Return the pairs to be shown, by factor."""
    rows: defaultdict[str, list[Row]] = defaultdict(list)
    for row in light_rows(folder):
        rows[row.decided_by].append(row)
    for found in rows.values():
        found.sort(key=lambda row: str(row.values["id"]))
    turns = _in_turn(rows, n_pairs)
    numbers: defaultdict[Path, list[int]] = defaultdict(list)
    for row in turns:
        numbers[row.file].append(row.number)
    picked = {file: pick_rows(file, wanted) for file, wanted in numbers.items()}
    turns.sort(key=lambda row: _rank(row.decided_by))
    return [_pair_row(record_of(picked[row.file][row.number], row.split), row.decided_by) for row in turns]


def _in_turn(rows: Mapping[str, Sequence[Row]], n: int) -> list[Row]:
    """Return the first pair of each factor, then the second of each, and so on until there are ``n``."""
    names = sorted(rows, key=_rank)
    longest = max(map(len, rows.values()), default=0)
    return [rows[name][rank] for rank in range(min(n, longest)) for name in names if rank < len(rows[name])][:n]


def _rank(decided_by: str) -> tuple[int, str]:
    """Return the sort key of a factor on the page; ties come last."""
    first = decided_by.partition(",")[0]
    return (FACTORS.index(first) if first in FACTORS else len(FACTORS), decided_by)


def _pair_row(record: PairRecord, decided_by: str) -> PairRow:
    pair = record.pair
    better: Letter = "" if pair.delta is None else winner_of(pair.delta)
    size = f"{abs(pair.delta or 0.0):.1f} points"
    licence = record.licence or "licence not stated"
    return PairRow(
        id=pair.id,
        pictures=(
            PairPicture(_caption(record, pair.edit_first), _data_url(picture_of(record, "first"), record.first_bytes)),
            PairPicture(
                _caption(record, pair.edit_second), _data_url(picture_of(record, "second"), record.second_bytes)
            ),
        ),
        factor=decided_by,
        better=better,
        label={"": "not labelled", "tie": "no difference that matters"}.get(better, f"{better} is better by {size}"),
        size=None if pair.delta is None else abs(pair.delta),
        run=pair.split,
        text=() if record.rationale is None else ((record.rationale.text, None),),
        notes=(f"{pair.split} · {pair.group} · {pair.id} · {licence}",),
    )


def _caption(record: PairRecord, edit: Edit | None) -> str:
    if edit is None:  # of pictures that people judged, edits are not known
        return "" if record.label_source == "people" else "no edit of its own"
    return f"{edit.operation.replace('_', ' ')}, {edit.strength:.2f}"


def _data_url(picture: LoadedImage, data: bytes) -> str:
    """Return the picture as a URL for a browser: its own bytes if it is a small, unmodified JPEG, else a new JPEG."""
    small = picture.image
    if not data.startswith(b"\xff\xd8") or picture.notes or max(small.size) > SHOWN_SIDE:
        small.thumbnail((SHOWN_SIDE, SHOWN_SIDE))
        data = jpeg_bytes(small, 88)
    return jpeg_url(data)


def render(*, name: str, found: Statistics, report: Mapping[str, Any] | None, pairs: Sequence[PairRow]) -> str:
    """Return the page.

    Args:
        name: name of the dataset.
        found: statistics of its content.
        report: content of its ``report.json``; None if it has none, and the acceptance is then left out.
        pairs: the pairs to be shown.

    Raises:
        MissingDependency: jinja2 is absent.
    """
    splits = ", ".join(f"{found.by_split[split].pairs:,} {split}" for split in SPLITS)
    from markupsafe import Markup

    return page_template("redaes.datagen", "inspect.html.j2", extra="demo").render(
        name=name,
        splits=splits,
        found=found,
        n_pairs=sum(sizes.pairs for sizes in found.by_split.values()),
        report=report,
        pairs=Markup(pair_table(pairs, runs="Split")),
        n_shown=len(pairs),
        histogram=histogram_svg(found.deltas),
        factors=bars_svg(
            [(name, found.by_factor[name].pairs, _typical(found, name)) for name in sorted(found.by_factor, key=_rank)],
            "Pairs by what decides them",
        ),
        funnel=None if report is None else funnel_svg(report),
        agreement=None if found.judged is None else agreement_svg(found.judged),
    )


def agreement_svg(judged: PanelAgreement) -> Markup:
    """Return a chart of the judged pairs by how far the judges agree on the better side."""
    divided = judged.pairs - judged.unanimous - judged.mostly
    rows = [("all agree", judged.unanimous), ("most agree", judged.mostly), ("divided", divided)]
    return bars_svg(
        [(name, count, f"pairs, {_share(count, judged.pairs)}") for name, count in rows], "Agreement of the judges"
    )


def _typical(found: Statistics, name: str) -> str:
    quantiles = found.by_factor[name].quantiles
    return "pairs" if quantiles is None else f"pairs, median {quantiles[1]:.1f} points"


def histogram_svg(deltas: Mapping[Any, Sequence[float]]) -> Markup:
    """Return a chart of the signed differences, with the splits stacked, in bins of ``BIN`` points."""
    from markupsafe import Markup

    width, height, left, bottom, top = 640, 220, 48, 34, 12
    n_bins = round(2 * MAX_DELTA / BIN) + 1  # the middle bin holds exactly the ties
    edges = (np.arange(n_bins + 1) - n_bins / 2) * BIN
    counts = {split: np.histogram(values, edges)[0] for split, values in deltas.items()}
    tallest = int(max(sum(counts.values(), np.zeros(n_bins, int)).max(), 1))
    step, floor = (width - left - 10) / n_bins, height - bottom
    unit = (floor - top) / tallest
    parts = []
    heights = np.zeros(n_bins, int)
    for number, found in enumerate(counts.values()):
        for index, count in enumerate(found):
            if count:
                x, y = left + index * step, floor - (heights[index] + count) * unit
                parts.append(
                    f'<rect class="s{number}" x="{x + 0.5:.1f}" y="{y:.1f}" width="{step - 1:.1f}" '
                    f'height="{count * unit:.1f}"><title>{edges[index]:+.1f} to {edges[index + 1]:+.1f}: '
                    f"{count}</title></rect>"
                )
        heights += found
    for value in (-9, -6, -3, 0, 3, 6, 9):
        x = left + (value - edges[0]) / BIN * step
        sign = f"{value:+d}".replace("-", "−") if value else "0"
        parts.append(f'<text x="{x:.1f}" y="{floor + 16}" text-anchor="middle">{sign}</text>')
    n = sum(map(len, deltas.values()))
    return Markup(
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="Histogram of {n} signed differences">'
        f'<path class="axis" d="M{left} {top}V{floor}H{width - 10}"/>{"".join(parts)}'
        f'<text x="{left - 6}" y="{top + 8}" text-anchor="end">{tallest:,}</text>'
        f'<text x="{left - 6}" y="{floor}" text-anchor="end">0</text>'
        f'<text x="{(left + width) / 2}" y="{height - 3}" text-anchor="middle">'
        "second better ← difference in points → first better</text></svg>"
    )


def bars_svg(rows: Sequence[tuple[str, int, str]], title: str) -> Markup:
    """Return a chart of horizontal bars with name, count and remark.

    Args:
        rows: rows from top to bottom.
        title: description for readers who cannot see the chart.
    """
    return _bars([(name, 0, count, remark) for name, count, remark in rows], title)


def _bars(rows: Sequence[tuple[str, int, int, str]], title: str) -> Markup:
    """Return a chart of horizontal bars, each with a name, a start, a count and a remark."""
    from markupsafe import Markup, escape

    width, row, left, right = 640, 24, 130, 220
    longest = max((start + count for _, start, count, _ in rows), default=1) or 1
    parts = []
    for index, (name, start, count, remark) in enumerate(rows):
        y = index * row
        scale = (width - left - right) / longest
        words = f"{count:,} {remark}".strip()
        x, length = left + start * scale, max(count * scale, 1.0)
        kind = "taken" if start else "s0"
        parts.append(
            f'<text x="{left - 10}" y="{y + 16}" text-anchor="end">{escape(name)}</text>'
            f'<rect class="{kind}" x="{x:.1f}" y="{y + 5}" width="{length:.1f}" height="{row - 10}"/>'
            f'<text x="{x + length + 8:.1f}" y="{y + 16}">{escape(words)}</text>'
        )
    label = escape(f"{title}: " + "; ".join(f"{name} {count}" for name, _, count, _ in rows))
    return Markup(
        f'<svg viewBox="0 0 {width} {row * len(rows) + 4}" role="img" aria-label="{label}">{"".join(parts)}</svg>'
    )


def funnel_svg(report: Mapping[str, Any]) -> Markup:
    """Return a chart of the edits that were tried, the losses at each check, and the edits that were kept.

    Raises:
        RecordError: the report is not that of a build.
    """
    try:
        kept = sum(report["pairs"].values())
        rejected = sorted(report["rejected_pairs"].items(), key=lambda item: -item[1])
        tried = left = kept + sum(count for _, count in rejected)
    except (KeyError, TypeError, AttributeError) as error:
        raise RecordError(f"report.json lacks {error}; build the dataset again") from error
    rows = [("tried", 0, tried, "edits and pairs")]
    for reason, count in rejected:
        left -= count
        rows.append((reason.replace("_", " "), left, count, f"rejected, {_share(count, tried)}"))
    rows.append(("kept", 0, kept, f"pairs, {_share(kept, tried)}"))
    return _bars(rows, "Acceptance")


def _share(part: int, whole: int) -> str:
    percent = 100 * part / whole if whole else 0.0
    return f"{percent:.0f} %" if percent >= 1 or not part else "under 1 %"
