"""What is kept of servers between commands: for the same server only, for a time, and never in place of looking."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from redaes.backends import abilities
from redaes.backends.abilities import Abilities, ServerIdentity, forget_abilities, keep_abilities, read_abilities

HERE = ServerIdentity(url="http://127.0.0.1:8000/v1", model="m", owner="vllm", server="0.31.0")
KNOWN = Abilities(begins=True, structured="json_schema", left_out=("seed",), values={"top_logprobs": 5.0})


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REDAES_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "servers"


def test_what_is_kept_is_read_again_for_the_same_server_only() -> None:
    assert read_abilities(HERE) is None
    assert keep_abilities(HERE, KNOWN)
    assert read_abilities(HERE) == KNOWN
    others = [("url", "http://x/v1"), ("model", "n"), ("revision", "r"), ("server", "0.32.0"), ("root", "/m")]
    for name, value in others:
        assert read_abilities(HERE.model_copy(update={name: value})) is None
    forget_abilities(HERE)
    assert read_abilities(HERE) is None


def test_it_counts_for_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = [1000.0]
    monkeypatch.setattr(abilities.time, "time", lambda: moment[0])
    keep_abilities(HERE, KNOWN)
    moment[0] += abilities.KEPT_S - 1
    assert read_abilities(HERE) == KNOWN
    moment[0] += 2
    assert read_abilities(HERE) is None
    moment[0] = 500.0  # the clock was put back
    assert read_abilities(HERE) is None


@pytest.mark.parametrize("change", [b"", b"{", b"[]", {"version": 1}, {"abilities": {"begins": "perhaps"}}])
def test_what_cannot_be_read_is_not_known(change: bytes | dict[str, object], folder: Path) -> None:
    keep_abilities(HERE, KNOWN)
    file = folder / HERE.file
    content = change if isinstance(change, bytes) else json.dumps({**json.loads(file.read_bytes()), **change}).encode()
    file.write_bytes(content)
    assert read_abilities(HERE) is None
    assert keep_abilities(HERE, KNOWN)
    assert read_abilities(HERE) == KNOWN


def test_a_folder_that_cannot_be_written_stops_nothing(folder: Path) -> None:
    folder.parent.write_text("a file")
    assert not keep_abilities(HERE, KNOWN)
    assert read_abilities(HERE) is None
    forget_abilities(HERE)
