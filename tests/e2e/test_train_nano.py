"""The plan of the embedded model's training: every option exists, and each step begins where another one ended."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from redaes.early_checks import settings
from redaes.training.stages import STAGES

ROOT = Path(__file__).parents[2]
SCRIPTS = {
    "warmup_vision": "nano-vision",
    "warmup_reading": "nano-reading",
    "stage1_sft": "sft",
    "stage2_align": "align",
    "stage3_grpo": "grpo",
}


def planned(*more: str) -> list[list[str]]:
    done = subprocess.run(
        ["bash", "benchmarks/train_nano.sh", "--plan", "--out", "runs/it", *more, "photographs"],
        cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [shlex.split(line) for line in done.stdout.splitlines() if not line.startswith("#")]


@pytest.mark.parametrize(
    "more", [(), ("--from", "redaes/nano-base", "--composition", "2.5"), ("--read-from", "redaes/nano-base")]
)
def test_every_step_takes_options_that_exist_and_what_another_has_left(more: tuple[str, ...]) -> None:
    made = {"runs/it/red", "redaes/nano-base"}
    seen = set()
    for words in planned(*more):
        script = next((Path(word).stem for word in words if word.startswith("stages/")), "")
        if script in SCRIPTS:
            stage = STAGES[SCRIPTS[script]]
            argv = words[words.index(f"stages/{script}.py") + 1 :]
            found = settings(argv, stage.recipe, (stage.arguments, stage.config))
            for name in ("model", "adapter", "data"):
                if name in found:
                    assert str(found[name]) in made, (script, name)
            made.add(f"{found['output_dir']}/final")
            seen.add(script)
        if words[0] == "mv":
            made.add(words[2])
        if "benchmarks/independent_edits.py" in words:
            assert words[words.index("--model") + 1] in made
    assert seen == SCRIPTS.keys() - ({"warmup_vision"} if "--read-from" in more else set())


def test_a_share_makes_fewer_steps_and_pairs_may_be_there_already() -> None:
    def steps(plan: list[list[str]]) -> list[int]:
        return [int(words[words.index("--max_steps") + 1]) for words in plan if "--max_steps" in words]

    whole, part = planned(), planned("--share", "0.01", "--data", "pairs")
    assert [max(2, round(n / 100)) for n in steps(whole)] == pytest.approx(steps(part), abs=1)
    assert not [words for words in part if "data_gen/build_pairs.py" in words]
    assert all(words[words.index("--data") + 1] == "pairs" for words in part if "--data" in words)


def test_it_starts_from_nothing_or_from_a_model_and_may_draw_the_composition_more_often() -> None:
    def built(plan: list[list[str]]) -> list[str]:
        return next(words for words in plan if "stages/build_nano.py" in words)

    assert "--model" not in built(planned())
    plan = planned("--from", "redaes/nano-base", "--composition", "2.5")
    found = built(plan)
    assert found[found.index("--model") + 1] == "redaes/nano-base"
    late = planned("--read-from", "redaes/nano-base")
    assert not [words for words in late if "stages/build_nano.py" in words or "stages/warmup_vision.py" in words]
    (read,) = [words for words in late if "stages/warmup_reading.py" in words]
    assert read[read.index("--model") + 1] == "redaes/nano-base"
    stages = [words for words in plan if "--max_steps" in words]
    assert {words[words.index("--data") + 1] for words in stages} == {"runs/it/red_weighted"}


def test_what_it_does_not_know_is_refused() -> None:
    for options, said in (
        (["--shar", "1", "x"], "unknown option --shar"),
        (["photographs"], "give --out FOLDER"),
        (["--out", "runs/it", "--from", "a", "--read-from", "b", "photographs"], "give one of them"),
    ):
        done = subprocess.run(
            ["bash", "benchmarks/train_nano.sh", *options], cwd=ROOT, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 2
        assert said in done.stderr
