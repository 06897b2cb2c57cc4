"""torchvision beside a torch without CUDA, with stand-ins for both: what is mended, and what is not."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import redaes
from redaes import torchvision_compat

BROKEN = """
import torch, torchvision.parts
if not torch.defined:
    raise RuntimeError("{error}")
tried = torchvision.parts.tried
"""
NO_SCHEMA = "operator torchvision::nms does not exist"


class StandIn:
    """A torch that notes which schemas are defined."""

    def __init__(self, cuda: str | None) -> None:
        self.version = SimpleNamespace(cuda=cuda, hip=None)
        self.library = SimpleNamespace(Library=lambda namespace, kind: SimpleNamespace(define=self.defined.append))
        self.defined: list[str] = []


def import_torchvision(folder: Path, patch: pytest.MonkeyPatch, torch: StandIn, error: str = NO_SCHEMA) -> Any:
    package = folder / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text(BROKEN.format(error=error))
    (package / "parts.py").write_text("tried = []\n")
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        patch.delitem(sys.modules, name)
    patch.setitem(sys.modules, "torch", torch)
    patch.setattr(torchvision_compat, "_libraries", [])
    patch.syspath_prepend(str(folder))
    importlib.invalidate_caches()
    try:
        return importlib.import_module("torchvision")
    finally:
        for name in ("torchvision", "torchvision.parts"):
            sys.modules.pop(name, None)


def test_what_is_missing_is_defined_and_the_import_goes_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = StandIn(cuda=None)
    found = import_torchvision(tmp_path, monkeypatch, torch)
    assert isinstance(found, ModuleType)
    assert [schema.partition("(")[0] for schema in torch.defined] == ["nms", "qnms"]
    assert found.tried is found.parts.tried  # of the second import, not left over from the first


@pytest.mark.parametrize(("cuda", "error"), [("12.8", NO_SCHEMA), (None, "something else")])
def test_another_fault_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cuda: str | None, error: str) -> None:
    torch = StandIn(cuda)
    with pytest.raises(RuntimeError, match=error):
        import_torchvision(tmp_path, monkeypatch, torch, error)
    assert torch.defined == []


def test_it_is_in_place_once_from_the_first_import_of_redaes_on() -> None:
    assert redaes.__name__ == "redaes"
    before = list(sys.meta_path)
    torchvision_compat.make_torchvision_importable()
    assert sys.meta_path == before
    assert before.count(torchvision_compat._Finder) == 1


@pytest.mark.parametrize("name", ["json", "torchvision.parts", "torch"])
def test_other_modules_are_found_as_ever(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / f"{name.rpartition('.')[2]}.py").write_text("")  # it could be found
    assert torchvision_compat._Finder.find_spec(name, [str(tmp_path)]) is None
