"""Read pictures from a request: ``data:`` URLs and multipart only, checked before a pixel is decoded.

Nothing here opens a connection or a file: an address in a request is refused and never fetched.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from redaes.errors import ImageError
from redaes.images import IMAGE_SUFFIXES, content_id, data_url, decode_image, image_size
from redaes.prompts import Mode
from redaes.serving.limits import ServiceLimits

_DATA_URL = re.compile(r"data:image/([A-Za-z0-9.+-]{1,32});base64,")
_SPECIAL = re.compile(r"<\|[^<>|]{0,64}\|>")
"""Qwen's special tokens, which a server's tokenizer would recognise in a caller's text."""

_SUFFIX = {"jpeg": ".jpg", "jpg": ".jpg", "tiff": ".tif"}

CHAT_FIELDS = frozenset(
    {
        "model", "messages", "temperature", "top_p", "max_tokens", "max_completion_tokens", "seed", "stop", "n",
        "logprobs", "top_logprobs", "response_format", "frequency_penalty", "presence_penalty", "user",
        "continue_final_message", "add_generation_prompt",
    }
)  # fmt: skip
"""Fields that ``/v1/chat/completions`` passes on. Other fields could make the server fetch, render or allocate
anything.
"""

MAX_CHOICES = 8
"""Most completions of one request (``n``)."""

MAX_SAMPLES = 16
"""Most further reasonings of one comparison."""


@dataclass(frozen=True)
class Upload:
    """One uploaded picture."""

    data: bytes
    name: Path
    """Its name in messages: the field's name with the suffix of the uploaded file."""

    @property
    def id(self) -> str:
        """SHA-256 of the bytes, in hex."""
        return content_id(self.data)


class PictureRequest(BaseModel):
    """Base of all questions: pictures are ``data:image/…;base64,…`` URLs, and unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)

    picture_fields: ClassVar[tuple[str, ...]]
    """The fields that hold pictures; in a multipart request they are files."""


class CompareRequest(PictureRequest):
    """A question about two pictures."""

    picture_fields = ("first", "second")

    first: str
    second: str
    mode: Mode = "reasoned"
    samples: Annotated[int, Field(ge=0, le=MAX_SAMPLES)] = 0
    """Number of further reasonings to sample, in the reasoned mode; the best supported one is shown."""
    check: bool = True
    """Whether reasons are checked against measurements of the pictures, which takes up to seconds for large ones."""


class RankRequest(PictureRequest):
    """A question about the order of several pictures."""

    picture_fields = ("pictures",)

    pictures: Annotated[list[str], Field(min_length=2)]
    mode: Mode = "fast"
    top_k: Annotated[int, Field(ge=1)] | None = None
    """Stop as soon as the best k are settled."""
    max_calls: Annotated[int, Field(ge=2)] | None = None
    """Most questions to the model."""


class ScoreRequest(PictureRequest):
    """A question about one picture's score among the service's references."""

    picture_fields = ("picture",)

    picture: str


_RequestT = TypeVar("_RequestT", bound=PictureRequest)


def refused(status: int, message: str) -> HTTPException:
    """Return the error that ends a request with this status."""
    return HTTPException(status, message)


async def read_request(
    request: Request, schema: type[_RequestT], limits: ServiceLimits, *, check: bool = True
) -> tuple[_RequestT, list[Upload]]:
    """Return the question of a request, and its pictures in the order of the fields.

    Args:
        request: the request.
        schema: the kind of question.
        limits: limits of the service.
        check: end the request if a picture is unreadable or too large; otherwise the caller calls :func:`check_size`.

    Raises:
        HTTPException: 413, 415 or 422, with the remedy.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "application/json":
        asked, uploads = await asyncio.to_thread(_from_json, await request.body(), schema, limits)
    elif kind == "multipart/form-data":
        asked, uploads = await _from_form(request, schema, limits)
    else:
        raise refused(415, f"content type {kind[:80]!r}; send application/json or multipart/form-data")
    for upload in uploads if check else ():
        await asyncio.to_thread(check_size, upload, limits)
    return asked, uploads


def from_data_url(url: str, field: str) -> Upload:
    """Return the picture of a ``data:`` URL.

    Raises:
        HTTPException: 422: it is another kind of URL, or not base64.
    """
    head = _DATA_URL.match(url)
    if head is None:
        raise refused(422, f"{field}: give data:image/…;base64,…; addresses are not fetched")
    try:
        data = base64.b64decode(url[head.end() :], validate=True)
    except (binascii.Error, ValueError) as error:
        raise refused(422, f"{field}: what follows 'base64,' is not base64 ({error})") from error
    kind = head[1].lower()
    return Upload(data, Path(field + _SUFFIX.get(kind, f".{kind}")))


def check_size(upload: Upload, limits: ServiceLimits) -> None:
    """Check a picture by its header.

    Raises:
        HTTPException: 413: it has too many pixels; 422: it is not a picture.
    """
    try:
        width, height = image_size(upload.data, upload.name)
    except ImageError as error:
        raise refused(422, str(error)) from error
    if width * height > limits.max_pixels:
        raise refused(
            413, f"{upload.name}: {width} x {height} pixels exceed the limit of {limits.max_pixels:,}; shrink it"
        )


def chat_request(body: bytes, model: str, limits: ServiceLimits) -> bytes:
    """Return a chat request that may be passed to the server, built from checked fields only.

    Args:
        body: body of the request.
        model: the model that is offered.
        limits: limits of the service.

    Raises:
        HTTPException: 404: it names another model; 413 or 422: it asks for something that is not offered, contains an
            address, or a picture is too large.
    """
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise refused(422, "the body is not JSON") from error
    if not isinstance(asked, dict):
        raise refused(422, "the body is not a JSON object")
    if asked.get("stream"):
        raise refused(422, "stream is not offered; leave it out")
    asked.pop("stream", None)
    unknown = sorted(set(asked) - CHAT_FIELDS)
    if unknown:
        raise refused(422, f"not offered: {', '.join(unknown)[:200]}; known: {', '.join(sorted(CHAT_FIELDS))}")
    if asked.setdefault("model", model) != model:
        raise refused(404, f"no such model here; there is {model}")
    _bounded(asked, "n", MAX_CHOICES)
    _bounded(asked, "top_logprobs", 20)
    for field in ("max_tokens", "max_completion_tokens"):
        _bounded(asked, field, limits.max_new_tokens)
    if asked.get("max_tokens") is None and asked.get("max_completion_tokens") is None:
        asked["max_completion_tokens"] = limits.max_new_tokens
    messages = asked.get("messages")
    if not isinstance(messages, list) or not messages:
        raise refused(422, "messages: give a list of at least one message")
    n_images = 0
    for message in messages:
        if not isinstance(message, dict) or not set(message) <= {"role", "content", "name"}:
            raise refused(422, "messages: each has a role and a content, and nothing else")
        if message.get("role") not in ("system", "user", "assistant"):
            raise refused(422, "messages: roles are system, user and assistant")
        n_images += _content(message.get("content"), limits, n_images)
    try:
        return json.dumps(asked, allow_nan=False).encode()
    except ValueError as error:
        raise refused(422, "numbers must be finite") from error


def with_pixels_of_training(body: bytes) -> bytes:
    """Return a checked chat request whose pictures are decoded here, as everywhere in redaes, and passed on as PNG.

    The server would decode them in its own way: without their orientation, colour profile or depth.

    Raises:
        ImageError: a picture cannot be decoded.
    """
    asked = json.loads(body)
    for message in asked["messages"]:
        for part in message["content"] if isinstance(message["content"], list) else ():
            if part["type"] == "image_url":
                upload = from_data_url(part["image_url"]["url"], "image_url")
                part["image_url"]["url"] = data_url(decode_image(upload.data, upload.name).image)
    return json.dumps(asked).encode()


def _content(content: Any, limits: ServiceLimits, n_before: int) -> int:
    """Check one message's content, and return its number of pictures."""
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if not isinstance(parts, list):
        raise refused(422, "content: give a text, or a list of parts")
    n_images = 0
    text = ""  # joined, because the server joins neighbouring parts
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text" and isinstance(part.get("text"), str) and set(part) == {"type", "text"}:
            text += part["text"]
        elif kind == "image_url" and set(part) == {"type", "image_url"}:
            url = part["image_url"].get("url") if isinstance(part["image_url"], dict) else None
            if not isinstance(url, str) or not set(part["image_url"]) <= {"url", "detail"}:
                raise refused(422, "image_url: give {'url': 'data:image/…;base64,…'}")
            n_images += 1
            _few(n_before + n_images, limits)
            check_size(from_data_url(url, "image_url"), limits)
        else:
            raise refused(422, "content: parts are {'type': 'text', 'text': …} and {'type': 'image_url', …}")
    if _SPECIAL.search(text):
        raise refused(422, "content: the text holds a special token of the model (<|…|>); take it out")
    return n_images


def _bounded(asked: Mapping[str, Any], field: str, most: int) -> None:
    value = asked.get(field)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most):
        raise refused(422, f"{field}: give a whole number from 0 to {most}")


def _from_json(body: bytes, schema: type[_RequestT], limits: ServiceLimits) -> tuple[_RequestT, list[Upload]]:
    try:
        asked = schema.model_validate_json(body)
    except ValidationError as error:
        raise refused(422, reasons_of(error)) from error
    named: list[tuple[str, str]] = []
    for field in schema.picture_fields:
        value = getattr(asked, field)
        named += [(field, value)] if isinstance(value, str) else [(f"{field}{n}", url) for n, url in enumerate(value)]
    _few(len(named), limits)
    return asked, [from_data_url(url, name) for name, url in named]


async def _from_form(
    request: Request, schema: type[_RequestT], limits: ServiceLimits
) -> tuple[_RequestT, list[Upload]]:
    async with request.form(
        max_files=limits.max_images + 1, max_fields=len(schema.model_fields), max_part_size=64 * 1024
    ) as form:
        values: dict[str, Any] = {}
        uploads = []
        for field in form:
            sent = form.getlist(field)
            files = [one for one in sent if isinstance(one, UploadFile)]
            is_picture = field in schema.picture_fields
            if is_picture != bool(files) or len(files) not in (0, len(sent)):
                raise refused(422, f"{field[:80]}: {'send files' if is_picture else 'not a field for files'}")
            is_list = is_picture and get_origin(schema.model_fields[field].annotation) is list
            if len(sent) > 1 and not is_list:
                raise refused(422, f"{field[:80]}: send it once")
            values[field] = ["" for _ in sent] if is_list else "" if is_picture else sent[0]
        _few(sum(len(form.getlist(field)) for field in schema.picture_fields), limits)
        try:
            asked = schema.model_validate(values, strict=False)
        except ValidationError as error:
            raise refused(422, reasons_of(error)) from error
        for field in schema.picture_fields:
            for n, file in enumerate(form.getlist(field)):
                if not isinstance(file, UploadFile):
                    raise AssertionError("checked above")
                name = f"{field}{n}" if isinstance(values[field], list) else field
                uploads.append(Upload(await file.read(), _file_name(name, file.filename)))
    return asked, uploads


def _few(n_images: int, limits: ServiceLimits) -> None:
    if n_images > limits.max_images:
        raise refused(413, f"more than {limits.max_images} pictures in one request")


def reasons_of(error: ValidationError) -> str:
    """Return what is wrong, field by field, without the sent values, which may be megabytes."""
    found = [(".".join(map(str, item["loc"])), item["msg"]) for item in error.errors(include_input=False)]
    return "; ".join(f"{where or 'body'}: {what}"[:200] for where, what in found)[:1000]


def _file_name(field: str, sent: str | None) -> Path:
    """Return the field's name with the suffix of the sent name, if that is a picture's; the rest of the sent name is
    not used.
    """
    suffix = Path(sent or "").suffix.lower()
    return Path(field + (suffix if suffix in IMAGE_SUFFIXES else ""))
