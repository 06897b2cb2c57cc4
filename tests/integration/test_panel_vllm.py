"""From photographs to a valid dataset with real judges behind servers of two kinds: a vLLM, and one that is none.

    REDAES_VLLM_PYTHON=/path/to/environment/bin/python pytest -m vllm tests/integration/test_panel_vllm.py
    REDAES_LLAMA_SERVER='llama-server -m nano.gguf --mmproj mmproj.gguf --jinja --image-max-tokens 49'   # in its place

Both judges are the embedded model. The other server is llama.cpp's where a command for it is given, else one that
answers by transformers. No model of this size words instructions: the planner's answers are written beforehand.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from openai_server import Call, Fault, OpenAIServer, Raw, Say
from panel_server import proposals
from typer.testing import CliRunner

from redaes import prompts
from redaes.backends.base import Request
from redaes.backends.failures import Failure
from redaes.cli.app import app
from redaes.file_writing import read_json
from redaes.models import nano
from redaes.records import data_hash, read_records
from redaes.serving.vllm import ServedModel, VllmServer
from redaes.types import SPLITS, Sampling
from tests.conftest import synthetic_photograph

pytestmark = pytest.mark.vllm

OTHER = "other-nano"


@contextmanager
def llama_cpp(command: str) -> Iterator[str]:
    """llama.cpp's server at a free port; its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = [*shlex.split(command), "--host", "127.0.0.1", "--port", str(port), "--alias", OTHER, "-c", "8192"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < until:
            try:
                if httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200:
                    break
            except httpx.TransportError:
                pass
            time.sleep(0.2)
        assert process.poll() is None, "llama.cpp's server does not start"
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def transformers_server() -> Iterator[str]:
    """A server that answers by transformers, one request at a time, and refuses a seed as some do; its address."""
    from redaes.backends.local import LocalBackend

    backend, one_at_a_time = LocalBackend(device="cpu"), threading.Lock()
    prompt = prompts.load(prompts.COMPARE["reasoned"])

    def answer(call: Call) -> Say | Fault:
        if "seed" in call.body:
            return Fault(400, message="Unrecognized request argument supplied: seed")
        sampling = Sampling(
            temperature=call.body["temperature"], max_new_tokens=call.body["max_completion_tokens"], seed=1
        )
        pictures = tuple(picture.convert("RGB") for picture in call.pictures())
        with one_at_a_time:
            (found,) = backend.answer([Request(prompt, pictures, sampling=sampling)])
        return Fault(500, message=found.detail) if isinstance(found, Failure) else Say(found.text)

    with OpenAIServer(answer) as server:
        server.models = Raw(json.dumps({"data": [{"id": OTHER}]}).encode())
        yield server.base_url


def test_judges_behind_servers_of_two_kinds_make_a_valid_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = os.environ.get("REDAES_VLLM_PYTHON")
    if python is None:  # a tier that is asked for and cannot run has not passed
        pytest.fail("REDAES_VLLM_PYTHON names no environment with vLLM; docs/serving.md says how to make one")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    for number in range(6):
        synthetic_photograph(number, 200, 150).save(photographs / f"{number}.png")
    llama = os.environ.get("REDAES_LLAMA_SERVER")
    with ExitStack() as stack:
        vllm = stack.enter_context(VllmServer(ServedModel(nano.NAME, cpu=True), Path(python)))
        other = stack.enter_context(llama_cpp(llama) if llama else transformers_server())
        planner = stack.enter_context(OpenAIServer(proposals))
        monkeypatch.setenv("PANEL_VLLM_KEY", vllm.api_key)
        served = {"endpoint": vllm.base_url, "api_key_env": "PANEL_VLLM_KEY", "timeout_s": 300}
        panel = {
            "editors": ["embedded"],
            "planner": {"model": "planner", "endpoint": planner.base_url},
            "judges": [
                {"model": nano.NAME, **served, "price": {"input": 0.5, "output": 2.0}},
                {"model": OTHER, "endpoint": other, "concurrency": 2, "timeout_s": 300},
            ],
            "writer": nano.NAME,
            "samples": 1,
            "max_new_tokens": 256,
            "max_rewrites": 0,
            "rules": {"min_judges": 2},
        }
        recipe = tmp_path / "recipe.yaml"
        recipe.write_text(
            json.dumps({"views": 1, "variants": 5, "max_side": 128, "test_fraction": 0.34, "panel": panel})
        )
        out = tmp_path / "red"
        words = ["data", "build", str(photographs), "--config", str(recipe), "--out", str(out)]
        ended = CliRunner().invoke(app, words)
        assert ended.exit_code == 0, ended.output
        report = read_json(out / "report.json")
        # Once more, from the answers that were kept: the same bytes, and no question to anybody.
        before, asked = data_hash(out), len(planner.calls)
        for shard in (out / "shards").glob("*.json"):
            shard.unlink()
        assert CliRunner().invoke(app, words).exit_code == 0
        assert data_hash(out) == before
        again = read_json(out / "report.json")["work"]["models"]
        assert len(planner.calls) == asked
        assert {name: each["calls"] for name, each in again.items()} == {
            name: each["calls"] for name, each in report["work"]["models"].items()
        }
    assert CliRunner().invoke(app, ["data", "validate", str(out)]).exit_code == 0
    records = [record for split in SPLITS for record in read_records(out, split)]
    assert len(records) == sum(report["pairs"].values()) > 6
    judges = {tuple(name.partition("@")[0] for name in r.agreement.judges) for r in records if r.agreement}
    assert judges == {(nano.NAME, OTHER)}
    # They were trained to see what the editor does: a picture that was edited is the worse one, nearly always.
    signs = [
        (record.pair.delta or 0.0) > 0
        for record in records
        if record.pair.edit_first is None and abs(record.pair.delta or 0.0) >= 1
    ]
    assert not signs or sum(signs) / len(signs) > 0.6
    work = report["work"]
    for name in (nano.NAME, OTHER):
        assert work["models"][name]["calls"] > 0
        assert 0 <= work["resources"][f"model {name}"]["idle_share"] < 1
    mine = work["models"][nano.NAME]
    assert mine["cost"] == pytest.approx((mine["tokens_read"] * 0.5 + mine["tokens_written"] * 2) / 1e6, abs=1e-4)
    assert mine["tokens_read"] > mine["tokens_written"] > 0
    ended = CliRunner().invoke(app, [*words, "--dry-run", "--measured", str(out / "report.json")])
    assert ended.exit_code == 0, ended.output
    assert "time: about" in ended.output
