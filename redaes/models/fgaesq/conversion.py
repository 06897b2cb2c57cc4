"""Convert the published checkpoint of FGAesQ into a folder that redaes loads.

Its layout: OpenAI's CLIP under ``clip_model.``, parts of the visual tower a second time without that prefix,
``scale_embedding``, ``mask_token`` and ``iqa_head``. The text tower is left behind. No code in the file is run.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint

from redaes.errors import BackendError, InputError
from redaes.file_hashes import content_hash
from redaes.file_writing import write_json
from redaes.models.fgaesq.network import CONFIG, FGAesQ, ModelSettings, save
from redaes.models.fgaesq.tokens import PUBLISHED_TOKENS

CONVERSION = "conversion.json"
"""File beside a converted model that records the checkpoint it came from."""

_WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
"""Names under which training programs keep the weights beside other things, the usual one first."""

_VISUAL = "clip_model.visual."
_TEXT = ("token_embedding.", "transformer.", "ln_final.", "positional_embedding", "text_projection", "logit_scale")
_ALIASES = ("ln_pre.", "transformer.", "ln_post.", "proj")
_SHOWN = 3
_DAMAGE = (OSError, RuntimeError, ValueError, EOFError, KeyError, AttributeError, TypeError, IndexError)
"""Errors that damaged or hostile files cause: the unpickler and the zip reader have no common error."""


class _Target(NamedTuple):
    """The destination of a published weight."""

    names: tuple[str, ...]
    """Names in our network: one, or three that share the published weight."""
    change: Callable[[Tensor], Tensor] = lambda value: value


def convert_published(checkpoint: str | Path, folder: str | Path, *, ignore: Collection[str] = ()) -> FGAesQ:
    """Turn a published checkpoint into a folder that :func:`redaes.models.fgaesq.network.load` takes.

    The model attends to padding and gets its tokens by the published procedure, as it was trained.

    Args:
        checkpoint: ``.pt`` or ``.safetensors``: the weights by name, also inside a dictionary of a training program
            (under ``state_dict`` or ``model``), also with ``module.`` before every name.
        folder: for the model; holds none yet.
        ignore: names, or beginnings of names, of further weights in the file that are to be left out.

    Raises:
        BackendError: not such a checkpoint; every weight must be known, present and of the right shape.
        InputError: the folder holds a model already.
        RecordError: the folder cannot be written to.
    """
    checkpoint, folder = Path(checkpoint), Path(folder)
    if (folder / CONFIG).exists():
        raise InputError(f"{folder} already contains a model; give a folder that does not exist")
    state = _weights_by_name(checkpoint)
    state = {name: value for name, value in state.items() if not name.startswith(tuple(ignore))}
    visual = {name.removeprefix(_VISUAL): value for name, value in state.items() if name.startswith(_VISUAL)}
    if "conv1.weight" not in visual or visual["conv1.weight"].dim() != 4:
        shown = ", ".join(sorted({name.partition(".")[0] for name in state})[:_SHOWN]) or "nothing"
        raise BackendError(
            f"{checkpoint} is not a published FGAesQ checkpoint: it lacks {_VISUAL}conv1.weight, and its names begin "
            f"with {shown}; give the file that was released with the paper"
        )
    n_layers = len({name.split(".")[2] for name in visual if name.startswith("transformer.resblocks.")})
    targets = _targets(n_layers)
    _refuse_other_names(checkpoint, state, targets)
    model = FGAesQ(ModelSettings(_vision(checkpoint, visual, n_layers), PUBLISHED_TOKENS, attend_padding=True))
    model.load_state_dict(_converted(checkpoint, state, targets, model))
    digest = content_hash(checkpoint)
    save(model, folder)
    write_json(folder / CONVERSION, {"checkpoint": checkpoint.name, "sha256": digest})
    return model.eval()


def _weights_by_name(checkpoint: Path) -> dict[str, Tensor]:
    """Return the tensors of a file, in float32, without what training programs wrap around them."""
    found = _read(checkpoint)
    if isinstance(found, Mapping):
        inner = next((found[name] for name in _WRAPPERS if isinstance(found.get(name), Mapping)), None)
        found = found if inner is None else inner
    if not isinstance(found, Mapping) or not found:
        raise BackendError(f"{checkpoint} holds something else than named tensors; give the state dict")
    other = sorted(str(name) for name, value in found.items() if not isinstance(value, Tensor))
    if other:
        inner_name = next((name for name, value in found.items() if isinstance(value, Mapping)), None)
        shown = (
            "the weights alone" if inner_name is None else f"checkpoint[{inner_name!r}] alone, if it has the weights,"
        )
        raise BackendError(
            f"{checkpoint} holds something else than named tensors: {_some(other)}; save {shown} with torch.save"
        )
    state = {str(name): value.float() for name, value in found.items()}
    while all(name.startswith("module.") for name in state):  # of a model that was trained on several GPUs
        state = {name.removeprefix("module."): value for name, value in state.items()}
    return state


def _read(checkpoint: Path) -> Any:
    try:
        if checkpoint.suffix == ".safetensors":
            return load_file(checkpoint)
        return torch.load(checkpoint, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise BackendError(f"{checkpoint}: no such file; check the spelling") from error
    except UnpicklingError as error:
        named = _named_code(checkpoint)
        what = f"more than plain weights ({named}), which is not run" if named else "more than plain weights"
        raise BackendError(
            f"{checkpoint} is damaged, or holds {what}; get it again, or save its state dict alone where you trust it"
        ) from error
    except (*_DAMAGE, SafetensorError) as error:
        raise BackendError(f"{checkpoint} is damaged or holds more than plain weights; get it again") from error


def _named_code(checkpoint: Path) -> str:
    """Return the classes and functions that a checkpoint would have run, as far as they can be told without running
    them.
    """
    try:
        return _some(get_unsafe_globals_in_checkpoint(os.fspath(checkpoint)))
    except (*_DAMAGE, UnpicklingError):
        return ""


def _refuse_other_names(checkpoint: Path, state: Mapping[str, Tensor], targets: Mapping[str, _Target]) -> None:
    missing = sorted(set(targets) - set(state))
    if missing:
        raise BackendError(
            f"{checkpoint} lacks {len(missing)} weights, such as {_some(missing)}; this is not a complete published "
            "FGAesQ checkpoint: download the file again"
        )
    unknown = []
    for name in sorted(set(state) - set(targets)):
        twin = state.get(_VISUAL + name)
        if name.startswith("clip_model."):
            known = name.removeprefix("clip_model.").startswith(_TEXT)
        else:
            known = name.startswith(_ALIASES) and twin is not None
        if not known:
            unknown.append(name)
        elif twin is not None and not torch.equal(twin, state[name]):
            raise BackendError(f"{checkpoint}: {name} differs from {_VISUAL}{name}; get the file again")
    if unknown:
        raise BackendError(
            f"{checkpoint} has {len(unknown)} weights that the published network has not, such as {_some(unknown)}; "
            "where they are of no use for scoring, leave them out by name (--ignore NAME)"
        )


def _converted(
    checkpoint: Path, state: Mapping[str, Tensor], targets: Mapping[str, _Target], model: FGAesQ
) -> dict[str, Tensor]:
    wanted = model.state_dict()
    weights: dict[str, Tensor] = {}
    for name, target in targets.items():
        parts = target.change(state[name]).chunk(len(target.names))
        for ours, part in zip(target.names, parts, strict=False):
            if part.shape != wanted[ours].shape:
                raise BackendError(
                    f"{checkpoint} has a misshapen weight: {name} is of {tuple(state[name].shape)}, which does not fit "
                    f"the rest ({tuple(wanted[ours].shape)} for {ours}); get the file again"
                )
            weights[ours] = part.contiguous()
    if set(weights) != set(wanted):
        raise BackendError(f"{checkpoint} has a misshapen attention weight; get the file again")
    return weights


def _vision(checkpoint: Path, visual: Mapping[str, Tensor], n_layers: int) -> dict[str, Any]:
    """Return CLIP's vision configuration, read off the shapes."""
    width, _, patch, _ = visual["conv1.weight"].shape
    try:
        return {
            "hidden_size": width,
            "intermediate_size": len(visual["transformer.resblocks.0.mlp.c_fc.weight"]),
            "num_hidden_layers": n_layers,
            "num_attention_heads": width // 64,  # in all of OpenAI's transformers
            "patch_size": patch,
            "image_size": patch * math.isqrt(len(visual["positional_embedding"]) - 1),
            "projection_dim": visual["proj"].shape[1],
            "hidden_act": "quick_gelu",
        }
    except (IndexError, TypeError, ValueError) as error:
        raise BackendError(f"{checkpoint} has misshapen weights ({error}); get the file again") from error


def _targets(n_layers: int) -> dict[str, _Target]:
    """Return every weight of the published network but the text tower's, and where it goes."""
    tower = "tower.vision_model."
    found = {
        f"{_VISUAL}class_embedding": _Target((f"{tower}embeddings.class_embedding",)),
        f"{_VISUAL}positional_embedding": _Target((f"{tower}embeddings.position_embedding.weight",)),
        f"{_VISUAL}conv1.weight": _Target((f"{tower}embeddings.patch_embedding.weight",)),
        f"{_VISUAL}proj": _Target(("tower.visual_projection.weight",), lambda value: value.T),
        "scale_embedding": _Target(("scale_embedding",), lambda value: value.squeeze(0)),
        "mask_token": _Target(("mask_token",), lambda value: value.flatten()),
    }
    pairs = {"ln_pre": f"{tower}pre_layrnorm", "ln_post": f"{tower}post_layernorm"}
    for number in range(max(1, n_layers)):
        block, layer = f"transformer.resblocks.{number}.", f"{tower}encoder.layers.{number}."
        pairs[f"{block}ln_1"], pairs[f"{block}ln_2"] = f"{layer}layer_norm1", f"{layer}layer_norm2"
        pairs[f"{block}mlp.c_fc"], pairs[f"{block}mlp.c_proj"] = f"{layer}mlp.fc1", f"{layer}mlp.fc2"
        pairs[f"{block}attn.out_proj"] = f"{layer}self_attn.out_proj"
        for kind in ("weight", "bias"):
            thirds = tuple(f"{layer}self_attn.{letter}_proj.{kind}" for letter in "qkv")
            found[f"{_VISUAL}{block}attn.in_proj_{kind}"] = _Target(thirds)
    for kind in ("weight", "bias"):
        found.update((f"{_VISUAL}{theirs}.{kind}", _Target((f"{ours}.{kind}",))) for theirs, ours in pairs.items())
        found.update((f"iqa_head.{place}.{kind}", _Target((f"head.{place}.{kind}",))) for place in (0, 3, 6))
    return found


def _some(names: Collection[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(list(names)[:_SHOWN]) + more
