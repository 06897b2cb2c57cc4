"""How often `redaes rank` takes different photographs for one series, and how often it finds the shots of one.

    python benchmarks/grouping.py PHOTOS [--layouts 24] [--bursts 200] [--list]

Three parts. Different photographs: all pairs of those in the folder, those within one of its folders apart. One layout:
made-up pictures of different things, all pairs of each kind. Bursts: of each photograph a second shot is made, moved,
turned, zoomed, with other light, out of focus, noisy, or with a part of it that moved by itself. Each pair is held
against three limits: without a time, within the gap, and within two seconds; the sieve by layout is counted in for
bursts, and left out for what must not join. Intervals are Wilson's, 95 %. A folder may hold photographs of one scene:
with --list, the pairs that join are named, to be looked at.
"""

from __future__ import annotations

import argparse
import itertools
import math
import random
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from redaes.culling.detail import detail_of, shared_detail
from redaes.culling.grouping import CLOSE_LAXER, MIN_LIKENESS, UNDATED_STRICTER
from redaes.culling.layout import MIN_LAYOUT_LIKENESS, SIDE, layout_likeness
from redaes.images import list_images, load_image

LIMITS = (MIN_LIKENESS + UNDATED_STRICTER, MIN_LIKENESS, MIN_LIKENESS - CLOSE_LAXER)
WORDS = re.findall(
    r"\w+",
    """
the of and to in is that for it as was with be by on not he his but at are this have from or had an they which
one you were all her she there would their we him been has when who will more no if out so said what up its
about into than them can only other new some could time these two may then do first any my now such like our
over man me even
""",
)
Pixels = NDArray[np.float32]


# --- Different things in one layout -----------------------------------------------------------------------------------


def waves(rng: np.random.Generator, height: int, width: int, cell: int, strength: float) -> Pixels:
    """Smooth noise with features of so many pixels."""
    small = rng.normal(0, strength, (height // cell + 2, width // cell + 2)).astype(np.float32)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.float32)


def shown(pixels: NDArray[np.floating]) -> Image.Image:
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def colour(rng: np.random.Generator, least: int, most: int) -> tuple[int, ...]:
    return tuple(int(value) for value in rng.integers(least, most, 3))


def horizon(rng: np.random.Generator) -> Image.Image:
    line = int(512 * rng.uniform(0.46, 0.54))
    pixels = np.empty((512, 768, 3), np.float32)
    down = np.linspace(0, 1, line)[:, None, None]
    high, low = np.array([110, 160, 225]) + rng.normal(0, 12, 3), np.array([200, 215, 235]) + rng.normal(0, 8, 3)
    clouds = np.maximum(waves(rng, line, 768, 90, 18) + waves(rng, line, 768, 30, 8), 0)
    pixels[:line] = high * (1 - down) + low * down + clouds[..., None]
    depth = 512 - line
    swell = cv2.resize(
        rng.normal(0, 1, (depth // 2, 55)).astype(np.float32), (768, depth), interpolation=cv2.INTER_CUBIC
    )
    pixels[line:] = np.array([60, 95, 125]) + rng.normal(0, 10, 3)
    pixels[line:] += (swell * np.linspace(4, 20, depth)[:, None])[..., None]
    picture = shown(pixels + rng.normal(0, 3, pixels.shape))
    draw = ImageDraw.Draw(picture)
    for _ in range(rng.integers(0, 3)):
        x, size = int(rng.integers(40, 688)), int(rng.integers(15, 60))
        draw.polygon([(x, line), (x + size // 2, line - 2 * size), (x + size, line)], fill=colour(rng, 180, 255))
        draw.rectangle((x - size // 4, line, x + size + size // 4, line + size // 5), fill=(60, 40, 30))
    return picture


def portrait(rng: np.random.Generator, backdrop: Pixels) -> Image.Image:
    picture = shown(backdrop)
    draw = ImageDraw.Draw(picture)
    x, y = 256 + int(rng.normal(0, 6)), 290 + int(rng.normal(0, 10))
    wide, high = int(85 + rng.normal(0, 7)), int(115 + rng.normal(0, 9))
    skin = tuple(int(value) for value in rng.integers(120, 235) * np.array([1, 0.82, 0.7]))
    hair = colour(rng, 10, 130)
    draw.ellipse((x - wide - 15, y - high - 25, x + wide + 15, y + (high if rng.random() < 0.5 else 20)), fill=hair)
    draw.rounded_rectangle((x - 190, y + high + 25, x + 190, 830), 70, fill=colour(rng, 20, 220))
    if rng.random() < 0.6:
        for stripe in range(y + high + 40, 768, int(rng.integers(18, 50))):
            draw.line((x - 180, stripe, x + 180, stripe), fill=colour(rng, 0, 255), width=int(rng.integers(3, 10)))
    draw.rectangle((x - 35, y + high - 20, x + 35, y + high + 40), fill=skin)
    draw.ellipse((x - wide, y - high, x + wide, y + high), fill=skin)
    apart, eye, mouth = int(rng.integers(28, 42)), y - int(rng.integers(5, 30)), int(rng.integers(18, 42))
    glasses = rng.random() < 0.3
    for side in (x - apart, x + apart):
        draw.ellipse((side - 13, eye - 7, side + 13, eye + 7), fill="white")
        draw.ellipse((side - 6, eye - 6, side + 6, eye + 6), fill=colour(rng, 0, 130))
        draw.line((side - 18, eye - 20, side + 18, eye - 20), fill=hair, width=5)
        if glasses:
            draw.ellipse((side - 24, eye - 20, side + 24, eye + 22), outline=(20, 20, 20), width=4)
    draw.line((x, eye + 10, x - 8, eye + 50, x + 6, eye + 52), fill=(110, 70, 60), width=3)
    draw.arc((x - mouth, y + 40, x + mouth, y + 75), 10, 170, fill=(150, 40, 50), width=6)
    blurred = np.asarray(picture.filter(ImageFilter.GaussianBlur(1.2)), dtype=np.float32)
    return shown(blurred + rng.normal(0, 3, blurred.shape))


def portrait_plain(rng: np.random.Generator) -> Image.Image:
    return portrait(rng, np.full((768, 512, 3), 207, np.float32))


def portrait_backdrop(rng: np.random.Generator) -> Image.Image:
    """A mottled backdrop, the same one to the pixel."""
    same = np.random.default_rng(3)
    folds = sum(waves(same, 768, 512, cell, strength) for cell, strength in ((60, 14), (20, 6), (7, 3)))
    return portrait(rng, np.array([120, 125, 140], np.float32) + np.asarray(folds)[..., None])


def lines_of_text(rng: np.random.Generator, draw: ImageDraw.ImageDraw, left: int, top: int, width: int) -> None:
    font = ImageFont.load_default(13)
    for y in range(top, 680, 18):
        line = ""
        while draw.textlength(line, font=font) < width:
            line += f"{rng.choice(WORDS)} "
        draw.text((left, y), line, fill=(30, 30, 30), font=font)


def text_page(rng: np.random.Generator) -> Image.Image:
    picture = Image.new("RGB", (512, 724), (248, 247, 242))
    draw = ImageDraw.Draw(picture)
    draw.text((60, 40), " ".join(rng.choice(WORDS, 3)).title(), fill=(20, 20, 20), font=ImageFont.load_default(20))
    lines_of_text(rng, draw, 60, 90, 370)
    return picture


def form(rng: np.random.Generator) -> Image.Image:
    picture = Image.new("RGB", (512, 724), (250, 250, 250))
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(14)
    draw.text((50, 40), "INVOICE", fill=(20, 20, 90), font=ImageFont.load_default(22))
    draw.line((50, 75, 462, 75), fill=(20, 20, 90), width=3)
    for y in range(110, 640, 38):
        draw.rectangle((50, y, 462, y + 30), outline=(120, 120, 120))
        draw.text((58, y + 7), " ".join(rng.choice(WORDS, 2)), fill=(20, 20, 20), font=font)
        draw.text((380, y + 7), f"{rng.uniform(1, 900):.2f}", fill=(20, 20, 20), font=font)
    return picture


def receipt(rng: np.random.Generator) -> Image.Image:
    picture = Image.new("RGB", (420, 800), (60, 50, 45))
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(14)
    draw.rectangle((80, 30, 340, 770), fill=(236, 235, 230))
    draw.text((140, 45), "SUPERMARKET", fill=(40, 40, 40), font=font)
    y = 90
    while y < 730:
        draw.text((95, y), " ".join(rng.choice(WORDS, 2)), fill=(45, 45, 45), font=font)
        draw.text((280, y), f"{rng.uniform(0.2, 80):.2f}", fill=(45, 45, 45), font=font)
        y += int(rng.integers(18, 26))
    return picture


def night_sky(rng: np.random.Generator) -> Image.Image:
    pixels = np.zeros((512, 768, 3), np.float32) + np.array([8, 10, 20], np.float32)
    pixels += np.linspace(0, 14, 512, dtype=np.float32)[:, None, None]
    n_stars = rng.integers(150, 500)
    places = zip(rng.uniform(0, 768, n_stars), rng.uniform(0, 435, n_stars), rng.pareto(1.5, n_stars), strict=True)
    for x, y, light in places:
        cv2.circle(pixels, (int(x), int(y)), 1 if light < 3 else 2, [float(min(255, 60 + 60 * light))] * 3, -1)
    hills = 450 + waves(rng, 2, 768, 60, 12)[0]
    for x in range(768):
        pixels[int(hills[x]) :, x] = 3
    return shown(cv2.GaussianBlur(pixels, (0, 0), 0.7) + rng.normal(0, 4, pixels.shape))


def plate(rng: np.random.Generator) -> Image.Image:
    """A dish on a wooden table, the same one to the pixel."""
    same = np.random.default_rng(1)
    grain = 14 * cv2.resize(same.normal(0, 1, (170, 8)).astype(np.float32), (768, 512), interpolation=cv2.INTER_CUBIC)
    grain = grain + waves(same, 512, 768, 40, 8) + same.normal(0, 3, (512, 768))
    for y in range(0, 512, 128):
        grain[y : y + 3] -= 50
    picture = shown(np.array([150, 105, 70]) + grain[..., None])
    draw = ImageDraw.Draw(picture)
    x, y = 384 + int(rng.normal(0, 5)), 256 + int(rng.normal(0, 5))
    draw.ellipse((x - 215, y - 205, x + 215, y + 205), fill=(120, 85, 55))
    draw.ellipse((x - 210, y - 210, x + 210, y + 200), fill=(240, 240, 238))
    draw.ellipse((x - 150, y - 150, x + 150, y + 140), outline=(205, 205, 205), width=4)
    for _ in range(rng.integers(6, 26)):
        left, top, size = x + rng.normal(0, 60), y + rng.normal(0, 60), rng.uniform(12, 60)
        turns = np.sort(rng.uniform(0, 6.28, int(rng.integers(3, 12))))
        draw.polygon([(left + size * np.cos(t), top + size * np.sin(t)) for t in turns], fill=colour(rng, 20, 240))
    blurred = np.asarray(picture.filter(ImageFilter.GaussianBlur(1)), dtype=np.float32)
    return shown(blurred + rng.normal(0, 3, blurred.shape))


def product(rng: np.random.Generator) -> Image.Image:
    picture = Image.new("RGB", (600, 600), (250, 250, 250))
    draw = ImageDraw.Draw(picture)
    wide, high, paint = int(rng.integers(70, 110)), int(rng.integers(150, 210)), colour(rng, 10, 230)
    draw.ellipse((300 - wide, 280 + high, 300 + wide, 325 + high), fill=(215, 215, 215))
    draw.rounded_rectangle((300 - wide, 300 - high, 300 + wide, 300 + high), 30, fill=paint)
    draw.rectangle((300 - wide, 260, 300 + wide, 370), fill=(240, 240, 240))
    draw.text((310 - wide, 290), " ".join(rng.choice(WORDS, 2)), fill=paint, font=ImageFont.load_default(26))
    draw.rectangle((275, 255 - high, 325, 300 - high), fill=colour(rng, 10, 230))
    return picture.filter(ImageFilter.GaussianBlur(1))


LAYOUTS: tuple[Callable[[np.random.Generator], Image.Image], ...] = (
    horizon, portrait_plain, portrait_backdrop, text_page, form, receipt, night_sky, plate, product,
)  # fmt: skip


# --- Another shot of one thing ----------------------------------------------------------------------------------------

SHOTS = ("shift", "turn", "zoom", "light", "focus", "noise", "subject", "several")


def subject_moved(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """A part in the middle goes 5 to 15 % of the width aside and turns a little; behind it is what lies beside it."""
    height, width = pixels.shape[:2]
    x, y = rng.uniform(0.35, 0.65) * width, rng.uniform(0.4, 0.6) * height
    across, down = rng.uniform(0.13, 0.2) * width, rng.uniform(0.18, 0.28) * height
    rows, columns = np.mgrid[:height, :width]
    edge = np.sqrt(((columns - x) / across) ** 2 + ((rows - y) / down) ** 2)
    part = np.clip(5 - 4 * edge, 0, 1).astype(np.float32)
    behind = np.roll(pixels, int((1 if x < width / 2 else -1) * 2.2 * across), 1)
    behind = pixels * (1 - part[..., None]) + behind * part[..., None]
    way, far = rng.uniform(0, 6.28), rng.uniform(0.05, 0.15)
    motion = cv2.getRotationMatrix2D((x, y), rng.uniform(-12, 12), rng.uniform(0.93, 1.08))
    motion[:, 2] += (far * np.cos(way) * width, far * np.sin(way) * height)
    moved = cv2.warpAffine(pixels, motion, (width, height), borderMode=cv2.BORDER_REFLECT)
    where = cv2.warpAffine(part, motion, (width, height))[..., None]
    return np.asarray(behind * (1 - where) + moved * where, dtype=np.float32)


def another_shot(photograph: Image.Image, kind: str, rng: np.random.Generator) -> Image.Image:
    """A shot of the inner four fifths; ``several`` does all of it at once, some of it by chance."""
    pixels = np.asarray(photograph, dtype=np.float32)
    height, width = pixels.shape[:2]

    def does(what: str, chance: float = 1.0) -> bool:
        return kind == what or (kind == "several" and rng.random() < chance)

    if does("subject", 0.4):
        pixels = subject_moved(pixels, rng)
    turn = rng.uniform(-4, 4) if does("turn") else 0.0
    zoom = rng.uniform(1.0, 1.15) if does("zoom") else 1.0
    motion = cv2.getRotationMatrix2D((width / 2, height / 2), turn, zoom)
    if does("shift"):
        motion[:, 2] += rng.uniform(-0.08, 0.08, 2) * (width, height)
    pixels = cv2.warpAffine(pixels, motion, (width, height), borderMode=cv2.BORDER_REFLECT)
    x, y = width // 10, height // 10
    pixels = pixels[y : height - y, x : width - x]
    if does("light"):
        pixels = 255 * np.clip(pixels / 255 * 2 ** rng.uniform(-1, 0.8), 0, 1) ** rng.uniform(0.8, 1.25)
    if does("focus", 0.4):
        pixels = cv2.GaussianBlur(pixels, (0, 0), rng.uniform(1, 4.5) * max(pixels.shape) / 768)
    if does("noise", 0.4):
        pixels = pixels + rng.normal(0, rng.uniform(5, 25), pixels.shape)
    return shown(pixels)


# --- Measuring --------------------------------------------------------------------------------------------------------


def wilson(n: int, of: int) -> str:
    """A share with its interval of 95 %, in per cent."""
    z, share = 1.96, n / of
    middle, spread = share + z * z / (2 * of), z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    low, high = ((middle + sign * spread) / (1 + z * z / of) for sign in (-1, 1))
    return f"{100 * share:.2f} % [{100 * max(0.0, low):.2f}, {100 * high:.2f}]"


def report(what: str, likenesses: list[float]) -> None:
    shares = (wilson(sum(one >= limit for one in likenesses), len(likenesses)) for limit in LIMITS)
    print(f"{what:34} {len(likenesses):7} pairs  " + "  ".join(f"{share:28}" for share in shares), flush=True)


def grey(picture: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(picture.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX))


def of_one_folder(paths: list[Path]) -> Iterator[tuple[int, int]]:
    yield from ((i, j) for i, j in itertools.combinations(range(len(paths)), 2) if paths[i].parent == paths[j].parent)


def main(args: argparse.Namespace) -> int:
    cv2.setNumThreads(1)
    paths = list_images(args.photos, recursive=True)
    print(f"joined at {LIMITS[0]:.2f} (no time), {LIMITS[1]:.2f} (within the gap), {LIMITS[2]:.2f} (within 2 s)")
    start = time.process_time()
    details = [detail_of(load_image(path, max_pixels=110_000).image) for path in paths]
    read = time.process_time()
    within = set(of_one_folder(paths))
    found = {pair: shared_detail(details[pair[0]], details[pair[1]]).likeness
             for pair in itertools.combinations(range(len(paths)), 2)}  # fmt: skip
    each = (time.process_time() - read) / max(1, len(found))
    report("different, of different folders", [one for pair, one in found.items() if pair not in within])
    report("different, of one folder", [one for pair, one in found.items() if pair in within])
    if args.list:
        for (i, j), likeness in found.items():
            if likeness >= LIMITS[2]:
                print(f"    {likeness:.2f} {paths[i]} {paths[j]}")
    print(f"CPU: {1e3 * (read - start) / len(paths):.0f} ms a picture, {1e3 * each:.1f} ms a pair of different ones")
    everything: list[float] = []
    for number, layout in enumerate(LAYOUTS):
        made = [detail_of(layout(np.random.default_rng([number, i]))) for i in range(args.layouts)]
        alike = [shared_detail(first, second).likeness for first, second in itertools.combinations(made, 2)]
        report(f"one layout: {layout.__name__}", alike)
        everything += alike
    report("one layout, all", everything)
    random.Random(0).shuffle(paths)
    everything = []
    for number, kind in enumerate(SHOTS):
        alike = []
        for place, path in enumerate(paths[: args.bursts]):
            photograph = load_image(path).image
            shots = [another_shot(photograph, name, np.random.default_rng([number, place])) for name in ("", kind)]
            sieved = float(layout_likeness(grey(shots[0]), grey(shots[1])[None])[0]) < MIN_LAYOUT_LIKENESS
            alike.append(0.0 if sieved else shared_detail(*map(detail_of, shots)).likeness)
        report(f"burst: {kind}", alike)
        everything += alike
    report("bursts, all", everything)
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="a folder of different photographs; its folders are searched")
    parser.add_argument("--layouts", type=int, default=24, help="made-up pictures of each layout")
    parser.add_argument("--bursts", type=int, default=200, help="photographs of which other shots are made")
    parser.add_argument("--list", action="store_true", help="name the pairs of different photographs that join")
    sys.exit(main(parser.parse_args()))
