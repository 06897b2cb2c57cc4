"""XMP sidecars: what is written, what is merged, and what is left alone."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.dom import minidom
from xml.etree import ElementTree

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from redaes.culling import decisions, xmp_packet
from redaes.culling.marking import write_sidecar
from redaes.culling.sidecar_names import SidecarNames
from redaes.culling.xmp import Mark, marks_of_others, plan, plan_undo, sidecar_path
from redaes.errors import RecordError

BEST, REST = Mark(5, "Green", 3), Mark(1, "Red", 1)
RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
XMP = 'xmlns:xmp="http://ns.adobe.com/xap/1.0/"'
DC = 'xmlns:dc="http://purl.org/dc/elements/1.1/"'
THEIRS = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<!-- by another program -->
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {RDF}>
<rdf:Description rdf:about="" {DC} {XMP} %s>
%s<dc:subject><rdf:Bag><rdf:li>sea &amp; sky</rdf:li></rdf:Bag></dc:subject>
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>"""


def _write(picture: Path, mark: Mark) -> str:
    sidecar = plan(picture, mark)
    write_sidecar(sidecar)
    return sidecar.path.read_text(encoding="utf-8")


def test_a_new_sidecar_stands_beside_the_picture(tmp_path: Path) -> None:
    sidecar = plan(tmp_path / "a.jpg", BEST)
    assert (sidecar.path, sidecar.merged, sidecar.kept) == (tmp_path / "a.jpg.xmp", False, ())
    assert list(tmp_path.iterdir()) == []  # a plan writes nothing
    text = _write(tmp_path / "a.jpg", BEST)
    for expected in ('xmp:Rating="5"', 'xmp:Label="Green"', 'digiKam:PickLabel="3"', "<?xpacket end"):
        assert expected in text


def test_writing_again_changes_nothing_and_another_mark_replaces_ours(tmp_path: Path) -> None:
    _write(tmp_path / "a.jpg", BEST)
    assert not plan(tmp_path / "a.jpg", BEST).changed
    text = _write(tmp_path / "a.jpg", REST)
    assert 'xmp:Rating="1"' in text
    assert "Rating=1 Label=Red PickLabel=1" in text
    assert "Green" not in text


def test_what_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "a.jpg.xmp").write_text(THEIRS % ("", "<xmp:CreatorTool>Other</xmp:CreatorTool>"), encoding="utf-8")
    text = _write(tmp_path / "a.jpg", BEST)
    for kept in ("<!-- by another program -->", "sea &amp; sky", "<xmp:CreatorTool>Other</xmp:CreatorTool>",
                 '<?xpacket begin="\ufeff"'):  # fmt: skip
        assert kept in text
    assert 'xmp:Rating="5"' in text


@pytest.mark.parametrize(("attribute", "element"), [('xmp:Rating="2"', ""), ("", "<xmp:Rating>2</xmp:Rating>")])
def test_a_rating_of_somebody_else_stays(tmp_path: Path, attribute: str, element: str) -> None:
    (tmp_path / "a.jpg.xmp").write_text(THEIRS % (attribute, element), encoding="utf-8")
    sidecar = plan(tmp_path / "a.jpg", BEST)
    assert (sidecar.merged, sidecar.kept) == (True, ("Rating",))
    before = (tmp_path / "a.jpg.xmp").read_bytes()
    _write(tmp_path / "a.jpg", BEST)
    assert (tmp_path / "a.jpg.xmp").read_bytes() == before  # no label, no pick beside it


def test_a_rating_that_was_changed_by_hand_is_theirs(tmp_path: Path) -> None:
    text = _write(tmp_path / "a.jpg", BEST).replace('xmp:Rating="5"', 'xmp:Rating="4"')
    (tmp_path / "a.jpg.xmp").write_text(text, encoding="utf-8")
    assert plan(tmp_path / "a.jpg", REST).kept == ("Rating",)


@pytest.mark.parametrize("nothing", ['xmp:Rating="0"', 'xmp:Rating=""'])
def test_no_rating_is_nobodys_choice(tmp_path: Path, nothing: str) -> None:
    (tmp_path / "a.jpg.xmp").write_text(THEIRS % (nothing, ""), encoding="utf-8")
    assert 'xmp:Rating="5"' in _write(tmp_path / "a.jpg", BEST)


def test_a_prefix_that_means_something_else_is_left_alone(tmp_path: Path) -> None:
    other = THEIRS.replace("http://ns.adobe.com/xap/1.0/", "http://example.org/other/")
    (tmp_path / "a.jpg.xmp").write_text(other % ('xmp:Rating="theirs"', ""), encoding="utf-8")
    found = minidom.parseString(_write(tmp_path / "a.jpg", BEST).encode())
    (description,) = found.getElementsByTagNameNS("http://www.w3.org/1999/02/22-rdf-syntax-ns#", "Description")
    assert description.getAttributeNS("http://example.org/other/", "Rating") == "theirs"
    assert description.getAttributeNS("http://ns.adobe.com/xap/1.0/", "Rating") == "5"


def test_either_habit_of_naming_is_followed(tmp_path: Path) -> None:
    (tmp_path / "a.xmp").write_text("")
    assert sidecar_path(tmp_path / "a.jpg") == tmp_path / "a.xmp"
    (tmp_path / "a.jpg.xmp").write_text("")
    assert sidecar_path(tmp_path / "a.jpg") == tmp_path / "a.jpg.xmp"


LAUGHS = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><x>&b;</x>'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not XML"),
        (b"<x>", "is not XML"),
        (b"<x xmp:Rating='1'/>", "is not XML"),
        (b"<html/>", "is XML but not XMP"),
        (LAUGHS.encode(), "document type"),
        (LAUGHS.encode("utf-16"), "document type"),
        (b"\xff\xfe\x00binary", "is not XML"),
        (b"<a>" * 100_000 + b"</a>" * 100_000, "is XML but not XMP"),
        (b"<?xml version='1.0' encoding='rot13'?><a/>", "is not XML"),
        (b"\xef\xbb\xbf<a>\xff</a>", "is not XML"),
    ],
)
def test_hostile_sidecars_are_refused_and_left_alone(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.jpg.xmp").write_bytes(content)
    with pytest.raises(RecordError, match=message):
        plan(tmp_path / "a.jpg", BEST)
    assert (tmp_path / "a.jpg.xmp").read_bytes() == content


def test_too_large_a_sidecar_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg.xmp").write_bytes(b" " * 10_000_001)
    with pytest.raises(RecordError, match="too many"):
        plan(tmp_path / "a.jpg", BEST)


# --- what a program writes is found, and nothing else of it changes --------------------------------------------------

ODD = f"""<?xml version="1.0" encoding="%s"?>\r
<!-- one --><?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>\r
<x:xmpmeta xmlns:x='adobe:ns:meta/' x:xmptk="kept"><rdf:RDF {RDF}><rdf:Description
   rdf:about='' {DC} xmlns:a="urn:x-a"  a:note="two&#xA;lines &gt; 1 é" >
<![CDATA[  ]]><dc:subject><rdf:Bag><rdf:li a:x="1">é &amp; &#x1F600;</rdf:li></rdf:Bag></dc:subject>\r
</rdf:Description></rdf:RDF></x:xmpmeta>
                    <?xpacket end='w'?>\t
<!-- end -->"""
ENCODINGS = {
    "utf-8": b"", "utf-8-sig": b"", "utf-16": b"", "utf-16-le": b"", "utf-16-be": b"", "utf-16-be marked": b"\xfe\xff",
    "utf-32-le": b"", "iso-8859-1": b"",
}  # fmt: skip


def _odd(encoding: str) -> bytes:
    codec = encoding.split(maxsplit=1)[0]
    declared = "utf-8" if codec == "utf-8-sig" else codec.removesuffix("-le").removesuffix("-be")
    return ENCODINGS[encoding] + (ODD % declared).encode(codec)


@pytest.mark.parametrize("encoding", list(ENCODINGS))
def test_every_other_byte_stays_and_undoing_gives_back_the_file(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.jpg.xmp"
    before = _odd(encoding)
    path.write_bytes(before)
    write_sidecar(plan(tmp_path / "a.jpg", BEST))
    after = path.read_bytes()
    codec = encoding.split(maxsplit=1)[0]
    added = after.decode(codec).replace(before.decode(codec).split(" >\n<![CDATA[")[0], "", 1)
    assert added.startswith(" xmlns:xmp=")
    assert after.decode(codec).endswith(before.decode(codec)[-200:])
    assert 'xmp:Rating="5"' in after.decode(codec)
    write_sidecar(plan(tmp_path / "a.jpg", REST))
    (undone,) = plan_undo(tmp_path / "a.jpg")
    write_sidecar(undone)
    assert path.read_bytes() == before
    assert plan_undo(tmp_path / "a.jpg") == []


def test_undoing_removes_the_file_that_only_said_ours_and_leaves_what_was_changed(tmp_path: Path) -> None:
    _write(tmp_path / "a.jpg", BEST)
    write_sidecar(plan_undo(tmp_path / "a.jpg")[0])
    assert list(tmp_path.iterdir()) == []
    text = _write(tmp_path / "a.jpg", BEST).replace('xmp:Label="Green"', 'xmp:Label="Blue"')
    (tmp_path / "a.jpg.xmp").write_text(text, encoding="utf-8")
    write_sidecar(plan_undo(tmp_path / "a.jpg")[0])
    left = (tmp_path / "a.jpg.xmp").read_text(encoding="utf-8")
    assert 'xmp:Label="Blue"' in left
    for ours in ("Rating", "PickLabel", "redaes"):
        assert ours not in left


MM = 'xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/"'
NESTED = "<rdf:Bag><rdf:li><rdf:Description xmp:Rating='4' xmp:Label='Red'/></rdf:li></rdf:Bag>"


@pytest.mark.parametrize(
    "elsewhere",
    [
        f"<xmpMM:Pantry>{NESTED}</xmpMM:Pantry>",
        f"<xmpMM:Ingredients>{NESTED}</xmpMM:Ingredients>",
        "<xmpMM:DerivedFrom rdf:parseType='Resource'><xmp:Rating>4</xmp:Rating></xmpMM:DerivedFrom>",
        "<xmpMM:History><rdf:Seq><rdf:li rdf:parseType='Resource'><xmp:Rating>-1</xmp:Rating></rdf:li></rdf:Seq>"
        "</xmpMM:History>",
        f"</rdf:Description><rdf:Description rdf:about='another.psd' {DC} {XMP} xmp:Rating='3'>",
        f"</rdf:Description></rdf:RDF><rdf:RDF {RDF}><rdf:Description rdf:about='' {DC} {XMP} xmp:Rating='3'>",
    ],
)
def test_a_rating_of_something_else_is_not_the_pictures(tmp_path: Path, elsewhere: str) -> None:
    before = THEIRS % (MM, elsewhere)
    (tmp_path / "a.jpg.xmp").write_text(before, encoding="utf-8")
    assert plan(tmp_path / "a.jpg", BEST).kept == ()
    text = _write(tmp_path / "a.jpg", BEST)
    assert 'xmp:Rating="5"' in text
    assert elsewhere in text


@pytest.mark.parametrize(
    ("attribute", "element", "kept"),
    [
        ('xmp:Rating="-1"', "", "Rating"),
        ('xmp:Label="Kunde A"', "", "Label"),
        ('xmlns:d="http://www.digikam.org/ns/1.0/" d:PickLabel="1"', "", "PickLabel"),
        ('xmlns:d="http://www.digikam.org/ns/1.0/" d:ColorLabel="5"', "", "ColorLabel"),
        ('xmlns:MicrosoftPhoto="http://ns.microsoft.com/photo/1.0/" MicrosoftPhoto:Rating="75"', "", "Rating"),
        ('xmlns:m="http://ns.adobe.com/xmp/1.0/DynamicMedia/" m:pick="-1"', "", "pick"),
        ('xmlns:m="http://ns.adobe.com/xmp/1.0/DynamicMedia/" m:good="False"', "", "good"),
        ("", "<a:Rating xmlns:a='http://ns.adobe.com/xap/1.0/'><!-- x --> 2 </a:Rating>", "Rating"),
        ("", "<xmp:Rating rdf:parseType='Resource'><rdf:value>2</rdf:value></xmp:Rating>", "Rating"),
        ("", "<xmp:Rating><rdf:Description rdf:value='2'/></xmp:Rating>", "Rating"),
        ("", f"</rdf:Description><rdf:Description rdf:about='' {DC} {XMP} xmp:Rating='2'>", "Rating"),
        ("", "<t:colorlabels xmlns:t='http://darktable.sf.net/'><rdf:Seq><rdf:li>3</rdf:li></rdf:Seq></t:colorlabels>",
         "colorlabels"),
        ("", "<t:colorlabels xmlns:t='http://darktable.sf.net/'><rdf:Seq><rdf:li>0</rdf:li></rdf:Seq></t:colorlabels>",
         "colorlabels"),  # red
    ],
)  # fmt: skip
def test_what_programs_write_for_a_decision_is_one(tmp_path: Path, attribute: str, element: str, kept: str) -> None:
    before = (THEIRS % (attribute, element)).encode()
    (tmp_path / "a.jpg.xmp").write_bytes(before)
    sidecar = plan(tmp_path / "a.jpg", BEST)
    assert (sidecar.kept, sidecar.changed, sidecar.content) == ((kept,), False, before)


@pytest.mark.parametrize(
    ("attribute", "element"),
    [
        ('xmp:Rating="0.0"', ""),
        ('xmlns:d="http://www.digikam.org/ns/1.0/" d:PickLabel="0" d:ColorLabel="0"', ""),
        ('xmlns:p="http://ns.camerabits.com/photomechanic/1.0/" p:ColorClass="0" p:Tagged="False"', ""),
        ("", "<t:colorlabels xmlns:t='http://darktable.sf.net/'><rdf:Seq/></t:colorlabels>"),
    ],
)
def test_what_programs_write_where_nobody_decided_is_no_decision(tmp_path: Path, attribute: str, element: str) -> None:
    (tmp_path / "a.jpg.xmp").write_text(THEIRS % (attribute, element), encoding="utf-8")
    assert plan(tmp_path / "a.jpg", BEST).kept == ()


def test_a_decision_of_somebody_takes_back_ours(tmp_path: Path) -> None:
    text = _write(tmp_path / "a.jpg", BEST).replace('xmp:Rating="5"', 'xmp:Rating="-1"')
    (tmp_path / "a.jpg.xmp").write_text(text, encoding="utf-8")
    left = _write(tmp_path / "a.jpg", BEST)
    assert 'xmp:Rating="-1"' in left
    for accepted in ("Green", "PickLabel", "redaes"):
        assert accepted not in left


@pytest.mark.parametrize(
    ("ours", "theirs", "name"),
    [
        ('xmp:Rating="1"', 'xmp:Rating="0"', "Rating"),  # in Lightroom: no stars
        ('xmp:Label="Red"', 'xmp:Label=""', "Label"),
        ('digiKam:PickLabel="1"', "", "PickLabel"),
    ],
)
def test_a_mark_that_somebody_took_out_is_not_written_again(tmp_path: Path, ours: str, theirs: str, name: str) -> None:
    text = _write(tmp_path / "a.jpg", REST)
    assert ours in text
    (tmp_path / "a.jpg.xmp").write_text(text.replace(ours, theirs), encoding="utf-8")
    said = marks_of_others(tmp_path / "a.jpg", SidecarNames())
    assert [(one.name, one.value) for one in said] == [(name, "removed")]
    left = _write(tmp_path / "a.jpg", REST)
    for mark in ('Rating="1"', 'Red"', 'PickLabel="1"'):
        assert mark not in left
    for _ in range(2):  # nor at any later time
        again = plan(tmp_path / "a.jpg", BEST)
        assert (name in again.kept, again.changed) == (True, False)
    (undone,) = plan_undo(tmp_path / "a.jpg")
    assert b"redaes" not in (undone.content or b"")


# --- in the picture itself --------------------------------------------------------------------------------------


def _packet(attributes: str) -> bytes:
    return (THEIRS % (attributes, "")).encode()


def _exif(tag: int, value: int) -> bytes:
    exif = Image.Exif()
    exif[tag] = value
    return exif.tobytes()


def _save(path: Path, **options: Any) -> Path:
    Image.new("RGB", (8, 8), "grey").save(path, **options)
    return path


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.webp", "a.avif"])
@pytest.mark.parametrize("rating", ["5", "-1"])
def test_a_rating_in_the_picture_is_somebodys(tmp_path: Path, name: str, rating: str) -> None:
    if name.endswith("avif"):
        pytest.importorskip("PIL.AvifImagePlugin")
    packet = _packet(f'xmp:Rating="{rating}"')
    options: dict[str, Any] = {"xmp": packet}
    if name.endswith("png"):
        options = {"pnginfo": PngInfo()}
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", packet.decode())
    if name.endswith("tif"):
        options = {"tiffinfo": {700: packet + b"\0"}}
    picture = _save(tmp_path / name, **options)
    sidecar = plan(picture, BEST)
    assert (sidecar.kept, sidecar.content, sidecar.decisions[0].place) == (("Rating",), None, picture)
    assert (plan(picture, BEST, overrule=True).content is None) == (rating == "-1")


@pytest.mark.parametrize(("tag", "value", "kept"), [(0x4746, 4, True), (0x4749, 75, True), (0x4746, 0, False)])
@pytest.mark.parametrize("name", ["a.jpg", "a.webp", "a.png", "a.tif"])
def test_a_rating_by_the_camera_is_somebodys(tmp_path: Path, name: str, tag: int, value: int, kept: bool) -> None:
    options: dict[str, Any] = {"tiffinfo": {tag: value}} if name == "a.tif" else {"exif": _exif(tag, value)}
    picture = _save(tmp_path / name, **options)
    assert plan(picture, REST).kept == (("Rating",) if kept else ())


def test_a_rating_in_camera_raw_is_somebodys(tmp_path: Path) -> None:
    picture = tmp_path / "a.cr2"
    directory = b"II*\0\x10\0\0\0CR\2\0\0\0\0\0" + struct.pack("<HHHIII", 1, 0x4746, 3, 1, 4, 0)
    picture.write_bytes(directory)
    assert plan(picture, REST).kept == ("Rating",)
    picture = tmp_path / "b.cr3"  # in a box of its own
    picture.write_bytes(b"\0\0\0\x18ftypcrx " + bytes(12) + b"uuid" + bytes(16) + _packet('xmp:Rating="3"') + bytes(9))
    assert plan(picture, REST).kept == ("Rating",)


def test_metadata_that_is_damaged_says_nothing(tmp_path: Path) -> None:
    picture = _save(tmp_path / "a.jpg", xmp=b"<x:xmpmeta><x:xmpmeta", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert plan(picture, BEST).kept == ()


# --- the file ---------------------------------------------------------------------------------------------------


def test_a_link_stays_and_its_target_is_written(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "a.xmp").write_text(THEIRS % ("", ""), encoding="utf-8")
    (tmp_path / "a.jpg.xmp").symlink_to("store/a.xmp")
    _write(tmp_path / "a.jpg", BEST)
    assert (tmp_path / "a.jpg.xmp").is_symlink()
    assert 'xmp:Rating="5"' in (tmp_path / "store" / "a.xmp").read_text(encoding="utf-8")


@pytest.mark.parametrize("target", ["nowhere.xmp", "a.jpg.xmp", "."])
def test_links_that_lead_to_no_file_are_refused(tmp_path: Path, target: str) -> None:
    (tmp_path / "a.jpg.xmp").symlink_to(target)
    with pytest.raises(RecordError, match=r"a\.jpg\.xmp is (a link whose target|not a file)"):
        plan(tmp_path / "a.jpg", BEST)


def test_a_picture_whose_name_leaves_no_room_for_that_of_a_sidecar(tmp_path: Path) -> None:
    picture = tmp_path / ("x" * 251 + ".jpg")
    picture.write_bytes(b"")
    with pytest.raises(RecordError, match="too long a name for a sidecar; shorten that of the picture"):
        plan(picture, BEST)
    assert plan(picture, BEST, SidecarNames("lightroom")).path == tmp_path / ("x" * 251 + ".xmp")


def test_mode_and_owner_stay(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg.xmp"
    path.write_text(THEIRS % ("", ""), encoding="utf-8")
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, 1234, 2345)
    before = path.stat()
    _write(tmp_path / "a.jpg", BEST)
    after = path.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert after.st_ino != before.st_ino


def test_who_may_not_give_files_away_does_not_take_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jpg.xmp"
    path.write_text(THEIRS % ("", ""), encoding="utf-8")
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(RecordError, match="another user or group"):
        plan(tmp_path / "a.jpg", BEST)


def test_write_protection_is_a_wish(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg.xmp"
    path.write_text(THEIRS % ("", ""), encoding="utf-8")
    path.chmod(0o444)
    with pytest.raises(RecordError, match="write-protected"):
        plan(tmp_path / "a.jpg", BEST)


# --- other readers ------------------------------------------------------------------------------------------------

MARKS = {"best": BEST, "rest": REST, "rejected": Mark(-1, "Red", 1)}


def _every_kind(folder: Path, encodings: Iterable[str]) -> None:
    """Sidecars that are new, and ones in which others had written, each with every mark: ``encoding mark.jpg.xmp``."""
    there = {"new": None, "theirs": (THEIRS % ("", "")).encode()} | {one: _odd(one) for one in encodings}
    for name, content in there.items():
        for kind, mark in MARKS.items():
            if content is not None:
                (folder / f"{name} {kind}.jpg.xmp").write_bytes(content)
            write_sidecar(plan(folder / f"{name} {kind}.jpg", mark))


def test_a_reader_of_xml_agrees_on_every_kind_of_sidecar(tmp_path: Path) -> None:
    _every_kind(tmp_path, [encoding for encoding in ENCODINGS if not encoding.startswith("utf-32")])  # it has no UTF-32
    rdf, xmp, digikam = (f"{{{space}}}" for space in (xmp_packet.RDF, decisions.XMP, decisions.DIGIKAM))
    paths = list(tmp_path.iterdir())
    assert len(paths) == 9 * len(MARKS)
    for path in paths:
        top = ElementTree.fromstring(path.read_bytes())
        assert top.tag == "{adobe:ns:meta/}xmpmeta"
        (described,) = top.findall(f"{rdf}RDF/{rdf}Description")
        mark = MARKS[path.name.removesuffix(".jpg.xmp").rsplit(" ", 1)[1]]
        told = [described.get(name) for name in (f"{rdf}about", f"{xmp}Rating", f"{xmp}Label", f"{digikam}PickLabel")]
        assert told == ["", str(mark.rating), mark.label, str(mark.pick)], path.name
        if not path.name.startswith("new"):
            (subject,) = described.findall("{*}subject")
            assert "".join(subject.itertext()).strip() in ("sea & sky", "é & \U0001f600")


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
def test_exiftool_agrees_on_every_kind_of_sidecar(tmp_path: Path) -> None:
    encodings = ("utf-8", "utf-8-sig", "utf-16", "utf-16-be marked")
    _every_kind(tmp_path, encodings)
    done = subprocess.run(
        ["exiftool", "-json", "-n", "-XMP:all", "-validate", "-warning", "-ext", "xmp", str(tmp_path)],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    read = {Path(one["SourceFile"]).name.removesuffix(".jpg.xmp"): one for one in json.loads(done.stdout)}
    assert len(read) == (2 + len(encodings)) * len(MARKS)
    for name, one in read.items():
        mark = MARKS[name.rsplit(" ", 1)[1]]
        assert (one["Rating"], one["Label"], one["PickLabel"]) == (
            mark.rating, mark.label, mark.pick,
        ), name  # fmt: skip
        assert str(one["Validate"]).startswith(("0 0 0", "OK")), one
        if name.startswith("utf"):
            assert one["Subject"] == "é & \U0001f600"
