"""Names in a photographer's folder: folders that belong to programs, and files that are not read as pictures."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

from redaes.errors import ImageError
from redaes.images.formats import recognise

_OTHER_PICTURES: dict[str, tuple[str, ...]] = {
    "JPEG XL": (".jxl",),
    "JPEG 2000": (".jp2", ".j2k", ".jpf", ".jpx", ".j2c"),
    "Photoshop": (".psd", ".psb"),
    "GIMP": (".xcf",),
    "Affinity Photo": (".afphoto",),
    "OpenEXR or Radiance HDR": (".exr", ".hdr"),
    "Netpbm or TGA": (".ppm", ".pgm", ".pnm", ".pam", ".pfm", ".tga"),
    "JPEG XR": (".jxr", ".wdp", ".hdp"),
    "Lytro or Sigma": (".lfp", ".lfr", ".x3i"),
}
VIDEO_SUFFIXES = (
    ".mp4", ".mov", ".m4v", ".avi", ".mts", ".m2ts", ".mkv", ".webm", ".3gp", ".mpg", ".mpeg", ".wmv", ".insv", ".lrv",
)  # fmt: skip
"""Endings of videos, in lower case."""

SUFFIXES_BESIDE_PICTURES = (
    ".xmp", ".pp3", ".dop", ".on1", ".cos", ".nksc", ".thm", ".aae", ".arp", ".xml", ".json", ".jsonl", ".csv", ".txt",
    ".html", ".db", ".ini", ".log", ".wav", ".ctg", ".dat", ".lrcat", ".md",
)  # fmt: skip
"""Endings of files that are found beside pictures and are not pictures (.thm: thumbnails of videos); they need not be
opened."""

# Names in lower case, as patterns of fnmatch. The contents of these folders belong to the program.
_OF_PROGRAMS: dict[str, tuple[str, ...]] = {
    "thumbnails and previews": (
        "@eadir", "@__thumb", "thumbnails", "thumbs", "thmbnl", "canonmsc", "*.lrdata", "*.cocatalogdb", "bridgecache",
        "adobe bridge cache", "mipmaps-*.d", "*.fpenc", "previews.lrdata", "*.dxo-cache", "_thumbs",
    ),
    "what was thrown away": (
        "#recycle", "$recycle.bin", "recycler", "recycled", "@recycle", "lost+found", "found.[0-9][0-9][0-9]",
        "files_trashbin",
    ),
    "of the system or a disk station": (
        "__macosx", "system volume information", "@tmp", "#snapshot", "@recently-snapshot", "@synoresource",
        "@sharebin", "files_versions", "_gsdata_",
    ),
}  # fmt: skip
# Libraries of Apple's programs are folders; the photographer's files are in these subfolders.
_LIBRARIES = ("*.photoslibrary", "*.photolibrary", "*.migratedphotolibrary", "*.aplibrary")
_ORIGINALS = ("originals", "masters")
_CAPTURE_ONE = ("cache", "settings*")


def other_picture(suffix: str) -> str | None:
    """Return the kind of picture, by its ending in lower case, if it is one that redaes does not read; else None."""
    return next((kind for kind, suffixes in _OTHER_PICTURES.items() if suffix in suffixes), None)


def program_of(name: str, above: str) -> str | None:
    """Return what a program keeps in a folder; None: the folder is the photographer's own.

    Args:
        name: the folder's name in lower case.
        above: name of the folder above it, in lower case; empty: the search began there.
    """
    if any(fnmatchcase(above, library) for library in _LIBRARIES) and name not in _ORIGINALS:
        return "a library's own"
    if above == "captureone" and any(fnmatchcase(name, inner) for inner in _CAPTURE_ONE):
        return "thumbnails and previews"
    return next((what for what, names in _OF_PROGRAMS.items() for one in names if fnmatchcase(name, one)), None)


def looks_like_a_picture(path: Path) -> bool:
    """Return whether a file with another ending has the first bytes of a picture; False if it cannot be opened."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            recognise(file.read(4096), path)
    except (OSError, ImageError):
        return False
    return True
