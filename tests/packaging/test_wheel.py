"""What a user gets from ``pip install``: the wheel alone, in an empty environment, away from the checkout.

The only tests that need a package index: pip reads its settings from the environment as it always does.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

ROOT = Path(__file__).resolve().parents[2]
MAX_WHEEL_BYTES = 20_000_000
INSTALL_TIMEOUT_S = 1800.0  # torch alone is several gigabytes where no CPU build is at hand


def _run(*command: object, cwd: Path, timeout_s: float, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a command that must succeed, without anything that would let it see the checkout."""
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**env, **environment},
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = ("-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT)
    _run(sys.executable, *build, cwd=folder, timeout_s=300)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def scripts(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts folder of an empty environment in which the wheel and its dependencies were installed."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    venv.create(folder, with_pip=True, system_site_packages=False)
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    install = ("-m", "pip", "install", "--compile", "-c", ROOT / "constraints.txt", wheel)
    _run(scripts / "python", *install, cwd=folder, timeout_s=INSTALL_TIMEOUT_S)
    return scripts


@pytest.fixture
def pictures(tmp_path: Path) -> tuple[Path, Path]:
    """A coloured scene, and the same scene blurred."""
    y, x = np.mgrid[0:192, 0:256].astype(np.float32)
    waves = [np.sin(x / 9) * np.cos(y / 13), np.sin((x + y) / 17), np.cos((x - y) / 7)]
    scene = Image.fromarray((127 + 100 * np.stack(waves, axis=-1)).astype(np.uint8))
    sharp, soft = tmp_path / "a.jpg", tmp_path / "b.jpg"
    scene.save(sharp, quality=95)
    scene.filter(ImageFilter.GaussianBlur(4)).save(soft, quality=95)
    return sharp, soft


def _unwanted(names: Mapping[str, int]) -> list[str]:
    """Files that have no business in the wheel."""
    allowed = re.compile(r"redaes/(?!tests?/).+|redaes-[^/]+\.dist-info/.+")
    left_over = re.compile(r"(^|/)(__pycache__|\.[^/]+)(/|$)|\.py[co]$|(^|/)(test_[^/]*|conftest)\.py$")
    return [name for name in names if not allowed.fullmatch(name) or left_over.search(name)]


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        sizes = {item.filename: item.file_size for item in archive.infolist()}
    assert _unwanted(sizes) == []
    assert wheel.stat().st_size < MAX_WHEEL_BYTES, sorted(sizes.items(), key=lambda item: -item[1])[:10]


def test_what_must_not_be_in_the_wheel_would_be_seen() -> None:
    wanted = ["redaes/types.py", "redaes/_prompts/checksums.json", "redaes-0.1.0.dist-info/METADATA"]
    unwanted = [
        "tests/unit/test_x.py",
        "redaes/tests/test_x.py",
        "prompts/a.md",
        "redaes/a.pyc",
        "redaes/.cache/a",
    ]
    assert _unwanted(dict.fromkeys([*wanted, *unwanted], 1)) == unwanted


PLACED = {
    "prompts": "_prompts",
    "stages/configs": "_configs/stages",
    "data_gen/configs": "_configs/data_gen",
    "eval/configs": "_configs/eval",
    "accelerate_configs": "_configs/accelerate",
}
"""Folders of the checkout that are in the wheel, and where in the package."""


def test_every_source_prompt_recipe_and_weight_is_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    expected = {path.relative_to(ROOT).as_posix() for path in (ROOT / "redaes").rglob("*.py")}
    nano = ROOT / "redaes" / "models" / "nano"
    weights = [path for name in ("weights", "base") for path in (nano / name).iterdir()]
    expected |= {path.relative_to(ROOT).as_posix() for path in weights if not path.name.startswith(".")}
    for source, place in PLACED.items():
        files = [path for path in (ROOT / source).rglob("*") if path.is_file()]
        expected |= {f"redaes/{place}/{path.relative_to(ROOT / source).as_posix()}" for path in files}
    assert expected - names == set()
    assert {"redaes/models/nano/weights/model.safetensors", "redaes/models/nano/base/model.safetensors"} <= names
    assert "redaes/_prompts/checksums.json" in names


def test_version(scripts: Path, tmp_path: Path, wheel: Path) -> None:
    done = _run(scripts / "redaes", "--version", cwd=tmp_path, timeout_s=120)
    assert wheel.name.split("-")[1] in done.stdout


def test_the_installed_package_is_the_one_that_is_used(scripts: Path, tmp_path: Path) -> None:
    show = "import redaes, pathlib; print(pathlib.Path(redaes.__file__).resolve())"
    done = _run(scripts / "python", "-c", show, cwd=tmp_path, timeout_s=120)
    assert Path(done.stdout.strip()).is_relative_to(scripts.parent.resolve())


def test_compare_out_of_the_box(scripts: Path, pictures: tuple[Path, Path], tmp_path: Path) -> None:
    """Two pictures, no setting, no network: the model in the wheel answers."""
    nowhere = "http://127.0.0.1:9"
    done = _run(
        scripts / "redaes",
        *("compare", *pictures, "--json"),
        cwd=tmp_path,
        timeout_s=300,
        HF_HUB_OFFLINE="1",
        HF_HUB_DISABLE_TELEMETRY="1",
        HF_HOME=str(tmp_path / "hf"),
        HTTP_PROXY=nowhere,
        HTTPS_PROXY=nowhere,
    )
    answer = json.loads(done.stdout)
    assert {"winner", "probability", "delta", "rationale"} <= answer.keys()
    assert answer["winner"] in ("A", "B", "tie")
    assert 0.0 <= answer["probability"] <= 1.0
    assert -9.0 <= answer["delta"] <= 9.0


@pytest.fixture(scope="module")
def trainer(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the wheel in it, and all else as it is here: the ``train`` extra too."""
    folder = tmp_path_factory.mktemp("trainer") / "venv"
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    install = ("-m", "pip", "--python", python, "install", "--no-deps", "--no-compile", wheel)
    _run(sys.executable, *install, cwd=folder, timeout_s=300)
    show = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own = Path(_run(python, "-c", show, cwd=folder, timeout_s=60).stdout.strip())
    # A line of a .pth file comes after the folder that it lies in, and the .pth files of that folder are not read: an
    # editable installation of redaes in it does not count.
    (own / "others.pth").write_text(f"{sysconfig.get_path('purelib')}\n{sysconfig.get_path('platlib')}\n")
    return python


SMALL = (
    *("--max_steps", "2", "--logging_steps", "1", "--save_strategy", "no", "--disable_tqdm", "true"),
    *("--use_cpu", "true", "--bf16", "false", "--per_device_train_batch_size"),
)
TRAINED = {
    "sft": ("--config", "nano", *SMALL, "2"),
    "align": (*SMALL, "2"),
    "dpo": (*SMALL, "2"),
    "grpo": (*SMALL, "12", "--steps_per_generation", "1", "--num_generations", "2", "--max_completion_length", "8"),
    "fgaesq": ("--coarse_epochs", "0", "--joint_epochs", "1", *SMALL[:-1]),
    "nano-vision": (*SMALL, "2", "--leave_out", "tilt"),
    "nano-reading": (*SMALL, "2", "--leave_out", "tilt"),
}
"""Stages to options that make two small steps of them."""

ONE_AFTER_THE_OTHER = """
import json, sys
import redaes
from redaes.cli import main
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["redaes", *arguments]
    try:
        main()
    except SystemExit as left:
        if left.code:
            raise
print(redaes.__file__)
"""
"""Loading the libraries is most of the time of a small run: one process makes them all."""


def test_every_recipe_is_listed(trainer: Path, tmp_path: Path) -> None:
    listed = _run(trainer.with_name("redaes"), "train", "--list", cwd=tmp_path, timeout_s=120).stdout
    for file in [*(ROOT / "stages" / "configs").iterdir(), *(ROOT / "accelerate_configs").iterdir()]:
        assert file.read_text().partition("\n")[0].removeprefix("# ") in listed
    found = _run(trainer, "-m", "redaes", "train", "grpo", "--list", cwd=tmp_path, timeout_s=120).stdout
    assert "  qwen3_vl_8b      Stage 3 on Qwen3-VL-8B-Instruct" in found


def test_two_steps_of_every_stage(trainer: Path, red_folder: Path, tmp_path: Path) -> None:
    commands = [
        [
            "train",
            name,
            "--output_dir",
            f"runs/{name}",
            *options,
            *(() if name == "fgaesq" else ("--data", str(red_folder))),
        ]
        for name, options in TRAINED.items()
    ]
    planned = [*commands[0], "--dry_run", "--plan_batches", "1", "--accelerate_config", "zero3"]
    given = json.dumps([planned, *commands])
    done = _run(trainer, "-c", ONE_AFTER_THE_OTHER, given, cwd=tmp_path, timeout_s=900, HF_HUB_OFFLINE="1")
    assert Path(done.stdout.splitlines()[-1]).is_relative_to(trainer.parents[1])
    assert "dry run of stage1_sft on redaes/nano-base: 8 x CPU, zero3; nothing was loaded or written" in done.stdout
    assert done.stdout.count(" finished: runs/") == len(TRAINED)
    for name in TRAINED:
        record = json.loads((tmp_path / "runs" / name / "final" / "run_record.json").read_text())
        assert record["training_arguments"]["max_steps"] == 2
        assert record["command"][:3] == ["redaes", "train", name]


@pytest.mark.slow
def test_two_processes_from_the_wheel(trainer: Path, red_folder: Path, tmp_path: Path) -> None:
    stage = ("train", "sft", "--data", red_folder, *TRAINED["sft"])
    _run(
        trainer.with_name("redaes"), *stage, "--output_dir", "own", "--num_processes", "2", cwd=tmp_path, timeout_s=900
    )
    accelerate = ("-m", "accelerate.commands.launch", "--num_processes", "2", "--config_file")
    ddp = trainer.parents[1].glob("lib*/**/redaes/_configs/accelerate/ddp.yaml")
    launch = (*accelerate, next(ddp), "--main_process_port", "0", "-m", "redaes", *stage, "--output_dir", "accelerate")
    _run(trainer, *launch, cwd=tmp_path, timeout_s=900, ACCELERATE_USE_CPU="true")
    finals = [tmp_path / name / "final" for name in ("own", "accelerate")]
    assert [json.loads((final / "run_record.json").read_text())["n_processes"] for final in finals] == [2, 2]
    one, other = ((final / "adapter_model.safetensors").read_bytes() for final in finals)
    assert one == other
