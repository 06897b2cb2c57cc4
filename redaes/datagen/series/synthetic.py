"""Series whose order is known, made from photographs: for training without labels, tests and measurements.

They are not FGAesthetics: nobody judged these pictures. Every series is one photograph made worse step by step, which
gives its order. ``natural`` series have windows a few pixels apart, as in a burst, with a fault of the camera or the
light. ``aigc`` series show one frame with a fault of content or rendering. ``cropping`` series have windows that keep
less and less of the frame, away from its centre.
"""

from __future__ import annotations

import io
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from redaes.datagen.editors.parametric import OPERATIONS, apply_edit
from redaes.images import load_image
from redaes.models.fgaesq.texts import comparative_text
from redaes.series_records import CATEGORIES, Histogram, Series, ordered_series, write_records
from redaes.types import Factor

FAULTS: dict[str, tuple[str, ...]] = {
    "natural": (
        "defocus", "motion_blur", "missed_focus", "exposure_down", "exposure_up", "haze", "backlight", "noise_luma",
        "tilt", "cast_warm", "cast_cool",
    ),
    "aigc": (
        "clutter", "lens_dirt", "posterize", "saturation_up", "contrast_up", "oversharpen", "soft_glow", "pixelation",
        "cast_green", "uneven_light",
    ),
}  # fmt: skip
"""Operations that make the pictures of a series worse, one for each series; cropping needs none."""

STRENGTHS = (0.05, 0.95)
"""Strengths from the best to the worst picture of a series, in even steps."""

_SHIFT = 0.03  # how far apart the windows of a burst are, as a share of the frame
_QUALITY = 92  # of the JPEG files


@dataclass(frozen=True)
class SyntheticPicture:
    """One picture of a synthetic series."""

    pixels: NDArray[np.uint8]
    """Shape (H, W, 3)."""
    score: float
    """Minus the strength of its edit."""


@dataclass(frozen=True)
class SyntheticSeries:
    """A series in random order."""

    category: str
    members: tuple[SyntheticPicture, ...]
    factor: Factor
    """The factor in which its pictures differ."""
    operation: str
    """The operation that makes them worse, one of ``FAULTS``; empty for crops."""


def make_series(photo: Image.Image, category: str, n: int, side: int, seed: str) -> SyntheticSeries:
    """Return one series of a photograph.

    Args:
        photo: an RGB photograph.
        category: one of ``CATEGORIES``.
        n: number of pictures, at least 2.
        side: longest side of a picture, in pixels.
        seed: the same seed gives the same series.
    """
    rng = random.Random(seed)
    low, high = STRENGTHS
    strengths = [low + (high - low) * step / (n - 1) for step in range(n)]
    rng.shuffle(strengths)
    operation = "" if category == "cropping" else rng.choice(FAULTS[category])
    edit_seed = rng.randrange(2**31)
    corner = rng.choice((-1, 1)), rng.choice((-1, 1))
    members = []
    for strength in strengths:
        if category == "cropping":
            window = _crop(rng, strength, corner)
        elif category == "natural":
            left, top = rng.uniform(0, _SHIFT), rng.uniform(0, _SHIFT)
            window = (left, top, left + 1 - _SHIFT, top + 1 - _SHIFT)
        else:
            window = (0.0, 0.0, 1.0, 1.0)
        pixels = _window(photo, window, side)
        members.append(
            SyntheticPicture(apply_edit(pixels, operation, strength, edit_seed) if operation else pixels, -strength)
        )
    factor: Factor = OPERATIONS[operation].factor if operation else "composition"
    return SyntheticSeries(category, tuple(members), factor, operation)


def _crop(rng: random.Random, strength: float, corner: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return a window that keeps less of the frame, and is nearer to one corner, the larger the strength is."""
    aspect = rng.uniform(-0.06, 0.06)
    width, height = 1 - 0.5 * strength + aspect, 1 - 0.5 * strength - aspect
    edges: list[float] = []
    for share, towards in zip((min(width, 1.0), min(height, 1.0)), corner, strict=True):
        middle = 0.5 + towards * strength * (1 - share) / 2
        edges.append(middle - share / 2)
    return edges[0], edges[1], edges[0] + min(width, 1.0), edges[1] + min(height, 1.0)


def _window(photo: Image.Image, window: tuple[float, float, float, float], side: int) -> NDArray[np.uint8]:
    width, height = photo.size
    left, top, right, bottom = window
    box = (left * width, top * height, right * width, bottom * height)
    scale = side / max(box[2] - box[0], box[3] - box[1])
    size = (max(1, round((box[2] - box[0]) * scale)), max(1, round((box[3] - box[1]) * scale)))
    return np.array(photo.resize(size, Image.Resampling.LANCZOS, box=box))


def make_histogram(photo: Image.Image, side: int, seed: str) -> tuple[NDArray[np.uint8], tuple[float, ...]]:
    """Return a picture with one fault at a random strength, and a made-up distribution of scores that goes with it.

    Returns:
        (H, W, 3) pixels, and shares of the scores 1 to 10: normal around 8 - 6 x strength, standard deviation 1.2.
    """
    rng = random.Random(seed)
    strength = rng.uniform(0.0, 1.0)
    operation = rng.choice(FAULTS[rng.choice(sorted(FAULTS))])
    pixels = apply_edit(_window(photo, (0.0, 0.0, 1.0, 1.0), side), operation, strength, rng.randrange(2**31))
    heights = np.exp(-0.5 * ((np.arange(1, 11) - (8 - 6 * strength)) / 1.2) ** 2)
    return pixels, tuple(float(share) for share in heights / heights.sum())


def write_series(
    photos: Mapping[str, Path],
    folder: Path,
    *,
    per_category: int,
    lengths: Sequence[int],
    n_coarse: int,
    side: int,
    split_of: Mapping[str, str],
    seed: int,
) -> tuple[Path, Path]:
    """Return series of all three categories, and coarse pictures, from photographs.

    Args:
        photos: name and file of each photograph.
        folder: folder for ``images/``, ``series.jsonl`` and ``coarse.jsonl``; both lists are written last.
        per_category: number of series of each category from each photograph.
        lengths: numbers of pictures from which a series' length is drawn.
        n_coarse: number of pictures with a score distribution from each photograph for training.
        side: longest side, in pixels.
        split_of: ``train`` or ``test`` for each name.
        seed: seed of everything random.

    Returns:
        The paths of the two lists.
    """
    series: list[Series] = []
    coarse: list[Histogram] = []
    for name, path in photos.items():
        photo = load_image(path).image
        for category in CATEGORIES:
            for number in range(per_category):
                key = f"{seed}/{name}/{category}/{number}"
                made = make_series(photo, category, random.Random(key).choice(list(lengths)), side, key)
                series.append(_written(made, folder, f"{category}-{name}-{number:02d}", split_of[name]))
        for number in range(n_coarse if split_of[name] == "train" else 0):
            pixels, distribution = make_histogram(photo, side, f"{seed}/{name}/coarse/{number}")
            file = Path("images") / f"coarse-{name}-{number:02d}.jpg"
            _write_jpeg(folder / file, pixels)
            coarse.append(Histogram(image=file, distribution=distribution))
    write_records(folder / "coarse.jsonl", coarse)
    write_records(folder / "series.jsonl", series)
    return folder / "series.jsonl", folder / "coarse.jsonl"


def _written(made: SyntheticSeries, folder: Path, name: str, split: str) -> Series:
    files = []
    for number, member in enumerate(made.members):
        file = Path("images") / f"{name}-{number:02d}.jpg"
        _write_jpeg(folder / file, member.pixels)
        files.append(file)
    scores = [member.score for member in made.members]
    texts = {
        (i, j): comparative_text([made.factor], scores[i] > scores[j])
        for i in range(len(scores))
        for j in range(i + 1, len(scores))
    }
    return ordered_series(name, made.category, split, files, scores, texts)


def _write_jpeg(path: Path, pixels: NDArray[np.uint8]) -> None:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=_QUALITY)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())  # the lists are written last, so half a picture is in none of them
