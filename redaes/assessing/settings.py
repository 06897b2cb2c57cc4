"""Settings of an assessor by name or number; unknown ones are refused before a model is loaded."""

from __future__ import annotations

from typing import get_args

from redaes import prompts
from redaes.backends.forms import AskedForm, known_form
from redaes.errors import InputError
from redaes.known_names import known_name
from redaes.prompts import Mode


def known_mode(name: str) -> Mode:
    """Return the mode of that name.

    >>> known_mode("fast")
    'fast'

    Raises:
        InputError: there is none.
    """
    modes: tuple[Mode, ...] = get_args(Mode)
    return known_name(name, modes, "mode")


def asked_form(prompt: str, form: AskedForm | None, *, named: bool) -> AskedForm:
    """Return the form in which reasoned answers are asked for.

    Raises:
        InputError: the form is unknown, or the prompt does not exist in it.
    """
    if form is None:
        return prompts.form_of(prompt) if named else "auto"
    chosen = known_form(form)
    if prompt in prompts.PARAPHRASES["reasoned"]:
        if chosen == "json":
            raise InputError(f"prompt {prompt} does not exist in the JSON form; leave form out")
        return "text"
    return chosen


def known_prompt(mode: Mode, name: str | None) -> str:
    """Return the name of a prompt for two pictures in a mode; ``name`` None: the usual prompt.

    >>> known_prompt("fast", None)
    'compare_fast/v1'

    Raises:
        InputError: there is no such prompt for the mode.
    """
    return prompts.chosen(mode, name)[mode]


def check_samples(samples: int, mode: Mode) -> None:
    """
    Raises:
        InputError: the number of further reasonings is out of range, or the mode has no reasoning.
    """
    if samples < 0:
        raise InputError(f"samples is {samples}; give 0 or more")
    if samples and mode == "fast":
        raise InputError(f"samples is {samples}, but the fast mode gives no rationales; use the reasoned mode")
