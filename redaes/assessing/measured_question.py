"""The question about a pair with what was measured of it, for prompts that have a place for that."""

from __future__ import annotations

from PIL import Image

from redaes.assessing.reasons import MEASURED_PIXELS, evidence_of
from redaes.evidence.prompting import fill_in
from redaes.images import IN_MEMORY, LoadedImage, content_id, decode_image, image_size, read_image_file
from redaes.prompts import EVIDENCE, Prompt
from redaes.types import Order


def with_evidence(prompt: Prompt, first: LoadedImage, second: LoadedImage) -> dict[Order, Prompt]:
    """The question in each order: with what is measured of the pair where the prompt has a place for it, else as it is.

    Raises:
        ImageError: a file that was good when it was loaded no longer decodes.
        PromptError: the prompt has other fields too.
    """
    if EVIDENCE not in prompt.fields:
        return {"forward": prompt, "swapped": prompt}
    evidence, _ = evidence_of(first, second, at_own_size)
    return fill_in(prompt, evidence)


def at_own_size(picture: LoadedImage) -> Image.Image:
    """The picture as its file has it, however far it was shrunk when it was loaded.

    As it was loaded, where the file has no more, where there is none (pictures in memory, and those of datasets, which
    are stored in tables), or where it is no longer the one that was loaded.
    """
    path = picture.ref.path
    if path == IN_MEMORY or not path.is_file():
        return picture.image
    data = read_image_file(path)
    width, height = image_size(data, path)
    if width * height <= picture.image.width * picture.image.height or content_id(data) != picture.ref.id:
        return picture.image
    return decode_image(data, path, max_pixels=MEASURED_PIXELS).image
