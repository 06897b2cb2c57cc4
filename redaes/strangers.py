"""Refuse requests to a service on this machine that use another host name or come from pages of other sites."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")


def stranger(headers: Mapping[bytes, bytes], hosts: Collection[str], remedy: str) -> str | None:
    """Return why a request is refused, or None.

    Args:
        headers: the request's headers, by lower-case names.
        hosts: host names, in lower case and without ports, under which the service may be addressed; ``*``: any. This
            refuses a browser that was lured to a hostile name for this machine (DNS rebinding).
        remedy: what to do if another name is wanted, for the message.
    """
    host = headers.get(b"host", b"").decode("latin-1").lower()
    try:
        name = urlsplit(f"//{host}").hostname or ""
        origin = headers.get(b"origin")
        foreign = origin is not None and urlsplit(origin.decode("latin-1").lower()).netloc != host
    except ValueError:
        return "the Host or Origin header is not a valid address"
    if "*" not in hosts and name not in hosts:
        return f"this service does not accept the host name {name!r}; {remedy}"
    return "pages of other sites may not send requests to this service" if foreign else None
