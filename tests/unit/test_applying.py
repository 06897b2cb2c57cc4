"""Acting on a ranking: what goes where, what stays, kills at every step, and the way back."""

from __future__ import annotations

import errno
import itertools
import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from redaes.cli.app import app
from redaes.culling import file_steps
from redaes.culling.applying import (
    Destinations,
    carry_out,
    moved_by,
    open_journal,
    plan_apply,
    read_ranking,
    recover,
    undo,
)
from redaes.culling.file_steps import FileStep, perform
from redaes.culling.journal import Journal, read_journal
from redaes.culling.shots import files_of_shot
from redaes.culling.sidecar_names import SidecarNames
from redaes.culling.xmp import Mark
from redaes.errors import InputError, RecordError
from redaes.file_hashes import content_hash
from redaes.images import content_id

BEST, MIDDLE, REST = Mark(5, "Green", 3), Mark(3, "Yellow", 2), Mark(1, "Red", 1)
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" %s/></rdf:RDF></x:xmpmeta>'
)
runner = CliRunner()


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is killed loses nothing that it has written; only a machine that stops does."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


def _ranking(folder: Path, marks: dict[str, Mark | None]) -> Path:
    """Pictures in ``folder/photos`` and a ranking of them in ``folder/out``."""
    lines = []
    for name, mark in marks.items():
        path = folder / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"picture " + name.encode())
        shown = None if mark is None else {"rating": mark.rating, "label": mark.label, "pick": mark.pick}
        one = {"place": 1, "path": str(path), "id": content_id(path.read_bytes()), "mark": shown}
        lines.append(json.dumps({"series": name, "pictures": [one]}))
    (folder / "out").mkdir()
    (folder / "out" / "ranking.jsonl").write_text("\n".join([*lines, '{"path": "x", "error": "damaged"}']) + "\n")
    return folder / "out"


def _files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "out" not in path.relative_to(folder).parts
    }


MARKS: dict[str, Mark | None] = {
    "a/1.jpg": BEST, "a/2.jpg": REST, "a/3.jpg": MIDDLE, "b/1.jpg": None, "b/2.jpg": REST,
}  # fmt: skip


@pytest.fixture
def out(tmp_path: Path) -> Path:
    out = _ranking(tmp_path, MARKS)
    photos = tmp_path / "photos"
    (photos / "a" / "2.jpg.xmp").write_text(XMP % "")
    (photos / "a" / "2.NEF").write_bytes(b"raw")
    (photos / "a" / "2.xmp").write_text(XMP % "")
    (photos / "a" / "1.jpg.pp3").write_bytes(b"developed")
    return out


def _apply(out: Path, **options: Path) -> tuple[int, list[str], Journal]:
    destinations = Destinations(**options)
    journal = open_journal(out, None, destinations)
    failed = recover(journal)
    plan = plan_apply(read_ranking(out), destinations, moved_by(out))
    n_done, more = carry_out(plan, journal)
    return n_done, plan.left + failed + more, journal


MOVED = {"a/2.jpg", "a/2.jpg.xmp", "a/2.NEF", "a/2.xmp", "b/2.jpg"}


def test_rejects_go_with_all_that_belongs_to_them_and_come_back(out: Path, tmp_path: Path) -> None:
    before = _files(tmp_path)
    n_done, left, journal = _apply(out, move_rejects=tmp_path / "rejects")
    assert (n_done, left) == (2, [])
    expected = {
        (name.replace("photos", "rejects") if name.removeprefix("photos/") in MOVED else name): data
        for name, data in before.items()
    }
    assert _files(tmp_path) == expected
    assert undo(Journal(journal.path, read_journal(journal.path))) == (5, [])
    assert _files(tmp_path) == before
    assert not (tmp_path / "rejects").exists()


@pytest.mark.parametrize("option", ["move_rejects", "copy_picks", "link_picks"])
@pytest.mark.parametrize("spelling", ["photos", "photos/a/..", "link"])
def test_pictures_do_not_go_where_they_are(out: Path, tmp_path: Path, option: str, spelling: str) -> None:
    (tmp_path / "link").symlink_to("photos")
    before = _files(tmp_path)
    with pytest.raises(InputError, match="is the folder of the ranked pictures itself; give another one"):
        _apply(out, **{option: tmp_path / spelling})
    assert _files(tmp_path) == before


def test_what_is_no_folder_is_refused_before_anything_is_done(out: Path, tmp_path: Path) -> None:
    (tmp_path / "rejects").write_text("a file")
    before = _files(tmp_path)
    with pytest.raises(InputError, match="rejects is not a folder; give a folder, which may be new"):
        _apply(out, move_rejects=tmp_path / "rejects")
    assert _files(tmp_path) == before


def test_nothing_is_said_of_taking_back_where_nothing_was_done(out: Path, tmp_path: Path) -> None:
    command = ["apply", str(out), "--move-rejects", str(tmp_path / "rejects"), "--do"]
    first, second = (CliRunner().invoke(app, command).stdout for _ in range(2))
    assert ("To reverse this" in first, "To reverse this" in second) == (True, False)
    assert "2 pictures were handled before" in second


def test_a_folder_that_leads_back_to_the_pictures_loses_none(out: Path, tmp_path: Path) -> None:
    (tmp_path / "rejects").mkdir()
    (tmp_path / "rejects" / "a").symlink_to(tmp_path / "photos" / "a")
    n_done, left, _ = _apply(out, move_rejects=tmp_path / "rejects")
    assert (n_done, left) == (
        1, [f"{tmp_path}/photos/a/2.jpg: lies where it should go, and stays; give another folder"]
    )  # fmt: skip
    assert (tmp_path / "photos" / "a" / "2.jpg").read_bytes() == b"picture a/2.jpg"
    photo = tmp_path / "photos" / "a" / "2.jpg"
    through_link = tmp_path / "rejects" / "a" / "2.jpg"
    step = FileStep("move", str(photo), str(through_link), photo.stat().st_size, content_hash(photo))
    with pytest.raises(RecordError, match="lies where it should go"):  # also where a link came after the plan
        perform(step)
    assert photo.exists()


def test_a_sidecar_that_is_a_link_keeps_its_shot(out: Path, tmp_path: Path) -> None:
    sidecar = tmp_path / "photos" / "a" / "2.jpg.xmp"
    sidecar.rename(tmp_path / "photos" / "elsewhere.xmp")
    sidecar.symlink_to("../elsewhere.xmp")  # from rejects/a it would lead to nothing
    before = _files(tmp_path)
    plan = plan_apply(read_ranking(out), Destinations(move_rejects=tmp_path / "rejects"), {})
    assert [Path(step.source).name for steps in plan.shots for step in steps] == ["2.jpg"]  # of b
    assert plan.left == [
        f"{sidecar}: is a link, so {sidecar.with_suffix('')} stays; put the file that it leads to in its place"
    ]
    assert _apply(out, copy_picks=tmp_path / "best")[1] == []
    assert before.items() <= _files(tmp_path).items()


def test_a_decision_about_the_camera_raw_of_a_shot_keeps_the_shot(out: Path, tmp_path: Path) -> None:
    (tmp_path / "photos" / "a" / "2.NEF.xmp").write_text(XMP % 'xmp:Rating="5"')  # in darktable
    plan = plan_apply(read_ranking(out), Destinations(move_rejects=tmp_path / "rejects"), {})
    assert [Path(step.source).name for steps in plan.shots for step in steps] == ["2.jpg"]  # of b
    assert plan.kept == [f"{tmp_path}/photos/a/2.jpg: somebody has decided (Rating 5 in 2.NEF.xmp)"]


def test_picks_are_copied_or_linked_once(out: Path, tmp_path: Path) -> None:
    before = _files(tmp_path)
    os.utime(tmp_path / "photos" / "a" / "1.jpg", (1, 1))
    (tmp_path / "photos" / "a" / "1.jpg").chmod(0o640)
    assert _apply(out, copy_picks=tmp_path / "best", link_picks=tmp_path / "album")[:2] == (1, [])
    copy, link = tmp_path / "best" / "a" / "1.jpg", tmp_path / "album" / "a" / "1.jpg"
    assert (copy.read_bytes(), copy.stat().st_mtime, copy.stat().st_mode & 0o777) == (b"picture a/1.jpg", 1.0, 0o640)
    assert link.readlink() == tmp_path / "photos" / "a" / "1.jpg"
    assert (tmp_path / "best" / "a" / "1.jpg.pp3").exists()
    plan = plan_apply(read_ranking(out), Destinations(copy_picks=tmp_path / "best"), {})
    assert (plan.shots, plan.n_before) == ([], 1)
    (journal,) = out.glob("applied-*.jsonl")
    assert undo(Journal(journal, read_journal(journal)))[1] == []
    assert _files(tmp_path) == before


def test_a_copy_that_was_edited_and_a_place_that_is_taken_stay(out: Path, tmp_path: Path) -> None:
    journal = _apply(out, copy_picks=tmp_path / "best", move_rejects=tmp_path / "rejects")[2]
    (tmp_path / "best" / "a" / "1.jpg").write_bytes(b"edited")
    (tmp_path / "rejects" / "b" / "2.jpg").write_bytes(b"edited, too")  # comes back as it is now
    (tmp_path / "photos" / "a" / "2.jpg").write_bytes(b"a new file")
    _, left = undo(Journal(journal.path, read_journal(journal.path)))
    assert len(left) == 2
    assert any("has changed since it was copied" in line for line in left)
    assert any("another file is there now" in line for line in left)
    assert (tmp_path / "best" / "a" / "1.jpg").read_bytes() == b"edited"
    assert (tmp_path / "photos" / "b" / "2.jpg").read_bytes() == b"edited, too"
    assert (tmp_path / "photos" / "a" / "2.jpg").read_bytes() == b"a new file"
    assert (tmp_path / "rejects" / "a" / "2.jpg").read_bytes() == b"picture a/2.jpg"


@pytest.mark.parametrize("became", ["gone", "edited", "a link to the copy", "moved on"])
def test_a_copy_that_is_the_last_one_stays(out: Path, tmp_path: Path, became: str) -> None:
    journal = _apply(out, copy_picks=tmp_path / "best")[2]
    original, copy = tmp_path / "photos" / "a" / "1.jpg", tmp_path / "best" / "a" / "1.jpg"
    if became == "moved on":  # the copies' folder now leads to the pictures
        for path in (tmp_path / "best" / "a").iterdir():
            path.unlink()
        (tmp_path / "best" / "a").rmdir()
        (tmp_path / "best" / "a").symlink_to(original.parent)
    else:
        original.unlink()
    if became == "edited":
        original.write_bytes(b"edited")
    elif became == "a link to the copy":
        original.symlink_to(copy)
    _, left = undo(Journal(journal.path, read_journal(journal.path)))
    assert f"{original}: is gone or has changed since it was copied, so {copy} stays" in left
    assert copy.read_bytes() == b"picture a/1.jpg"


@pytest.mark.parametrize(("number", "fails"), [(0, "unlink"), (errno.EXDEV, "unlink"), (errno.EXDEV, "fsync")])
def test_a_file_that_cannot_be_taken_away_stays_in_one_place(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, fails: str
) -> None:
    before = _files(tmp_path)
    unlink, photos = Path.unlink, tmp_path / "photos"

    def read_only(path: Path, **options: Any) -> None:
        if path.is_relative_to(photos):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        unlink(path, **options)

    def broken(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    if number:
        monkeypatch.setattr(os, "link", _other_file_system(number))
    if fails == "unlink":
        monkeypatch.setattr(Path, "unlink", read_only)
    else:
        monkeypatch.setattr(os, "fsync", broken)
    n_done, left, _ = _apply(out, move_rejects=tmp_path / "rejects")
    assert (n_done, len(left)) == (0, 2)
    assert all(("Read-only file system" if fails == "unlink" else "Input/output error") in line for line in left)
    assert _files(tmp_path) == before


@pytest.mark.parametrize(
    ("there", "picture", "going", "expected"),
    [
        ("a_01.jpg a_01.jpg.xmp a_02.jpg.xmp", "a.jpg", "", "a_02.jpg.xmp"),  # a_01.jpg is a picture of its own
        ("A_01.JPG a_01.jpg.xmp", "a.jpg", "", ""),
        ("a.MOV a.xmp a.THM a.AAE a.jpg.xmp", "a.jpg", "", "a.AAE a.jpg.xmp"),  # the video's, for all that is known
        ("a.mov a.NEF a.xmp a.THM", "a.jpg", "", "a.NEF a.xmp"),
        ("a.jpg.xmp a_01.jpg.xmp a.xmp a.THM", "a.jpg", "", "a.jpg.xmp a_01.jpg.xmp a.xmp a.THM"),
        ("a.png a.xmp a.NEF", "a.jpg", "", ""),  # a.png stays, and what may be its own with it
        ("a.png a.xmp a.NEF", "a.jpg", "a.png", "a.xmp a.NEF"),
        ("a.NEF a.NEF.xmp a.xmp", "a.jpg", "", "a.NEF a.NEF.xmp a.xmp"),
        ("a.jpg a.jpg.xmp a.xmp", "a.NEF", "", "a.jpg a.jpg.xmp a.xmp"),
        ("a.dng a.xmp", "a.NEF", "", ""),
        ("ab.jpg a1.xmp a.txt a.jpg.txt", "a.jpg", "", ""),
    ],
)
def test_what_belongs_to_a_picture(tmp_path: Path, there: str, picture: str, going: str, expected: str) -> None:
    for name in [picture, *there.split()]:
        (tmp_path / name).write_bytes(b"")
    chosen = [tmp_path / name for name in [picture, *going.split()]]
    ranked = [*chosen, tmp_path / "a.png"]
    files = files_of_shot(tmp_path / picture, SidecarNames(), ranked, chosen)
    assert {path.name for path in files} == {picture, *expected.split()}


def test_what_changed_is_missing_or_decided_stays_and_is_named(out: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    (photos / "a" / "2.jpg").write_bytes(b"edited since")
    (photos / "b" / "2.jpg").unlink()
    plan = plan_apply(read_ranking(out), Destinations(move_rejects=tmp_path / "rejects"), {})
    assert plan.shots == []
    assert "a/2.jpg: has changed since it was ranked" in plan.left[0]
    assert "b/2.jpg: is not there" in plan.left[1]


@pytest.mark.parametrize(
    ("name", "attributes", "stays"),
    [
        ("a/2.jpg", 'xmp:Rating="5"', True),
        ("b/2.jpg", 'xmp:Label="Blue"', True),
        ("a/1.jpg", 'xmp:Rating="-1"', True),
        ("a/1.jpg", 'xmp:Rating="4"', False),  # a copy takes nothing away
    ],
)
def test_nothing_is_done_against_somebodys_decision(
    out: Path, tmp_path: Path, name: str, attributes: str, stays: bool
) -> None:
    (tmp_path / "photos" / f"{name}.xmp").write_text(XMP % attributes)
    destinations = Destinations(move_rejects=tmp_path / "rejects", copy_picks=tmp_path / "best")
    plan = plan_apply(read_ranking(out), destinations, {})
    handled = {step.source for steps in plan.shots for step in steps}
    assert (str(tmp_path / "photos" / name) in handled) is not stays
    assert len(plan.kept) == stays


def test_a_rating_in_the_picture_keeps_it(tmp_path: Path) -> None:
    out = _ranking(tmp_path, {"a.jpg": REST})
    picture = tmp_path / "photos" / "a.jpg"
    Image.new("RGB", (8, 8)).save(picture, xmp=(XMP % 'xmp:Rating="3"').encode())
    lines = (out / "ranking.jsonl").read_text().replace(content_id(b"picture a.jpg"), content_hash(picture))
    (out / "ranking.jsonl").write_text(lines)
    plan = plan_apply(read_ranking(out), Destinations(move_rejects=tmp_path / "rejects"), {})
    assert "Rating 3 in a.jpg" in plan.kept[0]


def test_a_clash_stops_the_shot_and_no_other(out: Path, tmp_path: Path) -> None:
    (tmp_path / "rejects" / "a").mkdir(parents=True)
    (tmp_path / "rejects" / "a" / "2.xmp").write_bytes(b"somebody's")
    n_done, left, _ = _apply(out, move_rejects=tmp_path / "rejects")
    assert n_done == 1
    assert "rejects/a/2.xmp: is there already" in left[0]
    assert (tmp_path / "photos" / "a" / "2.jpg").exists()
    assert (tmp_path / "rejects" / "a" / "2.xmp").read_bytes() == b"somebody's"


def test_a_shot_that_cannot_be_finished_is_taken_back(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _files(tmp_path)
    link = os.link

    def full(source: Path, target: Path, **options: Any) -> None:
        if Path(source).name == "2.NEF":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        link(source, target, **options)

    monkeypatch.setattr(os, "link", full)
    n_done, left, journal = _apply(out, move_rejects=tmp_path / "rejects")
    assert n_done == 1
    assert "No space left on device" in left[0]
    assert (tmp_path / "photos" / "a" / "2.jpg").exists()
    assert undo(Journal(journal.path, read_journal(journal.path)))[1] == []
    assert _files(tmp_path) == before


# --- killed anywhere ------------------------------------------------------------------------------------------------


def _other_file_system(number: int) -> Callable[..., None]:
    """``os.link`` between folders of two file systems, or where files have one name only."""
    link = os.link

    def refuse(source: Path, target: Path, **options: Any) -> None:
        if number == errno.EXDEV and Path(source).parent == Path(target).parent:
            return link(source, target, **options)
        raise OSError(number, os.strerror(number))

    return refuse


def _killed_at(count: int, act: Callable[[], object]) -> bool:
    """Run something in a process that dies before its ``count``-th change of a file; whether it died."""
    child = os.fork()
    if child == 0:
        left = [count]

        def dying(function: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any, **options: Any) -> Any:
                left[0] -= 1
                if left[0] == 0:
                    os._exit(9)
                return function(*arguments, **options)

            return call

        os.link, os.fsync, os.truncate = dying(os.link), dying(os.fsync), dying(os.truncate)
        for name in ("unlink", "mkdir", "rmdir", "rename", "symlink_to", "open"):
            setattr(Path, name, dying(getattr(Path, name)))
        status = 1
        try:
            act()
            status = 0
        finally:  # whatever happens, the child does not go on with the tests
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, 9)
    return status == 9


def _places(folder: Path) -> Iterator[tuple[int, Path, Path]]:
    """The same pictures and their ranking as often as they are asked for: a number, the place, the ranking."""
    for count in itertools.count(1):
        place = folder / str(count)
        place.mkdir()
        yield count, place, _ranking(place, {"a.jpg": BEST, "b.jpg": REST})


@pytest.mark.parametrize("links", [0, errno.EXDEV, errno.EPERM])
@pytest.mark.parametrize("then", ["go on", "undo"])
def test_killed_anywhere_it_goes_on_or_is_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: int, then: str
) -> None:
    if links:
        monkeypatch.setattr(os, "link", _other_file_system(links))
    for count, place, out in _places(tmp_path):
        (place / "photos" / "b.jpg.xmp").write_text(XMP % "")
        before = _files(place)
        where = {"move_rejects": place / "rejects", "copy_picks": place / "best"}
        died = _killed_at(count, lambda out=out, where=where: _apply(out, **where))
        if then == "go on":
            assert _apply(out, **where)[1] == []
            after = {
                "best/a.jpg": b"picture a.jpg", "photos/a.jpg": b"picture a.jpg", "rejects/b.jpg": b"picture b.jpg",
                "rejects/b.jpg.xmp": (XMP % "").encode(),
            }  # fmt: skip
            assert _files(place) == after, count
        for journal in sorted(out.glob("applied-*.jsonl"), reverse=True):
            if journal.stat().st_size:
                assert undo(Journal(journal, read_journal(journal)))[1] == []
        assert _files(place) == before, count
        if not died:
            break
    assert count > 15


@pytest.mark.parametrize("links", [0, errno.EXDEV, errno.EPERM])
def test_an_undo_that_is_killed_anywhere_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: int) -> None:
    if links:
        monkeypatch.setattr(os, "link", _other_file_system(links))
    for count, place, out in _places(tmp_path):
        before = _files(place)
        path = _apply(out, move_rejects=place / "rejects", copy_picks=place / "best")[2].path

        def take_back(path: Path = path) -> object:
            return undo(Journal(path, read_journal(path)))

        died = _killed_at(count, take_back)
        assert take_back()[1] == []  # type: ignore[index]
        assert _files(place) == before, count
        if not died:
            break
    assert count > 5


def test_a_copy_that_came_out_wrong_takes_nothing_away(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _files(tmp_path)
    monkeypatch.setattr(os, "link", _other_file_system(errno.EXDEV))
    monkeypatch.setattr(file_steps.shutil, "copyfileobj", lambda reading, writing, _: writing.write(b"spoilt"))
    n_done, left, _ = _apply(out, move_rejects=tmp_path / "rejects")
    assert n_done == 0
    assert all("the copy differs" in line for line in left)
    assert _files(tmp_path) == before


def test_an_unfinished_run_that_went_elsewhere_is_named(out: Path, tmp_path: Path) -> None:
    count = 1
    while not any(read_journal(path).shots for path in out.glob("applied-*.jsonl") if path.stat().st_size):
        for path in out.glob("applied-*.jsonl"):
            path.unlink()
        assert _killed_at(count, lambda: _apply(out, move_rejects=tmp_path / "rejects"))
        count += 1
    with pytest.raises(RecordError, match=r"was cut off and went elsewhere.*--undo"):
        open_journal(out, None, Destinations(move_rejects=tmp_path / "others"))


def test_two_runs_do_not_write_on_one_journal(out: Path, tmp_path: Path) -> None:
    destinations = Destinations(move_rejects=tmp_path / "rejects")
    first = open_journal(out, None, destinations)
    early = read_journal(first.path)
    first.announce([])
    with pytest.raises(RecordError, match="another redaes apply is at work on it"):
        open_journal(out, None, destinations)
    first.announce([])
    first.finish()
    whole = first.path.read_bytes()
    later = Journal(first.path, early)  # read before the first had ended
    assert (list(later.content.shots), later.content.is_finished) == ([1, 2], True)
    assert first.path.read_bytes() == whole


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "records no change"),
        (b'{"journal": "redaes apply", "ver', "records no change"),
        (b'{"journal": "else", "version": 1}\n', "is not a journal"),
        (b'{"journal": "redaes apply", "version": 1}\nnonsense\n', "is not a journal"),
        (b'{"journal": "redaes apply", "version": 1}\n{"shot": 1, "steps": [{}]}\n', "is not a journal"),
        (b"[]\n", "is not a journal"),
    ],
)
def test_what_is_no_journal(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "j.jsonl").write_bytes(content)
    with pytest.raises(RecordError, match=message):
        read_journal(tmp_path / "j.jsonl")


def test_rankings_that_say_no_marks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_ranking(tmp_path / "none")
    (tmp_path / "ranking.jsonl").write_text('{"pictures": [{"path": "a.jpg", "id": "1"}]}\n')
    with pytest.raises(RecordError, match=r"line 1: has no marks.*run the same redaes rank again"):
        read_ranking(tmp_path)


# --- the command ----------------------------------------------------------------------------------------------------


def test_the_command_plans_acts_and_takes_back(out: Path, tmp_path: Path) -> None:
    before = _files(tmp_path)
    options = ["apply", str(out), "--move-rejects", str(tmp_path / "rejects")]
    planned = runner.invoke(app, options)
    assert planned.exit_code == 0, planned.output
    assert "2 pictures, 5 files with their sidecars and raw files. Nothing was changed; add --do" in planned.stdout
    assert _files(tmp_path) == before
    assert list(out.iterdir()) == [out / "ranking.jsonl"]
    done = runner.invoke(app, [*options, "--do"])
    assert done.exit_code == 0, done.output
    assert f"redaes apply --undo {out / 'applied-001.jsonl'} --do" in done.stdout
    assert "2 pictures were handled before" in runner.invoke(app, options).stdout
    again = runner.invoke(app, [*options, "--do"])
    assert again.exit_code == 0, again.output
    assert [file.name for file in out.glob("applied-*")] == ["applied-001.jsonl"], "a run that does nothing leaves none"
    undone = runner.invoke(app, ["apply", "--undo", str(out / "applied-001.jsonl")])
    assert "5 files would be restored. Nothing was changed" in undone.stdout
    assert runner.invoke(app, ["apply", "--undo", str(out / "applied-001.jsonl"), "--do"]).exit_code == 0
    assert _files(tmp_path) == before


def test_the_command_names_what_it_left(out: Path, tmp_path: Path) -> None:
    (tmp_path / "photos" / "b" / "2.jpg").write_bytes(b"edited")
    done = runner.invoke(app, ["apply", str(out), "--move-rejects", str(tmp_path / "rejects"), "--do"])
    assert done.exit_code == 5
    assert "b/2.jpg: has changed since it was ranked" in done.stderr
    assert not (tmp_path / "photos" / "a" / "2.jpg").exists()


@pytest.mark.parametrize(
    "options", [[], ["out"], ["--undo-marks"], ["out", "--undo", "x"], ["out", "--undo-marks", "--link", "d"]]
)
def test_options_that_do_not_go_together(options: list[str]) -> None:
    assert runner.invoke(app, ["apply", *options]).exit_code == 2


def test_marks_are_taken_back_also_where_rejects_were_moved(tmp_path: Path) -> None:
    from redaes.culling.marking import mark_pictures

    out = _ranking(tmp_path, {"a.jpg": BEST, "b.jpg": REST, "c.jpg": REST})
    (tmp_path / "photos" / "b.nef").write_bytes(b"raw")
    (tmp_path / "photos" / "c.jpg.xmp").write_text(XMP % 'xmp:Rating="2"')
    before = _files(tmp_path)
    marked = [(one.path, one.mark) for one in read_ranking(out) if one.mark is not None]
    mark_pictures(marked, out / "marks.jsonl", write=True)
    journal = _apply(out, move_rejects=tmp_path / "rejects")[2]
    planned = runner.invoke(app, ["apply", str(out), "--undo-marks"])
    assert "Marks would be removed from 3 sidecars" in planned.stdout, planned.output
    assert runner.invoke(app, ["apply", str(out), "--undo-marks", "--do"]).exit_code == 0
    undo(Journal(journal.path, read_journal(journal.path)))
    assert _files(tmp_path) == before
