"""The service under attack: malformed requests, bombs, damaged and two-faced pictures, answers not to be shared.

    python benchmarks/service_attack.py --out attack.json

It starts ``redaes serve`` with the embedded model in a process of its own and talks to it over HTTP:

1. *schema*: ``--examples`` requests that schemathesis draws for every operation of the service's own OpenAPI schema,
   most of them wrong; each answer is checked against the schema.
2. *pictures*: ``--pictures`` pairs in which one picture is cut, overwritten, joined with another format, small and
   claims to be huge, or holds a bomb beside its pixels.
3. *bytes*: ``--connections`` connections that speak HTTP badly: random bytes, wrong lengths, endless headers, half a
   request.
4. *cache*: pairs of files with equal pixels, or equal bytes in another shape; no two may share an answer.

Every HTTP request must end within 60 s with an answer that the schema documents. The service must live, answer what it
answered at first, and leave with status 0. Otherwise the script ends with 1.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import socket
import struct
import sys
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import requests
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from PIL import Image, PngImagePlugin
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance
from service_load import service

KINDS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "TGA", "ICO")


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def noise(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))


# --- 1. requests from the schema ------------------------------------------------------------------------------------


def from_schema(address: str, n_examples: int) -> dict[str, Any]:
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
    ended: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    for result in schema.get_all_operations():
        operation = result.ok()

        @seed(0)
        @settings(max_examples=n_examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def ask(case: schemathesis.Case) -> None:
            excluded = [positive_data_acceptance]  # a schema cannot say what a picture is
            if case.media_type == "multipart/form-data":
                excluded.append(negative_data_rejection)  # on the way there, wrong values may become right ones
            try:
                response = case.call(timeout=60)
                ended[f"{case.method} {case.operation.path}: {response.status_code}"] += 1
                case.validate_response(response, excluded_checks=excluded)
            except FailureGroup as wrong:
                for error in wrong.exceptions:
                    failures[f"{case.method} {case.operation.path}: {error}"[:400]] += 1
            except requests.RequestException as error:
                failures[f"{case.method} {case.operation.path}: {type(error).__name__}"] += 1

        ask()
    return {"sent": sum(ended.values()), "ended": dict(sorted(ended.items())), "failures": dict(failures)}


# --- 2. pictures ----------------------------------------------------------------------------------------------------


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def claims(side: int, kind: str) -> bytes:
    """A few bytes that say they are a huge picture."""
    if kind == "PNG":
        head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
        return b"\x89PNG\r\n\x1a\n" + head + png_chunk(b"IDAT", zlib.compress(bytes(200_000))) + png_chunk(b"IEND", b"")
    small = Image.new("RGB", (8, 8))
    data = bytearray(encoded(small, kind))
    if kind == "BMP":
        data[18:26] = struct.pack("<ii", side, side)
    elif kind == "GIF":
        data[6:10] = struct.pack("<HH", min(side, 65535), min(side, 65535))
    elif kind == "JPEG":
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = struct.pack(">HH", min(side, 65500), min(side, 65500))
    return bytes(data)


class Pictures:
    """Pictures of all kinds that somebody might send to do harm, drawn from a seed."""

    def __init__(self, number: int) -> None:
        self.rng = np.random.default_rng(number)
        image = noise(self.rng, 48, 36)
        self.whole = {kind: encoded(image, kind) for kind in KINDS}
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("a.txt", "text")
        self.tails = {
            "zip": archive.getvalue(),
            "html": b"<!doctype html><script>alert(1)</script>",
            "pdf": b"%PDF-1.4\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF",
            "shell": b"#!/bin/sh\nexit 1\n",
            **{f"{kind} picture": data for kind, data in self.whole.items()},
        }
        text = PngImagePlugin.PngInfo()
        text.add_text("Comment", "A" * 60_000_000, zip=True)
        frames = [Image.new("P", (2000, 2000), n) for n in range(40)]
        self.bombs = {
            **{f"claims 13,000 x 13,000 {kind}": claims(13_000, kind) for kind in ("PNG", "BMP", "GIF", "JPEG")},
            "claims 2 thousand million x 2 thousand million PNG": claims(2**31 - 1, "PNG"),
            "60 MB of text in a PNG": encoded(image, "PNG", pnginfo=text),
            "40 frames of 4 million pixels": encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]),
            "48 million pixels of one grey": encoded(Image.new("L", (8000, 6000)), "PNG"),
            "a line of 40 million pixels": encoded(Image.new("1", (40_000_000, 1)), "TIFF", compression="group4"),
        }

    def draw(self) -> tuple[str, bytes]:
        rng = self.rng
        what = str(rng.choice(["cut", "overwritten", "put in", "polyglot", "two faces", "empty", "bomb"]))
        name = str(rng.choice(list(self.whole)))
        data = bytearray(self.whole[name])
        if what == "cut":
            return what, bytes(data[: rng.integers(1, len(data))])
        if what == "overwritten":
            for at in rng.integers(0, len(data), rng.integers(1, 30)):
                data[at] = rng.integers(256)
            return what, bytes(data)
        if what == "put in":
            at = int(rng.integers(0, len(data)))
            return what, bytes(data[:at]) + rng.bytes(int(rng.integers(1, 200))) + bytes(data[at:])
        if what == "polyglot":  # a picture that is something else too
            return what, bytes(data) + self.tails[str(rng.choice(list(self.tails)))]
        if what == "two faces":  # something else first
            return what, self.tails[str(rng.choice(list(self.tails)))] + bytes(data)
        if what == "empty":
            return what, rng.bytes(int(rng.integers(0, 20)))
        kind = str(rng.choice(list(self.bombs)))
        return f"bomb: {kind}", self.bombs[kind]


def send_pictures(client: httpx.Client, n: int, look: Callable[[], None]) -> dict[str, Any]:
    pictures = Pictures(1)
    good = encoded(noise(np.random.default_rng(2), 48, 36), "PNG")
    ended: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    slowest: dict[str, float] = {}
    for number in range(n):
        kind, data = pictures.draw()
        pair = {"first": ("a.png", good), "second": ("b.png", data)}
        began = time.perf_counter()
        try:
            answer = client.post("/v1/compare", files=pair, data={"mode": "fast"})
        except httpx.HTTPError as error:
            failures[f"{kind}: {type(error).__name__}"] += 1
            continue
        slowest[kind] = max(slowest.get(kind, 0.0), time.perf_counter() - began)
        ended[f"{kind}: {answer.status_code}"] += 1
        body = answer.json()
        right = "error" in body if answer.status_code in (413, 422) else body.get("winner") in ("A", "B", "tie")
        if answer.status_code not in (200, 413, 422) or not right:
            failures[f"{kind}: {answer.status_code} {answer.text[:200]}"] += 1
        if number % 50 == 0:
            look()
    return {
        "sent": n, "ended": dict(sorted(ended.items())), "failures": dict(failures),
        "slowest_s": {kind: round(seconds, 2) for kind, seconds in sorted(slowest.items())},
    }  # fmt: skip


# --- 3. bytes -------------------------------------------------------------------------------------------------------


def bad_http(rng: np.random.Generator) -> tuple[str, bytes]:
    head = b"POST /v1/compare HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    kinds = {
        "random bytes": rng.bytes(400),
        "no such method": b"\x00FETCH / HTTP/1.1\r\n\r\n",
        "length that is no number": head + b"Content-Length: -5\r\n\r\n{}",
        "two lengths": head + b"Content-Length: 2\r\nContent-Length: 9\r\n\r\n{}",
        "length and chunks": head + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "chunk of no size": head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        "header of 200 kB": b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
        "no host": b"GET /health HTTP/1.1\r\n\r\n",
        "half a body": head + b"Content-Length: 5000\r\n\r\n" + rng.bytes(100),
        "half a head": head[: int(rng.integers(1, len(head)))],
        "a path out of the tree": b"GET /../../etc/passwd HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        "two requests at once": 2 * (b"GET /health HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
    }
    name = str(rng.choice(list(kinds)))
    return name, kinds[name]


def send_bytes(address: str, n: int) -> dict[str, Any]:
    place = urlsplit(address)
    rng = np.random.default_rng(3)
    ended: Counter[str] = Counter()
    for _ in range(n):
        kind, data = bad_http(rng)
        with socket.create_connection((place.hostname, place.port), timeout=60) as connection:
            try:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)  # what is missing never comes
                answer = connection.recv(4096)
            except OSError:  # it hung up on us
                answer = b""
        line = answer.split(b"\r\n")[0].decode("latin-1")
        ended[f"{kind}: {line.split(' ')[1] if line.startswith('HTTP/') else 'closed'}"] += 1
    opened = {kind: count for kind, count in ended.items() if kind.endswith((": 200", ": 500"))}
    return {"sent": n, "ended": dict(sorted(ended.items())), "failures": opened}


# --- 4. the cache ---------------------------------------------------------------------------------------------------


def alike(rng: np.random.Generator) -> dict[str, tuple[bytes, bytes]]:
    """Pairs of files that a careless key would take for one."""
    pixels = rng.integers(0, 256, (40, 60, 3), np.uint8)
    swapped = (Image.fromarray(pixels), Image.fromarray(pixels.reshape(60, 40, 3)))
    indexed = Image.fromarray(rng.integers(0, 4, (40, 40), np.uint8), "P")
    other = indexed.copy()
    indexed.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    other.putpalette([255, 255, 255, 0, 0, 255, 0, 255, 0, 255, 0, 0])
    # Each pair has pixels of its own: what was asked for one must not answer for another.
    longer = encoded(noise(rng, 60, 40), "PNG")
    same, upright, third = (noise(rng, 60, 40) for _ in range(3))
    turned = Image.Exif()
    turned[0x0112] = 6
    return {
        "dimension swap": (encoded(swapped[0], "PNG"), encoded(swapped[1], "PNG")),
        "palette": (encoded(indexed, "PNG"), encoded(other, "PNG")),
        "trailing bytes": (longer, longer + b"\0"),
        "compression": (encoded(same, "PNG"), encoded(same, "PNG", compress_level=1)),
        "orientation": (encoded(upright, "JPEG"), encoded(upright, "JPEG", exif=turned)),
        "format": (encoded(third, "TIFF"), encoded(third, "BMP")),
    }


def check_cache(client: httpx.Client) -> dict[str, Any]:
    rng = np.random.default_rng(4)
    anchor = encoded(noise(rng, 60, 40), "PNG")

    def misses() -> int:
        lines = client.get("/metrics").text.splitlines()
        return sum(
            int(float(line.split()[1])) for line in lines if line.startswith('redaes_cache_total{outcome="miss"}')
        )

    def ask(first: bytes, second: bytes) -> dict[str, Any]:
        pair = {"first": ("a", first), "second": ("b", second)}
        answer = client.post("/v1/compare", files=pair, data={"mode": "fast"})
        answer.raise_for_status()
        return answer.json()

    report, shared = {}, []
    for name, (one, two) in alike(rng).items():
        before = misses()
        answers = [ask(anchor, one), ask(anchor, two), ask(one, anchor), ask(one, two), ask(two, one)]
        asked = misses() - before
        own = [
            tuple(hashlib.sha256(data).hexdigest() for data in pair)
            for pair in ((anchor, one), (anchor, two), (one, anchor), (one, two), (two, one))
        ]
        ids = [(answer["first"]["id"], answer["second"]["id"]) for answer in answers]
        again = ask(anchor, one) == answers[0] and misses() == before + asked
        report[name] = f"{asked} of 5 asked anew, ids {'right' if ids == own else 'WRONG'}, repeated: {again}"
        if asked != 5 or ids != own or not again:
            shared.append(name)
    return {"pairs": report, "failures": shared}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=1300, help="per operation of the schema")
    parser.add_argument("--pictures", type=int, default=1200)
    parser.add_argument("--connections", type=int, default=1400)
    parser.add_argument("--out", type=Path, default=Path("runs/service_attack.json"))
    args = parser.parse_args()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    log = args.out.with_suffix(".log")
    found: dict[str, Any] = {"cores": os.cpu_count()}
    with service(log) as (address, process), httpx.Client(base_url=address, trust_env=False, timeout=60) as client:

        def mib() -> float:
            return round(process.memory_info().rss / 2**20, 1)

        rng = np.random.default_rng(5)
        pair = {name: (name, encoded(noise(rng, 64, 64), "PNG")) for name in ("first", "second")}

        def ask() -> dict[str, Any]:
            answer = client.post("/v1/compare", files=pair, data={"mode": "fast"})
            answer.raise_for_status()
            return answer.json()

        at_first, memory, highest = ask(), [mib()], [mib()]
        for name, attack in (
            ("schema", lambda: from_schema(address, args.examples)),
            ("pictures", lambda: send_pictures(client, args.pictures, lambda: highest.append(mib()))),
            ("bytes", lambda: send_bytes(address, args.connections)),
            ("cache", lambda: check_cache(client)),
        ):
            began = time.perf_counter()
            found[name] = attack()
            memory.append(mib())
            args.out.write_text(json.dumps(found, indent=1) + "\n")
            print(f"{name}: {time.perf_counter() - began:.0f} s, {memory[-1]} MiB", flush=True)
        found["memory_mib"] = memory
        found["highest_mib"] = max(highest + memory)
        found["health_afterwards"] = client.get("/health").status_code
        found["same_answer_afterwards"] = ask() == at_first
        process.terminate()
        found["status_after_sigterm"] = process.wait(120)
    found["errors_in_the_log"] = [line for line in log.read_text().splitlines() if "Traceback" in line]
    args.out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))
    parts = [found[name] for name in ("schema", "pictures", "bytes", "cache")]
    broken = any(part["failures"] for part in parts)
    alive = found["health_afterwards"] == 200 and found["same_answer_afterwards"] and found["status_after_sigterm"] == 0
    return int(broken or not alive or bool(found["errors_in_the_log"]))


if __name__ == "__main__":
    sys.exit(main())
