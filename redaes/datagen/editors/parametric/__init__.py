"""The embedded editor: parametric photographic edits in numpy and OpenCV, no model and no download.

Each operation takes a picture, a strength in [0, 1] and a random generator. Three rules hold for all of them:

* Strength 0 gives (almost) the input, strength 1 is clearly bad while the scene stays recognisable, and the
  effect grows in between.
* The random part (direction of the motion, sign of the tilt, place of the clutter) is drawn from the seed
  alone, before strength is looked at: two strengths with one seed are the same edit done less or more.
* Lengths are fractions of the image diagonal, so that an edit looks alike at 256 px and at 2048 px.

What happens to light before the sensor (exposure, blur, haze, colour of the light) is computed in linear
light; what happens in development (contrast, posterising, stamps) in the encoded values. All arithmetic is
float32 in [0, 1], rounded to bytes once at the end.

Results are the same bytes over processes and threads, but may differ by one grey level between CPU
generations: compare with a tolerance, not by hash.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from redaes.datagen.editors import doses
from redaes.errors import InputError
from redaes.types import Direction, Edit, Factor

EDITOR = "embedded/3"
"""Name and version that edits of this module carry."""

ByteImage = NDArray[np.uint8]
"""(H, W, 3) sRGB, 0-255."""
FloatImage = NDArray[np.float32]
"""(H, W, 3) in [0, 1], sRGB-encoded or linear as the name says, or an (H, W) map."""
Apply = Callable[[ByteImage, float, np.random.Generator], ByteImage]


@dataclass(frozen=True)
class Operation:
    """One edit that the editor knows."""

    name: str
    factor: Factor
    """The aesthetic factor that it touches."""
    direction: Direction
    """``degrade`` or ``neutral``: blind improvement is unreliable; improving pairs are made by inversion."""
    instruction: str
    """What an instruction-following editor would be told; ``{amount}`` is an adverb for strength."""
    apply: Apply
    """(H, W, 3) sRGB bytes, strength in [0, 1], generator -> (H, W, 3) sRGB bytes."""
    shows: Callable[[float], float] = lambda strength: 1.0
    """Strength to the least share of the frame's width or height that fills the picture. Below 1 the edit enlarges:
    done to a picture of the final size, it would be soft, whatever it is meant to show."""


# --- Number formats -----------------------------------------------------------------------------------


def _encoded_to_linear_table() -> FloatImage:
    """The 256 linear values of the sRGB bytes (IEC 61966-2-1)."""
    v = np.arange(256, dtype=np.float64) / 255.0
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4).astype(np.float32)


def _linear_to_encoded_table(size: int) -> FloatImage:
    """sRGB-encoded value of linear = (i / (size - 1))**2.

    Indexed by the square root, the curve is nearly straight: 4096 entries stay within 0.05 grey levels.
    """
    v = (np.arange(size, dtype=np.float64) / (size - 1)) ** 2
    return np.where(v <= 0.0031308, v * 12.92, 1.055 * v ** (1 / 2.4) - 0.055).astype(np.float32)


_LINEAR = _encoded_to_linear_table()
_ENCODED = _linear_to_encoded_table(4096)
_LUMA = np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)
"""Rec. 709 luminance weights of linear R, G, B; used on encoded values as an approximation of luma."""


def _linear(image: ByteImage) -> FloatImage:
    return _LINEAR[image]


def _encoded(image: ByteImage) -> FloatImage:
    return image.astype(np.float32) / np.float32(255.0)


def _bytes(encoded: FloatImage) -> ByteImage:
    """Rounds encoded values to bytes; out of range clips, as a sensor or a file does."""
    rounded: ByteImage = np.rint(np.clip(encoded, 0.0, 1.0) * 255.0).astype(np.uint8)
    return rounded


def _bytes_from_linear(linear: FloatImage) -> ByteImage:
    index = np.rint(np.sqrt(np.clip(linear, 0.0, 1.0)) * (_ENCODED.size - 1)).astype(np.int32)
    return _bytes(_ENCODED[index])


def _luma(image: FloatImage) -> FloatImage:
    """(H, W, 1) weighted sum of the channels."""
    luma: FloatImage = (image @ _LUMA)[..., None]
    return luma


# --- Geometry and filters -----------------------------------------------------------------------------


def _diagonal(image: ByteImage) -> float:
    return math.hypot(image.shape[0], image.shape[1])


Box = tuple[slice, slice]
"""Rows and columns of a part of a picture."""


def _box(image: ByteImage, u: float, v: float, reach: float) -> Box:
    """The part within ``reach`` half diagonals of the fractions u, v; at least one pixel."""
    height, width = image.shape[:2]
    pixels = reach * _diagonal(image) / 2
    top, left = (int(np.clip(f * n - pixels, 0, n - 1)) for f, n in ((v, height), (u, width)))
    bottom, right = (int(np.clip(f * n + pixels + 1, 1, n)) for f, n in ((v, height), (u, width)))
    return slice(top, max(top + 1, bottom)), slice(left, max(left + 1, right))


def _plane(image: ByteImage, box: Box = (slice(None), slice(None))) -> tuple[FloatImage, FloatImage]:
    """Pixel coordinates x, y of a part, zero in the picture's centre, 1 at half its diagonal: round at any
    aspect."""
    height, width = image.shape[:2]
    half = np.float32(_diagonal(image) / 2)
    rows = (np.arange(height, dtype=np.float32)[box[0]] - np.float32((height - 1) / 2)) / half
    columns = (np.arange(width, dtype=np.float32)[box[1]] - np.float32((width - 1) / 2)) / half
    x, y = np.meshgrid(columns, rows)
    return x, y


def _smoothstep(x: FloatImage, low: float, high: float) -> FloatImage:
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    smooth: FloatImage = t * t * (3 - 2 * t)
    return smooth


def _blur(image: FloatImage, sigma: float) -> FloatImage:
    """Gaussian blur of (H, W) or (H, W, C), mirrored at the border; sigma in pixels.

    Below 0.05 it changes nothing; a wide one is done on a reduced copy, which no eye can tell.
    """
    if sigma < 0.05:
        return image
    height, width = image.shape[:2]
    shrink = max(1, min(int(sigma / 3), height, width))
    reduced = image
    if shrink > 1:
        size = (math.ceil(width / shrink), math.ceil(height / shrink))
        reduced = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    blurred = cv2.GaussianBlur(reduced, (0, 0), sigma / shrink, borderType=cv2.BORDER_REFLECT_101)
    if shrink > 1:
        blurred = cv2.resize(blurred, (width, height), interpolation=cv2.INTER_LINEAR)
    shaped: FloatImage = blurred.reshape(image.shape).astype(np.float32)
    return shaped


def _filter(image: FloatImage, kernel: FloatImage) -> FloatImage:
    filtered: FloatImage = cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT_101)
    return filtered


def _disc(radius: float) -> FloatImage:
    """Kernel of a defocused lens with a round aperture. Its edge is two pixels soft, so that the blur grows
    evenly from radius 0, where the kernel is a single pixel."""
    reach = math.ceil(radius)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
    cover: FloatImage = np.clip((np.float32(radius + 1) - np.hypot(x, y)) / 2, 0.0, 1.0)
    return cover


def _streak(length: float, angle: float) -> FloatImage:
    """Kernel of an even motion over ``length`` pixels, splatted bilinearly so that length is continuous."""
    reach = math.ceil(length / 2) + 1
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), dtype=np.float32)
    t = np.linspace(-length / 2, length / 2, 4 * math.ceil(length) + 1)
    x, y = t * math.cos(angle) + reach, t * math.sin(angle) + reach
    x0, y0 = np.floor(x).astype(int), np.floor(y).astype(int)
    fx, fy = x - x0, y - y0
    for dx, dy, weight in (
        (0, 0, (1 - fx) * (1 - fy)),
        (1, 0, fx * (1 - fy)),
        (0, 1, (1 - fx) * fy),
        (1, 1, fx * fy),
    ):
        np.add.at(kernel, (y0 + dy, x0 + dx), weight.astype(np.float32))
    return kernel


def _warp(
    image: FloatImage,
    matrix: NDArray[np.float64],
    size: tuple[int, int] | None = None,
    interpolation: int = cv2.INTER_LANCZOS4,
) -> FloatImage:
    """Resamples so that output pixel p shows input pixel ``matrix @ (p, 1)``.

    Args:
        image: (H, W, 3).
        matrix: (2, 3), affine.
        size: width and height of the output; None: those of the input.
        interpolation: OpenCV's constant; the default keeps detail, INTER_LINEAR is fast.
    """
    warped: FloatImage = cv2.warpAffine(
        image,
        matrix,
        size or (image.shape[1], image.shape[0]),
        flags=interpolation | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return warped


def _view(
    image: ByteImage,
    scale_x: float,
    scale_y: float,
    centre: tuple[float, float] = (0.5, 0.5),
    angle: float = 0.0,
) -> ByteImage:
    """The window of ``scale_x`` x ``scale_y`` of the frame around ``centre`` (fractions), turned by ``angle``
    radians and shown at the full size."""
    height, width = image.shape[:2]
    cos, sin = math.cos(angle), math.sin(angle)
    linear = np.array([[scale_x * cos, -scale_y * sin], [scale_x * sin, scale_y * cos]])
    # Continuous coordinates: pixel i covers [i, i + 1], so its centre is at i + 0.5.
    middle_out = np.array([width / 2, height / 2])
    middle_in = np.array([centre[0] * width, centre[1] * height])
    offset = middle_in - 0.5 - linear @ (middle_out - 0.5)
    return _bytes(_warp(_encoded(image), np.hstack([linear, offset[:, None]])))


def _noise(image: ByteImage, rng: np.random.Generator, channels: int, longest: int) -> FloatImage:
    """Standard normal noise (H, W, channels); grain grows with the picture beyond ``longest`` pixels."""
    height, width = image.shape[:2]
    shrink = min(1.0, longest / max(height, width))
    shape = (max(2, round(height * shrink)), max(2, round(width * shrink)))
    field = rng.standard_normal((*shape, channels), dtype=np.float32)
    if shape != (height, width):
        field = cv2.resize(field, (width, height), interpolation=cv2.INTER_CUBIC).reshape(height, width, channels)
        field /= field.std()
    return field


def _blob(
    x: FloatImage, y: FloatImage, centre: tuple[float, float], radius: float, wobble: NDArray[np.float64]
) -> FloatImage:
    """Distance-like map (H, W) of an irregular closed outline: negative inside, in units of ``radius``.

    ``wobble`` holds amplitude and phase (n, 2) of the outline's harmonics 2, 3, ...
    """
    dx, dy = x - centre[0], y - centre[1]
    angle = np.arctan2(dy, dx)
    outline = np.ones_like(angle)
    for k, (amplitude, phase) in enumerate(wobble, start=2):
        outline += np.float32(amplitude / k) * np.cos(k * angle + np.float32(phase))
    distance: FloatImage = np.hypot(dx, dy) / radius - outline
    return distance


def _sign(rng: np.random.Generator) -> float:
    return 1.0 if rng.random() < 0.5 else -1.0


# --- Light --------------------------------------------------------------------------------------------


def _exposure_down(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    return _bytes_from_linear(_linear(image) * np.float32(2.0 ** -doses.exposure_down(strength)))


def _exposure_up(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    return _bytes_from_linear(_linear(image) * np.float32(2.0 ** doses.exposure_up(strength)))


def _contrast_down(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    encoded = _encoded(image)
    middle = np.float32(0.5 * encoded.mean() + 0.25)
    return _bytes(middle + (encoded - middle) * np.float32(1 - doses.contrast_down(strength)))


def _contrast_up(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    encoded = _encoded(image)
    middle = np.float32(0.5 * encoded.mean() + 0.25)
    return _bytes(middle + (encoded - middle) * np.float32(1 + doses.contrast_up(strength)))


def _haze(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """Koschmieder's law, J t + A (1 - t) with t = exp(-beta depth); depth is guessed as growing upwards.

    The air is lit by the same light as the scene: at night it is dark.
    """
    linear = _linear(image)
    light = np.float32(min(1.0, 0.12 + 1.5 * float(np.percentile(_luma(linear), 90))))
    depth = np.linspace(1.3, 0.7, image.shape[0], dtype=np.float32)[:, None, None]
    transmission = np.exp(-1.0 * np.float32(strength**1.6) * depth)
    air = light * np.array([0.52, 0.55, 0.58], dtype=np.float32)
    return _bytes_from_linear(linear * transmission + air * (1 - transmission))


def _vignette(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    x, y = _plane(image)
    stops = -6.0 * np.float32(strength) * (x * x + y * y)
    return _bytes_from_linear(_linear(image) * np.exp2(stops)[..., None])


def _uneven_light(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    angle = rng.uniform(0, 2 * math.pi)
    x, y = _plane(image)
    ramp = np.tanh(2.0 * (x * np.float32(math.cos(angle)) + y * np.float32(math.sin(angle))))
    return _bytes_from_linear(_linear(image) * np.exp2(np.float32(strength) * (3.2 * ramp - 0.6))[..., None])


def _backlight(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """The middle, where the subject tends to be, goes dark and the surroundings burn out."""
    x, y = _plane(image)
    surround = _smoothstep(np.hypot(x, y), 0.1, 1.0)
    stops = np.float32(strength) * (4.6 * surround - 2.8)
    return _bytes_from_linear(_linear(image) * np.exp2(stops)[..., None])


def _crushed_shadows(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    black = np.float32(0.32 * strength)
    return _bytes((_encoded(image) - black) / (1 - np.float32(0.7) * black))


def _sunken_shadows(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """Shadows that nobody lifted: a tone curve that pulls down what is darker than the middle and leaves the lights."""
    linear = _linear(image)
    light = _luma(linear)
    # The local light, not the pixel's own: detail within a shadow keeps its contrast, as in retouching.
    around = 0.7 * _blur(light, 0.02 * _diagonal(image)) + 0.3 * light
    shadow = 1 - _smoothstep(np.sqrt(around), 0.15, 0.75)
    return _bytes_from_linear(linear * np.exp2(np.float32(-3.2 * strength) * shadow))


def _dim_subject(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """A subject that nobody dodged: light is missing where the picture is busiest, all else stays."""
    size = rng.uniform(0.8, 1.1)
    x, y = _plane(image)
    light = _luma(_encoded(image))[..., 0]
    detail = _blur(np.abs(light - _blur(light, 0.01 * _diagonal(image))), 0.06 * _diagonal(image))
    # Busy places near the middle: the border is rarely what a photograph is about.
    weight = np.square(detail) * np.exp(-4.0 * (x * x + y * y)) + np.float32(1e-9)
    total = float(weight.sum())
    middle = float((weight * x).sum()) / total, float((weight * y).sum()) / total
    distance = np.hypot(x - np.float32(middle[0]), y - np.float32(middle[1])) / np.float32(0.55 * size)
    return _bytes_from_linear(_linear(image) * np.exp2(np.float32(-3.0 * strength) * np.exp(-(distance**2)))[..., None])


def _glare(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """Light that falls on the glass and washes a part of the picture out, as from a window behind the photographer."""
    u, v = rng.uniform(0.2, 0.8, size=2)
    angle, long, short = rng.uniform(0, math.pi), rng.uniform(0.35, 0.6), rng.uniform(0.2, 0.32)
    height, width = image.shape[:2]
    half = _diagonal(image) / 2
    x, y = _plane(image)
    x, y = x - np.float32((u - 0.5) * width / half), y - np.float32((v - 0.5) * height / half)
    cos, sin = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    along, across = (x * cos + y * sin) / np.float32(long), (y * cos - x * sin) / np.float32(short)
    patch = np.exp(-(along**2 + across**2))
    linear = _linear(image)
    white = np.array([0.62, 0.61, 0.58], dtype=np.float32)
    veil = (np.float32(0.95 * strength) * patch)[..., None]
    return _bytes_from_linear(linear * (1 - np.float32(0.6) * veil) + white * veil)


# --- Colour -------------------------------------------------------------------------------------------


def _cast(image: ByteImage, strength: float, gains: tuple[float, float, float]) -> ByteImage:
    """Multiplies linear R, G, B by ``gains**strength`` at constant luminance of a grey card."""
    gain = np.array(gains, dtype=np.float32) ** np.float32(strength)
    gain /= gain @ _LUMA
    return _bytes_from_linear(_linear(image) * gain)


def _cast_warm(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    return _cast(image, strength, (1.9, 1.0, 0.22))


def _cast_cool(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    return _cast(image, strength, (0.32, 0.92, 2.8))


def _cast_green(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    return _cast(image, strength, (0.5, 1.2, 0.42))


def _cast_magenta(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    return _cast(image, strength, (1.5, 0.54, 1.5))


def _saturate(image: ByteImage, factor: float) -> ByteImage:
    encoded = _encoded(image)
    luma = _luma(encoded)
    return _bytes(luma + (encoded - luma) * np.float32(factor))


def _saturation_down(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    return _saturate(image, 1 - doses.saturation_down(strength))


def _saturation_up(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    return _saturate(image, 1 + doses.saturation_up(strength))


def _hue_shift(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """Turns the colour differences about the grey axis (Rodrigues' rotation) and keeps the luma."""
    angle = _sign(rng) * strength * math.radians(50)
    cos, third, sin = math.cos(angle), (1 - math.cos(angle)) / 3, math.sin(angle) / math.sqrt(3)
    matrix = np.array(
        [
            [cos + third, third - sin, third + sin],
            [third + sin, cos + third, third - sin],
            [third - sin, third + sin, cos + third],
        ],
        dtype=np.float32,
    )
    encoded = _encoded(image)
    turned = encoded @ matrix.T
    return _bytes(turned + _luma(encoded) - _luma(turned))


def _ungraded(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """Footage as a camera records it for grading: logarithmic, blacks raised, lights held down, little colour."""
    encoded = _encoded(image)
    a = np.float32(12.0)
    flat = np.float32(0.2) + np.float32(0.52) * np.log1p(a * _linear(image)) / np.log1p(a)
    light = _luma(flat)
    flat = light + (flat - light) * np.float32(0.55)
    return _bytes(encoded + (flat - encoded) * np.float32(strength))


def _posterize(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """Even steps. Fading them in lets strength 0 be the input: 25 tones are a step away from 256."""
    steps = np.float32(doses.posterize(strength) - 1)
    encoded = _encoded(image)
    stepped = np.minimum(np.rint(encoded * steps) / steps, 1.0)
    return _bytes(encoded + (stepped - encoded) * np.float32(min(1.0, 5 * strength)))


# --- Focus --------------------------------------------------------------------------------------------


def _defocus(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    return _bytes_from_linear(_filter(_linear(image), _disc(doses.defocus(strength) * _diagonal(image))))


def _motion_blur(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    angle = rng.uniform(0, math.pi)
    return _bytes_from_linear(_filter(_linear(image), _streak(doses.motion_blur(strength) * _diagonal(image), angle)))


def _oversharpen(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    encoded = _encoded(image)
    blurred = _blur(encoded, 0.0055 * _diagonal(image))
    return _bytes(encoded + np.float32(doses.oversharpen(strength)) * (encoded - blurred))


def _zoom_blur(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """Zooming during the exposure: the mean of views of growing magnification."""
    n_views = 12
    centre = rng.uniform(0.42, 0.58, size=2) * (image.shape[1], image.shape[0])
    linear = _linear(image)
    total = np.zeros_like(linear)
    for scale in np.linspace(1.0, 1 - 0.14 * strength**1.7, n_views):
        matrix = np.array([[scale, 0, (1 - scale) * centre[0]], [0, scale, (1 - scale) * centre[1]]])
        total += _warp(linear, matrix, interpolation=cv2.INTER_LINEAR)
    return _bytes_from_linear(total / np.float32(n_views))


def _missed_focus(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """The middle is soft and the surroundings stay sharp: the focus sits on the background."""
    offset = rng.uniform(-0.12, 0.12, size=2)
    x, y = _plane(image)
    soft = 1 - _smoothstep(np.hypot(x - np.float32(offset[0]), y - np.float32(offset[1])), 0.45, 0.8)
    linear = _linear(image)
    blurred = _filter(linear, _disc(0.019 * strength**1.9 * _diagonal(image)))
    return _bytes_from_linear(linear + (blurred - linear) * soft[..., None])


def _soft_glow(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """A greasy filter: light spreads into a wide glow over everything."""
    linear = _linear(image)
    diagonal = _diagonal(image)
    near, wide = _blur(linear, 0.008 * diagonal), _blur(linear, 0.03 * diagonal)
    share = 0.9 * strength
    lift = share * (1 + 0.7 * strength)
    linear = linear * np.float32(1 - share)
    linear += near * np.float32(0.6 * lift)
    linear += wide * np.float32(0.4 * lift)
    return _bytes_from_linear(linear)


# --- Noise --------------------------------------------------------------------------------------------


def _noise_luma(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """Shot noise: in encoded values it is strongest in the shadows."""
    field = _noise(image, rng, 1, longest=doses.FULL_GRAIN)
    encoded = _encoded(image)
    return _bytes(encoded + np.float32(doses.noise_luma(strength)) * (1.35 - 0.7 * _luma(encoded)) * field)


def _noise_chroma(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """Colour noise of a high-ISO file: in Y', Cb and Cr (BT.601), the two of colour with a grain of two pixels."""
    field = _noise(image, rng, 3, longest=doses.FULL_GRAIN)
    grain = max(1.0, max(image.shape[:2]) / doses.FULL_GRAIN)
    colour = _blur(np.ascontiguousarray(field[..., 1:]), 0.6 * grain)
    blue, red = (colour[..., i] / colour[..., i].std() for i in (0, 1))
    light = field[..., 0]
    noise = np.stack([light + 1.402 * red, light - 0.344 * blue - 0.714 * red, light + 1.772 * blue], axis=2)
    encoded = _encoded(image)
    return _bytes(encoded + np.float32(doses.noise_chroma(strength)) * (1.35 - 0.7 * _luma(encoded)) * noise)


def _through_jpeg(image: ByteImage, quality: int, full_colour: bool = False) -> ByteImage:
    """Writes and reads a JPEG; ``full_colour`` keeps the colour differences at full resolution (4:4:4)."""
    sampling = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444] if full_colour else []
    done, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality, *sampling])
    if not done:
        raise RuntimeError("OpenCV could not encode a JPEG")
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if decoded is None:
        raise RuntimeError("OpenCV could not decode its own JPEG")
    rgb: ByteImage = decoded[..., ::-1].astype(np.uint8)
    return rgb


def _jpeg_blocks(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """Strong JPEG. Beyond FULL_GRAIN the error of a reduced copy is enlarged, so that blocks stay visible."""
    height, width = image.shape[:2]
    shrink = min(1.0, doses.FULL_GRAIN / max(height, width))
    small = image
    if shrink < 1:
        size = (round(width * shrink), round(height * shrink))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    quality = round(doses.jpeg_blocks(strength))
    # Fading the error in lets strength 0 be the input; the quality alone would start with a step.
    error = np.float32(min(1.0, 3 * strength)) * (_encoded(_through_jpeg(small, quality)) - _encoded(small))
    if shrink < 1:
        error = cv2.resize(error, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.float32)
    return _bytes(_encoded(image) + error)


def _banding(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """Read-out noise of a sensor: whole rows are too bright or too dark, in the shadows and hardly in the lights."""
    height = image.shape[0]
    n_rows = min(height, 384)
    rows = rng.standard_normal((n_rows, 1), dtype=np.float32) + _blur(
        2.5 * rng.standard_normal((n_rows, 1), dtype=np.float32), 3.0
    )
    rows = cv2.resize(rows, (1, height), interpolation=cv2.INTER_LINEAR).reshape(height, 1, 1).astype(np.float32)
    rows /= rows.std()
    encoded = _encoded(image)
    return _bytes(encoded + np.float32(0.08 * strength**1.2) * (1.25 - _luma(encoded)) * rows)


def _impulse(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """Hot and dead pixels, in one colour of the sensor's mosaic each; one that is hit at a low strength is hit at every
    higher one."""
    height, width = image.shape[:2]
    shrink = min(1.0, doses.FULL_GRAIN / max(height, width))
    shape = (max(2, round(height * shrink)), max(2, round(width * shrink)))
    order = rng.random((*shape, 3), dtype=np.float32)
    value = rng.integers(0, 2, size=(*shape, 3)).astype(np.float32)
    hit = (order < doses.impulse(strength)).astype(np.float32)
    if shape != (height, width):
        hit = cv2.resize(hit, (width, height), interpolation=cv2.INTER_NEAREST).astype(np.float32)
        value = cv2.resize(value, (width, height), interpolation=cv2.INTER_NEAREST).astype(np.float32)
    encoded = _encoded(image)
    return _bytes(encoded + (value - encoded) * hit)


def _pixelation(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    height, width = image.shape[:2]
    block = doses.pixelation(strength) * max(1.0, max(height, width) / doses.FULL_GRAIN)
    if strength == 0:
        return image.copy()
    size = (max(1, round(width / block)), max(1, round(height / block)))
    # By nearest neighbour both ways, as KADID-10k does: the edges turn to stairs, which averaging would soften.
    small = cv2.resize(image, size, interpolation=cv2.INTER_NEAREST)
    large: ByteImage = cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST).astype(np.uint8)
    return large


# --- Composition --------------------------------------------------------------------------------------


_WIDEST = 2.0
"""Aspect up to which :func:`_tilt_shows` holds."""


def _tilt_angle(strength: float) -> float:
    return strength**1.2 * math.radians(24)


def _tilt_shows(strength: float) -> float:
    return _inscribed_scale(round(_WIDEST * 1000), 1000, _tilt_angle(strength))


def _crop_off_shows(strength: float) -> float:
    return 1 - 0.52 * strength**1.2


def _tight_crop_shows(strength: float) -> float:
    return 1 - 0.62 * strength**1.2


def _stretch_shows(strength: float) -> float:
    return 1 / (1 + 1.2 * strength**1.3)


def _keystone_narrows(strength: float) -> float:
    return 0.26 * strength


def _keystone_shows(strength: float) -> float:
    return 1 - 2 * _keystone_narrows(strength)


def _inscribed_scale(width: int, height: int, angle: float) -> float:
    """Largest scale of a frame of the same aspect, turned by ``angle``, that stays within the picture."""
    cos, sin = abs(math.cos(angle)), abs(math.sin(angle))
    return min(width / (width * cos + height * sin), height / (width * sin + height * cos))


def _tilt(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    sign, size = _sign(rng), rng.uniform(0.85, 1.0)
    angle = sign * size * _tilt_angle(strength)
    scale = _inscribed_scale(image.shape[1], image.shape[0], angle)
    return _view(image, scale, scale, angle=angle)


def _crop_off(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """The window shrinks into a corner, so that what was in the middle is pushed to the edge or cut."""
    corner_x, corner_y = _sign(rng), _sign(rng)
    scale = _crop_off_shows(strength)
    move = (1 - scale) / 2
    return _view(image, scale, scale, centre=(0.5 + corner_x * move, 0.5 + corner_y * move))


def _tight_crop(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    offset = rng.uniform(-0.2, 0.2, size=2)
    scale = _tight_crop_shows(strength)
    free = 1 - scale
    return _view(image, scale, scale, centre=(0.5 + offset[0] * free, 0.5 + offset[1] * free))


def _stretch(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """Wrong aspect: one axis is drawn out and what no longer fits the frame is cut on both sides."""
    along_x = rng.random() < 0.5
    scale = _stretch_shows(strength)
    return _view(image, scale if along_x else 1.0, 1.0 if along_x else scale)


def _keystone(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """Falling lines: the camera pointed up or down, so that one side of the frame shows less of the scene."""
    up, lean = rng.random() < 0.5, rng.uniform(-0.25, 0.25)
    height, width = image.shape[:2]
    narrow = _keystone_narrows(strength)
    left, right = narrow * (1 + lean), narrow * (1 - lean)
    frame = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=np.float32)
    seen = frame.copy()
    row = (0, 1) if up else (3, 2)
    seen[row[0], 0], seen[row[1], 0] = left, 1 - right
    size = np.array([width - 1, height - 1], dtype=np.float32)
    matrix = cv2.getPerspectiveTransform(frame * size, seen * size)
    warped = cv2.warpPerspective(
        _encoded(image),
        matrix,
        (width, height),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return _bytes(warped.astype(np.float32))


# --- Content ------------------------------------------------------------------------------------------


def _clutter(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """Things that stand in the way at the border, near and out of focus: dark shapes with soft outlines, lit and
    coloured as the scene is. They reach further in with strength and stay where they are."""
    n_objects = 3
    sides = rng.permutation(4)
    along = rng.uniform(0.1, 0.9, size=n_objects)
    sizes = rng.uniform(0.75, 1.2, size=n_objects)
    shades = rng.uniform(0.12, 0.5, size=n_objects)
    wobbles = np.stack(
        [rng.uniform(0.0, 0.35, size=(n_objects, 3)), rng.uniform(0, 2 * math.pi, size=(n_objects, 3))], axis=2
    )
    height, width = image.shape[:2]
    half = _diagonal(image) / 2
    linear = _linear(image)
    # Far out of focus, an object shows the colours around it and none of its detail.
    tone = 0.6 * _blur(linear, 0.08 * _diagonal(image)) + 0.4 * linear.mean(axis=(0, 1))
    opacity = np.float32(min(1.0, 4 * strength))
    for i in range(n_objects):
        radius = 0.5 * sizes[i]
        out = 0.5 - 0.36 * strength * sizes[i]  # how far the middle of the object lies beyond the border
        u, v = ((along[i], 0.0), (1.0, along[i]), (along[i], 1.0), (0.0, along[i]))[sides[i]]
        away = ((0, -1), (1, 0), (0, 1), (-1, 0))[sides[i]]
        centre = ((u - 0.5) * width / half + away[0] * out, (v - 0.5) * height / half + away[1] * out)
        x, y = _plane(image)
        inside = 1 - _smoothstep(_blob(x, y, centre, radius, wobbles[i]), -0.12, 0.12)
        linear = linear + (np.float32(shades[i]) * tone - linear) * (opacity * inside)[..., None]
    return _bytes_from_linear(linear)


def _text_mask(image: ByteImage, text: str, u: float, v: float, size: float, weight: float) -> FloatImage:
    """(H, W) coverage of ``text``, centred at the fractions u, v and ``size`` of the width wide."""
    height, width = image.shape[:2]
    font = cv2.FONT_HERSHEY_SIMPLEX
    (wide, tall), _ = cv2.getTextSize(text, font, 1.0, 2)
    scale = size * width / wide
    thickness = max(1, round(weight * scale))
    origin = (round(u * width - wide * scale / 2), round(v * height + tall * scale / 2))
    mask = np.zeros((height, width), dtype=np.uint8)
    cv2.putText(mask, text, origin, font, scale, 255, thickness, cv2.LINE_AA)
    return mask.astype(np.float32) / np.float32(255.0)


def _date_stamp(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """The glowing orange date of a compact camera."""
    day, month, year = rng.integers(1, 29), rng.integers(1, 13), rng.integers(96, 110) % 100
    left, low = rng.random() < 0.3, rng.random() < 0.85
    text = f"'{year:02d} {month:2d} {day:2d}"
    size = 0.2 + 0.14 * strength
    u = 0.04 + size / 2 if left else 0.96 - size / 2
    mask = _text_mask(image, text, u, 0.92 if low else 0.08, size, 3.5)
    glow = np.clip(mask + 0.8 * _blur(mask, 0.006 * _diagonal(image)), 0.0, 1.0)
    colour = np.array([1.0, 0.42, 0.08], dtype=np.float32)
    encoded = _encoded(image)
    return _bytes(encoded + (colour - encoded) * (np.float32(min(1.0, 2.5 * strength)) * glow)[..., None])


def _watermark(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """Repeated pale lettering over the whole picture, as on a stock photograph."""
    word = ("SAMPLE", "PREVIEW", "PROOF", "STOCK")[rng.integers(4)]
    shift = rng.uniform(-0.1, 0.1)
    mask = np.zeros(image.shape[:2], dtype=np.float32)
    for row, v in enumerate((0.17, 0.5, 0.83)):
        for u in (0.25, 0.75):
            mask += _text_mask(image, word, u + shift + (0.12 if row % 2 else -0.06), v, 0.42, 3.0)
    mask = np.clip(mask, 0.0, 1.0)
    outline = np.clip(2.5 * _blur(mask, 0.005 * _diagonal(image)), 0.0, 1.0)
    encoded = _encoded(image) * (1 - np.float32(0.5 * strength) * outline[..., None])
    return _bytes(encoded + (0.97 - encoded) * (np.float32(0.8 * strength) * mask)[..., None])


def _lens_dirt(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """Drops on the lens, which smear and pale what is behind them, and dust on the sensor, small dark discs."""
    n_drops, n_specks = 7, 14
    n_spots = n_drops + n_specks
    places = rng.uniform(0.04, 0.96, size=(n_spots, 2))
    radii = np.concatenate([rng.uniform(0.09, 0.2, size=n_drops), rng.uniform(0.014, 0.03, size=n_specks)])
    wobbles = np.stack(
        [rng.uniform(0.0, 0.22, size=(n_spots, 3)), rng.uniform(0, 2 * math.pi, size=(n_spots, 3))], axis=2
    )
    height, width = image.shape[:2]
    half = _diagonal(image) / 2
    drops = np.zeros((height, width), dtype=np.float32)
    dust = np.zeros((height, width), dtype=np.float32)
    for i, (place, radius, wobble) in enumerate(zip(places, radii, wobbles, strict=True)):
        box = _box(image, place[0], place[1], 1.6 * radius)
        x, y = _plane(image, box)
        centre = ((place[0] - 0.5) * width / half, (place[1] - 0.5) * height / half)
        spot = 1 - _smoothstep(_blob(x, y, centre, radius, wobble), -0.35, 0.15)
        layer = drops if i < n_drops else dust
        layer[box] = np.maximum(layer[box], spot)
    linear = _linear(image)
    # A drop gathers the light of a wide angle: behind it everything is blurred and a little lighter.
    smeared = 0.7 * _blur(linear, 0.025 * _diagonal(image)) + 0.3 * linear.mean(axis=(0, 1)) + np.float32(0.02)
    linear = linear + (smeared - linear) * (np.float32(min(1.0, 1.2 * strength)) * drops)[..., None]
    return _bytes_from_linear(linear * np.exp2(-1.6 * np.float32(strength) * dust)[..., None])


def _lens_flare(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """A light outside the frame: veiling glare from one corner and a row of coloured ghosts."""
    corner = np.array([_sign(rng), _sign(rng)]) * rng.uniform(0.5, 0.7, size=2)
    n_ghosts = 6
    along = rng.uniform(-1.1, 0.7, size=n_ghosts)
    radii = rng.uniform(0.06, 0.2, size=n_ghosts)
    colours = rng.uniform(0.1, 0.8, size=(n_ghosts, 3)).astype(np.float32)
    x, y = _plane(image)
    distance = np.hypot(x - np.float32(corner[0]), y - np.float32(corner[1]))
    warm = np.array([1.0, 0.86, 0.62], dtype=np.float32)
    light = (1.6 * np.exp(-distance / 0.16) + 0.75 * np.exp(-distance / 0.7))[..., None] * warm
    for t, radius, colour in zip(along, radii, colours, strict=True):
        r = np.hypot(x - np.float32(t * corner[0]), y - np.float32(t * corner[1])) / radius
        disc = (1 - _smoothstep(r, 0.9, 1.05)) * (0.35 + 0.65 * r * r)
        light += 0.55 * disc[..., None] * colour
    linear = _linear(image)
    # A lamp at night is dimmer than the sun, or the veil would be brighter than anything in the scene.
    light *= np.float32(min(1.0, 0.35 + 2.5 * float(linear.mean())))
    return _bytes_from_linear(linear + np.float32(strength) * light)


def _power_lines(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """Sagging cables across the frame."""
    n_lines = 5
    starts = rng.uniform(0.08, 0.75, size=n_lines)
    ends = starts + rng.uniform(-0.18, 0.18, size=n_lines)
    sags = rng.uniform(0.02, 0.12, size=n_lines)
    widths = rng.uniform(0.7, 1.3, size=n_lines)
    height, width = image.shape[:2]
    u = np.linspace(0, 1, width, dtype=np.float32)[None, :]
    rows = np.arange(height, dtype=np.float32)[:, None]
    shade = np.zeros((height, width), dtype=np.float32)
    for start, end, sag, wide in zip(starts, ends, sags, widths, strict=True):
        middle = np.float32(height) * (start + (end - start) * u + 4 * sag * u * (1 - u)).astype(np.float32)
        half = 0.5 * wide * (0.003 + 0.006 * strength) * _diagonal(image)
        shade = np.maximum(shade, np.clip(np.float32(half + 0.5) - np.abs(rows - middle), 0.0, 1.0))
    encoded = _encoded(image)
    # Against a dark scene cables show by the little light that they reflect.
    tone = np.float32(0.07 if encoded.mean() > 0.25 else 0.42)
    return _bytes(encoded + (tone - encoded) * (np.float32(strength) * shade)[..., None])


def _finger(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """A finger in front of the lens: an unsharp, reddish shape that enters from the border."""
    side, along, lean = int(rng.integers(4)), rng.uniform(0.2, 0.8), rng.uniform(-0.5, 0.5)
    height, width = image.shape[:2]
    half = _diagonal(image) / 2
    u, v = ((along, 0.0), (1.0, along), (along, 1.0), (0.0, along))[side]
    x, y = _plane(image)
    x, y = x - np.float32((u - 0.5) * width / half), y - np.float32((v - 0.5) * height / half)
    inward = (math.pi / 2, math.pi, -math.pi / 2, 0.0)[side] + lean
    cos, sin = np.float32(math.cos(inward)), np.float32(math.sin(inward))
    ahead, across = x * cos + y * sin, y * cos - x * sin
    reach = np.float32(-0.31 + 1.01 * strength)
    # Distance to a half-line that ends at ``reach``: a stroke with a round tip.
    distance = np.hypot(np.maximum(ahead - reach, 0.0), across)
    cover = 1 - _smoothstep(distance, 0.14, 0.3)
    skin = np.array([0.42, 0.16, 0.1], dtype=np.float32) * (1.15 - 0.9 * np.clip(distance, 0, 0.5))[..., None]
    linear = _linear(image)
    # It is lit by the scene's light, from behind: dim in a dim scene.
    skin = skin * np.float32(np.clip(2.4 * float(linear.mean()), 0.12, 1.0))
    return _bytes_from_linear(linear + (skin - linear) * cover[..., None])


# --- Neutral ------------------------------------------------------------------------------------------


def _mirror(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    return np.ascontiguousarray(image[:, ::-1])


def _tiny_crop(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """The frame moves by whole pixels, at most 1.5 % of a side: a crop that is enlarged again would be softer than what
    it is compared with. What comes in at the border mirrors what is beside it."""
    height, width = image.shape[:2]
    moves = [_sign(rng) * rng.uniform(0.4, 1.0) for _ in range(2)]
    right, down = (round(0.015 * strength * n * move) for n, move in zip((width, height), moves, strict=True))
    wide = cv2.copyMakeBorder(image, abs(down), abs(down), abs(right), abs(right), cv2.BORDER_REFLECT_101)
    top, left = abs(down) + down, abs(right) + right
    return np.ascontiguousarray(wide[top : top + height, left : left + width], dtype=np.uint8)


def _tiny_tone(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    stops = rng.uniform(-0.04, 0.04)
    return _bytes_from_linear(_linear(image) * np.float32(2.0 ** (stops * strength)))


def _reencode(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    quality = 97 - round((2 + rng.uniform(0, 2)) * strength)
    return _through_jpeg(image, quality, full_colour=True)


# --- The registry -------------------------------------------------------------------------------------

_ALL = (
    Operation(
        "exposure_down",
        "light",
        "degrade",
        "{amount} underexpose the picture so that it becomes too dark",
        _exposure_down,
    ),
    Operation(
        "exposure_up",
        "light",
        "degrade",
        "{amount} overexpose the picture so that the highlights burn out",
        _exposure_up,
    ),
    Operation(
        "contrast_down",
        "light",
        "degrade",
        "{amount} lower the contrast so that the picture looks flat",
        _contrast_down,
    ),
    Operation(
        "contrast_up",
        "light",
        "degrade",
        "{amount} raise the contrast so that the light becomes harsh",
        _contrast_up,
    ),
    Operation(
        "haze",
        "light",
        "degrade",
        "{amount} veil the scene in grey haze",
        _haze,
    ),
    Operation(
        "vignette",
        "light",
        "degrade",
        "{amount} darken the corners with a heavy vignette",
        _vignette,
    ),
    Operation(
        "uneven_light",
        "light",
        "degrade",
        "{amount} light the scene unevenly, one side too bright and the other too dark",
        _uneven_light,
    ),
    Operation(
        "backlight",
        "light",
        "degrade",
        "{amount} darken the subject in the middle against a glaring background",
        _backlight,
    ),
    Operation(
        "crushed_shadows",
        "light",
        "degrade",
        "{amount} crush the shadows to black",
        _crushed_shadows,
    ),
    Operation(
        "sunken_shadows",
        "light",
        "degrade",
        "{amount} darken the shadows and leave the lights as they are",
        _sunken_shadows,
    ),
    Operation(
        "dim_subject",
        "light",
        "degrade",
        "{amount} darken the subject and leave its surroundings as they are",
        _dim_subject,
    ),
    Operation(
        "glare",
        "light",
        "degrade",
        "{amount} wash out a part of the picture with glare",
        _glare,
    ),
    Operation(
        "cast_warm",
        "colour",
        "degrade",
        "{amount} shift the white balance towards orange",
        _cast_warm,
    ),
    Operation(
        "cast_cool",
        "colour",
        "degrade",
        "{amount} shift the white balance towards blue",
        _cast_cool,
    ),
    Operation(
        "cast_green",
        "colour",
        "degrade",
        "{amount} tint the picture green",
        _cast_green,
    ),
    Operation(
        "cast_magenta",
        "colour",
        "degrade",
        "{amount} tint the picture magenta",
        _cast_magenta,
    ),
    Operation(
        "saturation_down",
        "colour",
        "degrade",
        "{amount} drain the colours",
        _saturation_down,
    ),
    Operation(
        "saturation_up",
        "colour",
        "degrade",
        "{amount} oversaturate the colours",
        _saturation_up,
    ),
    Operation(
        "hue_shift",
        "colour",
        "degrade",
        "{amount} turn all hues away from their natural colours",
        _hue_shift,
    ),
    Operation(
        "ungraded",
        "colour",
        "degrade",
        "{amount} flatten colour and tones as in ungraded log footage",
        _ungraded,
    ),
    Operation(
        "posterize",
        "colour",
        "degrade",
        "{amount} reduce the number of tones so that gradients break into steps",
        _posterize,
    ),
    Operation(
        "defocus",
        "focus",
        "degrade",
        "{amount} blur the whole picture as if it were out of focus",
        _defocus,
    ),
    Operation(
        "motion_blur",
        "focus",
        "degrade",
        "{amount} smear the picture with camera shake in one direction",
        _motion_blur,
    ),
    Operation(
        "oversharpen",
        "focus",
        "degrade",
        "{amount} oversharpen the picture so that edges show halos",
        _oversharpen,
    ),
    Operation(
        "zoom_blur",
        "focus",
        "degrade",
        "{amount} blur the picture radially as if the lens had been zoomed during the exposure",
        _zoom_blur,
    ),
    Operation(
        "missed_focus",
        "focus",
        "degrade",
        "{amount} blur the subject in the middle and leave the surroundings sharp",
        _missed_focus,
    ),
    Operation(
        "soft_glow",
        "focus",
        "degrade",
        "{amount} soften the picture with a greasy glow",
        _soft_glow,
    ),
    Operation(
        "noise_luma",
        "noise",
        "degrade",
        "{amount} add coarse grain",
        _noise_luma,
    ),
    Operation(
        "noise_chroma",
        "noise",
        "degrade",
        "{amount} add colour noise as at a very high ISO setting",
        _noise_chroma,
    ),
    Operation(
        "jpeg_blocks",
        "noise",
        "degrade",
        "{amount} compress the picture so that blocks become visible",
        _jpeg_blocks,
    ),
    Operation(
        "banding",
        "noise",
        "degrade",
        "{amount} add horizontal banding noise",
        _banding,
    ),
    Operation(
        "impulse",
        "noise",
        "degrade",
        "{amount} sprinkle the picture with hot and dead pixels",
        _impulse,
    ),
    Operation(
        "pixelation",
        "noise",
        "degrade",
        "{amount} pixelate the picture",
        _pixelation,
    ),
    Operation(
        "tilt",
        "composition",
        "degrade",
        "{amount} tilt the camera so that the horizon is no longer level",
        _tilt,
        _tilt_shows,
    ),
    Operation(
        "crop_off",
        "composition",
        "degrade",
        "{amount} crop into a corner so that the subject is pushed to the edge",
        _crop_off,
        _crop_off_shows,
    ),
    Operation(
        "tight_crop",
        "composition",
        "degrade",
        "{amount} crop in too tightly around the middle",
        _tight_crop,
        _tight_crop_shows,
    ),
    Operation(
        "stretch",
        "composition",
        "degrade",
        "{amount} stretch the picture along one axis",
        _stretch,
        _stretch_shows,
    ),
    Operation(
        "keystone",
        "composition",
        "degrade",
        "{amount} distort the perspective so that upright lines converge",
        _keystone,
        _keystone_shows,
    ),
    Operation(
        "clutter",
        "content",
        "degrade",
        "{amount} clutter the borders with out-of-focus objects that stand in the way",
        _clutter,
    ),
    Operation(
        "date_stamp",
        "content",
        "degrade",
        "{amount} overlay a glowing date stamp",
        _date_stamp,
    ),
    Operation(
        "watermark",
        "content",
        "degrade",
        "{amount} overlay repeated watermark lettering",
        _watermark,
    ),
    Operation(
        "lens_dirt",
        "content",
        "degrade",
        "{amount} show dirt and drops on the lens",
        _lens_dirt,
    ),
    Operation(
        "lens_flare",
        "content",
        "degrade",
        "{amount} add glare and lens flare from a light outside the frame",
        _lens_flare,
    ),
    Operation(
        "power_lines",
        "content",
        "degrade",
        "{amount} run power lines across the picture",
        _power_lines,
    ),
    Operation(
        "finger",
        "content",
        "degrade",
        "{amount} let a finger in front of the lens reach into the picture",
        _finger,
    ),
    Operation(
        "mirror",
        "composition",
        "neutral",
        "Mirror the picture left to right",
        _mirror,
    ),
    Operation(
        "tiny_crop",
        "composition",
        "neutral",
        "Move the frame by a sliver",
        _tiny_crop,
    ),
    Operation(
        "tiny_tone",
        "light",
        "neutral",
        "Change the brightness by an amount that nobody can see",
        _tiny_tone,
    ),
    Operation(
        "reencode",
        "noise",
        "neutral",
        "Save the picture again at a high quality",
        _reencode,
    ),
)

OPERATIONS: dict[str, Operation] = {operation.name: operation for operation in _ALL}
"""The registry, by name."""


def _operation(name: str) -> Operation:
    if name not in OPERATIONS:
        raise InputError(f"unknown operation {name!r}; known: {', '.join(sorted(OPERATIONS))}")
    return OPERATIONS[name]


def _check_strength(strength: float) -> None:
    if not 0.0 <= strength <= 1.0:  # also refuses NaN, which compares as false
        raise InputError(f"strength must lie in [0, 1], got {strength!r}")


def apply_edit(image: ByteImage, operation: str, strength: float, seed: int) -> ByteImage:
    """Applies one edit.

    Args:
        image: (H, W, 3) sRGB bytes; left untouched.
        operation: a name in :data:`OPERATIONS`.
        strength: in [0, 1]; 0 is (almost) the input.
        seed: fixes the random part, which is the same at every strength.

    Returns:
        (H, W, 3) sRGB bytes.

    Raises:
        InputError: unknown operation, strength outside [0, 1], or not an RGB byte picture.
    """
    known = _operation(operation)
    _check_strength(strength)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise InputError(f"expected (H, W, 3) bytes, got {image.shape} of {image.dtype}")
    return known.apply(image, float(strength), np.random.default_rng(seed))


def make_edit(operation: str, strength: float, seed: int) -> Edit:
    """The record of an edit.

    >>> make_edit("exposure_down", 0.2, seed=1).instruction
    'Slightly underexpose the picture so that it becomes too dark.'
    """
    known = _operation(operation)
    _check_strength(strength)
    amount = "slightly" if strength < 1 / 3 else "noticeably" if strength < 2 / 3 else "strongly"
    sentence = known.instruction.format(amount=amount)
    return Edit(
        factor=known.factor,
        operation=known.name,
        direction=known.direction,
        strength=strength,
        instruction=sentence[0].upper() + sentence[1:] + ".",
        editor=EDITOR,
        seed=seed,
    )
