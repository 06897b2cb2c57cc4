"""Packed rows by themselves: what attention sees in them, which prompts are the same, how batches may be cut."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from redaes.attention.branch_decoding import BranchDecoding
from redaes.attention.packed_answers import PromptedAnswers, PromptPictures, packed_answers, pictures_by_row
from redaes.attention.packed_sequences import PackedSequences, TokenSequence, packed_sequences
from redaes.attention.token_trees import BRANCHES, Segment, tree_attention
from redaes.errors import TrainingError
from redaes.training.shared_prompts import check_sharing, prompts_shuffled
from redaes.training.shared_sampling import drawn

LAYOUTS = {
    # Answers of unequal length and of one length; a prompt of one token, which each branch brings along; one without
    # answers.
    "answers": (
        Segment(0, 5), Segment(5, 3, 0), Segment(8, 1, 0), Segment(9, 4, 0), Segment(13, 0), Segment(13, 2, 4),
        Segment(15, 2, 4), Segment(17, 3),
    ),
    # A picture, two that it is compared with, and questions about each two; and one about the first alone.
    "questions": (
        Segment(0, 4), Segment(4, 3, 0), Segment(7, 3, 0), Segment(10, 1, 0), Segment(11, 2, 1), Segment(13, 1, 1),
        Segment(14, 3, 2), Segment(17, 1, 2), Segment(18, 2, 6),
    ),
}  # fmt: skip
N_TOKENS = 20


def seen_by_each(layout: tuple[Segment, ...]) -> Tensor:
    """(L, L), token by token: what the layout means."""
    seen = torch.zeros(N_TOKENS, N_TOKENS, dtype=torch.bool)
    for segment in layout:
        for place in range(segment.start, segment.end):
            seen[place, segment.start : place + 1] = True
            before = segment.parent
            while before is not None:
                seen[place, layout[before].start : layout[before].end] = True
                before = layout[before].parent
    return seen


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=list(LAYOUTS))
@pytest.mark.parametrize("n_key_heads", [4, 2, 1])
def test_each_branch_sees_what_it_branches_off_from_and_itself(n_key_heads: int, layout: tuple[Segment, ...]) -> None:
    torch.manual_seed(0)
    heads = (4, n_key_heads, n_key_heads)
    packed = [torch.randn(1, n, N_TOKENS, 8, dtype=torch.float64, requires_grad=True) for n in heads]
    dense = [one.detach().clone().requires_grad_() for one in packed]
    found = tree_attention(*packed, layout, scaling=0.3)
    query, key, value = dense
    wanted = scaled_dot_product_attention(
        query, key.repeat_interleave(4 // n_key_heads, 1), value.repeat_interleave(4 // n_key_heads, 1),
        attn_mask=seen_by_each(layout), scale=0.3,
    )  # fmt: skip
    torch.testing.assert_close(found, wanted, atol=1e-12, rtol=1e-12)
    weight = torch.randn_like(wanted)
    (found * weight).sum().backward()
    (wanted * weight).sum().backward()
    for one, other in zip(packed, dense, strict=True):
        torch.testing.assert_close(one.grad, other.grad, atol=1e-12, rtol=1e-12)


def prompted(answer_mask: list[list[int]]) -> PromptedAnswers:
    """Four rows of one text: the pictures of the second are others, and the fourth is padded on the right."""
    prompts = torch.tensor([[0, 5, 9, 6], [0, 5, 9, 6], [0, 5, 9, 6], [5, 9, 6, 0]])
    patches = torch.tensor([1.0, 2.0, 1.0, 1.0]).repeat_interleave(4)[:, None]
    return PromptedAnswers(
        prompt_ids=prompts,
        prompt_mask=(prompts != 0).int(),
        picture_tokens=(prompts == 9).int(),
        answer_ids=torch.tensor([[11, 12, 13], [21, 22, 23], [31, 32, 33], [41, 42, 43]]),
        answer_mask=torch.tensor(answer_mask),
        pictures=pictures_by_row(torch.tensor([[1, 2, 2]] * 4), patches, [1] * 4, 4),
    )


def network() -> SimpleNamespace:
    """Gives a token's place in its prompt for its position, on three axes; token 9 is a picture's."""

    def get_rope_index(ids: Tensor, *, attention_mask: Tensor | None = None, **_: Tensor) -> tuple[Tensor, None]:
        seen = torch.ones_like(ids) if attention_mask is None else attention_mask
        return (seen.cumsum(-1) - 1).clamp(min=0).expand(3, -1, -1), None

    model = SimpleNamespace(get_rope_index=get_rope_index)
    config = SimpleNamespace(image_token_id=9, vision_config=SimpleNamespace(spatial_merge_size=2))
    return SimpleNamespace(model=model, base_model=model, config=config, device=torch.device("cpu"))


GRIDS = torch.tensor([[1, 4, 4], [1, 4, 4], [1, 2, 4]])
"""Pictures of four, four and two tokens."""


def packed_of(*sequences: tuple[list[int], tuple[int, ...]], **settings: Any) -> PackedSequences:
    packed = packed_sequences(network(), [TokenSequence(*one) for one in sequences], GRIDS, **settings)
    ids = packed.inputs["input_ids"][0]
    for (wanted, _), places in zip(sequences, packed.places, strict=True):
        assert ids[places].tolist() == wanted
        assert packed.inputs["position_ids"][1, 0, places].tolist() == [*range(len(wanted))]
        assert packed.inputs["image_grid_thw"].tolist() == GRIDS[list(packed.shown)].tolist()
    assert set(torch.cat(packed.places).tolist()) == set(range(len(ids)))
    return packed


def test_sequences_branch_off_where_they_go_on_differently() -> None:
    a, b = [5, *[9] * 4, 6], [7, *[9] * 4, 6]
    packed = packed_of(
        ([*a, *b, 11, 12], (0, 1)), ([*a, *b, 11, 13], (0, 1)), ([*a, *b, 14], (0, 1)),  # questions about two pictures
        ([*a, *b, 11, 12], (0, 0)),  # the second picture is the first once more
        (a, (0,)), ([*a, *b, 14], (0, 1)),  # one ends where others go on, and one is there twice
        ([*a, *b, 14], (1, 0)),
        least_shared=1,
    )  # fmt: skip
    assert packed.inputs[BRANCHES] == (
        Segment(0, 1), Segment(1, 5, 0), Segment(6, 12, 0), Segment(18, 1, 1), Segment(19, 5, 3), Segment(24, 7, 3),
        Segment(31, 1, 4), Segment(32, 1, 4), Segment(33, 1, 6), Segment(34, 1, 6),
    )  # fmt: skip
    assert packed.shown == (0, 1, 0, 1, 0)
    assert packed.last.tolist() == [33, 34, 32, 30, 5, 32, 17]


def test_pictures_that_begin_alike_are_apart_by_their_pixels_and_sizes() -> None:
    packed = packed_of(
        ([5, *[9] * 4, 6], (0,)), ([5, *[9] * 4, 6], (1,)), ([5, 9, 9, 6], (2,)), ([5, 9, 9, 6], (2,)), least_shared=2
    )
    assert packed.inputs[BRANCHES] == (Segment(0, 6), Segment(6, 6), Segment(12, 4))
    assert packed.shown == (0, 1, 2)


def test_what_is_not_worth_a_segment_is_repeated() -> None:
    sequences = [([5, 6, last], ()) for last in (11, 12)]
    assert packed_of(*sequences, least_shared=2).inputs[BRANCHES] == (Segment(0, 2), Segment(2, 1, 0), Segment(3, 1, 0))
    assert packed_of(*sequences, least_shared=3).inputs[BRANCHES] == (Segment(0, 3), Segment(3, 3))


@pytest.mark.parametrize("least_shared", [1, 4])
def test_with_the_last_token_repeated_each_place_has_one_next_token(least_shared: int) -> None:
    shown = [5, *[9] * 4, 6, 7, 8]
    sequences = [
        ([*shown, 11, 12], (0,)), ([*shown, 11, 13], (0,)), ([*shown, 14, 15], (0,)), (shown, (0,)),
        ([5, *[9] * 4, 6, 7], (1,)), ([5, 9, 9, 6, 7], (2,)),
    ]  # fmt: skip
    packed = packed_of(*sequences, repeat_last=True, least_shared=least_shared)
    after: dict[int, int] = {}
    for (ids, _), places in zip(sequences, packed.places, strict=True):
        for place, token in zip(places.tolist(), ids[1:], strict=False):
            assert after.setdefault(place, token) == token
    assert len(packed.inputs["input_ids"][0]) < sum(len(ids) for ids, _ in sequences) - 20


def test_sequences_that_do_not_fit_their_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match="has 3 tokens of pictures, and its pictures have 4 parts"):
        packed_of(([5, 9, 9, 9, 6], (0,)))
    with pytest.raises(ValueError, match="without tokens"):
        packed_of(([5], ()), ([], ()))


def test_prompts_are_the_same_in_tokens_and_pixels() -> None:
    assert prompted([[1, 1, 1]] * 4).rows_by_prompt() == [[0, 2, 3], [1]]
    two = pictures_by_row(torch.tensor([[1, 2, 2], [1, 2, 4], [1, 4, 2]]), torch.zeros(20, 1), [1, 2], 1)
    assert [len(one.patches) for one in two] == [4, 16]
    wide, high = (PromptPictures(grid[None], torch.zeros(8, 1)) for grid in torch.tensor([[1, 2, 4], [1, 4, 2]]))
    assert not wide.same(high)


def test_a_row_holds_each_prompt_once_and_ends_where_answers_end() -> None:
    packed = packed_answers(network(), prompted([[1, 1, 0], [0, 0, 0], [1, 0, 0], [1, 1, 1]]))
    inputs = packed.inputs
    assert inputs["input_ids"].tolist() == [[5, 9, 6, 11, 6, 6, 41, 42, 5, 9]]
    labels = [-100, -100, 11, 12, 31, 41, 42, 43, -100, -100]
    assert inputs["shift_labels"].tolist() == [labels]
    assert inputs["position_ids"].shape == (3, 1, 10)
    assert inputs["position_ids"][2, 0].tolist() == [0, 1, 2, 3, 2, 2, 3, 4, 0, 1]
    prompt = Segment(0, 2)
    assert inputs[BRANCHES] == (prompt, Segment(2, 2, 0), Segment(4, 1, 0), Segment(5, 3, 0), Segment(8, 2))
    assert inputs["pixel_values"][:, 0].tolist() == [1.0] * 4 + [2.0] * 4
    assert packed.unpacked(inputs["shift_labels"]).tolist() == [[11, 12, 0], [0, 0, 0], [31, 0, 0], [41, 42, 43]]


def test_a_prompt_that_ends_with_a_picture_is_refused() -> None:
    batch = prompted([[1, 1, 1]] * 4)
    batch.picture_tokens.fill_(1)
    with pytest.raises(AssertionError, match="ends with a picture"):
        packed_answers(network(), batch)


def test_answers_to_a_prompt_stay_together_when_prompts_are_shuffled() -> None:
    torch.manual_seed(0)
    batch = {
        "prompt_ids": torch.arange(12)[:, None], "num_images": list(range(12)),
        "num_items_in_batch": torch.tensor(7.0), "old_per_token_logps": None,
    }  # fmt: skip
    moved = prompts_shuffled(batch, 3)
    order = moved["prompt_ids"][:, 0].tolist()
    assert order == moved["num_images"]
    assert sorted(order) == list(range(12)) != order
    assert all(order[at : at + 3] == list(range(order[at], order[at] + 3)) for at in range(0, 12, 3))
    assert (moved["num_items_in_batch"], moved["old_per_token_logps"]) == (torch.tensor(7.0), None)


def test_batches_that_cut_the_answers_to_a_prompt_unevenly_are_refused() -> None:
    for size in (2, 4, 8, 24):
        check_sharing(batch_size=size, num_generations=8)
    with pytest.raises(TrainingError, match=r"is 12 and num_generations 8: .* for example 16, or set share_prompts"):
        check_sharing(batch_size=12, num_generations=8)


@pytest.mark.parametrize("counts", [[3, 3, 3], [2, 1, 4]])
@pytest.mark.parametrize("n_key_heads", [4, 2])
def test_written_tokens_see_their_prompt_and_what_was_written_after_it(counts: list[int], n_key_heads: int) -> None:
    torch.manual_seed(0)
    prompts = [slice(0, 5), slice(5, 6), slice(6, 13)]
    row = [torch.randn(1, n_key_heads, 13, 8) for _ in range(2)]
    owner = [number for number, count in enumerate(counts) for _ in range(count)]
    state = BranchDecoding([(row[0], row[1])], prompts, counts, room=4)
    written: list[list[Tensor]] = [[row[0][0, :, prompts[one]], row[1][0, :, prompts[one]]] for one in owner]
    for step in range(4):
        new = [torch.randn(len(owner), n, 1, 8) for n in (4, n_key_heads, n_key_heads)]
        found = state.attend(0, *new, scaling=0.3)
        for number, parts in enumerate(written):
            parts[:] = [torch.cat([part, one[number]], dim=1) for part, one in zip(parts, new[1:], strict=True)]
            keys, values = (part.repeat_interleave(4 // n_key_heads, 0) for part in parts)
            wanted = scaled_dot_product_attention(new[0][number], keys, values, scale=0.3)
            torch.testing.assert_close(found[number], wanted, atol=1e-6, rtol=1e-5)
        state.n_written += 1
        # All answers to the second prompt end, and one to the third.
        going_on = torch.tensor([one != 1 and number != len(owner) - 1 for number, one in enumerate(owner)])
        if step == 1:
            state.keep(going_on)
            owner = [one for one, stays in zip(owner, going_on.tolist(), strict=True) if stays]
            written = [one for one, stays in zip(written, going_on.tolist(), strict=True) if stays]


def test_tokens_are_drawn_by_their_probabilities() -> None:
    torch.manual_seed(0)
    probabilities = torch.tensor([0.0, 0.1, 0.4, 0.0, 0.5, 0.0])
    counts = drawn(probabilities.log().repeat(20_000, 1)).bincount(minlength=6)
    deviation = (20_000 * probabilities * (1 - probabilities)).sqrt()
    assert bool(((counts - 20_000 * probabilities).abs() <= 4 * deviation).all())
