"""FGAesQ against its published description: parameters, and tokens of pictures of many sizes, as tables.

    python benchmarks/fgaesq_parity.py

docs/fgaesq.md holds what this prints; a test compares them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from redaes.images import LoadedImage, content_id
from redaes.models.fgaesq.blocks import n_patches
from redaes.models.fgaesq.difftoken import pair_tokens, single_tokens
from redaes.models.fgaesq.network import FGAesQ, ModelSettings
from redaes.models.fgaesq.tokens import TokenSettings
from redaes.types import ImageRef

VIT_B_16 = {
    "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
    "patch_size": 16, "image_size": 224, "projection_dim": 512,
}  # fmt: skip
SINGLES = (
    (224, 224),
    (512, 256),
    (500, 250),
    (520, 256),
    (640, 480),
    (384, 640),
    (800, 600),
    (1024, 768),
    (4000, 3000),
)
PAIRS = (
    ((640, 480), (640, 480)), ((800, 600), (800, 600)), ((512, 512), (512, 512)), ((200, 150), (200, 150)),
    ((640, 480), (480, 640)), ((1024, 768), (900, 768)), ((800, 600), (400, 400)),
)  # fmt: skip


def parameters() -> list[str]:
    """Rows of the network's parts."""
    with torch.device("meta"):
        network = FGAesQ(ModelSettings(VIT_B_16, attend_padding=True))
    parts = {
        "CLIP's visual tower with its projection": network.tower.parameters(),
        "head 512-256-64-10": network.head.parameters(),
        "scale embedding and mask token": [network.scale_embedding, network.mask_token],
    }
    rows = ["| part | parameters |", "|---|---|"]
    rows += [f"| {name} | {sum(part.numel() for part in own):,} |" for name, own in parts.items()]
    return [*rows, f"| all (published: 86.3M) | {network.n_parameters():,} |"]


def picture(seed: int, size: tuple[int, int]) -> LoadedImage:
    """Random areas; which ones does not matter for counts."""
    areas = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8))
    image = areas.resize(size, Image.Resampling.BICUBIC)
    return LoadedImage(image, ImageRef(id=content_id(image.tobytes()), path=Path("(in memory)")), ())


def tokens() -> list[str]:
    """Rows of cases."""
    settings = TokenSettings()
    rows = ["| picture | patches of 16 px | coarse or native | fine | tokens (budget 512) |", "|---|---|---|---|---|"]
    for size in SINGLES:
        view = single_tokens(picture(0, size), settings)
        fine = int(view.scale.sum())
        native = "" if fine else " native"
        name = f"alone, {size[0]} x {size[1]}"
        rows.append(f"| {name} | {n_patches(size)} | {view.n - fine}{native} | {fine} | {view.n} |")
    for sizes in PAIRS:
        pictures = [picture(number, size) for number, size in enumerate(sizes)]
        for view, (width, height), number in zip(
            next(pair_tokens(pictures, [(0, 1)], settings)), sizes, (1, 0), strict=True
        ):
            fine = int(view.scale.sum())
            beside = f"{sizes[number][0]} x {sizes[number][1]}"
            rows.append(
                f"| {width} x {height} beside {beside} | {n_patches((width, height))} | {view.n - fine} | {fine} | "
                f"{view.n} |"
            )
            if sizes[0] == sizes[1]:
                break  # the other one has as many
    return rows


def main() -> None:
    print("\n".join([*parameters(), "", *tokens()]))


if __name__ == "__main__":
    main()
