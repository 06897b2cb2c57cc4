"""Load a model, an adapter and a processor completely, or raise an error; for inference and training.

Libraries fill what is missing with random numbers or empty vocabularies and a warning; here that is an error.
Only safetensors are read, and no code that comes with a model is run.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import torch

from redaes.backends.chat_templates import check_pictures, one_rendering
from redaes.backends.preprocessing import TOKENIZER_CONFIG, PictureSize, image_settings, read_settings
from redaes.deferred_libraries import libraries_deferred
from redaes.errors import BackendError, MissingDependency
from redaes.models import nano


class PatchProjection(torch.nn.Conv3d):
    """A convolution whose stride equals its kernel size, computed as a matrix product.

    Same weights, same values up to rounding; on a CPU four times as fast, forward and backward.
    """

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """Return (N, channels, frames, rows, columns), each one patch, to (N, out_channels, 1, 1, 1)."""
        flat = torch.nn.functional.linear(patches.flatten(1), self.weight.flatten(1), self.bias)
        return flat.reshape(*flat.shape, 1, 1, 1)


_HUB_FILES = ("*.json", "*.safetensors", "*.jinja", "*.txt", "*.model")
_WEIGHTS_LEFT_OUT: ContextVar[bool] = ContextVar("weights_left_out", default=False)
_SAMPLE = "Winner: A\nDifference: +1.5"


def model_folder(model: str | Path, revision: str | None = None) -> Path:
    """Return the folder of a model: an embedded one, one on disk, or a snapshot of a hub repository.

    Args:
        model: its name or folder.
        revision: branch, tag or commit on the hub; None: the newest.

    Raises:
        BackendError: none of these, or a revision of what is not on the hub.
    """
    if revision is not None and (str(model) in nano.NAMES or Path(model).is_dir()):
        raise BackendError(f"{model} is not on the hub, where revisions are ({revision!r} was asked for); leave it out")
    if str(model) in nano.NAMES:
        return nano.weights(str(model))
    folder = Path(model)
    if folder.is_dir():
        return folder
    if isinstance(model, Path):
        raise BackendError(f"{model}: no such model folder; check the spelling")
    # transformers needs this package, so it is there.
    from huggingface_hub import snapshot_download

    at = "" if revision is None else f" at revision {revision}"
    try:
        return Path(snapshot_download(model, revision=revision, allow_patterns=list(_HUB_FILES)))
    except (OSError, ValueError) as error:
        raise BackendError(
            f"{model}{at}: there is no such model folder, and the Hugging Face Hub does not provide such a model "
            f"({first_line(error)}); check the spelling, or use {nano.NAME}"
        ) from error


@contextmanager
def weights_left_out() -> Iterator[None]:
    """Within this context, networks and adapters are loaded without weights, on the meta device: shapes alone."""
    before = _WEIGHTS_LEFT_OUT.set(True)
    try:
        with torch.device("meta"):
            yield
    finally:
        _WEIGHTS_LEFT_OUT.reset(before)


def load_network(folder: Path, dtype: torch.dtype) -> Any:
    """Return the network, on the CPU, with every weight from the files.

    Raises:
        BackendError: not a vision-language model, or not a whole one.
    """
    with libraries_deferred():
        return _loaded(folder, dtype)


def _loaded(folder: Path, dtype: torch.dtype) -> Any:
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModelForImageTextToText

    if _WEIGHTS_LEFT_OUT.get():
        try:
            config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            return _project_patches(AutoModelForImageTextToText.from_config(config, dtype=dtype))
        except (OSError, ValueError, TypeError, LookupError) as error:
            raise BackendError(f"{folder} describes no vision-language model ({first_line(error)})") from error
    try:
        network, loading = AutoModelForImageTextToText.from_pretrained(
            folder,
            dtype=dtype,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, TypeError, LookupError, RuntimeError, SafetensorError) as error:
        _refuse_other_kinds(folder, error)
        raise BackendError(
            f"{folder} holds no vision-language model that can be loaded ({first_line(error)}); "
            "give a folder with config.json, safetensors, tokenizer and processor"
        ) from error
    # transformers fills gaps with random numbers and a warning; a judge must not run on those.
    if loading["missing_keys"]:
        missing = sorted(loading["missing_keys"])
        raise BackendError(f"{folder} lacks {len(missing)} weights, such as {missing[0]}; copy the model again")
    return _project_patches(network)


def _refuse_other_kinds(folder: Path, error: Exception) -> None:
    """Raise an error that says what kind of model this is, if it does not take pictures and text.

    Raises:
        BackendError: its configuration says that it is of another kind.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

    kind = read_settings(folder / "config.json").get("model_type")
    if not isinstance(kind, str) or kind in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        return
    raise BackendError(
        f"{folder} is a model of type {kind}, which takes no pictures beside text, as far as this version of "
        "transformers knows; give a vision-language model (docs/models.md)"
    ) from error


def _project_patches(network: Any) -> Any:
    for module in network.modules():
        if type(module) is torch.nn.Conv3d and module.stride == module.kernel_size and module.padding == (0, 0, 0):
            module.__class__ = PatchProjection
    return network


def load_adapter(network: Any, adapter: Path, *, trainable: bool = False, autocast_adapter_dtype: bool = True) -> Any:
    """Return the network with a PEFT adapter on it.

    Args:
        network: the adapter's base.
        adapter: folder.
        trainable: whether to train it.
        autocast_adapter_dtype: keep it in float32 where the network has fewer bits.

    Raises:
        BackendError: the adapter is incomplete or belongs to another model.
    """
    try:
        from peft import PeftConfig, PeftModel, get_peft_model
    except ImportError as error:
        raise MissingDependency("peft", "train") from error
    from safetensors import SafetensorError

    if not (adapter / "adapter_model.safetensors").is_file():
        raise BackendError(f"{adapter} has no adapter_model.safetensors; copy or train the adapter again")
    if _WEIGHTS_LEFT_OUT.get():
        config = PeftConfig.from_pretrained(str(adapter))
        config.inference_mode = not trainable
        return get_peft_model(network, config, autocast_adapter_dtype=autocast_adapter_dtype)
    try:
        with warnings.catch_warnings():
            # peft only warns about missing weights and continues with new ones.
            warnings.filterwarnings("error", message="Found missing adapter keys")
            return PeftModel.from_pretrained(
                network, str(adapter), is_trainable=trainable, autocast_adapter_dtype=autocast_adapter_dtype
            )
    except (OSError, ValueError, TypeError, LookupError, RuntimeError, SafetensorError, UserWarning) as error:
        raise BackendError(
            f"adapter {adapter} does not fit the model ({first_line(error)}); give the base of its training"
        ) from error


def load_processor(folder: Path, max_pixels: int | None, adapter: Path | None = None) -> Any:
    """Return the processor for pictures and text: the adapter's own, where it has one, else the model's.

    Its chat template has one rendering (`redaes.backends.chat_templates`).

    Args:
        folder: folder of the model.
        max_pixels: cap on a picture's area, in pixels; None: the processor's own.
        adapter: on the model.

    Raises:
        BackendError: there is none, it does not work, or its chat template has two renderings.
    """
    from transformers import AutoImageProcessor, AutoProcessor

    pictures_of = None
    if adapter is not None and image_settings(adapter) is not None:
        # Some tools leave an adapter with the settings for pictures alone.
        pictures_of = None if (adapter / TOKENIZER_CONFIG).is_file() else adapter
        folder = folder if pictures_of is not None else adapter
    try:
        processor = AutoProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        if pictures_of is not None:
            processor.image_processor = AutoImageProcessor.from_pretrained(pictures_of, local_files_only=True)
    except ImportError as error:
        raise BackendError(
            f"the processor of {folder} needs a package that is not installed ({first_line(error)}); install it"
        ) from error
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise BackendError(
            f"{folder} has no processor that can be loaded ({first_line(error)}); copy the model again"
        ) from error
    if not hasattr(processor, "image_processor") or not hasattr(processor, "tokenizer"):
        raise BackendError(f"{folder} has no processor for pictures and text; give a vision-language model")
    # Where the vocabulary is absent, transformers makes an empty tokenizer and says nothing.
    tokenizer = processor.tokenizer
    if tokenizer.decode(tokenizer(_SAMPLE, add_special_tokens=False)["input_ids"]) != _SAMPLE:
        raise BackendError(f"{folder} has a processor without a working tokenizer; copy the model again")
    template = one_rendering(processor, folder)
    check_pictures(processor, template, folder)
    own = processor.chat_template
    if template not in (own, own.get("default") if isinstance(own, dict) else None):
        # Both are saved, into one file.
        processor.chat_template = tokenizer.chat_template = (
            {**own, "default": template} if isinstance(own, dict) else template
        )
    if max_pixels is not None:
        size = dict(processor.image_processor.size or {})
        # Where patches are not merged as Qwen's are, an edge is an edge, or pictures have one size.
        if size.get("longest_edge") is None or not hasattr(processor.image_processor, "merge_size"):
            raise BackendError(f"the processor of {folder} has no cap on a picture's area; leave max_pixels out")
        capped = PictureSize(size.get("shortest_edge") or max_pixels, max_pixels).capped(max_pixels)
        processor.image_processor.size = {**size, **capped.as_dict()}
    return processor


def first_line(error: Exception) -> str:
    """Return the first line of an error, short enough for a message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
