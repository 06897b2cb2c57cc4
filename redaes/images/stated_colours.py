"""Make ICC profiles of colours that a file states by numbers: those of ITU-T H.273, or primaries and a gamma."""

from __future__ import annotations

from collections.abc import Sequence

from redaes.images.matrix_profiles import SRGB_PRIMARIES, matrix_profile
from redaes.images.unwrapped import UnsupportedPixels

_HDR = {16: "PQ", 18: "HLG"}
_GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}
_PRIMARIES = {
    1: SRGB_PRIMARIES,
    9: (0.3127, 0.3290, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    12: (0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
}
"""White, red, green and blue as x and y: BT.709, BT.2020, Display P3."""


def numbered_profile(primaries: int, transfer: int, is_grey: bool) -> bytes | None:
    """Return the ICC profile of colours by their numbers in H.273; empty: sRGB. None: the primaries are not known here.

    The curves of video (BT.709 and its kin) are taken for sRGB's, as browsers do.

    Raises:
        UnsupportedPixels: HDR, which would look pale as sRGB.
    """
    if transfer in _HDR:
        raise UnsupportedPixels(f"its colours are HDR ({_HDR[transfer]}); export it for ordinary screens (sRGB)")
    if primaries not in _PRIMARIES:
        return None
    return stated_profile(_PRIMARIES[primaries], _GAMMAS.get(transfer), "H.273", is_grey)


def stated_profile(primaries: Sequence[float], gamma: float | None, source: str, is_grey: bool) -> bytes:
    """Return the ICC profile of primaries and a gamma; empty: they are sRGB's.

    Args:
        primaries: x and y of white, red, green and blue.
        gamma: exponent that converts values to linear light; None: the curve of sRGB.
        source: its name in messages.
        is_grey: whether the picture is grey, so that the primaries do not matter.
    """
    same = is_grey or all(abs(a - b) <= 0.005 for a, b in zip(primaries, SRGB_PRIMARIES, strict=True))
    if gamma is None and same:
        return b""
    return matrix_profile(source, SRGB_PRIMARIES if same else primaries, gamma)
