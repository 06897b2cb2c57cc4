"""The model as a metric for code that is written for ``pyiqa``: called with pictures, it returns a tensor of scores.

metric = AestheticMetric(LocalBackend())
metric("a.jpg")                     # tensor of shape (1,); also a PIL picture
metric(torch.rand(4, 3, 224, 224))  # tensor of shape (4,)
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from redaes.backends.base import Backend
from redaes.errors import InputError, ParseError
from redaes.evaluation.assessors.base import Question, QuestionPicture
from redaes.evaluation.assessors.local import LocalScores
from redaes.images import IN_MEMORY, LoadedImage, content_id, load_image
from redaes.types import ImageRef

if TYPE_CHECKING:
    import torch


_OVERSHOOT = 1e-6


class AestheticMetric:
    """A metric without reference, larger is better.

    Attributes:
        metric_name: with the model's.
        metric_mode: ``NR``: no reference.
        lower_better: False.
        score_range: as pyiqa writes it.
    """

    metric_mode = "NR"
    lower_better = False
    score_range = "0, 9"

    def __init__(self, backend: Backend) -> None:
        """
        Args:
            backend: the model.
        """
        self._scores = LocalScores(backend)
        self.metric_name = f"redaes {backend.model}"

    def __call__(self, target: str | Path | Image.Image | torch.Tensor, ref: None = None, **_: Any) -> torch.Tensor:
        """Scores of shape (N,), in [0, 9].

        Args:
            target: a file, a PIL picture, or pictures of shape (N, 3, H, W), or (N, 1, H, W) for grey ones, in [0, 1].
            ref: must be None; taken because pyiqa's callers hand it over.

        Raises:
            ImageError: a file that cannot be used.
            InputError: a reference, or a tensor of another shape or range.
            ParseError: the model was about to write something other than a score; no number is made up.
        """
        import torch

        if ref is not None:
            raise InputError("this metric takes no reference; leave ref out")
        if isinstance(target, str | Path):
            images = [load_image(target)]
        elif isinstance(target, Image.Image):
            images = [_in_memory(target.convert("RGB"))]
        else:
            images = _pictures(target)
        questions = [
            Question(str(k), (QuestionPicture(str(k), image.ref.path, image),)) for k, image in enumerate(images)
        ]
        scores = []
        for answer in self._scores.answer(questions):
            if answer.value is None:
                raise ParseError(answer.failure or "no_score", answer.detail or "")
            scores.append(answer.value)
        return torch.tensor(scores)


def _pictures(batch: torch.Tensor) -> list[LoadedImage]:
    if batch.ndim != 4 or batch.shape[1] not in (1, 3):
        raise InputError(f"the shape is {tuple(batch.shape)}; give (N, 3, H, W)")
    # Also False for NaN. What floats overshoot by is cut off, as pyiqa does.
    if not (bool((batch >= -_OVERSHOOT).all()) and bool((batch <= 1 + _OVERSHOOT).all())):
        raise InputError("the values leave [0, 1]; divide 8-bit pictures by 255")
    rgb = batch.detach().cpu().clamp(0, 1).expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy()
    return [_in_memory(Image.fromarray(np.round(pixels * 255).astype(np.uint8))) for pixels in rgb]


def _in_memory(image: Image.Image) -> LoadedImage:
    ref = ImageRef(id=content_id(image.tobytes()), path=IN_MEMORY)
    return LoadedImage(image=image, ref=ref, notes=())
