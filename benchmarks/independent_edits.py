"""What the embedded model is to reach, on pairs made by edits that share no code with those of redaes.

    python benchmarks/independent_edits.py PHOTOGRAPHS... --model runs/new/final --against redaes/nano --out runs/goals

Prints one table: each goal, the model's figure with its interval, met or missed, and the figure of the model beside it.
``--data red`` adds the same figures on the held-out pairs of a RED dataset. What was measured of a model is kept in
``--out`` by its revision and the settings, and is not measured again.

Pictures are made with numpy, scipy and Pillow. Photographs are those that a build of the same folders with
``--test-fraction 0.15`` holds out, reduced to ``--side`` pixels. Each gives two pairs of every factor: the photograph
against an edit of one of three strengths, or a slight edit against a strong one of the same kind. Both views of a
turned or cut picture come from one sampler with the same blur for each pixel of the result, in frames of one size, so
that neither softness nor size tells which is which. Exposure and white balance are changed in linear light. The label
of a pair is the number of steps of strength between its pictures: their order is known by construction, their distance
only as a rank.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter, map_coordinates

from redaes.assessor import Assessor
from redaes.backends.local import LocalBackend
from redaes.datagen.sources import curate
from redaes.estimates import Estimate, bootstrap_mean
from redaes.evaluation.truth import check_results, rationale_truth
from redaes.file_writing import read_json, write_json
from redaes.heldout import CHUNK_PAIRS, HeldOut, draw, fast_outcomes, paired_change, put_together, reasoned_of
from redaes.images import content_id, load_image
from redaes.records import PairRecord, picture_of, read_records
from redaes.types import Edit, Factor, ImageRef, Pair, Sampling

Array = NDArray[np.float64]
Frame = tuple[Array, Array]
"""The better and the worse picture: (height, width, 3), encoded values of 0 to 1."""

EDITOR = "independent/1"
MAX_PIXELS = 768 * 768
POINTS_A_STEP = 1.5
"""What a step of strength is written as, in points; only its sign and its rank are used."""
STEP = 1.5
"""Pixels of the photograph, at least, behind a pixel of a turned or cut view."""
VERY_SURE = 0.95
SETTINGS = (
    "photographs", "each", "reasoned", "side", "cases", "seed", "data", "data_pairs", "limit", "test_fraction", "all",
)  # fmt: skip
"""What figures of a model depend on, besides the model."""


def linear(encoded: Array) -> Array:
    """Linear light of sRGB's encoded values (IEC 61966-2-1)."""
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def encoded(light: Array) -> Array:
    """The inverse, clipped to what a file can hold."""
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def luma(picture: Array) -> Array:
    """(height, width, 1) by the weights of ITU-R BT.709."""
    return (picture @ np.array([0.2126, 0.7152, 0.0722]))[..., None]


def exposed(picture: Array, stops: float, _: random.Random) -> Array:
    """More or less light."""
    return encoded(linear(picture) * 2.0**stops)


def balanced(gains: tuple[float, float, float]) -> Callable[[Array, float, random.Random], Array]:
    """White balance that is off by ``gains`` to the power of the strength, at the same mean luminance."""

    def make(picture: Array, power: float, _: random.Random) -> Array:
        light = linear(picture)
        turned = light * np.array(gains) ** power
        return encoded(turned * (luma(light).mean() / max(1e-6, luma(turned).mean())))

    return make


def contrasted(picture: Array, gain: float, _: random.Random) -> Array:
    """Encoded values spread about their mean."""
    return picture.mean() + (picture - picture.mean()) * gain


def saturated(picture: Array, gain: float, _: random.Random) -> Array:
    """Colours spread about their luma."""
    return luma(picture) + (picture - luma(picture)) * gain


def blurred(picture: Array, sigma: float, _: random.Random) -> Array:
    """A Gaussian of ``sigma`` pixels."""
    return gaussian_filter(picture, (sigma, sigma, 0), mode="nearest")


def shaken(picture: Array, length: float, chance: random.Random) -> Array:
    """The mean along a straight path of ``length`` pixels."""
    angle = chance.uniform(0, np.pi)
    height, width = picture.shape[:2]
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    steps = np.linspace(-length / 2, length / 2, 2 * int(length) + 1)
    total = np.zeros_like(picture)
    for step in steps:
        at = (rows + step * np.sin(angle), columns + step * np.cos(angle))
        for channel in range(3):
            total[..., channel] += map_coordinates(picture[..., channel], at, order=1, mode="nearest")
    return total / len(steps)


def noisy(*, grey: bool) -> Callable[[Array, float, random.Random], Array]:
    """Gaussian noise of ``strength`` of 255, alike in the three channels or apart."""

    def make(picture: Array, strength: float, chance: random.Random) -> Array:
        draw = np.random.default_rng(chance.randrange(2**32))
        return picture + draw.normal(scale=strength / 255, size=(*picture.shape[:2], 1 if grey else 3))

    return make


def compressed(picture: Array, quality: float, _: random.Random) -> Array:
    """Written as JPEG, with the colours at half size, and read."""
    buffer = io.BytesIO()
    image_of(picture).save(buffer, "JPEG", quality=int(quality), subsampling=2)
    return array_of(Image.open(buffer).convert("RGB"))


def lettered(*, tiled: bool) -> Callable[[Array, float, random.Random], Array]:
    """Words over the picture: a watermark again and again, slanting and pale, or one line at a border."""

    def make(picture: Array, strength: float, chance: random.Random) -> Array:
        height, width = picture.shape[:2]
        side = max(height, width)
        mask = Image.new("L", (2 * side, 2 * side), 0)
        pen = ImageDraw.Draw(mask)
        word = chance.choice(["SAMPLE", "PREVIEW", "STOCK", "DO NOT COPY"])
        if tiled:
            font = ImageFont.load_default(size=max(10.0, side / 9))
            for row in range(0, 2 * side, side // 3):
                for column in range(0, 2 * side, side // 2):
                    pen.text((column, row), word, font=font, fill=255)
            mask = mask.rotate(30, Image.Resampling.BICUBIC)
            left, top = side - width // 2, side - height // 2
            cover = np.asarray(mask.crop((left, top, left + width, top + height)), dtype=np.float64) / 255 * strength
        else:
            font = ImageFont.load_default(size=max(9.0, side * strength))
            place = (width * chance.uniform(0.3, 0.7), height * chance.choice([0.15, 0.85]))
            pen.text(
                place, f"{word} {chance.randint(1, 28)}.{chance.randint(1, 12)}.", font=font, fill=230, anchor="mm"
            )
            cover = np.asarray(mask.crop((0, 0, width, height)), dtype=np.float64) / 255
        ink = np.array(chance.choice([(1.0, 1.0, 1.0), (0.05, 0.05, 0.05), (0.9, 0.5, 0.1)]))
        return picture * (1 - cover[..., None]) + ink * cover[..., None]

    return make


def framed(picture: Array, share: float, chance: random.Random) -> Array:
    """A plain border inside the frame, ``share`` of the shorter side wide."""
    width = max(1, round(share * min(picture.shape[:2])))
    framed_picture = picture.copy()
    inside = np.zeros(picture.shape[:2], dtype=bool)
    inside[width:-width, width:-width] = True
    framed_picture[~inside] = chance.choice([(0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (0.8, 0.1, 0.1)])
    return framed_picture


def view(photograph: Array, centre: tuple[float, float], step: float, degrees: float, size: tuple[int, int]) -> Array:
    """What a camera would see: ``size`` (height, width) pixels, each ``step`` pixels of the photograph apart.

    The photograph is blurred by half a step first, so that every view has the same sharpness for its pixels.
    """
    soft = gaussian_filter(photograph, (step / 2, step / 2, 0), mode="nearest")
    height, width = size
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    rows, columns = (rows - (height - 1) / 2) * step, (columns - (width - 1) / 2) * step
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    at = (centre[0] + rows * cos + columns * sin, centre[1] - rows * sin + columns * cos)
    return np.stack([map_coordinates(soft[..., c], at, order=3, mode="nearest") for c in range(3)], axis=-1)


def whole(photograph: Array, side: int) -> Array:
    """The whole photograph, its longest side at most ``side`` pixels."""
    height, width = photograph.shape[:2]
    step = max(1.0, max(height, width) / side)
    size = (int(height / step), int(width / step))
    return view(photograph, ((height - 1) / 2, (width - 1) / 2), step, 0.0, size)


def turned(photograph: Array, degrees: float, side: int, chance: random.Random, slight: float = 0.0) -> Frame:
    """The same part of a photograph with a level horizon (or one that is off by ``slight``), and turned."""
    height, width = photograph.shape[:2]
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    share = min(width / (width * cos + height * sin), height / (width * sin + height * cos))
    step = max(STEP, share * max(height, width) / side)
    size = (int(height * share / step), int(width * share / step))
    centre, way = ((height - 1) / 2, (width - 1) / 2), chance.choice([-1, 1])
    better, worse = (view(photograph, centre, step, way * angle, size) for angle in (slight, degrees))
    return better, worse


def cut(*, centred: bool) -> Callable[[Array, float, int, random.Random, float], Frame]:
    """The frame and a part of it: its middle, or towards a corner; both at one size, which the part allows."""

    def make(photograph: Array, shown: float, side: int, chance: random.Random, slight: float = 1.0) -> Frame:
        height, width = photograph.shape[:2]
        step = max(STEP, shown * max(height, width) / side)
        size = (int(height * shown / step), int(width * shown / step))
        ways = (0.0, 0.0) if centred else (chance.choice([-1.0, 1.0]), chance.choice([-1.0, 1.0]))
        frames = [
            view(
                photograph,
                ((height - 1) / 2 * (1 + ways[0] * (1 - part)), (width - 1) / 2 * (1 + ways[1] * (1 - part))),
                step * part / shown,
                0.0,
                size,
            )
            for part in (slight, shown)
        ]
        return frames[0], frames[1]

    return make


@dataclass(frozen=True)
class Kind:
    """One kind of edit: the factor, the three strengths, and how a picture is made from one."""

    factor: Factor
    strengths: tuple[float, float, float]
    make: Callable[[Array, float, random.Random], Array] | None = None
    views: Callable[[Array, float, int, random.Random, float], Frame] | None = None
    """Where both pictures are views of the photograph; the last argument is the better one's strength."""
    untouched: float = 0.0
    """Strength of a view to which nothing was done."""


KINDS: dict[str, Kind] = {
    "exposure_down": Kind("light", (-0.6, -1.2, -2.0), exposed),
    "exposure_up": Kind("light", (0.5, 1.0, 1.6), exposed),
    "contrast_down": Kind("light", (0.7, 0.5, 0.3), contrasted),
    "contrast_up": Kind("light", (1.4, 1.9, 2.6), contrasted),
    "cast_warm": Kind("colour", (0.5, 1.0, 1.7), balanced((1.5, 1.0, 0.6))),
    "cast_cool": Kind("colour", (0.5, 1.0, 1.7), balanced((0.65, 1.0, 1.5))),
    "cast_green": Kind("colour", (0.5, 1.0, 1.7), balanced((0.85, 1.2, 0.85))),
    "cast_magenta": Kind("colour", (0.5, 1.0, 1.7), balanced((1.2, 0.8, 1.2))),
    "saturation_down": Kind("colour", (0.5, 0.25, 0.0), saturated),
    "saturation_up": Kind("colour", (1.6, 2.3, 3.2), saturated),
    "defocus": Kind("focus", (0.8, 1.5, 3.0), blurred),
    "motion_blur": Kind("focus", (4.0, 7.0, 13.0), shaken),
    "noise_luma": Kind("noise", (10.0, 20.0, 40.0), noisy(grey=True)),
    "noise_chroma": Kind("noise", (12.0, 24.0, 48.0), noisy(grey=False)),
    "jpeg_blocks": Kind("noise", (25.0, 12.0, 5.0), compressed),
    "tilt": Kind("composition", (3.0, 6.0, 12.0), views=turned),
    "tight_crop": Kind("composition", (0.7, 0.55, 0.4), views=cut(centred=True), untouched=1.0),
    "crop_off": Kind("composition", (0.7, 0.55, 0.4), views=cut(centred=False), untouched=1.0),
    "watermark": Kind("content", (0.25, 0.4, 0.65), lettered(tiled=True)),
    "text_overlay": Kind("content", (0.06, 0.09, 0.13), lettered(tiled=False)),
    "border": Kind("content", (0.04, 0.08, 0.14), framed),
}
"""By the names that the faults have in what redaes writes, so that it can be told whether they are named."""

CASES: dict[str, tuple[str, float]] = {
    "watermark": ("watermark", 0.4),
    "border": ("border", 0.08),
    "tilt 4°": ("tilt", 4.0),
    "JPEG q20": ("jpeg_blocks", 20.0),
    "blur σ 1": ("defocus", 1.0),
}
"""Single edits, each asked about alone."""


def array_of(image: Image.Image) -> Array:
    return np.asarray(image, dtype=np.float64) / 255


def image_of(picture: Array) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(picture * 255), 0, 255).astype(np.uint8))


def png(picture: Array) -> bytes:
    buffer = io.BytesIO()
    image_of(picture).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def edited(
    name: str, photograph: Array, plain: Array, strengths: tuple[float | None, float], seed: int, side: int
) -> Frame:
    """A better and a worse picture of one kind.

    Args:
        name: key of :data:`KINDS`.
        photograph: as large as it is read.
        plain: the same at the side of the result.
        strengths: of the better one, None where nothing is done to it, and of the worse.
        seed: of both edits, which go in the same direction.
        side: longest, of the result.
    """
    kind = KINDS[name]
    slight, strong = strengths
    if kind.views is not None:
        slight = kind.untouched if slight is None else slight
        return kind.views(photograph, strong, side, random.Random(seed), slight)
    if kind.make is None:
        raise AssertionError(f"{name} has neither an edit nor views")
    better = plain if slight is None else kind.make(plain, slight, random.Random(seed))
    return better, kind.make(plain, strong, random.Random(seed))


def fault(name: str, step: int, seed: int) -> Edit | None:
    """What was done to a picture; None: nothing."""
    if step == 0:
        return None
    named = {"factor": KINDS[name].factor, "operation": name, "direction": "degrade", "instruction": name}
    return Edit.model_validate({**named, "strength": step / 3, "editor": EDITOR, "seed": seed})


def record(
    name: str, frame: Frame, steps: tuple[int, int], source: str, seed: int, *, turned_round: bool
) -> PairRecord:
    """A labelled pair, the better picture first unless turned round."""
    data = [png(picture) for picture in frame]
    refs = [ImageRef(id=content_id(one), path=Path(f"{name}.png")) for one in data]
    pair = Pair(
        id=hashlib.sha256(f"{source} {name} {refs[0].id} {refs[1].id}".encode()).hexdigest()[:24],
        first=refs[0],
        second=refs[1],
        delta=(steps[1] - steps[0]) * POINTS_A_STEP,
        edit_first=fault(name, steps[0], seed),
        edit_second=fault(name, steps[1], seed),
        factors=(KINDS[name].factor,),
        group=source,
        source=source,
        split="test",
    )
    better, worse = data
    if turned_round:
        pair, better, worse = pair.swapped(), worse, better
    more = {"rationale": None, "rationale_swapped": None, "licence": ""}
    return PairRecord.model_validate({"pair": pair, "first_bytes": better, "second_bytes": worse, **more})


def pairs_of(photograph: Array, source: str, each: int, side: int, chance: random.Random) -> Iterator[PairRecord]:
    """``each`` pairs of every factor, of different kinds as far as there are."""
    plain = whole(photograph, side)
    for factor in dict.fromkeys(kind.factor for kind in KINDS.values()):
        names = [name for name, kind in KINDS.items() if kind.factor == factor]
        for place, name in enumerate(chance.sample(names * each, each)):
            slight = chance.random() < 0.25
            steps = (1, 3) if slight else (0, chance.choice([1, 2, 3]))
            of = KINDS[name].strengths
            strengths = (of[steps[0] - 1] if slight else None, of[steps[1] - 1])
            seed = chance.randrange(2**31)
            frame = edited(name, photograph, plain, strengths, seed, side)
            yield record(name, frame, steps, source, seed, turned_round=(place + chance.randrange(2)) % 2 == 1)


def cases_of(photographs: Sequence[tuple[str, Array]], side: int, seed: int) -> dict[str, list[PairRecord]]:
    """One pair for each photograph and case of :data:`CASES`, the better picture first in every second."""
    found: dict[str, list[PairRecord]] = {case: [] for case in CASES}
    for number, (source, photograph) in enumerate(photographs):
        plain = whole(photograph, side)
        for place, (case, (name, strength)) in enumerate(CASES.items()):
            frame = edited(name, photograph, plain, (None, strength), seed + number, side)
            found[case].append(record(name, frame, (0, 2), source, seed, turned_round=(number + place) % 2 == 1))
    return found


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    name: str
    goal: float | None
    """At least this; None: shown only."""
    value: float | None
    low: float | None
    high: float | None
    n: int | None

    @classmethod
    def of(cls, name: str, goal: float | None, estimate: Estimate, n: int | None = None) -> Figure:
        return cls(name, goal, estimate.value, estimate.low, estimate.high, estimate.n if n is None else n)

    @property
    def verdict(self) -> str:
        if self.goal is None:
            return ""
        return "not measured" if self.value is None else "met" if self.value >= self.goal else "missed"

    @property
    def shown(self) -> str:
        if self.value is None:
            return "-"
        interval = "" if self.low is None or self.high is None else f" [{self.low:.2f}, {self.high:.2f}]"
        return f"{self.value:.3f}{interval}" + ("" if self.n is None else f" of {self.n}")


def told(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def asked(
    backend: LocalBackend, records: Sequence[PairRecord], n_reasoned: int, seed: int, what: str
) -> tuple[HeldOut, list[Figure]]:
    """Ask a model about pairs in both modes and orders, hold its reasons against the pixels, and count."""
    assessor = Assessor(
        backend, sampling=Sampling(temperature=0.0, max_new_tokens=256, seed=0), reader="strict", form="text"
    )
    outcomes = fast_outcomes(assessor, records, lambda done: told(f"{what}: {done}/{len(records)} fast"))
    drawn = draw(records, n_reasoned, seed)
    results = []
    for start in range(0, len(drawn), CHUNK_PAIRS):
        chunk = drawn[start : start + CHUNK_PAIRS]
        pictures = [(picture_of(one, "first"), picture_of(one, "second")) for one in chunk]
        results += assessor.compare_many(pictures, "reasoned", check=True)
        told(f"{what}: {len(results)}/{len(drawn)} with reasons")
    reasoned = [reasoned_of(one, result) for one, result in zip(drawn, results, strict=True)]
    found = put_together(assessor, outcomes, reasoned, seed)
    truth = rationale_truth(check_results(drawn, results, found), seed)
    of = found.fast.by_factor
    figures = [
        Figure.of(f"{factor}: right", 0.92, of[factor])
        for factor in ("light", "colour", "focus", "noise")
        if factor in of
    ]
    figures += [Figure.of(f"{factor}: right", {"composition": 0.75}.get(factor), share) for factor, share in of.items()
                if factor not in ("light", "colour", "focus", "noise")]  # fmt: skip
    figures.append(Figure.of("all: right", 0.88, found.fast.accuracy))
    figures.append(Figure.of("rank correlation of the difference", 0.80, found.fast.srcc, len(outcomes)))
    figures.append(Figure.of("same answer in both orders, fast", 0.95, found.fast.order_consistency))
    if found.reasoned is not None:
        figures.append(Figure.of("same answer in both orders, reasoned", 0.95, found.reasoned.order_consistency))
        figures.append(Figure.of("reasoned: right", None, found.reasoned.accuracy))
        figures.append(Figure.of("symptom and side named", 0.70, truth.answers.symptom, truth.answers.n_symptom))
        figures.append(Figure.of("claims true, of those shown", 0.95, truth.shown.claims_true, truth.shown.n_claims))
        figures.append(Figure.of("answers that parse", 0.99, found.reasoned.parse_rate))
    sure = [
        one
        for one in outcomes
        if one.decided and one.probability is not None and abs(one.probability - 0.5) > VERY_SURE - 0.5
    ]
    right = (
        bootstrap_mean([(one.right, found.cluster_of(one)) for one in sure], seed=seed)
        if sure
        else Estimate(value=None)
    )
    figures.append(Figure.of("right among answers above 95 %", 0.95, right, len(sure)))
    return found, figures


def measured(args: argparse.Namespace, model: str) -> tuple[list[Figure], HeldOut]:
    """Everything about one model: read from the output folder if it is there."""
    folder = Path(model)
    adapter = folder if (folder / "adapter_config.json").exists() else None
    backend = LocalBackend(model if adapter is None else args.base, adapter=adapter, device="cpu")
    settings = {name: str(getattr(args, name)) for name in SETTINGS}
    name = hashlib.sha256(json.dumps([backend.revision, settings, EDITOR], sort_keys=True).encode()).hexdigest()[:16]
    file = args.out / f"{name}.json"
    if file.exists():
        kept = read_json(file)
        return [Figure(**one) for one in kept["figures"]], HeldOut.model_validate(kept["heldout"])
    curation = curate(args.photographs, test_fraction=args.test_fraction, seed=args.seed)
    sources = [one for one in curation.sources if args.all or one.split == "test"][: args.limit]
    told(f"{len(sources)} photographs of {len(curation.sources)}, {backend.model} {backend.revision}")
    records: list[PairRecord] = []
    some: list[tuple[str, Array]] = []
    for source in sources:
        photograph = array_of(load_image(source.path, max_pixels=MAX_PIXELS).image)
        chance = random.Random(f"{args.seed} {source.id}")
        records += pairs_of(photograph, source.id[:16], args.each, args.side, chance)
        some += [(source.id[:16], photograph)] if len(some) < args.cases else []
    records = list({one.pair.id: one for one in records}.values())  # two equal edits of one photograph are one pair
    found, figures = asked(backend, records, args.reasoned, args.seed, "independent edits")
    assessor = Assessor(backend, mode="fast")
    for case, pairs in cases_of(some, args.side, args.seed).items():
        rows = fast_outcomes(assessor, pairs)
        right = bootstrap_mean([(one.right, one.source) for one in rows], seed=args.seed)
        figures.append(Figure.of(f"{case}: preferred the right way", 0.75, right, len(rows)))
    if args.data is not None:
        held = draw(
            [one for one in read_records(args.data, "test") if one.pair.delta is not None], args.data_pairs, args.seed
        )
        figures += [Figure(f"RED: {one.name}", *list(asdict(one).values())[1:])
                    for one in asked(backend, held, args.reasoned, args.seed, "RED")[1]]  # fmt: skip
    kept = {"model": model, "revision": backend.revision, "settings": settings}
    kept |= {"figures": [asdict(one) for one in figures], "heldout": found.model_dump(mode="json")}
    write_json(file, kept)
    return figures, found


def main(args: argparse.Namespace) -> None:
    """Measure one model or two, and print the table."""
    args.out.mkdir(parents=True, exist_ok=True)
    figures, found = measured(args, args.model)
    beside: dict[str, Figure] = {}
    if args.against is not None:
        others, other = measured(args, args.against)
        beside = {one.name: one for one in others}
    print(f"{found.model} {found.revision}: {found.n_pairs} pairs of {found.n_photographs} held-out photographs, "
          f"{len(found.reasoned_outcomes)} of them with reasons; intervals resample the photographs\n")  # fmt: skip
    print(f"| | goal | {args.model} | |" + (f" {args.against} |" if beside else ""))
    print("|---|---|---|---|" + ("---|" if beside else ""))
    for one in figures:
        goal = "" if one.goal is None else f"{one.goal:.2f}"
        print(
            f"| {one.name} | {goal} | {one.shown} | {one.verdict} |"
            + (f" {beside[one.name].shown} |" if beside else "")
        )
    goals = [one for one in figures if one.goal is not None]
    print(f"\n{sum(one.verdict == 'met' for one in goals)} of {len(goals)} goals met")
    if beside:
        change = paired_change(other, found)
        print(f"fast accuracy against {args.against}: {change.value:+.3f} [{change.low:+.3f}, {change.high:+.3f}], "
              f"{change.n_gained} gained, {change.n_lost} lost")  # fmt: skip


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("photographs", type=Path, nargs="+", help="folders of photographs")
    parser.add_argument("--model", default="redaes/nano", help="name, folder of a model, or of an adapter")
    parser.add_argument("--base", default="redaes/nano-base", help="of adapters; default: %(default)s")
    parser.add_argument("--against", help="a second model, shown beside it")
    parser.add_argument("--data", type=Path, help="RED dataset whose held-out pairs are asked as well")
    parser.add_argument("--data-pairs", type=int, default=1000, help="of those; default: %(default)s")
    parser.add_argument("--each", type=int, default=2, help="pairs of each photograph and factor; default: %(default)s")
    parser.add_argument("--reasoned", type=int, default=150, help="pairs asked for reasons too; default: %(default)s")
    parser.add_argument("--cases", type=int, default=12, help="photographs of the single edits; default: %(default)s")
    parser.add_argument("--side", type=int, default=256, help="longest side of the pictures; default: %(default)s")
    parser.add_argument("--test-fraction", type=float, default=0.15, help="share held out; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the draws; default: %(default)s")
    parser.add_argument("--limit", type=int, help="photographs at most")
    parser.add_argument("--all", action="store_true", help="use all photographs, not only those held out")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/goals"), help="folder of the results; default: %(default)s"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main(parse_args())
