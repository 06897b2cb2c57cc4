"""The default form in which a model is asked: the text form if it was trained on that, otherwise JSON.

The text form is specific to this project. A model that knows it from the prompt alone adds markup, gets the sign of the
difference wrong or leaves out the closing sentence. Every model knows JSON, many servers can constrain it to a schema,
and the JSON form asks for no sign. A model that was trained on the text form is reliable only in that form.

For weights in this process, the files beside them decide. Of a model behind a server nothing is known but its name, so
it is asked once, in the text form, about two generated pictures: a model that was trained on the form follows it
exactly (:func:`find_form`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args

from PIL import Image

from redaes import lenient, prompts
from redaes.backends.base import Answer, Backend, Request
from redaes.backends.failures import refuse_lost
from redaes.backends.preprocessing import was_trained
from redaes.errors import ParseError
from redaes.known_names import known_name
from redaes.models import nano
from redaes.types import Form, Sampling

AskedForm = Literal["auto", "text", "json"]
"""A form, or ``auto``: the one that suits the model."""

JSON_SAMPLING = Sampling(max_new_tokens=512)
"""Default sampling of answers in the JSON form, which has a text for each picture, and keys."""


def known_form(name: str) -> AskedForm:
    """Return the form of that name.

    >>> known_form("json")
    'json'

    Raises:
        InputError: there is none.
    """
    forms: tuple[AskedForm, ...] = get_args(AskedForm)
    return known_name(name, forms, "form")


def form_of_weights(model: str | Path, folder: Path | None, adapter: Path | None) -> Form:
    """Return the form that weights in this process were trained on, as far as can be seen.

    Args:
        model: its name; the embedded models were trained on the text form.
        folder: folder of its weights; training leaves its files beside them, in merged models too. None: there is no
            folder on this machine.
        adapter: folder of an adapter on these weights; adapters come from training on pairs.
    """
    trained = adapter is not None or str(model) in nano.NAMES or (folder is not None and was_trained(folder))
    return "text" if trained else "json"


def find_form(backend: Backend, holds: Callable[[], bool]) -> Form:
    """Return the form that suits an unknown model, by asking one question in the text form.

    It is the text form if the answer follows it exactly. Otherwise it is JSON if the server constrains answers to a
    schema or if not even :mod:`redaes.lenient` can read the answer; else the text form.

    Args:
        backend: the model.
        holds: whether answers are held to a schema; asked only where that decides.

    Raises:
        EndpointError: for the moment nothing is answered.
        BackendError: the model cannot be asked.
    """
    (found,) = backend.answer([_question()])
    refuse_lost([found])
    if not isinstance(found, Answer):
        return "json"
    try:
        read = lenient.read(found.text or "", "reasoned", "lenient")
    except ParseError:
        return "json"
    return "text" if read.reader == lenient.STRICT or not holds() else "json"


def form_of_backend(backend: Backend) -> Form:
    """Return the default form in which a model is asked.

    Raises:
        EndpointError: it is to be found out, and nothing is answered.
    """
    form: Form = getattr(backend, "form", "text")
    return form


def _question() -> Request:
    pictures = tuple(Image.new("RGB", (64, 64), colour) for colour in ("gray", "navy"))
    return Request(prompts.load(prompts.COMPARE["reasoned"]), pictures)
