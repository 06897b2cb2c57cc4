"""``data_gen/build_series.py``: from pictures to series, with votes of people and of a judge; resuming; refusals."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from openai_server import Call, Fault, OpenAIServer, Raw, Say
from PIL import ExifTags, Image, ImageChops, ImageEnhance

from redaes.assessor import Assessor
from redaes.backends.base import BatchBackend, Request
from redaes.backends.endpoint import Endpoint
from redaes.datagen.series.building import BuildSettings, build
from redaes.datagen.series.candidates import SeriesCandidate, SeriesCandidates, aigc, cropping, natural
from redaes.datagen.series.model_checks import Alignment, Plausibility
from redaes.datagen.series.votes import Votes
from redaes.errors import BackendError, InputError
from redaes.models.fgaesq.texts import text_embeddings
from redaes.models.fgaesq.tiny_clip import build_tiny_clip
from redaes.series_records import Series, read_series
from redaes.types import FACTORS, Sampling

# isort: split
from transformers import CLIPImageProcessor, CLIPModel

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "data_gen" / "build_series.py"
START = datetime(2024, 5, 1, 12, 0, 0)
LIGHTS = (0.5, 1.3, 0.9)


@pytest.fixture(autouse=True)
def own_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


class Brighter(BatchBackend):
    """Prefers the brighter picture; gone after ``limit`` questions."""

    model, revision = "brighter", "1"

    def __init__(self, limit: int | None = None) -> None:
        self.n_read = 0
        self._limit = limit

    def read(self, requests: Sequence[Request], choices: Sequence[str]) -> NDArray[np.float64]:
        rows = np.full((len(requests), len(choices)), -9.0)
        for row, request in zip(rows, requests, strict=True):
            if self._limit is not None and self.n_read >= self._limit:
                raise BackendError("the judge is gone")
            self.n_read += 1
            first, second = (float(np.asarray(image).mean()) for image in request.images)
            row[:2] = np.array([1, -1]) * np.clip((first - second) / 20, -2, 2)
        return rows

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[str]:
        raise AssertionError("the fast mode writes nothing")


def _photograph(seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    field = np.zeros((150, 200, 3))
    for scale, kind in ((4, Image.Resampling.BICUBIC), (16, Image.Resampling.NEAREST)):
        coarse = Image.fromarray(rng.integers(30, 180, (scale, scale, 3), dtype=np.uint8))
        field += np.asarray(coarse.resize((200, 150), kind)) / 2.0
    return Image.fromarray(field.astype(np.uint8))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two bursts, two prompts and a photograph to be cropped, of different light."""
    root = tmp_path_factory.mktemp("pictures")
    for name in ("bursts", "prompts/castle", "prompts/dog", "photos"):
        (root / name).mkdir(parents=True)
    for scene in (1, 2):
        for shot, light in enumerate(LIGHTS):
            moved = ImageEnhance.Brightness(ImageChops.offset(_photograph(scene), 2 * shot, shot)).enhance(light)
            exif = Image.Exif()
            taken = START + timedelta(minutes=10 * scene, seconds=shot)
            exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = taken.strftime("%Y:%m:%d %H:%M:%S")
            moved.save(root / f"bursts/{scene}{shot}.jpg", quality=95, exif=exif)
    for number, prompt in enumerate(("castle", "dog")):
        for shot, light in enumerate(LIGHTS):
            ImageEnhance.Brightness(_photograph(10 * number + shot)).enhance(light).save(
                root / f"prompts/{prompt}/{shot}.png"
            )
        (root / f"prompts/{prompt}/prompt.txt").write_text(f"a {prompt}", encoding="utf-8")
    _photograph(30).save(root / "photos/a.png")
    return root


def _candidates(pictures: Path) -> list[SeriesCandidate]:
    parts: list[SeriesCandidates] = [
        natural([pictures / "bursts"]),
        aigc([pictures / "prompts"]),
        cropping([pictures / "photos"], n=3),
    ]
    return [item for part in parts for item in part.found]


def _by_brightness(item: Series) -> list[int]:
    light = [float(np.asarray(Image.open(path)).mean()) for path in item.images]
    return [int(place) for place in np.argsort(light)]


def test_a_judge_puts_all_three_categories_in_order(pictures: Path, tmp_path: Path) -> None:
    judge = Brighter()
    assessor = Assessor(judge, mode="fast")
    report = build(_candidates(pictures), tmp_path, assessor=assessor, settings=BuildSettings(test_fraction=0.4))
    series = read_series(tmp_path / "series.jsonl")
    assert {item.category for item in series} == {"natural", "aigc", "cropping"}
    assert report["refined"] == {
        "natural": {"series": 2, "pictures": 6},
        "aigc": {"series": 2, "pictures": 6},
        "cropping": {"series": 1, "pictures": 3},
    }
    assert report["votes"]["pairs"] == 15
    assert judge.n_read == 30
    assert sum(counts["series"] for name, counts in report["series"].items() if name in report["refined"]) == len(
        series
    )
    for item in series:
        assert all(path.is_file() for path in item.images)
        if item.category != "cropping":  # crops of one photograph are about equally bright
            assert [int(place) for place in np.argsort(item.scores)] == _by_brightness(item)
            for pair in item.pairs:
                better = item.scores[pair.first] > item.scores[pair.second]
                assert (pair.probability > 0.5) == better
                assert pair.first < pair.second
                assert pair.text is not None
                assert f"the {'first' if better else 'second'} photo" in pair.text.split(".")[0]
                assert any(factor in pair.text.lower() for factor in FACTORS)
    # Nothing is asked or measured again; the files are the same, byte for byte.
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    build(_candidates(pictures), tmp_path, assessor=assessor, settings=BuildSettings(test_fraction=0.4))
    assert judge.n_read == 30
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_run_whose_judge_dies_goes_on_where_it_stopped(pictures: Path, tmp_path: Path) -> None:
    dying, judge = Brighter(limit=13), Brighter()
    with pytest.raises(BackendError):
        build(_candidates(pictures), tmp_path / "a", assessor=Assessor(dying, mode="fast"))
    assert not (tmp_path / "a/series.jsonl").exists()
    build(_candidates(pictures), tmp_path / "a", assessor=Assessor(judge, mode="fast"))
    assert judge.n_read == 30 - 12, "two series of six questions were finished"
    build(_candidates(pictures), tmp_path / "b", assessor=Assessor(Brighter(), mode="fast"))
    assert (tmp_path / "a/report.json").read_bytes() == (tmp_path / "b/report.json").read_bytes()


def _launch(*arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment, check=False)


def test_people_fill_in_ballots(pictures: Path, tmp_path: Path) -> None:
    """By the script: ballots, then votes, with one pair that nobody voted on and one series without votes."""
    out = tmp_path / "out"
    where = ("--natural", pictures / "bursts", "--aigc", pictures / "prompts", "--out", out, "--seed", 3)
    first = _launch(*where)
    assert first.returncode == 0, first.stderr
    assert "Fill in n_first and n_second" in first.stdout
    assert not (out / "series.jsonl").exists()
    with (out / "ballots.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 * 3
    assert all((out / row["first_file"]).is_file() for row in rows)
    for row in rows:
        if row["series"] == "aigc-dog" or (row["first"], row["second"]) == ("01", "02"):
            continue
        lights = [LIGHTS[int(row[side])] for side in ("first", "second")]
        row["n_first"], row["n_second"] = ("9", "1") if lights[0] > lights[1] else ("1", "9")
    with (out / "ballots.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)  # what nobody voted on stays blank
    refused = _launch(*where)
    assert refused.returncode == 2
    assert "holds votes" in refused.stderr
    done = _launch(*where, "--votes", out / "ballots.csv")
    assert done.returncode == 0, done.stderr
    series = read_series(out / "series.jsonl")
    assert len(series) == 3
    for item in series:
        assert item.scores[1] > item.scores[0] < item.scores[2]
        assert item.scores[1] == pytest.approx(item.scores[2]), "equal votes against the third one"
        assert len(item.pairs) == 2, "the pair at one half is dropped"
    report = json.loads((out / "report.json").read_text())
    assert report["votes"] == {
        "pairs": 6,
        "pairs_without_votes": 6,
        "without_answer": {},
        "pairs_too_close": 3,
    }
    assert report["dropped"]["series"] == {"aigc": {"no_votes": 1}}
    with (out / "dropped.csv").open(newline="") as file:
        assert [row["reason"] for row in csv.DictReader(file) if row["series"] == "aigc-dog"] == ["no_votes"]


def test_votes_that_fit_no_ballot_are_refused(pictures: Path, tmp_path: Path) -> None:
    found = aigc([pictures / "prompts"]).found
    for votes, message in (
        (Votes("aigc-cat", "00", "01", 1, 0), "aigc-cat"),
        (Votes("aigc-dog", "00", "07", 1, 0), "'07'; the ballots have 00, 01, 02"),
    ):
        with pytest.raises(InputError, match=message):
            build(found, tmp_path, votes=[votes])
    with pytest.raises(InputError, match="give one of them"):
        build(found, tmp_path, votes=[], assessor=Assessor(Brighter(), mode="fast"))


def test_votes_without_an_order_are_counted(pictures: Path, tmp_path: Path) -> None:
    found = aigc([pictures / "prompts"]).found
    even = [Votes("aigc-dog", first, second, 5, 5) for first, second in (("00", "01"), ("01", "02"))]
    some = [Votes("aigc-castle", "00", "01", 9, 1)]
    report = build(found, tmp_path, votes=even + some)
    assert report["dropped"] == {"pictures": {"aigc": {"no_votes": 1}}, "series": {"aigc": {"undecided": 1}}}
    (series,) = read_series(tmp_path / "series.jsonl")
    assert [path.name for path in series.images] == ["0.png", "1.png"]


def test_a_vision_language_model_refuses_what_is_broken(pictures: Path, tmp_path: Path) -> None:
    def answer(call: Call) -> Say | Fault | Raw:
        (picture,) = call.pictures()
        light = np.asarray(picture).mean()
        if light > 120:
            return Say("no JSON at all")
        return Say(json.dumps({"subject": True, "whole": bool(light > 70), "seen": "areas"}))

    with OpenAIServer(answer) as server:
        check = Plausibility(Endpoint(server.base_url, "judge", backoff_s=0.01))
        report = build(aigc([pictures / "prompts"]).found, tmp_path, checks=[check])
        assert report["dropped"]["pictures"] == {"aigc": {"defective": 2, "unanswered_not_json": 2}}
        assert report["dropped"]["series"] == {"aigc": {"too_few": 2}}
        asked = len(server.calls)
        build(aigc([pictures / "prompts"]).found, tmp_path, checks=[check])
        assert len(server.calls) == asked == 6
    assert "picture_check/v1" in report["checks"][0]


def test_alignment_refuses_what_does_not_show_the_prompt(pictures: Path, tmp_path: Path) -> None:
    clip = tmp_path / "clip"
    build_tiny_clip(clip, ["a castle", "a dog"], seed=0)
    CLIPImageProcessor(size={"shortest_edge": 128}, crop_size=128).save_pretrained(clip)
    (castle, _) = aigc([pictures / "prompts"]).found
    images = [Image.open(item.path) for item in castle.pictures]
    text = text_embeddings(clip, ["a castle"])["a castle"]
    inputs = CLIPImageProcessor.from_pretrained(clip)(images=images, return_tensors="pt")
    with torch.inference_mode():
        seen = CLIPModel.from_pretrained(clip).get_image_features(**inputs)
    seen = getattr(seen, "pooler_output", seen)
    cosines = [float(row @ text / row.norm()) for row in seen]
    limit = sorted(cosines)[1] - 1e-4
    found = Alignment(clip, limit)(images, ["a castle", "a castle", "a castle"])
    assert found == ["misaligned" if cosine < limit else None for cosine in cosines]
    assert found.count("misaligned") == 1
    assert Alignment(clip, 1.0)(images, [None] * 3) == [None] * 3, "without a prompt there is nothing to compare"
    with pytest.raises(InputError, match="least alignment"):
        Alignment(clip, 2.0)
    with pytest.raises(BackendError):
        Alignment(tmp_path / "nothing", 0.1)
