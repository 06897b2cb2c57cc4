"""Report of a run, or of several side by side, as Markdown, JSON and one self-contained HTML page with plots."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from redaes.errors import InputError
from redaes.estimates import Estimate
from redaes.evaluation import calibration
from redaes.evaluation.benchmarks import LoadedBenchmark
from redaes.evaluation.comparison import ComparedRun, PublishedResult, published
from redaes.evaluation.pair_rows import pair_rows
from redaes.evaluation.questions import PictureReader
from redaes.evaluation.runner import RunResults, RunTiming, load_again, read_predictions, read_timing
from redaes.evaluation.summary import Prediction
from redaes.file_writing import write_atomically
from redaes.html_pages import jpeg_bytes, jpeg_url, page_template
from redaes.viewer.pair_table import PairRow, pair_table

N_POINTS = 2000
"""Most points of the scatter plot, taken evenly from the pictures in the order of their labels."""

N_EXAMPLES = 6
"""Number of pictures shown on each side."""

_THUMBNAIL_PIXELS = 240 * 180


def write_report(
    out: Path, sides: Sequence[ComparedRun], folders: Sequence[Path], *, examples: bool = True
) -> list[Path]:
    """Write ``report.md``, ``report.json`` and ``report.html``.

    Args:
        out: folder of the report.
        sides: one or more runs of one benchmark.
        folders: folder of each run.
        examples: whether the page shows pictures, for which the benchmark must still be in its place.

    Returns:
        The files.

    Raises:
        RecordError: predictions of a run cannot be read, the benchmark is no longer in its place, or the folder cannot
            be written to.
        MissingDependency: jinja2 is absent.
    """
    others = published(sides[0].results.run["benchmark"])
    timings = [read_timing(folder) for folder in folders]
    pairs = {side.name: _read(folder / "pairs.csv") for side, folder in zip(sides, folders, strict=True)}
    loaded = [load_again(folder) if examples else None for folder in folders]
    plots = [
        _plots(side.results, folder, None if pairs[side.name] else one)
        for side, folder, one in zip(sides, folders, loaded, strict=True)
    ]
    rows = pair_rows({name: found for name, found in pairs.items() if found}, loaded[0])
    n_pairs = max(map(len, pairs.values()))
    written = {
        "report.md": markdown(sides, timings, others),
        "report.json": _json(sides, timings, others),
        "report.html": _html(sides, timings, others, plots, rows, n_pairs),
    }
    for name, text in written.items():
        write_atomically(out / name, text.encode("utf-8"))
    return [out / name for name in written]


def markdown(sides: Sequence[ComparedRun], timings: Sequence[RunTiming], others: Sequence[PublishedResult]) -> str:
    """Return the figures as Markdown tables, with published results in a separate table."""
    run = sides[0].results.run
    lines = [
        f"# {run['title']}",
        "",
        f"Labels SHA-256 `{run['labels_sha256']}`. Intervals: 95 %, bootstrap over groups.",
        "",
    ]
    names = list(dict.fromkeys(name for side in sides for name in side.results.summary.metrics))
    lines += [_row("metric", *(side.name for side in sides)), _row("---", *("---" for _ in sides))]
    for name in names:
        lines.append(_row(name, *(cell(side.results.summary.metrics.get(name)) for side in sides)))
    lines += ["", *(_about(side, timing) for side, timing in zip(sides, timings, strict=True))]
    lines += [f"- note: {note}" for note in run["notes"]]
    if any(side.changes for side in sides):
        lines += ["", f"Against {sides[0].name}, on the same resamples:", ""]
        lines += [_row("run", "measure", "change", "over", "McNemar p"), _row(*["---"] * 5)]
        for side in sides[1:]:
            for change in side.changes:
                p = "" if change.p is None else f"{change.p:.3g}"
                lines.append(_row(side.name, change.measure, cell(change), str(change.n), p))
    if others:
        lines += ["", "Published by others (not measured here):", ""]
        lines += [_row("system", "numbers", "source", "protocol"), _row(*["---"] * 4)]
        for one in others:
            numbers = ", ".join(f"{name} {value:.3f}" for name, value in one.values.items())
            lines.append(_row(one.system, numbers, one.source, one.protocol))
    return "\n".join(lines) + "\n"


def cell(metric: Estimate | None) -> str:
    """Return a value with its interval as text; None: not measured.

    >>> cell(Estimate(value=0.5, low=0.4, high=0.6)), cell(None)
    ('0.500 [0.400, 0.600]', '–')
    """
    if metric is None or metric.value is None:
        return "–"
    if metric.low is None or metric.high is None:
        return f"{metric.value:.3f}"
    return f"{metric.value:.3f} [{metric.low:.3f}, {metric.high:.3f}]"


def _row(*cells: str) -> str:
    return "| " + " | ".join(text.replace("|", "\\|") for text in cells) + " |"


def _about(side: ComparedRun, timing: RunTiming) -> str:
    summary, identity = side.results.summary, side.results.run["identity"]
    failed = ", ".join(f"{count} × {reason}" for reason, count in summary.failures.items())
    cost = "" if timing.milliseconds_per_question is None else f"; {timing.milliseconds_per_question:.1f} ms each"
    tokens = f", {timing.tokens} tokens" if timing.tokens else ""
    special = [f"{count} read by {reader}" for reader, count in summary.readers.items()]
    special += [f"{count} asked {change}, which the server refused" for change, count in summary.changes.items()]
    return (
        f"- **{side.name}**: {identity['model']} @ `{str(identity['revision'])[:12]}`"
        f"{''.join(f', `{name}`' for name in identity.get('prompt_ids', ()))}"
        f"{', answers as JSON' if identity.get('form') == 'json' else ''}; {summary.n_questions} questions, "
        f"{summary.n_failed} without a usable answer{f' ({failed})' if failed else ''}"
        f"{''.join(f', {one}' for one in special)}, {summary.n_missing} pictures missing, "
        f"{summary.n_unlabelled} without a label"
        f"{f', {summary.n_contrary} pairs labelled against the order' if summary.n_contrary else ''}{cost}{tokens}"
    )


def _json(sides: Sequence[ComparedRun], timings: Sequence[RunTiming], others: Sequence[PublishedResult]) -> str:
    content = {
        "schema_version": 1,
        "measured": [
            {**side.model_dump(mode="json"), "timing": timing.model_dump(mode="json")}
            for side, timing in zip(sides, timings, strict=True)
        ],
        "published": [one.model_dump(mode="json") for one in others],
    }
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def _html(
    sides: Sequence[ComparedRun],
    timings: Sequence[RunTiming],
    others: Sequence[PublishedResult],
    plots: Sequence[Mapping[str, Any]],
    rows: Sequence[PairRow],
    n_pairs: int,
) -> str:
    from markupsafe import Markup

    return page_template("redaes.evaluation", "report.html.j2", extra="eval", filters={"cell": cell}).render(
        run=sides[0].results.run,
        sides=sides,
        names=list(dict.fromkeys(name for side in sides for name in side.results.summary.metrics)),
        about=[_about(side, timing) for side, timing in zip(sides, timings, strict=True)],
        plots=plots,
        published=others,
        pairs=Markup(pair_table(rows)) if rows else None,
        n_shown=len({row.id for row in rows}),
        n_pairs=n_pairs,
    )


def _read(file: Path) -> list[Prediction]:
    return read_predictions(file) if file.exists() else []


def _plots(results: RunResults, folder: Path, loaded: LoadedBenchmark | None) -> dict[str, Any]:
    """Return points of the plots in a square of 100, and examples."""
    pictures = _read(folder / "pictures.csv")
    return {
        "scatter": _scatter(pictures) if results.run["kind"] == "scores" else None,
        "reliability": [
            {"x": 100 * one.predicted, "y": 100 - 100 * one.observed, "n": one.n} for one in results.summary.reliability
        ],
        "bars": _bars(results),
        "examples": None if loaded is None else _examples(loaded, pictures),
    }


def _bars(results: RunResults) -> list[dict[str, Any]]:
    """Return bars of shares with their intervals: for all pairs, and by deciding factor."""
    summary = results.summary
    found = []
    for name, title in (
        ("pair_accuracy", "Pairs judged rightly"),
        ("swap_consistency", "Pairs in which both orders name the same picture"),
    ):
        shares = {"all": summary.metrics.get(name), **{key: row.get(name) for key, row in summary.by_factor.items()}}
        rows = [
            {
                "name": key,
                "n": one.n,
                "value": 100 * one.value,
                "low": None if one.low is None else 100 * one.low,
                "high": None if one.high is None else 100 * one.high,
            }
            for key, one in shares.items()
            if one is not None and one.value is not None
        ]
        if rows:
            found.append({"title": title, "rows": rows, "chance": 50 if name == "pair_accuracy" else None})
    return found


def _scatter(pictures: Sequence[Prediction]) -> dict[str, Any] | None:
    points = sorted((one.label, one.id, one.predicted) for one in pictures if one.predicted is not None)
    x, y = [point[2] for point in points], [point[0] for point in points]
    if len(set(x)) < 2 or len(set(y)) < 2:
        return None
    left, right, low, high = min(x), max(x), min(y), max(y)

    def place(a: float, b: float) -> tuple[float, float]:
        inside = min(max(b, low), high)
        return round(100 * (a - left) / (right - left), 2), round(100 - 100 * (inside - low) / (high - low), 2)

    fitted = calibration.fit_logistic(x, y)
    grid = [left + (right - left) * step / 60 for step in range(61)]
    shown = points[:: -(-len(points) // N_POINTS)]
    return {
        "points": [place(predicted, label) for label, _, predicted in shown],
        "curve": [] if fitted is None else [place(a, float(b)) for a, b in zip(grid, fitted(grid), strict=True)],
        "ends": [f"{value:.3g}" for value in (left, right, low, high)],
        "n": len(points),
        "n_shown": len(shown),
    }


def _examples(loaded: LoadedBenchmark, pictures: Sequence[Prediction]) -> dict[str, Any]:
    """Return the pictures that are placed best and worst."""
    answered = [(one.predicted, one) for one in pictures if one.predicted is not None]
    by_score = sorted(answered, key=lambda item: (item[0], item[1].id))
    by_label = sorted(answered, key=lambda item: (item[1].label, item[1].id))
    places = {one.id: place for place, (_, one) in enumerate(by_score)}
    off = sorted((abs(places[one.id] - place), one.id, one) for place, (_, one) in enumerate(by_label))
    won, lost = [item[2] for item in off], [item[2] for item in reversed(off)]
    known = {
        picture.id: (picture.id, loaded.pictures / picture.file, picture.box) for picture in loaded.labels.pictures
    }
    reader = PictureReader(_THUMBNAIL_PIXELS)

    def show(one: Prediction) -> dict[str, Any]:
        url: str | None
        why: str | None
        try:
            image = reader.read(known[one.id], pixels=True).loaded.image
        except InputError as error:  # named instead: the page is about numbers
            url, why = None, str(error)
        else:
            url, why = jpeg_url(jpeg_bytes(image, 80)), None
        return {"name": one.id, "url": url, "why": why, "label": one.label, "predicted": one.predicted}

    return {"won": [show(one) for one in won[:N_EXAMPLES]], "lost": [show(one) for one in lost[:N_EXAMPLES]]}
