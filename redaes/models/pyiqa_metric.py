"""A metric of the ``pyiqa`` package, which is no part of any extra.

NOT for commercial use: the package's licence, and those of most weights it fetches, are non-commercial. Its weights are
fetched from the network when a metric is made.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from redaes.errors import MissingDependency


class PyiqaMetric:
    """A no-reference metric of pyiqa; called with a picture, it returns the metric's own number."""

    def __init__(self, metric: str, device: str = "cpu") -> None:
        """
        Args:
            metric: pyiqa's name of it, such as ``musiq``.
            device: torch's name of the device.

        Raises:
            MissingDependency: pyiqa is absent.
        """
        try:
            import pyiqa
        except ImportError as error:
            raise MissingDependency("pyiqa", None) from error
        self.name = f"pyiqa {metric}"
        self.revision = str(pyiqa.__version__)
        self._metric: Any = pyiqa.create_metric(metric, device=device)

    @property
    def lower_better(self) -> bool:
        """Whether smaller numbers stand for better pictures."""
        return bool(self._metric.lower_better)

    def __call__(self, picture: Image.Image) -> float:
        """Return the number of an RGB picture."""
        import torch

        pixels = np.asarray(picture, dtype=np.float32) / 255.0  # (H, W, 3)
        with torch.inference_mode():
            return float(self._metric(torch.from_numpy(pixels).permute(2, 0, 1)[None]))  # of (1, 3, H, W)
