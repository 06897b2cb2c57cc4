"""Tasks about places: what a cell is to tell, and which cells of two views show the same."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from PIL import Image

from redaes.training import warmup_places as places

WHOLE = places.View(0, 0, 1, 1, mirrored=False)


def patches_of(cells: torch.Tensor, merge: int = 2, size: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """Patches of a picture whose (rows, columns, 3) cells have one colour each, and its grid."""
    rows, columns, _ = cells.shape
    patch = cells.reshape(-1, 1, 3, 1).expand(-1, merge**2, 3, 2 * size**2)
    return patch.reshape(rows * columns * merge**2, -1), torch.tensor([[1, rows * merge, columns * merge]])


def test_a_cell_is_to_tell_its_colour_times_cosines_of_its_place() -> None:
    cells = torch.zeros(3, 2, 3)
    cells[2, 1] = torch.tensor([0.5, -1.0, 0.25])
    told = places.layout_targets(*patches_of(cells), 2).view(6, 3, places.N_COSINES, places.N_COSINES)
    assert told[:5].abs().max() == 0
    torch.testing.assert_close(told[5, :, 0, 0], cells[2, 1])
    down, across = torch.cos(torch.tensor(torch.pi * 2.5 / 3)), torch.cos(torch.tensor(torch.pi * 1.5 / 2))
    torch.testing.assert_close(told[5, :, 1, 0], cells[2, 1] * down)
    torch.testing.assert_close(told[5, :, 0, 1], cells[2, 1] * across)


def test_the_mean_of_the_cells_tells_where_a_colour_is() -> None:
    above, below = torch.zeros(4, 4, 3), torch.zeros(4, 4, 3)
    above[:2], below[2:] = 1.0, 1.0
    mean = [places.layout_targets(*patches_of(one), 2).mean(0) for one in (above, below)]
    down = 1 * places.N_COSINES  # the first colour, one cosine down, none across
    assert mean[0][down] > 0.2
    torch.testing.assert_close(mean[0][down], -mean[1][down])
    torch.testing.assert_close(mean[0][0], mean[1][0])


def test_the_layout_loss_of_a_constant_is_one() -> None:
    wanted = torch.randn(50, places.N_LAYOUT, generator=torch.Generator().manual_seed(0))
    assert places.layout_loss(wanted, wanted) == 0
    torch.testing.assert_close(places.layout_loss(wanted.mean(0).expand(50, -1), wanted), torch.tensor(1.0))


def test_the_same_view_twice_shows_every_cell_in_its_place() -> None:
    assert places.same_cells(WHOLE, WHOLE, ((3, 5), (3, 5))).tolist() == list(range(15))


def test_a_mirrored_view_shows_them_the_other_way_round() -> None:
    mirrored = places.View(0, 0, 1, 1, mirrored=True)
    assert places.same_cells(WHOLE, mirrored, ((1, 4), (1, 4))).tolist() == [3, 2, 1, 0]


def test_what_a_view_does_not_show_is_not_asked_for() -> None:
    right = places.View(0.5, 0, 0.5, 1, mirrored=False)
    assert places.same_cells(WHOLE, right, ((1, 4), (1, 4))).tolist() == [-1, -1, 1, 3]
    assert places.same_cells(right, WHOLE, ((1, 4), (1, 4))).tolist() == [2, 2, 3, 3]


@pytest.mark.parametrize("seed", range(5))
def test_cells_that_are_the_same_have_the_same_colours(seed: int) -> None:
    """On a picture whose colour is its place, so that a mistake of geometry shows."""
    chance = random.Random(seed)
    side = 160
    ramp = Image.linear_gradient("L").resize((side, side))
    image = Image.merge("RGB", (ramp, ramp.rotate(90), Image.new("L", (side, side))))
    one, other = places.draw_view(chance), places.draw_view(chance)
    cells = (8, 8)
    seen = [view.see(image).resize(cells[::-1], Image.Resampling.BOX).convert("RGB") for view in (one, other)]
    colours = [torch.from_numpy(np.array(picture, dtype=np.float32)).flatten(0, 1) for picture in seen]
    same = places.same_cells(one, other, (cells, cells))
    assert (same >= 0).sum() > 3
    apart = (colours[0] - colours[1][same.clamp(min=0)])[same >= 0].abs()
    assert apart.max() < 255 / 8  # less than a cell of the whole picture


def test_keys_that_agree_find_their_cells() -> None:
    keys = torch.eye(6)
    same = torch.tensor([3, 1, -1, 0, 2, 5])
    there = places.matching_loss([(keys[same.clamp(min=0)], keys)], [same])
    wrong = places.matching_loss([(keys[(same + 1).clamp(min=0) % 6], keys)], [same])
    assert there < 0.01
    assert wrong > 5
    nothing = places.matching_loss([(torch.ones(6, 4), torch.ones(6, 4))], [same])
    torch.testing.assert_close(nothing, torch.log(torch.tensor(6.0)))


def test_views_with_nothing_in_common_teach_nothing() -> None:
    keys = torch.eye(3).requires_grad_()
    loss = places.matching_loss([(keys, keys)], [torch.full((3,), -1)])
    assert loss.item() == 0
