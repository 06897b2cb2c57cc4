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
    """Return the httpx, which the core does without.

    Raises:
        MissingDependency: it is absent.
    """
    try:
        import httpx
    except ImportError as error:
        raise MissingDependency("httpx", "serve") from error
    return httpx


def open_client(base_url: str, headers: dict[str, str], most: int) -> httpx.AsyncClient:
    """Return a client for one server. A server on this machine is never reached by way of a proxy, which would look for
    it on its own machine; any other one is, where the environment says so (``HTTP_PROXY``, ``HTTPS_PROXY``,
    ``ALL_PROXY``, ``NO_PROXY``).

    Args:
        base_url: base URL of the server.
        headers: headers of every request.
        most: connections at once.

    Raises:
        InputError: the environment names a proxy or certificates that cannot be used.
        MissingDependency: httpx is absent.
    """
    made_by = library()
    limits = made_by.Limits(max_connections=most)
    try:
        # With a transport of its own, a client leaves the environment's proxies alone.
        transport = made_by.AsyncHTTPTransport(limits=limits) if is_on_this_machine(base_url) else None
        # One try as a whole is timed by who asks: httpx times each read alone, which a trickle outlives.
        client: httpx.AsyncClient = made_by.AsyncClient(
            headers=headers, timeout=None, limits=limits, transport=transport
        )
    except ImportError as error:  # of httpx's own, about SOCKS
        raise InputError(
            "the environment names a SOCKS proxy (ALL_PROXY, HTTP_PROXY or HTTPS_PROXY), which needs one more package: "
            "pip install 'httpx[socks]'; or have NO_PROXY name the server's host"
        ) from error
    except (made_by.InvalidURL, ValueError) as error:  # no message repeats it: it may hold a password
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
    """Return what may help where a server is not reached, to be put behind the reason; empty where nothing is known.

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
    """Return whether an address is of the loopback.

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
