"""The model card of a trained model, made from the run's own records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from redaes.models import nano
from redaes.training.lora_reach import describe

SETTINGS = (
    "num_train_epochs", "max_steps", "per_device_train_batch_size", "gradient_accumulation_steps", "learning_rate",
    "lr_scheduler_type", "warmup_steps", "weight_decay", "max_pixels", "lora_r", "lora_alpha", "lora_dropout",
    "lora_targets", "full_training", "tau", "preference_weight", "antisymmetry_weight", "thurstone_weight",
    "nll_weight", "beta", "num_generations", "pairs_per_group", "temperature", "max_completion_length", "mode",
    "rewards", "reward_weights", "reward_plugin_files", "evidence_version", "bf16", "seed",
)  # fmt: skip
"""Arguments of a run that the card shows; paths of the machine are left out."""

_CARD = """---
{base}library_name: {library}
pipeline_tag: image-text-to-text
tags:
- image-aesthetics
- preference
---
# {title}

This model says which of two pictures looks better, by how much, and why. redaes trained it from `{model}`; the stage
was `{stage}`.

    {command}

Differences are in points of a scale from 0 to 9 and are **not calibrated to human scores**. The model has learned from
edited photographs; it knows the faults that those edits make.

{files}## Data

The model was trained on a RED dataset whose shards hash to `{data_hash}`. The licences of its photographs, and that of
the base model, apply to this model too.

## Prompts

The model was trained to answer these prompts, word for word. Other wordings are other tasks.

{prompts}

## Figures

These are figures of the training itself. They say nothing about pictures that were not trained on.

{figures}
{validation}
## Settings

{settings}
{reach}
It was trained with {versions}.
"""


_MERGED = """---
library_name: transformers
pipeline_tag: image-text-to-text
tags:
- image-aesthetics
- preference
---
# RED-Aes, merged into {model}

    redaes compare a.jpg b.jpg --model THIS_FOLDER

This model says which of two pictures looks better, by how much, and why. {pixels}It loads in {versions}: tokenizer and
processor are the base's own files. `run_record.json`, where there is one, says how it was trained, and `prompts.json`
which prompts it answers. The licence of the base model applies to this one.
"""


def merged_card(model: str, versions: str, longest_edge: int | None) -> str:
    """Return the card of a merged model.

    Args:
        model: the base model's name in the adapter.
        versions: versions of transformers in which it loads.
        longest_edge: the largest area at which the model is shown a picture, in pixels; None: not known.
    """
    name = PurePath(model).name if PurePath(model).is_absolute() else model
    return _MERGED.format(model=name, pixels=_pixels(longest_edge), versions=versions)


def _pixels(longest_edge: int | None) -> str:
    return "" if longest_edge is None else f"It was trained on pictures of at most {longest_edge:,} pixels. "


def _files(record: Mapping[str, Any]) -> str:
    """Return the card's sentences on the files beside the weights, if the record describes them."""
    if "loads_in" not in record:
        return ""
    pixels, versions = _pixels(record["pictures"]["longest_edge"]), record["loads_in"]
    return f"{pixels}Tokenizer and processor in this folder are the base's own files; they load in {versions}.\n\n"


def _table(head: tuple[str, str], rows: Mapping[str, Any]) -> str:
    lines = [f"| {head[0]} | {head[1]} |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())]
    return "\n".join(lines)


_VALIDATION = """
## Validation

{which}

{figures}

{metric} at {n} validations: {started} at step {first}, the first; {reached} at step {best}, {kept}.{warning}{stopped}
These pairs helped to choose the checkpoint, so measure the quality of the model on other pairs; `run_record.json` has
their ids.
"""


def _validation(found: Mapping[str, Any] | None) -> str:
    """Return the card's section on validations during the training; empty if there were none."""
    if found is None or not found["history"]:
        return ""
    metric = found["metric"]
    history = found["history"]
    here = next((entry for entry in history if entry["step"] == found["kept_step"]), history[-1])
    last = history[-1]
    unlabelled = f"; {found['unlabelled_pairs']} more have no label" if found["unlabelled_pairs"] else ""
    return _VALIDATION.format(
        which=(
            f"The model was asked about {len(found['pairs'])} of {found['held_out_pairs']} pairs of the test split "
            f"(reasoned mode: {len(found['reasoned_pairs'])}{unlabelled}) in both orders, as `redaes compare` asks. "
            "The figures are shares with 95 % bootstrap intervals; an answer that cannot be read counts as wrong."
        ),
        figures=_table(("figure", "value"), {name: _share(share) for name, share in found["kept"].items()}),
        metric=metric.removeprefix("eval_").replace("_", " ").capitalize(),
        n=len(history),
        first=history[0]["step"],
        started=_figure(history[0].get(metric, "none")),
        best=here["step"],
        reached=_figure(here.get(metric, "none")),
        kept="the best, which is here" if found["kept_is_best"] else "the last, which is here",
        warning=f" It is {found['warning']}." if found["warning"] else "",
        stopped=f" The run ended early, at step {last['step']}: {found['stopped']}." if found["stopped"] else "",
    )


def _share(share: Mapping[str, Any]) -> str:
    if share["value"] is None:
        return "-"
    between = "" if share["low"] is None else f" [{share['low']:.3f}, {share['high']:.3f}]"
    failed = f", {share['n_failed']} without a usable answer" if share["n_failed"] else ""
    return f"{share['value']:.3f}{between} of {share['n']}{failed}"


def _figure(value: float) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _reach(lora: Mapping[str, Any] | None) -> str:
    """Return a paragraph on what the LoRA trains; empty for a fully trained model."""
    if lora is None:
        return ""
    limits = f" vLLM would not serve the adapter as it was trained: {'; '.join(lora['vllm'])}." if lora["vllm"] else ""
    return f"\n{describe(lora)}.{limits}\n"


def model_card(
    record: Mapping[str, Any], prompt_ids: Mapping[str, str], history: Sequence[Mapping[str, Any]], *, base_on_hub: bool
) -> str:
    """Return the card, as Markdown with the hub's header.

    Args:
        record: record of the run: ``stage``, ``arguments``, ``training_arguments``, ``data_hash``, ``metrics``,
            ``versions``, and, where they are known, ``pictures``, ``loads_in`` and ``lora``.
        prompt_ids: name to id of each prompt.
        history: what the trainer logged, in order; the last figures of the training go into the card.
        base_on_hub: whether the base model is named as the hub names it; otherwise it is a folder, or embedded.
    """
    arguments = record["arguments"]
    whole = arguments["full_training"]
    named = base_on_hub or arguments["model"] in nano.NAMES
    model = arguments["model"] if named else PurePath(arguments["model"]).name
    last: Mapping[str, Any] = next((entry for entry in reversed(history) if "loss" in entry), {})
    figures = {name: value for name, value in {**last, **record["metrics"]}.items() if isinstance(value, int | float)}
    settings = {**record["training_arguments"], **arguments}
    if whole:  # full training leaves the LoRA settings at their defaults
        settings = {name: value for name, value in settings.items() if not name.startswith("lora_")}
    option = "--model THIS_FOLDER" if whole else f"--model {model} --adapter THIS_FOLDER"
    return _CARD.format(
        base=f"base_model: {model}\n" if base_on_hub else "",
        library="transformers" if whole else "peft",
        title=f"RED-Aes {record['stage']}",
        stage=record["stage"],
        model=model,
        command=f"redaes compare a.jpg b.jpg {option}",
        files=_files(record),
        data_hash=record["data_hash"],
        prompts=_table(("prompt", "id"), {name: f"`{value}`" for name, value in prompt_ids.items()}),
        figures=_table(("figure", "value"), {name: _figure(value) for name, value in figures.items()}),
        validation=_validation(record.get("validation")),
        settings=_table(
            ("setting", "value"), {name: settings[name] for name in SETTINGS if settings.get(name) is not None}
        ),
        reach=_reach(record.get("lora")),
        versions=", ".join(f"{name} {version}" for name, version in record["versions"].items()),
    )
