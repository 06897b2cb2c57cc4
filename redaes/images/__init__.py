"""Read pictures as upright 8-bit sRGB, from disk or memory. Files are recognised by content, and their size is checked
before they are decoded.

What happens to each kind of picture is listed in docs/images.md.
"""

from __future__ import annotations

from redaes.images.capture import CaptureMoment, CaptureRecord, capture_record, capture_time
from redaes.images.damage import DAMAGE
from redaes.images.embedded_metadata import EmbeddedMetadata, embedded_metadata, exif_ratings, jpeg_pixels
from redaes.images.files import IMAGE_SUFFIXES, MAX_FILE_BYTES, read_image_file
from redaes.images.folder_search import FoundPictures, PassedOver, find_pictures, list_images
from redaes.images.formats import MAX_FILE_PIXELS, exif_of, image_size, is_raw_name
from redaes.images.given import (
    TakenPicture,
    named_picture,
    named_pictures,
    same_picture,
    take_picture,
    taken_pair,
    unchanged,
)
from redaes.images.hashes import content_id, hamming, phash
from redaes.images.loading import (
    IN_MEMORY,
    MAX_PIXELS,
    LoadedImage,
    check_shape,
    data_url,
    decode_image,
    load_image,
    picture_in_memory,
)
from redaes.images.pixels import MAX_ASPECT, fit_area
from redaes.images.whole import check_usable

__all__ = [
    "DAMAGE",
    "IMAGE_SUFFIXES",
    "IN_MEMORY",
    "MAX_ASPECT",
    "MAX_FILE_BYTES",
    "MAX_FILE_PIXELS",
    "MAX_PIXELS",
    "CaptureMoment",
    "CaptureRecord",
    "EmbeddedMetadata",
    "FoundPictures",
    "LoadedImage",
    "PassedOver",
    "TakenPicture",
    "capture_record",
    "capture_time",
    "check_shape",
    "check_usable",
    "content_id",
    "data_url",
    "decode_image",
    "embedded_metadata",
    "exif_of",
    "exif_ratings",
    "find_pictures",
    "fit_area",
    "hamming",
    "image_size",
    "is_raw_name",
    "jpeg_pixels",
    "list_images",
    "load_image",
    "named_picture",
    "named_pictures",
    "phash",
    "picture_in_memory",
    "read_image_file",
    "same_picture",
    "take_picture",
    "taken_pair",
    "unchanged",
]
