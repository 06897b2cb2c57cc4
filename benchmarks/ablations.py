"""What each stage, and each part of the reward, is worth: ablations of the three stages on held-out photographs.

    python benchmarks/ablations.py --data red --work runs/ablations [--steps 80 240 120] [--seeds 0 1 2] [-- STAGE ARGS]

For every seed the stages run from the embedded base: stage 1, stage 2, stage 3, and stage 3 again with a part left out.
What follows ``--`` goes to all stages (as ``--model`` and ``--leave_out``). All answer the same held-out pairs, in both
orders. Values are means over the seeds; intervals are 95 %, resampling photographs, so they speak of other photographs
and not of other seeds: for those the least and the largest value stand beside them. A run that is started again goes on
where it stopped, and seeds that were trained elsewhere count when their folders are put into ``--work``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nano_quality import drawn
from numpy.typing import ArrayLike, NDArray

from redaes.backends.local import LocalBackend
from redaes.estimates import Estimate, Statistic, bootstrap, mean, paired_bootstrap
from redaes.file_writing import read_json, read_yaml, write_json
from redaes.heldout import HeldOut, PairOutcome, evaluate
from redaes.metrics import srcc
from redaes.records import PairRecord
from redaes.types import Sampling

ROOT = Path(__file__).resolve().parent.parent
RECIPES = ROOT / "stages" / "configs"
CONSISTENCY = ("swap_consistency", "group_consistency")


@dataclass(frozen=True)
class Variant:
    """Which stages run, and which parts of stage 3's reward have no weight."""

    stages: tuple[str, ...] = ("stage1", "stage2", "stage3")
    without: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """Name of its last run; variants share the runs before it."""
        return "-".join([*(name.removeprefix("stage") for name in self.stages), *self.without])


FULL = "all three stages"
VARIANTS = {
    FULL: Variant(),
    "without stage 2": Variant(stages=("stage1", "stage3")),
    "without stage 3": Variant(stages=("stage1", "stage2")),
    "without the consistency rewards": Variant(without=CONSISTENCY),
    "without the factor reward": Variant(without=("factor",)),
    "without symptom and evidence": Variant(without=("symptom", "evidence")),
}
SCRIPTS = {"stage1": "stage1_sft", "stage2": "stage2_align", "stage3": "stage3_grpo"}


def parse_args() -> argparse.Namespace:
    """Data, length, seeds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="RED dataset folder")
    parser.add_argument("--work", type=Path, required=True, help="folder for the runs")
    parser.add_argument("--steps", type=int, nargs=3, default=(80, 240, 120), help="optimizer steps of the stages")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--pairs", type=int, default=600, help="held-out pairs asked in the fast mode")
    parser.add_argument("--reasoned", type=int, default=150, help="of these, pairs asked in the reasoned mode")
    parser.add_argument("options", nargs="*", help="after --: arguments of all stages")
    args = parser.parse_args()
    if args.reasoned < 1:
        parser.error(f"--reasoned is {args.reasoned}; give at least 1")
    return args


def weights(recipe: Path, without: Sequence[str]) -> list[str]:
    """Stage 3's arguments that take the weight from parts of the recipe's reward."""
    if not without:
        return []
    values = read_yaml(recipe)
    kept = [
        0.0 if name in without else weight
        for name, weight in zip(values["rewards"], values["reward_weights"], strict=True)
    ]
    return ["--reward_weights", *map(str, kept)]


def train(args: argparse.Namespace, variant: Variant, seed: int) -> Path:
    """Run the variant's stages, each from the one before; finished ones are not run again.

    Returns:
        The last adapter.
    """
    adapter: list[str] = []
    final = Path()
    for number, name in enumerate(variant.stages):
        so_far = Variant(variant.stages[: number + 1], variant.without if name == "stage3" else ())
        out = args.work / f"seed{seed}" / so_far.folder
        recipe = RECIPES / f"{name}_nano.yaml"
        command = [sys.executable, str(ROOT / "stages" / f"{SCRIPTS[name]}.py"), "--data", str(args.data)]
        command += ["--output_dir", str(out), "--seed", str(seed), "--disable_tqdm", "true", *adapter]
        command += ["--max_steps", str(args.steps[list(SCRIPTS).index(name)]), *args.options]
        command += weights(recipe, variant.without) if name == "stage3" else []
        with (args.work / "log.txt").open("a", encoding="utf-8") as log:
            done = subprocess.run(command, check=False, stdout=log, stderr=log)
        if done.returncode != 0:
            sys.exit(f"{SCRIPTS[name]} ended with exit code {done.returncode}; see {args.work / 'log.txt'}")
        final = out / "final"
        adapter = ["--adapter", str(final)]
    return final


def evaluated(args: argparse.Namespace, adapter: Path, records: Sequence[PairRecord]) -> HeldOut:
    """What the model answers, asked once."""
    file = adapter.parent / f"heldout-{len(records)}-{args.reasoned}.json"
    if file.is_file():
        return HeldOut.model_validate(read_json(file))
    model = read_json(adapter / "adapter_config.json")["base_model_name_or_path"]
    sampling = Sampling(temperature=0.0, max_new_tokens=160, seed=0)
    found = evaluate(LocalBackend(model, adapter=adapter), records, n_reasoned=args.reasoned, sampling=sampling, seed=0)
    write_json(file, json.loads(found.model_dump_json()))
    return found


@dataclass(frozen=True)
class Measure:
    """One row of the tables."""

    rows: Callable[[HeldOut], list[tuple[PairOutcome, tuple[float, ...]]]]
    """What counts, each with its pair's outcome, which has the photograph."""
    of: Callable[[NDArray[np.float64]], float | None]
    """(n, columns) of one seed to the value."""


def right(outcomes: Sequence[PairOutcome]) -> list[tuple[PairOutcome, tuple[float, ...]]]:
    """Of the pairs that are no ties, whether they are in the right order."""
    return [(item, (float(item.right),)) for item in outcomes if item.decided]


def consistent(outcomes: Sequence[PairOutcome]) -> list[tuple[PairOutcome, tuple[float, ...]]]:
    """Whether both orders give the same answer; an answer that fails is none."""
    return [(item, (float(item.order_consistent is True),)) for item in outcomes if item.asked]


def differences(found: HeldOut) -> list[tuple[PairOutcome, tuple[float, ...]]]:
    """The model's difference and the label's."""
    failed = [item.pair for item in found.outcomes if item.delta is None]
    if failed:
        sys.exit(f"{len(failed)} pairs have no usable fast answer, such as {failed[0]}; their correlation is unknown")
    return [(item, (item.delta, item.label)) for item in found.outcomes if item.delta is not None]


def named(found: HeldOut) -> list[tuple[PairOutcome, tuple[float, ...]]]:
    """Share of a pair's two answers that name the factors and the side."""
    return [
        (item.outcome, (sum(a.right_factor for a in item.answers) / len(item.answers),))
        for item in found.reasoned_outcomes
        if item.answers
    ]


def reasoned(found: HeldOut) -> list[PairOutcome]:
    """Of the reasoned mode."""
    return [item.outcome for item in found.reasoned_outcomes]


MEASURES = {
    "fast: pair accuracy": Measure(lambda found: right(found.outcomes), mean),
    "fast: rank correlation": Measure(differences, lambda values: srcc(values[:, 0], values[:, 1])),
    "fast: both orders": Measure(lambda found: consistent(found.outcomes), mean),
    "reasoned: pair accuracy": Measure(lambda found: right(reasoned(found)), mean),
    "reasoned: factor and side": Measure(named, mean),
    "reasoned: both orders": Measure(lambda found: consistent(reasoned(found)), mean),
}


def over_seeds(measure: Measure, runs: Sequence[HeldOut]) -> tuple[NDArray[np.float64], list[str], Statistic]:
    """(n, seeds, columns) rows, the photograph of each, and the mean of the seeds' values."""
    found = [measure.rows(run) for run in runs]
    if any([item.pair for item, _ in rows] != [item.pair for item, _ in found[0]] for rows in found):
        sys.exit("the seeds were evaluated on different pairs; take another --work")

    def statistic(rows: ArrayLike) -> float | None:
        values = [measure.of(one) for one in np.moveaxis(np.asarray(rows, dtype=np.float64), 1, 0)]
        known = [value for value in values if value is not None]
        return float(np.mean(known)) if len(known) == len(values) else None

    return (
        np.stack([np.array([values for _, values in rows]) for rows in found], axis=1),
        [item.source for item, _ in found[0]],
        statistic,
    )


def cell(interval: Estimate, sign: str = "") -> str:
    """As a table has it."""
    if interval.value is None or interval.low is None or interval.high is None:
        return "undefined"
    return f"{interval.value:{sign}.3f} [{interval.low:{sign}.2f}, {interval.high:{sign}.2f}]"


def main(args: argparse.Namespace) -> None:
    """Train and evaluate every variant, print the tables."""
    args.work.mkdir(parents=True, exist_ok=True)
    records = drawn(args.data, args.pairs)
    found: dict[str, list[HeldOut]] = {}
    for name in args.variants:
        found[name] = [evaluated(args, train(args, VARIANTS[name], seed), records) for seed in args.seeds]
        print(f"{name}: done", file=sys.stderr, flush=True)
    first = next(iter(found.values()))[0]
    print(f"{first.n_pairs} pairs of {first.n_photographs} photographs, {args.reasoned} of them reasoned;")
    print(f"steps {args.steps}, seeds {args.seeds}\n")
    print("| | " + " | ".join(found) + " |\n|---" + "|---" * len(found) + "|")
    for name, measure in MEASURES.items():
        cells = []
        for runs in found.values():
            rows, photographs, statistic = over_seeds(measure, runs)
            one_by_one = [value for k in range(len(runs)) if (value := statistic(rows[:, k : k + 1])) is not None]
            more = f", {min(one_by_one):.3f} to {max(one_by_one):.3f}" if len(one_by_one) > 1 else ""
            cells.append(cell(bootstrap(rows, photographs, statistic)) + more)
        print(f"| {name} | {' | '.join(cells)} |")
    if FULL not in found or len(found) == 1:
        return
    others = [name for name in found if name != FULL]
    print(f"\n| change against {FULL} | " + " | ".join(others) + " |\n|---" + "|---" * len(others) + "|")
    for name, measure in MEASURES.items():
        before, photographs, statistic = over_seeds(measure, found[FULL])
        after = [over_seeds(measure, found[other])[0] for other in others]
        cells = [cell(paired_bootstrap(before, rows, photographs, statistic), "+") for rows in after]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main(parse_args())
