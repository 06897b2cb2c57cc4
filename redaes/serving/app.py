"""The HTTP service in front of a model: its addresses, and the status with which each request ends.

``POST /v1/compare``, ``/v1/rank``, ``/v1/teach``, with references ``/v1/score``, and, where the model is behind a
server, ``/v1/chat/completions``; ``GET /v1/models``, ``/health``, ``/metrics``, and the page at ``/``. docs/serving.md
says what is accepted and refused.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import PIL
from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from PIL import Image
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from redaes import prompts
from redaes.assessing.reasons import whole
from redaes.assessor import Assessor, ReferenceSet, Result, Score
from redaes.backends.base import Answer, Backend
from redaes.backends.base import Request as Question
from redaes.backends.connecting import ConnectedModel
from redaes.backends.failures import SERVER_REASONS, Failure
from redaes.backends.forms import form_of_backend
from redaes.backends.server import ServerBackend
from redaes.errors import BackendError, EndpointError, ImageError, InputError, ParseError
from redaes.images import MAX_PIXELS, LoadedImage, decode_image
from redaes.lenient import Reader
from redaes.models import nano
from redaes.prompts import Mode
from redaes.serving.admission import Admission, ServiceMetrics, error_body
from redaes.serving.limits import ServiceLimits
from redaes.serving.page_files import SERVICE_PAGE
from redaes.serving.request_parsing import (
    CHAT_FIELDS,
    CompareRequest,
    PictureRequest,
    RankRequest,
    ScoreRequest,
    Upload,
    chat_request,
    check_size,
    read_request,
    with_pixels_of_training,
)
from redaes.serving.teaching import add_teaching
from redaes.strangers import LOOPBACK_HOSTS
from redaes.types import Form, PairAnswer, Ranking, Record, Sampling

PAGE_MARGIN = 4
"""The page shrinks pictures to this many times the area that the model looks at: measuring noise and sharpness needs
more pixels than the model does."""
_PATIENCE_S = 15.0
"""How much longer than the service takes at most the page waits for it, in seconds."""
_CACHE_FORMAT = "redaes-service-1"

_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_LOST = {"not_json", "not_a_completion", "no_choices", "no_content", "no_logprob", "refused", "cancelled"}
"""Reasons of :class:`redaes.backends.failures.Failure` that come from the server and not from the model."""

_Answer = TypeVar("_Answer")


class ErrorDetail(BaseModel):
    """Why there is no answer."""

    message: str
    type: str
    code: int


class ErrorAnswer(BaseModel):
    """Every answer that is not 200, in the form that OpenAI's clients read."""

    error: ErrorDetail


class FailedPicture(Record):
    """A picture that was sent but cannot be ranked."""

    index: int
    """Its position among the pictures that were sent, from 0."""
    reason: str


class RankAnswer(Record):
    """A ranking of the pictures that were sent."""

    ids: tuple[str, ...]
    """Ids of the pictures, in the order in which they were sent; equal pictures have the same id."""
    failed: tuple[FailedPicture, ...]
    """Pictures that could not be used; the others are ranked without them."""
    ranking: Ranking
    answers: tuple[PairAnswer, ...]
    """The model's answer about each pair that it was asked about."""
    model: str
    revision: str
    prompt_id: str
    """``name/version@hash``."""
    mode: Mode


_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer, "description": text}
    for status, text in (
        (400, "The request cannot be read."),
        (401, "No API key, or an unknown one."),
        (403, "Another host's name, or a page of another site."),
        (408, "The body did not arrive in time."),
        (413, "Too many bytes, pixels or pictures."),
        (415, "Neither JSON nor multipart."),
        (422, "No usable picture, or a field that is wrong."),
        (429, "All places are taken; Retry-After says when to come again."),
        (502, "The model's server cannot deal with the request."),
        (503, "The model cannot be asked now."),
        (504, "No answer in time."),
    )
}


def create_app(
    backend: Backend,
    *,
    limits: ServiceLimits | None = None,
    references: ReferenceSet | None = None,
    api_keys: Iterable[str] = (),
    hosts: Iterable[str] = LOOPBACK_HOSTS,
    is_healthy: Callable[[], bool] | None = None,
    agreement: int = 0,
) -> FastAPI:
    """Return the service.

    Args:
        backend: the model; ``limits.workers`` threads use it at once, only one if the model is in this process.
        limits: limits of the service; None: the defaults.
        references: references for ``/v1/score``, ranked by this very model; None: ``/v1/score`` is not offered.
        api_keys: keys, any of which opens ``/v1``; empty: no key is required.
        hosts: names under which the service may be addressed; see :class:`Admission`.
        is_healthy: says whether the server behind the backend is alive, for ``/health``; None: it always is.
        agreement: as for :class:`~redaes.assessor.Assessor`.

    Raises:
        InputError: there are several workers although the model is not behind a server.
    """
    limits = ServiceLimits() if limits is None else limits
    if limits.workers > 1 and not isinstance(backend, ServerBackend | ConnectedModel):
        raise InputError(f"workers is {limits.workers}; a model in this process answers one request at a time: give 1")
    metrics = ServiceMetrics()
    desk = _Desk(backend, limits)
    cache = _Cache(limits.cache_entries)

    def assessor_of(model: Backend, mode: Mode) -> Assessor:
        return Assessor(model, mode=mode, agreement=agreement)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await asyncio.to_thread(desk.close)

    app = FastAPI(title="redaes", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_middleware(Admission, limits=limits, metrics=metrics, api_keys=tuple(api_keys), hosts=tuple(hosts))

    @app.exception_handler(HTTPException)
    async def refused(_request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse(error_body(error.status_code, str(error.detail)), error.status_code, error.headers)

    @app.exception_handler(Exception)
    async def broken(_request: Request, _error: Exception) -> JSONResponse:
        return JSONResponse(error_body(500, "a fault of the service; its log tells more"), 500)

    async def answered(
        request: Request,
        question: Sequence[str],
        mode: Mode,
        work: Callable[[Backend], tuple[BaseModel, Sequence[str]]],
    ) -> Response:
        """Return the answer from the cache, or from ``work``, which also returns the failures that the answer
        survived.
        """
        form = form_of_backend(backend) if mode == "reasoned" else ""
        key = cache_key((*question, mode, form), mode, backend.model, backend.revision)
        stored = cache.get(key)
        metrics.cache.labels("miss" if stored is None else "hit").inc()
        if stored is None:
            found, failures = await desk.run(request, work)
            for reason in failures:
                metrics.failures.labels(reason).inc()
            _refuse_lost(failures)
            stored = found.model_dump_json().encode()
            cache.put(key, stored)
        return Response(stored, media_type="application/json")

    @app.post(
        "/v1/compare",
        responses={200: {"model": Result}, **_ERRORS},
        openapi_extra={"requestBody": _body_of(CompareRequest)},
    )
    async def compare(request: Request) -> Response:
        """Return which of two pictures is better, by how much, and why; asked in both orders."""
        asked, uploads = await read_request(request, CompareRequest, limits)

        if asked.samples and asked.mode == "fast":
            raise HTTPException(422, "samples: the fast mode gives no reasons; ask in the reasoned mode")
        if asked.samples and not asked.check:
            raise HTTPException(422, "samples: they are chosen by what is measured; leave check out")

        def work(model: Backend) -> tuple[Result, list[str]]:
            first, second = _decoded(uploads)
            files = {upload.id: upload.data for upload in uploads}

            def pixels(picture: LoadedImage) -> Image.Image:
                return whole(picture, files[picture.ref.id])

            assessor = assessor_of(model, asked.mode)
            check = pixels if asked.check else False
            (result,) = assessor.compare_many([(first, second)], check=check, samples=asked.samples)
            failures = [one.failure for one in result.comparisons if one.failure is not None]
            # What the model or its server cannot do gives a result without a probability; a lost answer is not a
            # result.
            lost = (one.probability_failure for one in result.comparisons)
            failures += [reason for reason in lost if reason in SERVER_REASONS or reason == "cancelled"]
            return result, failures

        question = ("compare", str(asked.samples), str(asked.check), *_named(uploads))
        return await answered(request, question, asked.mode, work)

    @app.post(
        "/v1/rank",
        responses={200: {"model": RankAnswer}, **_ERRORS},
        openapi_extra={"requestBody": _body_of(RankRequest)},
    )
    async def rank(request: Request) -> Response:
        """Order several pictures with few comparisons."""
        asked, uploads = await read_request(request, RankRequest, limits, check=False)

        def work(model: Backend) -> tuple[RankAnswer, list[str]]:
            pictures, failed = _usable(uploads, limits)
            assessor = assessor_of(model, asked.mode)
            answers: tuple[PairAnswer, ...] = ()

            def keep(said: Sequence[PairAnswer]) -> None:
                nonlocal answers
                answers = tuple(said)

            ranking = assessor.rank(pictures, top_k=asked.top_k, max_calls=asked.max_calls, on_answers=keep)
            answer = RankAnswer(
                ids=tuple(upload.id for upload in uploads),
                failed=failed,
                ranking=ranking,
                answers=answers,
                model=model.model,
                revision=model.revision,
                prompt_id=assessor.prompt_id,
                mode=asked.mode,
            )
            return answer, []

        question = ("rank", str(asked.top_k), str(asked.max_calls), *_named(uploads))
        return await answered(request, question, asked.mode, work)

    if references is not None:

        @app.post(
            "/v1/score",
            responses={200: {"model": Score}, **_ERRORS},
            openapi_extra={"requestBody": _body_of(ScoreRequest)},
        )
        async def score(request: Request) -> Response:
            """Return where one picture stands among the service's references, in points of 0 to 9."""
            _, uploads = await read_request(request, ScoreRequest, limits)

            def work(model: Backend) -> tuple[Score, list[str]]:
                (picture,) = _decoded(uploads)
                return assessor_of(model, references.mode).score(picture, references), []

            question = ("score", references.name, *_named(uploads))
            return await answered(request, question, references.mode, work)

    add_teaching(app, limits, _ERRORS)

    @app.get("/v1/models", responses={401: _ERRORS[401], 403: _ERRORS[403]})
    async def models() -> dict[str, Any]:
        """Return the one model, in the form in which OpenAI's clients list models."""
        return {"object": "list", "data": [{"id": backend.model, "object": "model", "owned_by": "redaes"}]}

    @app.get("/health", responses={503: {"description": "The model cannot be asked now."}})
    async def health() -> JSONResponse:
        """Return 200 while the model can be asked, otherwise 503; no key is needed."""
        alive = is_healthy is None or await asyncio.to_thread(is_healthy)
        body = {
            "status": "ok" if alive else "unavailable",
            "model": backend.model,
            "revision": backend.revision,
            "limits": nano.limits(backend.model, backend.revision),
        }
        return JSONResponse(body, 200 if alive else 503)

    @app.get("/metrics", include_in_schema=False)
    async def metrics_page() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/page.json", include_in_schema=False)
    async def page_settings() -> dict[str, Any]:
        return {
            "model": backend.model,
            "revision": backend.revision,
            "about": nano.limits(backend.model, backend.revision),
            "limits": {
                "model_pixels": MAX_PIXELS,
                "picture_pixels": min(PAGE_MARGIN * MAX_PIXELS, limits.max_pixels),
                "body_bytes": limits.max_body_bytes,
                "pictures": limits.max_images,
                "seconds": limits.upload_s + limits.timeout_s + _PATIENCE_S,
            },
        }

    for name, file in SERVICE_PAGE.items():
        _add_page(app, f"/{name}", file)
    if isinstance(backend, ServerBackend):
        _add_chat(app, backend, desk, limits)
    return app


def cache_key(question: Sequence[str], mode: Mode, model: str, revision: str) -> str:
    """Return the cache key of an answer: the SHA-256, in hex, of everything that determines it, each part prefixed with
    its length.

    Args:
        question: the kind of question and its pictures (:func:`_named`), in their order.
        mode: the mode, which determines the prompt.
        model: the model's name.
        revision: the revision of its weights.
    """
    parts = [
        _CACHE_FORMAT,
        model,
        revision,
        prompts.load(prompts.COMPARE[mode]).id,
        Sampling().model_dump_json(),
        f"{MAX_PIXELS} pixels, Pillow {PIL.__version__}",
        *question,
    ]
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(8, "big") + data)  # lengths keep ("ab", "c") apart from ("a", "bc")
    return digest.hexdigest()


def _named(uploads: Sequence[Upload]) -> list[str]:
    """Return the parts of a cache key for pictures: their original bytes, so that two files that decode alike never
    share an answer, and their names in notes.
    """
    return [part for upload in uploads for part in (upload.id, str(upload.name))]


def _decoded(uploads: Sequence[Upload]) -> list[LoadedImage]:
    return [decode_image(upload.data, upload.name) for upload in uploads]


def _usable(uploads: Sequence[Upload], limits: ServiceLimits) -> tuple[list[LoadedImage], tuple[FailedPicture, ...]]:
    """Return the pictures that can be ranked, and those that cannot.

    Raises:
        HTTPException: fewer than two pictures can be ranked.
    """
    pictures: list[LoadedImage] = []
    failed: list[FailedPicture] = []
    status = 422
    for index, upload in enumerate(uploads):
        try:
            check_size(upload, limits)
            pictures.append(decode_image(upload.data, upload.name))
        except HTTPException as error:
            failed.append(FailedPicture(index=index, reason=str(error.detail)))
            status = error.status_code
        except ImageError as error:
            failed.append(FailedPicture(index=index, reason=str(error)))
    if len(pictures) < 2:
        raise HTTPException(status, "; ".join(one.reason for one in failed))
    return pictures, tuple(failed)


class _Cache:
    """A cache of the most recently used answers."""

    def __init__(self, entries: int) -> None:
        self._entries = entries
        self._answers: OrderedDict[str, bytes] = OrderedDict()

    def get(self, key: str) -> bytes | None:
        if key in self._answers:
            self._answers.move_to_end(key)
        return self._answers.get(key)

    def put(self, key: str, answer: bytes) -> None:
        self._answers[key] = answer
        while len(self._answers) > self._entries:
            self._answers.popitem(last=False)


class _Task:
    """The model as one request uses it; the request's questions can be cancelled."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend.task() if isinstance(backend, ServerBackend) else backend
        self._cancelled = False
        self.model = backend.model
        self.revision = backend.revision
        self.temperatures = getattr(backend, "temperatures", ())
        self.reader: Reader = getattr(backend, "reader", "strict")

    @property
    def form(self) -> Form:
        """The form in which the model is asked; finding it out may need a question to the server."""
        return form_of_backend(self._backend)

    def answer(self, requests: Sequence[Question]) -> list[Answer | Failure]:
        if self._cancelled:
            raise EndpointError("cancelled", "the client no longer waits")
        return self._backend.answer(requests)

    def cancel(self) -> None:
        self._cancelled = True
        if isinstance(self._backend, ServerBackend):
            self._backend.cancel()


class _Desk:
    """The queue of requests for the model, which ends a request when it takes too long or its client has left."""

    def __init__(self, backend: Backend, limits: ServiceLimits) -> None:
        self._backend = backend
        self._limits = limits
        self._workers: ThreadPoolExecutor | None = None

    async def run(self, request: Request, work: Callable[[Backend], _Answer]) -> _Answer:
        """Run ``work`` with the model, and return its result.

        Raises:
            HTTPException: the work failed, took too long, or the client left.
        """
        if self._workers is None:  # created with the first request, because an app may be started again after its end
            self._workers = ThreadPoolExecutor(self._limits.workers, thread_name_prefix="redaes-work")
        task = _Task(self._backend)
        try:
            return await self.watched(request, self._workers.submit(work, task))
        except EndpointError as error:
            raise _unavailable(error) from error
        except (BackendError, ParseError) as error:
            raise HTTPException(502, str(error)) from error
        except InputError as error:
            raise HTTPException(422, str(error)) from error
        finally:
            task.cancel()  # work that goes on after its client left asks nothing more

    async def watched(self, request: Request, work: Future[_Answer]) -> _Answer:
        """Return the result of a future, which is cancelled when time is up or the client leaves.

        Raises:
            HTTPException: 504: time is up; 499: the client left.
        """
        future = asyncio.wrap_future(work)
        gone = asyncio.ensure_future(_disconnected(request))
        try:
            waiting: set[asyncio.Future[Any]] = {future, gone}
            await asyncio.wait(waiting, timeout=self._limits.timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if future.done():
                return future.result()
        finally:
            gone.cancel()
            future.cancel()
        if gone.done() and not gone.cancelled():
            raise HTTPException(499, "the client left")
        raise HTTPException(504, f"no answer within {self._limits.timeout_s:g} s")

    def close(self) -> None:
        """Wait for requests that are in progress."""
        workers, self._workers = self._workers, None
        if workers is not None:
            workers.shutdown(wait=True, cancel_futures=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _unavailable(error: EndpointError) -> HTTPException:
    """Return the error for a client when the server behind gave no answer."""
    if error.reason in SERVER_REASONS:
        return HTTPException(503, f"the model cannot be asked now ({error.reason})", {"Retry-After": "5"})
    return HTTPException(502, f"the model's server gave no usable answer ({error.reason})")


def _refuse_lost(reasons: Sequence[str]) -> None:
    """Refuse a result for which the server lost one of the answers; failures of the model itself stay results.

    Raises:
        HTTPException: 503 or 502.
    """
    for reason in reasons:
        if reason in SERVER_REASONS or reason in _LOST or reason.startswith("http_"):
            raise _unavailable(EndpointError(reason, "one order was lost"))


def _body_of(schema: type[PictureRequest]) -> dict[str, Any]:
    """Return the OpenAPI description of a question's body, for both content types; FastAPI does not parse it."""
    as_json = schema.model_json_schema()
    file = {"type": "string", "format": "binary"}
    as_form = {
        **as_json,
        "properties": {
            name: ({**field, "items": file} if field.get("type") == "array" else file)
            if name in schema.picture_fields
            else field
            for name, field in as_json["properties"].items()
        },
    }
    content = {"application/json": {"schema": as_json}, "multipart/form-data": {"schema": as_form}}
    return {"required": True, "content": content}


def _add_page(app: FastAPI, path: str, file: Path) -> None:
    @app.get(path, include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(file, headers={"Content-Security-Policy": _CSP, "Referrer-Policy": "no-referrer"})


def _add_chat(app: FastAPI, backend: ServerBackend, desk: _Desk, limits: ServiceLimits) -> None:
    """Add the pass-through to the server's chat address, which accepts harmless fields only."""
    body = {
        "type": "object",
        "required": ["messages"],
        "additionalProperties": False,
        "properties": {name: {"type": "array", "minItems": 1} if name == "messages" else {} for name in CHAT_FIELDS},
    }

    @app.post(
        "/v1/chat/completions",
        responses=_ERRORS,
        openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": body}}}},
    )
    async def chat(request: Request) -> Response:
        """Pass a chat request to the model, with vLLM's chat protocol."""
        asked = await asyncio.to_thread(chat_request, await request.body(), backend.model, limits)
        asked = await desk.run(request, lambda _model: with_pixels_of_training(asked))
        try:
            status, answer = await desk.watched(request, backend.forward(asked))
        except EndpointError as error:
            raise _unavailable(error) from error
        return Response(answer, status, media_type="application/json")
