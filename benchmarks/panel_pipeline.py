"""How busy a panel's slowest resource is kept, in simulation: editors and a server that take given times.

    python benchmarks/panel_pipeline.py --out /tmp/panel                    # every variation, 64 photographs
    python benchmarks/panel_pipeline.py --out /tmp/panel --photographs 512 --only usual

The editor is simulated in the worker (an edit takes ``--edit-s`` and changes brightness and contrast), one copy on each
of ``n`` devices. The servers are real HTTP servers in a process of their own, so that their work is not on the clock of
the worker and requests pass through the same client, pictures, cache and retries as always: an answer takes
``--answer-s``, of ``--capacity`` at once, the others wait for their turn. Everything else is the product: planning,
filters, consensus, potential, texts, Parquet.

A resource's bound is its work divided by its capacity: seconds of edits by devices, seconds of answers by capacity. The
share of the largest bound in the clock time is what is to be near 1; "full" leaves out the first and the last tenth
of the time, when the pipe fills and runs empty. ``one after the other`` is the same code with one view at a time, and
one judge at a time, which is how panels were worked before there were stages.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import platform
import resource
import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from redaes import answers
from redaes.datagen import judging_stage, panel_crew
from redaes.datagen.dataset_settings import DatasetSettings
from redaes.datagen.editors import EDITORS
from redaes.datagen.editors.base import EditJob, EditOutcome
from redaes.datagen.panel import Panel
from redaes.datagen.panel_worker import PanelWorker
from redaes.datagen.pipeline import build
from redaes.records import data_hash
from redaes.types import Factor, Rationale

MAX_SIDE = 96
SLOWER = 8
"""How many times as long the slow judge takes."""


@dataclass(frozen=True)
class Variation:
    """What is simulated."""

    name: str
    devices: int = 1
    slow_judge: bool = False
    """One judge has a server of its own, which takes :data:`SLOWER` times as long."""
    faults: float = 0.0
    """Share of requests that are refused with 503 the first time."""
    one_by_one: bool = False
    photographs: int | None = None


VARIATIONS = (
    Variation("one after the other", one_by_one=True, photographs=16),
    Variation("usual"),
    Variation("two devices", devices=2),
    Variation("a slow judge", slow_judge=True),
    Variation("5 % faults", faults=0.05),
)


COLUMNS = {
    "photographs": "d",
    "n_edits": "d",
    "n_answers": "d",
    "pairs": "d",
    "seconds": ".1f",
    "cpu_s": ".1f",
    "bound_s": ".1f",
    "slowest": "",
    "share": ".2f",
    "full": ".2f",
    "peak_mib": ".0f",
    "digest": "",
}
"""What is printed of a build, and how."""


# --- The servers, in a process of their own -----------------------------------------------------------


def serve(pipe: Any, answer_s: float, capacity: int, slow_judge: bool, faults: float) -> None:
    """Answer on a port that is told by the pipe; once told to end, tell when each answer was worked on, by server."""
    spans: dict[str, list[tuple[float, float]]] = {"server": []}
    slots = {"server": asyncio.Semaphore(capacity), "slow judge's server": asyncio.Semaphore(capacity)}
    refused: set[int] = set()
    n_asked = 0

    async def reply(body: bytes) -> tuple[int, dict[str, Any]]:
        nonlocal n_asked
        n_asked += 1
        wanted = json.loads(body)
        model = wanted["model"]
        if faults and n_asked % round(1 / faults) == 0 and hash(body) not in refused:
            refused.add(hash(body))
            return 503, {"error": {"message": "busy"}}
        is_slow = slow_judge and model == "judge-2"
        server = "slow judge's server" if is_slow else "server"
        async with slots[server]:
            since = time.monotonic()
            await asyncio.sleep(answer_s * (SLOWER if is_slow else 1))
            spans.setdefault(server, []).append((since, time.monotonic()))
        return 200, completion(model, said(model, wanted))

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                lengths = [int(line[15:]) for line in head.split("\r\n") if line.startswith("content-length:")]
                if lengths:
                    status, found = await reply(await reader.readexactly(lengths[0]))
                else:
                    status, found = 200, {"data": [{"id": "judge-1"}]}
                data = json.dumps(found).encode()
                said_first = (
                    f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
                )
                writer.write(said_first.encode() + data)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def main() -> None:
        server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=2**26, backlog=1000)
        pipe.send(server.sockets[0].getsockname()[1])
        await asyncio.get_running_loop().run_in_executor(None, pipe.recv)
        pipe.send(spans)

    asyncio.run(main())


def said(model: str, wanted: dict[str, Any]) -> str:
    """A judge goes by the lengths of the encoded pictures; the writer leaves it to the embedded one."""
    if model == "checker":
        return json.dumps({"executed": True, "content_kept": True, "artefacts": False, "seen": "x"})
    if model == "writer":
        return "I would rather talk about the score."
    sizes = [len(part["image_url"]["url"]) for part in wanted["messages"][-1]["content"] if part["type"] == "image_url"]
    delta = round(max(-9.0, min(9.0, (sizes[0] - sizes[1]) / 1500)), 1)
    winner = answers.stated(delta).winner
    factors: tuple[Factor, ...] = () if winner == "tie" else ("light",)
    return answers.render_verdict(answers.stated(delta, Rationale(text="Seen.", factors=factors, better=winner)))


def completion(model: str, text: str) -> dict[str, Any]:
    """An answer as the protocol has it."""
    message = {"role": "assistant", "content": text}
    return {
        "id": "x",
        "object": "chat.completion",
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": {"prompt_tokens": 900, "completion_tokens": 60, "total_tokens": 960},
    }


# --- The editor ---------------------------------------------------------------------------------------


class SimulatedEditor:
    """Takes its time, and changes contrast and brightness."""

    name, revision, licence, commercial = "simulated/1", "1", "CC0-1.0", True
    edit_s = 0.4
    spans: ClassVar[list[tuple[float, float]]] = []

    def __init__(self, device: str = "") -> None:
        self.settings: dict[str, str | int | float | bool | None] = {}

    def edit(self, source: Image.Image, jobs: Sequence[EditJob]) -> list[EditOutcome]:
        """See :class:`redaes.datagen.editors.base.Editor`."""
        found = []
        for job in jobs:
            since = time.monotonic()
            rng = np.random.default_rng(job.seed)
            pixels = (np.asarray(source, dtype=np.float32) - 128) * rng.uniform(0.4, 0.9) + rng.uniform(90, 140)
            image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
            time.sleep(max(0.0, self.edit_s - (time.monotonic() - since)))
            SimulatedEditor.spans.append((since, time.monotonic()))
            found.append(EditOutcome(image=image))
        return found


def photograph(number: int) -> Image.Image:
    """Blobs of colour and texture, so that points are found again in edits of it."""
    rng = np.random.default_rng(number)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)).resize(
        (192, 144), Image.Resampling.BICUBIC
    )
    fine = rng.integers(-40, 41, (36, 48, 1)).repeat(4, axis=0).repeat(4, axis=1)
    return Image.fromarray(np.clip(np.asarray(coarse).astype(np.int64) + fine, 0, 255).astype(np.uint8))


# --- Measuring ----------------------------------------------------------------------------------------


class OneAfterTheOther(PanelWorker):
    """One view at a time, and one judge after the other: how panels were worked before there were stages."""

    async def _view(self, *args: Any) -> Any:
        async with self._alone:
            return await super()._view(*args)

    async def __aenter__(self) -> PanelWorker:
        self._alone = asyncio.Lock()
        return await super().__aenter__()


async def one_by_one(work: Iterable[Any]) -> list[Any]:
    """In place of :func:`redaes.backends.at_once.together`."""
    return [await one for one in work]


def run(pipe: Any, args: argparse.Namespace, variation: Variation, n: int, out: Path) -> None:
    """Build, in a process of its own, so that its peak memory is its own."""
    SimulatedEditor.edit_s = args.edit_s
    EDITORS["simulated"] = SimulatedEditor
    if variation.one_by_one:
        panel_crew.PanelWorker = OneAfterTheOther  # type: ignore[misc]
        judging_stage.together = one_by_one  # type: ignore[assignment]
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(
        target=serve, args=(theirs, args.answer_s, args.capacity, variation.slow_judge, variation.faults)
    )
    server.start()
    endpoint = f"http://127.0.0.1:{ours.recv()}/v1"
    photographs = out / "photographs"
    photographs.mkdir(parents=True)
    for number in range(n):
        photograph(number).save(photographs / f"{number}.png", compress_level=1)
    panel = Panel(
        endpoint=endpoint,
        judges=("judge-1", "judge-2"),
        writer="writer",
        checker="checker",
        editors=("simulated",),
        editor_devices=tuple(f"device {number}" for number in range(variation.devices)),
        samples=2,
        max_rewrites=0,
        concurrency=args.capacity,
    )
    settings = DatasetSettings(views=1, variants=args.variants, max_side=MAX_SIDE, test_fraction=0.2, seed=0)
    since, cpu_s = time.monotonic(), time.process_time()
    report = build([photographs], out / "pairs", settings, panel=panel)
    until, cpu_s = time.monotonic(), time.process_time() - cpu_s
    ours.send(None)
    work = {name: (spans, args.capacity) for name, spans in ours.recv().items()}
    work["editor"] = (SimulatedEditor.spans, variation.devices)
    server.join()
    seconds = until - since
    lead = seconds / 10
    full = {name: busy_share(spans, capacity, since + lead, until - lead) for name, (spans, capacity) in work.items()}
    bounds = {name: sum(b - a for a, b in spans) / capacity for name, (spans, capacity) in work.items()}
    slowest = max(bounds, key=lambda name: bounds[name])
    pipe.send(
        {
            "photographs": n,
            "pairs": sum(report["pairs"].values()),
            "seconds": seconds,
            "cpu_s": cpu_s,
            "slowest": slowest,
            "bound_s": bounds[slowest],
            "share": bounds[slowest] / seconds,
            "full": full[slowest],
            "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "n_answers": sum(len(spans) for name, (spans, _) in work.items() if name != "editor"),
            "n_edits": len(SimulatedEditor.spans),
            "digest": data_hash(out / "pairs")[:12],
        }
    )


def busy_share(spans: Sequence[tuple[float, float]], capacity: int, since: float, until: float) -> float:
    """How much of a resource was in use between two moments."""
    busy_s = sum(max(0.0, min(end, until) - max(begin, since)) for begin, end in spans)
    return busy_s / (capacity * (until - since))


def measured(args: argparse.Namespace, variation: Variation, n: int) -> dict[str, Any]:
    """One build."""
    out = args.out / f"{variation.name.replace(' ', '_').replace('%', 'percent')}_{n}"
    shutil.rmtree(out, ignore_errors=True)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=run, args=(theirs, args, variation, n, out))
    process.start()
    theirs.close()
    found: dict[str, Any] = ours.recv()
    process.join()
    shutil.rmtree(out, ignore_errors=True)
    return found


def main(args: argparse.Namespace) -> None:
    """Measure, and print a table."""
    print(
        f"{platform.machine()}, {os.cpu_count()} cores; an edit takes {args.edit_s} s, an answer {args.answer_s} s, "
        f"{args.capacity} at once; {args.variants} edits a view, load {os.getloadavg()[0]:.1f}"
    )
    heads = ["variation", "photographs", "edits", "answers", "pairs", "clock s", "CPU s", "bound s", "slowest", "share"]
    heads += ["full", "peak MiB", "bytes"]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    a_photograph: dict[str, float] = {}
    for variation in VARIATIONS:
        if args.only and variation.name not in args.only:
            continue
        for n in [variation.photographs] if variation.photographs else args.photographs:
            found = measured(args, variation, n)
            a_photograph.setdefault(variation.name, found["seconds"] / n)
            cells = [variation.name, *(f"{found[key]:{form}}" for key, form in COLUMNS.items())]
            print(f"| {' | '.join(cells)} |", flush=True)
    loop = a_photograph.pop("one after the other", None)
    for name, seconds in a_photograph.items():
        if loop and name != "a slow judge":  # of which there was none
            print(f"{name}: {loop / seconds:.1f} times as fast as one after the other")


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to work in")
    parser.add_argument("--photographs", type=int, nargs="+", default=[64], help="how many; several: each")
    parser.add_argument("--only", nargs="+", help=f"of {', '.join(each.name for each in VARIATIONS)}")
    parser.add_argument("--edit-s", type=float, default=0.4)
    parser.add_argument("--answer-s", type=float, default=0.4)
    parser.add_argument("--variants", type=int, default=3, help="edits of a view")
    parser.add_argument("--capacity", type=int, default=32, help="answers that a server works on at once")
    return parser.parse_args()


if __name__ == "__main__":
    main(parse_args())
