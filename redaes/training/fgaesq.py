"""Training FGAesQ: coarse epochs on score distributions, then joint ones in which fine and coarse batches take turns.

The paper released no training code. From it: the losses and their weights, the alternation, 3 + 7 epochs, learning
rate, weight decay, batch sizes. Ours: the order of the data (a pure function of seed and epoch, so that a resumed run
sees what an uninterrupted one sees), and a fresh draw of tokens every epoch.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from redaes.errors import TrainingError
from redaes.images import load_image
from redaes.metrics import pair_accuracy
from redaes.models.fgaesq import losses
from redaes.models.fgaesq.difftoken import (
    TokenBatch,
    Tokens,
    TokenSettings,
    collate,
    pair_tokens,
    seeded,
    single_tokens,
)
from redaes.models.fgaesq.network import FGAesQ, from_clip, revision, save
from redaes.models.fgaesq.scorer import MAX_SERIES, FGAesQScorer
from redaes.models.fgaesq.texts import comparative_text, text_embeddings
from redaes.models.fgaesq.tiny_clip import TINY_TOKENS, build_tiny_clip
from redaes.records import write_json
from redaes.series_records import Histogram, Series, read_histograms, read_series
from redaes.training.checkpoints import ExactCheckpoints
from redaes.training.run_record import environment
from redaes.training.stage_run import FINAL, claim_folder, run_trainer
from redaes.types import FACTORS

# isort: split
from transformers import Trainer, TrainingArguments

STAGE = "fgaesq"

Kind = Literal["fine", "coarse"]


@dataclass
class FGAesQArguments:
    """What the stage takes besides the trainer's own arguments. Batches are per process."""

    series: str | None = field(
        default=None, metadata={"help": "series as JSON lines; without them, small ones are made from samples"}
    )
    coarse: str | None = field(
        default=None, metadata={"help": "score distributions as JSON lines; with series of your own, none by default"}
    )
    clip: str | None = field(
        default=None, metadata={"help": "folder of a CLIP model with patches of 16 px; without one, a tiny random one"}
    )
    coarse_epochs: int = field(default=3, metadata={"help": "epochs over the coarse data alone"})
    joint_epochs: int = field(default=7, metadata={"help": "epochs over the series, with coarse batches between"})
    series_per_batch: int = field(default=14, metadata={"help": "series of a fine batch (14 have some 64 pairs)"})
    pictures_per_batch: int = field(default=128, metadata={"help": "pictures of a coarse batch"})
    max_pairs: int = field(default=10, metadata={"help": "most pairs of a series in one epoch, drawn anew in each"})
    align_weight: float = field(default=losses.ALIGN_WEIGHT, metadata={"help": "weight of CTAlign; 0: without"})
    rank_weight: float = field(default=1.0, metadata={"help": "weight of RankReg; 0: without"})
    difference_tokens: bool = field(default=True, metadata={"help": "DiffToken; false: every picture seen alone"})
    budget: int | None = field(
        default=None, metadata={"help": "most tokens of a picture; default: 512, for the tiny CLIP 80"}
    )
    fine_blocks: int | None = field(
        default=None, metadata={"help": "blocks kept at full resolution; default: 14, for the tiny CLIP 5"}
    )
    min_side: int | None = field(
        default=None, metadata={"help": "pixels small pairs are enlarged to; default: 384, for the tiny CLIP 0"}
    )

    def check(self) -> None:
        """Refuse impossible settings before anything is loaded.

        Raises:
            TrainingError: names the setting, its value and the remedy.
        """
        for name in ("series_per_batch", "pictures_per_batch", "max_pairs"):
            if getattr(self, name) < 1:
                raise TrainingError(f"{name} is {getattr(self, name)}; give at least 1")
        for name in ("coarse_epochs", "joint_epochs", "align_weight", "rank_weight"):
            if getattr(self, name) < 0:
                raise TrainingError(f"{name} is {getattr(self, name)}; give 0 or more")
        if not self.align_weight and not self.rank_weight and self.joint_epochs:
            raise TrainingError("align_weight and rank_weight are both 0: series have nothing to teach; give one")

    @property
    def series_file(self) -> Path:
        """The list of series, which the command has seen to by now.

        Raises:
            TrainingError: none was given.
        """
        if self.series is None:
            raise TrainingError("no series: give --series FILE")
        return Path(self.series)

    def tokens(self) -> TokenSettings:
        """DiffToken's settings: what was given, and else what fits the CLIP model.

        Raises:
            InputError: impossible ones.
        """
        names = ("budget", "fine_blocks", "min_side")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return replace(TINY_TOKENS if self.clip is None else TokenSettings(), **given)


@dataclass(frozen=True)
class Key:
    """One item of the plan."""

    kind: Kind
    index: int
    """In the list of series or of histograms."""
    epoch: int


def plan(
    n_series: int, n_coarse: int, arguments: FGAesQArguments, *, n_processes: int = 1, seed: int = 0
) -> list[list[Key]]:
    """The batches of a run, over all processes: process p takes every ``n_processes``-th item from p on.

    All batches are full: the last one of an epoch is filled up from the start of the epoch's order.
    """
    batches: list[list[Key]] = []
    for epoch in range(arguments.coarse_epochs if n_coarse else 0):
        batches += _epoch("coarse", n_coarse, arguments.pictures_per_batch * n_processes, epoch, seed)
    coarse_epochs = itertools.count(arguments.coarse_epochs)
    coarse: Iterator[list[Key]] = iter(())
    for epoch in range(arguments.joint_epochs if n_series else 0):
        for fine in _epoch("fine", n_series, arguments.series_per_batch * n_processes, epoch, seed):
            batches.append(fine)
            if n_coarse:
                batch = next(coarse, None)
                if batch is None:
                    size = arguments.pictures_per_batch * n_processes
                    coarse = iter(_epoch("coarse", n_coarse, size, next(coarse_epochs), seed))
                    batch = next(coarse)
                batches.append(batch)
    return batches


def _epoch(kind: Kind, n: int, size: int, epoch: int, seed: int) -> list[list[Key]]:
    order = [Key(kind, int(index), epoch) for index in seeded(kind, str(seed), str(epoch)).permutation(n)]
    whole = list(itertools.islice(itertools.cycle(order), -(-n // size) * size))
    return [whole[start : start + size] for start in range(0, len(whole), size)]


class PlannedBatches:
    """One process' part of the plan, as a batch sampler."""

    def __init__(self, batches: Sequence[Sequence[Key]], process: int, n_processes: int) -> None:
        self.batches = [list(batch[process::n_processes]) for batch in batches]

    def __iter__(self) -> Iterator[list[Key]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


@dataclass(frozen=True)
class FineItem:
    """A series as pairs of views."""

    views: tuple[Tokens, ...]
    image: tuple[int, ...]
    """Which of the series' pictures each view shows."""
    pairs: tuple[tuple[int, int], ...]
    """Positions in ``views``."""
    probability: tuple[float, ...]
    texts: tuple[str | None, ...]
    scores: tuple[float, ...]
    """True score of every picture of the series."""


@dataclass(frozen=True)
class CoarseItem:
    """A picture with its distribution of scores."""

    view: Tokens
    distribution: tuple[float, ...]


class FGAesQData(Dataset[FineItem | CoarseItem]):
    """Series and coarse pictures, tokenised when they are asked for."""

    def __init__(
        self,
        series: Sequence[Series],
        coarse: Sequence[Histogram],
        tokens: TokenSettings,
        arguments: FGAesQArguments,
    ) -> None:
        self.series = series
        self.coarse = coarse
        self.tokens = tokens
        self.max_pairs = arguments.max_pairs
        self.difference_tokens = arguments.difference_tokens

    def __len__(self) -> int:
        return len(self.series) + len(self.coarse)

    def __getitem__(self, key: Key) -> FineItem | CoarseItem:
        salt = f"epoch {key.epoch}"
        if key.kind == "coarse":
            item = self.coarse[key.index]
            picture = load_image(item.image, max_pixels=self.tokens.max_pixels)
            return CoarseItem(single_tokens(picture, self.tokens, salt=salt), item.distribution)
        return self._fine(self.series[key.index], salt)

    def _fine(self, series: Series, salt: str) -> FineItem:
        chosen = list(series.pairs)
        if len(chosen) > self.max_pairs:
            drawn = seeded(series.id, salt).choice(len(chosen), self.max_pairs, replace=False)
            chosen = [chosen[number] for number in sorted(drawn)]
        shown = sorted({index for pair in chosen for index in (pair.first, pair.second)})
        place = {index: number for number, index in enumerate(shown)}
        pictures = [load_image(series.images[index], max_pixels=self.tokens.max_pixels) for index in shown]
        positions = [(place[pair.first], place[pair.second]) for pair in chosen]
        if self.difference_tokens:
            paired = pair_tokens(pictures, positions, self.tokens, salt=salt)
            views = list(itertools.chain.from_iterable(paired))
            image = [shown[number] for pair in positions for number in pair]
            pairs = [(2 * number, 2 * number + 1) for number in range(len(chosen))]
        else:
            views = [single_tokens(picture, self.tokens, salt=salt) for picture in pictures]
            image, pairs = shown, positions
        return FineItem(
            views=tuple(views),
            image=tuple(image),
            pairs=tuple(pairs),
            probability=tuple(pair.probability for pair in chosen),
            texts=tuple(pair.text for pair in chosen),
            scores=series.scores,
        )


class FGAesQCollator:
    """Items of one kind to what :class:`FGAesQTrainer` takes."""

    def __init__(self, embeddings: dict[str, Tensor]) -> None:
        """
        Args:
            embeddings: of the comparative texts; others are left out.
        """
        # In one tensor: each one that is sent to a worker takes a file descriptor of it.
        self.embeddings = torch.stack(list(embeddings.values())) if embeddings else torch.zeros(0, 1)
        self.place = {text: number for number, text in enumerate(embeddings)}

    def __call__(self, items: Sequence[FineItem | CoarseItem]) -> dict[str, Any]:
        """``views`` (TokenBatch) and, for coarse batches, ``target`` (B, 10); for fine ones, with V views, P pairs and
        S series of at most n pictures: ``pairs`` (2, P) positions of views, ``probability`` (P,), ``text`` (P, d) and
        ``has_text`` (P,), false where there is none or the second picture is the better one, ``cell`` (V,) position of
        the view's picture in the (S, n) table, ``scores`` (S, n)."""
        coarse = [item for item in items if isinstance(item, CoarseItem)]
        if coarse:
            return {
                "views": collate([item.view for item in coarse]),
                "target": torch.tensor([item.distribution for item in coarse]),
            }
        fine = [item for item in items if isinstance(item, FineItem)]
        longest = max(len(item.scores) for item in fine)
        starts = np.cumsum([0, *(len(item.views) for item in fine)])
        pairs = [(a + start, b + start) for item, start in zip(fine, starts, strict=False) for a, b in item.pairs]
        probabilities = [p for item in fine for p in item.probability]
        # CTAlign takes pairs whose first picture is the better one: a text and its opposite are nearly parallel, so
        # that both orders would be drawn in one direction (docs/log.md).
        told = [
            text if probability > 0.5 else None
            for text, probability in zip((text for item in fine for text in item.texts), probabilities, strict=True)
        ]
        place = self.place
        nothing = torch.zeros(self.embeddings.shape[1], dtype=self.embeddings.dtype)
        return {
            "views": collate([view for item in fine for view in item.views]),
            "pairs": torch.tensor(pairs).T,
            "probability": torch.tensor(probabilities),
            "text": torch.stack(
                [self.embeddings[self.place[text]] if text in self.place else nothing for text in told]
            ),
            "has_text": torch.tensor([text in place for text in told]),
            "cell": torch.tensor([row * longest + index for row, item in enumerate(fine) for index in item.image]),
            "scores": torch.tensor(
                [[*item.scores, *(0.0,) * (longest - len(item.scores))] for item in fine], dtype=torch.float64
            ),
        }


class FGAesQTrainer(ExactCheckpoints, Trainer):
    """``Trainer`` that follows a plan and has FGAesQ's losses."""

    def __init__(self, *, batches: PlannedBatches, arguments: FGAesQArguments, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.batches = batches
        self.weights = arguments.align_weight, arguments.rank_weight
        self.model_accepts_loss_kwargs = False
        self.n_views = 0
        """Pictures seen by this process since it started; one in two pairs counts twice."""

    def get_train_dataloader(self) -> DataLoader[Any]:
        """The plan's batches; every process makes its own."""
        return DataLoader(
            self.train_dataset,
            batch_sampler=self.batches,
            collate_fn=self.data_collator,
            num_workers=self.args.dataloader_num_workers,
            multiprocessing_context=self.args.dataloader_multiprocessing_context
            if self.args.dataloader_num_workers
            else None,
        )

    def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, **_: Any) -> Any:
        """EMD of a coarse batch, or 10 x CTAlign + RankReg of a fine one."""
        views: TokenBatch = inputs["views"].to(self.args.device)
        self.n_views += len(views.n_tokens)
        features, logits = model(views)
        loss = self._coarse(logits, inputs) if "target" in inputs else self._fine(features, logits, inputs)
        return (loss, logits) if return_outputs else loss

    def _coarse(self, logits: Tensor, inputs: dict[str, Tensor]) -> Tensor:
        return losses.emd_loss(logits.float(), inputs["target"])

    def _fine(self, features: Tensor, logits: Tensor, inputs: dict[str, Tensor]) -> Tensor:
        align_weight, rank_weight = self.weights
        first, second = inputs["pairs"]
        loss = logits.sum() * 0.0  # a batch without texts, when nothing but texts counts, still has a gradient
        told = inputs["has_text"]
        if align_weight and bool(told.any()):
            a, b = features[first[told]].float(), features[second[told]].float()
            loss = loss + align_weight * losses.align_loss(a, b, inputs["text"][told])
        if rank_weight:
            scores = losses.expected_score(logits.float())
            loss = loss + rank_weight * losses.pair_loss(scores[first], scores[second], inputs["probability"])
            table = inputs["scores"]
            count = torch.zeros(table.numel(), device=scores.device).index_add(
                0, inputs["cell"], torch.ones_like(scores)
            )
            total = torch.zeros(table.numel(), device=scores.device).index_add(0, inputs["cell"], scores)
            mean = (total / count.clamp(min=1)).view(table.shape)
            loss = loss + rank_weight * losses.listmle_loss(mean, table, (count > 0).view(table.shape))
        return loss


@torch.no_grad()
def look(model: FGAesQ, series: Iterable[Series], difference_tokens: bool = True) -> dict[str, Any]:
    """Accuracy of a model on the labelled pairs of series: by each picture's mean over the pairs that it is in."""
    scorer = FGAesQScorer(model, name=STAGE, revision="")
    predicted: list[float | None] = []
    labels: list[float] = []
    n_series = 0
    for item in series:
        pictures = [scorer.load_picture(path) for path in item.images]
        scores = next(iter(scorer.series([pictures]))).scores if difference_tokens else scorer.score(pictures)
        predicted += [float(scores[pair.first] - scores[pair.second]) for pair in item.pairs]
        labels += [pair.probability - 0.5 for pair in item.pairs]
        n_series += 1
    accuracy = pair_accuracy(predicted, labels, tie_margin=0.0)
    return {"held_out_series": n_series, "held_out_pairs": accuracy.n, "held_out_pair_accuracy": accuracy.value}


def run_fgaesq(arguments: FGAesQArguments, config: TrainingArguments) -> Path:
    """Train FGAesQ, and leave the model in ``final/``. A finished run is not repeated.

    Returns:
        ``final/``: ``config.json``, ``model.safetensors``, ``trainer_state.json`` and, last, ``run_record.json``.

    Raises:
        TrainingError: impossible settings, other settings than those of the run in the folder, or a loss that is no
            number.
        RecordError: a list that cannot be used.
        BackendError: no CLIP model in the folder.
    """
    arguments.check()
    series_file, coarse_file = arguments.series_file, None if arguments.coarse is None else Path(arguments.coarse)
    with config.main_process_first(local=False):
        clip = _clip(arguments, Path(str(config.output_dir)))
    series = read_series(series_file)
    coarse = [] if coarse_file is None else read_histograms(coarse_file)
    train = [item for item in series if item.split == "train" and item.pairs]
    held_out = [item for item in series if item.split != "train" and item.pairs]
    _check_data(series_file, train, series)
    batches = plan(
        len(train), len(coarse), arguments, n_processes=config.world_size, seed=config.data_seed or config.seed
    )
    if config.max_steps > 0:
        batches = batches[: config.max_steps]
    if not batches:
        raise TrainingError("the plan has no batches: give more than 0 epochs, and data for them")
    settings = {"stage": STAGE, "data_hash": _data_hash(series_file, coarse_file, series, coarse), **vars(arguments)}
    for name in ("series", "coarse", "clip"):
        settings.pop(name)
    settings["clip_revision"] = revision(clip)
    run = claim_folder(config, settings)
    if run.final is not None:
        return run.final
    config.max_steps = len(batches)
    config.remove_unused_columns = False
    config.label_names = []
    tokens = arguments.tokens()
    model = from_clip(clip, tokens, seed=config.seed)
    texts = {pair.text for item in train for pair in item.pairs if pair.text is not None}
    embeddings = text_embeddings(clip, texts) if arguments.align_weight else {}
    trainer = FGAesQTrainer(
        model=model,
        args=config,
        train_dataset=FGAesQData(train, coarse, tokens, arguments),
        data_collator=FGAesQCollator(embeddings),
        batches=PlannedBatches(batches, config.process_index, config.world_size),
        arguments=arguments,
    )
    about, metrics = run_trainer(run, trainer)
    final = Path(str(config.output_dir)) / FINAL
    if trainer.is_world_process_zero():
        metrics["views_per_second"] = round(trainer.n_views * config.world_size / about["seconds"], 2)
        metrics["peak_memory_mib"] = _peak_memory_mib()
        metrics.update(look(model, held_out, arguments.difference_tokens) if held_out else {})
        save(model, final)
        trainer.state.save_to_json(str(final / "trainer_state.json"))
        write_json(
            final / "run_record.json",
            {
                **settings,
                "arguments": vars(arguments),
                "parameters": model.n_parameters(),
                "revision": revision(final),
                **about,
                "metrics": metrics,
                **environment(),
            },
        )
    trainer.accelerator.wait_for_everyone()
    return final


def _clip(arguments: FGAesQArguments, output_dir: Path) -> Path:
    """The CLIP model: given, or a tiny one that is made."""
    if arguments.clip is not None:
        return Path(arguments.clip)
    clip = output_dir / "tiny_clip"
    if not (clip / "tokenizer.json").is_file():  # written last
        corpus = [comparative_text([factor], better) for factor in FACTORS for better in (True, False)]
        build_tiny_clip(clip, corpus, seed=0)
    return clip


def _check_data(path: Path, train: Sequence[Series], series: Sequence[Series]) -> None:
    if not train:
        raise TrainingError(f"{path} has no series of the split 'train' with pairs")
    for item in series:
        if len(item.images) > MAX_SERIES:
            raise TrainingError(
                f"{path}: series {item.id} has {len(item.images)} pictures; at most {MAX_SERIES} are taken"
            )
    shared = {image for item in train for image in item.images} & {
        image for item in series if item.split != "train" for image in item.images
    }
    if shared:
        raise TrainingError(f"{path}: {min(shared)} is in series of several splits; keep each picture in one")


def _data_hash(
    series_file: Path, coarse_file: Path | None, series: Sequence[Series], coarse: Sequence[Histogram]
) -> str:
    """SHA-256 over the lists and over the sizes of the pictures' files, which are too many to be read twice."""
    digest = hashlib.sha256()
    for file in (series_file, coarse_file):
        digest.update(b"" if file is None else file.read_bytes())
    images = {*(image for item in series for image in item.images), *(item.image for item in coarse)}
    for image in sorted(images):
        try:
            size = image.stat().st_size
        except OSError as error:
            raise TrainingError(f"{image} cannot be read ({error.strerror}); correct the lists of the data") from error
        digest.update(f"{image.name}:{size}\n".encode())
    return digest.hexdigest()


def _peak_memory_mib() -> int:
    """Most memory that this process has held: the GPU's where there is one, else the machine's."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated() / 2**20)
    import resource  # not on every system

    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10)
