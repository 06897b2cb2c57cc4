"""A Chromium of the system's packages for the tests of pages, and what is asked of every page there.

As a script it prints the program's path, or says how to install one: ``make test-browser`` asks that first.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
"""Under which the packages of Debian, Fedora, Ubuntu and Google install it."""

REMEDY = (
    "The tests of pages need a Chromium, and none is installed here. Install one (Debian: `sudo apt-get install "
    "chromium`; Ubuntu: `sudo apt-get install chromium-browser`; Fedora: `sudo dnf install chromium`), or name "
    "the program of any Chromium or Chrome in the environment variable REDAES_CHROMIUM."
)


def find_chromium() -> str | None:
    """The program's path; None: there is none."""
    return os.environ.get("REDAES_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


def expect(found: Any) -> Any:
    """Playwright's own, which is imported here so that a test file can be read where Playwright is absent."""
    from playwright import sync_api

    return sync_api.expect(found)


def serious_findings(page: Any, within: str | None = None) -> list[str]:
    """What axe-core calls serious or critical on a page as it is shown now, one line for each place.

    Args:
        page: of Playwright.
        within: a CSS selector; None: the whole page.
    """
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, context=within).response["violations"]
    return [
        f"{rule['impact']} {rule['id']} at {' '.join(map(str, place['target']))}: {place['failureSummary']}"
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for place in rule["nodes"]
    ]


def shot(page: Any, name: str) -> None:
    """Keep a picture of the whole page in the folder that REDAES_SCREENSHOTS names; without it, keep nothing."""
    folder = os.environ.get("REDAES_SCREENSHOTS")
    if folder:
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


if __name__ == "__main__":
    sys.exit(REMEDY if find_chromium() is None else print(find_chromium()))
