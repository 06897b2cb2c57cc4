"""The local backend on a real, tiny, random model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from redaes import prompts
from redaes.answers import SCORE_CHOICES, SCORE_PREFIX, WINNER_CHOICES, WINNER_PREFIX
from redaes.assessor import Assessor
from redaes.backends.base import Request
from redaes.backends.local import LocalBackend
from redaes.errors import BackendError, InputError, PromptError
from redaes.models import nano
from redaes.types import Sampling

CHOICES = [f" {winner}" for winner in WINNER_CHOICES]
SHORT = Sampling(max_new_tokens=8)


def _noise(seed: int, width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


# Of several sizes and prefixes, so that the rows of a batch need padding.
SIZES = [(64, 64), (96, 32), (200, 120), (32, 96), (70, 50), (128, 128)]
PICTURES = [_noise(seed, *size) for seed, size in enumerate(SIZES)]
PREFIXES = [WINNER_PREFIX, "<rationale>\nA is darker.\n</rationale>\nWinner:", "\nB glows.\nWinner:"]


def _request(index: int, prefix: str | None = None) -> Request:
    pair = PICTURES[index % 6], PICTURES[(index + 1) % 6]
    return Request(prompts.load("compare_fast/v1"), pair, PREFIXES[index % 3] if prefix is None else prefix)


REQUESTS = [_request(index) for index in range(7)]


@pytest.fixture(scope="module")
def backend(tiny_model: Path) -> LocalBackend:
    return LocalBackend(tiny_model, device="cpu", batch_size=3)


def _parts(folder: Path) -> tuple[Any, Any]:
    """The model and processor as a trainer holds them."""

    from transformers import AutoModelForImageTextToText, AutoProcessor

    return AutoModelForImageTextToText.from_pretrained(folder), AutoProcessor.from_pretrained(folder)


def _next_token_log_probs(folder: Path, request: Request) -> tuple[torch.Tensor, Any]:
    """All log-probabilities of the token after one request, made without the backend."""
    model, processor = _parts(folder)
    chat = processor.apply_chat_template(request.prompt.messages(), add_generation_prompt=True, tokenize=False)
    inputs = processor(text=[chat + request.prefix], images=[list(request.images)], return_tensors="pt")
    with torch.no_grad():
        logits = model.eval()(**inputs).logits
    return logits[0, -1].log_softmax(-1), processor.tokenizer


# --- reading ------------------------------------------------------------------------------------------------


def test_read_is_what_the_model_says_alone(backend: LocalBackend, tiny_model: Path) -> None:
    rows = backend.read(REQUESTS, CHOICES)
    assert rows.shape == (7, 3)
    assert rows.dtype == np.float64
    for index in (0, 1, 4):
        log_probs, tokenizer = _next_token_log_probs(tiny_model, REQUESTS[index])
        ids = [tokenizer(choice, add_special_tokens=False)["input_ids"][0] for choice in CHOICES]
        assert rows[index] == pytest.approx(log_probs[ids].numpy(), abs=1e-4)


def test_a_prompt_that_was_filled_in_is_read_with_its_own_words(backend: LocalBackend) -> None:
    measured = prompts.load("compare_fast_measured/v1")
    texts = [measured.fill(evidence=words) for words in ("noise | 0.9 | 3.2", "noise | 3.2 | 0.9")]
    rows = backend.read([Request(text, (PICTURES[0], PICTURES[1]), WINNER_PREFIX) for text in texts], CHOICES)
    assert abs(rows[0] - rows[1]).max() > 1e-3


def test_read_does_not_depend_on_the_batch(tiny_model: Path) -> None:
    alone, together = (LocalBackend(tiny_model, device="cpu", batch_size=size) for size in (1, 7))
    expected = alone.read(REQUESTS, CHOICES)
    assert np.ptp(expected, axis=0).min() > 1e-2  # the requests do differ
    assert together.read(REQUESTS, CHOICES) == pytest.approx(expected, abs=1e-4)
    assert together.read(REQUESTS[::-1], CHOICES)[::-1] == pytest.approx(expected, abs=1e-4)


def test_pictures_and_their_order_matter(backend: LocalBackend) -> None:
    first, second = PICTURES[0], PICTURES[2]
    prompt = prompts.load("compare_fast/v1")
    forward, swapped, twice = backend.read(
        [Request(prompt, pair, WINNER_PREFIX) for pair in ((first, second), (second, first), (first, first))], CHOICES
    )
    assert np.abs(forward - swapped).max() > 1e-3
    assert np.abs(forward - twice).max() > 1e-3


def test_scores_are_read_at_their_digits(backend: LocalBackend, tiny_model: Path) -> None:
    request = Request(prompts.load("score/v1"), (PICTURES[0],), SCORE_PREFIX)
    (row,) = backend.read([request], SCORE_CHOICES)
    log_probs, tokenizer = _next_token_log_probs(tiny_model, request)
    ids = tokenizer.convert_tokens_to_ids(list(SCORE_CHOICES))
    assert row == pytest.approx(log_probs[ids].numpy(), abs=1e-4)


def test_nothing_to_read(backend: LocalBackend) -> None:
    assert backend.read([], CHOICES).shape == (0, 3)
    assert backend.generate([], SHORT) == []


def test_choices_that_begin_alike_are_refused(backend: LocalBackend) -> None:
    with pytest.raises(BackendError, match="same token"):
        backend.read(REQUESTS[:1], [" A", " A or so"])


@pytest.mark.parametrize("choice", ["", "er"])
def test_choices_that_join_the_prefix_are_refused(backend: LocalBackend, choice: str) -> None:
    # "Winn" and "er" make tokens that do not begin with those of "Winn".
    with pytest.raises(BackendError, match="starts no token"):
        backend.read([_request(0, "Winn")], [choice])


@pytest.mark.parametrize("count", [0, 1, 3])
def test_one_picture_per_slot(backend: LocalBackend, count: int) -> None:
    request = Request(prompts.load("compare/v1"), tuple(PICTURES[:count]))
    with pytest.raises(PromptError, match=f"takes 2 pictures, not {count}"):
        backend.read([request], CHOICES)
    with pytest.raises(PromptError, match=f"takes 2 pictures, not {count}"):
        backend.generate([request], SHORT)


def test_thin_pictures_are_refused_and_tiny_ones_are_not(backend: LocalBackend) -> None:
    prompt = prompts.load("compare_fast/v1")
    with pytest.raises(InputError, match="1000 x 2 pixels is too thin"):
        backend.read([Request(prompt, (PICTURES[0], _noise(0, 1000, 2)), WINNER_PREFIX)], CHOICES)
    tiny = Request(prompt, (_noise(0, 1, 1), _noise(1, 400, 2)), WINNER_PREFIX)
    assert np.isfinite(backend.read([tiny], CHOICES)).all()


# --- generating ---------------------------------------------------------------------------------------------


def test_generate_goes_on_with_the_likeliest_token(backend: LocalBackend, tiny_model: Path) -> None:
    answers = backend.generate(REQUESTS[:3], Sampling(max_new_tokens=1))
    special = set(_special_ids(tiny_model))
    for request, answer in zip(REQUESTS[:3], answers, strict=True):
        log_probs, tokenizer = _next_token_log_probs(tiny_model, request)
        best = next(int(token) for token in log_probs.argsort(descending=True) if int(token) not in special)
        assert answer == request.prefix + tokenizer.decode([best])


def _special_ids(folder: Path) -> list[int]:
    """Special tokens other than the end of the turn."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    return [token for token in tokenizer.all_special_ids if token != tokenizer.eos_token_id]


def test_greedy_text_does_not_depend_on_the_batch_or_the_seed(tiny_model: Path) -> None:
    alone, together = (LocalBackend(tiny_model, device="cpu", batch_size=size) for size in (1, 7))
    expected = alone.generate(REQUESTS, SHORT)
    assert len(set(expected)) > 3
    assert together.generate(REQUESTS, SHORT) == expected
    assert together.generate(REQUESTS, Sampling(max_new_tokens=8, seed=9)) == expected


def test_sampled_text_is_reproduced_by_its_seed(backend: LocalBackend) -> None:
    one, other = (Sampling(temperature=1.5, max_new_tokens=12, seed=seed) for seed in (1, 2))
    assert backend.generate(REQUESTS, one) == backend.generate(REQUESTS, one)
    assert backend.generate(REQUESTS, one) != backend.generate(REQUESTS, other)
    assert backend.generate(REQUESTS, one) != backend.generate(REQUESTS, Sampling(max_new_tokens=12))


def test_sampling_settings_of_the_model_do_not_count(tiny_model: Path, tmp_path: Path, backend: LocalBackend) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "copy")
    settings = json.loads((folder / "generation_config.json").read_text())
    settings |= {"do_sample": True, "temperature": 0.3, "top_k": 1, "repetition_penalty": 5.0}
    (folder / "generation_config.json").write_text(json.dumps(settings))
    changed = LocalBackend(folder, device="cpu", batch_size=3)
    hot = Sampling(temperature=1.5, max_new_tokens=12, seed=1)
    for sampling in (hot, SHORT):
        assert changed.generate(REQUESTS, sampling) == backend.generate(REQUESTS, sampling)


def test_special_tokens_are_never_drawn(tiny_model: Path) -> None:
    model, processor = _parts(tiny_model)
    wanted = _special_ids(tiny_model)
    drawn: list[int] = []
    real = model.generate

    def spy(**inputs: Any) -> torch.Tensor:
        tokens = real(**inputs)
        drawn.extend(tokens[:, inputs["input_ids"].shape[1] :].flatten().tolist())
        return tokens

    def favour(module: Any, arguments: Any, output: Any) -> Any:
        output[..., wanted] += 100.0
        return output

    model.generate = spy
    model.lm_head.register_forward_hook(favour)
    backend = LocalBackend.from_model(model, processor, "m", "r")
    for sampling in (SHORT, Sampling(temperature=1.0, max_new_tokens=8)):
        backend.generate(REQUESTS[:2], sampling)
    padding = processor.tokenizer.pad_token_id  # stands after an answer that has ended
    assert drawn
    assert not set(drawn) & (set(wanted) - {padding})


def test_an_answer_ends_at_the_end_of_the_turn(tiny_model: Path) -> None:
    model, processor = _parts(tiny_model)

    def end(module: Any, arguments: Any, output: Any) -> Any:
        output[..., processor.tokenizer.eos_token_id] += 1000.0
        return output

    model.lm_head.register_forward_hook(end)
    backend = LocalBackend.from_model(model, processor, "m", "r")
    assert backend.generate(REQUESTS[:2], SHORT) == [request.prefix for request in REQUESTS[:2]]


# --- a model under training ---------------------------------------------------------------------------------


def test_a_model_under_training_is_left_as_it_was(tiny_model: Path) -> None:
    model, processor = _parts(tiny_model)
    model.train()
    model.model.visual.eval()  # frozen on purpose
    modes = [module.training for module in model.modules()]
    side = processor.tokenizer.padding_side
    seen: list[tuple[bool, bool]] = []

    def look(module: Any, arguments: Any) -> None:
        seen.append((module.training, torch.is_grad_enabled()))

    model.lm_head.register_forward_pre_hook(look)
    backend = LocalBackend.from_model(model, processor, "run", "step 7")
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    backend.read(REQUESTS[:2], CHOICES)
    backend.generate(REQUESTS[:2], Sampling(temperature=1.0, max_new_tokens=2))
    assert torch.equal(torch.rand(3), expected)  # the training's random state was not touched
    assert seen
    assert set(seen) == {(False, False)}
    assert [module.training for module in model.modules()] == modes
    assert {True, False} == set(modes)
    assert torch.is_grad_enabled()
    assert processor.tokenizer.padding_side == side
    assert all(parameter.grad is None for parameter in model.parameters())
    assert (backend.model, backend.revision) == ("run", "step 7")


def test_an_error_also_restores_training(tiny_model: Path) -> None:
    model, processor = _parts(tiny_model)
    model.train()
    backend = LocalBackend.from_model(model, processor, "run", "step 7")
    with pytest.raises(PromptError):
        backend.read([Request(prompts.load("compare/v1"), ())], CHOICES)
    assert all(module.training for module in model.modules())


def test_from_model_reads_like_from_disk(tiny_model: Path, backend: LocalBackend) -> None:
    model, processor = _parts(tiny_model)
    wrapped = LocalBackend.from_model(model, processor, "m", "r", batch_size=2)
    assert wrapped.read(REQUESTS, CHOICES) == pytest.approx(backend.read(REQUESTS, CHOICES), abs=1e-4)


# --- loading ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def adapter(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA that changes something, and names its base by its folder."""
    from peft import LoraConfig, get_peft_model

    model, _ = _parts(tiny_model)
    config = LoraConfig(
        r=4, target_modules=r".*language_model.*\.(q_proj|v_proj)", base_model_name_or_path=str(tiny_model)
    )
    torch.manual_seed(5)
    adapted = get_peft_model(model, config)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    folder = tmp_path_factory.mktemp("adapter") / "lora"
    adapted.save_pretrained(folder)
    return folder


def test_an_adapter_changes_the_answers_and_reloads(tiny_model: Path, adapter: Path, backend: LocalBackend) -> None:
    beside = LocalBackend(tiny_model, adapter=adapter, device="cpu")
    alone = LocalBackend(adapter, device="cpu")
    rows = beside.read(REQUESTS, CHOICES)
    assert np.abs(rows - backend.read(REQUESTS, CHOICES)).max() > 1e-2
    assert alone.read(REQUESTS, CHOICES) == pytest.approx(rows, abs=1e-6)
    assert beside.revision == alone.revision != backend.revision
    assert (beside.model, alone.model) == (f"{tiny_model} + {adapter}", str(adapter))
    assert beside.generate(REQUESTS[:2], SHORT) == alone.generate(REQUESTS[:2], SHORT)


def test_an_adapter_of_the_embedded_model_finds_it(
    tiny_model: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(adapter, tmp_path / "lora")
    settings = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**settings, "base_model_name_or_path": nano.NAME}))
    monkeypatch.setattr(nano, "weights", lambda _: tiny_model)
    expected = LocalBackend(adapter, device="cpu").read(REQUESTS[:2], CHOICES)
    assert LocalBackend(folder, device="cpu").read(REQUESTS[:2], CHOICES) == pytest.approx(expected, abs=1e-6)


def test_an_adapter_on_an_adapter_is_refused(adapter: Path) -> None:
    with pytest.raises(BackendError, match="is itself an adapter"):
        LocalBackend(adapter, adapter=adapter)


def test_a_folder_that_is_no_adapter(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"adapter_config\.json"):
        LocalBackend(tiny_model, adapter=tmp_path)


@pytest.mark.parametrize("damage", ["missing", "cut", "config", "other"])
def test_a_damaged_adapter_is_refused(tiny_model: Path, adapter: Path, tmp_path: Path, damage: str) -> None:
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(adapter, tmp_path / "lora")
    weights = folder / "adapter_model.safetensors"
    if damage == "missing":
        weights.unlink()
    elif damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif damage == "config":
        (folder / "adapter_config.json").write_text("{")
    else:  # some weights are absent: peft alone would go on with fresh ones
        kept = dict(list(load_file(weights).items())[1:])
        save_file(kept, weights)
    with pytest.raises(BackendError, match="lora"):
        LocalBackend(tiny_model, adapter=folder, device="cpu")


def test_the_revision_is_that_of_the_weights(tiny_model: Path, tmp_path: Path, backend: LocalBackend) -> None:
    from safetensors.torch import load_file, save_file

    copy = shutil.copytree(tiny_model, tmp_path / "copy")
    assert LocalBackend(copy, device="cpu").revision == backend.revision
    tensors = load_file(copy / "model.safetensors")
    name = next(iter(tensors))
    tensors[name] = tensors[name] + 1
    save_file(tensors, copy / "model.safetensors", {"format": "pt"})
    changed = LocalBackend(copy, device="cpu").revision
    assert changed != backend.revision
    assert len(changed) == len(backend.revision) == 12


def test_max_pixels_caps_what_the_model_sees(tiny_model: Path, backend: LocalBackend) -> None:
    large = Request(prompts.load("score/v1"), (PICTURES[5],), SCORE_PREFIX)
    small = Request(prompts.load("score/v1"), (PICTURES[5].resize((32, 32), Image.Resampling.BICUBIC),), SCORE_PREFIX)
    capped = LocalBackend(tiny_model, device="cpu", max_pixels=32 * 32)

    def length(of: LocalBackend, requests: Sequence[Request]) -> int:
        return int(of._inputs(requests, [of._text(request) for request in requests])["input_ids"].shape[1])

    assert length(capped, [large]) == length(backend, [small]) < length(backend, [large])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("nothing", "holds no vision-language model"),
        ("cut", "holds no vision-language model"),
        ("config", "config.json cannot be read"),
        ("text_model", "of type gpt2, which takes no pictures"),
        ("weight", "lacks 1 weights"),
        ("shape", "holds no vision-language model"),
        ("pickle", "holds no vision-language model"),
        ("tokenizer", "processor"),
        ("processor", "processor"),
    ],
)
def test_a_damaged_model_is_refused(tiny_model: Path, tmp_path: Path, damage: str, message: str) -> None:
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(tiny_model, tmp_path / "broken")
    weights = folder / "model.safetensors"
    if damage == "nothing":
        for file in folder.iterdir():
            file.unlink()
    elif damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-1000])
    elif damage == "config":
        (folder / "config.json").write_text("{")
    elif damage == "text_model":
        (folder / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    elif damage == "weight":
        tensors = load_file(weights)
        save_file(
            {key: value for key, value in tensors.items() if "layers.1.mlp.down" not in key}, weights, {"format": "pt"}
        )
    elif damage == "shape":
        tensors = load_file(weights)
        name = next(key for key in tensors if "layers.1.mlp.down" in key)
        save_file({**tensors, name: tensors[name][:, 1:].contiguous()}, weights, {"format": "pt"})
    elif damage == "pickle":
        torch.save(load_file(weights), folder / "pytorch_model.bin")
        weights.unlink()
    elif damage == "tokenizer":
        for file in folder.glob("tokenizer*"):
            file.unlink()
    else:
        (folder / "processor_config.json").unlink()
    with pytest.raises(BackendError, match=message) as caught:
        LocalBackend(folder, device="cpu")
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("model", [Path("no/such/folder"), "no/such", "no/such/folder", "a b!"])
def test_an_unknown_model_is_named(model: str | Path) -> None:
    with pytest.raises(BackendError, match=str(model)):
        LocalBackend(model, device="cpu")


def test_a_package_without_weights_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nano, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(BackendError, match=r"lacks config\.json, model\.safetensors.*reinstall"):
        LocalBackend(device="cpu")


@pytest.mark.parametrize("device", ["qq", "cuda:x", "xpu"])
def test_a_device_that_is_not_there(tiny_model: Path, device: str) -> None:
    with pytest.raises(BackendError, match=r"no device|unknown device"):
        LocalBackend(tiny_model, device=device)


@pytest.mark.parametrize("setting", [{"batch_size": 0}, {"max_pixels": 0}])
def test_impossible_settings_are_refused(tiny_model: Path, setting: dict[str, int]) -> None:
    with pytest.raises(InputError, match="at least 1"):
        LocalBackend(tiny_model, device="cpu", **setting)


# --- the whole ----------------------------------------------------------------------------------------------


def test_the_assessor_on_a_real_model(backend: LocalBackend, tiny_model: Path, tmp_path: Path) -> None:
    for name, index in (("a.png", 2), ("b.png", 5)):
        PICTURES[index].save(tmp_path / name)
    fast = Assessor(backend, mode="fast")
    forward = fast.compare(tmp_path / "a.png", tmp_path / "b.png")
    swapped = fast.compare(tmp_path / "b.png", tmp_path / "a.png")
    assert forward.delta is not None
    assert swapped.delta == pytest.approx(-forward.delta, abs=1e-3)
    assert fast.compare(tmp_path / "a.png", tmp_path / "b.png") == forward
    assert forward.revision == backend.revision
    reasoned = Assessor(backend, sampling=SHORT).compare(tmp_path / "a.png", tmp_path / "b.png")
    assert reasoned.winner is None  # nobody says it all in 8 tokens
    assert [comparison.failure for comparison in reasoned.comparisons] == ["cut_off"] * 2
    free = LocalBackend(tiny_model, device="cpu", constrain=False)
    unheld = Assessor(free, sampling=Sampling(max_new_tokens=64)).compare(tmp_path / "a.png", tmp_path / "b.png")
    assert unheld.winner is None  # a random model does not follow the grammar
    assert all(comparison.failure is not None and comparison.held_by is None for comparison in unheld.comparisons)
