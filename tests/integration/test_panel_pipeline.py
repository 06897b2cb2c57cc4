"""The pipeline of a panel makes the same bytes in every way, loses nothing, and pays for no answer twice."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from openai_server import Call, Drop, Fault, OpenAIServer, Say
from panel_server import panel, script
from PIL import Image

from redaes.datagen import chunks, editor_pool
from redaes.datagen.dataset_settings import DatasetSettings
from redaes.datagen.editors import EDITORS
from redaes.datagen.editors.base import EditJob, EditOutcome
from redaes.datagen.pipeline import build
from redaes.datagen.plan import PLAN, read_plan
from redaes.errors import BackendError, BudgetExhausted, InputError
from redaes.records import data_hash, read_records
from redaes.types import SPLITS
from tests.conftest import synthetic_photograph

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = DatasetSettings(views=1, variants=3, max_side=96, test_fraction=0.34, seed=5)
BUILD = """
import sys
from pathlib import Path
from redaes.datagen import chunks
from redaes.datagen.dataset_settings import DatasetSettings
from redaes.datagen.panel import Panel
from redaes.datagen.pipeline import build
if __name__ == "__main__":
    chunks.PHOTOGRAPHS_PER_SHARD = 2
    settings = DatasetSettings(views=1, variants=3, max_side=96, test_fraction=0.34, seed=5)
    panel = Panel(endpoint=sys.argv[3], judges=("judge-1", "judge-2"), writer="writer", planner="planner",
                  editors=("embedded",), samples=1, max_rewrites=1, concurrency=2)
    build([Path(sys.argv[1])], Path(sys.argv[2]), settings, panel=panel, workers=int(sys.argv[4]))
"""


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(chunks, "PHOTOGRAPHS_PER_SHARD", 2)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """8 photographs: five chunks of two at most."""
    folder = tmp_path_factory.mktemp("photographs")
    for number in range(8):
        synthetic_photograph(number, 200, 150).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def whole(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built without interruption, in this process."""
    folder = tmp_path_factory.mktemp("whole") / "pairs"
    with pytest.MonkeyPatch.context() as patch, OpenAIServer(script) as server:
        patch.setenv("NO_PROXY", "127.0.0.1")
        patch.setattr(chunks, "PHOTOGRAPHS_PER_SHARD", 2)
        build([photographs], folder, SETTINGS, panel=panel(server))
    return folder


class Painter:
    """Changes contrast and brightness as the instruction's hash says, with whole numbers alone; now and then it
    fails."""

    name, revision, licence, commercial = "painter/1", "1", "CC0-1.0", True

    def __init__(self) -> None:
        self.settings: dict[str, str | int | float | bool | None] = {}

    def edit(self, source: Image.Image, jobs: Sequence[EditJob]) -> list[EditOutcome]:
        return [self._one(np.asarray(source).astype(np.int64), job) for job in jobs]

    @staticmethod
    def _one(pixels: np.ndarray, job: EditJob) -> EditOutcome:
        drawn = hashlib.sha256(f"{job.instruction}|{job.seed}".encode()).digest()
        if drawn[0] % 9 == 0:
            return EditOutcome(failure="editor_error", detail="no paint")
        changed = (pixels - 128) * (40 + drawn[1] % 100) // 80 + 108 + drawn[2] % 40
        return EditOutcome(image=Image.fromarray(np.clip(changed, 0, 255).astype(np.uint8)))


def checking(call: Call) -> Say | Fault:
    if call.body["model"] != "checker":
        return script(call)
    executed = hashlib.sha256(call.text.encode()).digest()[0] % 3 > 0
    return Say(json.dumps({"executed": executed, "content_kept": True, "artefacts": False, "seen": "x"}))


def labels_of(folder: Path) -> str:
    """Digest of what a dataset says of its pairs, without what depends on the coding of pictures (their bytes, hence
    ids and places)."""
    lines = []
    for split in SPLITS:
        for record in read_records(folder, split):
            sides = [(record.pair.edit_first, 1.0), (record.pair.edit_second, -1.0)]
            (one, sign), (other, _) = sorted(sides, key=lambda side: "" if side[0] is None else side[0].instruction)
            told = ["" if edit is None else f"{edit.factor} {edit.instruction} {edit.seed}" for edit in (one, other)]
            delta = round(sign * (record.pair.delta or 0.0), 2) + 0.0
            lines.append(f"{split} {record.pair.group} {told} {delta:.2f} {sorted(record.pair.factors)}")
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16]


def test_the_labels_are_those_of_the_loop_that_did_one_thing_after_the_other(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EDITORS, "painter", Painter)
    monkeypatch.setitem(EDITORS, "other painter", Painter)
    settings = DatasetSettings(views=2, variants=3, max_side=96, test_fraction=0.34, seed=7)
    changes = {"planner": None, "checker": "checker", "editors": ("painter", "other painter")}
    with OpenAIServer(checking) as server:
        report = build([photographs], tmp_path / "pairs", settings, panel=panel(server, **changes))
    assert labels_of(tmp_path / "pairs") == "a2775d542fb778e3"  # taken with the code from before there was a pipeline
    assert report["rejected_pairs"]["edit_failed"] == 8
    assert report["rejected_pairs"]["not_executed"] == 15


@pytest.mark.parametrize(("engine", "workers"), [("local", 4), ("ray", 2)])
def test_any_number_of_workers_makes_the_same_bytes(
    engine: str, workers: int, photographs: Path, whole: Path, tmp_path: Path
) -> None:
    if engine == "ray":
        pytest.importorskip("ray")
    with OpenAIServer(script) as server:
        build([photographs], tmp_path / "pairs", SETTINGS, panel=panel(server), engine=engine, workers=workers)
        assert Counter(call.body["model"] for call in server.calls)["planner"] == 8
    assert data_hash(tmp_path / "pairs") == data_hash(whole)
    assert [read_plan(tmp_path / "pairs" / PLAN, n) for n in range(4)] == [read_plan(whole / PLAN, n) for n in range(4)]


def test_a_worker_that_fails_says_so_in_its_own_words(photographs: Path, tmp_path: Path) -> None:
    with OpenAIServer(script) as server, pytest.raises(BudgetExhausted, match="max_calls 3 is spent"):
        build([photographs], tmp_path / "pairs", SETTINGS, panel=panel(server, max_calls=3), workers=2)


class BrokenPainter(Painter):
    """Its device has no memory left until ``is_broken`` is taken away."""

    is_broken = True

    def edit(self, source: Image.Image, jobs: Sequence[EditJob]) -> list[EditOutcome]:
        if self.is_broken:
            return [EditOutcome(failure="out_of_memory", detail="no memory left") for _ in jobs]
        return super().edit(source, jobs)


def test_an_editor_that_makes_nothing_ends_the_run_and_loses_no_view(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EDITORS, "painter", BrokenPainter)
    monkeypatch.setattr(
        editor_pool, "BROKEN_FROM_THE_START", 3
    )  # the edits of the first view: no chunk is done by then
    with OpenAIServer(script) as server:
        panel_ = panel(server, planner=None, editors=("painter",))
        with pytest.raises(BackendError, match=r"painter: \d+ edits in a row .*no memory left"):
            build([photographs], tmp_path / "pairs", SETTINGS, panel=panel_)
        monkeypatch.setattr(BrokenPainter, "is_broken", False)
        report = build([photographs], tmp_path / "pairs", SETTINGS, panel=panel_)
    assert not [each for each in report["failed"] if "no memory left" in each["error"]]


def test_more_edits_than_a_planner_has_wishes_for(photographs: Path, tmp_path: Path) -> None:
    with OpenAIServer(script) as server, pytest.raises(InputError, match="at most 48 edits of a view"):
        build([photographs], tmp_path / "more", SETTINGS.model_copy(update={"variants": 49}), panel=panel(server))
    assert not (tmp_path / "more").exists()


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs process groups")
def test_an_interrupt_is_told_once_and_gone_on_from(photographs: Path, whole: Path, tmp_path: Path) -> None:
    build_file, out = tmp_path / "build.py", tmp_path / "pairs"
    build_file.write_text(BUILD)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    with OpenAIServer(script) as server:
        command = [sys.executable, str(build_file), str(photographs), str(out), server.base_url, "2"]
        with subprocess.Popen(
            command, env=environment, start_new_session=True, stderr=subprocess.PIPE, text=True
        ) as process:
            deadline = time.monotonic() + 120
            while process.poll() is None and len(server.calls) < 5 and time.monotonic() < deadline:
                time.sleep(0.005)
            os.killpg(process.pid, signal.SIGINT)
            said = process.communicate()[1]
        assert process.returncode
        assert said.count("Traceback") == 1, said
        assert "SpawnProcess" not in said
        done = subprocess.run([*command[:-1], "1"], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
    assert data_hash(out) == data_hash(whole)


def test_more_workers_than_devices_are_refused(photographs: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="2 workers and 1 editor_devices"), OpenAIServer(script) as server:
        build([photographs], tmp_path / "pairs", SETTINGS, panel=panel(server, editor_devices=["cuda:0"]), workers=2)


def test_answers_in_another_order_change_nothing(photographs: Path, whole: Path, tmp_path: Path) -> None:
    rng = random.Random(3)

    def late(call: Call) -> Say | Fault:
        time.sleep(rng.uniform(0.0, 0.1))
        return script(call)

    with OpenAIServer(late) as server:
        build([photographs], tmp_path / "pairs", SETTINGS, panel=panel(server, concurrency=3))
        assert max(Counter(call.body["model"] for call in server.calls).values()) > 0
    assert data_hash(tmp_path / "pairs") == data_hash(whole)


def test_a_server_that_is_gone_for_a_while_costs_no_pair(photographs: Path, whole: Path, tmp_path: Path) -> None:
    gone = threading.Event()

    def dying(call: Call) -> Say | Fault | Drop:
        if call.index == 60:
            gone.set()
            threading.Timer(1.5, gone.clear).start()
        return Drop() if gone.is_set() else script(call)

    with OpenAIServer(dying) as server:
        report = build([photographs], tmp_path / "pairs", SETTINGS, panel=panel(server))
    assert data_hash(tmp_path / "pairs") == data_hash(whole)
    assert any(": retried: connection" in what for what in report["asked"])
    assert not any(": failed: " in what for what in report["asked"])


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize(
    ("n_kills", "workers"),
    [(1, 1), pytest.param(10, 1, marks=pytest.mark.slow), pytest.param(5, 3, marks=pytest.mark.slow)],
)
def test_killed_and_started_again_nothing_is_paid_for_twice(
    n_kills: int, workers: int, photographs: Path, whole: Path, tmp_path: Path
) -> None:
    build_file, out = tmp_path / "build.py", tmp_path / "pairs"
    build_file.write_text(BUILD)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    rng = random.Random(11)

    def slowly(call: Call) -> Say | Fault:
        time.sleep(0.02)
        return script(call)

    with OpenAIServer(slowly) as server:
        command = [sys.executable, str(build_file), str(photographs), str(out), server.base_url, str(workers)]
        n_under_way = n_killed = 0
        for _ in range(n_kills):
            asked = len(server.calls) + rng.randint(3, 25)
            with subprocess.Popen(command, env=environment, start_new_session=True) as process:
                deadline = time.monotonic() + 120
                while process.poll() is None and len(server.calls) < asked and time.monotonic() < deadline:
                    time.sleep(0.005)
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    n_under_way += server.n_under_way
                    n_killed += 1
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        answered = Counter(
            json.dumps(call.body, sort_keys=True)
            for call in server.calls
            if not (call.attempt == 0 and call.index % 7 == 0)
        )
    assert n_killed >= min(n_kills, 3)
    # What was under way when it was killed is lost, and what was on its way to the disk; the rest is there.
    assert sum(n - 1 for n in answered.values()) <= n_under_way + 4 * workers * n_killed
    assert data_hash(out) == data_hash(whole)
    assert not (out / "plan").exists()
    assert not list(out.rglob("*.tmp"))


@pytest.mark.slow
def test_a_ray_actor_that_is_killed_loses_nothing(photographs: Path, whole: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    psutil = pytest.importorskip("psutil")
    killed: list[int] = []

    def kill_one() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not killed:
            for process in psutil.process_iter(["cmdline"]):
                if (process.info["cmdline"] or [""])[0].startswith("ray::_Actor") and process.username():
                    process.kill()
                    killed.append(process.pid)
                    return
            time.sleep(0.05)

    def watched(call: Call) -> Say | Fault:
        if call.index == 40:
            threading.Thread(target=kill_one).start()
        time.sleep(0.05)
        return script(call)

    with OpenAIServer(watched) as server:
        build([photographs], tmp_path / "pairs", SETTINGS, panel=panel(server), engine="ray", workers=2)
    assert killed
    assert data_hash(tmp_path / "pairs") == data_hash(whole)
