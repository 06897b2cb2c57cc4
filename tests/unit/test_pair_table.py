"""The table of judged pairs: what stands in it, what can be filtered, and that no text becomes markup."""

from __future__ import annotations

from html.parser import HTMLParser
from importlib.resources import files

import pytest

from redaes import viewer
from redaes.html_pages import page_template, policy_digest
from redaes.viewer.pair_table import PairPicture, PairRow, Statement, pair_table

HOSTILE = "</script><script>alert(1)</script> \" ' & <b>"
URL = "data:image/jpeg;base64,AAAA"


def row(name: str, **changes: object) -> PairRow:
    given: dict[str, object] = {
        "id": name,
        "pictures": (PairPicture("one", URL), PairPicture("two", URL + "BBBB")),
        "factor": "light",
        "better": "A",
        "label": "A is better by 2.0 points",
        "size": 2.0,
    }
    return PairRow(**(given | changes))  # type: ignore[arg-type]


class Found(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def test_no_text_becomes_markup() -> None:
    hostile = row(
        HOSTILE,
        pictures=(PairPicture(HOSTILE, URL), PairPicture(HOSTILE, None, HOSTILE)),
        factor=HOSTILE,
        label=HOSTILE,
        run=HOSTILE,
        outcome="right",
        verdict=HOSTILE,
        truth="false",
        text=[(HOSTILE, None), (HOSTILE, "contradicted")],
        statements=[Statement(HOSTILE, "contradicted", HOSTILE)],
        measured=[(HOSTILE, HOSTILE, HOSTILE)],
        notes=[HOSTILE],
    )
    found = Found(pair_table([hostile, row("b", run="other", outcome="wrong")], runs=HOSTILE))
    assert [attrs["type"] for attrs in found.all("script")] == ["text/plain"] * 2
    assert all(not attrs for attrs in found.all("b") if "aria-hidden" not in attrs)
    assert found.all("tr")[1]["data-factor"] == HOSTILE
    assert HOSTILE in {attrs.get("value") for attrs in found.all("option")}
    assert found.all("img")[0]["alt"] == f"A: {HOSTILE}"
    assert found.words.count("alert(1)") >= 12


def test_each_picture_stands_once_and_is_named_by_its_letter() -> None:
    found = Found(pair_table([row("a"), row("b")]))
    assert [attrs["id"] for attrs in found.all("script")] == ["picture-0", "picture-1"]
    assert [attrs["data-picture"] for attrs in found.all("img")] == ["picture-0", "picture-1"] * 2
    assert [attrs["alt"] for attrs in found.all("img")] == ["A: one", "B: two"] * 2
    assert not [attrs for attrs in found.all("img") if "src" in attrs]


def test_what_can_be_filtered_is_what_the_rows_have() -> None:
    labelled = pair_table([row("a"), row("b", factor="")])
    assert [attrs["name"] for attrs in Found(labelled).all("select")] == ["factor"]
    assert "Verdict" not in labelled
    assert "light (1)" in labelled
    rows = [
        row("a", outcome="right", truth="false", counts=(1, 2, 0), run="x"),
        row("a", outcome="wrong", truth="none", run="y"),
        row("c", outcome="right", truth="true", counts=(2, 0, 0), run="x"),
    ]
    judged = pair_table(rows)
    found = Found(judged)
    assert [attrs["name"] for attrs in found.all("select")] == ["run", "factor", "verdict", "reason"]
    assert [attrs.get("data-reason") for attrs in found.all("tr")] == [None, "wrong", "none", "confirmed"]
    assert "Right verdict, wrong reason (1)" in judged
    assert judged.count('<span class="flag">right verdict, wrong reason</span>') == 1
    assert "(1 confirmed, 2 contradicted, 0 not measured)" in judged
    assert 'data-rows="answers about pairs"' in judged
    assert 'data-rows="pairs"' in labelled
    values = [attrs["data-value"] for attrs in found.all("td") if attrs.get("data-name") == "Reasons"]
    assert values == ["-1", "", "2"]


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("redaes.evaluation", "report.html.j2"),
        ("redaes.evaluation", "rationales.html.j2"),
        ("redaes.demo", "report.html.j2"),
        ("redaes.datagen", "inspect.html.j2"),
        ("redaes.datagen.audit", "agreement.html.j2"),
        ("redaes.training", "completions.html.j2"),
    ],
)
def test_every_report_has_the_shared_policy_style_and_script(package: str, name: str) -> None:
    text = files(package).joinpath(name).read_text(encoding="utf-8")
    assert 'http-equiv="Content-Security-Policy" content="{{ report_policy }}"' in text
    assert "<style>\n{{ report_style }}\n" in text
    assert "<script>{{ report_script }}</script>" in text
    assert "<main>" in text


def test_the_policy_names_the_script_of_reports() -> None:
    known = page_template("redaes.datagen", "inspect.html.j2", extra="demo").globals
    assert known["report_script"] == viewer.REPORT_SCRIPT
    assert f"script-src '{policy_digest(viewer.REPORT_SCRIPT)}'" in str(known["report_policy"])
    assert "</script" not in viewer.REPORT_SCRIPT
    assert "</style" not in viewer.REPORT_STYLE


def test_rows_beyond_the_first_hundred_wait_in_a_template() -> None:
    table, waiting = pair_table([row(str(number)) for number in range(103)]).split('<template id="further-pairs">')
    assert table.count("data-factor=") == 100
    assert waiting.split("</template>")[0].count("data-factor=") == 3
