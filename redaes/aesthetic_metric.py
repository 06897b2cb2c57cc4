"""The assessor as a metric for code that is written for ``pyiqa``: called with pictures, it returns a tensor.

metric = redaes.create_metric("redaes", device="cuda")
metric("a.jpg")                          # tensor of shape (1,): points of 0 to 9
metric(torch.rand(4, 3, 224, 224))       # tensor of shape (4,)
metric("edited.jpg", "original.jpg")     # points by which the first is better, -9 to 9
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redaes.assessing.agreement import USUAL_DRAWS
from redaes.assessing.results import ReferenceSet
from redaes.assessor import Assessor
from redaes.backends.failures import Failure
from redaes.errors import InputError, ParseError
from redaes.images import LoadedImage, take_picture
from redaes.models import nano
from redaes.prompts import Mode

if TYPE_CHECKING:
    import torch

    from redaes.images.given import PictureInput

METRICS = ("redaes",)
"""Names that :func:`create_metric` takes."""

_MODE: Mode = "fast"
"""The metric gives a number only, so no reasons are asked for."""


def create_metric(
    metric_name: str = "redaes",
    as_loss: bool = False,
    device: str | torch.device | None = None,
    *,
    model: str | None = None,
    adapter: str | Path | None = None,
    endpoint: str | None = None,
    references: ReferenceSet | None = None,
) -> AestheticMetric:
    """Make a metric that is called as the metrics of ``pyiqa`` are.

    Args:
        metric_name: ``redaes``.
        as_loss: must be False, because the model's answers have no gradient.
        device: where the model computes, such as ``cuda``; None: the best device of this machine.
        model: as for :meth:`Assessor.from_pretrained`, or the model's name at the endpoint; None: ``redaes/nano``, or
            the only model that the endpoint offers.
        adapter: folder of a LoRA adapter for the model; None: no adapter.
        endpoint: address of a server to ask instead of a model in this process. If the server reports no probabilities,
            answers are sampled and counted instead, and a warning says so.
        references: the pictures that scores are relative to; None: :meth:`Assessor.default_references`.

    Raises:
        InputError: the name is unknown, ``as_loss`` is set, or the options do not go together.
        BackendError: the model cannot be loaded, or the server cannot be asked.
        MissingDependency: torch is absent.
    """
    if metric_name not in METRICS:
        raise InputError(
            f"metric {metric_name!r} is unknown; give one of {', '.join(METRICS)} (pyiqa has others: "
            "pyiqa.create_metric)"
        )
    if as_loss:
        raise InputError(
            "as_loss is True, and this metric has no gradient: its numbers are read from a language model's answers; "
            "to train what makes pictures, give them to reinforcement learning as a reward (redaes.as_reward)"
        )
    if endpoint is None:
        where = None if device is None else str(device)
        assessor = Assessor.from_pretrained(model or nano.NAME, adapter, device=where, mode=_MODE)
        return AestheticMetric(assessor, references)
    for option, given in (("adapter", adapter), ("device", device)):
        if given is not None:
            raise InputError(f"{option} is for models in this process, and endpoint names a server; leave one out")
    return AestheticMetric(_served(endpoint, model), references)


class AestheticMetric:
    """Score pictures as a metric of ``pyiqa`` does; larger is better. :func:`create_metric` makes one.

    Attributes:
        metric_name: ``redaes``.
        metric_mode: ``NR``: the metric needs no reference picture, but takes one.
        lower_better: False.
        score_range: lowest and highest score, as ``pyiqa`` writes it; with a reference picture the range is -9, 9.
        as_loss: False.
        assessor: the assessor that is asked.
        failures: for each picture of the last call, why it has no number; None: it has one.
    """

    metric_name = "redaes"
    metric_mode = "NR"
    lower_better = False
    score_range = "0, 9"
    as_loss = False

    def __init__(self, assessor: Assessor, references: ReferenceSet | None = None) -> None:
        """
        Args:
            assessor: the assessor that is asked.
            references: the pictures that scores are relative to; None: the assessor's default references.

        Raises:
            InputError: the references were ranked by another model.
        """
        if references is not None:
            assessor.check_references(references, references.mode)
        self.assessor = assessor
        self.failures: tuple[Failure | None, ...] = ()
        self._references = references

    @property
    def device(self) -> torch.device:
        """The device on which the model computes; the CPU if the model is behind a server, whose device is not
        known.
        """
        import torch

        return getattr(self.assessor.backend, "device", torch.device("cpu"))

    def __call__(
        self, target: PictureInput | Sequence[PictureInput], ref: PictureInput | Sequence[PictureInput] | None = None
    ) -> torch.Tensor:
        """Return one number for each picture, as a tensor of shape (N,) on the CPU without a gradient.

        Args:
            target: a picture in a form that :meth:`Assessor.compare` takes; or several, as a tensor of shape
                (N, 3, H, W), or (N, 1, H, W), in [0, 1], or as a list.
            ref: None: the number is the picture's score among the references, in [0, 9]. A picture, or as many as there
                are in ``target``: the number is the signed difference, in points of -9 to 9; positive: ``target`` is
                better.

        Returns:
            One number a picture. A picture about which the model gave no usable answer gets NaN, never a made-up
            number: a warning names the picture and ``failures`` says why.

        Raises:
            ImageError: a picture cannot be used; the message names it and the remedy. The model was not asked.
            InputError: there is neither one reference picture nor one for each picture.
            ParseError: there is no usable answer about any of the pictures.
            BackendError: the model cannot be asked.
        """
        import torch

        pictures = _pictures(target, "target")
        if ref is None:
            found = [self._score(picture) for picture in pictures]
        else:
            found = self._differences(pictures, _pictures(ref, "ref"))
        self.failures = tuple(one if isinstance(one, Failure) else None for one in found)
        failed = [one for one in self.failures if one is not None]
        if failed and len(failed) == len(found):
            raise ParseError(failed[0].reason, failed[0].detail)
        if failed:
            places = ", ".join(str(number) for number, one in enumerate(self.failures) if one is not None)
            warnings.warn(
                f"{len(failed)} of {len(found)} pictures have no usable answer and NaN in place of a number: {places}; "
                "metric.failures says why",
                stacklevel=2,
            )
        return torch.tensor([float("nan") if isinstance(one, Failure) else one for one in found])

    forward = __call__

    def eval(self) -> AestheticMetric:
        """Return the metric itself: metrics of ``pyiqa`` are modules with an evaluation mode, and this one is always in
        it.
        """
        return self

    def to(self, device: str | torch.device) -> AestheticMetric:
        """Return the metric itself if its model is on this device.

        Raises:
            InputError: the model is on another device; its device is chosen when it is loaded.
        """
        import torch

        wanted, own = torch.device(device), self.device
        if wanted.type != own.type or wanted.index not in (None, own.index):
            raise InputError(f"the model is on {own}; make the metric there: create_metric(device={str(wanted)!r})")
        return self

    def _score(self, picture: LoadedImage) -> float | Failure:
        try:
            return self.assessor.score(picture, self._references).score
        except ParseError as error:
            return Failure(error.reason, str(error).removeprefix(f"{error.reason}: "))

    def _differences(self, pictures: Sequence[LoadedImage], others: Sequence[LoadedImage]) -> list[float | Failure]:
        if len(others) == 1:
            others = [*others] * len(pictures)
        if len(others) != len(pictures):
            raise InputError(f"ref holds {len(others)} pictures and target {len(pictures)}; give one, or as many")
        results = self.assessor.compare_many(list(zip(pictures, others, strict=True)), _MODE)
        return [
            Failure("no_usable_answer", result.failure or "") if result.delta is None else result.delta
            for result in results
        ]

    def __repr__(self) -> str:
        return f"AestheticMetric({self.assessor.backend.model!r}, device={str(self.device)!r})"


def _served(endpoint: str, model: str | None) -> Assessor:
    """Return an assessor of a model behind a server, set up so that it can score."""
    from redaes.backends.connecting import connect

    backend = connect(endpoint, model)
    draws = 0 if backend.reports_probabilities() else USUAL_DRAWS
    if draws:
        warnings.warn(
            f"{endpoint} reports no token probabilities of {backend.model}: scores are made of the agreement of "
            f"answers, {draws} drawn in each order of a pair",
            stacklevel=3,
        )
    return Assessor(backend, mode=_MODE, reader="lenient", agreement=draws)


def _pictures(given: Any, name: str) -> list[LoadedImage]:
    """Return one picture, or each of several."""
    if isinstance(given, list | tuple) or getattr(given, "ndim", 0) == 4:
        if not len(given):
            raise InputError(f"{name} holds no picture; give at least one")
        return [take_picture(one, f"{name}[{number}]").loaded for number, one in enumerate(given)]
    return [take_picture(given, name).loaded]
