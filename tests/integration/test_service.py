"""The service on a scripted model: what comes in, what is kept out, and how each request ends."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import struct
import time
import zlib
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from colours import Colours
from PIL import Image

from redaes.assessor import Assessor
from redaes.errors import EndpointError, InputError
from redaes.images import content_id
from redaes.serving.app import cache_key, create_app
from redaes.serving.limits import ServiceLimits
from redaes.types import ImageRef

KEY = "a-key-of-the-tests-0123"


def saved(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def png(colour: str, size: tuple[int, int] = (16, 12)) -> bytes:
    return saved(Image.new("RGB", size, colour))


def url(data: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def bomb(width: int, height: int) -> bytes:
    """A small PNG file whose header claims many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


RED, BLUE = png("red"), png("blue")
NOISE = saved(Image.fromarray(np.random.default_rng(1).integers(0, 255, (32, 32, 3), np.uint8)))
PAIR = {"first": url(RED), "second": url(BLUE), "mode": "fast"}
SCOPE: dict[str, Any] = {
    "type": "http", "method": "POST", "path": "/v1/compare", "raw_path": b"/v1/compare", "query_string": b"",
    "headers": [(b"host", b"door"), (b"content-type", b"application/json")], "http_version": "1.1",
    "scheme": "http", "server": ("door", 80), "client": ("127.0.0.1", 1), "root_path": "", "extensions": {},
}  # fmt: skip
"""Of a comparison, as a server hands it over."""


class Door:
    """One app and a client of it, without a socket between."""

    def __init__(self, model: Colours | None = None, **settings: Any) -> None:
        self.model = model or Colours()
        limits = ServiceLimits(**{"timeout_s": 20.0, **settings.pop("limits", {})})
        self.app = create_app(self.model, limits=limits, hosts=("door",), **settings)

    def client(self, **settings: Any) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://door", **settings)

    def ask(self, method: str, path: str, **settings: Any) -> httpx.Response:
        async def run() -> httpx.Response:
            async with self.client() as client:
                return await client.request(method, path, **settings)

        return asyncio.run(run())

    def compare(self, **body: Any) -> httpx.Response:
        return self.ask("POST", "/v1/compare", json={**PAIR, **body})


def message(answer: httpx.Response) -> str:
    """The message of an error, whose whole form is checked on the way."""
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "code"}
    assert error["code"] == answer.status_code
    return error["message"]


def test_compare_by_data_urls() -> None:
    answer = Door().compare()
    assert answer.status_code == 200
    result = answer.json()
    assert result["winner"] == "A"
    assert result["probability"] > 0.9
    assert result["order_consistent"] is True
    assert (result["model"], result["revision"], result["mode"]) == ("colours", "1", "fast")
    assert result["notes"] == []
    assert [comparison["order"] for comparison in result["comparisons"]] == ["forward", "swapped"]


def test_compare_by_multipart_gives_the_same_answer() -> None:
    door = Door()
    files = {"first": ("../../etc/red.png", RED), "second": ("blue.png", BLUE)}
    answer = door.ask("POST", "/v1/compare", files=files, data={"mode": "fast"})
    assert answer.status_code == 200
    assert answer.json() == door.compare().json()


def test_the_order_of_the_pictures_decides_the_letter() -> None:
    assert Door().compare(first=url(BLUE), second=url(RED)).json()["winner"] == "B"


def test_equal_pictures_are_a_tie_and_cost_nothing() -> None:
    door = Door()
    result = door.compare(second=url(RED)).json()
    assert (result["winner"], result["probability"], result["comparisons"]) == ("tie", 0.5, [])
    assert door.model.n_read == 0


def test_the_reasoned_mode_gives_reasons() -> None:
    result = Door().compare(mode="reasoned").json()
    assert (result["winner"], result["factors"], result["order_consistent"]) == ("A", ["colour"], True)
    assert "redder" in result["rationale"]


def _grainy(seed: int, spread: float) -> str:
    grey = np.random.default_rng(seed).normal(128, spread, (240, 320, 1))
    pixels = np.clip(
        np.broadcast_to(grey, (240, 320, 3)) + np.array([60 - spread, 0, 0]), 0, 255
    )  # the cleaner one is redder
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, "PNG")
    return url(buffer.getvalue())


def test_reasons_are_held_against_the_pictures() -> None:
    door = Door()
    door.model.says = "A is noisier. "  # in both orders: true of one of them
    pair = {"first": _grainy(1, 2.0), "second": _grainy(2, 25.0)}
    result = door.compare(mode="reasoned", **pair).json()
    assert (result["winner"], result["rationale_order"]) == ("A", "forward")
    assert [(one["status"], one["claim"]["side"]) for one in result["claims"]["checked"]] == [("contradicted", "A")]
    assert "contradicted: “" in result["claims_summary"]
    row = next(row for row in result["measured"] if row["quantity"] == "noise")
    assert row["second"] > row["first"] + 2  # ours, in the order of the result
    assert (row["status"], row["visible"]) == ("contradicted", True)
    assert result["evidence"]["first"]["width"] == 320
    unchecked = door.compare(mode="reasoned", check=False, **pair).json()
    assert (unchecked["claims"], unchecked["measured"], unchecked["winner"]) == (None, [], "A")
    again = door.compare(mode="reasoned", samples=2, **pair).json()
    assert len(again["draws"]) == 2
    assert again["rationale_order"] == "swapped"  # which is better supported
    assert again["claims"]["checked"][0]["claim"]["side"] == "B"  # A is the first picture, whatever the order
    assert again["claims"]["checked"][0]["status"] == "supported"
    assert {name: again[name] for name in ("winner", "probability", "delta")} == {
        name: result[name] for name in ("winner", "probability", "delta")
    }


@pytest.mark.parametrize(
    "body",
    [
        {"samples": 2},
        {"samples": -1, "mode": "reasoned"},
        {"samples": 99, "mode": "reasoned"},
        {"samples": 1, "mode": "reasoned", "check": False},
    ],
)
def test_samples_that_are_refused(body: dict[str, Any]) -> None:
    door = Door()
    answer = door.compare(**body)
    assert answer.status_code == 422
    assert "samples" in message(answer)
    assert door.model.n_written == 0


def test_an_answer_that_changes_with_the_order_is_undecided() -> None:
    door = Door()
    door.model.lean = 20.0
    result = door.compare().json()
    assert (result["winner"], result["undecided"], result["failure"]) == (None, "orders", None)
    assert result["probability"] > 0.9  # what a ranking takes


def test_an_answer_that_the_model_spoils_is_a_result() -> None:
    door = Door()
    door.model.spoilt = True
    answer = door.compare(mode="reasoned")
    assert answer.status_code == 200
    assert answer.json()["winner"] is None
    assert "not_the_form" in answer.json()["failure"]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"first": "http://169.254.169.254/latest"}, 422, "addresses are not fetched"),
        ({"first": "file:///etc/passwd"}, 422, "addresses are not fetched"),
        ({"first": "data:text/html;base64,AAAA"}, 422, "data:image"),
        ({"first": "data:image/png;base64,@@@@"}, 422, "not base64"),
        ({"first": url(b"")}, 422, "not a known picture"),
        ({"first": url(b"GIF89a")}, 422, "damaged"),
        ({"first": url(NOISE[: len(NOISE) // 2])}, 422, "damaged or truncated"),
        ({"first": url(b"<svg onload='x'/>", "svg+xml")}, 422, "SVG"),
        ({"first": url(bomb(30_000, 30_000))}, 422, "exceed the limit"),
        ({"first": url(bomb(10_000, 10_000))}, 413, "exceed the limit"),
        ({"first": 5}, 422, "first"),
        ({"mode": "slow"}, 422, "mode"),
        ({"third": "x"}, 422, "third"),
    ],
)  # fmt: skip
def test_what_is_refused_and_why(body: dict[str, Any], status: int, words: str) -> None:
    door = Door()
    answer = door.compare(**body)
    assert answer.status_code == status
    assert words in message(answer)
    assert len(answer.content) < 2000
    assert door.model.n_read == 0


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 422),
        ({"content": b"[" * 100_000, "headers": {"Content-Type": "application/json"}}, 422),
        ({"content": b"hello", "headers": {"Content-Type": "text/plain"}}, 415),
        ({"content": b""}, 415),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 400),
        ({"files": {"first": ("a.png", RED)}}, 422),
        ({"files": [("first", ("a.png", RED)), ("second", ("b.png", BLUE)), ("more", ("c.png", BLUE))]}, 422),
        ({"files": [("first", ("a.png", RED)), ("first", ("b.png", BLUE))]}, 422),
        ({"files": {"first": ("a.png", RED)}, "data": {"second": "text"}}, 422),
        ({"files": {"first": ("a.png", RED), "second": ("b.png", RED), "mode": ("c.png", RED)}}, 422),
        ({"data": {"first": "a", "second": "b"}}, 415),
    ],
)
def test_bodies_that_are_no_question(settings: dict[str, Any], status: int) -> None:
    answer = Door().ask("POST", "/v1/compare", **settings)
    assert answer.status_code == status
    assert message(answer)


def test_a_body_above_the_limit_is_not_looked_at() -> None:
    door = Door(limits={"max_body_bytes": 1000})
    announced = door.ask("POST", "/v1/compare", content=b"x" * 1001)

    async def chunks():
        for _ in range(3):
            yield b"x" * 500

    streamed = door.ask("POST", "/v1/compare", content=chunks())
    assert (announced.status_code, streamed.status_code) == (413, 413)
    assert "1,000 bytes" in message(announced)


def test_a_body_that_never_comes_is_not_waited_for() -> None:
    async def slow():
        yield b"{"
        await asyncio.sleep(5)
        yield b"}"

    started = time.monotonic()
    answer = Door(limits={"upload_s": 0.2}).ask("POST", "/v1/compare", content=slow())
    assert answer.status_code == 408
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("header", "status"),
    [(None, 401), ("Bearer wrong", 401), (f"Basic {KEY}", 401), (f"Bearer {KEY}x", 401), (f"bearer {KEY}", 200)],
)
def test_keys(header: str | None, status: int) -> None:
    door = Door(api_keys=(KEY, "another-key-0123456789"))
    headers = {} if header is None else {"Authorization": header}
    assert door.ask("POST", "/v1/compare", json=PAIR, headers=headers).status_code == status
    assert door.ask("GET", "/v1/models", headers=headers).status_code == status
    assert door.ask("GET", "/health").status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "door.evil.example"}, 403),
        ({"Host": "[bad"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://door"}, 200),
        ({"Host": "DOOR:8080", "Origin": "http://door:8080"}, 200),
    ],
)
def test_pages_of_other_sites_and_other_names_are_kept_out(headers: dict[str, str], status: int) -> None:
    assert Door().ask("POST", "/v1/compare", json=PAIR, headers=headers).status_code == status


def test_a_full_house_says_when_to_come_again() -> None:
    door = Door(limits={"max_waiting": 2})
    door.model.gate.clear()

    async def run() -> tuple[list[int], str]:
        async with door.client() as client:
            bodies = [{**PAIR, "first": url(png("red", (16, n)))} for n in range(3, 6)]
            held = [asyncio.create_task(client.post("/v1/compare", json=body)) for body in bodies]
            await asyncio.to_thread(door.model.entered.acquire)
            refused = await client.post("/v1/compare", json=PAIR)
            assert (await client.get("/health")).status_code == 200
            door.model.gate.set()
            done = [(await task).status_code for task in held]
            again = await client.post("/v1/compare", json=PAIR)
            return [refused.status_code, *done, again.status_code], refused.headers["Retry-After"]

    statuses, wait = asyncio.run(run())
    assert statuses == [429, 200, 200, 200, 200]
    assert int(wait) >= 1


def test_no_answer_in_time_is_said_and_the_next_is_served() -> None:
    door = Door(limits={"timeout_s": 0.3})
    door.model.gate.clear()
    assert door.compare().status_code == 504
    door.model.gate.set()
    # The worker may still hold the old request for a moment.
    for _ in range(50):
        answer = door.compare()
        if answer.status_code == 200:
            break
    assert answer.status_code == 200


def test_a_client_that_leaves_frees_its_place() -> None:
    """Through ASGI itself: the transport of the tests has no way to leave."""
    door = Door(limits={"max_waiting": 0})
    door.model.gate.clear()
    body = json.dumps(PAIR).encode()

    async def run() -> list[dict[str, Any]]:
        coming = asyncio.Queue()
        await coming.put({"type": "http.request", "body": body, "more_body": False})
        sent: list[dict[str, Any]] = []

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        task = asyncio.create_task(door.app(SCOPE, coming.get, send))
        await asyncio.to_thread(door.model.entered.acquire)
        await coming.put({"type": "http.disconnect"})
        await asyncio.wait_for(task, 10)
        return sent

    sent = asyncio.run(run())
    assert sent[0]["status"] == 499
    door.model.gate.set()
    assert door.compare(first=url(png("red", (9, 9)))).status_code == 200


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (EndpointError("connection", "secret address"), 503),
        (EndpointError("http_500", "x"), 502),
        (InputError("too thin"), 422),
    ],
)
def test_failures_of_the_model_are_told_apart_and_not_stored(error: Exception, status: int) -> None:
    door = Door()
    door.model.error = error
    answer = door.compare()
    assert answer.status_code == status
    assert "secret" not in message(answer)
    assert ("Retry-After" in answer.headers) == (status == 503)
    door.model.error = None
    assert door.compare().status_code == 200


@pytest.mark.parametrize("how", ["leaves in the midst of its body", "is cut off by the server"])
def test_whoever_is_gone_before_an_answer_is_counted_as_499(how: str) -> None:
    door = Door()

    async def run() -> None:
        coming = asyncio.Queue()
        await coming.put({"type": "http.request", "body": b"{", "more_body": True})
        task = asyncio.create_task(door.app(SCOPE, coming.get, coming.put))
        await asyncio.sleep(0)
        if how.startswith("leaves"):
            await coming.put({"type": "http.disconnect"})
        else:
            task.cancel()
        await asyncio.wait([task], timeout=10)

    asyncio.run(run())
    assert 'path="/v1/compare",status="499"} 1.0' in door.ask("GET", "/metrics").text


def test_a_fault_of_ours_is_a_500_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    door = Door()
    door.model.error = ZeroDivisionError("inner secret")

    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(door.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://door") as client:
            return await client.post("/v1/compare", json=PAIR)

    with caplog.at_level("INFO", logger="redaes.serving"):
        answer = asyncio.run(run())
    assert answer.status_code == 500
    assert "secret" not in message(answer)
    (entry,) = [json.loads(record.message) for record in caplog.records if record.name == "redaes.serving"]
    assert entry["status"] == 500
    assert 'path="/v1/compare",status="500"} 1.0' in door.ask("GET", "/metrics").text


# --- the cache ----------------------------------------------------------------------------------------------


def test_the_same_question_is_answered_from_memory() -> None:
    door = Door()
    first, second = door.compare(), door.compare()
    assert first.content == second.content
    assert door.model.n_read == 2
    assert 'redaes_cache_total{outcome="hit"} 1.0' in door.ask("GET", "/metrics").text


def test_the_oldest_answers_are_forgotten() -> None:
    door = Door(limits={"cache_entries": 1})
    for colour in ("red", "green", "red"):
        door.compare(first=url(png(colour)))
    assert door.model.n_read == 6


def _twins() -> list[tuple[bytes, bytes]]:
    """Different files that a careless key takes for one."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 4, (12, 16), np.uint8) * 80
    tall = pixels.reshape(16, 12)  # the same bytes in another shape

    grey = Image.fromarray(pixels)
    palette = grey.convert("P")
    swapped = palette.copy()
    swapped.putpalette([255 - value for value in palette.getpalette() or []])
    whole = saved(grey)
    return [
        (whole, saved(Image.fromarray(tall))),
        (saved(palette), saved(swapped)),
        (whole, whole + b"\0"),
        (whole, saved(grey.convert("RGB"))),
    ]


@pytest.mark.parametrize("twins", _twins())
def test_files_that_resemble_each_other_never_share_an_answer(twins: tuple[bytes, bytes]) -> None:
    door = Door()
    answers = [door.compare(first=url(data)).json() for data in twins]
    assert door.model.n_read == 4
    assert answers[0]["first"]["id"] != answers[1]["first"]["id"]


def test_everything_that_decides_an_answer_is_in_its_key() -> None:
    base: tuple[Any, ...] = (("compare", "id1", "first.png"), "fast", "model", "1")
    others = [
        (("score", "id1", "first.png"), *base[1:]),
        (("compare", "id2", "first.png"), *base[1:]),
        (("compare", "id1", "first.jpg"), *base[1:]),
        (("compare", "id1first.png", ""), *base[1:]),
        (("compare", "id1"), *base[1:]),
        (base[0], "reasoned", *base[2:]),
        (*base[:2], "other", "1"),
        (*base[:2], "mode", "l1"),
        (*base[:2], "model1", ""),
    ]
    keys = {cache_key(*parts) for parts in [base, *others]}
    assert len(keys) == len(others) + 1


# --- rankings and scores ----------------------------------------------------------------------------------------

SHADES = [png(f"rgb({red}, 0, 0)") for red in (120, 250, 10, 180)]


def test_rank_by_json_and_by_multipart() -> None:
    door = Door()
    answer = door.ask("POST", "/v1/rank", json={"pictures": [url(data) for data in SHADES]})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    best_first = [found["ids"].index(name) for name in found["ranking"]["order"]]
    assert best_first == [1, 3, 0, 2]
    assert found["ranking"]["n_calls"] == 12
    files = [("pictures", ("x.png", data)) for data in SHADES]
    again = door.ask("POST", "/v1/rank", files=files, data={"mode": "fast"})
    assert again.json() == found
    assert door.model.n_read == 12  # from the cache


def test_a_picture_that_cannot_be_used_is_named_and_the_others_are_ranked() -> None:
    thin = io.BytesIO()
    Image.new("RGB", (4000, 16)).save(thin, "PNG")
    sent = [SHADES[0], thin.getvalue(), SHADES[1], b"no picture", SHADES[2][:45]]
    files = [("pictures", ("x.png", data)) for data in sent]
    found = Door().ask("POST", "/v1/rank", files=files).json()
    assert [one["index"] for one in found["failed"]] == [1, 3, 4]
    reasons = [one["reason"] for one in found["failed"]]
    assert "pictures1.png: 4000 x 16 pixels are too thin" in reasons[0]
    assert "not a known picture format" in reasons[1]
    assert "damaged or truncated PNG" in reasons[2]
    assert [found["ids"].index(name) for name in found["ranking"]["order"]] == [2, 0]
    few = Door().ask("POST", "/v1/rank", files=files[:2])
    assert few.status_code == 422
    assert "pictures1.png: 4000 x 16 pixels are too thin" in message(few)


def test_an_odd_value_in_exif_is_no_fault_of_the_service() -> None:
    block = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + struct.pack("<HHIHH", 274, 3, 1, 6, 0)
    block += struct.pack("<HHII", 305, 5, 1, 38) + bytes(4) + struct.pack("<II", 7, 2)  # Software, a rational
    out = io.BytesIO()
    Image.new("RGB", (48, 32), "teal").save(out, "JPEG")
    whole = out.getvalue()
    odd = whole[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + whole[2:]
    answer = Door().ask("POST", "/v1/compare", files={"first": ("a.jpg", odd), "second": ("b.png", RED)})
    assert answer.status_code == 200, answer.text


def test_rank_stops_at_its_budget() -> None:
    files = [("pictures", ("x.png", data)) for data in SHADES]
    answer = Door().ask("POST", "/v1/rank", files=files, data={"max_calls": "8", "top_k": "1"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["ranking"]["n_calls"] <= 8


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"pictures": [url(RED)]}, 422, "pictures"),
        ({"pictures": [url(RED)] * 5}, 413, "more than 4"),
        ({"pictures": [url(RED), url(BLUE)], "top_k": 0}, 422, "top_k"),
        ({"pictures": [url(RED), url(BLUE)], "top_k": 7}, 422, "best 7 of 2"),
        ({"pictures": [url(data) for data in SHADES], "max_calls": 2}, 422, "connect"),
        ({"pictures": [url(RED), "http://x/"]}, 422, "pictures1"),
    ],
)
def test_rankings_that_are_refused(body: dict[str, Any], status: int, words: str) -> None:
    answer = Door(limits={"max_images": 4}).ask("POST", "/v1/rank", json=body)
    assert answer.status_code == status, answer.text
    assert words in message(answer)


def test_score_against_the_references(tmp_path: Path) -> None:
    model = Colours()
    refs = []
    for n, data in enumerate(SHADES):
        path = tmp_path / f"{n}.png"
        path.write_bytes(data)
        refs.append(ImageRef(id=content_id(data), path=path))
    references = Assessor(model, mode="fast").reference_set("shades", refs)
    door = Door(model, references=references)
    scores = [door.ask("POST", "/v1/score", json={"picture": url(png(colour))}).json() for colour in ("red", "black")]
    assert scores[0]["score"] > 4.5 > scores[1]["score"]
    assert scores[0]["references"].startswith("shades@")
    assert message(Door().ask("POST", "/v1/score", json={"picture": url(RED)}))  # not offered without references


# --- what watches ---------------------------------------------------------------------------------------------


def test_health_follows_what_it_stands_on() -> None:
    healthy = True
    door = Door(is_healthy=lambda: healthy)
    assert door.ask("GET", "/health").json() == {
        "status": "ok", "model": "colours", "revision": "1", "limits": None
    }  # fmt: skip
    healthy = False
    assert door.ask("GET", "/health").status_code == 503


def test_metrics_and_logs_know_paths_and_never_contents(caplog: pytest.LogCaptureFixture) -> None:
    door = Door()
    with caplog.at_level("INFO", logger="redaes.serving"):
        door.compare()
        door.ask("GET", "/v1/%2e%2e/secret")
    text = door.ask("GET", "/metrics").text
    assert 'redaes_requests_total{path="/v1/compare",status="200"} 1.0' in text
    assert 'redaes_requests_total{path="other",status="404"} 1.0' in text
    assert "redaes_requests_held 0.0" in text
    entries = [json.loads(record.message) for record in caplog.records if record.name == "redaes.serving"]
    assert [(entry["method"], entry["path"], entry["status"]) for entry in entries] == [
        ("POST", "/v1/compare", 200),
        ("GET", "other", 404),
    ]
    assert "base64" not in caplog.text
    assert "secret" not in " ".join(record.message for record in caplog.records if record.name == "redaes.serving")


def test_unknown_paths_and_methods_have_the_one_form_of_errors() -> None:
    assert message(Door().ask("GET", "/v1/nothing"))
    assert message(Door().ask("GET", "/v1/compare"))
    assert message(Door().ask("POST", "/v1/chat/completions", json={}))  # no server behind this model


def test_a_model_in_this_process_has_one_worker() -> None:
    with pytest.raises(InputError, match="give 1"):
        Door(limits={"workers": 2})


def test_the_page_may_load_nothing_from_elsewhere() -> None:
    answer = Door().ask("GET", "/")
    assert answer.status_code == 200
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    for path in ("/page.js", "/page.css", "/viewer.js", "/viewer.css"):
        assert Door().ask("GET", path).status_code == 200


def test_the_page_is_told_the_limits_of_the_service() -> None:
    told = (
        Door(limits={"max_images": 7, "max_body_bytes": 1000, "max_pixels": 2_000_000}).ask("GET", "/page.json").json()
    )
    assert told["model"] == "colours"
    assert told["limits"]["pictures"] == 7
    assert told["limits"]["body_bytes"] == 1000
    assert told["limits"]["picture_pixels"] == 2_000_000  # the page sends nothing that the service would refuse
    assert Door().ask("GET", "/page.json").json()["limits"]["picture_pixels"] == 4 * told["limits"]["model_pixels"]
