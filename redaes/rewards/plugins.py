"""User-defined reward components for stage 3: ``--reward_plugin module:function``, loaded by name and checked.

A plugin is a function as TRL calls it, with keywords only: ``prompts``, ``completions``, ``completion_ids``, each
column of :data:`COLUMNS` as a list, ``trainer_state``, ``log_extra``, ``log_metric``; it takes what it needs and
``**_`` for the rest. It returns one number for each completion, or None if there is no label. Its numbers lie in the
range of its attribute ``value_range``, by default [0, 1].

>>> def short(completions, **_):
...     return [1.0 if len(completion[0]["content"]) < 200 else 0.0 for completion in completions]
>>> short(completions=[[{"role": "assistant", "content": "Winner: A"}]])
[1.0]
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.abc
import importlib.util
import inspect
import math
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

from redaes import prompts
from redaes.answers import render_verdict, stated
from redaes.errors import TrainingError
from redaes.evidence.measurements import Measurements, PairEvidence
from redaes.prompts import Mode
from redaes.rewards.trl import REWARDS
from redaes.types import Factor, Rationale, winner_of

COLUMNS: dict[str, str] = {
    "mode": "form of the answer asked for: reasoned or fast (two pictures), score (one)",
    "group": "id of the ranking group; all its completions are in the batch",
    "edges": "the group's pairs, each {first, second, delta}: ids of pictures, and points or None",
    "shown": "ids of the pictures shown, A then B, or the one",
    "images": "the pictures themselves, PIL, in the order of shown",
    "pair": "id of the pair",
    "delta": "label in the letters of the order shown: score of A minus score of B, in points; None: no label",
    "factors": "the factors that were edited",
    "faults": "names of the fault of A and of that of B (redaes.evidence.faults), None: none that has a name; "
    "None for a single picture",
    "evidence": "what was measured of the two (redaes.evidence.measurements.PairEvidence), None unless 'symptom' or "
    "'evidence' is among the rewards",
}
"""The dataset's columns that every component gets, with their descriptions."""

DEFAULT_RANGE = (0.0, 1.0)
TOLERANCE = 1e-6
"""How far two calls may differ, and a value may exceed its range, because of rounding."""

_HANDED_ON = ("trainer_state", "log_extra", "log_metric")  # these are not data, so they are neither copied nor compared

Values = list[float | None]


class RewardPlugin:
    """A user-defined component whose every call is checked.

    Attributes:
        spec: the specification as it was given.
        name: name of the function; TRL, the pages and the records use it.
        digest: SHA-256 of the module's file, in hex, without the modules that it imports.
        value_range: lowest and highest value, as the plugin states them.
    """

    def __init__(self, spec: str, function: Callable[..., Any], file: Path, digest: str) -> None:
        """
        Raises:
            TrainingError: the stated range is not a range.
        """
        self.spec = spec
        self.name = self.__name__ = spec.rpartition(":")[2]  # TRL reads this attribute
        self.file = file
        self.digest = digest
        self._function = function
        self._tried = False
        stated_range = getattr(function, "value_range", DEFAULT_RANGE)
        try:
            low, high = (float(end) for end in stated_range)
        except (TypeError, ValueError) as error:
            raise self._error(f"value_range is {stated_range!r}", "give (lowest, highest)") from error
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise self._error(f"value_range is {stated_range!r}", "give two finite numbers, the lower one first")
        self.value_range = (low, high)

    def __call__(self, **batch: Any) -> Values:
        """Return the values of a batch. The first batch is computed twice, to check that the values are the same.

        Raises:
            TrainingError: a rule is broken, or the function raised an error; the message names the plugin, the value
                and the remedy.
        """
        values = self._once(batch)
        if not self._tried:
            quiet: dict[str, Any] = {name: _ignore for name in ("log_extra", "log_metric") if name in batch}
            again = self._once({**batch, **quiet})
            for number, (one, other) in enumerate(zip(values, again, strict=True)):
                if (one is None) != (other is None) or (
                    one is not None and other is not None and abs(one - other) > TOLERANCE
                ):
                    raise self._error(
                        f"two calls with the same batch gave {one} and {other} for completion {number}",
                        "make it a pure function: no state kept between calls, random numbers only from a generator "
                        "that is seeded in the call",
                    )
            self._tried = True
        return values

    def __repr__(self) -> str:
        return f"RewardPlugin({self.spec!r}, sha256:{self.digest[:12]})"

    def check_signature(self, batch: Mapping[str, Any]) -> None:
        """Refuse a function that cannot be called the way TRL calls it.

        Raises:
            TrainingError: a keyword does not fit; the message names it.
        """
        if inspect.iscoroutinefunction(self._function) or inspect.iscoroutinefunction(
            getattr(self._function, "__call__", None)  # noqa: B004  the method itself is looked at
        ):
            raise self._error("is asynchronous", "make it an ordinary function")
        try:
            inspect.signature(self._function).bind(**batch)
        except TypeError as error:
            raise self._error(
                f"does not take what it would be called with ({error})",
                f"take what you need of {', '.join(batch)} by these names, and **_ for the rest",
            ) from error
        except ValueError:
            return  # a C function without a visible signature: the call will show

    def _once(self, batch: Mapping[str, Any]) -> Values:
        # It gets copies of the lists, so that its changes do not reach other components; the pictures are shared.
        own = {name: value if name in _HANDED_ON else _copied(value) for name, value in batch.items()}
        pixels = None if self._tried else _pixels(batch)
        before = _random_states()
        try:
            found = self._function(**own)
        except Exception as error:
            raise self._error(f"raised {type(error).__name__}: {error}", "correct it; the cause is above") from error
        changed = [name for name, state in _random_states().items() if state != before.get(name, state)]
        if changed:
            raise self._error(
                f"changed the global random state of {', '.join(changed)}, and with it what is sampled next",
                "use a separate generator, such as random.Random(0)",
            )
        changed = [name for name in batch if name not in _HANDED_ON and own[name] != batch[name]]
        if changed or (pixels is not None and pixels != _pixels(batch)):
            raise self._error(f"changed its input {', '.join(changed) or 'images'}", "work on a copy")
        return self._checked(found, len(batch["completions"]))

    def _checked(self, found: Any, n_completions: int) -> Values:
        if isinstance(found, str | bytes | Mapping) or not (hasattr(found, "__len__") and hasattr(found, "__iter__")):
            raise self._error(
                f"returned {type(found).__name__} {str(found)[:60]!r}", "return a list, one value for each completion"
            )
        if len(found) != n_completions:
            raise self._error(
                f"returned {len(found)} values for {n_completions} completions",
                "return one for each, None where there is no label",
            )
        low, high = self.value_range
        values: Values = []
        for number, value in enumerate(found):
            if value is None:
                values.append(None)
                continue
            try:  # scalars of torch and numpy are numbers too, if float() takes them
                as_number = float("nan") if isinstance(value, str | bytes) else float(value)
            except (TypeError, ValueError) as error:
                raise self._not_a_number(number, value) from error
            if isinstance(value, str | bytes) or not (isinstance(value, Real) or hasattr(value, "dtype")):
                raise self._not_a_number(number, value)
            if not math.isfinite(as_number):
                raise self._error(
                    f"gave {as_number} for completion {number}", "return None where there is no value to give"
                )
            if not low - TOLERANCE <= as_number <= high + TOLERANCE:
                raise self._error(
                    f"gave {as_number:g} for completion {number}, outside of its range [{low:g}, {high:g}]",
                    f"state the true one, {self.name}.value_range = (lowest, highest), or scale the values",
                )
            values.append(as_number)
        return values

    def _not_a_number(self, number: int, value: Any) -> TrainingError:
        return self._error(f"gave {str(value)[:60]!r} ({type(value).__name__}) for completion {number}",
                           "return a number, or None where there is no label")  # fmt: skip

    def _error(self, what: str, remedy: str) -> TrainingError:
        return TrainingError(f"reward plugin {self.spec}: {what}; {remedy}")


def load_plugins(specs: Sequence[str]) -> list[RewardPlugin]:
    """Return the plugins by their specifications, each imported once in a process.

    Args:
        specs: ``module:function`` with a module on ``sys.path``, or ``path/to/file.py:function``.

    Raises:
        TrainingError: a plugin cannot be loaded or called, or two components would have the same name.
    """
    plugins = [_load(spec) for spec in specs]
    taken = {*REWARDS, *(function.__name__ for function in REWARDS.values())}
    for plugin in plugins:
        if plugin.name in taken:
            raise TrainingError(
                f"reward plugin {plugin.spec}: another component is called {plugin.name} already; rename the function"
            )
        taken.add(plugin.name)
    return plugins


def try_plugins(
    plugins: Sequence[RewardPlugin], mode: Mode, *, with_scores: bool, with_evidence: bool, trainer_state: object
) -> None:
    """Call each plugin on a small made-up batch, so that errors show before a model is loaded.

    Args:
        plugins: the loaded plugins.
        mode: mode of the answers in this run.
        with_scores: whether this run also asks for scores of single pictures; ``delta`` is None for those.
        with_evidence: whether this run measures its pairs.
        trainer_state: TRL's state at the first step.

    Raises:
        TrainingError: a plugin fails; the message names it, what it did, and the remedy.
    """
    if not plugins:
        return
    batch = probe_batch(mode, with_scores=with_scores, with_evidence=with_evidence)
    handed = {**batch, "trainer_state": trainer_state, "log_extra": _ignore, "log_metric": _ignore}
    for plugin in plugins:
        plugin.check_signature(handed)
        plugin(**handed)
        plugin._tried = False  # the plugin has not been tried on real completions yet


def probe_batch(mode: Mode, *, with_scores: bool, with_evidence: bool = False) -> dict[str, Any]:
    """Return a ranking group of three grey pictures, with a right, an opposite and a malformed answer to each prompt.

    Returns:
        ``prompts``, ``completions``, ``completion_ids`` and all :data:`COLUMNS`, as lists of equal length.
    """
    pictures = {name: Image.new("RGB", (64, 48), (grey,) * 3) for name, grey in (("p", 120), ("q", 60), ("r", 180))}
    deltas = {("p", "q"): 1.5, ("q", "r"): -3.0, ("p", "r"): 0.0}
    edges = [{"first": first, "second": second, "delta": delta} for (first, second), delta in deltas.items()]
    rows: list[tuple[dict[str, Any], list[dict[str, Any]], Sequence[str]]] = []
    cells: dict[str, Any]
    for (first, second), label in deltas.items():
        for shown, delta in (([first, second], label), ([second, first], 0.0 - label)):
            row: dict[str, Any] = {"mode": mode, "shown": shown, "delta": delta, "pair": f"{first}{second}"}
            row["faults"] = [None if delta > 0 else _DARK, _DARK if delta > 0 else None] if delta else [None, None]
            row["evidence"] = _evidence(*(pictures[name] for name in shown)) if with_evidence else None
            answers = [_answer(value, mode) for value in (delta, -2.0 if delta > 0 else 2.0)]
            rows.append((row, prompts.load(prompts.COMPARE[mode]).messages(), answers))
    if with_scores:
        for name in pictures:
            row = {"mode": "score", "shown": [name], "delta": None, "pair": "pq", "faults": None, "evidence": None}
            rows.append((row, prompts.load(prompts.SCORE).messages(), ["Score: 6", "Score: 2"]))
    batch: dict[str, list[Any]] = {name: [] for name in ("prompts", "completions", "completion_ids", *COLUMNS)}
    for row, messages, texts in rows:
        for text in (*texts, "no answer in the form"):
            images = [pictures[name] for name in row["shown"]]
            cells = {"group": "probe", "edges": edges, "factors": ["light"], "images": images, **row}
            cells |= {"prompts": messages, "completions": [{"role": "assistant", "content": text}]}
            cells |= {"completion_ids": list(text.encode())}
            for name, column in batch.items():
                column.append(_copied(cells[name]))
    return batch


_DARK = "exposure_down"


def _evidence(first: Image.Image, second: Image.Image) -> PairEvidence:
    """Return evidence of two grey pictures that consists of their brightness alone, from 0 to 100."""
    values = [{"brightness": image.getpixel((0, 0))[0] / 2.55} for image in (first, second)]  # type: ignore[index]
    width, height = first.size
    measured = [Measurements(width=width, height=height, values=one) for one in values]
    return PairEvidence(first=measured[0], second=measured[1], registration=None)


def _answer(delta: float, mode: Mode) -> str:
    better = winner_of(delta)
    factors: tuple[Factor, ...] = () if better == "tie" else ("light",)
    text = "Neither is better." if better == "tie" else f"{'A' if better == 'B' else 'B'} is underexposed."
    rationale = Rationale(text=text, factors=factors, better=better) if mode == "reasoned" else None
    return render_verdict(stated(delta, rationale))


def _load(spec: str) -> RewardPlugin:
    place, _, name = spec.rpartition(":")
    if not place or not name.isidentifier():
        raise TrainingError(f"reward_plugin {spec!r}: give module:function, or path/to/file.py:function")
    module = _from_file(spec, Path(place)) if place.endswith(".py") else _from_path(spec, place)
    file = Path(getattr(module, "__file__", None) or "")
    if not file.is_file():
        raise TrainingError(f"reward plugin {spec}: its module has no file to record; give one that has")
    function = getattr(module, name, None)
    if not callable(function):
        known = sorted(key for key, value in vars(module).items() if callable(value) and not key.startswith("_"))
        what = "no function" if function is None else f"a {type(function).__name__}, not a function,"
        raise TrainingError(
            f"reward plugin {spec}: {file} has {what} named {name}; it has {', '.join(known) or 'none at all'}"
        )
    digest = getattr(module, "__redaes_digest__", None) or hashlib.sha256(file.read_bytes()).hexdigest()
    return RewardPlugin(spec, function, file, digest)


class _SourceAsRead(importlib.abc.SourceLoader):
    """Run the very bytes that were hashed, and never bytecode of an older version of the file."""

    def __init__(self, path: Path, data: bytes) -> None:
        self._path = path
        self._data = data

    def get_filename(self, fullname: str) -> str:
        return str(self._path)

    def get_data(self, path: Any) -> bytes:
        if str(path) != str(self._path):
            raise OSError(f"{path}: only the source is read")
        return self._data


def _from_file(spec: str, path: Path) -> ModuleType:
    try:
        path = path.expanduser().resolve()
        data = path.read_bytes()
    except OSError as error:
        raise TrainingError(
            f"reward plugin {spec}: {path} cannot be read ({error.strerror}); check the path"
        ) from error
    digest = hashlib.sha256(data).hexdigest()
    # The name contains path and content, so the same file is not run twice but a changed one is.
    name = f"redaes_reward_plugin_{hashlib.sha256(f'{path} {digest}'.encode()).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    found = importlib.util.spec_from_file_location(name, path, loader=_SourceAsRead(path, data))
    if found is None or found.loader is None:
        raise AssertionError(f"no loader for {path}, which is a file and has one")
    module = importlib.util.module_from_spec(found)
    module.__redaes_digest__ = digest  # type: ignore[attr-defined]
    sys.modules[name] = module  # dataclasses and pickle look for the module there
    try:
        found.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise TrainingError(
            f"reward plugin {spec}: {path} cannot be imported ({type(error).__name__}: {error}); correct it"
        ) from error
    return module


def _from_path(spec: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise TrainingError(f"reward plugin {spec}: {name} needs {error.name}, which is not installed") from error
        raise TrainingError(
            f"reward plugin {spec}: there is no module {error.name} on sys.path; put its folder into PYTHONPATH, or "
            f"give its file: path/to/{name.rpartition('.')[2]}.py:{spec.rpartition(':')[2]}"
        ) from error
    except Exception as error:
        raise TrainingError(
            f"reward plugin {spec}: {name} cannot be imported ({type(error).__name__}: {error}); correct it"
        ) from error


def _ignore(*_: Any, **__: Any) -> None:
    """Do nothing; stands for TRL's loggers where nothing is logged."""


def _copied(value: Any) -> Any:
    """Copy lists and dictionaries recursively, but not what they contain, such as pictures."""
    if isinstance(value, list | tuple):
        return type(value)([_copied(part) for part in value])
    if isinstance(value, dict):
        return {key: _copied(part) for key, part in value.items()}
    return value


def _pixels(batch: Mapping[str, Any]) -> dict[int, bytes]:
    """Return digests of the pictures in a batch, by identity."""
    pictures = {id(image): image for images in batch.get("images", ()) for image in images or ()}
    return {key: hashlib.sha256(image.tobytes()).digest() for key, image in pictures.items()}


def _random_states() -> dict[str, Any]:
    """Return the states of the global random generators of the loaded libraries, in a form that can be compared."""
    states: dict[str, Any] = {"random": random.getstate()}
    kind, keys, *rest = np.random.get_state(legacy=True)
    states["numpy"] = (kind, np.asarray(keys).tobytes(), *rest)
    torch = sys.modules.get("torch")
    if torch is not None:
        states["torch"] = torch.get_rng_state().numpy().tobytes()
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            states["torch.cuda"] = [state.numpy().tobytes() for state in torch.cuda.get_rng_state_all()]
    return states
