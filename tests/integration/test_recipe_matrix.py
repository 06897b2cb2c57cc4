"""No recipe sets an option that no test sets: each shipped recipe is run as it is, but for size and device.

Start, kill with signal 9 after the first checkpoint, go on, finish, merge, check, compare; on a tiny model of the
recipe's own class, which was taught the form of the answers first, so that stage 3's completions earn different
rewards.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from families import build
from own_pairs import write_own_pairs
from safetensors.torch import load_file
from test_recipes import CONFIGS, read
from test_recipes import command as command_of

from redaes.assessor import Assessor
from redaes.backends.local import LocalBackend
from redaes.cli.train.stages import run_stage
from redaes.datagen.series.synthetic import write_series
from redaes.models import nano
from redaes.records import read_records
from redaes.training.merging import merge
from redaes.training.result_checks import check_result

FAMILIES = ("nano", "qwen2_5_vl", "qwen3_vl", "qwen3_5")
"""What recipes are for, as the end of their names says; sizes of a family differ in batches alone."""
STAGES = ("stage1", "stage2", "stage2_dpo", "stage3")
WARM_UPS = ("warmup_vision", "warmup_reading")
FIRST = {"stage2": "stage1", "stage2_dpo": "stage1", "stage3": "stage2"}
"""Whose adapter a stage goes on from, as the recipes' own heads say."""

PLACES = {
    "model": "a tiny one of the recipe's class",
    "data": "a tiny dataset; its edits are those that the warm-ups leave out",
    "adapter": "the result of the stage before",
    "output_dir": "a folder of the test",
}
SIZES = {
    "use_cpu": "the machine of the tests has no GPU",
    "max_pixels": "small pictures",
    "max_steps": "two steps; recipes without it run their whole epoch, which has two",
    "warmup_steps": "a count for 40 steps and more would be all of these; the first step of a warm-up learns nothing, "
    "and of two checkpoints as good as each other the first is the best",
    "save_steps": "a checkpoint to be killed after",
    "eval_steps": "a validation at every checkpoint, as the recipes have it",
    "logging_steps": "every step",
    "completion_page_steps": "a page of the second step",
    "per_device_train_batch_size": "two steps in an epoch of the tiny dataset",
    "gradient_accumulation_steps": "as above, and still accumulated",
    "steps_per_generation": "one ranking group at a time, in three batches",
    "max_completion_length": "short answers",
    "dataloader_num_workers": "one for four: two cores",
}
"""The only options that are not taken from the recipe, and why."""

SMALL: dict[str, dict[str, Any]] = {
    "stage1": {"per_device_train_batch_size": 6, "gradient_accumulation_steps": 4},
    "stage2": {"per_device_train_batch_size": 3, "gradient_accumulation_steps": 2},
    "stage2_dpo": {"per_device_train_batch_size": 6, "gradient_accumulation_steps": 4},
    "stage3": {
        "per_device_train_batch_size": 24, "gradient_accumulation_steps": 3, "steps_per_generation": 3, "max_steps": 2,
        "max_completion_length": 40, "completion_page_steps": 1,
    },
    "warmup_vision": {"per_device_train_batch_size": 3},
    "warmup_reading": {"per_device_train_batch_size": 3},
}  # fmt: skip


def stage_and_family(recipe: str) -> tuple[str, str]:
    stem = recipe.removesuffix(".yaml")
    stage = max((stage for stage in (*STAGES, *WARM_UPS) if stem.startswith(f"{stage}_")), key=len)
    return stage, next(name for name in FAMILIES if stem.removeprefix(f"{stage}_").startswith(name))


SERIES = {
    "series_per_batch": 2, "pictures_per_batch": 3, "save_steps": 2, "logging_steps": 1, "use_cpu": True,
    "dataloader_num_workers": 1,
}  # fmt: skip
"""The same for FGAesQ, whose recipes have no model of their own and keep their epochs."""


def recipes() -> list[str]:
    return sorted(path.name for path in CONFIGS.glob("*.yaml") if not path.name.startswith("fgaesq"))


def overrides(recipe: str) -> dict[str, Any]:
    """Options that are given on the command line over a recipe, besides those of `PLACES`."""
    written = yaml.safe_load((CONFIGS / recipe).read_text())
    stage, family = stage_and_family(recipe)
    small: dict[str, Any] = {"use_cpu": True, "save_steps": 1, "logging_steps": 1, **SMALL[stage]}
    if "max_steps" in written:
        small["max_steps"] = 2
        if not isinstance(written.get("warmup_steps", 0.0), float):
            small["warmup_steps"] = 1
    if "max_pixels" in written:
        small["max_pixels"] = 96 * 96
    if written.get("dataloader_num_workers"):
        small["dataloader_num_workers"] = 1
    if family == "nano" and stage == "stage3":
        # Six prompts of four completions in two steps, after which a checkpoint may fall; answers as long as its own.
        small |= {"per_device_train_batch_size": 12, "max_steps": 4, "save_steps": 2}
        for name in ("gradient_accumulation_steps", "completion_page_steps", "max_completion_length"):
            del small[name]
    elif family == "nano":
        small.pop("gradient_accumulation_steps", None)
    if "eval_steps" in written:
        small |= {"eval_steps": small["save_steps"], "warmup_steps": 0}
    return small


def settings_of(recipe: str) -> dict[str, Any]:
    """What is taken from a recipe: all of it, but for what is given over it."""
    written = yaml.safe_load((CONFIGS / recipe).read_text())
    return {name: value for name, value in written.items() if name not in {**overrides(recipe), **PLACES}}


def distinct() -> dict[tuple[str, str], list[str]]:
    """Stage and family to the recipes that are the same but for size."""
    found: dict[tuple[str, str], list[str]] = {}
    for recipe in recipes():
        found.setdefault(stage_and_family(recipe), []).append(recipe)
    return found


def test_every_recipe_is_in_the_matrix_with_every_option() -> None:
    defaults: dict[str, Any] = {}
    for same in distinct().values():
        stage, config = read(same[0], "--use_cpu", "true")
        for recipe in same:
            defaults[recipe] = {item.name: item.default for values in (stage, config) for item in fields(values)}
        assert len({json.dumps(settings_of(recipe), sort_keys=True) for recipe in same}) == 1, same
    for recipe in recipes():
        written = yaml.safe_load((CONFIGS / recipe).read_text())
        given = overrides(recipe)
        assert given.keys() <= SIZES.keys(), recipe
        assert {*settings_of(recipe), *given, *PLACES} >= written.keys(), recipe
        for name in given.keys() & written.keys() - {
            "use_cpu",
            "save_steps",
            "eval_steps",
            "logging_steps",
            "warmup_steps",
        }:
            # What a recipe sets to something is set to something here too.
            usual = defaults[recipe][name]
            assert written[name] == usual or given[name] != usual, f"{recipe}: {name}"


def test_every_family_has_every_stage() -> None:
    assert set(distinct()) == {(s, f) for s in STAGES for f in FAMILIES} | {(s, "nano") for s in WARM_UPS}


def command(recipe: str, places: dict[str, Any], **more: Any) -> list[str]:
    argv = ["--config", str(CONFIGS / recipe)]
    for name, value in {**overrides(recipe), **places, **more}.items():
        argv += [f"--{name}", str(value).lower() if isinstance(value, bool) else str(value)]
    return [*argv, "--disable_tqdm", "true"]


def run(recipe: str, places: dict[str, Any], **more: Any) -> Path:
    run_stage(command_of(recipe), command(recipe, places, **more))
    return Path(places["output_dir"]) / "final"


def die_after_a_checkpoint(work: Callable[[], Any]) -> None:
    """Work in a process of its own that kills itself, as soon as the first checkpoint is written."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        from transformers import Trainer

        os.setsid()

        save = Trainer._save_checkpoint

        def save_and_die(self: Trainer, *args: Any, **kwargs: Any) -> None:
            save(self, *args, **kwargs)
            os.kill(os.getpid(), signal.SIGKILL)

        Trainer._save_checkpoint = save_and_die
        try:
            work()
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            os._exit(3)  # not through pytest
    _, status = os.waitpid(child, 0)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # its data loader's workers may wait for it for ever
    assert os.WIFSIGNALED(status), f"it ended with {os.waitstatus_to_exitcode(status)} before a checkpoint"
    assert os.WTERMSIG(status) == signal.SIGKILL


def weights(final: Path) -> dict[str, torch.Tensor]:
    return load_file(next(final / name for name in ("adapter_model.safetensors", "model.safetensors")
                          if (final / name).is_file()))  # fmt: skip


class Family:
    """A base of a family, and the results of its stages so far."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.data = write_own_pairs(folder / "pairs", 4)
        self.warm_up_data = write_own_pairs(folder / "warm_up_pairs", 8)
        self.model = nano.BASE if name == "nano" else str(self._taught())
        self.finals: dict[str, Path] = {}

    def _taught(self) -> Path:
        """Full training on the form of the answers; that, too, is an option of stage 1."""
        tiny = build(self.name, self.folder / "random")
        out = self.folder / "taught"
        argv = ["--model", str(tiny), "--data", str(self.data), "--output_dir", str(out), "--full_training", "true",
                "--max_steps", "40", "--learning_rate", "5e-3", "--per_device_train_batch_size", "12", "--bf16",
                "false", "--save_strategy", "no", "--disable_tqdm", "true"]  # fmt: skip
        run_stage("sft", argv)
        return out / "final"


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Family:
    return Family(request.param, tmp_path_factory.mktemp(request.param))


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_start_kill_go_on_finish_merge_check_compare(stage: str, family: Family) -> None:
    recipe = distinct()[stage, family.name][0]
    places: dict[str, Any] = {"model": family.model, "data": family.data}
    before = family.finals.get(FIRST.get(stage, ""))
    if before is not None:
        places["adapter"] = before
    whole, cut = family.folder / f"{stage}_whole", family.folder / f"{stage}_cut"
    die_after_a_checkpoint(lambda: run(recipe, {**places, "output_dir": cut}))
    first = f"checkpoint-{overrides(recipe)['save_steps']}"
    assert [folder.name for folder in cut.glob("checkpoint-*")] == [first]
    final = run(recipe, {**places, "output_dir": cut})
    family.finals[stage] = final
    record = json.loads((final / "run_record.json").read_text())
    assert record["resumed_from"] == str(cut / first)
    used = {**record["training_arguments"], **record["arguments"]}
    for name, value in settings_of(recipe).items():
        if value is not None and name not in ("bf16", "report_to"):  # as the machine allows; "none" is an empty list
            wanted = f"eval_{value}" if name == "metric_for_best_model" else value  # its name in the log
            assert used[name] == wanted, name

    # As if it had not been killed, and every layer has learned.
    uninterrupted = weights(run(recipe, {**places, "output_dir": whole}))
    resumed = weights(final)
    assert resumed.keys() == uninterrupted.keys()
    assert all(torch.equal(resumed[name], value) for name, value in uninterrupted.items())
    began = {} if before is None else weights(before)
    still = [
        name
        for name, value in resumed.items()
        if "lora_B" in name and torch.equal(value, began.get(name, torch.zeros_like(value)))
    ]
    assert not still, still

    merged = merge(final, family.folder / f"{stage}_merged", in_float32=True)
    checks = {check.name: check for check in check_result(final, family.data, n_pairs=2, merged=merged)}
    assert checks["result"].passed, checks["result"].found
    assert checks["merged"].passed, checks["merged"].found
    pair = next(iter(read_records(family.data, "test")))
    pictures = [family.folder / f"{side}.jpg" for side in ("first", "second")]
    for file, data in zip(pictures, (pair.first_bytes, pair.second_bytes), strict=True):
        file.write_bytes(data)
    asked = [LocalBackend(family.model, adapter=final), LocalBackend(merged)]
    found = [Assessor(backend).compare(*pictures).probability for backend in asked]
    assert found[0] is not None
    assert found[0] == pytest.approx(found[1], abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["nano"], indirect=True)
@pytest.mark.parametrize("stage", WARM_UPS)
def test_warm_ups_start_kill_go_on_and_finish(stage: str, family: Family) -> None:
    places: dict[str, Any] = {"model": family.model, "data": family.warm_up_data}
    recipe = distinct()[stage, "nano"][0]
    cut = {**places, "output_dir": family.folder / f"{stage}_cut"}
    die_after_a_checkpoint(lambda: run(recipe, cut))
    resumed = weights(run(recipe, cut))
    whole = weights(run(recipe, {**places, "output_dir": family.folder / f"{stage}_whole"}))
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())


@pytest.mark.slow
@pytest.mark.parametrize("recipe", sorted(path.name for path in CONFIGS.glob("fgaesq*.yaml")))
def test_series_start_kill_go_on_and_finish(recipe: str, photo_folder: Path, tmp_path: Path) -> None:
    photos = {f"photo{number}": photo_folder / f"photo{number}.png" for number in range(3)}
    write_series(
        photos, tmp_path, per_category=1, lengths=(3,), n_coarse=2, side=96,
        split_of={name: "test" if name == "photo2" else "train" for name in photos}, seed=0,
    )  # fmt: skip
    written = yaml.safe_load((CONFIGS / recipe).read_text())
    given = {name: value for name, value in SERIES.items() if name in written or name == "use_cpu"}
    places = {"series": tmp_path / "series.jsonl", "coarse": tmp_path / "coarse.jsonl"}

    def main(out: Path) -> Path:
        argv = ["--config", str(CONFIGS / recipe)]
        for name, value in {**given, **places, "output_dir": out}.items():
            argv += [f"--{name}", str(value).lower() if isinstance(value, bool) else str(value)]
        run_stage("fgaesq", argv)
        return out / "final"

    die_after_a_checkpoint(lambda: main(tmp_path / "cut"))
    final = main(tmp_path / "cut")
    record = json.loads((final / "run_record.json").read_text())
    assert Path(record["resumed_from"]).name == "checkpoint-2"
    used = {**record["training_arguments"], **record["arguments"]}
    for name in written.keys() - given.keys() - {"output_dir", "bf16", "report_to"}:
        assert used[name] == written[name], name
    resumed, whole = weights(final), weights(main(tmp_path / "whole"))
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())
