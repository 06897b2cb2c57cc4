"""What is measured in one picture.

Light and colour of the whole are taken at a longest side of 256 px, where noise is averaged out of them; lines,
lettering and smooth areas at up to 1024 px; detail, noise and grids at the picture's own resolution: everywhere up to
four megapixels, beyond that in 64 windows spread evenly over the frame.
"""

from __future__ import annotations

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
from redaes.evidence.records import Measurements

__all__ = ["measure"]


def measure(image: ByteImage) -> Measurements:
    """Measures one picture, the same in every run.

    Args:
        image: (H, W, 3) sRGB bytes.

    Returns:
        Values in the order of :data:`redaes.evidence.quantities.QUANTITIES`; what this picture does not show enough of
        to be measured is absent.

    Raises:
        InputError: not an RGB byte picture.
    """
    planes = Planes(image)
    inner = find_inner(planes)
    tone, tone_places = measure_tone(planes, inner)
    focus, focus_places = measure_focus(planes)
    lettering, lettering_places = measure_lettering(planes)
    found = {
        **tone,
        **measure_colour(planes),
        **focus,
        **measure_noise(planes),
        **measure_grids(planes),
        **measure_gradients(image),
        **measure_geometry(planes),
        **measure_frame(planes, inner),
        **lettering,
    }
    return Measurements(
        width=planes.width,
        height=planes.height,
        values={name: float(found[name]) for name in QUANTITIES if name in found},
        places={**tone_places, **focus_places, **lettering_places},
    )
