"""A recipe's panel: read whole, or refused by the name of what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("yaml")

from redaes.datagen.build_recipe import make_recipe
from redaes.datagen.panel import Panel, PanelModels
from redaes.errors import InputError

CONFIGS = Path(__file__).parents[2] / "data_gen" / "configs"
LEAST = {"endpoint": "http://127.0.0.1:8000/v1", "judges": ["a"], "writer": "w"}


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.name)
def test_every_recipe_that_comes_along_is_read(path: Path) -> None:
    recipe = make_recipe(path, {})
    assert (recipe.panel is not None) == (path.name == "panel.yaml")


def test_a_panel_is_read_whole() -> None:
    panel = Panel.model_validate(
        {**LEAST, "editors": ["x/y", "embedded"], "editor_options": {"steps": 4, "offload": "model"},
         "rules": {"min_judges": 1, "max_spread": 1.0}}
    )  # fmt: skip
    assert panel.judges == ("a",)
    assert panel.editors == ("x/y", "embedded")
    assert panel.editor_options == (("offload", "model"), ("steps", 4))
    assert panel.rules.max_spread == 1.0
    assert hash(panel) == hash(panel)


def test_what_does_not_decide_the_dataset_is_not_in_its_identity() -> None:
    one, other = (Panel(endpoint="http://a/v1", judges=("j",), writer="w", concurrency=n) for n in (1, 9))
    assert one.identity() == other.identity()
    assert one.identity() != Panel(endpoint="http://a/v1", judges=("j", "k"), writer="w").identity()


def test_its_server_is_named_as_everywhere_and_its_key_by_a_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTHER_KEY", "sk-other")
    panel = Panel.model_validate({**LEAST, "endpoint": "http://localhost:11434", "api_key_env": "OTHER_KEY"})
    endpoint = PanelModels(panel, tmp_path).endpoint("a")
    assert endpoint.base_url == "http://localhost:11434/v1"
    assert endpoint._api_key == "sk-other"
    assert panel.identity() == Panel.model_validate(LEAST).identity()
    monkeypatch.delenv("OTHER_KEY")
    with pytest.raises(InputError, match="api_key_env"):
        PanelModels(panel, tmp_path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], r"panel: it is \[\]; it should be a mapping"),
        ({**LEAST, "judge": ["a"]}, "panel: unknown keys: judge; known: endpoint, judges, "),
        ({**LEAST, "judges": "a"}, "panel: judges is 'a'; it should be a valid list"),
        ({**LEAST, "judges": []}, r"judges is \[\]; it should have at least 1 item"),
        ({**LEAST, "samples": 0}, "samples is 0; it should be greater than or equal to 1"),
        ({**LEAST, "rules": {"max_spread": -1}}, "rules: max_spread is -1; it should be greater than or equal to 0"),
        ({**LEAST, "rules": {"spread": 1}}, "rules: unknown keys: spread; known: min_judges, "),
        ({"judges": ["a"], "writer": "w"}, "panel: endpoint is missing"),
    ],
)
def test_wrong_panels_are_named(values: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Panel.model_validate(values)
