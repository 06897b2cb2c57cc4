"""Where the service may listen, with which keys; and the pattern that holds a model to the grammar."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from typer.testing import CliRunner

from redaes.answers import REASONED_PATTERN, parse, render_verdict
from redaes.cli.app import app
from redaes.errors import InputError, ParseError
from redaes.serving.limits import ServiceLimits
from redaes.serving.run import ServiceAddress, read_api_keys
from redaes.types import Rationale, Verdict

KEYS = ("a-key-of-the-tests-0123",)


def test_loopback_needs_nothing() -> None:
    for host in ("127.0.0.1", "::1", "localhost", "127.0.0.2"):
        assert ServiceAddress(host).api_keys == ()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"host": "0.0.0.0"}, "--api-keys"),
        ({"host": "::"}, "--api-keys"),
        ({"host": "0.0.0.0", "api_keys": KEYS}, "--allow-host"),
        ({"host": "example.org"}, "give an address"),
        ({"port": 70_000}, "port"),
    ],
)
def test_other_machines_come_in_on_purpose_only(settings: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        ServiceAddress(**settings)  # type: ignore[arg-type]
    assert ServiceAddress("0.0.0.0", api_keys=KEYS, allowed_hosts=("photos.example",)).port == 8080


def test_keys_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# of the office\n\n{KEYS[0]}\n  another-key-0123456789  \n")
    assert read_api_keys(file) == (KEYS[0], "another-key-0123456789")


@pytest.mark.parametrize("text", ["", "# none\n", "short\n", "a key with spaces in it\n", "schlüssel-aus-umlauten\n"])
def test_keys_that_protect_nothing(tmp_path: Path, text: str) -> None:
    file = tmp_path / "keys"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="key"):
        read_api_keys(file)
    with pytest.raises(InputError, match="cannot be read"):
        read_api_keys(tmp_path / "absent")


@pytest.mark.parametrize(
    "settings", [{"workers": 0}, {"max_waiting": -1}, {"timeout_s": 0.0}, {"drain_s": float("inf")}]
)
def test_limits_that_make_no_sense(settings: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(settings))):
        ServiceLimits(**settings)  # type: ignore[arg-type]


@given(st.from_regex(REASONED_PATTERN, fullmatch=True))
def test_what_the_pattern_allows_is_an_answer(text: str) -> None:
    reason = None
    try:
        parse(text, "reasoned")
    except ParseError as error:
        reason = error.reason
    # What the pattern cannot forbid: a factor named twice, a body of white space, a second "Decisive:".
    assert reason in (None, "unknown_factor", "empty_rationale", "not_decisive")


@given(st.sampled_from(["A", "B", "tie"]), st.floats(0.25, 9.0), st.text("abc .,;", min_size=1, max_size=80))
def test_ordinary_answers_follow_the_pattern(winner: str, size: float, body: str) -> None:
    assume(body.strip())
    delta = {"A": round(size, 1), "B": -round(size, 1), "tie": 0.0}[winner]
    factors = () if winner == "tie" else ("light", "focus")
    rationale = Rationale(text=body.strip(), factors=factors, better=winner)  # type: ignore[arg-type]
    text = render_verdict(Verdict(winner=winner, delta=delta, rationale=rationale))  # type: ignore[arg-type]
    assert re.fullmatch(REASONED_PATTERN, text)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--host", "0.0.0.0"], "--api-keys"),
        (["--vllm", "/no/python"], "no program"),
        (["--vllm", "x", "--attach", "http://127.0.0.1:9/v1"], "one of them"),
        (["--attach", "http://127.0.0.1:9/v1", "--adapter", "x"], "name it as --model"),
        (["--references", "/no/such"], "/no/such"),
        (["--max-waiting", "-1"], "max_waiting"),
    ],
)
def test_what_cannot_work_is_said_before_a_model_is_loaded(options: list[str], words: str) -> None:
    done = CliRunner().invoke(app, ["serve", *options])
    assert done.exit_code == 2, done.output
    assert words in done.stderr
