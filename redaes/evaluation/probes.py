"""Robustness: how an assessor responds to changes that should lower a score, and to changes that should not affect it.

:func:`build_probes` turns photographs into a ``pairs`` benchmark, over which any assessor can be run;
:func:`summarise_probes` summarizes such a run by probe and strength. ``worse`` probes are changes that inflate scores
(oversaturation, contrast, sharpening) or plainly harm (borders, text, JPEG): the unchanged photograph is labelled
better. At their weakest they may be a matter of taste, so the figures for the strongest count. ``same`` probes have no
better side; the size of the difference is compared with that between different photographs. ``swap_consistency`` of the
same run says how far answers depend on the order of the pictures, and :func:`summarise_paraphrases` says how far they
depend on the wording, from runs of one model with several prompts.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from redaes.errors import InputError, RecordError
from redaes.estimates import Estimate, bootstrap, bootstrap_mean
from redaes.evaluation.runner import read_predictions, read_results
from redaes.evaluation.summary import N_RESAMPLES, SEED, Prediction
from redaes.file_writing import write_atomically
from redaes.images import decode_image, load_image
from redaes.types import Record

Expectation = Literal["worse", "same"]

LEVELS = (1, 2, 3)
"""Strengths, weakest first."""

MAX_PIXELS = 512 * 512
"""Area to which photographs are shrunk before they are changed, in pixels."""

Probe = Callable[[Image.Image, int], Image.Image]


def _png(image: Image.Image) -> bytes:
    data = io.BytesIO()
    image.save(data, "PNG", compress_level=1)
    return data.getvalue()


def _recompressed(image: Image.Image, quality: int) -> Image.Image:
    data = io.BytesIO()
    image.save(data, "JPEG", quality=quality)
    return decode_image(data.getvalue(), Path("recompressed.jpg")).image


def _text(image: Image.Image, level: int) -> Image.Image:
    changed = image.copy()
    draw = ImageDraw.Draw(changed)
    height = max(8, image.height * level // 16)
    draw.text((image.width // 20, image.height // 2), "SAMPLE TEXT", fill="white", font_size=height)
    return changed


def _resized(image: Image.Image, level: int) -> Image.Image:
    share = 1.0 - 0.1 * level
    return image.resize((max(1, round(image.width * share)), max(1, round(image.height * share))))


PROBES: dict[str, tuple[Expectation, Probe]] = {
    "saturation": ("worse", lambda image, level: ImageEnhance.Color(image).enhance((1.5, 2.5, 4.0)[level - 1])),
    "contrast": ("worse", lambda image, level: ImageEnhance.Contrast(image).enhance((1.4, 2.0, 3.0)[level - 1])),
    "sharpening": (
        "worse",
        lambda image, level: image.filter(ImageFilter.UnsharpMask(2, (150, 350, 800)[level - 1], 0)),
    ),
    "border": ("worse", lambda image, level: ImageOps.expand(image, max(1, image.width * level // 25), "white")),
    "text": ("worse", _text),
    "jpeg": ("worse", lambda image, level: _recompressed(image, (30, 12, 4)[level - 1])),
    "reencoding": ("same", lambda image, level: _recompressed(image, (98, 95, 92)[level - 1])),
    "resizing": ("same", _resized),
}
"""For each probe the expectation, and the change of a photograph at each strength."""


class ProbeResult(Record):
    """The result of one probe at one strength."""

    probe: str
    level: int
    n: int
    """Pairs."""
    n_failed: int
    original_preferred: Estimate | None
    """For ``worse`` probes the share of photographs preferred to their changed copy; failures and ties count as not
    preferred.
    """
    relative_difference: Estimate | None
    """For ``same`` probes the root mean square difference, divided by that between different photographs; ideally 0."""


class Paraphrase(Record):
    """The result of one wording of the question against the usual one, on the same pairs."""

    prompt_id: str
    n: int
    """Pairs."""
    n_failed: int
    """Number of pairs without a usable answer to one of the wordings, or to both."""
    kept: Estimate
    """Share of pairs with the same verdict (a winner, or a tie) for both wordings; failures count as different."""
    mean_change: Estimate
    """Mean absolute change of P(first is better) from the usual wording to this one, where both have it."""


def build_probes(photographs: Sequence[Path], out: Path, *, progress: Callable[[int, int], None]) -> Path:
    """Write changed copies and ``pairs.csv``; existing files are not written again.

    Args:
        photographs: files; an unreadable one is an error, because leaving it out would make another set.
        out: folder for the copies.
        progress: called with the number of finished photographs and of all photographs.

    Returns:
        ``pairs.csv``, for the benchmark ``pairs``.

    Raises:
        InputError: there are fewer than two photographs, or two have the same name.
        ImageError: a photograph cannot be used.
        RecordError: the folder cannot be written to.
    """
    names = [path.stem for path in photographs]
    if len(names) < 2 or len(set(names)) < len(names):
        raise InputError("give at least two photographs, no two of one name")
    rows: list[tuple[str, str, float, str]] = []
    for done, (name, path) in enumerate(zip(names, photographs, strict=True)):
        progress(done, len(names))
        original = f"{name}/original.png"
        image: Image.Image | None = None
        for probe, (expectation, change) in {"original": ("same", None), **PROBES}.items():
            for level in LEVELS if change is not None else (0,):
                file = original if change is None else f"{name}/{probe}_{level}.png"
                if not (out / file).exists():
                    if image is None:
                        image = load_image(path, max_pixels=MAX_PIXELS).image
                    write_atomically(out / file, _png(image if change is None else change(image, level)))
                if change is not None:
                    rows.append((original, file, 1.0 if expectation == "worse" else 0.5, name))
        rows.append((original, f"{names[(done + 1) % len(names)]}/original.png", 0.5, name))
    progress(len(names), len(names))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["first", "second", "p", "group"])
    # Two photographs make one pair of originals, not one in each direction.
    seen: set[frozenset[str]] = set()
    for row in rows:
        if frozenset(row[:2]) not in seen:
            seen.add(frozenset(row[:2]))
            writer.writerow(row)
    write_atomically(out / "pairs.csv", text.getvalue().encode())
    return out / "pairs.csv"


def summarise_probes(run: Path) -> list[ProbeResult]:
    """Return the results of a run over :func:`build_probes`' pairs, by probe and strength.

    Raises:
        RecordError: the run is not finished, or not over probes.
    """
    read_results(run)  # the run is finished, and of a known version
    pairs = read_predictions(run / "pairs.csv")
    by_probe: dict[tuple[str, int], list[Prediction]] = {}
    for pair in pairs:
        file = pair.id.split("\t")[1].rsplit("/", 1)[-1].removesuffix(".png")
        probe, _, text = ("original", "", "0") if file == "original" else file.rpartition("_")
        if (probe != "original" and probe not in PROBES) or not text.isdecimal():
            raise RecordError(f"{run} is not over probes: {pair.id!r}; build them with: redaes eval probes build")
        by_probe.setdefault((probe, int(text)), []).append(pair)
    others = [one.predicted for one in by_probe.get(("original", 0), []) if one.predicted is not None]
    yardstick = float(np.sqrt(np.mean(np.square(others)))) if others else 0.0
    found = []
    for (probe, level), members in sorted(by_probe.items()):
        if probe == "original":
            continue
        expectation = PROBES[probe][0]
        preferred = relative = None
        if expectation == "worse":
            preferred = _mean_of([(one.predicted is not None and one.predicted > 0, one.cluster) for one in members])
        elif yardstick > 0:
            answered = [(one.predicted, one.cluster) for one in members if one.predicted is not None]
            relative = bootstrap(
                [value for value, _ in answered],
                [cluster for _, cluster in answered],
                lambda rows: float(np.sqrt(np.mean(np.square(rows)))) / yardstick,
                n_resamples=N_RESAMPLES,
                seed=SEED,
            )
        found.append(
            ProbeResult(
                probe=probe,
                level=level,
                n=len(members),
                n_failed=sum(one.predicted is None for one in members),
                original_preferred=preferred,
                relative_difference=relative,
            )
        )
    return found


_OF_A_WORDING = frozenset({"prompt_ids", "temperature", "ceiling"})
"""Parts of the identity in which runs with two wordings may differ; a calibration belongs to the prompt that it was
fitted with.
"""


def summarise_paraphrases(base: Path, others: Sequence[Path]) -> list[Paraphrase]:
    """Return the results of runs of one model over the same pairs, with other wordings, against the run with the usual
    one.

    Args:
        base: folder of the run that the others are compared with.
        others: folders of the other runs.

    Raises:
        InputError: a run has another model, labels or settings, or the very same prompt.
        RecordError: a run is not finished, was altered, or is not over pairs.
    """
    first = read_results(base).run
    before = _read_pairs(base)
    found = []
    for folder in others:
        run = read_results(folder).run
        for key in ("labels_sha256", "assessor", "n_missing"):
            if run[key] != first[key]:
                raise InputError(f"{folder} and {base} cannot be compared: {key} is {run[key]} and {first[key]}")
        differing = {
            key
            for key in {*run["identity"], *first["identity"]}
            if run["identity"].get(key) != first["identity"].get(key)
        }
        if differing - _OF_A_WORDING or "prompt_ids" not in differing:
            what = ", ".join(sorted(differing - _OF_A_WORDING)) or "nothing"
            raise InputError(f"{folder} and {base} should differ in the prompt alone, and differ in {what}")
        after = {one.id: one for one in _read_pairs(folder)}
        both = [(one, after[one.id]) for one in before]
        kept = [
            (
                a.predicted is not None and b.predicted is not None and np.sign(a.predicted) == np.sign(b.predicted),
                a.cluster,
            )
            for a, b in both
        ]
        changes = [
            (abs(b.probability - a.probability), a.cluster)
            for a, b in both
            if a.probability is not None and b.probability is not None
        ]
        found.append(
            Paraphrase(
                prompt_id=run["identity"]["prompt_ids"][0],
                n=len(both),
                n_failed=sum(a.predicted is None or b.predicted is None for a, b in both),
                kept=_mean_of(kept),
                mean_change=_mean_of(changes),
            )
        )
    return found


def _read_pairs(run: Path) -> list[Prediction]:
    if not (run / "pairs.csv").exists():
        raise RecordError(f"{run} has no pairs.csv: it is not over pairs, and wordings are compared on pairs")
    return read_predictions(run / "pairs.csv")


def _mean_of(rows: Sequence[tuple[float, str]]) -> Estimate:
    return bootstrap_mean(rows, n_resamples=N_RESAMPLES, seed=SEED)
