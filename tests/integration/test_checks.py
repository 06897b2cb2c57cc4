"""What a stage leaves is what it trained: checks that hold for a resumed run, and fail when something was spoilt."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from redaes.errors import RecordError, TrainingError
from redaes.training.alignment import AlignmentConfig, run_align
from redaes.training.merging import merge
from redaes.training.recipes import parse
from redaes.training.result_checks import ResultCheck, check_result, language
from redaes.types import Rationale

RECIPES = Path(__file__).parents[2] / "stages" / "configs"


@pytest.fixture(scope="module")
def resumed(tiny_model: Path, red_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The result of a run that was interrupted after the first of its two steps."""
    out = tmp_path_factory.mktemp("checks") / "run"
    argv = ["--model", str(tiny_model), "--data", str(red_folder), "--output_dir", str(out), "--max_steps", "2",
            "--save_steps", "1", "--per_device_train_batch_size", "2", "--learning_rate", "1e-2", "--warmup_steps", "0",
            "--nll_weight", "1", "--disable_tqdm", "true"]  # fmt: skip
    recipe = RECIPES / "stage2_nano.yaml"  # bf16: training is autocast, and what is measured must not be
    run_align(*parse(AlignmentConfig, recipe, argv))
    shutil.rmtree(out / "final")
    shutil.rmtree(out / "checkpoint-2")
    final = run_align(*parse(AlignmentConfig, recipe, argv))
    assert json.loads((final / "run_record.json").read_text())["resumed_from"].endswith("checkpoint-1")
    return final


def spoilt(final: Path, folder: Path, factor: float) -> Path:
    """A copy whose adapter counts ``factor`` times."""
    shutil.copytree(final, folder)
    weights = load_file(folder / "adapter_model.safetensors")
    scaled = {name: value * factor if "lora_B" in name else value for name, value in weights.items()}
    save_file(scaled, folder / "adapter_model.safetensors")
    return folder


def by_name(checks: list[ResultCheck]) -> dict[str, ResultCheck]:
    return {check.name: check for check in checks}


def test_a_resumed_run_has_its_adapter_on_once(resumed: Path, red_folder: Path, tmp_path: Path) -> None:
    good = by_name(check_result(resumed, red_folder, n_pairs=0))
    assert good["result"].passed, good
    assert good["merged"].passed, good
    for factor in (0.0, 2.0):
        bad = by_name(check_result(spoilt(resumed, tmp_path / str(factor), factor), red_folder, n_pairs=0))
        assert not bad["result"].passed, bad
        assert bad["merged"].passed


def test_a_merged_model_loads_without_peft_and_equals_the_adapter(
    resumed: Path, red_folder: Path, tmp_path: Path
) -> None:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    out = merge(resumed, tmp_path / "merged")
    loaded = AutoModelForImageTextToText.from_pretrained(out)
    assert not [name for name, _ in loaded.named_parameters() if "lora" in name]
    assert type(AutoProcessor.from_pretrained(out)).__name__ == "Qwen3VLProcessor"
    assert (out / "prompts.json").read_bytes() == (resumed / "prompts.json").read_bytes()
    assert not (out / "adapter_config.json").exists()
    assert by_name(check_result(resumed, red_folder, n_pairs=0, merged=out))["merged"].passed
    other = merge(spoilt(resumed, tmp_path / "twice", 2.0), tmp_path / "other")
    assert not by_name(check_result(resumed, red_folder, n_pairs=0, merged=other))["merged"].passed


def test_a_merge_that_changes_the_model_is_not_written(
    resumed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from peft import PeftModel

    monkeypatch.setattr(PeftModel, "merge_and_unload", lambda self, **_: self.unload(), raising=False)
    with pytest.raises(TrainingError, match="answers otherwise than unmerged"):
        merge(resumed, tmp_path / "merged")
    assert not list(tmp_path.iterdir())


def test_merging_refuses_what_it_would_spoil_or_cannot_read(resumed: Path, tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="nothing is overwritten"):
        merge(resumed, tmp_path)
    with pytest.raises(RecordError, match=r"no adapter_config\.json"):
        merge(tiny_model, tmp_path / "merged")


def test_a_result_is_checked_on_its_own_data(resumed: Path, red_folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "pairs"
    shutil.copytree(red_folder, other)
    next((other / "data").glob("test-*.parquet")).unlink()
    with pytest.raises(RecordError, match="is not the dataset that"):
        check_result(resumed, other, n_pairs=0)


def test_random_weights_have_no_language(resumed: Path, red_folder: Path) -> None:
    found = by_name(check_result(resumed, red_folder, n_pairs=2))["language"]
    assert (found.passed, found.found) == (False, "none of 2 answers follows the grammar")


def reasoning(text: str) -> Rationale:
    return Rationale(text=text, factors=("light",), better="A")


@pytest.mark.parametrize(
    ("answers", "passed"),
    [
        ([reasoning(f"A is brighter than B by {n} levels") for n in range(10)], True),
        ([None, *(reasoning(f"A is brighter than B by {n} levels") for n in range(9))], True),
        ([None, None, *(reasoning(f"A is brighter than B by {n} levels") for n in range(8))], False),
        ([reasoning("A is brighter than B by 3 levels")] * 10, False),
        ([reasoning(f"A {n}") for n in range(10)], False),
        ([reasoning(f"A is brighter than B by {n} levels " * 3) for n in range(10)], False),
    ],
    ids=["alive", "one slip", "two slips", "repeats itself", "short", "long"],
)
def test_collapsed_language_is_seen(answers: list[Any], passed: bool) -> None:
    found = language(answers, [reasoning("A has more light than B in it")] * 10)
    assert found.passed is passed, found


def test_a_dataset_without_answers_is_not_probed(red_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from redaes.records import read_records
    from redaes.training import result_checks

    bare = [
        record.model_copy(update={"rationale": None, "rationale_swapped": None})
        for record in list(read_records(red_folder, "train"))[:3]
    ]
    monkeypatch.setattr(result_checks, "read_records", lambda *_: bare)
    assert result_checks.probe(torch.nn.Linear(1, 1), None, red_folder) is None
