"""FGAesQ trained from scratch on synthetic series of photographs, tested on series of other photographs.

    python benchmarks/fgaesq_series.py PHOTOS --out DIR [--steps 1000] [--per-category 2] [--variants full ...]

A quarter of the photographs is held out, by a hash of the name. Variants differ in one part each: without DiffToken
every picture is seen alone; without CTAlign or RankReg that loss has no weight. All share data, seed and steps.
Series are synthetic (`redaes.finegrained.synthetic`): one photograph made worse step by step; nobody judged them. A
run that is started again goes on where it stopped.

Intervals: 95 %, resampling photographs. Chance: expected value of a random order. Pair F1 is that of "the first is
better"; the order within a pair is random, so chance is one half.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from redaes.finegrained.scorer import FineGrainedScorer, SeriesScores
from redaes.finegrained.series import CATEGORIES, Series, read_series
from redaes.finegrained.synthetic import write_series
from redaes.finegrained.training import FineGrainedArguments, run_fgaesq
from redaes.images import IMAGE_SUFFIXES
from redaes.metrics import Interval, bootstrap, srcc
from redaes.records import write_json

# isort: split
from transformers import TrainingArguments

VARIANTS: dict[str, dict[str, float | bool]] = {
    "full": {},
    "without_difftoken": {"difference_tokens": False},
    "without_ctalign": {"align_weight": 0.0},
    "without_rankreg": {"rank_weight": 0.0},
}
HELD_OUT = 4
"""One photograph in so many is held out."""


def held_out(path: Path) -> bool:
    """Whether a photograph is for testing: by its name alone."""
    return int(hashlib.sha256(path.name.encode()).hexdigest(), 16) % HELD_OUT == 0


def prepare(photos: Sequence[Path], folder: Path, per_category: int, n_coarse: int, split: str, side: int) -> Path:
    """Write series and coarse pictures of photographs, once.

    Returns:
        The list of series; that of the coarse pictures lies beside it.
    """
    if (folder / "series.jsonl").is_file():
        return folder / "series.jsonl"
    named = {f"{photo.parent.name}-{photo.stem}": photo for photo in photos}
    return write_series(
        named, folder, per_category=per_category, lengths=(3, 4, 5, 6), n_coarse=n_coarse, side=side,
        split_of=dict.fromkeys(named, split), seed=0,
    )[0]  # fmt: skip


def scores_of(scorer: FineGrainedScorer, series: Sequence[Series], difference_tokens: bool) -> list[np.ndarray]:
    """Scores of every test series."""
    loaded = ([scorer.load_picture(path) for path in item.images] for item in series)
    if difference_tokens:
        found: list[SeriesScores] = list(scorer.series(loaded))
        return [item.scores for item in found]
    return [scorer.score(pictures) for pictures in loaded]


def rows_of(series: Sequence[Series], scores: Sequence[np.ndarray]) -> np.ndarray:
    """Per series: pairs, right pairs, true/false positives, false negatives of "first better", best found, SRCC."""
    rows = []
    for item, predicted in zip(series, scores, strict=True):
        difference = np.array([predicted[pair.first] - predicted[pair.second] for pair in item.pairs])
        first = np.array([pair.probability > 0.5 for pair in item.pairs])
        rows.append(
            [
                len(first),
                ((difference > 0) & first).sum() + ((difference < 0) & ~first).sum(),
                ((difference > 0) & first).sum(),
                ((difference > 0) & ~first).sum(),
                ((difference <= 0) & first).sum(),
                float(np.argmax(predicted) == np.argmax(item.scores)),
                srcc(predicted, item.scores) or 0.0,
            ]
        )
    return np.array(rows, dtype=np.float64)


METRICS = {
    "pair accuracy": lambda rows: rows[:, 1].sum() / rows[:, 0].sum(),
    "pair F1": lambda rows: 2 * rows[:, 2].sum() / (2 * rows[:, 2] + rows[:, 3] + rows[:, 4]).sum(),
    "s-Acc": lambda rows: rows[:, 5].mean(),
    "s-SRCC": lambda rows: rows[:, 6].mean(),
}


def chance(series: Sequence[Series]) -> dict[str, float]:
    """What a random order gets."""
    best = float(np.mean([1 / len(item.images) for item in series]))
    return {"pair accuracy": 0.5, "pair F1": 0.5, "s-Acc": best, "s-SRCC": 0.0}


def main() -> None:
    parser = argparse.ArgumentParser(description="Train and test FGAesQ on synthetic series.")
    parser.add_argument("photos", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1000, help="optimizer steps of each variant")
    parser.add_argument("--per-category", type=int, default=2, help="training series of each category per photograph")
    parser.add_argument("--train-photos", type=int, help="fewer training photographs than there are")
    parser.add_argument("--test-photos", type=int, help="fewer test photographs; each gives three series")
    parser.add_argument("--side", type=int, default=224, help="longest side of a picture, in pixels")
    parser.add_argument("--variants", nargs="+", choices=sorted(VARIANTS), default=list(VARIANTS))
    args = parser.parse_args()
    photos = sorted(file for file in args.photos.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES)
    known = [photo for photo in photos if not held_out(photo)][: args.train_photos]
    unknown = [photo for photo in photos if held_out(photo)][: args.test_photos]
    train_file = prepare(known, args.out / "train", args.per_category, args.per_category, "train", args.side)
    test = read_series(prepare(unknown, args.out / "test", 1, 0, "test", args.side))
    clusters = [item.id.split("-", 1)[1] for item in test]
    report: dict[str, object] = {"n_test_series": len(test), "steps": args.steps, "chance": chance(test)}
    print(f"{len(test)} test series of {len(set(clusters))} photographs")
    for variant in args.variants:
        changes = VARIANTS[variant]
        arguments = FineGrainedArguments(
            series=str(train_file), coarse=str(train_file.with_name("coarse.jsonl")), coarse_epochs=0,
            joint_epochs=1000, series_per_batch=8, pictures_per_batch=24, max_pairs=3, **changes,
        )  # fmt: skip
        config = TrainingArguments(
            output_dir=str(args.out / variant), max_steps=args.steps, learning_rate=5e-4, lr_scheduler_type="cosine",
            warmup_steps=max(1, args.steps // 20), weight_decay=5e-5, use_cpu=True, logging_steps=20, save_steps=50,
            save_total_limit=1, report_to="none", disable_tqdm=True, seed=0,
        )  # fmt: skip
        final = run_fgaesq(arguments, config)
        scorer = FineGrainedScorer.load(final)
        scores = scores_of(scorer, test, arguments.difference_tokens)
        first = [scorer.load_picture(item.images[0]) for item in test[:32]]
        found: dict[str, dict[str, Interval]] = {}
        rows = rows_of(test, scores)
        for category in ("all", *CATEGORIES):
            chosen = np.array([category in ("all", item.category) for item in test])
            names = [name for name, kept in zip(clusters, chosen, strict=True) if kept]
            found[category] = {name: bootstrap(rows[chosen], names, metric) for name, metric in METRICS.items()}
        report[variant] = {
            "revision": scorer.revision,
            "metrics": {
                category: {name: vars(value) for name, value in part.items()} for category, part in found.items()
            },
            "single_scores_identical_on_repeat": bool(np.array_equal(scorer.score(first), scorer.score(first))),
            "training": json.loads((final / "run_record.json").read_text())["metrics"],
        }
        write_json(args.out / "report.json", report)
        for category, part in found.items():
            cells = [f"{name} {value.estimate:.3f} [{value.low:.3f}, {value.high:.3f}]" for name, value in part.items()]
            print(f"{variant:18} {category:9} {', '.join(cells)}", flush=True)
    print("chance", {name: round(value, 3) for name, value in chance(test).items()})


if __name__ == "__main__":
    main()
