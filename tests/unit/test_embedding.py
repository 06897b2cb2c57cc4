"""Marks in JPEG files: written by exiftool alone, read again, known as redaes's own, and taken out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from redaes.cli.app import app
from redaes.culling import xmp
from redaes.culling.applying import Destinations, plan_apply, read_ranking
from redaes.culling.embedding import EMBEDDED_FILE, check_exiftool, pixels_hash, plan_embedding, read_embedded
from redaes.culling.marking import write_sidecar
from redaes.culling.sidecar_names import SidecarNames
from redaes.errors import InputError
from redaes.images import content_id

BEST, REST = xmp.Mark(5, "Green", 3), xmp.Mark(1, "Red", 1)
THEIRS = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" %s/></rdf:RDF></x:xmpmeta>'
)
NAMES = ("-n.jpg", "é ü.JPG", "c.jpg", "d.jpg", "e.png")
runner = CliRunner()
needs_exiftool = pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A ranking of pictures: the first is the best, ``d.jpg`` is rated in itself."""
    lines = []
    for number, name in enumerate(NAMES):
        path = tmp_path / "photos" / name
        path.parent.mkdir(exist_ok=True)
        noise = np.random.default_rng(number).integers(0, 256, (16, 24, 3), dtype=np.uint8)
        said = 'xmp:Rating="4"' if name == "d.jpg" else 'xmp:CreatorTool="kept"'
        options = {} if name.endswith("png") else {"xmp": (THEIRS % said).encode(), "comment": b"kept"}
        Image.fromarray(noise).save(path, **options)
        mark = BEST if number == 0 else REST
        shown = {"rating": mark.rating, "label": mark.label, "pick": mark.pick}
        one = {"path": str(path), "id": content_id(path.read_bytes()), "mark": shown}
        lines.append(json.dumps({"pictures": [one]}) + "\n")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "ranking.jsonl").write_text("".join(lines))
    return tmp_path / "out"


def _pixels(folder: Path) -> dict[str, bytes]:
    return {path.name: np.asarray(Image.open(path)).tobytes() for path in folder.iterdir()}


@needs_exiftool
def test_marks_are_embedded_known_and_taken_out(out: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    before = {path.name: path.read_bytes() for path in photos.iterdir()}
    pixels = _pixels(photos)
    planned = runner.invoke(app, ["apply", str(out), "--embed-marks"])
    assert (
        "marks for 3 JPEG files; 0 already contain their marks; 1 are not JPEG files. Nothing was changed"
        in planned.stdout
    )
    assert "d.jpg: somebody has decided (Rating 4 in d.jpg)" in planned.stdout
    assert {path.name: path.read_bytes() for path in photos.iterdir()} == before
    done = runner.invoke(app, ["apply", str(out), "--embed-marks", "--do"])
    assert done.exit_code == 0, done.output
    assert sorted(_pixels(photos)) == sorted(NAMES)  # no backups left
    assert _pixels(photos) == pixels
    assert {name for name in NAMES if (photos / name).read_bytes() != before[name]} == {"-n.jpg", "é ü.JPG", "c.jpg"}
    wanted = ["-Rating", "-Label", "-PickLabel", "-CreatorTool", "-Comment"]
    told = subprocess.run(
        ["exiftool", "-json", "-n", *wanted, str(photos / "-n.jpg")],
        capture_output=True, text=True, check=True, timeout=60,
    ).stdout  # fmt: skip
    (one,) = json.loads(told)
    del one["SourceFile"]
    assert one == {"Rating": 5, "Label": "Green", "PickLabel": 3, "CreatorTool": "kept", "Comment": "kept"}

    # They are redaes's own: they keep nothing from being marked or moved, and are not written twice.
    assert xmp.marks_of_others(photos / "-n.jpg", SidecarNames()) == []
    plan = plan_apply(read_ranking(out), Destinations(move_rejects=tmp_path / "r"), {}, read_embedded(out))
    assert [Path(steps[0].source).name for steps in plan.shots] == ["é ü.JPG", "c.jpg", "e.png"]
    assert plan.left == []
    assert (
        "marks for 0 JPEG files; 3 already contain their marks"
        in runner.invoke(app, ["apply", str(out), "--embed-marks"]).stdout
    )

    # What somebody changes is theirs.
    subprocess.run(["exiftool", "-q", "-overwrite_original", "-XMP-xmp:Rating=2", str(photos / "c.jpg")], check=True)
    assert [one.value for one in xmp.marks_of_others(photos / "c.jpg", SidecarNames())] == ["2"]
    undone = runner.invoke(app, ["apply", str(out), "--undo-marks", "--do"])
    assert "0 sidecars and 2 JPEG files" in undone.stdout, undone.output
    assert _pixels(photos) == pixels
    for name in ("-n.jpg", "é ü.JPG"):
        assert xmp.embedded_by_redaes(photos / name) == ""
        assert xmp.marks_of_others(photos / name, SidecarNames()) == []
        assert b"kept" in (photos / name).read_bytes()


@needs_exiftool
def test_new_pixels_are_another_picture_although_the_mark_is_there(out: Path, tmp_path: Path) -> None:
    runner.invoke(app, ["apply", str(out), "--embed-marks", "--do"])
    path = tmp_path / "photos" / "c.jpg"
    packet = Image.open(path).info["xmp"]
    Image.new("RGB", (24, 16)).save(path, xmp=packet)
    plan = plan_apply(read_ranking(out), Destinations(move_rejects=tmp_path / "r"), {}, read_embedded(out))
    assert "c.jpg: has changed since it was ranked" in plan.left[0]


def _fake_exiftool(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = folder / "bin" / "exiftool"
    tool.parent.mkdir()
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")


def test_without_exiftool_nothing_is_written(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(InputError, match="sudo apt install libimage-exiftool-perl"):
        check_exiftool()
    assert runner.invoke(app, ["apply", str(out), "--embed-marks", "--do"]).exit_code == 2
    assert not (out / EMBEDDED_FILE).exists()


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo 'Error: disk full' >&2; exit 1", "c.jpg: its mark was not written (Error: disk full)"),
        (
            'for last; do :; done; while read -r one; do printf "\\377\\330\\377\\331" > "$one"; done < "$last"',
            "pixels",
        ),
    ],
)
def test_what_exiftool_did_is_looked_at(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, message: str
) -> None:
    _fake_exiftool(tmp_path, script, monkeypatch)
    done = runner.invoke(app, ["apply", str(out), "--embed-marks", "--do"])
    assert done.exit_code == 5
    assert message in done.stderr
    assert "marks embedded in 0 JPEG files" in done.stdout


def test_taking_marks_out_does_not_make_edited_pixels_those_that_were_ranked(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fake_exiftool(tmp_path, "exit 0", monkeypatch)
    path = tmp_path / "photos" / "c.jpg"
    known = {"path": str(path), "pixels": pixels_hash(path)}
    (out / EMBEDDED_FILE).write_text(json.dumps(known) + "\n")
    write_sidecar(xmp.plan(tmp_path / "like", REST))
    Image.new("RGB", (24, 16)).save(path, xmp=(tmp_path / "like.xmp").read_bytes())  # edited; the mark stayed
    undone = runner.invoke(app, ["apply", str(out), "--undo-marks", "--do"])
    assert "1 JPEG files" in undone.stdout, undone.output
    assert read_embedded(out) == {path: known["pixels"]}


def test_a_write_protected_picture_is_left_alone(out: Path, tmp_path: Path) -> None:
    for name in ("c.jpg", "e.png"):
        (tmp_path / "photos" / name).chmod(0o444)  # as cameras protect what is not to be touched
    ranked = [(one.path, one.id, one.mark) for one in read_ranking(out) if one.mark is not None]
    plan = plan_embedding(ranked, {})
    assert [path.name for path in plan.files] == ["-n.jpg", "é ü.JPG"]
    assert plan.left == [f"{tmp_path}/photos/c.jpg: is write-protected; make it writable, or leave it"]
