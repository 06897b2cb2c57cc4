"""Proxies and certificates that the environment names, and what is said where a server is not reached."""

from __future__ import annotations

import asyncio
import ssl
import sys

import pytest
from openai_server import Fault, OpenAIServer, Say

from redaes.backends.connections import open_client, remedy
from redaes.backends.endpoint import Endpoint
from redaes.errors import EndpointError, InputError

AWAY = "http://192.0.2.1/v1"
"""An address of nobody (RFC 5737)."""


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


async def models(url: str) -> int:
    async with Endpoint(url, "judge", timeout_s=5.0, max_retries=0) as endpoint:
        return len(await endpoint.models())


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "socks5://127.0.0.1:9", "nonsense://127.0.0.1:9"])
def test_a_server_on_this_machine_is_asked_without_a_proxy(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    with OpenAIServer(lambda call: Say("x")) as server:
        assert asyncio.run(models(server.base_url)) == 1


def test_another_server_is_asked_by_way_of_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with OpenAIServer(lambda call: Fault(404)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.base_url.removesuffix("/v1"))
        with pytest.raises(EndpointError) as caught:
            asyncio.run(models(AWAY))
    assert caught.value.reason != "connection", "the proxy has answered"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ALL_PROXY", "nonsense://me:secret@127.0.0.1:9", "a proxy that cannot be used"),
        ("SSL_CERT_FILE", "/no/such/file", "SSL_CERT_FILE"),
    ],
)
def test_an_environment_that_cannot_be_used(name: str, value: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=words) as caught:
        open_client(AWAY, {}, 1)
    assert "secret" not in str(caught.value)


def test_a_socks_proxy_wants_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://me:secret@127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "socksio", None)
    with pytest.raises(InputError, match=r"httpx\[socks\]") as caught:
        open_client(AWAY, {}, 1)
    assert "secret" not in str(caught.value)


def test_what_may_help(monkeypatch: pytest.MonkeyPatch) -> None:
    refused, broken = OSError("All connection attempts failed"), OSError("Server disconnected")
    assert "is it running there" in remedy("http://localhost:8000/v1", refused)
    assert remedy("http://localhost:8000/v1", broken) == remedy(AWAY, refused) == ""
    unknown = OSError("certificate verify failed")
    unknown.__cause__ = ssl.SSLCertVerificationError("self-signed certificate")
    assert "SSL_CERT_FILE" in remedy("https://localhost/v1", unknown)
    assert "give http://" in remedy("https://localhost/v1", OSError("[SSL: WRONG_VERSION_NUMBER] wrong version number"))
    monkeypatch.setenv("HTTP_PROXY", "http://me:secret@127.0.0.1:9")
    said = remedy(AWAY, refused)
    assert "NO_PROXY" in said
    assert "secret" not in said
    monkeypatch.setenv("NO_PROXY", "192.0.2.1")
    assert remedy(AWAY, refused) == ""
