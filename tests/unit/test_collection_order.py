"""In which order processes that share the tests take files: the long ones first."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.conftest import LONG, TIERS, pytest_collection_modifyitems

TESTS = Path(__file__).resolve().parents[1]


def items(*names: str) -> list[SimpleNamespace]:
    return [SimpleNamespace(path=TESTS / name, number=number) for number, name in enumerate(names)]


def test_every_long_file_is_there_once() -> None:
    assert [name for name in LONG if not (TESTS / name).is_file()] == []
    assert len(set(LONG)) == len(LONG)
    assert {path.name for path in TESTS.iterdir() if path.is_dir() and list(path.glob("test_*.py"))} >= set(TIERS)


def test_beside_other_workers_long_files_begin_and_tests_of_a_file_keep_their_order() -> None:
    found = items("unit/test_types.py", "integration/test_new.py", LONG[1], "gpu/test_x.py", LONG[0], LONG[1])
    pytest_collection_modifyitems(SimpleNamespace(workerinput={}), found)  # type: ignore[arg-type]
    assert [item.number for item in found] == [4, 2, 5, 1, 0, 3]


def test_alone_the_order_is_pytests_own() -> None:
    found = items("unit/test_types.py", LONG[0])
    pytest_collection_modifyitems(SimpleNamespace(), found)  # type: ignore[arg-type]
    assert [item.number for item in found] == [0, 1]


def test_a_process_has_one_datasets_cache(pytestconfig: pytest.Config) -> None:
    import tests.conftest

    assert tests.conftest in pytestconfig.pluginmanager.get_plugins()  # imported once, not once more by its name
