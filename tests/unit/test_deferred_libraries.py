"""Libraries that transformers may never use, put off until they are: by modules that stand in for its own."""

from __future__ import annotations

import builtins
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from redaes.deferred_libraries import libraries_deferred

USER = """
import math
from sklearn.metrics import roc_curve
def use(*given):
    return roc_curve(*given)
def imports():
    from sklearn.metrics import roc_curve as found
    return found
"""
PACKAGES = ("transformers", "sklearn")


@pytest.fixture
def transformers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package of that name, and a library of the other name that says how often it is loaded."""
    for folder in ("transformers/generation", "sklearn"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "__init__.py").touch()
    (tmp_path / "transformers" / "__init__.py").touch()
    for name in ("user", "other"):
        (tmp_path / "transformers" / "generation" / f"{name}.py").write_text(USER)
    (tmp_path / "sklearn" / "metrics.py").write_text("def roc_curve(*given):\n    return sum(given)\n")
    kept = {
        name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] in ("transformers", "sklearn")
    }
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in list(sys.modules):
        if name.split(".")[0] in PACKAGES:
            del sys.modules[name]
    sys.modules.update(kept)


def user(name: str = "user") -> ModuleType:
    return importlib.import_module(f"transformers.generation.{name}")


@pytest.mark.usefixtures("transformers")
def test_a_library_is_loaded_when_a_function_of_it_is_called() -> None:
    with libraries_deferred():
        module = user()
    assert "sklearn" not in sys.modules
    assert module.use(1, 2) == 3
    assert "sklearn.metrics" in sys.modules


@pytest.mark.usefixtures("transformers")
def test_nothing_is_left_of_it_afterwards() -> None:
    before, finders, own = builtins.__import__, list(sys.meta_path), set(vars(builtins))
    with libraries_deferred():
        module = user()
    assert (builtins.__import__, sys.meta_path, set(vars(builtins))) == (before, finders, own)
    assert vars(module)["__builtins__"] is builtins
    from sklearn.metrics import roc_curve

    assert module.roc_curve is not roc_curve  # only what was imported meanwhile is put off
    assert module.imports() is roc_curve
    assert user("other").roc_curve is roc_curve


@pytest.mark.usefixtures("transformers")
def test_what_is_loaded_already_is_taken() -> None:
    from sklearn.metrics import roc_curve

    with libraries_deferred():
        assert user().roc_curve is roc_curve


@pytest.mark.usefixtures("transformers")
def test_others_that_import_it_meanwhile_get_it() -> None:
    with libraries_deferred():
        user()
        metrics = importlib.import_module("sklearn.metrics")
        from sklearn.metrics import roc_curve
    assert roc_curve is metrics.roc_curve
    assert roc_curve(1, 2) == 3


@pytest.mark.usefixtures("transformers")
def test_an_import_that_fails_leaves_nothing(tmp_path: Path) -> None:
    broken = tmp_path / "transformers" / "generation" / "broken.py"
    broken.write_text("from sklearn.metrics import f\nprint(unknown)\n")
    finders = list(sys.meta_path)
    with pytest.raises(NameError, match="unknown"), libraries_deferred():
        user("broken")
    assert sys.meta_path == finders
    assert "transformers.generation.broken" not in sys.modules
