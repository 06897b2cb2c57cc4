"""Words for measured differences: comparatives for more or less of a quantity, and its visible effect.

Comparatives follow "A is". A visible effect is a whole clause about the described picture, and is mentioned only if the
difference is visible. For quantities that are missing here, the registry of quantities has words of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from redaes.evidence.quantities import Quantity


@dataclass(frozen=True)
class QuantityWords:
    """Words for one quantity."""

    nouns: tuple[str, ...] = ()
    """Nouns that follow "its": the name of the figure."""
    more: tuple[str, ...] = ()
    """Comparatives for the picture that has more of it; ``less`` holds those for the other."""
    less: tuple[str, ...] = ()
    seen_more: tuple[str, ...] = ()
    """Clauses about the effect of having more of it; ``seen_less`` holds those for less."""
    seen_less: tuple[str, ...] = ()


WORDS: dict[str, QuantityWords] = {
    "brightness": QuantityWords(
        nouns=("brightness", "mean brightness"),
        more=("brighter", "lighter"),
        less=("darker", "dimmer"),
        seen_more=(
            "light surfaces lose their modelling",
            "the scene looks bleached",
            "delicate tones are washed away",
            "neighbouring tones run into each other",
        ),
        seen_less=(
            "the scene sinks into gloom",
            "much of it has to be guessed at",
            "it looks like dusk",
            "the light seems to have been turned down",
        ),
    ),
    "contrast": QuantityWords(
        nouns=("contrast", "tonal contrast"),
        more=("higher in contrast", "more contrasty"),
        less=("flatter", "lower in contrast"),
        seen_more=(
            "light and shade clash",
            "the transitions are abrupt",
            "the middle tones are thinned out",
            "everything looks hard",
        ),
        seen_less=(
            "the tones crowd together",
            "shapes hardly part from what is behind them",
            "the scene looks tired",
            "there is little sparkle left",
            "everything turns to one grey",
        ),
    ),
    "dynamic_range": QuantityWords(
        nouns=("tonal range",),
        more=("wider in tonal range",),
        less=("narrower in tonal range",),
        seen_less=(
            "both ends of the scale are left unused",
            "the scale of tones stops short at its ends",
        ),
        seen_more=("the tones are torn apart",),
    ),
    "clipped_shadows": QuantityWords(
        nouns=("share of blocked shadows",),
        more=("more blocked in the shadows",),
        less=("more open in the shadows",),
        seen_more=(
            "what lies in the shade cannot be made out",
            "the deep tones close up",
            "black patches take the place of drawing",
        ),
    ),
    "clipped_highlights": QuantityWords(
        nouns=("share of blown highlights",),
        more=("more blown in the highlights", "more burnt out in the highlights"),
        less=("better held in the highlights",),
        seen_more=(
            "the lightest parts are blank",
            "patches of bare white stay empty",
            "the lights are eaten away",
        ),
    ),
    "haze": QuantityWords(
        nouns=("haze",),
        more=("hazier",),
        less=("clearer",),
        seen_more=(
            "black turns to milk",
            "distance is swallowed",
            "a grey film lies between viewer and scene",
        ),
    ),
    "vignetting": QuantityWords(
        nouns=("darkening of the corners",),
        more=("darker in the corners",),
        less=("more even towards the corners",),
        seen_more=(
            "the frame closes in like a tunnel",
            "the outer parts drop away",
            "the middle sits in a pool of light",
        ),
    ),
    "unevenness": QuantityWords(
        nouns=("unevenness of the light",),
        seen_more=(
            "one side drowns while the other dazzles",
            "the light tips over to one side",
            "the frame falls into two halves",
        ),
    ),
    "stripes": QuantityWords(
        nouns=("striping",),
        seen_more=("lines run across the whole width", "row after row stands out", "it recalls a faulty screen"),
    ),
    "colourfulness": QuantityWords(
        nouns=("colourfulness",),
        more=("more colourful", "more saturated"),
        less=("less colourful", "less saturated", "duller in colour"),
        seen_more=(
            "the hues shout",
            "fine gradations of colour drown",
            "the palette looks painted on",
            "every shade is overstated",
        ),
        seen_less=(
            "the palette has faded",
            "hues that should glow look ashen",
            "it comes close to black and white",
            "the life has gone out of the colours",
        ),
    ),
    "warmth": QuantityWords(
        nouns=("warmth",),
        more=("warmer", "yellower"),
        less=("cooler", "bluer"),
        seen_more=(
            "white things look like old ivory",
            "an amber film lies over everything",
            "greys drift towards orange",
        ),
        seen_less=(
            "white things look icy",
            "a bluish film lies over everything",
            "greys drift towards blue",
        ),
    ),
    "magenta": QuantityWords(
        nouns=("magenta",),
        more=("more magenta",),
        less=("greener",),
        seen_more=(
            "greys take on a pinkish flush",
            "greys drift towards magenta",
            "greens look stifled",
        ),
        seen_less=(
            "greys take on a sickly tinge",
            "greys drift towards green",
            "the light seems to pass through leaves",
        ),
    ),
    "cast": QuantityWords(
        nouns=("colour cast",),
        more=("stronger in colour cast",),
        less=("more neutral",),
        seen_more=("no grey is grey any more", "one tint runs through the whole frame", "whites are stained"),
    ),
    "sharpness": QuantityWords(
        nouns=("sharpness",),
        more=("crisper", "sharper"),
        less=("softer", "blurrier", "less sharp", "less crisp"),
        seen_less=(
            "fine lines run together",
            "textures melt",
            "small things lose their outlines",
            "delicate structure is smoothed over",
            "the eye finds nothing to hold on to",
        ),
        seen_more=("fine structure looks etched", "textures look brittle"),
    ),
    "edge_width": QuantityWords(
        nouns=("width of edges",),
        more=("wider at its edges",),
        less=("tighter at its edges",),
        seen_more=("outlines spread", "borders between things smear", "contours swim"),
    ),
    "motion": QuantityWords(
        nouns=("motion blur",),
        more=("more smeared by motion",),
        less=("steadier",),
        seen_more=(
            "details are dragged out in one direction",
            "points have become streaks",
            "everything seems to slide",
        ),
    ),
    "halos": QuantityWords(
        nouns=("strength of halos",),
        more=("more haloed", "more oversharpened"),
        less=("freer of halos",),
        seen_more=("white seams run along the contours", "outlines look drawn with a pen", "edges shout"),
    ),
    "noise": QuantityWords(
        nouns=("noise",),
        more=("noisier", "grainier"),
        less=("cleaner", "less noisy"),
        seen_more=(
            "even areas look sandy",
            "smooth surfaces crawl",
            "a restless texture lies over everything",
            "plain parts look like sandpaper",
        ),
    ),
    "chroma_noise": QuantityWords(
        nouns=("colour noise",),
        more=("more blotchy in colour",),
        less=("cleaner in colour",),
        seen_more=(
            "even areas break up into coloured flecks",
            "red and green specks mottle the tones",
            "plain surfaces look marbled",
        ),
    ),
    "blocking": QuantityWords(
        nouns=("blocking",),
        more=("blockier",),
        less=("freer of blocks",),
        seen_more=("small squares show in even areas", "gradients fall into tiles", "contours look frayed"),
    ),
    "banding": QuantityWords(
        nouns=("banding",),
        more=("more banded",),
        less=("smoother in its gradients",),
        seen_more=(
            "gentle transitions turn into stairs",
            "gradients fall into strips",
            "tones jump where they should glide",
        ),
    ),
    "impulse": QuantityWords(
        nouns=("share of stray pixels",),
        more=("more speckled",),
        less=("freer of speckles",),
        seen_more=(
            "single dots glitter everywhere",
            "the surface looks peppered",
            "specks distract in every plain part",
        ),
    ),
    "pixelation": QuantityWords(
        nouns=("coarseness of pixels",),
        more=("more pixelated",),
        less=("finer in its pixels",),
        seen_more=("curves become staircases", "small shapes dissolve into a mosaic"),
    ),
    "tilt": QuantityWords(
        nouns=("tilt",),
        more=("more tilted",),
        less=("more level",),
        seen_more=(
            "the whole scene leans",
            "the ground seems to slip away",
            "one wants to straighten it",
            "what should run straight across slopes",
        ),
    ),
    "keystone": QuantityWords(
        nouns=("spread of converging verticals",),
        more=("more converging",),
        less=("more upright",),
        seen_more=("uprights lean in", "the scene seems to topple", "parallel lines run together"),
    ),
    "border": QuantityWords(
        nouns=("border",),
        more=("more bordered",),
        less=("less bordered",),
        seen_more=("a blank strip runs along the edge",),
    ),
    "lettering": QuantityWords(
        nouns=("lettering",),
        more=("more lettered",),
        less=("freer of lettering",),
        seen_more=(
            "one reads before one looks",
            "strokes of writing catch the eye",
            "characters sit on top of the scene",
        ),
    ),
}

SLIGHT = ("slightly", "a little", "a touch", "marginally", "a shade", "somewhat")
"""Adverbs before a comparative, for a difference above the noise floor that is hardly visible."""
PLAIN = ("", "", "noticeably", "visibly", "clearly", "plainly")
"""Adverbs for a visible difference."""
STRONG = ("much", "far", "markedly", "considerably", "a good deal", "decidedly", "a lot", "distinctly")
"""Adverbs for a difference of several times that size."""
STRONG_FROM = 4.0
"""Size of a strong difference, in units of the visible difference."""


def degrees(size: float) -> tuple[str, ...]:
    """Return adverbs for a difference, given in visible differences.

    >>> "slightly" in degrees(0.6), "much" in degrees(4.0)
    (True, True)
    """
    return SLIGHT if size < 1 else STRONG if size >= STRONG_FROM else PLAIN


def comparatives(quantity: Quantity, more: bool) -> tuple[str, ...]:
    """Return the comparatives for the picture with more (or less) of a quantity."""
    own = WORDS.get(quantity.name, QuantityWords())
    return (own.more or quantity.more) if more else (own.less or quantity.less)


def nouns(quantity: Quantity) -> tuple[str, ...]:
    """Return the nouns for its figure."""
    return WORDS.get(quantity.name, QuantityWords()).nouns or (quantity.spoken,)


_SIGNED = frozenset({"vignetting", "warmth", "magenta"})
"""Quantities that are negative in some pictures: a picture that is less cool than another need not be warm."""


def seen(quantity: Quantity, more: bool, value: float) -> tuple[str, ...]:
    """Return clauses about the effect of a visible difference; empty if there is none worth mentioning.

    Args:
        quantity: the quantity that differs.
        more: whether the described picture has more of it.
        value: its value in that picture; the effect must be visible in the picture itself, not only in comparison.

    >>> from redaes.evidence.quantities import QUANTITIES
    >>> seen(QUANTITIES["vignetting"], True, -0.5), seen(QUANTITIES["warmth"], False, 3.0)
    ((), ())
    """
    own = WORDS.get(quantity.name, QuantityWords())
    if quantity.name in _SIGNED and (value if more else -value) < quantity.visible:
        return ()
    return own.seen_more if more else own.seen_less
