"""The marks of a ranked folder: all sidecars are planned before the first is written.

``marks.jsonl`` records what was done and why some pictures got no mark, one line per picture to be marked.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redaes.culling import xmp
from redaes.culling.sidecar_names import SidecarNames, SidecarStyle
from redaes.errors import RecordError
from redaes.file_writing import write_atomically, writing
from redaes.images import is_raw_name


@dataclass
class MarkingSummary:
    """The outcome of marking a folder."""

    n_sidecars: int = 0
    """Number of sidecars that were changed, or would be."""
    n_merged: int = 0
    """Number of those that existed before."""
    kept: tuple[str, ...] = ()
    """Pictures without a mark because somebody has rated, labelled or picked them, each with where that is stated."""
    failed: tuple[str, ...] = ()
    """Sidecars that cannot be written, each with the reason."""


def mark_pictures(
    marked: Sequence[tuple[Path, xmp.Mark]],
    lines_path: Path,
    *,
    write: bool,
    style: SidecarStyle = "auto",
    overrule: bool = False,
    unmarked: Collection[Path] = (),
) -> MarkingSummary:
    """Plan the sidecars of a folder's pictures and, on demand, write them.

    A camera raw file beside a marked picture, of the same name, is the same shot and gets the same mark.

    Args:
        marked: the pictures with their marks.
        lines_path: the file that says what was done.
        write: write the sidecars; otherwise they are only counted.
        style: how new sidecars are named.
        overrule: mark pictures that have a rating in themselves, too.
        unmarked: pictures that were judged and get no mark. A camera raw file among them gets none from a picture of
            the same name either, and a sidecar that would also belong to one of them is not written.

    Raises:
        RecordError: ``lines_path`` cannot be written.
    """
    names = SidecarNames(style)
    summary = MarkingSummary()
    failed: list[str] = []
    kept: list[str] = []
    files = list(_with_raw(marked, names, unmarked))
    shared = _shared_targets([(path, shot) for path, _, shot in files] + [(path, path) for path in unmarked], names)
    of_shot: dict[Path, list[Path]] = defaultdict(list)
    for path, _, picture in files:
        of_shot[picture].append(path)
    targets: set[Path] = set()
    with writing(lines_path) as temporary, temporary.open("w", encoding="utf-8") as lines:
        for path, mark, picture in files:
            line: dict[str, Any] = {"path": str(path), "mark": [mark.rating, mark.label, mark.pick]}
            try:
                if path in shared:
                    raise RecordError(shared[path])
                target = xmp.real_path(names.of(path))
                if target in targets:  # it has the mark already, from another file of the shot
                    lines.write(json.dumps(line | {"sidecar": str(target), "did": "nothing"}) + "\n")
                    continue
                targets.add(target)
                sidecar = xmp.plan(path, mark, names, overrule=overrule, shot=of_shot[picture])
                if write and sidecar.changed:
                    write_sidecar(sidecar)
            except RecordError as error:
                failed.append(str(error))
                line |= {"sidecar": None, "did": "failed", "reason": str(error)}
            else:
                summary.n_sidecars += sidecar.changed
                summary.n_merged += sidecar.changed and sidecar.merged
                line |= {"sidecar": str(sidecar.path), "did": _done(sidecar, write)}
                if sidecar.decisions:
                    line["kept"] = [f"{one.name} {one.value} in {one.place.name}" for one in sidecar.decisions]
                    kept.append(f"{path}: {', '.join(line['kept'])}")
            lines.write(json.dumps(line) + "\n")
    summary.failed, summary.kept = tuple(failed), tuple(kept)
    return summary


def unmark_pictures(pictures: Sequence[Path], *, write: bool) -> tuple[list[Path], list[str]]:
    """Plan and, on demand, carry out the removal of redaes's marks that nobody has changed since.

    Args:
        pictures: the pictures; camera raw files of the same shots are included.
        write: change the sidecars; otherwise only those that would change are returned.

    Returns:
        The sidecars, and for each that cannot be changed the reason.
    """
    names = SidecarNames()
    changed: dict[Path, None] = {}
    failed: list[str] = []
    nobody = xmp.Mark(0, "", 0)
    for path, _, _ in _with_raw([(picture, nobody) for picture in pictures], names):
        try:
            for sidecar in xmp.plan_undo(path, names):
                if sidecar.path in changed:
                    continue
                if write:
                    write_sidecar(sidecar)
                changed[sidecar.path] = None
        except RecordError as error:
            failed.append(str(error))
    return list(changed), failed


def write_sidecar(sidecar: xmp.Sidecar) -> None:
    """Write or remove a sidecar as planned.

    Raises:
        RecordError: it cannot be written or removed.
    """
    try:
        if sidecar.content is None:
            sidecar.path.unlink(missing_ok=True)
        else:
            write_atomically(sidecar.path, sidecar.content)
    except (OSError, RecordError) as error:
        cause = error.__cause__ or error
        reason = getattr(cause, "strerror", None) or cause
        raise RecordError(
            f"{sidecar.path}: cannot be written ({reason}); check that there is room and its folder may be written to"
        ) from error


def _with_raw(
    marked: Sequence[tuple[Path, xmp.Mark]], names: SidecarNames, judged: Collection[Path] = ()
) -> Iterator[tuple[Path, xmp.Mark, Path]]:
    """Yield the pictures, each followed by camera raw of its shot that was not judged itself; with the shot's
    picture.
    """
    own = {*judged, *(path for path, _ in marked)}
    for path, mark in marked:
        yield path, mark, path
        if is_raw_name(path):
            continue
        try:
            beside = names.beside(path)
        except RecordError:  # said when the picture's own turn comes
            continue
        for other in beside:
            if is_raw_name(other) and other not in own:
                own.add(other)
                yield other, mark, path


def _shared_targets(files: Sequence[tuple[Path, Path]], names: SidecarNames) -> dict[Path, str]:
    """Return files whose sidecar would also belong to another shot, each with a message.

    Args:
        files: each with the picture of its shot.
        names: which sidecar is whose.
    """
    by_target: dict[Path, list[Path]] = defaultdict(list)
    shots: dict[Path, set[Path]] = defaultdict(set)
    for picture, shot in files:
        try:
            target = xmp.real_path(names.of(picture))
        except RecordError:
            continue  # said when the picture's own turn comes
        by_target[target].append(picture)
        shots[target].add(shot)
    found: dict[Path, str] = {}
    for target, those in by_target.items():
        for picture in those if len(shots[target]) > 1 else ():
            others = ", ".join(one.name for one in those if one != picture)
            found[picture] = (
                f"{picture}: its sidecar {target} is that of {others}, too, so none of them got a mark; "
                "use --sidecars auto or darktable, or rename them"
            )
    return found


def _done(sidecar: xmp.Sidecar, write: bool) -> str:
    if not sidecar.changed:
        return "nothing"
    what = "withdraw" if sidecar.decisions else "write"
    return {"withdraw": "withdrew", "write": "wrote"}[what] if write else f"to {what}"
