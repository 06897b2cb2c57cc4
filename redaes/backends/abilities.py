"""The abilities of a server within the OpenAI protocol, found out once and kept between commands.

A record per server, model and what the server reports of itself (:class:`ServerIdentity`) lies in the user's cache
folder. It is written atomically, holds no key, and is found out anew once it is :data:`KEPT_S` old, of another version,
or cannot be read. What is None in it has not been looked for yet: it is, when it is first needed.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from redaes.backends.picture_limits import PictureLimits
from redaes.backends.thoughts import WayName
from redaes.errors import RecordError
from redaes.file_writing import write_atomically
from redaes.types import Form, ProbabilitySource, Record

VERSION: Literal[2] = 2
"""Version of the files; abilities in files of another version are found out again."""

KEPT_S = 7 * 24 * 3600.0
"""How long what was found out counts, in seconds."""

FOLDER_VARIABLE = "REDAES_CACHE"
"""Environment variable of the folder in which redaes keeps what can be found out anew."""

Structured = Literal["json_schema", "structured_outputs", "grammar", "none"]
"""How a server holds an answer to a form. ``json_schema``: the protocol's ``response_format``;
``structured_outputs``: vLLM's field of that name; ``grammar``: llama.cpp's field with a GBNF grammar; ``none``: in no
way that it was asked in."""


class ServerIdentity(Record):
    """What is kept apart: one model at one address, as far as the server says which."""

    url: str
    model: str
    revision: str | None = None
    """What pins the weights, where the server reports it."""
    root: str | None = None
    """What the model's name stands for, where the server reports it: a folder, or a name on the hub."""
    owner: str | None = None
    """Whose model it is said to be; servers of one's own name themselves: ``vllm``, ``sglang``, ``llamacpp``."""
    server: str | None = None
    """The server's own version, where it reports one."""

    @property
    def file(self) -> str:
        """The name of its file."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:32] + ".json"


class Abilities(Record):
    """What a server can do, as far as it was found out."""

    begins: bool | None = None
    """Whether it goes on with an answer that is begun for the model, and its probabilities can be read there."""
    reads: ProbabilitySource | None = None
    """How its probabilities are read there."""
    lists: bool | None = None
    """Whether it lists the likeliest tokens of what a model writes."""
    structured: Structured | None = None
    """How it holds an answer to a form."""
    form: Form | None = None
    """The form in which its model is asked."""
    thinks: bool = False
    """Whether the model was seen to think longer than it may."""
    way: WayName | None = None
    """How its thoughts are dealt with where little is asked (:mod:`redaes.backends.thoughts`)."""
    pictures: PictureLimits = PictureLimits()
    """Its lasting limits on pictures."""
    left_out: tuple[str, ...] = ()
    """Fields that it has refused; ``max_completion_tokens`` among them: it takes ``max_tokens``."""
    values: dict[str, float] = Field(default_factory=dict)
    """The only values that it takes of a field; of ``top_logprobs`` the largest."""


class _Kept(Record):
    """The content of a file."""

    version: Literal[2]
    found_at_s: float
    """Seconds since 1970."""
    identity: ServerIdentity
    abilities: Abilities


def cache_folder() -> Path:
    """Return where redaes keeps what can be found out anew: ``REDAES_CACHE``, or where this system has such things."""
    if given := os.environ.get(FOLDER_VARIABLE):
        return Path(given)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "redaes"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "redaes"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "redaes"


def read_abilities(identity: ServerIdentity) -> Abilities | None:
    """Return what is kept of a server; None: nothing, or nothing that counts any more."""
    try:
        kept = _Kept.model_validate_json(_file(identity).read_bytes())
    except (OSError, RuntimeError, ValidationError):  # RuntimeError: there is no home
        return None
    age_s = time.time() - kept.found_at_s
    return kept.abilities if kept.identity == identity and 0 <= age_s < KEPT_S else None


def keep_abilities(identity: ServerIdentity, abilities: Abilities) -> bool:
    """Keep what was found out of a server, in place of what was kept before.

    Returns:
        Whether it could be kept; a folder that cannot be written to costs the next command a few questions, and
        nothing else.
    """
    kept = _Kept(version=VERSION, found_at_s=time.time(), identity=identity, abilities=abilities)
    content = json.dumps(kept.model_dump(mode="json"), indent=2)
    try:
        write_atomically(_file(identity), f"{content}\n".encode())
    except (RecordError, RuntimeError):
        return False
    return True


def forget_abilities(identity: ServerIdentity) -> None:
    """Have everything found out anew the next time."""
    try:
        _file(identity).unlink(missing_ok=True)
    except (OSError, RuntimeError):
        return  # then its age ends it


def _file(identity: ServerIdentity) -> Path:
    return cache_folder() / "servers" / identity.file
