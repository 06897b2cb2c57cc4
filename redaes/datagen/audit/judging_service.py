"""A server for the page on which people judge; it is reachable from this machine only, by several people at once."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from redaes.datagen.audit.answer_files import (
    MAX_LINE_BYTES,
    AnswerFile,
    AuditAnswer,
    person_name,
    read_audit_answer,
    read_lines,
)
from redaes.datagen.audit.blind_pictures import blind_pictures
from redaes.datagen.audit.drawn_pairs import AuditDraw, DrawnPair
from redaes.datagen.audit.judging_page import judging_page
from redaes.datagen.audit.showings import showing_name
from redaes.errors import InputError, MissingDependency, RecordError
from redaes.local_pages import HEADERS, for_friends, refusal, serve_page, small_json

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

_KEPT_PAIRS = 16
"""Number of pairs whose pictures are kept in memory: those on screens, and the next ones."""


class AuditDesk:
    """The pairs that are shown, and the answers that people have given."""

    def __init__(
        self,
        draw: AuditDraw,
        pairs: Sequence[DrawnPair],
        answers: Path,
        *,
        longest: int,
        tell: Callable[[str], object],
    ) -> None:
        """
        Args:
            draw: the draw to which the answers belong.
            pairs: the drawn pairs.
            answers: the file of answers; if it already holds some of this draw, the audit is continued.
            longest: longest side of the pictures, in pixels.
            tell: called with what is wrong with a picture. People who judge are not told, as it would name the row.

        Raises:
            RecordError: the file cannot be read or written, or another server writes to it.
        """
        self.draw = draw
        self._pairs = {pair.token: pair for pair in pairs}
        self._pair_of = {token: pair for pair in pairs for token in pair.pictures}
        self._file = AnswerFile(answers)
        self._lock = threading.Lock()
        self._given: dict[str, dict[str, str]] = {}
        self.n_unreadable = 0
        """Number of lines of the file that are not answers; they stay as they are."""
        for _, found in read_lines(answers):
            if isinstance(found, InputError):
                self.n_unreadable += 1
            elif found.draw.key == draw.key:
                self._note(found)
        self._tell = tell
        self._unshown: set[str] = set()
        self._pictures = functools.lru_cache(_KEPT_PAIRS)(lambda pair: blind_pictures(pair, longest))
        self.page = judging_page(draw, pairs, None)

    @property
    def given(self) -> dict[str, int]:
        """Number of showings that each person has answered."""
        return {person: len(answers) for person, answers in sorted(self._given.items())}

    def given_by(self, person: str) -> dict[str, str]:
        """Return the answers of a person, by showing."""
        with self._lock:
            return dict(self._given.get(person, {}))

    def picture(self, token: str) -> bytes | None:
        """Return a picture; None if there is no such token or the picture does not decode."""
        pair = self._pair_of.get(token)
        if pair is None:
            return None
        with self._lock:  # a shard is opened by one thread at a time
            try:
                return self._pictures(pair)[token]
            except RecordError as error:
                if pair.pair not in self._unshown:
                    self._unshown.add(pair.pair)
                    self._tell(str(error))
                return None

    def take(self, answer: AuditAnswer) -> None:
        """Check and store an answer.

        Raises:
            InputError: it is of another draw, or names a pair or pictures that are not shown together.
            RecordError: it cannot be written.
        """
        pair = self._pairs.get(answer.pair)
        if answer.draw != self.draw:
            raise InputError("this answer is of another audit; load the page again")
        if pair is None or answer.showing not in (showing_name(pair, time) for time in (1, 2)):
            raise InputError(f"no pair is shown as {answer.showing}; load the page again")
        if {answer.left, answer.right} != set(pair.pictures):
            raise InputError(f"{answer.showing} does not show these pictures; load the page again")
        with self._lock:
            self._file.add(answer)
            self._note(answer)

    def _note(self, answer: AuditAnswer) -> None:
        self._given.setdefault(answer.person, {})[answer.showing] = answer.choice

    def close(self) -> None:
        """Close the file, so that another server can use it."""
        self._file.close()


def judging_app(desk: AuditDesk) -> Starlette:
    """Return the service: ``/``, ``/pictures/TOKEN``, ``/answers``.

    Raises:
        MissingDependency: the packages of ``redaes[audit]`` are absent.
    """
    try:
        from starlette.applications import Starlette
        from starlette.responses import HTMLResponse, JSONResponse, Response
        from starlette.routing import Route
    except ImportError as error:
        raise MissingDependency(error.name or "starlette", "audit") from error

    @for_friends
    async def page(_request: Request) -> Response:
        return HTMLResponse(desk.page, headers=HEADERS)

    @for_friends
    async def picture(request: Request) -> Response:
        found = await asyncio.to_thread(desk.picture, request.path_params["token"])
        if found is None:
            return refusal(HTTPStatus.NOT_FOUND, "there is no such picture, or it cannot be shown")
        return Response(found, media_type="image/jpeg", headers=HEADERS)

    @for_friends
    async def given(request: Request) -> Response:
        try:
            person = person_name(request.query_params.get("person", ""))
        except ValueError as error:
            return refusal(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
        return JSONResponse({"given": desk.given_by(person)}, headers=HEADERS)

    @for_friends
    async def take(request: Request) -> Response:
        body = await small_json(request, MAX_LINE_BYTES)
        if not isinstance(body, bytes):
            return body
        try:
            await asyncio.to_thread(desk.take, read_audit_answer(body))
        except RecordError as error:
            return refusal(HTTPStatus.INSUFFICIENT_STORAGE, str(error))
        except InputError as error:
            return refusal(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
        return JSONResponse({"kept": True}, headers=HEADERS)

    return Starlette(
        routes=[
            Route("/", page),
            Route("/pictures/{token}", picture),
            Route("/answers", given),
            Route("/answers", take, methods=["POST"]),
        ]
    )


def serve_audit(desk: AuditDesk, port: int, announce: Callable[[str], object]) -> None:
    """Serve the page until an interrupt or SIGTERM.

    Args:
        desk: the pairs and the file of answers.
        port: port on this machine's loopback address; 0 takes any free one.
        announce: called with the page's address once it can be reached.

    Raises:
        InputError: the port is in use, or its number is not possible.
        MissingDependency: the packages of ``redaes[audit]`` are absent.
    """
    serve_page(judging_app(desk), port, announce, option="--serve PORT", extra="audit")
