"""The command line on a scripted model: what it prints where, and how it ends."""

from __future__ import annotations

import gc
import json
import os
import re
import subprocess
import sys
import types
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from redaes.backends.base import Answer, Backend, Request
from redaes.backends.failures import Failure
from redaes.backends.scripted import ScriptedBackend
from redaes.backends.temperatures import read_temperatures
from redaes.backends.weights import revision_of
from redaes.cli import loading
from redaes.cli.app import app
from redaes.errors import BackendError, InputError, MissingDependency, ParseError
from redaes.models import nano

ROOT = Path(__file__).resolve().parents[2]
FORWARD = "<rationale>\nB is blurred. Decisive: focus, better in A.\n</rationale>\nWinner: A\nDifference: +2.0"
SWAPPED = "<rationale>\nA is blurred. Decisive: focus, better in B.\n</rationale>\nWinner: B\nDifference: -1.0"
FIRST = {" A": -0.1, " B": -3.1, " tie": -5.0}
SECOND = {" A": -3.1, " B": -0.1, " tie": -5.0}

runner = CliRunner()


@pytest.fixture
def pictures(tmp_path: Path) -> tuple[str, str]:
    for name, colour in (("sharp.png", "red"), ("soft.png", "blue")):
        Image.new("RGB", (8, 6), colour).save(tmp_path / name)
    return str(tmp_path / "sharp.png"), str(tmp_path / "soft.png")


def _script(monkeypatch: pytest.MonkeyPatch, backend: Backend) -> list[tuple]:
    """Puts a scripted model in; returns the arguments of the calls for one."""
    calls: list[tuple] = []

    def make(*arguments: object, constrain: bool | None = None) -> Backend:
        calls.append(arguments)
        return backend

    monkeypatch.setattr(loading, "load_model", make)
    return calls


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """A model that prefers the first picture in both orders."""
    return _script(monkeypatch, ScriptedBackend([FORWARD, SWAPPED], [FIRST, SECOND]))


def test_an_answer_to_read(pictures: tuple[str, str], asked: list[tuple]) -> None:
    done = runner.invoke(app, ["compare", *pictures])
    assert done.exit_code == 0, done.output
    for expected in (
        "sharp.png is better",
        "3.3 points of 9 in favour of sharp.png",
        "95% (not calibrated)",
        "focus",
        "B is blurred.",
        "(A is sharp.png, B is soft.png)",
        "the same answer in both orders",
        "scripted @ script, compare/v1@",
    ):
        assert expected in done.stdout
    assert done.stderr == ""
    assert asked == [("redaes/nano", None, None)]


def test_options_reach_the_model(pictures: tuple[str, str], asked: list[tuple], tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    options = ["--model", "some/where", "--adapter", str(tmp_path), "--device", "cpu", "--mode", "fast"]
    done = runner.invoke(app, ["compare", *pictures, *options])
    assert done.exit_code == 0, done.output
    assert asked == [("some/where", tmp_path, "cpu")]
    assert ", fast" in done.stdout
    assert "compare_fast/v1@" in done.stdout


def test_measurements_are_told_when_asked_for(pictures: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    backend = ScriptedBackend([FORWARD, SWAPPED] * 2, [FIRST, SECOND] * 2)
    _script(monkeypatch, backend)
    for option in ([], ["--measured"]):
        assert runner.invoke(app, ["compare", *pictures, *option]).exit_code == 0
    names = {request.prompt.name for request in backend.asked}
    assert names == {"compare/v1", "compare_fast/v1", "compare_measured/v1", "compare_fast_measured/v1"}


def test_json_is_one_object_alone(pictures: tuple[str, str], asked: list[tuple]) -> None:
    done = runner.invoke(app, ["compare", *pictures, "--json"])
    assert done.exit_code == 0, done.output
    assert done.stdout.count("\n") == 1
    result = json.loads(done.stdout)
    assert (result["winner"], result["undecided"], result["log_odds"]) == ("A", None, 3.0)
    assert result["first"]["path"] == pictures[0]
    assert result["rationale_order"] == "forward"
    assert [comparison["order"] for comparison in result["comparisons"]] == ["forward", "swapped"]
    assert done.stderr == ""


def test_letters_of_a_swapped_reasoning_are_explained(
    pictures: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _script(monkeypatch, ScriptedBackend(["Hm.", SWAPPED], [FIRST, SECOND]))
    done = runner.invoke(app, ["compare", *pictures])
    assert done.exit_code == 0, done.output
    assert "sharp.png is better" in done.stdout
    assert "A is blurred." in done.stdout  # as the model wrote it
    assert "(A is soft.png, B is sharp.png)" in done.stdout
    assert "note: only one order gave usable reasons" in done.stdout


def test_the_second_picture_wins_with_its_own_probability(
    pictures: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _script(monkeypatch, ScriptedBackend(log_probs=[SECOND, FIRST]))
    done = runner.invoke(app, ["compare", *pictures, "--mode", "fast"])
    assert "soft.png is better" in done.stdout
    assert "95%" in done.stdout
    assert "points of 9 in favour of soft.png" in done.stdout


def test_a_tie(pictures: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    _script(monkeypatch, ScriptedBackend(log_probs=[{" A": -1.0, " B": -1.0, " tie": -2.0}] * 2))
    done = runner.invoke(app, ["compare", *pictures, "--mode", "fast"])
    assert done.exit_code == 0, done.output
    assert "No visible difference" in done.stdout
    assert "50%" in done.stdout
    assert "the same answer in both orders" in done.stdout


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_what_the_embedded_model_cannot_do_is_said_once(
    pictures: tuple[str, str], monkeypatch: pytest.MonkeyPatch, option: list[str]
) -> None:
    backend = ScriptedBackend(log_probs=[FIRST, SECOND], name="redaes/nano")
    backend.revision = json.loads((nano.weights() / nano.LIMITS).read_text(encoding="utf-8"))["revision"]
    _script(monkeypatch, backend)
    done = runner.invoke(app, ["compare", *pictures, "--mode", "fast", *option])
    assert done.exit_code == 0, done.output
    assert done.stdout.count("is a tiny demonstration model") == (0 if option else 1)


def test_limits_are_those_of_the_weights_that_answer() -> None:
    revision = revision_of(nano.weights())
    assert "tiny demonstration model" in (nano.limits(nano.NAME, revision) or "")
    assert nano.limits(nano.NAME, "other") is None
    assert nano.limits("some/where", revision) is None
    assert {one.revision for one in read_temperatures(nano.weights())} == {revision}
    assert {one.mode for one in read_temperatures(nano.weights())} == {"fast", "reasoned"}


def test_what_is_said_of_the_embedded_model_was_measured() -> None:
    """Its limits have the figures of the tables in docs/confidence.md, and docs/results.md shows them as they are."""
    said = nano.limits(nano.NAME, revision_of(nano.weights())) or ""
    page = (ROOT / "docs" / "confidence.md").read_text(encoding="utf-8")

    def cells(row: str) -> list[str]:
        (line,) = [line for line in page.partition("| reasoned, by factor")[0].splitlines() if line.startswith(row)]
        return [cell.strip() for cell in line.split("|")[2:]]

    _, n, _, right, _, _, rest, _ = cells("| fast, calibrated |")
    assert f"On {int(n) + int(rest)} unseen pairs" in said
    assert f"in {n} and was right in {100 * float(right[:4]):.0f} % of them" in said
    for factor, words in (("composition", "where the composition"), ("content", "where the content")):
        assert f"{100 * float(cells(f'| **{factor}** |')[2][:4]):.0f} % {words}" in said
    for one in read_temperatures(nano.weights()):
        assert cells(f"| {one.mode}, calibrated |")[0] == f"{one.temperature:.2f}"
    assert said in (ROOT / "docs" / "results.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_an_answer_that_changes_with_the_order(
    pictures: tuple[str, str], monkeypatch: pytest.MonkeyPatch, option: list[str]
) -> None:
    _script(monkeypatch, ScriptedBackend(log_probs=[FIRST, {" A": -1.0, " B": -2.0, " tie": -5.0}]))
    done = runner.invoke(app, ["compare", *pictures, "--mode", "fast", *option])
    assert done.exit_code == 0, done.output  # it is an answer
    if option:
        result = json.loads(done.stdout)
        assert (result["winner"], result["undecided"], result["failure"]) == (None, "orders", None)
        return
    assert done.stdout.startswith("undecided: the answer changes with the order")
    assert "leaning      to sharp.png, 73%" in done.stdout
    assert "better than" not in done.stdout
    assert "No visible difference" not in done.stdout


def test_reasons_against_the_verdict(pictures: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    _script(monkeypatch, ScriptedBackend([FORWARD, SWAPPED], [SECOND, FIRST]))
    done = runner.invoke(app, ["compare", *pictures])
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("undecided: the answer changes when reasons are asked for")
    assert "blurred" not in done.stdout


def test_an_undecided_answer_without_probabilities(pictures: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    class Mute(ScriptedBackend):
        def answer(self, requests: Sequence[Request]) -> list[Answer | Failure]:
            if requests[0].choices:
                return [Failure("no_logprob", "none") for _ in requests]
            return super().answer(requests)

    _script(monkeypatch, Mute([FORWARD, FORWARD]))
    done = runner.invoke(app, ["compare", *pictures])
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("undecided: the answer changes with the order")
    _script(monkeypatch, Mute([FORWARD, SWAPPED]))
    done = runner.invoke(app, ["compare", *pictures])
    assert "sharp.png is better" in done.stdout
    assert "there is no probability" in done.stdout


@pytest.mark.parametrize(
    "options", [["--mode", "fast", "--samples", "2"], ["--samples", "-1"], ["--samples", "2", "--no-check"]]
)
def test_samples_that_cannot_be(pictures: tuple[str, str], asked: list[tuple], options: list[str]) -> None:
    done = runner.invoke(app, ["compare", *pictures, *options])
    assert done.exit_code == 2
    assert "samples" in done.stderr
    assert asked == []


def test_pictures_of_one_name_are_told_apart(tmp_path: Path, asked: list[tuple]) -> None:
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 6), "red" if name == "x" else "blue").save(tmp_path / name / "p.png")
    done = runner.invoke(app, ["compare", str(tmp_path / "x/p.png"), str(tmp_path / "y/p.png")])
    assert f"{tmp_path / 'x/p.png'} is better" in done.stdout


def test_no_usable_answer_ends_with_3_and_shows_it(pictures: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    _script(monkeypatch, ScriptedBackend(["I like\x1b[31m both.", ""]))
    done = runner.invoke(app, ["compare", *pictures])
    assert done.exit_code == 3
    assert done.stdout == ""
    assert "no usable answer (forward: not_the_form; swapped: empty)" in done.stderr
    assert "I like\ufffd[31m both." in done.stderr


def test_no_usable_answer_as_json(pictures: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    _script(monkeypatch, ScriptedBackend(["I like both.", ""]))
    done = runner.invoke(app, ["compare", *pictures, "--json"])
    assert done.exit_code == 3
    result = json.loads(done.stdout)
    assert (result["winner"], result["delta"], result["probability"]) == (None, None, None)
    assert result["comparisons"][0]["raw"] == "I like both."


def _bad_picture(kind: str, folder: Path) -> str:
    match kind:
        case "missing":
            return str(folder / "missing.jpg")
        case "folder":
            return str(folder)
        case "url":
            return "https://example.org/a.jpg"
        case "empty":
            (folder / "empty.jpg").write_bytes(b"")
            return str(folder / "empty.jpg")
        case "corrupt":
            Image.effect_noise((64, 64), 90).convert("RGB").save(folder / "corrupt.jpg")
            whole = (folder / "corrupt.jpg").read_bytes()
            (folder / "corrupt.jpg").write_bytes(whole[: len(whole) // 2])
            return str(folder / "corrupt.jpg")
        case _:
            (folder / "notes.jpg").write_text("not a picture")
            return str(folder / "notes.jpg")


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("kind", ["missing", "folder", "url", "empty", "corrupt", "text"])
def test_bad_pictures_end_with_2_and_are_named(
    tmp_path: Path, pictures: tuple[str, str], asked: list[tuple], kind: str, place: int
) -> None:
    arguments = list(pictures)
    arguments[place] = _bad_picture(kind, tmp_path)
    done = runner.invoke(app, ["compare", *arguments])
    assert done.exit_code == 2
    assert done.stdout == ""
    assert arguments[place] in done.stderr
    assert "Traceback" not in done.stderr
    assert asked == []  # no model is loaded for nothing


def test_errors_as_json_leave_stdout_alone(tmp_path: Path, asked: list[tuple]) -> None:
    done = runner.invoke(app, ["compare", str(tmp_path / "x.jpg"), str(tmp_path / "y.jpg"), "--json"])
    assert done.exit_code == 2
    assert done.stdout == ""
    error = json.loads(done.stderr)
    assert error["error"] == "ImageError"
    assert "x.jpg" in error["message"]


def test_an_unknown_mode_lists_the_known(pictures: tuple[str, str], asked: list[tuple]) -> None:
    done = runner.invoke(app, ["compare", *pictures, "--mode", "slow"])
    assert done.exit_code == 2
    assert "known: reasoned, fast" in done.stderr
    assert asked == []


@pytest.mark.parametrize("arguments", [["compare"], ["compare", "a.jpg"], ["rank"], ["compare", "a", "b", "--x"]])
def test_wrong_usage_ends_with_2(arguments: list[str]) -> None:
    assert runner.invoke(app, arguments).exit_code == 2


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InputError("bad"), 2),
        (ParseError("empty", "bad"), 3),
        (BackendError("bad"), 4),
        (MissingDependency("bad", "train"), 4),
    ],
)
def test_each_error_has_its_status(
    pictures: tuple[str, str], monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    def fail(*_: object, **__: object) -> Backend:
        raise error

    monkeypatch.setattr(loading, "load_model", fail)
    done = runner.invoke(app, ["compare", *pictures])
    assert (done.exit_code, done.stdout) == (status, "")
    assert done.stderr.startswith("redaes: ")
    assert "bad" in done.stderr


def test_a_bug_keeps_its_traceback(pictures: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> Backend:
        raise ZeroDivisionError

    monkeypatch.setattr(loading, "load_model", fail)
    assert isinstance(runner.invoke(app, ["compare", *pictures]).exception, ZeroDivisionError)


def test_file_names_do_not_steer_the_terminal(tmp_path: Path, asked: list[tuple]) -> None:
    evil = tmp_path / "a\x1b[2J[bold].png"
    Image.new("RGB", (8, 6), "red").save(evil)
    Image.new("RGB", (8, 6), "blue").save(tmp_path / "b.png")
    done = runner.invoke(app, ["compare", str(evil), str(tmp_path / "b.png")])
    assert done.exit_code == 0, done.output
    assert "\x1b" not in done.stdout
    assert "a\ufffd[2J[bold].png is better" in done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not take such names")
@pytest.mark.parametrize("option", [[], ["--json"]])
def test_file_names_that_are_no_text(tmp_path: Path, asked: list[tuple], option: list[str]) -> None:
    odd = os.fsdecode(os.fsencode(str(tmp_path)) + b"/a\xff.png")
    Image.new("RGB", (8, 6), "red").save(odd)
    Image.new("RGB", (8, 6), "blue").save(tmp_path / "b.png")
    done = runner.invoke(app, ["compare", odd, str(tmp_path / "b.png"), *option])
    assert done.exit_code == 0, done.output
    if option:
        assert json.loads(done.stdout)["first"]["path"] == odd
    else:
        assert "a\ufffd.png is better" in done.stdout


def test_demo_is_handed_its_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict] = []
    fake = types.ModuleType("redaes.demo")
    fake.run = lambda **options: seen.append(options)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "redaes.demo", fake)
    done = runner.invoke(app, ["demo", "--photos", str(tmp_path), "--out", str(tmp_path / "o")])
    assert done.exit_code == 0, done.output
    assert runner.invoke(app, ["demo"]).exit_code == 0
    assert seen == [
        {"photos": tmp_path, "out": tmp_path / "o"},
        {"photos": None, "out": Path("demo_out")},
    ]


def test_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", {"redaes": "1.2.3"}.__getitem__)
    done = runner.invoke(app, ["--version"])
    assert (done.exit_code, done.stdout) == (0, "redaes 1.2.3\n")


def test_version_of_a_bare_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", absent)
    done = runner.invoke(app, ["--version"])
    assert (done.exit_code, done.stdout) == (0, "redaes (run from a checkout that is not installed)\n")


def test_a_terminal_that_knows_only_ascii_gets_an_answer(pictures: tuple[str, str]) -> None:
    script = [FORWARD.replace("blurred", "blurred \u2717"), SWAPPED], [FIRST, SECOND]
    code = (
        "from redaes import cli; from redaes.cli import loading; from redaes.backends.scripted import ScriptedBackend\n"
        f"loading.load_model = lambda *_, **__: ScriptedBackend(*{script!r})\n"
        "cli.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "compare", *pictures],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"blurred (\\u2717|\?)", done.stdout)


@pytest.mark.parametrize(("command", "late"), [("compare", ""), ("rank", "late\n")])
def test_a_command_that_leaves_nothing_open_ends_at_once(command: str, late: str, pictures: tuple[str, str]) -> None:
    code = (
        "import atexit, sys; atexit.register(print, 'late'); sys.modules['torch'] = sys\n"
        "from redaes import cli; from redaes.cli import loading; from redaes.backends.scripted import ScriptedBackend\n"
        f"loading.load_model = lambda *_, **__: ScriptedBackend(*{([FORWARD, SWAPPED], [FIRST, SECOND])!r})\n"
        "cli.main()"
    )
    words = (*pictures, "--json") if command == "compare" else ("--unknown",)
    done = subprocess.run(
        [sys.executable, "-c", code, command, *words], capture_output=True, text=True, cwd=ROOT, timeout=120
    )
    assert done.returncode == (2 if late else 0), done.stderr
    assert done.stdout.endswith(late or "}\n")
    assert ("late" in done.stdout) == bool(late)


def test_no_garbage_is_looked_for_while_a_model_is_loaded() -> None:

    def absent() -> None:
        assert not gc.isenabled()
        raise BackendError("no such model")

    assert gc.isenabled()
    try:
        with pytest.raises(BackendError, match="no such"):
            loading._collecting_no_garbage()(absent)()
        assert gc.isenabled()
        before = gc.get_freeze_count()
        with loading._collecting_no_garbage():
            assert not gc.isenabled()
        assert gc.isenabled()
        assert gc.get_freeze_count() > before
    finally:
        gc.unfreeze()


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['redaes', '--help']\nfrom redaes.cli import main\n"
        "try:\n    main()\nfinally:\n    print('LOADED', *sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "compare" in done.stdout
    loaded = set(done.stdout.partition("LOADED")[2].split())
    assert "typer" in loaded
    assert not loaded & {
        "torch",
        "transformers",
        "datasets",
        "pandas",
        "scipy",
        "cv2",
        "PIL",
        "openai",
        "fastapi",
        "pydantic",
    }


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--endpoint", "http://127.0.0.1:1", "--adapter", "x"], "--adapter"),
        (["--endpoint", "http://127.0.0.1:1", "--device", "cpu"], "--device"),
        (["--api-key-env", "HOME"], "--endpoint"),
        (["--endpoint", "http://127.0.0.1:1", "--api-key-env", "sk-secret"], "--api-key-env"),
        (["--endpoint", "http://127.0.0.1:1", "--api-key-env", "sk_secret"], "--api-key-env"),
        (["--endpoint", "no address"], "http://127.0.0.1:8000/v1"),
    ],
)
@pytest.mark.parametrize("command", ["compare", "score", "rank"])
def test_options_that_do_not_go_with_a_server(
    command: str, options: list[str], named: str, pictures: tuple[str, str], tmp_path: Path
) -> None:
    references = ["--references", str(tmp_path)] if command == "score" else []
    given = [str(tmp_path), "--out", str(tmp_path / "out")] if command == "rank" else [*pictures, *references]
    done = runner.invoke(app, [command, *given, *options])
    assert done.exit_code == 2
    assert named in done.stderr
    assert "secret" not in done.output
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("key", ["two words", "schl\u00fcssel"])
def test_a_key_that_cannot_be_sent_is_not_repeated(
    key: str, pictures: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDAES_API_KEY", key)
    done = runner.invoke(app, ["compare", *pictures, "--endpoint", "http://127.0.0.1:1"])
    assert done.exit_code == 2
    assert key not in done.output


def test_the_series_ranker_is_not_behind_a_server(tmp_path: Path) -> None:
    server = ["--endpoint", "http://127.0.0.1:1", "--weights", str(tmp_path)]
    done = runner.invoke(app, ["rank", str(tmp_path), "--model", "fgaesq", *server])
    assert done.exit_code == 2
    assert "--endpoint" in done.stderr


def test_from_pretrained_is_the_local_model(monkeypatch: pytest.MonkeyPatch) -> None:
    from redaes import Assessor
    from redaes.backends import local

    made: list[tuple[object, ...]] = []

    def make(model: str, *, adapter: Path | None, device: str | None, dtype: object, hub_revision: object) -> Backend:
        made.append((model, adapter, device, dtype, hub_revision))
        return ScriptedBackend([])

    monkeypatch.setattr(local, "LocalBackend", make)
    assessor = Assessor.from_pretrained("some/model", "adapter", device="cpu", mode="fast", revision="v1")
    assert made == [("some/model", Path("adapter"), "cpu", None, "v1")]
    assert (assessor.mode, assessor.reader) == ("fast", "strict")
    with pytest.raises(InputError, match="unknown mode"):
        Assessor.from_pretrained("some/model", mode="slow")  # type: ignore[arg-type]
    assert len(made) == 1


@pytest.mark.parametrize(("option", "wanted"), [((), None), (("--constrain",), True), (("--no-constrain",), False)])
def test_whether_answers_are_held_to_their_form_reaches_the_model(
    pictures: tuple[str, str], monkeypatch: pytest.MonkeyPatch, option: tuple[str, ...], wanted: bool | None
) -> None:
    seen: list[object] = []

    def make(*_: object, constrain: bool | None) -> Backend:
        seen.append(constrain)
        return ScriptedBackend([FORWARD, SWAPPED], [FIRST, SECOND])

    monkeypatch.setattr(loading, "load_model", make)
    assert runner.invoke(app, ["compare", *pictures, *option]).exit_code == 0
    assert seen == [wanted]
    if option:
        refused = runner.invoke(app, ["compare", *pictures, *option, "--endpoint", "http://127.0.0.1:9/v1"])
        assert "--constrain is only for a model that is loaded in this process" in refused.stderr
