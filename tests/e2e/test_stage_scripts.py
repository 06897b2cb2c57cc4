"""The real scripts in subprocesses, as a user launches them: no arguments, killed, started again, chained."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.launching import ACCELERATE, ENVIRONMENT, ROOT, SCRIPTS, TORCHRUN, launch, script


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder outside the checkout; they leave ``runs/`` in it."""
    return tmp_path_factory.mktemp("workplace")


def whole_checkpoints(folder: Path) -> list[Path]:
    return [state.parent for state in folder.glob("checkpoint-*/trainer_state.json")]


@pytest.mark.parametrize("stage", list(SCRIPTS))
def test_a_stage_without_arguments_survives_kill_9(stage: str, workplace: Path) -> None:
    out = workplace / "runs" / stage
    command = [*ACCELERATE, script(stage)]
    log = workplace / f"{stage}.log"
    with log.open("w") as file:
        killed = subprocess.Popen(
            command, cwd=workplace, env=ENVIRONMENT, stdout=file, stderr=file, start_new_session=True
        )
        deadline = time.monotonic() + 600
        while not whole_checkpoints(out):
            assert killed.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(0.05)
        os.killpg(killed.pid, signal.SIGKILL)
        killed.wait()
    assert not (out / "final" / "run_record.json").exists()

    again = launch(command, workplace)
    assert again.returncode == 0, again.stderr[-3000:]
    record = json.loads((out / "final" / "run_record.json").read_text())
    assert "checkpoint-" in record["resumed_from"]
    history = json.loads((out / "final" / "trainer_state.json").read_text())["log_history"]
    steps = [entry["step"] for entry in history if "loss" in entry]
    assert steps == sorted(set(steps))  # nothing was done twice
    assert steps[-1] == record["training_arguments"]["max_steps"]


def test_a_finished_stage_says_so_at_once(workplace: Path) -> None:
    before = (workplace / "runs/stage1/final/run_record.json").read_bytes()
    done = launch([*ACCELERATE, script("stage1")], workplace)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "stage 1 finished" in done.stdout
    assert "redaes train align --data" in done.stdout
    assert (workplace / "runs/stage1/final/run_record.json").read_bytes() == before


def compare(workplace: Path, photo_folder: Path, *more: str) -> dict[str, Any]:
    photos = [str(photo_folder / f"photo{number}.png") for number in range(2)]
    command = [str(Path(sys.executable).with_name("redaes")), "compare", *photos, "--json", "--mode", "fast"]
    done = launch([*command, *more], workplace)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def tuned(workplace: Path, photo_folder: Path) -> dict[str, Any]:
    """What the embedded model says with stage 2's adapter."""
    return compare(workplace, photo_folder, "--adapter", "runs/stage2/final")


def test_compare_takes_a_stage_adapter(workplace: Path, photo_folder: Path, tuned: dict[str, Any]) -> None:
    plain = compare(workplace, photo_folder)
    assert plain["revision"] != tuned["revision"]
    assert plain["probability"] != tuned["probability"]


def test_a_result_is_merged_checked_and_asked(workplace: Path, photo_folder: Path, tuned: dict[str, Any]) -> None:
    stages = ROOT / "stages"
    merge = [sys.executable, str(stages / "merge.py"), "runs/stage2/final", "--out", "runs/merged", "--float32"]
    merged = launch(merge, workplace)
    assert merged.returncode == 0, merged.stderr[-3000:]
    check = [sys.executable, str(stages / "check.py"), "runs/stage2/final", "--data", "runs/sample_pairs"]
    checked = launch([*check, "--merged", "runs/merged", "--pairs", "0"], workplace)
    assert checked.returncode == 0, checked.stdout + checked.stderr[-3000:]
    assert [line.split()[:2] for line in checked.stdout.splitlines()] == [["ok", "result:"], ["ok", "merged:"]]
    base = launch([*check, "--merged", str(ROOT / "redaes/models/nano/weights"), "--pairs", "0"], workplace)
    assert base.returncode == 2
    assert "FAILED merged" in base.stdout
    asked = compare(workplace, photo_folder, "--model", "runs/merged")
    assert asked["probability"] == pytest.approx(tuned["probability"], abs=1e-4)


def test_two_processes_train_fgaesq_in_step(workplace: Path) -> None:
    command = [*TORCHRUN, script("fgaesq"), "--output_dir", "runs/two_fgaesq", "--max_steps", "4", "--save_steps", "2"]
    command += ["--coarse_epochs", "0", "--logging_steps", "1"]
    done = launch(command, workplace, ACCELERATE_USE_CPU="true")
    assert done.returncode == 0, done.stderr[-3000:]
    record = json.loads((workplace / "runs/two_fgaesq/final/run_record.json").read_text())
    assert record["n_processes"] == 2
    assert record["metrics"]["held_out_pairs"] > 0


NO_MODEL = "nowhere/at-all"
BAD_INPUT = {
    "nowhere.yaml cannot be read": ["--config", "nowhere.yaml"],
    "nowhere is not a RED dataset": ["--data", "nowhere"],
    "learning_rate is nan": ["--learning_rate", "nan"],
    NO_MODEL: ["--model", NO_MODEL],
    "cannot be created": ["--output_dir", "file/run"],
}
"""Message to the arguments that it answers."""

ONE_AFTER_THE_OTHER = """
import contextlib, io, json, runpy, sys, traceback
script, launches = sys.argv[1], json.loads(sys.argv[2])
ended = []
for arguments in launches:
    sys.argv = [script, *arguments]
    with contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            runpy.run_path(script, run_name="__main__")
            code = 0
        except SystemExit as left:
            code = left.code
        except BaseException:
            traceback.print_exc()
            code = 1
    ended.append([code, said.getvalue()])
print(json.dumps(ended))
"""


@pytest.fixture(scope="module")
def refusals(red_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    """Exit code and stderr of each bad launch, by its message; in one process, because loading the libraries is most
    of the time of a refusal."""
    folder = tmp_path_factory.mktemp("refused")
    (folder / "file").touch()
    launches = [["--data", str(red_folder), "--output_dir", "runs/bad", *more] for more in BAD_INPUT.values()]
    done = launch([sys.executable, "-c", ONE_AFTER_THE_OTHER, script("stage2"), json.dumps(launches)], folder)
    assert done.returncode == 0, done.stderr[-3000:]
    return {message: (code, said) for message, (code, said) in zip(
        BAD_INPUT, json.loads(done.stdout.splitlines()[-1]), strict=True)}  # fmt: skip


@pytest.mark.parametrize("message", list(BAD_INPUT))
def test_bad_input_is_one_line_and_an_exit_code(refusals: dict[str, tuple[int, str]], message: str) -> None:
    code, said = refusals[message]
    assert code == (4 if message == NO_MODEL else 2), said[-3000:]
    assert message in said
    assert "Traceback" not in said


def test_a_batch_that_would_cut_a_group_is_refused_before_the_model_loads(workplace: Path) -> None:
    run = launch(
        [sys.executable, script("stage3"), "--per_device_train_batch_size", "10", "--model", "nowhere/at-all"],
        workplace,
    )
    assert run.returncode == 2
    assert "multiple of 8, for example 24" in run.stderr
