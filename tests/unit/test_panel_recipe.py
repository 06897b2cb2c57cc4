"""A recipe's panel: read whole, or refused by the name of what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("yaml")

from redaes.datagen.build_recipe import make_panel, make_recipe
from redaes.datagen.panel_groups import Panel
from redaes.errors import InputError

CONFIGS = Path(__file__).parents[2] / "data_gen" / "configs"
LEAST = {"endpoint": "http://127.0.0.1:8000/v1", "judges": ["a"], "writer": "w"}


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.name)
def test_every_recipe_that_comes_along_is_read(path: Path) -> None:
    recipe = make_recipe(path, {})
    assert (recipe.panel is not None) == (path.name == "panel.yaml")


def test_a_panel_is_read_whole() -> None:
    panel = make_panel(
        {**LEAST, "editors": ["x/y", "embedded"], "editor_options": {"steps": 4, "offload": "model"},
         "rules": {"min_judges": 1, "max_spread": 1.0}}
    )  # fmt: skip
    assert panel.judges == ("a",)
    assert panel.editors == ("x/y", "embedded")
    assert panel.editor_options == (("offload", "model"), ("steps", 4))
    assert panel.rules.max_spread == 1.0
    assert hash(panel) == hash(panel)


def test_what_does_not_decide_the_dataset_is_not_in_its_identity() -> None:
    one, other = (Panel("http://a/v1", ("j",), "w", concurrency=n) for n in (1, 9))
    assert one.identity() == other.identity()
    assert one.identity() != Panel("http://a/v1", ("j", "k"), "w").identity()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "give a mapping"),
        ({**LEAST, "judge": ["a"]}, "unknown keys: judge"),
        ({**LEAST, "judges": "a"}, "judges is 'a'; give a list"),
        ({**LEAST, "judges": []}, "name at least one"),
        ({**LEAST, "samples": 0}, "samples 0"),
        ({**LEAST, "rules": {"max_spread": -1}}, "max_spread"),
        ({**LEAST, "rules": {"spread": 1}}, "spread"),
        ({"judges": ["a"], "writer": "w"}, "endpoint"),
    ],
)
def test_wrong_panels_are_named(values: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_panel(values)
