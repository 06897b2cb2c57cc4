"""``redaes rank --model fgaesq`` on a tiny FGAesQ: alone and with a judge; files, going on, what is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageEnhance
from typer.testing import CliRunner

from redaes.assessor import Assessor
from redaes.backends.base import BatchBackend, Request
from redaes.cli import loading, running
from redaes.cli.app import app
from redaes.culling import cascade_ranker
from redaes.culling.folder import rank_folder
from redaes.errors import BackendError, ImageError
from redaes.images import LoadedImage, load_image
from redaes.models.fgaesq import network, scorer
from redaes.models.fgaesq.scorer import FGAesQScorer, rank_files
from redaes.models.fgaesq.tiny_clip import TINY_TOKENS, build_tiny_clip
from redaes.types import ImageRef, Sampling

runner = CliRunner()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fgaesq")
    build_tiny_clip(folder / "clip", ["the first photo is better"], seed=0, layers=2)
    model = network.from_clip(folder / "clip", TINY_TOKENS)
    model.head[-1].weight.data *= 20  # a random head hardly tells pictures apart
    network.save(model, folder / "final")
    return folder / "final"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A series of four pictures in two folders, one of two, and a picture alone."""
    place = tmp_path / "photos"
    for scene, shots in ((1, 4), (2, 2), (3, 1)):
        rng = np.random.default_rng(scene)
        still = Image.fromarray(rng.integers(40, 180, (6, 8, 3), dtype=np.uint8))
        still = still.resize((160, 128), Image.Resampling.BICUBIC)
        for shot in range(shots):
            path = place / ("card" if shot == 1 else ".") / f"{scene}_{shot}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            ImageEnhance.Brightness(still).enhance(0.7 + 0.2 * shot).save(path)
    return place


def rank(photos: Path, out: Path, *options: str) -> tuple[int, str, list[dict]]:
    done = runner.invoke(app, ["rank", str(photos), "--out", str(out), *options])
    results = out / "ranking.jsonl"
    lines = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    return done.exit_code, done.stderr, lines


def test_series_are_ranked_as_the_scorer_ranks_them(weights: Path, photos: Path, tmp_path: Path) -> None:
    options = ("--model", "fgaesq", "--weights", str(weights), "--device", "cpu")
    status, said, lines = rank(photos, tmp_path / "out", *options)
    assert status == 0, said
    assert [len(line["pictures"]) for line in lines] == [4, 2, 1]
    for line in lines[:2]:
        paths = {one["id"]: one["path"] for one in line["pictures"]}
        found = rank_files(list(paths.values()), weights)
        assert tuple(one["id"] for one in line["pictures"]) == found.order
        assert {one["id"]: one["score"] for one in line["pictures"]} == pytest.approx(found.scores, abs=1e-4)
        assert np.ptp(list(found.scores.values())) > 0.01
        assert (line["n_comparisons"], line["n_calls"]) == (len(paths) * (len(paths) - 1) // 2, 0)
        assert {one["error"] for one in line["pictures"]} == {None}
    assert lines[0]["model"] == "fgaesq"
    assert re.fullmatch(r"[0-9a-f]{12,}", lines[0]["revision"])
    assert "± " not in (tmp_path / "out" / "contact_sheet.html").read_text()

    # Again: from what is kept, without looking at the pictures' tokens.
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "answers").iterdir()}
    assert len(kept) == 2
    assert rank(photos, tmp_path / "out", *options) == (0, said, lines)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "answers").iterdir()} == kept


def test_a_series_too_long_for_it_is_named_and_the_rest_is_done(
    weights: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scorer, "MAX_SERIES", 3)
    status, said, lines = rank(photos, tmp_path / "out", "--model", "fgaesq", "--weights", str(weights))
    assert status == running.EXIT_PARTIAL
    assert "series 0001: a series has 4 pictures; give 1 to 3" in said
    assert [line["failure"] is None for line in lines] == [False, True, True]


class Brighter(BatchBackend):
    """A judge that prefers the brighter picture; ``limit`` ends it after so many questions."""

    model, revision = "brighter", "1"

    def __init__(self, limit: int | None = None) -> None:
        self.n_read = self.n_written = 0
        self.limit = limit

    def read(self, requests: Sequence[Request], choices: Sequence[str]) -> NDArray[np.float64]:
        if self.limit is not None and self.n_read + len(requests) > self.limit:
            raise BackendError("the judge is gone")
        self.n_read += len(requests)
        lead = np.array([float(np.asarray(a).mean()) - float(np.asarray(b).mean()) for a, b in map(images, requests)])
        return np.stack([lead / 20 - 1, -lead / 20 - 1, np.full(len(requests), -9.0)], axis=1)

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[str]:
        self.n_written += len(requests)
        return ["<rationale>\nDecisive: light, better in A.\n</rationale>\nWinner: A\nDifference: +1.0"] * len(requests)


def images(request: Request) -> tuple[Image.Image, ...]:
    return tuple(request.images)


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Brighter:
    found = Brighter()
    monkeypatch.setattr(loading, "load_model", lambda *_, **__: found)
    return found


def cascade(weights: Path, *options: str) -> tuple[str, ...]:
    return ("--model", "fgaesq", "--weights", str(weights), "--judge", "brighter", "--device", "cpu", *options)


def test_the_judge_is_asked_about_its_share_and_explains_what_it_judged(
    weights: Path, photos: Path, tmp_path: Path, judge: Brighter
) -> None:
    status, said, lines = rank(photos, tmp_path / "out", *cascade(weights, "--share", "0.6"))
    assert status == 0, said
    asked = sum(line["n_comparisons"] for line in lines)
    assert 0 < asked <= 0.6 * 7  # pairs in series of four, two and one pictures
    assert (judge.n_read, sum(line["n_calls"] for line in lines)) == (2 * asked, 2 * asked)
    assert [line["explanation"] is not None for line in lines] == [line["n_comparisons"] > 0 for line in lines]
    assert judge.n_written == 2 * sum(line["explanation"] is not None for line in lines)
    for line in lines:
        assert (line["model"], line["unit"], line["share"]) == ("brighter", "points", 0.6)
        assert (line["ranker"]["model"], line["prompt_id"].partition("_")[0]) == ("fgaesq", "compare")
        scores = [one["score"] for one in line["pictures"]]
        assert scores == [None] if len(scores) == 1 else sum(scores) == pytest.approx(0, abs=1e-6)
    assert all(one["error"] > 0 for line in lines[:2] for one in line["pictures"])
    assert "\u00b1" in (tmp_path / "out" / "contact_sheet.html").read_text(encoding="utf-8")

    # Again, and with less to ask: from what is kept.
    assert rank(photos, tmp_path / "out", *cascade(weights, "--share", "0.6")) == (0, said, lines)
    rank(photos, tmp_path / "out", *cascade(weights, "--share", "0.3"))
    assert judge.n_read == 2 * asked


def test_the_work_before_the_first_series_is_told(weights: Path, photos: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    ranker = cascade_ranker.CascadeRanker(FGAesQScorer.load(weights), Assessor(Brighter(), mode="fast"), share=0.6)
    rank_folder(photos, tmp_path / "out", ranker, on_prepared=lambda *now: told.append(now))
    assert told[:2] == [("scoring", 1, 2), ("scoring", 2, 2)]
    assert [now[0] for now in told[2:]] == ["comparing"] * len(told[2:])
    assert 0 < told[-1][1] <= told[-1][2] == 4


def test_a_judge_that_is_asked_about_everything_has_the_first_word(
    weights: Path, photos: Path, tmp_path: Path, judge: Brighter
) -> None:
    _, _, lines = rank(photos, tmp_path / "out", *cascade(weights, "--share", "1"))
    brightest = [max((one["path"] for one in line["pictures"]), key=lambda path: Path(path).name) for line in lines[:2]]
    assert [line["pictures"][0]["path"] for line in lines[:2]] == brightest
    alone = rank(photos, tmp_path / "alone", "--model", "fgaesq", "--weights", str(weights))[2]
    assert [line["pictures"][0]["path"] for line in alone[:2]] != brightest


def test_a_cascade_whose_judge_dies_goes_on_where_it_stopped(
    weights: Path, photos: Path, tmp_path: Path, judge: Brighter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cascade_ranker, "AT_ONCE", 1)
    whole = rank(photos, tmp_path / "whole", *cascade(weights, "--share", "1"))
    n_whole, judge.n_read = judge.n_read, 0
    judge.limit = 4
    status, said, _ = rank(photos, tmp_path / "out", *cascade(weights, "--share", "1"))
    assert (status, "the judge is gone" in said) == (running.EXIT_BACKEND, True)
    judge.limit = None
    assert rank(photos, tmp_path / "out", *cascade(weights, "--share", "1")) == whole
    assert judge.n_read == n_whole


def test_a_series_that_the_cascade_cannot_take_is_named_and_the_rest_is_done(
    weights: Path, photos: Path, tmp_path: Path, judge: Brighter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scorer, "MAX_SERIES", 3)
    status, said, lines = rank(photos, tmp_path / "out", *cascade(weights, "--share", "1"))
    assert (status, [line["failure"] is None for line in lines]) == (running.EXIT_PARTIAL, [False, True, True])
    assert "series 0001: a series has 4 pictures; give 1 to 3" in said


def test_a_picture_that_changes_before_the_judge_sees_it_is_named(
    weights: Path, photos: Path, tmp_path: Path, judge: Brighter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed(ref: ImageRef) -> LoadedImage:
        if ref.path.name == "1_0.png":  # the darkest, so that the explanation does not need it
            raise ImageError(f"{ref.path}: was changed")
        return load_image(ref.path)

    monkeypatch.setattr(cascade_ranker, "unchanged", changed)
    status, said, lines = rank(photos, tmp_path / "out", *cascade(weights, "--share", "1"))
    assert (status, [line["failure"] is None for line in lines]) == (running.EXIT_PARTIAL, [False, True, True])
    assert "1_0.png: was changed" in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "fgaesq"], "needs weights"),
        (["--weights", "x"], "--weights is only for --model fgaesq"),
        (["--judge", "redaes/nano"], "--judge is only for --model fgaesq"),
        (["--model", "fgaesq", "--weights", "x", "--mode", "reasoned"], "without reasons"),
        (["--model", "fgaesq", "--weights", "x", "--one-order"], "are only for language models"),
        (["--model", "fgaesq", "--weights", "x", "--adapter", "y"], "are only for language models"),
    ],
)
def test_what_does_not_go_together_is_refused(photos: Path, tmp_path: Path, options: list[str], message: str) -> None:
    status, said, _ = rank(photos, tmp_path / "out", *options)
    assert (status, message in said) == (running.EXIT_INPUT, True), said


def test_a_folder_without_such_a_model_is_named(photos: Path, tmp_path: Path) -> None:
    for place, expected in ((tmp_path / "none", running.EXIT_INPUT), (photos, running.EXIT_BACKEND)):
        status, said, _ = rank(photos, tmp_path / "out", "--model", "fgaesq", "--weights", str(place))
        assert status == expected
        assert str(place) in said
