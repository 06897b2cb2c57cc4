"""What has to agree before a release: version, changelog, citation, model cards, a clean tree; then what was built.

    python release/checks.py                # before `make dist`
    python release/checks.py --dist dist    # after it

Prints each thing that is wrong with its remedy and exits with 1, else with 0.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import tomllib

ROOT = Path(__file__).resolve().parents[1]
MAX_WHEEL_BYTES = 20_000_000
CARDS = ("redaes/models/nano/weights/README.md", "redaes/models/nano/base/README.md")
IN_WHEEL = ("redaes/_prompts/", "redaes/_configs/stages/", "redaes/_configs/accelerate/", *CARDS)
IN_SDIST = ("pyproject.toml", "CHANGELOG.md", "LICENSE", "README.md", "tests/conftest.py", "prompts/")


def version_of(root: Path) -> str:
    """The version that ``pyproject.toml`` states."""
    return str(tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"])


def what_is_wrong(root: Path) -> Iterator[str]:
    """What of a checkout does not fit a release, each with its remedy."""
    version = version_of(root)
    changes = (root / "CHANGELOG.md").read_text()
    unreleased = re.search(r"^## \[Unreleased\]\n(.*?)(?=^## |\Z)", changes, re.M | re.S)
    if unreleased is None:
        yield "CHANGELOG.md has no section [Unreleased]; add an empty one above the newest version"
    elif unreleased[1].strip():
        yield f"CHANGELOG.md has changes under [Unreleased]; move them under ## [{version}] - YYYY-MM-DD"
    newest = re.search(r"^## \[?(\d[^\]\s]*)\]?(?: - (\d{4}-\d{2}-\d{2}))?\s*$", changes, re.M)
    if newest is None or newest[1] != version:
        stated = "none" if newest is None else newest[1]
        yield f"the newest version in CHANGELOG.md is {stated}, pyproject.toml has {version}; make them agree"
    elif newest[2] is None:
        yield f"CHANGELOG.md gives {version} no date; write ## [{version}] - YYYY-MM-DD"
    cited = re.search(r"^version: (\S+)$", (root / "CITATION.cff").read_text(), re.M)
    if cited is None or cited[1] != version:
        yield f"CITATION.cff does not state version {version}; mend it"
    for card in CARDS:
        text = (root / card).read_text() if (root / card).is_file() else ""
        for needed in ("license", "pipeline_tag"):
            if not re.search(rf"^{needed}: \S", text.split("\n---", 1)[0], re.M):
                yield f"{card} states no {needed} in its head; write it"
    state = subprocess.run(["git", "status", "--porcelain"], cwd=root, capture_output=True, text=True, check=True)
    if state.stdout:
        yield f"the tree has changes that are in no commit ({len(state.stdout.splitlines())} files); commit them"


def what_is_missing(root: Path, dist: Path) -> Iterator[str]:
    """What of a folder with a wheel and an sdist is not as it has to be."""
    stem = f"redaes-{version_of(root)}"
    wheel, sdist = dist / f"{stem}-py3-none-any.whl", dist / f"{stem}.tar.gz"
    if {path.name for path in dist.iterdir()} != {wheel.name, sdist.name}:
        yield f"{dist} does not hold {wheel.name} and {sdist.name} alone; run make dist"
        return
    if wheel.stat().st_size > MAX_WHEEL_BYTES:
        yield f"{wheel.name} has {wheel.stat().st_size} bytes, {MAX_WHEEL_BYTES} are allowed; take something out"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    for start in IN_WHEEL:
        if not any(name.startswith(start) for name in names):
            yield f"{wheel.name} lacks {start}; see [tool.hatch] in pyproject.toml"
    with tarfile.open(sdist) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    for start in IN_SDIST:
        if not any(name.startswith(start) for name in names):
            yield f"{sdist.name} lacks {start}; see [tool.hatch] in pyproject.toml"


def main() -> int:
    """Print what is wrong; the exit status."""
    parser = argparse.ArgumentParser(description="What has to agree before a release.")
    parser.add_argument("--dist", type=Path, help="a folder with wheel and sdist, which are looked into")
    dist: Path | None = parser.parse_args().dist
    wrong = list(what_is_wrong(ROOT) if dist is None else what_is_missing(ROOT, dist))
    for line in wrong:
        print(line, file=sys.stderr)
    if not wrong:
        print(f"redaes {version_of(ROOT)}: {'ready to build' if dist is None else 'ready to upload'}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
