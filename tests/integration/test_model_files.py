"""What lies beside a result's weights: the base's own files, in the forms that transformers 4 and 5 read."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from forward_pass import forward_pass

from redaes.backends.loading import load_processor
from redaes.backends.preprocessing import PictureSize, picture_size
from redaes.file_writing import read_json, write_json
from redaes.models import nano
from redaes.training.merging import merge
from redaes.training.model_files import loads_in, save_processor
from redaes.training.stage_arguments import StageArguments
from redaes.training.stage_model import load_model

CAP = 64 * 64
CHANGED = {"config.json", "tokenizer_config.json", "processor_config.json"}
"""Of a base that transformers 5 wrote, what a result has in another form."""


def adapter_on(model: str, folder: Path) -> Path:
    """An adapter that changes the answers, with its processor, as a stage leaves it; nothing is trained."""
    from redaes.backends.loading import model_folder

    torch.manual_seed(0)
    network: Any = load_model(StageArguments(model=model, lora_r=4), torch.float32)
    for name, weight in network.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.05)
    network.save_pretrained(folder)
    save_processor(load_processor(model_folder(model), CAP), model_folder(model), folder)
    return folder


@pytest.fixture(scope="module")
def adapter(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return adapter_on(str(tiny_model), tmp_path_factory.mktemp("files") / "final")


@pytest.fixture(scope="module")
def merged(adapter: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return merge(adapter, tmp_path_factory.mktemp("files") / "merged")


def settings(folder: Path, name: str) -> dict[str, Any]:
    return read_json(folder / name)


def test_a_result_has_the_bases_files_and_the_old_names(tiny_model: Path, adapter: Path, merged: Path) -> None:
    for folder in (adapter, merged):
        for file in tiny_model.iterdir():
            if file.suffix in (".json", ".jinja") and file.name not in {*CHANGED, "generation_config.json"}:
                assert (folder / file.name).read_bytes() == file.read_bytes(), file.name
        tokenizer = settings(folder, "tokenizer_config.json")
        assert "<|image_pad|>" in tokenizer["additional_special_tokens"]
        assert "extra_special_tokens" not in tokenizer  # a list there stops transformers 4
        flat, nested = settings(folder, "preprocessor_config.json"), settings(folder, "processor_config.json")
        assert flat["size"] == nested["image_processor"]["size"] == PictureSize(1024, CAP).as_dict()
        assert flat["processor_class"] == nested["processor_class"] == "Qwen3VLProcessor"
        video = settings(folder, "video_preprocessor_config.json")
        assert video["size"] == nested["video_processor"]["size"] == {"shortest_edge": 1024, "longest_edge": 96 * 96}
    text = settings(merged, "config.json")["text_config"]
    assert text["rope_theta"] == text["rope_parameters"]["rope_theta"] == 10_000.0
    assert text["rope_scaling"]["mrope_section"] == text["rope_parameters"]["mrope_section"]
    card = (merged / "README.md").read_text()
    assert "transformers 4.57 and 5" in card
    assert f"{CAP:,} pixels" in card
    assert "lora" not in "".join(settings(merged, "config.json"))


def test_a_result_loads_as_it_was_made(tiny_model: Path, adapter: Path, merged: Path) -> None:
    base, theirs, alone = (load_processor(folder, None) for folder in (tiny_model, adapter, merged))
    for processor in (theirs, alone):
        assert processor.chat_template == base.chat_template
        assert processor.tokenizer.get_vocab() == base.tokenizer.get_vocab()
        assert set(processor.tokenizer.all_special_tokens) == set(base.tokenizer.all_special_tokens)
        assert picture_size(merged) == PictureSize(1024, CAP)
        assert processor.image_processor.size["longest_edge"] == CAP


@pytest.fixture
def from_the_hub(tiny_model: Path, tmp_path: Path) -> Path:
    """The tiny model with its files as Qwen's own repositories have them."""
    folder = tmp_path / "hub"
    shutil.copytree(tiny_model, folder)
    nested = settings(folder, "processor_config.json")
    (folder / "processor_config.json").unlink()
    flat = {**nested["image_processor"], "image_processor_type": "Qwen2VLImageProcessorFast"}
    del flat["size"]
    write_json(
        folder / "preprocessor_config.json",
        {**flat, "min_pixels": 3136, "max_pixels": 9216, "processor_class": "Qwen3VLProcessor"},
    )
    write_json(folder / "video_preprocessor_config.json", nested["video_processor"])
    template = (folder / "chat_template.jinja").read_text()
    (folder / "chat_template.jinja").unlink()
    write_json(folder / "chat_template.json", {"chat_template": template})
    tokenizer = settings(folder, "tokenizer_config.json")
    tokenizer["additional_special_tokens"] = tokenizer.pop("extra_special_tokens")
    tokenizer["chat_template"] = template
    write_json(folder / "tokenizer_config.json", tokenizer)
    return folder


def test_files_of_the_hub_stay_as_they_are(from_the_hub: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "processor_config.json").write_text("{}")  # as a trainer of transformers 5 leaves it
    save_processor(load_processor(from_the_hub, CAP), from_the_hub, out)
    assert not (out / "processor_config.json").exists()
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.json", "video_preprocessor_config.json"):
        assert (out / name).read_bytes() == (from_the_hub / name).read_bytes(), name
    before, after = (settings(folder, "preprocessor_config.json") for folder in (from_the_hub, out))
    size = {"size": {"shortest_edge": 3136, "longest_edge": CAP}, "min_pixels": 3136, "max_pixels": CAP}
    assert after == {**before, **size}
    assert load_processor(out, None).image_processor.size["longest_edge"] == CAP
    same = tmp_path / "same"
    same.mkdir()
    save_processor(load_processor(from_the_hub, None), from_the_hub, same)
    for file in same.iterdir():
        assert file.read_bytes() == (from_the_hub / file.name).read_bytes(), file.name


@pytest.mark.parametrize("layout", ["hub", "transformers 5"])
def test_a_template_of_training_goes_along(layout: str, from_the_hub: Path, tiny_model: Path, tmp_path: Path) -> None:
    base = from_the_hub if layout == "hub" else tiny_model
    processor = load_processor(base, None)
    changed = processor.chat_template + "{#- changed for training #}"
    processor.chat_template = changed
    out = tmp_path / "out"
    out.mkdir()
    save_processor(processor, base, out)
    assert (out / "chat_template.jinja").read_text() == changed
    assert not (out / "chat_template.json").exists()  # transformers 4 would prefer it
    assert "chat_template" not in settings(out, "tokenizer_config.json")
    again = load_processor(out, None)
    assert again.chat_template == again.tokenizer.chat_template == changed


@pytest.mark.parametrize("family", ["qwen3_vl", "qwen2_5_vl", "qwen3_5", "qwen3_vl_moe"])
def test_what_is_said_of_versions(family: str, tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", {"model_type": family})
    assert ("4.57" in loads_in(tmp_path)) is (family in ("qwen3_vl", "qwen2_5_vl"))


# --- transformers 4.57 ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def python() -> str:
    found = os.environ.get("REDAES_TRANSFORMERS4_PYTHON")
    if not found:
        pytest.fail("REDAES_TRANSFORMERS4_PYTHON names no Python of an environment with transformers 4.57")
    return found


def in_transformers_4(python: str, *arguments: Path) -> dict[str, np.ndarray]:
    environment = {**os.environ, "PYTHONPATH": ""}
    script = Path(__file__).with_name("forward_pass.py")
    done = subprocess.run([python, script, *arguments], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    found = dict(np.load(arguments[1]))
    assert str(found["version"]).startswith("4.57.")
    return found


def assert_alike(four: dict[str, np.ndarray], five: dict[str, np.ndarray]) -> None:
    assert str(four["chat"]) == str(five["chat"])
    for name in ("input_ids", "image_grid_thw"):
        assert np.array_equal(four[name], five[name])
    assert np.abs(four["pixel_values"] - five["pixel_values"]).max() < 1e-5
    if "logits" in five:
        assert np.abs(four["logits"] - five["logits"]).max() < 1e-4
        assert np.ptp(five["logits"]) > 0.1


@pytest.mark.transformers4
@pytest.mark.parametrize("base", [nano.BASE, "qwen2.5"])
def test_results_load_in_transformers_4_and_answer_alike(
    base: str, python: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = base
    if base == "qwen2.5":
        monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
        import stages_at_scale

        model = str(tmp_path / "base")
        stages_at_scale.build(Path(model), stages_at_scale.SHAPES["tiny"])
    adapter = adapter_on(model, tmp_path / "final")
    merged = merge(adapter, tmp_path / "merged")
    written_by_4 = tmp_path / "written_by_4"
    assert_alike(in_transformers_4(python, adapter, tmp_path / "adapter.npz"), forward_pass(adapter))
    found = forward_pass(merged)
    assert_alike(in_transformers_4(python, merged, tmp_path / "merged.npz", written_by_4), found)
    # What transformers 4 writes is a base like those on the hub.
    assert_alike(found, forward_pass(written_by_4))
    on_that = merge(adapter_on(str(written_by_4), tmp_path / "final4"), tmp_path / "merged4")
    assert not (on_that / "processor_config.json").exists() or "image_processor" not in settings(
        on_that, "processor_config.json"
    )
    assert_alike(in_transformers_4(python, on_that, tmp_path / "merged4.npz"), forward_pass(on_that))
