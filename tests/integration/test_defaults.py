"""Settings that would cut, drop, mask, scale or shuffle rows without a word are refused, whoever set them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import trl
from PIL import Image
from test_stages import ALIGNMENT, RECIPES, STAGES, arguments
from transformers import GenerationConfig, Trainer, TrainingArguments

from redaes import prompts
from redaes.backends.base import Request
from redaes.backends.local import LocalBackend
from redaes.backends.sampling import our_sampling
from redaes.errors import TrainingError
from redaes.training.recipes import parse
from redaes.training.refused_settings import EVERY_STAGE, IMITATION, OURS, PREFERENCE, SAMPLING
from redaes.training.sft import PairSFTConfig, run_sft
from redaes.training.stage_arguments import StageArguments
from redaes.types import Sampling

EVERYWHERE = {
    "ignore_data_skip": "true", "auto_find_batch_size": "true", "dataloader_drop_last": "true",
    "dataloader_in_order": "false", "label_smoothing_factor": "0.1", "save_only_model": "true",
}  # fmt: skip
ON_STAGES = {"train_sampling_strategy": "sequential", "data_seed": "1", "torch_compile": "true"}
OF_TRL = {"max_length": "4096", "padding_free": "true", "pad_to_multiple_of": "8",
          "model_init_kwargs": '{"dtype": "bfloat16"}', "pad_token": "<|im_end|>"}  # fmt: skip
REFUSED = {
    "stage1": {**EVERYWHERE, **ON_STAGES, **OF_TRL, "packing": "true", "completion_only_loss": "false",
               "assistant_only_loss": "true", "shuffle_dataset": "true", "eos_token": "<|endoftext|>",
               "chat_template_path": "other.jinja", "dataset_text_field": "prompt"},
    "stage2": {**EVERYWHERE, **ON_STAGES},
    "stage2_dpo": {**EVERYWHERE, **ON_STAGES, **OF_TRL, "precompute_ref_log_probs": "true"},
    "stage3": {**EVERYWHERE, **ON_STAGES, "pad_to_multiple_of": "8", "model_init_kwargs": '{"dtype": "bfloat16"}',
               "temperature": "0", "repetition_penalty": "1.1", "chat_template_kwargs": '{"enable_thinking": true}',
               "generation_kwargs": '{"temperature": 0.5}', "sync_ref_model": "true", "enable_jit_checkpoint": "true",
               "use_transformers_continuous_batching": "true"},
    "warmup_vision": {**EVERYWHERE, **ON_STAGES},
}  # fmt: skip


def test_a_run_of_no_steps_is_refused() -> None:
    with pytest.raises(TrainingError, match="nothing would be trained"):
        read("stage1", "--num_train_epochs", "0", "--max_steps", "-1")


class _Ready(Exception):
    """The trainer would begin."""


@pytest.fixture
def ready(monkeypatch: pytest.MonkeyPatch) -> list[Trainer]:
    """Trainers that would begin."""
    trainers: list[Trainer] = []

    def stop(self: Trainer, *_: object, **__: object) -> None:
        trainers.append(self)
        raise _Ready

    monkeypatch.setattr(Trainer, "train", stop)
    return trainers


def read(stage: str, *more: str) -> None:
    config_class = STAGES[stage][0] if stage in STAGES else TrainingArguments
    parse(config_class, RECIPES / f"{stage}_nano.yaml", ["--bf16", "false", *more])


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("stage", REFUSED)
def test_what_would_spoil_is_refused_by_name(stage: str) -> None:
    read(stage)
    for name, value in REFUSED[stage].items():
        with pytest.raises(TrainingError, match=f"{name} is "):
            read(stage, f"--{name}", value)


@pytest.mark.parametrize(
    "setting", ['{"dispatch_batches": true}', '{"split_batches": true}', '{"even_batches": false}']
)
def test_batches_are_cut_by_the_stage_alone(setting: str) -> None:
    for stage in ("stage1", "stage2", "warmup_vision"):
        with pytest.raises(TrainingError, match=next(iter(json.loads(setting)))):
            read(stage, "--accelerator_config", setting)


def test_every_rule_is_tried() -> None:
    for stage, rules in (("stage1", IMITATION), ("stage2", (*EVERY_STAGE, *OURS)), ("stage2_dpo", PREFERENCE),
                         ("stage3", SAMPLING)):  # fmt: skip
        assert {rule.name for rule in rules} == set(REFUSED[stage])


def test_without_a_word_in_the_recipe_nothing_is_cut(tmp_path: Path) -> None:
    config = PairSFTConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False)
    assert config.max_length is None
    assert not config.remove_unused_columns
    assert ALIGNMENT.ignore_data_skip is False


def test_trls_own_configuration_is_refused_in_a_script(red_folder: Path, tmp_path: Path) -> None:
    config = trl.SFTConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False)
    with pytest.raises(TrainingError, match="max_length is 1024"):
        run_sft(StageArguments(data=str(red_folder)), config)


def test_a_recipe_of_ones_own_learns_whole_answers(
    tiny_model: Path, red_folder: Path, tmp_path: Path, ready: list[Trainer]
) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("max_steps: 1\nuse_cpu: true\nbf16: false\ngradient_checkpointing: false\nreport_to: none\n")
    argv = ["--config", str(recipe), "--data", str(red_folder), "--model", str(tiny_model), "--max_pixels", "4096"]
    with pytest.raises(_Ready):
        run_sft(*parse(PairSFTConfig, recipe, [*argv, "--output_dir", str(tmp_path / "run")]))
    collator = ready[0].data_collator.collate  # TRL's, without what looks at each picture once
    assert collator.max_length is None
    assert collator.completion_only_loss
    with pytest.raises(TrainingError, match=r"max_length is 300: .* cut"):
        parse(PairSFTConfig, recipe, [*argv, "--output_dir", str(tmp_path / "run"), "--max_length", "300"])


REQUEST = Request(prompts.load("compare_fast/v1"), (Image.new("RGB", (64, 64)), Image.new("RGB", (64, 64), "red")))
OF_THE_FILES = {
    "do_sample": True, "temperature": 0.1, "top_k": 1, "top_p": 0.1, "min_p": 0.9, "typical_p": 0.2,
    "repetition_penalty": 3.0, "no_repeat_ngram_size": 2, "epsilon_cutoff": 0.1, "eta_cutoff": 0.1,
    "bad_words_ids": [[5]], "forced_bos_token_id": 7, "begin_suppress_tokens": [9], "max_time": 0.001,
}  # fmt: skip


@pytest.fixture
def opinionated(tiny_model: Path, tmp_path: Path) -> Path:
    """A model whose files say how to sample, and more than Qwen's do."""
    folder = tmp_path / "opinionated"
    shutil.copytree(tiny_model, folder)
    file = folder / "generation_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **OF_THE_FILES}))
    return folder


def test_what_a_models_files_say_about_sampling_moves_no_completion(
    opinionated: Path, tiny_model: Path, red_folder: Path, tmp_path: Path, ready: list[Trainer]
) -> None:
    config = []
    for model in (tiny_model, opinionated):
        with pytest.raises(_Ready):
            STAGES["stage3"][1](*arguments("stage3", model, red_folder, tmp_path / f"run-{model.name}"))
        trainer = ready.pop()
        made, _ = trainer.model._prepare_generation_config(GenerationConfig(**trainer.generation_kwargs))
        config.append({name: value for name, value in made.to_dict().items() if name != "_from_model_config"})
    assert config[0] == config[1]


def test_nor_any_answer_that_a_local_model_is_asked_for(opinionated: Path, tiny_model: Path) -> None:
    sampling = Sampling(temperature=1.0, max_new_tokens=12, seed=3)
    made: list[object] = []
    for model in (tiny_model, opinionated):
        backend = LocalBackend(model, device="cpu")
        own = backend._network.generation_config
        with our_sampling(backend._network):
            found, _ = backend._network._prepare_generation_config(backend._generation_config(sampling))
        made.append({name: value for name, value in found.to_dict().items() if name != "_from_model_config"})
        made.append(backend.generate([REQUEST], sampling))
        assert backend._network.generation_config is own
    assert made[:2] == made[2:]
