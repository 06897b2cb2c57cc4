"""Checks that run before a heavy library is imported: recipes, folders and options that cannot be right.

torch, transformers and TRL take many seconds to import, and a job on many GPUs should not start with a misspelt path.
Whatever is checked here is checked again where it is used; these functions report the usual mistakes at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from redaes.errors import InputError, RecordError, TrainingError
from redaes.models import nano
from redaes.option_sources import Unreadable, names_of, options_of


def check_stage(argv: Sequence[str], recipe: Path, *classes: str, command: str, about: str) -> dict[str, Any]:
    """Run the early checks of a stage: recipe, unknown options, dataset, adapter, output folder. Answers ``--help``.

    Args:
        argv: without the program's name.
        recipe: the recipe that is used when ``argv`` names no ``--config``.
        classes: the dataclasses of the options, each as ``"package.module:Class"``.
        command: what the user types before the options.
        about: the text with which ``--help`` begins.

    Returns:
        What :func:`settings` returns.

    Raises:
        InputError: a recipe or a file is missing, or a recipe has unknown keys.
        RecordError: there is no dataset where one is named, or the output folder cannot be written to.
        TrainingError: an option is unknown, there is no adapter where one is named, or the number of weights differs
            from the number of rewards.
        SystemExit: ``--help`` was answered.
    """
    if {"-h", "--help"} & set(argv) and _print_help(classes, recipe, command, about):
        sys.exit(0)
    values = settings(argv, recipe, classes)
    if values.get("data") is not None:
        check_dataset(Path(str(values["data"])))
    if values.get("adapter") is not None:
        check_adapter(str(values["adapter"]))
    if values.get("model") is not None:
        check_model(str(values["model"]))
    for name in ("series", "coarse", "clip"):
        if values.get(name) is not None:
            check_exists(Path(str(values[name])))
    if values.get("output_dir") is not None:
        check_writable(Path(str(values["output_dir"])))
    if "rewards" in values:
        _check_reward_weights(argv, values)
    return values


def settings(argv: Sequence[str], recipe: Path, classes: Sequence[str]) -> dict[str, Any]:
    """Return the settings that are checked before a run, as text: the recipe's values, overridden by the command
    line's.

    Raises:
        InputError: a recipe is missing, is not a YAML mapping, or has unknown keys.
        TrainingError: an option is unknown.
    """
    argv = apart(argv)
    if "--config" in argv:
        position = argv.index("--config") + 1
        if position == len(argv):
            raise InputError("--config has no value; give a YAML file, or the name of a recipe (--list shows them)")
        recipe = Path(argv[position])
    from redaes.file_writing import read_yaml

    values = read_yaml(recipe)
    try:
        known = frozenset[str]().union(*map(names_of, classes))
    except Unreadable:  # the parser itself will report them
        known = None
    if known is not None:
        unknown = sorted(str(key) for key in values if key not in known and key != "env")
        if unknown:
            raise InputError(f"recipe {recipe} has unknown keys: {', '.join(unknown)}; correct or remove them")
        _check_options(argv, known)
    wanted = ("data", "adapter", "model", "output_dir", "series", "coarse", "clip")
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in wanted:
        parser.add_argument(f"--{name}", f"--{name.replace('_', '-')}", dest=name)
    parser.add_argument("--use_cpu", "--use-cpu", nargs="?", const="true")
    try:
        given, _ = parser.parse_known_args(argv)
    except SystemExit as error:
        raise InputError("an option has no usable value; see the line above") from error
    return {**values, **{name: value for name, value in vars(given).items() if value is not None}}


def _check_reward_weights(argv: Sequence[str], recipe: Mapping[str, Any]) -> None:
    """Refuse a number of weights that differs from the number of stage 3's rewards, which are counted without being
    loaded.
    """
    parser = argparse.ArgumentParser(add_help=False)  # abbreviated names are completed, as the stage's parser does
    for name in ("rewards", "reward_weights"):
        parser.add_argument(f"--{name}", f"--{name.replace('_', '-')}", nargs="+")
    parser.add_argument("--reward_plugin", "--reward-plugin", nargs="+", action="extend")
    try:
        given, _ = parser.parse_known_args(argv)
    except SystemExit as error:
        raise InputError("an option has no usable value; see the line above") from error
    values = {**recipe, **{name: value for name, value in vars(given).items() if value is not None}}
    components, plugins, weights = (values.get(name) or [] for name in ("rewards", "reward_plugin", "reward_weights"))
    if not all(isinstance(value, list) for value in (components, plugins, weights)):
        return  # the parser itself reports what is wrong with them
    names = [*map(str, components), *map(str, plugins)]
    if weights and len(weights) != len(names):
        what = "rewards and plugins" if plugins else "rewards"
        raise TrainingError(
            f"{len(weights)} reward_weights for {len(names)} {what} ({', '.join(names)}); give one for each"
        )


def apart(argv: Sequence[str]) -> list[str]:
    """Return a command line with ``--config=FILE`` split into two words, as TRL's parser expects it."""
    words: list[str] = []
    for word in argv:
        words += ["--config", word.removeprefix("--config=")] if word.startswith("--config=") else [word]
    return words


def _check_options(argv: Sequence[str], known: frozenset[str]) -> None:
    """Refuse options that no class has; abbreviated names are left to the parser."""
    for word in argv:
        if not word.startswith("--") or word in ("--", "--config", "--help"):
            continue
        name = word[2:].partition("=")[0].replace("-", "_")
        if not any(one.startswith((name, name.removeprefix("no_"))) for one in known):
            raise TrainingError(f"{word} is an unknown option; --help lists all options")


def chosen(option: str, known: Collection[str], argv: Sequence[str], recipe: Path | None = None) -> str:
    """Return the value, from the command line or else from a recipe, of an option that decides which arguments there
    are.

    Args:
        option: name of the option, for example ``"objective"``.
        known: its possible values; the first is the default.
        argv: without the program's name.
        recipe: the recipe that is read where the command line does not name the option.

    Raises:
        InputError: the recipe is missing or is not a YAML mapping, or the value is unknown.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument(f"--{option}")
    given, _ = parser.parse_known_args(argv)
    value = getattr(given, option)
    if value is None and recipe is not None:
        from redaes.file_writing import read_yaml

        value = read_yaml(recipe).get(option)
    if value is None:
        return next(iter(known))
    if str(value) not in known:
        raise InputError(f"{option} is {value!r}, which is unknown; give one of {', '.join(known)}")
    return str(value)


def check_dataset(folder: Path) -> None:
    """Refuse a folder that is not a RED dataset.

    Raises:
        RecordError: there is no ``data/`` in the folder.
    """
    if not (folder / "data").is_dir():
        raise RecordError(f"{folder} is not a RED dataset (no data/ in it); build one with: redaes data build")


def check_adapter(adapter: str) -> None:
    """Refuse a folder that is not a LoRA adapter.

    Raises:
        TrainingError: the folder has no ``adapter_config.json``.
    """
    if not (Path(adapter) / "adapter_config.json").is_file():
        raise TrainingError(
            f"{adapter!r} is not an adapter, because it has no adapter_config.json; give the folder of an adapter, "
            "such as the final/ folder of a stage"
        )


def check_result_folder(final: Path) -> None:
    """Refuse a folder that is not a stage's result, such as the output folder around the result.

    Raises:
        RecordError: the folder has no ``run_record.json``.
    """
    if not (final / "run_record.json").is_file():
        raise RecordError(f"{final} has no run_record.json; give the final/ folder that a stage wrote")


def check_model(model: str) -> None:
    """Refuse a model's name that can only be a folder, if there is no such folder; names on the hub have at most one
    slash.

    Raises:
        InputError: there is no such folder, or it has no ``config.json``.
    """
    if model in nano.NAMES:
        return  # in a checkout of redaes, a folder of sources has the name of the embedded model
    folder = Path(model)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise InputError(
                f"{model} has no config.json; give the folder of a model, or its name on the Hugging Face Hub"
            )
    elif folder.is_absolute() or model.startswith((".", "~")) or model.count("/") > 1:
        raise InputError(f"{model}: no such model folder; check the spelling")


def check_judge(model: str, adapter: Path | None) -> None:
    """Refuse a model that cannot judge in this process; the model's folder may also be an adapter's.

    Raises:
        InputError: as for :func:`check_model`.
        TrainingError: as for :func:`check_adapter`.
    """
    if not (Path(model) / "adapter_config.json").is_file():
        check_model(model)
    if adapter is not None:
        check_adapter(str(adapter))


def check_exists(path: Path) -> None:
    """Refuse a path that does not exist.

    Raises:
        InputError: there is no such file or folder.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; check the spelling")


def check_writable(folder: Path) -> None:
    """Refuse an output folder that cannot be created or written to; the check creates nothing.

    Raises:
        RecordError: a file stands in its place or above it, or the permissions do not allow it.
    """
    for place in (folder, *folder.resolve().parents):
        if place.is_dir():
            if not os.access(place, os.W_OK | os.X_OK):
                raise RecordError(
                    f"the output folder {folder} cannot be written, because {place} gives you no permission; choose "
                    "another folder"
                )
            return
        if place.exists() or place.is_symlink():
            raise RecordError(
                f"the output folder {folder} cannot be created, because {place} is not a folder; choose another folder"
            )


_EMPTY = {"list": "none", "dict": "none"}
"""The empty values that default factories make, for ``--help``."""


def _print_help(classes: Sequence[str], recipe: Path, command: str, about: str) -> bool:
    """Print the options, grouped by the library that declares them; return False where the sources do not show them."""
    groups: dict[str, list[str]] = {}
    try:
        for place in classes:
            for owner, options in options_of(place).items():
                groups.setdefault(owner, []).extend(
                    f"  --{option.name} ({option.type}; default: {_EMPTY.get(option.default, option.default)})"
                    + (f"\n      {option.help}" if option.help else "")
                    for option in options
                )
    except Unreadable:
        return False
    lines = [f"usage: {command} [--config RECIPE] [--option VALUE ...]", "", about, ""]
    lines.append(
        f"  --config (default: {recipe.stem})\n      The recipe: the name of one that is included in redaes (--list "
        "shows them), or a YAML file. Options on the command line override it."
    )
    for owner, rows in groups.items():
        if rows:
            lines += ["", f"{owner.replace(':', '.')}:", *rows]
    sys.stdout.write("\n".join(lines) + "\n")
    return True
