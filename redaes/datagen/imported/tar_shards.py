"""Tar shards as ``redaes data export --format webdataset`` writes them: ``ID.json`` and two pictures for each pair."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from redaes.errors import InputError


def tar_rows(file: Path) -> Iterator[tuple[str, Any]]:
    """Yield each pair with its name in messages: the content of its JSON, and a struct of ``bytes`` and ``path`` for
    each picture. For something that is not such a pair, a text that says why is yielded instead.

    A member's name up to its first dot is that of the pair; the members of a pair follow one another.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        with tarfile.open(file, "r|") as shard:
            members: dict[str, bytes] = {}
            key = ""
            for member in shard:
                if not member.isfile():
                    continue
                folder, _, name = member.name.rpartition("/")
                now, _, kind = name.partition(".")
                now = f"{folder}/{now}" if folder else now
                if members and now != key:
                    yield f"{file.name} pair {key}", _pair(members)
                    members = {}
                key = now
                data = shard.extractfile(member)
                assert data is not None  # extractfile() gives None only for members that are not files
                members[kind.lower()] = data.read()
            if members:
                yield f"{file.name} pair {key}", _pair(members)
    except (OSError, tarfile.TarError) as error:
        raise InputError(f"{file} cannot be read as a tar shard ({error}); copy or write it again") from error


def _pair(members: dict[str, bytes]) -> dict[str, Any] | str:
    try:
        said = json.loads(members.get("json", b"{}"))
    except ValueError as error:
        return f"no JSON: {error}"
    if not isinstance(said, dict):
        return f"a JSON {type(said).__name__}, not an object"
    pictures = {
        side: {"bytes": data, "path": kind}
        for kind, data in members.items()
        for side in ("first", "second")
        if kind.startswith(f"{side}.")
    }
    return said | pictures
