"""Assessors over a real server, a real model, a RED dataset; and runs with processes, killed and resumed."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from openai_server import Call, Fault, OpenAIServer, Say
from PIL import Image, ImageEnhance

from redaes.errors import EndpointError
from redaes.evaluation.questions import CHUNK
from redaes.evaluation.run_spec import RunSpec
from redaes.evaluation.runner import RunResults, read_predictions, run
from tests.conftest import synthetic_photograph

ROOT = Path(__file__).parents[2]


def quiet(done: int, total: int) -> None:
    pass


def finished(found: RunResults | None) -> RunResults:
    assert found is not None
    return found


def folder_of(photo_folder: Path, folder: Path) -> Path:
    """The session's photographs with labels of their brightness."""
    folder.mkdir()
    rows = [f"{file},{brightness(file)}" for file in sorted(photo_folder.glob("*.png"))]
    (folder / "scores.csv").write_text("\n".join(["image,score", *rows]) + "\n")
    pairs = [f"{photo_folder / f'photo{a}.png'},{photo_folder / f'photo{b}.png'}" for a, b in ((0, 1), (2, 3), (4, 5))]
    (folder / "pairs.csv").write_text("\n".join(["first,second,p", *(f"{pair},0.9" for pair in pairs)]) + "\n")
    return folder


def brightness(file: Path) -> float:
    with Image.open(file) as image:
        return level_of(image)


def level_of(image: Image.Image) -> float:
    return float(np.asarray(image.convert("L"), dtype=float).mean())


def say_score(call: Call) -> Say | Fault:
    """Digits about the picture's brightness, with probabilities; the fourth question gets nonsense."""
    if call.index == 3:
        return Say("I would rather not", top=[{"I": -0.1}])
    level = level_of(call.pictures()[0]) / 255 * 9
    low = int(level)
    share = min(max(level - low, 0.01), 0.99)
    tops = [{"Score": 0.0}, {":": 0.0}, {" ": 0.0}, {str(low): math.log(1 - share), str(low + 1): math.log(share)}]
    return Say(f"Score: {low}", top=tops)


def test_scores_of_a_server_and_its_replica(photo_folder: Path, tmp_path: Path) -> None:
    data = folder_of(photo_folder, tmp_path / "data")
    with OpenAIServer(say_score) as one, OpenAIServer(say_score) as other:
        options = {"url": f"{one.base_url},{other.base_url}", "model": "judge", "concurrency": "1"}
        spec = RunSpec(benchmark="scores", data=data, assessor="endpoint", options=options)
        results = finished(run(spec, tmp_path / "out", progress=quiet))
        assert (len(one.calls), len(other.calls)) == (3, 3)
    summary = results.summary
    assert summary.n_failed == 0
    assert summary.metrics["srcc"].value == pytest.approx(1.0)
    assert json.loads((tmp_path / "out/timing.jsonl").read_text())["tokens"] == 6 * 110
    with OpenAIServer(say_score) as server:
        options = {"url": server.base_url, "model": "judge", "concurrency": "1"}
        spec = spec.model_copy(update={"options": options})
        summary = finished(run(spec, tmp_path / "alone", progress=quiet)).summary
    assert summary.failures == {"not_the_form": 1}
    text = (tmp_path / "alone/answers/000000.jsonl").read_text()
    assert "I would rather not" in text  # what was said instead is kept


def test_pairs_of_a_server(photo_folder: Path, tmp_path: Path) -> None:
    data = folder_of(photo_folder, tmp_path / "data")

    def say(call: Call) -> Say | Fault:
        first, second = (level_of(picture) for picture in call.pictures())
        winner, delta = ("A", "+2.0") if first > second else ("B", "-2.0")
        tops = [{"Winner": 0.0}, {":": 0.0}, {f" {winner}": -0.1, f" {'B' if winner == 'A' else 'A'}": -2.4}]
        return Say(f"Winner: {winner}\nDifference: {delta}", top=tops)

    with OpenAIServer(say) as server:
        options = {"url": server.base_url, "model": "judge", "mode": "fast"}
        spec = RunSpec(benchmark="pairs", data=data / "pairs.csv", assessor="endpoint_pairs", options=options)
        results = finished(run(spec, tmp_path / "out", progress=quiet))
    metrics = results.summary.metrics
    assert metrics["swap_consistency"].value == 1.0
    assert metrics["expected_calibration_error"].n == 3
    assert results.run["identity"]["prompt_ids"][0].startswith("compare_fast/v1@")


def test_letters_of_a_server(photo_folder: Path, tmp_path: Path) -> None:
    """The brighter picture by its letter, in both orders; one pair of the three gets another word first."""
    data = folder_of(photo_folder, tmp_path / "data")
    last = {level_of(Image.open(photo_folder / f"photo{number}.png")) for number in (4, 5)}

    def say(call: Call) -> Say | Fault:
        levels = [level_of(picture) for picture in call.pictures()]
        if all(min(abs(level - one) for one in last) < 1 for level in levels):
            return Say("Both", top=[{"Both": -0.2, "A": -2.0, "B": -3.0}])
        winner, other = ("A", "B") if levels[0] > levels[1] else ("B", "A")
        return Say(winner, top=[{winner: -0.1, other: -2.4}])

    with OpenAIServer(say) as server:
        options = {"endpoint": server.base_url, "model": "letters"}
        spec = RunSpec(benchmark="pairs", data=data / "pairs.csv", assessor="vlm_letter", options=options)
        results = finished(run(spec, tmp_path / "out", progress=quiet))
        asked = [call.text.strip() for call in server.calls if "more aesthetically pleasing" in call.text]
    assert len(asked) == 6
    assert set(asked) == {"Which image is more aesthetically pleasing? Answer with A or B only."}
    assert results.summary.failures == {"forward: no_letter; swapped: no_letter": 1}
    assert results.summary.metrics["swap_consistency"].value == pytest.approx(2 / 3)
    for one in read_predictions(tmp_path / "out" / "pairs.csv")[:2]:
        first, second = (brightness(Path(name)) for name in one.id.split("\t"))
        assert one.predicted is not None
        assert (one.predicted > 0) == (first > second)
        assert one.probability == pytest.approx(1 / (1 + math.exp(-2.3 if first > second else 2.3)), abs=1e-6)


def test_reasons_of_a_server_are_held_against_the_pixels_that_it_is_told_of(tmp_path: Path) -> None:
    grey = synthetic_photograph(3, 160, 120)
    data = tmp_path / "data"
    data.mkdir()
    grey.save(data / "bright.png")
    ImageEnhance.Brightness(grey).enhance(0.4).save(data / "dark.png")
    (data / "pairs.csv").write_text("first,second,p\nbright.png,dark.png,0.9\n")
    tables: list[list[tuple[str, str]]] = []

    def say(call: Call) -> Say:
        tables.append(re.findall(r"brightness, L\* \| (\d+) \| (\d+)", json.dumps(call.body["messages"])))
        first, second = (level_of(picture) for picture in call.pictures())
        better, sign, worse = ("A", "+", "B") if first > second else ("B", "-", "A")
        said = f"{better} is darker than {worse}." if call.index < 2 else f"{better} is brighter than {worse}."
        return Say(
            f"<rationale>\n{said} Decisive: light, better in {better}.\n</rationale>\nWinner: {better}\n"
            f"Difference: {sign}2.0"
        )

    found = {}
    with OpenAIServer(say) as server:
        for truth, prompt in (("false", "compare_measured/v1"), ("true", "compare/v1")):
            options = {"url": server.base_url, "model": "judge", "concurrency": "1", "prompt": prompt}
            spec = RunSpec(benchmark="pairs", data=data / "pairs.csv", assessor="endpoint_pairs", options=options)
            found[truth] = finished(run(spec, tmp_path / truth, progress=quiet))
    forward, swapped, *unmeasured = tables
    assert len(forward) == 1
    assert swapped == [forward[0][::-1]]
    assert int(forward[0][0]) > 1.5 * int(forward[0][1])
    assert unmeasured == [[], []]
    for truth, results in found.items():
        metrics = results.summary.metrics
        assert metrics["pair_accuracy"].value == 1.0
        assert metrics["claims_true"].value == float(truth == "true")
        assert metrics["reason_false_though_right"].value == float(truth == "false")
    assert found["false"].run["identity"]["prompt_ids"][0].startswith("compare_measured/v1@")


def test_of_two_scenes_a_server_is_not_told_that_their_light_is_a_fault(tmp_path: Path) -> None:
    """As a local model is not: another scene may be dark."""
    data = tmp_path / "data"
    data.mkdir()
    synthetic_photograph(3, 160, 120).save(data / "bright.png")
    ImageEnhance.Brightness(synthetic_photograph(9, 160, 120)).enhance(0.4).save(data / "dark.png")
    (data / "pairs.csv").write_text("first,second,p\nbright.png,dark.png,0.9\n")

    def say(call: Call) -> Say:
        first, second = (level_of(picture) for picture in call.pictures())
        better, sign, worse = ("A", "+", "B") if first > second else ("B", "-", "A")
        return Say(
            f"<rationale>\n{worse} is underexposed. {worse} is darker. Decisive: light, better in {better}.\n"
            f"</rationale>\nWinner: {better}\nDifference: {sign}2.0"
        )

    with OpenAIServer(say) as server:
        options = {"url": server.base_url, "model": "judge", "mode": "reasoned"}
        spec = RunSpec(benchmark="pairs", data=data / "pairs.csv", assessor="endpoint_pairs", options=options)
        metrics = finished(run(spec, tmp_path / "out", progress=quiet)).summary.metrics
    assert (metrics["claims_true"].value, metrics["claims_measurable"].value) == (1.0, 0.5)


def test_a_server_that_is_down_loses_nothing(photo_folder: Path, tmp_path: Path) -> None:
    data = folder_of(photo_folder, tmp_path / "data")
    with OpenAIServer(lambda call: Fault(404)) as server:
        options = {"url": server.base_url, "model": "judge"}
        spec = RunSpec(benchmark="scores", data=data, assessor="endpoint", options=options)
        with pytest.raises(EndpointError, match="http_404"):
            run(spec, tmp_path / "out", progress=quiet)
    assert not list((tmp_path / "out").glob("answers/*"))  # nobody was wrong: nobody was asked


@pytest.mark.parametrize("kind", ["vlm", "vlm_pairs", "vlm_placed", "vlm_tournament"])
def test_a_real_model(kind: str, tiny_model: Path, photo_folder: Path, tmp_path: Path) -> None:
    data = folder_of(photo_folder, tmp_path / "data")
    spec = RunSpec(
        benchmark="scores",
        data=data,
        assessor=kind,
        options={"model": str(tiny_model), "device": "cpu"},
        n_references=2,
        candidates=3,
    )
    results = finished(run(spec, tmp_path / "out", progress=quiet))
    assert results.run["identity"]["revision"]
    if kind == "vlm_pairs":
        assert results.summary.n_questions == 2 * 6 - 2
        assert results.summary.metrics["srcc"].n == 6
    elif kind == "vlm_placed":
        assert results.run["reference_set"]["revision"] == results.run["identity"]["revision"]
        assert results.run["reference_set"]["n_calls"] == 2 * 3
        assert results.summary.n_questions == results.summary.metrics["srcc"].n == 4
        assert results.summary.n_calls == 2 * 2 * 4
        several = finished(run(spec, tmp_path / "several", workers=2, progress=quiet))
        assert several == results
    elif kind == "vlm_tournament":
        assert (results.summary.n_questions, results.summary.n_failed) == (1, 0)  # one field of all pictures
        assert results.summary.metrics["srcc"].n == 6
    else:
        assert set(results.summary.failures) <= {"no_score"}


@pytest.mark.parametrize("kind", ["fgaesq", "fgaesq_series"])
def test_fgaesq(kind: str, photo_folder: Path, tmp_path: Path) -> None:
    from redaes.models.fgaesq import network
    from redaes.models.fgaesq.scorer import FGAesQScorer
    from redaes.models.fgaesq.tiny_clip import TINY_TOKENS, build_tiny_clip

    build_tiny_clip(tmp_path / "clip", ["a photo"], seed=0)
    network.save(network.from_clip(tmp_path / "clip", tokens=TINY_TOKENS, seed=0), tmp_path / "model")
    files = sorted(photo_folder.glob("*.png"))
    rows = [f"{'a' if number < 4 else 'b'},{file},{number}" for number, file in enumerate(files)]
    (tmp_path / "series.csv").write_text("\n".join(["series,image,score", *rows]) + "\n")
    spec = RunSpec(
        benchmark="series",
        data=tmp_path / "series.csv",
        assessor=kind,
        options={"model": str(tmp_path / "model")},
    )
    results = finished(run(spec, tmp_path / "out", progress=quiet))
    scorer = FGAesQScorer.load(tmp_path / "model")
    pictures = [scorer.load_picture(file) for file in files]
    if kind == "fgaesq":
        expected = scorer.score(pictures)
    else:
        expected = np.concatenate([found.scores for found in scorer.series([pictures[:4], pictures[4:]])])
    found = [one.predicted for one in read_predictions(tmp_path / "out" / "pictures.csv")]
    assert found == pytest.approx(expected.tolist(), abs=1e-4)
    assert results.summary.metrics["s_acc"].n == 2
    assert results.run["identity"]["revision"] == scorer.revision


def test_fgaesq_is_shown_large_pictures_as_in_ranking(tmp_path: Path) -> None:
    """4,000 x 2,667 pixels: shrunk once, from the file, in both."""
    from redaes.models.fgaesq import network
    from redaes.models.fgaesq.scorer import FGAesQScorer
    from redaes.models.fgaesq.tiny_clip import build_tiny_clip

    build_tiny_clip(tmp_path / "clip", ["a photo"], seed=0, layers=1)
    model = network.from_clip(tmp_path / "clip", seed=0)
    model.head[-1].weight.data *= 20  # a random head hardly tells pictures apart
    network.save(model, tmp_path / "model")
    for number in range(2):
        small = np.random.default_rng(number).integers(0, 256, (1333, 2000, 3), dtype=np.uint8)
        Image.fromarray(small).resize((4000, 2667), Image.Resampling.BICUBIC).save(tmp_path / f"{number}.jpg")
    rows = [f"a,{tmp_path / f'{number}.jpg'},{number}" for number in range(2)]
    (tmp_path / "series.csv").write_text("\n".join(["series,image,score", *rows]) + "\n")
    options = {"model": str(tmp_path / "model")}
    spec = RunSpec(benchmark="series", data=tmp_path / "series.csv", assessor="fgaesq_series", options=options)
    results = finished(run(spec, tmp_path / "out", progress=quiet))
    scorer = FGAesQScorer.load(tmp_path / "model")
    expected = next(iter(scorer.series([[scorer.load_picture(tmp_path / f"{number}.jpg") for number in range(2)]])))
    found = [one.predicted for one in read_predictions(tmp_path / "out" / "pictures.csv")]
    assert found == pytest.approx(expected.scores.tolist(), abs=1e-5)
    assert results.run["max_pixels"] == scorer.settings.max_pixels
    smaller = spec.model_copy(update={"max_pixels": 100_000})
    assert finished(run(smaller, tmp_path / "smaller", progress=quiet)).run["max_pixels"] == 100_000


def test_held_out_pairs_of_a_red_dataset(red_folder: Path, tmp_path: Path) -> None:
    spec = RunSpec(benchmark="red", data=red_folder, assessor="baseline", options={"measure": "sharpness"})
    results = finished(run(spec, tmp_path / "out", progress=quiet))
    assert results.summary.metrics["pair_accuracy"].n > 0
    assert results.summary.n_missing == 0
    series = finished(run(spec.model_copy(update={"benchmark": "red_series"}), tmp_path / "series", progress=quiet))
    assert series.summary.metrics["s_acc"].n > 1
    pairs = {one.id: one.label for one in read_predictions(tmp_path / "out" / "pairs.csv")}
    agree = []
    for one in read_predictions(tmp_path / "series" / "pairs.csv"):
        first, second = (name.partition("/")[2] for name in one.id.split("\t"))
        label = pairs.get(f"{first}\t{second}", 1 - pairs.get(f"{second}\t{first}", 0.5))
        if label != 0.5:
            agree.append((label > 0.5) == (one.label > 0.5))
    assert len(agree) > 15
    assert sum(agree) / len(agree) > 0.95  # the order of a series explains the labels of its pairs


def test_processes_and_kill_9(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    n = 12 * CHUNK
    rows = []
    for index in range(n):
        pixels = np.full((40, 40, 3), index % 251, dtype=np.uint8)
        pixels[index % 40, :] = index % 7 * 30
        Image.fromarray(pixels).save(data / f"{index}.png", compress_level=0)
        rows.append(f"{index}.png,{index % 17}")
    (data / "scores.csv").write_text("\n".join(["image,score", *rows]) + "\n")
    script = [sys.executable, str(ROOT / "eval/run_benchmark.py"), "scores", "--data", str(data)]
    script += ["--assessor", "baseline", "--option", "measure=sharpness"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def launch(out: Path, *more: str) -> subprocess.Popen[str]:
        command = [*script, "--out", str(out), *more]
        return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    whole = launch(tmp_path / "whole")
    text, errors = whole.communicate(timeout=300)
    assert whole.returncode == 0, errors
    assert "srcc" in text
    out = tmp_path / "killed"
    for goal in (2, 6):
        process = launch(out, "--workers", "2")
        deadline = time.monotonic() + 300
        while len(list((out / "answers").glob("[0-9]*.jsonl"))) < goal:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)  # its processes end with it
        process.communicate(timeout=60)
    last = launch(out, "--workers", "2")
    _, errors = last.communicate(timeout=300)
    assert last.returncode == 0, errors
    for name in ("results.json", "pictures.csv", "run.json"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    refused = launch(out, "--option", "measure=luma")
    _, errors = refused.communicate(timeout=300)
    assert refused.returncode == 2
    assert "not of the form NAME=VALUE" in errors
