"""``redaes serve`` as it is typed: it answers, and after SIGTERM it finishes what it has begun."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def serve() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process with the embedded model, and its address."""
    command = [sys.executable, "-c", "from redaes.cli import main; main()", "serve", "--port", "0", "--device", "cpu"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "NO_PROXY": "127.0.0.1"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=ROOT
    )
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        address = process.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:"), process.stderr.read()
        yield process, address
    finally:
        process.kill()
        process.wait()


def test_it_answers_and_drains(serve: tuple[subprocess.Popen[str], str], photo_folder: Path) -> None:
    process, address = serve
    first, second = ((photo_folder / f"photo{n}.png").read_bytes() for n in range(2))
    with httpx.Client(base_url=address, trust_env=False, timeout=300) as client:
        files = {"first": ("1.png", first), "second": ("2.png", second)}
        fast = client.post("/v1/compare", files=files, data={"mode": "fast"})
        assert fast.status_code == 200, fast.text
        assert fast.json()["model"] == "redaes/nano"
        assert 0 < fast.json()["probability"] < 1

        found: list[httpx.Response] = []

        def ask() -> None:
            with httpx.Client(base_url=address, trust_env=False, timeout=300) as other:
                found.append(other.post("/v1/compare", files=files))

        asking = threading.Thread(target=ask)
        asking.start()
        while "redaes_requests_held 1.0" not in client.get("/metrics").text:
            assert asking.is_alive(), "answered before it could be interrupted"
            time.sleep(0.01)
    with socket.create_connection(("127.0.0.1", httpx.URL(address).port), timeout=60) as stranger:
        stranger.sendall(b"\x00\x01 no HTTP\r\n\r\n")
        assert stranger.recv(100).startswith(b"HTTP/1.1 400")
    process.send_signal(signal.SIGTERM)
    asking.join(300)
    assert [answer.status_code for answer in found] == [200]
    assert found[0].json()["mode"] == "reasoned"
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert '"path": "/v1/compare", "status": 200' in errors
    entries = [json.loads(line)["entry"] for line in errors.splitlines()]  # whoever wrote: JSON
    assert {"from": "uvicorn.error", "message": "Invalid HTTP request received."} in entries
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{address}/health", trust_env=False)
