"""DiffToken, network, checkpoints and scorer of FGAesQ, on pictures whose answers can be worked out."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.metrics import structural_similarity

from redaes.errors import BackendError, InputError
from redaes.images import LoadedImage, content_id
from redaes.models.fgaesq import blocks, network
from redaes.models.fgaesq import scorer as scorer_module
from redaes.models.fgaesq.blocks import BlockedPicture, block_differences, block_grid, n_patches
from redaes.models.fgaesq.difftoken import choose_blocks, pair_sizes, pair_tokens, single_tokens
from redaes.models.fgaesq.scorer import FGAesQScorer, rank_files
from redaes.models.fgaesq.tiny_clip import TINY_TOKENS, build_tiny_clip
from redaes.models.fgaesq.tokens import BLOCK, TokenSettings, collate
from redaes.types import ImageRef

PUBLISHED = TokenSettings()
CPU = torch.device("cpu")
VIT_B_16 = {
    "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
    "patch_size": 16, "image_size": 224, "projection_dim": 512,
}  # fmt: skip


def picture(seed: int, size: tuple[int, int] = (160, 128)) -> LoadedImage:
    """A smooth random picture with some noise on it."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    pixels = np.clip(np.asarray(small) + rng.normal(0, 8, (size[1], size[0], 3)), 0, 255).astype(np.uint8)
    return loaded(Image.fromarray(pixels))


def loaded(image: Image.Image) -> LoadedImage:
    return LoadedImage(image, ImageRef(id=content_id(image.tobytes()), path=Path("(in memory)")), ())


def changed(base: LoadedImage, box: tuple[int, int, int, int]) -> LoadedImage:
    """The same picture with another texture in one place."""
    pixels = np.array(base.image)
    left, top, right, bottom = box
    pixels[top:bottom, left:right] = np.random.default_rng(9).integers(0, 256, (bottom - top, right - left, 3))
    return loaded(Image.fromarray(pixels))


# --- DiffToken ---


@pytest.mark.parametrize(
    ("size", "native", "n_tokens"),
    [
        ((512, 256), True, 512),  # exactly the budget
        ((500, 250), True, 512),  # incomplete patches count
        ((224, 224), True, 196),
        ((520, 256), False, 16 * 8 + 42),  # one column too many: 128 blocks after cropping, 14 of them fourfold
        ((640, 480), False, 20 * 15 + 42),
        ((1024, 768), False, 512),  # 768 blocks are too many: coarse ones are left out
        ((20000, 20), False, 512),  # thinner than a block
    ],
)
def test_token_counts_of_single_pictures(size: tuple[int, int], native: bool, n_tokens: int) -> None:
    assert (n_patches(size) <= PUBLISHED.budget) == native
    tokens = single_tokens(loaded(Image.new("RGB", size)), PUBLISHED)
    assert tokens.n == n_tokens
    assert int(tokens.scale.sum()) == (0 if native else 56)


@pytest.mark.parametrize("sizes", [((640, 480), (640, 480)), ((200, 150), (100, 300)), ((300, 200), (200, 260))])
def test_pairs_keep_the_budget_and_56_fine_tokens(sizes: tuple[tuple[int, int], tuple[int, int]]) -> None:
    pictures = [picture(number, size) for number, size in enumerate(sizes)]
    for view in next(pair_tokens(pictures, [(0, 1)], PUBLISHED)):
        assert view.n <= 512
        assert int(view.scale.sum()) == 56
        fine = view.position[view.scale == 1]
        coarse = view.position[view.scale == 0]
        assert int(fine.max()) < 4 * math.prod(view.grid)
        assert int(coarse.max()) < math.prod(view.grid)
        # Every fine token lies in a block that has no coarse token.
        row, column = fine // (2 * view.grid[1]), fine % (2 * view.grid[1])
        blocks = set(((row // 2) * view.grid[1] + column // 2).tolist())
        assert len(blocks) == 14
        assert not blocks & set(coarse.tolist())


@pytest.mark.parametrize("by_width", [True, False])
@pytest.mark.parametrize("sizes", [((800, 600), (400, 400)), ((100, 60), (70, 90)), ((300, 1000), (1000, 300))])
def test_pairs_share_a_side_and_are_worth_cutting(
    sizes: tuple[tuple[int, int], tuple[int, int]], by_width: bool
) -> None:
    one, other = pair_sizes(*sizes, PUBLISHED, by_width)
    side = 0 if by_width else 1
    assert one[side] == other[side]
    for before, after in zip(sizes, (one, other), strict=True):
        assert after[0] / after[1] == pytest.approx(before[0] / before[1], rel=0.05)
        assert n_patches(after) > PUBLISHED.budget


def test_very_different_shapes_stay_affordable() -> None:
    sizes = pair_sizes((60, 1000), (1000, 60), PUBLISHED, by_width=True)
    assert sizes[0][0] == sizes[1][0]
    assert max(width * height for width, height in sizes) <= 4 * PUBLISHED.max_pixels


def test_a_position_says_where_the_token_is_from() -> None:
    base = picture(0)
    tokens = single_tokens(base, TokenSettings(budget=40, fine_blocks=3))
    assert tokens.grid == (4, 5)
    pixels = torch.from_numpy(np.array(base.image)).permute(2, 0, 1).float() / 255
    wanted = (pixels - torch.tensor(blocks.MEAN)[:, None, None]) / torch.tensor(blocks.STD)[:, None, None]
    for patch, scale, position in zip(tokens.patches, tokens.scale, tokens.position, strict=True):
        columns = tokens.grid[1] * (2 if scale else 1)
        side = BLOCK // (2 if scale else 1)
        top, left = int(position) // columns * side, int(position) % columns * side
        there = wanted[:, top : top + side, left : left + side]
        if not scale:
            there = torch.nn.functional.interpolate(there[None], size=(16, 16), mode="bicubic")[0]
        torch.testing.assert_close(patch, there)


@pytest.mark.parametrize("kept", [True, False])
def test_block_difference_is_that_of_scikit_image(kept: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not kept:
        monkeypatch.setattr(blocks, "_BLOCKS_AT_ONCE", 7)  # as pictures too large for it are treated
    images = [picture(seed, size).image for seed, size in ((0, (160, 128)), (1, (128, 160)))]
    pair = [BlockedPicture(image, CPU) for image in images]

    def reference(place: int, other: int) -> float:
        cuts = []
        for image, blocked, index in zip(images, pair, (place, other), strict=True):
            row, column = divmod(index, blocked.grid[1])
            cuts.append(np.asarray(image)[row * 32 : row * 32 + 32, column * 32 : column * 32 + 32] / 255)
        channels = [structural_similarity(cuts[0][..., c], cuts[1][..., c], data_range=1.0) for c in range(3)]
        return float(np.clip(1 - np.mean(channels), 0, 1))

    found = block_differences(pair[0], pair[1])
    assert found.tolist() == pytest.approx([reference(k, k) for k in range(20)], abs=2e-6)
    places = np.array([0, 6, 19]), np.array([5, 0, 19])
    found = block_differences(pair[0], pair[1], places)
    assert found.tolist() == pytest.approx([reference(0, 5), reference(6, 0), reference(19, 19)], abs=2e-6)


def test_fine_tokens_are_where_the_pictures_differ() -> None:
    settings = TokenSettings(budget=60, fine_blocks=4, candidates=0.17, min_side=0)
    base = picture(0, (160, 160))
    views = next(pair_tokens([base, changed(base, (64, 32, 128, 96))], [(0, 1)], settings))
    for view in views:
        fine = view.position[view.scale == 1]
        places = {(int(position) // 10 // 2, int(position) % 10 // 2) for position in fine}
        assert places == {(1, 2), (1, 3), (2, 2), (2, 3)}


def test_tokens_depend_on_content_and_not_on_order_or_company() -> None:
    pictures = [picture(seed, size) for seed, size in enumerate(((160, 128), (128, 160), (160, 128)))]
    views = list(pair_tokens(pictures, [(0, 1), (0, 2), (1, 2)], TINY_TOKENS))
    alone = next(pair_tokens([pictures[2], pictures[0]], [(0, 1)], TINY_TOKENS))
    for one, other in zip(views[1], reversed(alone), strict=True):
        assert torch.equal(one.patches, other.patches)
        assert torch.equal(one.position, other.position)
    other_draw = next(pair_tokens(pictures, [(0, 2)], TINY_TOKENS, salt="epoch 1"))
    assert not torch.equal(other_draw[0].position, views[1][0].position)


def test_ties_and_rounding_do_not_decide_the_choice() -> None:
    settings = TokenSettings(budget=16, fine_blocks=2, candidates=0.5)
    keys = np.arange(8) / 8
    fine, coarse = choose_blocks(np.zeros(8), keys, settings)
    again, _ = choose_blocks(np.linspace(0, 1e-7, 8), keys, settings)
    assert fine.tolist() == again.tolist() == [0, 1]
    assert coarse.tolist() == [2, 3, 4, 5, 6, 7]
    tight = TokenSettings(budget=10, fine_blocks=2, candidates=0.5)
    assert choose_blocks(np.zeros(8), keys, tight)[1].tolist() == [6, 7]


@pytest.mark.parametrize(("size", "grid"), [((33, 33), (1, 1)), ((63, 63), (2, 2)), ((20, 300), (10, 1))])
def test_sides_are_cropped_or_padded_to_blocks(size: tuple[int, int], grid: tuple[int, int]) -> None:
    assert block_grid(size) == grid


def test_a_picture_is_not_paired_with_itself() -> None:
    with pytest.raises(InputError, match="paired with itself"):
        next(pair_tokens([picture(0)], [(0, 0)], TINY_TOKENS))
    with pytest.raises(InputError, match="fine_blocks is 200"):
        TokenSettings(fine_blocks=200)


# --- The network ---


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip") / "tiny"
    build_tiny_clip(folder, ["the first photo is better than the second: better light"], seed=0, layers=2)
    return folder


@pytest.fixture(scope="module")
def tiny(clip: Path) -> network.FGAesQ:
    return network.from_clip(clip, TINY_TOKENS).eval()


def test_the_tables_of_parity_are_those_in_the_documentation() -> None:
    root = Path(__file__).resolve().parents[2]
    spec = importlib.util.spec_from_file_location("fgaesq_parity", root / "benchmarks" / "fgaesq_parity.py")
    assert spec is not None
    assert spec.loader is not None
    parity = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(parity)
    text = (root / "docs" / "fgaesq.md").read_text(encoding="utf-8")
    for table in (parity.parameters(), parity.tokens()):
        assert "\n".join(table) in text


def test_vit_b_16_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        model = network.FGAesQ(network.ModelSettings(VIT_B_16, attend_padding=True))
    assert model.n_parameters() == 86_343_370  # published: 86.3M


@torch.no_grad()
def test_batching_does_not_change_scores(tiny: network.FGAesQ) -> None:
    views = [single_tokens(picture(seed, size), TINY_TOKENS) for seed, size in enumerate(((64, 64), (160, 128)))]
    together = tiny(collate(views))[1]
    alone = torch.cat([tiny(collate([view]))[1] for view in views])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


@torch.no_grad()
def test_one_weighted_token_stands_for_all_the_padding(tiny: network.FGAesQ) -> None:
    settings = network.ModelSettings(tiny.settings.vision, TINY_TOKENS, attend_padding=True)
    model = network.FGAesQ(settings).eval()
    model.load_state_dict(tiny.state_dict(), strict=False)
    assert model.mask_token is not None
    model.mask_token.copy_(torch.randn(model.mask_token.shape, generator=torch.Generator().manual_seed(0)))
    view = single_tokens(picture(0, (64, 48)), TINY_TOKENS)
    found = model.features(collate([view]))
    # The published way: as many padding tokens as there is room for, attended to by all.
    vision = model.tower.vision_model
    embedded = vision.embeddings.patch_embedding(view.patches).flatten(1)
    embedded = embedded + model._positions(view.grid) + model.scale_embedding[0]
    padding = (model.mask_token + model.scale_embedding[0]).expand(TINY_TOKENS.budget - 1 - view.n, -1)
    first = vision.embeddings.class_embedding + vision.embeddings.position_embedding.weight[0]
    sequence = vision.pre_layrnorm(torch.cat([first[None], embedded, padding])[None])
    assert sequence.shape[1] == TINY_TOKENS.budget
    hidden = vision.encoder(inputs_embeds=sequence).last_hidden_state
    reference = model.tower.visual_projection(vision.post_layernorm(hidden[:, 0]))
    torch.testing.assert_close(found, reference, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(found, tiny.features(collate([view])), atol=1e-3)


def test_clips_weights_are_taken_over(clip: Path, tiny: network.FGAesQ) -> None:
    from transformers import CLIPModel

    reference = CLIPModel.from_pretrained(clip).visual_projection.weight
    assert torch.equal(tiny.tower.visual_projection.weight, reference)


# --- Checkpoints ---


def test_a_saved_model_comes_back_whole(tiny: network.FGAesQ, tmp_path: Path) -> None:
    network.save(tiny, tmp_path / "m")
    again = network.load(tmp_path / "m")
    assert again.settings == tiny.settings
    assert not again.training
    for name, value in tiny.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)


def test_what_is_not_a_whole_model_is_refused(tiny: network.FGAesQ, clip: Path, tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="no FGAesQ model"):
        network.load(clip)
    with pytest.raises(BackendError, match="no CLIP model"):
        network.from_clip(tmp_path)
    network.save(tiny, tmp_path / "m")
    weights = (tmp_path / "m" / "model.safetensors").read_bytes()
    (tmp_path / "m" / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(BackendError, match="not readable safetensors"):
        network.load(tmp_path / "m")
    from safetensors.torch import save_file

    state = dict(tiny.state_dict())
    lost = state.pop("head.0.bias")
    save_file(state, tmp_path / "m" / "model.safetensors")
    with pytest.raises(BackendError, match=r"lacks weights: 1, such as head\.0\.bias"):
        network.load(tmp_path / "m")
    save_file({**state, "head.0.bias": lost[:3].clone()}, tmp_path / "m" / "model.safetensors")
    with pytest.raises(BackendError, match="misshapen"):
        network.load(tmp_path / "m")


# --- The scorer ---


@pytest.fixture(scope="module")
def scorer(tiny: network.FGAesQ) -> FGAesQScorer:
    return FGAesQScorer(tiny, name="tiny", revision="0")


def test_single_scores_are_the_same_every_time(scorer: FGAesQScorer) -> None:
    pictures = [picture(seed, (320, 256)) for seed in range(3)]
    first = scorer.score(pictures)
    assert np.array_equal(first, scorer.score(pictures))
    assert ((first >= 1) & (first <= 10)).all()
    assert scorer.score(pictures[::-1])[::-1] == pytest.approx(first, abs=1e-5)


def test_a_series_is_the_mean_over_its_pairs(scorer: FGAesQScorer) -> None:
    pictures = [picture(seed) for seed in range(4)]
    whole, pair, alone = scorer.series([pictures, pictures[:2], pictures[:1]])
    assert len(whole.pairs) == 6
    for number in range(4):
        seen = [a if i == number else b for i, j, a, b in whole.pairs if number in (i, j)]
        assert whole.scores[number] == pytest.approx(np.mean(seen))
    assert pair.pairs[0][2:] == pytest.approx(whole.pairs[0][2:], abs=1e-5)
    assert alone.scores == pytest.approx(scorer.score(pictures[:1]))
    assert sorted(whole.order) == [0, 1, 2, 3]


def test_a_ranking_has_what_the_other_ranker_gives(scorer: FGAesQScorer, tiny: network.FGAesQ, tmp_path: Path) -> None:
    pictures = [picture(seed) for seed in range(3)]
    ranking = scorer.rank(pictures)
    assert ranking.n_comparisons == 3
    assert sum(ranking.scores.values()) == pytest.approx(0, abs=1e-4)
    assert list(ranking.order) == sorted(ranking.scores, key=lambda name: -ranking.scores[name])
    assert scorer.rank(pictures[::-1]).order == ranking.order
    with pytest.raises(InputError, match="same picture"):
        scorer.rank([pictures[0], pictures[0]])
    with pytest.raises(InputError, match="a series has 0 pictures"):
        next(iter(scorer.series([[]])))
    network.save(tiny, tmp_path / "m")
    for number, item in enumerate(pictures):
        item.image.save(tmp_path / f"{number}.png")
    files = [tmp_path / f"{number}.png" for number in range(3)]
    by_file = rank_files(files, tmp_path / "m")
    names = {content_id(file.read_bytes()): number for number, file in enumerate(files)}
    assert {names[name] for name in by_file.order} == {0, 1, 2}


def test_a_series_takes_bounded_memory(scorer: FGAesQScorer, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [picture(seed, (160 + 8 * seed, 128)) for seed in range(6)]
    whole = next(iter(scorer.series([pictures])))
    kept: list[int] = []
    held: list[int] = []
    at, scored = blocks.KeptPictures.at, FGAesQScorer._scored

    def watched_at(self: blocks.KeptPictures, index: int, sizes: tuple[tuple[int, int], ...]) -> BlockedPicture:
        found = at(self, index, sizes)
        kept.append(sum(one.n_bytes for one in self._kept.values()))
        return found

    def watched_scored(self: FGAesQScorer, views: list) -> dict[int, float]:
        held.append(sum(view.n for _, view in views))
        return scored(self, views)

    monkeypatch.setattr(blocks, "_KEPT_BYTES", 2_000_000)
    monkeypatch.setattr(scorer_module, "_HELD_TOKENS", 200)
    monkeypatch.setattr(blocks.KeptPictures, "at", watched_at)
    monkeypatch.setattr(FGAesQScorer, "_scored", watched_scored)
    bounded = next(iter(scorer.series([pictures])))
    assert bounded.scores == pytest.approx(whole.scores, abs=1e-5)
    assert [pair[:2] for pair in bounded.pairs] == sorted(pair[:2] for pair in whole.pairs)
    assert max(kept) <= 2_000_000
    assert max(held) < 200 + TINY_TOKENS.budget
    assert sum(held) > 1000
