"""The pages of a contact sheet, written piece by piece: a large folder takes little memory, and no page is large."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TextIO
from urllib.parse import quote

from redaes.culling import sheet
from redaes.file_writing import writing

PAGE_PICTURES = 200
"""Most pictures on a page."""


class ContactSheet:
    """Pages that are being written; they appear under their names when the ``with`` block ends without an error."""

    def __init__(self, out: Path, folder: Path, sizes: Sequence[int]) -> None:
        """Begin the first page.

        Args:
            out: folder for the pages.
            folder: folder of the pictures.
            sizes: pictures of each series, in the order in which they come.
        """
        self._out = out
        self._folder = folder
        self._sizes = sizes
        self._pages = ExitStack()
        self._file: TextIO | None = None
        self._page = 0
        self._n_on_page = 0
        self._series: tuple[str, int] | None = None
        self._n_pages = n_pages(sizes)

    def __enter__(self) -> ContactSheet:
        self._turn()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()
        self._pages.__exit__(kind, error, trace)
        if kind is None:
            for path in self._out.glob("contact_sheet_*.html"):  # of a run with more pictures
                number = re.fullmatch(r"contact_sheet_(\d+)\.html", path.name)
                if number is not None and int(number[1]) > self._n_pages:
                    path.unlink()

    def series(
        self, name: str, n_pictures: int, failure: str | None, told: sheet.Told | None, remark: str | None
    ) -> None:
        """Begin a series."""
        if goes_over(self._n_on_page, n_pictures):
            self._turn()
        self._series = (name, n_pictures)
        self._write(sheet.series_head(name, n_pictures, failure, told, remark))

    def picture(self, picture: sheet.SheetPicture) -> None:
        """The next picture of the series."""
        if self._n_on_page == PAGE_PICTURES and self._series is not None:
            self._write(sheet.SERIES_FOOT)
            self._turn()
            self._write(sheet.series_head(*self._series, None, None, continued=True))
        self._write(sheet.figure(picture))
        self._n_on_page += 1

    def end_series(self) -> None:
        """End the series."""
        self._write(sheet.SERIES_FOOT)

    def end(self, unreadable: Sequence[tuple[str, str]], passed_over: Sequence[str]) -> None:
        """End the last page with the files that could not be read and those that were not searched."""
        self._write(sheet.foot(unreadable, passed_over, self._page, self._n_pages))

    def link(self, path: Path) -> str:
        """Return the URL of a file relative to the pages; an absolute URL if it is on another drive."""
        try:
            way = os.path.relpath(os.path.abspath(path), os.path.abspath(self._out))
        except ValueError:
            return path.absolute().as_uri()
        # Text before a colon would be read as the scheme of a URL.
        return quote(os.fsencode(way.replace(os.sep, "/")), safe="/")

    def _turn(self) -> None:
        """Go to the next page."""
        if self._page:
            self._write(sheet.foot((), (), self._page, self._n_pages))
        self._close()
        self._page += 1
        self._n_on_page = 0
        path = self._pages.enter_context(writing(self._out / sheet.page_name(self._page)))
        self._file = path.open("w", encoding="utf-8", errors="backslashreplace")
        self._write(sheet.head(self._folder, sum(self._sizes), len(self._sizes), self._page, self._n_pages))

    def _write(self, text: str) -> None:
        if self._file is not None:
            self._file.write(text)

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def goes_over(n_on_page: int, n_pictures: int) -> bool:
    """Return whether a series begins a new page because it does not fit on the rest of this one."""
    return n_on_page > 0 and n_on_page + n_pictures > PAGE_PICTURES


def n_pages(sizes: Sequence[int]) -> int:
    """Return how many pages series of these sizes take.

    >>> n_pages([150, 60, 10]), n_pages([450]), n_pages([])
    (2, 3, 1)
    """
    pages, on_page = 1, 0
    for size in sizes:
        if goes_over(on_page, size):
            pages, on_page = pages + 1, 0
        on_page += size
        turns = max(0, (on_page - 1) // PAGE_PICTURES)
        pages, on_page = pages + turns, on_page - turns * PAGE_PICTURES
    return pages
