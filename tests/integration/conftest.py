"""Real models, small and random, made once per session."""

from __future__ import annotations

from pathlib import Path

import pytest

import redaes  # noqa: F401  # before a file of this folder imports transformers, which may need torchvision

CORPUS = [
    "<rationale>\nA is darker than B; the shadows block up. Decisive: light, better in B.\n</rationale>\n",
    "<rationale>\nB is blurred and noisy. Decisive: focus, noise, better in A.\n</rationale>\n",
    "Winner: A\nDifference: +1.5",
    "Winner: B\nDifference: -3.4",
    "Winner: tie\nDifference: 0.0",
    "Score: 6",
    "Which is the better photograph, by how much, and why? Judge light, colour, focus, noise, composition.",
]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random Qwen3-VL whose text and probabilities vary with what it is shown."""
    from redaes.models.nano.builder import build

    folder = tmp_path_factory.mktemp("model") / "tiny"
    build(
        folder,
        CORPUS * 20,
        seed=0,
        vocab_size=400,
        max_pixels=96 * 96,
        initializer_range=0.2,
        hidden=64,
        layers=2,
        vision_hidden=64,
        vision_layers=2,
    )
    return folder
