"""Recipes and launch configurations by name, from the folders of a checkout and from those of a wheel."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from redaes import recipe_files
from redaes.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
KINDS = get_args(recipe_files.Kind)
ALL = [(kind, name) for kind in KINDS for name in recipe_files.names(kind)]


def test_every_file_is_found_by_its_name() -> None:
    found = {recipe_files.find(name, kind) for kind, name in ALL}
    folders = ("stages/configs", "data_gen/configs", "eval/configs", "accelerate_configs")
    assert found == {file for folder in folders for file in (ROOT / folder).iterdir()}


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_every_file_says_what_it_is_in_its_first_line(kind: recipe_files.Kind, name: str) -> None:
    assert recipe_files.headline(kind, name).endswith(".")


def test_what_is_in_the_wheel_goes_before_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = dict(re.findall(r'^"([\w/]+)" = "redaes/([\w/]+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE))
    for kind in KINDS:
        source = recipe_files.folder(kind).relative_to(ROOT).as_posix()
        (tmp_path / packed[source]).mkdir(parents=True)
        (tmp_path / packed[source] / "one.yaml").write_text("# The only one.\n")
    monkeypatch.setattr(recipe_files, "_PACKAGED", tmp_path / "_configs")
    for kind in KINDS:
        assert recipe_files.names(kind) == ("one",)
        assert recipe_files.find("one", kind).read_text() == "# The only one.\n"


def test_a_path_stays_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for given in ("zero2.yaml", "none.yml", "./zero2", "some/zero2"):
        assert recipe_files.find(given, "accelerate") == Path(given)
    (tmp_path / "zero2").touch()
    assert recipe_files.find("zero2", "accelerate") == Path("zero2")


def test_the_beginning_of_a_name_may_be_left_out() -> None:
    names = recipe_files.names("stages", "stage3_")
    whole = recipe_files.find("stage3_nano", "stages", names, "stage3_")
    assert recipe_files.find("nano", "stages", names, "stage3_") == whole == ROOT / "stages/configs/stage3_nano.yaml"
    with pytest.raises(InputError, match=r"recipe 'stage1_nano' is unknown; .* nano, qwen2_5_vl_3b, "):
        recipe_files.find("stage1_nano", "stages", names, "stage3_")
    with pytest.raises(
        InputError, match=r"accelerate configuration 'zero9' is unknown; .* zero2, zero3, zero3_offload"
    ):
        recipe_files.find("zero9", "accelerate")


def test_builds_and_benchmarks_take_recipes_by_name() -> None:
    from redaes.datagen.build_recipe import read_recipe
    from redaes.evaluation.eval_recipe import make_spec

    assert read_recipe(Path("small"))["views"] == 4
    assert make_spec(Path("baseline"), {"benchmark": "ava", "data": "AVA"}).assessor == "baseline"
    for read in (read_recipe, lambda path: make_spec(path, {})):
        with pytest.raises(InputError, match=r"recipe 'nowhere' is unknown"):
            read(Path("nowhere"))
