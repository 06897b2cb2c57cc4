"""Find out from a LoRA adapter's folder which base it was trained on, and whether vLLM serves it as trained.

Training, merging, checking, the local backend and the launcher of vLLM all use this module.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from redaes.backends.weights import ADAPTER_CONFIG, revision_of
from redaes.errors import BackendError
from redaes.models import nano

RUN_RECORD = "run_record.json"
"""File that a training stage writes beside its adapter; adapters from elsewhere have none."""

RUN_BASE = "base.json"
"""File that a run writes beside its checkpoints, which have no run record: the base that it started from."""

VLLM_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""LoRA ranks that vLLM can reserve room for; an adapter needs the smallest that is not below its own."""


def adapter_settings(adapter: Path) -> dict[str, Any]:
    """Return an adapter's own settings, as peft wrote them.

    Raises:
        BackendError: no adapter there, or one that is no LoRA.
    """
    file = adapter / ADAPTER_CONFIG
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BackendError(f"{file} cannot be read: {error}; give the folder of an adapter") from error
    rank = settings.get("r") if isinstance(settings, dict) else None
    if not isinstance(rank, int) or rank < 1:
        raise BackendError(
            f"{file} has no rank r, so it does not describe a LoRA adapter; give the folder of an adapter, such as "
            "the final/ folder of a stage"
        )
    return dict(settings)


def recorded_base(adapter: Path) -> tuple[str, str] | None:
    """Return the name and revision of the base that an adapter was trained on; None: it has no record of them.

    Raises:
        BackendError: the record cannot be read.
    """
    file = adapter / RUN_RECORD
    if not file.is_file():
        file = adapter.resolve().parent / RUN_BASE
        if not (adapter.resolve().name.startswith("checkpoint-") and file.is_file()):
            return None
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        base = found.get("base") if file.name == RUN_RECORD else found
        return None if base is None else (str(base["name"]), str(base["revision"]))
    except (OSError, ValueError, AttributeError, LookupError, TypeError) as error:
        raise BackendError(f"{file} cannot be read ({error}); copy the adapter again") from error


def check_base(adapter: Path, name: str, folder: Path) -> None:
    """Refuse to put an adapter on other weights than those it was trained on, whatever their shape.

    Where the adapter's record has the base's revision, the weights decide and the name does not: a folder and a hub
    name may hold the same model. Without a record only names can be compared, and of those only ones that mean the same
    everywhere; a difference is a warning then.

    Args:
        adapter: its folder.
        name: name of the base that it is to go on, as given.
        folder: folder of that base.

    Raises:
        BackendError: another base.
    """
    recorded = recorded_base(adapter)
    if recorded is not None:
        revision = revision_of(folder)
        if revision != recorded[1]:
            raise BackendError(
                f"adapter {adapter} was trained on {recorded[0]} with weights of revision {recorded[1]}, and {name} "
                f"has revision {revision}: they are not the same weights; give the base of its training"
            )
        return
    named = adapter_settings(adapter).get("base_model_name_or_path") or ""
    if named != name and _means_the_same_everywhere(named) and _means_the_same_everywhere(name):
        warnings.warn(
            f"adapter {adapter} names {named} as its base and is put on {name}; it has no record of the weights that "
            "would tell whether they are the same",
            stacklevel=2,
        )


def _means_the_same_everywhere(name: str) -> bool:
    """Return whether this is an embedded model or could be a hub name; folders differ between machines."""
    return name in nano.NAMES or (name.count("/") == 1 and not name.startswith(("/", ".")) and not Path(name).is_dir())


def vllm_limits(settings: Mapping[str, Any], tensors: Iterable[str]) -> list[str]:
    """Return why vLLM 0.31 would refuse an adapter, or silently ignore a part of it while it answers with HTTP 200.

    Args:
        settings: the adapter's settings, as in its configuration file.
        tensors: names of its weights.

    Returns:
        Reasons, worded to be part of a sentence; empty: vLLM serves it as it was trained.
    """
    found = [f"vLLM serves no adapter with {name}" for name in ("use_dora", "modules_to_save") if settings.get(name)]
    for name in ("rank_pattern", "alpha_pattern"):
        if settings.get(name):
            found.append(f"vLLM scales every layer alike and does not read {name}")
    if int(settings["r"]) > VLLM_RANKS[-1]:
        found.append(f"it has rank {settings['r']}, and vLLM takes up to {VLLM_RANKS[-1]}")
    names = list(tensors)
    seen = next((name for name in names if ".visual." in name), None)
    if seen is not None:
        found.append(f"it also changes the vision tower ({seen}), which vLLM leaves out without a word")
    expert = next((name for name in names if ".experts." in name), None)
    if settings.get("target_parameters") or expert is not None:
        found.append(
            f"it changes fused expert weights ({expert or settings['target_parameters']}), and whether vLLM takes "
            "those depends on the model; it was not tried"
        )
    return found


def vllm_room(rank: int) -> int:
    """Return the rank that vLLM has to reserve room for."""
    return next(size for size in VLLM_RANKS if size >= rank)
