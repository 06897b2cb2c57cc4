"""Teach a taste on the pictures of a folder: the page asks, and the answers go into a file on this machine."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from redaes.errors import ImageError, InputError, MissingDependency, RecordError
from redaes.html_pages import jpeg_bytes
from redaes.images import LoadedImage, load_image
from redaes.local_pages import HEADERS, for_friends, refusal, serve_page, small_json
from redaes.ranking import fit_strengths, outcomes_of
from redaes.serving.page_files import FOLDER_PAGE, MEDIA_TYPES
from redaes.serving.teaching import WINNERS, PersonAnswer, TeachAnswer, as_answered
from redaes.taste.pair_pool import PairPool
from redaes.taste.preference_file import Preference, PreferenceFile
from redaes.taste.questions import Aim, Teaching
from redaes.types import ImageRef, PairAnswer

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

MAX_ANSWER_BYTES = 4096
SHOWN_PIXELS = 4 * 2**20
"""Area to which pictures are shrunk for the page."""
_SMALL_SIDE = 200
_QUALITY = 92
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True)
class FolderSeries:
    """A series of a folder, and a model's answers about it."""

    pictures: tuple[ImageRef, ...]
    """At least two different pictures."""
    said: tuple[PairAnswer, ...]
    """The model's answers; empty: no model was asked."""


class TeachDesk:
    """The questions about a folder, and the answers so far."""

    def __init__(
        self,
        root: Path,
        series: Sequence[FolderSeries],
        keep: Path,
        *,
        asked_by: str = "",
        aim: Aim = "taste",
        pool: PairPool | None = None,
        seed: int = 0,
    ) -> None:
        """
        Args:
            root: the folder relative to which pictures are named.
            series: series of the folder.
            keep: the file of answers; earlier answers about these pictures count.
            asked_by: description of the model for the page.
            aim: what the questions are for.
            pool: pairs of these series that the model has read, among which questions about a taste are chosen.
            seed: seed of the draw, and of the choice among equal pairs.

        Raises:
            RecordError: ``keep`` cannot be used, or another process adds to it.
            InputError: the file has other content."""
        self._series = list(series)
        self._aim: Aim = aim
        self._pool = pool
        self._seed = seed
        self._asked_by = asked_by
        self._ids = [[ref.id for ref in one.pictures] for one in series]
        self._refs = {ref.id: ref for one in series for ref in one.pictures}
        self._names = {ref.id: name_in(root, ref.path) for ref in self._refs.values()}
        self._titles = [series_title([self._names[picture] for picture in ids]) for ids in self._ids]
        self._of_name = {self._names[picture]: picture for picture in self._refs}
        self._file = PreferenceFile(keep)
        self._lock = threading.Lock()
        self._shown = functools.lru_cache(16)(functools.partial(_jpeg, None))
        self._small = functools.lru_cache(1024)(functools.partial(_jpeg, _SMALL_SIDE))
        self._teaching = self._begun()

    @property
    def n_answers(self) -> int:
        """Number of answers about these pictures."""
        return self._teaching.n_answers

    @property
    def n_others(self) -> int:
        """Number of rows of the file that are about other pictures or unreadable."""
        return len(self._file.preferences) - self.n_answers + self._file.n_unreadable

    def about(self) -> dict[str, Any]:
        """Return the data with which the page begins."""
        with self._lock:
            return {
                "asked_by": self._asked_by,
                "keep": _printable(str(self._file.path)),
                "names": {picture: _printable(name) for picture, name in self._names.items()},
                "state": self._state().model_dump(mode="json"),
            }

    def take(self, answer: PersonAnswer) -> TeachAnswer:
        """Keep an answer.

        Raises:
            InputError: it is not about two pictures of one series.
            RecordError: it cannot be written.
        """
        with self._lock:
            if answer.series >= len(self._ids) or not {answer.first, answer.second} <= set(self._ids[answer.series]):
                raise InputError("there are no such pictures; load the page again")
            if answer.first == answer.second:
                raise InputError("a picture cannot be better than itself; load the page again")
            names = self._names[answer.first], self._names[answer.second]
            self._file.add(Preference(*names, answer.winner, self._titles[answer.series]))
            self._note(self._teaching, answer)
            return self._state()

    def take_back(self) -> TeachAnswer:
        """Take the last answer back, and remove it from the file.

        Raises:
            InputError: the last row of the file is not an answer about these pictures.
            RecordError: the file cannot be changed.
        """
        with self._lock:
            given = self._file.preferences
            if not given or self._answer_of(given[-1]) is None:
                raise InputError("there is no answer about these pictures to take back")
            self._file.take_back()
            self._teaching = self._begun()
            return self._state()

    def picture(self, picture: str, *, small: bool) -> bytes | None:
        """Return a picture as a JPEG file; None: there is no such picture, or it does not decode any more."""
        ref = self._refs.get(picture)
        if ref is None:
            return None
        try:
            return (self._small if small else self._shown)(ref.path)
        except ImageError:
            return None

    def close(self) -> None:
        """Let another process have the file."""
        self._file.close()

    def _state(self) -> TeachAnswer:
        return as_answered(self._teaching, self._ids)

    def _begun(self) -> Teaching:
        told = [
            fit_strengths(len(ids), outcomes_of(ids, one.said))
            for ids, one in zip(self._ids, self._series, strict=True)
        ]
        teaching = Teaching(told, aim=self._aim, pool=self._pool, seed=self._seed)
        for given in self._file.preferences:
            answer = self._answer_of(given)
            if answer is not None:
                self._note(teaching, answer)
        return teaching

    def _note(self, teaching: Teaching, answer: PersonAnswer) -> None:
        ids = self._ids[answer.series]
        teaching.answer(answer.series, ids.index(answer.first), ids.index(answer.second), WINNERS[answer.winner])

    def _answer_of(self, given: Preference) -> PersonAnswer | None:
        """Return a kept answer with the pictures of this folder; None: it is about other pictures."""
        first, second = self._of_name.get(given.first), self._of_name.get(given.second)
        if first is None or second is None or first == second:
            return None
        for place, ids in enumerate(self._ids):
            if first in ids and second in ids:
                return PersonAnswer(series=place, first=first, second=second, winner=given.winner)
        return None


def name_in(root: Path, path: Path) -> str:
    """Return a picture's path relative to a folder, or its whole path if it is elsewhere.

    >>> name_in(Path("photos"), Path("photos/june/a.jpg"))
    'june/a.jpg'
    """
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path.absolute())


def series_title(names: Sequence[str]) -> str:
    """Return the name of a series in a file of answers, as on the page of the service.

    >>> series_title(["b.jpg", "a.jpg", "c.jpg"])
    'a.jpg and 2 more'
    """
    return f"{min(names)} and {len(names) - 1} more"


def _printable(name: str) -> str:
    """Return a name without bytes that are not text, which file names may have but JSON may not."""
    return name.encode("utf-8", "replace").decode()


def _jpeg(side: int | None, path: Path) -> bytes:
    loaded: LoadedImage = load_image(path, max_pixels=SHOWN_PIXELS)
    image = loaded.image.copy()
    if side is not None:
        image.thumbnail((side, side))
    return jpeg_bytes(image, _QUALITY)


def teach_app(desk: TeachDesk) -> Starlette:
    """Return the service: the page, ``/about``, ``/pictures/ID``, ``/small/ID``, ``/answers``, ``/undo``.

    Raises:
        MissingDependency: the packages of ``redaes[serve]`` are absent.
    """
    try:
        from starlette.applications import Starlette
        from starlette.responses import JSONResponse, Response
        from starlette.routing import Route
    except ImportError as error:
        raise MissingDependency(error.name or "starlette", "serve") from error
    headers = {**HEADERS, "Content-Security-Policy": _POLICY}

    @for_friends
    async def file(request: Request) -> Response:
        path = FOLDER_PAGE.get(request.path_params.get("name", ""))
        if path is None:
            return refusal(HTTPStatus.NOT_FOUND, "there is no such page")
        kind = MEDIA_TYPES[path.suffix]
        return Response(await asyncio.to_thread(path.read_bytes), media_type=kind, headers=headers)

    @for_friends
    async def about(_request: Request) -> Response:
        return JSONResponse(await asyncio.to_thread(desk.about), headers=HEADERS)

    @for_friends
    async def picture(request: Request) -> Response:
        small = request.url.path.startswith("/small/")
        found = await asyncio.to_thread(desk.picture, request.path_params["picture"], small=small)
        if found is None:
            return refusal(HTTPStatus.NOT_FOUND, "there is no such picture, or it cannot be shown")
        return Response(found, media_type="image/jpeg", headers=HEADERS)

    async def changed(change: Callable[[], TeachAnswer]) -> Response:
        try:
            state = await asyncio.to_thread(change)
        except RecordError as error:
            return refusal(HTTPStatus.INSUFFICIENT_STORAGE, str(error))
        except InputError as error:
            return refusal(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
        return JSONResponse(state.model_dump(mode="json"), headers=HEADERS)

    @for_friends
    async def take(request: Request) -> Response:
        body = await small_json(request, MAX_ANSWER_BYTES)
        if not isinstance(body, bytes):
            return body
        try:
            answer = PersonAnswer.model_validate_json(body)
        except ValidationError:
            return refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "this is no answer; load the page again")
        return await changed(lambda: desk.take(answer))

    @for_friends
    async def undo(request: Request) -> Response:
        body = await small_json(request, MAX_ANSWER_BYTES)
        return await changed(desk.take_back) if isinstance(body, bytes) else body

    return Starlette(
        routes=[
            Route("/", file),
            Route("/about", about),
            Route("/pictures/{picture}", picture),
            Route("/small/{picture}", picture),
            Route("/answers", take, methods=["POST"]),
            Route("/undo", undo, methods=["POST"]),
            Route("/{name}", file),
        ]
    )


def serve_teaching(desk: TeachDesk, port: int, announce: Callable[[str], object]) -> None:
    """Serve the page until an interrupt or SIGTERM.

    Args:
        desk: the questions and answers.
        port: port on the loopback address; 0: any free port.
        announce: called with the page's address once it can be opened.

    Raises:
        InputError: the port is in use, or is not a port number.
        MissingDependency: the packages of ``redaes[serve]`` are absent.
    """
    serve_page(teach_app(desk), port, announce, option="--port", extra="serve")
