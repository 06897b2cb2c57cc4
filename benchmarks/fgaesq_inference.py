"""Series per second of FGAesQ's inference against a per-pair loop over the published procedure, same outputs.

    python benchmarks/fgaesq_inference.py PHOTOS [--model tiny|vit-b-16] [--series 8] [--length 4] [--side 512]

Both read the same files and use the same random weights (speed does not depend on them). The loop does what the
published inference code does, pair by pair: decode both files, bring them to one size, SSIM of every block and channel
by scikit-image, patches by slicing, every coarse block shrunk by itself, padding to the budget that all tokens attend
to, one forward pass per picture. Times are CPU seconds of this process, which other work on the machine changes
little. It differs from that code only in what was needed to compare outputs: blocks are
drawn by our rule (`choose_blocks`, seeded by content), and their positions are the right ones.

The arithmetic of both is counted too: what a ratio of speeds can reach where nearly all time is the transformer's.
"""

from __future__ import annotations

import argparse
import itertools
import random
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage.metrics import structural_similarity

from redaes.images import IMAGE_SUFFIXES, LoadedImage, load_image
from redaes.models.fgaesq import blocks, difftoken
from redaes.models.fgaesq.losses import expected_score
from redaes.models.fgaesq.network import FGAesQ, ModelSettings
from redaes.models.fgaesq.scorer import FGAesQScorer
from redaes.models.fgaesq.tiny_clip import TINY_TOKENS
from redaes.models.fgaesq.tokens import BLOCK, PATCH, TokenSettings

MODELS = {
    "tiny": (
        {
            "hidden_size": 96, "intermediate_size": 288, "num_hidden_layers": 3, "num_attention_heads": 3,
            "patch_size": 16, "image_size": 128, "projection_dim": 64,
        },
        TINY_TOKENS,
    ),
    "vit-b-16": (
        {
            "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
            "patch_size": 16, "image_size": 224, "projection_dim": 512,
        },
        TokenSettings(),
    ),
}  # fmt: skip


def make_series(photos: list[Path], folder: Path, n: int, length: int, side: int, seed: int) -> list[list[Path]]:
    """Bursts: windows of one photograph that are a few pixels apart, as JPEG files."""
    rng = random.Random(seed)
    found = []
    for number, photo in enumerate(rng.sample(photos, n)):
        image = load_image(photo).image
        image = image.resize((side + 24, round((side + 24) * image.height / image.width)), Image.Resampling.LANCZOS)
        files = []
        for index in range(length):
            left, top = rng.randrange(24), rng.randrange(24)
            file = folder / f"{number:06d}-{index:02d}.jpg"
            image.crop((left, top, left + side, top + image.height - 24)).save(file, quality=95)
            files.append(file)
        found.append(files)
    return found


class PairLoop:
    """The published procedure, one pair after the other."""

    def __init__(self, model: FGAesQ) -> None:
        self.model = model
        self.settings = model.settings.tokens

    def series(self, files: list[Path]) -> np.ndarray:
        """(n,) mean score of every picture over its pairs."""
        scores: list[list[float]] = [[] for _ in files]
        for i, j in itertools.combinations(range(len(files)), 2):
            pictures = [load_image(files[k], max_pixels=self.settings.max_pixels) for k in (i, j)]
            for k, score in zip((i, j), self.pair(*pictures), strict=True):
                scores[k].append(score)
        return np.array([np.mean(values) for values in scores])

    def pair(self, first: LoadedImage, second: LoadedImage) -> list[float]:
        """Score of each picture beside the other."""
        rng = difftoken.seeded(*sorted((first.ref.id, second.ref.id)), "")
        sizes = difftoken.pair_sizes(first.image.size, second.image.size, self.settings, by_width=rng.random() < 0.5)
        arrays, normalised, grids = [], [], []
        for picture, size in zip((first, second), sizes, strict=True):
            rows, columns = blocks.block_grid(size)
            resized = (
                picture.image if picture.image.size == size else picture.image.resize(size, Image.Resampling.LANCZOS)
            )
            pixels = torch.from_numpy(np.array(resized)).permute(2, 0, 1).float() / 255
            mean, std = (torch.tensor(values)[:, None, None] for values in (blocks.MEAN, blocks.STD))
            fit = (0, columns * BLOCK - size[0], 0, rows * BLOCK - size[1])
            arrays.append(torch.nn.functional.pad(pixels, fit).numpy())
            normalised.append(torch.nn.functional.pad((pixels - mean) / std, fit))
            grids.append((rows, columns))
        rows, columns = (min(grid[k] for grid in grids) for k in (0, 1))
        difference = np.zeros((rows, columns))
        for row in range(rows):
            for column in range(columns):
                cut = (slice(row * BLOCK, (row + 1) * BLOCK), slice(column * BLOCK, (column + 1) * BLOCK))
                channels = [
                    structural_similarity(arrays[0][c][cut], arrays[1][c][cut], data_range=1.0) for c in range(3)
                ]
                difference[row, column] = max(0.0, min(1.0, 1 - float(np.mean(channels))))
        draws = rng.random((2, max(grid[0] for grid in grids), max(grid[1] for grid in grids)))
        found = []
        for pixels, grid in zip(normalised, grids, strict=True):
            scores = draws[0, : grid[0], : grid[1]].copy()
            scores[:rows, :columns] = difference
            chosen = difftoken.choose_blocks(scores.ravel(), draws[1, : grid[0], : grid[1]].ravel(), self.settings)
            found.append(self.forward(pixels, grid, *chosen))
        return found

    def forward(self, pixels: torch.Tensor, grid: tuple[int, int], fine: np.ndarray, coarse: np.ndarray) -> float:
        """One picture, padded to the budget."""
        _, columns = grid
        patches, tables = [], []
        coarse_table = self.model._positions(grid)
        fine_table = self.model._positions((2 * grid[0], 2 * columns))
        for block in coarse:
            row, column = divmod(int(block), columns)
            cut = pixels[:, row * BLOCK : (row + 1) * BLOCK, column * BLOCK : (column + 1) * BLOCK]
            patches.append(torch.nn.functional.interpolate(cut[None], size=(PATCH, PATCH), mode="bicubic")[0])
            tables.append(coarse_table[int(block)])
        for block in fine:
            for down, right in itertools.product((0, 1), (0, 1)):
                row, column = 2 * (int(block) // columns) + down, 2 * (int(block) % columns) + right
                patches.append(pixels[:, row * PATCH : (row + 1) * PATCH, column * PATCH : (column + 1) * PATCH])
                tables.append(fine_table[row * 2 * columns + column])
        model = self.model
        vision = model.tower.vision_model
        tokens = vision.embeddings.patch_embedding(torch.stack(patches)).flatten(1) + torch.stack(tables)
        tokens[: len(coarse)] += model.scale_embedding[0]
        tokens[len(coarse) :] += model.scale_embedding[1]
        assert model.mask_token is not None
        padding = (model.mask_token + model.scale_embedding[0]).expand(self.settings.budget - 1 - len(tokens), -1)
        first = vision.embeddings.class_embedding + vision.embeddings.position_embedding.weight[0]
        hidden = vision.pre_layrnorm(torch.cat([first[None], tokens, padding])[None])
        hidden = vision.encoder(inputs_embeds=hidden).last_hidden_state
        features = model.tower.visual_projection(vision.post_layernorm(hidden[:, 0]))
        return float(expected_score(model.head(features).double()))


def gflop(vision: dict[str, int], n_tokens: int, *, class_token_last: bool) -> float:
    """Arithmetic of one picture in the transformer, in 10^9 operations, a multiplication and an addition being two.

    Args:
        vision: the tower's configuration.
        n_tokens: of the sequence.
        class_token_last: the last layer is computed for the class token alone.
    """
    width, inner, layers = vision["hidden_size"], vision["intermediate_size"], vision["num_hidden_layers"]

    def layer(asking: int) -> int:
        return 4 * n_tokens * width**2 + asking * (4 * width**2 + 4 * width * inner + 4 * n_tokens * width)

    return ((layers - 1) * layer(n_tokens) + layer(1 if class_token_last else n_tokens)) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure FGAesQ's inference.")
    parser.add_argument("photos", type=Path)
    parser.add_argument("--model", choices=sorted(MODELS), default="tiny")
    parser.add_argument("--series", type=int, default=8)
    parser.add_argument("--length", type=int, default=4)
    parser.add_argument("--side", type=int, help="width in pixels; default 160 for tiny, 512 for vit-b-16")
    parser.add_argument("--repeats", type=int, default=1, help="rounds; the fastest counts")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    vision, tokens = MODELS[args.model]
    torch.manual_seed(args.seed)
    model = FGAesQ(ModelSettings(vision, tokens, attend_padding=True)).eval()
    for parameter in model.parameters():
        if parameter.dim() > 1:  # weights at which scores differ by much more than rounding
            torch.nn.init.normal_(parameter, std=1.5 * parameter[0].numel() ** -0.5)
    side = args.side or (160 if args.model == "tiny" else 512)
    photos = sorted(file for file in args.photos.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES)
    scorer = FGAesQScorer(model, name=args.model, revision="random")
    loop = PairLoop(model)
    lengths: list[int] = []  # of our sequences; with the class token, and the one that stands for the padding
    model.register_forward_pre_hook(lambda _, inputs: lengths.extend((inputs[0].n_tokens + 2).tolist()))
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        series = make_series(photos, Path(folder), args.series, args.length, side, args.seed)
        ours_s = loop_s = float("inf")
        for _ in range(args.repeats):
            started = time.process_time()
            ours = [item.scores for item in scorer.series([scorer.load_picture(f) for f in files] for files in series)]
            ours_s = min(ours_s, time.process_time() - started)
            started = time.process_time()
            theirs = [loop.series(files) for files in series]
            loop_s = min(loop_s, time.process_time() - started)
    largest = max(np.abs(a - b).max() for a, b in zip(ours, theirs, strict=True))
    spread = float(np.std(np.concatenate(ours)))
    print(f"{args.model}, {model.n_parameters() / 1e6:.1f}M parameters, {torch.get_num_threads()} thread(s)")
    print(f"{args.series} series of {args.length}, {side} px wide, seed {args.seed}")
    print(f"largest difference of a score {largest:.1e} (standard deviation of scores {spread:.1e})")
    print(f"series per CPU second: ours {args.series / ours_s:.3f}, per-pair loop {args.series / loop_s:.3f}")
    print(f"ratio {loop_s / ours_s:.1f}")
    ours_gflop = sum(gflop(vision, n, class_token_last=True) for n in lengths) / args.repeats
    loop_gflop = len(lengths) / args.repeats * gflop(vision, tokens.budget, class_token_last=False)
    print(f"tokens of a picture {np.mean(lengths):.0f} against {tokens.budget}")
    print(f"GFLOP of the transformer {ours_gflop:.1f} against {loop_gflop:.1f}, ratio {loop_gflop / ours_gflop:.2f}")
    print(f"GFLOP per CPU second, all else included, {ours_gflop / ours_s:.1f} against {loop_gflop / loop_s:.1f}")


if __name__ == "__main__":
    main()
