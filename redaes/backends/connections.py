"""Connections to a server: proxy, certificates, and advice if it cannot be reached."""

from __future__ import annotations

import ipaddress
import ssl
import urllib.request
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from redaes.errors import InputError, MissingDependency

if TYPE_CHECKING:
    import httpx


def library() -> Any:
    """Import and return httpx, which is an optional dependency.

    Raises:
        MissingDependency: it is absent.
    """
    try:
        import httpx
    except ImportError as error:
        raise MissingDependency("httpx", "serve") from error
    return httpx


def open_client(base_url: str, headers: dict[str, str], most: int) -> httpx.AsyncClient:
    """Return a client for one server. A server on this machine is never reached through a proxy, which would look for
    it on the proxy's own machine. For other servers the environment decides (``HTTP_PROXY``, ``HTTPS_PROXY``,
    ``ALL_PROXY``, ``NO_PROXY``).

    Args:
        base_url: base URL of the server.
        headers: headers of every request.
        most: largest number of simultaneous connections.

    Raises:
        InputError: the environment names a proxy or certificates that cannot be used.
        MissingDependency: httpx is absent.
    """
    made_by = library()
    limits = made_by.Limits(max_connections=most)
    try:
        # A client that is given a transport ignores the environment's proxies.
        transport = made_by.AsyncHTTPTransport(limits=limits) if is_on_this_machine(base_url) else None
        # The caller limits the time of a whole try: httpx would limit each read alone, which a slow trickle never hits.
        client: httpx.AsyncClient = made_by.AsyncClient(
            headers=headers, timeout=None, limits=limits, transport=transport
        )
    except ImportError as error:  # raised by httpx: SOCKS support is absent
        raise InputError(
            "the environment names a SOCKS proxy (ALL_PROXY, HTTP_PROXY or HTTPS_PROXY), which needs one more package: "
            "pip install 'httpx[socks]'; or have NO_PROXY name the server's host"
        ) from error
    except (made_by.InvalidURL, ValueError) as error:  # the message must not repeat it, as it may contain a password
        raise InputError(
            "the environment names a proxy that cannot be used (ALL_PROXY, HTTP_PROXY or HTTPS_PROXY); give one like "
            "http://proxy.example.org:3128, or have NO_PROXY name the server's host"
        ) from error
    except OSError as error:
        raise InputError(
            f"the certificates that the environment names (SSL_CERT_FILE or SSL_CERT_DIR) cannot be read ({error}); "
            "correct the path, or unset the variable"
        ) from error
    return client


def remedy(base_url: str, error: Exception) -> str:
    """Return advice for a server that cannot be reached, to be appended to the reason; empty: there is none.

    Args:
        base_url: base URL of the server.
        error: error of httpx.

    >>> remedy("http://127.0.0.1:8000/v1", OSError("All connection attempts failed"))
    '; is it running there? redaes doctor finds the servers of this machine'
    """
    words = str(error)
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return "; to trust your own certificate, set SSL_CERT_FILE to its issuer's file"
        cause = cause.__cause__ or cause.__context__
    if "WRONG_VERSION_NUMBER" in words:
        return "; it may speak http: give http:// in place of https://"
    if is_on_this_machine(base_url):
        is_silent = "attempts failed" in words or "refused" in words.lower()
        return "; is it running there? redaes doctor finds the servers of this machine" if is_silent else ""
    if _has_proxy(base_url):
        return (
            "; it was asked by way of the environment's proxy (HTTP_PROXY, HTTPS_PROXY or ALL_PROXY): have NO_PROXY "
            "name the server's host where it is to be asked directly"
        )
    return ""


def is_on_this_machine(url: str) -> bool:
    """Return whether an address is a loopback address.

    >>> [is_on_this_machine(f"http://{host}/v1") for host in ("localhost:80", "127.0.0.2", "[::1]:80", "10.0.0.1")]
    [True, True, True, False]
    """
    host = (urlsplit(url).hostname or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _has_proxy(url: str) -> bool:
    parts = urlsplit(url)
    proxies = urllib.request.getproxies()
    if parts.scheme not in proxies and "all" not in proxies:
        return False
    return not urllib.request.proxy_bypass(parts.hostname or "")
