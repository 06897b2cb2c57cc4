"""What an answer looks like when it is printed, and in a notebook, where nothing in it may act."""

from __future__ import annotations

import copy
import pickle
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from redaes.assessing.notebook import MOST_PICTURES
from redaes.assessing.results import RankedPictures, Result, Score
from redaes.assessor import Assessor
from redaes.backends.scripted import ScriptedBackend
from redaes.images import load_image, take_picture
from redaes.types import ImageRef

ANSWER = "<rationale>{} decisive: light; better in picture {}.</rationale>"
HOSTILE = "<img src=x onerror=alert(1)>'\"&\x1b[31m\u202e"


class Parsed(HTMLParser):
    """Tags with their attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    @property
    def addresses(self) -> list[str]:
        """Of the pictures."""
        return [str(attributes["src"]) for tag, attributes in self.tags if tag == "img"]


def _parsed(answer: Result | Score | RankedPictures) -> Parsed:
    """Well-formed, of the few tags that only show something, and with nothing that acts or fetches."""
    found = Parsed(answer._repr_html_())
    assert found.open == []
    shown = {"div", "figure", "figcaption", "img", "br", "table", "tr", "th", "td", "span", "b"}
    for tag, attributes in found.tags:
        assert tag in shown
        assert set(attributes) <= {"style", "src", "alt", "title"}, attributes
        assert "url(" not in str(attributes.get("style"))
    assert all(address.startswith("data:image/jpeg;base64,") for address in found.addresses)
    return found


def _odds(value: float) -> dict[str, float]:
    return {" A": -2.0 + value / 2, " B": -2.0 - value / 2, " tie": -9.0}


@pytest.fixture
def pictures(tmp_path: Path) -> tuple[Path, Path]:
    rng = np.random.default_rng(0)
    paths = tmp_path / f"{HOSTILE.replace('/', '')}.png", tmp_path / "plain.png"
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)).save(path)
    return paths


@pytest.fixture
def result(pictures: tuple[Path, Path]) -> Result:
    backend = ScriptedBackend(log_probs=[_odds(3.0), _odds(-2.0)], name=f"model {HOSTILE}")
    found = Assessor(backend, mode="fast").compare(*pictures)
    return found.model_copy(
        update={
            "rationale": f"A is noisier. {HOSTILE} </div><script>alert(1)</script>",
            "rationale_order": "forward",
            "notes": (HOSTILE,),
            "claims_summary": HOSTILE,
        }
    )


def test_print_says_verdict_reasons_and_who_says_so(result: Result) -> None:
    said = str(result)
    assert said.splitlines()[0].endswith(".png is better")
    assert re.search(r"^difference   \d\.\d points of 9 in favour of .+\.png$", said, re.MULTILINE)
    assert re.search(r"^probability  92% \(not calibrated\)$", said, re.MULTILINE)
    assert "consistency  the same answer in both orders" in said
    assert "script" in said  # what a model writes is shown, not hidden
    assert "compare_fast/v1@" in said.splitlines()[-1]
    assert not {"\x1b", "\u202e"} & set(said)


def test_a_list_of_answers_has_a_line_for_each(result: Result) -> None:
    assert repr(result) == (
        f"Result(first={result.first.path.name!r}, second='plain.png', winner='A', probability=0.924, "
        f"delta=2.867, mode='fast', model={result.model!r})"
    )


def test_nothing_in_a_notebook_acts(result: Result) -> None:
    found = _parsed(result)
    assert len(found.addresses) == 2
    assert found.text.count("<img src=x onerror=alert(1)>") >= 6  # title, captions, reasons, note, model: as text
    assert "<script>alert(1)</script>" in found.text
    assert not {"\x1b", "\u202e"} & set(found.text)


def test_a_contradicted_statement_is_marked(pictures: tuple[Path, Path]) -> None:
    from redaes.evidence.checking import check_rationale
    from redaes.evidence.measurements import Measurements, PairEvidence

    one, other = (Measurements(width=600, height=400, values={"brightness": value}) for value in (50.0, 90.0))
    text = "A is brighter. So it goes."
    evidence = PairEvidence(first=one, second=other, registration=None)
    claims = check_rationale(text, evidence)
    found = Assessor(ScriptedBackend(log_probs=[_odds(3.0), _odds(-2.0)]), mode="fast").compare(*pictures)
    result = found.model_copy(update={"rationale": text, "rationale_order": "forward", "claims": claims})
    assert re.search(r"brighter\S* \[contradicted\]", str(result))
    assert re.search(r"brighter\S* \[contradicted\]", _parsed(result).text)


def test_without_an_answer_the_reason_and_what_was_written_are_shown(pictures: tuple[Path, Path]) -> None:
    result = Assessor(ScriptedBackend(["I like <b>both</b>.", "No."])).compare(*pictures)
    said = str(result)
    assert said.startswith("no usable answer\n\nreason       ")
    assert "\nwrote forward I like <b>both</b>.\n" in said
    assert "I like <b>both</b>." in _parsed(result).text


def test_undecided_and_ties_say_so(pictures: tuple[Path, Path]) -> None:
    def of(*log_odds: float) -> Result:
        return Assessor(ScriptedBackend(log_probs=map(_odds, log_odds)), mode="fast").compare(*pictures)

    assert str(of(3.0, 2.0)).startswith("undecided: the answer changes with the order\n\nleaning ")
    assert str(of(0.1, -0.1)).startswith("No visible difference\n\ndifference   below 0.25 points: a tie")
    assert "No visible difference" in _parsed(of(0.1, -0.1)).text


def test_pictures_in_memory_are_shown_and_called_by_their_place() -> None:
    first, second = (np.full((300, 400, 3), level, np.uint8) for level in (60, 200))
    result = Assessor(ScriptedBackend(log_probs=[_odds(3.0), _odds(-2.0)]), mode="fast").compare(first, second)
    assert str(result).startswith("the first picture is better")
    found = _parsed(result)
    assert len(set(found.addresses)) == 2
    assert max(map(len, found.addresses)) < 10_000


def test_what_is_kept_for_showing_is_no_part_of_the_answer() -> None:
    def compared(first: object) -> Result:
        backend = ScriptedBackend(log_probs=[_odds(3.0), _odds(-2.0)])
        other = take_picture(np.full((30, 40), 90, np.uint8)).loaded
        return Assessor(backend, mode="fast").compare(first, other)  # type: ignore[arg-type]

    pixels = np.full((30, 40), 20, np.uint8)
    raw, loaded = compared(pixels), compared(take_picture(pixels).loaded)
    assert raw == loaded
    assert raw.model_dump() == loaded.model_dump()
    assert Result(**raw.model_dump()) == raw
    assert _parsed(loaded).addresses == []
    assert "was in memory and is not kept" in _parsed(loaded).text
    for again in (pickle.loads(pickle.dumps(raw)), copy.deepcopy(raw), raw.model_copy()):
        assert again == raw
        assert len(_parsed(again).addresses) == 2


def test_a_file_that_is_gone_or_another_is_not_shown_as_the_picture(
    result: Result, pictures: tuple[Path, Path]
) -> None:
    Image.new("RGB", (9, 9)).save(pictures[1])
    found = _parsed(result)
    assert len(found.addresses) == 1
    assert "has changed since" in found.text
    pictures[0].unlink()
    assert "no such file" in _parsed(result).text


def _ranked(pictures: list[ImageRef]) -> RankedPictures:
    ids = [ref.id for ref in pictures]
    return RankedPictures(
        order=tuple(ids),
        scores={one: float(-number) for number, one in enumerate(ids)},
        errors=dict.fromkeys(ids, 0.25),
        n_comparisons=9,
        n_calls=18,
        n_failed=1,
        n_cycles=2,
        settled=False,
        pictures=tuple(pictures),
        indices=tuple(range(len(ids))),
    )


def test_a_ranking_is_a_list_with_strengths(pictures: tuple[Path, Path]) -> None:
    ranked = _ranked([load_image(path).ref for path in pictures])
    lines = str(ranked).splitlines()
    assert lines[0] == "2 pictures, best first"
    assert lines[3] == "2.           -1.00 ± 0.25  plain.png"
    assert "18 questions about 9 pairs; 1 without a usable answer" in str(ranked)
    assert "18 questions about 1 pair;" in str(ranked.model_copy(update={"n_comparisons": 1}))
    assert "the best pictures are not settled" in str(ranked)
    assert "2 circular triples" in str(ranked)
    found = _parsed(ranked)
    assert len(found.addresses) == 2
    assert found.text.count("plain.png") == 1


def test_of_many_pictures_the_best_are_shown_and_the_rest_counted(pictures: tuple[Path, Path]) -> None:
    path = pictures[1]
    ref = load_image(path).ref
    ranked = _ranked([ref, *(ImageRef(id=str(number), path=path) for number in range(MOST_PICTURES + 5))])
    found = _parsed(ranked)
    assert len([tag for tag, _ in found.tags if tag == "figure"]) == MOST_PICTURES
    assert "and 6 more, which are worse" in found.text


def test_a_score_says_what_it_is_relative_to(pictures: tuple[Path, Path]) -> None:
    score = Score(
        image=load_image(pictures[0]).ref,
        score=6.25,
        error=0.5,
        strength=1.0,
        better_than=3,
        references="set@0123456789ab",
        n_references=8,
        n_calls=16,
        n_failed=2,
        model=HOSTILE,
        revision="r",
        prompt_id="compare_fast/v1@0",
        mode="fast",
    )
    said = str(score)
    assert said.splitlines()[0].endswith(".png: 6.2 ± 0.5 points of 9")
    assert "better than  3 of 8 of set@0123456789ab" in said
    assert "questions    16, 2 without a usable answer" in said
    found = _parsed(score)
    assert len(found.addresses) == 1
    assert [attributes["title"] for _, attributes in found.tags if "title" in attributes] == [
        "6.2 ± 0.5 of 0 to 9 points"
    ]
    assert repr(score).startswith("Score(image=")
    assert "score=6.25, error=0.5, better_than=3" in repr(score)
    assert repr(_ranked([score.image])) == "RankedPictures(indices=(0,), n_calls=18, n_failed=1, settled=False)"
