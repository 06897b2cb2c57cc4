"""FGAesQ on a small CLIP, both trained from scratch, tested on synthetic series of photographs that neither has seen.

    python benchmarks/fgaesq_series.py FOLDER... --out DIR [--clip-steps 400] [--steps 600] [--variants full ...]

FOLDER... hold photographs; 15 % of them are held out as the dataset builder does it (`redaes data build`, seed 0), so
that the embedded language model has not seen them either. First a small CLIP learns to match pictures with captions
of what is wrong with them; then every variant starts from it. Variants differ in one part each: without DiffToken
every picture is seen alone; without CTAlign or RankReg that loss has no weight. All share data, seed and steps.
Series are synthetic (`redaes.datagen.series.synthetic`): one photograph made worse step by step; nobody judged them. A
run that is started again goes on where it stopped.

Intervals: 95 %, resampling photographs with all their series. Chance: expected value of a random order.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset

from redaes.datagen.series.synthetic import FAULTS, SyntheticSeries, make_series, write_series
from redaes.datagen.sources import Source, curate
from redaes.estimates import Estimate, bootstrap, paired_bootstrap
from redaes.evaluation.series_measures import best_found, chance_series_accuracy, series_srcc
from redaes.file_writing import read_json, write_json
from redaes.images import load_image
from redaes.metrics import pair_accuracy, pair_f1
from redaes.models.fgaesq.blocks import MEAN, STD
from redaes.models.fgaesq.scorer import FGAesQScorer
from redaes.models.fgaesq.texts import comparative_text
from redaes.models.fgaesq.tiny_clip import TINY_TOKENS, build_tiny_clip
from redaes.series_records import CATEGORIES, Series, read_series
from redaes.training.fgaesq import run_fgaesq
from redaes.training.fgaesq_arguments import FGAesQArguments
from redaes.training.stage_run import claim_folder, run_trainer
from redaes.types import FACTORS

# isort: split
from transformers import AutoTokenizer, CLIPModel, Trainer, TrainingArguments

VARIANTS: dict[str, dict[str, float | bool]] = {
    "full": {},
    "without_difftoken": {"difference_tokens": False},
    "without_ctalign": {"align_weight": 0.0},
    "without_rankreg": {"rank_weight": 0.0},
}
LENGTHS = (3, 4, 5, 6)
TEST_FRACTION = 0.15
RESAMPLES = 500
SIDE = 224
"""Longest side of a picture of a series, in pixels."""
CLIP_SIDE = 128
"""Side of what the CLIP model sees while it is trained by itself."""
GOOD = "the photo is good"
DEGREES = ((0.15, GOOD), (0.4, "slightly worse"), (0.7, "worse"), (1.01, "much worse"))
"""Strength of a fault up to which it is called so."""


def name_of(source: Source) -> str:
    """What a photograph is called in the names of its series."""
    return f"{source.path.parent.name}-{source.path.stem}"


def prepare(sources: Sequence[Source], folder: Path, per_category: int, n_coarse: int, split: str) -> Path:
    """Write series and coarse pictures of photographs, once.

    Returns:
        The list of series; that of the coarse pictures lies beside it.
    """
    if (folder / "series.jsonl").is_file():
        return folder / "series.jsonl"
    named = {name_of(source): source.path for source in sources}
    return write_series(
        named, folder, per_category=per_category, lengths=LENGTHS, n_coarse=n_coarse, side=SIDE,
        split_of=dict.fromkeys(named, split), seed=0,
    )[0]  # fmt: skip


# --- A small CLIP -----------------------------------------------------------------------------------------


def caption(operation: str, strength: float) -> str:
    """What is wrong with a picture, and how much."""
    degree = next(name for most, name in DEGREES if strength < most)
    return degree if degree == GOOD else f"the photo is {degree}: {(operation or 'cropped tightly').replace('_', ' ')}"


def captions() -> list[str]:
    """All that there are."""
    operations = sorted({"", *(name for names in FAULTS.values() for name in names)})
    return [GOOD, *(caption(name, most - 0.02) for name in operations for most, _ in DEGREES[1:])]


@cache
def photograph(path: Path) -> Any:
    """Small enough to keep all."""
    return load_image(path, max_pixels=250_000).image


class CaptionedSeries(Dataset[SyntheticSeries]):
    """Series of training photographs, each a function of its number."""

    def __init__(self, photos: Sequence[Path], n: int) -> None:
        self.photos = photos
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> SyntheticSeries:
        rng = random.Random(f"clip/{index}")
        photo = photograph(rng.choice(list(self.photos)))
        return make_series(photo, rng.choice(CATEGORIES), rng.choice(LENGTHS), SIDE, f"clip/{index}")


class CaptionCollator:
    """Series to pictures of CLIP's size: the whole one shrunk, or a part at full resolution."""

    def __init__(self) -> None:
        self.place = {text: number for number, text in enumerate(captions())}

    def __call__(self, items: Sequence[SyntheticSeries]) -> dict[str, Tensor]:
        """``pixels`` (B, 3, 128, 128), normalised; ``caption`` (B,) positions in :func:`captions`."""
        mean, std = torch.tensor(MEAN)[:, None, None], torch.tensor(STD)[:, None, None]
        pictures, places = [], []
        for item in items:
            left, top, part = (random.Random(str(item.members[0].pixels.sum())).random() for _ in range(3))
            for member in item.members:
                pixels = (torch.from_numpy(member.pixels).permute(2, 0, 1).float() / 255 - mean) / std
                _, height, width = pixels.shape
                if part < 0.5 and min(height, width) >= CLIP_SIDE:
                    x, y = int(left * (width - CLIP_SIDE + 1)), int(top * (height - CLIP_SIDE + 1))
                    pixels = pixels[:, y : y + CLIP_SIDE, x : x + CLIP_SIDE]
                else:  # as DiffToken shrinks blocks
                    pixels = nn.functional.interpolate(pixels[None], size=(CLIP_SIDE, CLIP_SIDE), mode="bicubic")[0]
                pictures.append(pixels)
                places.append(self.place[caption(item.operation, -member.score)])
        return {"pixels": torch.stack(pictures), "caption": torch.tensor(places)}


class Matching(nn.Module):
    """CLIP's loss, with every caption there is in place of those of the batch, which come more than once."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.clip = CLIPModel.from_pretrained(folder, local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        inputs = tokenizer(captions(), padding=True, return_tensors="pt")
        self.register_buffer("ids", inputs["input_ids"], persistent=False)
        self.register_buffer("mask", inputs["attention_mask"], persistent=False)

    def forward(self, pixels: Tensor, caption: Tensor) -> dict[str, Tensor]:
        """Mean of both cross-entropies: of a picture's caption, and of a caption's pictures."""
        seen = self.clip.vision_model(pixel_values=pixels).pooler_output
        read = self.clip.text_model(input_ids=self.ids, attention_mask=self.mask).pooler_output
        pictures = nn.functional.normalize(self.clip.visual_projection(seen), dim=-1)
        texts = nn.functional.normalize(self.clip.text_projection(read), dim=-1)
        logits = self.clip.logit_scale.exp().clamp(max=100) * pictures @ texts.T  # (B, C)
        wanted = nn.functional.one_hot(caption, len(texts)).T.float()
        there = wanted.sum(1) > 0
        by_text = nn.functional.cross_entropy(logits.T[there], wanted[there] / wanted[there].sum(1, keepdim=True))
        return {"loss": (nn.functional.cross_entropy(logits, caption) + by_text) / 2, "logits": logits}


def train_clip(photos: Sequence[Path], folder: Path, steps: int, series_per_batch: int = 16) -> Path:
    """A CLIP model that tells faults apart, from random weights and cosine patch filters.

    Returns:
        Its folder, in transformers' format.
    """
    start, final = folder / "start", folder / "final"
    if not (start / "tokenizer.json").is_file():  # written last
        corpus = [comparative_text([factor], better) for factor in FACTORS for better in (True, False)]
        build_tiny_clip(start, [*corpus, *captions()], seed=0)
    if not steps:
        return start
    config = TrainingArguments(
        output_dir=str(folder / "run"), max_steps=steps, per_device_train_batch_size=series_per_batch,
        learning_rate=1.5e-3, lr_scheduler_type="cosine", warmup_steps=max(1, steps // 20), weight_decay=0.01,
        use_cpu=True, logging_steps=20, save_steps=100, save_total_limit=1, report_to="none", disable_tqdm=True,
        remove_unused_columns=False, label_names=[], seed=0,
    )  # fmt: skip
    claim_folder(config, {"stage": "clip", "photographs": len(photos)})
    if (final / "tokenizer.json").is_file():
        return final
    network = Matching(start)
    trainer = Trainer(
        model=network, args=config, data_collator=CaptionCollator(),
        train_dataset=CaptionedSeries(photos, steps * series_per_batch),
    )  # fmt: skip
    _, metrics = run_trainer(trainer)
    network.clip.save_pretrained(final)
    write_json(folder / "metrics.json", metrics)
    AutoTokenizer.from_pretrained(start, local_files_only=True).save_pretrained(final)
    return final


# --- Measures ---------------------------------------------------------------------------------------------


def scores_of(scorer: FGAesQScorer, series: Sequence[Series], difference_tokens: bool) -> list[list[float]]:
    """Scores of every test series."""
    loaded = ([scorer.load_picture(path) for path in item.images] for item in series)
    if difference_tokens:
        return [found.scores.tolist() for found in scorer.series(loaded)]
    return [scorer.score(pictures).tolist() for pictures in loaded]


def photograph_of(series: Series) -> str:
    """The photograph that a series is made of: ids are category-photograph-number."""
    return series.id.partition("-")[2].rpartition("-")[0]


@dataclass(frozen=True)
class Measure:
    """One metric: rows of data, the photograph of each row, and the number that comes of rows."""

    rows: NDArray[np.float64]
    photographs: list[str]
    statistic: Callable[[NDArray[np.float64]], float | None]

    def interval(self) -> Estimate:
        """The metric with its interval."""
        return bootstrap(self.rows, self.photographs, self.statistic, n_resamples=RESAMPLES)

    def change_to(self, other: Measure) -> Estimate:
        """The other one less this one, over the same rows."""
        return paired_bootstrap(self.rows, other.rows, self.photographs, self.statistic, n_resamples=RESAMPLES)


def measures(series: Sequence[Series], scores: Sequence[Sequence[float]]) -> dict[str, Measure]:
    """The four metrics of the paper."""
    photographs = [photograph_of(item) for item in series]
    pairs = []  # predicted difference, P - 0.5
    of_pairs = []
    for item, values in zip(series, scores, strict=True):
        pairs += [(values[pair.first] - values[pair.second], pair.probability - 0.5) for pair in item.pairs]
        of_pairs += [photograph_of(item)] * len(item.pairs)
    best = [float(best_found(values, item.scores) is True) for item, values in zip(series, scores, strict=True)]
    rank = [series_srcc(values, item.scores) for item, values in zip(series, scores, strict=True)]

    def accuracy(rows: NDArray[np.float64]) -> float | None:
        return pair_accuracy(rows[:, 0].tolist(), rows[:, 1].tolist(), tie_margin=0.0).value

    def f1(rows: NDArray[np.float64]) -> float | None:
        return pair_f1(rows[:, 0].tolist(), rows[:, 1].tolist(), tie_margin=0.0)

    return {
        "pair accuracy": Measure(np.array(pairs), of_pairs, accuracy),
        "pair F1": Measure(np.array(pairs), of_pairs, f1),
        "s-Acc": Measure(np.array(best), photographs, np.mean),
        "s-SRCC": Measure(np.array(rank, dtype=np.float64), photographs, np.mean),
    }


def chance(series: Sequence[Series]) -> dict[str, float | None]:
    """What a random order gets."""
    best = chance_series_accuracy([item.scores for item in series])
    return {"pair accuracy": 0.5, "pair F1": 0.5, "s-Acc": best, "s-SRCC": 0.0}


def cell(interval: Estimate, sign: str = "") -> str:
    """As a table has it."""
    return f"{interval.value:{sign}.3f} [{interval.low:{sign}.3f}, {interval.high:{sign}.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description="Train and test FGAesQ on synthetic series.")
    parser.add_argument("photographs", nargs="+", type=Path, help="folders")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--clip-steps", type=int, default=400, help="optimizer steps of the small CLIP; 0: random")
    parser.add_argument("--steps", type=int, default=600, help="optimizer steps of each variant")
    parser.add_argument("--per-category", type=int, default=2, help="training series of each category per photograph")
    parser.add_argument("--test-per-category", type=int, default=2, help="the same of held-out photographs")
    parser.add_argument("--train-photographs", type=int, help="fewer than there are")
    parser.add_argument("--test-photographs", type=int, help="fewer than there are")
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    args = parser.parse_args()
    sources = curate(args.photographs, test_fraction=TEST_FRACTION, seed=0).sources
    training = [source for source in sources if source.split == "train"][: args.train_photographs]
    unknown = [source for source in sources if source.split == "test"][: args.test_photographs]
    train_file = prepare(training, args.out / "train", args.per_category, 2 * args.per_category, "train")
    test = read_series(prepare(unknown, args.out / "test", args.test_per_category, 0, "test"))
    names = {name_of(source) for source in unknown}
    test = [item for item in test if photograph_of(item) in names]  # a folder of an earlier run may hold more
    print(f"{len(test)} test series of {len(unknown)} photographs, trained on {len(training)} others", flush=True)
    clip = train_clip([source.path for source in training], args.out / "clip", args.clip_steps)
    report: dict[str, Any] = {"n_test_series": len(test), "settings": vars(args), "chance": chance(test)}
    found: dict[str, dict[str, Measure]] = {}
    for variant in args.variants:
        arguments = FGAesQArguments(
            series=str(train_file), coarse=str(train_file.with_name("coarse.jsonl")), clip=str(clip),
            coarse_epochs=0, joint_epochs=1000, series_per_batch=8, pictures_per_batch=32, max_pairs=4,
            budget=TINY_TOKENS.budget, fine_blocks=TINY_TOKENS.fine_blocks, min_side=TINY_TOKENS.min_side,
            **VARIANTS[variant],
        )  # fmt: skip
        config = TrainingArguments(
            output_dir=str(args.out / variant), max_steps=args.steps, learning_rate=5e-4, lr_scheduler_type="cosine",
            warmup_steps=max(1, args.steps // 20), weight_decay=5e-5, use_cpu=True, logging_steps=20, save_steps=100,
            save_total_limit=1, report_to="none", disable_tqdm=True, seed=0,
        )  # fmt: skip
        final = run_fgaesq(arguments, config)
        scorer = FGAesQScorer.load(final)
        known = args.out / variant / "scores.json"
        if not known.is_file():
            write_json(known, scores_of(scorer, test, arguments.difference_tokens))
        scores = read_json(known)
        first = [scorer.load_picture(item.images[0]) for item in test]
        repeated = bool(np.array_equal(scorer.score(first), scorer.score(first)))
        report[variant] = {
            "revision": scorer.revision,
            "single_scores_identical_on_repeat": repeated,
            "training": read_json(final / "run_record.json")["metrics"],
            "metrics": {},
        }
        for category in ("all", *CATEGORIES):
            chosen = [place for place, item in enumerate(test) if category in ("all", item.category)]
            of_category = measures([test[place] for place in chosen], [scores[place] for place in chosen])
            intervals = {name: measure.interval() for name, measure in of_category.items()}
            report[variant]["metrics"][category] = {name: vars(value) for name, value in intervals.items()}
            print(f"{variant:18} {category:9}", *(f"{n} {cell(value)}" for n, value in intervals.items()), flush=True)
            if category == "all":
                found[variant] = of_category
        print(f"{variant:18} {len(first)} single scores identical on repeat: {repeated}", flush=True)
        if variant != "full" and "full" in found:
            changes = {name: found["full"][name].change_to(measure) for name, measure in found[variant].items()}
            report[variant]["change"] = {name: vars(value) for name, value in changes.items()}
            print(f"{variant:18} - full    ", *(f"{n} {cell(value, '+')}" for n, value in changes.items()), flush=True)
        write_json(args.out / "report.json", json.loads(json.dumps(report, default=str)))
    print("chance", {name: round(value or 0.0, 3) for name, value in chance(test).items()})


if __name__ == "__main__":
    main()
