"""Who may not ask a service on this machine: whoever calls it by another name, and pages of other sites."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")


def stranger(headers: Mapping[bytes, bytes], hosts: Collection[str], remedy: str) -> str | None:
    """Return why a request may not come in, or None.

    Args:
        headers: its own, by names in small letters.
        hosts: names under which the service may be addressed, without ports, in small letters; ``*``: any. A browser
            that was lured to a hostile name for this machine is thereby refused.
        remedy: for whoever uses another name.
    """
    host = headers.get(b"host", b"").decode("latin-1").lower()
    try:
        name = urlsplit(f"//{host}").hostname or ""
        origin = headers.get(b"origin")
        foreign = origin is not None and urlsplit(origin.decode("latin-1").lower()).netloc != host
    except ValueError:
        return "the host or origin is no address"
    if "*" not in hosts and name not in hosts:
        return f"this service does not go by the name {name!r}; {remedy}"
    return "pages of other sites may not ask here" if foreign else None
