"""What a Python user touches, on the embedded model: loading, scoring, the metric of pyiqa's kind."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from openai_server import Call, OpenAIServer, Say
from PIL import Image

import redaes
from redaes import Assessor, BackendError, Failure, InputError, ParseError, create_metric
from redaes.backends.base import Request
from redaes.backends.local import LocalBackend
from redaes.models import nano
from redaes.reference_photographs import FILES, reference_photographs

PLACES = {ref.path.stem: ref.path for ref in reference_photographs()}
PHOTO, DARK = PLACES["coffee"], PLACES["coffee-dark"]


@pytest.fixture(scope="module")
def assessor() -> Assessor:
    return Assessor()


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    """Two photographs, of shape (2, 3, H, W) in [0, 1]."""
    arrays = [np.asarray(Image.open(path).convert("RGB").resize((256, 192))) for path in (PHOTO, DARK)]
    return torch.tensor(np.stack(arrays)).permute(0, 3, 1, 2) / 255


def test_without_a_backend_the_embedded_model_answers(assessor: Assessor) -> None:
    assert assessor.backend.model == nano.NAME
    result = assessor.compare(PHOTO, DARK)
    assert (result.winner, result.mode) == ("A", "reasoned")
    assert result.rationale


def test_every_form_gets_the_same_answer(assessor: Assessor) -> None:
    pair = [np.asarray(Image.open(path).convert("RGB")) for path in (PHOTO, DARK)]
    as_pil = [Image.fromarray(array) for array in pair]
    as_tensors = [torch.tensor(array).permute(2, 0, 1)[None] / 255 for array in pair]
    forms = [tuple(pair), tuple(as_pil), tuple(as_tensors), (as_pil[0], as_tensors[1])]
    results = assessor.compare_many(forms, mode="fast")
    assert all(result.probability == pytest.approx(results[0].probability, abs=1e-6) for result in results)
    assert len({(result.first.id, result.second.id) for result in results}) == 1


def test_a_picture_is_scored_without_naming_references(assessor: Assessor) -> None:
    good, bad = assessor.score(str(PHOTO)), assessor.score(DARK)
    assert good.score > 4.5 > bad.score
    assert (good.mode, good.n_references) == ("fast", len(FILES))
    assert good.references.startswith("embedded@")
    assert assessor.default_references() is assessor.default_references()


def test_the_embedded_references_are_a_yardstick_to_the_embedded_model(assessor: Assessor) -> None:
    scores = assessor.default_references().ranking.scores
    as_it_is = [scores[ref.id] for ref in reference_photographs() if "-" not in ref.path.stem]
    spoilt = [scores[ref.id] for ref in reference_photographs() if "-" in ref.path.stem]
    assert len(as_it_is) == len(spoilt) == 4
    assert min(as_it_is) > max(spoilt)


def test_bfloat16_answers_nearly_the_same(assessor: Assessor) -> None:
    half = Assessor.from_pretrained(nano.NAME, dtype="bfloat16", device="cpu", mode="fast")
    found, exact = half.compare(PHOTO, DARK), assessor.compare_many([(PHOTO, DARK)], "fast")[0]
    assert found.winner == exact.winner
    assert found.probability == pytest.approx(exact.probability, abs=0.03)
    with pytest.raises(InputError, match="dtype is 'int4'; give one of float32, bfloat16"):
        Assessor.from_pretrained(nano.NAME, dtype="int4")


def test_a_revision_is_asked_of_the_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[Any] = []

    def snapshot_download(name: str, **options: Any) -> str:
        asked.append((name, options["revision"]))
        return str(nano.weights())

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    Assessor.from_pretrained("some/model", revision="v2", device="cpu")
    assert asked == [("some/model", "v2")]
    shutil.copytree(nano.weights(), tmp_path / "model")
    for model in (nano.NAME, str(tmp_path / "model")):
        with pytest.raises(BackendError, match=r"is not on the hub.*'v2'.*leave it out"):
            Assessor.from_pretrained(model, revision="v2")


# --- as pyiqa calls it ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def metric() -> redaes.AestheticMetric:
    return create_metric("redaes", device=torch.device("cpu"))


def test_a_metric_has_what_pyiqas_have(metric: redaes.AestheticMetric) -> None:
    assert (metric.metric_name, metric.metric_mode, metric.lower_better) == ("redaes", "NR", False)
    assert metric.score_range == "0, 9"
    assert metric.device == torch.device("cpu")
    assert metric.eval().to("cpu") is metric
    with pytest.raises(InputError, match=r"on cpu; .*create_metric\(device='cuda'\)"):
        metric.to("cuda")


def test_a_batch_a_file_and_a_picture_are_scored(metric: redaes.AestheticMetric, pixels: torch.Tensor) -> None:
    scores = metric(pixels)
    assert scores.shape == (2,)
    assert scores.dtype == torch.float32
    assert not scores.requires_grad
    assert scores[0] > scores[1]
    assert metric(pixels[:1]).tolist() == pytest.approx(scores[:1].tolist(), abs=1e-5)
    assert metric([pixels[0], pixels[1][None]]).tolist() == pytest.approx(scores.tolist(), abs=1e-5)
    assert metric.forward(str(PHOTO)).shape == (1,)
    assert metric(PHOTO).item() == pytest.approx(metric.assessor.score(PHOTO).score)
    grey = pixels.mean(dim=1, keepdim=True)
    assert metric(grey).tolist() == pytest.approx(metric(grey.repeat(1, 3, 1, 1)).tolist(), abs=1e-5)


def test_with_a_reference_picture_it_is_the_signed_difference(
    metric: redaes.AestheticMetric, pixels: torch.Tensor
) -> None:
    there, back = metric(pixels, pixels.flip(0)).tolist()
    assert there > 0 > back
    assert there == pytest.approx(-back, abs=1e-4)
    assert metric(pixels, pixels[:1]).tolist() == pytest.approx([0.0, back], abs=1e-4)
    assert metric(DARK, PHOTO).item() < 0
    with pytest.raises(InputError, match="ref holds 2 pictures and target 1"):
        metric(pixels[:1], pixels)


def test_what_is_not_asked_is_refused(metric: redaes.AestheticMetric, pixels: torch.Tensor) -> None:
    with pytest.raises(InputError, match=r"target\[0\]: values from .* divide by 255"):
        metric(pixels * 255)
    broken = pixels.clone()
    broken[1, 0, 0, 0] = float("nan")
    with pytest.raises(InputError, match=r"ref\[1\]: 1 of"):
        metric(pixels, broken)
    with pytest.raises(InputError, match="target holds no picture"):
        metric(pixels[:0])
    with pytest.raises(InputError, match=r"no gradient.*redaes\.as_reward"):
        create_metric("redaes", as_loss=True)
    with pytest.raises(InputError, match="metric 'musiq' is unknown; give one of redaes"):
        create_metric("musiq")
    with pytest.raises(InputError, match="device is for models in this process"):
        create_metric(device="cpu", endpoint="http://localhost:1/v1")


class Sometimes(LocalBackend):
    """Answers only about pictures that are not black."""

    def answer(self, requests: Any) -> list[Any]:
        def is_black(request: Request) -> bool:
            return any(np.asarray(image).max() == 0 for image in request.images)

        lost = Failure("refused", "it does not look at black pictures")
        return [lost if is_black(request) else super(Sometimes, self).answer([request])[0] for request in requests]


def test_a_picture_without_an_answer_has_no_number(pixels: torch.Tensor) -> None:
    metric = redaes.AestheticMetric(Assessor(Sometimes(device="cpu"), mode="fast"))
    black = torch.zeros_like(pixels[:1])
    for ref in (None, PHOTO):
        with pytest.warns(UserWarning, match=r"1 of 2 pictures have no usable answer .*: 1; metric\.failures"):
            scores = metric(torch.cat([pixels[:1], black]), ref)
        assert torch.isnan(scores).tolist() == [False, True]
        assert metric.failures[0] is None
        assert metric.failures[1] is not None
        assert metric.failures[1].reason == "no_usable_answer"
        with pytest.raises(ParseError, match=r"^no_usable_answer: (?!no_usable_answer)"):
            metric(black, ref)


# --- behind a server --------------------------------------------------------------------------------------------------


def _brighter(call: Call) -> Say:
    """The brighter picture wins, without probabilities."""
    if len(call.pictures()) < 2:  # what it can do is asked without pictures
        return Say("I do not know.")
    first, second = (float(np.asarray(picture.convert("L")).mean()) for picture in call.pictures())
    return Say("Winner: A\nDifference: +1.0" if first > second else "Winner: B\nDifference: -1.0")


def test_a_server_without_probabilities_says_what_scores_need() -> None:
    with OpenAIServer(_brighter) as server:
        assessor = Assessor.from_server(server.base_url, "judge", mode="fast")
        assert assessor.compare(PHOTO, DARK).winner == "A"
        for ask in (lambda: assessor.score(PHOTO), lambda: assessor.rank([PHOTO, DARK])):
            with pytest.raises(ParseError, match=r"no_probability: judge gives verdicts .*agreement=3"):
                ask()


def test_a_metric_behind_such_a_server_counts_answers() -> None:
    with OpenAIServer(_brighter) as server:
        with pytest.warns(UserWarning, match="made of the agreement of answers, 3 drawn"):
            metric = create_metric(endpoint=server.base_url, model="judge")
        assert metric.device == torch.device("cpu")
        references = metric.assessor.reference_set("three", [PHOTO, DARK, PLACES["chelsea"]], mode="fast")
        counted = redaes.AestheticMetric(metric.assessor, references)
        assert counted([PHOTO, DARK]).tolist() == sorted(counted([PHOTO, DARK]).tolist(), reverse=True)
        assert counted(DARK, PHOTO).item() < 0
