"""Which Python can install which extra: resolved, not installed.

pip answers only for the Python that it runs in; uv for any. Needs a package index, as the rest of this tier does.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import tomllib

from redaes.errors import MIN_PYTHON
from redaes.serving import vllm_versions

ROOT = Path(__file__).resolve().parents[2]
PROJECT = ROOT / "pyproject.toml"
EXTRAS = tuple(tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["optional-dependencies"])
PLATFORM = "x86_64-manylinux_2_31"
"""As docs/install.md has it: llguidance's wheels are for this glibc, the others' for an older one."""
NO_WHEEL = ("deepspeed",)
"""Packages that come as source alone; all others must have a wheel for the Python asked about."""

pytest.importorskip("uv", reason="uv is absent; pip install 'redaes[dev]'")


def resolve(python: str, *extras: str, pinned: bool = False) -> subprocess.CompletedProcess[str]:
    """What pip would install on Linux, as lines of ``name==version``."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate",
               "--python-version", python, "--python-platform", PLATFORM, "--only-binary", ":all:",
               *(part for name in NO_WHEEL for part in ("--no-binary", name)),
               *(part for extra in extras for part in ("--extra", extra)),
               *(("--constraints", str(ROOT / "constraints.txt")) if pinned else ()), str(PROJECT)]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


def versions(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(line.split(";")[0].strip().split("==") for line in done.stdout.splitlines())


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
def test_everything_resolves(python: str) -> None:
    newest = versions(resolve(python, "all"))
    assert {"torch", "transformers", "trl", "deepspeed", "diffusers", "ray", "scikit-image"} <= newest.keys()
    pinned = versions(resolve(python, "all", "dev", pinned=True))
    for name, version in re.findall(r"^(torch|transformers|trl|peft|datasets)==(\S+)", constraints(), re.MULTILINE):
        assert pinned[name] == version


@pytest.mark.parametrize("python", ["3.11", "3.14"])
def test_every_extra_resolves_with_all_others(python: str) -> None:
    found = versions(resolve(python, *EXTRAS))
    assert {"vllm", "rawpy", "qwen-vl-utils", "liger-kernel", "wandb", "trl", "diffusers"} <= found.keys()
    fitting = [one.series for one in vllm_versions.series_for(found)]
    assert found["vllm"].rpartition(".")[0] in fitting


def constraints() -> str:
    return (ROOT / "constraints.txt").read_text(encoding="utf-8").replace(";", " ;")


def test_an_old_python_has_the_core_and_is_told_what_it_lacks() -> None:
    assert "transformers" in versions(resolve("3.10", "edit", "serve", "eval", "ray"))
    assert "torch" in versions(resolve("3.10", pinned=True))
    for extra in ("train", "diffusion"):  # `demo` and `all` hold them
        assert extra in MIN_PYTHON
        done = resolve("3.10", extra)
        assert done.returncode != 0
        assert "Python>=3.11" in done.stderr


def test_no_python_is_older_than_the_core_asks_for() -> None:
    declared = re.search(r'^requires-python = ">=(.+)"$', PROJECT.read_text(encoding="utf-8"), re.MULTILINE)
    assert declared is not None
    assert declared.group(1) == "3.10"
    assert set(MIN_PYTHON.values()) == {(3, 11)}
