"""Requests made from the service's own schema, and from pictures that were cut, joined and mended: whatever comes, an
answer in the documented form goes back, and the service lives on.

``REDAES_FUZZ_EXAMPLES`` raises the number of requests per operation; docs/reliability.md has a long run.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator

import httpx
import pytest
import schemathesis
from colours import Colours, running
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from redaes.serving.app import create_app
from redaes.serving.limits import ServiceLimits

EXAMPLES = int(os.environ.get("REDAES_FUZZ_EXAMPLES", "12"))
APP = create_app(
    Colours(),
    limits=ServiceLimits(max_body_bytes=200_000, max_pixels=1_000_000, timeout_s=20.0),
    hosts=("127.0.0.1", "testserver"),
)
SCHEMA = schemathesis.openapi.from_asgi("/openapi.json", APP)

quick = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


@SCHEMA.parametrize()
@quick
def test_requests_made_from_the_schema(case: schemathesis.Case) -> None:
    # A schema cannot say what a picture is, so most of what follows it is refused all the same.
    excluded = [positive_data_acceptance]
    if case.media_type == "multipart/form-data":
        # On the way there, wrong values may become right ones: an empty list is sent as no field at all.
        excluded.append(negative_data_rejection)
    case.call_and_validate(excluded_checks=excluded)


def _pictures() -> dict[str, bytes]:
    image = Image.effect_noise((40, 30), 60).convert("RGB")
    found = {}
    for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"):
        out = io.BytesIO()
        image.save(out, kind)
        found[kind] = out.getvalue()
    return found


PICTURES = _pictures()


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A picture with bytes changed, cut off, put in or added from another."""
    data = bytearray(PICTURES[draw(st.sampled_from(sorted(PICTURES)))])
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        what = draw(st.sampled_from(["change", "cut", "put in", "join"]))
        if what == "change":
            new = draw(st.binary(min_size=1, max_size=8))
            data[at : at + len(new)] = new
        elif what == "cut":
            del data[at:]
        elif what == "put in":
            data[at:at] = draw(st.binary(min_size=1, max_size=40))
        else:
            data += PICTURES[draw(st.sampled_from(sorted(PICTURES)))]
    return bytes(data)


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with running(APP) as address, httpx.Client(base_url=address, trust_env=False, timeout=60) as found:
        yield found


def test_damaged_pictures(client: httpx.Client) -> None:
    statuses: dict[int, int] = {}

    @quick
    @given(damaged(), damaged())
    def ask(first: bytes, second: bytes) -> None:
        files = {"first": ("a", first), "second": ("b", second)}
        answer = client.post("/v1/compare", files=files, data={"mode": "fast"})
        assert answer.status_code in (200, 413, 422), answer.text
        assert "error" in answer.json() or answer.json()["winner"] in ("A", "B", "tie")
        statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1

    ask()
    assert statuses.get(422, 0) > 0
    assert client.get("/health").status_code == 200
