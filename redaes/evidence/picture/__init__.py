"""Measure one picture.

Light and colour of the whole are taken at a longest side of 256 px, where noise is averaged out of them; lines,
lettering and stripes at up to 1024 px, halos and colour blotches at up to 768 px; the rest at the picture's own
resolution. There, clipping, borders and tones are counted everywhere; detail, edges, noise and stray pixels everywhere
up to 2048 px a side, beyond that in 8 windows of 256 px along it; grids in 8 strips of 96 px, each way, across a side
of more than 768 px.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from redaes.evidence.measurements import Measurements, Place
from redaes.evidence.picture.colour import measure_cast, measure_colourfulness, measure_tint
from redaes.evidence.picture.focus import measure_halos, measure_motion, measure_sharpness, measure_widths
from redaes.evidence.picture.frame import measure_frame
from redaes.evidence.picture.geometry import measure_geometry
from redaes.evidence.picture.gradients import measure_gradients
from redaes.evidence.picture.grids import measure_blocking, measure_pixelation
from redaes.evidence.picture.lettering import measure_lettering
from redaes.evidence.picture.noise import measure_blotches, measure_grain, measure_impulse, measure_stripes
from redaes.evidence.picture.planes import ByteImage, Planes
from redaes.evidence.picture.tone import measure_clipping, measure_evenness, measure_haze, measure_light
from redaes.evidence.quantities import QUANTITIES

__all__ = ["Planes", "measure", "measured_along"]


Part = Callable[[Planes], tuple[dict[str, float], dict[str, Place]]]


def _placeless(part: Callable[[Planes], dict[str, float]]) -> Part:
    return lambda planes: (part(planes), {})


_PARTS: tuple[tuple[frozenset[str], Part], ...] = (
    (frozenset({"brightness", "contrast", "dynamic_range"}), _placeless(measure_light)),
    (frozenset({"clipped_shadows", "clipped_highlights"}), measure_clipping),
    (frozenset({"haze"}), _placeless(measure_haze)),
    (frozenset({"vignetting", "unevenness"}), _placeless(measure_evenness)),
    (frozenset({"colourfulness"}), _placeless(measure_colourfulness)),
    (frozenset({"warmth", "magenta"}), _placeless(measure_tint)),
    (frozenset({"cast"}), _placeless(measure_cast)),
    (frozenset({"sharpness", "centre_sharpness"}), measure_sharpness),
    (frozenset({"edge_width"}), _placeless(measure_widths)),
    (frozenset({"motion"}), _placeless(measure_motion)),
    (frozenset({"halos"}), _placeless(measure_halos)),
    (frozenset({"noise"}), _placeless(measure_grain)),
    (frozenset({"chroma_noise"}), _placeless(measure_blotches)),
    (frozenset({"impulse"}), _placeless(measure_impulse)),
    (frozenset({"stripes"}), _placeless(measure_stripes)),
    (frozenset({"blocking"}), _placeless(measure_blocking)),
    (frozenset({"pixelation"}), _placeless(measure_pixelation)),
    (frozenset({"banding"}), _placeless(measure_gradients)),
    (frozenset({"tilt", "keystone"}), _placeless(measure_geometry)),
    (frozenset({"border"}), _placeless(measure_frame)),
    (frozenset({"lettering"}), measure_lettering),
)
"""The function that measures each set of quantities."""


def measured_along(only: Collection[str]) -> frozenset[str]:
    """Return these quantities and those that are measured together with them."""
    return frozenset().union(*(names for names, _ in _PARTS if not names.isdisjoint(only)))


def measure(image: ByteImage | Planes, only: Collection[str] | None = None) -> Measurements:
    """Measure one picture, the same in every run.

    Args:
        image: (H, W, 3) sRGB bytes, or their planes, which cache data that several quantities need.
        only: quantities to be measured, to save the time for the others; None: all.

    Returns:
        Values in the order of :data:`redaes.evidence.quantities.QUANTITIES`; a quantity that cannot be measured in this
        picture is absent.

    Raises:
        InputError: not an RGB byte picture.
    """
    planes = image if isinstance(image, Planes) else Planes(image)
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
