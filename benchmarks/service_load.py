"""The service under load and attack: what every request comes to, whether the service lives, what memory it takes.

    python benchmarks/service_load.py --out load.json

It starts ``redaes serve`` with the embedded model in a process of its own and talks to it over HTTP:

1. *memory*: ``--requests`` requests from 8 clients. One in twenty is a comparison by the model of two pictures never
   seen before; the others are pairs of equal pictures, questions asked before, truncated files, bombs (small files that
   claim many pixels), bodies above the limit, other sites' requests. Resident memory is read as they go.
2. *flood*: ``--clients`` clients that ask without a pause for ``--seconds``, with 8 places to wait.

Every request must end: with 200, or with a documented refusal. A status of 5xx other than 503/504, a connection that
breaks, or a request without an answer within the client's 300 s is a failure, and the script ends with 1.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import struct
import subprocess
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
from PIL import Image

DOCUMENTED = {200, 400, 403, 408, 413, 415, 422, 429, 503, 504}


def png(rng: np.random.Generator, side: int = 64) -> bytes:
    out = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (side, side, 3), np.uint8)).save(out, "PNG")
    return out.getvalue()


def bomb(side: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(3 * side * 100)))
        + chunk(b"IEND", b"")
    )


@contextmanager
def service(log: Path, *options: str) -> Iterator[tuple[str, psutil.Popen]]:
    """``redaes serve`` with the embedded model in a process of its own: its address, and the process."""
    command = [sys.executable, "-c", "from redaes.cli import main; main()", "serve", "--port", "0", "--device", "cpu"]
    with log.open("w") as file:
        process = psutil.Popen([*command, *options], stdout=subprocess.PIPE, stderr=file, text=True)
        try:
            yield process.stdout.readline().strip(), process
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait(120)


class Mix:
    """Requests of all kinds, drawn from a seed."""

    def __init__(self, seed: int, model_share: float) -> None:
        self.rng = np.random.default_rng(seed)
        self.known = [png(self.rng) for _ in range(4)]
        self.model_share = model_share
        self.bomb = bomb(13_000)
        self.kinds: dict[str, Callable[[], dict[str, Any]]] = {
            "equal": lambda: self.pair(*[png(self.rng)] * 2),
            "seen before": lambda: self.pair(self.known[0], self.known[1]),
            "truncated": lambda: self.pair(self.known[0], self.known[1][: self.rng.integers(10, 8000)]),
            "bomb": lambda: self.pair(self.known[0], self.bomb),
            "joined": lambda: self.pair(self.known[0], b"GIF89a" + self.known[1]),
            "too large": lambda: {"content": bytes(33 * 2**20), "headers": {"Content-Type": "application/json"}},
            "no JSON": lambda: {"content": self.rng.bytes(300), "headers": {"Content-Type": "application/json"}},
            "an address": lambda: {"json": {"first": "http://127.0.0.1/x", "second": "file:///etc/passwd"}},
            "other site": lambda: {"json": {}, "headers": {"Origin": "http://evil.example"}},
        }
        self.weights = np.array([40, 20, 15, 8, 6, 0.3, 5, 3, 2.7])

    @staticmethod
    def pair(first: bytes, second: bytes) -> dict[str, Any]:
        return {"files": {"first": ("1.png", first), "second": ("2.png", second)}, "data": {"mode": "fast"}}

    def draw(self) -> tuple[str, dict[str, Any]]:
        if self.rng.random() < self.model_share:
            return "compared", self.pair(png(self.rng), png(self.rng))
        kind = str(self.rng.choice(list(self.kinds), p=self.weights / self.weights.sum()))
        return kind, self.kinds[kind]()


class Run:
    """A running service, and what its requests came to."""

    def __init__(self, address: str, process: psutil.Process) -> None:
        self.address = address
        self.process = process
        self.ended: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.slowest_s = 0.0

    async def ask(self, client: httpx.AsyncClient, kind: str, request: dict[str, Any]) -> int:
        began = time.perf_counter()
        try:
            status = (await client.post(f"{self.address}/v1/compare", **request)).status_code
        except httpx.HTTPError as error:
            self.failures[f"{kind}: {type(error).__name__}"] += 1
            return 0
        self.slowest_s = max(self.slowest_s, time.perf_counter() - began)
        self.ended[f"{kind}: {status}"] += 1
        if status not in DOCUMENTED:
            self.failures[f"{kind}: {status}"] += 1
        return status

    @property
    def memory_mb(self) -> float:
        return round(self.process.memory_info().rss / 2**20, 1)


async def memory(run: Run, n: int, clients: int = 8) -> list[tuple[int, float]]:
    mix = Mix(0, 0.05)
    seen = [(0, run.memory_mb)]
    done = 0

    async def client() -> None:
        nonlocal done
        async with httpx.AsyncClient(timeout=300, trust_env=False) as http:
            while done < n:
                done += 1
                if done % max(1, n // 10) == 0:
                    seen.append((done, run.memory_mb))
                    print(f"  {done} requests, {run.memory_mb} MB", flush=True)
                await run.ask(http, *mix.draw())

    await asyncio.gather(*(client() for _ in range(clients)))
    return seen


async def flood(run: Run, clients: int, seconds: float) -> dict[str, int]:
    end = time.monotonic() + seconds
    statuses: Counter[int] = Counter()
    limits = httpx.Limits(max_connections=clients)
    async with httpx.AsyncClient(timeout=300, trust_env=False, limits=limits) as http:

        async def client(number: int) -> None:
            mix = Mix(1000 + number, 0.3)
            while time.monotonic() < end:
                kind, request = mix.draw()
                status = await run.ask(http, kind, request)
                statuses[status] += 1
                if status == 429:
                    await asyncio.sleep(0.2)  # an impatient client: Retry-After asks for a second or more

        await asyncio.gather(*(client(number) for number in range(clients)))
    return {str(status): count for status, count in sorted(statuses.items())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--out", type=Path, default=Path("runs/service_load.json"))
    settings = parser.parse_args()
    settings.out.parent.mkdir(parents=True, exist_ok=True)
    with service(settings.out.with_suffix(".log"), "--max-waiting", "8") as (address, process):
        run = Run(address, process)
        print(f"memory: {settings.requests} requests", flush=True)
        seen = asyncio.run(memory(run, settings.requests))
        calm, slowest_s = dict(sorted(run.ended.items())), run.slowest_s
        print(f"flood: {settings.clients} clients, {settings.seconds:g} s", flush=True)
        run.ended.clear()
        run.slowest_s = 0.0
        flooded = asyncio.run(flood(run, settings.clients, settings.seconds))
        health = httpx.get(f"{run.address}/health", trust_env=False, timeout=60).status_code
        found = {
            "memory_mb": seen, "ended": calm, "slowest_s": slowest_s, "flood": flooded,
            "flood_ended": dict(sorted(run.ended.items())), "flood_slowest_s": run.slowest_s,
            "memory_after_flood_mb": run.memory_mb, "health_afterwards": health, "failures": dict(run.failures),
            "cores": os.cpu_count(),
        }  # fmt: skip
        process.terminate()
        found["status_after_sigterm"] = process.wait(120)
    settings.out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))
    sys.exit(bool(run.failures) or health != 200 or found["status_after_sigterm"] != 0)


if __name__ == "__main__":
    main()
