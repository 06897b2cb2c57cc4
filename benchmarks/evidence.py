"""Whether the measurements of one picture show the edits that they are meant to show, on photographs of your own.

    python benchmarks/evidence.py PHOTOS [--photos 40] [--side 0] [--seed 0] [--strengths 0.25,0.5,1] [--values FILE]

For each quantity and each edit that it should show, over the photographs: in how many it was measured, its median, the
median change at each strength, the mean rank correlation (Spearman) of value and strength, and the share of changes in
the wrong direction by more than the registry's noise floor. For each quantity the 95th percentile of its change where
nothing is to be seen: JPEG at quality 92, a shift by one pixel, a resize to 0.98. A Markdown table on standard output.

``--side 1024`` brings every photograph to that longest side before. ``--values`` keeps what was measured, photograph by
photograph; where the file is there, it is gone on with. ``--large`` measures one photograph enlarged to 12 megapixels
with grain on it, and prints seconds of processor time and the memory on top of the picture.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np

from redaes.datagen.editors.parametric import apply_edit
from redaes.evidence.picture import measure
from redaes.evidence.picture.planes import ByteImage
from redaes.evidence.quantities import QUANTITIES
from redaes.images import IMAGE_SUFFIXES, load_image

Sign = int
SHOWN: dict[str, dict[str, Sign]] = {
    "brightness": {"exposure_up": 1, "exposure_down": -1},
    "contrast": {"contrast_up": 1, "contrast_down": -1},
    "dynamic_range": {"contrast_down": -1, "haze": -1},
    "clipped_shadows": {"crushed_shadows": 1},
    "clipped_highlights": {"exposure_up": 1},
    "haze": {"haze": 1},
    "vignetting": {"vignette": 1},
    "unevenness": {"uneven_light": 1},
    "colourfulness": {"saturation_up": 1, "saturation_down": -1},
    "warmth": {"cast_warm": 1, "cast_cool": -1},
    "magenta": {"cast_magenta": 1, "cast_green": -1},
    "cast": {"cast_warm": 1, "cast_cool": 1, "cast_green": 1, "cast_magenta": 1},
    "sharpness": {"defocus": -1, "motion_blur": -1, "zoom_blur": -1, "soft_glow": -1},
    "centre_sharpness": {"missed_focus": -1},
    "edge_width": {"defocus": 1, "motion_blur": 1, "zoom_blur": 1},
    "motion": {"motion_blur": 1},
    "halos": {"oversharpen": 1},
    "noise": {"noise_luma": 1},
    "chroma_noise": {"noise_chroma": 1},
    "blocking": {"jpeg_blocks": 1, "jpeg_shifted": 1},
    "banding": {"posterize": 1},
    "impulse": {"impulse": 1},
    "stripes": {"banding": 1},
    "pixelation": {"pixelation": 1},
    "tilt": {"tilt": 1},
    "keystone": {"keystone": 1},
    "border": {"framed": 1},
    "lettering": {"date_stamp": 1, "watermark": 1},
}
"""Quantity to the edits that it should show, with the direction."""


def _jpeg(image: ByteImage, quality: int) -> ByteImage:
    done, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR) if done else None
    if decoded is None:
        raise RuntimeError("OpenCV could not write and read a JPEG")
    return np.ascontiguousarray(decoded[..., ::-1]).astype(np.uint8, copy=False)


def _jpeg_shifted(image: ByteImage, strength: float) -> ByteImage:
    """A strong JPEG whose blocks do not begin at the picture's corner."""
    return np.ascontiguousarray(_jpeg(image, round(60 - 52 * strength))[3:, 5:])


def _framed(image: ByteImage, strength: float) -> ByteImage:
    depth = max(1, round(0.08 * strength * min(image.shape[:2])))
    framed = image.copy()
    framed[:depth] = framed[-depth:] = 20
    framed[:, :depth] = framed[:, -depth:] = 20
    return framed


OWN: dict[str, Callable[[ByteImage, float], ByteImage]] = {"jpeg_shifted": _jpeg_shifted, "framed": _framed}

QUIET: dict[str, Callable[[ByteImage], ByteImage]] = {
    "JPEG 92": lambda image: _jpeg(image, 92),
    "shift": lambda image: np.ascontiguousarray(image[1:, 1:]),
    "resize": lambda image: cv2.resize(image, None, fx=0.98, fy=0.98, interpolation=cv2.INTER_AREA).astype(np.uint8),
}


def _edited(image: ByteImage, edit: str, strength: float, seed: int) -> ByteImage:
    return OWN[edit](image, strength) if edit in OWN else apply_edit(image, edit, strength, seed)


def _photographs(folder: Path, n: int, side: int, seed: int) -> Iterator[ByteImage]:
    """As many from every sub-folder, in turn."""
    by_folder: dict[Path, list[Path]] = defaultdict(list)
    for file in sorted(folder.rglob("*")):
        if file.suffix.lower() in IMAGE_SUFFIXES:
            by_folder[file.parent].append(file)
    rng = random.Random(seed)
    for files in by_folder.values():
        rng.shuffle(files)
    taken = [files[i] for i in range(n) for files in by_folder.values() if i < len(files)][:n]
    for file in taken:
        image = np.asarray(load_image(file).image)
        if side:
            scale = side / max(image.shape[:2])
            size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
            kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
            image = cv2.resize(image, size, interpolation=kind).astype(np.uint8)
        yield image


def _spearman(values: list[float]) -> float:
    """Rank correlation of values with their positions; ties share their mean rank."""
    x = np.array(values)
    if np.ptp(x) == 0:
        return 0.0
    ranks = np.array([(x < v).sum() + ((x == v).sum() - 1) / 2 for v in x])
    return float(np.corrcoef(ranks, np.arange(len(x)))[0, 1])


class Tally:
    """What was seen of the photographs so far."""

    def __init__(self, names: Iterable[str] = SHOWN) -> None:
        """
        Args:
            names: quantities that are looked at.
        """
        self.shown = {name: SHOWN[name] for name in names}
        self.plain: list[dict[str, float]] = []
        self.quiet: dict[str, list[float]] = defaultdict(list)
        self.series: dict[tuple[str, str], list[list[float | None]]] = defaultdict(list)

    def save(self, file: Path) -> None:
        """Writes what was seen."""
        series = [[*key, values] for key, values in self.series.items()]
        file.write_text(json.dumps({"plain": self.plain, "quiet": self.quiet, "series": series}), encoding="utf-8")

    @classmethod
    def load(cls, file: Path, names: Iterable[str]) -> Tally:
        """What an earlier run saw."""
        tally, read = cls(names), json.loads(file.read_text(encoding="utf-8"))
        tally.plain = read["plain"]
        tally.quiet.update(read["quiet"])
        for name, edit, values in read["series"]:
            tally.series[name, edit] = values
        return tally

    def add(self, image: ByteImage, strengths: list[float], seed: int) -> None:
        """Measures one photograph and its edits."""
        plain = measure(image).values
        self.plain.append(plain)
        for change in QUIET.values():
            changed = measure(change(image)).values
            for name in self.shown:
                if name in plain and name in changed:
                    self.quiet[name].append(abs(changed[name] - plain[name]))
        edits = {edit for shown in self.shown.values() for edit in shown}
        for edit in sorted(edits):
            measured = [measure(_edited(image, edit, strength, seed)).values for strength in strengths]
            for name, shown in self.shown.items():
                if edit in shown:
                    self.series[name, edit].append([values.get(name) for values in (plain, *measured)])

    def rows(self, strengths: list[float]) -> Iterator[str]:
        """The table's lines."""
        heads = ["quantity", "unit", "measured", "median", "quiet, 95 %", "noise floor", "edit"]
        heads += [f"change at {strength:g}" for strength in strengths] + ["rank", "wrong"]
        yield "| " + " | ".join(heads) + " |"
        yield "|---" * len(heads) + "|"
        for name, shown in self.shown.items():
            quantity = QUANTITIES[name]
            plain = [values[name] for values in self.plain if name in values]
            calm = float(np.percentile(self.quiet[name], 95)) if self.quiet[name] else float("nan")
            middle = float(np.median(plain)) if plain else float("nan")
            left = [
                f"`{name}`", quantity.unit, f"{len(plain)} of {len(self.plain)}",
                f"{middle:.2f}", f"{calm:.2f}", f"{quantity.noise_floor:g}",
            ]  # fmt: skip
            for edit, sign in shown.items():
                yield "| " + " | ".join([*left, f"`{edit}`", *self._edit(name, edit, sign)]) + " |"
                left = [""] * len(left)

    def _edit(self, name: str, edit: str, sign: Sign) -> Iterator[str]:
        series = self.series[name, edit]
        changes: list[list[float]] = []
        for index in range(1, len(series[0])):
            pairs = [(one[0], one[index]) for one in series]
            changes.append([after - before for before, after in pairs if before is not None and after is not None])
        for some in changes:
            yield f"{float(np.median(some)):+.2f}" if some else "none"
        known = [[value for value in one if value is not None] for one in series]
        ranks = [sign * _spearman(one) for one in known if len(one) > 2]
        yield f"{float(np.mean(ranks)):.2f}" if ranks else "none"
        flat = [change for some in changes for change in some]
        wrong = sum(sign * change < -QUANTITIES[name].noise_floor for change in flat)
        yield f"{wrong} of {len(flat)}"


def _large(image: ByteImage) -> None:
    measure(image)
    large = np.ascontiguousarray(cv2.resize(image, (4000, 3000), interpolation=cv2.INTER_CUBIC)).astype(
        np.uint8, copy=False
    )
    rng = np.random.default_rng(0)
    for row in large:
        row[:] = np.clip(row + rng.integers(-6, 7, row.shape, dtype=np.int16), 0, 255)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    measure(large)
    seconds = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"12 megapixels: {seconds:.2f} s of one thread, {(peak - before) / 1024:.0f} MiB above the picture itself")


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the measurements on a folder of photographs.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--photos", type=int, default=40)
    parser.add_argument("--side", type=int, default=0, help="longest side in pixels; 0: as the photographs are")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--strengths", default="0.25,0.5,1")
    parser.add_argument("--quantities", help="only these, separated by commas")
    parser.add_argument("--values", type=Path, help="JSON file that keeps what was measured")
    parser.add_argument("--large", action="store_true", help="seconds and memory of 12 megapixels only")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    photographs = _photographs(args.folder, args.photos, args.side, args.seed)
    if args.large:
        _large(next(photographs))
        return
    strengths = [float(part) for part in args.strengths.split(",")]
    names = args.quantities.split(",") if args.quantities else list(SHOWN)
    tally = Tally.load(args.values, names) if args.values and args.values.exists() else Tally(names)
    for seed, image in enumerate(photographs):
        if seed >= len(tally.plain):
            tally.add(image, strengths, seed)
            if args.values:
                tally.save(args.values)
    print(f"{len(tally.plain)} photographs, longest side {args.side or 'as they are'}, seed {args.seed}\n")
    print("\n".join(tally.rows(strengths)))


if __name__ == "__main__":
    main()
