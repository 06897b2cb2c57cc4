"""Pictures inside dataset rows: the same pixels whether they are trained on, evaluated or served."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from colours import Colours, running
from numpy.typing import NDArray
from PIL import Image, ImageCms

from redaes.assessor import Assessor
from redaes.backends.base import Request
from redaes.errors import RecordError
from redaes.heldout import evaluate
from redaes.images import content_id
from redaes.records import PairRecord, read_records
from redaes.serving.app import create_app
from redaes.training.formatting import ordered_images, sft_example
from redaes.training.vision_cache import PictureBatch
from redaes.types import ImageRef, Sampling


class Watching(Colours):
    """A model that remembers what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[tuple[NDArray[np.uint8], ...]] = []

    def read(self, requests: Sequence[Request], choices: Sequence[str]) -> NDArray[np.float64]:
        self.shown += [tuple(np.asarray(image) for image in request.images) for request in requests]
        return super().read(requests, choices)


def _photo(seed: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((90, 60), Image.Resampling.BICUBIC)


def _encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def _turned(image: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    return _encoded(image, "JPEG", exif=exif, quality=95)


def _transparent(image: Image.Image) -> bytes:
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return _encoded(image)


def _palette(image: Image.Image) -> bytes:
    return _encoded(image.quantize(16), transparency=3)


def _sixteen_bits(image: Image.Image) -> bytes:
    return _encoded(Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257))


def _in_another_space(image: Image.Image) -> bytes:
    """With a colour profile in which red and green have changed places."""
    data = bytearray(
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes().replace(b"\0s\0R\0G\0B", b"\0T\0e\0s\0t")
    )
    tags = {bytes(data[at : at + 4]): at for at in range(132, 132 + 12 * struct.unpack(">I", data[128:132])[0], 12)}
    red, green = tags[b"rXYZ"] + 4, tags[b"gXYZ"] + 4
    data[red : red + 8], data[green : green + 8] = data[green : green + 8], data[red : red + 8]
    return _encoded(image, "JPEG", icc_profile=bytes(data), quality=95)


def _large(image: Image.Image) -> bytes:
    return _encoded(image.resize((1500, 1000)), "JPEG")


KINDS: dict[str, Callable[[Image.Image], bytes]] = {
    "plain": lambda image: _encoded(image, "JPEG"),
    "EXIF": _turned,
    "RGBA": _transparent,
    "grey with alpha": lambda image: _transparent(image.convert("L")),
    "palette": _palette,
    "16 bits": _sixteen_bits,
    "CMYK": lambda image: _encoded(image.convert("CMYK"), "JPEG"),
    "profile": _in_another_space,
    "WebP": lambda image: _encoded(Image.merge("RGBA", (*image.split(), image.split()[0])), "WebP", lossless=True),
    "larger than is read": _large,
}  # fmt: skip


@pytest.fixture(scope="module")
def row(red_folder: Path) -> PairRecord:
    """A row with a label and reasoning, whose pictures are to be replaced."""
    return next(iter(read_records(red_folder, "train")))


def with_pictures(row: PairRecord, first: bytes, second: bytes) -> PairRecord:
    refs = {
        side: ImageRef(id=content_id(data), path=Path(f"{side}.jpg"))
        for side, data in (("first", first), ("second", second))
    }
    pair = row.pair.model_copy(update=refs)
    return row.model_copy(update={"pair": pair, "first_bytes": first, "second_bytes": second})


def as_shown(images: Sequence[Image.Image]) -> tuple[NDArray[np.uint8], ...]:
    return tuple(np.asarray(image) for image in images)


@pytest.fixture(scope="module")
def service() -> object:
    """A service before a model that watches."""
    model = Watching()
    with running(create_app(model)) as address:
        yield model, address


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_in_training_are_those_that_are_served(
    kind: str, row: PairRecord, tmp_path: Path, service: tuple[Watching, str]
) -> None:
    import httpx

    bytes_of = [KINDS[kind](_photo(seed)) for seed in (1, 2)]
    record = with_pictures(row, *bytes_of)
    files = [tmp_path / "first", tmp_path / "second"]
    for file, data in zip(files, bytes_of, strict=True):
        file.write_bytes(data)

    model = Watching()
    Assessor(model, mode="fast").compare(*files)
    (served, _) = model.shown  # as a file is, in both orders
    trained = as_shown(ordered_images(record, "forward"))
    evaluate(model, [record], n_reasoned=0, sampling=Sampling(), seed=0)
    watching, address = service
    watching.shown.clear()
    urls = ["data:image/jpeg;base64," + base64.b64encode(data).decode() for data in bytes_of]
    sent = {"first": urls[0], "second": urls[1], "mode": "fast"}
    assert httpx.post(f"{address}/v1/compare", json=sent).status_code == 200
    for way in (trained, as_shown(sft_example(record, "forward", "fast")["images"]), model.shown[2], watching.shown[0]):
        for got, wanted in zip(way, served, strict=True):
            assert np.array_equal(got, wanted)
    if kind not in ("plain", "CMYK"):  # what Pillow alone would make of it
        naive = [np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) for data in bytes_of]
        assert not all(np.array_equal(got, wanted) for got, wanted in zip(naive, served, strict=True))


def test_patches_of_stored_pictures(row: PairRecord, tiny_model: Path) -> None:
    from redaes.backends.loading import load_processor

    processor = load_processor(tiny_model, None)
    record = with_pictures(row, _turned(_photo(1)), _transparent(_photo(2)))
    wanted = processor.image_processor(images=ordered_images(record, "forward"), return_tensors="pt")
    found = PictureBatch(processor, [record]).tensors
    assert all((found[name] == wanted[name]).all() for name in ("pixel_values", "image_grid_thw"))


def _promised(width: int, height: int) -> bytes:
    """A PNG that promises a huge picture in a few bytes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"no picture", "not a known picture format.*convert"),
        (_encoded(_photo(1), "JPEG")[:900], "damaged or truncated JPEG.*copy or download it again"),
        (_promised(60_000, 60_000), "exceed the limit of 200,000,000; shrink"),
        (b"", "empty"),
        (_encoded(Image.new("RGB", (603, 3))), "too thin for the model, which takes at most 200 : 1; crop"),
    ],
    ids=["text", "cut off", "bomb", "nothing", "thin"],
)
def test_a_row_that_cannot_be_trained_on_is_named(data: bytes, words: str, row: PairRecord, tiny_model: Path) -> None:
    record = with_pictures(row, _encoded(_photo(1)), data)
    wanted = rf"row '{row.pair.id}': the second picture.*second\.jpg.*{words}.*the row"
    with pytest.raises(RecordError, match=wanted):
        ordered_images(record, "swapped")
    with pytest.raises(RecordError, match=wanted):
        PictureBatch(None, [record])  # type: ignore[arg-type]  # not reached
