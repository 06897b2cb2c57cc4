"""Names in a photographer's folder: which folders belong to programs, and which files are not read as pictures."""

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
"""Endings of files that lie beside pictures and are none (.thm: thumbnails of videos); they need not be opened."""

# By name, in lower case, as fnmatch has it; what is in them is of the program, not of the photographer.
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
# Libraries of Apple's programs are folders; the photographer's files lie in these of theirs.
_LIBRARIES = ("*.photoslibrary", "*.photolibrary", "*.migratedphotolibrary", "*.aplibrary")
_ORIGINALS = ("originals", "masters")
_CAPTURE_ONE = ("cache", "settings*")


def other_picture(suffix: str) -> str | None:
    """Return the kind of pictures that are not read, by the ending of a name in lower case; None: none."""
    return next((kind for kind, suffixes in _OTHER_PICTURES.items() if suffix in suffixes), None)


def program_of(name: str, above: str) -> str | None:
    """Return what a folder holds that is of a program; None: it is the photographer's.

    Args:
        name: the folder's, in lower case.
        above: of the folder that it lies in, in lower case; empty: that is where the search began.
    """
    if any(fnmatchcase(above, library) for library in _LIBRARIES) and name not in _ORIGINALS:
        return "a library's own"
    if above == "captureone" and any(fnmatchcase(name, inner) for inner in _CAPTURE_ONE):
        return "thumbnails and previews"
    return next((what for what, names in _OF_PROGRAMS.items() for one in names if fnmatchcase(name, one)), None)


def looks_like_a_picture(path: Path) -> bool:
    """Return whether a file of another name begins as a picture does; one that cannot be opened does not."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            recognise(file.read(4096), path)
    except (OSError, ImageError):
        return False
    return True
