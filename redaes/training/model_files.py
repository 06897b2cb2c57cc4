"""What lies beside a result's weights: the base's own files, so that the tools that load the base load the result.

A processor written anew by transformers 5 does not load in transformers 4, which most other tools still stand on. So
the base's tokenizer and processor files are copied as they are, and changed only where training differs: the size of
pictures, and the chat template if it was another. What was written by transformers 5 gets beside its new names the old
ones; both versions read a folder with both.
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
"""What transformers 5 writes of how a tokenizer was loaded."""

_IN_BOTH = ("qwen2_5_vl", "qwen3_vl")


def loads_in(base: Path) -> str:
    """In which versions of transformers a result on this base loads, as far as it was tried."""
    if read_settings(base / "config.json").get("model_type") in _IN_BOTH:
        return "transformers 4.57 and 5"
    return "transformers 5, from the version that first has this model"


def save_processor(processor: ProcessorMixin, base: Path, out: Path) -> None:
    """Write the files of a processor into a folder: copies of the base's, with what training changed.

    Args:
        processor: that of the training.
        base: folder of the model.
        out: an existing folder; what another processor left there is replaced.

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
    """Add to ``config.json``, as transformers 5 writes it, the names under which transformers 4 looks.

    Without them it takes its own base frequency for the rotary embedding, or does not load.
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
    """Name the further special tokens as both versions read them, where transformers 5 wrote them as a list."""
    settings = read_settings(out / TOKENIZER_CONFIG)
    if not isinstance(settings.get("extra_special_tokens"), list):
        return
    settings["additional_special_tokens"] = settings.pop("extra_special_tokens")
    for name in _LEFT_OVER:
        settings.pop(name, None)
    write_json(out / TOKENIZER_CONFIG, settings)


def _write_template(processor: ProcessorMixin, out: Path) -> None:
    """Write the chat template where it is not the base's own."""
    template = processor.chat_template
    if not isinstance(template, str) or template == chat_template_of(out):
        return
    (out / OLD_TEMPLATE).unlink(missing_ok=True)  # transformers 4 would prefer it
    settings = read_settings(out / TOKENIZER_CONFIG)
    if settings.pop("chat_template", None) is not None:
        write_json(out / TOKENIZER_CONFIG, settings)
    write_atomically(out / TEMPLATE, template.encode())


def _write_image_settings(image_processor: Any, out: Path) -> None:
    """Write the size of pictures, and what else of an adapter's pictures differs, in the layouts that are there.

    Where only the nested one is, the flat one is added, for pictures and for videos.
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
    """Return the settings with those of a processor in memory, each under the names that are there."""
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
