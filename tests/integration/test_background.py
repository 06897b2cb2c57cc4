"""The background service with a scripted model: who is answered, with what, and what happens where it cannot be."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from redaes import prompts
from redaes.backends.base import Answer, Backend, Request
from redaes.backends.failures import Failure
from redaes.backends.scripted import ScriptedBackend
from redaes.background import client, place, settings, starting
from redaes.background import service as service_module
from redaes.background.backend import ServiceBackend
from redaes.background.client import NoService, Session
from redaes.background.service import BackgroundService, Served
from redaes.cli import loading, resident
from redaes.cli.app import app
from redaes.errors import InputError
from redaes.models import nano

ROOT = Path(__file__).resolve().parents[2]
FORWARD = "<rationale>\nB is blurred. Decisive: focus, better in A.\n</rationale>\nWinner: A\nDifference: +2.0"
SWAPPED = "<rationale>\nA is blurred. Decisive: focus, better in B.\n</rationale>\nWinner: B\nDifference: -1.0"
FIRST = {" A": -0.1, " B": -3.1, " tie": -5.0}
SECOND = {" A": -3.1, " B": -0.1, " tie": -5.0}


class Scripted(ScriptedBackend):
    """What the same question is answered with is the same, however often it is put."""

    def __init__(self, texts: Sequence[str] = (FORWARD, SWAPPED)) -> None:
        super().__init__(list(texts) * 20, [FIRST, SECOND] * 20)


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for the socket, with a path that is short enough, and a process that would use a service."""
    folder = Path(tempfile.mkdtemp(prefix="r-"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")  # as every command has it (redaes.cores)
    monkeypatch.delenv("REDAES_SERVICE")
    yield folder
    shutil.rmtree(folder)


def served_by(backend: Backend) -> Served:
    return Served(backend, settings.identity(nano.NAME, None, None), settings.settings())


@contextmanager
def running(backend: Backend, idle_s: float = float("inf")) -> Iterator[BackgroundService]:
    path = os.path.join(starting.private_folder(), place.SOCKET)
    served = served_by(backend)
    with BackgroundService(path, served, resident._carry_out, idle_s=idle_s) as service:
        thread = threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield service
        finally:
            service.shutdown()
            thread.join()


@pytest.fixture
def pictures(tmp_path: Path) -> list[str]:
    for name, colour in (("sharp.png", "red"), ("soft.png", "blue")):
        Image.new("RGB", (8, 6), colour).save(tmp_path / name)
    return ["sharp.png", "soft.png"]


def command(
    *words: str, cwd: Path, code: str = "main()", stdout: int = subprocess.PIPE
) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, as a user starts it."""
    return subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[0] = {str(ROOT)!r}; from redaes.cli import main; {code}", *words],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        timeout=300,
    )


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a system without a device that is always full")
@pytest.mark.parametrize("more", [[], ["--help"]], ids=["the service's", "its own"])
def test_output_that_finds_no_room(more: list[str], pictures: list[str], runtime: Path, tmp_path: Path) -> None:
    with running(Scripted()), open("/dev/full", "wb") as full:
        done = command("compare", *pictures, *more, cwd=tmp_path, stdout=full.fileno())
    assert (done.returncode, done.stderr) == (
        2,
        "redaes: the output cannot be written (No space left on device); free some disk space\n",
    )


@pytest.mark.parametrize("more", [[], ["--help"]], ids=["the service's", "its own"])
def test_output_that_nobody_reads(more: list[str], pictures: list[str], runtime: Path, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with running(Scripted()), os.fdopen(writing, "wb") as gone:
        done = command("compare", *pictures, *more, cwd=tmp_path, stdout=gone.fileno())
    assert (done.returncode, done.stderr) == (1, "")


def by_itself(monkeypatch: pytest.MonkeyPatch, backend: Backend, words: list[str], cwd: Path) -> tuple[int, str, str]:
    with monkeypatch.context() as patch:
        patch.setattr(loading, "load_model", lambda *_, **__: backend)
        patch.chdir(cwd)
        done = CliRunner().invoke(app, words)
    return done.exit_code, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("options", "texts"),
    [([], (FORWARD, SWAPPED)), (["--json"], (FORWARD, SWAPPED)), (["--mode", "fast"], ()), ([], ("Hm.", "\u2717"))],
)
def test_it_answers_as_a_process_of_its_own(
    options: list[str], texts: Sequence[str], pictures: list[str], runtime: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    words = ["compare", *pictures, *options]
    expected = by_itself(monkeypatch, Scripted(texts), words, tmp_path)
    with running(Scripted(texts)):
        done = command(*words, "--verbose", cwd=tmp_path)
        home = Path.cwd()
    assert (done.returncode, done.stdout, done.stderr) == expected
    assert expected[0] == (3 if texts and texts[0] == "Hm." else 0)
    assert home != tmp_path, "the service is back in its own folder"


def test_whoever_asks_imports_next_to_nothing(pictures: list[str], runtime: Path, tmp_path: Path) -> None:
    code = "\ntry: main()\nfinally: print('LOADED', *sorted({name.partition('.')[0] for name in sys.modules}))"
    with running(Scripted()):
        done = command("compare", *pictures, cwd=tmp_path, code=code)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.partition("LOADED")[2].split())
    assert "redaes" in loaded
    assert not loaded & {
        "typer",
        "rich",
        "pydantic",
        "numpy",
        "PIL",
        "cv2",
        "torch",
        "transformers",
        "importlib_metadata",
    }


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--device", "no-such"], "the service has scripted, with its files as they were"),
        (["--no-constrain", "--device", "none"], "the service forces answers into their form by default"),
        (["--mode", "unknown"], "the command ends with 2"),
        (["--nothing"], "the command ends with 2"),
    ],
)
def test_what_is_not_the_service_s_is_done_by_the_command(
    words: list[str], reason: str, pictures: list[str], runtime: Path, tmp_path: Path
) -> None:
    with running(Scripted()):
        asked = command("compare", *pictures, *words, "--verbose", cwd=tmp_path)
    alone = command("compare", *pictures, *words, cwd=tmp_path)
    assert (asked.returncode, asked.stdout) == (alone.returncode, alone.stdout)
    assert asked.returncode != 0
    said, _, rest = asked.stderr.partition("\n")
    assert said.startswith(f"redaes: the background service is not used: {reason}")
    assert rest == alone.stderr


@pytest.mark.parametrize(
    "words",
    [["--form", "json"], ["--structured"], ["--agreement", "3"], ["--api-key-env", "KEY"], ["--vllm-arg=--x"],
     ["--endpoint", "http://localhost"], ["--max-pixels", "9"], ["--allow-host", "x"]],
)  # fmt: skip
def test_options_that_the_background_service_has_not(words: list[str], runtime: Path) -> None:
    done = CliRunner().invoke(app, ["serve", "--background", *words])
    assert done.exit_code == 2
    assert "cannot be combined with --background" in done.stderr
    assert list(runtime.iterdir()) == [], "nothing was started"


def test_a_folder_that_the_service_cannot_enter(runtime: Path, tmp_path: Path) -> None:
    screen = {"terminal": False, "encoding": "utf-8", "variables": {}}
    with running(Scripted()), Session() as session:
        home = Path.cwd()
        with pytest.raises(NoService, match="the service cannot enter"):
            session.ask({"words": ["compare"], "cwd": str(tmp_path / "gone"), "screen": screen})
        assert Path.cwd() == home


def test_the_asker_s_terminal_is_printed_for(
    pictures: list[str], runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    variables = {"TERM": "xterm", "COLUMNS": "50"}
    with running(Scripted()), Session() as session:
        answers = [
            session.ask(
                {
                    "words": ["compare", *pictures],
                    "cwd": str(tmp_path),
                    "screen": {"terminal": True, "encoding": encoding, "variables": variables},
                }
            )[0]["stdout"]
            for encoding in ("utf-8", "ascii")
        ]
    assert {len(line) for line in re.sub(r"\x1b\[[0-9;]*m", "", answers[0]).splitlines()} == {50}
    assert "\u256d" in answers[0], "a frame of lines"
    assert "\u256d" not in answers[1], "and one that the terminal can show"
    assert os.environ["COLUMNS"] == "200"


def test_other_settings_are_another_service(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(Scripted()):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
        with Session() as session, pytest.raises(NoService, match=r"other settings \(environment\)"):
            session.check_settings()


def question() -> Request:
    grey = Image.new("RGB", (4, 4), "grey")
    return Request(prompts.load("compare_fast/v1"), (grey, grey), "Winner:", tuple(FIRST), None)


def test_its_model_is_a_backend_and_the_process_s_own_takes_over(runtime: Path) -> None:
    loads: list[str] = []

    def load() -> Backend:
        loads.append("loaded")
        return Scripted()

    with running(Scripted()) as service:
        session = client.model_session(nano.NAME, None, None)
        backend = ServiceBackend(session, load, verbose=False)
        assert (backend.model, backend.revision, backend.form, backend.reader) == (
            "scripted",
            "script",
            "text",
            "strict",
        )
        assert backend.answer([question()]) == Scripted().answer([question()])
        assert loads == []
        service.shutdown()
        service.server_close()
        session._socket.shutdown(socket.SHUT_RDWR)  # as it is when the service's process has ended
    assert backend.answer([question()]) == Scripted().answer([question()])
    assert backend.answer([question()]) != []
    assert loads == ["loaded"]


def test_files_that_change_while_they_are_loaded(
    runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "model"
    model.mkdir()
    weights = model / "model.safetensors"
    weights.write_bytes(b"old")
    known: list[dict[str, object]] = []

    def load(*_: object) -> Backend:
        weights.write_bytes(b"newer")
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
        return Scripted()

    def seen(_path: str, served: Served, *_: object, **__: object) -> None:
        known.extend((served.identity, served.settings))
        raise NoService("enough")

    monkeypatch.setattr(loading, "load_model", load)
    monkeypatch.setattr(service_module, "BackgroundService", seen)
    with pytest.raises(NoService, match="enough"):
        resident._be(str(model), None, None, idle_s=1.0)
    assert known[0] != settings.identity(str(model), None, None)
    assert settings.differences(known[1], settings.settings()) == ["environment"]


def test_a_model_s_folder_that_cannot_be_looked_at(
    runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scandir(folder: str) -> None:
        raise PermissionError(13, "Permission denied", folder)

    model = tmp_path / "model"
    model.mkdir()
    with running(Scripted()) as service, monkeypatch.context() as patch:
        patch.setattr(client, "settings", lambda: service.about["settings"])
        patch.setattr(os, "scandir", scandir)
        with pytest.raises(NoService, match=r"model cannot be read \(Permission denied\)"):
            client.model_session(str(model), None, None)


def test_another_model_is_not_asked(runtime: Path) -> None:
    with running(Scripted()), pytest.raises(NoService, match="the service has scripted"):
        client.model_session("redaes/nano-base", None, None)


class Refusing(Scripted):
    def answer(self, requests: Sequence[Request]) -> list[Answer | Failure]:
        raise InputError("a picture is too thin")


def test_an_error_is_the_asker_s_own_to_make(runtime: Path) -> None:
    with running(Refusing()):
        backend = ServiceBackend(client.model_session(nano.NAME, None, None), Refusing, verbose=False)
        with pytest.raises(InputError, match="too thin"):
            backend.answer([question()])


class Slow(Scripted):
    def __init__(self) -> None:
        super().__init__()
        self.begun, self.go_on = threading.Event(), threading.Event()

    def answer(self, requests: Sequence[Request]) -> list[Answer | Failure]:
        self.begun.set()
        assert self.go_on.wait(60)
        return super().answer(requests)


def in_background(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_who_waits_long_for_others_is_sent_away_and_work_under_way_is_said_to_go_on(
    runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "AT_WORK_S", 0.01)
    monkeypatch.setattr(service_module, "TURN_S", 0.05)
    monkeypatch.setattr(client, "SILENCE_S", 5.0)
    slow = Slow()
    answers: list[list[Answer | Failure]] = []
    with running(slow):
        first = ServiceBackend(client.model_session(nano.NAME, None, None), Refusing, verbose=False)
        thread = in_background(lambda: answers.append(first.answer([question()])))
        assert slow.begun.wait(60)
        second = ServiceBackend(client.model_session(nano.NAME, None, None), Scripted, verbose=False)
        assert second.answer([question()]) == Scripted().answer([question()])
        assert second._session is None, "it asked its own model"
        slow.go_on.set()
        thread.join()
    assert answers == [Scripted().answer([question()])]


def test_a_service_that_says_nothing_is_given_up(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "HELLO_S", 0.05)
    path = os.path.join(starting.private_folder(), place.SOCKET)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as silent:
        silent.bind(path)
        silent.listen()
        with pytest.raises(NoService, match="does not answer"):
            Session()


def test_a_socket_that_a_killed_service_left_is_taken_away(runtime: Path) -> None:
    path = Path(starting.private_folder()) / place.SOCKET
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
        left.bind(str(path))
    with pytest.raises(NoService, match="no service is running"):
        Session()
    assert path.exists()
    assert starting.status() is None
    assert not path.exists()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
        left.bind(str(path))
    with running(Scripted()):
        assert starting.status() is not None


def test_nobody_else_can_enter(runtime: Path) -> None:
    with running(Scripted()):
        folder = runtime / "redaes"
        assert folder.stat().st_mode & 0o777 == 0o700
        assert (folder / place.SOCKET).stat().st_mode & 0o777 == 0o600
        folder.chmod(0o755)
        with pytest.raises(NoService, match="accessible to other users"):
            Session()
    with pytest.raises(InputError, match="accessible to other users"):
        starting.private_folder()


def test_it_ends_when_nobody_asks(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = os.path.join(starting.private_folder(), place.SOCKET)
    served = served_by(Scripted())
    with BackgroundService(path, served, resident._carry_out, idle_s=60.0) as service:
        ends: list[float] = []
        now = time.monotonic()
        with monkeypatch.context() as patch:
            patch.setattr(service, "stop", lambda: ends.append(now))
            patch.setattr(service_module.time, "monotonic", lambda: now)
            now += 59
            service.service_actions()
            now += 2
            with service.answering():
                service.service_actions()
            assert ends == [], "somebody waits for an answer"
            now += 59
            service.service_actions()
            assert ends == [], "a question puts off the end"
            now += 2
            service.service_actions()
            assert ends == [now]
    with BackgroundService(path, served, resident._carry_out, idle_s=0.01) as service:
        service.serve_forever(poll_interval=0.01)
    assert not os.path.exists(path)


def test_a_path_that_no_socket_can_have(runtime: Path) -> None:
    with pytest.raises(InputError, match="XDG_RUNTIME_DIR"):
        BackgroundService("/tmp/" + "x" * 100, served_by(Scripted()), resident._carry_out, idle_s=1.0)
