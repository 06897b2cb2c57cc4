"""The model that a command asks: in this process, or behind a server."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from redaes.early_checks import check_judge
from redaes.errors import BackendError, InputError
from redaes.models import nano

if TYPE_CHECKING:
    from redaes.backends.base import Backend
    from redaes.backends.connecting import ConnectedModel
    from redaes.backends.local import LocalBackend
    from redaes.lenient import Reader


@dataclass(frozen=True)
class ModelChoice:
    """What the options of a command say about the model.

    Attributes:
        model: None: the embedded one, or the only one behind the endpoint.
        adapter: folder of a LoRA adapter.
        device: None: the best there is.
        endpoint: address of a server; None or empty: the model is in this process.
        api_key_env: environment variable with the server's key; None: ``REDAES_API_KEY``.
        agreement: answers to draw in each order where the server reports no probabilities; None: as few as will do,
            where something has to be made of them.
        constrain: whether reasoned answers are held to their form; None: those of models that were not trained on it.
        service: whether the background service's model is asked where it is the very one.
        verbose: whether it is said why it is not.
    """

    model: str | None
    adapter: Path | None
    device: str | None
    endpoint: str | None
    api_key_env: str | None
    agreement: int | None = None
    constrain: bool | None = None
    service: bool = False
    verbose: bool = False

    @property
    def shown(self) -> str:
        """The model, in a word or two."""
        return self.model or self.endpoint or nano.NAME

    @property
    def reader(self) -> Reader:
        """How answers are read unless told otherwise: the strict form is of models that were trained on it."""
        return "lenient" if self.endpoint else "strict"

    def check(self) -> None:
        """Refuse what does not go together or is not there, before anything is loaded.

        Raises:
            InputError: options that do not go together, or no such model.
            TrainingError: no such adapter.
        """
        if not self.endpoint:
            for option, value in (("--api-key-env", self.api_key_env), ("--agreement", self.agreement)):
                if value is not None:
                    raise InputError(
                        f"{option} works only together with --endpoint; leave it out, or give the server's address as "
                        "--endpoint"
                    )
            check_judge(self.model or nano.NAME, self.adapter)
            return
        for option, given in (("--adapter", self.adapter), ("--device", self.device), ("--constrain", self.constrain)):
            if given is not None:
                raise InputError(
                    f"{option} is only for a model that is loaded in this process, but --endpoint (or "
                    "REDAES_ENDPOINT) names a server; leave one of them out"
                )

    def load(self, *, reader: Reader | None = None) -> Backend:
        """The model to ask.

        Args:
            reader: of its answers; None: the usual one.

        Raises:
            InputError: as :meth:`check` does, or a server with several models of which none is named.
            TrainingError: as :meth:`check` does.
            BackendError: the model cannot be loaded or reached.
        """
        self.check()
        if not self.endpoint:
            return self._served() or self._loaded()
        return self.connect(reader=reader)

    def connect(self, *, reader: Reader | None = None, **more: Any) -> ConnectedModel:
        """The model behind the endpoint.

        Args:
            reader: of its answers; None: the usual one.
            more: as for :func:`redaes.backends.connecting.connect`.

        Raises:
            InputError, BackendError: as :meth:`load` does.
        """
        from redaes.backends.connecting import connect, key_from

        assert self.endpoint
        key = key_from(self.api_key_env)
        return connect(self.endpoint, self.model, api_key=key, reader=reader or self.reader, **more)

    def draws(self, backend: Backend, what: str) -> int:
        """Answers to draw in each order for what is made of probabilities, or of the agreement of answers in their
        place; says so on standard error where that is how it will be.

        Args:
            backend: as :meth:`load` gives it.
            what: is made of them, for messages.

        Raises:
            BackendError: the server reports no probabilities, and no answers are to be drawn.
            EndpointError: it does not answer.
        """
        from redaes.assessing.agreement import USUAL_DRAWS
        from redaes.backends.connecting import ConnectedModel

        if not isinstance(backend, ConnectedModel) or backend.reports_probabilities():
            return self.agreement or 0
        lacking = f"{backend.url} reports no token probabilities of {backend.model}"
        if self.agreement == 0:
            raise BackendError(
                f"{lacking}, and {what} needs them: leave --agreement 0 out, so that repeated answers are counted "
                "instead, or use a server that reports them (vLLM, SGLang, llama.cpp)"
            )
        draws = self.agreement or USUAL_DRAWS
        typer.echo(
            f"{lacking}: {what} is based on the agreement of {draws} answers, sampled in each order of a pair "
            "(--agreement)",
            err=True,
        )
        return draws

    def _loaded(self) -> Backend:
        loaded = RESIDENT.get() or load_model
        return loaded(self.model or nano.NAME, self.adapter, self.device, constrain=self.constrain)

    def _served(self) -> Backend | None:
        """The background service's model, if there is a service and its model is the one."""
        if not self.service or self.constrain is not None:
            return None
        from redaes.background.backend import ServiceBackend
        from redaes.background.client import NoService, model_session, say_unused

        adapter = None if self.adapter is None else str(self.adapter)
        try:
            session = model_session(self.model or nano.NAME, adapter, self.device)
        except NoService as reason:
            say_unused(reason, self.verbose)
            return None
        return ServiceBackend(session, self._loaded, verbose=self.verbose)


RESIDENT: ContextVar[Callable[..., Backend] | None] = ContextVar("resident", default=None)
"""In the background service: what is called in place of :func:`load_model`; it gives the model that is loaded already,
or refuses another one."""


@contextmanager
def _collecting_no_garbage() -> Iterator[None]:
    """While a model is loaded, all that is made stays: to look for garbage among it is a fifth of the time. What was
    made is not searched later either, and so neither at the end of the process."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if was_enabled:
            gc.enable()


@_collecting_no_garbage()
def load_model(
    model: str,
    adapter: Path | None,
    device: str | None,
    max_pixels: int | None = None,
    *,
    batch_size: int = 8,
    constrain: bool | None = None,
) -> LocalBackend:
    """The model to ask. Tests put a scripted one here."""
    from huggingface_hub.utils.tqdm import disable_progress_bars
    from transformers.utils import logging

    # Progress bars and advice of the libraries stay away from the answer; their errors are raised as ever.
    disable_progress_bars()
    logging.disable_progress_bar()
    logging.set_verbosity_error()

    from redaes.backends.local import LocalBackend

    return LocalBackend(
        model, adapter=adapter, device=device, max_pixels=max_pixels, batch_size=batch_size, constrain=constrain
    )
