"""Items pass stages with no more in each than it has places, whatever becomes of single ones."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from redaes.datagen.passing import Passage, WorkStage, work_off


def test_stages_are_full_and_never_fuller_even_where_items_fail() -> None:
    inside, working, most = Counter[str](), Counter[str](), Counter[str]()

    async def item(number: int, stages: list[WorkStage]) -> int:
        before = ""
        try:
            with Passage() as way:
                for stage, hops in zip(stages, (1, 7), strict=True):
                    await way.queue(stage)
                    inside.update({before: -1, stage.name: 1})
                    before = stage.name
                    most[f"in {stage.name}"] = max(most[f"in {stage.name}"], inside[stage.name])
                    await way.begin()
                    working[stage.name] += 1
                    most[f"at {stage.name}"] = max(most[f"at {stage.name}"], working[stage.name])
                    for _ in range(hops):
                        await asyncio.sleep(0)
                    working[stage.name] -= 1
                    if number % 3 == 1:
                        raise ValueError(number)
        finally:
            inside[before] -= 1
        return number

    async def all_of_them() -> list[int | BaseException]:
        stages = [WorkStage("cut", 1, 1), WorkStage("glue", 2, 1)]
        return await asyncio.wait_for(
            asyncio.gather(*(item(number, stages) for number in range(20)), return_exceptions=True), 20
        )

    found = asyncio.run(all_of_them())
    assert [each for each in found if isinstance(each, int)] == [number for number in range(20) if number % 3 != 1]
    assert most == {"in cut": 2, "at cut": 1, "in glue": 3, "at glue": 2}


def test_after_an_error_no_further_task_is_begun() -> None:
    begun: list[int] = []

    async def do(number: int) -> None:
        begun.append(number)
        await asyncio.sleep(0)
        if number == 2:
            raise ValueError(number)

    with pytest.raises(ValueError, match="2"):
        asyncio.run(work_off(do, range(100), 2))
    assert begun == list(range(len(begun)))
    assert len(begun) < 10
