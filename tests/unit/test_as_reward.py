"""The assessor as a reward: groups, failures, layouts, and what a value depends on; with a judge of known taste."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from redaes import rewards
from redaes.assessor import Assessor
from redaes.backends.base import Answer, BatchBackend, Request
from redaes.backends.failures import Failure
from redaes.errors import BudgetExhausted, EndpointError, ImageError, InputError
from redaes.images import content_id, given
from redaes.ranking import Outcome
from redaes.rewards import as_reward, comparisons
from redaes.rewards.comparisons import fitted, rounds, win_rate
from redaes.rewards.image_inputs import Unusable, picture_of
from redaes.types import ImageRef, Sampling


class Red(BatchBackend):
    """Likes red, and the place A a little; fails as it is told."""

    model, revision = "red", "1"

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.sizes: set[tuple[int, int]] = set()
        self.fails: Callable[[Request], str | None] = lambda request: None
        self.error: Exception | None = None

    def read(self, requests: Sequence[Request], choices: Sequence[str]) -> NDArray[np.float64]:
        self.batches.append(len(requests))
        if self.error is not None:
            raise self.error
        self.sizes |= {image.size for request in requests for image in request.images}
        rows: list[Any] = []
        for request in requests:
            first, second = (redness(image) for image in request.images)
            odds = (first - second) / 20 + 0.3
            rows.append(np.array([odds - 1, -odds - 1, -4.0]))
        return np.array(rows)

    def answer(self, requests: Sequence[Request]) -> list[Answer | Failure]:
        reasons = map(self.fails, requests)
        return [
            answer if reason is None else Failure(reason, "told to")
            for answer, reason in zip(super().answer(requests), reasons, strict=True)
        ]

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[str]:
        raise AssertionError("the fast mode reads")


def redness(image: Image.Image) -> float:
    return float(np.asarray(image)[..., 0].mean())


def red(level: int, size: tuple[int, int] = (8, 6)) -> Image.Image:
    return Image.new("RGB", size, (level, 40, 40))


@pytest.fixture
def backend() -> Red:
    return Red()


@pytest.fixture
def judge(backend: Red) -> Assessor:
    return Assessor(backend, mode="fast")


LEVELS = (40, 90, 60, 200)


pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")


def test_what_is_offered() -> None:
    assert sorted(rewards.__all__) == ["AssessorReward", "PictureReward", "RewardReport", "as_reward"]


def test_the_pictures_of_a_prompt_meet_each_other(judge: Assessor, backend: Red) -> None:
    reward = as_reward(judge)
    values = reward.values([red(level) for level in LEVELS])
    assert np.argsort(values).tolist() == np.argsort(LEVELS).tolist()
    assert np.mean(values) == pytest.approx(0.5)  # type: ignore[arg-type]
    assert all(0 < value < 1 for value in values if value is not None)
    assert backend.batches == [12]  # six pairs, both orders
    strengths = as_reward(judge, scale="strength").values([red(level) for level in LEVELS])
    assert sum(strengths) == pytest.approx(0, abs=1e-9)  # type: ignore[arg-type]
    report = reward.report()
    assert (report.model, report.revision, report.prompt_id) == ("red", "1", judge.prompt_id)
    assert (report.method, report.scale, report.mode) == ("tournament", "win_rate", "fast")
    assert (report.n_pictures, report.n_values, report.n_questions, report.n_unanswered) == (4, 4, 12, 0)
    assert report.failures == {}


def test_a_place_that_is_liked_earns_nothing(judge: Assessor) -> None:
    assert as_reward(judge).values([red(100), red(100, (6, 8))]) == pytest.approx([0.5, 0.5])


def test_company_changes_no_value(judge: Assessor) -> None:
    reward = as_reward(judge)
    group = [red(level) for level in LEVELS]
    alone = reward.values(group)
    other = [red(7), red(8), "/absent.png"]
    assert [one.value for one in reward.judge_groups([other, group, other[::-1]])[1]] == alone
    order = [2, 0, 3, 1]
    assert reward.values([group[number] for number in order]) == [alone[number] for number in order]
    at_once = as_reward(judge, groups_at_once=3).judge_groups([other, group, other[::-1]])
    assert [one.value for one in at_once[1]] == alone


def test_copies_are_ties(judge: Assessor, backend: Red) -> None:
    reward = as_reward(judge)
    assert reward.values([red(50)] * 4) == [0.5] * 4
    assert sum(backend.batches) == 0
    one, copy, better = reward.values([red(50), red(50), red(220)])
    assert one == copy
    assert one < 0.5 < better  # type: ignore[operator]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (None, "missing"), ([], "wrong_type"), ([red(1), red(2)], "wrong_type"), (7, "wrong_type"),
        ("/absent.png", "cannot_decode"), (b"no picture", "cannot_decode"), (Image.new("RGB", (0, 4)), "cannot_decode"),
        (np.zeros((3, 8, 6), np.uint8), "wrong_shape"), (np.zeros((8, 6, 3), np.int64), "wrong_type"),
        (np.full((8, 6, 3), np.nan), "not_finite"), (np.full((8, 6, 3), -1.0), "out_of_range"),
        (np.full((8, 6, 3), 255.0), "out_of_range"), (red(9, (1000, 1)), "too_thin"),
    ],
)  # fmt: skip
def test_one_bad_member_has_no_value_and_fails_nobody(bad: Any, reason: str, judge: Assessor) -> None:
    reward = as_reward(judge)
    good = [red(level) for level in LEVELS]
    judged = reward.judge_groups([[good[0], bad, *good[1:]]])[0]
    assert (judged[1].value, judged[1].failure) == (None, reason)
    assert judged[1].detail
    assert [judged[0].value, *(one.value for one in judged[2:])] == reward.values(good)
    assert reward.report().failures == {reason: 1}


def test_truncated_pictures_of_every_way_in(judge: Assessor, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 90).save(buffer, "PNG")
    cut = buffer.getvalue()[:1500]
    (tmp_path / "cut.png").write_bytes(cut)
    lazy = Image.open(io.BytesIO(cut))
    judged = as_reward(judge).judge_groups([[red(1), red(2), lazy, cut, tmp_path / "cut.png", {"bytes": cut}]])[0]
    assert [one.failure for one in judged] == [None, None, *["cannot_decode"] * 4]


def test_an_unanswered_question_is_counted_and_costs_its_pair_alone(judge: Assessor, backend: Red) -> None:
    backend.fails = lambda request: "http_500" if 90 <= redness(request.images[0]) < 100 else None
    reward = as_reward(judge)
    judged = reward.judge_groups([[red(level) for level in LEVELS]])[0]  # one of two orders fails in three pairs
    assert (judged[1].value, judged[1].failure) == (None, "no_usable_answer")
    assert judged[1].detail == "http_500 (3)"
    without = [one.value for one in judged if one.value is not None]
    assert without == as_reward(judge).values([red(level) for level in LEVELS if level != 90])
    report = reward.report()
    assert (report.n_questions, report.n_unanswered, report.failures) == (12, 3, {"no_usable_answer": 1})


def test_parts_that_no_comparison_connects(judge: Assessor, backend: Red) -> None:
    def across(request: Request) -> str | None:
        low, high = sorted(redness(image) for image in request.images)
        return "timeout" if low < 80 <= high else None

    backend.fails = across
    judged = as_reward(judge).judge_groups([[red(level) for level in (20, 40, 60, 100, 120)]])[0]
    assert [one.failure for one in judged] == [None, None, None, "not_connected", "not_connected"]
    with pytest.warns(UserWarning, match=r"none of 4 pictures has a reward: not_connected \(4\)"):
        as_reward(judge).values([red(level) for level in (20, 40, 100, 120)])


def test_somebody_alone_has_no_value(judge: Assessor) -> None:
    with pytest.warns(UserWarning, match="none of 2 pictures"):
        judged = as_reward(judge).judge_groups([[red(9), None]])[0]
    assert [one.failure for one in judged] == ["alone", "missing"]


def test_a_server_that_is_gone_is_an_error_and_not_a_reward(judge: Assessor, backend: Red) -> None:
    backend.error = EndpointError("connection", "refused")
    with pytest.raises(EndpointError, match="refused"):
        as_reward(judge).values([red(1), red(2)])
    backend.error = BudgetExhausted("spent")
    with pytest.raises(BudgetExhausted):
        as_reward(judge).values([red(1), red(2)])


def test_a_batch_that_is_lost_loses_only_itself(judge: Assessor, backend: Red, monkeypatch: pytest.MonkeyPatch) -> None:
    real = backend.read

    def read(requests: Sequence[Request], choices: Sequence[str]) -> NDArray[np.float64]:
        if any(redness(image) > 150 for request in requests for image in request.images):
            raise EndpointError("timeout", "all of them")
        return real(requests, choices)

    monkeypatch.setattr(backend, "read", read)
    reward = as_reward(judge)
    with_value, without = reward.judge_groups([[red(1), red(2)], [red(200), red(210)]])
    assert all(one.value is not None for one in with_value)
    assert [one.failure for one in without] == ["no_usable_answer"] * 2
    assert reward.report().n_unanswered == 2


def test_many_pictures_take_a_schedule(judge: Assessor, backend: Red) -> None:
    levels = list(range(10, 250, 10))
    random.Random(0).shuffle(levels)
    values = as_reward(judge, comparisons_per_picture=6).values([red(level) for level in levels])
    assert sum(backend.batches) == 2 * 24 * 6 // 2
    assert np.corrcoef(np.argsort(np.argsort(values)), np.argsort(np.argsort(levels)))[0, 1] > 0.95
    again = as_reward(judge, comparisons_per_picture=6).values([red(level) for level in levels])
    assert again == values


# --- references -------------------------------------------------------------------------------------------------------


@pytest.fixture
def references(judge: Assessor, tmp_path: Path) -> Any:
    refs = []
    for level in (30, 80, 130):
        path = tmp_path / f"{level}.png"
        red(level).save(path)
        refs.append(ImageRef(id=content_id(path.read_bytes()), path=path))
    return judge.reference_set("levels", refs)


def test_against_references_each_picture_has_a_value_of_its_own(judge: Assessor, references: Any) -> None:
    reward = as_reward(judge, references=references)
    values = reward.values([red(level) for level in LEVELS])
    assert np.argsort(values).tolist() == np.argsort(LEVELS).tolist()
    assert reward.values([red(LEVELS[2])]) == values[2:3]
    assert reward(completions=[red(level) for level in LEVELS], prompts=["a", "b", "a", "c"]) == values
    assert reward.report().method == f"references {references.name}"
    assert reward.__name__ == "redaes_references"
    score = judge.score(picture_of(red(60), max_pixels=1000), references)  # type: ignore[arg-type]
    assert as_reward(judge, references=references, scale="strength").values([red(60)]) == pytest.approx(
        [score.strength]
    )


def test_references_of_another_judge_or_changed_ones_are_refused(references: Any, judge: Assessor) -> None:
    other = Red()
    other.revision = "2"
    with pytest.raises(InputError, match="ranked by red 1"):
        as_reward(Assessor(other, mode="fast"), references=references)
    red(131).save(references.pictures[2].path)
    with pytest.raises(ImageError, match="has changed"):
        as_reward(judge, references=references)


# --- as TRL calls it --------------------------------------------------------------------------------------------------


def test_completions_columns_and_functions_are_ways_to_a_picture(judge: Assessor) -> None:
    group = [red(level) for level in LEVELS]
    expected = as_reward(judge).values(group)
    prompts = ["a cat"] * 4
    trl = {"trainer_state": object(), "log_extra": lambda *_: None, "completion_ids": None}
    assert as_reward(judge, group_size=4)(prompts=prompts, completions=group, **trl) == expected
    messages = [[{"role": "assistant", "content": [{"type": "image", "image": one}]}] for one in group]
    assert as_reward(judge, group_size=4)(prompts=prompts, completions=messages, **trl) == expected
    column = as_reward(judge, group_size=4, pictures="image")
    assert column(prompts=prompts, completions=["text"] * 4, image=[[one] for one in group], **trl) == expected

    def render(prompt: str, completion: str, base: int, **_: Any) -> Image.Image:
        return red(base + int(completion))

    told: list[Any] = []
    made = as_reward(judge, group_size=4, pictures=render)
    texts = [str(level - 10) for level in LEVELS]
    assert made(prompts=prompts, completions=texts, base=[10] * 4, log_metric=lambda *one: told.append(one)) == expected
    texts[1] = "forty"
    judged = made(prompts=prompts, completions=texts, base=[10] * 4, log_metric=lambda *one: told.append(one))
    assert judged[1] is None
    assert made.report().failures == {"render_failed": 1}
    assert told == [("redaes_tournament/without_value", 0.0), ("redaes_tournament/without_value", 0.25)]


@pytest.mark.parametrize(
    ("settings", "call", "match"),
    [
        ({}, {"completions": [red(1)] * 4}, "group_size="),
        ({"group_size": 3}, {"completions": [red(1)] * 4}, "4 rows are not whole groups of 3"),
        ({"group_size": 2}, {"completions": [red(1)] * 4, "prompts": ["a", "b", "a", "b"]}, "rows 0 to 1 have diff"),
        (
            {"group_size": 2, "pictures": "photo"},
            {"completions": ["x"] * 2, "image": [red(1)] * 2},
            "no column 'photo'",
        ),
        ({"group_size": 2}, {"image": [red(1)] * 2}, "name the column"),
    ],
)
def test_calls_that_cannot_be_right_are_refused(settings: Any, call: Any, match: str, judge: Assessor) -> None:
    with pytest.raises(InputError, match=match):
        as_reward(judge, **settings)(**call)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"scale": "points"}, "scale is 'points'"),
        ({"group_size": 1}, "group_size is 1"),
        ({"comparisons_per_picture": 1}, "comparisons_per_picture is 1"),
        ({"groups_at_once": 0}, "groups_at_once is 0"),
        ({"max_pixels": 0}, "max_pixels is 0"),
    ],
)
def test_impossible_settings_are_refused(settings: Any, match: str, judge: Assessor) -> None:
    with pytest.raises(InputError, match=match):
        as_reward(judge, **settings)


def test_a_judge_that_draws_its_answers_is_refused(backend: Red) -> None:
    with pytest.raises(InputError, match=r"temperature 0\.7"):
        as_reward(Assessor(backend, sampling=Sampling(temperature=0.7)))


# --- pictures ---------------------------------------------------------------------------------------------------------


def test_every_layout_is_the_same_picture(tmp_path: Path) -> None:
    import torch

    array = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    image = Image.fromarray(array)
    image.save(tmp_path / "p.png")
    chw = torch.tensor(array).permute(2, 0, 1).float() / 255
    for value in (
        image, image.convert("RGBA"), array, array / 255, (array / 255).astype(np.float32), torch.tensor(array),
        chw, chw.double().requires_grad_(), [image], {"bytes": (tmp_path / "p.png").read_bytes(), "path": None},
        {"bytes": None, "path": str(tmp_path / "p.png")}, tmp_path / "p.png",
    ):  # fmt: skip
        found = picture_of(value, max_pixels=10_000)
        assert not isinstance(found, Unusable), found
        assert np.array_equal(np.asarray(found.image), array)
    half = picture_of(chw.bfloat16(), max_pixels=10_000)
    assert not isinstance(half, Unusable)
    assert np.abs(np.asarray(half.image).astype(int) - array).max() <= 1
    grey = picture_of(array[..., 0], max_pixels=10_000)
    assert not isinstance(grey, Unusable)
    assert np.array_equal(np.asarray(grey.image)[..., 1], array[..., 0])


def test_turned_and_transparent_pictures_are_treated_as_files_are() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    red(200, (8, 4)).save(buffer, "PNG", exif=exif)
    turned = picture_of(Image.open(io.BytesIO(buffer.getvalue())), max_pixels=10_000)
    assert not isinstance(turned, Unusable)
    assert turned.image.size == (4, 8)
    clear = picture_of(Image.new("RGBA", (4, 4), (255, 0, 0, 0)), max_pixels=10_000)
    assert not isinstance(clear, Unusable)
    assert clear.image.getpixel((0, 0)) == (255, 255, 255)
    for mode in ("1", "L", "LA", "P", "CMYK", "YCbCr", "I;16"):
        assert not isinstance(picture_of(Image.new(mode, (4, 4)), max_pixels=100), Unusable), mode
    assert picture_of(Image.new("F", (4, 4)), max_pixels=100) == Unusable(
        "cannot_decode",
        "the picture: its pixels are floating-point numbers, which have no defined white; export it with 8 or 16 bits "
        "a channel",
    )


def test_pixels_are_capped(judge: Assessor, backend: Red) -> None:
    as_reward(judge, max_pixels=64 * 64).values([red(1, (640, 480)), np.zeros((300, 900, 3), np.uint8)])
    assert all(width * height <= 64 * 64 for width, height in backend.sizes)


def array_of(*values: float) -> NDArray[np.float64]:
    """A picture in shades of grey, one row."""
    return np.array([values])


def reason_of(value: Any) -> str | None:
    found = picture_of(value, max_pixels=10_000)
    return found.reason if isinstance(found, Unusable) else None


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (array_of(-0.001, 1.001), None),  # rounding
        (array_of(-0.0011, 0.5), "out_of_range"),
        (array_of(0.5, 1.0011), "out_of_range"),
        (array_of(0.5, 0.9999), None),
        (array_of(0.5, float("nan")), "not_finite"),
        (np.full((4, 4, 4), 255, np.uint8), None),
        (np.full((4, 4, 2), 255, np.uint8), "wrong_shape"),
        (np.full((4, 4, 5), 255, np.uint8), "wrong_shape"),
        (Image.new("RGB", (200, 1)), None),
        (Image.new("RGB", (201, 1)), "too_thin"),
        (Image.new("RGB", (2, 400)), None),
    ],
)
def test_where_a_picture_ends_to_be_one(value: Any, reason: str | None) -> None:
    assert reason_of(value) == reason


def test_a_picture_in_memory_has_no_more_pixels_than_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(given, "MAX_FILE_PIXELS", 12)
    assert reason_of(np.zeros((3, 4), np.uint8)) is None
    assert reason_of(np.zeros((4, 4), np.uint8)) == "cannot_decode"
    assert reason_of(np.zeros((7, 2), np.uint8)) == "cannot_decode"


def test_a_mirrored_picture_is_turned_back() -> None:
    image = Image.fromarray(np.array([[0, 255]], np.uint8))
    image.getexif()[0x0112] = 2
    found = picture_of(image, max_pixels=10_000)
    assert not isinstance(found, Unusable)
    assert np.asarray(found.image)[0, :, 0].tolist() == [255, 0]


def played(n: int, each: int | None) -> list[list[tuple[int, int]]]:
    """The rounds of a tournament whose games are all drawn."""
    outcomes: list[Outcome] = []
    found = []
    for pairs in rounds(n, each, 0, outcomes):
        found.append(pairs)
        outcomes += [(i, j, 0.5, 2.0) for i, j in pairs]
    return found


def test_a_tournament_meets_in_full_where_that_is_affordable() -> None:
    whole = [(i, j) for i in range(5) for j in range(i + 1, 5)]
    assert played(5, None) == played(5, 4) == [whole]
    assert sum(map(len, played(6, 4))) == 12
    assert sum(map(len, played(6, 1))) == 5  # what it takes to connect them


def test_a_schedule_learns_every_outcome_once(monkeypatch: pytest.MonkeyPatch) -> None:
    known: list[Outcome] = []

    class Two:
        def __init__(self, *_: Any, **__: Any) -> None:
            self.left = [[(0, 1), (2, 3)], [(4, 5)]]

        def next_round(self) -> list[tuple[int, int]]:
            return self.left.pop(0) if self.left else []

        def record(self, *outcome: Any) -> None:
            known.append(outcome)

    monkeypatch.setattr(comparisons, "Schedule", Two)
    assert played(9, 2) == [[(0, 1), (2, 3)], [(4, 5)]]
    assert [outcome[:2] for outcome in known] == [(0, 1), (2, 3), (4, 5)]


def test_two_that_met_have_strengths_and_who_met_nobody_has_none() -> None:
    strengths, left_out = fitted(["a", "b", "c"], [(0, 1, 0.9, 2.0)])
    assert strengths["a"] > strengths["b"]
    assert left_out == {"c": "no_usable_answer"}


def test_the_share_that_is_won_is_a_logistic_function_of_the_gap() -> None:
    assert win_rate(np.log(3), [0.0]) == pytest.approx(0.75)
