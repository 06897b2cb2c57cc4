"""What holds for all tests: hubs are offline, and nothing talks to another machine.

Connections of this process to anything but the machine itself are refused from the start of the session; a
test in ``tests/unit`` may not even open those. Subprocesses are not covered: they inherit the offline
variables only, and ``tests/packaging`` relies on that to reach the package index.
"""

from __future__ import annotations

import os
import tempfile

# Before anything imports torch or a hub client.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["VLLM_NO_USAGE_STATS"] = "1"
# A service that a developer runs answers no test, no server of theirs is asked, and no key of theirs is sent.
os.environ["REDAES_SERVICE"] = "off"
os.environ.pop("REDAES_ENDPOINT", None)
os.environ.pop("REDAES_API_KEY", None)
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A cache of its own for each process that runs tests, and the processes that it starts: pytest gives folders the same
# names again, and what another run cached under such a name is not this run's data.
os.environ["HF_DATASETS_CACHE"] = tempfile.mkdtemp(prefix="redaes-datasets-cache-")
os.environ["REDAES_CACHE"] = tempfile.mkdtemp(prefix="redaes-cache-")

import ipaddress
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from PIL import Image

hypothesis.settings.register_profile("no_deadline", deadline=None)  # a busy machine fails no test
hypothesis.settings.load_profile("no_deadline")

UNIT = Path(__file__).parent / "unit"


class NetworkBlocked(RuntimeError):
    """A test used a socket that it may not use. Not an OSError, so that no retry loop swallows it."""


def _is_local(address: object) -> bool:
    """Whether a socket address, or a host name, names this machine."""
    if isinstance(address, tuple):
        address = address[0]
    if address in (None, "", "localhost", b"localhost"):
        return True
    if isinstance(address, bytes):
        address = address.decode(errors="replace")
    try:
        ip = ipaddress.ip_address(str(address).split("%")[0])
    except ValueError:
        return False  # a name: looking it up is already talking to another machine
    return ip.is_loopback or ip.is_unspecified


def _guard_method(name: str, allowed: Callable[[object], bool], why: str) -> Callable[..., object]:
    real = getattr(socket.socket, name)

    def guarded(self: socket.socket, *args: object) -> object:
        # The address is the last argument of connect, connect_ex, bind and sendto.
        if self.family in (socket.AF_INET, socket.AF_INET6) and not allowed(args[-1]):
            raise NetworkBlocked(f"socket.{name}({args[-1]!r}): {why}")
        return real(self, *args)

    return guarded


def _guard_lookup(allowed: Callable[[object], bool], why: str) -> Callable[..., object]:
    real = socket.getaddrinfo

    def guarded(host: object, *args: object, **kwargs: object) -> object:
        if not allowed(host):
            raise NetworkBlocked(f"socket.getaddrinfo({host!r}): {why}")
        return real(host, *args, **kwargs)  # type: ignore[arg-type]

    return guarded


def _block(patch: pytest.MonkeyPatch, names: tuple[str, ...], allowed: Callable[[object], bool], why: str) -> None:
    for name in names:
        patch.setattr(socket.socket, name, _guard_method(name, allowed, why))
    patch.setattr(socket, "getaddrinfo", _guard_lookup(allowed, why))


LONG = (
    "e2e/test_stage_scripts.py",  # 280
    "packaging/test_wheel.py",  # most of it waits for the package index
    "e2e/test_two_processes.py",  # 85
    "packaging/test_versions.py",  # waits for it too
    "e2e/test_background.py",  # 60
    "integration/test_stages_at_scale.py",  # 45
    "integration/test_validated.py",  # 45
    "integration/test_grpo.py",  # 40
    "integration/test_demo.py",  # 35
    "integration/test_processes.py",  # 30
    "integration/test_engines.py",  # 30
    "integration/test_build_pairs.py",  # 30
    "integration/test_stages.py",  # 30
)
"""Files that take longest, longest first; seconds of a core, processes that they start included (AMD EPYC)."""

TIERS = ("e2e", "packaging", "integration", "unit")
"""The other files: a file of an earlier folder is likelier to be long."""


def _place(path: Path) -> tuple[int, int]:
    """Where a file of tests stands in the order in which workers take files."""
    name = path.relative_to(UNIT.parent).as_posix()
    if name in LONG:
        return 0, LONG.index(name)
    tier = name.partition("/")[0]
    return 1, TIERS.index(tier) if tier in TIERS else len(TIERS)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Beside other workers, long files begin first: one that began last would be waited for by all the others."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: _place(item.path))


_session_patch = pytest.MonkeyPatch()


def pytest_configure() -> None:
    _block(_session_patch, ("connect", "connect_ex", "sendto"), _is_local, "tests reach no other machine")


def pytest_unconfigure() -> None:
    _session_patch.undo()
    shutil.rmtree(os.environ["HF_DATASETS_CACHE"], ignore_errors=True)
    shutil.rmtree(os.environ["REDAES_CACHE"], ignore_errors=True)


@pytest.fixture(autouse=True)
def nothing_kept_of_servers() -> None:
    """Ports are taken again: what one test found out of its server is not known of the next one's."""
    shutil.rmtree(Path(os.environ["REDAES_CACHE"]) / "servers", ignore_errors=True)


@pytest.fixture(autouse=True)
def no_sockets_in_unit_tests(request: pytest.FixtureRequest) -> Iterator[None]:
    """Refuses every internet socket, loopback included, to a test under tests/unit."""
    if UNIT not in request.path.parents:
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        why = "unit tests open no sockets; tests/integration may use this machine's"
        _block(patch, ("connect", "connect_ex", "sendto", "bind"), lambda _address: False, why)
        yield


def synthetic_photograph(seed: int, width: int = 320, height: int = 240) -> Image.Image:
    """A picture with what photographs have: a light gradient, coloured shapes, texture."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    base = 90 + 90 * (np.cos(x / width * rng.uniform(1, 4) + rng.uniform(0, 6)) + y / height) / 2
    picture = base[..., None] * rng.uniform(0.6, 1.1, 3)
    for _ in range(8):
        centre = rng.uniform((0, 0), (width, height))
        radius = rng.uniform(0.05, 0.25) * height
        inside = np.hypot(x - centre[0], y - centre[1]) < radius
        picture[inside] = rng.uniform(20, 235, 3)
    picture += rng.normal(0, 6, (height, width, 1)) + 12 * np.sin(x / rng.uniform(2, 5))[..., None]
    return Image.fromarray(picture.clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="session")
def photo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six different synthetic photographs, of two shapes: prompts then differ in length."""
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(6):
        synthetic_photograph(seed, width=320 if seed % 2 else 240).save(folder / f"photo{seed}.png")
    return folder


@pytest.fixture(scope="session")
def red_folder(photo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small RED dataset built from the synthetic photographs."""
    from redaes.datagen.dataset_settings import DatasetSettings
    from redaes.datagen.pipeline import build

    folder = tmp_path_factory.mktemp("red") / "pairs"
    build([photo_folder], folder, DatasetSettings(views=4, variants=3, max_side=96, test_fraction=0.34, seed=1))
    return folder
