"""``redaes taste learn`` with the embedded model: what is told is what the adapter does, and is told again."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file
from typer.testing import CliRunner

from redaes.assessor import Assessor
from redaes.backends.adapters import check_base
from redaes.backends.endpoint import Endpoint
from redaes.backends.loading import model_folder
from redaes.backends.local import LocalBackend
from redaes.backends.server import ServerBackend
from redaes.cli.app import app
from redaes.cli.running import EXIT_INPUT, EXIT_NOT_BETTER
from redaes.errors import BackendError
from redaes.images import load_image
from redaes.models import nano
from redaes.serving.vllm import ServedModel, VllmServer
from redaes.taste.decisions import DecidedPicture
from redaes.taste.learning import TasteBase


def _answers(folder: Path, n: int, *, begin: int = 0, at_random: bool = False) -> Path:
    """Pairs of versions of made-up scenes: somebody who likes the dark one, or who tosses a coin."""
    folder.mkdir(exist_ok=True)
    draws = np.random.default_rng(5)
    rows = ["first,second,winner"]
    for number in range(begin, begin + n):
        scene = np.random.default_rng(number).integers(30, 225, (5, 7, 3)).astype(np.uint8)
        large = np.asarray(Image.fromarray(scene).resize((112, 80), Image.Resampling.BICUBIC), dtype=float)
        for side, factor in (("a", 0.55), ("b", 1.0)):
            Image.fromarray((large * factor).clip(0, 255).astype(np.uint8)).save(folder / f"{number}{side}.png")
        winner = draws.choice(["a", "b"]) if at_random else "a"
        first, second = ("a", "b") if number % 2 else ("b", "a")
        rows.append(f"{number}{first}.png,{number}{second}.png,{number}{winner}.png")
    file = folder / f"answers-{begin}.csv"
    file.write_text("\n".join(rows), encoding="utf-8")
    return file


def _learn(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["taste", "learn", *map(str, words)])
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def taste(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Learnt from 24 decisions of somebody who likes it dark."""
    folder = tmp_path_factory.mktemp("taste")
    status, output = _learn(_answers(folder / "in", 24), "--out", folder / "taste", "--device", "cpu")
    assert status == 0, output
    assert "learnt: better than before" in output
    return folder / "taste"


def test_the_report_says_what_was_measured(taste: Path) -> None:
    report = json.loads((taste / "report.json").read_text(encoding="utf-8"))
    claim = report["claim"]
    assert report["better"]
    assert claim["n_decisions"] == claim["n_series"] == 24
    assert claim["after"]["value"] > claim["before"]["value"]
    assert claim["p_random"] <= 0.025 >= claim["p_no_gain"]
    assert report["model"] == nano.NAME
    assert report["prompt"].startswith("compare_fast/")
    assert report["forgetting"]["n"] >= 8
    assert "learnt: better than before" in (taste / "README.md").read_text(encoding="utf-8").replace("Learnt", "learnt")


def test_the_adapter_serves_the_taste_on_other_pictures(taste: Path, tmp_path: Path) -> None:
    _answers(tmp_path, 8, begin=500)
    pairs = [tuple(load_image(tmp_path / f"{n}{side}.png") for side in "ab") for n in range(500, 508)]
    told = Assessor(LocalBackend(adapter=taste, device="cpu"), mode="fast").compare_many(pairs)  # type: ignore[arg-type]
    before = Assessor(LocalBackend(device="cpu"), mode="fast").compare_many(pairs)  # type: ignore[arg-type]
    n_dark, n_before = (sum((one.probability or 0) > 0.5 for one in some) for some in (told, before))
    assert n_dark > n_before
    assert n_dark >= 6


@pytest.mark.vllm
def test_vllm_serves_the_taste_as_it_is_here(taste: Path, tmp_path: Path) -> None:
    python = os.environ.get("REDAES_VLLM_PYTHON")
    if python is None:  # a tier that is asked for and cannot run has not passed
        pytest.fail("REDAES_VLLM_PYTHON names no environment with vLLM; docs/serving.md says how to make one")
    os.environ["NO_PROXY"] = "127.0.0.1"
    _answers(tmp_path, 8, begin=500)
    pairs = [tuple(load_image(tmp_path / f"{n}{side}.png") for side in "ab") for n in range(500, 508)]
    with VllmServer(ServedModel(nano.NAME, taste, cpu=True), Path(python)) as server:
        endpoint = Endpoint(server.base_url, server.served.name, api_key=server.api_key, revision="r", timeout_s=300.0)
        with ServerBackend(endpoint) as backend:
            served = Assessor(backend, mode="fast").compare_many(pairs)  # type: ignore[arg-type]
    here = Assessor(LocalBackend(adapter=taste, device="cpu"), mode="fast").compare_many(pairs)  # type: ignore[arg-type]
    before = Assessor(LocalBackend(device="cpu"), mode="fast").compare_many(pairs)  # type: ignore[arg-type]
    assert [one.probability for one in served] == pytest.approx([one.probability for one in here], abs=1e-3)
    assert (
        max(abs((one.probability or 0) - (other.probability or 0)) for one, other in zip(served, before, strict=True))
        > 0.1
    )


def test_the_adapter_does_what_the_learning_counted_with(taste: Path, tmp_path: Path) -> None:
    _answers(tmp_path, 4, begin=600)
    pictures = [DecidedPicture(f"{n}{side}", tmp_path / f"{n}{side}.png") for n in range(600, 604) for side in "ab"]
    found = []
    for adapter in (None, taste):
        base = TasteBase.load(nano.NAME, adapter, max_pixels=None, device="cpu")
        base.reader.look(pictures)
        found.append(base.reader.read([(f"{n}a", f"{n}b") for n in range(600, 604)]))
    head, before = base.reader.head, found[0]
    weights = load_file(taste / "adapter_model.safetensors")
    row, column = (next(value for name, value in weights.items() if f"lora_{part}" in name) for part in "AB")
    states = before.states + (before.inputs @ row[0].astype(float))[..., None] * column[:, 0].astype(float)
    wanted = states @ head.direction / np.sqrt((states**2).mean(-1) + head.epsilon)
    assert np.abs(wanted - before.log_odds).max() > 0.3
    np.testing.assert_allclose(found[1].log_odds, wanted, atol=2e-3)


def test_the_adapter_does_not_go_on_other_weights(taste: Path) -> None:
    with pytest.raises(BackendError, match="not the same weights"):
        check_base(taste, nano.BASE, model_folder(nano.BASE))


def test_more_decisions_join_the_earlier_ones(taste: Path, tmp_path: Path) -> None:
    (taste.parent / "in" / "3a.png").rename(tmp_path / "3a.png")
    try:
        status, output = _learn(
            _answers(taste.parent / "in", 4, begin=100), "--from", taste, "--out", tmp_path / "more", "--device", "cpu"
        )
    finally:
        (tmp_path / "3a.png").rename(taste.parent / "in" / "3a.png")
    assert status == 0, output
    assert "27 decisions in 27 series" in output
    assert "3a.png is not a file" in output
    report = json.loads((tmp_path / "more" / "report.json").read_text(encoding="utf-8"))
    assert report["decisions"]["from_earlier"] == 24


def test_the_same_decisions_give_the_same_adapter(taste: Path, tmp_path: Path) -> None:
    status, output = _learn(taste.parent / "in" / "answers-0.csv", "--out", tmp_path / "again", "--device", "cpu")
    assert status == 0, output
    name = "adapter_model.safetensors"
    assert (tmp_path / "again" / name).read_bytes() == (taste / name).read_bytes()


def test_answers_at_random_install_nothing(tmp_path: Path) -> None:
    status, output = _learn(
        _answers(tmp_path / "in", 16, at_random=True), "--out", tmp_path / "taste", "--device", "cpu"
    )
    assert status == EXIT_NOT_BETTER, output
    assert "not better than before" in output
    assert "No adapter was written" in output
    assert sorted(path.name for path in (tmp_path / "taste").iterdir()) == [
        "README.md",
        "decisions.jsonl",
        "report.json",
    ]


def test_what_cannot_be_learnt_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    file = _answers(tmp_path / "in", 3)
    lines = file.read_text(encoding="utf-8").splitlines()
    cases = {
        "no decision can be used": [lines[0], "x.png,y.png,first"],
        "--pictures gives the folder": [lines[0], "y.png,z.png,first"],
        "none of 3 decisions prefers": [lines[0], *(f"{n}a.png,{n}b.png,tie" for n in range(3))],
        "belong to one series": [lines[0], "0a.png,0b.png,first", "0b.png,1a.png,first"],
    }
    for says, rows in cases.items():
        other = tmp_path / "in" / "other.csv"
        other.write_text("\n".join(rows), encoding="utf-8")
        status, output = _learn(other, "--out", tmp_path / "taste")
        assert (status, says in output) == (EXIT_INPUT, True), output
        assert not (tmp_path / "taste").exists()
    (tmp_path / "there").mkdir()
    status, output = _learn(file, "--out", tmp_path / "there")
    assert status == EXIT_INPUT
    assert "exists" in output
