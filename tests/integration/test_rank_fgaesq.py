"""``redaes rank --model fgaesq`` on a tiny FGAesQ: the order of its own scorer, files, going on, what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from typer.testing import CliRunner

from redaes import cli
from redaes.finegrained import model, scorer
from redaes.finegrained.scorer import rank_files
from redaes.finegrained.tiny import TINY_TOKENS, build_tiny_clip

runner = CliRunner()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fgaesq")
    build_tiny_clip(folder / "clip", ["the first photo is better"], seed=0, layers=2)
    network = model.from_clip(folder / "clip", TINY_TOKENS)
    network.head[-1].weight.data *= 20  # a random head hardly tells pictures apart
    model.save(network, folder / "final")
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
    done = runner.invoke(cli.app, ["rank", str(photos), "--out", str(out), *options])
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
    assert status == cli.EXIT_PARTIAL
    assert "series 0001: a series has 4 pictures; give 1 to 3" in said
    assert [line["failure"] is None for line in lines] == [False, True, True]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "fgaesq"], "comes without weights"),
        (["--weights", "x"], "--weights goes with --model fgaesq"),
        (["--model", "fgaesq", "--weights", "x", "--mode", "reasoned"], "no reasons"),
        (["--model", "fgaesq", "--weights", "x", "--one-order"], "are for language models"),
        (["--model", "fgaesq", "--weights", "x", "--adapter", "y"], "are for language models"),
    ],
)
def test_what_does_not_go_together_is_refused(photos: Path, tmp_path: Path, options: list[str], message: str) -> None:
    status, said, _ = rank(photos, tmp_path / "out", *options)
    assert (status, message in said) == (cli.EXIT_INPUT, True), said


def test_a_folder_without_such_a_model_is_named(photos: Path, tmp_path: Path) -> None:
    status, said, _ = rank(photos, tmp_path / "out", "--model", "fgaesq", "--weights", str(tmp_path / "none"))
    assert status == cli.EXIT_BACKEND
    assert str(tmp_path / "none") in said
