"""A service with an adapter: it says so, and the adapter decides what is answered."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from fastapi import FastAPI
from PIL import Image

from redaes.backends.local import LocalBackend
from redaes.serving.app import create_app


@pytest.fixture(scope="module")
def taste(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA on the last layer's ``down_proj``, which is where a taste is learned."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForImageTextToText

    network = AutoModelForImageTextToText.from_pretrained(tiny_model)
    config = LoraConfig(
        r=8, target_modules=r".*language_model.*layers\.1\.mlp\.down_proj", base_model_name_or_path=str(tiny_model)
    )
    torch.manual_seed(3)
    adapted = get_peft_model(network, config)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=1.0)
    folder = tmp_path_factory.mktemp("learned") / "taste"
    adapted.save_pretrained(folder)
    return folder


def pictures() -> list[bytes]:
    found = []
    for seed in range(4):
        image = Image.fromarray(np.random.default_rng(seed).integers(0, 255, (48, 64, 3), np.uint8))
        out = io.BytesIO()
        image.save(out, "PNG")
        found.append(out.getvalue())
    return found


def asked(app: FastAPI, method: str, path: str, **settings: Any) -> dict[str, Any]:
    async def run() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            return await client.request(method, path, **settings)

    answer = asyncio.run(run())
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_the_adapter_answers_and_is_named(tiny_model: Path, taste: Path) -> None:
    base = create_app(LocalBackend(tiny_model, device="cpu"))
    own = create_app(LocalBackend(tiny_model, adapter=taste, device="cpu"))
    health = asked(own, "GET", "/health")
    assert health["model"] == f"{tiny_model} + {taste}"
    assert health["revision"] != asked(base, "GET", "/health")["revision"]
    first, second, *_ = files = pictures()
    compared, ranked = [], []
    for app in (base, own):
        pair = {"first": ("a.png", first), "second": ("b.png", second)}
        compared.append(asked(app, "POST", "/v1/compare", files=pair, data={"mode": "fast"}))
        series = [("pictures", (f"{n}.png", data)) for n, data in enumerate(files)]
        ranked.append(asked(app, "POST", "/v1/rank", files=series, data={"mode": "fast"}))
    assert abs(compared[0]["probability"] - compared[1]["probability"]) > 0.01
    assert ranked[0]["ids"] == ranked[1]["ids"]
    assert ranked[0]["ranking"]["scores"] != pytest.approx(ranked[1]["ranking"]["scores"], abs=0.01)
    assert ranked[1]["model"] == compared[1]["model"] == health["model"]
    assert ranked[1]["revision"] == compared[1]["revision"] == health["revision"]
