"""The background service without a service: messages, folders, what must be equal, and what stands on the wire."""

from __future__ import annotations

import io
import json
import math
import os
import socket
from dataclasses import fields
from pathlib import Path

import pytest
from PIL import Image

from redaes import prompts
from redaes.backends.base import Answer, Request
from redaes.backends.failures import Failure
from redaes.backends.next_token import NextToken
from redaes.background import client, place, settings
from redaes.background.backend import answer_of_json, json_of_answer, packed, unpacked
from redaes.background.wire import Broken, receive
from redaes.types import Sampling


@pytest.mark.parametrize(
    "sent",
    [b"", b"{}", b"nonsense\n", b"[1]\n", b'{"a": 1}\n', b'{"attached": [-1]}\n', b'{"attached": [true]}\n',
     b'{"attached": [5]}\nabc', b'{"attached": [2000000000]}\n'],
)  # fmt: skip
def test_what_is_no_message_is_refused(sent: bytes) -> None:
    with pytest.raises(Broken):
        receive(io.BytesIO(sent))


def test_a_message_and_what_is_attached() -> None:
    stream = io.BytesIO(b'{"a": 1, "attached": [2, 0]}\nxyrest')
    assert receive(stream) == ({"a": 1}, [b"xy", b""])
    assert stream.read() == b"rest"


def requests() -> list[Request]:
    red, grey = Image.new("RGB", (3, 2), "red"), Image.new("L", (1, 4), 7)
    measured = prompts.load("compare_measured/v1").fill(evidence="noise 1.5")
    return [
        Request(prompts.load("compare/v1"), (red, grey), sampling=Sampling(temperature=0.7, seed=3)),
        Request(measured, (red, red), "Winner:", (" A", " B"), None),
    ]


def test_requests_arrive_as_they_were_sent() -> None:
    lines, pixels = packed(requests())
    assert len(pixels) == 2, "a picture is sent once"
    found = unpacked(json.loads(json.dumps(lines)), pixels)
    for got, sent in zip(found, requests(), strict=True):
        for name in {field.name for field in fields(Request)} - {"images"}:
            assert getattr(got, name) == getattr(sent, name), name
        assert [(one.mode, one.size, one.tobytes()) for one in got.pixels] == [
            (one.mode, one.size, one.tobytes()) for one in sent.pixels
        ]


@pytest.mark.parametrize(
    "answer",
    [
        Answer("text"),
        Answer(None, NextToken.exactly({" A": -0.1, " B": -1 / 3, " tie": -math.inf}), tokens=3),
        Answer(
            "x", NextToken({" A": -1e-17}, -5.0, "listed"), cut_off=True, changes=("without seed",), held_by="schema"
        ),
        Answer("x", Failure("no_logprob", "none")),
        Failure("timeout", "after 3 s"),
    ],
)
def test_answers_arrive_as_they_were_given(answer: Answer | Failure) -> None:
    assert answer_of_json(json.loads(json.dumps(json_of_answer(answer)))) == answer


def test_a_changed_file_is_another_model(tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    file = adapter / "adapter_model.safetensors"
    file.write_bytes(b"12")
    before = settings.identity("redaes/nano", str(adapter), None)
    assert settings.identity("redaes/nano", str(adapter), None) == before
    os.utime(file, ns=(1, 1))
    assert settings.identity("redaes/nano", str(adapter), None) != before
    assert settings.identity("redaes/nano", None, None) != settings.identity("redaes/nano", None, "cpu")


def test_an_adapter_s_base_that_changed_is_another_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("adapter", "base"):
        Path(name).mkdir()
    Path("adapter/adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "base"}))
    before = settings.identity("adapter", None, None)
    Path("base/model.safetensors").write_bytes(b"12")
    assert settings.identity("adapter", None, None) != before
    Path("adapter/adapter_config.json").write_text("nonsense")
    assert settings.identity("adapter", None, None)["folders"] == [str(tmp_path / "adapter")]


def test_a_link_to_nowhere_in_a_model_s_folder(tmp_path: Path) -> None:
    before = settings.identity(str(tmp_path), None, None)
    (tmp_path / ".#config.json").symlink_to("somebody@host.1234")
    assert settings.identity(str(tmp_path), None, None) != before


@pytest.mark.parametrize(
    "name", ["ATEN_CPU_CAPABILITY", "DNNL_MAX_CPU_ISA", "ONEDNN_MAX_CPU_ISA", "NVIDIA_TF32_OVERRIDE"]
)
def test_variables_by_which_the_last_digits_change(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = settings.settings()
    monkeypatch.setenv(name, "default")
    assert settings.differences(before, settings.settings()) == ["environment"]


def test_no_key_is_among_what_the_service_says(monkeypatch: pytest.MonkeyPatch) -> None:
    before = settings.settings()
    for name in ("HF_TOKEN", "REDAES_API_KEY"):
        monkeypatch.setenv(name, "hf_Secret")
    found = settings.settings()
    assert settings.differences(before, found) == ["environment"]
    assert "hf_Secret" not in json.dumps(found)


def test_settings_on_which_answers_depend(monkeypatch: pytest.MonkeyPatch) -> None:
    before = settings.settings()
    assert json.loads(json.dumps(before)) == before, "what was sent is equal to what was not"
    monkeypatch.setenv("REDAES_SERVICE", "on")
    monkeypatch.setenv("EDITOR", "ed")
    assert settings.differences(before, settings.settings()) == []
    monkeypatch.setenv("OMP_NUM_THREADS", "77")
    assert settings.differences(before, settings.settings()) == ["environment"]


@pytest.mark.parametrize("kind", ["open", "file", "link", "absent"])
def test_a_folder_that_others_may_enter_is_not_used(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "redaes"
    if kind == "open":
        folder.mkdir(mode=0o755)
    elif kind == "file":
        folder.touch()
    elif kind == "link":
        (tmp_path / "mine").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "mine")
    assert place.why_not_private(str(folder)) is not None
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    assert place.why_not_private(str(private)) is None


def test_where_the_service_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert place.folder() == str(tmp_path / "redaes")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "absent"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert place.folder() == str(tmp_path / "cache" / "redaes" / "service")


@pytest.mark.parametrize(
    "words",
    [["compare", "--no-service"], ["compare", "--endpoint", "x"], ["compare", "--endpoint=x"], ["compare", "--help"]],
)
def test_commands_that_are_not_for_the_service(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise AssertionError("it looked for a service")

    monkeypatch.delenv("REDAES_SERVICE")
    monkeypatch.setattr(client, "Session", fail)
    assert client.forwarded(words) is None


@pytest.mark.parametrize("name", ["REDAES_SERVICE", "REDAES_ENDPOINT"])
def test_an_environment_without_a_service(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDAES_SERVICE")
    monkeypatch.setenv(name, "off")
    monkeypatch.setattr(client, "Session", lambda: pytest.fail("it looked for a service"))
    assert client.forwarded(["compare"]) is None


def test_a_system_without_unix_sockets(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("REDAES_SERVICE")
    monkeypatch.delattr(socket, "AF_UNIX")
    assert client.forwarded(["compare", "a", "b", "--verbose"]) is None
    assert "the background service is not used: this system has no Unix sockets" in capsys.readouterr().err
    assert client.forwarded(["compare", "a", "b"]) is None
    assert capsys.readouterr().err == ""


def test_a_process_without_standard_output_does_its_own_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDAES_SERVICE")
    monkeypatch.setattr(client, "Session", lambda: pytest.fail("it looked for a service"))
    monkeypatch.setattr("sys.stdout", None)
    assert client.forwarded(["compare"]) is None
