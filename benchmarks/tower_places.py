"""What picture tokens tell of places: linear readings of vision towers, on photographs that they were not trained on.

    python benchmarks/tower_places.py PHOTOGRAPHS... --models redaes/nano-base runs/vision/final --side 96

For each model and each level of its tokens (those that begin the language model, and the deepstack ones that are added
further up), fitted on photographs of training and told of held-out ones (ridge regression):

* place: row and column of a token's cell, as a share of the frame, from the token less its picture's mean: R2;
* layout: colour times cosines of place, 48 numbers a picture, from the mean of its tokens: R2;
* crop: which of two pictures is a part of the other (its middle, or towards a corner, .4 to .7 of each side; both from
  one sampler, benchmarks/independent_edits.py), from the difference of their mean tokens and from its products with
  the sum: share right;
* same cell: of the cells of a view that another view of the photograph shows too, those whose token is nearest to that
  of the right cell (cosine, less the mean, nothing fitted): share, and what chance would give.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from independent_edits import KINDS, MAX_PIXELS, array_of, edited, image_of, whole
from numpy.typing import NDArray
from PIL import Image

from redaes.backends.loading import load_network, load_processor, model_folder
from redaes.backends.vision_tokens import tokens_by_picture
from redaes.datagen.sources import curate
from redaes.images import load_image
from redaes.training.vision_cache import vision_tower
from redaes.training.warmup_places import cells_of, draw_view, layout_targets, same_cells

Array = NDArray[np.float64]
CROPS = ("tight_crop", "crop_off")
SIDE = 256
"""Of the pictures before the processor takes them."""


def ridge(x: Array, y: Array, new: Array, strength: float = 1e-2) -> Array:
    """Predictions for new rows; columns are brought to one spread first."""
    mean, spread = x.mean(0), x.std(0) + 1e-8
    x, new = (x - mean) / spread, (new - mean) / spread
    weights = np.linalg.solve(x.T @ x + strength * len(x) * np.eye(x.shape[1]), x.T @ (y - y.mean(0)))
    return new @ weights + y.mean(0)


def told(wanted: Array, predicted: Array) -> float:
    """R2 over all columns together."""
    return float(1 - ((wanted - predicted) ** 2).sum() / ((wanted - wanted.mean(0)) ** 2).sum())


class Pictures:
    """Photographs, two views of each and a crop of each with what it is a part of."""

    def __init__(self, paths: Sequence[Path], seed: int) -> None:
        self.whole: list[Image.Image] = []
        self.crops: list[tuple[Image.Image, Image.Image]] = []
        self.views: list[tuple[Any, Any]] = []
        for number, path in enumerate(paths):
            chance = random.Random(f"{seed} {number}")
            photograph = array_of(load_image(path, max_pixels=MAX_PIXELS).image)
            plain = whole(photograph, SIDE)
            self.whole.append(image_of(plain))
            name = CROPS[number % 2]
            frame = edited(name, photograph, plain, (None, chance.choice(KINDS[name].strengths)), number, SIDE)
            self.crops.append((image_of(frame[0]), image_of(frame[1])))
            self.views.append((draw_view(chance), draw_view(chance)))


@torch.no_grad()
def looked_at(visual: Any, processor: Any, images: Sequence[Image.Image]) -> tuple[list[list[Array]], Any]:
    """Tokens of each level of each picture, and what the processor made."""
    batch = processor(images=list(images), return_tensors="pt")
    seen = visual(batch["pixel_values"], grid_thw=batch["image_grid_thw"])
    pictures = tokens_by_picture(seen, batch["image_grid_thw"], visual.spatial_merge_size)
    return [[level.double().numpy() for level in picture] for picture in pictures], batch


def read(visual: Any, processor: Any, pictures: Pictures) -> dict[str, Any]:
    """Everything that the readings need of some photographs."""
    merge = visual.spatial_merge_size
    tokens, batch = looked_at(visual, processor, pictures.whole)
    cells = cells_of(batch["image_grid_thw"], merge)
    places = [np.stack(np.mgrid[:r, :c], -1).reshape(-1, 2) / [r, c] + 0.5 / np.array([r, c]) for r, c in cells]
    layouts = layout_targets(batch["pixel_values"], batch["image_grid_thw"], merge).double()
    means = [part.mean(0).numpy() for part in layouts.split([r * c for r, c in cells])]
    wide, _ = looked_at(visual, processor, [pair[0] for pair in pictures.crops])
    part, _ = looked_at(visual, processor, [pair[1] for pair in pictures.crops])
    pairs = [*zip(pictures.views, pictures.whole, strict=True)]
    seen = [looked_at(visual, processor, [two[side].see(image) for two, image in pairs]) for side in range(2)]
    shapes = [cells_of(batch["image_grid_thw"], merge) for _, batch in seen]
    same = [
        same_cells(*pair, both).numpy() for pair, both in zip(pictures.views, zip(*shapes, strict=True), strict=True)
    ]
    return {"tokens": tokens, "places": places, "layouts": np.array(means), "wide": wide, "part": part,
            "views": [one for one, _ in seen], "same": same}  # fmt: skip


def crop_features(found: dict[str, Any], level: int) -> tuple[Array, Array]:
    """Rows of both orders, and which is the part: the difference of means, and its products with the sum."""
    first, second = (np.array([picture[level].mean(0) for picture in found[name]]) for name in ("wide", "part"))
    both = np.concatenate([first, second]), np.concatenate([second, first])
    difference, total = both[0] - both[1], both[0] + both[1]
    return np.concatenate([difference, difference * total], 1), np.repeat([1.0, -1.0], len(first))


def matched(found: dict[str, Any], level: int) -> tuple[float, float]:
    """Share of cells that find theirs, and what chance gives."""
    right, guessed = [], []
    for one, other, same in zip(*found["views"], found["same"], strict=True):
        x, y = (tokens[level] - tokens[level].mean(0) for tokens in (one, other))
        nearest = ((x / np.linalg.norm(x, axis=1)[:, None]) @ (y / np.linalg.norm(y, axis=1)[:, None]).T).argmax(1)
        right += (nearest == same)[same >= 0].tolist()
        guessed += [1 / len(y)] * int((same >= 0).sum())
    return float(np.mean(right)), float(np.mean(guessed))


def main(args: argparse.Namespace) -> None:
    """Prints a line for each model and level."""
    torch.set_num_threads(1)
    curation = curate(args.photographs, test_fraction=args.test_fraction, seed=args.seed)
    train, held = ([one.path for one in curation.sources if one.split == split] for split in ("train", "test"))
    parts = [Pictures(train[: args.fitted], args.seed), Pictures(held[: args.held_out], args.seed + 1)]
    print(
        f"{len(parts[0].whole)} photographs fitted, {len(parts[1].whole)} held out, {args.side} x {args.side} pixels\n"
    )
    print("| model | tokens | place: R2 | layout: R2 | crop: right | same cell (chance) |\n|---|---|---|---|---|---|")
    for name in args.models:
        folder = model_folder(name)
        visual = vision_tower(load_network(folder, torch.float32)).eval()
        processor = load_processor(folder, args.side**2).image_processor
        fitted, new = (read(visual, processor, part) for part in parts)
        for level in range(len(new["tokens"][0])):
            x, y = (np.concatenate([p[level] - p[level].mean(0) for p in part["tokens"]]) for part in (fitted, new))
            places = [np.concatenate(part["places"]) for part in (fitted, new)]
            means = [np.array([p[level].mean(0) for p in part["tokens"]]) for part in (fitted, new)]
            crops = [crop_features(part, level) for part in (fitted, new)]
            right = (ridge(crops[0][0], crops[0][1], crops[1][0], 0.1) * crops[1][1] > 0).mean()
            found, chance = matched(new, level)
            layout = told(new["layouts"], ridge(means[0], fitted["layouts"], means[1], 0.05))
            place = told(places[1], ridge(x, places[0], y))
            cells = [name, "first" if level == 0 else f"deepstack {level}", f"{place:.2f}", f"{layout:.2f}"]
            cells += [f"{right:.2f} of {len(crops[1][1]) // 2}", f"{found:.2f} ({chance:.2f})"]
            print("| " + " | ".join(cells) + " |", flush=True)


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("photographs", type=Path, nargs="+", help="folders of photographs")
    parser.add_argument("--models", nargs="+", default=["redaes/nano-base"], help="names or folders of models")
    parser.add_argument(
        "--side", type=int, default=224, help="pictures have at most this squared; default: %(default)s"
    )
    parser.add_argument("--fitted", type=int, default=400, help="photographs of training; default: %(default)s")
    parser.add_argument("--held-out", type=int, default=89, help="photographs; default: %(default)s")
    parser.add_argument("--test-fraction", type=float, default=0.15, help="share held out; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the draws; default: %(default)s")
    return parser.parse_args()


if __name__ == "__main__":
    main(parse_args())
