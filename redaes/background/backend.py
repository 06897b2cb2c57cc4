"""The model of the service as a backend, for commands that do their own work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from typing import Any

from PIL import Image

from redaes.backends.base import Answer, Backend, Request
from redaes.backends.failures import Failure
from redaes.backends.next_token import NextToken
from redaes.backends.temperatures import Temperature
from redaes.background.client import NoService, Session, say_unused
from redaes.lenient import Reader
from redaes.prompts import Prompt
from redaes.types import Form, Sampling


class ServiceBackend:
    """Ask the model of the background service; if the service ends, load the model here, which gives the same
    answers.
    """

    def __init__(self, session: Session, load: Callable[[], Backend], *, verbose: bool) -> None:
        """
        Args:
            session: connection to a service that has exactly this model.
            load: function that loads the model in this process.
            verbose: whether to say on standard error that the service has ended.
        """
        about = session.about
        self.model = str(about["model"])
        self.revision = str(about["revision"])
        self.temperatures = tuple(Temperature.model_validate(one) for one in about["temperatures"])
        self.form: Form = about["form"]
        self.reader: Reader = about["reader"]
        self._session: Session | None = session
        self._load = load
        self._verbose = verbose
        self._here: Backend | None = None

    def answer(self, requests: Sequence[Request]) -> list[Answer | Failure]:
        """Answer the requests, as :class:`redaes.backends.base.Backend` specifies.

        Raises:
            BackendError: the model cannot be asked.
        """
        if self._session is not None:
            try:
                message, pixels = packed(requests)
                found, _ = self._session.ask({"ask": message}, pixels)
                return [answer_of_json(one) for one in found["answers"]]
            except NoService as error:
                say_unused(error, self._verbose)
                self._session.close()
                self._session = None
        if self._here is None:
            self._here = self._load()
        return self._here.answer(requests)


def packed(requests: Sequence[Request]) -> tuple[list[dict[str, Any]], list[bytes]]:
    """Return requests as JSON types, and the pixels of their pictures, each picture once."""
    places: dict[int, int] = {}
    pixels: list[bytes] = []
    kept: list[Image.Image] = []  # keeps the pictures alive, so that no two of them get the same id()
    lines = []
    for request in requests:
        pictures = []
        for image in request.pixels:
            if id(image) not in places:
                places[id(image)] = len(pixels)
                pixels.append(image.tobytes())
                kept.append(image)
            pictures.append([places[id(image)], image.mode, *image.size])
        lines.append(
            {
                "prompt": asdict(request.prompt),
                "pictures": pictures,
                "prefix": request.prefix,
                "choices": request.choices,
                "sampling": None if request.sampling is None else request.sampling.as_json(),
            }
        )
    return lines, pixels


def unpacked(lines: Sequence[dict[str, Any]], pixels: Sequence[bytes]) -> list[Request]:
    """Return the requests that were given to :func:`packed`.

    Raises:
        ValueError: a picture does not have as many pixels as its size says.
    """
    pictures: dict[tuple[int, str, int, int], Image.Image] = {}

    def picture(place: int, mode: str, width: int, height: int) -> Image.Image:
        key = place, mode, width, height
        if key not in pictures:
            pictures[key] = Image.frombytes(mode, (width, height), pixels[place])
        return pictures[key]

    return [
        Request(
            prompt=Prompt(**{**line["prompt"], "words": tuple(map(tuple, line["prompt"]["words"]))}),
            images=tuple(picture(*one) for one in line["pictures"]),
            prefix=line["prefix"],
            choices=tuple(line["choices"]),
            sampling=None if line["sampling"] is None else Sampling.model_validate(line["sampling"]),
        )
        for line in lines
    ]


def json_of_answer(answer: Answer | Failure) -> dict[str, Any]:
    """Return an answer as JSON types; numbers keep all their digits."""
    if isinstance(answer, Failure):
        return {"failure": asdict(answer)}
    read = answer.read
    found = {field.name: getattr(answer, field.name) for field in fields(Answer)}
    if isinstance(read, NextToken):
        found["read"] = {"log_probs": dict(read.log_probs), "least": read.least, "source": read.source}
    elif isinstance(read, Failure):
        found["read"] = {"failure": asdict(read)}
    return found


def answer_of_json(found: dict[str, Any]) -> Answer | Failure:
    """Return the answer that was given to :func:`json_of_answer`."""
    if "failure" in found:
        return Failure(**found["failure"])
    read = found["read"]
    token: NextToken | Failure | None = None
    if read is not None:
        token = Failure(**read["failure"]) if "failure" in read else NextToken(**read)
    return Answer(**{**found, "read": token, "changes": tuple(found["changes"])})
