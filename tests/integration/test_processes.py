"""What must not depend on the number of processes, the launcher, or where a run was cut off: the loss curve."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from train_runs import GROUPED, POLICY, STAGES, train

from redaes.errors import TrainingError
from redaes.training.checkpoints import digest

HERE = Path(__file__).parent
CONFIGS = HERE.parents[1] / "accelerate_configs"
BIN = Path(sys.executable).parent
ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "OMP_NUM_THREADS": "1",
               "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")])}  # fmt: skip
STEPS = 4
GLOBAL_BATCH = 4


def arguments(model: Path, data: Path, out: Path, n_processes: int, *more: str) -> list[str]:
    return ["--model", str(model), "--data", str(data), "--output_dir", str(out), "--max_steps", str(STEPS),
            "--per_device_train_batch_size", str(GLOBAL_BATCH // n_processes), "--learning_rate", "1e-2",
            "--warmup_steps", "0", "--bf16", "false", "--logging_steps", "1", "--save_steps", "2",
            "--disable_tqdm", "true", *more]  # fmt: skip


# Two blocks of work for two processes in the fast mode, one in the reasoned mode: one of them has nothing to ask there.
VALIDATED = ["--eval_strategy", "steps", "--eval_steps", "2", "--validation_pairs", "5",
             "--validation_reasoned_pairs", "2"]  # fmt: skip
# No answer of a random model follows the grammar: the first checkpoint stays the best one, and is not the last.
BEST = [*VALIDATED, "--load_best_model_at_end", "true", "--metric_for_best_model", "parsed"]


def validated(final: Path) -> list[dict[str, float]]:
    """What does not depend on the clock in the log of the validations."""
    history = json.loads((final / "trainer_state.json").read_text())["log_history"]
    return [
        {name: value for name, value in entry.items() if name != "eval_seconds"}
        for entry in history
        if "eval_seconds" in entry
    ]


def curve(final: Path, *names: str) -> list[list[float]]:
    history = json.loads((final / "trainer_state.json").read_text())["log_history"]
    return [[entry[name] for name in ("loss", *names)] for entry in history if "loss" in entry]


def launch(
    launcher: list[str], runs: list[tuple[str, list[str]]], folder: Path, *more: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    (folder / "runs.json").write_text(json.dumps(runs))
    command = [*launcher, str(HERE / "train_runs.py"), str(folder / "runs.json"), *more]
    return subprocess.run(
        command, cwd=folder, env={**ENVIRONMENT, **environment}, capture_output=True, text=True, timeout=1800
    )


def finish(launcher: list[str], runs: list[tuple[str, list[str]]], folder: Path, **environment: str) -> None:
    done = launch(launcher, runs, folder, **environment)
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.fixture(scope="module")
def alone(tiny_model: Path, red_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each stage, trained by one process."""
    folder = tmp_path_factory.mktemp("alone")
    return {stage: train(stage, arguments(tiny_model, red_folder, folder / stage, 1, *BEST)) for stage in STAGES}


def same_curves(alone: dict[str, Path], folder: Path, stages: list[str]) -> None:
    for stage in stages:
        names = ("preference", "antisymmetry", "thurstone", "nll") if stage == "stage2" else ()
        for got, wanted in zip(curve(folder / stage / "final", *names), curve(alone[stage], *names), strict=True):
            assert got == pytest.approx(wanted, rel=2e-4), stage
        assert len(validated(alone[stage])) == STEPS // 2
        best = folder / stage / f"checkpoint-{STEPS // 2}" / "adapter_model.safetensors"
        record = json.loads((folder / stage / "final" / "run_record.json").read_text())
        assert (record["validation"]["kept_step"], record["weights"]) == (STEPS // 2, digest(load_file(best)))
        assert validated(folder / stage / "final") == validated(alone[stage]), stage
        got, wanted = (
            json.loads((final / "run_record.json").read_text())["probe"]["log_probs"]
            for final in (folder / stage / "final", alone[stage])
        )
        assert got == pytest.approx(wanted, rel=2e-4), stage


def test_two_processes_have_the_curve_of_one(
    alone: dict[str, Path], tiny_model: Path, red_folder: Path, tmp_path: Path
) -> None:
    runs = [(stage, arguments(tiny_model, red_folder, tmp_path / stage, 2, *BEST)) for stage in STAGES]
    finish([str(BIN / "torchrun"), "--nproc_per_node", "2"], runs, tmp_path, ACCELERATE_USE_CPU="true")
    same_curves(alone, tmp_path, list(STAGES))


@pytest.mark.slow
@pytest.mark.parametrize("n_processes", [1, 2])
@pytest.mark.parametrize("name", ["zero2", "zero3", "zero3_offload"])
def test_deepspeed_has_the_curve_of_one_process(
    name: str, n_processes: int, alone: dict[str, Path], tiny_model: Path, red_folder: Path, tmp_path: Path
) -> None:
    launcher = [str(BIN / "accelerate"), "launch", "--config_file", str(CONFIGS / f"{name}.yaml"),
                "--num_processes", str(n_processes), "--main_process_port", "0"]  # fmt: skip
    more = ["--use_cpu", "false", "--ddp_backend", "gloo", *BEST]
    runs = [(stage, arguments(tiny_model, red_folder, tmp_path / stage, n_processes, *more)) for stage in STAGES]
    finish(launcher, runs, tmp_path, DS_ACCELERATOR="cpu")
    same_curves(alone, tmp_path, list(STAGES))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "n_processes"), [("cpu", 1), ("single_gpu", 1), ("ddp", 2)])
def test_plain_launches_have_the_curve_of_one_process(
    name: str, n_processes: int, alone: dict[str, Path], tiny_model: Path, red_folder: Path, tmp_path: Path
) -> None:
    launcher = [str(BIN / "accelerate"), "launch", "--config_file", str(CONFIGS / f"{name}.yaml"),
                "--num_processes", str(n_processes), "--main_process_port", "0"]  # fmt: skip
    more = ["--ddp_backend", "gloo", *BEST]
    runs = [("stage1", arguments(tiny_model, red_folder, tmp_path / "stage1", n_processes, *more))]
    finish(launcher, runs, tmp_path)
    same_curves(alone, tmp_path, ["stage1"])


def free_port() -> int:
    """One that both launchers can be told; other tests may run beside this one."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.mark.slow
def test_two_machines_have_the_curve_of_one_process(
    alone: dict[str, Path], tiny_model: Path, red_folder: Path, tmp_path: Path
) -> None:
    # Two launchers on this machine, as one on each of two.
    more = ["--use_cpu", "false", "--ddp_backend", "gloo", *BEST]
    runs = [("stage1", arguments(tiny_model, red_folder, tmp_path / "stage1", 2, *more))]
    (tmp_path / "runs.json").write_text(json.dumps(runs))
    command = [str(BIN / "accelerate"), "launch", "--config_file", str(CONFIGS / "multi_node.yaml"),
               "--num_processes", "2", "--main_process_port", str(free_port())]  # fmt: skip
    script = [str(HERE / "train_runs.py"), str(tmp_path / "runs.json")]
    machines = []
    for rank in range(2):
        log = (tmp_path / f"{rank}.log").open("w")
        machines.append(
            subprocess.Popen(
                [*command, "--machine_rank", str(rank), *script],
                cwd=tmp_path, env={**ENVIRONMENT, "DS_ACCELERATOR": "cpu"}, stdout=log, stderr=log,
            )
        )  # fmt: skip
    try:
        for rank, machine in enumerate(machines):
            assert machine.wait(timeout=1800) == 0, (tmp_path / f"{rank}.log").read_text()[-4000:]
    finally:
        for machine in machines:
            machine.kill()
    same_curves(alone, tmp_path, ["stage1"])


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["alone", "ddp", "zero2", "zero3"])
@pytest.mark.parametrize("stage", [*STAGES, *GROUPED])
def test_a_killed_run_goes_on_with_the_same_batches_and_losses(
    stage: str, launcher: str, tiny_model: Path, red_folder: Path, tmp_path: Path
) -> None:
    n_processes = {"ddp": 2, "zero3": 2}.get(launcher, 1)
    if stage in GROUPED:
        steps = 4
        more = [*POLICY, "--max_steps", str(steps), "--save_steps", "2", *VALIDATED, "--eval_on_start", "true",
                "--learning_rate", "1e-3"]  # fmt: skip
    else:
        # Past the end of an epoch: the order of the second one must not be the first one's again.
        steps = -(-len_of(stage, red_folder) // GLOBAL_BATCH) + 4
        more = ["--max_steps", str(steps), "--save_steps", str(steps - 2), "--learning_rate", "1e-3"]
    environment: dict[str, str] = {}
    command = [sys.executable]
    if launcher == "ddp":
        command = [str(BIN / "torchrun"), "--nproc_per_node", "2"]
        environment["ACCELERATE_USE_CPU"] = "true"
    elif launcher != "alone":
        command = [str(BIN / "accelerate"), "launch", "--config_file", str(CONFIGS / f"{launcher}.yaml"),
                   "--num_processes", str(n_processes), "--main_process_port", "0"]  # fmt: skip
        more += ["--use_cpu", "false", "--ddp_backend", "gloo"]
        environment["DS_ACCELERATOR"] = "cpu"
    runs = {
        name: [(stage, arguments(tiny_model, red_folder, tmp_path / name, n_processes, *more))]
        for name in ("whole", "cut")
    }

    def to_the_end(name: str) -> None:
        if launcher == "alone":
            train(*runs[name][0])  # this process has loaded everything already
        else:
            finish(command, runs[name], tmp_path, **environment)

    to_the_end("whole")
    killed = launch(command, runs["cut"], tmp_path, "kill", **environment)
    assert killed.returncode != 0
    checkpoint = tmp_path / "cut" / f"checkpoint-{steps - 2}"
    assert (checkpoint / "trainer_state.json").is_file()
    assert not (tmp_path / "cut" / "final").exists()
    to_the_end("cut")
    whole, cut = (tmp_path / name / "final" for name in ("whole", "cut"))
    record = json.loads((cut / "run_record.json").read_text())
    assert record["resumed_from"] == str(checkpoint)
    assert record["resumed_weights"] == digest(load_file(checkpoint / "adapter_model.safetensors"))
    for got, wanted in zip(curve(cut), curve(whole), strict=True):
        assert got == pytest.approx(wanted, rel=1e-5)
    assert validated(cut) == validated(whole)
    wanted_weights, got_weights = (load_file(folder / "adapter_model.safetensors") for folder in (whole, cut))
    for name, value in wanted_weights.items():
        torch.testing.assert_close(got_weights[name], value, atol=1e-6, rtol=1e-4)
    assert {file.parent for file in (tmp_path / "cut").rglob("adapter_model.safetensors")} == {cut, checkpoint} | {
        folder for folder in (tmp_path / "cut").glob("checkpoint-*")
    }


@pytest.mark.slow
@pytest.mark.parametrize("stage", list(STAGES))
def test_a_run_goes_on_with_fewer_processes_and_the_same_rows(
    stage: str, tiny_model: Path, red_folder: Path, tmp_path: Path
) -> None:
    """A machine was lost: the other one takes twice the rows, and no row is lost or seen twice."""
    whole = train(stage, arguments(tiny_model, red_folder, tmp_path / "whole", 1))
    two = [(stage, arguments(tiny_model, red_folder, tmp_path / "cut", 2))]
    killed = launch([str(BIN / "torchrun"), "--nproc_per_node", "2"], two, tmp_path, "kill", ACCELERATE_USE_CPU="true")
    assert killed.returncode != 0
    with pytest.raises(TrainingError, match=r"n_processes: 2 -> 1.* or make .* x 1 = 4"):
        train(*two[0])
    cut = train(stage, arguments(tiny_model, red_folder, tmp_path / "cut", 1))
    assert json.loads((cut / "run_record.json").read_text())["resumed_from"].endswith("checkpoint-2")
    for got, wanted in zip(curve(cut), curve(whole), strict=True):
        assert got == pytest.approx(wanted, rel=2e-4)


def len_of(stage: str, folder: Path) -> int:
    """Rows of one epoch."""
    from redaes.records import load_pairs
    from redaes.training.formatting import preference_dataset, sft_dataset

    counted: dict[str, Any] = {
        "stage1": lambda: len(sft_dataset(folder, "train")[0]),
        "stage2": lambda: len(load_pairs(folder, "train")),
        "stage2_dpo": lambda: len(preference_dataset(folder, "train")[0]),
    }
    return counted[stage]()
