"""Marks in JPEG files themselves, written by exiftool, for programs that read no sidecar beside a JPEG.

exiftool writes a new file and puts it in the place of the old one. Each file is read again afterwards: its mark must be
there and its pixels as they were. Which pixels that are stands in ``embedded.jsonl`` beside the ranking, so that the
file still counts as the one that was ranked.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from redaes.culling import xmp
from redaes.culling.sidecar_names import SidecarNames
from redaes.errors import ImageError, InputError, RecordError
from redaes.file_hashes import content_hash
from redaes.images import jpeg_pixels, read_image_file

EMBEDDED_FILE = "embedded.jsonl"
_TOOL = "exiftool"
_CHUNK = 100
_TIMEOUT_S = 600
_CONFIG = f"""%Image::ExifTool::UserDefined = (
    'Image::ExifTool::XMP::Main' => {{ redaes => {{ SubDirectory => {{ TagTable => 'Image::ExifTool::UserDefined::redaes' }} }} }},
);
%Image::ExifTool::UserDefined::redaes = (
    GROUPS => {{ 0 => 'XMP', 1 => 'XMP-redaes', 2 => 'Image' }},
    NAMESPACE => {{ 'redaes' => '{xmp.OWN_NAMESPACE}' }},
    WRITABLE => 'string',
    Wrote => {{ }},
);
1;
"""  # noqa: E501 - it is Perl
_TAGS = ("XMP-xmp:Rating", "XMP-xmp:Label", "XMP-digiKam:PickLabel")


@dataclass
class EmbeddingPlan:
    """The files and the marks to embed; without a mark, the one that redaes had embedded is removed."""

    files: dict[Path, xmp.Mark | None]
    kept: list[str]
    """Pictures that stay because somebody has decided about them."""
    left: list[str]
    """Pictures that stay because of a problem."""
    n_others: int = 0
    """Number of marked pictures that are not JPEG files."""
    n_before: int = 0
    """Number of pictures that have their mark already."""


def check_exiftool() -> None:
    """Check that exiftool is installed.

    Raises:
        InputError: it is not installed; the message says how to install it.
    """
    if shutil.which(_TOOL) is None:
        raise InputError(
            f"{_TOOL} is not installed, and nothing else writes into pictures; Debian, Ubuntu: sudo apt install "
            "libimage-exiftool-perl; macOS: brew install exiftool; Windows: exiftool.org"
        )


def read_embedded(folder: Path) -> dict[Path, str]:
    """Return, for pictures with embedded marks, the SHA-256 of their pixels when they were ranked.

    Raises:
        RecordError: the file cannot be read.
    """
    path = folder / EMBEDDED_FILE
    if not path.exists():
        return {}
    try:
        data = path.read_bytes()
        lines = [json.loads(line) for line in data[: data.rfind(b"\n") + 1].splitlines()]
        return {Path(line["path"]): str(line["pixels"]) for line in lines}
    except OSError as error:
        raise RecordError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    except (ValueError, KeyError, TypeError) as error:
        raise RecordError(f"{path}: is damaged ({error!r}); move it away, and rank the folder again") from error


def is_as_ranked(path: Path, known: str, embedded: Mapping[Path, str]) -> bool:
    """Return whether a file is the one that was ranked, but for marks that redaes embedded.

    Args:
        path: path of the file.
        known: SHA-256 of the file that was ranked.
        embedded: as :func:`read_embedded` gives it.
    """
    pixels = embedded.get(Path(os.path.realpath(path)))
    return content_hash(path) == known or (pixels is not None and pixels_hash(path) == pixels)


def pixels_hash(path: Path) -> str:
    """Return the SHA-256 of a JPEG file without what stands beside its pixels; empty: it is no JPEG.

    Raises:
        RecordError: it cannot be read.
    """
    try:
        pixels = jpeg_pixels(read_image_file(path))
    except ImageError as error:
        raise RecordError(str(error)) from error
    return hashlib.sha256(pixels).hexdigest() if pixels else ""


def plan_embedding(
    marked: Sequence[tuple[Path, str, xmp.Mark]], embedded: Mapping[Path, str], *, undo: bool = False
) -> EmbeddingPlan:
    """Return which marks would be embedded, or taken out; changes nothing.

    Args:
        marked: pictures, each with the SHA-256 of the file that was ranked and its mark.
        embedded: as :func:`read_embedded` gives it.
        undo: remove the marks that redaes had embedded and nobody has changed.
    """
    names = SidecarNames()
    plan = EmbeddingPlan({}, [], [])
    for picture, known, mark in marked:
        path = Path(os.path.realpath(picture))
        try:
            if not path.is_file():
                raise RecordError(f"{path}: is not there; run this where redaes rank was run")
            if not pixels_hash(path):
                plan.n_others += 1
                continue
            ours = xmp.embedded_by_redaes(path)
            if undo:
                if ours:
                    plan.files[xmp.real_path(path)] = None
                continue
            if not is_as_ranked(path, known, embedded):
                raise RecordError(f"{path}: has changed since it was ranked, and stays; rank the folder again")
            decided = xmp.marks_of_others(path, names)
            if not decided and ours != mark.noted():
                xmp.real_path(path)  # refuses write-protected files and those of other users
        except RecordError as error:
            plan.left.append(str(error))
            continue
        if decided:
            said = ", ".join(f"{one.name} {one.value} in {one.place.name}" for one in decided)
            plan.kept.append(f"{path}: somebody has decided ({said})")
        elif ours == mark.noted():
            plan.n_before += 1
        elif "\n" in str(path) or "\r" in str(path):
            plan.left.append(f"{path}: has a line break in its name, which {_TOOL} cannot take; rename it")
        else:
            plan.files[path] = mark
    return plan


def embed(plan: EmbeddingPlan, folder: Path, on_file: Callable[[int, int], None] | None = None) -> list[str]:
    """Embed the planned marks.

    Args:
        plan: plan of :func:`plan_embedding`.
        folder: folder of the ranking, where the pixels' hashes are kept.
        on_file: called with the number of finished files and of all files.

    Returns:
        The reason for each file that could not be changed as planned.

    Raises:
        InputError: exiftool is not installed.
        RecordError: the hashes cannot be kept; nothing more is done.
    """
    check_exiftool()
    failed: list[str] = []
    n_done = 0
    ordered = sorted(plan.files.items(), key=lambda item: ("" if item[1] is None else item[1].noted(), item[0]))
    with tempfile.TemporaryDirectory() as scratch:
        config = Path(scratch, "redaes.config")
        config.write_text(_CONFIG)
        for mark, group in groupby(ordered, key=lambda item: item[1]):
            paths = [path for path, _ in group]
            for start in range(0, len(paths), _CHUNK):
                part = paths[start : start + _CHUNK]
                before = {path: pixels_hash(path) for path in part}
                if mark is not None:  # to take marks out is no evidence that the pixels are those that were ranked
                    _keep(folder / EMBEDDED_FILE, before)
                said = _run(config, part, mark)
                for path in part:
                    reason = _wrong(path, mark, before[path])
                    if reason is not None:
                        failed.append(f"{path}: {reason} ({said or 'exiftool said nothing'})")
                n_done += len(part)
                if on_file is not None:
                    on_file(n_done, len(plan.files))
    return failed


def _wrong(path: Path, mark: xmp.Mark | None, pixels: str) -> str | None:
    try:
        if pixels_hash(path) != pixels:
            return "its pixels have changed; put back your own copy"
        found = xmp.embedded_by_redaes(path)
    except RecordError as error:
        return str(error)
    return None if found == ("" if mark is None else mark.noted()) else "its mark was not written"


def _run(config: Path, paths: Sequence[Path], mark: xmp.Mark | None) -> str:
    """Let exiftool write, and return its error messages."""
    values = ("", "", "") if mark is None else (str(mark.rating), mark.label, str(mark.pick))
    noted = "" if mark is None else mark.noted()
    options = [f"-{tag}={value}" for tag, value in zip(_TAGS, values, strict=True)]
    listed = config.with_name("files")
    listed.write_bytes(b"\n".join(os.fsencode(path) for path in paths) + b"\n")
    command = [
        _TOOL, "-config", str(config), "-q", "-n", "-overwrite_original", *options, f"-XMP-redaes:Wrote={noted}",
        "-@", str(listed),
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return " ".join(done.stderr.decode(errors="replace").split())[:500]


def _keep(path: Path, pixels: Mapping[Path, str]) -> None:
    try:
        with path.open("ab") as file:
            for picture, one in pixels.items():
                file.write(json.dumps({"path": str(picture), "pixels": one}).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise RecordError(f"{path}: cannot be written ({error.strerror}), so nothing was embedded") from error
