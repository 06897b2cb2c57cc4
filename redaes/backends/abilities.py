"""Abilities of a server of the OpenAI protocol, detected once and stored between commands.

The user's cache folder has one record for each combination of server, model and what the server reports of itself
(:class:`ServerIdentity`). A record is written atomically and contains no key. It is replaced if it is older than
:data:`KEPT_S`, has another version, or cannot be read. A field that is None is detected when it is first needed.
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
"""Version of the files; abilities in files of another version are detected again."""

KEPT_S = 7 * 24 * 3600.0
"""How long a record is valid, in seconds."""

FOLDER_VARIABLE = "REDAES_CACHE"
"""Environment variable that names the cache folder of redaes."""

Structured = Literal["json_schema", "structured_outputs", "grammar", "none"]
"""How a server can constrain an answer to a form. ``json_schema``: the protocol's ``response_format``;
``structured_outputs``: vLLM's field of that name; ``grammar``: llama.cpp's field with a GBNF grammar; ``none``: by none
of these."""


class ServerIdentity(Record):
    """The key of a record: one model at one address, as far as the server identifies it."""

    url: str
    model: str
    revision: str | None = None
    """Revision of the weights; None: the server does not report it."""
    root: str | None = None
    """The folder or hub name that the model's name stands for; None: the server does not report it."""
    owner: str | None = None
    """Reported owner of the model; self-hosted servers report their own name: ``vllm``, ``sglang``, ``llamacpp``."""
    server: str | None = None
    """Version of the server's program; None: it does not report one."""

    @property
    def file(self) -> str:
        """The name of its file."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:32] + ".json"


class Abilities(Record):
    """What a server can do, as far as it is known."""

    begins: bool | None = None
    """Whether the server continues an answer whose beginning is given, so that probabilities can be read there."""
    reads: ProbabilitySource | None = None
    """How probabilities are read at that place."""
    lists: bool | None = None
    """Whether the server lists the likeliest tokens of what a model writes."""
    structured: Structured | None = None
    """How the server constrains an answer to a form."""
    form: Form | None = None
    """The form in which its model is asked."""
    thinks: bool = False
    """Whether the model was seen to think beyond its limit on tokens."""
    way: WayName | None = None
    """How thoughts are handled for questions with a short answer (:mod:`redaes.backends.thoughts`)."""
    pictures: PictureLimits = PictureLimits()
    """The server's limits on pictures that do not depend on how it was started."""
    left_out: tuple[str, ...] = ()
    """Fields that the server has refused; ``max_completion_tokens`` here means that it accepts ``max_tokens``
    instead."""
    values: dict[str, float] = Field(default_factory=dict)
    """For some fields, the only value that the server accepts; for ``top_logprobs``, the largest one."""


class _Kept(Record):
    """The content of a file."""

    version: Literal[2]
    found_at_s: float
    """Seconds since 1970."""
    identity: ServerIdentity
    abilities: Abilities


def cache_folder() -> Path:
    """Return the cache folder of redaes: ``REDAES_CACHE``, or this system's usual place for caches."""
    if given := os.environ.get(FOLDER_VARIABLE):
        return Path(given)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "redaes"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "redaes"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "redaes"


def read_abilities(identity: ServerIdentity) -> Abilities | None:
    """Return the stored abilities of a server; None: there are none, or they are no longer valid."""
    try:
        kept = _Kept.model_validate_json(_file(identity).read_bytes())
    except (OSError, RuntimeError, ValidationError):  # RuntimeError: no home folder
        return None
    age_s = time.time() - kept.found_at_s
    return kept.abilities if kept.identity == identity and 0 <= age_s < KEPT_S else None


def keep_abilities(identity: ServerIdentity, abilities: Abilities) -> bool:
    """Store the abilities of a server, in place of those stored before.

    Returns:
        Whether they could be stored. If the folder cannot be written to, the next command must detect them again.
    """
    kept = _Kept(version=VERSION, found_at_s=time.time(), identity=identity, abilities=abilities)
    content = json.dumps(kept.model_dump(mode="json"), indent=2)
    try:
        write_atomically(_file(identity), f"{content}\n".encode())
    except (RecordError, RuntimeError):
        return False
    return True


def forget_abilities(identity: ServerIdentity) -> None:
    """Delete the stored abilities, so that they are detected again next time."""
    try:
        _file(identity).unlink(missing_ok=True)
    except (OSError, RuntimeError):
        return  # then it expires by its age


def _file(identity: ServerIdentity) -> Path:
    return cache_folder() / "servers" / identity.file
