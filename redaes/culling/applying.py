"""Apply a ranking to the files: move rejects away, copy or link picks, with all files that belong to them; and undo it.

Only marked pictures are touched, only if the file is the one that was ranked, and never against a person's decision
about a picture.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from redaes.culling import xmp
from redaes.culling.decisions import is_rejected
from redaes.culling.embedding import is_as_ranked
from redaes.culling.file_steps import FileStep, StepKind, is_one_place, perform, revert
from redaes.culling.journal import Journal, JournalContent, read_journal
from redaes.culling.shots import files_of_shot, is_picture_name
from redaes.culling.sidecar_names import SidecarNames
from redaes.errors import InputError, RecordError
from redaes.file_hashes import content_hash

RANKING_FILE = "ranking.jsonl"
_JOURNALS = "applied-*.jsonl"


@dataclass(frozen=True)
class RankedFile:
    """A picture of a ranking."""

    path: Path
    id: str
    """SHA-256 of the file that was ranked."""
    mark: xmp.Mark | None


@dataclass(frozen=True)
class Destinations:
    """Destinations of rejects and picks; None: they stay."""

    move_rejects: Path | None = None
    copy_picks: Path | None = None
    link_picks: Path | None = None

    def of(self, mark: xmp.Mark | None) -> Iterator[tuple[StepKind, Path]]:
        """Yield the steps for a picture with a mark, in order."""
        if mark is not None and mark.is_pick:
            if self.copy_picks is not None:
                yield "copy", self.copy_picks
            if self.link_picks is not None:
                yield "link", self.link_picks
        if mark is not None and mark.is_reject and self.move_rejects is not None:
            yield "move", self.move_rejects


@dataclass
class ApplyPlan:
    """The steps of each shot."""

    shots: list[list[FileStep]] = field(default_factory=list)
    """The steps, shot by shot; the files of a shot move together or not at all."""
    left: list[str] = field(default_factory=list)
    """Pictures that stay because of a problem, each with the reason."""
    kept: list[str] = field(default_factory=list)
    """Pictures that stay because somebody has decided about them."""
    n_before: int = 0
    """Number of pictures whose steps were all done before."""


def read_ranking(path: Path) -> list[RankedFile]:
    """Return the pictures of a ranking.

    Args:
        path: ``ranking.jsonl``, or its folder.

    Raises:
        InputError: there is no ranking.
        RecordError: the file is not a ranking, or its version has no marks.
    """
    file = path / RANKING_FILE if path.is_dir() else path
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(
            f"{file}: cannot be read ({error.strerror}); give the folder that redaes rank wrote"
        ) from error
    except UnicodeDecodeError as error:
        raise RecordError(f"{file} is not a ranking; give the folder that redaes rank wrote") from error
    found = []
    for number, line in enumerate(lines, 1):
        try:
            for picture in json.loads(line).get("pictures", ()):
                mark = picture["mark"]
                found.append(
                    RankedFile(Path(picture["path"]), picture["id"], None if mark is None else xmp.Mark(**mark))
                )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RecordError(
                f"{file}, line {number}: has no marks that can be read ({error!r}); run the same redaes rank again, "
                "which asks nothing twice"
            ) from error
    return found


def plan_apply(
    ranked: list[RankedFile],
    destinations: Destinations,
    moved: Mapping[str, str],
    embedded: Mapping[Path, str] | None = None,
) -> ApplyPlan:
    """Plan the steps that apply a ranking; nothing is changed.

    Args:
        ranked: its pictures.
        destinations: destinations of the pictures. Folders below the common folder of all pictures are created there
            again.
        moved: files that earlier runs moved, with their new places.
        embedded: the pixels of pictures with embedded marks (:func:`~redaes.culling.embedding.read_embedded`).

    Raises:
        InputError: pictures would go where they already are, or a destination is not a folder.
        RecordError: the pictures have no folder in common.
    """
    plan = ApplyPlan()
    names = SidecarNames()
    places = {one: Path(os.path.abspath(one.path)) for one in ranked}
    everything = frozenset(places.values())
    try:
        root = Path(os.path.commonpath([path.parent for path in everything])) if everything else Path()
    except ValueError as error:
        raise RecordError(f"the ranked pictures lie on several drives ({error}); rank each of them alone") from error
    for folder in (destinations.move_rejects, destinations.copy_picks, destinations.link_picks):
        if folder is None or not os.path.lexists(folder):
            continue
        if not folder.is_dir():
            raise InputError(f"{folder} is not a folder; give a folder, which may be new")
        if root.exists() and folder.samefile(root):
            raise InputError(f"{folder}: is the folder of the ranked pictures itself; give another one")
    going = frozenset(places[one] for one in ranked if one.mark is not None and one.mark.is_reject)
    taken: set[str] = set()
    for one in ranked:
        path = places[one]
        wanted = list(destinations.of(one.mark))
        if not wanted:
            continue
        if str(path) in moved:
            plan.n_before += 1
            continue
        try:
            shot = files_of_shot(path, names, everything, going) if one.mark and one.mark.is_reject else (path,)
            reason = _why_not(path, one, shot, names, embedded or {})
            if reason is not None:
                plan.kept.append(f"{path}: {reason}")
                continue
            steps: list[FileStep] = []
            for kind, folder in wanted:
                files = files_of_shot(path, names, everything, going if kind == "move" else everything)
                steps += _steps(kind, files, root, Path(os.path.abspath(folder)), taken)
        except RecordError as error:
            plan.left.append(str(error))
            continue
        taken |= {step.target for step in steps}
        if steps:
            plan.shots.append(steps)
        else:
            plan.n_before += 1
    return plan


def carry_out(
    plan: ApplyPlan, journal: Journal, on_shot: Callable[[int, int], None] | None = None
) -> tuple[int, list[str]]:
    """Carry out a plan; a shot is undone completely if one of its files cannot be handled.

    Args:
        plan: the plan.
        journal: the journal to write.
        on_shot: called with the number of finished shots and of all shots.

    Returns:
        The number of finished shots, and the reason for each other one.

    Raises:
        RecordError: the journal cannot be written; nothing more is done.
    """
    failed: list[str] = []
    for count, steps in enumerate(plan.shots, 1):
        folders = dict.fromkeys(folder for step in steps for folder in _missing_folders(Path(step.target).parent))
        made = [FileStep("folder", "", str(folder)) for folder in folders]
        failed += _do(journal.announce(made + steps), journal)
        if on_shot is not None:
            on_shot(count, len(plan.shots))
    journal.finish()
    return len(plan.shots) - len(failed), failed


def recover(journal: Journal) -> list[str]:
    """Complete the steps that an interrupted run had begun.

    Returns:
        The reason for each shot that could not be completed and was undone.
    """
    content = journal.content
    return [why for number in content.standing if number not in content.done for why in _do(number, journal)]


def undo(journal: Journal, on_shot: Callable[[int, int], None] | None = None) -> tuple[int, list[str]]:
    """Undo the steps of a journal, the last shot first; steps that cannot be undone are named.

    Returns:
        The number of files that were restored, and the reason for each other one.
    """
    failed: list[str] = []
    n_undone = 0
    standing = journal.content.standing[::-1]
    for count, number in enumerate(standing, 1):
        n_before = len(failed)
        n_undone += _take_back(journal.content.shots[number], failed)
        if len(failed) == n_before:
            journal.undone(number)
        if on_shot is not None:
            on_shot(count, len(standing))
    journal.finish()
    return n_undone, failed


def open_journal(folder: Path, path: Path | None, destinations: Destinations) -> Journal:
    """Return the journal to write: that of an interrupted run, otherwise a new one.

    Args:
        folder: folder of the ranking.
        path: the path that the user chose for it.
        destinations: destinations of this run.

    Raises:
        RecordError: an unfinished run went elsewhere.
    """
    wanted = {name: None if value is None else os.path.abspath(value) for name, value in asdict(destinations).items()}
    for file, content in journals_of(folder, path):
        if content.is_finished:
            continue
        if content.head.get("destinations") == wanted:
            return Journal(file, content)
        if content.standing:
            raise RecordError(
                f"{file}: an earlier run was cut off and went elsewhere; finish it with its options "
                f"({content.head.get('destinations')}), or take it back: redaes apply --undo {file} --do"
            )
    if path is None:
        numbers = [int(found.stem.rsplit("-", 1)[1]) for found in folder.glob("applied-[0-9]*.jsonl")]
        path = folder / f"applied-{max(numbers, default=0) + 1:03d}.jsonl"
    return Journal.begin(path, {"destinations": wanted})


def journals_of(folder: Path, path: Path | None = None) -> Iterator[tuple[Path, JournalContent]]:
    """Yield the journals beside a ranking, and another one that the user named.

    Raises:
        RecordError: one is damaged.
    """
    files = sorted(folder.glob(_JOURNALS))
    if path is not None and path.exists() and path not in files:
        files.append(path)
    for file in files:
        if file.stat().st_size:
            yield file, read_journal(file)


def moved_by(folder: Path, path: Path | None = None) -> dict[str, str]:
    """Return the files that earlier runs moved and nobody has moved back, with their new places."""
    return {
        step.source: step.target
        for _, content in journals_of(folder, path)
        for number in content.standing
        for step in content.shots[number]
        if step.kind == "move" and not os.path.lexists(step.source) and os.path.lexists(step.target)
    }


def _why_not(
    path: Path, one: RankedFile, shot: tuple[Path, ...], names: SidecarNames, embedded: Mapping[Path, str]
) -> str | None:
    """Return why somebody's decision about a picture, or about camera raw of its shot, keeps it from being handled.

    Raises:
        RecordError: the file is not the one that was ranked.
    """
    if path.is_symlink():
        raise RecordError(f"{path}: is a link, and stays; handle the file that it leads to")
    if not path.exists():
        raise RecordError(f"{path}: is not there; run this where redaes rank was run, or rank the folder again")
    if not is_as_ranked(path, one.id, embedded):
        raise RecordError(f"{path}: has changed since it was ranked, and stays; rank the folder again")
    pictures = [path, *(file for file in shot if file != path and is_picture_name(file))]
    decided = [mark for picture in pictures for mark in xmp.marks_of_others(picture, names)]
    if one.mark is not None and one.mark.is_pick:
        decided = [mark for mark in decided if is_rejected(mark)]
    if not decided:
        return None
    said = ", ".join(f"{mark.name} {mark.value} in {mark.place.name}" for mark in decided)
    return f"somebody has decided ({said})"


def _steps(kind: StepKind, files: tuple[Path, ...], root: Path, folder: Path, taken: set[str]) -> Iterator[FileStep]:
    """Yield a step for each file of a shot that is not where it should be.

    Raises:
        RecordError: another file is there.
    """
    for file in files:
        target = folder / file.relative_to(root)
        if kind == "move" and file.is_symlink():  # elsewhere the link may lead to nothing, and could not be restored
            raise RecordError(f"{file}: is a link, so {files[0]} stays; put the file that it leads to in its place")
        try:
            step = FileStep(kind, str(file), str(target), file.stat().st_size, content_hash(file))
        except OSError as error:
            raise RecordError(f"{file}: cannot be read ({error.strerror}); the shot stays") from error
        if kind == "link":
            if target.is_symlink() and str(target.readlink()) == str(file):
                continue
        elif kind == "copy" and target.is_file() and content_hash(target) == step.sha256:
            continue
        if kind == "move" and is_one_place(file, target):
            raise RecordError(f"{file}: lies where it should go, and stays; give another folder")
        if os.path.lexists(target):
            both_ends = kind == "move" and target.is_file() and file.samefile(target)  # interrupted in between
            if not both_ends:
                raise RecordError(f"{target}: is there already, so {files[0]} stays; give another folder or rename it")
        if str(target) in taken:
            if kind == "move":
                raise RecordError(f"{target}: would be two files, so {files[0]} stays; rename one")
            continue  # a file that belongs to two picks is copied once
        yield step


def _missing_folders(folder: Path) -> list[Path]:
    """Return the folders to be made, outermost first."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    return missing[::-1]


def _do(number: int, journal: Journal) -> list[str]:
    """Do the steps of a shot, or none of them.

    Returns:
        The reason; empty: the steps were done.
    """
    begun: list[FileStep] = []
    try:
        for step in journal.content.shots[number]:
            perform(step)
            begun.append(step)
    except RecordError as error:
        failed: list[str] = []
        _take_back(begun, failed)
        if not failed:
            journal.undone(number)
        return ["; ".join((str(error), *failed))]
    journal.done(number)
    return []


def _take_back(steps: list[FileStep], failed: list[str]) -> int:
    """Undo steps, the last first, and return the number of files."""
    n_undone = 0
    for step in reversed(steps):
        try:
            n_undone += revert(step) and step.kind != "folder"
        except RecordError as error:
            failed.append(str(error))
    return n_undone
