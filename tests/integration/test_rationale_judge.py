"""Reasoning before a judge: a server on this machine that knows which explanation is true, or leans on the position."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import pytest
from openai_server import Call, Fault, OpenAIServer, Say
from PIL import Image

from redaes.backends.endpoint import Endpoint
from redaes.backends.pictures import EncodedPicture
from redaes.backends.scripted import ScriptedBackend
from redaes.errors import EndpointError, InputError
from redaes.evaluation.rationale_judge import Duel, judge_rationales, make_duels
from redaes.heldout import evaluate
from redaes.records import read_records
from redaes.types import Sampling


def duel(pair: str, one: str | None, two: str | None) -> Duel:
    pictures = tuple(EncodedPicture(Image.new("RGB", (8, 8), (shade, 0, 0))) for shade in (10, 200))
    return Duel(pair, pair, (pictures[0], pictures[1]), one, two)


def say_true(call: Call) -> Say | Fault:
    """Better is the explanation that has "true" in it; between two of them, the first shown."""
    assert len(call.pictures()) == 2
    first, second = call.text.split("Second explanation")
    if "silence" in call.text:
        return Say("I cannot say")
    if "epic" in call.text:
        return Say("Better: first, because", finish_reason="length")
    return Say(f"Better: {'second' if 'true' in second and 'true' not in first else 'first'}")


def test_both_orders_decide(tmp_path: Path) -> None:
    duels = [
        duel("p", "true words", "lies"),
        duel("q", "lies", "true words"),
        duel("r", "true words", "true as well"),  # the judge takes the first shown: a draw
        duel("s", "silence", "lies"),
        duel("t", None, "lies"),
        duel("u", None, None),
        duel("v", "{{first}}", "lies"),
        duel("w", "epic", "lies"),
    ]
    with OpenAIServer(say_true) as server:
        judged = judge_rationales(Endpoint(server.base_url, "judge", cache=tmp_path), duels)
        n_calls = len(server.calls)
        assert judge_rationales(Endpoint(server.base_url, "judge", cache=tmp_path), duels) == judged
        # Both orders of 5, of which q asks what p does; the second time, all came from the cache.
        assert len(server.calls) == n_calls == 8
    assert [one.winner for one in judged.duels] == ["one", "two", "tie", None, "two", "tie", None, None]
    assert judged.share_one.value == pytest.approx((1 + 0 + 0.5 + 0 + 0.5) / 5)
    assert judged.order_consistency.value == pytest.approx(2 / 3)
    assert (judged.n, judged.n_failed, judged.n_unasked) == (8, 3, 2)
    assert judged.failures == {"cut_off": 2, "markup": 1, "not_the_form": 2}
    assert judged.prompt_id.startswith("rationale_judge/v1@")


def test_a_judge_that_is_down_judges_nothing() -> None:
    with OpenAIServer(lambda call: Fault(401)) as server, pytest.raises(EndpointError):
        judge_rationales(Endpoint(server.base_url, "judge"), [duel("p", "true", "lies")])


class Fluent(ScriptedBackend):
    """Writes the same to everything."""

    def generate(self, requests: Sequence[object], sampling: Sampling) -> list[str]:
        return [
            "<rationale>\nA is true to life. Decisive: light, better in A.\n</rationale>\nWinner: A\nDifference: +2.0"
            for _ in requests
        ]

    def read(self, requests: Sequence[object], choices: Sequence[str]):  # type: ignore[no-untyped-def]
        import numpy as np

        return np.log(np.tile([0.6, 0.3, 0.1], (len(requests), 1)))


def test_a_model_against_the_dataset(red_folder: Path, tmp_path: Path) -> None:
    records = [record for record in read_records(red_folder, "test") if record.pair.delta is not None][:12]
    found = evaluate(Fluent(), records, n_reasoned=6, sampling=Sampling(), seed=0)
    duels = make_duels(records, found, None)
    assert len(duels) == sum(
        record.rationale is not None for record in records if record.pair.id in {d.pair for d in duels}
    )
    assert {one.one for one in duels} == {"A is true to life."}
    with Image.open(io.BytesIO(next(r for r in records if r.pair.id == duels[0].pair).first_bytes)) as first:
        assert duels[0].pictures[0].image.size == first.size
    with OpenAIServer(say_true) as server:
        judged = judge_rationales(Endpoint(server.base_url, "judge"), duels)
    assert judged.share_one.value == 1.0
    other = evaluate(Fluent(), records, n_reasoned=5, sampling=Sampling(), seed=0)
    with pytest.raises(InputError, match="different pairs"):
        make_duels(records, found, other)
