"""The pictures that single pictures are scored against when no others are named: four photographs, each as it is and
with one fault.

The photographs come with scikit-image, which states in ``skimage/data/_fetchers.py`` who made them and that they are in
the public domain or CC0; made smaller (512 pixels) and spoilt by ``benchmarks/reference_photographs.py``.
"""

from __future__ import annotations

from pathlib import Path

from redaes.images import content_id, read_image_file
from redaes.types import ImageRef

NAME = "embedded"
"""What scores call the set; a digest of the pictures is put behind it."""

FILES = (
    "astronaut.jpg",
    "astronaut-blurred.jpg",
    "chelsea.jpg",
    "chelsea-noisy.jpg",
    "coffee.jpg",
    "coffee-dark.jpg",
    "rocket.jpg",
    "rocket-tinted.jpg",
)

CREDITS = {
    "astronaut.jpg": "public domain; NASA (Great Images in NASA)",
    "chelsea.jpg": "CC0; Stefan van der Walt",
    "coffee.jpg": "CC0; Rachel Michetti, courtesy of Pikolo Espresso Bar",
    "rocket.jpg": "public domain; SpaceX (SpaceX Photos)",
}
"""Licence and author of each photograph as it is."""


def reference_photographs() -> list[ImageRef]:
    """Return references to the pictures, in a fixed order.

    Raises:
        ImageError: a file of the package is missing; install it again.
    """
    paths = [Path(__file__).with_name(name) for name in FILES]
    return [ImageRef(id=content_id(read_image_file(path)), path=path) for path in paths]


def originals() -> dict[Path, str]:
    """Return the photographs without a fault, each with its licence and author in one line."""
    return {Path(__file__).with_name(name): credit for name, credit in CREDITS.items()}
