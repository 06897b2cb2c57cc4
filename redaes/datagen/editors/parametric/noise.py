"""Noise, and the effects of compression and of a coarse raster."""

from __future__ import annotations

import cv2
import numpy as np

from redaes.datagen.editors.parametric.operation import operation
from redaes.datagen.editors.parametric.pixels import blur, encoded_values, luma, to_bytes
from redaes.evidence.picture.planes import ByteImage, FloatArray

FULL_GRAIN = 512
"""Longest side, in pixels, up to which pixel-sized faults are one pixel large. In larger pictures they grow with the
picture, so that they look alike on any screen that shows all of it. KADID-10k's pictures have this longest side."""


def _grain_shape(image: ByteImage) -> tuple[int, int]:
    """Return the height and width at which pixel-sized faults are made: the picture's own, up to :data:`FULL_GRAIN`."""
    height, width = image.shape[:2]
    shrink = min(1.0, FULL_GRAIN / max(height, width))
    return max(2, round(height * shrink)), max(2, round(width * shrink))


def _normal_noise(image: ByteImage, rng: np.random.Generator, channels: int) -> FloatArray:
    """Return standard normal noise (H, W, channels)."""
    height, width = image.shape[:2]
    shape = _grain_shape(image)
    field = rng.standard_normal((*shape, channels), dtype=np.float32)
    if shape != (height, width):
        field = cv2.resize(field, (width, height), interpolation=cv2.INTER_CUBIC).reshape(height, width, channels)
        field /= field.std()
    return field


def _grain_deviation(strength: float) -> float:
    """Return the standard deviation of the grain at a luma of one half, where white is 1."""
    return 0.11 * strength**1.3


@operation("noise", "{amount} add coarse grain", dose=_grain_deviation)
def noise_luma(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """Add shot noise; in encoded values it is strongest in the shadows."""
    field = _normal_noise(image, rng, 1)
    encoded = encoded_values(image)
    return to_bytes(encoded + np.float32(_grain_deviation(strength)) * (1.35 - 0.7 * luma(encoded)) * field)


def _noise_deviation(strength: float) -> float:
    """Return the standard deviation of the noise in each of Y', Cb and Cr at a luma of one half, where white is 1."""
    return 0.06 * strength**1.2


@operation("noise", "{amount} add colour noise as at a very high ISO setting", dose=_noise_deviation)
def noise_chroma(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """Add the colour noise of a high-ISO file in Y', Cb and Cr (BT.601); in Cb and Cr its grain is two pixels wide."""
    field = _normal_noise(image, rng, 3)
    grain = max(1.0, max(image.shape[:2]) / FULL_GRAIN)
    colour = blur(np.ascontiguousarray(field[..., 1:]), 0.6 * grain)
    blue, red = (colour[..., i] / colour[..., i].std() for i in (0, 1))
    light = field[..., 0]
    noise = np.stack([light + 1.402 * red, light - 0.344 * blue - 0.714 * red, light + 1.772 * blue], axis=2)
    encoded = encoded_values(image)
    return to_bytes(encoded + np.float32(_noise_deviation(strength)) * (1.35 - 0.7 * luma(encoded)) * noise)


def through_jpeg(image: ByteImage, quality: int, full_colour: bool = False) -> ByteImage:
    """Write and read a JPEG; ``full_colour`` keeps the colour differences at full resolution (4:4:4)."""
    sampling = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444] if full_colour else []
    done, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality, *sampling])
    if not done:
        raise RuntimeError("OpenCV could not encode a JPEG")
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if decoded is None:
        raise RuntimeError("OpenCV could not decode its own JPEG")
    rgb: ByteImage = decoded[..., ::-1].astype(np.uint8)
    return rgb


def _jpeg_quality(strength: float) -> float:
    """Return the quality of the JPEG, from 50 down to 6; it is rounded where it is used."""
    return 6 + 44 * (1 - strength) ** 2


@operation("noise", "{amount} compress the picture so that blocks become visible", dose=_jpeg_quality)
def jpeg_blocks(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """Compress strongly as JPEG. Above FULL_GRAIN a reduced copy's error is enlarged, so that blocks stay visible."""
    height, width = image.shape[:2]
    shape = _grain_shape(image)
    small = image
    if shape != (height, width):
        small = cv2.resize(image, shape[::-1], interpolation=cv2.INTER_AREA).astype(np.uint8)
    quality = round(_jpeg_quality(strength))
    # The error is faded in so that strength 0 gives the input; lower quality alone would begin with a jump.
    error = np.float32(min(1.0, 3 * strength)) * (encoded_values(through_jpeg(small, quality)) - encoded_values(small))
    if shape != (height, width):
        error = cv2.resize(error, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.float32)
    return to_bytes(encoded_values(image) + error)


@operation("noise", "{amount} add horizontal banding noise")
def banding(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """Add read-out noise of a sensor: whole rows are too bright or too dark, mainly in the shadows."""
    height = image.shape[0]
    n_rows = min(height, 384)
    rows = rng.standard_normal((n_rows, 1), dtype=np.float32) + blur(
        2.5 * rng.standard_normal((n_rows, 1), dtype=np.float32), 3.0
    )
    rows = cv2.resize(rows, (1, height), interpolation=cv2.INTER_LINEAR).reshape(height, 1, 1).astype(np.float32)
    rows /= rows.std()
    encoded = encoded_values(image)
    return to_bytes(encoded + np.float32(0.08 * strength**1.2) * (1.25 - luma(encoded)) * rows)


def _share_hit(strength: float) -> float:
    """Return the share of the values, in each channel, that are dead or hot."""
    return 0.03 * strength**2


@operation("noise", "{amount} sprinkle the picture with hot and dead pixels", dose=_share_hit)
def impulse(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    """Add hot and dead pixels, each in one colour of the sensor's mosaic; a pixel that is affected at a low strength is
    affected at every higher one."""
    height, width = image.shape[:2]
    shape = _grain_shape(image)
    order = rng.random((*shape, 3), dtype=np.float32)
    value = rng.integers(0, 2, size=(*shape, 3)).astype(np.float32)
    hit = (order < _share_hit(strength)).astype(np.float32)
    if shape != (height, width):
        hit = cv2.resize(hit, (width, height), interpolation=cv2.INTER_NEAREST).astype(np.float32)
        value = cv2.resize(value, (width, height), interpolation=cv2.INTER_NEAREST).astype(np.float32)
    encoded = encoded_values(image)
    return to_bytes(encoded + (value - encoded) * hit)


def _block_side(strength: float) -> float:
    """Return the side of a block, in pixels of a picture whose longest side is :data:`FULL_GRAIN`."""
    return 1 + 4 * strength**1.5


@operation("noise", "{amount} pixelate the picture", dose=_block_side)
def pixelation(image: ByteImage, strength: float, rng: np.random.Generator) -> ByteImage:
    height, width = image.shape[:2]
    block = _block_side(strength) * max(1.0, max(height, width) / FULL_GRAIN)
    if strength == 0:
        return image.copy()
    size = (max(1, round(width / block)), max(1, round(height / block)))
    # Nearest neighbour in both directions, as in KADID-10k: edges become stairs, which averaging would soften.
    small = cv2.resize(image, size, interpolation=cv2.INTER_NEAREST)
    large: ByteImage = cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST).astype(np.uint8)
    return large
