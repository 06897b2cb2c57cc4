"""The published procedure of tokens, against a second one written from its description, block by block."""

from __future__ import annotations

import hashlib
import json
import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from fgaesq_checkpoint import openai_layout
from PIL import Image
from skimage.metrics import structural_similarity

from redaes.images import LoadedImage, content_id
from redaes.models.fgaesq import blocks, network
from redaes.models.fgaesq.blocks import MEAN, STD
from redaes.models.fgaesq.conversion import convert_published
from redaes.models.fgaesq.difftoken import pair_tokens, single_tokens
from redaes.models.fgaesq.losses import expected_score
from redaes.models.fgaesq.published_tokens import draws_of, published_steps
from redaes.models.fgaesq.scorer import FGAesQScorer
from redaes.models.fgaesq.tokens import PUBLISHED_TOKENS, Tokens, TokenSettings
from redaes.types import ImageRef

SETTINGS = TokenSettings(budget=40, fine_blocks=3, candidates=0.5, min_side=96, procedure="published")
Listed = list[tuple[np.ndarray, int, tuple[int, int]]]
"""Tokens in their order: pixels (16, 16, 3) of 0 to 1 normalised, scale, row and column of the position."""


def picture(seed: int, size: tuple[int, int], name: str) -> LoadedImage:
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    pixels = np.clip(np.asarray(small) + rng.normal(0, 12, (size[1], size[0], 3)), 0, 255).astype(np.uint8)
    image = Image.fromarray(pixels)
    return LoadedImage(image, ImageRef(id=content_id(image.tobytes()), path=Path(name)), ())


def resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)


class Reference:
    """The released procedure for one pair, in the order of its draws."""

    def __init__(self, first: Image.Image, second: Image.Image, seed_text: str, settings: TokenSettings) -> None:
        self.settings = settings
        self.rng = random.Random(int(hashlib.md5(seed_text.encode()).hexdigest(), 16) % 10000)
        images = self.aligned(first, second)
        self.normalised, self.black = zip(*(self.whole_blocks(image) for image in images), strict=True)
        grids = [(len(black) // 32, black.shape[1] // 32) for black in self.black]
        rows = min(grid[0] for grid in grids)
        lists = [[(r, c) for r in range(rows) for c in range(grid[1])] for grid in grids]
        common = [self.difference(*places) for places in zip(*lists, strict=False)]
        self.views = []
        for k, grid in enumerate(grids):
            own = [None] * ((grid[0] - rows) * grid[1])
            self.views.append(self.listed(self.normalised[k], grid, [*common, *own]))

    def aligned(self, first: Image.Image, second: Image.Image) -> list[Image.Image]:
        if self.rng.choice(["width", "height"]) == "width":
            most = max(first.width, second.width)
            images = [resized(im, (most, int(im.height * most / im.width))) for im in (first, second)]
        else:
            most = max(first.height, second.height)
            images = [resized(im, (int(im.width * most / im.height), most)) for im in (first, second)]
        sizes = []
        for image in images:
            n = math.ceil(image.width / 16) * math.ceil(image.height / 16)
            factor = 1.0
            if n <= self.settings.budget:
                factor = math.sqrt(self.settings.budget * 1.2 / n)
                if min(image.size) < self.settings.min_side:
                    factor = max(factor, self.settings.min_side / min(image.size))
            sizes.append((int(image.width * factor), int(image.height * factor)) if factor != 1 else image.size)
        factors = [max(s[0] / im.width, s[1] / im.height) for s, im in zip(sizes, images, strict=True)]
        if abs(factors[0] - factors[1]) > 0.01:
            sizes = [(int(im.width * max(factors)), int(im.height * max(factors))) for im in images]
        return [
            im.resize(s, Image.Resampling.LANCZOS) if s != im.size else im for im, s in zip(images, sizes, strict=True)
        ]

    def whole_blocks(self, image: Image.Image) -> tuple[np.ndarray, np.ndarray]:
        """Normalised, and as it is in [0, 1], cropped or padded with zeros to whole blocks."""
        pixels = np.asarray(image, dtype=np.float32) / 255
        normal = (pixels - np.array(MEAN, dtype=np.float32)) / np.array(STD, dtype=np.float32)
        height, width = pixels.shape[:2]
        crop = (width % 32 or 1) * (height % 32 or 1)
        pad = (-width % 32 or 1) * (-height % 32 or 1)
        if pad > crop:
            cut = (slice(height - height % 32), slice(width - width % 32))
            return normal[cut], pixels[cut]
        wider = ((0, -height % 32), (0, -width % 32), (0, 0))
        return np.pad(normal, wider), np.pad(pixels, wider)

    def difference(self, one: tuple[int, int], other: tuple[int, int]) -> float:
        cuts = [
            b[r * 32 : r * 32 + 32, c * 32 : c * 32 + 32] for b, (r, c) in zip(self.black, (one, other), strict=True)
        ]
        channels = [structural_similarity(cuts[0][..., k], cuts[1][..., k], data_range=1.0) for k in range(3)]
        return min(1.0, max(0.0, 1 - float(np.mean(channels))))

    def listed(self, pixels: np.ndarray, grid: tuple[int, int], importance: list[float | None]) -> Listed:
        n = grid[0] * grid[1]
        scores = importance[:n]
        for _ in range(n - len(scores)):
            scores.append(self.rng.random())
        scores = [self.rng.random() if score is None else score for score in scores]
        ranked = sorted(range(n), key=lambda k: -scores[k])
        fine = self.rng.sample(ranked[: int(n * self.settings.candidates)], self.settings.fine_blocks)
        tokens = []
        for block in (k for k in range(n) if k not in fine):
            r, c = divmod(block, grid[1])
            cut = torch.from_numpy(pixels[r * 32 : r * 32 + 32, c * 32 : c * 32 + 32].copy()).permute(2, 0, 1)[None]
            half = torch.nn.functional.interpolate(cut, size=(16, 16), mode="bicubic")[0].permute(1, 2, 0).numpy()
            tokens.append((half, 0, (r, c)))
        quarters = []
        for block in sorted(fine):
            r, c = divmod(block, grid[1])
            quarters += [(2 * r + down, 2 * c + right) for down in (0, 1) for right in (0, 1)]
        for (r, c), place in zip(quarters, sorted(quarters), strict=True):  # the positions are listed row by row
            tokens.append((pixels[r * 16 : r * 16 + 16, c * 16 : c * 16 + 16], 1, place))
        surplus = len(tokens) + 1 - self.settings.budget  # the class token counts
        if surplus > 0:
            for score in importance[: len(tokens)]:
                if score is None:
                    self.rng.random()
            gone = self.rng.sample([k for k in range(len(tokens)) if k not in fine], surplus)
            tokens = [token for k, token in enumerate(tokens) if k not in gone]
        return tokens


def reference_score(model: network.FGAesQ, tokens: Listed, grid: tuple[int, int]) -> float:
    """In double precision, padded to the budget with tokens that all attend to."""
    model = network.FGAesQ(model.settings).double().eval().requires_grad_(False)
    model.load_state_dict(MODEL_STATE)
    assert model.mask_token is not None
    vision = model.tower.vision_model
    rows = []
    for pixels, scale, (r, c) in tokens:
        patch = torch.from_numpy(pixels.astype(np.float64)).permute(2, 0, 1)[None]
        table = model._positions((grid[0] << scale, grid[1] << scale))
        embedded = vision.embeddings.patch_embedding(patch).flatten()
        rows.append(embedded + model.scale_embedding[scale] + table[r * (grid[1] << scale) + c])
    padding = model.mask_token + model.scale_embedding[0]
    rows += [padding] * (model.settings.tokens.budget - 1 - len(rows))
    first = vision.embeddings.class_embedding + vision.embeddings.position_embedding.weight[0]
    hidden = vision.encoder(inputs_embeds=vision.pre_layrnorm(torch.stack([first, *rows])[None])).last_hidden_state
    features = model.tower.visual_projection(vision.post_layernorm(hidden[:, 0]))
    return float(expected_score(model.head(features)))


MODEL_STATE: dict[str, torch.Tensor] = {}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> network.FGAesQ:
    """A converted checkpoint, then with a smaller budget."""
    folder = tmp_path_factory.mktemp("published")
    torch.save(openai_layout(width=64, layers=2, projection=32, grid=4, seed=3), folder / "best.pt")
    converted = convert_published(folder / "best.pt", folder / "m")
    assert converted.settings.tokens == network.load(folder / "m").settings.tokens == PUBLISHED_TOKENS
    assert json.loads((folder / "m" / network.CONFIG).read_text())["tokens"]["procedure"] == "published"
    small = network.FGAesQ(network.ModelSettings(converted.settings.vision, SETTINGS, attend_padding=True)).eval()
    small.load_state_dict(converted.state_dict())
    MODEL_STATE.update(small.state_dict())
    return small


CASES = {
    "all fit": ((160, 128), (160, 128)),
    "dropped": ((300, 200), (300, 200)),
    "enlarged": ((60, 50), (60, 50)),
    "other shapes": ((190, 250), (260, 170)),
    "padded": ((181, 155), (150, 180)),
    "wide beside high": ((300, 90), (90, 200)),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("series", [1, 2])
def test_tokens_and_scores_are_those_of_the_description(case: str, series: int, model: network.FGAesQ) -> None:
    pictures = [picture(k, size, f"{series:06d}-{k + 1:02d}.jpg") for k, size in enumerate(CASES[case])]
    reference = Reference(pictures[0].image, pictures[1].image, f"{series}_1_2", SETTINGS)
    views = next(pair_tokens(pictures, [(0, 1)], SETTINGS))
    for view, wanted in zip(views, reference.views, strict=True):
        assert view.n == len(wanted) <= SETTINGS.budget - 1
        assert view.scale.tolist() == [scale for _, scale, _ in wanted]
        widths = [view.grid[1] << scale for _, scale, _ in wanted]
        assert view.position.tolist() == [r * w + c for (_, _, (r, c)), w in zip(wanted, widths, strict=True)]
        patches = np.stack([pixels.transpose(2, 0, 1) for pixels, _, _ in wanted])
        assert np.abs(view.patches.numpy() - patches).max() < 2e-6
    scorer = FGAesQScorer(model, name="published", revision="")
    ((_, _, *scores),) = next(scorer.series([pictures])).pairs
    expected = [reference_score(model, tokens, view.grid) for tokens, view in zip(reference.views, views, strict=True)]
    assert scores == pytest.approx(expected, abs=5e-6)


def test_the_cases_reach_what_they_are_named_for() -> None:
    found = {}
    for case, sizes in CASES.items():
        pictures = [picture(k, size, f"000001-{k + 1:02d}.jpg") for k, size in enumerate(sizes)]
        found[case] = next(pair_tokens(pictures, [(0, 1)], SETTINGS))
    assert {view.n for view in found["all fit"]} == {20 + 9}
    assert {view.n for view in found["dropped"]} == {39}
    fine = [int(view.scale.sum()) for views in found.values() for view in views]
    assert min(fine) < 12, "fine tokens are left out somewhere, as released"
    assert max(fine) == 12


def test_the_names_of_files_seed_the_draws_as_released() -> None:
    one, two = (ImageRef(id=letter * 64, path=Path(f"/x/000123-0{n}.jpg")) for letter, n in (("b", 2), ("a", 10)))
    seed = int(hashlib.md5(b"123_2_10").hexdigest(), 16) % 10000
    draws, exchanged = draws_of(one, two)
    assert (draws.random(), exchanged) == (random.Random(seed).random(), False)
    draws, exchanged = draws_of(two, one)
    assert (draws.random(), exchanged) == (random.Random(seed).random(), True)
    other = one.model_copy(update={"path": Path("/x/holiday.jpg")})
    assert draws_of(other, two)[0].random() == draws_of(two, other)[0].random() != random.Random(seed).random()


def test_a_pair_is_the_same_in_both_orders_and_beside_others() -> None:
    pictures = [picture(k, (200 + 20 * k, 160), f"{k}.jpg") for k in range(3)]
    views = list(pair_tokens(pictures, [(0, 1), (0, 2), (1, 2)], SETTINGS))
    again = next(pair_tokens(pictures[::-1], [(2, 1)], SETTINGS))
    for one, other in zip(views[0], again, strict=True):
        assert same(one, other)


def test_large_pictures_are_treated_in_parts_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [picture(k, (300, 200), f"{k}.jpg") for k in range(2)]
    whole = next(pair_tokens(pictures, [(0, 1)], SETTINGS))
    alone = single_tokens(pictures[0], SETTINGS)
    monkeypatch.setattr(blocks, "_BLOCKS_AT_ONCE", 7)
    for one, other in zip(whole, next(pair_tokens(pictures, [(0, 1)], SETTINGS)), strict=True):
        assert same(one, other)
    assert same(alone, single_tokens(pictures[0], SETTINGS))


def same(one: Tokens, other: Tokens) -> bool:
    parts = ("patches", "position", "scale")
    return one.grid == other.grid and all(torch.equal(getattr(one, part), getattr(other, part)) for part in parts)


@pytest.mark.parametrize(
    ("size", "n", "fine"),
    [((128, 80), 39, 0), ((96, 96), 36, 0), ((160, 128), 29, 12), ((400, 300), 39, None)],
)
def test_pictures_alone(size: tuple[int, int], n: int, fine: int | None) -> None:
    """Native up to the budget, which counts the class token: of 40 patches one is left out; larger ones are cut."""
    item = picture(0, size, "1.jpg")
    view = single_tokens(item, SETTINGS)
    assert view.n == n
    assert fine is None or int(view.scale.sum()) == fine
    assert same(view, single_tokens(item, SETTINGS))
    assert len(set(zip(view.scale.tolist(), view.position.tolist(), strict=True))) == n


def test_pairs_of_extreme_shapes_stay_affordable() -> None:
    steps = published_steps((60, 5000), (5000, 60), PUBLISHED_TOKENS, by_width=True)
    assert max(width * height for sizes in steps for width, height in sizes) <= 64_000_000
    assert published_steps((640, 480), (640, 480), PUBLISHED_TOKENS, by_width=True) == (((640, 480),),) * 2


def test_pictures_are_read_at_full_size(model: network.FGAesQ, tmp_path: Path) -> None:
    picture(0, (1100, 1000), "1.jpg").image.save(tmp_path / "1.png")
    scorer = FGAesQScorer(model, name="published", revision="")
    assert scorer.load_picture(tmp_path / "1.png").image.size == (1100, 1000)
