"""A recipe's panel: read whole, or refused by the name of what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("yaml")

from redaes.datagen.build_recipe import make_recipe
from redaes.datagen.call_savings import ASK_EVERYTHING
from redaes.datagen.judges import VlmJudge
from redaes.datagen.panel import Panel, PanelModels
from redaes.errors import InputError

CONFIGS = Path(__file__).parents[2] / "data_gen" / "configs"
LEAST = {"endpoint": "http://127.0.0.1:8000/v1", "judges": ["a"], "writer": "w"}


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.name)
def test_every_recipe_that_comes_along_is_read(path: Path) -> None:
    recipe = make_recipe(path, {})
    assert (recipe.panel is not None) == path.name.startswith("panel")
    if recipe.panel is not None:
        assert (recipe.panel.savings == ASK_EVERYTHING) == (path.name == "panel.yaml")


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
    (endpoint,) = PanelModels(panel, tmp_path).server("a").endpoints
    assert endpoint.base_url == "http://localhost:11434/v1"
    assert endpoint._api_key == "sk-other"
    assert panel.identity() == Panel.model_validate(LEAST).identity()
    monkeypatch.delenv("OTHER_KEY")
    with pytest.raises(InputError, match="api_key_env"):
        PanelModels(panel, tmp_path)


def test_the_usual_key_goes_to_no_server_beside_the_panels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDAES_API_KEY", "sk-usual")
    monkeypatch.setenv("OTHER_KEY", "sk-other")
    elsewhere = {"endpoint": "https://api.example.org"}

    def key_of(model: str, *judges: object, **more: object) -> str:
        panel = Panel.model_validate({"judges": judges, "writer": judges[0], **more})
        (endpoint,) = PanelModels(panel, tmp_path).server(model).endpoints
        return endpoint._api_key

    at_home = {"endpoint": "http://127.0.0.1:8000"}
    assert key_of("a", "a", {"model": "b", **elsewhere}, **at_home) == "sk-usual"
    assert key_of("b", "a", {"model": "b", **elsewhere}, **at_home) == ""
    assert key_of("b", "a", {"model": "b", **elsewhere, "api_key_env": "OTHER_KEY"}, **at_home) == "sk-other"
    assert key_of("b", {"model": "a", **elsewhere}, {"model": "b", **elsewhere}) == "sk-usual"


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


HOSTED = {"endpoint": "https://api.example.org", "price": {"input": 1, "output": 4.5}, "concurrency": 4}


def test_each_model_may_have_servers_limits_and_a_price_of_its_own() -> None:
    panel = Panel.model_validate(
        {
            **LEAST,
            "judges": [{"model": "big", "endpoint": ["http://a:1", "http://b:2/v1"], "timeout_s": 300}, "a",
                       {"model": "score:gpt", **HOSTED}],
            "writer": {"model": "gpt", "max_new_tokens": 900},
            "api_key_env": "OWN_KEY", "concurrency": 16, "max_calls": 7,
        }
    )  # fmt: skip
    servers = panel.servers()
    assert list(servers) == ["big", "a", "gpt"]
    assert servers["big"].endpoint == ("http://a:1/v1", "http://b:2/v1")
    assert (servers["big"].concurrency, servers["big"].timeout_s, servers["big"].price) == (16, 300, None)
    assert servers["a"].endpoint == ("http://127.0.0.1:8000/v1",)
    # The key of the panel's server goes nowhere else.
    assert [servers[name].api_key_env for name in servers] == [None, "OWN_KEY", None]
    # The writer is asked where the judge of its name is.
    assert servers["gpt"].endpoint == ("https://api.example.org/v1",)
    assert (servers["gpt"].concurrency, servers["gpt"].max_calls) == (4, 7)
    assert servers["gpt"].price is not None
    assert servers["gpt"].price.of(3_000_000, 1_000_000) == 6.5


def test_where_servers_stand_and_what_they_cost_decides_nothing() -> None:
    plain = Panel.model_validate({**LEAST, "judges": ["a", "b"], "planner": "p"})
    apart = Panel.model_validate(
        {
            "judges": [{"model": "a", **HOSTED}, {"model": "b", "endpoint": ["http://a:1", "http://b:2"],
                        "max_calls": 3, "timeout_s": 5, "max_tokens": 9, "samples": 2, "form": "text"}],
            "writer": {"model": "w", "endpoint": "http://c:3", "api_key_env": "X"},
            "planner": {"model": "p", "endpoint": "http://c:3"},
        }
    )  # fmt: skip
    assert apart.identity() == plain.identity()
    # What a dataset from before the long form has in its plan.json.
    assert {key: plain.identity()[key] for key in ("judges", "writer", "planner", "checker")} == {
        "judges": ["a", "b"],
        "writer": "w",
        "planner": "p",
        "checker": None,
    }
    json_form = Panel.model_validate({**LEAST, "judges": [{"model": "a", "form": "json", "revision": "r1"}, "b"]})
    assert json_form.identity()["judges"] == [{"model": "a", "revision": "r1", "form": "json"}, "b"]
    longer = Panel.model_validate({**LEAST, "writer": {"model": "w", "max_new_tokens": 900}})
    assert longer.identity()["writer"] == {"model": "w", "max_new_tokens": 900}


def test_a_judge_is_asked_as_its_entry_says_and_else_as_the_panel_says(tmp_path: Path) -> None:
    entry = {"model": "b", "form": "json", "reader": "lenient", "samples": 5, "max_new_tokens": 4096, "revision": "r1"}
    panel = Panel.model_validate({**LEAST, "judges": ["a", entry], "samples": 3})
    plain, own = PanelModels(panel, tmp_path).judges
    assert isinstance(plain, VlmJudge)
    assert isinstance(own, VlmJudge)
    assert (plain.name, plain.revision, plain.reader) == ("a", "", "strict")
    assert (own.name, own.revision, own.reader) == ("b", "r1", "lenient")
    assert [len(judge.samplings) for judge in (plain, own)] == [3, 5]
    assert [judge.samplings[0].max_new_tokens for judge in (plain, own)] == [512, 4096]
    assert own._prompt.name != plain._prompt.name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"judges": [{"model": "a", "url": "http://x"}]}, "panel: a judge: unknown keys: url; known: model, endpoint"),
        ({"judges": [{"endpoint": "http://x"}]}, "panel: a judge: model is missing"),
        ({"judges": [3]}, "a judge is 3; give its name, or a mapping"),
        ({"writer": {"model": "w", "form": "json"}}, "panel: a model: unknown keys: form"),
        ({"judges": [{"model": "a", "price": {"input": -1, "output": 1}}]}, "price: input is -1; it should be greater"),
        ({"judges": [{"model": "a", "price": {"input": 1}}]}, "price: output is missing"),
        ({"judges": [{"model": "a", "price": 3}]}, "price: it is 3; it should be a mapping"),
        ({"judges": [{"model": "a", "endpoint": []}]}, r"endpoint is \[\]; give a server's address, or a list"),
        ({"judges": [{"model": "a", "endpoint": ["http://x", "http://x/v1"]}]}, "names a server twice"),
        ({"judges": [{"model": "a", "endpoint": "http://x:y"}]}, "endpoint's address cannot be read"),
        ({"judges": [{"model": "a", "endpoint": "http://x"}, {"model": "a", "endpoint": "http://y"}]},
         r"model a is named twice, with two of endpoint: .*http://x/v1.*http://y/v1.*one list"),
        ({"judges": [{"model": "w", "concurrency": 2}], "writer": {"model": "w", "concurrency": 3}},
         "two of concurrency: 2 and 3"),
        ({"judges": ["a", {"model": "vlm:a"}]}, "name each once"),
        ({"judges": [{"model": "redaes:x", "endpoint": "http://x"}]}, "redaes:x has endpoint, which a redaes does not"),
        ({"judges": [{"model": "score:x", "form": "json"}]}, "score:x has form, which a score does not"),
        ({"judges": ["pyiqa:musiq:5:5"]}, "worst and best score are 5 and 5"),
        ({"endpoint": None, "judges": [{"model": "a", "endpoint": "http://x"}]}, "endpoint is missing; .* or for w"),
    ],
)  # fmt: skip
def test_wrong_models_of_a_panel_are_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Panel.model_validate({**LEAST, **changes})


def test_savings_are_off_unless_asked_for_and_decide_the_dataset() -> None:
    usual = Panel.model_validate({**LEAST, "judges": ["a", "b", "c"]})
    assert "savings" not in usual.identity()
    assert usual.optional_columns == ()
    saving = Panel.model_validate(
        {**LEAST, "judges": ["a", {"model": "b"}, "c"], "savings": {"pair_share": 0.5, "reserve": ["b"]}}
    )
    assert saving.identity()["savings"] == {"pair_share": 0.5, "max_error": 1.0, "reserve": ["b"]}
    assert saving.reserve_places == {1}
    assert saving.optional_columns == ("delta_error",)
    with pytest.raises(InputError, match=r"savings: reserve is \['d'\]; name some of the panel's judges"):
        Panel.model_validate({**LEAST, "savings": {"reserve": ["d"]}})
