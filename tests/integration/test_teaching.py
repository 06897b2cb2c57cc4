"""``/v1/teach``: what is asked next, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from test_service import BLUE, KEY, RED, Door, message, png, url

from redaes.serving.teaching import MAX_ANSWERS, MAX_SERIES, MAX_TEACH_BYTES

SAID = [
    {"first": "a", "second": "b", "probability": 0.9},
    {"first": "b", "second": "c", "probability": 0.5},
    {"first": "a", "second": "c", "probability": 0.9},
]
SERIES = {"ids": ["a", "b", "c"], "said": SAID}


def teach(door: Door, body: Any) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return door.ask("POST", "/v1/teach", content=content, headers={"Content-Type": "application/json"})


def answer(first: str, second: str, winner: str, series: int = 0) -> dict[str, Any]:
    return {"series": series, "first": first, "second": second, "winner": winner}


def test_the_model_leads_until_the_person_speaks() -> None:
    door = Door()
    found = teach(door, {"series": [SERIES], "aim": "order"}).json()
    assert {found["next"]["first"], found["next"]["second"]} == {"b", "c"}
    assert (found["n_answers"], found["n_pairs"]) == (0, 3)
    assert found["series"][0]["order"][0] == "a"
    answers = [answer("a", "b", "second"), answer("c", "a", "first"), answer("b", "c", "tie")]
    found = teach(door, {"series": [SERIES], "answers": answers}).json()
    assert found["next"] is None
    assert (found["n_answers"], found["n_open"]) == (3, 0)
    assert found["series"][0]["order"][-1] == "a"
    assert door.model.n_read == 0  # no model is asked


def test_what_rank_says_is_taken_as_it_comes() -> None:
    door = Door()
    ranked = door.ask("POST", "/v1/rank", json={"pictures": [url(RED), url(BLUE), url(png("purple"))]}).json()
    assert len(ranked["answers"]) == 3
    ids = sorted(set(ranked["ids"]))
    found = teach(door, {"series": [{"ids": ids, "said": ranked["answers"]}]}).json()
    assert found["series"][0]["order"] == ranked["ranking"]["order"]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"{", 422, "body"),
        ({"series": []}, 422, "series"),
        ({"series": [{"ids": ["a"]}]}, 422, "ids"),
        ({"series": [{"ids": ["a", "a"]}]}, 422, "listed twice"),
        ({"series": [SERIES], "more": 1}, 422, "more"),
        ({"series": [SERIES], "aim": "fame"}, 422, "aim"),
        ({"series": [{"ids": ["a", "b"], "said": SAID}]}, 422, "'c'"),
        ({"series": [{"ids": ["a", "b"], "said": [{**SAID[0], "n_calls": 10**400}]}]}, 422, "n_calls"),
        ({"series": [{"ids": ["a", "b"], "said": [SAID[0]] * 5}]}, 413, "more answers than pairs"),
        ({"series": [{"ids": [str(n) for n in range(17)]}]}, 413, "more than 16 pictures"),
        ({"series": [SERIES], "answers": [answer("a", "x", "tie")]}, 422, "'x', which is not in series 0"),
        ({"series": [SERIES], "answers": [answer("a", "a", "tie")]}, 422, "no pair"),
        ({"series": [SERIES], "answers": [answer("a", "b", "tie", 1)]}, 422, "about series 1"),
        ({"series": [SERIES], "answers": [answer("a", "b", "left")]}, 422, "winner"),
        ({"series": [SERIES], "answers": [answer("a", "b", "tie")] * (MAX_ANSWERS + 1)}, 413, "5,000 answers"),
        ({"series": [SERIES] * (MAX_SERIES + 1)}, 413, "64 series"),
        (b" " * (MAX_TEACH_BYTES + 1), 413, "fewer series"),
    ],
)
def test_what_cannot_be_taught_is_refused(body: Any, status: int, said: str) -> None:
    refused = teach(Door(), body)
    assert refused.status_code == status
    assert said in message(refused)


def test_it_is_guarded_like_all_the_rest() -> None:
    door = Door(api_keys=(KEY,))
    assert teach(door, {"series": [SERIES]}).status_code == 401
    assert Door().ask("POST", "/v1/teach", content=b"{}").status_code == 415
    foreign = Door().ask("POST", "/v1/teach", json={"series": [SERIES]}, headers={"Origin": "http://elsewhere"})
    assert foreign.status_code == 403


def test_the_pages_files_come_with_the_policy_of_the_page() -> None:
    for path in ("/teach.js", "/teach.css", "/taught.js"):
        answer = Door().ask("GET", path)
        assert answer.status_code == 200
        assert "default-src 'none'" in answer.headers["content-security-policy"]
