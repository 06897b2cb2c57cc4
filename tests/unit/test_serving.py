"""Where the service may listen, with which keys; and the pattern that holds a model to the grammar."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from redaes.cli.app import app
from redaes.errors import InputError, MissingDependency
from redaes.serving import vllm_versions
from redaes.serving.limits import ServiceLimits
from redaes.serving.page_files import FOLDER_PAGE, SERVICE_PAGE
from redaes.serving.run import ServiceAddress, read_api_keys

KEYS = ("a-key-of-the-tests-0123",)


def test_loopback_needs_nothing() -> None:
    for host in ("127.0.0.1", "::1", "localhost", "127.0.0.2"):
        assert ServiceAddress(host).api_keys == ()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"host": "0.0.0.0"}, "--api-keys"),
        ({"host": "::"}, "--api-keys"),
        ({"host": "0.0.0.0", "api_keys": KEYS}, "--allow-host"),
        ({"host": "example.org"}, "give an address"),
        ({"port": 70_000}, "port"),
    ],
)
def test_other_machines_come_in_on_purpose_only(settings: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        ServiceAddress(**settings)  # type: ignore[arg-type]
    assert ServiceAddress("0.0.0.0", api_keys=KEYS, allowed_hosts=("photos.example",)).port == 8080


def test_keys_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# of the office\n\n{KEYS[0]}\n  another-key-0123456789  \n")
    assert read_api_keys(file) == (KEYS[0], "another-key-0123456789")


@pytest.mark.parametrize("text", ["", "# none\n", "short\n", "a key with spaces in it\n", "schlüssel-aus-umlauten\n"])
def test_keys_that_protect_nothing(tmp_path: Path, text: str) -> None:
    file = tmp_path / "keys"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="key"):
        read_api_keys(file)
    with pytest.raises(InputError, match="cannot be read"):
        read_api_keys(tmp_path / "absent")


@pytest.mark.parametrize(
    "settings", [{"workers": 0}, {"max_waiting": -1}, {"timeout_s": 0.0}, {"drain_s": float("inf")}]
)
def test_limits_that_make_no_sense(settings: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(settings))):
        ServiceLimits(**settings)  # type: ignore[arg-type]


def test_without_a_value_vllm_is_that_of_this_python(monkeypatch: pytest.MonkeyPatch) -> None:
    done = CliRunner().invoke(app, ["serve", "--vllm", "--port", "0"])
    assert done.exit_code == 4, done.output
    assert done.stderr == "redaes: vllm is not installed; run: pip install 'redaes[vllm]'\n"
    monkeypatch.setattr(vllm_versions, "installed_vllm", lambda: "0.30.1")
    done = CliRunner().invoke(app, ["serve", "--vllm"])
    assert done.exit_code == 2, done.output
    assert "has vLLM 0.30.1, which cannot read" in done.stderr
    assert f"{sys.executable} -m pip install 'vllm<0.34,>=0.31'" in done.stderr


@pytest.mark.parametrize(
    ("answer", "notice"),
    [("0.31.0+cpu", None), ("0.33.2", None), ("0.34.0", "none that this was tried with"), ("fork", "none that this")],
)
def test_the_vllm_of_another_environment_is_looked_at(tmp_path: Path, answer: str, notice: str | None) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho '\"{answer}\"'\n")
    python.chmod(0o755)
    said = vllm_versions.check_vllm(python)
    assert said is None if notice is None else notice in (said or "")


@pytest.mark.parametrize(
    ("does", "error", "words"),
    [
        ("echo null", MissingDependency, "in the environment of"),
        ("exit 1", InputError, "does not answer as a Python does"),
        ("echo no JSON", InputError, "does not answer as a Python does"),
        ("echo '\"0.14.0\"'", InputError, "has vLLM 0.14.0"),
    ],
)
def test_another_environment_that_will_not_do(tmp_path: Path, does: str, error: type[Exception], words: str) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{does}\n")
    python.chmod(0o755)
    with pytest.raises(error, match=words):
        vllm_versions.check_vllm(python)


def test_another_python_says_what_it_has() -> None:
    found = vllm_versions.vllm_of(Path(sys.executable).parent / ".." / "bin" / Path(sys.executable).name)
    assert found == vllm_versions.installed_vllm()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--host", "0.0.0.0"], "--api-keys"),
        (["--vllm", "/no/python"], "no program"),
        (["--vllm", "x", "--attach", "http://127.0.0.1:9/v1"], "one of them"),
        (["--attach", "http://127.0.0.1:9/v1", "--adapter", "x"], "on that server as --model"),
        (["--references", "/no/such"], "/no/such"),
        (["--max-waiting", "-1"], "max_waiting"),
    ],
)
def test_what_cannot_work_is_said_before_a_model_is_loaded(options: list[str], words: str) -> None:
    done = CliRunner().invoke(app, ["serve", *options])
    assert done.exit_code == 2, done.output
    assert words in done.stderr


@pytest.mark.parametrize("page", [SERVICE_PAGE, FOLDER_PAGE], ids=["service", "folder"])
def test_a_page_loads_what_is_served_and_nothing_else(page: Mapping[str, Path]) -> None:
    asked = re.findall(r'(?:src|href)="([^"]+)"', page[""].read_text(encoding="utf-8"))
    assert sorted(asked) == sorted(set(page) - {""})
    assert all(path.is_file() for path in page.values())


def test_every_file_of_the_pages_is_served() -> None:
    folder = SERVICE_PAGE[""].parent
    assert {path for path in folder.iterdir() if path.is_file()} <= {*SERVICE_PAGE.values(), *FOLDER_PAGE.values()}
