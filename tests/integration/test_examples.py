"""The short examples, run with the embedded model."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image, ImageFilter

ROOT = Path(__file__).resolve().parents[2]


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def scene() -> Image.Image:
    """Something with soft areas, edges and colour."""
    y, x = np.mgrid[:160, :224].astype(float)
    blob = np.exp(-(((x - 120) / 50) ** 2 + ((y - 80) / 35) ** 2))
    colours = np.stack([90 + 110 * blob, 110 + 60 * blob - x / 8, 150 - 60 * blob + y / 6], -1)
    colours[100:104] = 30
    return Image.fromarray(np.clip(colours, 0, 255).astype(np.uint8))


def grainy(picture: Image.Image, strength: float) -> Image.Image:
    noise = np.random.default_rng(0).normal(0.0, strength, (picture.height, picture.width, 3))
    return Image.fromarray(np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8))


def test_the_best_of_a_burst(scene: Image.Image, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene.save(tmp_path / "clean.png")
    grainy(scene, 45).save(tmp_path / "grain.png")
    scene.filter(ImageFilter.GaussianBlur(5)).save(tmp_path / "blur.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    files = sorted(str(file) for file in tmp_path.iterdir())
    best = example("best_of_burst").main(files)
    told = capsys.readouterr()
    assert Path(best).name == told.out.splitlines()[0].split()[1]
    assert {line.split()[1] for line in told.out.splitlines()[:3]} == {"clean.png", "grain.png", "blur.png"}
    assert "grain.png" not in best
    assert "left out" in told.err
    assert "broken.png" in told.err


def test_generated_pictures_are_kept_only_when_they_are_better(
    scene: Image.Image, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    accepted, generated = tmp_path / "accepted", tmp_path / "generated"
    for folder in (accepted, generated):
        folder.mkdir()
    for strength in (15, 25, 35):
        grainy(scene, strength).save(accepted / f"{strength}.png")
    grainy(scene, 90).save(generated / "bad.png")
    (generated / "empty.png").touch()
    kept = example("filter_generated").main(str(accepted), str(generated))
    assert kept == []
    told = capsys.readouterr().out
    assert "drop   bad.png" in told
    assert "fails  empty.png" in told
    assert "0 kept, 1 without an answer; by redaes/nano" in told


def test_agreement_counts_what_it_cannot_ask(
    scene: Image.Image, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scene.save(tmp_path / "clean.png")
    grainy(scene, 60).save(tmp_path / "grain.png")
    rows = ["first,second,winner", "clean.png,grain.png,first", "grain.png,clean.png,first", "clean.png,gone.png,first"]
    (tmp_path / "pairs.csv").write_text("\n".join(rows))
    outcomes = example("judge_agreement").main(str(tmp_path / "pairs.csv"))
    assert outcomes == {"agrees": 1, "differs": 1, "unreadable": 1}
    assert "agrees in 1 of 2 pairs (50%, standard error 35%)" in capsys.readouterr().out


def test_made_up_picks_prefer_the_darker_picture(tmp_path: Path) -> None:
    pytest.importorskip("skimage")
    picks = example("train_on_picks").make_picks(tmp_path)
    rows = list(csv.DictReader(picks.read_text().splitlines()))
    assert (len(rows), len({row["series"] for row in rows})) == (60, 12)
    for row in rows:
        first, second = (np.asarray(Image.open(tmp_path / row[side])).mean() for side in ("first", "second"))
        assert row["winner"] == ("first" if first < second else "second")
        assert row["first"].startswith(row["series"])
        assert row["second"].startswith(row["series"])
    assert {row["winner"] for row in rows} == {"first", "second"}


@pytest.mark.slow
def test_training_on_sixty_picks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = example("train_on_picks").main(None, tmp_path / "taste")
    told = capsys.readouterr().out
    claim = report["claim"]
    assert report["better"]
    assert claim["after"]["low"] > claim["before"]["high"]
    assert (tmp_path / "taste" / "adapter_model.safetensors").is_file()
    assert "60 picks of 12 series, each series judged without having been learnt:" in told
    assert f"  after   right in {claim['after']['value']:.0%} [" in told
    assert f"use it: redaes rank FOLDER --adapter {tmp_path / 'taste'}" in told
