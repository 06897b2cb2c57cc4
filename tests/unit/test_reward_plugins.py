"""Components from outside: what may be loaded, and every rule that they are held to."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from redaes.errors import TrainingError
from redaes.rewards.plugins import COLUMNS, RewardPlugin, load_plugins, probe_batch, try_plugins
from redaes.rewards.trl import REWARDS, reward_functions

GOOD = """
def bright(completions, images, delta, **_):
    return [None if label is None else sum(image.convert("L").getpixel((0, 0)) for image in shown) / 510
            for shown, label in zip(images, delta)]
"""


def plugin(folder: Path, source: str, name: str = "f", file: str = "own.py") -> RewardPlugin:
    path = folder / file
    path.write_text(source)
    return load_plugins([f"{path}:{name}"])[0]


def tried(one: RewardPlugin, *, with_scores: bool = False) -> None:
    try_plugins([one], "reasoned", with_scores=with_scores, with_evidence=False, trainer_state=None)


def test_a_good_one_passes_and_keeps_none(tmp_path: Path) -> None:
    one = plugin(tmp_path, GOOD, "bright")
    tried(one, with_scores=True)
    batch = probe_batch("reasoned", with_scores=True)
    values = one(**batch)
    assert len(values) == len(batch["completions"]) == 27
    assert [value is None for value in values] == [form == "score" for form in batch["mode"]]
    assert (one.name, one.__name__, one.value_range) == ("bright", "bright", (0.0, 1.0))
    assert len(one.digest) == 64


def test_the_probe_is_what_our_own_components_take() -> None:
    batch = probe_batch("reasoned", with_scores=True, with_evidence=True)
    assert set(batch) == {"prompts", "completions", "completion_ids", *COLUMNS}
    rewards = {name: function(**batch) for name, function in zip(REWARDS, reward_functions(list(REWARDS)), strict=True)}
    assert rewards["format"] == [1.0, 1.0, 0.0] * 9
    assert rewards["verdict"][:9] == [1.0, 0.0, 0.0] * 3
    assert rewards["factor"][:3] == [1.0, 0.0, 0.0]
    assert rewards["symptom"][:3] == [1.0, 0.0, 0.0]
    assert rewards["evidence"][:3] == [0.5, 0.0, 0.0]
    unmeasured = probe_batch("reasoned", with_scores=True)
    assert unmeasured["evidence"] == [None] * len(unmeasured["mode"])
    fast = probe_batch("fast", with_scores=False)
    assert reward_functions(["format"])[0](**fast) == [1.0, 1.0, 0.0] * 6


BAD = {
    "too few": ("def f(completions, **_): return [0.5]", "returned 1 values for 18 completions"),
    "no list": ("def f(completions, **_): return 0.5", "returned float '0.5'"),
    "nothing": ("def f(completions, **_): pass", "returned NoneType"),
    "text": ("def f(completions, **_): return ['0.5' for _ in completions]", "gave '0.5' (str) for completion 0"),
    "not finite": ("def f(completions, **_): return [float('nan') for _ in completions]", "gave nan for completion 0"),
    "out of range": ("def f(completions, **_): return [7 for _ in completions]", "outside of its range [0, 1]"),
    "range of one": ("def f(completions, **_): return []\nf.value_range = (1, 1)", "value_range is (1, 1)"),
    "range of words": ("def f(completions, **_): return []\nf.value_range = 'unit'", "value_range is 'unit'"),
    "raises": ("def f(completions, **_): return [c['text'] for c in completions]", "raised TypeError"),
    "unknown column": ("def f(completions, score, **_): return []", "missing a required argument: 'score'"),
    "no room for the rest": ("def f(completions): return []", "**_ for the rest"),
    "asynchronous": ("async def f(completions, **_): return []", "is asynchronous"),
    "counts its calls": (
        "calls = []\ndef f(completions, **_):\n    calls.append(0)\n    return [1 / len(calls)] * len(completions)",
        "two calls with the same batch gave 1.0 and 0.5",
    ),
    "draws": (
        "import random\nown = random.Random(0)\ndef f(completions, **_): return [own.random() for _ in completions]",
        "two calls with the same batch",
    ),
    "global random": (
        "import random\ndef f(completions, **_): return [random.random() for _ in completions]",
        "global random state of random",
    ),
    "global numpy": (
        "import numpy\ndef f(completions, **_):\n    numpy.random.rand()\n    return [0.5 for _ in completions]",
        "global random state of numpy",
    ),
    "global torch": (
        "import torch\ndef f(completions, **_): return [float(v) for v in torch.rand(len(completions))]",
        "global random state of torch",
    ),
    "sorts its input": (
        "def f(completions, shown, **_):\n    for s in shown: s.sort()\n    return [0.5 for _ in completions]",
        "changed its input shown",
    ),
    "edits messages": (
        "def f(completions, **_):\n    for c in completions: c[0]['content'] = ''\n    return [0.5] * len(completions)",
        "changed its input completions",
    ),
    "paints": (
        "def f(completions, images, **_):\n    images[0][0].paste((9, 9, 9), (0, 0, 4, 4))\n"
        "    return [0.5] * len(completions)",
        "changed its input images",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_each_broken_rule_is_named(kind: str, tmp_path: Path) -> None:
    if kind == "global torch":
        import torch  # noqa: F401  loaded before, as in training
    source, said = BAD[kind]
    with pytest.raises(TrainingError) as caught:
        tried(plugin(tmp_path, source))
    assert said in str(caught.value)
    assert str(tmp_path / "own.py") + ":f" in str(caught.value)
    assert "; " in str(caught.value)  # a remedy


def test_a_stated_range_holds(tmp_path: Path) -> None:
    one = plugin(tmp_path, "def f(completions, **_): return [-3 for _ in completions]\nf.value_range = (-5, 5)")
    tried(one)
    assert one.value_range == (-5.0, 5.0)


def test_rules_hold_on_every_later_batch(tmp_path: Path) -> None:
    source = """
import random
def f(completions, **_):
    if len(completions) == 18:
        return [0.5] * 18
    if len(completions) == 1:
        return [None]
    random.random()
    return [0.5] * len(completions)
"""
    one = plugin(tmp_path, source)
    tried(one)
    batch = probe_batch("reasoned", with_scores=False)
    for _ in range(2):
        assert one(**batch) == [0.5] * 18
    assert one(**{name: column[:1] for name, column in batch.items()}) == [None]
    with pytest.raises(TrainingError, match="global random state"):
        one(**{name: column[:3] for name, column in batch.items()})


def test_numbers_of_libraries_are_numbers(tmp_path: Path) -> None:
    source = "import numpy\ndef f(completions, **_): return numpy.full(len(completions), .25, dtype=numpy.float32)"
    one = plugin(tmp_path, source)
    tried(one)
    assert one(**probe_batch("reasoned", with_scores=False)) == [0.25] * 18


def test_loggers_are_called_once_for_a_batch_that_is_judged_twice(tmp_path: Path) -> None:
    source = "def f(completions, log_metric, **_):\n    log_metric('own', 1.0)\n    return [0.5] * len(completions)"
    told: list[Any] = []
    batch = probe_batch("reasoned", with_scores=False)
    plugin(tmp_path, source)(**batch, log_metric=lambda *one: told.append(one), log_extra=None, trainer_state=None)
    assert told == [("own", 1.0)]


def test_a_module_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "redaes_test_own_rewards.py").write_text(GOOD)
    spec = "redaes_test_own_rewards:bright"
    with pytest.raises(TrainingError, match=r"no module redaes_test_own_rewards on sys\.path; put its folder"):
        load_plugins([spec])
    monkeypatch.syspath_prepend(tmp_path)
    try:
        assert load_plugins([spec])[0].digest == plugin(tmp_path, GOOD, "bright").digest
    finally:
        sys.modules.pop("redaes_test_own_rewards", None)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("own.py", "give module:function"),
        (":f", "give module:function"),
        ("own:", "give module:function"),
        ("absent/own.py:f", "cannot be read"),
        ("json.encoder:absent", "it has JSONEncoder"),
        ("sys:exit", "has no file to record"),
        ("json:__name__", "a str, not a function,"),
    ],
)
def test_what_cannot_be_loaded(spec: str, said: str) -> None:
    with pytest.raises(TrainingError) as caught:
        load_plugins([spec])
    assert said in str(caught.value)
    assert spec in str(caught.value)


@pytest.mark.parametrize(
    ("source", "said"),
    [("def f(:", "SyntaxError"), ("import absent_package", "absent_package"), ("1 / 0", "ZeroDivisionError")],
)
def test_a_file_that_cannot_be_imported(source: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=said):
        plugin(tmp_path, source)


def test_names_are_given_once(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(GOOD)
    (tmp_path / "two.py").write_text(GOOD)
    with pytest.raises(TrainingError, match="called bright already"):
        load_plugins([f"{tmp_path}/one.py:bright", f"{tmp_path}/two.py:bright"])
    for name in ("format", "reward_factor"):
        with pytest.raises(TrainingError, match=f"called {name} already"):
            plugin(tmp_path, f"def {name}(completions, **_): return []", name, "three.py")


def test_a_changed_file_is_read_anew_and_an_equal_one_is_not(tmp_path: Path) -> None:
    first = plugin(tmp_path, "def f(completions, **_): return [0.1] * len(completions)")
    again = plugin(tmp_path, "def f(completions, **_): return [0.1] * len(completions)")
    other = plugin(tmp_path, "def f(completions, **_): return [0.2] * len(completions)")  # same size, same second
    batch = probe_batch("reasoned", with_scores=False)
    assert first._function is again._function
    assert first.digest != other.digest
    assert (first(**batch)[0], other(**batch)[0]) == (0.1, 0.2)


def test_loading_and_trying_leaves_the_random_state(tmp_path: Path) -> None:
    before = random.getstate(), np.random.get_state()[1].tobytes()
    tried(plugin(tmp_path, GOOD, "bright"))
    assert (random.getstate(), np.random.get_state()[1].tobytes()) == before
