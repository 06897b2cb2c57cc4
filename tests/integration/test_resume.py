"""A run that goes on has the weights that were saved, on the rows that were left, or it does not go on."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from train_runs import POLICY, configured, train

from redaes.errors import RecordError, TrainingError
from redaes.training import checkpoints
from redaes.training.run_record import environment
from redaes.training.sampled_log_probs import SampledLogProbs
from redaes.training.stage_run import claim

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from stages_at_scale import SHAPES, build


def options(data: Path, out: Path, *more: str) -> list[str]:
    return ["--data", str(data), "--output_dir", str(out), "--max_steps", "4", "--save_steps", "2",
            "--learning_rate", "1e-3", "--warmup_steps", "0", "--bf16", "false", "--logging_steps", "1",
            "--disable_tqdm", "true", *more]  # fmt: skip


def cut_off(whole: Path, out: Path) -> Path:
    """What a run leaves that is killed after its first checkpoint."""
    shutil.copytree(whole, out)
    shutil.rmtree(out / "final")
    shutil.rmtree(out / "checkpoint-4")
    return out


def history(final: Path, name: str) -> list[float]:
    entries = json.loads((final / "trainer_state.json").read_text())["log_history"]
    return [entry[name] for entry in entries if name in entry]


@pytest.fixture(scope="module")
def policy(red_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a stage 3 with a reference, as every recipe of a real model has it."""
    out = tmp_path_factory.mktemp("policy") / "run"
    return train("stage3", options(red_folder, out, *POLICY)).parent


def test_only_the_policy_is_saved(policy: Path) -> None:
    for folder in (policy / "checkpoint-2", policy / "final"):
        assert [file.name for file in folder.rglob("*.safetensors")] == ["adapter_model.safetensors"]
        assert folder.joinpath("adapter_model.safetensors").is_file()
    assert not (policy / "README.md").exists()  # TRL's card names no base; the one in final/ is ours
    # Two adapters, or the resumed run below would prove nothing.
    record = json.loads((policy / "final" / "run_record.json").read_text())
    assert (record["training_arguments"]["beta"], record["metrics"]["shares_prompts"]) == (0.05, True)


def test_a_resumed_policy_is_the_one_that_was_saved(policy: Path, red_folder: Path, tmp_path: Path) -> None:
    cut = cut_off(policy, tmp_path / "cut")
    final = train("stage3", options(red_folder, cut, *POLICY))
    whole, resumed, first = (
        load_file(folder / "adapter_model.safetensors") for folder in (policy / "final", final, cut / "checkpoint-2")
    )
    assert any(not torch.equal(first[name], whole[name]) for name in whole)  # the policy does learn
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert history(final, "kl") == history(policy / "final", "kl")
    record = json.loads((final / "run_record.json").read_text())
    assert record["resumed_weights"] == checkpoints.digest(first)
    assert record["weights"] == checkpoints.digest(resumed)


def test_a_run_whose_old_policy_is_the_samplers_goes_on_as_it_would_have(
    red_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[bool] = []
    known = SampledLogProbs.of

    def noted(self: SampledLogProbs, answer_ids: torch.Tensor, answer_mask: torch.Tensor) -> torch.Tensor | None:
        found = known(self, answer_ids, answer_mask)
        taken.append(found is not None)
        return found

    monkeypatch.setattr(SampledLogProbs, "of", noted)
    # Answers are used in two optimizer steps, and made anew at the checkpoint.
    outliving = [*POLICY, "--per_device_train_batch_size", "4", "--steps_per_generation", "2"]
    whole = train("stage3", options(red_folder, tmp_path / "whole", *outliving)).parent
    cut = cut_off(whole, tmp_path / "cut")
    final = train("stage3", options(red_folder, cut, *outliving))
    assert taken == [True] * 3  # twice in the whole run, once after the checkpoint
    wanted, resumed, first = (
        load_file(folder / "adapter_model.safetensors") for folder in (whole / "final", final, cut / "checkpoint-2")
    )
    assert any(not torch.equal(first[name], wanted[name]) for name in wanted)
    assert all(torch.equal(wanted[name], resumed[name]) for name in wanted)
    assert history(final, "kl") == history(whole / "final", "kl")


def test_a_run_that_was_begun_before_prompts_were_shared_goes_on_as_it_did(red_folder: Path, tmp_path: Path) -> None:
    apart = [*POLICY, "--share_prompts", "false"]
    whole = train("stage3", options(red_folder, tmp_path / "whole", *apart)).parent
    cut = cut_off(whole, tmp_path / "cut")
    for file in (cut / "settings.json", cut / "checkpoint-2" / "settings.json"):
        settings = json.loads(file.read_text())
        del settings["share_prompts"]
        file.write_text(json.dumps(settings))
    refused = (
        r"settings \(share_prompts: False -> True\); an earlier version began it: set share_prompts: false to go on"
    )
    with pytest.raises(TrainingError, match=refused):
        train("stage3", options(red_folder, cut, *POLICY))
    with pytest.raises(TrainingError, match=r"settings \(learning_rate: .*, share_prompts: False -> True\); choose"):
        train("stage3", options(red_folder, cut, *POLICY, "--learning_rate", "0.5"))
    final = train("stage3", options(red_folder, cut, *apart))
    wanted, got = (load_file(folder / "adapter_model.safetensors") for folder in (whole / "final", final))
    assert all(torch.equal(wanted[name], got[name]) for name in wanted)
    assert history(final, "kl") == history(whole / "final", "kl")


def test_a_checkpoint_with_a_second_adapter_is_resumed_by_its_policy(
    policy: Path, red_folder: Path, tmp_path: Path
) -> None:
    cut = cut_off(policy, tmp_path / "cut")
    checkpoint = cut / "checkpoint-2"
    (checkpoint / "ref").mkdir()  # what peft writes when it is not told otherwise
    shutil.copy(checkpoint / "adapter_config.json", checkpoint / "ref")
    weights = load_file(checkpoint / "adapter_model.safetensors")
    save_file(
        {name: torch.zeros_like(value) for name, value in weights.items()}, checkpoint / "ref/adapter_model.safetensors"
    )
    final = train("stage3", options(red_folder, cut, *POLICY))
    assert json.loads((final / "run_record.json").read_text())["resumed_weights"] == checkpoints.digest(weights)


def test_a_checkpoint_that_was_not_loaded_ends_the_run(
    policy: Path, red_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from peft import PeftModel

    cut = cut_off(policy, tmp_path / "cut")
    monkeypatch.setattr(PeftModel, "load_adapter", lambda *_args, **_kwargs: None)
    with pytest.raises(TrainingError, match=r"resumed from .*checkpoint-2: .* weights differ, such as .*lora_"):
        train("stage3", options(red_folder, cut, *POLICY))
    assert not (cut / "final").exists()


def test_a_checkpoint_that_was_not_saved_as_it_is_ends_the_run(
    tiny_model: Path, red_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = checkpoints.ExactCheckpoints._save

    def save_less(self: Any, output_dir: str, state_dict: Any = None) -> None:
        save(self, output_dir, state_dict)
        file = Path(output_dir) / "adapter_model.safetensors"
        weights = load_file(file)
        name = sorted(weights)[0]
        save_file({**weights, name: weights[name] + 1}, file, metadata={"format": "pt"})

    monkeypatch.setattr(checkpoints.ExactCheckpoints, "_save", save_less)
    with pytest.raises(TrainingError, match=r"saved to .*checkpoint-2: .*\(1 of \d+ weights differ, .* by up to 1\)"):
        train("stage1", options(red_folder, tmp_path / "run", "--model", str(tiny_model)))


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_a_whole_model_is_resumed_whole(family: str, tiny_model: Path, red_folder: Path, tmp_path: Path) -> None:
    """transformers finds none of a Qwen2.5-VL's weights under the names that its own files have, and goes on."""
    model = tiny_model
    if family == "qwen2_5_vl":
        model = tmp_path / "model"
        build(model, SHAPES["tiny"])
    more = ["--model", str(model), "--full_training", "true", "--max_pixels", "3136"]
    whole = train("stage1", options(red_folder, tmp_path / "whole", *more))
    final = train("stage1", options(red_folder, cut_off(whole.parent, tmp_path / "cut"), *more))
    wanted, got = (load_file(folder / "model.safetensors") for folder in (whole, final))
    assert all(torch.equal(wanted[name], got[name]) for name in wanted)
    assert history(final, "loss") == history(whole, "loss")


def test_a_warm_up_that_is_a_share_of_the_steps_is_gone_on_with(
    tiny_model: Path, red_folder: Path, tmp_path: Path
) -> None:
    """The recipes of real models say ``warmup_steps: 0.03``."""
    more = ["--model", str(tiny_model), "--warmup_steps", "0.75", "--lr_scheduler_type", "cosine"]
    whole = train("stage1", options(red_folder, tmp_path / "whole", *more))
    rates = history(whole, "learning_rate")
    assert rates == pytest.approx([0, 1e-3 / 3, 2e-3 / 3, 1e-3])
    final = train("stage1", options(red_folder, cut_off(whole.parent, tmp_path / "cut"), *more))
    assert history(final, "learning_rate") == rates
    assert history(final, "loss") == history(whole, "loss")


# --- what a run may go on with ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def begun(tiny_model: Path, red_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stage 1 that was cut off after its first checkpoint."""
    folder = tmp_path_factory.mktemp("begun")
    whole = train("stage1", options(red_folder, folder / "whole", "--model", str(tiny_model)))
    return cut_off(whole.parent, folder / "cut")


@pytest.fixture
def ask(tiny_model: Path, red_folder: Path) -> Callable[..., Any]:
    def ask(out: Path, *more: str) -> Any:
        return claim("stage1_sft", *configured("stage1", options(red_folder, out, "--model", str(tiny_model), *more)))

    return ask


def test_the_checkpoint_that_is_named_is_taken(begun: Path, ask: Callable[..., Any]) -> None:
    assert ask(begun).checkpoint == begun / "checkpoint-2"
    assert ask(begun, "--resume_from_checkpoint", "true").checkpoint == begun / "checkpoint-2"
    assert ask(begun, "--resume_from_checkpoint", str(begun / "checkpoint-2")).checkpoint == begun / "checkpoint-2"


@pytest.mark.parametrize(
    ("named", "match"),
    [
        ("{other}/nowhere", "/nowhere is not a folder, so it is not a complete checkpoint; give a checkpoint-N folder"),
        ("{begun}", "has no readable trainer_state.json"),
        ("{other}/checkpoint-2", r"belongs to another run than output_dir .*--adapter"),
        ("false", "choose another output_dir than .* to start again"),
    ],
)
def test_a_checkpoint_that_is_none_of_the_run_is_refused(
    named: str, match: str, begun: Path, ask: Callable[..., Any], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    (other / "checkpoint-2").mkdir(parents=True)
    shutil.copy(begun / "checkpoint-2" / "trainer_state.json", other / "checkpoint-2")
    with pytest.raises(RecordError, match=match):
        ask(begun, "--resume_from_checkpoint", named.format(begun=begun, other=other))


def test_weights_alone_are_not_gone_on_from(begun: Path, ask: Callable[..., Any], tmp_path: Path) -> None:
    shutil.copytree(begun, tmp_path / "run")
    (tmp_path / "run" / "checkpoint-2" / "optimizer.pt").unlink()
    with pytest.raises(RecordError, match=r"has no optimizer state.* schedule again; give --adapter \S+-2 and"):
        ask(tmp_path / "run")
    (tmp_path / "run" / "checkpoint-2" / "model.safetensors").touch()
    with pytest.raises(RecordError, match=r"give --model \S+-2 and"):
        ask(tmp_path / "run")


def test_an_optimizer_without_its_schedule_is_not_gone_on_from(
    begun: Path, ask: Callable[..., Any], tmp_path: Path
) -> None:
    shutil.copytree(begun, tmp_path / "run")
    (tmp_path / "run" / "checkpoint-2" / "scheduler.pt").unlink()  # transformers would load neither
    with pytest.raises(RecordError, match=r"has no scheduler\.pt: .* a new optimizer and schedule"):
        ask(tmp_path / "run")


def test_a_checkpoint_knows_its_run_wherever_it_is_copied(begun: Path, ask: Callable[..., Any], tmp_path: Path) -> None:
    checkpoint = tmp_path / "run" / "checkpoint-2"
    shutil.copytree(begun / "checkpoint-2", checkpoint)
    assert ask(tmp_path / "run").checkpoint == checkpoint
    with pytest.raises(TrainingError, match=r"checkpoint-2 holds a run with other settings \(learning_rate: 0.001 -> "):
        ask(tmp_path / "run", "--learning_rate", "0.5")
    (checkpoint / "settings.json").unlink()
    with pytest.raises(TrainingError, match=r"has no settings\.json, nor has .*--adapter .*checkpoint-2"):
        ask(tmp_path / "run")
    shutil.copy(begun / "settings.json", tmp_path / "run")  # what a run of an earlier version left
    assert ask(tmp_path / "run").checkpoint == checkpoint


def test_settings_that_are_mappings_count(begun: Path, ask: Callable[..., Any]) -> None:
    with pytest.raises(TrainingError, match=r'lr_scheduler_kwargs: None -> \{"num_cycles": 2\}'):
        ask(begun, "--lr_scheduler_kwargs", '{"num_cycles": 2}')


def test_other_prompts_and_versions(begun: Path, ask: Callable[..., Any], tmp_path: Path, capsys: Any) -> None:
    shutil.copytree(begun, tmp_path / "run")
    file = tmp_path / "run" / "checkpoint-2" / "settings.json"
    settings = json.loads(file.read_text())
    file.write_text(json.dumps({**settings, "versions": {**settings["versions"], "torch": "1.0"}}))
    assert ask(tmp_path / "run").checkpoint == file.parent
    assert "goes on with other packages than it began with (torch 1.0 -> " in capsys.readouterr().err
    file.write_text(json.dumps({**settings, "prompts": ["score 0"]}))
    with pytest.raises(TrainingError, match="prompts: "):
        ask(tmp_path / "run")


def test_a_run_that_ended_while_its_result_was_written_takes_no_further_step(
    tiny_model: Path, red_folder: Path, tmp_path: Path
) -> None:
    more = ["--model", str(tiny_model), "--max_steps", "2", "--lr_scheduler_type", "constant"]
    final = train("stage1", options(red_folder, tmp_path / "run", *more))
    whole = json.loads((final / "run_record.json").read_text())
    (final / "run_record.json").unlink()
    again = json.loads((train("stage1", options(red_folder, final.parent, *more)) / "run_record.json").read_text())
    assert again["weights"] == again["resumed_weights"] == whole["weights"]
    assert again["metrics"]["train_loss"] == pytest.approx(whole["metrics"]["train_loss"])
    assert again["metrics"]["train_steps_per_second"] == 0
    for name in ("optimizer.pt", "adapter_model.safetensors"):
        file = final.parent / "checkpoint-2" / name
        (final / "run_record.json").unlink(missing_ok=True)
        data = file.read_bytes()
        file.write_bytes(data[: len(data) // 2])
        with pytest.raises(TrainingError, match=r"checkpoint-2 cannot be read \(.*delete it to go on from the one"):
            train("stage1", options(red_folder, final.parent, *more))
        file.write_bytes(data)


def test_figures_of_a_resumed_run_are_those_of_the_whole(policy: Path, red_folder: Path, tmp_path: Path) -> None:
    cut = cut_off(policy, tmp_path / "cut")
    found = [
        json.loads((final / "run_record.json").read_text())["metrics"]
        for final in (policy / "final", train("stage3", options(red_folder, cut, *POLICY)))
    ]
    # Of the steps before the resume only what was logged is known, which some versions of transformers round.
    assert found[1]["train_loss"] == pytest.approx(found[0]["train_loss"], abs=1e-4)
    assert found[1]["train_steps_per_second"] == pytest.approx(2 / found[1]["train_runtime"], rel=0.05)


def test_weights_that_are_lost_after_the_last_log_leave_no_result(
    tiny_model: Path, red_folder: Path, tmp_path: Path
) -> None:
    more = ["--model", str(tiny_model), "--max_steps", "1", "--learning_rate", "1e38", "--max_grad_norm", "0"]
    with pytest.raises(TrainingError, match=r"checkpoint-1: \d+ of \d+ weights are not finite"):
        train("stage1", [*options(red_folder, tmp_path / "run"), *more])
    assert not (tmp_path / "run" / "final").exists()


def test_a_reference_that_was_replaced_is_refused(begun: Path, red_folder: Path, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    shutil.copytree(begun / "checkpoint-2", adapter)
    more = ["--adapter", str(adapter), "--per_device_train_batch_size", "2", "--gradient_accumulation_steps", "1"]
    model = json.loads((begun / "settings.json").read_text())["model"]
    whole = train("stage2_dpo", options(red_folder, tmp_path / "whole", "--model", model, *more)).parent
    file = adapter / "adapter_model.safetensors"
    save_file({name: 2 * value for name, value in load_file(file).items()}, file, metadata={"format": "pt"})
    cut = cut_off(whole, tmp_path / "cut")
    with pytest.raises(TrainingError, match=r"began with adapter .*adapter, whose weights have changed since"):
        train("stage2_dpo", options(red_folder, cut, "--model", model, *more))


def test_a_processor_that_was_replaced_is_refused(
    tiny_model: Path, red_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_model, model)
    argv = options(red_folder, tmp_path / "run", "--model", str(model), "--max_steps", "2")
    final = train("stage1", argv)
    (final / "run_record.json").unlink()
    for file in (model / "processor_config.json", model / "preprocessor_config.json"):
        if file.is_file():
            settings = json.loads(file.read_text())
            pictures = settings.get("image_processor", settings)
            pictures["size"] = {"shortest_edge": 1024, "longest_edge": 4096}
            file.write_text(json.dumps(settings))
    with pytest.raises(TrainingError, match=r"other files of the processor \(size of pictures, chat template or"):
        train("stage1", argv)


@pytest.mark.parametrize(("seen", "said"), [("_n_gpu", "one process sees 8 GPUs: give --num_processes 8, or"),
                                            ("fsdp", "FSDP is asked for")])  # fmt: skip
def test_what_the_stages_do_not_know_of_several_gpus_is_refused(
    seen: str, said: str, tiny_model: Path, red_folder: Path, tmp_path: Path
) -> None:
    stage, config = configured("stage1", options(red_folder, tmp_path / "run", "--model", str(tiny_model)))
    setattr(config, seen, 8)
    with pytest.raises(TrainingError, match=said):
        claim("stage1_sft", stage, config)


def on(monkeypatch: pytest.MonkeyPatch, n_processes: int) -> None:
    from transformers import TrainingArguments

    monkeypatch.setattr(TrainingArguments, "world_size", property(lambda _self: n_processes))


def test_another_number_of_processes_is_refused_with_the_way_on(
    begun: Path, ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    on(monkeypatch, 2)
    with pytest.raises(TrainingError, match=r"n_processes: 1 -> 2.*start it on 1 process again, or make .* x 2 = 16"):
        ask(begun)
    on(monkeypatch, 3)  # among which 16 rows cannot be shared out
    with pytest.raises(TrainingError, match=r"n_processes: 1 -> 3.*start it on 1 process again, or choose another"):
        ask(begun)
    on(monkeypatch, 2)
    # The same rows in every step.
    assert ask(begun, "--per_device_train_batch_size", "8").checkpoint == begun / "checkpoint-2"


def test_another_sharding_is_refused(
    begun: Path, tiny_model: Path, red_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage, config = configured("stage1", options(red_folder, begun, "--model", str(tiny_model)))
    assert config.device.type == "cpu"  # settled first: DeepSpeed's state would stay with the tests that follow
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_ZERO_STAGE", "3")
    with pytest.raises(TrainingError, match="sharding: none -> zero3"):
        claim("stage1_sft", stage, config)


def test_parts_of_a_deepspeed_checkpoint_are_not_gone_on_from_by_other_processes(
    begun: Path, tiny_model: Path, red_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Path(shutil.copytree(begun, tmp_path / "run"))
    for file in (run / "settings.json", run / "checkpoint-2" / "settings.json"):
        file.write_text(json.dumps({**json.loads(file.read_text()), "sharding": "zero2"}))
    same_rows = ["--model", str(tiny_model), "--per_device_train_batch_size", "8"]
    stage, config = configured("stage1", options(red_folder, run, *same_rows))
    assert config.device.type == "cpu"
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2")
    on(monkeypatch, 2)
    with pytest.raises(TrainingError, match=r"n_processes: 1 -> 2.*start it on 1 process again, or choose another"):
        claim("stage1_sft", stage, config)


def test_groups_of_stage3_do_not_move_between_processes(
    policy: Path, red_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on(monkeypatch, 2)
    with pytest.raises(TrainingError, match=r"n_processes: 1 -> 2.*start it on 1 process again, or choose another"):
        claim(
            "stage3_grpo",
            *configured("stage3", options(red_folder, policy, *POLICY)),
        )


def test_a_run_that_is_refused_has_not_claimed_its_folder(tiny_model: Path, red_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    groups = ["--model", str(tiny_model), "--pictures_per_group", "0", "--num_generations", "2", "--max_steps", "1",
              "--save_steps", "2", "--max_completion_length", "8"]  # fmt: skip
    with pytest.raises(TrainingError, match="the largest ranking group has"):
        train("stage3", options(red_folder, out, *groups, "--per_device_train_batch_size", "4"))
    assert not (out / "settings.json").exists()
    assert train("stage3", options(red_folder, out, *groups, "--per_device_train_batch_size", "24")).is_dir()


def test_a_run_without_a_checkpoint_says_how_to_begin_again(
    begun: Path, ask: Callable[..., Any], tmp_path: Path
) -> None:
    shutil.copy(begun / "settings.json", tmp_path)
    with pytest.raises(TrainingError, match=r"no checkpoint is lost: delete its settings\.json"):
        ask(tmp_path, "--learning_rate", "0.5")


def test_an_output_folder_that_is_a_file_is_named(ask: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match=r"output folder .*run cannot be created, because .*file is not a folder"):
        ask(tmp_path / "file" / "run")


def test_several_processes_see_the_rows_that_are_left_of_a_later_epoch() -> None:
    from accelerate.data_loader import BatchSamplerShard, DataLoaderShard, skip_first_batches
    from torch.utils.data import BatchSampler
    from transformers import TrainerState

    from redaes.training.length_batches import LikeLengths, OrderOfEpochs

    def loader(process: int) -> DataLoaderShard:
        sampler = LikeLengths([1] * 24, batch_size=4, seed=0)
        shard = BatchSamplerShard(BatchSampler(sampler, 2, drop_last=False), num_processes=2, process_index=process)
        return DataLoaderShard(list(range(24)), batch_sampler=shard, collate_fn=list)

    def rows(process: int, epoch: float, skipped: int) -> list[list[int]]:
        batches = loader(process)
        OrderOfEpochs().on_epoch_begin(None, TrainerState(epoch=epoch), None, train_dataloader=batches)
        left = skip_first_batches(batches, skipped) if skipped else batches
        left.set_epoch(int(epoch))  # as the trainer does, to no avail where batches are skipped
        return list(left)

    whole = {process: rows(process, 1.0, 0) for process in range(2)}
    assert sorted(row for batches in whole.values() for batch in batches for row in batch) == list(range(24))
    for process, batches in whole.items():
        assert rows(process, 1 + 2 / 6, 2) == batches[2:]
        assert rows(process, 2 / 6, 2) != batches[2:]


def test_a_dry_run_asks_for_no_checkpoint() -> None:
    from redaes.training.dry_run.report import instead_of_a_run
    from redaes.training.sft import PairSFTConfig

    argv = instead_of_a_run(["--resume_from_checkpoint", "/runs/a/checkpoint-5"], PairSFTConfig, "scratch")
    assert "--resume_from_checkpoint=true" in argv[2:]


def test_an_adapter_without_weights_is_refused_before_a_model_is_loaded(begun: Path, tmp_path: Path) -> None:
    shutil.copy(begun / "checkpoint-2" / "adapter_config.json", tmp_path)
    with pytest.raises(TrainingError, match=r"has no file adapter_model\.safetensors; copy or train the adapter again"):
        configured("stage2", ["--data", "x", "--adapter", str(tmp_path)])


def test_an_objective_that_was_cut_short_is_refused() -> None:
    with pytest.raises(TrainingError, match="write --objective dpo as a separate option"):
        configured("stage2", ["--data", "x", "--obj", "dpo"])


def test_a_command_line_is_recorded_without_its_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["stage1_sft.py", "--hub_token", "hf_1", "--hub-token=hf_2", "--seed", "1"])
    assert environment()["command"] == ["stage1_sft.py", "--hub_token", "***", "--hub-token=***", "--seed", "1"]
