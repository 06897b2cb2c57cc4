"""The state of an installation: what is installed, what is missing, and the commands that install it."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata

from packaging.requirements import Requirement

from redaes import cores
from redaes.errors import BackendError, InputError, install_line
from redaes.local_servers import RunningServer, find_servers, ports_to_ask
from redaes.models import nano
from redaes.serving import vllm_versions

CORE = ""
"""The name under which the packages that redaes always needs are listed."""


@dataclass(frozen=True)
class RequiredPackage:
    """A required package."""

    name: str
    wanted: str
    """Required version range; empty: any version."""
    found: str | None
    """Installed version; None: absent."""

    @property
    def fits(self) -> bool:
        """Whether the package is installed in a version within the range."""
        return self.found is not None and Requirement(f"x{self.wanted}").specifier.contains(
            self.found, prereleases=True
        )


@dataclass(frozen=True)
class PackageGroup:
    """The core or an extra, with the packages that it requires itself."""

    name: str
    """The extra's name, or ``CORE``."""
    packages: tuple[RequiredPackage, ...]
    includes: tuple[str, ...] = ()
    """Other extras that it includes."""
    absent_here: tuple[str, ...] = ()
    """Packages that it requires on other systems only."""

    @property
    def fits(self) -> bool:
        """Whether all of its packages are installed."""
        return all(package.fits for package in self.packages)

    @property
    def remedy(self) -> str | None:
        """The command that installs what is missing; None: nothing is missing."""
        if self.fits:
            return None
        return install_line(f"'redaes[{self.name}]'" if self.name else "--upgrade redaes", self.name)


@dataclass(frozen=True)
class InstallationReport:
    """The state of an installation."""

    version: str
    python: str
    parts: tuple[PackageGroup, ...]
    device: str
    """The device on which models would run, or why it is not known."""
    cores: str
    """How many cores may be used, how many are free, and how threads wait for each other."""
    model: str | None
    """What is wrong with the embedded model; None: nothing."""
    vllm: str
    """Which version of vLLM fits what is installed."""
    servers: tuple[RunningServer, ...]
    """Model servers that answer on this machine."""

    @property
    def healthy(self) -> bool:
        """Whether the core is complete; extras are optional."""
        return self.parts[0].fits and self.model is None


def examine() -> InstallationReport:
    """Examine this installation.

    Raises:
        InputError: redaes itself is not installed, so its requirements are not known.
    """
    try:
        requirements = [Requirement(line) for line in metadata.requires("redaes") or []]
    except metadata.PackageNotFoundError as error:
        raise InputError("redaes runs from a checkout that is not installed; run: pip install -e .") from error
    extras = metadata.metadata("redaes").get_all("Provides-Extra") or []
    needed = {extra: _needed(extra, requirements) for extra in (CORE, *extras)}
    parts = [_group(extra, needed, requirements) for extra in needed]
    try:
        nano.weights()
    except BackendError as error:
        wrong: str | None = str(error)
    else:
        wrong = None
    return InstallationReport(
        version=metadata.version("redaes"),
        python=f"{platform.python_version()} ({sys.executable})",
        parts=tuple(parts),
        device=_device(),
        cores=_cores(),
        model=wrong,
        vllm=vllm_advice({name: _found(name) for name in ("torch", "transformers")}, vllm_versions.installed_vllm()),
        servers=find_servers(ports_to_ask()),
    )


def vllm_advice(found: Mapping[str, str | None], vllm: str | None) -> str:
    """Return which version of vLLM fits what is installed, and what to do where none does.

    Args:
        found: installed versions of torch and transformers; None: absent.
        vllm: the version of vLLM in this environment; None: absent.
    """
    have = " and ".join(f"{name} {version}" for name, version in found.items() if version is not None)
    apart = (
        "a separate environment leaves your packages unchanged: python -m venv vllm-env && vllm-env/bin/pip install "
        "'redaes[vllm]', then redaes serve --vllm vllm-env/bin/python"
    )
    if vllm is not None and vllm_versions.fits(vllm):
        return f"{vllm} is installed; redaes serve --vllm starts it"
    if vllm is not None:
        return f"{vllm} is installed, but redaes was not tested with it (tested: {vllm_versions.FITTING}); {apart}"
    if sys.platform != "linux":
        return "vLLM runs only on Linux; use a server there with --endpoint or redaes serve --attach"
    fitting = [one.series for one in vllm_versions.series_for(found)]
    if not fitting:
        return f"no version fits {have or 'the installed packages'}, and pip would change them; {apart}"
    line = install_line("'redaes[vllm]'", "vllm")
    return f"version {' or '.join(fitting)} fits {have or 'the installed packages'}: {line}; {apart}"


def _needed(extra: str, requirements: Sequence[Requirement]) -> dict[str, str]:
    """Return the names and version ranges of the packages that an extra, or the core, requires on this machine."""
    return {one.name: str(one.specifier) for one in requirements if _belongs(one, extra) and one.name != "redaes"}


def _group(extra: str, needed: Mapping[str, Mapping[str, str]], requirements: Sequence[Requirement]) -> PackageGroup:
    mine = needed[extra]
    # Once installed, an extra that names other extras has all of their packages as its own requirements.
    includes = [
        other for other, names in needed.items() if other not in ("", extra) and names and names.items() < mine.items()
    ]
    elsewhere = {one.name for one in requirements if _belongs_elsewhere(one, extra)} - mine.keys()
    return PackageGroup(
        extra,
        tuple(RequiredPackage(name, wanted, _found(name)) for name, wanted in mine.items()),
        tuple(includes) if extra else (),
        tuple(sorted(elsewhere)),
    )


def _belongs(requirement: Requirement, extra: str) -> bool:
    """Return whether this extra, or the core, asks for the requirement on this machine."""
    marker = requirement.marker
    if extra == CORE:
        return marker is None or marker.evaluate({"extra": ""})
    return marker is not None and marker.evaluate({"extra": extra}) and not marker.evaluate({"extra": ""})


def _belongs_elsewhere(requirement: Requirement, extra: str) -> bool:
    """Return whether this extra asks for the requirement on another system."""
    return extra != CORE and f'extra == "{extra}"' in str(requirement.marker) and not _belongs(requirement, extra)


def _found(name: str) -> str | None:
    if name == "vllm":
        return vllm_versions.installed_vllm()
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _cores() -> str:
    usable, idle = cores.usable_cores(), cores.idle_cores()
    threads = os.environ.get(cores.THREADS)
    waiting = next((f"{name}={os.environ[name]}" for name in cores.WAITING if name in os.environ), "chosen by OpenMP")
    chosen = "one for each core" if threads is None else f"{cores.THREADS}={threads}"
    return f"{usable} usable, {idle:.1f} idle just now; threads: {chosen}, waiting: {waiting}"


def _device() -> str:
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a library that torch is linked against is absent
        return f"torch cannot be loaded ({error})"
    if not torch.cuda.is_available():
        return f"cpu, {torch.get_num_threads()} threads (torch {torch.__version__})"
    names = ", ".join(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
    return f"cuda: {names} (torch {torch.__version__})"
