"""The assessor as a reward with a real local model, with a served one, and in the example's training loop."""

from __future__ import annotations

import argparse
import base64
import importlib.util
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from openai_server import Call, Fault, OpenAIServer, Say
from PIL import Image

from redaes.assessor import Assessor
from redaes.backends.endpoint import Endpoint
from redaes.backends.local import LocalBackend
from redaes.backends.server import ServerBackend
from redaes.errors import EndpointError
from redaes.rewards import as_reward

EXAMPLES = Path(__file__).parents[2] / "examples"


def example(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pictures(n: int, seed: int) -> list[Image.Image]:
    rng = np.random.default_rng(seed)
    return [Image.fromarray(rng.integers(0, 256, (56, int(40 + 8 * i), 3), dtype=np.uint8)) for i in range(n)]


def test_company_changes_no_bit_of_a_local_model_s_values(tiny_model: Path) -> None:
    judge = Assessor(LocalBackend(tiny_model, batch_size=4), mode="fast")
    reward = as_reward(judge, scale="strength")
    group = pictures(4, 0)
    alone = reward.values(group)
    assert len(set(alone)) == 4
    others = reward.judge_groups([pictures(3, 1), group, [group[0], None, group[2]]])
    assert [one.value for one in others[1]] == alone
    assert reward.values(group[::-1]) == alone[::-1]
    report = reward.report()
    assert (report.model, report.revision) == (judge.backend.model, judge.backend.revision)
    assert report.failures == {"missing": 1}
    # The same questions by compare, one pair at a time: as near as batches of other sizes come.
    by_hand = judge.compare(group[0], group[3]).probability
    assert by_hand is not None
    (first, last) = as_reward(judge, scale="strength").values([group[0], group[3]])
    assert (first > last) == (by_hand > 0.5)  # type: ignore[operator]


def pixel(part: dict[str, Any]) -> tuple[int, int, int]:
    data = base64.b64decode(part["image_url"]["url"].split(",", 1)[1])
    return Image.open(io.BytesIO(data)).convert("RGB").getpixel((0, 0))  # type: ignore[return-value]


def reddest(call: Call) -> Say | Fault:
    """Likes red, and answers as vLLM does; refuses every question about something blue."""
    first, second = (pixel(part) for part in call.body["messages"][0]["content"] if part["type"] == "image_url")
    if max(first[2], second[2]) > 200:
        return Fault(400, message="blue")
    odds = (first[0] - second[0]) / 64
    a, b, tie = (f"token_id:{token}" for token in call.body["logprob_token_ids"])
    likeliest, other = (a, b) if odds > 0 else (b, a)
    return Say("x", top=[{likeliest: -1.0, other: -1.0 - abs(odds), tie: -7.0}])


def test_a_served_model_with_several_groups_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    red = [Image.new("RGB", (8, 6), (level, 30, 30)) for level in (30, 90, 150, 210)]
    blue = Image.new("RGB", (8, 6), (0, 0, 255))
    with OpenAIServer(reddest) as server:
        backend = ServerBackend(Endpoint(server.base_url, "judge"))
        with backend:
            reward = as_reward(Assessor(backend, mode="fast"), groups_at_once=3)
            alone = reward.values(red)
            groups = reward.judge_groups([[red[0], blue, red[1]], red, red[::-1], [red[2], red[3]]])
            assert [one.value for one in groups[1]] == alone
            assert [one.value for one in groups[2]] == alone[::-1]
            assert np.argsort(alone).tolist() == [0, 1, 2, 3]
            assert (groups[0][1].value, groups[0][1].failure) == (None, "no_usable_answer")
            assert groups[0][1].detail == "http_400 (4)"
            assert groups[0][0].value is not None
            assert reward.report().failures == {"no_usable_answer": 1}
            assert reward.report().model == "judge"
    dead = Endpoint(server.base_url, "judge", backoff_s=0.01, max_retries=0)
    with ServerBackend(dead) as gone, pytest.raises(EndpointError, match="connection"):
        as_reward(Assessor(gone, mode="fast")).values(red)


def test_the_example_trains(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("diffusers")
    size = {"steps": 1, "group": 3, "evaluated": 1, "learning_rate": 1e-3, "seed": 0, "judge": "nano"}
    before, after = example("reward_diffusion").main(argparse.Namespace(**size))
    assert 0 < before < 1
    assert 0 < after < 1
    assert before != after
    assert "n_unanswered=0" in capsys.readouterr().out


def test_the_example_with_trl_trains(tmp_path: Path) -> None:
    history = example("reward_trl").main(str(tmp_path), steps=1)
    logged = next(entry for entry in history if "loss" in entry)
    assert logged["rewards/redaes_tournament/mean"] == pytest.approx(0.5)
    assert logged["rewards/redaes_tournament/std"] > 0
    assert logged["redaes_tournament/without_value"] == 0
