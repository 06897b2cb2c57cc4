"""Probes and the quality of reasoning: what is counted, on assessors and answers whose faults are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from redaes import heldout
from redaes.errors import InputError, RecordError
from redaes.estimates import Estimate, Proportion
from redaes.evaluation import benchmarks
from redaes.evaluation.assessors.base import Question, QuestionAnswer
from redaes.evaluation.probes import LEVELS, PROBES, ProbeResult, build_probes, summarise_paraphrases, summarise_probes
from redaes.evaluation.rationales import rationale_quality
from redaes.evaluation.run_spec import RunSpec
from redaes.evaluation.runner import run, run_assessor
from redaes.heldout import HeldOut, PairOutcome, ReasonedOutcome, WrittenAnswer
from redaes.types import Factor, Order, Sampling
from tests.conftest import synthetic_photograph


def quiet(done: int, total: int) -> None:
    pass


@pytest.fixture(scope="module")
def probes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("probes")
    photographs = []
    for seed in range(5):
        photographs.append(folder / f"p{seed}.png")
        synthetic_photograph(seed, 96, 72).save(photographs[-1])
    return build_probes(photographs, folder / "out", progress=quiet)


def judged(probes: Path, out: Path, measure: str) -> dict[tuple[str, int], ProbeResult]:
    spec = RunSpec(benchmark="pairs", data=probes, assessor="baseline", options={"measure": measure})
    assert run(spec, out, progress=quiet) is not None
    return {(one.probe, one.level): one for one in summarise_probes(out)}


def test_an_assessor_that_likes_colour_is_caught(probes: Path, tmp_path: Path) -> None:
    found = judged(probes, tmp_path / "out", "colourfulness")
    assert set(found) == {(probe, level) for probe in PROBES for level in LEVELS}
    saturated = found["saturation", 3]
    assert saturated.n == 5
    assert saturated.original_preferred is not None
    assert saturated.original_preferred.value == 0.0
    assert saturated.relative_difference is None
    recompressed, resized = found["reencoding", 1], found["resizing", 3]
    for one in (recompressed, resized):
        assert one.original_preferred is None
        assert one.relative_difference is not None
        assert one.relative_difference.value is not None
    assert 0 <= recompressed.relative_difference.value < 0.5  # type: ignore[operator, union-attr]


def test_an_assessor_that_counts_pixels_is_caught(probes: Path, tmp_path: Path) -> None:
    found = judged(probes, tmp_path / "out", "resolution")
    border = found["border", 3].original_preferred
    assert border is not None
    assert border.value == 0.0  # a border makes the picture larger
    assert found["resizing", 3].relative_difference is None  # all photographs have one size: there is no yardstick


def test_building_again_writes_nothing_anew(probes: Path) -> None:
    file = probes.parent / "p0/jpeg_3.png"
    file.write_bytes(b"kept")
    photographs = sorted(probes.parent.parent.glob("p*.png"))
    build_probes(photographs, probes.parent, progress=quiet)
    assert file.read_bytes() == b"kept"
    file.unlink()
    build_probes(photographs, probes.parent, progress=quiet)
    assert file.read_bytes() != b"kept"
    with pytest.raises(InputError, match="at least two photographs"):
        build_probes(photographs[:1], probes.parent, progress=quiet)


class Worded:
    """An assessor whose probabilities are told, one for each pair, and whose prompt has a name."""

    arity = "two"
    needs_pixels = False

    def __init__(self, prompt: str, probabilities: Sequence[float | None], model: str = "m") -> None:
        self.prompt, self.model = prompt, model
        self.probabilities = iter(probabilities)

    @property
    def identity(self) -> Mapping[str, Any]:
        # As with the embedded model, only the usual wording has been calibrated.
        calibration = {"temperature": 0.9, "ceiling": 1.0} if self.prompt == "usual" else {}
        return {"model": self.model, "revision": "1", "prompt_ids": [self.prompt], **calibration}

    def answer(self, questions: Sequence[Question]) -> list[QuestionAnswer]:
        found = []
        for question in questions:
            p = next(self.probabilities)
            value = None if p is None else p - 0.5
            found.append(
                QuestionAnswer(id=question.id, value=value, probability=p, failure="silent" if p is None else None)
            )
        return found


def test_wordings_are_compared_pair_by_pair(tmp_path: Path) -> None:
    for name in "abcde":
        (tmp_path / f"{name}.png").touch()
    (tmp_path / "pairs.csv").write_text("first,second,p\n" + "".join(f"a.png,{name}.png,1\n" for name in "bcde"))
    loaded = benchmarks.load("pairs", tmp_path / "pairs.csv")

    def asked(prompt: str, probabilities: Sequence[float | None], model: str = "m") -> Path:
        out = tmp_path / f"{model} {prompt}"
        spec = RunSpec(benchmark="pairs", data=tmp_path / "pairs.csv", assessor="worded")
        worded: Any = Worded(prompt, probabilities, model)
        assert run_assessor(loaded, worded, out, spec=spec) is not None
        return out

    usual = asked("usual", [0.9, 0.2, 0.6, None])
    (found,) = summarise_paraphrases(usual, [asked("other", [0.8, 0.4, 0.45, 0.9])])
    assert (found.prompt_id, found.n, found.n_failed) == ("other", 4, 1)
    assert found.kept.value == 2 / 4  # the third turned round, the fourth was not answered once
    assert found.mean_change.value == pytest.approx((0.1 + 0.2 + 0.15) / 3)
    with pytest.raises(InputError, match="should differ in the prompt alone, and differ in nothing"):
        summarise_paraphrases(usual, [usual])
    with pytest.raises(InputError, match="and differ in model"):
        summarise_paraphrases(usual, [asked("other", [0.5, 0.5, 0.5, 0.5], model="n")])


def test_a_run_over_something_else_is_refused(tmp_path: Path) -> None:
    for seed in range(2):
        synthetic_photograph(seed, 32, 24).save(tmp_path / f"{seed}.png")
    (tmp_path / "pairs.csv").write_text("first,second,p\n0.png,1.png,0.5\n")
    spec = RunSpec(benchmark="pairs", data=tmp_path / "pairs.csv", assessor="baseline", options={"measure": "luma"})
    run(spec, tmp_path / "out", progress=quiet)
    with pytest.raises(RecordError, match="is not over probes"):
        summarise_probes(tmp_path / "out")


def reasoned(
    number: int, label: float, true: tuple[Factor, ...], *answers: tuple[Order, str | None, tuple[Factor, ...]]
) -> ReasonedOutcome:
    """A pair with its answers: order, winner (None: contradiction), named factors."""
    outcome = PairOutcome(
        pair=str(number),
        group=f"g{number}",
        source=f"s{number}",
        factors=true,
        label=label,
        delta=None,
        probability=None,
        order_consistent=None,
        asked=True,
    )
    return ReasonedOutcome(
        outcome=outcome,
        winner=None,
        rationale=None,
        rationale_order=None,
        answers=tuple(
            WrittenAnswer(
                order=order,
                failure=None if winner else "contradiction",
                winner=winner,  # type: ignore[arg-type]
                factors=named,
                right_factor=False,
                rationale=f"It looks {' and '.join(named)}" if winner else None,
                text="",
            )
            for order, winner, named in answers
        ),
    )


def evaluation(*items: ReasonedOutcome) -> HeldOut:
    empty = Proportion.counted(0, 0)
    nothing = Estimate(value=None)
    return HeldOut(
        model="m",
        revision="r",
        prompt_ids=(),
        sampling=Sampling(),
        seed=0,
        n_pairs=len(items),
        n_photographs=len(items),
        cluster="photograph",
        n_clusters=len(items),
        fast=heldout.FastSummary(accuracy=empty, by_factor={}, srcc=nothing, order_consistency=empty),
        reasoned=None,
        outcomes=(),
        reasoned_outcomes=items,
    )


def test_reasoning_is_measured_against_the_edit() -> None:
    quality = rationale_quality(
        evaluation(
            # Right in one order; in the other, where the pictures change places, the wrong side and a wrong factor too.
            reasoned(0, 2.0, ("light",), ("forward", "A", ("light",)), ("swapped", "A", ("light", "noise"))),
            reasoned(1, -2.0, ("focus", "noise"), ("forward", "B", ("focus",)), ("swapped", None, ())),
            reasoned(2, 0.0, (), ("forward", "tie", ()), ("swapped", "B", ("mood",))),
        )
    )
    assert (quality.n_answers, quality.n_failed) == (6, 1)
    assert quality.factor_precision.value == pytest.approx(3 / 5)
    assert quality.factor_recall.value == pytest.approx(3 / 6)
    assert quality.side.value == pytest.approx(2 / 4)
    assert quality.hallucination.value == pytest.approx(2 / 6)
    assert quality.contradiction.value == pytest.approx(1 / 6)
    assert quality.by_factor["noise"].model_dump() == {
        "named_and_changed": 0,
        "named_though_unchanged": 1,
        "changed_though_not_named": 2,
    }
    assert quality.n_distinct == 5
    assert quality.factor_precision.low is not None
    silent = rationale_quality(evaluation(reasoned(0, 2.0, ("light",), ("forward", None, ()))))
    assert (silent.factor_precision.value, silent.factor_recall.value, silent.distinct_words) == (None, 0.0, None)
