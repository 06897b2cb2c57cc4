"""A small dataset of one's own: pictures of several sizes in ranking groups of three, with reasoning in both orders."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from redaes.records import PairRecord, write_shard
from redaes.types import Edit, ImageRef, Pair, Rationale, Split

SIZES = ((96, 96), (128, 96), (96, 128), (160, 96))
BLURS = (0.0, 1.5, 3.0)
"""Radii of the three pictures of a group; a step is worth two points."""
LEFT_OUT = ("uneven_light", "hue_shift", "zoom_blur", "pixelation", "keystone", "lens_flare")
"""Names that the edits of the first groups bear: those that the warm-ups' recipes leave out."""


def write_own_pairs(folder: Path, n_train: int, n_test: int = 1) -> Path:
    """Write the dataset.

    Args:
        folder: for it.
        n_train: groups to train on, each of three pairs.
        n_test: groups held out.
    """
    numbers = iter(range(n_train + n_test))
    shares: tuple[tuple[Split, int], ...] = (("train", n_train), ("test", n_test))
    for split, count in shares:
        records = [record for _ in range(count) for record in _group(next(numbers), split)]
        write_shard(folder / "data" / f"{split}-00000.parquet", records)
    return folder


def _group(number: int, split: Split) -> list[PairRecord]:
    rng = np.random.default_rng(number)
    width, height = SIZES[number % len(SIZES)]
    photo = Image.fromarray((rng.uniform(40, 215, 3) + rng.normal(0, 30, (height, width, 1))).clip(0, 255).astype("u1"))
    data = [_encoded(photo.filter(ImageFilter.GaussianBlur(radius))) for radius in BLURS]
    places = [(0, 1), (2, 0), (1, 2)]  # who is better changes places
    return [_pair(number, first, second, data, split) for first, second in places]


def _encoded(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=95)
    return out.getvalue()


def _pair(number: int, first: int, second: int, data: list[bytes], split: Split) -> PairRecord:
    better = "A" if first < second else "B"
    other = "B" if better == "A" else "A"
    text = "A and B were looked at."
    edits = [
        None if place == 0 else Edit(
            factor="focus", operation=dict(enumerate(LEFT_OUT)).get(number, "blur"), direction="degrade",
            strength=place / 2, instruction="blur", editor="test", seed=number,
        )
        for place in (first, second)
    ]  # fmt: skip
    return PairRecord(
        pair=Pair(
            id=hashlib.sha256(f"{number}/{first}/{second}".encode()).hexdigest()[:16],
            first=_reference(data[first]), second=_reference(data[second]), delta=2.0 * (second - first),
            edit_first=edits[0], edit_second=edits[1], factors=("focus",), group=f"g{number}", source=f"g{number}",
            split=split,
        ),
        first_bytes=data[first],
        second_bytes=data[second],
        rationale=Rationale(text=text, factors=("focus",), better=better),  # type: ignore[arg-type]
        rationale_swapped=Rationale(text=text, factors=("focus",), better=other),  # type: ignore[arg-type]
        licence="",
        writer="test",
    )  # fmt: skip


def _reference(data: bytes) -> ImageRef:
    digest = hashlib.sha256(data).hexdigest()
    return ImageRef(id=digest, path=Path(f"{digest[:8]}.jpg"))
