"""Checks that an edited picture must pass before it is judged: cheap measurements first, then models.

Every check returns reasons, which are short identifiers meant to be counted; no reason means that it passed.

===================  ===========================================================================================
``size_differs``     the editor returned another size, which gives the edit away
``no_effect``        there is no visible change
``other_scene``      too few points of the source are found again in one perspective mapping
``border``           an even border along a side, with a hard edge, that the source does not have
``jpeg_grid``        a grid of compression blocks that the source does not have
``neon``             patches of full saturation, as failed generations have them
``not_executed``     a vision-language model does not see what the instruction asked for
``content_changed``  it sees that more has changed
``artefacts``        it sees marks of the editing
===================  ===========================================================================================

:class:`Similarity` compares features of a vision model; its caller chooses the threshold and names the reason.

The thresholds were measured on photographs with the embedded edits (``benchmarks/filters.py``,
docs/generation.md). How they perform on the output of generative editors has not been measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import ConfigDict, ValidationError

from redaes.backends.chat_model import ChatModel
from redaes.backends.chat_replies import Reply
from redaes.backends.chat_requests import ChatRequest
from redaes.backends.failures import Failure
from redaes.backends.pictures import EncodedPicture
from redaes.errors import BackendError, MissingDependency, ParseError
from redaes.evidence.picture.planes import ByteImage, FloatArray, check
from redaes.prompts import load
from redaes.types import Factor, Record, Sampling

MIN_PLACES = 10
"""Number of places of the source that must be found again."""

MIN_MEAN_CHANGE = 1.0
"""Mean colour difference, in dE*ab, below which a picture may count as unchanged, see :data:`MIN_CELL_CHANGE`."""

MIN_CELL_CHANGE = 2.3
"""A picture counts as unchanged only if no cell of an 8 x 8 grid has this mean difference: one just noticeable."""

MIN_BORDER = 0.01
"""Thickness from which a border counts, as a share of the side."""

MAX_GRID_GAIN = 0.3
"""Largest gain of the strength of block edges relative to the steps within blocks."""

MAX_NEON_GAIN = 0.02
"""Largest gain of the share of fully saturated pixels."""

CHECK = "edit_check/v1"
"""Name of the prompt of :func:`check_edits`."""

GREEDY = Sampling()
"""Sampling at temperature 0, with 256 tokens at most."""

_SCENE_SIDE = 320
_COLOUR_SIDE = 256
_EXPLAINS: dict[str, tuple[Factor, ...]] = {"jpeg_grid": ("noise",), "neon": ("colour", "light")}
"""Factors for which a mark does not count as a leak, because the instruction itself is about it."""


def _shrunk(image: NDArray[Any], side: int) -> NDArray[Any]:
    """Return a picture with its longest side at ``side`` pixels. Smaller ones are enlarged, so that all are measured
    alike.
    """
    scale = side / max(image.shape[:2])
    size = (max(16, round(image.shape[1] * scale)), max(16, round(image.shape[0] * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    shrunk: NDArray[Any] = cv2.resize(image, size, interpolation=method)
    return shrunk


# --- Same scene ---------------------------------------------------------------------------------------


def _features(image: ByteImage) -> tuple[FloatArray, ByteImage | None]:
    """Return points (n, 2) in pixels and descriptors (n, 32); the descriptors are None if there are no points."""
    grey = _shrunk(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), _SCENE_SIDE)
    # Local contrast is equalised, since exposure and haze would take the corners' contrast, and with it the corners.
    grey = cv2.createCLAHE(clipLimit=4.0, tileGridSize=(4, 4)).apply(grey)
    orb = cv2.ORB.create(nfeatures=1500, edgeThreshold=15, fastThreshold=5)
    points, descriptors = orb.detectAndCompute(grey, None)
    return np.array([point.pt for point in points], dtype=np.float32).reshape(-1, 2), descriptors


def shared_places(source: ByteImage, edited: ByteImage) -> int:
    """Return the number of places of the source at which ORB finds points again, under one perspective mapping onto the
    other picture.

    Places are cells of 12 px at a longest side of 320 px, counted in the picture that has fewer: a tight cluster of
    points proves little.

    Args:
        source: (H, W, 3) sRGB bytes.
        edited: (H', W', 3) sRGB bytes.

    Raises:
        InputError: one of them is not an RGB byte picture.
    """
    check(source)
    check(edited)
    here, known = _features(source)
    there, found = _features(edited)
    least = 8
    if known is None or found is None or len(known) < least or len(found) < least:
        return 0
    pairs = cv2.BFMatcher(cv2.NORM_HAMMING).knnMatch(known, found, k=2)
    matches = [best for best, second in pairs if best.distance < 0.8 * second.distance]
    if len(matches) < least:
        return 0
    start = here[[match.queryIdx for match in matches]]
    end = there[[match.trainIdx for match in matches]]
    cv2.setRNGSeed(0)  # RANSAC draws from OpenCV's own generator
    _, inliers = cv2.findHomography(start, end, cv2.RANSAC, 6.0, maxIters=1000)
    if inliers is None:
        return 0
    held = inliers.ravel() == 1
    # Counted in both pictures: a mapping that folds everything into one spot would fit any two pictures.
    return min(len(np.unique(side[held] // 12, axis=0)) for side in (start, end))


def same_scene(source: ByteImage, edited: ByteImage) -> bool:
    """Return whether the edited picture, or its mirror image, shows the source's scene.

    Raises:
        InputError: one of them is not an RGB byte picture.
    """
    if shared_places(source, edited) >= MIN_PLACES:
        return True
    return shared_places(source, np.ascontiguousarray(edited[:, ::-1])) >= MIN_PLACES


# --- No effect ----------------------------------------------------------------------------------------


def colour_change(source: ByteImage, edited: ByteImage) -> tuple[float, float]:
    """Return the mean CIELAB difference (dE*ab 1976) over the picture, and over the most changed of 8 x 8 cells.

    Both are measured at a longest side of 256 px; a picture of another shape is stretched to the source's.

    Raises:
        InputError: one of them is not an RGB byte picture.
    """
    check(source)
    check(edited)
    before = _shrunk(source.astype(np.float32) / np.float32(255), _COLOUR_SIDE)
    size = (before.shape[1], before.shape[0])
    after = cv2.resize(edited.astype(np.float32) / np.float32(255), size, interpolation=cv2.INTER_AREA)
    change = np.linalg.norm(cv2.cvtColor(before, cv2.COLOR_RGB2Lab) - cv2.cvtColor(after, cv2.COLOR_RGB2Lab), axis=2)
    cells = cv2.resize(change, (8, 8), interpolation=cv2.INTER_AREA)
    return float(change.mean()), float(cells.max())


# --- Leaks --------------------------------------------------------------------------------------------


def _border_share(image: ByteImage) -> float:
    """Return the thickest of the four even borders, as a share of its side; 0 if none ends in a hard edge."""
    thickest = 0.0
    for turns in range(4):
        lines = np.rot90(image, turns).astype(np.float32)
        even = (lines.std(axis=1) < 3).all(axis=1) & (np.abs(lines.mean(axis=1) - lines[0].mean(axis=0)) < 4).all(
            axis=1
        )
        depth = len(even) if even.all() else int(np.argmin(even))
        # A clear sky has an end, too, but hardly along a whole line at once.
        if 0 < depth < len(even) and np.mean(np.abs(lines[depth] - lines[depth - 1]).max(axis=1) > 12) > 0.7:
            thickest = max(thickest, depth / len(even))
    return thickest


def _grid_strength(image: ByteImage) -> float:
    """Return the ratio of luma steps across the lines of an 8-px grid to those elsewhere, for the grid position where
    it is largest.
    """
    luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    strongest = 1.0
    for plane in (luma, luma.T):
        # Differences of steps, since a smooth gradient has none and a block edge has a large one. Large steps are the
        # picture's own edges and would hide the grid, so they are limited.
        steps = np.minimum(np.abs(np.diff(plane, axis=1)), 8.0)
        columns = steps.mean(axis=0)
        if len(columns) < 32:
            continue
        phases = np.array([columns[phase::8].mean() for phase in range(8)])
        best = int(phases.argmax())
        rest = float(np.delete(phases, best).mean())
        strongest = max(strongest, float(phases[best]) / (rest + 0.1))
    return strongest


def _neon_share(image: ByteImage) -> float:
    """Return the share of pixels with one channel at its maximum and another at zero."""
    small = _shrunk(image, _COLOUR_SIDE)
    return float(((small.max(axis=2) >= 252) & (small.min(axis=2) <= 3)).mean())


def leaks(source: ByteImage, edited: ByteImage, factor: Factor) -> tuple[str, ...]:
    """Return marks by which the edited picture could be recognised without looking at its quality.

    Args:
        source: (H, W, 3) sRGB bytes.
        edited: (H', W', 3) sRGB bytes, as the editor returned it.
        factor: the instruction's factor; compression blocks are no leak if the instruction asks for them.

    Raises:
        InputError: one of them is not an RGB byte picture.
    """
    check(source)
    check(edited)
    found: list[str] = []
    if source.shape != edited.shape:
        found.append("size_differs")
    if _border_share(edited) >= _border_share(source) + MIN_BORDER:
        found.append("border")
    if _grid_strength(edited) > _grid_strength(source) + MAX_GRID_GAIN:
        found.append("jpeg_grid")
    if _neon_share(edited) > _neon_share(source) + MAX_NEON_GAIN:
        found.append("neon")
    return tuple(reason for reason in found if factor not in _EXPLAINS.get(reason, ()))


def rejections(source: ByteImage, edited: ByteImage, factor: Factor) -> tuple[str, ...]:
    """Return all reasons of this module's measurements to reject an edit; empty if it passed.

    Raises:
        InputError: one of the pictures is not an RGB byte picture.
    """
    found = list(leaks(source, edited, factor))
    mean, cell = colour_change(source, edited)
    if mean < MIN_MEAN_CHANGE and cell < MIN_CELL_CHANGE:
        found.append("no_effect")
    elif not same_scene(source, edited):
        found.append("other_scene")
    return tuple(found)


# --- Similarity by a vision model ---------------------------------------------------------------------


class Similarity:
    """Cosine similarity of two pictures' features in a DINOv2, SigLIP or CLIP model.

    It is optional and complements :func:`same_scene`: features react to what is shown and tolerate how it is shown;
    points do the opposite. The threshold depends on the model, and the caller chooses it.
    """

    def __init__(self, folder: Path, *, device: str = "cpu") -> None:
        """
        Args:
            folder: a model in the format of ``transformers``; nothing is downloaded, no code from it is run.
            device: torch's name of the device on which it computes.

        Raises:
            BackendError: there is no such model, or it has no features of pictures.
            MissingDependency: transformers is absent.
        """
        if not folder.is_dir():
            raise BackendError(f"{folder}: no such model folder; check the spelling")
        try:
            from transformers import AutoImageProcessor, AutoModel
        except ImportError as error:
            raise MissingDependency("transformers", "edit") from error
        settings: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            self._processor = AutoImageProcessor.from_pretrained(folder, **settings)
            self._model = AutoModel.from_pretrained(folder, use_safetensors=True, **settings).to(device).eval()
        except (OSError, ValueError) as error:
            raise BackendError(f"{folder} holds no vision model that can be loaded ({error})") from error
        self._device = device

    def __call__(self, first: Image.Image, second: Image.Image) -> float:
        """Return the cosine of the angle between the features, in [-1, 1]; 1 for equal pictures.

        Raises:
            BackendError: the model has no features of whole pictures.
        """
        import torch

        pixels = self._processor(images=[first, second], return_tensors="pt")["pixel_values"].to(self._device)
        encode = getattr(self._model, "get_image_features", self._model)  # of CLIP and SigLIP; DINOv2 has no text part
        with torch.inference_mode():
            output = encode(pixel_values=pixels)
        features = output if isinstance(output, torch.Tensor) else getattr(output, "pooler_output", None)
        if features is None:
            raise BackendError(f"{type(self._model).__name__} gives no features of whole pictures")
        one, other = torch.nn.functional.normalize(features.float(), dim=-1)
        return float(one @ other)


# --- The eyes of a vision-language model --------------------------------------------------------------


@dataclass(frozen=True)
class EditTask:
    """An edit that a model is asked about."""

    source: EncodedPicture
    edited: EncodedPicture
    instruction: str


class EditAnswer(Record):
    """A model's answer about one edit."""

    model_config = ConfigDict(title="Seen")  # sent to the server like the docstring; changing them loses stored answers

    executed: bool
    """Whether the change that the instruction asks for can be seen."""
    content_kept: bool
    """Whether everything else is as it was."""
    artefacts: bool
    """Whether there are marks that the instruction does not explain."""
    seen: str
    """What has changed, in the model's words; it is not used."""


class EditCheck(Record):
    """The outcome of one question about an edit."""

    rejected: tuple[str, ...]
    """Reasons to reject the edit; empty if it passed or there is no answer."""
    failure: str | None
    """Why there is no answer: the endpoint's reason, ``cut_off``, ``not_json`` or ``not_the_schema``; None if there is
    one. An edit that could not be checked has not passed."""
    answer: EditAnswer | None

    @property
    def passed(self) -> bool:
        """Whether the question was answered and there is no reason to reject the edit."""
        return self.failure is None and not self.rejected


def _edit_check(reply: Reply | Failure) -> EditCheck:
    if isinstance(reply, Failure):
        return EditCheck(rejected=(), failure=reply.reason, answer=None)
    try:
        answer = EditAnswer.model_validate(reply.decoded(), strict=True)
    except ParseError as error:
        return EditCheck(rejected=(), failure=error.reason, answer=None)
    except ValidationError:
        return EditCheck(rejected=(), failure="not_the_schema", answer=None)
    reasons = {
        "not_executed": not answer.executed,
        "content_changed": not answer.content_kept,
        "artefacts": answer.artefacts,
    }
    return EditCheck(rejected=tuple(name for name, holds in reasons.items() if holds), failure=None, answer=answer)


async def check_edits(endpoint: ChatModel, tasks: Sequence[EditTask], sampling: Sampling = GREEDY) -> list[EditCheck]:
    """Ask a vision-language model about each edit, in order: was the instruction executed, and all else kept?

    Args:
        endpoint: the model, already opened.
        tasks: the edits.
        sampling: greedy by default.

    Raises:
        BackendError: the endpoint is not open.
        PromptError: an instruction contains markup.
        RecordError: the endpoint's cache cannot be read or written.
    """
    schema = EditAnswer.model_json_schema()
    requests = [
        ChatRequest.of(
            load(CHECK).fill(instruction=task.instruction), (task.source, task.edited), sampling, schema=schema
        )
        for task in tasks
    ]
    return [_edit_check(reply) for reply in await endpoint.ask_many(requests)]
