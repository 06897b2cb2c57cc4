"""The registry of measured quantities, which measuring, writing, checking claims, rewards and reports share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from redaes.types import Factor


@dataclass(frozen=True)
class Quantity:
    """One measured quantity."""

    name: str
    """Its key in :class:`redaes.evidence.measurements.Measurements`."""
    spoken: str
    """Its name in sentences and tables."""
    unit: str
    """Unit, printed after the value; empty: a pure number."""
    factor: Factor
    """The factor of the taxonomy that it belongs to."""
    better: Literal["more", "less"] | None
    """Whether more of it is better in itself; None: it depends on the picture."""
    noise_floor: float
    """Differences below this, in its unit, mean nothing: at least the spread between two encodings of one picture."""
    visible: float
    """A difference that a person sees, in its unit; at least the noise floor."""
    digits: int
    """Number of decimals with which it is stated."""
    more: tuple[str, ...]
    """Adjectives or phrases for the picture that has more of it, such as ``brighter``."""
    less: tuple[str, ...]
    """Adjectives or phrases for the picture that has less of it."""
    source: str
    """Where the formula comes from."""


_ALL: tuple[Quantity, ...] = (
    Quantity(
        name="brightness",
        spoken="brightness",
        unit="L*",
        factor="light",
        better=None,
        noise_floor=0.3,
        visible=4.0,
        digits=0,
        more=("brighter", "lighter"),
        less=("darker", "dimmer"),
        source="mean CIELAB lightness at a glance of 256 px",
    ),
    Quantity(
        name="contrast",
        spoken="contrast",
        unit="L*",
        factor="light",
        better=None,
        noise_floor=0.5,
        visible=2.5,
        digits=0,
        more=("more contrasty", "punchier"),
        less=("flatter", "lower in contrast"),
        source="standard deviation of CIELAB lightness at a glance of 256 px",
    ),
    Quantity(
        name="dynamic_range",
        spoken="tonal range",
        unit="L*",
        factor="light",
        better=None,
        noise_floor=2.0,
        visible=6.0,
        digits=0,
        more=("wider in tonal range",),
        less=("narrower in tonal range",),
        source="99th less 1st percentile of CIELAB lightness at a glance of 256 px",
    ),
    Quantity(
        name="clipped_shadows",
        spoken="blocked shadows",
        unit="%",
        factor="light",
        better="less",
        noise_floor=0.3,
        visible=2.0,
        digits=1,
        more=("more blocked in the shadows",),
        less=("more open in the shadows",),
        source="area whose largest channel is at most 3 of 255, single pixels apart",
    ),
    Quantity(
        name="clipped_highlights",
        spoken="blown highlights",
        unit="%",
        factor="light",
        better="less",
        noise_floor=0.3,
        visible=2.0,
        digits=1,
        more=("more blown in the highlights",),
        less=("better held in the highlights",),
        source="area whose largest channel is at least 252 of 255, single pixels apart",
    ),
    Quantity(
        name="haze",
        spoken="haze",
        unit="%",
        factor="light",
        better="less",
        noise_floor=1.0,
        visible=8.0,
        digits=0,
        more=("hazier",),
        less=("clearer",),
        source="mean dark channel over the colour of the air, unclipped pixels: He, Sun and Tang 2009, "
        "Single image haze removal using dark channel prior",
    ),
    Quantity(
        name="vignetting",
        spoken="darkening of the corners",
        unit="EV",
        factor="light",
        better="less",
        noise_floor=0.1,
        visible=0.5,
        digits=1,
        more=("darker in the corners",),
        less=("more even towards the corners",),
        source="ours: mean luminance in stops of the middle less the mean of the corners' medians",
    ),
    Quantity(
        name="unevenness",
        spoken="unevenness of the light",
        unit="EV",
        factor="light",
        better=None,
        noise_floor=1.5,
        visible=2.0,
        digits=1,
        more=("more unevenly lit",),
        less=("more evenly lit",),
        source="ours: rise from left to right of the plane that fits the luminance in stops best",
    ),
    Quantity(
        name="colourfulness",
        spoken="colourfulness",
        unit="",
        factor="colour",
        better=None,
        noise_floor=1.0,
        visible=4.0,
        digits=0,
        more=("more colourful", "more saturated"),
        less=("duller in colour", "less saturated"),
        source="Hasler and Suesstrunk 2003, Measuring colourfulness in natural images, M3",
    ),
    Quantity(
        name="warmth",
        spoken="warmth",
        unit="b*",
        factor="colour",
        better=None,
        noise_floor=0.5,
        visible=4.0,
        digits=0,
        more=("warmer", "yellower"),
        less=("cooler", "bluer"),
        source="b* of the mean linear colour at the lightness of mid grey: grey world, Buchsbaum 1980",
    ),
    Quantity(
        name="magenta",
        spoken="magenta",
        unit="a*",
        factor="colour",
        better=None,
        noise_floor=0.5,
        visible=3.0,
        digits=0,
        more=("more magenta",),
        less=("greener",),
        source="a* of the mean linear colour at the lightness of mid grey: grey world, Buchsbaum 1980",
    ),
    Quantity(
        name="cast",
        spoken="colour cast",
        unit="dE*ab",
        factor="colour",
        better="less",
        noise_floor=3.0,
        visible=6.0,
        digits=0,
        more=("stronger in colour cast",),
        less=("more neutral",),
        source="chroma of a mid grey in the light of the scene, mean of shades of grey (Finlayson and Trezzi 2004) "
        "and grey edge (van de Weijer, Gevers and Gijsenij 2007), where they agree",
    ),
    Quantity(
        name="sharpness",
        spoken="sharpness",
        unit="%",
        factor="focus",
        better="more",
        noise_floor=3.0,
        visible=5.0,
        digits=0,
        more=("sharper", "crisper"),
        less=("softer", "blurrier"),
        source="ours: lightness between blurs of 1 and 2 px over the contrast, in the sharpest tenth of the frame",
    ),
    Quantity(
        name="centre_sharpness",
        spoken="sharpness of the middle",
        unit="%",
        factor="focus",
        better="more",
        noise_floor=3.0,
        visible=5.0,
        digits=0,
        more=("sharper in the middle", "better focused on the middle"),
        less=("softer in the middle", "out of focus in the middle"),
        source="ours: the same in the sharpest quarter of the middle of the frame",
    ),
    Quantity(
        name="edge_width",
        spoken="width of edges",
        unit="‰",
        factor="focus",
        better="less",
        noise_floor=0.5,
        visible=0.8,
        digits=1,
        more=("wider at its edges",),
        less=("tighter at its edges",),
        source="full width of edges at half maximum in thousandths of the diagonal: Zhuo and Sim 2011, Defocus map "
        "estimation from a single image",
    ),
    Quantity(
        name="motion",
        spoken="motion blur",
        unit="",
        factor="focus",
        better="less",
        noise_floor=0.05,
        visible=0.15,
        digits=2,
        more=("smeared by motion",),
        less=("steadier",),
        source="ours: (widest - narrowest) / (widest + narrowest) of the edge widths over the directions",
    ),
    Quantity(
        name="halos",
        spoken="halos",
        unit="%",
        factor="focus",
        better="less",
        noise_floor=2.5,
        visible=8.0,
        digits=0,
        more=("more haloed", "more oversharpened"),
        less=("freer of halos",),
        source="ours: lightness beside edges less that beyond, over their step, median",
    ),
    Quantity(
        name="noise",
        spoken="noise",
        unit="L*",
        factor="noise",
        better="less",
        noise_floor=0.5,
        visible=0.7,
        digits=1,
        more=("noisier", "grainier"),
        less=("cleaner", "less noisy"),
        source="Immerkaer 1996, Fast noise variance estimation, in the smoothest fifth of the blocks",
    ),
    Quantity(
        name="chroma_noise",
        spoken="colour noise",
        unit="dE*ab",
        factor="noise",
        better="less",
        noise_floor=0.15,
        visible=0.6,
        digits=1,
        more=("more blotchy in colour",),
        less=("cleaner in colour",),
        source="ours: a* and b* between blurs of 1 and 3 px in the smoothest fifth of the blocks",
    ),
    Quantity(
        name="blocking",
        spoken="blocking",
        unit="L*",
        factor="noise",
        better="less",
        noise_floor=0.2,
        visible=0.4,
        digits=1,
        more=("blockier",),
        less=("freer of blocks",),
        source="ours: step across the borders of blocks less that beside them, at any offset and enlargement; after "
        "Wang, Bovik and Evans 2000, Blind measurement of blocking artifacts in images",
    ),
    Quantity(
        name="banding",
        spoken="banding",
        unit="%",
        factor="noise",
        better="less",
        noise_floor=0.5,
        visible=2.0,
        digits=0,
        more=("more banded",),
        less=("smoother in its gradients",),
        source="ours: step between the tones that are left over in the histogram, times their share of the pixels",
    ),
    Quantity(
        name="impulse",
        spoken="stray pixels",
        unit="%",
        factor="noise",
        better="less",
        noise_floor=0.06,
        visible=0.2,
        digits=1,
        more=("more speckled",),
        less=("freer of speckles",),
        source="ours: pixels that differ from the median of 3 x 3 by several times what their neighbours do",
    ),
    Quantity(
        name="stripes",
        spoken="stripes",
        unit="L*",
        factor="noise",
        better="less",
        noise_floor=0.15,
        visible=0.5,
        digits=1,
        more=("more striped",),
        less=("freer of stripes",),
        source="ours: median step between neighbouring rows or columns",
    ),
    Quantity(
        name="pixelation",
        spoken="coarseness of pixels",
        unit="px",
        factor="noise",
        better="less",
        noise_floor=0.5,
        visible=1.0,
        digits=0,
        more=("more pixelated",),
        less=("finer in its pixels",),
        source="ours: period of the steps between neighbouring columns and rows",
    ),
    Quantity(
        name="tilt",
        spoken="tilt",
        unit="deg",
        factor="composition",
        better="less",
        noise_floor=0.6,
        visible=1.0,
        digits=1,
        more=("more tilted",),
        less=("more level",),
        source="ours: deviation from level and upright that most of the length of LSD segments (von Gioi et al. "
        "2010) agrees on",
    ),
    Quantity(
        name="keystone",
        spoken="converging verticals",
        unit="deg",
        factor="composition",
        better="less",
        noise_floor=3.0,
        visible=8.0,
        digits=0,
        more=("more converging",),
        less=("more upright",),
        source="ours: rise of the lean of upright LSD segments over the width",
    ),
    Quantity(
        name="border",
        spoken="border",
        unit="%",
        factor="content",
        better="less",
        noise_floor=0.4,
        visible=1.0,
        digits=1,
        more=("more bordered",),
        less=("less bordered",),
        source="rows and columns of one colour at the edges of the frame",
    ),
    Quantity(
        name="lettering",
        spoken="lettering",
        unit="%",
        factor="content",
        better="less",
        noise_floor=0.7,
        visible=1.5,
        digits=1,
        more=("more lettered",),
        less=("freer of lettering",),
        source="ours: area of rows of components of one height, stroke and tone",
    ),
)

QUANTITIES: dict[str, Quantity] = {quantity.name: quantity for quantity in _ALL}
"""All quantities by name, in the order in which tables list them."""


def figures(quantity: Quantity, values: tuple[float, float]) -> tuple[str, str]:
    """Format two values with the quantity's decimals, and one or two more if a difference above the noise floor would
    otherwise not show.

    >>> figures(QUANTITIES["noise"], (3.21, 0.9)), figures(QUANTITIES["brightness"], (51.6, 52.4))
    (('3.2', '0.9'), ('51.6', '52.4'))
    """
    for digits in range(quantity.digits, quantity.digits + 3):
        one, other = (f"{value:.{digits}f}" for value in values)
        if one != other or abs(values[0] - values[1]) < quantity.noise_floor:
            break
    return _plain(one), _plain(other)


def _plain(text: str) -> str:
    """Return a number's text without the minus sign of a zero."""
    return text.removeprefix("-") if float(text) == 0 else text
