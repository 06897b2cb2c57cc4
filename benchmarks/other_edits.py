"""Decided pairs made by another implementation of edits than the one that models here are trained on.

    python benchmarks/other_edits.py PHOTOGRAPHS... --out other_edits [--pairs 12] [--all]

Nothing of redaes' own editor is used: Pillow's ImageEnhance, ImageFilter and ImageDraw, torchvision's transforms, and a
few lines of numpy. Photographs are those that a build of the same folder with ``--test-fraction 0.15`` holds out
(``--all``: every one of them). The result is read by ``redaes eval calibrate`` and, as a benchmark of one's own pairs,
by ``redaes eval pairs``: pairs.csv with the columns first, second, p, group (the photograph), factor, kind and decided
(how the label is known), and the pictures as PNG.

A pair is decided by what was done to it, in one of three ways: the photograph as it is against an edit of it at 0.5,
0.75 or full strength (``clean``); an edit at 0.3 against the same at full strength (``strength``); an edit at 0.2,
barely visible, against another one at full strength (``across``).
"""

from __future__ import annotations

import argparse
import csv
import io
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

from redaes.datagen.sources import curate
from redaes.images import content_id, load_image

# isort: split
from torchvision.transforms.v2 import functional as tv

MAX_PIXELS = 768 * 768
Picture = Image.Image


@dataclass(frozen=True)
class Kind:
    """One edit: what it makes worse, and how, from a picture, a strength in (0, 1] and a source of chance."""

    factor: str
    make: Callable[[Picture, float, random.Random], Picture]


def _array(image: Picture) -> NDArray[np.float64]:
    return np.asarray(image, dtype=np.float64)


def _picture(array: NDArray[np.float64]) -> Picture:
    return Image.fromarray(np.clip(np.rint(array), 0, 255).astype(np.uint8))


def _size(image: Picture) -> float:
    return float(np.hypot(*image.size))


def _noise(image: Picture, chance: random.Random, *, grey: bool) -> NDArray[np.float64]:
    draw = np.random.default_rng(chance.randrange(2**32))
    shape = (image.height, image.width, 1 if grey else 3)
    return np.broadcast_to(draw.normal(size=shape), (image.height, image.width, 3))


def _cast(image: Picture, strength: float, chance: random.Random) -> Picture:
    gains = chance.choice([(1.3, 1.0, 0.6), (0.65, 1.0, 1.3), (0.8, 1.25, 0.8), (1.2, 0.75, 1.2)])
    return _picture(_array(image) * (1 + strength * (np.array(gains) - 1)))


def _motion(image: Picture, strength: float, chance: random.Random) -> Picture:
    array, steps = _array(image), max(2, round(strength * _size(image) / 28))
    dx, dy = chance.choice([(1, 0), (0, 1), (1, 1), (1, -1)])
    edge = np.pad(array, ((steps, steps), (steps, steps), (0, 0)), mode="edge")
    height, width = array.shape[:2]
    shifted = [edge[steps + k * dy :, steps + k * dx :][:height, :width] for k in range(-(steps // 2), steps // 2 + 1)]
    return _picture(np.mean(shifted, axis=0))


def _salt(image: Picture, strength: float, chance: random.Random) -> Picture:
    draw = np.random.default_rng(chance.randrange(2**32))
    array, hit = _array(image), draw.random((image.height, image.width))
    array[hit < 0.03 * strength] = 255
    array[hit > 1 - 0.03 * strength] = 0
    return _picture(array)


def _jpeg(image: Picture, strength: float, _: random.Random) -> Picture:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=max(2, round(45 * (1 - strength) + 3)))
    return Image.open(buffer).convert("RGB")


def _coarse(image: Picture, strength: float, _: random.Random) -> Picture:
    factor = 1 + 7 * strength
    small = image.resize(
        (max(8, round(image.width / factor)), max(8, round(image.height / factor))), Image.Resampling.BOX
    )
    return small.resize(image.size, Image.Resampling.NEAREST)


def _tilted(image: Picture, strength: float, chance: random.Random) -> Picture:
    angle = chance.choice([-1, 1]) * (2 + 12 * strength)
    turned = tv.rotate(image, angle, interpolation=tv.InterpolationMode.BICUBIC)
    # The largest upright frame of the same shape without corners; both pictures keep about the same sharpness.
    width, height = image.size
    sine, cosine = abs(np.sin(np.radians(angle))), abs(np.cos(np.radians(angle)))
    share = min(width / (width * cosine + height * sine), height / (width * sine + height * cosine))
    return tv.center_crop(turned, [int(height * share), int(width * share)])


def _stretched(image: Picture, strength: float, chance: random.Random) -> Picture:
    factor = 1 + 0.7 * strength
    width, height = image.size
    size = (round(width * factor), height) if chance.random() < 0.5 else (width, round(height * factor))
    return image.resize(size, Image.Resampling.BICUBIC)


def _lettered(image: Picture, strength: float, chance: random.Random) -> Picture:
    canvas = image.convert("RGBA")
    layer = Image.new("RGBA", canvas.size, (0, 0, 0, 0))
    font = ImageFont.load_default(size=max(12, round(_size(image) * (0.03 + 0.08 * strength))))
    words = chance.choice(["SAMPLE", "PREVIEW", "do not copy", "COPYRIGHT", "stock photo"])
    alpha = round(255 * (0.25 + 0.6 * strength))
    ink = chance.choice([(255, 255, 255, alpha), (20, 20, 20, alpha), (220, 30, 30, alpha)])
    x, y = image.width * chance.uniform(0.3, 0.7), image.height * chance.uniform(0.3, 0.7)
    ImageDraw.Draw(layer).text((x, y), words, font=font, fill=ink, anchor="mm")
    return Image.alpha_composite(canvas, layer).convert("RGB")


def _covered(image: Picture, strength: float, chance: random.Random) -> Picture:
    """An out-of-focus finger before a corner of the lens."""
    layer = Image.new("L", image.size, 0)
    radius = _size(image) * (0.08 + 0.22 * strength)
    x, y = chance.choice([0, image.width]), chance.choice([0, image.height])
    ImageDraw.Draw(layer).ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    soft = layer.filter(ImageFilter.GaussianBlur(radius / 8))
    skin = chance.choice([(190, 130, 105), (120, 80, 60), (30, 28, 28)])
    return Image.composite(Image.new("RGB", image.size, skin), image, soft)


def _vignette(image: Picture, strength: float, _: random.Random) -> Picture:
    y, x = np.mgrid[-1 : 1 : image.height * 1j, -1 : 1 : image.width * 1j]
    return _picture(_array(image) * (1 - 0.85 * strength * np.clip((x**2 + y**2) / 2, 0, 1) ** 1.2)[..., None])


def _hazy(image: Picture, strength: float, _: random.Random) -> Picture:
    return Image.blend(image, Image.new("RGB", image.size, (205, 208, 212)), 0.75 * strength)


KINDS: dict[str, Kind] = {
    "dark": Kind("light", lambda p, s, _: ImageEnhance.Brightness(p).enhance(1 - 0.75 * s)),
    "overexposed": Kind("light", lambda p, s, _: ImageEnhance.Brightness(p).enhance(1 + 1.6 * s)),
    "flat": Kind("light", lambda p, s, _: ImageEnhance.Contrast(p).enhance(1 - 0.8 * s)),
    "harsh": Kind("light", lambda p, s, _: ImageEnhance.Contrast(p).enhance(1 + 2.5 * s)),
    "murky": Kind("light", lambda p, s, _: tv.adjust_gamma(p, 1 + 2.2 * s)),
    "vignette": Kind("light", _vignette),
    "haze": Kind("light", _hazy),
    "drained": Kind("colour", lambda p, s, _: ImageEnhance.Color(p).enhance(1 - 0.95 * s)),
    "garish": Kind("colour", lambda p, s, _: ImageEnhance.Color(p).enhance(1 + 3.5 * s)),
    "hue": Kind("colour", lambda p, s, c: tv.adjust_hue(p, c.choice([-1, 1]) * 0.35 * s)),
    "cast": Kind("colour", _cast),
    "gaussian_blur": Kind("focus", lambda p, s, _: p.filter(ImageFilter.GaussianBlur(s * _size(p) / 130))),
    "box_blur": Kind("focus", lambda p, s, _: p.filter(ImageFilter.BoxBlur(s * _size(p) / 110))),
    "motion_blur": Kind("focus", _motion),
    "oversharpened": Kind("focus", lambda p, s, _: p.filter(ImageFilter.UnsharpMask(3, round(700 * s), 0))),
    "grain": Kind("noise", lambda p, s, c: _picture(_array(p) + 42 * s * _noise(p, c, grey=True))),
    "colour_noise": Kind("noise", lambda p, s, c: _picture(_array(p) + 42 * s * _noise(p, c, grey=False))),
    "salt_and_pepper": Kind("noise", _salt),
    "jpeg": Kind("noise", _jpeg),
    "coarse_pixels": Kind("noise", _coarse),
    "posterized": Kind("noise", lambda p, s, _: ImageOps.posterize(p, max(1, round(5 - 4 * s)))),
    "tilted": Kind("composition", _tilted),
    "stretched": Kind("composition", _stretched),
    "lettering": Kind("content", _lettered),
    "finger": Kind("content", _covered),
}


def pairs_of(photograph: Picture, n: int, chance: random.Random) -> list[tuple[Picture, Picture, str, str]]:
    """Pairs of one photograph: the better picture, the worse one, the kind of edit of the worse, how it is decided."""
    found = []
    names = chance.sample(sorted(KINDS), k=min(n, len(KINDS)))
    for number, name in enumerate(names):
        way = ("clean", "clean", "strength", "across")[number % 4]
        if way == "clean":
            better, strength = photograph, chance.choice([0.5, 0.75, 1.0])
        elif way == "strength":
            better, strength = KINDS[name].make(photograph, 0.3, random.Random(number)), 1.0
        else:
            factor = KINDS[name].factor
            other = chance.choice([one for one in sorted(KINDS) if KINDS[one].factor != factor])
            better, strength = KINDS[other].make(photograph, 0.2, chance), 1.0
        seed = number if way == "strength" else chance.randrange(2**32)  # the same direction, twice
        found.append((better, KINDS[name].make(photograph, strength, random.Random(seed)), name, way))
    return found


def main(args: argparse.Namespace) -> None:
    """Draw, edit, write."""
    curation = curate(args.photographs, test_fraction=args.test_fraction, seed=args.seed)
    sources = [one for one in curation.sources if args.all or one.split == "test"]
    args.out.mkdir(parents=True)
    rows = []
    for number, source in enumerate(sources):
        photograph = load_image(source.path, max_pixels=MAX_PIXELS).image
        chance = random.Random(f"{args.seed} {source.id}")
        for place, (better, worse, kind, way) in enumerate(pairs_of(photograph, args.pairs, chance)):
            files = []
            for image in (better, worse):
                buffer = io.BytesIO()
                image.save(buffer, "PNG", compress_level=1)
                files.append(f"{content_id(buffer.getvalue())[:20]}.png")
                (args.out / files[-1]).write_bytes(buffer.getvalue())
            first = (number + place) % 2  # either place holds the better one equally often
            rows.append(
                (*(files if first == 0 else files[::-1]), 1 - first, source.id[:16], KINDS[kind].factor, kind, way)
            )
        print(f"\r{number + 1}/{len(sources)} photographs", end="", file=sys.stderr)
    with (args.out / "pairs.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("first", "second", "p", "group", "factor", "kind", "decided"))
        writer.writerows(rows)
    print(f"\n{len(rows)} pairs of {len(sources)} photographs ({len(curation.sources)} in all) in {args.out}")


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("photographs", type=Path, nargs="+", help="folders of photographs")
    parser.add_argument("--out", type=Path, required=True, help="a folder that does not exist yet")
    parser.add_argument("--pairs", type=int, default=12, help="of each photograph; default: %(default)s")
    parser.add_argument("--test-fraction", type=float, default=0.15, help="share held out; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the draw; default: %(default)s")
    parser.add_argument("--all", action="store_true", help="use all photographs, not only those held out")
    return parser.parse_args()


if __name__ == "__main__":
    main(parse_args())
