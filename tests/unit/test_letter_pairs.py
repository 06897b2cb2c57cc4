"""Models that answer with a letter: both orders, what counts as no answer, the prompt as a setting."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from PIL import Image

from redaes import prompts
from redaes.backends.scripted import ScriptedBackend
from redaes.errors import BackendError, InputError
from redaes.evaluation.assessors import make_assessor
from redaes.evaluation.assessors.base import Question, QuestionPicture
from redaes.evaluation.assessors.letters import LetterPairs, prompt_from
from redaes.evaluation.run_spec import RunSpec
from redaes.evaluation.runner import run
from redaes.images import LoadedImage
from redaes.points import delta_of
from redaes.types import ImageRef


def question(name: str) -> Question:
    pictures = []
    for side, level in (("a", 10), ("b", 200)):
        ref = ImageRef(id=f"{level:064d}", path=Path(side))
        image = Image.new("RGB", (40, 40), (level, level, level))
        pictures.append(QuestionPicture(side, Path(side), LoadedImage(image, ref, ())))
    return Question(name, tuple(pictures))


def letters(a: float, b: float, *, spaced: float = 0.0) -> dict[str, float]:
    """Log-probabilities of the letters; ``spaced``: the share of each that begins with a space."""
    return {
        "A": math.log(a * (1 - spaced)),
        "B": math.log(b * (1 - spaced)),
        " A": math.log(max(a * spaced, 1e-12)),
        " B": math.log(max(b * spaced, 1e-12)),
    }


def test_both_orders_are_put_together_and_a_space_does_not_matter() -> None:
    script = [letters(0.8, 0.2), letters(0.5, 0.4, spaced=0.7), letters(0.6, 0.3), letters(0.1, 0.8)]
    backend = ScriptedBackend(log_probs=script)
    leaning, agreeing = LetterPairs(backend).answer([question("leans"), question("agrees")])
    assert [[one.getpixel((0, 0))[0] for one in request.pixels] for request in backend.asked[:2]] == [  # type: ignore[index]
        [10, 200],
        [200, 10],
    ]
    assert {request.prompt.name for request in backend.asked} == {"pair_letter/v1"}
    odds = (math.log(0.8 / 0.2) - math.log(0.5 / 0.4)) / 2
    assert leaning.value == pytest.approx(delta_of(odds), abs=1e-6)
    assert leaning.probability == pytest.approx(1 / (1 + math.exp(-odds)), abs=1e-6)
    assert (leaning.order_consistent, agreeing.order_consistent) == (False, True)
    assert agreeing.value is not None
    assert agreeing.value > 0


def test_what_is_no_letter_is_a_counted_failure() -> None:
    script = [letters(0.8, 0.1), letters(0.2, 0.1), letters(0.1, 0.1), letters(0.1, 0.1)]
    one, neither = LetterPairs(ScriptedBackend(log_probs=script)).answer([question("x"), question("y")])
    assert (one.value, one.failure) == (None, "swapped: no_letter")
    assert one.detail == "swapped: A and B have 0.30 of the probability together: 0.5 needed"
    assert neither.failure == "forward: no_letter; swapped: no_letter"
    (taken,) = LetterPairs(ScriptedBackend(log_probs=script), least_share=0.2).answer([question("x")])
    assert taken.value is not None
    broken = [{**letters(0.5, 0.5), "A": math.nan}, letters(0.5, 0.5)]
    with pytest.raises(BackendError, match="scripted gives probabilities that are not numbers"):
        LetterPairs(ScriptedBackend(log_probs=broken)).answer([question("x")])


def test_the_prompt_is_a_setting_that_identifies_the_run(tmp_path: Path) -> None:
    file = tmp_path / "mine.txt"
    file.write_text("Image A: {{first}}\nImage B: {{second}}\nA or B?\n")
    backend = ScriptedBackend(log_probs=[letters(0.6, 0.4)] * 2)
    assessor = LetterPairs(backend, prompt_from(file))
    assessor.answer([question("x")])
    assert backend.asked[0].prompt.text == "Image A: {{first}}\nImage B: {{second}}\nA or B?"
    assert assessor.identity["prompt_ids"][0].startswith("file/mine@")
    usual = LetterPairs(backend).identity
    assert usual["prompt_ids"] == [prompts.load("pair_letter/v1").id]
    for text in ("A or B?", "{{second}}{{first}}", "{{first}}{{second}}{{=word}}", "{{first}}{{first}}{{second}}"):
        file.write_text(text)
        with pytest.raises(InputError, match=r"mine\.txt must have \{\{first\}\} and then \{\{second\}\}"):
            prompt_from(file)
    with pytest.raises(InputError, match=r"none\.txt cannot be read"):
        make_assessor("vlm_letter", {"prompt_file": str(tmp_path / "none.txt")})
    for share in ("much", "1.5"):
        with pytest.raises(InputError, match=r"least_share is .*; give a number from 0 to 1"):
            make_assessor("vlm_letter", {"least_share": share})


def test_the_embedded_model_is_asked_for_letters(tmp_path: Path) -> None:
    """The whole path: any model that can be read, its failures counted."""
    for name, level in (("a", 40), ("b", 120), ("c", 220)):
        Image.new("RGB", (64, 64), (level, level, 90)).save(tmp_path / f"{name}.png")
    (tmp_path / "pairs.csv").write_text("first,second,p\na.png,b.png,0.9\nb.png,c.png,0.2\n")
    spec = RunSpec(benchmark="pairs", data=tmp_path, assessor="vlm_letter", options={"least_share": "0"})
    found = run(spec, tmp_path / "any", progress=lambda done, total: None)
    assert found is not None
    assert (found.summary.n_questions, found.summary.n_failed) == (2, 0)
    assert found.summary.metrics["swap_consistency"].n == 2
    strict = spec.model_copy(update={"options": {"least_share": "1"}})
    refused = run(strict, tmp_path / "strict", progress=lambda done, total: None)
    assert refused is not None
    assert refused.summary.failures == {"forward: no_letter; swapped: no_letter": 2}
