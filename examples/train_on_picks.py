"""Train the embedded model on 60 picks of one person, and measure it on photographs that it has not seen.

    python examples/train_on_picks.py                                  # made-up picks, to see how it goes
    python examples/train_on_picks.py PICKS.csv --out my_taste         # your own

PICKS.csv has the columns first, second (files, relative to it), winner (first or second) and series: what was
photographed. All picks of a series are held out together, each series once, so the shares that are printed, with their
95 % intervals, are of photographs that were not learnt from. Only where the picks are told better than before, beyond
chance, is an adapter written. `redaes taste learn` does the same with more options.

The made-up picks are of somebody who prefers the darker of two versions of a photograph: twelve photographs that come
with scikit-image and scikit-learn, five versions and five pairs of each. It takes half a minute of one core, and needs
more packages than redaes alone:

    pip install 'redaes[demo]'
"""

import argparse
import csv
import tempfile
from pathlib import Path

import datasets
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from redaes import load_image
from redaes.datagen.editors.parametric import apply_edit
from redaes.datagen.imported.forms import ReadingSettings
from redaes.samples import sample_photographs
from redaes.taste.learning import TasteSettings
from redaes.taste.making import TasteSources, make_taste

# isort: split
from transformers.utils import logging

VERSIONS = 5
SIDE = 320  # pixels
EDITS = (("cast_warm", "cast_cool"), ("exposure_down", "exposure_up"), ("contrast_down", "saturation_up"))


def photographs() -> list[Path]:
    """Twelve photographs that are installed already."""
    samples = [sample.path for sample in sample_photographs()]
    (folder,) = {path.parent for path in samples if path.name == "coffee.png"}
    others = ("brick.png", "camera.png", "coins.png", "grass.png", "hubble_deep_field.jpg", "motorcycle_left.png")
    return [*samples, *(folder / name for name in others)]


def darkness(pixels: NDArray[np.uint8]) -> float:
    """The rule of the made-up picks: the darker picture is preferred.

    Args:
        pixels: (H, W, 3).
    """
    return -float(pixels.mean())


def make_picks(folder: Path, seed: int = 0) -> Path:
    """Write versions of the photographs, and the list of which one the rule prefers; return the list."""
    rng = np.random.default_rng(seed)
    rows = []
    for photograph in photographs():
        image = load_image(photograph).image.convert("RGB")
        image.thumbnail((SIDE, SIDE))
        versions = []
        for number in range(VERSIONS):
            pixels = np.asarray(image)
            for kinds in EDITS:
                pixels = apply_edit(pixels, str(rng.choice(kinds)), float(rng.uniform(0.1, 0.6)), seed=number)
            file = folder / f"{photograph.stem}-{number}.png"
            Image.fromarray(pixels).save(file)
            versions.append((file.name, darkness(pixels)))
        for (first, one), (second, other) in zip(versions, versions[1:] + versions[:1], strict=True):
            rows.append([first, second, "first" if one > other else "second", photograph.stem])
    picks = folder / "picks.csv"
    with picks.open("w", newline="", encoding="utf-8") as lines:
        csv.writer(lines).writerows([["first", "second", "winner", "series"], *rows])
    return picks


def main(picks: Path | None, out: Path) -> dict[str, object]:
    """Learn, print what came out, and return the report."""
    datasets.disable_progress_bars()
    logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as work, tempfile.TemporaryDirectory() as made:
        if picks is None:
            picks = make_picks(Path(made))
            print("made-up picks: the darker picture is preferred")
        sources = TasteSources((picks,), earlier=None, reading=ReadingSettings())
        report = make_taste(
            sources, out, Path(work), TasteSettings(), model="redaes/nano", device=None, progress=lambda *_: None
        )
    claim = report["claim"]
    print(f"{claim['n_decisions']} picks of {claim['n_series']} series, each series judged without having been learnt:")
    for name in ("before", "after"):
        share = claim[name]
        print(f"  {name:6}  right in {share['value']:.0%} [{share['low']:.0%}, {share['high']:.0%}]")
    print(report["says"])
    forgot = report["forgetting"]
    print(
        f"what it costs: on {forgot['n']} edited pairs the better picture was told in {forgot['before']:.0%} before, "
        f"and in {forgot['after']:.0%} after"
    )
    print(f"use it: redaes rank FOLDER --adapter {out}" if report["better"] else f"no adapter; the report is in {out}")
    return report


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("picks", nargs="?", type=Path, help="a list of pairs; default: made-up ones")
    parser.add_argument("--out", type=Path, default=Path("taste"), help="a folder that does not exist yet")
    given = parser.parse_args()
    main(given.picks, given.out)
