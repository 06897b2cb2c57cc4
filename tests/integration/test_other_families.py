"""Models of other families than Qwen's are asked in both modes and held to the form, or refused with what they are."""

from __future__ import annotations

import json
import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from other_families import OTHER_FAMILIES, build_other
from PIL import Image

from redaes import prompts
from redaes.answers import SCORE_CHOICES, SCORE_PREFIX, WINNER_PREFIX, parse
from redaes.assessing.asking import VERDICT_CHOICES
from redaes.assessor import Assessor
from redaes.backends.base import Request
from redaes.backends.local import LocalBackend
from redaes.backends.preprocessing import size_in
from redaes.errors import BackendError
from redaes.json_form import parse_json
from redaes.types import Sampling


def _noise(seed: int, height: int, width: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


PICTURES = [_noise(seed, *size) for seed, size in enumerate([(64, 64), (160, 64), (64, 200), (33, 35)])]


def _requests(prompt: str, prefix: str = "") -> list[Request]:
    return [Request(prompts.load(prompt), (PICTURES[n], PICTURES[(n + 1) % 4]), prefix) for n in range(4)]


@pytest.fixture(scope="module", params=OTHER_FAMILIES)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _made(request.param, tmp_path_factory)


def _made(family: str, factory: pytest.TempPathFactory) -> Path:
    from transformers.models.smolvlm import processing_smolvlm

    # The processor asks for the package num2words, which it uses for videos alone.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processing_smolvlm, "num2words", str)
        return build_other(family, factory.mktemp(family) / family)


@pytest.fixture(autouse=True)
def num2words(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.models.smolvlm import processing_smolvlm

    monkeypatch.setattr(processing_smolvlm, "num2words", str)


def test_every_answer_can_be_read(model: Path) -> None:
    """Of random weights, in both forms, in a padded batch, greedily and drawn."""
    backend = LocalBackend(model, device="cpu")
    for temperature in (0.0, 1.5):
        sampling = Sampling(temperature=temperature, max_new_tokens=150)
        for answer in backend.write(_requests("compare/v1"), sampling):
            parse(answer.text or "", "reasoned")
        for answer in backend.write(_requests("compare_json/v1"), sampling):
            parse_json(answer.text or "")


def test_two_pictures_are_compared_in_both_modes(model: Path) -> None:
    backend = LocalBackend(model, device="cpu")
    for mode in ("fast", "reasoned"):
        result = Assessor(backend, mode=mode).compare(PICTURES[0], PICTURES[1], check=False)
        assert result.failure is None
        assert all(one.probability is not None for one in result.comparisons)
        assert {one.held_by for one in result.comparisons} == {None if mode == "fast" else "llguidance"}


def test_neither_answers_nor_probabilities_depend_on_the_batch(model: Path) -> None:
    alone, together = (LocalBackend(model, device="cpu", batch_size=size) for size in (1, 4))
    fast, reasoned = _requests("compare_fast/v1", WINNER_PREFIX), _requests("compare/v1")
    found = together.read(fast, VERDICT_CHOICES)
    assert found == pytest.approx(alone.read(fast, VERDICT_CHOICES), abs=1e-3)
    assert len({tuple(row) for row in found.round(4).tolist()}) == 4  # what is shown counts
    sampling = Sampling(max_new_tokens=100)
    assert together.write(reasoned, sampling) == alone.write(reasoned, sampling)


def test_probabilities_are_those_of_the_models_own_way(model: Path) -> None:
    """A chat that the processor renders and tokenizes in one go, as its makers have it, against ours in steps."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    backend = LocalBackend(model, device="cpu")
    request = Request(prompts.load("compare/v1"), (PICTURES[0], PICTURES[2]))
    processor = AutoProcessor.from_pretrained(model)
    messages = request.prompt.messages()
    shown = iter(request.pixels)
    for part in messages[0]["content"]:
        if part["type"] == "image":
            part["image"] = next(shown)
    inputs = processor.apply_chat_template(
        messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    assert torch.equal(inputs["input_ids"], backend._inputs([request], [backend._text(request)])["input_ids"])
    with torch.no_grad():
        logits = AutoModelForImageTextToText.from_pretrained(model).eval()(**inputs).logits[0, -1]
    token = processor.tokenizer("A", add_special_tokens=False)["input_ids"][0]
    wanted = logits.log_softmax(-1)[token].item()
    assert backend.read([request], ("A", "B"))[0, 0] == pytest.approx(wanted, abs=1e-4)


def test_scores_are_read_at_their_digits(model: Path) -> None:
    found = LocalBackend(model, device="cpu").read(
        [Request(prompts.load("score/v1"), (PICTURES[1],), SCORE_PREFIX)], SCORE_CHOICES
    )
    assert np.isfinite(found).all()


def test_half_precision_reads_as_well(model: Path) -> None:
    found = LocalBackend(model, device="cpu", dtype=torch.bfloat16).read(
        _requests("compare_fast/v1", WINNER_PREFIX), VERDICT_CHOICES
    )
    assert np.isfinite(found).all()


def test_max_pixels_is_refused_where_a_processor_has_no_such_cap(model: Path) -> None:
    with pytest.raises(BackendError, match="no cap on a picture's area"):
        LocalBackend(model, device="cpu", max_pixels=64 * 64)


# --- peculiarities ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gemma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _made("gemma3", tmp_path_factory)


@pytest.fixture(scope="module")
def smolvlm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _made("smolvlm", tmp_path_factory)


def test_a_text_begins_once(gemma: Path) -> None:
    backend = LocalBackend(gemma, device="cpu")
    (request, *_) = _requests("compare/v1")
    ids = backend._inputs([request], [backend._text(request)])["input_ids"][0].tolist()
    assert ids.count(backend._processor.tokenizer.bos_token_id) == 1


def test_the_space_before_an_answer_comes_before_its_beginning(smolvlm: Path) -> None:
    backend = LocalBackend(smolvlm, device="cpu")
    begun, free = (_requests("compare_fast/v1", prefix)[0] for prefix in (WINNER_PREFIX, ""))
    assert backend._text(begun).endswith("\nAssistant: Winner:")
    assert backend._text(free).endswith("\nAssistant:")
    (answer,) = backend.generate([begun], Sampling(max_new_tokens=1))
    assert answer.startswith(WINNER_PREFIX)


def test_edges_are_not_taken_for_areas() -> None:
    size = {"shortest_edge": 378, "longest_edge": 980}
    assert size_in({"size": size, "do_image_splitting": True}) is None
    assert size_in({"size": size}) is not None


def test_a_joined_space_goes_to_the_choices(smolvlm: Path) -> None:
    """A tokenizer for which ``" 6"`` is one token."""
    backend = LocalBackend(smolvlm, device="cpu")
    joining = deepcopy(backend._processor.tokenizer)
    joining.add_tokens([f" {digit}" for digit in SCORE_CHOICES])
    own = backend._processor.tokenizer
    backend._processor.tokenizer = joining
    text, ids = backend._place("Assistant: Score: ", SCORE_CHOICES)
    assert (text, joining.convert_ids_to_tokens(ids)) == ("Assistant: Score:", [f" {n}" for n in range(10)])
    backend._processor.tokenizer = own
    assert backend._place("Assistant: Score: ", SCORE_CHOICES)[0] == "Assistant: Score: "


# --- what cannot be asked -----------------------------------------------------------------------------------


def _with_template(model: Path, folder: Path, template: str) -> Path:
    shutil.copytree(model, folder)
    (folder / "chat_template.jinja").write_text(template)
    return folder


def test_a_template_without_pictures_is_refused(gemma: Path, tmp_path: Path) -> None:
    template = (gemma / "chat_template.jinja").read_text().replace("<start_of_image>", "")
    with pytest.raises(BackendError, match="no place for each of two pictures"):
        LocalBackend(_with_template(gemma, tmp_path / "model", template), device="cpu")


def test_a_template_for_one_picture_is_refused(smolvlm: Path, tmp_path: Path) -> None:
    template = "{% for message in messages %}{% set ns = namespace(seen=false) %}{% for part in message['content'] %}"
    template += "{% if part['type'] == 'text' %}{{ part['text'] }}{% elif not ns.seen %}<image>{% set ns.seen = true %}"
    template += "{% endif %}{% endfor %}{% endfor %}"
    with pytest.raises(BackendError, match="no place for each of two pictures"):
        LocalBackend(_with_template(smolvlm, tmp_path / "model", template), device="cpu")


def test_a_template_for_strings_is_refused(gemma: Path, tmp_path: Path) -> None:
    template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    with pytest.raises(BackendError, match="given as a list of parts"):
        LocalBackend(_with_template(gemma, tmp_path / "model", template), device="cpu")


def test_a_model_without_a_template_is_refused(gemma: Path, tmp_path: Path) -> None:
    shutil.copytree(gemma, tmp_path / "model")
    (tmp_path / "model" / "chat_template.jinja").unlink()
    with pytest.raises(BackendError, match="no chat template"):
        LocalBackend(tmp_path / "model", device="cpu")


@pytest.mark.parametrize("kind", ["qwen3", "qwen2_audio", "whisper", "siglip", "of_tomorrow"])
def test_other_kinds_of_models_are_named(kind: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    with pytest.raises(BackendError, match=f"of type {kind}, which takes no pictures beside text"):
        LocalBackend(tmp_path, device="cpu")


def test_a_processor_that_lacks_a_package_says_which(smolvlm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.models.smolvlm import processing_smolvlm

    monkeypatch.setattr(processing_smolvlm, "num2words", None)
    with pytest.raises(BackendError, match=r"needs a package that is not installed .*num2words"):
        LocalBackend(smolvlm, device="cpu")


def test_a_vocabulary_that_a_form_cannot_be_written_in(gemma: Path) -> None:
    backend: Any = LocalBackend(gemma, device="cpu")
    backend._processor.tokenizer = type("Slow", (), {"eos_token_id": 1, "__len__": lambda _: 9, "pad_token_id": 0})()
    backend._processor.tokenizer.all_special_ids = []
    with pytest.raises(BackendError, match="cannot be held to a form"):
        backend.write(_requests("compare/v1"), Sampling(max_new_tokens=4))
