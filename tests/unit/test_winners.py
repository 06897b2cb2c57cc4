"""What the terminal says of each series when a folder has been ranked."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from redaes.assessing.results import Result
from redaes.culling.rankers import Ranked
from redaes.culling.winners import (
    MOST_OF_REASON,
    MOST_WINNERS,
    SeriesWinner,
    confirmed_reason,
    show_winners,
    winner_in_words,
)
from redaes.evidence.claims import CheckedClaim, Claim, Claims, Status
from redaes.types import ImageRef

TEXT = "B is much noisier: noise 4 against 1. B suffers from haze. So A is better."
NAMES = {"x": "a.jpg", "y": "b.jpg"}


def _claims(*found: tuple[str, Status]) -> Claims:
    return Claims(
        checked=tuple(
            CheckedClaim(
                claim=Claim(
                    text=words, start=TEXT.index(words), end=TEXT.index(words) + len(words), side="B",
                    relation="present", quantity=None,
                ),
                status=status,
            )
            for words, status in found
        ),
        version="1",
    )  # fmt: skip


def _told(**changes: Any) -> Result:
    one = ImageRef(id="0" * 64, path=Path("a.jpg"))
    values: dict[str, Any] = {
        "winner": "A", "probability": 0.9, "delta": 2.0, "failure": None, "rationale": TEXT,
        "rationale_order": "forward", "factors": (), "order_consistent": True, "comparisons": (), "first": one,
        "second": one, "model": "m", "revision": "1", "prompt_id": "p", "mode": "reasoned", "notes": (),
        "claims": _claims(("noise 4 against 1", "contradicted"), ("suffers from haze", "supported")),
    }  # fmt: skip
    return Result.model_validate({**values, **changes})


def _ranked(told: Result | None, lead: float = 2.0) -> Ranked:
    return Ranked(("x", "y"), {"x": lead / 2, "y": -lead / 2}, "points", None, 1, 2, 0, 0, told)


def test_the_winner_its_probability_and_the_sentence_that_measurements_confirm() -> None:
    found = winner_in_words("0007", 5, _ranked(_told()), NAMES, leads=True)
    assert found == SeriesWinner(
        "0007",
        "a.jpg is the best of 5: 90% that it is better than b.jpg",
        "“B suffers from haze.” (A: this one, B: the next; 1 of 2 statements confirmed)",
    )


def test_no_lead_is_no_clear_best_and_needs_no_reason() -> None:
    found = winner_in_words("0007", 5, _ranked(_told(), lead=0.1), NAMES, leads=False)
    assert found.verdict == "no clear best of 5: a.jpg comes first, but less than 0.25 points before b.jpg"
    assert found.reason == ""


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (None, "2.0 points before b.jpg"),
        (_told(probability=None), "2.0 points before b.jpg"),
        (_told(winner="B"), "with reasons the model prefers b.jpg"),
        (_told(winner="tie"), "with reasons the model sees no visible difference"),
        (_told(winner=None, undecided="orders"), "with reasons the model is undecided"),
        (_told(winner=None, failure="no winner line"), "with reasons the model gave no usable answer"),
    ],
)
def test_what_the_comparison_with_reasons_does_not_say_is_not_claimed(told: Result | None, said: str) -> None:
    found = winner_in_words("0001", 2, _ranked(told), NAMES, leads=True)
    assert found.verdict.startswith("a.jpg is the best of 2: 2.0 points before b.jpg")
    assert found.verdict.endswith(said)
    assert "%" not in found.verdict
    if told is None or told.winner != "A":
        assert found.reason == ""


@pytest.mark.parametrize(
    "changes",
    [
        {"claims": None},
        {"rationale": None, "rationale_order": None, "claims": None},
        {"claims": _claims(("suffers from haze", "contradicted"))},
        {"claims": _claims(("suffers from haze", "not_measurable"))},
        {"claims": _claims(("suffers from haze", "supported"), ("from haze", "contradicted"))},
        {"claims": _claims()},
    ],
)
def test_a_reason_that_nothing_confirms_is_not_shown(changes: dict[str, Any]) -> None:
    assert confirmed_reason(_told(**changes)) == ""


def test_the_letters_of_a_swapped_reasoning_and_the_end_of_a_long_one() -> None:
    supported = _claims(("B", "supported"))
    found = confirmed_reason(_told(rationale="B " + "is\nnoisy and " * 40, rationale_order="swapped", claims=supported))
    assert found.endswith("…” (A: the next, B: this one; 1 of 1 statement confirmed)")
    assert len(found.partition("”")[0]) == MOST_OF_REASON + 1
    assert "\n" not in found


def _shown(winners: list[SeriesWinner], width: int | None) -> list[str]:
    file = io.StringIO()
    console = Console(file=file, width=width or 80, force_terminal=width is not None, color_system=None)
    show_winners(winners, console, "out/contact_sheet.html")
    return file.getvalue().splitlines()


def test_a_pipe_gets_one_line_for_each_verdict_and_reason_however_long() -> None:
    name = "n" * 200 + ".jpg"
    lines = _shown([SeriesWinner("0001", f"{name} is the best", "“why”"), SeriesWinner("0002", "x", "")], None)
    assert lines == [f"0001  {name} is the best", "      “why”", "0002  x"]


@pytest.mark.parametrize("width", [30, 80])
def test_a_terminal_gets_lines_of_its_width(width: int) -> None:
    name = "咖" * 60 + ".jpg"
    lines = _shown([SeriesWinner("0001", f"{name} is the best", "why " * 30)], width)
    assert max(map(cell_len, lines)) <= width
    assert lines[0].startswith("0001  ")
    assert all(line.startswith(" " * 6) for line in lines[1:])
    assert "".join(line[6:].rstrip() for line in lines).startswith(name)


def test_what_would_steer_the_terminal_is_not_printed() -> None:
    for width in (None, 80):
        (line,) = _shown([SeriesWinner("0001", "\x1b[31m[bold]a[/bold]\nb\udcff.jpg", "")], width)
        assert line.rstrip() == "0001  �[31m[bold]a[/bold]�b�.jpg"


def test_a_large_folder_names_some_series_and_counts_the_rest() -> None:
    winners = [SeriesWinner(f"{number:04d}", "x", "") for number in range(MOST_WINNERS + 41)]
    for width in (None, 80):
        lines = _shown(winners, width)
        assert len(lines) == MOST_WINNERS + 1
        assert lines[-1] == "and 41 more series: see out/contact_sheet.html"
    assert len(_shown(winners[:MOST_WINNERS], 80)) == MOST_WINNERS
    assert _shown([], 80) == []
