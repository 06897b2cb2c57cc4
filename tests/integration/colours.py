"""A model whose taste is known: for the tests of what stands before a model."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import uvicorn
from numpy.typing import NDArray
from starlette.types import ASGIApp

from redaes.answers import render_verdict
from redaes.backends.base import BatchBackend, Request
from redaes.types import Factor, Rationale, Sampling, Verdict, Winner


class Colours(BatchBackend):
    """A model that likes red, in both orders; it may be told to wait, and counts."""

    model, revision = "colours", "1"

    def __init__(self) -> None:
        self.n_read = 0
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.error: Exception | None = None
        self.spoilt = False
        self.lean = 0.0
        """Towards the picture shown first, in log-odds."""
        self.says = ""
        """Said of every pair, before the rest."""
        self.n_written = 0

    def read(self, requests: Sequence[Request], choices: Sequence[str]) -> NDArray[np.float64]:
        self.entered.release()
        assert self.gate.wait(30)
        if self.error is not None:
            raise self.error
        self.n_read += len(requests)
        rows = [[3 * odds - 1 + self.lean, -3 * odds - 1, -4.0][: len(choices)] for odds in map(_redder, requests)]
        return np.array(rows)

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[str]:
        self.n_written += len(requests)
        if self.spoilt:
            return ["no answer in the form"] * len(requests)
        return [_reasoned(_redder(request), self.says) for request in requests]


def _redder(request: Request) -> float:
    """How much redder A is than B, from -1 to 1."""
    first, second = (np.asarray(image.convert("RGB")).mean((0, 1))[0] / 255 for image in request.images)
    return float(first - second)


def _reasoned(odds: float, says: str) -> str:
    delta = round(4 * odds, 1)
    better: Winner = "tie" if delta == 0 else "A" if delta > 0 else "B"
    factors: tuple[Factor, ...] = () if better == "tie" else ("colour",)
    rationale = Rationale(text=f"{says}The redder one: {better}.", factors=factors, better=better)
    return render_verdict(Verdict(winner=better, delta=delta, rationale=rationale))


@contextmanager
def running(app: ASGIApp) -> Iterator[str]:
    """The app behind a real port of this machine; its address."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=512)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)
        listening.close()
