"""Messages on the socket: each is a line of JSON, followed by the bytes that the line announces.

Received data is never executed: neither side unpickles anything.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from typing import Any, BinaryIO, cast

MAX_LINE = 16 * 2**20
"""Largest number of bytes of one line."""
MAX_ATTACHED = 2**30
"""Largest number of bytes attached to one line."""


class Broken(Exception):
    """The received data is not a message, or only a part of one."""


def send(connection: socket.socket, message: dict[str, Any], attached: Sequence[bytes] = ()) -> None:
    """Send a message.

    Raises:
        OSError: the other side has closed the connection.
    """
    line = json.dumps({**message, "attached": [len(part) for part in attached]}).encode() + b"\n"
    connection.sendall(line)
    for part in attached:
        connection.sendall(part)


def receive(stream: BinaryIO) -> tuple[dict[str, Any], list[bytes]]:
    """Return the next message and the data attached to it.

    Raises:
        Broken: the received data is not a message.
        OSError: the connection broke, or nothing arrived in time.
    """
    line = stream.readline(MAX_LINE)
    if not line.endswith(b"\n"):
        raise Broken("the other process closed the connection")
    try:
        message = json.loads(line)
    except ValueError as error:
        raise Broken("the message is not JSON") from error
    sizes = message.pop("attached", None) if isinstance(message, dict) else None
    if not isinstance(sizes, list) or not all(type(size) is int and size >= 0 for size in sizes):
        raise Broken("the received data is not a message")
    if sum(sizes) > MAX_ATTACHED:
        raise Broken(f"the message has {sum(sizes):,} bytes, which is too many")
    parts = [stream.read(size) for size in sizes]
    if [len(part) for part in parts] != sizes:
        raise Broken("the other process closed the connection in the middle of a message")
    return cast("dict[str, Any]", message), parts
