"""What is installed, what is missing, and the line that mends it."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass
from importlib import metadata

from packaging.requirements import Requirement

from redaes.errors import BackendError, InputError, install_line
from redaes.models import nano

CORE = ""
"""The name under which what redaes always needs is listed."""


@dataclass(frozen=True)
class RequiredPackage:
    """A required package."""

    name: str
    wanted: str
    """Version range; empty: any."""
    found: str | None
    """Installed version; None: absent."""

    @property
    def fits(self) -> bool:
        """Whether it is there in a version that will do."""
        return self.found is not None and Requirement(f"x{self.wanted}").specifier.contains(
            self.found, prereleases=True
        )


@dataclass(frozen=True)
class PackageGroup:
    """The core, or an extra, with the packages that it brings itself."""

    name: str
    """The extra's name; ``CORE``: what is always needed."""
    packages: tuple[RequiredPackage, ...]

    @property
    def fits(self) -> bool:
        """Whether all of it is there."""
        return all(package.fits for package in self.packages)

    @property
    def remedy(self) -> str | None:
        """The command that installs what is missing; None: nothing is."""
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
    """Where models would run, or why that cannot be said."""
    model: str | None
    """What is wrong with the model that comes with the package; None: nothing."""

    @property
    def healthy(self) -> bool:
        """Whether the core works; extras are a choice."""
        return self.parts[0].fits and self.model is None


def examine() -> InstallationReport:
    """Look at this installation.

    Raises:
        InputError: redaes itself is not installed, so that nothing says what it needs.
    """
    try:
        requirements = [Requirement(line) for line in metadata.requires("redaes") or []]
    except metadata.PackageNotFoundError as error:
        raise InputError("redaes runs from a checkout that is not installed; run: pip install -e .") from error
    extras = metadata.metadata("redaes").get_all("Provides-Extra") or []
    parts = []
    for extra in (CORE, *extras):
        needed = [one for one in requirements if _belongs(one, extra) and one.name != "redaes"]
        if needed:  # an extra that only names others is the sum of them
            parts.append(
                PackageGroup(
                    extra, tuple(RequiredPackage(one.name, str(one.specifier), _found(one.name)) for one in needed)
                )
            )
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
        model=wrong,
    )


def _belongs(requirement: Requirement, extra: str) -> bool:
    """Whether it is asked for by this extra, or by the core, on this machine."""
    marker = requirement.marker
    if extra == CORE:
        return marker is None or marker.evaluate({"extra": ""})
    return marker is not None and marker.evaluate({"extra": extra}) and not marker.evaluate({"extra": ""})


def _found(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _device() -> str:
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a library that torch is linked against
        return f"torch cannot be loaded ({error})"
    if not torch.cuda.is_available():
        return f"cpu, {torch.get_num_threads()} threads (torch {torch.__version__})"
    names = ", ".join(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
    return f"cuda: {names} (torch {torch.__version__})"
