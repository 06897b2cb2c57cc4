"""Templates are complete and of their form; draws are balanced, repeatable and without repetition."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redaes.datagen import instructions
from redaes.datagen.instructions import AIMS, STRENGTHS, draw, draw_wishes, templates
from redaes.errors import InputError, PromptError
from redaes.prompts import Prompt
from redaes.types import FACTORS


def test_every_factor_and_direction_has_several_in_all_strengths() -> None:
    counted = Counter(item.wish for item in templates())
    assert set(counted) == set(itertools.product(FACTORS, AIMS, STRENGTHS))
    assert min(counted.values()) >= 4


def test_every_instruction_is_a_sentence_of_its_own() -> None:
    texts = [item.text for item in templates()]
    assert len(set(texts)) == len(texts)
    for text in texts:
        assert text[0].isupper(), text
        assert text.endswith("."), text
        assert not set(text) & set("{}|"), text
        assert len(text) <= 160, text


def test_a_template_id_names_where_the_sentence_comes_from() -> None:
    item = templates()[0]
    assert item.template_id == "edit_instructions/v1:light.degrade.underexpose"
    assert [one.strength for one in templates()[:3]] == ["slight", "clear", "strong"]


@given(st.integers(0, 150), st.integers(), st.sets(st.sampled_from(FACTORS), min_size=1))
def test_draws_are_balanced_at_every_length(n: int, seed: int, factors: set[str]) -> None:
    wishes = draw_wishes(n, seed, factors=sorted(factors))  # type: ignore[arg-type]
    for axis, choices in ((0, factors), (1, AIMS), (2, STRENGTHS)):
        counted = Counter(wish[axis] for wish in wishes)
        numbers = [counted[choice] for choice in choices]
        assert max(numbers) - min(numbers) <= 1
    cells = [wish[:2] for wish in wishes[: len(factors) * 2]]
    assert len(set(cells)) == len(cells)


@given(st.integers(0, 150), st.integers())
def test_no_wish_comes_twice_while_there_are_others(n: int, seed: int) -> None:
    wishes = draw_wishes(n, seed)
    assert len(set(wishes)) == min(n, 48)


def test_the_first_wishes_are_those_of_datasets_from_before() -> None:
    strengths = [wish.strength for wish in draw_wishes(16, 5)]
    kinds = list(dict.fromkeys(strengths))
    assert strengths == [kinds[(index + index // 3) % 3] for index in range(16)]


@given(st.integers(0, 96), st.integers())
def test_a_draw_repeats_with_its_seed_and_never_itself(n: int, seed: int) -> None:
    drawn = draw(n, seed)
    assert drawn == draw(n, seed)
    assert len({item.text for item in drawn}) == n
    assert [item.wish for item in drawn] == draw_wishes(n, seed)


def test_other_seeds_draw_others() -> None:
    assert len({tuple(item.text for item in draw(6, seed)) for seed in range(20)}) == 20


def test_one_direction_alone() -> None:
    assert {item.direction for item in draw(10, 3, directions=["improve"])} == {"improve"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"n": -1},
        {"factors": []},
        {"directions": []},
        {"factors": ["light", "light"]},
        {"factors": ["sound"]},
        {"directions": ["neutral"]},
    ],
)
def test_impossible_wishes_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError):
        draw_wishes(**{"n": 4, "seed": 0, **wrong})  # type: ignore[arg-type]


def test_more_than_there_is_is_refused() -> None:
    with pytest.raises(InputError, match="no further instruction"):
        draw(1000, 0)


@pytest.fixture
def text(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What the templates' prompt says."""
    lines: list[str] = []
    monkeypatch.setattr(instructions, "load", lambda name: Prompt(name, "\n".join(lines), "0" * 64))
    yield lines
    templates.cache_clear()


@pytest.mark.parametrize(
    "wrong",
    [
        ["## sound degrade"],
        ["## light neutral"],
        ["- early: {a|b|c} edit."],
        ["## light degrade", "- two: {a|b|c} and {a|b|c}."],
        ["## light degrade", "- none: An edit."],
        ["## light degrade", "- same: {a|b|c}.", "- same: {d|e|f}."],
        ["## light degrade", "- no id"],
    ],
)
def test_templates_of_another_form_are_refused(text: list[str], wrong: list[str]) -> None:
    text += wrong
    with pytest.raises(PromptError, match=f"line {len(wrong)}"):
        templates("broken/v1")
