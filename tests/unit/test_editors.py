"""Editors by name, the records that they exchange, and the embedded one behind the protocol."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from redaes.datagen.editors import EDITORS, load_editor
from redaes.datagen.editors.base import EditJob, Editor, EditOutcome
from redaes.datagen.editors.parametric import EDITOR, OPERATIONS, apply_edit, make_edit
from redaes.errors import InputError


@pytest.fixture
def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (77, 101, 3), dtype=np.uint8))


@pytest.fixture
def editor() -> Editor:
    return load_editor("embedded")


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"nonesuch.*diffusers, embedded"):
        load_editor("nonesuch")
    assert sorted(EDITORS) == ["diffusers", "embedded"]


def test_the_embedded_editor_has_no_options() -> None:
    with pytest.raises(InputError, match="no options, got steps"):
        load_editor("embedded", steps=4)


def test_the_embedded_editor_says_what_it_is(editor: Editor) -> None:
    assert (editor.name, editor.licence, editor.commercial) == (EDITOR, "Apache-2.0", True)
    assert len(editor.revision) == 12


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_every_sentence_of_the_embedded_editor_is_understood(
    editor: Editor, picture: Image.Image, operation: str
) -> None:
    [outcome] = editor.edit(picture, [EditJob(make_edit(operation, 0.9, 0).instruction, 3)])
    assert outcome.failure is None
    assert outcome.image is not None
    assert outcome.image.size == picture.size
    # Operations that do not know "slightly" from "strongly" are found at the strongest.
    assert np.array_equal(outcome.image, apply_edit(np.asarray(picture), operation, 5 / 6, 3))


def test_a_sentence_that_is_not_known_does_not_lose_the_others(editor: Editor, picture: Image.Image) -> None:
    known = EditJob(make_edit("haze", 0.5, 0).instruction, 1)
    outcomes = editor.edit(picture, [known, EditJob("Make her smile.", 1), known])
    assert [outcome.failure for outcome in outcomes] == [None, "unknown_instruction", None]
    assert "Make her smile." in outcomes[1].detail
    assert editor.edit(picture, []) == []


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK"])
def test_only_rgb_is_taken(editor: Editor, mode: str) -> None:
    with pytest.raises(InputError, match=mode):
        editor.edit(Image.new(mode, (8, 8)), [])


@pytest.mark.parametrize(("instruction", "seed"), [("", 0), ("  ", 0), ("Darken.", -1), ("Darken.", 2**63)])
def test_jobs_that_make_no_sense(instruction: str, seed: int) -> None:
    with pytest.raises(InputError):
        EditJob(instruction, seed)


def test_an_outcome_is_a_picture_or_a_failure() -> None:
    with pytest.raises(ValueError, match="either"):
        EditOutcome()
    with pytest.raises(ValueError, match="either"):
        EditOutcome(image=Image.new("RGB", (1, 1)), failure="out_of_memory")
