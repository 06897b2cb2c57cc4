"""Merge an adapter into its base model: one folder that any tool loads without peft."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import AutoConfig, ProcessorMixin

from redaes import prompts
from redaes.backends.adapters import check_base
from redaes.backends.loading import load_adapter, load_network, load_processor, model_folder
from redaes.backends.weights import ADAPTER_CONFIG, base_of
from redaes.errors import RecordError, TrainingError
from redaes.file_writing import write_atomically
from redaes.training.formatting import chat_text, encode
from redaes.training.model_card import merged_card
from redaes.training.model_files import loads_in, name_for_both_versions, save_processor
from redaes.training.result_checks import TOLERANCE

KEPT = ("prompts.json", "run_record.json")
"""Files that are copied from the adapter's folder, if they exist."""


@torch.no_grad()
def _log_probs(model: Any, processor: ProcessorMixin) -> torch.Tensor:
    """Return the log-probabilities (V,) of the token after the reasoned prompt, for two generated pictures."""
    text = chat_text(processor, prompts.load(prompts.COMPARE["reasoned"]), "")
    pictures = [Image.linear_gradient("L").convert("RGB"), Image.radial_gradient("L").convert("RGB")]
    logits: torch.Tensor = model.eval()(**encode(processor, [text], [pictures]), logits_to_keep=1).logits
    return logits[0, -1].float().log_softmax(-1)


def merge(adapter: Path, out: Path, *, model: str | None = None, in_float32: bool = False) -> Path:
    """Write the merged model to ``out``, completely or not at all.

    Args:
        adapter: a stage's ``final/`` folder.
        out: a folder that does not exist yet.
        model: the base model; None: the one that the adapter names.
        in_float32: write float32, whatever the base is stored in, because rounding a small model to bfloat16 changes
            verdicts.

    Returns:
        ``out``, with the model in the base's number type or float32, the base's tokenizer and processor files with the
        adapter's picture size, the adapter's records, and a card.

    Raises:
        RecordError: there is no adapter in the folder, or ``out`` exists or cannot be written.
        TrainingError: the merged model does not answer as the adapter does.
        BackendError: base or adapter cannot be loaded, or the base's weights differ from those of the training.
    """
    if not (adapter / ADAPTER_CONFIG).is_file():
        raise RecordError(f"{adapter} has no {ADAPTER_CONFIG}; give the final/ folder of a stage that trained a LoRA")
    if out.exists():
        raise RecordError(f"{out} exists; choose another --out, nothing is overwritten")
    name = model or base_of(adapter)
    base = model_folder(name)
    check_base(adapter, name, base)
    dtype = AutoConfig.from_pretrained(base, local_files_only=True, trust_remote_code=False).dtype or torch.float32
    processor = load_processor(base, None, adapter)
    # Merge and compare in float32 and round once at the end: in bfloat16 two roundings of a small model add up.
    network = load_adapter(load_network(base, torch.float32), adapter)
    before = _log_probs(network, processor)
    network = network.merge_and_unload(safe_merge=True)
    after = _log_probs(network, processor)
    likely = before.topk(8).indices
    difference = (before[likely] - after[likely]).abs().max().item()
    tolerance = TOLERANCE["float32"]
    if not difference <= tolerance:
        raise TrainingError(
            f"merged, {adapter} answers otherwise than unmerged: log-probabilities differ by {difference:.1e}, "
            f"{tolerance:g} is allowed; report this with the adapter's run_record.json"
        )
    making = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        network.to(torch.float32 if in_float32 else dtype).save_pretrained(making)
        name_for_both_versions(making)
        save_processor(processor, base, making)
        for name in KEPT:
            if (adapter / name).is_file():
                shutil.copyfile(adapter / name, making / name)
        longest = dict(processor.image_processor.size).get("longest_edge")
        card = merged_card(model or base_of(adapter), loads_in(base), longest)
        write_atomically(making / "README.md", card.encode())
        making.rename(out)
    except OSError as error:
        raise RecordError(f"{out} cannot be written: {error.strerror or error}; choose another --out") from error
    finally:
        shutil.rmtree(making, ignore_errors=True)  # after a success there is nothing to remove
    return out
