"""The scripts of the stages, as they are launched."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ACCELERATE = [str(Path(sys.executable).with_name("accelerate")), "launch"]
TORCHRUN = [str(Path(sys.executable).with_name("torchrun")), "--nproc_per_node", "2"]
REDAES = [sys.executable, "-m", "redaes", "train"]
SCRIPTS = {
    "stage1": "stage1_sft.py",
    "stage2": "stage2_align.py",
    "stage3": "stage3_grpo.py",
    "fgaesq": "fgaesq.py",
}
ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "OMP_NUM_THREADS": "1"}


def script(name: str) -> str:
    return str(ROOT / "stages" / SCRIPTS[name])


def launch(command: list[str], cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, env={**ENVIRONMENT, **environment}, capture_output=True, text=True, timeout=900, check=False
    )
