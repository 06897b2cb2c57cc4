"""The card of a trained model, and the way of a result to the hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import ModelCard
from huggingface_hub.errors import OfflineModeIsEnabled

from redaes.errors import RedaesError
from redaes.training.model_card import model_card
from redaes.training.recipes import parse
from redaes.training.sft import PairSFTConfig, run_sft

RECIPE = Path(__file__).parents[2] / "stages" / "configs" / "stage1_nano.yaml"
PROMPTS = {"compare/v1": "compare/v1@0123456789ab", "score/v1": "score/v1@ba9876543210"}


def record(**changes: Any) -> dict[str, Any]:
    arguments = {"model": "Qwen/Qwen3-VL-2B-Instruct", "data": "/home/me/pairs", "adapter": "/home/me/stage1/final",
                 "full_training": False, "lora_r": 64, "max_pixels": None} | changes  # fmt: skip
    return {
        "stage": "stage2_align",
        "arguments": arguments,
        "training_arguments": {"learning_rate": 5e-5, "output_dir": "/home/me/r", "seed": 3, "hub_token": "<TOKEN>",
                               "evidence_version": "evidence/1 claims/1"},
        "data_hash": "d" * 64,
        "metrics": {"train_loss": 0.123456, "note": "no number"},
        "versions": {"torch": "2.13.0", "trl": "1.16.0"},
    }  # fmt: skip


HISTORY = [{"loss": 9.0, "step": 1}, {"loss": 0.5, "preference": 0.25, "step": 2}, {"train_runtime": 3.0, "step": 2}]


def test_the_card_carries_data_prompts_and_figures() -> None:
    text = model_card(record(), PROMPTS, HISTORY, base_on_hub=True)
    for expected in ("d" * 64, *PROMPTS.values(), "| preference | 0.25 |", "| train_loss | 0.1235 |", "| seed | 3 |",
                     "| learning_rate | 5e-05 |", "| evidence_version | evidence/1 claims/1 |",
                     "torch 2.13.0", "not calibrated"):  # fmt: skip
        assert expected in text
    assert "| loss | 0.5 |" in text
    assert "/home/me" not in text
    assert "TOKEN" not in text


def test_the_hub_can_read_its_header() -> None:
    data = ModelCard(model_card(record(), PROMPTS, HISTORY, base_on_hub=True)).data
    assert (data.base_model, data.library_name) == ("Qwen/Qwen3-VL-2B-Instruct", "peft")
    for model in ("redaes/nano", "/home/me/model", "runs/warm"):
        text = model_card(record(model=model), PROMPTS, HISTORY, base_on_hub=False)
        assert ModelCard(text).data.base_model is None
        assert "/home/me" not in text
    whole = model_card(record(full_training=True), PROMPTS, [], base_on_hub=True)
    assert ModelCard(whole).data.library_name == "transformers"


class FakeHub:
    """Records what would be uploaded."""

    uploads: list[dict[str, Any]]
    fails: bool

    def create_repo(self, repository: str, **options: Any) -> str:
        assert options == {"repo_type": "model", "private": True, "exist_ok": True}
        return f"https://example.org/{repository}"

    def upload_folder(self, **options: Any) -> None:
        if self.fails:
            raise OfflineModeIsEnabled("offline mode is enabled")
        self.uploads.append(options)


def test_a_result_goes_to_the_hub_when_it_is_whole(
    tiny_model: Path,
    red_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(huggingface_hub, "HfApi", FakeHub)
    FakeHub.uploads, FakeHub.fails = [], True
    argv = ["--model", str(tiny_model), "--data", str(red_folder), "--output_dir", str(tmp_path / "run"),
            "--max_steps", "1", "--bf16", "false", "--per_device_train_batch_size", "2"]  # fmt: skip
    upload = ["--push_to_hub", "true", "--hub_model_id", "me/model"]
    with pytest.raises(RedaesError, match=r"not uploaded to me/model .*hf upload me/model .*--repo-type model"):
        run_sft(*parse(PairSFTConfig, RECIPE, argv + upload))
    final = tmp_path / "run" / "final"
    made = (final / "run_record.json").read_bytes()
    FakeHub.fails = False
    assert run_sft(*parse(PairSFTConfig, RECIPE, argv + upload)) == final  # nothing is trained again
    (sent,) = FakeHub.uploads
    assert (sent["folder_path"], sent["repo_type"], sent["repo_id"]) == (final, "model", "me/model")
    assert "uploaded: https://example.org/me/model" in capsys.readouterr().out
    assert (final / "run_record.json").read_bytes() == made
    card = (final / "README.md").read_text()
    assert json.loads(made)["data_hash"] in card
    assert "compare/v1@" in card
    assert run_sft(*parse(PairSFTConfig, RECIPE, argv)) == final
    assert len(FakeHub.uploads) == 1
