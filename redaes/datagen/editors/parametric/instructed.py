"""The embedded editor, with the protocol of instruction-following editors.

Its own interface is :func:`redaes.datagen.editors.parametric.apply_edit`, with an operation and a strength. Here it is
given the sentences that :func:`~redaes.datagen.editors.parametric.make_edit` writes, and accepts no others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from redaes.datagen.editors.base import EditJob, EditOutcome, check_source
from redaes.datagen.editors.parametric import EDITOR, OPERATIONS, apply_edit, make_edit
from redaes.datagen.instructions import STRENGTHS
from redaes.evidence.picture.planes import ByteImage


class EmbeddedEditor:
    """The parametric edits, requested by sentences; no model is needed."""

    name = EDITOR
    licence = "Apache-2.0"
    commercial = True

    def __init__(self) -> None:
        self.settings: dict[str, str | int | float | bool | None] = {}
        sources = sorted(Path(__file__).parent.glob("*.py"))
        self.revision = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:12]
        self._known = {
            make_edit(name, strength, 0).instruction: (name, strength)
            for name in OPERATIONS
            for strength in STRENGTHS.values()
        }

    def edit(self, source: Image.Image, jobs: Sequence[EditJob]) -> list[EditOutcome]:
        """Edit one picture in several ways; see :meth:`redaes.datagen.editors.base.Editor.edit`.

        Raises:
            InputError: the picture is not RGB or is empty.
        """
        check_source(source)
        pixels = np.asarray(source, dtype=np.uint8)  # (H, W, 3)
        return [self._one(pixels, job) for job in jobs]

    def _one(self, pixels: ByteImage, job: EditJob) -> EditOutcome:
        if job.instruction not in self._known:
            return EditOutcome(
                failure="unknown_instruction", detail=f"not a sentence of {self.name}: {job.instruction!r}"
            )
        operation, strength = self._known[job.instruction]
        return EditOutcome(image=Image.fromarray(apply_edit(pixels, operation, strength, job.seed)))
