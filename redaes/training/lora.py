"""The targets of a LoRA: which layers of a model it is put on, by name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer, ParamWrapper
from torch import nn

from redaes.backends.adapters import adapter_settings
from redaes.backends.loading import load_adapter
from redaes.errors import TrainingError

LAYERS = {
    "language": r"(?:.*\.)?language_model\..*",
    "merger": r"(?:.*\.)?visual\..*merger.*",
    "tower": r"(?:.*\.)?visual\..*",
}
"""For each part of a model, where its linear layers are; ``tower`` includes the merger."""

EXPERTS = "experts"
"""The part without layers of its own: the stacked weights of all experts of a layer."""

ALL = "all"
"""Every part that the model has."""

DEFAULTS = {"lora_r": 16, "lora_alpha": 32, "lora_dropout": 0.0, "lora_targets": "language"}
"""Default settings of a new LoRA."""

_IN_CONFIG = {"lora_r": ("r", 8), "lora_alpha": ("lora_alpha", 8), "lora_dropout": ("lora_dropout", 0.0)}
"""For each argument its name in an adapter's configuration, and peft's default."""
_N_EXAMPLES = 4


class LoraArguments(Protocol):
    """The arguments of a stage that define the LoRA; None: not given."""

    model: str
    adapter: str | None
    lora_r: int | None
    lora_alpha: int | None
    lora_dropout: float | None
    lora_targets: str | None


def settle(arguments: LoraArguments) -> None:
    """Fill in arguments that were not given: with the adapter's own values, or the defaults of a new LoRA.

    ``lora_targets`` stays None for an existing adapter: its targets are read from the adapter when it is loaded.

    Raises:
        TrainingError: a value contradicts the adapter's, or is impossible.
        BackendError: the adapter's settings cannot be read.
    """
    if arguments.adapter is None:
        for name, value in DEFAULTS.items():
            if getattr(arguments, name) is None:
                setattr(arguments, name, value)
    else:
        settings = adapter_settings(Path(arguments.adapter))
        for name, (key, silent) in _IN_CONFIG.items():
            own, said = settings.get(key, silent), getattr(arguments, name)
            if said is not None and said != own:
                raise TrainingError(
                    f"{name} is {said}, and adapter {arguments.adapter!r} was made with {own}, which training does not "
                    f"change: give --{name} {own}, or no adapter"
                )
            setattr(arguments, name, own)
    rank, alpha, dropout = arguments.lora_r or 0, arguments.lora_alpha or 0, arguments.lora_dropout or 0.0
    if rank < 1 or alpha < 1 or not 0 <= dropout < 1:
        raise TrainingError(
            f"LoRA rank {rank}, alpha {alpha}, dropout {dropout}: rank and alpha must be at least 1, dropout in [0, 1)"
        )
    targets = arguments.lora_targets
    if targets is not None and not _parts(targets):
        try:
            re.compile(targets)
        except re.error as error:
            raise TrainingError(f"lora_targets {targets!r} is not a regular expression ({error})") from error


def _parts(targets: str) -> set[str]:
    """Return the parts that a preset such as ``language+merger`` names; empty: it is a regular expression."""
    names = set(targets.split("+"))
    return names if names <= {*LAYERS, EXPERTS, ALL} else set()


@dataclass(frozen=True)
class Targets:
    """The layers and weights of a network that a LoRA is put on."""

    modules: frozenset[str]
    """Names of linear layers."""
    parameters: frozenset[str]
    """Names of stacked expert weights, which are not layers."""


def shape_of(parameter: nn.Parameter) -> tuple[int, ...]:
    """Return a weight's shape; DeepSpeed's ZeRO-3 stores it separately while the weight is sharded."""
    return tuple(getattr(parameter, "ds_shape", parameter.shape))


def linear_layers(network: nn.Module) -> list[str]:
    """Return the names of a network's linear layers, without the head, on which TRL trains no adapter, and without
    those of an adapter.
    """
    return [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) and ".lora_" not in name and not name.endswith("lm_head")
    ]


def expert_weights(network: nn.Module) -> list[str]:
    """Return the names of weights, each of shape (experts, rows, columns), in which a network's experts are stacked."""
    return [
        name
        for name, parameter in network.named_parameters()
        if name.replace(".base_layer", "").split(".")[-2:-1] == ["experts"] and len(shape_of(parameter)) == 3
    ]


def find_targets(network: nn.Module, targets: str) -> Targets:
    """Return the linear layers and expert weights that a preset or a regular expression selects.

    Args:
        network: a network without an adapter.
        targets: parts joined by ``+``, or a regular expression that matches whole names.

    Raises:
        TrainingError: nothing is selected, or something on which no LoRA can be trained.
    """
    layers, experts = linear_layers(network), expert_weights(network)
    parts = _parts(targets)
    if parts:
        of_part = {part: [n for n in layers if re.fullmatch(path, n)] for part, path in LAYERS.items()}
        of_part[EXPERTS] = experts
        for part in sorted(parts - {ALL}):
            if not of_part[part]:
                raise TrainingError(f"lora_targets {targets!r}: this model has no {part}; use language")
        chosen = of_part if ALL in parts else parts
        found = [name for part in chosen if part in LAYERS for name in of_part[part]]
        stacked = experts if EXPERTS in chosen else []
    else:
        matched = [name for name, _ in network.named_modules() if name and re.fullmatch(targets, name)]
        found = [name for name in matched if name in set(layers)]
        stacked = [name for name in experts if re.fullmatch(targets, name)]
        strange = sorted(set(matched) - set(found))
        if strange:
            raise TrainingError(
                f"lora_targets {targets!r} also matches {strange[0]}, which is not a linear layer that a LoRA can be "
                f"trained on; let it end in names of linear layers, such as {_examples(layers)}"
            )
    if not found and not stacked:
        raise TrainingError(
            f"lora_targets {targets!r} matches no linear layer of the model; it has to match whole names, such as "
            f"{_examples([*layers, *experts])}; or use a preset: {', '.join((*LAYERS, EXPERTS))}, joined by +, or {ALL}"
        )
    return Targets(frozenset(found), frozenset(stacked))


def _examples(names: list[str]) -> str:
    """Return a few names that differ in more than the layer's number."""
    different = {re.sub(r"\d+", "*", name): name for name in reversed(names)}
    every = max(1, len(different) // _N_EXAMPLES)
    return ", ".join([*different.values()][::every][:_N_EXAMPLES])


_PLACES = (r".*language_model\..*", r".*visual\.blocks\..*", r".*visual\..*merger.*")


def _modules_in_words(wanted: frozenset[str], every: Sequence[str]) -> str | list[str]:
    """Return a short regular expression that selects these among all modules, or else their names.

    It is written to the adapter's configuration, where people and other tools read it.
    """
    patterns = []
    for place in _PLACES:
        leaves = sorted({name.rpartition(".")[2] for name in wanted if re.fullmatch(place, name)})
        if leaves:
            patterns.append(rf"{place}\.({'|'.join(leaves)})")
    pattern = "|".join(patterns)
    return pattern if wanted == {name for name in every if re.fullmatch(pattern, name)} else sorted(wanted)


def _parameters_in_words(wanted: frozenset[str], every: Sequence[str]) -> list[str]:
    """Return suffixes of names that select these among all stacked weights, or else their names."""
    endings = sorted({".".join(name.split(".")[-2:]) for name in wanted})
    return endings if wanted == {name for name in every if name.endswith(tuple(endings))} else sorted(wanted)


def attach(network: Any, arguments: LoraArguments, *, autocast_adapter_dtype: bool) -> PeftModel:
    """Return the network with a new LoRA.

    Raises:
        TrainingError: the targets select nothing, or they include experts and there is dropout.
    """
    asked = arguments.lora_targets or str(DEFAULTS["lora_targets"])
    targets = find_targets(network, asked)
    if targets.parameters and arguments.lora_dropout:
        raise TrainingError(
            f"lora_targets {asked!r} reaches experts, on whose stacked weights peft has no dropout: lora_dropout is "
            f"{arguments.lora_dropout}, set it to 0, or leave the experts out (language)"
        )
    config = LoraConfig(
        r=arguments.lora_r,
        lora_alpha=arguments.lora_alpha,
        lora_dropout=arguments.lora_dropout,
        target_modules=_modules_in_words(targets.modules, [name for name, _ in network.named_modules()]),
        target_parameters=_parameters_in_words(targets.parameters, expert_weights(network)) or None,
        task_type="CAUSAL_LM",
        base_model_name_or_path=arguments.model,
    )
    return get_peft_model(network, config, autocast_adapter_dtype=autocast_adapter_dtype)


def adapted(model: PeftModel) -> Targets:
    """Return the targets of a model's adapters, by the names of the weights without adapters."""
    modules, parameters = set(), set()
    for name, module in model.get_base_model().named_modules():
        if isinstance(module, ParamWrapper):  # several adapters on one module are nested
            parameters.add(f"{name.replace('.base_layer', '')}.{module.parameter_name}")
        elif isinstance(module, LoraLayer):
            modules.add(name)
    return Targets(frozenset(modules), frozenset(parameters))


def check_adapted(model: PeftModel, wanted: Targets, arguments: LoraArguments) -> None:
    """Refuse requested targets that differ from those of the existing adapter.

    Raises:
        TrainingError: the targets differ; the message names one of them.
    """
    has = adapted(model)
    differing = (wanted.modules ^ has.modules) | (wanted.parameters ^ has.parameters)
    if differing:
        one = min(differing)
        weights = "has weights" if one in has.modules | has.parameters else "has no weights"
        raise TrainingError(
            f"lora_targets is {arguments.lora_targets!r}, but adapter {arguments.adapter!r} {weights} for {one}, and "
            "training does not change where an adapter goes: leave lora_targets out, or give no adapter"
        )


def put_on(network: Any, arguments: LoraArguments, *, autocast_adapter_dtype: bool) -> PeftModel:
    """Return the network with a LoRA to train: the one that the arguments name, or a new one.

    Raises:
        TrainingError: as for `settle`, `attach` and `check_adapted`.
        BackendError: the adapter does not fit the network.
    """
    settle(arguments)
    if arguments.adapter is None:
        return attach(network, arguments, autocast_adapter_dtype=autocast_adapter_dtype)
    wanted = None if arguments.lora_targets is None else find_targets(network, arguments.lora_targets)
    model: PeftModel = load_adapter(
        network, Path(arguments.adapter), trainable=True, autocast_adapter_dtype=autocast_adapter_dtype
    )
    if wanted is not None:
        check_adapted(model, wanted, arguments)
    return model
