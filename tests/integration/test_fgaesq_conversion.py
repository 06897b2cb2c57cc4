"""The published FGAesQ checkpoint to a folder: exact, from the forms it may come in, and what is refused."""

from __future__ import annotations

import argparse
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from fgaesq_checkpoint import openai_layout
from safetensors.torch import save_file
from typer.testing import CliRunner

from redaes.cli.app import app
from redaes.errors import BackendError, InputError
from redaes.models.fgaesq import network
from redaes.models.fgaesq.conversion import CONVERSION, convert_published

Weights = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def published() -> Weights:
    """A small state dict in the published layout, with its text tower and its double names."""
    return openai_layout(width=64, layers=2, projection=32, grid=4, seed=3)


@torch.no_grad()
def test_a_published_checkpoint_is_converted_exactly(published: Weights, tmp_path: Path) -> None:
    torch.save(published, tmp_path / "best.pt")
    model = convert_published(str(tmp_path / "best.pt"), str(tmp_path / "m"))
    assert network.load(str(tmp_path / "m")).settings.attend_padding
    # One residual block by hand, in OpenAI's layout.
    x = torch.randn(1, 5, 64, generator=torch.Generator().manual_seed(0))
    p = {name.removeprefix("clip_model.visual.transformer.resblocks.0."): v for name, v in published.items()}
    norm = torch.nn.functional.layer_norm
    attended, _ = torch.nn.functional.multi_head_attention_forward(
        *(norm(x, (64,), p["ln_1.weight"], p["ln_1.bias"]).transpose(0, 1),) * 3, 64, 1,
        p["attn.in_proj_weight"], p["attn.in_proj_bias"], None, None, False, 0.0,
        p["attn.out_proj.weight"], p["attn.out_proj.bias"], training=False, need_weights=False,
    )  # fmt: skip
    y = x + attended.transpose(0, 1)
    hidden = norm(y, (64,), p["ln_2.weight"], p["ln_2.bias"]) @ p["mlp.c_fc.weight"].T + p["mlp.c_fc.bias"]
    y = y + (hidden * torch.sigmoid(1.702 * hidden)) @ p["mlp.c_proj.weight"].T + p["mlp.c_proj.bias"]
    found = model.tower.vision_model.encoder.layers[0](x, None)
    torch.testing.assert_close(found, y, atol=1e-5, rtol=1e-4)
    assert torch.equal(model.tower.visual_projection.weight, published["proj"].T)
    assert torch.equal(model.head[6].bias, published["iqa_head.6.bias"])


FORMS: dict[str, Callable[[Weights], object]] = {
    "of several GPUs": lambda state: {f"module.{name}": value for name, value in state.items()},
    "state_dict": lambda state: {"epoch": 3, "state_dict": state, "best": 0.75},
    "model": lambda state: {"model": state, "optimizer": {"state": {}, "param_groups": [{"lr": 2e-5}]}},
    "both": lambda state: {"model": {f"module.{name}": value for name, value in state.items()}},
    "half": lambda state: {name: value.half() for name, value in state.items()},
}


@pytest.mark.parametrize("form", FORMS)
def test_the_forms_in_which_training_programs_keep_weights(form: str, published: Weights, tmp_path: Path) -> None:
    torch.save(FORMS[form](published), tmp_path / "best.pt")
    found = convert_published(tmp_path / "best.pt", tmp_path / "m").state_dict()
    torch.save(published, tmp_path / "plain.pt")
    for name, value in convert_published(tmp_path / "plain.pt", tmp_path / "plain").state_dict().items():
        torch.testing.assert_close(found[name], value, atol=1e-3 if form == "half" else 0, rtol=0)


def test_safetensors_are_taken_too(published: Weights, tmp_path: Path) -> None:
    save_file({name: value.clone() for name, value in published.items()}, tmp_path / "best.safetensors")
    model = convert_published(tmp_path / "best.safetensors", tmp_path / "m")
    assert torch.equal(model.head[6].bias, published["iqa_head.6.bias"])


def test_other_checkpoints_are_refused(published: Weights, tmp_path: Path) -> None:
    def refused(state: object, message: str) -> None:
        torch.save(state, tmp_path / "x.pt")
        with pytest.raises(BackendError, match=message):
            convert_published(tmp_path / "x.pt", tmp_path / "m")

    def without(part: str) -> Weights:
        return {name: value for name, value in published.items() if part not in name}

    refused({**published, "surprise": torch.zeros(1)}, r"has 1 weights .* surprise; .*--ignore NAME")
    refused({**published, "proj": published["proj"] + 1}, "proj differs from clip_model.visual.proj")
    refused(without("scale_embedding"), "lacks 1 weights, such as scale_embedding")
    refused(
        {k: v for k, v in published.items() if not k.startswith("clip_model.visual") or "c_fc.bias" not in k},
        r"lacks 2 weights, such as clip_model\.visual\.transformer\.resblocks\.0\.mlp\.c_fc\.bias",
    )
    refused({**published, "mask_token": torch.zeros(1, 1, 3)}, r"mask_token is of \(1, 1, 3\)")
    narrow = published["clip_model.visual.transformer.resblocks.0.attn.in_proj_bias"][:60]
    name = "transformer.resblocks.0.attn.in_proj_bias"
    refused({**published, f"clip_model.visual.{name}": narrow, name: narrow}, "misshapen")
    refused({"visual.conv1.weight": torch.zeros(2)}, "not a published FGAesQ checkpoint: .* names begin with visual;")
    refused({"epoch": 3, "weights": published}, r"named tensors: epoch, weights; save checkpoint\['weights'\] alone")
    refused({"epoch": 3, **published}, r"named tensors: epoch; save the weights alone")
    refused([1.0], "something else than named tensors")
    (tmp_path / "x.pt").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(BackendError, match="damaged"):
        convert_published(tmp_path / "x.pt", tmp_path / "m")
    with pytest.raises(BackendError, match=r"none\.pt: no such file"):
        convert_published(tmp_path / "none.pt", tmp_path / "m")
    assert not (tmp_path / "m").exists()


class Hostile:
    """Unpickling it would write a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple:
        return Path.touch, (self.file,)


def test_code_in_a_checkpoint_is_named_and_not_run(published: Weights, tmp_path: Path) -> None:
    torch.save({"state_dict": published, "args": argparse.Namespace(lr=1)}, tmp_path / "args.pt")
    with pytest.raises(BackendError, match=r"more than plain weights \(argparse\.Namespace\), which is not run"):
        convert_published(tmp_path / "args.pt", tmp_path / "m")
    torch.save({"state_dict": published, "x": Hostile(tmp_path / "run")}, tmp_path / "hostile.pt")
    (tmp_path / "pickle.pt").write_bytes(pickle.dumps(Hostile(tmp_path / "run")))
    for name in ("hostile.pt", "pickle.pt"):
        with pytest.raises(BackendError, match="holds more than plain weights"):
            convert_published(tmp_path / name, tmp_path / "m")
    assert not (tmp_path / "run").exists()


def test_the_command_converts_once_and_says_what_comes_next(published: Weights, tmp_path: Path) -> None:
    torch.save({**published, "ema.decay": torch.zeros(1), "ema.n": torch.zeros(1)}, tmp_path / "FGAesQ.pt")
    folder = tmp_path / "my model"
    words = ["models", "convert", str(tmp_path / "FGAesQ.pt"), "--out", str(folder)]
    refused = CliRunner().invoke(app, words)
    assert refused.exit_code == 4
    assert "has 2 weights that the published network has not, such as ema.decay, ema.n" in refused.stderr
    assert not folder.exists()
    done = CliRunner().invoke(app, [*words, "--ignore", "ema."])
    assert done.exit_code == 0, done.stderr
    assert f"revision {network.revision(folder)}" in done.stdout
    assert f"--model fgaesq --weights '{folder}'\n" in done.stdout
    assert json.loads((folder / CONVERSION).read_text())["checkpoint"] == "FGAesQ.pt"
    again = CliRunner().invoke(app, [*words, "--ignore", "ema."])
    assert again.exit_code == 2
    assert "holds a model already" in again.stderr
    with pytest.raises(InputError, match="holds a model already"):
        convert_published(tmp_path / "FGAesQ.pt", folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<!DOCTYPE html><html>", "does not contain weights (it begins with '<!DOCTYPE html><html')"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer"),
        (b"", "does not contain weights"),
    ],
)
def test_what_a_failed_download_leaves_is_refused_at_once(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "FGAesQ.pt").write_bytes(content)
    done = CliRunner().invoke(app, ["models", "convert", str(tmp_path / "FGAesQ.pt"), "--out", str(tmp_path / "m")])
    assert done.exit_code == 2
    assert message in done.stderr
