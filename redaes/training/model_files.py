"""The files beside a result's weights: the base model's own, so that tools that load the base also load the result.

A processor that transformers 5 writes does not load in transformers 4, which most other tools still use. So the base's
tokenizer and processor files are copied and changed only where the training differs: the picture size, and the chat
template if another one was used. In files that transformers 5 wrote, the old names are added beside the new ones; both
versions read such a folder.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redaes.backends.preprocessing import (
    IMAGE_CONFIG,
    NESTED_CONFIG,
    OLD_TEMPLATE,
    TEMPLATE,
    TOKENIZER_CONFIG,
    VIDEO_CONFIG,
    PictureSize,
    chat_template_of,
    read_settings,
    size_in,
)
from redaes.file_writing import write_atomically, write_json

if TYPE_CHECKING:
    from transformers import ProcessorMixin

FILES = (
    "added_tokens.json", "merges.txt", "special_tokens_map.json", "tokenizer.json", "tokenizer.model", "vocab.json",
    "vocab.txt", TOKENIZER_CONFIG, TEMPLATE, OLD_TEMPLATE, IMAGE_CONFIG, VIDEO_CONFIG, NESTED_CONFIG,
)  # fmt: skip
"""Files of a tokenizer and a processor, in all layouts; not every model has all."""

MORE_TEMPLATES = "additional_chat_templates"

_LEFT_OVER = ("is_local", "local_files_only")
"""Keys with which transformers 5 records how a tokenizer was loaded."""

_IN_BOTH = ("qwen2_5_vl", "qwen3_vl")


def loads_in(base: Path) -> str:
    """Return the versions of transformers in which a result on this base loads, as far as tested."""
    if read_settings(base / "config.json").get("model_type") in _IN_BOTH:
        return "transformers 4.57 and 5"
    return "transformers 5, from the version that first has this model"


def save_processor(processor: ProcessorMixin, base: Path, out: Path) -> None:
    """Write the files of a processor into a folder: copies of the base's files with the changes of the training.

    Args:
        processor: the processor of the training.
        base: folder of the base model.
        out: an existing folder; files of another processor in it are replaced.

    Raises:
        RecordError: ``out`` cannot be written to.
        BackendError: the base's files cannot be read.
    """
    for name in FILES:
        (out / name).unlink(missing_ok=True)
        if (base / name).is_file():
            shutil.copyfile(base / name, out / name)
    shutil.rmtree(out / MORE_TEMPLATES, ignore_errors=True)
    if (base / MORE_TEMPLATES).is_dir():
        shutil.copytree(base / MORE_TEMPLATES, out / MORE_TEMPLATES)
    _write_tokenizer_settings(out)
    _write_template(processor, out)
    _write_image_settings(processor.image_processor, out)


def name_for_both_versions(folder: Path) -> None:
    """Add the names that transformers 4 reads to a ``config.json`` that transformers 5 wrote.

    Without them, transformers 4 uses its default base frequency for the rotary embedding, or does not load the model.
    """
    config = read_settings(folder / "config.json")
    if not config:
        return
    for part in (config, config.get("text_config")):
        if not isinstance(part, dict):
            continue
        rope = part.get("rope_parameters")
        if isinstance(rope, dict) and "rope_theta" in rope:
            part.setdefault("rope_theta", rope["rope_theta"])
            part.setdefault("rope_scaling", {name: value for name, value in rope.items() if name != "rope_theta"})
    write_json(folder / "config.json", config)


def _write_tokenizer_settings(out: Path) -> None:
    """Write the additional special tokens so that both versions read them, if transformers 5 wrote them as a list."""
    settings = read_settings(out / TOKENIZER_CONFIG)
    if not isinstance(settings.get("extra_special_tokens"), list):
        return
    settings["additional_special_tokens"] = settings.pop("extra_special_tokens")
    for name in _LEFT_OVER:
        settings.pop(name, None)
    write_json(out / TOKENIZER_CONFIG, settings)


def _write_template(processor: ProcessorMixin, out: Path) -> None:
    """Write the chat template if it differs from the base's."""
    template = processor.chat_template
    if not isinstance(template, str) or template == chat_template_of(out):
        return
    (out / OLD_TEMPLATE).unlink(missing_ok=True)  # transformers 4 would prefer this file
    settings = read_settings(out / TOKENIZER_CONFIG)
    if settings.pop("chat_template", None) is not None:
        write_json(out / TOKENIZER_CONFIG, settings)
    write_atomically(out / TEMPLATE, template.encode())


def _write_image_settings(image_processor: Any, out: Path) -> None:
    """Write the picture size and other changed picture settings, in the layouts that the files have.

    If only the nested layout exists, the flat one is added, for pictures and for videos.
    """
    whole, flat = read_settings(out / NESTED_CONFIG), read_settings(out / IMAGE_CONFIG)
    nested = whole.get("image_processor")
    owner = {"processor_class": whole["processor_class"]} if "processor_class" in whole else {}
    if isinstance(nested, dict):
        changed = _as_trained(nested, image_processor)
        if changed != nested:
            write_json(out / NESTED_CONFIG, {**whole, "image_processor": changed})
        if not flat:
            write_json(out / IMAGE_CONFIG, {**owner, **changed})
        videos = whole.get("video_processor")
        if isinstance(videos, dict) and not (out / VIDEO_CONFIG).is_file():
            write_json(out / VIDEO_CONFIG, {**owner, **videos})
    if flat and (changed := _as_trained(flat, image_processor)) != flat:
        write_json(out / IMAGE_CONFIG, changed)


_PICTURES = ("image_mean", "image_std", "rescale_factor", "patch_size", "merge_size", "temporal_patch_size")


def _as_trained(settings: Mapping[str, Any], image_processor: Any) -> dict[str, Any]:
    """Return the settings of a file with the values of a processor in memory, under the names in the file."""
    changed = dict(settings)
    for name in _PICTURES:
        value = getattr(image_processor, name, None)
        value = list(value) if isinstance(value, tuple) else value
        if name in settings and value is not None and value != settings[name]:
            changed[name] = value
    size = dict(image_processor.size)
    now = PictureSize(size["shortest_edge"], size["longest_edge"])
    if now != size_in(changed):
        changed["size"] = now.as_dict()
        for name, value in (("min_pixels", now.shortest_edge), ("max_pixels", now.longest_edge)):
            if changed.get(name) is not None:
                changed[name] = value
    return changed
