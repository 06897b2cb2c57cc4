"""What a result must carry to be made again: versions, machine, command."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

PACKAGES = ("redaes", "torch", "transformers", "trl", "peft", "accelerate", "deepspeed", "datasets", "numpy", "pillow")


def environment() -> dict[str, Any]:
    """Versions of what matters, the interpreter, the machine and the command line."""
    versions: dict[str, str] = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue  # an optional package that is not there is not part of the run
    return {
        "versions": versions,
        "python": platform.python_version(),
        "machine": {"system": platform.platform(), "cpus": os.cpu_count()},
        "command": [os.path.basename(sys.argv[0]), *sys.argv[1:]],
    }
