"""What each stage, and each part of the reward, is worth: ablations of the three stages on held-out photographs.

    python benchmarks/ablations.py --data red --work runs/ablations [--steps 80 240 120] [--seeds 0 1 2] [-- STAGE ARGS]

For every seed the doors run from the embedded base: stage 1, stage 2, stage 3, and stage 3 again with a part left out.
What follows ``--`` goes to all doors (as ``--model`` and ``--leave_out``). All answer the same held-out pairs, in both
orders; intervals are 95 %, by photograph, of the first seed, and changes are paired with "all three stages". With more
seeds, the table also has their least and their largest value. A run that is started again goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nano_quality import drawn, shown

from redaes.backends.local import LocalBackend
from redaes.evaluation.heldout import Estimate, HeldOut, evaluate, paired_change
from redaes.records import PairRecord, read_json, read_yaml, write_json
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
}
DOORS = {"stage1": "stage1_sft", "stage2": "stage2_align", "stage3": "stage3_grpo"}


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
    parser.add_argument("door", nargs="*", help="after --: arguments of all doors")
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
        command = [sys.executable, str(ROOT / "stages" / f"{DOORS[name]}.py"), "--data", str(args.data)]
        command += ["--output_dir", str(out), "--seed", str(seed), "--disable_tqdm", "true", *adapter]
        command += ["--max_steps", str(args.steps[list(DOORS).index(name)]), *args.door]
        command += weights(recipe, variant.without) if name == "stage3" else []
        with (args.work / "log.txt").open("a", encoding="utf-8") as log:
            done = subprocess.run(command, check=False, stdout=log, stderr=log)
        if done.returncode != 0:
            sys.exit(f"{DOORS[name]} ended with exit code {done.returncode}; see {args.work / 'log.txt'}")
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


MEASURES: dict[str, Callable[[HeldOut], Estimate]] = {
    "fast: pair accuracy": lambda found: found.fast.accuracy,
    "fast: rank correlation": lambda found: found.fast.srcc,
    "fast: both orders": lambda found: found.fast.order_consistency,
    "reasoned: pair accuracy": lambda found: found.reasoned.accuracy,  # type: ignore[union-attr]
    "reasoned: factor and side": lambda found: found.reasoned.factor_accuracy,  # type: ignore[union-attr]
    "reasoned: both orders": lambda found: found.reasoned.order_consistency,  # type: ignore[union-attr]
}


def main(args: argparse.Namespace) -> None:
    """Train and evaluate every variant, print the table."""
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
    for measure, of in MEASURES.items():
        cells = []
        for runs in found.values():
            values = [value for run in runs if (value := of(run).value) is not None]
            more = f", {min(values):.3f} to {max(values):.3f}" if len(runs) > 1 else ""
            cells.append(shown(of(runs[0])) + more)
        print(f"| {measure} | {' | '.join(cells)} |")
    if FULL in found:
        print()
        for name, runs in found.items():
            if name != FULL:
                fast, reasoned = (paired_change(found[FULL][0], runs[0], mode) for mode in ("fast", "reasoned"))
                print(f"{name} - {FULL}: accuracy fast {shown(fast.points)}, reasoned {shown(reasoned.points)}")


if __name__ == "__main__":
    main(parse_args())
