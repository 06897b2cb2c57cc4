"""XMP sidecars: what is written, what is merged, and what is left alone."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from xml.dom import minidom

import pytest

from redaes.culling.xmp import Mark, plan, sidecar_path
from redaes.errors import RecordError

BEST, REST = Mark(5, "Green", 3), Mark(1, "Red", 1)
RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
XMP = 'xmlns:xmp="http://ns.adobe.com/xap/1.0/"'
THEIRS = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<!-- by another program -->
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {RDF}>
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" {XMP} %s>
%s<dc:subject><rdf:Bag><rdf:li>sea &amp; sky</rdf:li></rdf:Bag></dc:subject>
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>"""


def _write(picture: Path, mark: Mark) -> str:
    sidecar = plan(picture, mark)
    if sidecar.content is not None:
        sidecar.path.write_bytes(sidecar.content)
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
    assert plan(tmp_path / "a.jpg", BEST).content is None
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
    text = _write(tmp_path / "a.jpg", BEST)
    assert "Rating=5" not in text
    assert (attribute or element) in text
    assert 'xmp:Label="Green"' in text
    # Nor does it become ours by standing beside what is.
    assert plan(tmp_path / "a.jpg", REST).kept == ("Rating",)


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
        (b"\xff\xfe\x00binary", "document type"),
        (b"<a>" * 100_000 + b"</a>" * 100_000, "nested too deeply"),
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


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
@pytest.mark.parametrize("there", [None, THEIRS % ("", "")])
def test_exiftool_reads_what_was_written(tmp_path: Path, there: str | None) -> None:
    if there is not None:
        (tmp_path / "a.jpg.xmp").write_text(there, encoding="utf-8")
    _write(tmp_path / "a.jpg", BEST)
    done = subprocess.run(
        ["exiftool", "-json", "-XMP:all", "-validate", "-warning", str(tmp_path / "a.jpg.xmp")],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    (found,) = json.loads(done.stdout)
    assert (found["Rating"], found["Label"], found["Validate"]) == (5, "Green", "OK")
    assert str(found["PickLabel"]) in ("3", "Accepted")
    assert found.get("Subject") == (None if there is None else "sea & sky")
