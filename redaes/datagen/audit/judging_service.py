"""A server for the page on which people judge: on this machine alone, for several people at once."""

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
"""Whose pictures are kept in memory: those that are on screens, and the next ones."""


class AuditDesk:
    """What is shown, and what has been said of it."""

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
            draw: see there.
            pairs: as drawn.
            answers: the file that keeps them; what it holds of this draw is gone on with.
            longest: side of the pictures, in pixels.
            tell: called with what is wrong with a picture, which people are not told: it would name the row.

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
        """Lines of the file that are no answers; they stay as they are."""
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
        """How many showings each person has answered."""
        return {person: len(answers) for person, answers in sorted(self._given.items())}

    def given_by(self, person: str) -> dict[str, str]:
        """Return what a person has answered, by showing."""
        with self._lock:
            return dict(self._given.get(person, {}))

    def picture(self, token: str) -> bytes | None:
        """Return a picture; None: there is no such token, or it does not decode."""
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
        """Keep an answer.

        Raises:
            InputError: it is not of this draw, of no pair that is shown, or with other pictures than that pair's.
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
        """Let another server have the file."""
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
        desk: see there.
        port: port of this machine's own address; 0: any that is free.
        announce: called with the page's address once it can be asked.

    Raises:
        InputError: the port is taken, or is none.
        MissingDependency: the packages of ``redaes[audit]`` are absent.
    """
    serve_page(judging_app(desk), port, announce, option="--serve PORT", extra="audit")
