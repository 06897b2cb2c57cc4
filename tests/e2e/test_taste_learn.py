"""``redaes taste learn`` as somebody types it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image


def _run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "redaes", *words], cwd=cwd, capture_output=True, text=True, timeout=300, check=False
    )


def test_a_taste_is_learnt_and_used(tmp_path: Path) -> None:
    rows = ["first;second;winner"]
    for number in range(20):
        scene = np.random.default_rng(number).integers(30, 225, (5, 7, 3)).astype(np.uint8)
        large = np.asarray(Image.fromarray(scene).resize((112, 80), Image.Resampling.BICUBIC), dtype=float)
        for side, factor in (("dark", 0.55), ("light", 1.0)):
            Image.fromarray((large * factor).astype(np.uint8)).save(tmp_path / f"{number}-{side}.png")
        rows.append(f"{number}-dark.png;{number}-light.png;first")
    (tmp_path / "answers.csv").write_text("\n".join(rows), encoding="utf-8")
    learnt = _run("taste", "learn", "answers.csv", "--out", "taste", cwd=tmp_path)
    assert learnt.returncode == 0, learnt.stderr
    assert "learnt: better than before" in learnt.stdout
    asked = _run("compare", "0-dark.png", "0-light.png", "--mode", "fast", "--adapter", "taste", cwd=tmp_path)
    assert asked.returncode == 0, asked.stderr
    assert "0-dark.png" in asked.stdout
    again = _run("taste", "learn", "answers.csv", "--out", "taste", cwd=tmp_path)
    assert (again.returncode, "exists" in again.stderr) == (2, True)
