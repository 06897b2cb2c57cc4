"""What is measured in one picture.

Light and colour of the whole are taken at a longest side of 256 px, where noise is averaged out of them; lines,
lettering and smooth areas at up to 1024 px; detail, noise and grids at the picture's own resolution: everywhere up to
four megapixels, beyond that in 64 windows spread evenly over the frame.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from redaes.evidence.picture.colour import measure_colour
from redaes.evidence.picture.focus import measure_focus
from redaes.evidence.picture.frame import find_inner, measure_frame
from redaes.evidence.picture.geometry import measure_geometry
from redaes.evidence.picture.gradients import measure_gradients
from redaes.evidence.picture.grids import measure_grids
from redaes.evidence.picture.lettering import measure_lettering
from redaes.evidence.picture.noise import measure_noise
from redaes.evidence.picture.planes import ByteImage, Planes
from redaes.evidence.picture.tone import measure_tone
from redaes.evidence.quantities import QUANTITIES
from redaes.evidence.records import Measurements, Place

__all__ = ["measure"]


Part = Callable[[Planes], tuple[dict[str, float], dict[str, Place]]]


def _gradients(planes: Planes) -> dict[str, float]:
    return measure_gradients(planes.image)


def _placeless(part: Callable[[Planes], dict[str, float]]) -> Part:
    return lambda planes: (part(planes), {})


_PARTS: tuple[tuple[frozenset[str], Part], ...] = (
    (
        frozenset({"brightness", "contrast", "dynamic_range", "clipped_shadows", "clipped_highlights", "haze"})
        | {"vignetting", "unevenness"},
        lambda planes: measure_tone(planes, find_inner(planes)),
    ),
    (frozenset({"colourfulness", "warmth", "magenta", "cast"}), _placeless(measure_colour)),
    (frozenset({"sharpness", "centre_sharpness", "edge_width", "motion", "halos"}), measure_focus),
    (frozenset({"noise", "chroma_noise", "impulse", "stripes"}), _placeless(measure_noise)),
    (frozenset({"blocking", "pixelation"}), _placeless(measure_grids)),
    (frozenset({"banding"}), _placeless(_gradients)),
    (frozenset({"tilt", "keystone"}), _placeless(measure_geometry)),
    (frozenset({"border"}), _placeless(lambda planes: measure_frame(planes, find_inner(planes)))),
    (frozenset({"lettering"}), measure_lettering),
)
"""What measures which quantities."""


def measure(image: ByteImage, only: Collection[str] | None = None) -> Measurements:
    """Measures one picture, the same in every run.

    Args:
        image: (H, W, 3) sRGB bytes.
        only: quantities that are wanted, which saves the time that the others take; None: all.

    Returns:
        Values in the order of :data:`redaes.evidence.quantities.QUANTITIES`; what this picture does not show enough of
        to be measured is absent.

    Raises:
        InputError: not an RGB byte picture.
    """
    planes = Planes(image)
    found: dict[str, float] = {}
    places: dict[str, Place] = {}
    for names, part in _PARTS:
        if only is None or not names.isdisjoint(only):
            values, where = part(planes)
            found |= values
            places |= where
    return Measurements(
        width=planes.width,
        height=planes.height,
        values={name: float(found[name]) for name in QUANTITIES if name in found},
        places=places,
    )
