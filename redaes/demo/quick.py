"""The one-minute tour: pairs are made, two pictures compared with checked reasons, and a series is ranked.

::

    OUT/pairs/        a RED dataset of four photographs that come with the package     (step 1)
    OUT/comparison/   a pair of it, as two files                                       (2)
    OUT/series/       five versions of one photograph, like a burst                    (3)
    OUT/ranking/      the output of ``redaes rank`` for them
    OUT/tour.log      the libraries' output

Results of an earlier tour in the folder are continued or overwritten.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redaes.assessing.words import printable
from redaes.early_checks import check_writable
from redaes.errors import InputError, MissingDependency, RecordError, importing, install_line
from redaes.file_writing import read_json, write_atomically, write_json
from redaes.models import nano
from redaes.types import SPLITS, winner_of

if TYPE_CHECKING:
    from rich.console import Console

    from redaes.assessor import Assessor, Result
    from redaes.backends.local import LocalBackend
    from redaes.culling.winners import SeriesWinner
    from redaes.records import PairRecord

PACKAGES = ("datasets", "filelock", "pyarrow", "threadpoolctl")
"""Modules beyond those that redaes always needs. Each has the name of its package; the extra ``edit`` installs them."""

LOG = "tour.log"

SEED = 0


@dataclass(frozen=True)
class TourScale:
    """The size of the tour."""

    views: int = 1
    """Number of views of each photograph: the whole frame, then crops."""
    variants: int = 3
    """Number of edited versions of each view."""
    max_side: int = 384
    """Longest side of the pictures, in pixels."""


SHOTS: tuple[tuple[str, float] | None, ...] = (
    ("exposure_down", 0.6),
    ("defocus", 0.5),
    None,
    ("noise_luma", 0.7),
    ("cast_green", 0.6),
)
"""The pictures of the series: an edit with its strength, or None for the photograph as it is."""

SERIES_OF = "coffee.jpg"


class _Teller:
    """Prints the tour's text: wrapped in a terminal, otherwise one line for each paragraph."""

    def __init__(self) -> None:
        from rich.console import Console

        # The stream is saved now, because while a step works ``sys.stdout`` leads to the log.
        self.console: Console = Console(file=sys.stdout, highlight=False, markup=False)

    def say(self, text: str = "", indent: int = 0, style: str = "") -> None:
        """Print a text, with every line indented by ``indent`` spaces."""
        from rich.padding import Padding
        from rich.text import Text

        for line in printable(text).split("\n"):
            if self.console.is_terminal:
                self.console.print(Padding(Text(line, style=style), (0, 0, 0, indent)))
            else:
                self.console.print(Text(" " * indent + line), soft_wrap=True)


def run_tour(out: Path, *, scale: TourScale | None = None, model: str = nano.NAME) -> LocalBackend:
    """Run the tour, and print its text.

    Args:
        out: folder of the results: a new or empty one, or that of an earlier tour.
        scale: the size of the tour; None means the defaults.
        model: name or folder of the model that is asked.

    Returns:
        The model, loaded.

    Raises:
        MissingDependency: a package is absent.
        RecordError: ``out`` cannot be written to, or holds something else.
        BackendError: the model cannot be loaded.
    """
    for package in PACKAGES:
        if find_spec(package) is None:
            raise MissingDependency(package, "edit")
    scale = TourScale() if scale is None else scale
    _claim(out, scale)
    with _to_log(out / LOG):
        from redaes.assessor import Assessor
        from redaes.backends.local import LocalBackend
        from redaes.culling.winners import show_winners
    teller = _Teller()
    teller.say(f"A tour in three steps, with photographs that come in the package. All results go into {out}.")

    teller.say("\n1. Make pairs of pictures of which it is known which one is better", style="bold")
    with importing("edit"), _to_log(out / LOG):
        report, record = _pairs(out / "pairs", scale)
    n_pairs = sum(report["pairs"].values())
    teller.say(
        f"Four photographs were edited in ways that spoil them by a known amount: {n_pairs} pairs, in {out / 'pairs'}. "
        "The pair with the largest difference:",
        3,
    )
    files = _pair_files(record, out / "comparison")
    edit = record.pair.edit_first or record.pair.edit_second
    spoilt = files[0] if record.pair.edit_first is not None else files[1]
    delta = record.pair.delta or 0.0
    better = files[0] if winner_of(delta) == "A" else files[1]
    teller.say(f"{files[0]} and {files[1]}", 6)
    teller.say(f"what was done to {spoilt.name}: {'' if edit is None else edit.instruction}", 6)
    teller.say(f"label: {better.name} is better by {abs(delta):.1f} points of 9", 6)

    teller.say(f"\n2. Ask {model} which of the two is better, and check its reasons", style="bold")
    with _to_log(out / LOG):
        backend = LocalBackend(model)
        result = Assessor(backend, mode="reasoned").compare(files[0], files[1])
    _tell_result(teller, result, better)

    teller.say("\n3. Rank a series of shots", style="bold")
    with _to_log(out / LOG):
        untouched = _shots(out / "series")
        winners, n_questions = _ranked(out, Assessor(backend, mode="fast"))
    teller.say(
        f"{out / 'series'} has {len(SHOTS)} versions of one photograph, as a burst would have them; {untouched} is the "
        f"one without an edit. The model was asked {n_questions} questions about pairs of them:",
        3,
    )
    sheet = out / "ranking" / "contact_sheet.html"
    show_winners(winners, teller.console, str(sheet), indent=6)
    teller.say(f"Open {sheet} in a browser to see all of them, best first.", 3)
    caution = nano.limits(backend.model, backend.revision)
    if caution is not None:
        teller.say(f"\n{caution}")
    _tell_next(teller, out)
    return backend


def _claim(out: Path, scale: TourScale) -> None:
    """Reserve a folder for a tour, so that no other files are overwritten or ranked.

    Raises:
        RecordError: it cannot be written to, or holds something else.
    """
    check_writable(out)
    file = out / "tour.json"
    settings = {"tour": asdict(scale)}
    if file.is_file():
        if read_json(file) != settings:
            raise RecordError(f"{out} holds a tour with other settings; choose another --out")
        return
    try:
        is_taken = out.is_dir() and any(out.iterdir())
    except OSError as error:
        raise RecordError(f"{out} cannot be read: {error.strerror}; choose another --out") from error
    if is_taken:
        raise RecordError(f"{out} is not empty, and holds no tour; choose another --out, such as {out / 'tour'}")
    write_json(file, settings)


@contextmanager
def _to_log(file: Path) -> Iterator[None]:
    """Send the libraries' output to a file, so that the tour's text can be read."""
    with (
        file.open("a", encoding="utf-8", errors="backslashreplace") as log,
        redirect_stdout(log),
        redirect_stderr(log),
    ):
        yield


def _pairs(folder: Path, scale: TourScale) -> tuple[dict[str, Any], PairRecord]:
    """Build the dataset, unless it is finished, and return its report and the pair to be shown."""
    import datasets

    from redaes.datagen.dataset_settings import DatasetSettings
    from redaes.datagen.pipeline import build
    from redaes.records import read_records
    from redaes.reference_photographs import originals

    datasets.disable_progress_bars()
    credits = originals()
    settings = DatasetSettings(
        views=scale.views, variants=scale.variants, max_side=scale.max_side, test_fraction=0.25, seed=SEED
    )
    report = build(list(credits), folder, settings, licences=credits)
    records = [record for split in SPLITS for record in read_records(folder, split)]
    return report, plainest(records)


def plainest(records: list[PairRecord]) -> PairRecord:
    """Return the pair with the largest difference among those of a photograph and an edited version of it.

    Raises:
        InputError: there is no such pair.
    """
    shown = [
        one for one in records if one.pair.delta and (one.pair.edit_first is None) != (one.pair.edit_second is None)
    ]
    if not shown:
        raise InputError("no pair shows a photograph beside an edited version of it; the tour needs one")
    return max(shown, key=lambda record: (abs(record.pair.delta or 0.0), record.pair.id))


def _pair_files(record: PairRecord, folder: Path) -> tuple[Path, Path]:
    """Write the two pictures of a pair, in its order, to files named by their content."""
    names = ("as_it_was.jpg", "edited.jpg") if record.pair.edit_first is None else ("edited.jpg", "as_it_was.jpg")
    files = folder / names[0], folder / names[1]
    for file, data in zip(files, (record.first_bytes, record.second_bytes), strict=True):
        write_atomically(file, data)
    return files


def _tell_result(teller: _Teller, result: Result, better: Path) -> None:
    """Print the result of the comparison: verdict, reasons with the results of their checks, and measurements."""
    from redaes.assessing.shown import fact_lines, table_lines

    shown = result.shown()
    named = {"A": result.first.path.name, "B": result.second.path.name}.get(result.winner or "")
    if named is not None:
        agrees = "as the label says" if named == better.name else f"and the label says {better.name}"
        teller.say(f"{shown.title}, {agrees}", 3)
    else:
        teller.say(f"{shown.title}; the label says {better.name}", 3)
    for line in fact_lines(shown):
        teller.say(line, 6)
    reasons = "".join(
        piece + (" [contradicted]" if status == "contradicted" else "") for piece, status in shown.reasons
    )
    for line in (f"“{reasons}”", *shown.about_reasons) if reasons else ():
        teller.say(line, 6)
    for line in table_lines(shown):
        teller.say(line, 6)


def _shots(folder: Path) -> str:
    """Write the pictures of the series, and return the name of the one without an edit."""
    import numpy as np
    from PIL import Image

    from redaes.datagen.editors.parametric import apply_edit
    from redaes.html_pages import jpeg_bytes
    from redaes.images import load_image
    from redaes.reference_photographs import originals

    (source,) = (path for path in originals() if path.name == SERIES_OF)
    pixels = np.asarray(load_image(source).image.convert("RGB"), dtype=np.uint8)
    untouched = ""
    for number, edit in enumerate(SHOTS, 1):
        name = f"shot_{number}.jpg"
        shot = pixels if edit is None else apply_edit(pixels, *edit, seed=SEED)
        untouched = name if edit is None else untouched
        write_atomically(folder / name, jpeg_bytes(Image.fromarray(shot), 92))
    return untouched


def _ranked(out: Path, assessor: Assessor) -> tuple[tuple[SeriesWinner, ...], int]:
    """Rank the series, as ``redaes rank --one-series`` does; return the winners and the number of questions."""
    from redaes.culling.folder import rank_folder
    from redaes.culling.grouping import GroupingLimits
    from redaes.culling.rankers import AssessorRanker

    summary = rank_folder(out / "series", out / "ranking", AssessorRanker(assessor), limits=GroupingLimits(by="all"))
    return summary.winners, summary.n_calls


def _tell_next(teller: _Teller, out: Path) -> None:
    """Print what to type next."""
    page = "a page in the browser, at http://127.0.0.1:8080, where you drop your own pictures" + _first(
        "uvicorn", "serve"
    )
    whole = "the whole path: pairs, training in three stages, evaluation; several minutes" + _first("trl", "demo")
    pairs = shlex.quote(str(out / "pairs"))
    lines = (
        ("redaes compare A.jpg B.jpg", "which of two pictures of yours is better, and why"),
        ("redaes rank FOLDER", "the best of each series of shots in a folder"),
        ("redaes serve", page),
        (f"redaes data inspect {pairs} --out pairs.html", "the pairs of step 1 on a page"),
        ("redaes demo", whole),
    )
    teller.say("\nWhat to type next", style="bold")
    for command, what in lines:
        teller.say(command, 3)
        teller.say(what, 6)


def _first(package: str, extra: str) -> str:
    """Return what has to be installed before a command can be used; empty if nothing has to."""
    if find_spec(package) is not None:
        return ""
    what = f"'redaes[{extra}]'"
    return f" (first: {install_line(what, extra)})"
